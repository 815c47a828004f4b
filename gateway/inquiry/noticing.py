"""From a changed person to notices: what is now found, held against what each subscriber was told, and told where it
differs.

Owns: the loop over changed people, and what follows from a finding: a notice, nothing, or another look later. Each
subscription is a question to this member's own departments, on the subscriber's terms, and takes the path of every
question: access, grading, minimising, counting, record. Refuses: telling the same twice (the subscription, the letter
and the record are one commit), taking anything back while a department is silent: it may be the one that knows, and
giving anybody up whose subscription is in force.

The rule. Alarming news (a death, a prison) is told at once, though a department be silent. That there is no news, or
that earlier news no longer holds, is believed only of an answer that is whole, in which all answered on whose word it
stood, but for departments that an administrator removed for good. Until then, and while the subscriber may
or can not be told, it is looked again, less and less often: once a day after `overdue_days`, of which the operator is
told then (`gateway.vitals.changes`). It ends with the subscription.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import structlog
from google.protobuf.message import DecodeError

from gateway.clock import Clock
from gateway.errors import StoreError, WuganError
from gateway.exchange.keys import Keyring
from gateway.exchange.tokens import PairKey
from gateway.inquiry.answering import Account, Inquiry
from gateway.inquiry.asking import Departments
from gateway.inquiry.following import tokens_of
from gateway.inquiry.holdups import HoldUp, held_up_by
from gateway.inquiry.identities import held_names, linked_numbers
from gateway.log import Standstill, described
from gateway.observing import tracing
from gateway.post.leaving import Post, commit
from gateway.post.letters import delivery_digest, letter
from gateway.rules.book import RuleBook
from gateway.rules.notifying import Told, compare, finding_of
from gateway.sections.lasting import NoticesSettings
from gateway.store.audit import AuditEvent
from gateway.store.changes import ChangedPerson, DueChange, Later
from gateway.store.engine import Store
from gateway.store.jumps import STEP_MS, Jumps
from gateway.store.letters import LONGEST_OFF_MS, Effect, Letter
from gateway.store.watches import Advance, Group, Watched
from wugan.adapter.v1 import columns_pb2
from wugan.adapter.v1 import vocabulary_pb2 as adapter_words
from wugan.federation.v1 import delivery_pb2, exchange_pb2, notices_pb2

_log = structlog.stdlib.get_logger(__name__)

AT_ONCE: Final = 64
"""Changed people looked at together."""
_FIRST_AGAIN_MS: Final = 2_000
_LONGEST_AGAIN_MS: Final = 3_600_000
_OVERDUE_AGAIN_MS: Final = 86_400_000
_ANOTHER_NAME: Final = "（姓名不符）"
"""Stands for a subscriber's name that is not the department's: what the departments hold then differs from it."""
_NO_NAME: Final = "（无姓名）"
_PURPOSE: Final = adapter_words.PURPOSE_CHANGE_MONITORING
_NO_ID: Final = bytes(16)


class _Case(NamedTuple):
    """One subscription of a changed person: the question about it, and what access says to that."""

    due: DueChange
    watched: Watched
    group: Group
    number: str
    question: exchange_pb2.Question
    account: Account


@dataclass(slots=True)
class _Outcome:
    """What came of the cases of one changed person."""

    effects: list[Effect] = field(default_factory=list)
    told: int = 0
    again_ms: int = 0
    """0: it is done with; otherwise in how long it is looked at again."""
    why: int = 0
    """What held it up, bits of `HoldUp`."""
    members: set[str] = field(default_factory=set)
    """Who could not be told."""

    def again(self, pause_ms: int, why: HoldUp, member: str = "") -> None:
        """Look again: it cannot be seen yet what there is to tell, or not told to a member."""
        self.again_ms = max(self.again_ms, pause_ms)
        self.why |= why
        if member:
            self.members.add(member)


class Noticing:
    """See the module.

    Args:
        inquiry: answers on a subscriber's terms.
        directory: gives the keys of the moment; nobody is told of who is not in it any more.
        deliver_ms: how long a notice may be on its way.
        told: called with the number of notices that were left with others, for metrics.
        gone: departments that administrators removed for good, of the moment: nothing waits for their word.
    """

    def __init__(
        self,
        book: RuleBook,
        departments: Departments,
        inquiry: Inquiry,
        directory: Callable[[], Keyring],
        store: Store,
        post: Post,
        clock: Clock,
        settings: NoticesSettings,
        *,
        deliver_ms: int,
        told: Callable[[int], None] = lambda _: None,
        gone: Callable[[], frozenset[int]] = frozenset,
    ) -> None:
        self._book = book
        self._departments = departments
        self._inquiry = inquiry
        self._directory = directory
        self._store = store
        self._post = post
        self._clock = clock
        self._jumps = Jumps(clock, STEP_MS)
        self._settings = settings
        self._deliver_ms = deliver_ms
        self._overdue_ms = round(settings.overdue_days * 86_400_000)
        self._told = told
        self._gone = gone
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Somebody changed who is subscribed for."""
        self._woken.set()

    async def run(self) -> None:
        """Look at changed people until cancelled."""
        standstill = Standstill()
        while True:
            self._woken.clear()
            try:
                while await self.once():
                    pass
                standstill.ends()
            except StoreError as error:
                if standstill.begins():
                    _log.warning("notices stand still", fault=described(error))
            except Exception as error:  # noqa: BLE001  a loop that ends would never be noticed
                _log.error("notices failed", error=type(error).__name__)
            try:
                async with asyncio.timeout(self._settings.poll_s):
                    await self._woken.wait()
            except TimeoutError:  # those put off, and those of another instance
                pass

    async def once(self) -> int:
        """Look at those who are due, 64 at most; how many there were.

        Raises:
            StoreError: what came of it could not be written; it is as if nothing had been done.
        """
        due = await self._store.changes.due(self._clock.now_ms(), AT_ONCE)
        if not due:
            return 0
        with tracing.begin("notice") as span:
            span.tell(people=len(due), told=await self._seen_to(due))
        return len(due)

    async def _seen_to(self, due: Sequence[DueChange]) -> int:
        """Look at them, and tell what there is to tell; the number of notices."""
        outcomes = {each.number: _Outcome() for each in due}
        cases = await self._cases(due, outcomes)
        by_member: dict[str, list[_Case]] = {}
        for case in cases:
            by_member.setdefault(case.group.member, []).append(case)
        answers = await asyncio.gather(*(self._answers(member, part) for member, part in by_member.items()))
        for part, found in zip(by_member.values(), answers, strict=True):
            for case, answer in zip(part, found, strict=True):
                outcome = outcomes[case.due.number]
                try:
                    self._judge(case, answer, outcome)
                except Exception as error:  # noqa: BLE001  one subscription must not hold up all others
                    _log.error("notice not made", member=case.group.member, error=type(error).__name__)
                    outcome.again(_pause(case.due.tries), HoldUp.FAULT, case.group.member)
        with tracing.span("record"):
            return await self._commit(due, outcomes)

    async def _commit(self, due: Sequence[DueChange], outcomes: Mapping[int, _Outcome]) -> int:
        """Write down what came of it; the number of notices left with others."""
        now_ms = self._clock.now_ms()
        settled: list[int | Later] = []
        effects: list[Effect] = []
        for each in due:
            outcome = outcomes[each.number]
            effects += outcome.effects
            if outcome.again_ms:
                pause_ms = min(self._paced(each, outcome, now_ms), LONGEST_OFF_MS)
                members = tuple(sorted(outcome.members))
                settled.append(Later(each.number, now_ms + pause_ms, outcome.why, members))
            else:
                settled.append(each.number)
        # The settling comes last: what it ends has happened when it is written.
        await commit(self._store, [*effects, self._store.changes.settling(settled)])
        told = sum(outcome.told for outcome in outcomes.values())
        if told:
            _log.info("notices left", notices=told)
            self._told(told)
        return told

    def _paced(self, due: DueChange, outcome: _Outcome, now_ms: int) -> int:
        """In how long a person is looked at again: of one who is overdue, the quick looks after a newer change over,
        once a day.
        """
        overdue = now_ms - due.first_at_ms > self._overdue_ms and _pause(due.tries) == _LONGEST_AGAIN_MS
        return max(outcome.again_ms, _OVERDUE_AGAIN_MS) if overdue else outcome.again_ms

    async def _cases(self, due: Sequence[DueChange], outcomes: Mapping[int, _Outcome]) -> list[_Case]:
        """A case for each subscription of these people."""
        groups = {group.number: group for group in await self._store.watches.groups()}
        if not groups:
            return []
        people = await self._people(due, outcomes)
        tokens = await asyncio.to_thread(tokens_of, list(groups.values()), list(people.values()))
        # A person without a subscription is done with: not because it seems to be over by a clock that is not believed.
        watched = await self._store.watches.find(tokens, self._jumps.at_least_ms())
        by_person = {person.number: each for each, person in zip(due, people.values(), strict=True)}
        nameless = {tokens[each.token][0].number for each in watched if not tokens[each.token][0].name}
        settings = self._settings
        names: dict[str, str] = {}
        if nameless:
            names = await held_names(self._departments, sorted(nameless), settings.ask_s, settings.legal_basis)
        cases = []
        for each in watched:
            person, number = tokens[each.token]
            group = groups.get(each.group)
            if group is None:
                continue
            question = self._question(each, group, person, person.name or names.get(person.number, ""), number)
            if question is not None:
                cases.append(_Case(by_person[person.number], each, group, number, question, Account()))
        return cases

    async def _people(self, due: Sequence[DueChange], outcomes: Mapping[int, _Outcome]) -> dict[int, ChangedPerson]:
        """These people with all of their numbers, as far as is known by now."""
        people = {each.number: each.person for each in due}
        unsure = [each for each in due if not each.person.whole]
        if unsure:
            numbers = [each.person.number for each in unsure]
            settings = self._settings
            linked, whole = await linked_numbers(self._departments, numbers, settings.ask_s, settings.legal_basis)
            for each in unsure:
                found = linked.get(each.person.number, each.person.linked)
                people[each.number] = each.person._replace(linked=found)
                if not whole:
                    outcomes[each.number].again(_pause(each.tries), HoldUp.LINKS)
        return people

    def _question(
        self, watched: Watched, group: Group, person: ChangedPerson, held_name: str, number: str
    ) -> exchange_pb2.Question | None:
        """The question about a person under the number by which it was subscribed for.

        The subscriber's name is not known here. Where it is the one that a department holds, that is the name; where it
        is not, one that nobody has, and the departments' answer is an identity conflict.
        """
        try:
            context = exchange_pb2.Context.FromString(watched.context)
        except DecodeError:
            _log.error("subscription not read", member=group.member)
            return None
        name = held_name or _NO_NAME
        if held_name:
            key = PairKey(group.key_id, group.secret)
            name_key = self._book.name_key(held_name)
            if name_key and key.name_check(watched.token, name_key) != watched.name_check:
                name = _ANOTHER_NAME
        others = [each for each in (person.number, *person.linked) if each != number]
        return exchange_pb2.Question(
            context=context,
            subjects=columns_pb2.SubjectColumns(
                id_number=[number], name=[name], alias_subject=[0] * len(others[:8]), alias_id_number=others[:8]
            ),
            benefit=[watched.benefit],  # type: ignore[list-item]  # a number of the contract
            evidence_limit=self._settings.evidence,
        )

    async def _answers(self, member: str, cases: Sequence[_Case]) -> list[exchange_pb2.Findings | WuganError]:
        try:  # who may not be told need not be asked about
            self._directory().encryption_key(member, self._clock.now_ms())
        except WuganError as error:
            return [error] * len(cases)
        answers: list[exchange_pb2.Findings | WuganError] = []
        for start in range(0, len(cases), AT_ONCE):
            part = cases[start : start + AT_ONCE]
            questions = [case.question for case in part]
            accounts = [case.account for case in part]
            prepared = self._inquiry.prepare(member, questions, self._settings.ask_s, accounts)
            answers += await self._inquiry.answer(prepared)
        return answers

    def _judge(self, case: _Case, answer: exchange_pb2.Findings | WuganError, outcome: _Outcome) -> None:
        """What follows from an answer."""
        member = case.group.member
        if isinstance(answer, WuganError):
            # Refused, too: as long as the subscription is in force, there may be a grant again, or a department.
            why = held_up_by(answer)
            passing = answer.retryable or why is HoldUp.DIRECTORY
            pause_ms = _pause(case.due.tries) if passing else _LONGEST_AGAIN_MS
            outcome.again(max(answer.retry_after_ms, pause_ms), why, member)
            outcome.effects.append(self._record(case, answer.reason, answer.en))
            return
        if not answer.status[0]:
            outcome.effects.append(self._record(case, answer.refused.reason[0], ""))
            return
        before = Told.unpacked(case.watched.told) if case.watched.told else None
        change = compare(self._book, before, finding_of(answer))
        gone = sum(1 << department for department in self._gone())
        sure = not answer.partial if change is None else change.sure(whole=not answer.partial, gone=gone)
        if not sure:
            why = HoldUp.DEPARTMENTS if answer.partial else HoldUp.OUT_OF_USE
            outcome.again(_pause(case.due.tries), why, member)
            outcome.effects.append(self._record(case, 0, "not whole: looked at again later"))
            return
        if change is None:
            outcome.effects.append(self._record(case, 0, "nothing to tell"))
            return
        sent = self._letter(case, answer, change.told.sequence, change.retracts_from)
        try:
            leaving = self._post.effect(sent)
        except StoreError:  # too much waits for that member
            outcome.again(_pause(case.due.tries), HoldUp.OUTBOX, member)
            return
        told = f"notice {change.told.sequence}"
        if not change.adds and change.unheard:  # then all of these are gone
            told += f"; without {_named(change.unheard)}: removed for good"
        recorded = self._record(case, 0, told, sent)
        advance = Advance(case.watched, change.told.sequence, change.told.packed(), [leaving, recorded])
        outcome.effects.append(self._store.watches.advancing(advance)._replace(after=leaving.after))
        outcome.told += 1

    def _letter(self, case: _Case, findings: exchange_pb2.Findings, sequence: int, retracts_from: int) -> Letter:
        now_ms = self._clock.now_ms()
        notice = notices_pb2.Notice(
            context=case.question.context,
            key_id=case.group.key_id,
            token=case.watched.token,
            benefit=case.watched.benefit,  # type: ignore[arg-type]  # a number of the contract
            sequence=sequence,
            retracts_from=retracts_from,
            findings=findings,
        )
        return letter(
            case.group.member,
            delivery_pb2.DELIVERY_KIND_NOTICE,
            notice.SerializeToString(),
            purpose=_PURPOSE,
            now_ms=now_ms,
            expires_at_ms=now_ms + self._deliver_ms,
            order_key=self._store.order_key(case.group.member, case.number),
        )

    def _record(self, case: _Case, outcome: int, what: str, sent: Letter | None = None) -> Effect:
        """The record of processing: departments were asked about a person on a subscriber's terms; what came of it."""
        return self._store.audit.effect(
            AuditEvent.of(
                case.question.context,
                at_ms=self._clock.now_ms(),
                direction="in",
                counterpart=case.group.member,
                message_id=_NO_ID if sent is None else sent.delivery_id,
                digest=b"" if sent is None else delivery_digest(sent.delivery_id, sent.body),
                subjects=1,
                outcome=outcome,
                decision=case.account.of(what),
            )
        )


def _named(departments: int) -> str:
    """The departments of some bits, as the record names them."""
    numbers = adapter_words.Department.DESCRIPTOR.values_by_number
    return ", ".join(
        each.name.removeprefix("DEPARTMENT_") for number, each in sorted(numbers.items()) if departments >> number & 1
    )


def _pause(tries: int) -> int:
    """Milliseconds until a person is looked at again: longer and longer."""
    return min(_LONGEST_AGAIN_MS, _FIRST_AGAIN_MS << min(tries, 20))
