"""What an operator sees of deliveries in both directions, and does about dead ones: retry, or drop with a reason.

Owns: the lists, and bringing dead letters and deliveries back or letting them be; a drop is recorded in the audit trail
in the same commit, and in it whoever left a question is told that it was dropped. Refuses: showing what a delivery
holds, and touching one that is not dead, but for a letter of which somebody else knows that nobody is there to take it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from gateway.store import inbox as received
from gateway.store import outbox as letters
from gateway.store.audit import AuditEvent, AuditLog
from gateway.store.ended_meanwhile import ending_again, overtaken
from gateway.store.inbox import InboxTable
from gateway.store.late import DROPPED, LAPSED, Came, LateChecks
from gateway.store.letters import REMEMBERED_MS, Effect, apply_effects, take_numbers
from gateway.store.notice_tables import subscription
from gateway.store.outbox import OutboxTable
from gateway.store.post_tables import inbox, outbox
from gateway.store.reader import Reader
from gateway.store.rows import Transaction
from gateway.store.writer import Writer
from wugan.federation.v1 import delivery_pb2

LIST_AT_MOST: Final = 1000
RETRY_MARGIN_MS: Final = 86_400_000
"""How long before the other side may have forgotten a delivery it is not sent again any more."""

_STILL_MS: Final = 86_400_000
"""A subscription that is asked for again is believed in force for so long: the renewal comes long before."""


class Listed(NamedTuple):
    """What is shown of a letter, or of a delivery that was accepted.

    Args:
        delivery_id: by which both sides know it.
        member: to whom it goes, or who sent it.
        kind: DeliveryKind.
        purpose: Purpose.
        state: of the table that it is in (`gateway.store.outbox`, `gateway.store.inbox`).
        made_at_ms: when it was made, or accepted, Unix milliseconds; `expires_at_ms`, `next_try_ms` likewise.
        next_try_ms: of one that is dead: when it died; 0: that is not noted.
        failures: how often it failed since it last went well.
        reason: RefusalReason of the last failure, 0: none.
        note: what was said about it.
        size: of what is kept, bytes.
    """

    delivery_id: bytes
    member: str
    kind: int
    purpose: int
    state: int
    made_at_ms: int
    expires_at_ms: int
    next_try_ms: int
    failures: int
    reason: int
    note: str
    size: int


class _RetryLetter:
    """How a dead letter is sent again: at the end of the order, for as long as it had the first time.

    It waits from then on: by when it was put in, its time at the next retry is measured, and how long the oldest waits.
    When it was made is in its id.

    Of subscriptions it may end some that were made anew since: the member would not have them any more, while they are
    believed in force here. So whoever was asked for by a later letter is asked for again, after this one. And it may
    make some that were ended since: these are ended again, after it.
    """

    def __init__(self, table: OutboxTable, audit: AuditLog) -> None:
        self._table = table
        self._audit = audit

    def apply(self, transaction: Transaction, payloads: Sequence[tuple[bytes, int]]) -> list[bool]:
        connection = transaction.connection
        done = []
        for delivery_id, now_ms in payloads:
            row = connection.execute(sa.select(outbox).where(outbox.c.delivery_id == delivery_id)).first()
            # Beyond this the other side may have forgotten that it has it, and would deal with it twice.
            if row is None or row.state != letters.DEAD or now_ms > row.expires_at_ms + REMEMBERED_MS - RETRY_MARGIN_MS:
                done.append(False)
                continue
            sequence = take_numbers(transaction, letters.NUMBERS, 1, now_ms)
            until_ms = max(row.expires_at_ms, now_ms + min(row.expires_at_ms - row.created_at_ms, REMEMBERED_MS))
            connection.execute(
                sa.update(outbox)
                .where(outbox.c.delivery_id == delivery_id)
                .values(
                    sequence=sequence,
                    state=letters.WAITING,
                    created_at_ms=now_ms,
                    expires_at_ms=until_ms,
                    next_try_ms=0,
                    failures=0,
                )
            )
            if row.kind == delivery_pb2.DELIVERY_KIND_SUBSCRIPTION:
                _ask_again(connection, row.partner, delivery_id, now_ms)
                sent = self._table.letter(row)._replace(expires_at_ms=until_ms)
                apply_effects(transaction, ending_again(connection, self._table, self._audit, sent, now_ms))
            done.append(True)
        return done


def _ask_again(connection: sa.Connection, member: str, change_id: bytes, now_ms: int) -> None:
    """Have the next renewal ask for those who were asked for after a letter. Their time at the member is not said to be
    over: of whom the member did not know then, it is seen that they were lost, and they are looked at.
    """
    soon_ms, before = now_ms + _STILL_MS, subscription.c.lease_until_ms
    connection.execute(
        sa.update(subscription)
        .where(subscription.c.member == member, subscription.c.change_id > change_id)
        .values(asked_at_ms=0, lease_until_ms=sa.case((before > soon_ms, soon_ms), else_=before))
    )


class _Dropping(NamedTuple):
    """A letter to be dropped, in which states, and what is written if it was."""

    delivery_id: bytes
    states: tuple[int, ...]
    effects: tuple[Effect, ...]


class _DropLetter:
    """How a letter is dropped, and what comes of that written; the result is whether it was there, in such a state."""

    def apply(self, transaction: Transaction, payloads: Sequence[_Dropping]) -> list[bool]:
        done = []
        for each in payloads:
            gone = transaction.connection.execute(
                sa.delete(outbox).where(outbox.c.delivery_id == each.delivery_id, outbox.c.state.in_(each.states))
            ).rowcount
            if gone:
                apply_effects(transaction, each.effects)
            done.append(bool(gone))
        return done


class _RetryDelivery:
    """How a dead delivery is handled again; the result is whether it was dead, and may be.

    Not one that subscribes where a later change to the subscriptions was dealt with: it may have ended these.
    """

    def __init__(self, table: InboxTable) -> None:
        self._table = table

    def apply(self, transaction: Transaction, payloads: Sequence[bytes]) -> list[bool]:
        return [self._one(transaction.connection, delivery_id) for delivery_id in payloads]

    def _one(self, connection: sa.Connection, delivery_id: bytes) -> bool:
        this = inbox.c.delivery_id == delivery_id, inbox.c.state == received.DEAD
        row = connection.execute(sa.select(inbox).where(*this)).first()
        if row is None or (
            row.kind == delivery_pb2.DELIVERY_KIND_SUBSCRIPTION
            and overtaken(connection, row, self._table.held(row).content)
        ):
            return False
        again = sa.update(inbox).where(*this).values(state=received.WAITING, next_try_ms=0, failures=0)
        return bool(connection.execute(again).rowcount)


class _DropDelivery:
    """How a dead delivery is dropped: it counts as done, and the record of it is written."""

    def apply(self, transaction: Transaction, payloads: Sequence[tuple[bytes, Effect]]) -> list[bool]:
        done = []
        for delivery_id, record in payloads:
            changed = transaction.connection.execute(
                sa.update(inbox)
                .where(inbox.c.delivery_id == delivery_id, inbox.c.state == received.DEAD)
                .values(state=received.DONE, content=b"")
            ).rowcount
            if changed:
                record.kind.apply(transaction, [record.payload])
            done.append(bool(changed))
        return done


class PostOffice:
    """See the module."""

    def __init__(
        self,
        writer: Writer,
        reader: Reader,
        audit: AuditLog,
        sent: OutboxTable,
        accepted: InboxTable,
        late: LateChecks,
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._audit = audit
        self._late = late
        self._retry_letter, self._drop_letter = _RetryLetter(sent, audit), _DropLetter()
        self._retry_delivery, self._drop_delivery = _RetryDelivery(accepted), _DropDelivery()

    async def letters(self, *, member: str = "", state: int = 0, limit: int = 100) -> list[Listed]:
        """Letters in the outbox, oldest first, at most 1,000; to one member or of one state where these are given."""
        query = sa.select(*_LETTER).order_by(outbox.c.sequence)
        if member:
            query = query.where(outbox.c.partner == member)
        if state:
            query = query.where(outbox.c.state == state)
        return [_made(each) for each in await self._list(query.limit(min(limit, LIST_AT_MOST)))]

    async def deliveries(self, *, member: str = "", state: int = 0, limit: int = 100) -> list[Listed]:
        """Deliveries in the inbox that are not done, or those of one state, in the order of arrival, at most 1,000."""
        query = sa.select(*_DELIVERY).order_by(inbox.c.arrived)
        query = query.where(inbox.c.state == state) if state else query.where(inbox.c.state != received.DONE)
        if member:
            query = query.where(inbox.c.sender == member)
        return await self._list(query.limit(min(limit, LIST_AT_MOST)))

    async def letters_to(self, member: str) -> list[bytes]:
        """Every letter to a member, waiting or dead, oldest first."""
        query = sa.select(outbox.c.delivery_id).where(outbox.c.partner == member).order_by(outbox.c.sequence)
        return await self._ids(query)

    async def dead_letters(self) -> list[bytes]:
        """Every dead letter, oldest first."""
        query = sa.select(outbox.c.delivery_id).where(outbox.c.state == letters.DEAD).order_by(outbox.c.sequence)
        return await self._ids(query)

    async def dead_deliveries(self) -> list[bytes]:
        """Every dead delivery, in the order of arrival."""
        query = sa.select(inbox.c.delivery_id).where(inbox.c.state == received.DEAD).order_by(inbox.c.arrived)
        return await self._ids(query)

    async def letter(self, delivery_id: bytes) -> Listed | None:
        """One letter."""
        found = await self._list(sa.select(*_LETTER).where(outbox.c.delivery_id == delivery_id))
        return _made(found[0]) if found else None

    async def delivery(self, delivery_id: bytes) -> Listed | None:
        """One delivery that was accepted."""
        found = await self._list(sa.select(*_DELIVERY).where(inbox.c.delivery_id == delivery_id))
        return found[0] if found else None

    def retry_letter(self, delivery_id: bytes, now_ms: int) -> asyncio.Future[bool]:
        """Send a dead letter again; False: there is none, or it is so old that the other side may take it twice."""
        return self._writer.submit(self._retry_letter, (delivery_id, now_ms))

    def drop_letter(self, delivery_id: bytes, record: AuditEvent, *, waiting: bool = False) -> asyncio.Future[bool]:
        """Delete a dead letter, and record it; False: there is none.

        Where it left a question, it is noted that nothing will come of it.

        Args:
            delivery_id: of it.
            record: of the drop.
            waiting: also one that waits, because its member has left the federation.
        """
        states = (letters.DEAD, letters.WAITING) if waiting else (letters.DEAD,)
        told = self._late.noting(Came(delivery_id, LAPSED, record.at_ms, DROPPED))  # no question: nothing
        return self._writer.submit(
            self._drop_letter, _Dropping(delivery_id, states, (self._audit.effect(record), told))
        )

    def retry_delivery(self, delivery_id: bytes) -> asyncio.Future[bool]:
        """Have a dead delivery handled again; False: there is none, or it subscribes and was overtaken."""
        return self._writer.submit(self._retry_delivery, delivery_id)

    def drop_delivery(self, delivery_id: bytes, record: AuditEvent) -> asyncio.Future[bool]:
        """Let a dead delivery be, and record it; False: there is none."""
        return self._writer.submit(self._drop_delivery, (delivery_id, self._audit.effect(record)))

    async def _ids(self, query: sa.Select[Any]) -> list[bytes]:
        rows = await self._reader.run(lambda connection: connection.execute(query).scalars().all())
        return [bytes(each) for each in rows]

    async def _list(self, query: sa.Select[Any]) -> list[Listed]:
        rows = await self._reader.run(lambda connection: connection.execute(query).all())
        return [Listed(bytes(row[0]), *row[1:]) for row in rows]


def _made(each: Listed) -> Listed:
    """A letter with when it was made, which is in its id (a UUIDv7): a retry puts it in anew."""
    return each._replace(made_at_ms=int.from_bytes(each.delivery_id[:6]))


_LETTER = (
    outbox.c.delivery_id,
    outbox.c.partner,
    outbox.c.kind,
    outbox.c.purpose,
    outbox.c.state,
    outbox.c.created_at_ms,
    outbox.c.expires_at_ms,
    outbox.c.next_try_ms,
    outbox.c.failures,
    outbox.c.reason,
    outbox.c.note,
    sa.func.length(outbox.c.body),
)
_DELIVERY = (
    inbox.c.delivery_id,
    inbox.c.sender,
    inbox.c.kind,
    inbox.c.purpose,
    inbox.c.state,
    inbox.c.accepted_at_ms,
    inbox.c.expires_at_ms,
    inbox.c.next_try_ms,
    inbox.c.failures,
    inbox.c.reason,
    inbox.c.note,
    sa.func.length(inbox.c.content),
)
