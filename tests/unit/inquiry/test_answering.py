"""Answering a question from the departments: rows keep their place, and nobody gets more than the purpose allows."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.contract import Found, Lookup
from adapters.errors import SourceDownError, SourceFaultError
from gateway.clock import SHANGHAI_OFFSET_S, FakeClock
from gateway.errors import RefusedError
from gateway.exchange.header import LIMITS
from gateway.federation.answers import check_findings
from gateway.inquiry.answering import ALONE_FROM, Inquiry
from gateway.rules.identity import normalise_number
from tests.unit.adapters.adapters_world import number
from tests.unit.rules.rules_world import Row, as_date, civil, row
from tests.unit.services.gateways_world import (
    ANNA,
    BO,
    CHEN,
    NAMES,
    NEW_ANNA,
    B,
    Register,
    access_of,
    findings_for,
    inquiry,
    question,
    terms,
)
from wugan.adapter.v1 import vocabulary_pb2 as v
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

DAY_MS = 86_400_000
WRONG = "110101190001010000"
STRONG, MEDIUM = words.SURVIVAL_STATUS_ALIVE_STRONG, words.SURVIVAL_STATUS_ALIVE_MEDIUM
UNKNOWN, CONFLICT = words.SURVIVAL_STATUS_UNKNOWN, words.SURVIVAL_STATUS_CONFLICT
IDENTITY = 1 << words.ENTITLEMENT_FLAG_IDENTITY_CONFLICT


def visit(days_ago: int, reference: str = "ref", **more: Any) -> Row:
    made = row("OUTPATIENT", days_ago, region=340102, **more)
    return Row(**{**{name: getattr(made, name) for name in made.__dataclass_fields__}, "reference": reference})


async def answered(
    asked: exchange_pb2.Question, *departments: Register, time_s: float = 5.0, **options: Any
) -> exchange_pb2.Findings:
    findings = await findings_for(inquiry(*departments, **options), asked, time_s)
    check_findings(findings, len(asked.subjects.id_number))
    return findings


async def refusal(asked: exchange_pb2.Question, *departments: Register, **options: Any) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        await answered(asked, *departments, **options)
    return caught.value


def references(findings: exchange_pb2.Findings) -> list[tuple[int, str]]:
    return list(zip(findings.evidence.subject, findings.evidence.source_reference, strict=True))


async def test_a_wrong_number_is_refused_and_everybody_else_keeps_their_row() -> None:
    known = Register({ANNA: [visit(5, "a")], CHEN: [visit(6, "c")]})
    findings = await answered(question(WRONG, ANNA, "x", CHEN, BO), known)
    assert list(findings.refused.subject) == [0, 2]
    assert set(findings.refused.reason) == {words.REFUSAL_REASON_INVALID_ID_NUMBER}
    assert list(findings.status) == [0, MEDIUM, 0, MEDIUM, UNKNOWN]
    assert references(findings) == [(1, "a"), (3, "c")]
    assert set(findings.reasons.subject) == {1, 3, 4}
    assert list(known.asked[0].subjects.id_number) == [ANNA, CHEN, BO]


async def test_when_every_number_is_wrong_all_are_refused() -> None:
    findings = await answered(question(WRONG, "x"), Register({ANNA: [visit(5)]}))
    assert list(findings.status) == [0, 0]
    assert list(findings.refused.subject) == [0, 1]


async def test_numbers_are_normalised_before_anybody_is_asked() -> None:
    old_style = ANNA[:6] + ANNA[8:17]
    findings = await answered(question(f" {old_style}"), Register({ANNA: [visit(5)]}, names={ANNA: "无名"}))
    assert list(findings.status) == [MEDIUM]


async def test_the_same_person_twice_is_answered_twice() -> None:
    findings = await answered(question(ANNA, ANNA), Register({ANNA: [visit(5, "a")]}))
    assert list(findings.status) == [MEDIUM, MEDIUM]
    assert references(findings) == [(0, "a"), (1, "a")]


async def test_a_person_is_found_under_an_old_number_and_a_wrong_one_is_left_out() -> None:
    asked = question(BO, ANNA)
    asked.subjects.alias_subject.extend([1, 1])
    asked.subjects.alias_id_number.extend([NEW_ANNA, WRONG])
    department = Register({NEW_ANNA: [visit(5, "new")]})
    findings = await answered(asked, department)
    assert list(findings.status) == [UNKNOWN, MEDIUM]
    assert references(findings) == [(1, "new")]
    assert list(department.asked[0].subjects.alias_id_number) == [NEW_ANNA]


async def test_aliases_keep_to_their_person_when_others_are_refused() -> None:
    asked = question(WRONG, ANNA)
    asked.subjects.alias_subject.extend([0, 1])
    asked.subjects.alias_id_number.extend([BO, NEW_ANNA])
    findings = await answered(asked, Register({NEW_ANNA: [visit(5, "new")], BO: [visit(5, "bo")]}))
    assert list(findings.status) == [0, MEDIUM]
    assert references(findings) == [(1, "new")]


@pytest.mark.parametrize(("wanted", "most", "told"), [(0, 50, 0), (2, 50, 2), (100, 3, 3), (2**32 - 1, 50, 5)])
async def test_no_more_evidence_is_told_than_wanted_and_than_allowed_newest_first(
    wanted: int, most: int, told: int
) -> None:
    rows = [visit(days, f"{days}") for days in (9, 5, 7, 6, 8)]
    findings = await answered(question(ANNA, evidence_limit=wanted), Register({ANNA: rows}), max_evidence=most)
    assert [reference for _, reference in references(findings)] == ["5", "6", "7", "8", "9"][:told]


async def test_a_past_day_is_answered_from_what_was_known_then() -> None:
    rows = [visit(5), visit(100, "known", known=99), visit(110, "late", known=10)]
    findings = await answered(question(as_of_on=civil(50)), Register({ANNA: rows}))
    assert findings.as_of_on == civil(50)
    assert [reference for _, reference in references(findings)] == ["known"]
    assert as_date(findings.last_trace_on[0]) == as_date(civil(100))


@pytest.mark.parametrize("day", [civil(-1), -1, 2**31 - 1])
async def test_a_day_to_come_or_no_day_is_refused(day: int) -> None:
    assert (await refusal(question(as_of_on=day), Register({}))).field == "as_of_on"


def before_midnight(day: int, by_ms: int) -> FakeClock:
    """A clock by which so much is left until that day begins in Shanghai."""
    return FakeClock(day * DAY_MS - SHANGHAI_OFFSET_S * 1000 - by_ms)


@pytest.mark.parametrize("by_ms", [1, LIMITS.skew_ms])
async def test_midnight_may_come_to_the_asker_a_little_earlier(by_ms: int) -> None:
    tomorrow = civil(-1)
    asked, known = question(as_of_on=tomorrow), Register({ANNA: [visit(5, "a")]})
    findings = await answered(asked, known, clock=before_midnight(tomorrow, by_ms))
    assert (findings.as_of_on, references(findings)) == (tomorrow, [(0, "a")])


async def test_a_day_further_away_than_clocks_may_be_apart_is_refused() -> None:
    tomorrow = civil(-1)
    asked, clock = question(as_of_on=tomorrow), before_midnight(tomorrow, LIMITS.skew_ms + 1)
    assert (await refusal(asked, Register({}), clock=clock)).field == "as_of_on"


async def test_a_member_without_departments_says_so() -> None:
    assert (await refusal(question())).code == "NOT_SERVED"


async def test_who_may_not_ask_is_refused_before_anybody_is_asked() -> None:
    department = Register({ANNA: [visit(5)]})
    access = access_of(terms(member=B.member_id, purposes=frozenset({v.PURPOSE_AUDIT})))
    assert (await refusal(question(), department, access=access)).code == "PURPOSE_NOT_PERMITTED"
    assert (await refusal(question(), department, access=access_of())).code == "MEMBER_NOT_PERMITTED"
    assert not department.asked


async def test_too_many_people_in_one_question_are_refused() -> None:
    error = await refusal(question(ANNA, BO, CHEN), Register({}), max_subjects=2)
    assert (error.code, error.field) == ("TOO_LARGE", "subjects")


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (SourceDownError("down", "不可达"), words.SOURCE_OUTCOME_UNAVAILABLE),
        (SourceFaultError("nonsense", "无效"), words.SOURCE_OUTCOME_FAULTY),
    ],
)
async def test_a_department_that_does_not_answer_is_named(error: Exception, outcome: int) -> None:
    well = Register({ANNA: [visit(5)]})
    ill = Register({}, department=v.DEPARTMENT_BANKS, error=error)
    findings = await answered(question(), well, ill)
    assert findings.partial
    assert [(source.adapter_id, source.outcome) for source in findings.sources] == [
        ("health-insurance", words.SOURCE_OUTCOME_ANSWERED),
        ("banks", outcome),
    ]
    named = [
        department
        for code, department in zip(findings.reasons.code, findings.reasons.department, strict=True)
        if next(text.name for text in findings.reason_texts if text.code == code) == "SOURCE_SILENT"
    ]
    assert named == [v.DEPARTMENT_BANKS]


async def test_of_departments_that_did_not_answer_it_is_not_said_that_they_know_nobody() -> None:
    ill = Register({}, department=v.DEPARTMENT_BANKS, error=SourceDownError("down", "不可达"))
    findings = await answered(question(), Register({}), ill)
    (told,) = [text for text in findings.reason_texts if text.name == "UNKNOWN_PERSON"]
    assert told.en == "None of the departments that answered knows the person."
    assert told.zh == "已答复的部门均查无此人。"


async def test_where_no_department_answered_it_is_not_said_that_any_knows_nobody() -> None:
    down = SourceDownError("down", "不可达")
    ill = [Register({}, error=down), Register({}, department=v.DEPARTMENT_BANKS, error=down)]
    findings = await answered(question(ANNA, BO), *ill)
    assert list(findings.status) == [UNKNOWN, UNKNOWN]
    names = {text.code: text.name for text in findings.reason_texts}
    assert [names[code] for code in findings.reasons.code] == ["NOBODY_ANSWERED", *["SOURCE_SILENT"] * 2] * 2
    (told,) = [text for text in findings.reason_texts if text.name == "NOBODY_ANSWERED"]
    assert told.en == "No department answered, so whether any of them knows the person cannot be said; ask again."
    assert told.zh == "没有任何部门答复，无从得知是否有部门登记此人，请稍后重新查询。"


PURPOSES: dict[int, dict[str, Any]] = {
    v.PURPOSE_CERTIFICATION: {"visit": ("", 340000, "2026-05-01"), "move": ("", 340000, "2026-05-18")},
    v.PURPOSE_CHANGE_MONITORING: {"visit": None, "move": ("", 340000, "2026-05-18")},
    v.PURPOSE_OVERPAYMENT_RECOVERY: {"visit": None, "move": ("m", 340102, "2026-05-18")},
    v.PURPOSE_DISPUTE_REVIEW: {"visit": ("v", 340102, "2026-05-17"), "move": ("m", 340102, "2026-05-18")},
    v.PURPOSE_AUDIT: {"visit": None, "move": ("m", 340102, "2026-05-18")},
}


@pytest.mark.parametrize("purpose", PURPOSES, ids=v.Purpose.Name)
async def test_the_purpose_decides_what_is_told_of_references_places_and_days(purpose: int) -> None:
    move = row("HOUSEHOLD_MOVED", 9, "HEALTH_INSURANCE", region=340102, detail=350102)
    move = Row(**{**{name: getattr(move, name) for name in move.__dataclass_fields__}, "reference": "m"})
    department = Register({ANNA: [visit(10, "v"), move]})
    findings = await answered(question(ANNA, purpose=purpose), department)
    rows = findings.evidence
    told = {
        "visit" if kind == v.EVIDENCE_KIND_OUTPATIENT else "move": (reference, region, as_date(on))
        for kind, reference, region, on in zip(
            rows.kind, rows.source_reference, rows.region, rows.observed_on, strict=True
        )
    }
    assert told == {name: seen for name, seen in PURPOSES[purpose].items() if seen is not None}
    precise = {words.DATE_PRECISION_DAY: True, words.DATE_PRECISION_MONTH: False}
    if "visit" in told:
        assert precise[findings.trace_dates] == (told["visit"][2] == "2026-05-17")
    assert as_date(findings.last_trace_on[0]) == "2026-05-17"
    assert findings.last_trace_date == words.DATE_PRECISION_DAY


async def test_a_linked_number_is_told_where_the_purpose_allows() -> None:
    department = Register({ANNA: [], NEW_ANNA: [visit(5, "new")]}, links={ANNA: NEW_ANNA})
    findings = await answered(question(WRONG, ANNA), department)
    assert (list(findings.links.subject), list(findings.links.id_number)) == ([1], [NEW_ANNA])
    assert references(findings) == [(1, "new")]
    audit = await answered(question(ANNA, purpose=v.PURPOSE_AUDIT), department)
    assert not audit.links.subject


@pytest.mark.parametrize("purpose", PURPOSES, ids=v.Purpose.Name)
async def test_of_two_people_under_one_number_nothing_is_told(purpose: int) -> None:
    other = {**NAMES, ANNA: "别人", NEW_ANNA: "别人"}
    department = Register({ANNA: [visit(5)], NEW_ANNA: [visit(6)]}, names=other, links={ANNA: NEW_ANNA})
    findings = await answered(question(ANNA, purpose=purpose), department)
    assert (list(findings.status), list(findings.flags)) == ([CONFLICT], [IDENTITY])
    assert not findings.evidence.subject
    assert not findings.links.subject
    assert not findings.last_trace_on[0]


class Gate(Register):
    """A department that answers once it is let go."""

    def __init__(self, people: Mapping[str, Sequence[Row]], **options: Any) -> None:
        super().__init__(people, **options)
        self.begun, self.go = asyncio.Event(), asyncio.Event()

    async def lookup(self, question: Lookup) -> Found:
        found = await super().lookup(question)
        self.begun.set()
        await self.go.wait()
        return found


async def meeting(side: Inquiry, gate: Gate, *asked: exchange_pb2.Question) -> list[asyncio.Future[Any]]:
    """The answers under way to questions that arrive together, once the department is being asked."""
    asking = [asyncio.ensure_future(findings_for(side, each)) for each in asked]
    await asyncio.wait_for(gate.begun.wait(), 5)
    return asking


async def test_questions_that_arrive_together_get_each_their_own_findings() -> None:
    people = {ANNA: [visit(5, "a")], BO: [visit(6, "b")], NEW_ANNA: []}
    gate = Gate(people, links={ANNA: NEW_ANNA})
    asked = [question(ANNA), question(WRONG, BO), question(CHEN), question(BO)]
    asking = await meeting(inquiry(gate), gate, *asked)
    gate.go.set()
    together = await asyncio.gather(*asking)
    assert [len(lookup.subjects) for lookup in gate.asked] == [4, 1]
    for each, findings in zip(asked, together, strict=True):
        check_findings(findings, len(each.subjects.id_number))
        assert findings == await answered(each, Register(people, links={ANNA: NEW_ANNA}))


async def test_questions_on_different_terms_are_not_mixed() -> None:
    department = Register({ANNA: [visit(5, "a")], BO: [visit(6, "b")]})
    side = inquiry(department)
    wide, narrow = await asyncio.gather(
        findings_for(side, question(ANNA)),
        findings_for(side, question(BO, purpose=v.PURPOSE_CHANGE_MONITORING)),
    )
    assert references(wide) == [(0, "a")]
    assert not narrow.evidence.subject
    assert [lookup.purpose for lookup in department.asked] == [
        v.PURPOSE_DISPUTE_REVIEW,
        v.PURPOSE_CHANGE_MONITORING,
    ]


async def test_one_asker_giving_up_does_not_take_the_answer_from_another() -> None:
    gate = Gate({ANNA: [visit(5, "a")]})
    leaving, staying = await meeting(inquiry(gate), gate, question(BO), question(ANNA))
    leaving.cancel()
    gate.go.set()
    assert references(await staying) == [(0, "a")]
    with pytest.raises(asyncio.CancelledError):
        await leaving


PEOPLE = [number(serial) for serial in range(1, 9)]
HELD = {person: [visit(5 + at, f"{at}"), visit(30 + at, f"{at}")] for at, person in enumerate(PEOPLE[:6])}
spellings = st.sampled_from([str, str.lower, lambda text: f" {text}", lambda text: text[:6] + text[8:17]])
askable = st.one_of(st.tuples(st.sampled_from(PEOPLE), spellings), st.just((WRONG, str)), st.just(("", str)))


@given(st.lists(st.lists(askable, min_size=1, max_size=6), min_size=1, max_size=3))
@settings(max_examples=60, deadline=None)
async def test_nobodys_evidence_is_ever_told_of_another(batches: Sequence[Sequence[tuple[str, Any]]]) -> None:
    gate = Gate(HELD, names=dict.fromkeys(PEOPLE, "无名"))
    side = inquiry(gate)
    asked = []
    for batch in batches:
        made = question(*(spell(person) for person, spell in batch))
        made.subjects.name[:] = ["无名"] * len(batch)
        asked.append(made)
    asking = await meeting(side, gate, *asked)
    gate.go.set()
    for made, findings in zip(asked, await asyncio.gather(*asking), strict=True):
        check_findings(findings, len(made.subjects.id_number))
        assert len(gate.asked) == 1
        for at, text in enumerate(made.subjects.id_number):
            try:
                person = normalise_number(text)
            except RefusedError:
                assert at in findings.refused.subject
                assert at not in findings.evidence.subject
                continue
            told = [reference for row_, reference in references(findings) if row_ == at]
            assert told == [each.reference for each in HELD.get(person, [])]


async def test_a_large_question_is_a_batch_of_its_own() -> None:
    people = [number(serial) for serial in range(1, ALONE_FROM + 2)]
    department = Register({people[-1]: [visit(5, "last")]}, names=dict.fromkeys(people, "无名"))
    side = inquiry(department)
    await asyncio.gather(findings_for(side, question(*people)), findings_for(side, question(BO)))
    assert sorted(len(lookup.subjects) for lookup in department.asked) == [1, ALONE_FROM + 1]
