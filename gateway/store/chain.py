"""The audit trail's chain: how one event is bound to the one before, and what makes a trail whole. Pure, no I/O.

The rule: the MAC of a row is HMAC-SHA256, under a key derived from the store's, of a tag, every column of the row and
the MAC of the row before. The first row follows 32 zero bytes, or a cut: a record, under the same key, that rows up to
a sequence number were deleted after their retention time, and with which MAC they ended. So a row that was changed,
taken out, put in or moved shows. Rows taken off the end show against a head noted elsewhere (the gateway logs it at
start and stop); nobody without the key can make a row.

Owns: the encoding and the check. Refuses: reading and writing rows.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import NamedTuple

from gateway.errors import StoreError
from gateway.store.tables import DIGEST_BYTES

START = bytes(DIGEST_BYTES)
_EVENT_TAG = b"wugan-audit-event-v1\x00"
_CUT_TAG = b"wugan-audit-cut-v1\x00"
_FIXED = struct.Struct(">qqhiiiHHHHHHHH")
_CUT = struct.Struct(">qq")

Mac = Callable[[bytes], bytes]


class ChainHead(NamedTuple):
    """The last link. Noted elsewhere, it proves later that nothing was taken off the end."""

    sequence: int
    mac: bytes


class Content(NamedTuple):
    """The columns of an event without its place in the chain, in the order of the table."""

    at_ms: int
    direction: int
    outcome: int
    purpose: int
    subjects: int
    counterpart: str
    unit: str
    official: bytes
    legal_basis: str
    case_reference: str
    message_id: bytes
    digest_tag: bytes
    decision: str


class Link(NamedTuple):
    """An event as it stands in the table."""

    sequence: int
    content: Content
    previous_mac: bytes
    mac: bytes


def link_mac(mac: Mac, sequence: int, content: Content, previous_mac: bytes) -> bytes:
    """The MAC of an event at its place: fixed-size values, lengths, then the rest; no two events encode alike."""
    counterpart = content.counterpart.encode()
    unit = content.unit.encode()
    legal_basis = content.legal_basis.encode()
    case_reference = content.case_reference.encode()
    decision = content.decision.encode()
    fixed = _FIXED.pack(
        sequence,
        content.at_ms,
        content.direction,
        content.outcome,
        content.purpose,
        content.subjects,
        len(counterpart),
        len(unit),
        len(content.official),
        len(legal_basis),
        len(case_reference),
        len(content.message_id),
        len(content.digest_tag),
        len(decision),
    )
    return mac(
        b"".join(
            (
                _EVENT_TAG,
                previous_mac,
                fixed,
                counterpart,
                unit,
                content.official,
                legal_basis,
                case_reference,
                content.message_id,
                content.digest_tag,
                decision,
            )
        )
    )


def cut_mac(mac: Mac, through: ChainHead, at_ms: int) -> bytes:
    """The MAC of the record that rows up to `through` were deleted."""
    return mac(_CUT_TAG + _CUT.pack(through.sequence, at_ms) + through.mac)


def verify(mac: Mac, start: ChainHead, links: Iterable[Link], anchors: Iterable[ChainHead] = ()) -> ChainHead:
    """Check a trail from `start` to its end; the last link.

    Args:
        mac: the keyed function.
        start: `ChainHead(0, START)` or the newest cut, already checked.
        links: the rows, by ascending sequence.
        anchors: heads noted earlier; those at or after `start` must be in the trail.

    Raises:
        StoreError: the trail is broken; the message says at which row and how. Not retryable.
    """
    wanted = {anchor.sequence: anchor.mac for anchor in anchors}
    last = start
    _hold(wanted, last)
    for link in links:
        if link.sequence != last.sequence + 1:
            raise broken(last.sequence + 1, "a row is missing", "缺少记录")
        if link.previous_mac != last.mac:
            raise broken(link.sequence, "the row does not follow the one before it", "与上一条记录不相接")
        if link_mac(mac, link.sequence, link.content, link.previous_mac) != link.mac:
            raise broken(link.sequence, "the row was changed", "记录被改动")
        last = ChainHead(link.sequence, link.mac)
        _hold(wanted, last)
    missing = [sequence for sequence in wanted if sequence > last.sequence]
    if missing:
        raise broken(last.sequence + 1, "rows are missing at the end", "末尾缺少记录")
    return last


def broken(sequence: int, en: str, zh: str) -> StoreError:
    """The trail does not hold at this row."""
    return StoreError(
        f"the audit trail is broken at row {sequence}: {en}; keep the database as it is, call the audit administrator",
        f"审计链在第 {sequence} 条断裂：{zh}；请保留数据库现状并通知安全审计员",
        field=f"audit_event.{sequence}",
        retryable=False,
    )


def _hold(wanted: dict[int, bytes], last: ChainHead) -> None:
    noted = wanted.get(last.sequence)
    if noted is not None and noted != last.mac:
        raise broken(last.sequence, "the row is not the one that was noted elsewhere", "与另行保存的链头不一致")
