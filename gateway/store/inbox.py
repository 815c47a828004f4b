"""The inbox at rest: what was accepted of other members, once each, until it has been dealt with.

Owns: the table `inbox`: accepting (known before, or superseded by a later one under the same order key: not accepted),
which deliveries are next, and finishing one together with whatever came of it, in one commit. The id of a delivery is
kept until long after it expired, so that it is never accepted twice; one that is dead as long after it died as well
(`next_try_ms` is when, of those). Refuses: knowing what a delivery holds.

A delivery waits until it is handled for the first time; those behind it under the same order key wait with it. One that
is handled and goes on (`UNDER_WAY`: departments are asked again) holds nobody up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Row

from gateway.store.audit import recorded_words
from gateway.store.keys import StoreKeys
from gateway.store.letters import (
    LONGEST_OFF_MS,
    REMEMBERED_MS,
    Effect,
    apply_effects,
    one_at_a_time,
    take_numbers,
)
from gateway.store.post_tables import NOTE_CHARS, inbox
from gateway.store.reader import Look, Reader
from gateway.store.rows import BulkInsert, Transaction
from gateway.store.writer import Writer

WAITING: Final = 1
UNDER_WAY: Final = 2
DONE: Final = 3
DEAD: Final = 4
OPEN: Final = (WAITING, UNDER_WAY)
_STATES: Final = (*OPEN, DONE, DEAD)

ACCEPTED: Final = 1
DUPLICATE: Final = 2
SUPERSEDED: Final = 3
FULL: Final = 4
EXPIRED: Final = 5

SWEEP_AT_MOST: Final = 500
_NUMBERS = "inbox_arrived"

_earlier = inbox.alias()
_BEHIND = sa.exists().where(
    _earlier.c.sender == inbox.c.sender,
    _earlier.c.order_key == inbox.c.order_key,
    _earlier.c.state == WAITING,
    _earlier.c.sequence < inbox.c.sequence,
)
"""Another one waits before it. Made once: it is looked every second, by every kind, whether there are any."""


class Arrival(NamedTuple):
    """A delivery at the door; `content` is what is kept of it, encrypted."""

    sender: str
    delivery_id: bytes
    sequence: int
    order_key: bytes
    kind: int
    purpose: int
    at_ms: int
    expires_at_ms: int
    content: bytes

    def __repr__(self) -> str:
        """Nothing of the content, whoever logs it."""
        return f"<Arrival {self.delivery_id.hex()}>"


class Held(NamedTuple):
    """A delivery that is to be dealt with; `progress` is its handler's own number, `attempts`: tries so far."""

    sender: str
    delivery_id: bytes
    kind: int
    purpose: int
    state: int
    accepted_at_ms: int
    expires_at_ms: int
    progress: int
    attempts: int
    failures: int
    content: bytes

    def __repr__(self) -> str:
        """Nothing of the content, whoever logs it."""
        return f"<Held {self.delivery_id.hex()}>"


class Finish(NamedTuple):
    """What came of handling a delivery.

    Args:
        sender, delivery_id: which one.
        state: DONE; UNDER_WAY, to go on at `next_try_ms`; WAITING or UNDER_WAY with a reason, it failed and is tried
            again then; or DEAD, since then.
        effects: what is committed with it.
        progress: the handler's number from now on.
        reason, note: why it failed.
        attempts: how often it had been handed over before, as in `Held`; another gateway on the same database may have
            handed it over as well, and the first of them counts.
    """

    sender: str
    delivery_id: bytes
    state: int
    effects: Sequence[Effect] = ()
    progress: int = 0
    next_try_ms: int = 0
    reason: int = 0
    note: str = ""
    attempts: int = 0


class _Accept:
    """How deliveries are accepted; the result is what came of each."""

    def __init__(self, keys: StoreKeys) -> None:
        self._keys = keys
        self._insert = BulkInsert(inbox)
        self.limit = 1 << 30
        """Deliveries of one sender that may wait at once."""
        self._room: dict[str, int] = {}

    def apply(self, transaction: Transaction, payloads: Sequence[Sequence[Arrival]]) -> list[list[int]]:
        return [self._accept(transaction, arrivals) for arrivals in payloads]

    def _accept(self, transaction: Transaction, arrivals: Sequence[Arrival]) -> list[int]:
        """Those of one envelope: of one sender."""
        if not arrivals:
            return []
        one_at_a_time(transaction)
        connection, sender = transaction.connection, arrivals[0].sender
        known = self._known(connection, sender, arrivals)
        newest = self._newest(connection, sender, arrivals)
        results: list[int] = []
        taken: list[Arrival] = []
        full = False
        for arrival in arrivals:
            if arrival.delivery_id in known:
                results.append(DUPLICATE)
                if known[arrival.delivery_id] < arrival.expires_at_ms + REMEMBERED_MS:  # it was sent once more
                    _remember(connection, arrival)
            elif arrival.expires_at_ms <= arrival.at_ms:
                results.append(EXPIRED)
            elif arrival.order_key and newest.get(arrival.order_key, 0) > arrival.sequence:
                results.append(SUPERSEDED)
            elif full or not self._has_room(connection, sender, len(taken)):
                full = True  # until this is written down: nothing is counted again for the rest
                results.append(FULL)
            else:
                results.append(ACCEPTED)
                taken.append(arrival)
                known[arrival.delivery_id] = arrival.expires_at_ms + REMEMBERED_MS
                newest[arrival.order_key] = arrival.sequence
                self._room[sender] -= 1
        if taken:
            first = take_numbers(transaction, _NUMBERS, len(taken), taken[0].at_ms)
            self._insert.add(transaction, [self._row(number, arrival) for number, arrival in enumerate(taken, first)])
        return results

    def _known(self, connection: sa.Connection, sender: str, arrivals: Sequence[Arrival]) -> dict[bytes, int]:
        rows = connection.execute(
            sa.select(inbox.c.delivery_id, inbox.c.keep_until_ms).where(
                inbox.c.sender == sender, inbox.c.delivery_id.in_([each.delivery_id for each in arrivals])
            )
        )
        return {bytes(row[0]): row[1] for row in rows}

    def _newest(self, connection: sa.Connection, sender: str, arrivals: Sequence[Arrival]) -> dict[bytes, int]:
        """The last sequence under each order key, where it is beyond the first of those that arrive."""
        keys = {each.order_key for each in arrivals if each.order_key}
        if not keys:
            return {}
        rows = connection.execute(
            sa.select(inbox.c.order_key, sa.func.max(inbox.c.sequence))
            # With every state, by which the index goes on to the sequence: what came before is not passed over.
            .where(inbox.c.sender == sender, inbox.c.order_key.in_(keys), inbox.c.state.in_(_STATES))
            .where(inbox.c.sequence > min(each.sequence for each in arrivals if each.order_key))
            .group_by(inbox.c.order_key)
        )
        return {bytes(row[0]): row[1] for row in rows}

    def _has_room(self, connection: sa.Connection, sender: str, taken: int) -> bool:
        """Counted when the room that was last known of is used up; `taken`: accepted, but not in the table yet."""
        if self._room.get(sender, 0) <= 0:
            query = sa.select(sa.func.count()).where(inbox.c.state.in_(OPEN), inbox.c.sender == sender)
            self._room[sender] = self.limit - taken - int(connection.execute(query).scalar() or 0)
        return self._room[sender] > 0

    def _row(self, number: int, arrival: Arrival) -> tuple[Any, ...]:
        return (
            arrival.sender,
            arrival.delivery_id,
            number,
            arrival.sequence,
            arrival.order_key or None,
            arrival.kind,
            arrival.purpose,
            WAITING,
            arrival.at_ms,
            arrival.expires_at_ms,
            arrival.expires_at_ms + REMEMBERED_MS,
            0,
            0,
            0,
            0,
            0,
            "",
            self._keys.encrypt(arrival.content, _bound_to(arrival.sender, arrival.delivery_id)),
        )


def _remember(connection: sa.Connection, arrival: Arrival) -> None:
    connection.execute(
        sa.update(inbox)
        .where(inbox.c.sender == arrival.sender, inbox.c.delivery_id == arrival.delivery_id)
        .values(keep_until_ms=arrival.expires_at_ms + REMEMBERED_MS)
    )


class _Finish:
    """How a delivery is finished; False, and nothing written, where somebody else has finished it."""

    def apply(self, transaction: Transaction, payloads: Sequence[Finish]) -> list[bool]:
        done: list[bool] = []
        effects: list[Effect] = []
        for finish in payloads:
            values: dict[str, Any] = {
                "state": finish.state,
                "next_try_ms": finish.next_try_ms,
                "attempts": inbox.c.attempts + 1,
            }
            if not finish.reason:
                values |= {"progress": finish.progress, "failures": 0, "reason": 0, "note": ""}
            else:
                failed = {"reason": finish.reason, "note": recorded_words(finish.note, NOTE_CHARS)}
                values |= {"failures": inbox.c.failures + 1, **failed}
            if finish.state == DONE:
                values["content"] = b""
            changed = transaction.connection.execute(
                sa.update(inbox)
                .where(
                    inbox.c.sender == finish.sender,
                    inbox.c.delivery_id == finish.delivery_id,
                    inbox.c.state.in_(OPEN),
                    inbox.c.attempts == finish.attempts,
                )
                .values(**values)
            ).rowcount
            done.append(bool(changed))
            if changed:
                effects += finish.effects
        apply_effects(transaction, effects)
        return done


class _Sweep:
    """How ids are forgotten whose time is over; the result is how many."""

    def apply(self, transaction: Transaction, payloads: Sequence[int]) -> list[int]:
        return [
            sum(self._sweep(transaction.connection, state, now_ms) for state in (DONE, DEAD)) for now_ms in payloads
        ]

    def _sweep(self, connection: sa.Connection, state: int, now_ms: int) -> int:
        # Of the first only, however many of those died later than that and are to be kept.
        first = (
            sa.select(inbox.c.sender, inbox.c.delivery_id, inbox.c.next_try_ms)
            .where(inbox.c.state == state, inbox.c.keep_until_ms < now_ms)
            .order_by(inbox.c.keep_until_ms)
            .limit(SWEEP_AT_MOST)
            .subquery()
        )
        over = sa.select(first.c.sender, first.c.delivery_id)
        if state == DEAD:
            over = over.where(first.c.next_try_ms < now_ms - REMEMBERED_MS)
        key = sa.tuple_(inbox.c.sender, inbox.c.delivery_id)
        return connection.execute(sa.delete(inbox).where(key.in_(over))).rowcount


class InboxTable:
    """See the module."""

    def __init__(self, writer: Writer, reader: Reader, keys: StoreKeys) -> None:
        self._writer = writer
        self._reader = reader
        self._keys = keys
        self._accept, self._finish, self._sweep = _Accept(keys), _Finish(), _Sweep()

    def limit(self, deliveries: int) -> None:
        """Let no more than so many deliveries of one sender wait at once."""
        self._accept.limit = deliveries

    def accept(self, arrivals: Sequence[Arrival]) -> asyncio.Future[list[int]]:
        """Accept what one envelope brought; the future says for each ACCEPTED, DUPLICATE, SUPERSEDED, FULL or EXPIRED,
        once it is on the disk.
        """
        return self._writer.submit(self._accept, arrivals)

    def finish(self, finish: Finish) -> asyncio.Future[bool]:
        """Write down what came of a delivery, with its effects; False: it was finished by somebody else."""
        return self._writer.submit(self._finish, finish)

    def sweep(self, now_ms: int) -> asyncio.Future[int]:
        """Forget ids that cannot come any more, at most 500 at once of those done, and of the dead.

        `now_ms`: Unix time of a clock that is believed (`gateway.store.jumps`).
        """
        return self._writer.submit(self._sweep, now_ms)

    async def due(self, kind: int, now_ms: int, limit: int, leave: Collection[tuple[str, bytes]] = ()) -> list[Held]:
        """Deliveries of a kind to be dealt with now, in the order in which their time came; of each order key the first
        only.

        Args:
            kind: DeliveryKind.
            now_ms: Unix time in milliseconds.
            limit: how many at most.
            leave: those that are being dealt with.
        """
        if limit <= 0 or not await self._reader.look(_ANY, kind=kind):
            return []
        rows = await self._reader.run(lambda connection: _due(connection, kind, now_ms, limit + len(leave)))
        held = [self.held(row) for row in rows if (row.sender, bytes(row.delivery_id)) not in leave]
        return held[:limit]

    async def counts(self) -> dict[int, int]:
        """How many there are of each state but those that are done, of which there may be millions."""
        not_done = inbox.c.state.in_((*OPEN, DEAD))
        query = sa.select(inbox.c.state, sa.func.count()).where(not_done).group_by(inbox.c.state)
        rows = await self._reader.run(lambda connection: connection.execute(query).all())
        return {int(state): int(count) for state, count in rows}

    def held(self, row: Row[Any]) -> Held:
        """What a row of the table holds."""
        delivery_id = bytes(row.delivery_id)
        return Held(
            row.sender,
            delivery_id,
            row.kind,
            row.purpose,
            row.state,
            row.accepted_at_ms,
            row.expires_at_ms,
            row.progress,
            row.attempts,
            row.failures,
            self._keys.decrypt(bytes(row.content), _bound_to(row.sender, delivery_id)),
        )


_ANY = Look(
    sa.select(sa.literal(1))
    .where(sa.or_(inbox.c.state == WAITING, inbox.c.state == UNDER_WAY), inbox.c.kind == sa.bindparam("kind"))
    .limit(1)
)
"""Whether there is anything of a kind to be dealt with, now or later."""


def _due(connection: sa.Connection, kind: int, now_ms: int, limit: int) -> list[Row[Any]]:
    """Those that go on, and those that begin: a query for each, so that either can follow an index.

    With them those that seem to be put off for longer than anything is: the clock was ahead when they were.
    """
    ahead_ms = now_ms + LONGEST_OFF_MS
    ready = sa.select(inbox).where(inbox.c.kind == kind).limit(limit)
    go_on = ready.where(inbox.c.state == UNDER_WAY, inbox.c.next_try_ms <= now_ms).order_by(inbox.c.next_try_ms)
    astray = ready.where(inbox.c.state == UNDER_WAY, inbox.c.next_try_ms > ahead_ms)
    # A sum, so that the database does not take the index of that time, under which nearly all that wait are due, and
    # sort them all; by arrival it finds the first few at once.
    is_time = sa.or_(inbox.c.next_try_ms + 0 <= now_ms, inbox.c.next_try_ms + 0 > ahead_ms)
    begin = ready.where(inbox.c.state == WAITING, is_time, ~_BEHIND).order_by(inbox.c.arrived)
    rows = [*connection.execute(begin), *connection.execute(go_on)]
    # By when their time came: while more comes than is got through, neither keeps the other waiting for ever.
    rows.sort(key=lambda row: min(now_ms, max(row.accepted_at_ms, row.next_try_ms)))
    return [*rows, *connection.execute(astray)]


def _bound_to(sender: str, delivery_id: bytes) -> bytes:
    return b"wugan-inbox-v1\x00" + delivery_id + sender.encode()
