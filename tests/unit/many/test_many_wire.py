"""Messages of CheckMany made of serialized parts are those that the generated code would make of the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.many import wire
from wugan.agency.v1 import agency_pb2

NUMBERS = st.integers(0, (1 << 64) - 1)
BODIES = st.binary(max_size=300) | st.integers(120, 20_000).map(lambda size: b"\x5a" * size)


@st.composite
def checks(draw: st.DrawFn) -> agency_pb2.CheckRequest:
    return agency_pb2.CheckRequest(
        id_number=draw(st.text(max_size=200)), name=draw(st.text(max_size=20)), regions=draw(st.lists(st.just(330000)))
    )


@given(st.lists(st.tuples(NUMBERS, checks(), st.integers(0, (1 << 32) - 1), st.text(max_size=60))), st.lists(NUMBERS))
def test_questions_read_as_they_were_put_together(
    asked: list[tuple[int, agency_pb2.CheckRequest, int, str]], left: list[int]
) -> None:
    parts = [wire.question(number, check.SerializeToString(), ms, trace) for number, check, ms, trace in asked]
    parts += map(wire.given_up, left)
    assert agency_pb2.CheckManyRequest.FromString(b"".join(parts)) == agency_pb2.CheckManyRequest(
        questions=[
            agency_pb2.CheckManyQuestion(number=number, check=check, timeout_ms=ms, traceparent=trace)
            for number, check, ms, trace in asked
        ],
        given_up=left,
    )


@given(st.lists(st.tuples(NUMBERS, st.booleans(), BODIES)))
def test_answers_and_refusals_read_as_they_were_put_together(answered: list[tuple[int, bool, bytes]]) -> None:
    parts, expected = [], agency_pb2.CheckManyResponse()
    for number, refused, body in answered:
        if refused:
            parts.append(wire.refusal(number, body))
            expected.answers.add(number=number, refusal=body)
        else:
            response = agency_pb2.CheckResponse(late_ticket=body)
            parts.append(wire.answer(number, response.SerializeToString()))
            expected.answers.add(number=number).response.CopyFrom(response)
    assert agency_pb2.CheckManyResponse.FromString(b"".join(parts)) == expected


@given(st.lists(st.integers(1, wire.ENOUGH_BYTES + 5), max_size=6), st.integers(0, 600))
def test_everything_leaves_once_in_order_and_no_message_is_larger_than_it_must_be(large: list[int], small: int) -> None:
    parts = [bytes([at % 251]) * size for at, size in enumerate([*large, *[3] * small])]
    parcel = wire.Parcel()
    for part in parts:
        parcel.add(part)
    left = []
    while parcel:
        message, count = parcel.take()
        assert 1 <= count <= wire.MOST_QUESTIONS
        taken = parts[sum(each for _, each in left) :][:count]
        assert message == b"".join(taken)
        assert count == 1 or len(message) <= wire.ENOUGH_BYTES
        following = parts[sum(each for _, each in left) + count :][:1]
        full = count == wire.MOST_QUESTIONS or not following
        assert full or len(message) + len(following[0]) > wire.ENOUGH_BYTES, "there was room for the next"
        left.append((message, count))
    assert b"".join(message for message, _ in left) == b"".join(parts)
    assert sum(count for _, count in left) == len(parts)
