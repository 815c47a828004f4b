"""For whom other members are told here: subscriptions as tokens, and what the last notice of each told.

Owns: the tables `watch_group`, `watch_terms` and `watch`: taking subscriptions in and out (groups and terms go with the
last that has them), finding those of a person by token, and going from one notice to the next, once each. Refuses:
numbers and names (there are none here), and judging what there is to tell.

Nothing of this is held in memory but the keys of the groups, which are as many as units subscribe; a hundred thousand
subscriptions are rows, written and looked up some hundreds at a time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import sqlalchemy as sa

from gateway.store.keys import StoreKeys
from gateway.store.letters import Effect, apply_effects
from gateway.store.notice_tables import DIGEST_BYTES, watch, watch_group, watch_terms
from gateway.store.reader import Reader
from gateway.store.rows import BulkInsert, Transaction
from gateway.store.writer import Writer

T = TypeVar("T")

AT_ONCE: Final = 500
"""Tokens in one statement."""
PURGE_AT_MOST: Final = 2_000


class Person(NamedTuple):
    """A person subscribed for: token, name check, benefit."""

    token: bytes
    name_check: bytes
    benefit: int


class Registration(NamedTuple):
    """People whom a unit of a member subscribes for.

    Args:
        member, unit: who.
        key_id, secret: of the tokens.
        context: serialized Context, with which every notice goes back.
        people: for whom.
        until_ms: until when; 0: these are taken out.
    """

    member: str
    unit: str
    key_id: bytes
    secret: bytes
    context: bytes
    people: Sequence[Person]
    until_ms: int


class Group(NamedTuple):
    """Whose subscriptions these are, and the key of their tokens."""

    number: int
    member: str
    unit: str
    key_id: bytes
    secret: bytes

    def __repr__(self) -> str:
        """Without the secret."""
        return f"<Group {self.number}>"


class Watched(NamedTuple):
    """A subscription: `told` is what the last notice told (b"": none), `sequence` its number."""

    token: bytes
    group: int
    benefit: int
    name_check: bytes
    context: bytes
    sequence: int
    told: bytes


class Advance(NamedTuple):
    """A subscription goes on to its next notice; `effects` happen with it, or not at all if it has gone on already."""

    watched: Watched
    sequence: int
    told: bytes
    effects: Sequence[Effect] = ()


class _Register:
    """How subscriptions are taken in, kept for longer, or taken out."""

    def __init__(self, keys: StoreKeys) -> None:
        self._keys = keys
        self._insert = BulkInsert(watch)

    def apply(self, transaction: Transaction, payloads: Sequence[Registration]) -> list[None]:
        for registration in payloads:
            self._one(transaction, registration)
        return [None] * len(payloads)

    def _one(self, transaction: Transaction, given: Registration) -> None:
        connection = transaction.connection
        people = {(person.token, person.benefit): person for person in given.people}
        group = _number_of(connection, given)
        if not given.until_ms:
            if group is not None:
                _take_out(connection, [(person, group) for person in people.values()])
            return
        group = group if group is not None else self._made(connection, given)
        change = 0
        terms = self._terms(connection, group, given.context)
        before: set[int] = set()
        for part in _parts(list(people.values())):
            rows = connection.execute(
                sa.select(watch.c.token, watch.c.benefit, watch.c.terms).where(
                    watch.c.token.in_([person.token for person in part]), watch.c.group_number == group
                )
            )
            known = {(bytes(row.token), row.benefit): row.terms for row in rows}
            new = [person for person in part if (person.token, person.benefit) not in known]
            if new:
                self._insert.add(
                    transaction,
                    [(p.token, group, p.benefit, p.name_check, terms, given.until_ms, 0, None) for p in new],
                )
            change += len(new)
            kept = [person for person in part if (person.token, person.benefit) in known]
            if kept:
                connection.execute(
                    sa.update(watch)
                    .where(
                        watch.c.token == sa.bindparam("t"),
                        watch.c.group_number == group,
                        watch.c.benefit == sa.bindparam("b"),
                    )
                    .values(name_check=sa.bindparam("n"), terms=terms, until_ms=given.until_ms),
                    [{"t": person.token, "b": person.benefit, "n": person.name_check} for person in kept],
                )
                before |= {known[person.token, person.benefit] for person in kept}
        if change:
            connection.execute(
                sa.update(watch_group).where(watch_group.c.number == group).values(people=watch_group.c.people + change)
            )
        _forget_terms(connection, before - {terms})

    def _made(self, connection: sa.Connection, given: Registration) -> int:
        number = _next(connection, watch_group)
        connection.execute(
            sa.insert(watch_group).values(
                number=number,
                member=given.member,
                key_id=given.key_id,
                unit=given.unit,
                secret=self._keys.encrypt(given.secret, _bound_to(b"group", number)),
                people=0,
            )
        )
        return number

    @staticmethod
    def _terms(connection: sa.Connection, group: int, context: bytes) -> int:
        digest = hashlib.sha256(context).digest()[:DIGEST_BYTES]
        found: int | None = connection.execute(
            sa.select(watch_terms.c.number).where(watch_terms.c.group_number == group, watch_terms.c.digest == digest)
        ).scalar()
        if found is not None:
            return found
        number = _next(connection, watch_terms)
        connection.execute(
            sa.insert(watch_terms).values(number=number, group_number=group, digest=digest, context=context)
        )
        return number


class _Advance:
    """How a subscription goes on; False, and none of its effects, where it was not where it was believed to be."""

    def __init__(self, keys: StoreKeys) -> None:
        self._keys = keys

    def apply(self, transaction: Transaction, payloads: Sequence[Advance]) -> list[bool]:
        done: list[bool] = []
        effects: list[Effect] = []
        for advance in payloads:
            before = advance.watched
            told = self._keys.encrypt(advance.told, _told_of(before.token, before.group, before.benefit))
            changed = transaction.connection.execute(
                sa.update(watch)
                .where(
                    watch.c.token == before.token,
                    watch.c.group_number == before.group,
                    watch.c.benefit == before.benefit,
                    watch.c.sequence == before.sequence,
                )
                .values(sequence=advance.sequence, told=told)
            ).rowcount
            done.append(bool(changed))
            if changed:
                effects += advance.effects
        apply_effects(transaction, effects)
        return done


class _Purge:
    """How subscriptions end by themselves; the result is how many did."""

    def apply(self, transaction: Transaction, payloads: Sequence[int]) -> list[int]:
        return [self._purge(transaction.connection, now_ms) for now_ms in payloads]

    def _purge(self, connection: sa.Connection, now_ms: int) -> int:
        over = connection.execute(
            sa.select(watch.c.token, watch.c.group_number, watch.c.benefit)
            .where(watch.c.until_ms < now_ms)
            .limit(PURGE_AT_MOST)
        ).all()
        _take_out(connection, [(Person(bytes(row.token), b"", row.benefit), row.group_number) for row in over])
        return len(over)


class Watches:
    """See the module."""

    def __init__(self, writer: Writer, reader: Reader, keys: StoreKeys) -> None:
        self._writer = writer
        self._reader = reader
        self._keys = keys
        self._register, self._advance, self._purge = _Register(keys), _Advance(keys), _Purge()
        self._groups: dict[bytes, Group] = {}
        """By their secret as it is stored: a number is given again once its group is gone."""

    def registering(self, registration: Registration) -> Effect:
        """What takes subscriptions in or out, to be committed with the answer to whoever asked for it."""
        return Effect(self._register, registration)

    def advancing(self, advance: Advance) -> Effect:
        """What takes a subscription to its next notice."""
        return Effect(self._advance, advance)

    async def purge(self, now_ms: int) -> int:
        """End subscriptions whose time is over, at most 2,000; how many."""
        return await self._writer.submit(self._purge, now_ms)

    async def count(self, member: str) -> int:
        """How many subscriptions a member has here."""
        query = sa.select(sa.func.sum(watch_group.c.people)).where(watch_group.c.member == member)
        return await self._reader.run(lambda connection: int(connection.execute(query).scalar() or 0))

    async def groups(self) -> list[Group]:
        """Whose subscriptions there are."""
        query = sa.select(watch_group).where(watch_group.c.people > 0)
        rows = await self._reader.run(lambda connection: connection.execute(query).all())
        held: dict[bytes, Group] = {}
        for row in rows:
            kept = bytes(row.secret)
            group = self._groups.get(kept)
            if group is None:
                secret = self._keys.decrypt(kept, _bound_to(b"group", row.number))
                group = Group(row.number, row.member, row.unit, bytes(row.key_id), secret)
            held[kept] = group
        self._groups = held
        return list(held.values())

    async def known(self, tokens: Sequence[bytes], now_ms: int) -> set[bytes]:
        """Which of these tokens somebody subscribed for, and still does."""
        if not tokens:
            return set()

        def read(connection: sa.Connection) -> set[bytes]:
            found: set[bytes] = set()
            for part in _parts(tokens):
                query = sa.select(watch.c.token).where(watch.c.token.in_(part), watch.c.until_ms >= now_ms)
                found |= {bytes(row.token) for row in connection.execute(query)}
            return found

        return await self._reader.run(read)

    async def unknown(self, given: Registration, at_ms: int) -> list[bytes]:
        """Tokens of those of these people for whom the unit has no subscription that still counts at `at_ms`."""
        wanted = list({(person.token, person.benefit): person for person in given.people}.values())

        def read(connection: sa.Connection) -> list[bytes]:
            group = _number_of(connection, given)
            if group is None:
                return [person.token for person in wanted]
            lacking: list[bytes] = []
            for part in _parts(wanted):
                rows = connection.execute(
                    sa.select(watch.c.token, watch.c.benefit).where(
                        watch.c.token.in_([person.token for person in part]),
                        watch.c.group_number == group,
                        watch.c.until_ms >= at_ms,
                    )
                )
                known = {(bytes(row.token), row.benefit) for row in rows}
                lacking += [person.token for person in part if (person.token, person.benefit) not in known]
            return lacking

        return list(dict.fromkeys(await self._reader.run(read)))

    async def find(self, tokens: Iterable[bytes], now_ms: int) -> list[Watched]:
        """The subscriptions of these tokens that still count."""
        wanted = list(tokens)

        def read(connection: sa.Connection) -> list[Any]:
            rows: list[Any] = []
            for part in _parts(wanted):
                query = (
                    sa.select(watch, watch_terms.c.context)
                    .join(watch_terms, watch_terms.c.number == watch.c.terms)
                    .where(watch.c.token.in_(part), watch.c.until_ms >= now_ms)
                )
                rows += connection.execute(query).all()
            return rows

        found = []
        for row in await self._reader.run(read):
            token = bytes(row.token)
            bound_to = _told_of(token, row.group_number, row.benefit)
            told = b"" if row.told is None else self._keys.decrypt(bytes(row.told), bound_to)
            check, context = bytes(row.name_check), bytes(row.context)
            found.append(Watched(token, row.group_number, row.benefit, check, context, row.sequence, told))
        return found


def _number_of(connection: sa.Connection, given: Registration) -> int | None:
    """The number of the group that a registration is of; None: there is none."""
    found: int | None = connection.execute(
        sa.select(watch_group.c.number).where(
            watch_group.c.member == given.member,
            watch_group.c.key_id == given.key_id,
            watch_group.c.unit == given.unit,
        )
    ).scalar()
    return found


def _take_out(connection: sa.Connection, people: Sequence[tuple[Person, int]]) -> None:
    """Take people out of their groups, and with the last of them what was shared."""
    gone: dict[int, int] = {}
    terms: set[int] = set()
    for person, group in people:
        for row in connection.execute(sa.delete(watch).where(*_key(person, group)).returning(watch.c.terms)):
            gone[group] = gone.get(group, 0) + 1
            terms.add(row.terms)
    for group, count in gone.items():
        number = watch_group.c.number == group
        connection.execute(sa.update(watch_group).where(number).values(people=watch_group.c.people - count))
        connection.execute(sa.delete(watch_group).where(number, watch_group.c.people <= 0))
    _forget_terms(connection, terms)


def _forget_terms(connection: sa.Connection, numbers: Iterable[int]) -> None:
    """Delete those of these terms that no subscription has any more."""
    had = sa.exists().where(watch.c.terms == watch_terms.c.number)
    for part in _parts(list(numbers)):
        connection.execute(sa.delete(watch_terms).where(watch_terms.c.number.in_(part), ~had))


def _next(connection: sa.Connection, table: sa.Table) -> int:
    """The next number of a small table. Only the writer's thread writes; another instance that takes the same number
    makes the transaction fail, and it is done again.
    """
    return int(connection.execute(sa.select(sa.func.max(table.c.number))).scalar() or 0) + 1


def _key(person: Person, group: int) -> tuple[sa.ColumnElement[bool], ...]:
    return watch.c.token == person.token, watch.c.group_number == group, watch.c.benefit == person.benefit


def _parts(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(rows), AT_ONCE):
        yield rows[start : start + AT_ONCE]


def _bound_to(what: bytes, number: int) -> bytes:
    return b"wugan-watch-v1\x00" + what + number.to_bytes(8)


def _told_of(token: bytes, group: int, benefit: int) -> bytes:
    return b"wugan-watch-told-v1\x00" + token + group.to_bytes(8) + benefit.to_bytes(2)
