"""The audit trail: who asked whom, why, on which basis, and what came of it, as a chain that shows every change.

Owns: the tables `audit_event` and `audit_cut`. Refuses: identity numbers and names (there is no column for them, and
what looks like a number in anybody's own words is masked), the digest of a question (a keyed tag stands for it), words
of any length (they are cut, and end in a mark that says so), failing for what it records, changing a row, and deleting
one younger than three years (个人信息保护法 第五十六条: records of processing are kept for at least three years).
"""

from __future__ import annotations

import asyncio
import functools
import hmac
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

import sqlalchemy as sa

from gateway.clock import Clock
from gateway.errors import StoreError
from gateway.log import mask
from gateway.store.chain import START, ChainHead, Content, Link, broken, cut_mac, link_mac, verify
from gateway.store.keys import StoreKeys
from gateway.store.letters import Effect
from gateway.store.reader import Reader
from gateway.store.rows import BulkInsert, Transaction
from gateway.store.tables import (
    DECISION_CHARS,
    MEMBER_CHARS,
    MESSAGE_ID_BYTES,
    PSEUDONYM_BYTES,
    WORDS_CHARS,
    audit_cut,
    audit_event,
)
from gateway.store.writer import Writer
from wugan.federation.v1 import exchange_pb2

RETENTION_MS = 3 * 366 * 86_400_000
"""Three years, leap days included."""
CUT_AT_MOST = 10_000
READ_AT_MOST = 10_000
_CHAIN_LOCK = 0x77_75_67_61_6E_02
"""PostgreSQL advisory lock: several gateways append to one chain, one transaction at a time."""
_LONGEST_NUMBER = 24
"""Characters that `mask` has to see to know a number: 18, blanks between its parts, and what follows."""
_CUT_PSEUDONYM = b"+"
Direction = Literal["in", "out", "act", "alarm", "again"]
DIRECTIONS: dict[Direction, int] = {"in": 1, "out": 2, "act": 3, "alarm": 4, "again": 5}
"""The number of each direction in the table."""
_NAMES = {number: name for name, number in DIRECTIONS.items()}


class AuditEvent(NamedTuple):
    """One exchange, seen from this gateway; or an administrative act, or an alarm.

    Anything may stand in the texts and in `official`: a refused question is recorded too, whatever is in it. How they
    are written down is said at `recorded_words`; of a pseudonym longer than 32 bytes, the first 32 and a "+".

    Args:
        at_ms: Unix time in milliseconds.
        direction: "in": another member asked us; "out": we asked another member; "act": a person
            changed the access policy, whose name is in `unit`, key id in `official` and the tag of whose statement
            stands for the digest, or a department said something of its own adapter (`unit` is "department/…");
            "alarm": a member's questions look like harvesting; "again": an answer that we had from another member
            earlier was given to one of our units again; message id and digest are those of then.
        counterpart: that member; of an act, the member whose grant it is about, or "".
        unit, official, purpose, legal_basis, case_reference: the question's Context; `official` is the pseudonym.
        message_id: of the question.
        digest: SHA-256 that the answer's signature carries, of the question. Only a keyed tag of it is kept: empty in
            an event that was read back.
        subjects: how many people it was about.
        outcome: 0: answered, unless a later event of the same message says otherwise; else the RefusalReason.
        decision: in English: which grant allowed it and what is left of its quotas, or why it was refused; of an act,
            what was done, and the signature; where we asked, another member's own words, if it refused.
    """

    at_ms: int
    direction: Direction
    counterpart: str
    unit: str
    official: bytes
    purpose: int
    legal_basis: str
    case_reference: str
    message_id: bytes
    digest: bytes
    subjects: int
    outcome: int
    decision: str = ""

    @classmethod
    def of(
        cls,
        context: exchange_pb2.Context,
        *,
        at_ms: int,
        direction: Direction,
        counterpart: str,
        message_id: bytes,
        digest: bytes,
        subjects: int,
        outcome: int = 0,
        decision: str = "",
    ) -> AuditEvent:
        """What was done under a question's context (records of processing: 个人信息保护法 第五十五条)."""
        return cls(
            at_ms,
            direction,
            counterpart,
            context.unit,
            context.official_pseudonym,
            context.purpose,
            context.legal_basis,
            context.case_reference,
            message_id,
            digest,
            subjects,
            outcome,
            decision,
        )


class RecordedEvent(NamedTuple):
    """An event with its place in the chain, and the tag that stands for the digest: see `AuditLog.matches`."""

    sequence: int
    event: AuditEvent
    digest_tag: bytes


class Appending:
    """How events are written: chained to the last one; the result is where each one stands."""

    def __init__(self, keys: StoreKeys) -> None:
        self._mac = keys.audit_mac
        self._insert = BulkInsert(audit_event)

    def brief(self, _content: Content) -> bool:
        """Always."""
        return True

    def apply(self, transaction: Transaction, payloads: Sequence[Content]) -> list[ChainHead]:
        """Write them at the end of the chain. Also for other kinds of write that leave an event behind."""
        sequence, last = _locked_head(transaction)
        rows = []
        heads = []
        for content in payloads:
            sequence += 1
            mac = link_mac(self._mac, sequence, content, last)
            rows.append((sequence, *content, last, mac))
            last = mac
            heads.append(ChainHead(sequence, mac))
        self._insert.add(transaction, rows)
        return heads


class _Cutting:
    """How the oldest events are deleted, whose retention time is over; the result is how many."""

    def __init__(self, keys: StoreKeys) -> None:
        self._mac = keys.audit_mac

    def apply(self, transaction: Transaction, payloads: Sequence[tuple[int, int]]) -> list[int]:
        return [self._cut(transaction, before_ms, now_ms) for before_ms, now_ms in payloads]

    def _cut(self, transaction: Transaction, before_ms: int, now_ms: int) -> int:
        connection = transaction.connection
        _locked_head(transaction)
        oldest = connection.execute(
            sa.select(audit_event.c.sequence, audit_event.c.at_ms, audit_event.c.mac)
            .order_by(audit_event.c.sequence)
            .limit(CUT_AT_MOST)
        ).all()
        count = 0
        while count < len(oldest) and oldest[count].at_ms < before_ms:
            count += 1
        if not count:
            return 0
        through = ChainHead(oldest[count - 1].sequence, oldest[count - 1].mac)
        connection.execute(sa.delete(audit_event).where(audit_event.c.sequence <= through.sequence))
        connection.execute(sa.delete(audit_cut))
        connection.execute(
            sa.insert(audit_cut).values(
                through_sequence=through.sequence,
                at_ms=now_ms,
                last_mac=through.mac,
                mac=cut_mac(self._mac, through, now_ms),
            )
        )
        return count


class AuditLog:
    """See the module."""

    def __init__(self, writer: Writer, reader: Reader, keys: StoreKeys, clock: Clock) -> None:
        self._writer = writer
        self._reader = reader
        self._keys = keys
        self._mac = keys.audit_mac
        self._clock = clock
        self._appending = Appending(keys)
        self._cutting = _Cutting(keys)

    def submit(self, event: AuditEvent, *, more: bool = False, meanwhile: bool = False) -> asyncio.Future[ChainHead]:
        """Have an event recorded. Await the future before an answer leaves: then it is on the disk.

        `more`: another follows at once; `meanwhile`: the caller has something else to do until then.

        Raises:
            StoreError: too much is waiting, or the store is closed; so does the future when the write failed.
        """
        return self._writer.submit(self._appending, self.content(event), more=more, meanwhile=meanwhile)

    def wake(self) -> None:
        """See `Writer.wake`."""
        self._writer.wake()

    def content(self, event: AuditEvent) -> Content:
        """An event as it is written down, for `Disclosures`: so much of recording can be done ahead of it."""
        return audit_content(event, self._keys.digest_tag(event.digest))

    def effect(self, event: AuditEvent) -> Effect:
        """What records an event, to be committed with other writes."""
        return Effect(self._appending, audit_content(event, self._keys.digest_tag(event.digest)))

    async def record(self, event: AuditEvent) -> ChainHead:
        """Record an event; on the disk when this returns.

        Raises:
            StoreError: it could not be written down.
        """
        return await self.submit(event)

    async def head(self) -> ChainHead:
        """The last link of the chain; `ChainHead(0, …)` where there is none."""
        return await self._reader.run(read_head)

    async def events(self, after: int = 0, limit: int = 1000) -> list[RecordedEvent]:
        """Events in order, from the one after this sequence number, at most 10,000 at once."""
        return await self._reader.run(
            lambda connection: [
                RecordedEvent(link.sequence, event_of(link.content), link.content.digest_tag)
                for link in _links(connection, after, min(limit, READ_AT_MOST))
            ]
        )

    def matches(self, recorded: RecordedEvent, digest: bytes) -> bool:
        """Whether this event is about the question with this digest, as a disputed message has it."""
        return hmac.compare_digest(recorded.digest_tag, self._keys.digest_tag(digest))

    async def verify_chain(self, anchors: Iterable[ChainHead] = ()) -> ChainHead:
        """Check every row against the one before, and the trail against heads noted earlier; the last link.

        Raises:
            StoreError: the trail is broken; not retryable, `field` names the row. Or it cannot be read; retryable.
        """
        noted = list(anchors)

        def check(connection: sa.Connection) -> ChainHead:
            start = self._checked_start(connection)
            held = [anchor for anchor in noted if anchor.sequence >= start.sequence]
            return verify(self._mac, start, _links(connection, start.sequence, None), held)

        return await self._reader.run(check)

    async def forget(self, before_ms: int) -> int:
        """Delete the oldest events that are older than this Unix time, at most 10,000 at once; how many.

        Raises:
            StoreError: that time is less than three years ago (not retryable), or the write failed.
        """
        now_ms = self._clock.now_ms()
        if before_ms > now_ms - RETENTION_MS:
            raise StoreError(
                "records of processing are kept for at least three years; name an earlier time",
                "个人信息处理情况记录至少保存三年，请指定更早的时间",
                field="before_ms",
                retryable=False,
            )
        return await self._writer.submit(self._cutting, (before_ms, now_ms))

    def _checked_start(self, connection: sa.Connection) -> ChainHead:
        cut = connection.execute(sa.select(audit_cut).order_by(audit_cut.c.through_sequence.desc())).first()
        if cut is None:
            return ChainHead(0, START)
        through = ChainHead(cut.through_sequence, cut.last_mac)
        if cut_mac(self._mac, through, cut.at_ms) != cut.mac:
            raise broken(through.sequence, "the record of deleted rows was changed", "删除记录被改动")
        return through


def audit_content(event: AuditEvent, digest_tag: bytes) -> Content:
    """The columns of an event with the tag of its digest, bounded, and free of what no column may hold."""
    official = event.official
    if len(official) > PSEUDONYM_BYTES:
        official = official[:PSEUDONYM_BYTES] + _CUT_PSEUDONYM
    return Content(
        event.at_ms,
        DIRECTIONS[event.direction],
        event.outcome,
        event.purpose,
        event.subjects,
        _printable(event.counterpart[:MEMBER_CHARS]),
        recorded_words(event.unit, WORDS_CHARS),
        official,
        recorded_words(event.legal_basis, WORDS_CHARS),
        recorded_words(event.case_reference, WORDS_CHARS),
        event.message_id[:MESSAGE_ID_BYTES],
        digest_tag,
        recorded_words(event.decision, DECISION_CHARS),
    )


@functools.lru_cache(maxsize=4096)
def recorded_words(text: str, most: int) -> str:
    """Somebody's words as they are written down.

    What looks like an identity number is masked. What cannot be printed (control and direction marks, NUL, which
    PostgreSQL does not store, half characters, which nobody does) becomes U+FFFD. Of words longer than `most`, their
    first `most` characters are kept and "…[5000]" after them, where 5000 is how many there were. Nothing else gets
    longer than `most`. However long the text, no more is looked at than is kept and the length of a number beyond.
    """
    if len(text) <= most:
        return mask(_printable(text))
    shown = mask(_printable(text[: most + _LONGEST_NUMBER]))
    if len(text) > most + _LONGEST_NUMBER:
        shown = shown[:-_LONGEST_NUMBER]  # where half a number may stand, which is not known for one
    return f"{shown[:most]}…[{len(text)}]"


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def event_of(content: Content) -> AuditEvent:
    """An event as it was written down."""
    return AuditEvent(
        at_ms=content.at_ms,
        direction=_NAMES[content.direction],
        counterpart=content.counterpart,
        unit=content.unit,
        official=content.official,
        purpose=content.purpose,
        legal_basis=content.legal_basis,
        case_reference=content.case_reference,
        message_id=content.message_id,
        digest=b"",
        subjects=content.subjects,
        outcome=content.outcome,
        decision=content.decision,
    )


_LAST = sa.select(audit_event.c.sequence, audit_event.c.mac).order_by(audit_event.c.sequence.desc()).limit(1)
_LAST_EMBEDDED = "SELECT sequence, mac FROM audit_event ORDER BY sequence DESC LIMIT 1"


def read_head(connection: sa.Connection) -> ChainHead:
    """The last link of the chain."""
    row = (
        connection.execute(_LAST).first()
        or connection.execute(
            sa.select(audit_cut.c.through_sequence, audit_cut.c.last_mac)
            .order_by(audit_cut.c.through_sequence.desc())
            .limit(1)
        ).first()
    )
    return ChainHead(0, START) if row is None else ChainHead(row[0], bytes(row[1]))


def _locked_head(transaction: Transaction) -> ChainHead:
    """The last link, which stays so until this transaction ends. Read anew each time: others may append too."""
    if transaction.embedded is None:
        transaction.connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_CHAIN_LOCK)))
    else:  # the writer's transactions are IMMEDIATE: nobody else writes
        row = transaction.embedded.execute(_LAST_EMBEDDED).fetchone()
        if row is not None:
            return ChainHead(*row)
    return read_head(transaction.connection)


def _links(connection: sa.Connection, after: int, limit: int | None) -> Iterator[Link]:
    """Rows in order, a thousand in memory at a time."""
    rows = connection.execution_options(yield_per=1000).execute(
        sa.select(audit_event).where(audit_event.c.sequence > after).order_by(audit_event.c.sequence).limit(limit)
    )
    for sequence, *content, previous_mac, mac in rows:
        yield Link(sequence, Content(*content), previous_mac, mac)
