"""The frame inside the ciphertext."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import EnvelopeError
from gateway.exchange import frame

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


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=70_000))
def test_what_is_packed_is_unpacked(payload: bytes) -> None:
    body = frame.body(DIGEST, payload)
    packed = frame.pack(SIGNATURE, body)
    assert frame.unpack(packed, 64) == (SIGNATURE, DIGEST, payload, body)


def test_the_layout_is_that_of_the_protocol_page() -> None:
    packed = frame.pack(SIGNATURE, frame.body(DIGEST, b"payload"))
    assert packed == SIGNATURE + DIGEST + b"\0\0\0\x07payload" + bytes(1024 - 64 - 32 - 4 - 7)
    assert (
        frame.signed_bytes(b"header", frame.body(DIGEST, b"payload"))
        == b"wugan-signature-v1\0" + b"\0\0\0\x06header" + DIGEST + b"\0\0\0\x07payload"
    )


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=1200))
def test_whatever_is_unpacked_is_exactly_what_packing_makes(some: bytes) -> None:
    try:
        unpacked = frame.unpack(some, 64)
    except EnvelopeError:
        return
    assert frame.pack(unpacked.signature, unpacked.body) == some


@given(st.binary(max_size=30), st.binary(max_size=30), st.binary(max_size=30), st.binary(max_size=30))
def test_no_two_messages_have_the_same_signed_bytes(h1: bytes, p1: bytes, h2: bytes, p2: bytes) -> None:
    same = frame.signed_bytes(h1, frame.body(DIGEST, p1)) == frame.signed_bytes(h2, frame.body(DIGEST, p2))
    assert same == ((h1, p1) == (h2, p2))
