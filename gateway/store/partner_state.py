"""What is known of partners that fail, kept across restarts: a gateway that comes up need not find it out by waiting.

Owns: the table `partner_state`, one row for each gateway of a partner that is left alone. Refuses: rows of those that
do well, and anything of what was asked. It is written when that changes, never for a call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa

from gateway.store.reader import Reader
from gateway.store.rows import Transaction
from gateway.store.tables import ADDRESS_CHARS, REASON_CHARS, partner_state
from gateway.store.writer import Writer

READ_AT_MOST = 10_000
_MOST = 2**31 - 1


class PartnerState(NamedTuple):
    """A gateway of a partner that fails.

    Args:
        member: whose gateway.
        address: where, "host:port".
        since_ms: its first failure after it last did well, Unix milliseconds.
        failures: times that it was given up in a row.
        interval_ms: from the last of them to the next try.
        next_try_ms: not asked before, Unix milliseconds.
        reason: short name of how it failed last.
    """

    member: str
    address: str
    since_ms: int
    failures: int
    interval_ms: int
    next_try_ms: int
    reason: str


Key = tuple[str, str]
_Change = tuple[Sequence[PartnerState], Sequence[Key]]


class _Keeping:
    """How states are written: those that changed in place of what was there, those that are over taken out."""

    def apply(self, transaction: Transaction, payloads: Sequence[_Change]) -> list[None]:
        newest: dict[Key, PartnerState | None] = {}
        for kept, gone in payloads:
            newest.update({(state.member, state.address): state for state in kept})
            newest.update(dict.fromkeys(gone))
        connection = transaction.connection
        for (member, address), state in newest.items():
            where = sa.and_(partner_state.c.member == member, partner_state.c.address == address[:ADDRESS_CHARS])
            connection.execute(sa.delete(partner_state).where(where))
            if state is not None:
                row = state._replace(
                    address=address[:ADDRESS_CHARS],
                    failures=min(state.failures, _MOST),
                    interval_ms=min(state.interval_ms, _MOST),
                    reason=state.reason[:REASON_CHARS],
                )
                connection.execute(sa.insert(partner_state).values(**row._asdict()))
        return [None] * len(payloads)


class PartnerStates:
    """See the module."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        self._writer = writer
        self._reader = reader
        self._keeping = _Keeping()

    def submit(self, kept: Sequence[PartnerState], gone: Sequence[Key]) -> asyncio.Future[None]:
        """Have states written, and those of gateways that do well again taken out.

        Raises:
            StoreError: too much is waiting, or the store is closed; so does the future when the write failed.
        """
        return self._writer.submit(self._keeping, (kept, gone))

    async def read(self) -> list[PartnerState]:
        """All that is kept.

        Raises:
            StoreError: it could not be read.
        """
        query = sa.select(partner_state).limit(READ_AT_MOST)
        return await self._reader.run(lambda connection: [PartnerState(*row) for row in connection.execute(query)])
