"""The header of an envelope: the clear part, read strictly.

Owns: what a well-formed header is, whichever gateway it is for: encoding, version, kind, ids, times.
Refuses: whether it is for us, by whom and in answer to what (`envelope`), and whether it is genuine (the signature).

Rules, in this order:
 1. 1 to 1,024 bytes of protobuf with every field known, in the shortest encoding, at most once, none with its default
    value. The bytes received are what is signed and are never made again from the parsed message; this rule leaves
    only one reading of them.
 2. `version` is 1, `suite` in force, `kind` QUESTION, ANSWER, DELIVERY or RECEIPT.
 3. `message_id` is a UUIDv7 whose time is exactly `issued_at_ms`; `answers_to` is a UUIDv7 in an ANSWER and a RECEIPT,
    absent otherwise.
 4. `sender` and `recipient` are two different member ids (GB 32100: 18 characters), `purpose` is a known purpose,
    both key ids are 32 lower-case hexadecimal digits.
 5. `issued_at_ms` ≤ now + skew; 0 < `expires_at_ms` - `issued_at_ms` ≤ longest life; now ≤ `expires_at_ms` + skew.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from google.protobuf.message import DecodeError

from gateway.exchange.refusals import expired, malformed, unsupported
from gateway.exchange.suites import Suite, suite_of
from gateway.exchange.uuid7 import timestamp_ms
from wugan.adapter.v1 import vocabulary_pb2 as vocabulary
from wugan.federation.v1 import envelope_pb2 as wire

VERSION: Final = 1
MAX_HEADER_BYTES: Final = 1024
MAX_PAYLOAD_BYTES: Final = (16 << 20) - (128 << 10)
"""So much, with 256 parts, padding and header, still is an envelope of less than 16 MiB, which every gateway takes."""

ANSWERING: Final = {
    wire.MESSAGE_KIND_ANSWER: wire.MESSAGE_KIND_QUESTION,
    wire.MESSAGE_KIND_RECEIPT: wire.MESSAGE_KIND_DELIVERY,
}
"""Kinds that answer a message, and the kind that each of them answers."""
KINDS: Final = frozenset({*ANSWERING, *ANSWERING.values()})
PURPOSES: Final = frozenset(vocabulary.Purpose.values()) - {vocabulary.PURPOSE_UNSPECIFIED}
_KEY_ID: Final = re.compile(r"[0-9a-f]{32}")
_MEMBER_ID: Final = re.compile(r"[0-9A-HJ-NPQRTUWXY]{2}[0-9]{6}[0-9A-HJ-NPQRTUWXY]{10}")
# registrar and kind, region, body and check character; I, O, S, V and Z do not occur


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on envelopes.

    Attributes:
        max_payload_bytes: payloads of a message together, bytes.
        skew_ms: how far the clocks of two gateways may be apart, milliseconds.
        max_lifetime_ms: longest life of an envelope, milliseconds.
    """

    max_payload_bytes: int = MAX_PAYLOAD_BYTES
    skew_ms: int = 120_000
    max_lifetime_ms: int = 300_000


LIMITS: Final = Limits()


@lru_cache(maxsize=1024)
def is_member_id(text: str) -> bool:
    """Whether this has the shape of a unified social credit code. Who is a member, only the directory says."""
    return _MEMBER_ID.fullmatch(text) is not None


@lru_cache(maxsize=1024)
def _is_key_id(text: str) -> bool:
    return _KEY_ID.fullmatch(text) is not None


def read(header_bytes: bytes) -> tuple[wire.Header, Suite]:
    """Parse a header and check rules 1 to 4.

    Raises:
        EnvelopeError: ENVELOPE_MALFORMED or ENVELOPE_UNSUPPORTED, `field` naming the part.
    """
    if not 0 < len(header_bytes) <= MAX_HEADER_BYTES:
        raise malformed("header", "the header is empty or too long", "信封头为空或过长")
    header = wire.Header()
    try:
        header.ParseFromString(header_bytes)
    except DecodeError:
        raise malformed("header", "the header does not parse", "信封头无法解析") from None
    header.DiscardUnknownFields()
    if header.ByteSize() != len(header_bytes):
        raise malformed("header", "it has unknown, repeated or padded fields", "信封头含未知、重复或冗余编码的字段")
    if header.version != VERSION:
        raise unsupported("header.version", "the version is unknown", "版本未知")
    suite = suite_of(header.suite)
    kind = header.kind
    if kind not in KINDS:
        raise unsupported("header.kind", "the kind is unknown", "消息种类未知")
    _check_ids(header, kind)
    return header, suite


def _check_ids(header: wire.Header, kind: int) -> None:
    """Check rules 3 and 4."""
    if timestamp_ms(header.message_id) != header.issued_at_ms:
        raise malformed(
            "header.message_id", "it is no UUIDv7 or not of the time of issue", "消息编号不是 UUIDv7 或与签发时间不一致"
        )
    answers_to = header.answers_to
    if timestamp_ms(answers_to) is None if kind in ANSWERING else answers_to:
        raise malformed(
            "header.answers_to", "an answer, and only an answer, names its question", "仅答复须且必须指明所答的查询"
        )
    sender, recipient = header.sender, header.recipient
    if not is_member_id(sender):
        raise malformed("header.sender", "it is no unified social credit code", "发送方不是统一社会信用代码")
    if not is_member_id(recipient):
        raise malformed("header.recipient", "it is no unified social credit code", "接收方不是统一社会信用代码")
    if recipient == sender:
        raise malformed("header.recipient", "it is the sender's own", "接收方与发送方相同")
    if header.purpose not in PURPOSES:
        raise malformed("header.purpose", "the purpose is unknown", "查询目的未知")
    if not _is_key_id(header.signing_key_id):
        raise malformed("header.signing_key_id", "it is no key id", "签名密钥编号格式错误")
    if not _is_key_id(header.encryption_key_id):
        raise malformed("header.encryption_key_id", "it is no key id", "加密密钥编号格式错误")


def check_time(header: wire.Header, now_ms: int, limits: Limits) -> None:
    """Check rule 5.

    Raises:
        EnvelopeError: ENVELOPE_EXPIRED, or ENVELOPE_MALFORMED for a life that is not positive or too long.
    """
    issued, expires = header.issued_at_ms, header.expires_at_ms
    if not 0 < expires - issued <= limits.max_lifetime_ms:
        raise malformed("header.expires_at_ms", "its life is not positive or too long", "有效期不为正或过长")
    if issued > now_ms + limits.skew_ms:
        raise expired("header.issued_at_ms", "it was issued in the future", "签发时间晚于当前时间")
    if now_ms > expires + limits.skew_ms:
        raise expired("header.expires_at_ms", "it has expired", "已过期")
