"""Which kept answers may be given again: to whom, for what and until when.

Owns: the table `answer_cache`, one row for each set of terms under which an answer may be used again; the answer itself
lies, encrypted, among the kept ones (`gateway.store.answers`). Rows are written many at a time, some time after the
answer came: what a crash loses is asked again. Bounded in number: the least lately used go first. Refuses: deciding who
may be given what (`gateway.federation.answer_cache`), and telling from a row whom it is about.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

import sqlalchemy as sa

from gateway.store.ended import EVERY_MEMBER, EndedAnswers
from gateway.store.keys import StoreKeys
from gateway.store.letters import Effect
from gateway.store.reader import Reader
from gateway.store.rows import BulkInsert, Transaction
from gateway.store.tables import answer_cache, kept_answer_subject
from gateway.store.writer import Writer

PURGE_AT_MOST: Final = 4096
PURGE_EVERY: Final = 256
BRIEF_ROWS: Final = 8
"""So many rows are written in no time."""
INDEXES_AT_ONCE: Final = 500


class Reusable(NamedTuple):
    """One row, columns as in the table; times in Unix milliseconds.

    Args:
        key: keyed hash of all that the answer was asked under, 32 bytes.
        member, message_id, position: of the kept answer.
        received_at_ms: when it came.
        cacheable_until_ms: until when it may be given again.
        stale_until_ms: until when it may be shown as outdated; 0: not.
        until_ms: the later of the two.
        directory: tag of the directory it was verified by, 40 bytes.
        used_at_ms: when it was last given.
    """

    key: bytes
    member: str
    message_id: bytes
    position: int
    received_at_ms: int
    cacheable_until_ms: int
    stale_until_ms: int
    until_ms: int
    directory: bytes
    used_at_ms: int


class Changes(NamedTuple):
    """What is written at once: new rows, the keys that were used with the time, how many rows there may be."""

    rows: Sequence[Reusable]
    used: Sequence[tuple[bytes, int]]
    now_ms: int
    most: int


class _Writing:
    """How changes are written; the result are the keys that had to go."""

    def __init__(self) -> None:
        self._rows = BulkInsert(answer_cache)
        self._touch = (
            sa.update(answer_cache)
            .where(answer_cache.c.key == sa.bindparam("of"))
            .values(used_at_ms=sa.bindparam("used"))
        )
        self._since_purge = 0

    def brief(self, changes: Changes) -> bool:
        """Where they are few, unless old ones are deleted along with them."""
        few = len(changes.rows) <= BRIEF_ROWS and not changes.used
        return few and self._since_purge + len(changes.rows) < PURGE_EVERY

    def apply(self, transaction: Transaction, payloads: Sequence[Changes]) -> list[list[bytes]]:
        connection = transaction.connection
        results = []
        for changes in payloads:
            if changes.rows:
                # In the order of keys: gateways that share a database must not wait for each other in a circle.
                latest = {row.key: row for row in changes.rows}
                self._rows.put(transaction, [latest[key] for key in sorted(latest)])
            if changes.used:
                used = sorted(dict(changes.used).items())
                connection.execute(self._touch, [{"of": key, "used": at} for key, at in used])
            self._since_purge += len(changes.rows)
            dropped: list[bytes] = []
            if self._since_purge >= PURGE_EVERY:
                self._since_purge = 0
                dropped = _purge(connection, changes.now_ms, changes.most)
            results.append(dropped)
        return results


class _Dropping:
    """How rows about people are deleted, and others told; the result are their keys."""

    def __init__(self, ended: EndedAnswers) -> None:
        self._ended = ended

    def apply(
        self, transaction: Transaction, payloads: Sequence[tuple[str, Sequence[bytes] | None, bool]]
    ) -> list[list[bytes]]:
        dropped = []
        for member, indexes, tell in payloads:
            if tell:
                self._ended.tell(transaction.connection, member, indexes)
            dropped.append(self._drop(transaction.connection, member, indexes))
        return dropped

    def _drop(self, connection: sa.Connection, member: str, indexes: Sequence[bytes] | None) -> list[bytes]:
        """All rows of a member, or those about the people of these blind indexes: of a member, or of every one."""
        if indexes is None:
            return _delete(connection, sa.select(answer_cache.c.key).where(answer_cache.c.member == member))
        dropped: list[bytes] = []
        answer = sa.tuple_(answer_cache.c.member, answer_cache.c.message_id, answer_cache.c.position)
        about = kept_answer_subject.c
        for start in range(0, len(indexes), INDEXES_AT_ONCE):
            # No join: of one person, the database would go through all of the member's answers to find theirs.
            theirs = sa.select(about.member, about.message_id, about.position).where(
                about.blind_index.in_(indexes[start : start + INDEXES_AT_ONCE])
            )
            if member != EVERY_MEMBER:
                theirs = theirs.where(about.member == member)
            dropped += _delete(connection, sa.select(answer_cache.c.key).where(answer.in_(theirs)))
        return dropped


class ReusableAnswers:
    """See the module."""

    def __init__(self, writer: Writer, reader: Reader, keys: StoreKeys, ended: EndedAnswers) -> None:
        self._writer = writer
        self._reader = reader
        self._writing = _Writing()
        self._dropping = _Dropping(ended)
        self.key = keys.cache_key
        """Keyed hash of all that an answer is asked under."""
        self.blind_index = keys.blind_index
        """By what a person is found; as in the kept answers."""

    def submit(self, changes: Changes) -> asyncio.Future[list[bytes]]:
        """Have rows written; the future has the keys of those that went, because they are over or too many.

        Raises:
            StoreError: too much is waiting, or the store is closed; so does the future when the write failed.
        """
        return self._writer.submit(self._writing, changes)

    def drop(self, member: str, indexes: Collection[bytes] | None, *, tell: bool = True) -> asyncio.Future[list[bytes]]:
        """Have all rows of a member's answers deleted, or those about the people of these blind indexes.

        `member`: EVERY_MEMBER, where it is about people. `tell`: other gateways on the same database.

        Raises:
            StoreError: as `submit`.
        """
        return self._writer.submit(self._dropping, (member, None if indexes is None else list(indexes), tell))

    def dropping(self, member: str, indexes: Collection[bytes]) -> Effect:
        """The same for people, to be committed with what ends the answers: a crash right after it brings none back."""
        return Effect(self._dropping, (member, list(indexes), True))

    async def keys(self, now_ms: int, most: int) -> list[bytes]:
        """The keys of those that may be given at a time, the most lately used first.

        Raises:
            StoreError: it could not be read.
        """
        query = (
            sa.select(answer_cache.c.key)
            .where(answer_cache.c.until_ms > now_ms)
            .order_by(answer_cache.c.used_at_ms.desc())
            .limit(most)
        )
        return await self._reader.run(lambda connection: [bytes(key) for key in connection.execute(query).scalars()])

    async def members(self) -> list[str]:
        """Whose answers there are rows of.

        Raises:
            StoreError: it could not be read.
        """
        query = sa.select(answer_cache.c.member).distinct()
        return await self._reader.run(lambda connection: list(connection.execute(query).scalars()))

    async def find(self, key: bytes) -> Reusable | None:
        """The row of a key.

        Raises:
            StoreError: it could not be read.
        """
        query = sa.select(answer_cache).where(answer_cache.c.key == key)
        row = await self._reader.run(lambda connection: connection.execute(query).first())
        return None if row is None else Reusable(*row)


def _purge(connection: sa.Connection, now_ms: int, most: int) -> list[bytes]:
    """Delete what is over, then the least lately used beyond the bound; a bounded number at a time."""
    over = sa.select(answer_cache.c.key).where(answer_cache.c.until_ms <= now_ms).limit(PURGE_AT_MOST)
    dropped = _delete(connection, over)
    count = connection.execute(sa.select(sa.func.count()).select_from(answer_cache)).scalar() or 0
    if count > most:
        oldest = (
            sa.select(answer_cache.c.key).order_by(answer_cache.c.used_at_ms).limit(min(count - most, PURGE_AT_MOST))
        )
        dropped += _delete(connection, oldest)
    return dropped


def _delete(connection: sa.Connection, chosen: sa.Select[tuple[bytes]]) -> list[bytes]:
    deleted = connection.execute(
        sa.delete(answer_cache).where(answer_cache.c.key.in_(chosen)).returning(answer_cache.c.key)
    )
    return [bytes(key) for key in deleted.scalars()]
