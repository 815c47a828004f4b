"""Errors of ours as gRPC statuses and back.

Owns: the table reason → status code, and the google.rpc details: ErrorInfo, BadRequest, RetryInfo, LocalizedMessage.
Refuses: texts that are not ours. What is not a WuganError is INTERNAL, with nothing of it shown.
"""

from __future__ import annotations

import re
from typing import Any, Final, NoReturn

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import DecodeError
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from gateway.errors import RefusedError, WuganError
from wugan.federation.v1 import vocabulary_pb2 as words

DOMAIN = "wugan"
"""ErrorInfo.domain of every error of ours."""

MAX_DETAILS = 16
"""Details of a peer's status that are looked at."""

MAX_WAIT_MS = 3_600_000
"""A peer's time to wait is believed up to an hour; beyond that it is a mistake, or more than a Duration holds."""

_LARGER_THAN_MAX: Final = re.compile(
    r"(?:(SERVER|CLIENT): )?(Received|Sent) message larger than max \(\d{1,19} vs\. (\d{1,19})\)"
)

_CODES: dict[int, int] = {
    words.REFUSAL_REASON_INVALID_ARGUMENT: code_pb2.INVALID_ARGUMENT,
    words.REFUSAL_REASON_INVALID_ID_NUMBER: code_pb2.INVALID_ARGUMENT,
    words.REFUSAL_REASON_UNKNOWN_BENEFIT: code_pb2.INVALID_ARGUMENT,
    words.REFUSAL_REASON_UNKNOWN_REGION: code_pb2.INVALID_ARGUMENT,
    words.REFUSAL_REASON_PURPOSE_NOT_PERMITTED: code_pb2.PERMISSION_DENIED,
    words.REFUSAL_REASON_BENEFIT_NOT_PERMITTED: code_pb2.PERMISSION_DENIED,
    words.REFUSAL_REASON_MEMBER_NOT_PERMITTED: code_pb2.PERMISSION_DENIED,
    words.REFUSAL_REASON_NOT_SERVED: code_pb2.FAILED_PRECONDITION,
    words.REFUSAL_REASON_ENVELOPE_MALFORMED: code_pb2.INVALID_ARGUMENT,
    words.REFUSAL_REASON_ENVELOPE_UNSUPPORTED: code_pb2.INVALID_ARGUMENT,
    words.REFUSAL_REASON_ENVELOPE_EXPIRED: code_pb2.FAILED_PRECONDITION,
    words.REFUSAL_REASON_ENVELOPE_REPLAYED: code_pb2.ALREADY_EXISTS,
    words.REFUSAL_REASON_ENVELOPE_REJECTED: code_pb2.UNAUTHENTICATED,
    words.REFUSAL_REASON_WRONG_RECIPIENT: code_pb2.INVALID_ARGUMENT,
    words.REFUSAL_REASON_PEER_MISMATCH: code_pb2.UNAUTHENTICATED,
    words.REFUSAL_REASON_STRANGER: code_pb2.UNAUTHENTICATED,
    words.REFUSAL_REASON_TOO_LARGE: code_pb2.RESOURCE_EXHAUSTED,
    words.REFUSAL_REASON_OVERLOADED: code_pb2.RESOURCE_EXHAUSTED,
    words.REFUSAL_REASON_DEADLINE_EXCEEDED: code_pb2.DEADLINE_EXCEEDED,
    words.REFUSAL_REASON_PARTNER_UNAVAILABLE: code_pb2.UNAVAILABLE,
    words.REFUSAL_REASON_PARTNER_FAULTY: code_pb2.DATA_LOSS,
    words.REFUSAL_REASON_DIRECTORY_EXPIRED: code_pb2.FAILED_PRECONDITION,
    words.REFUSAL_REASON_SHUTTING_DOWN: code_pb2.UNAVAILABLE,
    words.REFUSAL_REASON_INTERNAL: code_pb2.INTERNAL,
    words.REFUSAL_REASON_QUOTA_EXCEEDED: code_pb2.RESOURCE_EXHAUSTED,
    words.REFUSAL_REASON_DELIVERY_EXPIRED: code_pb2.FAILED_PRECONDITION,
    words.REFUSAL_REASON_DELIVERY_SUPERSEDED: code_pb2.FAILED_PRECONDITION,
}


def to_status(error: WuganError) -> status_pb2.Status:
    """The google.rpc.Status of an error: code, English message, details."""
    info = error_details_pb2.ErrorInfo(
        reason=error.code, domain=DOMAIN, metadata={"retryable": "true" if error.retryable else "false"}
    )
    details = [
        info,
        error_details_pb2.LocalizedMessage(locale="zh-CN", message=error.zh),
        error_details_pb2.LocalizedMessage(locale="en", message=error.en),
    ]
    if error.field:
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=error.en)
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if error.retryable:
        wait = duration_pb2.Duration()
        wait.FromMilliseconds(error.retry_after_ms)
        details.append(error_details_pb2.RetryInfo(retry_delay=wait))
    packed = []
    for detail in details:
        packed.append(any_pb2.Any())
        packed[-1].Pack(detail)
    return status_pb2.Status(code=_CODES.get(error.reason, code_pb2.INTERNAL), message=error.en, details=packed)


async def abort(context: grpc.aio.ServicerContext[Any, Any], error: WuganError) -> NoReturn:
    """End the call with the error's status.

    Where the error came from is forgotten: what is known of the person there goes with the call, and not only once the
    collector comes by (the library keeps the end of a call in what that end refers to).
    """
    error.__traceback__ = None
    status = rpc_status.to_status(to_status(error))
    await context.abort(status.code, status.details, status.trailing_metadata)
    raise AssertionError("abort returned")


def from_rpc_error(error: grpc.aio.AioRpcError) -> WuganError | None:
    """The error of ours that a peer sent, or TOO_LARGE where the library refused a message by its length; else None.

    A peer's texts are taken over, bounded in length: they are shown to a person of this side, never logged.
    """
    try:
        status = rpc_status.from_call(error)  # type: ignore[arg-type]  # it has all that a grpc.Call is asked for
        ours = None if status is None else from_status(status)
    except (ValueError, DecodeError):
        ours = None
    return _larger_than_max(error) if ours is None else ours


def message_too_large(limit: int, *, answer: bool = False) -> RefusedError:
    """What is said of a message, or of what it would be answered with, of more than `limit` bytes."""
    what, zh = ("answer", "答复") if answer else ("message", "消息")
    return RefusedError(
        f"the {what} is larger than the {limit} bytes that are taken; ask about fewer people at once, "
        f"{'or for less evidence' if answer else 'or shorten what is sent'}",
        f"{zh}超过上限（{limit} 字节），请减少单次查询人数或{'证据条数' if answer else '缩短所填内容'}",
        reason=words.REFUSAL_REASON_TOO_LARGE,
    )


def _larger_than_max(error: grpc.aio.AioRpcError) -> WuganError | None:
    """The library's own refusal of a message by its length, which comes without details and before any code of ours."""
    found = _LARGER_THAN_MAX.search(error.details() or "")
    if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED or found is None:
        return None
    side, did, limit = found.groups()
    return message_too_large(int(limit), answer=(side, did) in (("SERVER", "Sent"), ("CLIENT", "Received")))


def from_status(status: status_pb2.Status) -> WuganError | None:
    """The error of ours that a status tells; None where it has no details of ours. Texts as in `from_rpc_error`."""
    info = error_details_pb2.ErrorInfo()
    bad = error_details_pb2.BadRequest()
    wait = error_details_pb2.RetryInfo()
    text = error_details_pb2.LocalizedMessage()
    texts: dict[str, str] = {}
    for detail in status.details[:MAX_DETAILS]:
        if detail.Unpack(text):
            texts[text.locale] = text.message[:500]
            continue
        for message in (info, bad, wait):
            detail.Unpack(message)
    reason = words.RefusalReason.DESCRIPTOR.values_by_name.get(f"REFUSAL_REASON_{info.reason}")
    if info.domain != DOMAIN or reason is None or not reason.number:
        return None
    return WuganError(
        texts.get("en", status.message[:500]),
        texts.get("zh-CN", status.message[:500]),
        reason=words.RefusalReason.ValueType(reason.number),
        field=bad.field_violations[0].field[:200] if bad.field_violations else "",
        retryable=info.metadata.get("retryable") == "true",
        retry_after_ms=min(max(wait.retry_delay.ToMilliseconds(), 0), MAX_WAIT_MS),
    )
