"""The durable replay guard: a message that was accepted once is refused ever after, also after a crash.

The rule, complete: a message is accepted when it is not past its time, and its id is not in the table; it is in the
table, on the disk, before `accepted` returns. Rows leave the table `KEEP_MS` after the message could last have been
accepted, and the latest time of those that left is remembered in the same transaction: whatever is past its time by
then is refused, even if the clock was set back in between. Ids of recent messages are held in memory as well, so that
an ordinary replay costs no I/O; memory only ever refuses.

So a clock that was ahead for a moment closes the door to nobody once it is right: what it removed was of the ordinary
time before, and what was accepted meanwhile stays in the table until that time comes. No row leaves by a clock that has
just jumped ahead (`gateway.store.jumps`). If some left by a clock that was ahead for long, everything is refused until
that time comes, and `closed_until_ms` tells when that is: nothing forgotten is accepted again.

Owns: the table `replay_guard`. Refuses: deciding how long an envelope is acceptable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import sqlalchemy as sa

from gateway.clock import Clock
from gateway.errors import EnvelopeError, StoreError
from gateway.store.jumps import Jumps
from gateway.store.reader import Reader
from gateway.store.rows import BulkInsert, Transaction
from gateway.store.tables import MEMBER_CHARS, MESSAGE_ID_BYTES, replay_guard, store_meta
from gateway.store.writer import Writer
from wugan.federation.v1 import vocabulary_pb2 as words

KEEP_MS = 2 * 120_000
"""How long after its time a message stays in the table: twice the skew allowed between the clocks of two gateways."""
RECENT = 32_768
"""Ids held in memory at least (at most twice as many), about 200 bytes each."""
PURGE_EVERY = 256
PURGE_AT_MOST = 2 * PURGE_EVERY
_FORGOTTEN = "replay_forgotten"

_Admission = tuple[str, bytes, int]


class _Admissions:
    """How admissions are written; the result is whether the id was new."""

    def __init__(self, clock: Clock, forgotten_ms: int) -> None:
        self._insert = BulkInsert(replay_guard)
        self._jumps = Jumps(clock)
        self._since_purge = 0
        self.now_ms = 0
        """Last clock reading; set by the guard, read by the writer's thread."""
        self.forgotten_ms = forgotten_ms
        """What was past its time before this Unix millisecond may no longer be in the table; the writer sets it."""

    def brief(self, _admission: _Admission) -> bool:
        """Unless old ones are deleted along with it."""
        return self._since_purge + 1 < PURGE_EVERY

    def apply(self, transaction: Transaction, payloads: Sequence[_Admission]) -> list[bool]:
        added = self._insert.add_new(transaction, payloads)
        # Once more: some may have been forgotten since it was claimed.
        fresh = [new and payload[2] >= self.forgotten_ms for new, payload in zip(added, payloads, strict=True)]
        self._since_purge += len(payloads)
        if self._since_purge >= PURGE_EVERY:
            self._since_purge = 0
            if not self._jumps.ahead_ms():
                self.forgotten_ms = max(self.forgotten_ms, _purge(transaction.connection, self.now_ms - KEEP_MS))
        return fresh


class _Claim:
    """A message that memory does not know."""

    __slots__ = ("_admission", "_guard", "_written")

    def __init__(self, guard: DurableReplayGuard, admission: _Admission) -> None:
        self._guard = guard
        self._admission = admission
        self._written: asyncio.Future[bool] | None = None

    def submit(self) -> None:
        """Have it written down with what is submitted next, or by itself after 20 ms.

        Raises:
            StoreError: too much is waiting, or the store is closed; the message may be tried again.
        """
        self._written = self._write(behind=True)
        self._written.add_done_callback(self._ended)

    async def accepted(self) -> None:
        """Return when it is on the disk; what was not submitted is written now.

        Raises:
            EnvelopeError: ENVELOPE_REPLAYED; it was there already.
            StoreError: it could not be written down, and is not accepted.
        """
        written = self._write(behind=False) if self._written is None else self._written
        try:
            fresh = await written
        except StoreError:
            self._guard.forget(self._admission)
            raise
        if not fresh:
            raise _replayed()

    def _ended(self, written: asyncio.Future[bool]) -> None:
        """Also where nobody awaits it any more, because what was written with it failed as well."""
        if not written.cancelled() and written.exception() is not None:
            self._guard.forget(self._admission)

    def _write(self, *, behind: bool) -> asyncio.Future[bool]:
        try:
            return self._guard.write(self._admission, behind=behind)
        except StoreError:
            self._guard.forget(self._admission)
            raise


class DurableReplayGuard:
    """See the module. Every instance of a gateway that shares the database shares the guard."""

    def __init__(self, writer: Writer, reader: Reader, clock: Clock) -> None:
        self._writer = writer
        self._admissions = _Admissions(clock, reader.run_here(_forgotten_ms))
        self._recent: set[tuple[str, bytes]] = set()
        self._older: set[tuple[str, bytes]] = set()

    @property
    def closed_until_ms(self) -> int:
        """What is past its time before this Unix millisecond is refused, whatever the time is now."""
        return self._admissions.forgotten_ms

    def claim(self, sender: str, message_id: bytes, expires_at_ms: int, now_ms: int) -> _Claim:
        """Refuse what memory knows, or hold the message; accepted means on the disk. See `ReplayGuard.claim`.

        Args:
            sender: member id, already authenticated.
            message_id: UUIDv7, 16 bytes.
            expires_at_ms: last Unix millisecond at which the envelope would be accepted, skew included.
            now_ms: Unix time in milliseconds.

        Raises:
            EnvelopeError: ENVELOPE_REPLAYED; ENVELOPE_EXPIRED; ENVELOPE_MALFORMED: id or sender of a wrong length.
        """
        self._admissions.now_ms = now_ms
        if expires_at_ms < now_ms or expires_at_ms < self._admissions.forgotten_ms:
            raise _expired()
        key = (sender, message_id)
        if key in self._recent or key in self._older:
            raise _replayed()
        if len(message_id) != MESSAGE_ID_BYTES or not 0 < len(sender) <= MEMBER_CHARS:
            raise _malformed()
        self._remember(key)
        return _Claim(self, (sender, message_id, expires_at_ms))

    def write(self, admission: _Admission, *, behind: bool) -> asyncio.Future[bool]:
        """Write a claimed message; whether it was new. `behind`: something is submitted right after it, and takes it
        along.
        """
        return self._writer.submit(self._admissions, admission, more=True, behind=behind)

    def forget(self, admission: _Admission) -> None:
        """A message could not be written down: it may be tried again."""
        key = admission[:2]
        self._recent.discard(key)
        self._older.discard(key)

    def _remember(self, key: tuple[str, bytes]) -> None:
        if len(self._recent) >= RECENT:
            self._older, self._recent = self._recent, set()
        self._recent.add(key)


def _purge(connection: sa.Connection, before_ms: int) -> int:
    """Delete a bounded number of rows that expired before then, and remember the latest; what is remembered now."""
    expired = (
        sa.select(replay_guard.c.sender, replay_guard.c.message_id)
        .where(replay_guard.c.expires_at_ms < before_ms)
        .order_by(replay_guard.c.expires_at_ms)
        .limit(PURGE_AT_MOST)
    )
    key = sa.tuple_(replay_guard.c.sender, replay_guard.c.message_id)
    gone = connection.execute(
        sa.delete(replay_guard).where(key.in_(expired)).returning(replay_guard.c.expires_at_ms)
    ).scalars()
    latest = max(gone, default=-1) + 1
    known = _forgotten_ms(connection)
    if latest > known:
        connection.execute(sa.delete(store_meta).where(store_meta.c.name == _FORGOTTEN))
        connection.execute(sa.insert(store_meta).values(name=_FORGOTTEN, value=latest.to_bytes(8)))
    return max(latest, known)


def _forgotten_ms(connection: sa.Connection) -> int:
    """What was past its time before this Unix millisecond may no longer be in the table."""
    value = connection.execute(sa.select(store_meta.c.value).where(store_meta.c.name == _FORGOTTEN)).scalar()
    return 0 if value is None else int.from_bytes(value)


def _replayed() -> EnvelopeError:
    return EnvelopeError(
        "This message was accepted before. Ask again in a new message.",
        "该消息此前已受理，请以新消息重新查询。",
        reason=words.REFUSAL_REASON_ENVELOPE_REPLAYED,
        field="header.message_id",
    )


def _expired() -> EnvelopeError:
    return EnvelopeError(
        "The envelope has expired. Check the clocks of both gateways and ask again in a new message.",
        "信封已过期，请核对双方网关的时钟，并以新消息重新查询。",
        reason=words.REFUSAL_REASON_ENVELOPE_EXPIRED,
        field="header.expires_at_ms",
    )


def _malformed() -> EnvelopeError:
    return EnvelopeError(
        f"A message id has {MESSAGE_ID_BYTES} bytes and a sender at most {MEMBER_CHARS} characters.",
        f"消息编号应为 {MESSAGE_ID_BYTES} 字节，发送方编号不超过 {MEMBER_CHARS} 个字符。",
        reason=words.REFUSAL_REASON_ENVELOPE_MALFORMED,
        field="header.message_id",
    )
