"""Checks that a unit left open, and the answers that came to them later.

Owns: the tables `late_check`, `late_question` and `late_event`: leaving a check with members, with more because of what
came, noting what comes of it once each, telling a unit what came in the order in which it came. A unit finds its own
checks only: its name is part of every query. Refuses: judging answers, and keeping a check for longer than its time and
a month.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from gateway.store.keys import StoreKeys
from gateway.store.letters import REMEMBERED_MS, Effect, apply_effects, one_at_a_time, take_numbers
from gateway.store.post_tables import late_check, late_event, late_question
from gateway.store.reader import Look, Reader
from gateway.store.rows import Transaction
from gateway.store.writer import Writer

OPEN: Final = 1
PARTIAL: Final = 2
ANSWERED: Final = 3
LAPSED: Final = 4
"""As LateState of the contract."""

DROPPED: Final = b"dropped"
"""Body of what LAPSED because an operator dropped the question; that of one whose time ran out is empty."""
KEEP_MS: Final = REMEMBERED_MS
LIST_AT_MOST: Final = 1000
SWEEP_AT_MOST: Final = 200
_NUMBERS = "late_event"


class Left(NamedTuple):
    """A check as it was left.

    Args:
        ticket: by which the unit finds it.
        unit: whose it is.
        left_at_ms, until_ms: from when until when, Unix milliseconds.
        body: what was asked and what was known then; for whoever left it to read.
        members: with whom, by the delivery id of the question.
    """

    ticket: bytes
    unit: str
    left_at_ms: int
    until_ms: int
    body: bytes
    members: Mapping[bytes, str]

    def __repr__(self) -> str:
        """Nothing of the content, whoever logs it."""
        return f"<Left {self.ticket.hex()}>"


class Question(NamedTuple):
    """A question that was left: with whom, and what came of it."""

    delivery_id: bytes
    ticket: bytes
    member: str
    state: int
    until_ms: int


class More(NamedTuple):
    """A member with whom a check is left because of what came, unless it is left with it already.

    Args:
        delivery_id: of the question.
        member: with whom.
        body: how it is shown until it answers; for whoever left it to read.
        effects: what is committed with it: the letter, the record.
    """

    delivery_id: bytes
    member: str
    body: bytes
    effects: Sequence[Effect]

    def __repr__(self) -> str:
        """Nothing of the content, whoever logs it."""
        return f"<More {self.delivery_id.hex()}>"


class Came(NamedTuple):
    """Something that came of a left question.

    Args:
        delivery_id: of the question.
        state: PARTIAL, ANSWERED or LAPSED.
        at_ms: Unix milliseconds.
        body: the proof of the answer; where none came DROPPED, or empty.
        more: with whom the check is left because of it, if it is noted, until its time is over.
        most: questions that the check may have then, in all.
    """

    delivery_id: bytes
    state: int
    at_ms: int
    body: bytes
    more: Sequence[More] = ()
    most: int = 0

    def __repr__(self) -> str:
        """Nothing of the content, whoever logs it."""
        return f"<Came {self.delivery_id.hex()}>"


class Event(NamedTuple):
    """What came, and its place in the order in which a unit is told.

    One of state OPEN says that the check was left with this member, too, because of what came in the next one that is
    not: a unit is told of both at once. Its body is that of `More`.
    """

    number: int
    ticket: bytes
    member: str
    state: int
    at_ms: int
    body: bytes

    def __repr__(self) -> str:
        """Nothing of the content, whoever logs it."""
        return f"<Event {self.number}>"


class News(NamedTuple):
    """What came, the check that it came to (None: that was forgotten since), and all that had come to it by then."""

    event: Event
    check: tuple[Left, list[Question]] | None
    came: list[Event]


class _Leave:
    def __init__(self, keys: StoreKeys) -> None:
        self._keys = keys

    def apply(self, transaction: Transaction, payloads: Sequence[Left]) -> list[None]:
        checks: list[dict[str, Any]] = []
        questions: list[dict[str, Any]] = []
        for left in payloads:
            checks.append(
                {
                    "ticket": left.ticket,
                    "unit": left.unit,
                    "left_at_ms": left.left_at_ms,
                    "until_ms": left.until_ms,
                    "keep_until_ms": left.until_ms + KEEP_MS,
                    "body": self._keys.encrypt(left.body, _bound_to(b"check", left.ticket)),
                }
            )
            questions += [
                {
                    "delivery_id": delivery_id,
                    "ticket": left.ticket,
                    "member": member,
                    "state": OPEN,
                    "until_ms": left.until_ms,
                }
                for delivery_id, member in left.members.items()
            ]
        transaction.connection.execute(sa.insert(late_check), checks)
        transaction.connection.execute(sa.insert(late_question), questions)
        return [None] * len(payloads)


class _Note:
    """How what came is noted; what comes after the last answer is not, and leaves the check with nobody more."""

    def __init__(self, keys: StoreKeys) -> None:
        self._keys = keys

    def apply(self, transaction: Transaction, payloads: Sequence[Came]) -> list[bool]:
        return [self._note(transaction, came) for came in payloads]

    def _note(self, transaction: Transaction, came: Came) -> bool:
        connection = transaction.connection
        one_at_a_time(transaction)
        row = connection.execute(
            sa.select(
                late_question.c.ticket,
                late_question.c.member,
                late_question.c.state,
                late_check.c.unit,
                late_check.c.until_ms,
            )
            .join(late_check, late_check.c.ticket == late_question.c.ticket)
            .where(late_question.c.delivery_id == came.delivery_id)
        ).first()
        # An answer that comes after its time is welcome; a time that runs out after an answer is nothing new.
        if row is None or row.state == ANSWERED or (came.state == LAPSED and row.state != OPEN):
            return False
        connection.execute(
            sa.update(late_question).where(late_question.c.delivery_id == came.delivery_id).values(state=came.state)
        )
        ticket = bytes(row.ticket)
        more = _still(connection, ticket, came) if came.more else []
        for each in more:
            question = Question(each.delivery_id, ticket, each.member, OPEN, row.until_ms)
            connection.execute(sa.insert(late_question).values(**question._asdict()))
        number = take_numbers(transaction, _NUMBERS, len(more) + 1, came.at_ms)
        # Before what it comes of: who is told of that is told of all that came until then.
        events = [*((each.member, OPEN, each.body) for each in more), (row.member, came.state, came.body)]
        connection.execute(
            sa.insert(late_event),
            [
                {
                    "number": number + place,
                    "unit": row.unit,
                    "ticket": ticket,
                    "member": member,
                    "state": state,
                    "at_ms": came.at_ms,
                    "body": self._keys.encrypt(body, _bound_to(b"event", ticket)) if body else b"",
                }
                for place, (member, state, body) in enumerate(events)
            ],
        )
        apply_effects(transaction, [effect for each in more for effect in each.effects])
        return True


def _still(connection: sa.Connection, ticket: bytes, came: Came) -> list[More]:
    """With whom a check is to be left: not with whom it is already, nor with more than it may be.

    Looked at where it is written: of two answers that lead to the same member at once, one does.
    """
    query = sa.select(late_question.c.member).where(late_question.c.ticket == ticket)
    members = set(connection.execute(query).scalars())
    return [each for each in came.more if each.member not in members][: max(0, came.most - len(members))]


class _Forget:
    """How checks whose time is long over are forgotten, with all that came to them."""

    def apply(self, transaction: Transaction, payloads: Sequence[int]) -> list[None]:
        for now_ms in payloads:
            over = _over(now_ms).limit(SWEEP_AT_MOST)
            transaction.connection.execute(sa.delete(late_check).where(late_check.c.ticket.in_(over)))
        return [None] * len(payloads)


def _over(now_ms: int | sa.BindParameter[int]) -> sa.Select[tuple[bytes]]:
    return sa.select(late_check.c.ticket).where(late_check.c.keep_until_ms < now_ms)


_ANY_OVER = Look(_over(sa.bindparam("now_ms")).limit(1))
_LAPSED = Look(
    sa.select(late_question.c.delivery_id)
    .where(late_question.c.state == OPEN, late_question.c.until_ms < sa.bindparam("now_ms"))
    .limit(SWEEP_AT_MOST)
)


class LateChecks:
    """See the module."""

    def __init__(self, writer: Writer, reader: Reader, keys: StoreKeys) -> None:
        self._writer = writer
        self._reader = reader
        self._keys = keys
        self._leave, self._note, self._forget = _Leave(keys), _Note(keys), _Forget()

    def leaving(self, left: Left) -> Effect:
        """What leaves a check, to be committed with the letters that carry its questions."""
        return Effect(self._leave, left)

    def noting(self, came: Came) -> Effect:
        """What notes that something came, to be committed with what else comes of it."""
        return Effect(self._note, came)

    def note(self, came: Came) -> asyncio.Future[bool]:
        """Note that something came; False: it is nothing new."""
        return self._writer.submit(self._note, came)

    async def sweep(self, now_ms: int) -> list[bytes]:
        """Forget checks whose time is long over; the delivery ids of questions whose time ran out, 200 at most."""
        if await self._reader.look(_ANY_OVER, now_ms=now_ms):
            await self._writer.submit(self._forget, now_ms)
        return [bytes(row[0]) for row in await self._reader.look(_LAPSED, now_ms=now_ms)]

    async def question(self, delivery_id: bytes) -> Question | None:
        """A question that was left; None: never, or it was forgotten."""
        query = sa.select(late_question).where(late_question.c.delivery_id == delivery_id)
        row = await self._reader.run(lambda connection: connection.execute(query).first())
        return None if row is None else Question(bytes(row[0]), bytes(row[1]), *row[2:])

    async def check(self, ticket: bytes, unit: str | None) -> tuple[Left, list[Question]] | None:
        """A check of a unit, and how its questions stand; None: it has none under this ticket.

        Args:
            ticket: by which it was left.
            unit: whose it must be; None: whosever, for the gateway's own use.
        """
        return await self._reader.run(lambda connection: self._check(connection, ticket, unit))

    async def events(self, unit: str, after: int, limit: int) -> list[News]:
        """What came to a unit's checks after a number, in order, each with its check; all in one visit."""

        def read(connection: sa.Connection) -> list[News]:
            return [
                News(
                    event, self._check(connection, event.ticket, unit), self._of(connection, event.ticket, event.number)
                )
                for event in self._read(connection, _EVENTS, unit=unit, after=after, at_most=limit)
            ]

        return await self._reader.run(read)

    async def events_of(self, ticket: bytes) -> list[Event]:
        """What came to one check, in order, and with whom it was left because of it."""
        return await self._reader.run(lambda connection: self._of(connection, ticket, _LAST))

    async def checks(self, unit: str, limit: int, *, only_open: bool) -> list[tuple[bytes, int, int]]:
        """A unit's checks, newest first: ticket, from when, until when."""
        query = (
            sa.select(late_check.c.ticket, late_check.c.left_at_ms, late_check.c.until_ms)
            .where(late_check.c.unit == unit)
            .order_by(late_check.c.left_at_ms.desc(), late_check.c.ticket.desc())
            .limit(min(limit, LIST_AT_MOST))
        )
        if only_open:
            still = sa.select(late_question.c.ticket).where(
                late_question.c.ticket == late_check.c.ticket, late_question.c.state.in_((OPEN, PARTIAL))
            )
            query = query.where(still.exists())
        rows = await self._reader.run(lambda connection: connection.execute(query).all())
        return [(bytes(row[0]), row[1], row[2]) for row in rows]

    def _check(self, connection: sa.Connection, ticket: bytes, unit: str | None) -> tuple[Left, list[Question]] | None:
        query, values = (_CHECK, {}) if unit is None else (_CHECK_OF_UNIT, {"unit": unit})
        row = connection.execute(query, {"ticket": ticket, **values}).first()
        if row is None:
            return None
        rows = connection.execute(_QUESTIONS, {"ticket": ticket}).all()
        questions = [Question(bytes(each[0]), bytes(each[1]), *each[2:]) for each in rows]
        body = self._keys.decrypt(bytes(row.body), _bound_to(b"check", ticket))
        members = {each.delivery_id: each.member for each in questions}
        return Left(ticket, row.unit, row.left_at_ms, row.until_ms, body, members), questions

    def _of(self, connection: sa.Connection, ticket: bytes, through: int) -> list[Event]:
        return self._read(connection, _EVENTS_OF, ticket=ticket, through=through)

    def _read(self, connection: sa.Connection, query: sa.Select[Any], **values: object) -> list[Event]:
        found = []
        for row in connection.execute(query, values).all():
            ticket, body = bytes(row.ticket), bytes(row.body)
            plain = self._keys.decrypt(body, _bound_to(b"event", ticket)) if body else b""
            found.append(Event(row.number, ticket, row.member, row.state, row.at_ms, plain))
        return found


_LAST: Final = (1 << 63) - 1
_CHECK: Final = sa.select(late_check).where(late_check.c.ticket == sa.bindparam("ticket"))
_CHECK_OF_UNIT: Final = _CHECK.where(late_check.c.unit == sa.bindparam("unit"))
_QUESTIONS: Final = (
    sa.select(late_question)
    .where(late_question.c.ticket == sa.bindparam("ticket"))
    .order_by(late_question.c.delivery_id)
)
_EVENTS: Final = (
    sa.select(late_event)
    .where(
        late_event.c.unit == sa.bindparam("unit"),
        late_event.c.number > sa.bindparam("after"),
        late_event.c.state != OPEN,
    )
    .order_by(late_event.c.number)
    .limit(sa.bindparam("at_most", type_=sa.Integer))
)
_EVENTS_OF: Final = (
    sa.select(late_event)
    .where(late_event.c.ticket == sa.bindparam("ticket"), late_event.c.number <= sa.bindparam("through"))
    .order_by(late_event.c.number)
)


def _bound_to(what: bytes, ticket: bytes) -> bytes:
    return b"wugan-late-" + what + b"-v1\x00" + ticket
