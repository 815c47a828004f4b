"""Other members' answers, given again to whom they were given: for as long as the answering side allows.

Owns: what an answer is found by, when it may be given again, shown as outdated, or must go. An answer is found by a
keyed hash of the member asked and of the whole question but for the official and the case reference: unit, purpose,
legal basis, person, names, benefit, evidence, day. So it reaches nobody else, and a field that questions get one day
parts them by itself. It is fresh while

 1. its author allows it (`Findings.cacheable_until_ms`), and thirty days at most;
 2. the directory by which its signature was verified is in force;
 3. its author has not answered by other rules since (`gateway.federation.ruled`);
 4. no notice or late answer of its author came about the person (`forget`), nothing newer under the same key, and
    nothing from any member that speaks against the person (`gateway.federation.kept.spoken_against`): that ends what
    every member said before.

Refuses: answers that are not kept with their proof (`gateway.store.answers`), refusals, and accounting for a
disclosure, which is that of whoever discloses.

In memory within so many bytes; on the disk as rows that point to kept answers, written in the background. What comes
from the disk counts once its signature verifies by the directory in force. Gateways that share a database share what
was there when they started; what one of them lets go, the others do within a second
(`gateway.federation.ended_elsewhere`).
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

import structlog
from google.protobuf.message import DecodeError

from gateway.clock import Clock
from gateway.errors import StoreError, WuganError
from gateway.exchange.envelope import Proof, verify_proof
from gateway.exchange.header import read
from gateway.federation.directory import Directory, DirectorySource
from gateway.federation.kept import (
    MAX_LINKED,
    CacheOptions,
    Doubts,
    Held,
    Memory,
    Notices,
    asked_numbers,
    linked_numbers,
    spoken_against,
)
from gateway.federation.partners import PartnerAnswer
from gateway.federation.ruled import Ruled
from gateway.log import described
from gateway.observing import metrics
from gateway.rules.caching import DAY_MS
from gateway.store.answers import KeptAnswers
from gateway.store.ended import EVERY_MEMBER
from gateway.store.reusable import Changes, Reusable, ReusableAnswers
from wugan.federation.v1 import exchange_pb2

LONGEST_MS: Final = 30 * DAY_MS
"""No answer is given again, or shown as outdated, for longer than this, whatever its author allows."""
FLUSH_ROWS: Final = 512
ROWS_AT_ONCE: Final = 64
"""Written in one go: questions that are recorded meanwhile wait for so many, not for all."""
_OF_THE_ASKING: Final = ("question_id", "trace")
"""Fields of a question that say nothing of what is asked."""
_AS_PATIENT: Final = 1.25
"""Times that differ by no more count as the same."""
TOUCH_MS: Final = 600_000
"""How exactly it is known when an answer was used last."""
_TAG_BYTES: Final = 32

_log = structlog.stdlib.get_logger(__name__)


class AnswerCache:
    """See the module. Call `open` before use, `close` before the store is closed."""

    def __init__(
        self,
        reusable: ReusableAnswers,
        answers: KeptAnswers,
        directory: DirectorySource,
        clock: Clock,
        options: CacheOptions,
    ) -> None:
        self._reusable = reusable
        self._answers = answers
        self._directory = directory
        self._clock = clock
        self._options = options
        self._memory = Memory(options.memory_bytes)
        self._on_disk: set[bytes] = set()
        self._ruled = Ruled(answers)
        self.answered = self._ruled.heard
        """Told what a member answered to somebody who is not given it again: see `Answered`."""
        self._tagged: tuple[Directory | None, bytes] = (None, b"")
        self._pending: dict[bytes, tuple[Reusable, frozenset[bytes]]] = {}
        """Rows not handed over to be written yet, and whom each is about."""
        self._used: dict[bytes, int] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._flushing: asyncio.Task[None] | None = None
        self._writes: set[asyncio.Future[list[bytes]]] = set()
        self._followed: list[Callable[[], None]] = []
        self._notices = Notices()
        self._doubts = Doubts()
        self._drops: set[asyncio.Future[list[bytes]]] = set()
        self.blind = False
        """While it is not known what other gateways of this member let go: nothing is given again."""

    async def open(self) -> None:
        """Learn what is on the disk.

        Raises:
            StoreError: it cannot be read.
        """
        self._on_disk.update(await self._reusable.keys(self._clock.now_ms(), self._options.max_answers))
        for member_id in await self._reusable.members():
            await self._ruled.learn(member_id)
        self._directory.subscribe(self._directory_changed)
        self._followed = [
            metrics.CACHE_ENTRIES.follow(lambda: {(): len(self._on_disk)}),
            metrics.CACHE_BYTES.follow(lambda: {(): self._memory.size}),
        ]

    async def close(self) -> None:
        """Write what was not written yet."""
        for end in self._followed:
            end()
        self._followed.clear()
        if self._timer is not None:
            self._timer.cancel()
        while self._pending or self._used:
            self._flush()
            if self._flushing is not None:
                await self._flushing
        await asyncio.gather(*self._writes, *self._drops, return_exceptions=True)

    def key(self, member_id: str, question: exchange_pb2.Question) -> bytes:
        """What the answer of a member to a question is found by."""
        asked = exchange_pb2.Question()
        asked.CopyFrom(question)
        for name in _OF_THE_ASKING:
            asked.ClearField(name)
        context = asked.context
        context.ClearField("official_pseudonym")
        context.ClearField("case_reference")
        return self._reusable.key(member_id.encode() + b"\x00" + asked.SerializeToString(deterministic=True))

    @property
    def mark(self) -> int:
        """Where the notices stand; to be taken before a question is asked, and handed to `put`."""
        return self._notices.mark

    def fresh(self, held: Held, now_ms: int) -> bool:
        """Whether an answer may be given now without asking."""
        return (
            held.alive
            and not self.blind
            and now_ms < held.cacheable_until_ms
            and held.directory == self._tag()
            and self._ruled.by_newest(held.answer.member_id, held.answer.findings)
        )

    async def find(self, member_id: str, key: bytes, numbers: Iterable[str], time_s: float) -> Held | None:
        """The answer that may be given now.

        Args:
            member_id: who would be asked.
            key: of the question to that member.
            numbers: of the question.
            time_s: how long the member would have for an answer. A partial one is not given to somebody who has more
                time than there was for it: the departments that were silent may answer yet.
        """
        held = self._memory.get(key)
        if held is None and key in self._on_disk:
            held = await self._load(key, numbers)
        now_ms = self._clock.now_ms()
        if held is not None and self.fresh(held, now_ms):
            partial = held.answer.findings.partial
            if not partial or time_s <= held.waited_s * _AS_PATIENT:
                self.touch(held, now_ms)
                return held
        metrics.CACHE.add(member_id, "ASKED")
        return None

    async def outdated(self, key: bytes, numbers: Iterable[str]) -> Held | None:
        """The answer to show while its author cannot be reached, where both sides allow that."""
        if not self._options.stale_if_unreachable or self.blind:
            return None
        held = self._memory.get(key)
        if held is None and key in self._on_disk:
            held = await self._load(key, numbers)
        if held is None or self._clock.now_ms() >= held.until_ms:
            return None
        if held.directory != self._tag() and not self._signed(held.answer):
            return None
        metrics.CACHE.add(held.answer.member_id, "OUTDATED")
        return held

    def touch(self, held: Held, now_ms: int) -> None:
        """Note that an answer is being given."""
        metrics.CACHE.add(held.answer.member_id, "GIVEN")
        if now_ms - held.used_at_ms >= TOUCH_MS:
            held.used_at_ms = self._used[held.key] = now_ms
            self._flush_later()

    def put(
        self,
        question: exchange_pb2.Question,
        answer: PartnerAnswer,
        mark: int,
        time_s: float,
        key: bytes = b"",
        about: Sequence[str] | None = None,
        against: Sequence[str] | None = None,
    ) -> None:
        """Take an answer that is kept with its proof; where it speaks against the person, let go what others said.

        Args:
            question: that it answers.
            answer: verified.
            mark: where notices stood when it was asked for.
            time_s: how long the member had for it.
            key: of the question, where it is known already.
            about: numbers of the question and those that the answer links, where they are known already.
            against: those of them that it speaks against, likewise.
        """
        key = key or self.key(answer.member_id, question)
        findings, now_ms = answer.findings, self._clock.now_ms()
        self._ruled.heard(answer.member_id, findings)
        if about is None:
            about = [*asked_numbers(question), *linked_numbers(findings)]
        if against is None:
            against = spoken_against(question, findings)
        indexes = self._indexes(about)
        overtaken = self._notices.since(mark, answer.member_id, indexes)
        self._doubts.heard(answer.member_id, indexes, findings)
        if against:
            held = self._memory.get(key)
            if held is not None and held.answer.proof == answer.proof:
                return  # several waited for it
            self.forget_numbers(EVERY_MEMBER, against)
        until = min(findings.cacheable_until_ms, now_ms + LONGEST_MS)
        stale_until = min(findings.stale_until_ms, now_ms + LONGEST_MS)
        contradicts = self._doubts.contradict(answer.member_id, indexes, findings)
        unlooked_at = findings.HasField("links") and len(findings.links.id_number) > MAX_LINKED
        if until <= now_ms or contradicts or unlooked_at:
            self._supersede(key, answer, now_ms)
            return
        if overtaken:
            return
        held = Held(
            key,
            # Without its columns: an object for each takes more memory than the message.
            PartnerAnswer(answer.member_id, findings, answer.message_id, answer.proof),
            received_at_ms=now_ms,
            cacheable_until_ms=until,
            stale_until_ms=stale_until if stale_until > until else 0,
            directory=self._tag(),
            indexes=indexes,
            waited_s=time_s,
        )
        if findings.partial:  # short-lived: in memory only
            self._supersede(key, answer, now_ms)
            self._memory.put(held)
            return
        self._memory.put(held)
        self._pending[key] = (
            Reusable(
                key,
                answer.member_id,
                answer.message_id,
                answer.proof.position,
                now_ms,
                until,
                held.stale_until_ms,
                held.until_ms,
                held.directory,
                now_ms,
            ),
            indexes,
        )
        self._flush_later()

    def forget(self, member_id: str, indexes: Collection[bytes] | None, *, tell: bool = True) -> None:
        """As `invalidate`, but nobody waits for the disk; nothing is given that is to go. `None`: about anybody.

        `member_id`: EVERY_MEMBER, where it is about people. `tell`: other gateways on the same database, which did not
        say so themselves.
        """
        if indexes is None:
            self._notices.lost()  # of nobody in particular: what is on its way, or being read, may be its
            self._memory.drop_member(member_id)
        else:
            self._notices.came(member_id, indexes)
            self._memory.drop_people(member_id, indexes)
        self._drop_pending(member_id, indexes)
        try:
            drop = self._reusable.drop(member_id, indexes, tell=tell)
        except StoreError as error:
            self._not_dropped(error)
            return
        self._watch_drop(drop)
        if self._writes:  # these may be in the same transaction, and behind the deletion there
            behind = self._drop_behind(list(self._writes), member_id, indexes)
            self._watch_drop(asyncio.get_running_loop().create_task(behind, name="cache deletion"))

    def forget_numbers(self, member_id: str, numbers: Collection[str]) -> None:
        """The same by normalised numbers."""
        self.forget(member_id, [self.index_of(number) for number in numbers])

    def forget_all(self) -> None:
        """Give nothing of what is held by now: it is not known what of it was to go."""
        for member_id in self._memory.members():
            self._memory.drop_member(member_id)
        self._pending.clear()
        self._on_disk.clear()
        self._notices.lost()

    async def invalidate(self, member_id: str, indexes: Collection[bytes] | None) -> None:
        """Give no answer of a member about these people any more: something about them has changed.

        Args:
            member_id: whose answers: theirs who said so, or EVERY_MEMBER's.
            indexes: blind indexes of their numbers (`index_of`); None: of everybody.
        """
        self.forget(member_id, indexes)
        await asyncio.gather(*self._drops, return_exceptions=True)

    def _drop_pending(self, member_id: str, indexes: Collection[bytes] | None) -> None:
        """Rows of these answers are not to be written any more."""
        gone = [
            key
            for key, (row, about) in self._pending.items()
            if (indexes is None or not about.isdisjoint(indexes)) and member_id in (EVERY_MEMBER, row.member)
        ]
        for key in gone:
            del self._pending[key]

    async def _drop_behind(
        self, writes: Collection[asyncio.Future[list[bytes]]], member_id: str, indexes: Collection[bytes] | None
    ) -> list[bytes]:
        """Delete what these writes have put there, with the answers kept along with them."""
        await asyncio.gather(*writes, return_exceptions=True)
        return await self._reusable.drop(member_id, indexes, tell=False)

    def _watch_drop(self, drop: asyncio.Future[list[bytes]]) -> None:
        self._drops.add(drop)
        drop.add_done_callback(self._dropped)

    def _dropped(self, drop: asyncio.Future[list[bytes]]) -> None:
        self._drops.discard(drop)
        if drop.cancelled() or (error := drop.exception()) is not None:
            self._not_dropped(None if drop.cancelled() else error)
        else:
            self._on_disk.difference_update(drop.result())

    def _not_dropped(self, error: BaseException | None) -> None:
        """What lies on the disk is not to be used any more: it is not known what of it was to go."""
        self._on_disk.clear()
        _log.error("answers that were ended not deleted", fault=described(error) if error else "")

    def index_of(self, id_number: str) -> bytes:
        """The blind index of a normalised number."""
        return self._reusable.blind_index(id_number)

    def _indexes(self, numbers: Iterable[str]) -> frozenset[bytes]:
        return frozenset(map(self._reusable.blind_index, numbers))

    def _tag(self) -> bytes:
        """What stands for the directory in force."""
        directory = self._directory.current()
        known, tag = self._tagged
        if directory is not known:
            tag = directory.version.to_bytes(8) + directory.digest.ljust(_TAG_BYTES, b"\x00")
            self._tagged = directory, tag
        return tag

    def _directory_changed(self) -> None:
        """Drop what members gave who are members no more."""
        try:
            present = set(self._directory.current().member_ids())
        except WuganError:  # expired: nothing is fresh, and nothing is asked
            return
        gone = self._memory.members() - present
        for member_id in gone:
            self.forget(member_id, None)

    async def _load(self, key: bytes, numbers: Iterable[str]) -> Held | None:
        """An answer from the disk, into memory; None where it cannot be used, and then it is forgotten."""
        mark = self._notices.mark
        if self._drops:  # what is to go must not be read before it has gone; of what comes meanwhile, `mark` tells
            await asyncio.wait(set(self._drops))
        if key not in self._on_disk:
            return None
        found = await self._read(key)
        newer = self._memory.get(key)
        if newer is not None:
            return newer
        if found is None or not self._signed(found[1]):
            if not self._writes:  # else its row may be on its way, and is there the next time
                self._on_disk.discard(key)
            return None
        row, answer = found
        indexes = self._indexes([*numbers, *linked_numbers(answer.findings)])
        if key not in self._on_disk or self._notices.since(mark, row.member, indexes):
            return None
        held = Held(
            key,
            answer,
            received_at_ms=row.received_at_ms,
            cacheable_until_ms=row.cacheable_until_ms,
            stale_until_ms=row.stale_until_ms,
            directory=row.directory,
            indexes=indexes,
        )
        self._memory.put(held)
        self._doubts.heard(row.member, indexes, answer.findings)
        return held

    async def _read(self, key: bytes) -> tuple[Reusable, PartnerAnswer] | None:
        """The row of a key that is not over, with its answer."""
        try:
            row = await self._reusable.find(key)
            if row is None or self._clock.now_ms() >= row.until_ms:
                return None
            signed = await self._answers.produce(row.member, row.message_id, row.position)
            if signed is None:
                return None
            proof = Proof(*(getattr(signed, name) for name in Proof._fields))
            findings = exchange_pb2.Answer.FromString(proof.payload).findings
        except (StoreError, DecodeError) as error:
            _log.warning("a kept answer cannot be given again", fault=described(error))
            return None
        return row, PartnerAnswer(row.member, findings, row.message_id, proof)

    def _signed(self, answer: PartnerAnswer) -> bool:
        """Whether the answer verifies with a key that its author has by the directory in force."""
        try:
            header, _ = read(answer.proof.header)
            directory = self._directory.current()
            verify_key = directory.verify_key(answer.member_id, header.signing_key_id, header.issued_at_ms)
            return verify_proof(answer.proof, verify_key).sender == answer.member_id
        except WuganError:
            return False

    def _supersede(self, key: bytes, answer: PartnerAnswer, now_ms: int) -> None:
        """Let an earlier answer go because of one that may not be given again."""
        self._memory.drop(key)
        waiting = self._pending.pop(key, None)
        if key in self._on_disk or waiting is not None:
            self._on_disk.discard(key)
            at = answer.proof.position
            over = Reusable(key, answer.member_id, answer.message_id, at, now_ms, 0, 0, 0, self._tag(), now_ms)
            self._pending[key] = over, frozenset()
            self._flush_later()

    def _flush_later(self) -> None:
        if len(self._pending) >= FLUSH_ROWS:
            self._flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._options.flush_s, self._flush)

    def _flush(self) -> None:
        """Have everything written that waits; what fails is lost, and asked again one day."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting = max(len(self._pending), len(self._used))
        if not waiting or self._flushing is not None:
            return
        written = self._write_some()
        if waiting > ROWS_AT_ONCE:
            rest = self._write_rest(written, waiting - ROWS_AT_ONCE)
            self._flushing = asyncio.get_running_loop().create_task(rest, name="cache writing")
            self._flushing.add_done_callback(self._flushed)

    def _flushed(self, _done: asyncio.Task[None]) -> None:
        self._flushing = None
        if self._pending or self._used:
            self._flush_later()

    async def _write_rest(self, written: asyncio.Future[list[bytes]] | None, waiting: int) -> None:
        """A part each time the one before is written. What is let go meanwhile is not written at all."""
        for _ in range(0, waiting, ROWS_AT_ONCE):
            if written is not None:
                await asyncio.wait({written})
            written = self._write_some()

    def _write_some(self) -> asyncio.Future[list[bytes]] | None:
        """Have the next part written; None where there is none, or it cannot be."""
        keys, touched = (list(itertools.islice(held, ROWS_AT_ONCE)) for held in (self._pending, self._used))
        rows = [self._pending.pop(key)[0] for key in keys]
        used = [(key, self._used.pop(key)) for key in touched]
        if not rows and not used:
            return None
        try:
            written = self._reusable.submit(Changes(rows, used, self._clock.now_ms(), self._options.max_answers))
        except StoreError as error:
            _log.warning("answers to be given again not written", rows=len(rows), fault=described(error))
            return None
        self._on_disk.update(row.key for row in rows if row.until_ms)
        self._watch(written)
        return written

    def _watch(self, written: asyncio.Future[list[bytes]]) -> None:
        self._writes.add(written)
        written.add_done_callback(self._written)

    def _written(self, done: asyncio.Future[list[bytes]]) -> None:
        self._writes.discard(done)
        if done.cancelled():
            return
        if done.exception() is not None:
            _log.warning("answers to be given again not written")
        else:
            self._on_disk.difference_update(done.result())
