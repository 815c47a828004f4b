"""How an envelope is refused: one function for each reason, with the texts an asker sees.

Owns: the wording. What an envelope is refused *for* is decided in `header` and `envelope`.
Refuses: any detail about an envelope that did not open or verify. Decryption, framing, padding and signature failures
all look the same, so that nobody can learn from the answers how far a forgery got.
"""

from __future__ import annotations

from gateway.errors import EnvelopeError
from wugan.federation.v1 import vocabulary_pb2 as words


def malformed(field: str, en: str, zh: str) -> EnvelopeError:
    """A part of the envelope has the wrong form; `field` says which."""
    return EnvelopeError(
        f"The envelope is malformed: {en}.",
        f"信封格式错误：{zh}。",
        reason=words.REFUSAL_REASON_ENVELOPE_MALFORMED,
        field=field,
    )


def unsupported(field: str, en: str, zh: str) -> EnvelopeError:
    """Version, suite or kind is not one that is accepted here; there is no negotiation."""
    return EnvelopeError(
        f"The envelope is not supported: {en}.",
        f"不支持该信封：{zh}。",
        reason=words.REFUSAL_REASON_ENVELOPE_UNSUPPORTED,
        field=field,
    )


def expired(field: str, en: str, zh: str) -> EnvelopeError:
    """The envelope is too old, or from the future."""
    return EnvelopeError(
        f"The envelope is out of its time: {en}. Check the clocks of both gateways.",
        f"信封不在有效期内：{zh}。请核对双方网关的时钟。",
        reason=words.REFUSAL_REASON_ENVELOPE_EXPIRED,
        field=field,
    )


def replayed() -> EnvelopeError:
    """The envelope was accepted before."""
    return EnvelopeError(
        "This message was accepted before. Ask again in a new message.",
        "该消息此前已受理，请以新消息重新查询。",
        reason=words.REFUSAL_REASON_ENVELOPE_REPLAYED,
        field="header.message_id",
    )


def rejected(field: str = "") -> EnvelopeError:
    """The envelope does not open, does not verify, or does not fit the question. Deliberately no more said."""
    return EnvelopeError(
        "The envelope was rejected.",
        "信封未通过校验，已拒绝。",
        reason=words.REFUSAL_REASON_ENVELOPE_REJECTED,
        field=field,
    )


def wrong_recipient(field: str) -> EnvelopeError:
    """The envelope is for another member, or for a key that is not in use here."""
    return EnvelopeError(
        "The envelope is not for this gateway or not for a key it uses. Refresh the directory and ask again.",
        "信封的接收方或密钥不属于本网关，请更新成员目录后重新查询。",
        reason=words.REFUSAL_REASON_WRONG_RECIPIENT,
        field=field,
    )


def peer_mismatch() -> EnvelopeError:
    """The envelope's sender is not who handed it over, or not who was asked."""
    return EnvelopeError(
        "The sender of the envelope is not the member at the other end of the connection.",
        "信封的发送方与连接对端的成员身份不一致。",
        reason=words.REFUSAL_REASON_PEER_MISMATCH,
        field="header.sender",
    )


def not_a_gateway() -> EnvelopeError:
    """The TLS peer is an agency, or somebody else who may not speak for a member."""
    return EnvelopeError(
        "the TLS certificate is not that of a member's gateway; connect with the sender's own certificate",
        "TLS 证书不属于成员网关，请使用发送方自己的证书连接",
        reason=words.REFUSAL_REASON_PEER_MISMATCH,
    )


def too_large(field: str, limit: int) -> EnvelopeError:
    """More than `limit` bytes."""
    return EnvelopeError(
        f"Too large: {limit} bytes at most. Ask about fewer people at once.",
        f"内容过大：最多 {limit} 字节，请减少单次查询人数。",
        reason=words.REFUSAL_REASON_TOO_LARGE,
        field=field,
    )


def overloaded(retry_after_ms: int) -> EnvelopeError:
    """The replay guard is full: nothing more is accepted until something it holds has expired."""
    return EnvelopeError(
        "Too many messages at once. Ask again later.",
        "当前消息过多，请稍后重试。",
        reason=words.REFUSAL_REASON_OVERLOADED,
        retryable=True,
        retry_after_ms=retry_after_ms,
    )
