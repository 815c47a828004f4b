"""Checks left open: leaving their questions with provinces that did not answer, and taking in what they answer later.

Owns: which provinces a check is left with, the letters that carry the questions, whether a late answer is genuine and
fits, and that it is kept, recorded and noted, and its move followed, in one commit; waking those who watch. Refuses:
sending (the outbox does), and putting an answer together for a person (`gateway.services.late`).
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

import structlog
from google.protobuf.message import DecodeError

from gateway.clock import Clock
from gateway.errors import PartnerError, RefusedError, StoreError, WuganError
from gateway.exchange.envelope import Proof
from gateway.exchange.header import read
from gateway.exchange.uuid7 import Uuid7
from gateway.federation.answers import findings_in
from gateway.federation.checked import Checked, MemberResult
from gateway.federation.kept import Answered, Invalidate, asked_numbers, linked_numbers, spoken_against
from gateway.federation.late_moves import NOWHERE, Moves
from gateway.log import Standstill, described
from gateway.observing import tracing
from gateway.post.inbox import keep, kept_proof
from gateway.post.letters import Handled, Received, delivery_digest, letter
from gateway.post.outbox import Outbox
from gateway.store.answers import SignedAnswer
from gateway.store.audit import AuditEvent
from gateway.store.ended import EVERY_MEMBER
from gateway.store.engine import Store
from gateway.store.jumps import STEP_MS, Jumps
from gateway.store.late import ANSWERED, LAPSED, PARTIAL, Came, Event, Left, More, News, Question
from gateway.store.letters import Effect, Letter
from wugan.agency.v1 import agency_pb2
from wugan.federation.v1 import delivery_pb2, exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

_log = structlog.stdlib.get_logger(__name__)

GRACE_MS: Final = 600_000
"""How long after its time a question without an answer is said to have lapsed: an answer may be on its way."""
EVENTS_AT_ONCE: Final = 50
_MAY_STILL_COME: Final = frozenset({words.SOURCE_OUTCOME_SILENT, words.SOURCE_OUTCOME_UNAVAILABLE})
_ids: Final = Uuid7()


class LeftOpen(NamedTuple):
    """A check that was left: its ticket, until when, and with whom."""

    ticket: bytes
    until_ms: int
    members: tuple[str, ...]


class Kept(NamedTuple):
    """What is kept of a check that was left: the question, and the agency's answer as it was given then."""

    question: exchange_pb2.Question
    question_bytes: bytes
    shown: bytes


class LateChecks:
    """See the module; also deals with deliveries of kind ANSWER.

    Args:
        longest_ms: how long a check may be left at most.
        poll_s: seconds between looks whether questions lapsed, and for what other instances noted.
        invalidate: told whom a late answer is about, so that a cache forgets what its author said of them before, and
            what everybody did where it speaks against them.
        answered: told what was answered.
        moves: how moves that late answers tell of are followed; None: they are not.
    """

    def __init__(
        self,
        store: Store,
        outbox: Outbox,
        clock: Clock,
        *,
        longest_ms: int,
        poll_s: float,
        invalidate: Invalidate = lambda _member, _people: None,
        answered: Answered = lambda _member, _findings: None,
        moves: Moves | None = None,
    ) -> None:
        self._invalidate = invalidate
        self._answered = answered
        self._moves = moves
        self._store = store
        self._outbox = outbox
        self._clock = clock
        self._jumps = Jumps(clock, STEP_MS)
        self._longest_ms = longest_ms
        self._poll_s = poll_s
        self._news = asyncio.Event()

    def require_time(self, seconds: int) -> None:
        """Return when a check may be left for so long.

        Raises:
            RefusedError: it may not.
        """
        if not 0 < seconds * 1000 <= self._longest_ms:
            days = self._longest_ms / 86_400_000
            raise RefusedError(
                f"leave_open_s: a question may be left for at most {days:g} days",
                f"leave_open_s：留置时间最长 {days:g} 天",
                field="leave_open_s",
            )

    async def leave(self, unit: str, checked: Checked, seconds: int, shown: bytes) -> LeftOpen | None:
        """Leave a check with every province that may still have something to say; None: there is none.

        It is on the disk when this returns, letters and record included.

        Args:
            unit: whose check it is.
            checked: what came of it so far.
            seconds: for how long.
            shown: what the agency is given now; kept to be completed.
        """
        members = [result.member_id for result in checked.results if _may_say_more(result)]
        question = checked.question
        if question is None or not members:
            return None
        with tracing.span("leave", members=len(members)):
            return await self._leave(unit, question, members, seconds, shown)

    async def _leave(
        self, unit: str, question: exchange_pb2.Question, members: Sequence[str], seconds: int, shown: bytes
    ) -> LeftOpen:
        now_ms = self._clock.now_ms()
        until_ms = now_ms + seconds * 1000
        body = question.SerializeToString()
        if trace := tracing.carried():  # one message after another are one; the question itself is not ours to change
            body += exchange_pb2.Question(trace=trace).SerializeToString()
        ticket = _ids.next(now_ms)
        effects: list[Effect] = []
        delivered: dict[bytes, str] = {}
        for member in members:
            left, recorded = self._question(member, question, body, now_ms, until_ms)
            delivered[left.delivery_id] = member
            effects += [self._outbox.effect(left), recorded]
        kept = Left(ticket, unit, now_ms, until_ms, _pack(body, shown), delivered)
        await self._store.together([self._store.late.leaving(kept), *effects])
        for effect in effects:
            if effect.after is not None:
                effect.after()
        return LeftOpen(ticket, until_ms, tuple(members))

    def _question(
        self, member: str, question: exchange_pb2.Question, body: bytes, now_ms: int, until_ms: int
    ) -> tuple[Letter, Effect]:
        """The letter that leaves a question with a member, and the record of it."""
        left = letter(
            member,
            delivery_pb2.DELIVERY_KIND_QUESTION,
            body,
            purpose=question.context.purpose,
            now_ms=now_ms,
            expires_at_ms=until_ms,
            order_key=self._store.order_key(member, question.subjects.id_number[0]),
        )
        digest = delivery_digest(left.delivery_id, body)
        return left, self._store.audit.effect(self._event(question, member, left.delivery_id, digest, "left"))

    # A handler of deliveries.

    def check(self, sender: str, purpose: int, body: bytes, now_ms: int) -> None:
        """Refuse what is no late answer, before it is accepted. See `Handler.check`."""
        try:
            late = delivery_pb2.LateAnswer.FromString(body)
        except DecodeError:
            late = delivery_pb2.LateAnswer()
        if len(late.answers_to) != 16 or len(late.question_digest) != 32 or not late.HasField("answer"):
            raise RefusedError(
                "the delivery holds no LateAnswer; check the versions of both gateways",
                "投递内容不是有效的迟到答复，请核对双方网关版本",
                field="body",
            )

    async def handle(self, delivery: Received) -> Handled:
        """Take in a late answer. See `Handler.handle`."""
        late = delivery_pb2.LateAnswer.FromString(delivery.body)
        asked = await self._store.late.question(late.answers_to)
        if asked is None:
            _log.warning("late answer to no question", member=delivery.sender)
            return Handled()
        found = await self._store.late.check(asked.ticket, None)
        if found is None:
            return Handled()
        left, questions = found
        kept = unpack(left.body)
        with tracing.resume("take", [kept.question.trace]) as span:
            span.tell(partner=delivery.sender)
            return self._taken(delivery, late, asked, left, questions, kept)

    def _taken(
        self,
        delivery: Received,
        late: delivery_pb2.LateAnswer,
        asked: Question,
        left: Left,
        questions: Sequence[Question],
        kept: Kept,
    ) -> Handled:
        """What follows from a late answer to a question that was left.

        Raises:
            PartnerError: it is to another question.
            DirectoryError: it tells of a move, and the directory has expired.
        """
        question = kept.question
        if asked.member != delivery.sender or late.question_digest != delivery_digest(
            late.answers_to, kept.question_bytes
        ):
            raise PartnerError(
                "a late answer is to another question than was left with its sender; it was not used",
                "迟到答复与留置查询不符，未予采用",
                reason=words.REFUSAL_REASON_PARTNER_FAULTY,
                retryable=False,
            )
        outcome, decision = 0, "late answer"
        said: exchange_pb2.Findings | None = None
        about: list[bytes] = []
        whose = delivery.sender
        try:
            findings = findings_in(late.answer, question)
            numbers = [*asked_numbers(question), *linked_numbers(findings)]
            if spoken_against(question, findings):
                whose = EVERY_MEMBER
            about = [self._store.reusable.blind_index(number) for number in numbers]
            if findings.status[0]:
                said = findings
            else:
                outcome, decision = findings.refused.reason[0], "late answer: this person is refused"
        except RefusedError as error:
            outcome, decision = error.reason, error.en
        now_ms = self._clock.now_ms()
        further = NOWHERE
        over = now_ms - self._jumps.ahead_ms() >= left.until_ms  # not because a clock was ahead for a moment
        if said is not None and self._moves is not None and not over:
            further = self._moves.further(delivery.sender, said, kept.shown, questions)
        more = [self._more(member, kept, now_ms, left.until_ms) for member in further.members]
        event = self._event(question, delivery.sender, late.answers_to, late.question_digest, decision, outcome)

        def after() -> None:
            if said is not None:
                self._answered(delivery.sender, said)
            self._invalidate(whose, about)
            self._tell()
            for each in more:
                self._outbox.wake(each.member)

        state, proof = ANSWERED if late.final else PARTIAL, keep(delivery.proof)
        came = Came(late.answers_to, state, now_ms, proof, more, further.most)
        effects = [self._store.audit.effect(event), self._store.late.noting(came)._replace(after=after)]
        if about:  # in this commit, too: after a crash the cache would not know that it came
            effects.append(self._store.reusable.dropping(whose, about))
        if not outcome:
            signed = SignedAnswer(delivery.sender, _message_id(delivery.proof), *delivery.proof, now_ms)
            effects.append(self._store.answers.effect(signed, asked_numbers(question)))
        return Handled(effects)

    def _more(self, member: agency_pb2.ProvinceAnswer, kept: Kept, now_ms: int, until_ms: int) -> More:
        """What leaves a check with a member more."""
        left, recorded = self._question(member.member_id, kept.question, kept.question_bytes, now_ms, until_ms)
        # Beyond what may wait for a member, if need be: else what came would be kept from the unit meanwhile.
        posted = self._store.outbox.effect(left)
        return More(left.delivery_id, member.member_id, member.SerializeToString(), (posted, recorded))

    # What a unit is told.

    async def find(self, ticket: bytes, unit: str) -> tuple[Left, list[Question], list[Event]] | None:
        """A check of a unit, how its questions stand, and what came; None: it has none under this ticket."""
        found = await self._store.late.check(ticket, unit)
        return None if found is None else (*found, await self._store.late.events_of(ticket))

    async def events(self, unit: str, after: int) -> list[News]:
        """What came to a unit's checks after a cursor, in order, 50 at most."""
        return await self._store.late.events(unit, after, EVENTS_AT_ONCE)

    async def list(self, unit: str, limit: int, *, only_open: bool) -> Sequence[tuple[bytes, int, int]]:
        """A unit's checks, newest first: ticket, from when, until when."""
        return await self._store.late.checks(unit, limit, only_open=only_open)

    def news(self) -> asyncio.Event:
        """Set when something comes; take it before looking, then wait for it."""
        return self._news

    async def wait(self, news: asyncio.Event) -> None:
        """Return when there may be something new."""
        try:
            async with asyncio.timeout(self._poll_s * 5):
                await news.wait()
        except TimeoutError:  # what another instance noted
            pass

    async def sweep(self) -> None:
        """Note which questions lapsed, and forget checks that were kept for long enough, by a time that is believed.

        Raises:
            StoreError: it could not be read or written.
        """
        for delivery_id in await self._store.late.sweep(self._jumps.at_least_ms() - GRACE_MS):
            if await self._store.late.note(Came(delivery_id, LAPSED, self._clock.now_ms(), b"")):
                self._tell()

    async def run(self) -> None:
        """Note which questions lapsed, until cancelled."""
        standstill = Standstill()
        while True:
            try:
                await self.sweep()
                standstill.ends()
            except StoreError as error:
                if standstill.begins():
                    _log.warning("late checks not swept", fault=described(error))
            await asyncio.sleep(self._poll_s)

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def _event(
        self,
        question: exchange_pb2.Question,
        member: str,
        delivery_id: bytes,
        digest: bytes,
        decision: str,
        outcome: int = 0,
    ) -> AuditEvent:
        return AuditEvent.of(
            question.context,
            at_ms=self._clock.now_ms(),
            direction="out",
            counterpart=member,
            message_id=delivery_id,
            digest=digest,
            subjects=len(question.subjects.id_number),
            outcome=outcome,
            decision=decision,
        )


def late_answer(event: Event) -> tuple[exchange_pb2.Answer, Proof]:
    """The answer that an event is about, and its proof."""
    proof = kept_proof(event.body)
    delivery = delivery_pb2.Delivery.FromString(proof.payload)
    return delivery_pb2.LateAnswer.FromString(delivery.body).answer, proof


def followed_to(event: Event) -> agency_pb2.ProvinceAnswer:
    """The member with whom a check was left because of a move, of an event that says so; as it is shown until then."""
    return agency_pb2.ProvinceAnswer.FromString(event.body)


def unpack(body: bytes) -> Kept:
    """What `leave` kept."""
    (length,) = struct.unpack_from(">I", body)
    question = body[4 : 4 + length]
    return Kept(exchange_pb2.Question.FromString(question), question, body[4 + length :])


def _pack(question: bytes, shown: bytes) -> bytes:
    return struct.pack(">I", len(question)) + question + shown


def _may_say_more(result: MemberResult) -> bool:
    if result.lacking is not None and result.lacking.retryable:  # the question that is left has the numbers
        return True
    if result.answer is None or result.outdated:
        return isinstance(result.error, WuganError) and result.error.retryable
    return any(source.outcome in _MAY_STILL_COME for source in result.answer.findings.sources)


def _message_id(proof: Proof) -> bytes:
    return read(proof.header)[0].message_id
