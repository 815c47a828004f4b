"""Errors as gRPC statuses and back: every reason survives the way, and a peer's nonsense does no harm."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import RefusedError, WuganError
from gateway.status import MAX_DETAILS, abort, from_rpc_error, to_status
from tests.unit.services.gateways_world import A, AbortedError, Call, rpc_error, status_of
from wugan.federation.v1 import vocabulary_pb2 as words

REASONS = words.RefusalReason.values()[1:]
BINARY = "grpc-status-details-bin"


def an_error(reason: int, **changed: Any) -> WuganError:
    options: dict[str, Any] = {"field": "subjects.name", "retryable": True, "retry_after_ms": 1500, **changed}
    return RefusedError("what to do", "怎么办", reason=words.RefusalReason.ValueType(reason), **options)


def received(*details: Message, code: int = code_pb2.INVALID_ARGUMENT, message: str = "text") -> WuganError | None:
    """What is made of a status with these details, as a peer may have put them together."""
    packed = []
    for detail in details:
        if isinstance(detail, any_pb2.Any):
            packed.append(detail)
            continue
        packed.append(any_pb2.Any())
        packed[-1].Pack(detail)
    status = rpc_status.to_status(status_pb2.Status(code=code, message=message, details=packed))
    return from_rpc_error(AbortedError(status.code, status.details, status.trailing_metadata).as_client_sees_it())


def info(reason: str = "OVERLOADED", domain: str = "wugan", **metadata: str) -> error_details_pb2.ErrorInfo:
    return error_details_pb2.ErrorInfo(reason=reason, domain=domain, metadata=metadata)


def wait(seconds: int) -> error_details_pb2.RetryInfo:
    return error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=seconds))


@pytest.mark.parametrize("reason", REASONS, ids=words.RefusalReason.Name)
def test_every_reason_arrives_as_it_was_sent(reason: int) -> None:
    sent = an_error(reason)
    arrived = from_rpc_error(status_of(sent))
    assert arrived is not None
    assert (arrived.reason, arrived.code) == (sent.reason, sent.code)
    assert (arrived.en, arrived.zh, arrived.field) == ("what to do", "怎么办", "subjects.name")
    assert (arrived.retryable, arrived.retry_after_ms) == (True, 1500)


@pytest.mark.parametrize("reason", REASONS, ids=words.RefusalReason.Name)
def test_every_reason_but_internal_has_a_status_code_of_its_own_choosing(reason: int) -> None:
    code = to_status(an_error(reason)).code
    assert (code == code_pb2.INTERNAL) == (reason == words.REFUSAL_REASON_INTERNAL)


def test_what_may_not_be_tried_again_says_so() -> None:
    arrived = from_rpc_error(status_of(an_error(1, field="", retryable=False, retry_after_ms=0)))
    assert arrived is not None
    assert (arrived.retryable, arrived.retry_after_ms, arrived.field) == (False, 0, "")


async def test_what_a_refused_call_worked_with_is_not_held_by_its_error() -> None:
    def refuse() -> None:
        raise error

    error = an_error(words.REFUSAL_REASON_OVERLOADED)
    with pytest.raises(WuganError):
        refuse()
    assert error.__traceback__ is not None
    with pytest.raises(AbortedError):
        await abort(Call(A.identity).as_context(), error)
    assert error.__traceback__ is None


async def test_abort_ends_the_call_with_code_text_and_details() -> None:
    with pytest.raises(AbortedError) as caught:
        await abort(Call(A.identity).as_context(), an_error(words.REFUSAL_REASON_OVERLOADED))
    assert (caught.value.code, caught.value.details) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "what to do")
    assert [key for key, _ in caught.value.trailing] == [BINARY]


def test_a_status_without_details_of_ours_is_not_ours() -> None:
    assert from_rpc_error(rpc_error(grpc.StatusCode.UNAVAILABLE)) is None
    assert received() is None
    assert received(wait(1)) is None


@pytest.mark.parametrize(
    "details",
    [info(domain="elsewhere"), info(domain=""), info("NO_SUCH_REASON"), info(""), info("UNSPECIFIED"), info("0")],
    ids=["another domain", "no domain", "unknown reason", "no reason", "the unspecified reason", "a number"],
)
def test_details_of_another_making_are_ignored(details: error_details_pb2.ErrorInfo) -> None:
    assert received(details) is None


def test_details_under_another_status_code_are_ignored() -> None:
    trailing = status_of(an_error(words.REFUSAL_REASON_OVERLOADED)).trailing_metadata()
    assert trailing is not None
    assert from_rpc_error(rpc_error(grpc.StatusCode.UNAVAILABLE, list(trailing))) is None


@pytest.mark.parametrize(
    "value", [b"", b"\xff\xff\xff", b"\x08\x03\x1a\x05abcde", b"\x00" * 9], ids=["empty", "noise", "bad any", "zeros"]
)
def test_garbage_in_place_of_details_is_ignored(value: bytes) -> None:
    assert from_rpc_error(rpc_error(grpc.StatusCode.INVALID_ARGUMENT, [(BINARY, value)])) is None


def test_a_detail_that_is_not_what_it_says_is_ignored() -> None:
    odd = any_pb2.Any(type_url="type.googleapis.com/google.rpc.RetryInfo", value=b"\xff\xff")
    assert received(info(), odd) is None


def test_long_texts_and_fields_are_cut() -> None:
    arrived = received(
        info(retryable="true"),
        error_details_pb2.LocalizedMessage(locale="en", message="x" * 5000),
        error_details_pb2.LocalizedMessage(locale="zh-CN", message="字" * 5000),
        error_details_pb2.BadRequest(
            field_violations=[error_details_pb2.BadRequest.FieldViolation(field="f" * 5000, description="d")]
        ),
    )
    assert arrived is not None
    assert (len(arrived.en), len(arrived.zh), len(arrived.field)) == (500, 500, 200)


def test_a_status_without_localised_texts_is_told_by_its_message() -> None:
    arrived = received(info(), message="m" * 5000)
    assert arrived is not None
    assert arrived.en == arrived.zh == "m" * 500


def test_details_beyond_the_first_few_are_not_looked_at() -> None:
    assert received(*[wait(1)] * MAX_DETAILS, info()) is None


@pytest.mark.parametrize("seconds", [-1, -(2**62), 2**40, 2**63 - 1])
def test_an_absurd_time_to_wait_can_be_passed_on(seconds: int) -> None:
    arrived = received(info(retryable="true"), wait(seconds))
    assert arrived is not None
    assert 0 <= arrived.retry_after_ms < 2**32
    assert to_status(arrived).details


@given(st.binary(max_size=200), st.integers(0, 17))
@settings(max_examples=100, deadline=None)
def test_no_bytes_of_a_peer_raise_anything(value: bytes, code: int) -> None:
    status = next(each for each in grpc.StatusCode if each.value[0] == code % 17)
    from_rpc_error(rpc_error(status, [(BINARY, value)]))
