"""The frame inside the ciphertext."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import EnvelopeError
from gateway.exchange import frame, tree

SIGNATURE = bytes(range(64))
DIGEST = bytes(range(100, 132))


@pytest.mark.parametrize(
    ("size", "padded"),
    [
        (1, 1024),
        (1024, 1024),
        (1025, 2048),
        (2048, 2048),
        (2049, 4096),
        (32_769, 65_536),
        (65_536, 65_536),
        (65_537, 131_072),
        (131_072, 131_072),
        (131_073, 196_608),
        (16 << 20, 16 << 20),
    ],
)
def test_buckets_are_powers_of_two_then_multiples_of_64_kib(size: int, padded: int) -> None:
    assert frame.bucket(size) == padded


@given(st.integers(1, 40 << 20))
def test_a_bucket_holds_its_content_and_is_its_own_bucket(size: int) -> None:
    padded = frame.bucket(size)
    assert padded >= size
    assert frame.bucket(padded) == padded


payload_lists = st.lists(st.binary(max_size=70), min_size=1, max_size=9)


@settings(max_examples=50, deadline=None)
@given(st.one_of(payload_lists, st.binary(max_size=70_000).map(lambda one: [one])))
def test_what_is_packed_is_unpacked(payloads: list[bytes]) -> None:
    parts = frame.salted(payloads)
    packed = frame.pack(SIGNATURE, DIGEST, parts)
    assert frame.unpack(packed, 64) == (SIGNATURE, DIGEST, parts)
    assert parts.payloads == tuple(payloads)
    assert len(packed) == frame.frame_bytes(64, len(payloads), sum(map(len, payloads)))


def test_the_layout_is_that_of_the_protocol_page() -> None:
    salts = (b"0123456789abcdef", b"fedcba9876543210")
    packed = frame.pack(SIGNATURE, DIGEST, frame.parts_of([b"payload", b""], salts))
    content = b"\0\0\0\x02" + salts[0] + b"\0\0\0\x07payload" + salts[1] + b"\0\0\0\0"
    assert packed == SIGNATURE + DIGEST + content + bytes(1024 - 64 - 32 - len(content))
    head = bytes(range(32))
    assert (
        frame.signed_bytes(b"header", DIGEST, 2, head)
        == b"wugan-signature-v1\0" + b"\0\0\0\x06header" + DIGEST + b"\0\0\0\x02" + head
    )


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=1200))
def test_whatever_is_unpacked_is_exactly_what_packing_makes(some: bytes) -> None:
    try:
        unpacked = frame.unpack(some, 64)
    except EnvelopeError:
        return
    assert frame.pack(unpacked.signature, unpacked.question_digest, unpacked.parts) == some


@given(st.binary(max_size=30), payload_lists, st.binary(max_size=30), payload_lists)
def test_no_two_messages_have_the_same_signed_bytes(h1: bytes, p1: list[bytes], h2: bytes, p2: list[bytes]) -> None:
    def signed(header: bytes, payloads: list[bytes]) -> bytes:
        leaves = [tree.leaf(bytes(16), payload) for payload in payloads]
        return frame.signed_bytes(header, DIGEST, len(leaves), tree.head(leaves))

    assert (signed(h1, p1) == signed(h2, p2)) == ((h1, p1) == (h2, p2))
