"""The quality of departments' data, added up in the store.

Owns: the tables `quality` and `quality_example`: rows of counters are added to what is there, in one transaction, exact
with several gateways on one database; the first few examples of a defect are kept, and months that are over long enough
are let go. Refuses: knowing what a counter means (`gateway.quality.counters`).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

import sqlalchemy as sa

from gateway.store.audit import recorded_words
from gateway.store.quality_tables import EXAMPLE_CHARS, quality, quality_example
from gateway.store.reader import Reader
from gateway.store.rows import Transaction
from gateway.store.writer import Writer

EXAMPLES: Final = 5
"""Of one defect of one item in one month and prefecture."""
MONTHS: Final = 36
"""Kept; a trend of three years."""
_LOCK = 0x77_75_67_61_6E_0A
"""PostgreSQL advisory lock: gateways that share a database add up one after another."""


class Counted(NamedTuple):
    """Counters of one month, adapter, item (kind; 0 for the source) and prefecture."""

    month: int
    adapter: str
    department: int
    kind: int
    region: int
    counts: bytes


class Shown(NamedTuple):
    """One example, masked."""

    month: int
    adapter: str
    kind: int
    region: int
    defect: int
    text: str


class _Sums(NamedTuple):
    counted: Sequence[Counted]
    examples: Sequence[Shown]


class _Adding:
    """How counters are added."""

    def apply(self, transaction: Transaction, payloads: Sequence[_Sums]) -> list[None]:
        if transaction.embedded is None:
            transaction.connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        connection = transaction.connection
        for sums in payloads:
            for row in sums.counted:
                _add(connection, row)
            for example in sums.examples:
                _show(connection, example)
        newest = max((row.month for sums in payloads for row in sums.counted), default=0)
        if newest:
            oldest = newest - MONTHS // 12 * 100
            connection.execute(sa.delete(quality).where(quality.c.month < oldest))
            connection.execute(sa.delete(quality_example).where(quality_example.c.month < oldest))
        return [None] * len(payloads)


def _add(connection: sa.Connection, row: Counted) -> None:
    here = sa.and_(
        quality.c.month == row.month,
        quality.c.adapter == row.adapter,
        quality.c.kind == row.kind,
        quality.c.region == row.region,
    )
    held = connection.execute(sa.select(quality.c.counts).where(here)).scalar()
    if held is None:
        connection.execute(sa.insert(quality).values(**row._asdict()))
        return
    values = {"counts": added(bytes(held), row.counts), "department": row.department}
    connection.execute(sa.update(quality).where(here).values(**values))


def added(one: bytes, other: bytes) -> bytes:
    """Two rows of little-endian 64-bit counters, place by place; the longer one's length stays."""
    width = max(len(one), len(other)) // 8
    sums = [mine + theirs for mine, theirs in zip(_numbers(one, width), _numbers(other, width), strict=True)]
    return struct.pack(f"<{width}q", *sums)


def _numbers(row: bytes, width: int) -> tuple[int, ...]:
    return struct.unpack(f"<{width}q", row[: 8 * width].ljust(8 * width, b"\x00"))


def _show(connection: sa.Connection, example: Shown) -> None:
    here = sa.and_(
        quality_example.c.month == example.month,
        quality_example.c.adapter == example.adapter,
        quality_example.c.kind == example.kind,
        quality_example.c.region == example.region,
        quality_example.c.defect == example.defect,
    )
    held = connection.execute(sa.select(quality_example.c.text).where(here)).scalars().all()
    # A department's own characters stand in it, also such as PostgreSQL does not store.
    text = recorded_words(example.text[:EXAMPLE_CHARS], EXAMPLE_CHARS)
    if len(held) < EXAMPLES and text not in held:
        row = {**example._asdict(), "text": text, "place": len(held)}
        connection.execute(sa.insert(quality_example).values(**row))


class Quality:
    """See the module."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        self._writer = writer
        self._reader = reader
        self._adding = _Adding()

    async def add(self, counted: Sequence[Counted], examples: Sequence[Shown]) -> None:
        """Add counters to what is there.

        Raises:
            StoreError: they could not be written.
        """
        await self._writer.submit(self._adding, _Sums(counted, examples))

    async def read(self, since: int, until: int, *, adapter: str = "") -> list[Counted]:
        """The counters of some months (202601 … 202612, both included).

        Raises:
            StoreError: they could not be read.
        """
        query = sa.select(quality).where(quality.c.month.between(since, until))
        query = query.order_by(quality.c.month, quality.c.adapter, quality.c.kind, quality.c.region)
        if adapter:
            query = query.where(quality.c.adapter == adapter)
        rows = await self._reader.run(lambda connection: list(connection.execute(query)))
        return [
            Counted(row.month, row.adapter, row.department, row.kind, row.region, bytes(row.counts)) for row in rows
        ]

    async def examples(self, month: int) -> list[Shown]:
        """The examples of a month.

        Raises:
            StoreError: they could not be read.
        """
        table = quality_example
        query = sa.select(table).where(table.c.month == month)
        query = query.order_by(table.c.adapter, table.c.kind, table.c.region, table.c.defect, table.c.place)
        rows = await self._reader.run(lambda connection: list(connection.execute(query)))
        return [Shown(row.month, row.adapter, row.kind, row.region, row.defect, row.text) for row in rows]
