"""Asking about one recipient: asking all who may know at once, and what each of them said.

Owns: the fan-out within the deadline, following a move once, asking once more under numbers that one member links
(`rounds`), and what is given again instead of being asked. Refuses: making the question (`questions`), choosing whom
to ask (`routing`), grading (the answering side does that), merging (the rules do) and deciding (an official does).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Coroutine, Sequence
from typing import Any

import structlog

from gateway.clock import Clock, civil_day
from gateway.errors import PartnerError, RefusedError, StoreError, WuganError
from gateway.exchange.envelope import Sealed
from gateway.federation.answer_cache import AnswerCache
from gateway.federation.checked import Checked, MemberResult
from gateway.federation.directory import DirectorySource
from gateway.federation.given_again import GivenAgain
from gateway.federation.kept import asked_numbers, linked_numbers, spoken_against
from gateway.federation.partners import Asking, PartnerAnswer, Partners
from gateway.federation.questions import Case, Questions, Recipient
from gateway.federation.rounds import TURN, Call, Plan, Rounds
from gateway.federation.routing import has_moved, moved_to, route
from gateway.log import described
from gateway.observing import tracing
from gateway.store.answers import SignedAnswer
from gateway.store.audit import AuditEvent
from gateway.store.ended import EVERY_MEMBER
from gateway.store.engine import Store
from gateway.wording import Word
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

_log = structlog.stdlib.get_logger(__name__)

NOT_ASKED = Word("尚未询问，已留置该省", "not asked yet; the question was left with this province")
"""Said of a member whom a question was only left with."""
_UNREACHABLE = frozenset(
    {
        words.REFUSAL_REASON_PARTNER_UNAVAILABLE,
        words.REFUSAL_REASON_DEADLINE_EXCEEDED,
        words.REFUSAL_REASON_OVERLOADED,
        words.REFUSAL_REASON_SHUTTING_DOWN,
    }
)
"""What a member that cannot be reached at the moment looks like from here."""
_GIVEN_UP = words.REFUSAL_REASON_DEADLINE_EXCEEDED, "given up by the agency"
_LATE_S = 0.02
"""How much longer than its deadline an answer is waited for before its asking is given up from outside."""
_SETTLE_S = 0.01
LEAVING_S = 0.5
"""Kept back besides from the deadline of a question that may be left, for the commit that leaves it; a quarter of what
there is at most (`leaving_s`)."""


def leaving_s(time_s: float) -> float:
    """How much of so many seconds is kept back for leaving a question."""
    return min(LEAVING_S, time_s / 4)


class Checks:
    """Asks the right members about one recipient.

    Args:
        store: where answers and the record of processing are kept, and the key under which officials become
            pseudonyms: stable for audits, meaningless elsewhere.
        cache: answers that may be given again; without it every question is asked.
        follow_moves: whether a member to which the person has moved, as another says, is asked too.
        default_s: time for an answer where the agency set no deadline; reserve_s is kept back for the way home.
    """

    def __init__(
        self,
        member_id: str,
        partners: Partners,
        directory: DirectorySource,
        clock: Clock,
        store: Store,
        *,
        max_members: int,
        default_s: float,
        reserve_s: float,
        cache: AnswerCache | None = None,
        follow_moves: bool = True,
    ) -> None:
        self._cache = cache
        self.again = GivenAgain(store.audit, store.disclosures, clock)
        self._follow_moves = follow_moves
        self._member_id = member_id
        self._partners = partners
        self._directory = directory
        self._clock = clock
        self._store = store
        self._max_members = max_members
        self._default_s = default_s
        self._reserve_s = reserve_s
        self.questions = Questions(store.pseudonym_key)
        self.pseudonym = self.questions.pseudonym
        """What stands for a unit's official elsewhere."""

    async def check(
        self, recipient: Recipient, case: Case, remaining_s: float | None, *, may_be_left: bool = False
    ) -> Checked:
        """Ask; at least one member answered when this returns, or may still answer if the question `may_be_left`.

        A question that may be left has to be within the deadline, too: so much less time have the members. Where that
        is none, nobody is asked.

        Raises:
            RefusedError: the question is wrong, no other member serves the region, or every member asked refused.
            PartnerError: none of the members asked answered in time.
            DirectoryError: the directory has expired.
        """
        if may_be_left and self._too_short(remaining_s):
            return self.unasked(recipient, case)
        plan = self._plan(recipient, case, remaining_s, may_be_left=may_be_left)
        first: MemberResult | None = None
        if len(plan.members) == 1:  # no task of its own for the many questions to one member
            first = await self._one(Call(plan.members[0], plan.question), plan)
            if not self._moved(plan, first):
                return await self._final(plan, [first], may_be_left=may_be_left)
        known: Sequence[MemberResult] = ()
        async for results in self._fan_out(plan, first):
            known = results
        return await self._final(plan, known, may_be_left=may_be_left)

    async def follow(
        self, recipient: Recipient, case: Case, remaining_s: float | None, *, may_be_left: bool = False
    ) -> AsyncIterator[Checked]:
        """The same, as the members answer: each time all that is known so far, from the first answer on.

        Raises:
            WuganError: as `check`; what was told before stands.
        """
        if may_be_left and self._too_short(remaining_s):
            yield self.unasked(recipient, case)
            return
        plan = self._plan(recipient, case, remaining_s, may_be_left=may_be_left)
        results: Sequence[MemberResult] = ()
        async for so_far in self._fan_out(plan):
            results = so_far
            if plan.awaited and any(result.answer is not None for result in results):
                yield self._checked(plan, results)
        yield await self._final(plan, results, may_be_left=may_be_left)

    def unasked(self, recipient: Recipient, case: Case) -> Checked:
        """A check of which nobody was asked yet, to be left with all whom it is for.

        Raises:
            RefusedError: as `check`.
            DirectoryError: the directory has expired.
        """
        today = civil_day(self._clock.now_ms())
        question = self.questions.make(recipient, case, today)
        members = route(self._directory.current(), self._member_id, recipient.places, self._max_members)
        error = PartnerError(NOT_ASKED.en, NOT_ASKED.zh)
        results = tuple(MemberResult(member, (), error=error) for member in members)
        return Checked(case.as_of_on or today, self._clock.now_ms(), results, question)

    def _time_s(self, remaining_s: float | None, *, may_be_left: bool) -> float:
        """How long others may be asked, seconds; not above 0: not at all."""
        if remaining_s is None:
            return self._default_s - self._reserve_s
        time_s = min(remaining_s, self._default_s * 10) - self._reserve_s
        return time_s - leaving_s(time_s) if may_be_left else time_s

    def _too_short(self, remaining_s: float | None) -> bool:
        """Whether there is no time to ask anybody about what may be left instead."""
        return self._time_s(remaining_s, may_be_left=True) <= 0

    def _plan(self, recipient: Recipient, case: Case, remaining_s: float | None, *, may_be_left: bool = False) -> Plan:
        """What to ask whom, if it may be asked at all."""
        today = civil_day(self._clock.now_ms())
        question = self.questions.make(recipient, case, today)
        members = route(self._directory.current(), self._member_id, recipient.places, self._max_members)
        time_s = self._time_s(remaining_s, may_be_left=may_be_left)
        if time_s <= 0:
            raise PartnerError(
                "the deadline is too short to ask anybody; allow more time",
                "时限过短，来不及查询，请延长时限",
                reason=words.REFUSAL_REASON_DEADLINE_EXCEEDED,
            )
        now_s = asyncio.get_running_loop().time()
        until_s, turn_s = now_s + time_s, now_s + time_s * TURN
        return Plan(question, members, turn_s, until_s, today, case.fresh)

    async def _fan_out(self, plan: Plan, first: MemberResult | None = None) -> AsyncIterator[Sequence[MemberResult]]:
        """Ask all members at once, those to which the person moved, and once more those that were not asked under
        numbers that another links; the results so far, whenever there are more.

        Whatever a member does, it is over by the deadline: what is not there then is given up.
        """
        loop = asyncio.get_running_loop()
        rounds = Rounds(plan)
        calls: dict[asyncio.Task[MemberResult], Call] = {}

        def ask() -> None:
            for call in rounds.due(calls.values(), loop.time()):
                calls[loop.create_task(self._one(call, plan))] = call

        def take(call: Call, result: MemberResult) -> None:
            rounds.take(call, result)
            self._moved(plan, result)

        async def give_up(late: Collection[asyncio.Task[MemberResult]]) -> None:
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=_SETTLE_S)  # for its record
            for task in late:
                call = calls.pop(task)
                rounds.take(call, call.late())

        try:
            if first is not None or len(plan.members) == 1:
                call = rounds.first()
                take(call, first or await self._in_time(call, plan))
                ask()
                yield rounds.so_far()
            else:
                ask()
            while calls:
                now_s, end_s = loop.time(), plan.until_s + _LATE_S
                until_s = plan.turn_s if now_s < plan.turn_s else end_s
                done, late = await asyncio.wait(
                    calls, timeout=max(0.0, until_s - now_s), return_when=asyncio.FIRST_COMPLETED
                )
                if not done and until_s < end_s:
                    ask()
                    continue
                if not done:
                    await give_up(late)
                for task in sorted(done, key=lambda each: calls[each].again):
                    call = calls.pop(task)
                    take(call, result := task.result())
                    if call.again and result.answer is not None:  # the first answer would tell less
                        await give_up([each for each, other in calls.items() if other.member_id == call.member_id])
                ask()
                yield rounds.so_far()
        finally:
            for task in calls:
                task.cancel()

    async def _in_time(self, call: Call, plan: Plan) -> MemberResult:
        """What comes of a single member, in the caller's own task: another would take longer than much of the work."""
        limit = asyncio.timeout_at(plan.until_s + _LATE_S)
        try:
            async with limit:
                return await self._one(call, plan)
        except TimeoutError:
            if not limit.expired():
                raise
            return call.late()

    def _moved(self, plan: Plan, result: MemberResult) -> bool:
        """Whether there are more members to ask because of what one said; an answer of one of these adds no more."""
        if result.answer is None or result.followed or not self._follow_moves or not has_moved(result.answer.findings):
            return False
        more = moved_to(self._directory.current(), self._member_id, result.answer.findings, plan.members)
        more = more[: max(0, self._max_members - len(plan.members))]
        plan.members += more
        plan.followed.update(more)
        return bool(more)

    def _checked(self, plan: Plan, results: Sequence[MemberResult]) -> Checked:
        as_of_on = plan.question.as_of_on
        if not as_of_on:
            as_of_on = plan.today
            for result in results:
                if result.held is not None:
                    as_of_on = min(as_of_on, result.held.answer.findings.as_of_on)
        return Checked(
            as_of_on,
            self._clock.now_ms(),
            tuple(results),
            plan.whole(),
            plan.awaited,
        )

    async def _final(self, plan: Plan, results: Sequence[MemberResult], *, may_be_left: bool = False) -> Checked:
        checked = self._checked(plan, results)
        later = may_be_left and any(result.error is not None and result.error.retryable for result in results)
        if later or checked.answered:
            return checked
        await checked.recorded()
        raise next(result.error for result in results if result.error is not None)

    def _one(self, call: Call, plan: Plan) -> Coroutine[Any, Any, MemberResult]:
        """What a member says."""
        return self._traced(call, plan) if tracing.active() else self._ask(call, plan)

    async def _traced(self, call: Call, plan: Plan) -> MemberResult:
        with tracing.span("ask", partner=call.member_id):
            return await self._ask(call, plan)

    async def _ask(self, call: Call, plan: Plan) -> MemberResult:
        """What a member said earlier, if that may be given again; else ask it.

        Whatever comes of it is recorded from the moment that a question left.
        """
        member_id, question, recorded, cache = call.member_id, call.question, call.recorded, self._cache
        numbers = asked_numbers(question)
        followed = member_id in plan.followed
        key, mark = b"", cache.mark if cache is not None else 0
        loop = asyncio.get_running_loop()
        time_s = max(plan.until_s - loop.time(), 0.001)
        if cache is not None and not plan.fresh:
            key = cache.key(member_id, question)
            held = await cache.find(member_id, key, numbers, time_s)
            if held is not None:
                recorded.append(self.again.record(held, question.context))
                given = held.answer.with_columns()
                return MemberResult(member_id, tuple(recorded), answer=given, held=held, followed=followed)
            time_s = max(plan.until_s - loop.time(), 0.001)  # looking took some of it
        left: list[AuditEvent] = []
        gone = False

        def leaves(sealed: Sealed) -> None:  # while it is on its way, so that the answer need not wait for the disk
            event = self._event(member_id, question, sealed)
            left.append(event)
            recorded.append(self._submitted(event))
            if gone:  # it left once more, for the others in its envelope
                recorded.append(self._submitted(event._replace(outcome=_GIVEN_UP[0], decision=_GIVEN_UP[1])))

        asking = Asking(question, leaves, mark)
        try:
            answer = await self._partners.ask(member_id, asking, time_s)
            if not answer.findings.status[0]:
                reason = answer.findings.refused.reason[0]
                raise RefusedError("the other province refused this person", "对方省份拒绝查询此人", reason=reason)
        except WuganError as error:
            recorded += self._record(left, error.reason, error.en)
            if cache is not None and not plan.fresh and error.reason in _UNREACHABLE:
                held = await cache.outdated(key, numbers)
                if held is not None:
                    recorded.append(self.again.record(held, question.context, outdated=True))
                    return MemberResult(member_id, tuple(recorded), held.answer.with_columns(), error, held, followed)
            return MemberResult(member_id, tuple(recorded), error=error, followed=followed)
        except asyncio.CancelledError:  # given up, but the question may have been dealt with
            gone = True
            recorded += self._record(left, *_GIVEN_UP)
            raise
        for event in left:
            if event.digest != answer.proof.question_digest:  # an earlier try, or another at the same time
                unanswered = event._replace(
                    outcome=words.REFUSAL_REASON_PARTNER_UNAVAILABLE, decision="not answered; asked in another message"
                )
                recorded.append(self._store.audit.submit(unanswered))
        findings = answer.findings
        about = [*numbers, *linked_numbers(findings)]
        against = spoken_against(question, findings) if cache is not None else []
        self._keep(answer, about, against).add_done_callback(_taken_note)
        if cache is not None:  # behind whoever waits for the answer
            loop.call_soon(cache.put, question, answer, asking.mark, time_s, key, about, against)
        return MemberResult(member_id, tuple(recorded), answer=answer, followed=followed)

    def _record(self, left: Sequence[AuditEvent], outcome: int, decision: str) -> list[asyncio.Future[Any]]:
        """Record of exchanges that no answer came of them."""
        return [self._store.audit.submit(event._replace(outcome=outcome, decision=decision)) for event in left]

    def _submitted(self, event: AuditEvent) -> asyncio.Future[Any]:
        """Have it recorded that a question left; what is wrong with that is seen when it is awaited."""
        try:
            return self._store.audit.submit(event)
        except StoreError as error:
            failed: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            failed.set_exception(error)
            return failed

    def _event(self, member_id: str, question: exchange_pb2.Question, sealed: Sealed) -> AuditEvent:
        """An exchange as it is recorded (records of processing: 个人信息保护法 第五十五条).

        It counts as answered unless a later row of the same message says otherwise.
        """
        return AuditEvent.of(
            question.context,
            at_ms=self._clock.now_ms(),
            direction="out",
            counterpart=member_id,
            message_id=sealed.message_id,
            digest=sealed.digest,
            subjects=len(question.subjects.id_number),
        )

    def _keep(self, answer: PartnerAnswer, about: Sequence[str], against: Sequence[str]) -> asyncio.Future[Any]:
        """Keep what proves the answer, to be found by the numbers it is about: those asked, and those it links.

        Args:
            answer: it.
            about: these numbers.
            against: those of them that it speaks against, where answers are given again.

        Raises:
            StoreError: too much is waiting already, or the store is closed.
        """
        signed = SignedAnswer(answer.member_id, answer.message_id, *answer.proof, self._clock.now_ms())
        if against:
            # In one commit: after a crash the cache, which is told in a moment, would not know what came.
            people = [self._store.reusable.blind_index(number) for number in against]
            ending = self._store.reusable.dropping(EVERY_MEMBER, people)
            return self._store.together([self._store.answers.effect(signed, about), ending])
        return self._store.answers.submit(signed, about, behind=True)


def _taken_note(kept: asyncio.Future[Any]) -> None:
    """An answer that could not be kept was given all the same: its proof is in it, and the exchange on record."""
    if not kept.cancelled() and (error := kept.exception()) is not None:
        _log.error("answer not kept", fault=described(error))
