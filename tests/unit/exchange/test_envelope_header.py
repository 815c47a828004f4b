"""The header is read strictly: one rule after the other, each with its own refusal."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import EnvelopeError
from gateway.exchange.header import LIMITS, MAX_HEADER_BYTES, check_time, read
from gateway.exchange.uuid7 import Uuid7
from tests.unit.exchange.exchange_world import LIFETIME_MS, NOW_MS, refused
from wugan.adapter.v1 import vocabulary_pb2 as vocabulary
from wugan.federation.v1 import envelope_pb2 as wire

ID = Uuid7().next(NOW_MS)
QUESTION_ID = Uuid7().next(NOW_MS - 50)


def header(**changes: Any) -> wire.Header:
    fields: dict[str, Any] = {
        "version": 1,
        "suite": wire.SUITE_XWING_ED25519,
        "message_id": ID,
        "kind": wire.MESSAGE_KIND_QUESTION,
        "sender": "11330000MB1A00001A",
        "recipient": "11340000MB1B00002B",
        "purpose": vocabulary.PURPOSE_CERTIFICATION,
        "signing_key_id": "0123456789abcdef" * 2,
        "encryption_key_id": "fedcba9876543210" * 2,
        "issued_at_ms": NOW_MS,
        "expires_at_ms": NOW_MS + LIFETIME_MS,
    }
    return wire.Header(**(fields | changes))


GOOD = header().SerializeToString()


def test_a_good_header_is_read() -> None:
    parsed, suite = read(GOOD)
    assert parsed == header()
    assert suite.id == wire.SUITE_XWING_ED25519


def test_the_order_of_fields_does_not_matter() -> None:
    """Protobuf leaves the order to the writer; only one reading is possible whatever it is."""
    tail = wire.Header(expires_at_ms=NOW_MS + LIFETIME_MS).SerializeToString()
    assert GOOD.endswith(tail)
    assert read(tail + GOOD[: -len(tail)])[0] == header()


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"version": 0}, "ENVELOPE_UNSUPPORTED", "header.version"),
        ({"version": 2}, "ENVELOPE_UNSUPPORTED", "header.version"),
        ({"suite": 0}, "ENVELOPE_UNSUPPORTED", "header.suite"),
        ({"suite": wire.SUITE_SM}, "ENVELOPE_UNSUPPORTED", "header.suite"),
        ({"suite": 77}, "ENVELOPE_UNSUPPORTED", "header.suite"),
        ({"suite": -1}, "ENVELOPE_UNSUPPORTED", "header.suite"),
        ({"kind": 0}, "ENVELOPE_UNSUPPORTED", "header.kind"),
        ({"kind": 5}, "ENVELOPE_UNSUPPORTED", "header.kind"),
        ({"message_id": b""}, "ENVELOPE_MALFORMED", "header.message_id"),
        ({"message_id": ID[:15]}, "ENVELOPE_MALFORMED", "header.message_id"),
        ({"message_id": ID + b"\0"}, "ENVELOPE_MALFORMED", "header.message_id"),
        ({"message_id": ID[:6] + b"\x40" + ID[7:]}, "ENVELOPE_MALFORMED", "header.message_id"),
        ({"message_id": ID[:8] + b"\x00" + ID[9:]}, "ENVELOPE_MALFORMED", "header.message_id"),
        ({"message_id": QUESTION_ID}, "ENVELOPE_MALFORMED", "header.message_id"),
        ({"issued_at_ms": -1}, "ENVELOPE_MALFORMED", "header.message_id"),
        ({"issued_at_ms": 0}, "ENVELOPE_MALFORMED", "header.message_id"),
        ({"answers_to": QUESTION_ID}, "ENVELOPE_MALFORMED", "header.answers_to"),
        ({"kind": wire.MESSAGE_KIND_ANSWER}, "ENVELOPE_MALFORMED", "header.answers_to"),
        ({"kind": wire.MESSAGE_KIND_ANSWER, "answers_to": bytes(16)}, "ENVELOPE_MALFORMED", "header.answers_to"),
        ({"sender": ""}, "ENVELOPE_MALFORMED", "header.sender"),
        ({"sender": "330000MB1A00001A"}, "ENVELOPE_MALFORMED", "header.sender"),
        ({"sender": "11330000MB1A00001a"}, "ENVELOPE_MALFORMED", "header.sender"),
        ({"sender": "11330000MB1A0000IA"}, "ENVELOPE_MALFORMED", "header.sender"),
        ({"sender": "1133000０MB1A00001A"}, "ENVELOPE_MALFORMED", "header.sender"),
        ({"sender": "11330000MB1A00001A\n"}, "ENVELOPE_MALFORMED", "header.sender"),
        ({"recipient": ""}, "ENVELOPE_MALFORMED", "header.recipient"),
        ({"recipient": "11330000MB1A00001A"}, "ENVELOPE_MALFORMED", "header.recipient"),
        ({"purpose": 0}, "ENVELOPE_MALFORMED", "header.purpose"),
        ({"purpose": 6}, "ENVELOPE_MALFORMED", "header.purpose"),
        ({"signing_key_id": ""}, "ENVELOPE_MALFORMED", "header.signing_key_id"),
        ({"signing_key_id": "0123456789ABCDEF" * 2}, "ENVELOPE_MALFORMED", "header.signing_key_id"),
        ({"encryption_key_id": "00" * 17}, "ENVELOPE_MALFORMED", "header.encryption_key_id"),
    ],
)
def test_a_header_that_breaks_a_rule_is_refused(changes: dict[str, Any], code: str, field: str) -> None:
    with refused(code, field):
        read(header(**changes).SerializeToString())


def test_an_answer_names_its_question() -> None:
    parsed, _ = read(header(kind=wire.MESSAGE_KIND_ANSWER, answers_to=QUESTION_ID).SerializeToString())
    assert parsed.answers_to == QUESTION_ID


@pytest.mark.parametrize(
    "encoded",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\xff" * 20, id="no protobuf"),
        pytest.param(GOOD + b"\x68\x01", id="unknown field 13"),
        pytest.param(GOOD + b"\xf8\x07\x00", id="unknown field 127"),
        pytest.param(GOOD + b"\x08\x01", id="repeated version"),
        pytest.param(b"\x08\x02" + GOOD, id="version twice, the last good"),
        pytest.param(b"\x08\x81\x00" + GOOD[2:], id="varint with padding"),
        pytest.param(b"\x08\x81\x80\x80\x80\x10" + GOOD[2:], id="version beyond 32 bits"),
        pytest.param(GOOD + b"\x62\x00", id="default value written out"),
        pytest.param(b"\x0a\x01\x01" + GOOD[2:], id="version with the wrong wire type"),
        pytest.param(GOOD[:-1], id="cut short"),
        pytest.param(GOOD.replace(b"11330000MB1A00001A", b"11330000MB1A0000\xff\xfe"), id="sender not UTF-8"),
        pytest.param(GOOD + b"\x6b\x6c", id="a group"),
        pytest.param(GOOD + b"\x6a" + bytes([0xE0, 0x07]) + bytes(992), id="over 1,024 bytes"),
    ],
)
def test_a_header_in_any_other_encoding_is_refused(encoded: bytes) -> None:
    with refused("ENVELOPE_MALFORMED", "header"):
        read(encoded)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=MAX_HEADER_BYTES + 10))
def test_garbage_is_refused_with_an_envelope_error(encoded: bytes) -> None:
    with pytest.raises(EnvelopeError):
        read(encoded)


@settings(max_examples=200, deadline=None)
@given(
    st.builds(
        wire.Header,
        version=st.sampled_from([1, 1, 1, 0, 4_000_000_000]),
        suite=st.sampled_from([1, 1, 1, 2, -5]),
        message_id=st.one_of(st.just(ID), st.binary(max_size=20)),
        kind=st.sampled_from([1, 2, 3]),
        sender=st.one_of(st.just("11330000MB1A00001A"), st.text(max_size=40)),
        recipient=st.one_of(st.just("11340000MB1B00002B"), st.text(max_size=40)),
        purpose=st.integers(-2, 9),
        signing_key_id=st.text(max_size=40),
        encryption_key_id=st.text(max_size=40),
        issued_at_ms=st.one_of(st.just(NOW_MS), st.integers(-(1 << 63), (1 << 63) - 1)),
        expires_at_ms=st.integers(-(1 << 63), (1 << 63) - 1),
        answers_to=st.binary(max_size=20),
    )
)
def test_fields_of_any_value_are_read_or_refused(some: wire.Header) -> None:
    try:
        parsed, _ = read(some.SerializeToString())
        check_time(parsed, NOW_MS, LIMITS)
    except EnvelopeError:
        return
    assert parsed == some


@pytest.mark.parametrize("issued_before_ms", [-120_000, 0, LIFETIME_MS, LIFETIME_MS + 120_000])
def test_an_envelope_is_in_time_up_to_the_skew_on_both_sides(issued_before_ms: int) -> None:
    check_time(header(), NOW_MS + issued_before_ms, LIMITS)


def test_an_envelope_from_the_future_is_refused() -> None:
    with refused("ENVELOPE_EXPIRED", "header.issued_at_ms"):
        check_time(header(), NOW_MS - 120_001, LIMITS)


def test_an_expired_envelope_is_refused() -> None:
    with refused("ENVELOPE_EXPIRED", "header.expires_at_ms"):
        check_time(header(), NOW_MS + LIFETIME_MS + 120_001, LIMITS)


@pytest.mark.parametrize("lifetime_ms", [-1, 0, 300_001, 1 << 60])
def test_an_envelope_lives_a_positive_and_bounded_time(lifetime_ms: int) -> None:
    with refused("ENVELOPE_MALFORMED", "header.expires_at_ms"):
        check_time(header(expires_at_ms=NOW_MS + lifetime_ms), NOW_MS, LIMITS)
