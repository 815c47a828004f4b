"""The record of decisions as a chain: how one event is bound to the one before. Pure, no I/O.

The rule: the MAC of an event is HMAC-SHA256, under a key derived from the record's, of a tag, the MAC of the event
before, and every column of the event. The first follows 32 zero bytes. So an event that was changed, taken out, put in
or moved shows; events taken off the end show against a head noted elsewhere, which is why every decision prints it.

Owns: the columns, their encoding, the check. Refuses: reading and writing.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from gateway.errors import StoreError

DIGEST_BYTES: Final = 32
PERSON_BYTES: Final = 16
START: Final = bytes(DIGEST_BYTES)
_TAG: Final = b"wugan-decision-v1\x00"
_FIXED: Final = struct.Struct(">qqiqihhhhhiiiqI")

Mac = Callable[[bytes], bytes]


class Head(NamedTuple):
    """The last event. Noted elsewhere, it proves later that nothing was taken off the end."""

    sequence: int
    mac: bytes


class Event(NamedTuple):
    """One decision or outcome, without its place in the chain.

    Args:
        at_ms: when it was recorded, Unix milliseconds.
        on_day: civil day of it.
        row: of the results it was decided on.
        benefit: BenefitType.
        act: see `gateway.rules.deciding.Act`.
        was: CertificationStatus before.
        status: after.
        source: by what certified, of the standing after it.
        refused: 0: done; 1: certified already in this cycle, and so refused.
        certified_on: of the standing after it.
        stopped_from_on: first day of the first month not paid, of a stop.
        resumes_on: first day of the first month paid as usual again, of a restoration.
        amount_fen: what is paid back, of a restoration.
        months: for how many months.
        person: keyed index of the identity number.
        ground: mark of what the run had found.
        results: SHA-256 of the results it was decided on.
        body: who, by whom, why; encrypted.
    """

    at_ms: int
    on_day: int
    row: int
    benefit: int
    act: int
    was: int
    status: int
    source: int
    refused: int
    certified_on: int
    stopped_from_on: int
    resumes_on: int
    amount_fen: int
    months: int
    person: bytes
    ground: bytes
    results: bytes
    body: bytes


class Link(NamedTuple):
    """An event as it stands in the record."""

    sequence: int
    event: Event
    previous_mac: bytes
    mac: bytes


def link_mac(mac: Mac, sequence: int, event: Event, previous_mac: bytes) -> bytes:
    """The MAC of an event at its place: numbers, then bytes of fixed length, then the body; no two encode alike."""
    fixed = _FIXED.pack(
        sequence,
        event.at_ms,
        event.on_day,
        event.row,
        event.benefit,
        event.act,
        event.was,
        event.status,
        event.source,
        event.refused,
        event.certified_on,
        event.stopped_from_on,
        event.resumes_on,
        event.amount_fen,
        event.months,
    )
    for part, length in ((event.person, PERSON_BYTES), (event.ground, DIGEST_BYTES), (event.results, DIGEST_BYTES)):
        if len(part) != length:
            raise broken(sequence, "a column has another length", "列长度有误")
    return mac(b"".join((_TAG, previous_mac, fixed, event.person, event.ground, event.results, event.body)))


def verify(mac: Mac, links: Iterable[Link], anchor: Head | None = None) -> Head:
    """Check a record from its beginning; the last event.

    Args:
        mac: the keyed function.
        links: by ascending sequence.
        anchor: a head noted earlier, which must be in it.

    Raises:
        StoreError: the record is broken; the message says at which event and how. Not retryable.
    """
    last = Head(0, START)
    held = anchor is None or anchor == last
    for link in links:
        if link.sequence != last.sequence + 1:
            raise broken(last.sequence + 1, "an event is missing", "缺少记录")
        if link.previous_mac != last.mac:
            raise broken(link.sequence, "the event does not follow the one before it", "与上一条记录不相接")
        if link_mac(mac, link.sequence, link.event, link.previous_mac) != link.mac:
            raise broken(link.sequence, "the event was changed", "记录被改动")
        last = Head(link.sequence, link.mac)
        if anchor is not None and anchor.sequence == last.sequence:
            if anchor.mac != last.mac:
                raise broken(
                    link.sequence, "the event is not the one that was noted elsewhere", "与另行保存的链头不一致"
                )
            held = True
    if not held:
        raise broken(last.sequence + 1, "events are missing at the end", "末尾缺少记录")
    return last


def broken(sequence: int, en: str, zh: str) -> StoreError:
    """The record does not hold at this event."""
    return StoreError(
        f"the record of decisions is broken at event {sequence}: {en}; keep the file as it is, call the auditor",
        f"决定记录在第 {sequence} 条断裂：{zh}；请保留文件现状并通知审计人员",
        field=f"decision.{sequence}",
        retryable=False,
    )
