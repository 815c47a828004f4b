"""What was used of quotas: counted on the disk, in the commit that the exchange waits for anyway.

Owns: the table `access_use`, one row for each counter, which holds its newest day or minute alone. People are counted
and compared with the bound in the writer's transaction, so counts are exact across restarts, and across gateways
that share a database. Refuses: knowing whose counter it is (a keyed tag stands for it), and giving people back: what
was asked is counted, whatever came of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from gateway.store.keys import StoreKeys
from gateway.store.reader import Reader
from gateway.store.rows import Transaction
from gateway.store.tables import access_use
from gateway.store.writer import Writer

DAY: Final = 1
MINUTE: Final = 2
MINUTES_A_DAY: Final = 1440
PURGE_EVERY: Final = 4096
PURGE_AT_MOST: Final = 2 * PURGE_EVERY
_LOCK = 0x77_75_67_61_6E_04
"""PostgreSQL advisory lock: gateways that share a database count one after another."""
_SELECT = "SELECT at, people FROM access_use WHERE tag = ? AND span = ?"
_UPSERT = (
    "INSERT INTO access_use (tag, span, at, people) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (tag, span) DO UPDATE SET at = excluded.at, people = excluded.people"
)


class Take(NamedTuple):
    """People to be counted in one counter.

    Args:
        tag: of the counter.
        span: DAY or MINUTE.
        at: civil day, or minute since 1970.
        people: how many.
        limit: the counter's bound in that span.
    """

    tag: bytes
    span: int
    at: int
    people: int
    limit: int


class Taken(NamedTuple):
    """What came of it: whether there was room in every counter, and what each one stands at now."""

    granted: bool
    used: tuple[int, ...]


class _Counting:
    """How people are counted: of each question in all its counters, or in none."""

    def __init__(self) -> None:
        insert = postgresql.insert(access_use)
        self._upsert = insert.on_conflict_do_update(
            index_elements=["tag", "span"], set_={"at": insert.excluded.at, "people": insert.excluded.people}
        )
        self._since_purge = 0

    def apply(self, transaction: Transaction, payloads: Sequence[Sequence[Take]]) -> list[Taken]:
        if transaction.embedded is None:
            transaction.connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        counters: dict[tuple[bytes, int], tuple[int, int]] = {}
        changed: set[tuple[bytes, int]] = set()
        results = []
        for takes in payloads:
            used = []
            for take in takes:
                key = take.tag, take.span
                if key not in counters:
                    counters[key] = self._read(transaction, key)
                at, people = counters[key]
                # A clock that was set back does not open a day anew: the newest span stays.
                used.append(people if at >= take.at else 0)
            granted = all(n + take.people <= take.limit for n, take in zip(used, takes, strict=True))
            if granted:
                for place, take in enumerate(takes):
                    key = take.tag, take.span
                    used[place] += take.people
                    counters[key] = max(counters[key][0], take.at), used[place]
                    changed.add(key)
            results.append(Taken(granted, tuple(used)))
        self._write(transaction, [(*key, *counters[key]) for key in changed])
        self._purge(transaction, payloads)
        return results

    def _read(self, transaction: Transaction, key: tuple[bytes, int]) -> tuple[int, int]:
        if transaction.embedded is not None:
            row = transaction.embedded.execute(_SELECT, key).fetchone()
        else:
            row = transaction.connection.execute(
                sa.select(access_use.c.at, access_use.c.people).where(
                    access_use.c.tag == key[0], access_use.c.span == key[1]
                )
            ).first()
        return (0, 0) if row is None else (row[0], row[1])

    def _write(self, transaction: Transaction, rows: list[tuple[bytes, int, int, int]]) -> None:
        if transaction.embedded is not None:
            transaction.embedded.executemany(_UPSERT, rows)
        elif rows:
            transaction.connection.execute(
                self._upsert, [dict(zip(("tag", "span", "at", "people"), row, strict=True)) for row in rows]
            )

    def _purge(self, transaction: Transaction, payloads: Sequence[Sequence[Take]]) -> None:
        """Now and then, delete counters of days before yesterday, a bounded number at a time."""
        self._since_purge += len(payloads)
        if self._since_purge < PURGE_EVERY:
            return
        self._since_purge = 0
        today = max(take.at if take.span == DAY else take.at // MINUTES_A_DAY for part in payloads for take in part)
        for span, before in ((DAY, today - 1), (MINUTE, (today - 1) * MINUTES_A_DAY)):
            old = (
                sa.select(access_use.c.tag)
                .where(access_use.c.span == span, access_use.c.at < before)
                .limit(PURGE_AT_MOST)
            )
            transaction.connection.execute(
                sa.delete(access_use).where(access_use.c.span == span, access_use.c.tag.in_(old))
            )


class Usage:
    """See the module."""

    def __init__(self, writer: Writer, reader: Reader, keys: StoreKeys) -> None:
        self._writer = writer
        self._reader = reader
        self._counting = _Counting()
        self.tag = keys.use_tag

    def submit(self, takes: Sequence[Take]) -> asyncio.Future[Taken]:
        """Have people counted, in all of these counters or in none; the future says whether there was room.

        Raises:
            StoreError: too much is waiting, or the store is closed; so does the future when the write failed.
        """
        return self._writer.submit(self._counting, takes)

    async def since(self, day: int, minute: int, most: int) -> dict[tuple[bytes, int], tuple[int, int]]:
        """What counters stand at in that day or minute, or a later one, so many at most: (tag, span) → when, people.

        Raises:
            StoreError: they could not be read.
        """
        span, at = access_use.c.span, access_use.c.at
        query = (
            sa.select(access_use.c.tag, span, at, access_use.c.people)
            .where(sa.or_(sa.and_(span == DAY, at >= day), sa.and_(span == MINUTE, at >= minute)))
            .limit(most)
        )
        rows = await self._reader.run(lambda connection: connection.execute(query).all())
        return {(bytes(row[0]), row[1]): (row[2], row[3]) for row in rows}

    async def used(self, tag: bytes, span: int, at: int) -> int:
        """What a counter stands at in that day or minute.

        Raises:
            StoreError: it could not be read.
        """
        query = sa.select(access_use.c.people).where(
            access_use.c.tag == tag, access_use.c.span == span, access_use.c.at >= at
        )
        return await self._reader.run(lambda connection: connection.execute(query).scalar() or 0)
