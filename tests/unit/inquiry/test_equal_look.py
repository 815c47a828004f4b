"""An unknown person and a forbidden one look the same to the asker, in content, in size, and in what was done.

Forbidden is who is under special protection, and whom nothing places in the regions of the grant.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.errors import SourceDownError
from gateway.access.terms import Scope
from gateway.errors import RefusedError
from gateway.exchange.envelope import open_answer, seal
from gateway.inquiry.access import Access
from gateway.inquiry.narrowing import Narrowing
from gateway.store.engine import Store
from tests.unit.adapters.adapters_world import number
from tests.unit.rules.rules_world import Row, book_of_one, row
from tests.unit.services.gateways_world import (
    ANNA,
    BO,
    CHEN,
    NEW_ANNA,
    A,
    B,
    Federation,
    Register,
    access_of,
    digest_of,
    exchange_of,
    findings_for,
    inquiry,
    question,
    stored,
    terms,
)
from wugan.adapter.v1 import vocabulary_pb2 as v
from wugan.federation.v1 import envelope_pb2, exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

HEFEI, WUHU = 340100, 340200
UNKNOWN, MEDIUM = words.SURVIVAL_STATUS_UNKNOWN, words.SURVIVAL_STATUS_ALIVE_MEDIUM
PEOPLE = [ANNA, BO, CHEN, *(number(serial) for serial in range(5, 9))]
SAME = dict.fromkeys([*PEOPLE, NEW_ANNA], "无名")


def seen(region: int, *kinds: str) -> list[Row]:
    return [row(kind, 5 + at, region=region) for at, kind in enumerate(kinds or ("OUTPATIENT", "RAIL_TRAVEL"))]


def protecting(*numbers: str, **changed: Any) -> Access:
    return access_of(terms(**changed), protected=frozenset(digest_of(each) for each in numbers))


def only(region: int) -> Access:
    return access_of(terms(scope=Scope(None, (region,))))


def asked(*numbers: str, **changed: Any) -> exchange_pb2.Question:
    made = question(*numbers, **changed)
    made.subjects.name[:] = ["无名"] * len(numbers)
    return made


def register(people: Mapping[str, Sequence[Row]], **options: Any) -> Register:
    return Register(people, names=SAME, **options)


async def told(access: Access, made: exchange_pb2.Question, *departments: Register) -> exchange_pb2.Findings:
    return await findings_for(inquiry(*departments, access=access, book=book_of_one()), made, sender=A.member_id)


FORBIDDEN: list[Any] = [
    pytest.param(protecting(ANNA), {ANNA: seen(HEFEI)}, {}, id="protected"),
    pytest.param(protecting(NEW_ANNA), {ANNA: seen(HEFEI)}, {ANNA: NEW_ANNA}, id="protected under a linked number"),
    pytest.param(protecting(ANNA), {ANNA: seen(HEFEI, "CREMATION", "PHARMACY")}, {}, id="protected and dead"),
    pytest.param(only(HEFEI), {ANNA: seen(WUHU)}, {}, id="of another region"),
    pytest.param(only(HEFEI), {ANNA: seen(WUHU)}, {ANNA: NEW_ANNA}, id="of another region, with a linked number"),
    pytest.param(only(HEFEI), {ANNA: seen(0)}, {}, id="of no place"),
    pytest.param(only(HEFEI), {ANNA: []}, {}, id="known, and nothing else"),
    pytest.param(only(HEFEI), {ANNA: seen(WUHU, "IMPRISONED")}, {}, id="in a prison elsewhere"),
]


@pytest.mark.parametrize(("access", "people", "links"), FORBIDDEN)
@pytest.mark.parametrize("purpose", v.Purpose.values()[1:], ids=v.Purpose.Name)
async def test_the_findings_are_the_same_bytes_and_the_departments_are_asked_the_same(
    access: Access, people: dict[str, Sequence[Row]], links: dict[str, str], purpose: int
) -> None:
    forbidden = register(people, links=links)
    unknown = register({})
    second = register({}, department=v.DEPARTMENT_BANKS)
    one = await told(access, asked(ANNA, purpose=purpose), forbidden, second)
    other = await told(access, asked(ANNA, purpose=purpose), unknown, second)
    assert one.status == [UNKNOWN]
    assert one.SerializeToString(deterministic=True) == other.SerializeToString(deterministic=True)
    assert [len(lookup.subjects) for lookup in forbidden.asked] == [len(lookup.subjects) for lookup in unknown.asked]
    assert [lookup.purpose for lookup in forbidden.asked] == [lookup.purpose for lookup in unknown.asked]
    assert len(second.asked) == 2 * len(forbidden.asked)


@pytest.mark.parametrize(("access", "people", "links"), FORBIDDEN)
async def test_without_the_defence_each_of_them_would_be_told_of(
    access: Access, people: dict[str, Sequence[Row]], links: dict[str, str]
) -> None:
    findings = await told(access_of(terms()), asked(ANNA), register(people, links=links))
    assert findings.status != [UNKNOWN], "the test would prove nothing"


async def test_two_names_under_a_protected_number_are_no_conflict_to_the_asker() -> None:
    department = Register({ANNA: seen(HEFEI)}, names={ANNA: "别人"})
    assert (await told(protecting(ANNA), asked(ANNA), department)).status == [UNKNOWN]


# further numbers of a question: nobody can see whether they are the same person's


def with_further(made: exchange_pb2.Question, *further: str) -> exchange_pb2.Question:
    """The question, with further numbers for its first person."""
    made.subjects.alias_subject.extend([0] * len(further))
    made.subjects.alias_id_number.extend(further)
    return made


SOMEBODY_ELSE = {BO: "无名", ANNA: "安娜", CHEN: "陈晨"}
TESTED: list[Any] = [
    pytest.param(protecting(ANNA), {ANNA: seen(HEFEI)}, id="protected"),
    pytest.param(protecting(ANNA), {ANNA: seen(HEFEI, "CREMATION")}, id="protected and dead"),
    pytest.param(only(HEFEI), {ANNA: seen(WUHU)}, id="of another region"),
    pytest.param(only(HEFEI), {ANNA: []}, id="known, and nothing else"),
]


@pytest.mark.parametrize("names", [SOMEBODY_ELSE, SAME], ids=["other names", "the same name"])
@pytest.mark.parametrize(("access", "people"), TESTED)
async def test_a_forbidden_number_beside_a_known_one_looks_like_one_that_nobody_has(
    access: Access, people: dict[str, Sequence[Row]], names: dict[str, str]
) -> None:
    """Whoever may ask about BO must not find out about ANNA by giving her number as another one of his."""
    forbidden = Register({BO: seen(HEFEI), **people}, names=names)
    unknown = Register({BO: seen(HEFEI)}, names=names)
    one = await told(access, with_further(asked(BO, CHEN), ANNA), forbidden)
    other = await told(access, with_further(asked(BO, CHEN), ANNA), unknown)
    assert list(one.status) == [MEDIUM, UNKNOWN]
    assert one.SerializeToString(deterministic=True) == other.SerializeToString(deterministic=True)
    assert [len(lookup.subjects) for lookup in forbidden.asked] == [len(lookup.subjects) for lookup in unknown.asked]


@pytest.mark.parametrize(("access", "people"), TESTED)
async def test_a_known_number_beside_a_forbidden_one_does_not_show_which_it_is(
    access: Access, people: dict[str, Sequence[Row]]
) -> None:
    """The same the other way round: her number first, and his as another one of hers."""
    one = await told(access, with_further(asked(ANNA), BO), register({BO: seen(HEFEI), **people}))
    other = await told(access, with_further(asked(ANNA), BO), register({BO: seen(HEFEI)}))
    assert one.status == [MEDIUM]
    assert one.SerializeToString(deterministic=True) == other.SerializeToString(deterministic=True)


def followed(person: str, links: dict[str, str]) -> list[str]:
    """A number, and those that departments link to it, one after another."""
    found = [person]
    while (number := links.get(found[-1], found[0])) not in found:
        found.append(number)
    return found


@given(
    st.dictionaries(st.sampled_from(PEOPLE), st.sampled_from([HEFEI, WUHU, 0])),
    st.lists(st.tuples(st.integers(0, 2), st.sampled_from(PEOPLE)), max_size=5, unique=True),
    st.sets(st.sampled_from(PEOPLE)),
    st.just(True) | st.dictionaries(st.sampled_from(PEOPLE), st.sampled_from(PEOPLE), max_size=3),
    st.sampled_from([SAME, {each: each for each in PEOPLE}]),
)
@settings(max_examples=150, deadline=None)
async def test_whatever_is_asked_with_further_numbers_forbidden_ones_are_as_if_nobody_had_them(
    lives: dict[str, int],
    further: list[tuple[int, str]],
    protected: set[str],
    linked: dict[str, str] | Literal[True],
    names: dict[str, str],
) -> None:
    """Of a grant for a region, or with departments that link numbers."""
    scope, links = (Scope(None, (HEFEI,)), {}) if linked is True else (Scope(), linked)
    links = {number: new for number, new in links.items() if number != new}
    free = {person for person, region in lives.items() if linked is not True or region == HEFEI}
    for person in sorted(free):
        if protected & set(followed(person, {each: number for each, number in links.items() if each in lives})):
            free.discard(person)
    made = asked(*PEOPLE[:3])
    further = [(row, number) for row, number in further if number != PEOPLE[row]]
    made.subjects.alias_subject.extend(row for row, _ in further)
    made.subjects.alias_id_number.extend(number for _, number in further)
    held = {person: seen(region) for person, region in lives.items()}
    rest = {person: rows for person, rows in held.items() if person in free}
    one = await told(protecting(*protected, scope=scope), made, Register(held, names=names, links=links))
    other = await told(access_of(terms(scope=scope)), made, Register(rest, names=names, links=links))
    assert one.SerializeToString(deterministic=True) == other.SerializeToString(deterministic=True)


async def test_further_numbers_that_may_be_told_of_are_told_of_together() -> None:
    """Also where another number beside them is forbidden."""
    people = {BO: seen(HEFEI, "OUTPATIENT"), CHEN: seen(HEFEI, "RAIL_TRAVEL"), ANNA: seen(HEFEI)}
    for access in (protecting(ANNA), only(HEFEI), protecting(ANNA, scope=Scope(None, (HEFEI,)))):
        findings = await told(access, with_further(asked(BO), CHEN), register(people))
        assert set(findings.evidence.kind) == {v.EVIDENCE_KIND_OUTPATIENT, v.EVIDENCE_KIND_RAIL_TRAVEL}
        assert not any(findings.evidence.subject)
    findings = await told(protecting(ANNA), with_further(asked(BO), CHEN, ANNA), register(people))
    assert set(findings.evidence.kind) == {v.EVIDENCE_KIND_OUTPATIENT, v.EVIDENCE_KIND_RAIL_TRAVEL}
    assert len(findings.evidence.subject) == 2


@pytest.mark.parametrize("first", [True, False], ids=["linked from it", "linked to it"])
async def test_a_further_number_that_a_department_links_is_the_same_persons(first: bool) -> None:
    links = {BO: NEW_ANNA} if first else {NEW_ANNA: BO}
    people = {BO: seen(HEFEI, "OUTPATIENT"), NEW_ANNA: seen(WUHU, "IMPRISONED")}
    findings = await told(only(HEFEI), with_further(asked(BO), NEW_ANNA), register(people, links=links))
    assert findings.flags[0] & 1 << words.ENTITLEMENT_FLAG_IMPRISONED
    alone = await told(only(HEFEI), asked(BO), register(people, links={BO: NEW_ANNA}))
    assert findings.evidence.SerializeToString() == alone.evidence.SerializeToString()


@given(st.lists(st.sampled_from(PEOPLE), min_size=1, max_size=6), st.sets(st.sampled_from(PEOPLE)))
@settings(max_examples=60, deadline=None)
async def test_who_stands_beside_a_forbidden_person_is_told_of_as_ever(people: list[str], hidden: set[str]) -> None:
    held: dict[str, Sequence[Row]] = {person: seen(HEFEI) for person in PEOPLE}
    rest: dict[str, Sequence[Row]] = {person: rows for person, rows in held.items() if person not in hidden}
    one = await told(protecting(*hidden), asked(*people), register(held))
    other = await told(access_of(terms()), asked(*people), register(rest))
    assert one.SerializeToString(deterministic=True) == other.SerializeToString(deterministic=True)


# regions and departments


async def test_a_person_placed_in_the_regions_is_answered_and_rows_from_elsewhere_stay_at_home() -> None:
    department = register({ANNA: [*seen(HEFEI, "OUTPATIENT"), *seen(WUHU, "RAIL_TRAVEL")]})
    findings = await told(only(HEFEI), asked(ANNA), department)
    assert findings.status == [MEDIUM]
    assert list(findings.evidence.kind) == [v.EVIDENCE_KIND_OUTPATIENT]
    assert list(findings.last_trace_on) == [0]
    assert findings.last_trace_date == words.DATE_PRECISION_UNSPECIFIED


async def test_parts_of_a_region_belong_to_it() -> None:
    assert (await told(only(HEFEI), asked(ANNA), register({ANNA: seen(340102)}))).status == [MEDIUM]
    assert (await told(only(340000), asked(ANNA), register({ANNA: seen(340102)}))).status == [MEDIUM]
    assert (await told(only(340102), asked(ANNA), register({ANNA: seen(HEFEI)}))).status == [UNKNOWN]


async def test_a_department_of_the_region_places_everybody_it_knows() -> None:
    department = register({ANNA: []}, regions=(340102,))
    assert (await told(only(HEFEI), asked(ANNA), department)).status != [UNKNOWN]


async def test_a_linked_number_is_followed_into_the_regions() -> None:
    department = register({ANNA: [], NEW_ANNA: seen(HEFEI)}, links={ANNA: NEW_ANNA})
    findings = await told(only(HEFEI), asked(ANNA), department)
    assert findings.status == [MEDIUM]
    assert list(findings.links.id_number) == [NEW_ANNA]


async def test_departments_of_other_regions_are_not_asked_and_in_no_report() -> None:
    here = register({ANNA: seen(HEFEI)}, regions=(340100,))
    there = register({ANNA: seen(WUHU)}, department=v.DEPARTMENT_BANKS, regions=(340200,))
    broken = register({}, department=v.DEPARTMENT_COURTS, regions=(340200,), error=SourceDownError("down", "不可达"))
    findings = await told(only(HEFEI), asked(ANNA), here, there, broken)
    assert [source.adapter_id for source in findings.sources] == ["health-insurance"]
    assert not findings.partial
    assert not there.asked
    assert not broken.asked


async def test_where_no_department_serves_the_regions_that_is_said_of_the_question_as_a_whole() -> None:
    with pytest.raises(RefusedError) as caught:
        await told(only(350000), asked(ANNA), register({ANNA: seen(HEFEI)}))
    assert caught.value.code == "NOT_SERVED"


def test_protected_people_without_a_digest_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="digest"):
        Narrowing((), frozenset({b"x" * 16}))


# evidence kinds of the grant


async def test_a_grant_narrows_the_rows_and_what_reasons_name_but_not_the_verdict() -> None:
    people = {ANNA: seen(HEFEI, "DEATH_CERTIFICATE", "CREMATION")}
    departments = [register(people, department=v.DEPARTMENT_HEALTH)]
    wide = await told(access_of(terms()), asked(ANNA), *departments)
    scope = Scope(frozenset({v.EVIDENCE_KIND_CREMATION}))
    narrow = await told(access_of(terms(scope=scope)), asked(ANNA), *departments)
    assert set(wide.evidence.kind) == {v.EVIDENCE_KIND_DEATH_CERTIFICATE, v.EVIDENCE_KIND_CREMATION}
    assert set(narrow.evidence.kind) == {v.EVIDENCE_KIND_CREMATION}
    assert (narrow.status, narrow.flags, narrow.decided_on) == (wide.status, wide.flags, wide.decided_on)
    assert narrow.reasons.code == wide.reasons.code
    assert v.EVIDENCE_KIND_DEATH_CERTIFICATE in wide.reasons.kind
    assert v.EVIDENCE_KIND_DEATH_CERTIFICATE not in narrow.reasons.kind


async def test_questions_under_different_scopes_are_not_answered_together() -> None:
    department = register({ANNA: seen(HEFEI)})
    access = access_of(
        terms(member=A.member_id, scope=Scope(frozenset({v.EVIDENCE_KIND_CREMATION}))), terms(member=B.member_id)
    )
    side = inquiry(department, access=access)
    narrow, wide = await asyncio.gather(*(findings_for(side, asked(ANNA), sender=party.member_id) for party in (A, B)))
    assert not narrow.evidence.subject
    assert len(wide.evidence.subject) == 2


# on the wire


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with stored(tmp_path) as opened:
        yield opened


async def test_the_envelopes_have_the_same_size(store: Store) -> None:
    federation = Federation()
    department = register({ANNA: seen(HEFEI, *["OUTPATIENT"] * 40)})
    sizes = {}
    for who, access in {"forbidden": protecting(ANNA), "known": access_of(terms())}.items():
        exchange = exchange_of(federation, B, store, department, access=access)
        for person in (ANNA, CHEN):
            sealed = seal(
                A.own,
                B.member_id,
                B.encryption,
                kind=envelope_pb2.MESSAGE_KIND_QUESTION,
                purpose=v.PURPOSE_DISPUTE_REVIEW,
                payloads=[asked(person, evidence_limit=50).SerializeToString()],
                now_ms=federation.clock.now_ms(),
                lifetime_ms=60_000,
            )
            answer = await exchange.answer(sealed.envelope, A.identity, 5.0)
            now_ms = federation.clock.now_ms()
            opened = open_answer(answer, A.own, federation.directory.current(), question=sealed, now_ms=now_ms)
            sizes[who, person] = (len(answer.SerializeToString()), len(opened.payloads[0]))
    assert sizes["forbidden", ANNA] == sizes["forbidden", CHEN]
    assert sizes["known", ANNA] > sizes["known", CHEN]
