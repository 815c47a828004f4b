"""The outbox at rest: what is to be delivered to other members, until its receipt is there.

Owns: the tables `outbox` and `outbox_partner`: numbering letters, which of them may be sent now, what came of an
attempt. A letter is either waiting, or dead and shown to an operator, or gone because it was received.
Refuses: sending, deciding
when to try again, and what an operator does (`gateway.store.post_office`).

Of a dead letter `next_try_ms` is when it was seen that its time was over, 0 where it died before that: it is kept from
then on, however long ago its time was over by that clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Row

from gateway.errors import StoreError
from gateway.store.audit import recorded_words
from gateway.store.keys import StoreKeys
from gateway.store.letters import LONGEST_OFF_MS, Effect, Letter, take_numbers
from gateway.store.post_tables import NOTE_CHARS, ORDER_KEY_BYTES, outbox, outbox_partner
from gateway.store.reader import Look, Reader
from gateway.store.rows import BulkInsert, Transaction
from gateway.store.tables import MEMBER_CHARS, MESSAGE_ID_BYTES
from gateway.store.writer import Writer
from wugan.federation.v1 import vocabulary_pb2 as words

WAITING: Final = 1
DEAD: Final = 2
MAX_BODY_BYTES: Final = 4 << 20
SWEEP_AT_MOST: Final = 500
LOOKED_THROUGH: Final = 4_096
"""So many letters are looked through for those that are due, if any is found: of a person with many, one is. More than
that about one person hold up what waits behind them."""
_PART_AT_MOST: Final = 8_192
"""So many are read at a time."""
NUMBERS: Final = "outbox_sequence"


class Due(NamedTuple):
    """A letter that may be sent now; `sequence` is its place in the order in which this member made them."""

    sequence: int
    letter: Letter
    failures: int


class Again(NamedTuple):
    """A letter that was not taken: when to try it again, and why it was not."""

    sequence: int
    next_try_ms: int
    reason: int


class Dead(NamedTuple):
    """A letter that will not be sent any more by itself, and why."""

    sequence: int
    reason: int
    note: str


class Trouble(NamedTuple):
    """A partner to which nothing can be delivered: since when, how often it was tried, when it will be again."""

    partner: str
    failing_since_ms: int
    failures: int
    next_try_ms: int
    reason: int


class Attempt(NamedTuple):
    """What came of one envelope. Letters in none of the lists stay as they are.

    Args:
        partner: to whom.
        received: sequences of letters that the partner has.
        again: letters to try again on their own.
        dead: letters to give up.
        trouble: the partner's state from now on; None: it is well.
    """

    partner: str
    received: Sequence[int] = ()
    again: Sequence[Again] = ()
    dead: Sequence[Dead] = ()
    trouble: Trouble | None = None


class Backlog(NamedTuple):
    """How a partner's queue stands: letters waiting, when the oldest was made (0: none), and dead ones."""

    partner: str
    waiting: int
    oldest_ms: int
    dead: int


class _Post:
    """How letters are put in: numbered in the order in which they come."""

    def __init__(self, keys: StoreKeys) -> None:
        self._keys = keys
        self._insert = BulkInsert(outbox)

    def apply(self, transaction: Transaction, payloads: Sequence[Letter]) -> list[int]:
        now_ms = max(letter.created_at_ms for letter in payloads)
        first = take_numbers(transaction, NUMBERS, len(payloads), now_ms)
        rows = []
        for sequence, letter in enumerate(payloads, first):
            rows.append(
                (
                    sequence,
                    letter.delivery_id,
                    letter.partner,
                    letter.order_key or None,
                    letter.kind,
                    letter.purpose,
                    WAITING,
                    letter.created_at_ms,
                    letter.expires_at_ms,
                    0,
                    0,
                    0,
                    "",
                    self._keys.encrypt(letter.body, _bound_to(letter.delivery_id)),
                )
            )
        self._insert.add(transaction, rows)
        return list(range(first, first + len(payloads)))


class _Settle:
    """How what came of an attempt is written."""

    def apply(self, transaction: Transaction, payloads: Sequence[Attempt]) -> list[None]:
        connection = transaction.connection
        for attempt in payloads:
            if attempt.received:
                connection.execute(sa.delete(outbox).where(outbox.c.sequence.in_(attempt.received)))
            for again in attempt.again:
                connection.execute(
                    sa.update(outbox)
                    .where(outbox.c.sequence == again.sequence, outbox.c.state == WAITING)
                    .values(next_try_ms=again.next_try_ms, reason=again.reason, failures=outbox.c.failures + 1)
                )
            for dead in attempt.dead:
                connection.execute(
                    sa.update(outbox)
                    .where(outbox.c.sequence == dead.sequence, outbox.c.state == WAITING)
                    # Another member's words, in which anything may stand: one character that the database does not
                    # store would fail whatever is committed with this, and again at every attempt.
                    .values(state=DEAD, reason=dead.reason, note=recorded_words(dead.note, NOTE_CHARS), next_try_ms=0)
                )
            connection.execute(sa.delete(outbox_partner).where(outbox_partner.c.partner == attempt.partner))
            if attempt.trouble is not None:
                connection.execute(sa.insert(outbox_partner).values(**attempt.trouble._asdict()))
        return [None] * len(payloads)


class _Sweep:
    """How time passes: what expired is dead, and what was dead for long is gone; the result is how many expired."""

    def apply(self, transaction: Transaction, payloads: Sequence[tuple[int, int]]) -> list[int]:
        return [self._sweep(transaction.connection, now_ms, dead_before_ms) for now_ms, dead_before_ms in payloads]

    def _sweep(self, connection: sa.Connection, now_ms: int, dead_before_ms: int) -> int:
        expired = connection.execute(
            sa.update(outbox)
            .where(outbox.c.sequence.in_(_until(WAITING, now_ms).limit(SWEEP_AT_MOST)))
            .values(state=DEAD, reason=words.REFUSAL_REASON_DELIVERY_EXPIRED, next_try_ms=now_ms)
        ).rowcount
        connection.execute(sa.delete(outbox).where(outbox.c.sequence.in_(_kept_long_enough(dead_before_ms))))
        return expired


class OutboxTable:
    """See the module."""

    def __init__(self, writer: Writer, reader: Reader, keys: StoreKeys) -> None:
        self._writer = writer
        self._reader = reader
        self._keys = keys
        self._post, self._settle, self._sweep = _Post(keys), _Settle(), _Sweep()

    def effect(self, letter: Letter) -> Effect:
        """What puts a letter in, to be committed with other writes.

        Raises:
            StoreError: the letter is malformed; not retryable.
        """
        if (
            len(letter.partner) != MEMBER_CHARS
            or len(letter.delivery_id) != MESSAGE_ID_BYTES
            or len(letter.order_key) not in (0, ORDER_KEY_BYTES)
            or len(letter.body) > MAX_BODY_BYTES
        ):
            raise StoreError(
                "a letter to be delivered is malformed or too large",
                "待投递的消息格式有误或过大",
                retryable=False,
            )
        return Effect(self._post, letter)

    def submit(self, letter: Letter) -> asyncio.Future[int]:
        """Have a letter put in; the future's result is its sequence, once it is on the disk.

        Raises:
            StoreError: the letter is malformed, too much is waiting, or the store is closed.
        """
        effect = self.effect(letter)
        return self._writer.submit(self._post, effect.payload)

    def settle(self, attempt: Attempt) -> asyncio.Future[None]:
        """Write down what came of an attempt."""
        return self._writer.submit(self._settle, attempt)

    async def sweep(self, now_ms: int, dead_before_ms: int) -> int:
        """Give up what expired; delete letters that died, and whose time ended, before then. At most 500 of each.

        Nothing is written where there is neither. Times are Unix milliseconds, of a clock that is believed
        (`gateway.store.jumps`).
        """
        look = self._reader.look
        if not (await look(_OVER, now_ms=now_ms) or await look(_LONG_DEAD, until_ms=dead_before_ms)):
            return 0
        return await self._writer.submit(self._sweep, (now_ms, dead_before_ms))

    async def due(self, partner: str, now_ms: int, limit: int, longest_ms: int = LONGEST_OFF_MS) -> list[Due]:
        """Letters that may be sent to a partner now, in order: of each order key only the first that waits.

        `longest_ms`: none is put off for longer; one that seems to be was while the clock was ahead.
        """
        rows = await self._reader.run(lambda connection: _due(connection, partner, now_ms, limit, longest_ms))
        return [Due(row.sequence, self.letter(row), row.failures) for row in rows]

    async def partners(self) -> list[str]:
        """Everybody for whom something waits."""
        if not await self._reader.look(_ANY_WAITING):
            return []
        return await self._reader.run(lambda connection: _distinct_partners(connection, WAITING))

    async def troubles(self) -> dict[str, Trouble]:
        """Partners to which nothing could be delivered when it was last tried."""
        return {row[0]: Trouble(*row) for row in await self._reader.look(_TROUBLES)}

    async def backlog(self) -> list[Backlog]:
        """How the queues stand, by partner."""
        return await self._reader.run(_backlog)

    def letter(self, row: Row[Any]) -> Letter:
        """What a row of the table holds."""
        delivery_id = bytes(row.delivery_id)
        return Letter(
            row.partner,
            row.kind,
            row.purpose,
            self._keys.decrypt(bytes(row.body), _bound_to(delivery_id)),
            row.expires_at_ms,
            bytes(row.order_key or b""),
            delivery_id,
            row.created_at_ms,
        )


def _due(
    connection: sa.Connection, partner: str, now_ms: int, limit: int, longest_ms: int = LONGEST_OFF_MS
) -> Sequence[Row[Any]]:
    """The first that are due, in order; fewer than `limit` where so many are not among the first `LOOKED_THROUGH` that
    wait, but never none where there is one.

    Whether another waits before a letter is known from those passed on the way to it. To ask the database that of each
    takes a search through all before it: with 87,000 letters about 200 people it took some 20 seconds.
    """
    found: list[int] = []
    passed: set[bytes] = set()
    after, part, looked_through = -1, limit, 0
    while True:
        rows = connection.execute(_WAIT, {"partner": partner, "after": after, "part": part}).all()
        for sequence, order_key, next_try_ms, expires_at_ms in rows:
            if order_key is not None:
                if (key := bytes(order_key)) in passed:
                    continue
                passed.add(key)
            if expires_at_ms > now_ms and not now_ms < next_try_ms <= now_ms + longest_ms:
                found.append(sequence)
                if len(found) == limit:
                    break
        looked_through += len(rows)
        enough = len(found) == limit or (found and looked_through >= LOOKED_THROUGH)
        if enough or len(rows) < part:
            return connection.execute(_THESE, {"sequences": found}).all() if found else []
        after, part = rows[-1].sequence, min(2 * part, _PART_AT_MOST)


def _until(state: int, before_ms: int | sa.BindParameter[int]) -> sa.Select[tuple[int]]:
    """Letters in a state whose time was over by then."""
    return sa.select(outbox.c.sequence).where(outbox.c.state == state, outbox.c.expires_at_ms <= before_ms)


def _kept_long_enough(before_ms: int | sa.BindParameter[int]) -> sa.Select[tuple[int]]:
    """Dead letters whose time was over by then, and seen to be.

    Only those whose time was over first are looked through, however many there are: where the gateway was away for
    days, all that died when it came back are to be kept, and others wait behind them for so many days at most.
    """
    first = _until(DEAD, before_ms).add_columns(outbox.c.next_try_ms).order_by(outbox.c.expires_at_ms)
    over = first.limit(SWEEP_AT_MOST).subquery()
    return sa.select(over.c.sequence).where(over.c.next_try_ms <= before_ms)


_ANY_WAITING = Look(sa.select(outbox.c.sequence).where(outbox.c.state == WAITING).limit(1))
_OVER = Look(_until(WAITING, sa.bindparam("now_ms")).limit(1))
_LONG_DEAD = Look(_kept_long_enough(sa.bindparam("until_ms")).limit(1))
_TROUBLES = Look(sa.select(outbox_partner))
_WAIT = (
    sa.select(outbox.c.sequence, outbox.c.order_key, outbox.c.next_try_ms, outbox.c.expires_at_ms)
    .where(
        outbox.c.partner == sa.bindparam("partner"),
        outbox.c.state == WAITING,
        outbox.c.sequence > sa.bindparam("after"),
    )
    .order_by(outbox.c.sequence)
    .limit(sa.bindparam("part"))
)
_THESE = (
    sa.select(outbox)
    # A sum, so that the database takes them by their numbers and does not go through all that wait.
    .where(outbox.c.sequence.in_(sa.bindparam("sequences", expanding=True)), outbox.c.state + 0 == WAITING)
    .order_by(outbox.c.sequence)
)


def _distinct_partners(connection: sa.Connection, state: int) -> list[str]:
    """By two seeks for each partner, however many letters there are."""
    found: list[str] = []
    last = ""
    while True:
        # Of any state: with the state in it, the database would take an index by that and go through all of them.
        following: str | None = connection.execute(
            sa.select(sa.func.min(outbox.c.partner)).where(outbox.c.partner > last)
        ).scalar()
        if following is None:
            return found
        there = sa.select(outbox.c.sequence).where(outbox.c.partner == following, outbox.c.state == state).limit(1)
        if connection.execute(there).first() is not None:
            found.append(following)
        last = following


def _backlog(connection: sa.Connection) -> list[Backlog]:
    """By the index alone, but for the oldest letter of each partner."""
    found = []
    for partner in sorted({*_distinct_partners(connection, WAITING), *_distinct_partners(connection, DEAD)}):
        count = sa.select(sa.func.count()).where(outbox.c.partner == partner)
        oldest = (
            sa.select(outbox.c.created_at_ms)
            .where(outbox.c.partner == partner, outbox.c.state == WAITING)
            .order_by(outbox.c.sequence)
            .limit(1)
        )
        found.append(
            Backlog(
                partner,
                int(connection.execute(count.where(outbox.c.state == WAITING)).scalar() or 0),
                int(connection.execute(oldest).scalar() or 0),
                int(connection.execute(count.where(outbox.c.state == DEAD)).scalar() or 0),
            )
        )
    return found


def _bound_to(delivery_id: bytes) -> bytes:
    return b"wugan-outbox-v1\x00" + delivery_id
