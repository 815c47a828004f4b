"""Asking the departments: what a slow, broken or lying source does to the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from adapters.contract import Adapter, DataItem, Description, Evidence, Found, Holders, Links, Lookup, Subjects
from adapters.errors import SourceDownError, SourceFaultError
from gateway.clock import FakeClock
from gateway.inquiry.asking import Departments
from gateway.inquiry.gathering import MAX_LINKS, Gathered
from gateway.sections.resilience import DepartmentBreakerSettings
from wugan.adapter.v1 import vocabulary_pb2 as v
from wugan.federation.v1 import vocabulary_pb2 as words

PEOPLE = Subjects(["NUMBER-A", "NUMBER-B", "NUMBER-C"], ["甲", "乙", "丙"])
Answering = Callable[[Lookup], Awaitable[Found]]


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


def evidence(*subjects: int, kind: int = v.EVIDENCE_KIND_OUTPATIENT, department: int = 5) -> Evidence:
    rows = len(subjects)
    column = np.full(rows, 20_000, np.int32)
    return Evidence(
        subject=ints(*subjects),
        kind=np.full(rows, kind, np.int32),
        department=np.full(rows, department, np.int32),
        region=np.full(rows, 330700, np.int32),
        observed_on=column,
        available_on=column,
        strength=np.full(rows, v.STRENGTH_REAL_NAME, np.int32),
        source_reference=["r"] * rows,
        detail=ints(*[0] * rows),
        from_on=ints(*[0] * rows),
        until_on=ints(*[0] * rows),
    )


class Source:
    """An adapter written out in the test: real behaviour, chosen by the test."""

    def __init__(
        self, answer: Answering, *, name: str = "insurance", links: bool = False, max_batch: int = 100
    ) -> None:
        self.answer = answer
        self.asked: list[Lookup] = []
        item = DataItem(v.EVIDENCE_KIND_OUTPATIENT, v.STRENGTH_REAL_NAME, 1)
        self.about = Description(name, "1", v.DEPARTMENT_HEALTH_INSURANCE, (330000,), (item,), links, max_batch)

    def describe(self) -> Description:
        return self.about

    async def lookup(self, question: Lookup) -> Found:
        self.asked.append(question)
        return await self.answer(question)

    async def check(self) -> None:
        await self.answer(Lookup(Subjects([], [])))

    async def close(self) -> None:
        return None


def knowing(**known: str) -> Answering:
    """A source that knows these numbers (with the name given) and has one trace for each."""

    async def answer(question: Lookup) -> Found:
        rows, numbers, names = [], [], []
        for number, at in question.subjects.rows_by_number().items():
            for row in at:
                if number.replace("-", "_") in known:
                    rows.append(row)
                    numbers.append(number)
                    names.append(known[number.replace("-", "_")])
        return Found(Holders(ints(*rows), numbers, names), evidence(*sorted(set(rows))), complete_until_on=19_000)

    return answer


def always(found: Found) -> Answering:
    async def answer(_question: Lookup) -> Found:
        return found

    return answer


def raising(error: Exception) -> Answering:
    async def answer(_question: Lookup) -> Found:
        raise error

    return answer


async def ask(*sources: Source, people: Subjects = PEOPLE, deadline_s: float = 5.0) -> Gathered:
    adapters: Sequence[Adapter] = sources
    departments = Departments(adapters, lambda a, b: a.strip() == b.strip())
    return await departments.ask(Lookup(people, deadline_s=deadline_s))


def outcomes(gathered: Gathered) -> list[int]:
    return [report.outcome for report in gathered.reports]


async def test_evidence_of_all_sources_comes_together_and_known_people_are_marked() -> None:
    gathered = await ask(Source(knowing(NUMBER_A="甲")), Source(knowing(NUMBER_A="甲", NUMBER_C=" 丙")))
    assert sorted(gathered.evidence.subject.tolist()) == [0, 0, 2]
    assert gathered.known.tolist() == [True, False, True]
    assert not gathered.identity_conflict.any()
    assert not gathered.partial
    assert [report.complete_until_on for report in gathered.reports] == [19_000, 19_000]


async def test_another_name_under_the_number_is_an_identity_conflict_of_that_person_only() -> None:
    gathered = await ask(Source(knowing(NUMBER_A="甲", NUMBER_B="另一人")))
    assert gathered.identity_conflict.tolist() == [False, True, False]
    assert outcomes(gathered) == [words.SOURCE_OUTCOME_ANSWERED]


async def test_a_source_that_never_answers_is_silent_and_harms_nobody_else() -> None:
    never = asyncio.Event()
    cancelled = asyncio.Event()

    async def hang(_question: Lookup) -> Found:
        try:
            await never.wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        raise AssertionError

    gathered = await ask(Source(hang), Source(knowing(NUMBER_A="甲")), deadline_s=0.05)
    assert outcomes(gathered) == [words.SOURCE_OUTCOME_SILENT, words.SOURCE_OUTCOME_ANSWERED]
    assert gathered.partial
    assert gathered.known.tolist() == [True, False, False]
    await asyncio.wait_for(cancelled.wait(), 1)

    alone = await ask(Source(hang), deadline_s=0.05)
    assert outcomes(alone) == [words.SOURCE_OUTCOME_SILENT]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (SourceDownError("down", "不可达"), words.SOURCE_OUTCOME_UNAVAILABLE),
        (SourceFaultError("nonsense", "无效"), words.SOURCE_OUTCOME_FAULTY),
        (ZeroDivisionError(), words.SOURCE_OUTCOME_FAULTY),
    ],
)
async def test_what_a_source_raises_is_reported_by_kind(error: Exception, outcome: int) -> None:
    gathered = await ask(Source(raising(error)), Source(knowing(NUMBER_A="甲")))
    assert outcomes(gathered) == [outcome, words.SOURCE_OUTCOME_ANSWERED]


GOOD = Found(Holders(ints(0), ["NUMBER-A"], ["甲"]), evidence(0))


@pytest.mark.parametrize(
    "found",
    [
        replace(GOOD, holders=Holders(ints(0), ["NUMBER-Z"], ["甲"])),
        replace(GOOD, holders=Holders(ints(0), ["NUMBER-B"], ["乙"])),
        replace(GOOD, holders=Holders(ints(3), ["NUMBER-A"], ["甲"])),
        replace(GOOD, holders=Holders(ints(-1), ["NUMBER-A"], ["甲"])),
        replace(GOOD, holders=Holders(ints(0, 0), ["NUMBER-A"], ["甲"])),
        replace(GOOD, evidence=evidence(1)),
        replace(GOOD, evidence=evidence(7)),
        replace(GOOD, evidence=evidence(0, department=v.DEPARTMENT_BANKS)),
        replace(GOOD, evidence=evidence(0, kind=v.EVIDENCE_KIND_CREMATION)),
        replace(GOOD, evidence=replace(evidence(0), strength=ints(1, 2))),
        replace(GOOD, evidence=replace(evidence(0), strength=ints(99))),
        replace(GOOD, evidence=replace(evidence(0), source_reference=[])),
        replace(GOOD, links=Links(ints(0), ["NUMBER-D"], ints(0))),
    ],
    ids=[
        "a number nobody asked",
        "somebody else's number",
        "a row that is not there",
        "a negative row",
        "columns of different lengths",
        "evidence about a person it does not know",
        "evidence about a row that is not there",
        "evidence in another department's name",
        "a kind it never described",
        "one column longer",
        "a strength that is none",
        "no references",
        "links it never described",
    ],
)
async def test_an_answer_that_does_not_fit_is_thrown_away_whole(found: Found) -> None:
    gathered = await ask(Source(always(found)), Source(knowing(NUMBER_C="丙"), name="other"))
    assert outcomes(gathered) == [words.SOURCE_OUTCOME_FAULTY, words.SOURCE_OUTCOME_ANSWERED]
    assert gathered.evidence.subject.tolist() == [2]
    assert gathered.known.tolist() == [False, False, True]


async def test_a_changed_number_is_asked_of_every_source_in_a_second_step() -> None:
    async def police(question: Lookup) -> Found:
        found = await knowing(NUMBER_B="乙", NEW_B="乙")(question)
        if "NUMBER-B" in question.subjects.id_number:
            return replace(found, links=Links(ints(1), ["NEW-B"], ints(18_000)))
        return found

    insurance = Source(knowing(NEW_B="乙"))
    gathered = await ask(Source(police, links=True, name="police"), insurance)
    assert [list(question.subjects.id_number) for question in insurance.asked] == [list(PEOPLE.id_number), ["NEW-B"]]
    assert gathered.linked.tolist() == [False, True, False]
    assert (gathered.link_subject, gathered.link_id_number, gathered.link_since_on) == ([1], ["NEW-B"], [18_000])
    assert gathered.known.tolist() == [False, True, False]
    assert gathered.evidence.subject.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    "filler", ["无", "0", "不详（待核实）", "000000000000000000", "1111111111", "123456789012345678"]
)
async def test_a_filler_in_place_of_a_number_leads_to_nobody_else_s_record(filler: str) -> None:
    async def police(question: Lookup) -> Found:
        found = await knowing(NUMBER_B="乙")(question)
        return replace(found, links=Links(ints(1), [filler], ints(0))) if len(question.subjects) > 1 else found

    burials = Source(knowing(**{filler: ""}), name="burials")  # of people whose number was not known
    gathered = await ask(Source(police, links=True, name="police"), burials)
    assert len(burials.asked) == 1
    assert gathered.evidence.subject.tolist() == [1], "what the police know, and nothing besides"
    assert gathered.link_id_number == []
    assert outcomes(gathered) == [words.SOURCE_OUTCOME_ANSWERED] * 2


async def test_a_new_number_that_leads_back_to_the_one_asked_is_told_once() -> None:
    async def police(question: Lookup) -> Found:
        found = await knowing(NUMBER_B="乙", NEW_B="乙")(question)
        old = "NUMBER-B" in question.subjects.id_number
        row = question.subjects.id_number.index("NUMBER-B" if old else "NEW-B")
        return replace(found, links=Links(ints(row), ["NEW-B" if old else "NUMBER-B"], ints(0)))

    gathered = await ask(Source(police, links=True))
    assert (gathered.link_subject, gathered.link_id_number) == ([1], ["NEW-B"])


async def test_a_linked_number_held_under_another_name_is_a_conflict_of_the_person_asked() -> None:
    async def police(question: Lookup) -> Found:
        found = await knowing(NUMBER_B="乙", NEW_B="别人")(question)
        if "NUMBER-B" in question.subjects.id_number:
            return replace(found, links=Links(ints(1), ["NEW-B"], ints(0)))
        return found

    gathered = await ask(Source(police, links=True))
    assert gathered.identity_conflict.tolist() == [False, True, False]


async def test_a_person_with_too_many_numbers_is_left_to_people() -> None:
    async def police(question: Lookup) -> Found:
        count = MAX_LINKS + 1
        return Found(
            Holders(ints(0), [question.subjects.id_number[0]], [""]),
            links=Links(ints(*[0] * count), [f"NEW-{n}" for n in range(count)], ints(*[0] * count)),
        )

    gathered = await ask(Source(police, links=True))
    assert gathered.identity_conflict.tolist() == [True, False, False]


async def test_a_question_larger_than_an_adapter_takes_is_cut_and_put_together_again() -> None:
    small = Source(knowing(NUMBER_A="甲", NUMBER_C="丙", OLD_C="丙"), max_batch=2)
    people = replace(PEOPLE, alias_subject=[2], alias_id_number=["OLD-C"])
    gathered = await ask(small, people=people)
    assert [len(question.subjects) for question in small.asked] == [2, 1]
    assert small.asked[1].subjects.alias_subject == [0]
    assert gathered.evidence.subject.tolist() == [0, 2]
    assert gathered.known.tolist() == [True, False, True]


async def test_without_any_adapter_nobody_is_known() -> None:
    gathered = await ask()
    assert not gathered.known.any()
    assert gathered.reports == []


async def test_check_tells_which_adapter_does_not_reach_its_source() -> None:
    departments = Departments([Source(raising(SourceDownError("down", "不可达"))), Source(knowing())], str.__eq__)
    states = await departments.check()
    assert [(name, type(error)) for name, error in states] == [
        ("insurance", SourceDownError),
        ("insurance", type(None)),
    ]


# left alone, and places of its own


class Wards:
    """Departments with a clock of the test's, and a source that does what the test says."""

    def __init__(self, *sources: Source, **settings: object) -> None:
        self.clock = FakeClock()
        self.sources = sources
        options = DepartmentBreakerSettings(calls=4, open_s=4.0, **settings)  # type: ignore[arg-type]
        self.departments = Departments(sources, str.__eq__, self.clock, options)

    async def ask(self, deadline_s: float = 5.0, people: Subjects = PEOPLE) -> list[int]:
        return outcomes(await self.departments.ask(Lookup(people, deadline_s=deadline_s)))


ANSWERED, SILENT = words.SOURCE_OUTCOME_ANSWERED, words.SOURCE_OUTCOME_SILENT
UNAVAILABLE = words.SOURCE_OUTCOME_UNAVAILABLE


async def hang(_question: Lookup) -> Found:
    await asyncio.Event().wait()
    raise AssertionError


@pytest.mark.parametrize(
    "error", [SourceDownError("down", "不可达"), SourceFaultError("nonsense", "无效"), RuntimeError("crashed")]
)
async def test_a_source_that_keeps_failing_is_left_alone_and_the_others_are_asked(error: Exception) -> None:
    ill, well = Source(raising(error)), Source(knowing(NUMBER_A="甲"))
    wards = Wards(ill, well)
    for _ in range(10):
        assert (await wards.ask())[1] == ANSWERED
    assert len(ill.asked) == 4
    assert (await wards.ask()) == [UNAVAILABLE, ANSWERED]


async def test_a_source_that_is_well_again_is_found_by_a_few_lookups() -> None:
    source = Source(raising(SourceDownError("down", "不可达")))
    wards = Wards(source)
    for _ in range(6):
        await wards.ask()
    source.answer = knowing(NUMBER_A="甲")
    assert await wards.ask() == [UNAVAILABLE]
    wards.clock.advance(4.0)
    assert [await wards.ask() for _ in range(3)] == [[ANSWERED]] * 3
    assert wards.departments.states()[0].outage is None


async def test_a_source_that_answers_but_takes_too_long_is_left_alone_until_it_is_quick_again() -> None:
    found = knowing(NUMBER_A="甲")

    async def slow(question: Lookup) -> Found:
        wards.clock.advance(1.5)
        return await found(question)

    source, well = Source(slow), Source(found, name="civil-affairs")
    wards = Wards(source, well, slow_ms=1_000)
    assert [await wards.ask() for _ in range(4)] == [[ANSWERED, ANSWERED]] * 4
    assert [await wards.ask() for _ in range(3)] == [[UNAVAILABLE, ANSWERED]] * 3
    state, of_the_other = wards.departments.states()
    assert state.outage is not None
    assert (state.outage.reason, len(source.asked), of_the_other.outage) == ("SLOW", 4, None)
    wards.clock.advance(4.0)
    assert [await wards.ask() for _ in range(2)] == [[ANSWERED, ANSWERED], [UNAVAILABLE, ANSWERED]]
    source.answer = found
    wards.clock.advance(8.0)
    assert [await wards.ask() for _ in range(3)] == [[ANSWERED, ANSWERED]] * 3
    assert wards.departments.states()[0].outage is None


async def test_a_source_of_which_some_lookups_take_long_is_not_left_alone() -> None:
    found = knowing(NUMBER_A="甲")

    async def now_and_then(question: Lookup) -> Found:
        wards.clock.advance(1.5 * (len(source.asked) % 2))
        return await found(question)

    source = Source(now_and_then)
    wards = Wards(source, slow_ms=1_000)
    assert [await wards.ask() for _ in range(20)] == [[ANSWERED]] * 20


async def test_a_source_that_never_answers_is_left_alone_once_that_is_sure() -> None:
    source = Source(hang)
    wards = Wards(source, fair_ms=20)
    assert [await wards.ask(deadline_s=0.05) for _ in range(4)] == [[SILENT]] * 4
    assert await asyncio.wait_for(wards.ask(deadline_s=60.0), 5.0) == [UNAVAILABLE]
    assert len(source.asked) == 4


async def test_askers_that_give_no_time_cannot_make_a_source_look_dead_to_others() -> None:
    async def too_late(_question: Lookup) -> Found:
        raise SourceDownError("no answer in time", "未在时限内应答")

    for answer in (hang, too_late):
        source = Source(answer)
        wards = Wards(source)
        for _ in range(20):
            await wards.ask(deadline_s=0.002)
        assert wards.departments.states()[0].outage is None
        source.answer = knowing(NUMBER_A="甲")
        assert await wards.ask() == [ANSWERED]


async def test_neither_can_askers_with_very_many_people() -> None:
    source = Source(hang, max_batch=1_000)
    wards = Wards(source, fair_ms=1)
    many = Subjects([str(at) for at in range(100)], ["无名"] * 100)
    for _ in range(8):
        await wards.ask(deadline_s=0.02, people=many)
    assert wards.departments.states()[0].outage is None


async def test_lookups_that_were_given_up_say_nothing_of_a_source() -> None:
    source = Source(hang)
    wards = Wards(source, fair_ms=0)
    for _ in range(10):
        task = asyncio.ensure_future(wards.ask())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    state = wards.departments.states()[0]
    assert (state.outage, state.in_use) == (None, 0)


async def test_a_source_that_is_stuck_fills_its_own_places_and_questions_beyond_go_on_without_it() -> None:
    stuck, well = Source(hang), Source(knowing(NUMBER_A="甲"))
    wards = Wards(stuck, well, at_once=2, waiting=1)
    tasks = [asyncio.ensure_future(wards.ask()) for _ in range(3)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [await asyncio.wait_for(wards.ask(), 5.0) for _ in range(20)] == [[UNAVAILABLE, ANSWERED]] * 20
    state = wards.departments.states()[0]
    assert (state.in_use, state.in_line, state.shed) == (2, 1, 20)
    assert len(stuck.asked) == 2
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert wards.departments.states()[0].in_use == 0
