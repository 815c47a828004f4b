"""A department that cannot read a row of one person is silent about that one, and about nobody else."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from adapters.batches import in_batches
from adapters.contract import Found, Lookup, Subjects
from adapters.unreadable import without
from gateway.access.terms import Scope
from gateway.federation.answers import check_findings
from gateway.inquiry.answering import Account
from gateway.inquiry.asking import UNREADABLE_AT_MOST, Departments
from gateway.resilience.breaker import State
from gateway.rules.reasons import ReasonCode
from tests.unit.adapters.adapters_world import number
from tests.unit.rules.rules_world import BOOK, Row, row
from tests.unit.services.gateways_world import (
    ANNA,
    BO,
    CHEN,
    NEW_ANNA,
    B,
    Register,
    access_of,
    digest_of,
    findings_for,
    inquiry,
    question,
    terms,
)
from wugan.adapter.v1 import vocabulary_pb2 as v
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

ANSWERED, FAULTY = words.SOURCE_OUTCOME_ANSWERED, words.SOURCE_OUTCOME_FAULTY
STRONG, MEDIUM = words.SURVIVAL_STATUS_ALIVE_STRONG, words.SURVIVAL_STATUS_ALIVE_MEDIUM
UNKNOWN = words.SURVIVAL_STATUS_UNKNOWN
DAY_MS = 86_400_000
WRONG = "110101190001010000"
CIVIL = v.DEPARTMENT_CIVIL_AFFAIRS
MANY = [number(serial) for serial in range(100, 700)]
SAME = dict.fromkeys([ANNA, BO, CHEN, NEW_ANNA, *MANY], "无名")


class Ill(Register):
    """A department with rows that it cannot read, of the people of these numbers."""

    def __init__(self, people: Mapping[str, Sequence[Row]], ill: Collection[str], **options: Any) -> None:
        super().__init__(people, **{"department": CIVIL, "names": SAME, **options})
        self.ill = ill
        self.told_anyway = False

    async def lookup(self, question: Lookup) -> Found:
        found = await super().lookup(question)
        subjects = question.subjects.rows_by_number()
        unread = sorted({each for asked, rows in subjects.items() if asked in self.ill for each in rows})
        assert question.takes_unreadable
        if self.told_anyway:
            return Found(found.holders, found.evidence, unreadable=np.array(unread, np.int32))
        return without(found, np.array(unread, np.int32), len(question.subjects)) if unread else found


def seen(*people: str) -> list[Register]:
    """Departments that saw people lately, which makes them strong."""
    kinds = (("OUTPATIENT", "HEALTH_INSURANCE"), ("RAIL_TRAVEL", "TRANSPORT"))
    return [
        Register(
            {each: [row(kind, 5, name, region=340102)] for each in people},
            names=SAME,
            department=v.Department.Value(f"DEPARTMENT_{name}"),
        )
        for kind, name in kinds
    ]


def asked(*people: str, **changed: Any) -> exchange_pb2.Question:
    made = question(*people, **changed)
    made.subjects.name[:] = ["无名"] * len(people)
    return made


def asked_of(*people: str) -> Subjects:
    return Subjects(list(people), ["无名"] * len(people))


def married(*people: str) -> dict[str, list[Row]]:
    return {each: [row("MARRIAGE", 9_000, region=340102)] for each in people}


async def told(made: exchange_pb2.Question, *departments: Register, **options: Any) -> exchange_pb2.Findings:
    findings = await findings_for(inquiry(*departments, max_subjects=1_000, **options), made)
    check_findings(findings, len(made.subjects.id_number))
    return findings


def silent_of(findings: exchange_pb2.Findings) -> list[tuple[int, int]]:
    reasons = findings.reasons
    found = zip(reasons.subject, reasons.code, reasons.department, strict=True)
    return [(subject, department) for subject, code, department in found if code == ReasonCode.SOURCE_SILENT]


@pytest.mark.parametrize("many", [[], MANY], ids=["few", "many"])
async def test_rows_are_those_of_the_question_also_where_numbers_are_refused(many: list[str]) -> None:
    people = [WRONG, ANNA, "x", BO, CHEN, *many]
    good = [each for each in people if each in SAME]
    findings = await told(asked(*people), Ill(married(*good), {BO}), *seen(*good))
    assert list(findings.sources[0].unreadable_subject) == [3]
    assert [source.outcome for source in findings.sources] == [FAULTY, ANSWERED, ANSWERED]
    assert list(findings.status) == [0, STRONG, 0, MEDIUM, STRONG, *[STRONG] * len(many)]
    assert silent_of(findings) == [(3, CIVIL)]
    assert findings.partial
    assert findings.valid_until_on[3] < findings.valid_until_on[1] == findings.valid_until_on[4]


async def test_of_questions_answered_together_only_that_of_the_person_is_partial() -> None:
    people = [ANNA, BO, CHEN]
    department = Ill(married(*people), {BO})
    side = inquiry(department, *seen(*people))
    outcomes = await side.answer(
        side.prepare(
            B.member_id, [asked(each, purpose=v.PURPOSE_CERTIFICATION) for each in people], 5.0, [Account()] * 3
        )
    )
    assert len(department.asked) == 1, "they were not asked about together"
    anna, bo, chen = [each for each in outcomes if isinstance(each, exchange_pb2.Findings)]
    assert [each.partial for each in (anna, bo, chen)] == [False, True, False]
    assert [each.sources[0].outcome for each in (anna, bo, chen)] == [ANSWERED, FAULTY, ANSWERED]
    assert list(bo.sources[0].unreadable_subject) == [], "as if the department had not answered at all"
    assert [each.cacheable_until_ms - each.made_at_ms for each in (anna, bo, chen)] == [DAY_MS, 60_000, DAY_MS]
    assert silent_of(anna) == silent_of(chen) == []


async def test_a_number_found_later_leaves_out_its_person_only() -> None:
    people = [ANNA, BO]
    linking = Register(married(*people), names=SAME, links={ANNA: NEW_ANNA}, department=v.DEPARTMENT_PUBLIC_SECURITY)
    findings = await told(asked(*people), linking, Ill(married(*people), {NEW_ANNA}), *seen(*people))
    assert list(findings.sources[1].unreadable_subject) == [0]
    assert silent_of(findings) == [(0, CIVIL)]
    assert list(findings.status) == [MEDIUM, STRONG]


async def test_further_numbers_leave_out_whose_they_are_also_where_they_are_judged_apart() -> None:
    made = asked(ANNA, BO, CHEN)
    made.subjects.alias_subject.append(1)
    made.subjects.alias_id_number.append(NEW_ANNA)
    for access in (access_of(terms()), access_of(terms(), protected=frozenset({digest_of(number(900))}))):
        findings = await told(made, Ill(married(ANNA, BO, CHEN), {NEW_ANNA}), *seen(ANNA, BO, CHEN), access=access)
        assert list(findings.sources[0].unreadable_subject) == [1]


async def test_of_whom_nothing_may_be_told_this_is_not_told_either() -> None:
    access = access_of(terms(), protected=frozenset({digest_of(BO)}))
    hidden = await told(asked(ANNA, BO), Ill(married(ANNA, BO), {BO}), access=access)
    nobody = await told(asked(ANNA, BO), Ill(married(ANNA), set()), access=access)
    assert hidden.SerializeToString(deterministic=True) == nobody.SerializeToString(deterministic=True)


@pytest.mark.parametrize(("regions", "lacks"), [((340000,), [1]), ((330000, 340000), [])])
async def test_a_department_of_the_place_places_whom_it_cannot_read(regions: tuple[int, ...], lacks: list[int]) -> None:
    """Whoever a department of the grant's region holds lives there; where it serves others too, nobody can tell."""
    access = access_of(terms(scope=Scope(None, (340000,))))
    department = Ill(married(ANNA, BO, CHEN), {BO}, regions=regions)
    findings = await told(asked(ANNA, BO, CHEN), department, access=access)
    assert list(findings.sources[0].unreadable_subject) == lacks
    assert findings.status[1] == UNKNOWN
    assert findings.partial == bool(lacks)


@pytest.mark.parametrize("people", [[BO], [BO, CHEN]])
async def test_where_it_is_everybody_the_department_is_faulty(people: list[str]) -> None:
    department = Ill(married(ANNA, BO, CHEN), {BO, CHEN})
    findings = await told(asked(*people), department, *seen(BO, CHEN))
    assert (findings.sources[0].outcome, list(findings.sources[0].unreadable_subject)) == (FAULTY, [])
    assert silent_of(findings) == [(at, CIVIL) for at in range(len(people))]


async def test_whoever_tries_a_department_beside_takes_it_for_faulty_then() -> None:
    departments = Departments([Ill(married(BO), {BO})], BOOK.names_match)
    (report,) = (await departments.ask(Lookup(asked_of(BO), takes_unreadable=True))).reports
    assert (report.outcome, report.unreadable) == (FAULTY, None)


@pytest.mark.parametrize("more", [0, 1])
async def test_a_department_that_cannot_read_most_of_its_rows_is_faulty(more: int) -> None:
    """Then it is the manifest or the source that is wrong, and nobody knows what else is."""
    ill = MANY[: UNREADABLE_AT_MOST + more]
    department = Ill(married(*MANY[:30]), set(ill))
    findings = await told(asked(*MANY), department)
    assert list(findings.sources[0].unreadable_subject) == ([] if more else list(range(len(ill))))
    assert findings.sources[0].outcome == FAULTY
    half = Ill(married(*MANY), set(ill))
    assert list((await told(asked(*MANY), half)).sources[0].unreadable_subject) == list(range(len(ill)))


async def test_a_department_that_contradicts_itself_is_faulty() -> None:
    department = Ill(married(ANNA, BO), {BO})
    department.told_anyway = True
    findings = await told(asked(ANNA, BO), department)
    assert (findings.sources[0].outcome, list(findings.sources[0].unreadable_subject)) == (FAULTY, [])


@pytest.mark.parametrize("rows", [[5], [-1], [0, 0]])
async def test_people_who_were_not_asked_about_or_stand_there_twice_make_it_faulty(rows: list[int]) -> None:
    class Wrong(Register):
        async def lookup(self, question: Lookup) -> Found:
            return Found(unreadable=np.array(rows, np.int32))

    asked_about = Lookup(asked_of(ANNA, BO, CHEN), takes_unreadable=True)
    gathered = await Departments([Wrong({})], BOOK.names_match).ask(asked_about)
    assert [report.outcome for report in gathered.reports] == [FAULTY]


@pytest.mark.parametrize(("people", "state"), [([ANNA, BO], State.CLOSED), ([BO], State.OPEN)])
async def test_a_row_among_others_is_no_failure_of_the_department(people: list[str], state: State) -> None:
    departments = Departments([Ill(married(ANNA, BO), {BO})], BOOK.names_match)
    for _ in range(40):
        await departments.ask(Lookup(asked_of(*people), takes_unreadable=True))
    assert departments.states()[0].state == state


async def test_parts_of_a_question_keep_whom_each_was_not_about() -> None:
    async def lookup(part: Lookup) -> Found:
        return Found(unreadable=np.array([1], np.int32))

    found = await in_batches(lookup, Lookup(asked_of(*MANY[:6])), 2)
    assert found.unreadable.tolist() == [1, 3, 5]


async def test_two_adapters_of_a_department_are_one_department_to_the_person() -> None:
    one, other = Ill(married(ANNA, BO, CHEN), {BO}), Ill(married(ANNA, BO, CHEN), {BO, CHEN})
    findings = await told(asked(ANNA, BO, CHEN), one, other, *seen(ANNA, BO, CHEN))
    assert silent_of(findings) == [(1, CIVIL), (2, CIVIL)]
    assert [list(source.unreadable_subject) for source in findings.sources] == [[1], [1, 2], [], []]
