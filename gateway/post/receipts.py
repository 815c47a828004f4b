"""Receipts: what is said to each delivery of an envelope, and what it means to who sent it.

Owns: making and reading them. Refuses: deciding what is accepted, and what follows.
"""

from __future__ import annotations

from google.protobuf.message import DecodeError

from gateway.errors import PartnerError, RefusedError, WuganError
from gateway.store.letters import Letter
from wugan.federation.v1 import delivery_pb2, exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

MAX_WAIT_MS = 3_600_000
"""A partner's time to wait is believed up to an hour."""
_REFUSALS = frozenset(words.RefusalReason.values()) - {words.REFUSAL_REASON_UNSPECIFIED}


def receipt(delivery_id: bytes, refused: WuganError | None = None, *, duplicate: bool = False) -> bytes:
    """A receipt as it travels: accepted, accepted before, or refused."""
    made = delivery_pb2.Receipt(delivery_id=delivery_id)
    if refused is None:
        made.status = delivery_pb2.RECEIPT_STATUS_DUPLICATE if duplicate else delivery_pb2.RECEIPT_STATUS_ACCEPTED
        return made.SerializeToString()
    made.status = delivery_pb2.RECEIPT_STATUS_REFUSED
    made.refusal.CopyFrom(
        exchange_pb2.Refusal(
            reason=refused.reason,
            field=refused.field,
            message_zh=refused.zh,
            message_en=refused.en,
            retryable=refused.retryable,
            retry_after_ms=refused.retry_after_ms,
        )
    )
    return made.SerializeToString()


def read_receipt(payload: bytes, letter: Letter) -> WuganError | None:
    """What a verified receipt says of a letter: None, the partner has it; or why it was refused.

    Raises:
        PartnerError: PARTNER_FAULTY; it does not parse, is about another letter, or says nothing known.
    """
    try:
        read = delivery_pb2.Receipt.FromString(payload)
    except DecodeError:
        raise faulty("does not parse") from None
    if read.delivery_id != letter.delivery_id:
        raise faulty("is about another delivery")
    if read.status in (delivery_pb2.RECEIPT_STATUS_ACCEPTED, delivery_pb2.RECEIPT_STATUS_DUPLICATE):
        return None
    refusal = read.refusal
    if read.status != delivery_pb2.RECEIPT_STATUS_REFUSED or refusal.reason not in _REFUSALS:
        raise faulty("says nothing that this version knows")
    return RefusedError(
        refusal.message_en[:500],
        refusal.message_zh[:500],
        reason=refusal.reason,
        field=refusal.field[:200],
        retryable=refusal.retryable,
        retry_after_ms=min(refusal.retry_after_ms, MAX_WAIT_MS),
    )


def faulty(what: str) -> PartnerError:
    """The partner's receipt is none."""
    return PartnerError(
        f"the other province's receipt {what}; the delivery is sent again. Report this to its administrator",
        "对方省份的回执未通过校验，将重新投递，请联系对方管理员",
        reason=words.REFUSAL_REASON_PARTNER_FAULTY,
    )
