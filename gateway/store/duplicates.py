"""People found to draw, or to be certified, twice: what an official has to look at.

Owns: the table `duplicate`: a finding is there once for each unit, person with class of benefits, kind and other
member, however often it is found; settled by an official, or over when it is found no more. Refuses: plaintext (people
are keyed tags, the rest is encrypted), showing a unit what is another's, and stopping anybody.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from gateway.store.keys import StoreKeys
from gateway.store.letters import Effect, take_numbers
from gateway.store.once_tables import duplicate
from gateway.store.reader import Look, Reader
from gateway.store.rows import Transaction
from gateway.store.writer import Writer

LIST_AT_MOST: Final = 1_000
AT_ONCE: Final = 500
PURGE_AT_MOST: Final = 2_000
REOPENED_AFTER_MS: Final = 45 * 86_400_000
"""Found again so long after it was settled, it is open again: what was decided was not done. One that ended because it
was found no more has the negative of the time, and is open again as soon as it is found again."""


class Finding(NamedTuple):
    """Something found.

    Args:
        tag: of number and class, as in `certification`.
        unit: whose person it is.
        kind: DuplicateKind.
        member: the other member, "" where it is this one.
        at_ms, keep_until_ms: when it was found, until when it is kept, Unix milliseconds.
        body: what is to be told of it.
    """

    tag: bytes
    unit: str
    kind: int
    member: str
    at_ms: int
    keep_until_ms: int
    body: bytes

    def __repr__(self) -> str:
        """Nothing of the person, whoever logs it."""
        return f"<Finding of {self.unit}>"


class Kept(NamedTuple):
    """A finding as it is kept; `settled_at_ms` 0: open; negative: found no more since then."""

    number: int
    tag: bytes
    kind: int
    member: str
    first_at_ms: int
    last_at_ms: int
    settled_at_ms: int
    body: bytes

    def __repr__(self) -> str:
        """Nothing of the person, whoever logs it."""
        return f"<Kept {self.number}>"


class Elsewhere(NamedTuple):
    """That a person draws at another member, too: under the same number or, by the face, under another one.

    Args:
        kind: DuplicateKind.
        member: the other member.
    """

    kind: int
    member: str


class Ending(NamedTuple):
    """Findings of a kind that are found no more."""

    tags: Sequence[bytes]
    kind: int
    member: str
    at_ms: int


class _Settling(NamedTuple):
    unit: str
    number: int
    at_ms: int
    body: bytes


class _Note:
    """How findings are noted; the result is how many are new."""

    def __init__(self, keys: StoreKeys) -> None:
        self._keys = keys

    def apply(self, transaction: Transaction, payloads: Sequence[Sequence[Finding]]) -> list[int]:
        return [self._some(transaction, findings) for findings in payloads]

    def _some(self, transaction: Transaction, findings: Sequence[Finding]) -> int:
        connection, new = transaction.connection, []
        for finding in {(each.tag, each.unit, each.kind, each.member): each for each in findings}.values():
            again = connection.execute(
                sa.update(duplicate)
                .where(
                    duplicate.c.tag == finding.tag,
                    duplicate.c.unit == finding.unit,
                    duplicate.c.kind == finding.kind,
                    duplicate.c.member == finding.member,
                )
                .values(
                    last_at_ms=finding.at_ms,
                    keep_until_ms=finding.keep_until_ms,
                    settled_at_ms=sa.case(
                        (duplicate.c.settled_at_ms < finding.at_ms - REOPENED_AFTER_MS, 0),
                        else_=duplicate.c.settled_at_ms,
                    ),
                )
            ).rowcount
            if not again:
                new.append(finding)
        if new:
            first = take_numbers(transaction, "duplicate", len(new), new[0].at_ms)
            rows = [self._row(number, finding) for number, finding in enumerate(new, start=first)]
            connection.execute(sa.insert(duplicate), rows)
        return len(new)

    def _row(self, number: int, finding: Finding) -> dict[str, Any]:
        return {
            "number": number,
            "tag": finding.tag,
            "unit": finding.unit,
            "kind": finding.kind,
            "member": finding.member,
            "first_at_ms": finding.at_ms,
            "last_at_ms": finding.at_ms,
            "settled_at_ms": 0,
            "keep_until_ms": finding.keep_until_ms,
            "body": self._keys.encrypt(finding.body, _bound_to(number)),
        }


class _Settle:
    """How an official's decision is written down; whether there was such a finding."""

    def __init__(self, keys: StoreKeys) -> None:
        self._keys = keys

    def apply(self, transaction: Transaction, payloads: Sequence[_Settling]) -> list[bool]:
        return [
            bool(
                transaction.connection.execute(
                    sa.update(duplicate)
                    .where(duplicate.c.unit == each.unit, duplicate.c.number == each.number)
                    .values(settled_at_ms=each.at_ms, body=self._keys.encrypt(each.body, _bound_to(each.number)))
                ).rowcount
            )
            for each in payloads
        ]


class _End:
    """How findings end that are found no more; how many did."""

    def apply(self, transaction: Transaction, payloads: Sequence[Ending]) -> list[int]:
        ended = []
        for ending in payloads:
            count = 0
            for start in range(0, len(ending.tags), AT_ONCE):
                count += transaction.connection.execute(
                    sa.update(duplicate)
                    .where(
                        duplicate.c.tag.in_(ending.tags[start : start + AT_ONCE]),
                        duplicate.c.kind == ending.kind,
                        duplicate.c.member == ending.member,
                        duplicate.c.settled_at_ms == 0,
                    )
                    .values(settled_at_ms=-ending.at_ms)
                ).rowcount
            ended.append(count)
        return ended


class _Purge:
    """How findings are forgotten; the result is how many were."""

    def apply(self, transaction: Transaction, payloads: Sequence[int]) -> list[int]:
        gone = []
        for now_ms in payloads:
            over = sa.select(duplicate.c.number).where(duplicate.c.keep_until_ms < now_ms).limit(PURGE_AT_MOST)
            rows = transaction.connection.execute(sa.delete(duplicate).where(duplicate.c.number.in_(over)))
            gone.append(rows.rowcount)
        return gone


class Duplicates:
    """See the module."""

    def __init__(self, writer: Writer, reader: Reader, keys: StoreKeys) -> None:
        self._writer = writer
        self._reader = reader
        self._keys = keys
        self._note, self._settle, self._end, self._purge = _Note(keys), _Settle(keys), _End(), _Purge()

    def noting(self, findings: Sequence[Finding]) -> Effect:
        """What notes findings, to be committed with other writes."""
        return Effect(self._note, findings)

    def ending(self, ending: Ending) -> Effect:
        """What ends findings, to be committed with other writes."""
        return Effect(self._end, ending)

    async def note(self, findings: Sequence[Finding]) -> int:
        """Note findings; how many are new.

        Raises:
            StoreError: nothing could be written.
        """
        return await self._writer.submit(self._note, findings) if findings else 0

    async def settle(self, unit: str, number: int, at_ms: int, change: Callable[[Kept], bytes]) -> Kept | None:
        """Write down what an official decided; the finding as it was, None: the unit has no such finding.

        Args:
            unit: whose.
            number: which.
            at_ms: when, Unix milliseconds.
            change: makes of the finding its new body.

        Raises:
            StoreError: it could not be read or written.
        """
        found = await self._reader.run(lambda connection: self._one(connection, unit, number))
        if found is None:
            return None
        done = await self._writer.submit(self._settle, _Settling(unit, number, at_ms, change(found)))
        return found if done else None

    async def list(self, unit: str, after: int, limit: int, *, settled: bool) -> list[Kept]:
        """A unit's findings after a number, in order; at most `limit`."""

        def read(connection: sa.Connection) -> list[Kept]:
            query = sa.select(duplicate).where(duplicate.c.unit == unit, duplicate.c.number > after)
            if not settled:
                query = query.where(duplicate.c.settled_at_ms == 0)
            return [self._kept(row) for row in connection.execute(query.order_by(duplicate.c.number).limit(limit))]

        return await self._reader.run(read)

    async def open_elsewhere(self, tags: Sequence[bytes]) -> dict[bytes, Elsewhere]:
        """Of these people those with an open finding that has to do with another member."""

        def read(connection: sa.Connection) -> dict[bytes, Elsewhere]:
            found: dict[bytes, Elsewhere] = {}
            for start in range(0, len(tags), AT_ONCE):
                found |= _elsewhere(connection, duplicate.c.tag.in_(tags[start : start + AT_ONCE]))
            return found

        # Whether there is any at all, and not whether any is open elsewhere: no index tells that of all of them.
        return await self._reader.run(read) if tags and await self._reader.look(_ANY) else {}

    async def all_elsewhere(self) -> dict[bytes, Elsewhere]:
        """Everybody with an open finding that has to do with another member."""
        return await self._reader.run(_elsewhere)

    async def open_with(self, member: str, kind: int) -> set[bytes]:
        """Tags of people with an open finding of a kind with a member."""
        query = sa.select(duplicate.c.tag).where(
            duplicate.c.kind == kind, duplicate.c.member == member, duplicate.c.settled_at_ms == 0
        )
        return await self._reader.run(lambda connection: {bytes(row.tag) for row in connection.execute(query)})

    async def purge(self, now_ms: int) -> int:
        """Forget findings whose time is over, at most 2,000; how many."""
        return await self._writer.submit(self._purge, now_ms)

    def _one(self, connection: sa.Connection, unit: str, number: int) -> Kept | None:
        query = sa.select(duplicate).where(duplicate.c.unit == unit, duplicate.c.number == number)
        row = connection.execute(query).first()
        return None if row is None else self._kept(row)

    def _kept(self, row: Any) -> Kept:
        body = self._keys.decrypt(bytes(row.body), _bound_to(row.number))
        times = (row.first_at_ms, row.last_at_ms, row.settled_at_ms)
        return Kept(row.number, bytes(row.tag), row.kind, row.member, *times, body)


_ANY: Final = Look(sa.select(duplicate.c.number).limit(1))
_OPEN_ELSEWHERE: Final = (duplicate.c.member != "", duplicate.c.settled_at_ms == 0)


def _elsewhere(connection: sa.Connection, *those: Any) -> dict[bytes, Elsewhere]:
    """Of several findings of one person that of the number counts before that of the face."""
    query = sa.select(duplicate.c.tag, duplicate.c.kind, duplicate.c.member).where(*_OPEN_ELSEWHERE, *those)
    rows = connection.execute(query.order_by(duplicate.c.kind, duplicate.c.number)).all()
    return {bytes(row.tag): Elsewhere(row.kind, row.member) for row in rows}


def _bound_to(number: int) -> bytes:
    return b"wugan-duplicate-v1\x00" + number.to_bytes(8)
