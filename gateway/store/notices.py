"""Notices that other members sent, kept for the units they are for, in the order in which these are told.

Owns: the table `status_notice`: numbers that only grow (a unit goes on from the last it has seen), and the mark on
those that a later one takes back. Each is bound to its row and encrypted. Refuses: judging a notice, and keeping one
beyond its time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from gateway.store.keys import StoreKeys
from gateway.store.letters import Effect, take_numbers
from gateway.store.notice_tables import status_notice
from gateway.store.reader import Reader
from gateway.store.rows import Transaction
from gateway.store.writer import Writer

READ_AT_MOST: Final = 500
PURGE_AT_MOST: Final = 2_000
_NUMBERS: Final = "status_notice"


class KeptNotice(NamedTuple):
    """A notice, for one subscription.

    Args:
        unit, member, benefit: of the subscription.
        blind_index: of the person.
        sequence: number of the notice within the subscription.
        retracts_from: earlier ones from this on are taken back; 0: none is.
        at_ms: when it was received, Unix milliseconds.
        keep_until_ms: until when it is kept.
        body: person, notice and proof, for whoever put it in to read.
        number: by which the unit goes on; 0 until it is put in.
        retracted: whether a later one took it back, perhaps before it came.
    """

    unit: str
    member: str
    benefit: int
    blind_index: bytes
    sequence: int
    retracts_from: int
    at_ms: int
    keep_until_ms: int
    body: bytes
    number: int = 0
    retracted: bool = False

    def __repr__(self) -> str:
        """Nothing of the content, whoever logs it."""
        return f"<KeptNotice {self.number}>"


class _Keep:
    """How notices are put in, and those that they take back marked."""

    def __init__(self, keys: StoreKeys) -> None:
        self._keys = keys

    def apply(self, transaction: Transaction, payloads: Sequence[KeptNotice]) -> list[int]:
        connection = transaction.connection
        first = take_numbers(transaction, _NUMBERS, len(payloads), max(each.at_ms for each in payloads))
        for number, notice in enumerate(payloads, first):
            if notice.retracts_from:
                connection.execute(
                    sa.update(status_notice)
                    .where(
                        status_notice.c.unit == notice.unit,
                        status_notice.c.blind_index == notice.blind_index,
                        status_notice.c.benefit == notice.benefit,
                        status_notice.c.member == notice.member,
                        status_notice.c.sequence >= notice.retracts_from,
                        status_notice.c.sequence < notice.sequence,
                    )
                    .values(retracted=1)
                )
            connection.execute(
                sa.insert(status_notice).values(
                    number=number,
                    unit=notice.unit,
                    member=notice.member,
                    blind_index=notice.blind_index,
                    benefit=notice.benefit,
                    sequence=notice.sequence,
                    at_ms=notice.at_ms,
                    keep_until_ms=notice.keep_until_ms,
                    retracted=int(notice.retracted),
                    body=self._keys.encrypt(
                        notice.retracts_from.to_bytes(8) + notice.body, _bound_to(number, notice.unit)
                    ),
                )
            )
        return list(range(first, first + len(payloads)))


class _Purge:
    """How notices are forgotten whose time is over."""

    def apply(self, transaction: Transaction, payloads: Sequence[int]) -> list[int]:
        return [
            transaction.connection.execute(
                sa.delete(status_notice).where(
                    status_notice.c.number.in_(
                        sa.select(status_notice.c.number)
                        .where(status_notice.c.keep_until_ms < now_ms)
                        .limit(PURGE_AT_MOST)
                    )
                )
            ).rowcount
            for now_ms in payloads
        ]


class Notices:
    """See the module."""

    def __init__(self, writer: Writer, reader: Reader, keys: StoreKeys) -> None:
        self._writer = writer
        self._reader = reader
        self._keys = keys
        self._keep, self._purge = _Keep(keys), _Purge()

    def keeping(self, notice: KeptNotice) -> Effect:
        """What puts a notice in."""
        return Effect(self._keep, notice)

    async def purge(self, now_ms: int) -> int:
        """Forget notices whose time is over, at most 2,000; how many."""
        return await self._writer.submit(self._purge, now_ms)

    async def after(self, unit: str, number: int, limit: int = READ_AT_MOST) -> list[KeptNotice]:
        """A unit's notices after one, in order, at most 500."""
        query = (
            sa.select(status_notice)
            .where(status_notice.c.unit == unit, status_notice.c.number > number)
            .order_by(status_notice.c.number)
            .limit(min(limit, READ_AT_MOST))
        )
        rows = await self._reader.run(lambda connection: connection.execute(query).all())
        return [self._read(row) for row in rows]

    async def beyond(self, notice: KeptNotice) -> list[KeptNotice]:
        """Notices with larger numbers that came for the same subscription before this one, at most 500."""
        query = (
            sa.select(status_notice)
            .where(
                status_notice.c.unit == notice.unit,
                status_notice.c.blind_index == notice.blind_index,
                status_notice.c.benefit == notice.benefit,
                status_notice.c.member == notice.member,
                status_notice.c.sequence > notice.sequence,
            )
            .order_by(status_notice.c.sequence.desc())
            .limit(READ_AT_MOST)
        )
        rows = await self._reader.run(lambda connection: connection.execute(query).all())
        return [self._read(row) for row in rows]

    async def about(self, unit: str, member: str, people: Sequence[bytes]) -> dict[tuple[bytes, int], list[KeptNotice]]:
        """A unit's notices from a member about some people (blind indexes), by person and benefit."""

        def read(connection: sa.Connection) -> list[Any]:
            rows: list[Any] = []
            for start in range(0, len(people), READ_AT_MOST):
                query = sa.select(status_notice).where(
                    status_notice.c.unit == unit,
                    status_notice.c.blind_index.in_(people[start : start + READ_AT_MOST]),
                    status_notice.c.member == member,
                )
                rows += connection.execute(query).all()
            return rows

        found: dict[tuple[bytes, int], list[KeptNotice]] = {}
        for row in await self._reader.run(read):
            found.setdefault((bytes(row.blind_index), row.benefit), []).append(self._read(row))
        return found

    async def latest(self, unit: str) -> int:
        """Number of a unit's last notice; 0: it has none."""
        query = sa.select(sa.func.max(status_notice.c.number)).where(status_notice.c.unit == unit)
        return await self._reader.run(lambda connection: connection.execute(query).scalar()) or 0

    def _read(self, row: Any) -> KeptNotice:
        plain = self._keys.decrypt(bytes(row.body), _bound_to(row.number, row.unit))
        return KeptNotice(
            row.unit,
            row.member,
            row.benefit,
            bytes(row.blind_index),
            row.sequence,
            int.from_bytes(plain[:8]),
            row.at_ms,
            row.keep_until_ms,
            plain[8:],
            row.number,
            bool(row.retracted),
        )


def _bound_to(number: int, unit: str) -> bytes:
    return b"wugan-status-notice-v1\x00" + number.to_bytes(8) + unit.encode()
