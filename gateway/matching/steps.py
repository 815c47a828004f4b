"""Steps of a session as they travel.

Owns: what a well-formed MatchingStep is. Refuses: whether it is its turn, and what it comes to (`session`, `matching`).
"""

from __future__ import annotations

from typing import Final

from google.protobuf.message import DecodeError

from gateway.errors import RefusedError, WuganError
from gateway.exchange.question import check_context
from gateway.matching.blinding import POINT_BYTES, SESSION_BYTES, TOKEN_BYTES
from wugan.adapter.v1 import vocabulary_pb2 as adapter_words
from wugan.federation.v1 import exchange_pb2, matching_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

PURPOSE: Final = adapter_words.PURPOSE_AUDIT
MAX_ROWS: Final = 16_384
MAX_GONE: Final = 500_000
TERMS_BYTES: Final = 32


def read_step(body: bytes, purpose: int) -> matching_pb2.MatchingStep:
    """A step whose parts have their lengths.

    Raises:
        RefusedError: INVALID_ARGUMENT or TOO_LARGE, `field` naming the part.
    """
    try:
        step = matching_pb2.MatchingStep.FromString(body)
    except DecodeError:
        raise wrong("body", "it does not parse", "无法解析") from None
    check_context(step.context)
    if step.context.purpose != PURPOSE or purpose != PURPOSE:
        raise wrong("context.purpose", "rosters are compared for audits", "名册比对的目的应为稽核")
    if step.number and (len(step.session) != SESSION_BYTES or len(step.terms) != TERMS_BYTES):
        raise wrong("session", f"give {SESSION_BYTES} bytes, and {TERMS_BYTES} of terms", "会话或条款长度有误")
    if step.number and len(step.key) != POINT_BYTES:
        raise wrong("key", f"a key has {POINT_BYTES} bytes", "密钥长度有误")
    if len(step.column) % POINT_BYTES or len(step.tokens) % TOKEN_BYTES:
        raise wrong("column", "the last row is not whole", "末行不完整")
    if len(step.column) > MAX_ROWS * POINT_BYTES or len(step.tokens) > MAX_ROWS * TOKEN_BYTES:
        raise _too_large("column", MAX_ROWS)
    if len(step.gone) > MAX_GONE:
        raise _too_large("gone", MAX_GONE)
    return step


def refusal_of(error: WuganError) -> exchange_pb2.Refusal:
    """An error as it travels."""
    return exchange_pb2.Refusal(
        reason=error.reason or words.REFUSAL_REASON_INTERNAL,
        field=error.field,
        message_zh=error.zh,
        message_en=error.en,
        retryable=error.retryable,
        retry_after_ms=error.retry_after_ms,
    )


def wrong(field: str, en: str, zh: str) -> RefusedError:
    """A part of a step is not as it should be."""
    return RefusedError(f"{field}: {en}", f"{field}：{zh}", field=field)


def _too_large(field: str, most: int) -> RefusedError:
    return RefusedError(
        f"{field}: more than {most} rows; send several steps",
        f"{field}：超过 {most} 行，请分步发送",
        reason=words.REFUSAL_REASON_TOO_LARGE,
        field=field,
    )
