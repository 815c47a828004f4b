"""Looking things up in the audit trail: by time, kind, member and so on, a page at a time.

Owns: the conditions of a search and its pages. Refuses: writing, the chain (both are `gateway.store.audit`'s), deciding
who may look, and pages of any length. No column but the sequence number is indexed: every index would cost each
exchange a write, and a page is found by reading on from where the one before ended.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import sqlalchemy as sa

from gateway.store.audit import DIRECTIONS, AuditEvent, Direction, event_of
from gateway.store.chain import Content
from gateway.store.reader import Reader
from gateway.store.tables import audit_event

PAGE_AT_MOST: Final = 10_000
_EXCHANGES: Final = tuple(DIRECTIONS[each] for each in ("in", "out", "again"))


class Sought(NamedTuple):
    """Which events are looked for; what is not given is not asked for.

    Args:
        since_ms, until_ms: Unix milliseconds, the end excluded; 0: open.
        direction: of the event.
        refused: True: refused ones; False: exchanges that were answered.
        reason: RefusalReason of refused ones; 0: any.
        member, unit, case_reference: exactly.
        official: the pseudonym, or a key id, whole.
        purpose: number; 0: any.
        message_id: whole.
    """

    since_ms: int = 0
    until_ms: int = 0
    direction: Direction | None = None
    refused: bool | None = None
    reason: int = 0
    member: str = ""
    unit: str = ""
    case_reference: str = ""
    official: bytes = b""
    purpose: int = 0
    message_id: bytes = b""

    def conditions(self) -> list[sa.ColumnElement[bool]]:
        """The same for the database."""
        column = audit_event.c
        found: list[sa.ColumnElement[bool]] = []
        if self.since_ms:
            found.append(column.at_ms >= self.since_ms)
        if self.until_ms:
            found.append(column.at_ms < self.until_ms)
        if self.direction is not None:
            found.append(column.direction == DIRECTIONS[self.direction])
        if self.reason:
            found.append(column.outcome == self.reason)
        elif self.refused is not None:
            found.append(column.outcome != 0 if self.refused else column.outcome == 0)
            found.append(column.direction.in_(_EXCHANGES))
        if self.purpose:
            found.append(column.purpose == self.purpose)
        for named, wanted in (
            (column.counterpart, self.member),
            (column.unit, self.unit),
            (column.case_reference, self.case_reference),
            (column.official, self.official),
            (column.message_id, self.message_id),
        ):
            if wanted:
                found.append(named == wanted)
        return found


class Found(NamedTuple):
    """An event with its place in the chain.

    Args:
        sequence: counts from 1.
        event: what is recorded.
        digest_tag: stands for the question's digest.
        mac: binds it to all events before it.
    """

    sequence: int
    event: AuditEvent
    digest_tag: bytes
    mac: bytes


class Trail:
    """See the module."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def newest(self, sought: Sought, *, before: int = 0, limit: int) -> list[Found]:
        """Events that are looked for, the newest first, from the one before a sequence number (0: from the end).

        Raises:
            StoreError: they could not be read.
        """
        end = [audit_event.c.sequence < before] if before else []
        return await self._page(sought, end, audit_event.c.sequence.desc(), limit)

    async def oldest(self, sought: Sought, *, after: int = 0, limit: int) -> list[Found]:
        """The same, the oldest first, from the one after a sequence number.

        Raises:
            StoreError: they could not be read.
        """
        return await self._page(sought, [audit_event.c.sequence > after], audit_event.c.sequence, limit)

    async def at(self, sequence: int) -> Found | None:
        """The event of a sequence number.

        Raises:
            StoreError: it could not be read.
        """
        found = await self._page(Sought(), [audit_event.c.sequence == sequence], audit_event.c.sequence, 1)
        return found[0] if found else None

    async def _page(
        self,
        sought: Sought,
        place: list[sa.ColumnElement[bool]],
        order: sa.UnaryExpression[int] | sa.Column[int],
        limit: int,
    ) -> list[Found]:
        query = (
            sa.select(audit_event).where(*place, *sought.conditions()).order_by(order).limit(min(limit, PAGE_AT_MOST))
        )

        def read(connection: sa.Connection) -> list[Found]:
            found = []
            for sequence, *columns, _, mac in connection.execute(query):
                content = Content(*columns)
                found.append(Found(sequence, event_of(content), content.digest_tag, bytes(mac)))
            return found

        return await self._reader.run(read)
