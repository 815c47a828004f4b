"""Numbers that one member links to a person: the others are asked once more under these, and nobody is certified where
they were not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.clock import FakeClock
from gateway.errors import PartnerError
from gateway.exchange.question import MAX_ALIASES
from gateway.federation.answer_cache import AnswerCache
from gateway.federation.checked import Checked
from gateway.federation.further import Further
from gateway.federation.kept import MAX_LINKED, CacheOptions
from gateway.federation.verdict import Verdict, verdict
from gateway.store.engine import Store
from tests.unit.adapters.adapters_world import number
from tests.unit.federation.test_check import Asked, case, events, recipient
from tests.unit.rules.rules_world import BOOK, EMPLOYEE, civil
from tests.unit.services.gateways_world import (
    ANHUI,
    ANNA,
    FUJIAN,
    NEW_ANNA,
    NOW_MS,
    A,
    B,
    C,
    Call,
    Party,
    findings,
    opened_at,
    question,
    sealed_answer,
    stored,
)
from wugan.adapter.v1 import columns_pb2
from wugan.federation.v1 import envelope_pb2, exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

STRONG, UNKNOWN, DECEASED, CONFLICT = (
    words.SURVIVAL_STATUS_ALIVE_STRONG,
    words.SURVIVAL_STATUS_UNKNOWN,
    words.SURVIVAL_STATUS_DECEASED,
    words.SURVIVAL_STATUS_CONFLICT,
)
CERTIFIED = words.CERTIFICATION_STATUS_CERTIFIED
NEEDS_FACE = words.CERTIFICATION_STATUS_NEEDS_FACE
MOVED = 1 << words.ENTITLEMENT_FLAG_MOVED
D = Party(420000)
Known = Callable[[list[str]], exchange_pb2.Findings]
"""What a member finds about the person of some numbers."""


class Linking(Asked):
    """A federation whose members know people by number, remember all they were asked, and answer when they are let."""

    def __init__(self) -> None:
        super().__init__(A, B, C, D)
        self.clock = FakeClock(NOW_MS)
        self.log: list[tuple[str, list[str]]] = []
        """Who was asked, and under which numbers."""
        self.refusing: set[str] = set()
        """Members that refuse questions with further numbers."""
        self.hanging: set[tuple[str, int]] = set()
        """Members, and of how many numbers the questions are that they never answer."""
        self.gates: dict[tuple[str, int], asyncio.Event] = {}
        """Until when they keep one waiting."""

    def knows(self, party: Party, known: Known) -> None:
        async def handle(envelope: envelope_pb2.Envelope, _call: Call) -> envelope_pb2.Envelope:
            opened = opened_at(self, party, envelope)
            payloads = []
            for payload in opened.payloads:
                asked = exchange_pb2.Question.FromString(payload)
                numbers = [*asked.subjects.id_number, *asked.subjects.alias_id_number]
                self.log.append((party.member_id, numbers))
                at = party.member_id, len(numbers)
                if at in self.hanging:
                    await asyncio.Event().wait()
                if at in self.gates:
                    await self.gates[at].wait()
                answer = exchange_pb2.Answer(context=asked.context)
                if party.member_id in self.refusing and len(numbers) > 1:
                    answer.refusal.reason = words.REFUSAL_REASON_QUOTA_EXCEEDED
                    answer.refusal.message_en, answer.refusal.message_zh = "enough", "超限"
                else:
                    answer.findings.CopyFrom(known(numbers))
                payloads.append(answer.SerializeToString())
            return sealed_answer(self, party, opened, *payloads)

        self.at(party, handle)

    def asked_of(self, party: Party) -> list[list[str]]:
        return [numbers for member, numbers in self.log if member == party.member_id]


def links(*numbers: str) -> columns_pb2.LinkColumns:
    return columns_pb2.LinkColumns(subject=[0] * len(numbers), id_number=numbers, since_on=[0] * len(numbers))


def alive(*linked: str, flags: int = 0, **more: Any) -> exchange_pb2.Findings:
    return findings(STRONG, flags=[flags], last_trace_on=[civil(50)], links=links(*linked), **more)


def linking(*linked: str, **more: Any) -> Known:
    """Alive under any number, and known by these, too."""
    return lambda _numbers: alive(*linked, **more)


def dead_as(*numbers: str, linked: Sequence[str] = ()) -> Known:
    """Dead, for whoever asks under one of these numbers; nobody knows the person otherwise."""

    def known(asked: list[str]) -> exchange_pb2.Findings:
        if set(numbers) & set(asked):
            return findings(DECEASED, decided_on=[civil(30)], links=links(*linked))
        return findings(UNKNOWN)

    return known


@pytest.fixture
async def store(tmp_path: Path, federation: Linking) -> AsyncIterator[Store]:
    async with stored(tmp_path, federation.clock) as opened:
        yield opened


@pytest.fixture
def federation() -> Linking:
    made = Linking()
    made.knows(B, linking(NEW_ANNA))
    made.knows(C, dead_as(NEW_ANNA))
    made.knows(D, dead_as())
    return made


BOTH = (ANHUI, FUJIAN)


async def check(federation: Linking, store: Store, left_s: float = 5.0, **more: Any) -> Checked:
    options = {name: more.pop(name) for name in ("cache", "max_members") if name in more}
    about = recipient(**{"regions": BOTH, **more})
    checked = await federation.checks(store, **options).check(about, case(), left_s)
    await checked.recorded()
    return checked


def judged(checked: Checked) -> Verdict:
    return verdict(BOOK, checked, EMPLOYEE)


def lacking(checked: Checked) -> list[str]:
    return [result.member_id for result in checked.results if result.lacking is not None]


def not_certified(checked: Checked, *members: Party) -> None:
    """Alive as far as is known, but the picture is said to be incomplete, and nobody is certified on it."""
    found = judged(checked)
    assert lacking(checked) == [member.member_id for member in members]
    assert (found.status, found.partial, found.proposal) == (STRONG, True, NEEDS_FACE)
    assert found.reasons[0].name == "NOT_ASKED_UNDER_LINKED_NUMBERS"
    shown = "".join(reason.zh + reason.en for reason in found.reasons)
    assert ANNA not in shown
    assert NEW_ANNA not in shown


def nothing_lacks(checked: Checked, status: int, proposal: int) -> None:
    found = judged(checked)
    assert (found.status, found.proposal, found.partial, lacking(checked)) == (status, proposal, False, [])


async def test_a_death_under_a_number_that_only_another_member_links_is_found(
    federation: Linking, store: Store
) -> None:
    checked = await check(federation, store)
    nothing_lacks(checked, DECEASED, words.CERTIFICATION_STATUS_STOP_PROPOSED)
    assert federation.asked_of(B) == [[ANNA]]
    assert federation.asked_of(C) == [[ANNA], [ANNA, NEW_ANNA]]
    assert [result.member_id for result in checked.results] == [B.member_id, C.member_id]


@pytest.mark.parametrize("slow", [B, C], ids=["the linking one", "the other"])
async def test_whoever_answers_first(federation: Linking, store: Store, slow: Party) -> None:
    go = federation.gates[slow.member_id, 1] = asyncio.Event()
    checking = asyncio.ensure_future(check(federation, store))
    async with asyncio.timeout(5):
        while len(await events(store)) < 2:  # both are asked
            await asyncio.sleep(0)
    for _ in range(20):
        await asyncio.sleep(0)
    go.set()
    nothing_lacks(await checking, DECEASED, words.CERTIFICATION_STATUS_STOP_PROPOSED)
    assert federation.asked_of(C)[-1] == [ANNA, NEW_ANNA]
    assert len(federation.asked_of(C)) == 2


async def test_a_member_that_is_slow_is_asked_again_before_its_first_answer_is_there(
    federation: Linking, store: Store
) -> None:
    federation.hanging = {(C.member_id, 1)}
    checked = await check(federation, store, left_s=1.0)
    nothing_lacks(checked, DECEASED, words.CERTIFICATION_STATUS_STOP_PROPOSED)
    recorded = [(event.outcome, event.decision) for event in await events(store) if event.counterpart == C.member_id]
    given_up = words.REFUSAL_REASON_DEADLINE_EXCEEDED, "given up by the agency"
    assert sorted(recorded) == [(0, ""), (0, ""), given_up], "nobody waits for the first answer any more"


async def test_two_answers_of_one_member_at_the_same_moment(federation: Linking, store: Store) -> None:
    go = federation.gates[C.member_id, 1] = federation.gates[C.member_id, 2] = asyncio.Event()
    checking = asyncio.ensure_future(check(federation, store, left_s=1.0))
    async with asyncio.timeout(5):
        while len(federation.asked_of(C)) < 2:
            await asyncio.sleep(0.005)
    go.set()
    nothing_lacks(await checking, DECEASED, words.CERTIFICATION_STATUS_STOP_PROPOSED)


async def test_a_later_trace_there_is_a_conflict(federation: Linking, store: Store) -> None:
    federation.knows(B, lambda _: findings(STRONG, last_trace_on=[civil(1)], links=links(NEW_ANNA)))
    nothing_lacks(await check(federation, store), CONFLICT, words.CERTIFICATION_STATUS_SUSPECT)


async def test_both_askings_are_recorded_and_both_answers_kept(federation: Linking, store: Store) -> None:
    checked = await check(federation, store)
    assert [len(result.recorded) for result in checked.results] == [1, 2]
    asked = [(event.counterpart, event.outcome) for event in await events(store)]
    assert sorted(asked) == sorted([(B.member_id, 0), (C.member_id, 0), (C.member_id, 0)])
    for id_number, members in ((ANNA, [B, C, C]), (NEW_ANNA, [B, C])):
        kept = await store.answers.find(id_number)
        assert sorted(each.member for each in kept) == sorted(member.member_id for member in members)


async def test_where_there_is_no_time_for_it_nobody_is_certified(federation: Linking, store: Store) -> None:
    federation.hanging = {(C.member_id, 2)}
    checked = await check(federation, store, left_s=0.2)
    not_certified(checked, C)
    said = checked.results[1]
    assert said.answer is not None
    assert said.answer.findings.status[0] == UNKNOWN
    assert said.lacking is not None
    assert said.lacking.code == "DEADLINE_EXCEEDED"
    outcomes = [event.outcome for event in await events(store) if event.counterpart == C.member_id]
    assert words.REFUSAL_REASON_DEADLINE_EXCEEDED in outcomes


async def test_a_member_that_refuses_further_numbers_keeps_its_first_answer_and_nobody_is_certified(
    federation: Linking, store: Store
) -> None:
    federation.refusing = {C.member_id}
    checked = await check(federation, store)
    not_certified(checked, C)
    refused = checked.results[1].lacking
    assert refused is not None
    assert (refused.code, refused.en) == ("QUOTA_EXCEEDED", "enough")


async def test_a_member_that_answers_nothing_at_all_is_missing_as_before(federation: Linking, store: Store) -> None:
    federation.fails(C)
    found = judged(checked := await check(federation, store))
    assert (found.status, found.partial, found.proposal, lacking(checked)) == (STRONG, True, CERTIFIED, [])


@pytest.mark.parametrize(
    "linked",
    [(), (ANNA,), (number(1),), ("",), ("无",), (NEW_ANNA[:-1] + "?",), ("1" * 18,), ("9" * 5000,)],
    ids=["none", "the one asked", "the same", "nothing", "a filler", "malformed", "ones", "endless"],
)
async def test_nobody_is_asked_again_for_a_number_that_was_asked_or_is_none(
    federation: Linking, store: Store, linked: tuple[str, ...]
) -> None:
    federation.knows(B, linking(*linked))
    nothing_lacks(await check(federation, store), STRONG, CERTIFIED)
    assert federation.asked_of(C) == [[ANNA]]


async def test_a_number_that_the_agency_gave_is_asked_for_once(federation: Linking, store: Store) -> None:
    checked = await check(federation, store, alias_id_numbers=(NEW_ANNA,))
    assert federation.asked_of(C) == [[ANNA, NEW_ANNA]]
    assert judged(checked).status == DECEASED


async def test_a_number_that_a_member_links_itself_is_not_asked_of_it(federation: Linking, store: Store) -> None:
    federation.knows(C, linking(NEW_ANNA))
    nothing_lacks(await check(federation, store), STRONG, CERTIFIED)
    assert [len(federation.asked_of(party)) for party in (B, C)] == [1, 1]


async def test_a_member_that_may_link_it_itself_is_waited_for(federation: Linking, store: Store) -> None:
    go = federation.gates[C.member_id, 1] = asyncio.Event()
    federation.knows(C, linking(NEW_ANNA))
    checking = asyncio.ensure_future(check(federation, store))
    async with asyncio.timeout(5):
        while not await store.answers.find(ANNA):  # the other one's answer is there
            await asyncio.sleep(0.005)
    go.set()
    nothing_lacks(await checking, STRONG, CERTIFIED)
    assert [len(federation.asked_of(party)) for party in (B, C)] == [1, 1]


async def test_numbers_of_an_identity_conflict_are_not_taken(federation: Linking, store: Store) -> None:
    identity = 1 << words.ENTITLEMENT_FLAG_IDENTITY_CONFLICT
    federation.knows(B, lambda _: findings(CONFLICT, flags=[identity], links=links(NEW_ANNA)))
    checked = await check(federation, store)
    assert federation.asked_of(C) == [[ANNA]]
    assert (judged(checked).status, lacking(checked)) == (CONFLICT, [])


async def test_no_more_numbers_are_asked_than_a_question_may_have_and_nobody_is_certified_on_fewer(
    federation: Linking, store: Store
) -> None:
    federation.knows(B, linking(*(number(at) for at in range(20, 40))))
    checked = await check(federation, store, alias_id_numbers=(number(9),))
    not_certified(checked, C)
    first, second = federation.asked_of(C)
    assert (len(first), len(second)) == (2, 1 + MAX_ALIASES)


@pytest.mark.parametrize("count", [MAX_ALIASES, MAX_ALIASES + 1])
async def test_as_many_as_there_may_be_are_enough(federation: Linking, store: Store, count: int) -> None:
    federation.knows(B, linking(*(number(at) for at in range(20, 20 + count))))
    checked = await check(federation, store)
    assert len(federation.asked_of(C)[1]) == 1 + MAX_ALIASES
    assert bool(lacking(checked)) == (count > MAX_ALIASES)


async def test_a_number_behind_so_many_that_it_is_not_read_is_not_passed_over(
    federation: Linking, store: Store
) -> None:
    federation.knows(B, linking(*[ANNA] * MAX_LINKED, NEW_ANNA))
    not_certified(await check(federation, store), C)


def changed_twice(newest: str) -> Known:
    """Known by her second number only, and that it was changed, too."""
    return lambda asked: alive(newest) if NEW_ANNA in asked else findings(UNKNOWN)


async def test_nobody_is_certified_where_the_second_answer_links_what_others_were_not_asked_under(
    federation: Linking, store: Store
) -> None:
    newest = number(7)
    federation.knows(C, changed_twice(newest))
    federation.knows(D, dead_as(newest))
    checked = await check(federation, store, regions=(*BOTH, D.region))
    assert federation.asked_of(C) == [[ANNA], [ANNA, NEW_ANNA]]
    assert federation.asked_of(D) == [[ANNA], [ANNA, NEW_ANNA]], "nobody is asked a third time"
    not_certified(checked, D)


async def test_what_the_second_answer_links_is_asked_of_those_that_have_one_left(
    federation: Linking, store: Store
) -> None:
    newest = number(7)
    federation.knows(B, lambda asked: dead_as(newest)(asked) if newest in asked else alive(NEW_ANNA))
    federation.knows(C, changed_twice(newest))
    checked = await check(federation, store)
    assert federation.asked_of(B) == [[ANNA], [ANNA, newest]]
    nothing_lacks(checked, DECEASED, words.CERTIFICATION_STATUS_STOP_PROPOSED)


async def test_each_is_asked_under_what_the_other_links(federation: Linking, store: Store) -> None:
    other = number(7)
    federation.knows(C, linking(other))
    nothing_lacks(await check(federation, store), STRONG, CERTIFIED)
    assert federation.asked_of(B) == [[ANNA], [ANNA, other]]
    assert federation.asked_of(C) == [[ANNA], [ANNA, NEW_ANNA]]


async def test_a_number_told_after_a_member_was_asked_again_leaves_it_lacking(
    federation: Linking, store: Store
) -> None:
    gate = federation.gates[D.member_id, 1] = asyncio.Event()
    federation.knows(C, dead_as())
    federation.knows(D, linking(number(7)))
    checking = asyncio.ensure_future(check(federation, store, left_s=2.0, regions=(*BOTH, D.region)))
    async with asyncio.timeout(5):
        while len(federation.asked_of(C)) < 2:  # half of the time is over
            await asyncio.sleep(0.005)
    gate.set()
    checked = await checking
    assert [len(federation.asked_of(party)) for party in (B, C)] == [2, 2]
    assert federation.asked_of(B)[1] == [ANNA, number(7)]
    not_certified(checked, C)


async def test_a_member_to_which_the_person_moved_is_asked_with_them_at_once(federation: Linking, store: Store) -> None:
    def moved(_numbers: list[str]) -> exchange_pb2.Findings:
        made = alive(NEW_ANNA, flags=MOVED)
        made.reasons.MergeFrom(
            exchange_pb2.ReasonColumns(subject=[0], code=[1], department=[0], kind=[0], on=[0], number=[FUJIAN])
        )
        made.reason_texts.add(code=1, name="MOVED", zh="迁", en="moved")
        return made

    federation.knows(B, moved)
    checked = await check(federation, store, regions=(ANHUI,))
    assert federation.asked_of(C) == [[ANNA, NEW_ANNA]]
    assert [result.followed for result in checked.results] == [False, True]
    assert judged(checked).status == DECEASED
    assert not lacking(checked)


async def test_a_member_that_came_by_a_move_and_links_has_the_first_one_asked_again(
    federation: Linking, store: Store
) -> None:
    def moved(_numbers: list[str]) -> exchange_pb2.Findings:
        made = alive(flags=MOVED)
        made.reasons.MergeFrom(
            exchange_pb2.ReasonColumns(subject=[0], code=[1], department=[0], kind=[0], on=[0], number=[FUJIAN])
        )
        made.reason_texts.add(code=1, name="MOVED", zh="迁", en="moved")
        return made

    federation.knows(B, moved)
    federation.knows(C, linking(NEW_ANNA))
    checked = await check(federation, store, regions=(ANHUI,), max_members=2)
    assert federation.asked_of(B) == [[ANNA], [ANNA, NEW_ANNA]]
    assert not lacking(checked)


async def test_who_is_asked_again_is_awaited_and_nobody_is_certified_meanwhile(
    federation: Linking, store: Store
) -> None:
    gate = federation.gates[C.member_id, 2] = asyncio.Event()
    told: list[Checked] = []
    async for checked in federation.checks(store).follow(recipient(regions=BOTH), case(), 5.0):
        told.append(checked)
        if C.member_id in lacking(checked):
            gate.set()
    *before, last = told
    assert all(C.member_id in each.awaited for each in before if len(each.results) == 2)
    assert any(lacking(each) for each in before)
    assert CERTIFIED not in [judged(each).proposal for each in before if len(each.results) == 2]
    assert not last.awaited
    nothing_lacks(last, DECEASED, words.CERTIFICATION_STATUS_STOP_PROPOSED)


async def test_a_second_answer_is_given_again_like_any_other(federation: Linking, store: Store) -> None:
    def lasting(known: Known) -> Known:
        def made(numbers: list[str]) -> exchange_pb2.Findings:
            found = known(numbers)
            found.made_at_ms = NOW_MS
            found.cacheable_until_ms = NOW_MS + 3_600_000
            return found

        return made

    federation.knows(B, lasting(linking(NEW_ANNA)))
    federation.knows(C, lasting(linking()))
    options = CacheOptions(100, 1 << 20, stale_if_unreachable=True, flush_s=0.01)
    cache = AnswerCache(store.reusable, store.answers, federation.directory, federation.clock, options)
    await cache.open()
    await check(federation, store, cache=cache)
    asked = len(federation.log)
    assert asked == 3
    for _ in range(3):
        await asyncio.sleep(0)
    checked = await check(federation, store, cache=cache)
    assert len(federation.log) == asked
    assert all(result.held is not None for result in checked.results)
    nothing_lacks(checked, STRONG, CERTIFIED)
    await cache.close()


async def test_the_question_that_may_be_left_has_the_numbers(federation: Linking, store: Store) -> None:
    federation.fails(C)
    checked = await check(federation, store)
    assert checked.question is not None
    assert list(checked.question.subjects.alias_id_number) == [NEW_ANNA]


async def test_when_nobody_is_left_to_ask_the_error_is_as_before(federation: Linking, store: Store) -> None:
    for party in (B, C):
        federation.fails(party)
    with pytest.raises(PartnerError):
        await check(federation, store)


def test_the_same_numbers_make_the_same_question_whoever_told_of_them_first() -> None:
    numbers = [number(at) for at in range(20, 20 + MAX_ALIASES)]
    for order in ((B, C), (C, B)):
        further = Further(question(ANNA))
        for party in order:
            further.hear(party.member_id, alive(*numbers[party is B :: 2]))
        asked = further.question(further.numbers(D.member_id))
        assert list(asked.subjects.alias_id_number) == sorted(numbers)
        assert list(asked.subjects.alias_subject) == [0] * MAX_ALIASES
