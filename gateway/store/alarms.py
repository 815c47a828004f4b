"""Harvesting alarms as they are kept: each in one transaction with its audit event.

Owns: the table `access_alarm`. Refuses: clearing one, which is an administrator's signed act, and any word about who
was asked about.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa

from gateway.store.audit import Appending, AuditEvent, audit_content, recorded_words
from gateway.store.keys import StoreKeys
from gateway.store.reader import Reader
from gateway.store.rows import Transaction
from gateway.store.tables import WORDS_CHARS, access_alarm
from gateway.store.writer import Writer

READ_AT_MOST = 10_000
_LOCK = 0x77_75_67_61_6E_05
"""PostgreSQL advisory lock: one number is given once."""
_MOST = 2**31 - 1


class Alarm(NamedTuple):
    """A member's questions look like harvesting.

    Args:
        number: of the alarm, from 1; 0 before it is kept.
        at_ms: when it was raised.
        member, unit: whose questions.
        signal: what was seen, e.g. "sequential".
        seen, allowed: how much of it, and how much would have been in order.
    """

    number: int
    at_ms: int
    member: str
    unit: str
    signal: str
    seen: int
    allowed: int


class _Raise:
    """How alarms are written; the result is the number of each."""

    def __init__(self, keys: StoreKeys) -> None:
        self._keys = keys
        self._audit = Appending(keys)

    def apply(self, transaction: Transaction, payloads: Sequence[tuple[Alarm, AuditEvent]]) -> list[int]:
        connection = transaction.connection
        if transaction.embedded is None:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        last = connection.execute(sa.select(sa.func.max(access_alarm.c.number))).scalar() or 0
        numbers = []
        for alarm, event in payloads:
            last += 1
            row = alarm._replace(
                number=last,
                unit=recorded_words(alarm.unit, WORDS_CHARS),
                seen=min(alarm.seen, _MOST),
                allowed=min(alarm.allowed, _MOST),
            )
            connection.execute(sa.insert(access_alarm).values(**row._asdict()))
            self._audit.apply(transaction, [audit_content(event, self._keys.digest_tag(event.digest))])
            numbers.append(last)
        return numbers


class Alarms:
    """See the module."""

    def __init__(self, writer: Writer, reader: Reader, keys: StoreKeys) -> None:
        self._writer = writer
        self._reader = reader
        self._raise = _Raise(keys)

    def submit(self, alarm: Alarm) -> asyncio.Future[int]:
        """Have an alarm kept with an audit event of it; the future's result is its number.

        Raises:
            StoreError: too much is waiting, or the store is closed; so does the future when the write failed.
        """
        return self._writer.submit(self._raise, (alarm, _event(alarm)))

    async def read(self) -> list[Alarm]:
        """All alarms, the oldest first; of very many, the newest 10,000.

        Raises:
            StoreError: they could not be read.
        """
        query = sa.select(access_alarm).order_by(access_alarm.c.number.desc()).limit(READ_AT_MOST)
        rows = await self._reader.run(lambda connection: [Alarm(*row) for row in connection.execute(query)])
        return rows[::-1]


def _event(alarm: Alarm) -> AuditEvent:
    return AuditEvent(
        at_ms=alarm.at_ms,
        direction="alarm",
        counterpart=alarm.member,
        unit=alarm.unit,
        official=b"",
        purpose=0,
        legal_basis="",
        case_reference="",
        message_id=b"",
        digest=b"",
        subjects=min(alarm.seen, _MOST),
        outcome=0,
        decision=f"looks like harvesting: {alarm.signal}, {alarm.seen} seen, {alarm.allowed} allowed; throttled",
    )
