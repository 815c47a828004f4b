"""Whatever is changed on the way, by whomever, is refused, and never by anything but an EnvelopeError."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import EnvelopeError
from gateway.exchange import frame, tree
from gateway.exchange.envelope import Opened
from gateway.exchange.header import Limits
from tests.unit.exchange.exchange_world import World, refused
from wugan.federation.v1 import envelope_pb2 as wire

WORLD = World()
ASKED = WORLD.ask()
ANSWERED = WORLD.answer(WORLD.open_at_b(ASKED.envelope))

Open = Callable[[wire.Envelope], Opened]


def open_as_question(envelope: wire.Envelope) -> Opened:
    return WORLD.open_at_b(envelope, expect_sender=None)


def open_as_answer(envelope: wire.Envelope) -> Opened:
    return WORLD.open_at_a(envelope, ASKED)


BOTH = pytest.mark.parametrize(
    ("envelope", "open_it"),
    [(ASKED.envelope, open_as_question), (ANSWERED.envelope, open_as_answer)],
    ids=["question", "answer"],
)


@BOTH
def test_no_bit_of_the_header_can_be_flipped(envelope: wire.Envelope, open_it: Open) -> None:
    open_it(envelope)
    for bit in range(8 * len(envelope.header)):
        header = bytearray(envelope.header)
        header[bit // 8] ^= 1 << bit % 8
        with pytest.raises(EnvelopeError):
            open_it(wire.Envelope(header=bytes(header), ciphertext=envelope.ciphertext))


@BOTH
@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
def test_no_byte_of_the_ciphertext_can_be_flipped(envelope: wire.Envelope, open_it: Open, mask: int) -> None:
    for position in range(len(envelope.ciphertext)):
        ciphertext = bytearray(envelope.ciphertext)
        ciphertext[position] ^= mask
        with refused("ENVELOPE_REJECTED", ""):
            open_it(wire.Envelope(header=envelope.header, ciphertext=bytes(ciphertext)))


@BOTH
def test_no_byte_of_the_envelope_as_sent_can_be_flipped(envelope: wire.Envelope, open_it: Open) -> None:
    """The outer message too: what still parses as an Envelope is refused, unless it is the same Envelope."""
    sent = envelope.SerializeToString()
    for position in range(len(sent)):
        changed = bytearray(sent)
        changed[position] ^= 0x01
        try:
            received = wire.Envelope.FromString(bytes(changed))
        except DecodeError:
            continue
        with pytest.raises(EnvelopeError):
            open_it(received)


@BOTH
def test_nothing_can_be_cut_off_or_added(envelope: wire.Envelope, open_it: Open) -> None:
    header, ciphertext = envelope.header, envelope.ciphertext
    for length in range(len(header)):
        with pytest.raises(EnvelopeError):
            open_it(wire.Envelope(header=header[:length], ciphertext=ciphertext))
    for length in [0, 1, 1119, 1120, 1135, 1136, 1137, 1136 + 100, len(ciphertext) - 1024, len(ciphertext) - 1]:
        with refused("ENVELOPE_MALFORMED", "ciphertext"):
            open_it(wire.Envelope(header=header, ciphertext=ciphertext[:length]))
    for extra in (b"\0", b"\x08\x01", bytes(1024)):
        with pytest.raises(EnvelopeError):
            open_it(wire.Envelope(header=header + extra, ciphertext=ciphertext))
        with pytest.raises(EnvelopeError):
            open_it(wire.Envelope(header=header, ciphertext=ciphertext + extra))


def test_header_and_ciphertext_of_two_envelopes_do_not_mix() -> None:
    first, second = WORLD.ask(b"same"), WORLD.ask(b"same")
    with refused("ENVELOPE_REJECTED", ""):
        open_as_question(wire.Envelope(header=first.envelope.header, ciphertext=second.envelope.ciphertext))


def test_a_recipient_cannot_pass_a_message_on_under_another_header() -> None:
    """B opens A's message and seals it anew: signature and header no longer belong together."""
    original, other = WORLD.ask(b"original"), WORLD.ask(b"other")
    plain = frame.pack(original.signature, frame.NO_QUESTION, frame.salted([b"original"]))
    resealed = WORLD.b.encryption_key.encrypt(plain, other.envelope.header)
    with refused("ENVELOPE_REJECTED", ""):
        open_as_question(wire.Envelope(header=other.envelope.header, ciphertext=resealed))


def sealed_frame(plain: bytes) -> wire.Envelope:
    """An envelope under the header of a real one, with a plaintext of the attacker's choice."""
    header = ASKED.envelope.header
    return wire.Envelope(header=header, ciphertext=WORLD.b.encryption_key.encrypt(plain, header))


def signed_frame(digest: bytes, parts: bytes, total: int, head: bytes) -> bytes:
    """Digest and parts with a genuine signature of the sender over this number and head, not padded."""
    signed = frame.signed_bytes(ASKED.envelope.header, digest, total, head)
    return WORLD.a.signing.sign(signed) + digest + parts


def part(payload: bytes, length: int | None = None) -> bytes:
    return SALT + (len(payload) if length is None else length).to_bytes(4, "big") + payload


SALT = bytes(range(16))
LEAF = tree.leaf(SALT, b"who is this")
ONE = (1).to_bytes(4, "big")
GENUINE = signed_frame(frame.NO_QUESTION, ONE + part(b"who is this"), 1, LEAF)


def test_the_signer_itself_cannot_deviate_from_the_frame() -> None:
    assert open_as_question(sealed_frame(GENUINE + bytes(1024 - len(GENUINE)))).payloads == (b"who is this",)
    room = 1024 - len(GENUINE)
    for padding in (bytes(room - 1) + b"\x01", b"\x01" + bytes(room - 1), bytes(1024 + room)):
        with refused("ENVELOPE_REJECTED", ""):
            open_as_question(sealed_frame(GENUINE + padding))


@pytest.mark.parametrize("length", [12, 925, 1 << 16, (1 << 32) - 1])
def test_a_payload_length_beyond_the_payload_is_rejected(length: int) -> None:
    plain = signed_frame(frame.NO_QUESTION, ONE + part(b"who is this", length), 1, LEAF)
    with refused("ENVELOPE_REJECTED", ""):
        open_as_question(sealed_frame(plain + bytes(1024 - len(plain))))


def test_a_question_that_claims_to_answer_something_is_rejected() -> None:
    plain = signed_frame(b"\x01" * 32, ONE + part(b"who is this"), 1, LEAF)
    with refused("ENVELOPE_REJECTED", ""):
        open_as_question(sealed_frame(plain + bytes(1024 - len(plain))))


@pytest.mark.parametrize("total", [0, 2, 257, (1 << 32) - 1])
def test_a_number_of_parts_that_there_are_not_is_rejected(total: int) -> None:
    plain = signed_frame(frame.NO_QUESTION, total.to_bytes(4, "big") + part(b"who is this"), total, LEAF)
    with refused("ENVELOPE_REJECTED", ""):
        open_as_question(sealed_frame(plain + bytes(1024 - len(plain))))


def test_parts_cannot_change_places_or_be_left_out() -> None:
    head = tree.head([tree.leaf(SALT, payload) for payload in (b"one", b"two")])
    for total, parts in ((2, part(b"two") + part(b"one")), (1, part(b"one")), (2, part(b"one") + part(b"one"))):
        plain = signed_frame(frame.NO_QUESTION, total.to_bytes(4, "big") + parts, total, head)
        with refused("ENVELOPE_REJECTED", ""):
            open_as_question(sealed_frame(plain + bytes(1024 - len(plain))))
    whole = signed_frame(frame.NO_QUESTION, (2).to_bytes(4, "big") + part(b"one") + part(b"two"), 2, head)
    assert open_as_question(sealed_frame(whole + bytes(1024 - len(whole)))).payloads == (b"one", b"two")


def test_a_message_over_the_limit_is_refused_before_it_is_opened() -> None:
    envelope = WORLD.ask(bytes(9000)).envelope
    limits = Limits(max_payload_bytes=1500)
    with refused("TOO_LARGE", "ciphertext"):
        WORLD.open_at_b(envelope, limits=limits)
    assert WORLD.open_at_b(WORLD.ask(bytes(1500)).envelope, limits=limits).payloads == (bytes(1500),)


def test_a_message_within_the_bucket_of_the_limit_is_still_held_to_the_limit() -> None:
    with refused("TOO_LARGE", "payload"):
        WORLD.open_at_b(WORLD.ask(bytes(1501)).envelope, limits=Limits(max_payload_bytes=1500))


@settings(max_examples=80, deadline=None)
@given(header=st.binary(max_size=1200), ciphertext=st.binary(max_size=2300))
def test_garbage_is_refused(header: bytes, ciphertext: bytes) -> None:
    with pytest.raises(EnvelopeError):
        open_as_question(wire.Envelope(header=header, ciphertext=ciphertext))
    with pytest.raises(EnvelopeError):
        open_as_answer(wire.Envelope(header=header, ciphertext=ciphertext))


@settings(max_examples=80, deadline=None)
@given(plain=st.binary(max_size=1024))
def test_garbage_sealed_to_the_right_key_is_rejected(plain: bytes) -> None:
    with refused("ENVELOPE_REJECTED", ""):
        open_as_question(sealed_frame(plain + bytes(1024 - len(plain))))


@settings(max_examples=80, deadline=None)
@given(ciphertext=st.binary(min_size=2160, max_size=2160))
def test_garbage_of_the_right_length_is_rejected(ciphertext: bytes) -> None:
    with refused("ENVELOPE_REJECTED", ""):
        open_as_question(wire.Envelope(header=ASKED.envelope.header, ciphertext=ciphertext))


@pytest.mark.parametrize("point", [bytes(32), b"\x01" + bytes(31), b"\xff" * 31 + b"\x7f"])
def test_x25519_points_of_small_order_are_rejected(point: bytes) -> None:
    ciphertext = ASKED.envelope.ciphertext
    forged = ciphertext[:1088] + point + ciphertext[1120:]
    with refused("ENVELOPE_REJECTED", ""):
        open_as_question(wire.Envelope(header=ASKED.envelope.header, ciphertext=forged))


def test_every_failure_behind_the_header_looks_the_same() -> None:
    """Decryption, framing and signature: the same words, field and reason, and no cause to tell them apart."""
    flipped = bytearray(ASKED.envelope.ciphertext)
    flipped[-1] ^= 1
    texts = set()
    for envelope in (
        wire.Envelope(header=ASKED.envelope.header, ciphertext=bytes(flipped)),
        sealed_frame(b"\xff" * 1024),
        sealed_frame(bytes(1024)),
    ):
        with pytest.raises(EnvelopeError) as caught:
            open_as_question(envelope)
        error = caught.value
        assert error.__cause__ is None
        texts.add((str(error), error.zh, error.code, error.field, error.retryable))
    assert len(texts) == 1
