"""Numbers that come to light while departments are asked are asked about too, or the answer says that they were not."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import adapters
from adapters.build import build
from adapters.contract import Found, Links, Lookup, Subjects
from adapters.errors import SourceDownError
from adapters.manifest import load_manifest
from gateway.access.terms import Scope
from gateway.inquiry.access import Access
from gateway.inquiry.asking import MAX_ROUNDS, Departments
from gateway.inquiry.gathering import MAX_LINKS, Gathered
from gateway.inquiry.narrowing import Narrowing
from gateway.rules.book import FLAG_SLOTS
from gateway.rules.certification import propose
from gateway.rules.reasons import ReasonCode
from tests.unit.adapters.adapters_world import number
from tests.unit.rules.rules_world import BOOK, Row, civil, row
from tests.unit.services.gateways_world import Register, access_of, digest_of, findings_for, inquiry, question, terms
from wugan.adapter.v1 import vocabulary_pb2 as v
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

HEFEI, WUHU = 340100, 340200
N = [number(serial) for serial in range(20, 40)]
"""Numbers of one person, one after another."""
A, B, C, D = N[:4]
OTHER = number(60)
EVERY = dict.fromkeys([*N, OTHER], "无名")
ANSWERED = words.SOURCE_OUTCOME_ANSWERED


class Linking(Register):
    """A department that knows several numbers for one."""

    def __init__(self, links: Mapping[str, Sequence[str]], people: Mapping[str, Sequence[Row]], **more: Any) -> None:
        super().__init__(people, names=EVERY, **{"department": v.DEPARTMENT_PUBLIC_SECURITY, **more})
        self.pairs = links
        self.late: dict[int, float | Exception] = {}
        """By round: what is raised in it, or how many seconds it takes."""

    async def lookup(self, question: Lookup) -> Found:
        found = await super().lookup(question)
        what = self.late.get(len(self.asked), 0.0)
        if isinstance(what, Exception):
            raise what
        await asyncio.sleep(what)
        told = [
            (subject, other)
            for subject, held in zip(found.holders.subject.tolist(), found.holders.held_id_number, strict=True)
            for other in self.pairs.get(held, ())
        ]
        rows = np.array([subject for subject, _ in told], np.int32)
        return replace(found, links=Links(rows, [other for _, other in told], rows * 0))


def seen(*kinds: str, region: int = HEFEI) -> list[Row]:
    return [row(kind, 60 + at, region=region) for at, kind in enumerate(kinds)]


def knowing(people: Mapping[str, Sequence[Row]], department: int = v.DEPARTMENT_HEALTH, **more: Any) -> Register:
    return Register(people, names=EVERY, department=department, **more)


def numbers(department: Register) -> list[list[str]]:
    return [list(lookup.subjects.id_number) for lookup in department.asked]


async def ask(
    *departments: Register, narrowing: Narrowing | None = None, deadline_s: float = 5.0, people: Sequence[str] = (A,)
) -> Gathered:
    side = Departments(departments, BOOK.names_match)
    asked = Lookup(Subjects(list(people), ["无名"] * len(people)), deadline_s=deadline_s)
    return await (side.ask(asked) if narrowing is None else side.ask(asked, narrowing))


def asked(*numbers: str, further: Sequence[str] = ()) -> exchange_pb2.Question:
    """A question; `further`: numbers given besides for its first person."""
    made = question(*numbers)
    made.subjects.alias_subject.extend([0] * len(further))
    made.subjects.alias_id_number.extend(further)
    return made


async def told(
    *departments: Register, access: Access | None = None, further: Sequence[str] = ()
) -> exchange_pb2.Findings:
    return await findings_for(inquiry(*departments, access=access or access_of(terms())), asked(A, further=further))


def codes(findings: exchange_pb2.Findings) -> set[ReasonCode]:
    return {ReasonCode(code) for code in findings.reasons.code}


def proposed(findings: exchange_pb2.Findings) -> int:
    columns = {name: np.array(getattr(findings, name), np.int32) for name in ("status", "decided_on")}
    flags = np.array(findings.flags, np.uint32)
    no_days = np.zeros((1, FLAG_SLOTS), np.int32)
    benefit = np.array([words.BENEFIT_TYPE_EMPLOYEE_PENSION], np.int32)
    return int(propose(BOOK, benefit=benefit, flags=flags, flag_on=no_days, as_of_on=civil(0), **columns).status[0])


def pairs(*both: tuple[str, str]) -> dict[str, list[str]]:
    """Links that are found from either number."""
    links: dict[str, list[str]] = {}
    for one, other in both:
        links.setdefault(one, []).append(other)
        links.setdefault(other, []).append(one)
    return links


ORDERS: dict[str, tuple[list[dict[str, list[str]]], set[str]]] = {
    "one after another": ([{A: [B], B: [C]}], {A, B, C}),
    "found from either": ([pairs((A, B), (B, C))], {A, B, C}),
    "older ones": ([pairs((B, A), (C, B))], {A, B, C}),
    "of two departments": ([{A: [B]}, {B: [C]}], {A, B, C}),
    "of two departments, the other first": ([{B: [C]}, {A: [B]}], {A, B, C}),
    "round again": ([{A: [B], B: [C], C: [A, B]}], {A, B, C}),
    "there and back": ([{A: [B], B: [A]}], {A, B}),
    "all at once": ([{A: [B, C], B: [A, C], C: [A, B]}], {A, B, C}),
    "a fan": ([{A: [B, C], C: [D], B: [N[4], N[5]]}], {A, B, C, D, N[4], N[5]}),
    "by two ways": ([{A: [B], B: [D]}, {A: [C], C: [D]}], {A, B, C, D}),
    "three changes": ([{A: [B], B: [C], C: [D]}], {A, B, C, D}),
}


@pytest.mark.parametrize(("links", "all_of_them"), ORDERS.values(), ids=ORDERS)
async def test_every_number_is_asked_once_of_every_department(
    links: list[dict[str, list[str]]], all_of_them: set[str]
) -> None:
    departments = [Linking(each, {number: [] for number in N}) for each in links]
    health = knowing({number: seen("DEATH_CERTIFICATE") for number in N})
    gathered = await ask(*departments, health)
    for department in (*departments, health):
        flat = [number for round_ in numbers(department) for number in round_]
        assert sorted(flat) == sorted(all_of_them)
    assert sorted(gathered.link_id_number) == sorted(all_of_them - {A})
    assert gathered.linked.tolist() == [True]
    assert len(gathered.evidence) == len(all_of_them)
    assert not gathered.partial
    assert not gathered.identity_conflict.any()
    assert gathered.unasked is None


@pytest.mark.parametrize("links", [{A: [B], B: [C]}, pairs((A, B), (B, C))], ids=["one way", "both ways"])
async def test_somebody_who_died_under_the_number_after_the_next_is_not_called_alive(
    links: dict[str, list[str]],
) -> None:
    police = Linking(links, {A: [], B: [], C: []})
    rail = knowing({B: [row("RAIL_TRAVEL", 100)]}, v.DEPARTMENT_TRANSPORT)
    insurance = knowing({B: [row("OUTPATIENT", 80)]}, v.DEPARTMENT_HEALTH_INSURANCE)
    health = knowing({C: [row("DEATH_CERTIFICATE", 60)]})
    findings = await told(police, rail, insurance, health)
    assert findings.status == [words.SURVIVAL_STATUS_DECEASED]
    assert sorted(findings.links.id_number) == sorted([B, C])
    assert ReasonCode.IDENTITY_LINKED in codes(findings)
    assert proposed(findings) == words.CERTIFICATION_STATUS_STOP_PROPOSED


async def test_who_has_one_number_costs_one_round_and_a_changed_number_two() -> None:
    police, health = Linking(pairs((B, C)), {A: [], B: [], C: []}), knowing({})
    await ask(police, health)
    assert (len(police.asked), len(health.asked)) == (1, 1)
    await ask(police, health, people=(A, B, OTHER))
    assert numbers(health)[1:] == [[A, B, OTHER], [C]]


async def test_a_further_number_that_was_extrais_not_asked_again_and_what_it_leads_to_is() -> None:
    police, health = (
        Linking(pairs((A, B), (B, C), (C, D)), {number: [] for number in N}),
        knowing({D: seen("DEATH_CERTIFICATE")}),
    )
    findings = await told(police, health, further=[C])
    assert numbers(health) == [[A], [B, D]]
    assert findings.status == [words.SURVIVAL_STATUS_DECEASED]


# bounded, and said


def chain(changes: int) -> dict[str, list[str]]:
    return {N[at]: [N[at + 1]] for at in range(changes)}


async def test_as_many_changes_are_followed_as_there_are_rounds_after_the_first() -> None:
    people = {number: [] for number in N}
    police, health = Linking(chain(MAX_ROUNDS - 1), people), knowing({N[MAX_ROUNDS - 1]: seen("DEATH_CERTIFICATE")})
    findings = await told(police, health)
    assert len(health.asked) == MAX_ROUNDS
    assert findings.status == [words.SURVIVAL_STATUS_DECEASED]


async def test_with_one_more_nobody_is_judged_and_the_answer_says_why() -> None:
    traced = seen("OUTPATIENT", "RAIL_TRAVEL", "INPATIENT")
    police = Linking(chain(MAX_ROUNDS), {number: [] for number in N})
    health, rail = knowing({A: traced, B: traced}), knowing({A: traced}, v.DEPARTMENT_TRANSPORT)
    findings = await told(police, health, rail)
    assert len(health.asked) == MAX_ROUNDS
    assert findings.status == [words.SURVIVAL_STATUS_CONFLICT]
    assert findings.flags == [1 << words.ENTITLEMENT_FLAG_IDENTITY_CONFLICT]
    assert codes(findings) == {ReasonCode.NUMBERS_NOT_ASKED}
    assert not findings.evidence.subject
    assert not findings.links.id_number
    assert proposed(findings) == words.CERTIFICATION_STATUS_SUSPECT


async def test_only_who_has_numbers_left_is_not_judged() -> None:
    links = {**chain(MAX_ROUNDS), OTHER: [N[12]], N[12]: [N[13]]}
    police = Linking(links, {number: [] for number in EVERY})
    gathered = await ask(police, knowing({}), people=(A, OTHER))
    assert gathered.identity_conflict.tolist() == [True, False]
    assert gathered.unasked is not None
    assert gathered.unasked.tolist() == [True, False]


@pytest.mark.parametrize(
    "links",
    [
        {A: N[1 : MAX_LINKS + 2]},
        {A: N[1:MAX_LINKS], B: N[MAX_LINKS : MAX_LINKS + 2]},
    ],
    ids=["at once", "in two rounds"],
)
async def test_of_too_many_numbers_the_rest_is_not_asked_and_that_is_the_reason(links: dict[str, list[str]]) -> None:
    police, health = Linking(links, {number: [] for number in N}), knowing({})
    findings = await told(police, health)
    assert sum(len(round_) for round_ in numbers(health)) == 1 + MAX_LINKS
    assert findings.status == [words.SURVIVAL_STATUS_CONFLICT]
    assert codes(findings) == {ReasonCode.NUMBERS_NOT_ASKED}


async def test_a_name_that_differs_is_told_as_such_though_numbers_are_left_too() -> None:
    police = Linking(chain(MAX_ROUNDS), {number: [] for number in N})
    health = knowing({A: []})
    health.names = {A: "别人"}
    assert codes(await told(police, health)) == {ReasonCode.IDENTITY_CONFLICT}


async def test_numbers_found_when_the_time_is_over_are_left_and_that_is_said() -> None:
    police = Linking(chain(2), {number: [] for number in N})
    health = knowing({C: seen("DEATH_CERTIFICATE"), A: seen("OUTPATIENT")})
    rail = Linking({}, {}, department=v.DEPARTMENT_TRANSPORT)
    rail.late = {2: 60.0}
    gathered = await ask(police, health, rail, deadline_s=0.25)
    assert numbers(health) == [[A], [B]], "C was found, and the time was over"
    assert gathered.identity_conflict.tolist() == [True]
    assert gathered.unasked is not None
    assert gathered.unasked.tolist() == [True]
    assert gathered.partial, "so that it is asked again soon"


async def test_a_number_of_which_no_department_said_anything_is_as_good_as_not_asked() -> None:
    police = Linking(chain(2), {number: [] for number in N})
    police.late = {2: SourceDownError("down", "不可达")}
    gathered = await ask(police)
    assert gathered.identity_conflict.tolist() == [True]
    assert gathered.partial


async def test_a_department_that_fails_in_the_third_round_is_missing_and_the_others_count() -> None:
    police = Linking(chain(2), {number: [] for number in N})
    rail = Linking({}, {C: seen("RAIL_TRAVEL")}, department=v.DEPARTMENT_TRANSPORT)
    rail.late = {3: SourceDownError("down", "不可达")}
    gathered = await ask(police, rail)
    assert [report.outcome for report in gathered.reports] == [ANSWERED, words.SOURCE_OUTCOME_UNAVAILABLE]
    assert not gathered.identity_conflict.any()
    assert gathered.link_id_number == [B, C]


# people who may not be told of


def protecting(*protected: str, **changed: Any) -> Access:
    return access_of(terms(**changed), protected=frozenset(digest_of(each) for each in protected))


ONLY_HEFEI = Scope(None, (HEFEI,))
CHAINED: list[Any] = [
    pytest.param(access_of(terms(scope=ONLY_HEFEI)), pairs((A, B), (B, C)), id="of another region, changed twice"),
    pytest.param(access_of(terms(scope=ONLY_HEFEI)), chain(MAX_ROUNDS + 1), id="of another region, changed too often"),
    pytest.param(access_of(terms(scope=ONLY_HEFEI)), {A: N[1:12]}, id="of another region, with too many numbers"),
    pytest.param(protecting(C, scope=ONLY_HEFEI), chain(2), id="protected under the third number, of a region"),
]


@pytest.mark.parametrize("further", [[], [OTHER], [B], [C]], ids=["alone", "beside another", "with B", "with C"])
@pytest.mark.parametrize(("access", "links"), CHAINED)
async def test_whoever_may_not_be_told_of_looks_unknown_over_all_rounds(
    access: Access, links: dict[str, list[str]], further: list[str]
) -> None:
    away = {number: seen("DEATH_CERTIFICATE", region=WUHU) for number in N}
    forbidden, unknown = Linking(links, away), Linking({}, {})
    beside = knowing({OTHER: seen("OUTPATIENT")}), knowing({OTHER: seen("OUTPATIENT")})
    one = await told(forbidden, beside[0], access=access, further=further)
    other = await told(unknown, beside[1], access=access, further=further)
    assert one.SerializeToString(deterministic=True) == other.SerializeToString(deterministic=True)
    assert len(forbidden.asked) == len(unknown.asked) == len(beside[0].asked) == len(beside[1].asked)


@given(
    st.dictionaries(st.sampled_from(N[:6]), st.lists(st.sampled_from(N[:6]), max_size=3), max_size=6),
    st.lists(st.tuples(st.integers(0, 1), st.sampled_from(N[:6])), max_size=4, unique=True),
    st.sets(st.sampled_from(N[:6]), max_size=2),
    st.integers(0, 3),
)
@settings(max_examples=150, deadline=None)
async def test_however_numbers_are_linked_people_of_another_region_look_unknown(
    links: dict[str, list[str]], further: list[tuple[int, str]], protected: set[str], changes: int
) -> None:
    """Beside somebody of the region, whose number changed so many times."""
    here = {one: [other] for one, other in itertools.pairwise([OTHER, *N[10 : 10 + changes]])}
    beside = {OTHER: seen("OUTPATIENT"), **{number: seen("RAIL_TRAVEL") for number in N[10:14]}}
    away = {number: seen("DEATH_CERTIFICATE", "OUTPATIENT", region=WUHU) for number in N[:6]}
    made = asked(A, OTHER)
    extra = [(row, each) for row, each in further if (row, each) != (0, A)]
    made.subjects.alias_subject.extend(row for row, _ in extra)
    made.subjects.alias_id_number.extend(each for _, each in extra)
    answers, rounds = [], []
    for pairs_, people in (({**links, **here}, {**away, **beside}), (here, beside)):
        police, health = Linking(pairs_, people), knowing(people)
        access = protecting(*protected, scope=ONLY_HEFEI)
        answers.append(await findings_for(inquiry(police, health, access=access), made))
        rounds.append(len(health.asked))
    assert answers[0].SerializeToString(deterministic=True) == answers[1].SerializeToString(deterministic=True)
    assert answers[0].status[0] == words.SURVIVAL_STATUS_UNKNOWN
    assert answers[0].status[1] != words.SURVIVAL_STATUS_UNKNOWN
    assert rounds[0] == rounds[1]


@pytest.mark.parametrize("further", [[], [OTHER]], ids=["alone", "beside another"])
async def test_so_does_a_protected_person_whose_number_changed(further: list[str]) -> None:
    access = protecting(A)
    forbidden = Linking(chain(2), {number: seen("DEATH_CERTIFICATE") for number in N})
    beside = knowing({OTHER: seen("OUTPATIENT")}), knowing({OTHER: seen("OUTPATIENT")})
    one = await told(forbidden, beside[0], access=access, further=further)
    other = await told(Linking({}, {}), beside[1], access=access, further=further)
    assert one.SerializeToString(deterministic=True) == other.SerializeToString(deterministic=True)
    assert len(beside[0].asked) == len(beside[1].asked) == 1


async def test_somebody_protected_under_the_third_number_is_not_told_of() -> None:
    police, health = Linking(chain(2), {number: [] for number in N}), knowing({A: seen("OUTPATIENT")})
    one = await told(police, health, access=protecting(C))
    other = await told(Linking({}, {}), knowing({}), access=protecting(C))
    assert one.SerializeToString(deterministic=True) == other.SerializeToString(deterministic=True)


@pytest.mark.parametrize("given", [[], [B]], ids=["alone", "with a number between given"])
async def test_nor_where_the_number_between_is_extrain_the_question(given: list[str]) -> None:
    police, health = Linking(chain(2), {number: [] for number in N}), knowing({A: seen("OUTPATIENT")})
    findings = await told(police, health, access=protecting(C), further=given)
    assert findings.status == [words.SURVIVAL_STATUS_UNKNOWN]


async def test_who_is_placed_by_the_third_number_alone_is_told_of() -> None:
    police, health = Linking(pairs((A, B), (B, C)), {A: [], B: [], C: []}), knowing({C: seen("DEATH_CERTIFICATE")})
    findings = await told(police, health, access=access_of(terms(scope=ONLY_HEFEI)))
    assert findings.status == [words.SURVIVAL_STATUS_DECEASED]
    assert len(findings.evidence.subject) == 1, "nothing is told twice for having been asked twice"


async def test_what_a_further_number_leads_to_in_the_last_round_places_both() -> None:
    links = {A: [N[10]], N[10]: [N[11]], N[11]: [N[12]], N[12]: [N[13]]}
    police = Linking(links, {A: [], **{number: [] for number in N[10:13]}, N[13]: seen("OUTPATIENT")})
    prisons = knowing({A: seen("IMPRISONED", region=WUHU)}, v.DEPARTMENT_JUSTICE)
    findings = await told(police, prisons, access=access_of(terms(scope=ONLY_HEFEI)), further=[N[10]])
    assert len(police.asked) == MAX_ROUNDS
    assert findings.flags[0] & 1 << words.ENTITLEMENT_FLAG_IMPRISONED


async def test_rows_asked_again_for_the_look_of_it_are_told_once() -> None:
    """A is asked again under its own number until what it is linked to is placed."""
    police = Linking({A: [B], B: [C]}, {A: seen("OUTPATIENT"), B: [], C: seen("INPATIENT")})
    police.people = {**police.people, A: [row("OUTPATIENT", 5, region=WUHU)]}
    side = Departments([police], BOOK.names_match)
    asked_for = Lookup(Subjects([A], ["无名"], [0], [B]), deadline_s=5.0)
    gathered = await side.ask(asked_for, Narrowing((HEFEI,)))
    assert sorted(gathered.evidence.kind.tolist()) == [v.EVIDENCE_KIND_OUTPATIENT, v.EVIDENCE_KIND_INPATIENT]


BY_TWO_WAYS: list[Any] = [
    pytest.param({A: [B], B: [D], OTHER: [D]}, "", id="one round later"),
    pytest.param(
        {A: [B], B: [D], OTHER: [D, N[8]], N[8]: [N[9]]}, N[9], id="one round later, and the first way is hidden"
    ),
    pytest.param({A: [B], B: [C, D], OTHER: [B]}, "", id="in the same round, twice"),
]


@pytest.mark.parametrize(("links", "hidden"), BY_TWO_WAYS)
async def test_a_number_that_several_numbers_of_the_question_lead_to_is_told_of_once(
    links: dict[str, list[str]], hidden: str
) -> None:
    """Where somebody is protected each number of the question is followed by itself."""
    police = Linking(links, {number: [] for number in EVERY})
    health = knowing({D: seen("DEATH_CERTIFICATE")})
    findings = await told(police, health, access=protecting(hidden or N[15]), further=[OTHER])
    assert findings.status == [words.SURVIVAL_STATUS_DECEASED]
    assert len(findings.evidence.subject) == 1


@pytest.mark.parametrize("hidden", ["", OTHER], ids=["of somebody who may be told of", "of somebody protected"])
async def test_numbers_left_of_a_further_number_are_left_of_its_person(hidden: str) -> None:
    links = {one: [other] for one, other in itertools.pairwise([OTHER, *N[10 : 11 + MAX_ROUNDS]])}
    police = Linking(links, {number: [] for number in EVERY})
    findings = await told(police, access=protecting(hidden or N[19]), further=[OTHER])
    assert (ReasonCode.NUMBERS_NOT_ASKED in codes(findings)) == (not hidden)


async def test_without_anybody_who_links_numbers_nobody_is_asked_again_for_the_look_of_it() -> None:
    health = knowing({})
    health.about = replace(health.about, links=False)
    await told(health, access=access_of(terms(scope=ONLY_HEFEI)))
    assert len(health.asked) == 1


async def test_a_department_that_fails_while_nobody_is_asked_about_anew_is_not_missing() -> None:
    """Of a region, unknown people are asked about again for the look of it alone; and so do forbidden ones look."""
    away = {each: seen("DEATH_CERTIFICATE", region=WUHU) for each in N}
    for links, people in (({}, {}), (chain(2), away)):
        police = Linking(links, people)
        police.late = {2: SourceDownError("down", "不可达"), 3: SourceDownError("down", "不可达")}
        findings = await told(police, access=access_of(terms(scope=ONLY_HEFEI)))
        assert findings.status == [words.SURVIVAL_STATUS_UNKNOWN]
        assert not findings.partial


async def test_one_that_fails_while_somebody_is_who_is_told_of_is_missing() -> None:
    police = Linking(chain(2), {A: [], B: seen("OUTPATIENT"), C: []})
    rail = Linking({}, {}, department=v.DEPARTMENT_TRANSPORT)
    rail.late = {2: SourceDownError("down", "不可达")}
    findings = await told(police, rail, access=access_of(terms(scope=ONLY_HEFEI)))
    assert findings.status != [words.SURVIVAL_STATUS_UNKNOWN]
    assert findings.partial


# a department as it is


TEMPLATE = Path(adapters.__file__).parent / "departments" / "social-insurance.yaml"


def sheet(path: Path, title: str, *rows: Sequence[str]) -> None:
    book = openpyxl.Workbook()
    page = book.active
    page.title = title
    for each in rows:
        page.append(each)
    book.save(path)


async def test_corrections_one_after_another_in_the_social_insurances_files_are_followed(tmp_path: Path) -> None:
    drop = tmp_path / "drop"
    drop.mkdir()
    text = TEMPLATE.read_text("utf-8").replace(
        "{folder: /var/lib/wugan/drop/social-insurance}", "{folder: drop, settle_s: 0}"
    )
    (tmp_path / "manifest.yaml").write_text(text, "utf-8")
    sheet(
        drop / "号码更正_202611.xlsx",
        "更正",
        ["原证件号码", "现证件号码", "姓名", "更正日期"],
        [A, B, "无名", "2020-03-01"],
        [B, C, "无名", "2024-05-01"],
    )
    sheet(
        drop / "资格认证_202611.xlsx",
        "认证",
        ["证件号码", "姓名", "认证日期", "经办区划", "认证方式", "认证编号"],
        [B, "无名", "2026-01-15", "330702", "人脸", "R1"],
    )
    for name, head in {
        "参保登记": ["证件号码", "姓名", "参保日期", "参保区划", "登记编号"],
        "重复领取": ["证件号码", "姓名", "发现日期", "本地区划", "另一领取地区划", "比对编号"],
    }.items():
        sheet(drop / f"{name}_202611.xlsx", name, head)
    insurance = build(load_manifest(tmp_path / "manifest.yaml"), tmp_path / "state")
    health = knowing({C: [row("DEATH_CERTIFICATE", 60)]})
    try:
        await insurance.check()
        side = inquiry(insurance, health)
        for first, others in ((A, [B, C]), (C, [A, B]), (B, [A, C])):
            findings = await findings_for(side, asked(first))
            assert findings.status == [words.SURVIVAL_STATUS_DECEASED], first
            assert sorted(findings.links.id_number) == sorted(others)
    finally:
        await insurance.close()
