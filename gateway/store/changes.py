"""How far the departments' changes were read, and the changed people of whom it is still to be seen what is to be told.

Owns: the tables `change_cursor` and `change_due`. Reading on and noting whom it brought is one commit: after a crash
nobody is left out, and nobody comes twice but by the source's own doing. Refuses: plaintext, and people whom nobody
subscribed for, once that can be seen: while a department that links numbers is silent, it cannot.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from gateway.store.keys import StoreKeys
from gateway.store.letters import LONGEST_OFF_MS, Effect, take_numbers
from gateway.store.notice_tables import change_cursor, change_due
from gateway.store.reader import Look, Reader
from gateway.store.rows import Transaction
from gateway.store.writer import Writer

_NUMBERS: Final = "change_due"


class ChangedPerson(NamedTuple):
    """Somebody of whom a department has something new.

    Args:
        number: under which it holds the person.
        name: in its register, "" where it has none.
        linked: other numbers of the person.
        adapter: which department.
        whole: whether every department that links numbers said which are linked; otherwise it is asked again, and
            perhaps nobody subscribed for this person.
    """

    number: str
    name: str
    linked: tuple[str, ...]
    adapter: str
    whole: bool = True

    def __repr__(self) -> str:
        """Nothing of the person, whoever logs it."""
        return f"<ChangedPerson of {self.adapter}>"


class Taken(NamedTuple):
    """What a look at a department brought: where to go on, None: as before, and whom somebody subscribed for."""

    adapter: str
    cursor: bytes | None
    people: Sequence[ChangedPerson]
    at_ms: int


class DueChange(NamedTuple):
    """A changed person to be looked at.

    Args:
        number: of this change; not the person's.
        person: who.
        first_at_ms: when the first change was read of which it is not seen yet what there is to tell.
        tries: how often was looked since the last one was.
    """

    number: int
    person: ChangedPerson
    first_at_ms: int
    tries: int


class Later(NamedTuple):
    """A changed person to be looked at again.

    Args:
        number: of the change.
        next_try_ms: when, Unix milliseconds.
        why: what held it up, bits as `gateway.inquiry.holdups` has them.
        members: who could not be told; none where it is not known whether anybody is to be.
    """

    number: int
    next_try_ms: int
    why: int = 0
    members: tuple[str, ...] = ()


class Overdue(NamedTuple):
    """Changed people who have waited for long, for one reason and the same members.

    Args:
        why: what held them up when they were looked at last, 0: they were not since the gateway keeps that.
        members: who could not be told.
        people: how many they are.
        since_ms: since when the one waits who does so for longest, Unix milliseconds.
    """

    why: int
    members: tuple[str, ...]
    people: int
    since_ms: int


class _Take:
    """How a look is written. A person who waits already is looked at once, for the newer change, and has waited since
    the older one.
    """

    def __init__(self, keys: StoreKeys) -> None:
        self._keys = keys

    def apply(self, transaction: Transaction, payloads: Sequence[Taken]) -> list[None]:
        connection = transaction.connection
        for taken in payloads:
            if taken.cursor is not None:
                connection.execute(sa.delete(change_cursor).where(change_cursor.c.adapter == taken.adapter))
                sealed = self._keys.encrypt(taken.cursor, _cursor_of(taken.adapter))
                row = {"adapter": taken.adapter, "at_ms": taken.at_ms, "cursor": sealed}
                connection.execute(sa.insert(change_cursor).values(**row))
            people = {person.number: person for person in taken.people}
            if not people:
                continue
            first = take_numbers(transaction, _NUMBERS, len(people), taken.at_ms)
            blind = {number: self._keys.blind_index(number) for number in people}
            waited = change_due.c.blind_index.in_(list(blind.values()))
            query = sa.select(change_due.c.blind_index, change_due.c.first_at_ms).where(waited)
            since = {bytes(row.blind_index): row.first_at_ms for row in connection.execute(query)}
            if since:
                connection.execute(sa.delete(change_due).where(waited))
            connection.execute(
                sa.insert(change_due),
                [
                    {
                        "number": number,
                        "blind_index": blind[person.number],
                        "first_at_ms": min(taken.at_ms, since.get(blind[person.number], taken.at_ms)),
                        "next_try_ms": taken.at_ms,
                        "tries": 0,
                        "body": self._keys.encrypt(json.dumps(person).encode(), _due_of(number)),
                    }
                    for number, person in enumerate(people.values(), first)
                ],
            )
        return [None] * len(payloads)


class _Settle:
    """How changes are done with, or put off."""

    def apply(self, transaction: Transaction, payloads: Sequence[Sequence[int | Later]]) -> list[None]:
        connection = transaction.connection
        for settled in payloads:
            done = [each for each in settled if isinstance(each, int)]
            if done:
                connection.execute(sa.delete(change_due).where(change_due.c.number.in_(done)))
            for later in settled:
                if isinstance(later, Later):
                    connection.execute(
                        sa.update(change_due)
                        .where(change_due.c.number == later.number)
                        .values(
                            next_try_ms=later.next_try_ms,
                            tries=change_due.c.tries + 1,
                            why=later.why,
                            members=",".join(later.members),
                        )
                    )
        return [None] * len(payloads)


class Changes:
    """See the module."""

    def __init__(self, writer: Writer, reader: Reader, keys: StoreKeys) -> None:
        self._writer = writer
        self._reader = reader
        self._keys = keys
        self._take, self._settle = _Take(keys), _Settle()

    async def cursor(self, adapter: str) -> bytes:
        """Where to go on in a department; b"": at the beginning."""
        query = sa.select(change_cursor.c.cursor).where(change_cursor.c.adapter == adapter)
        sealed = await self._reader.run(lambda connection: connection.execute(query).scalar())
        return b"" if sealed is None else self._keys.decrypt(bytes(sealed), _cursor_of(adapter))

    async def take(self, taken: Taken) -> None:
        """Note what a look brought; on the disk when this returns."""
        await self._writer.submit(self._take, taken)

    def taking(self, taken: Taken) -> Effect:
        """What notes people who are to be looked at, to be committed with whatever says so."""
        return Effect(self._take, taken)

    def settling(self, settled: Sequence[int | Later]) -> Effect:
        """What ends changes (their numbers) or puts them off, to be committed with what came of them."""
        return Effect(self._settle, settled)

    async def due(self, now_ms: int, limit: int) -> list[DueChange]:
        """Changed people to be looked at now, the longest due first; then those put off while the clock was ahead."""
        if not await self._reader.look(_ANY):
            return []
        ordered = sa.select(change_due).order_by(change_due.c.next_try_ms, change_due.c.number)

        def read(connection: sa.Connection) -> Sequence[Any]:
            rows = connection.execute(ordered.where(change_due.c.next_try_ms <= now_ms).limit(limit)).all()
            astray = ordered.where(change_due.c.next_try_ms > now_ms + LONGEST_OFF_MS).limit(limit - len(rows))
            return [*rows, *connection.execute(astray).all()]

        rows = await self._reader.run(read)
        return [DueChange(row.number, self._person(row), row.first_at_ms, row.tries) for row in rows]

    async def waiting(self) -> tuple[int, int]:
        """How many there are, and since when the oldest waits, Unix milliseconds (0: none)."""
        query = sa.select(sa.func.count(), sa.func.min(change_due.c.first_at_ms))
        row = await self._reader.run(lambda connection: connection.execute(query).one())
        return int(row[0]), int(row[1] or 0)

    async def overdue(self, before_ms: int) -> list[Overdue]:
        """Those who wait since before some Unix millisecond, by why and for whom."""
        why, members = sa.func.coalesce(change_due.c.why, 0), sa.func.coalesce(change_due.c.members, "")
        query = (
            sa.select(why, members, sa.func.count(), sa.func.min(change_due.c.first_at_ms))
            .where(change_due.c.first_at_ms < before_ms)
            .group_by(why, members)
        )
        rows = await self._reader.run(lambda connection: connection.execute(query).all())
        return [Overdue(row[0], tuple(filter(None, row[1].split(","))), int(row[2]), int(row[3])) for row in rows]

    def _person(self, row: Any) -> ChangedPerson:
        number, name, linked, adapter, whole = json.loads(self._keys.decrypt(bytes(row.body), _due_of(row.number)))
        return ChangedPerson(number, name, tuple(linked), adapter, whole)


_ANY = Look(sa.select(change_due.c.number).limit(1))


def _cursor_of(adapter: str) -> bytes:
    return b"wugan-change-cursor-v1\x00" + adapter.encode()


def _due_of(number: int) -> bytes:
    return b"wugan-change-due-v1\x00" + number.to_bytes(8)
