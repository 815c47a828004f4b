"""Every purpose against every field of an answer as it leaves: a new field of the contract has to be put in here first.

The person has one trace, one event with a place, one penal event with a span, a linked number and a face; each is told
apart from every other, so a field that carries what its purpose does not allow shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from adapters.faces import face_token
from gateway.access.terms import KIND_NAMES, PURPOSE_NAMES, Scope
from tests.unit.rules.rules_world import Row, book_of_one, civil, row
from tests.unit.services.gateways_world import (
    ANNA,
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

TRACE, MOVE, PENAL = v.EVIDENCE_KIND_OUTPATIENT, v.EVIDENCE_KIND_RESIDENCE_MOVED, v.EVIDENCE_KIND_SENTENCE
DEPARTMENT = v.DEPARTMENT_HEALTH_INSURANCE
SEEN, SEEN_MONTH, SEEN_KNOWN = civil("2026-05-17"), civil("2026-05-01"), civil("2026-05-18")
MOVED, MOVED_KNOWN = civil("2025-03-05"), civil("2025-03-06")
SENTENCED, SENTENCE_KNOWN, FREE = civil("2020-03-05"), civil("2020-03-07"), civil("2022-03-04")
LINKED_ON = 0
FACE = face_token("a.platform", "T-7")

ORDER = ("CERTIFICATION", "CHANGE_MONITORING", "OVERPAYMENT_RECOVERY", "DISPUTE_REVIEW", "AUDIT")
MATRIX: dict[str, tuple[set[Any], ...]] = {
    "evidence.subject": ({0},) * 5,
    "evidence.kind": ({TRACE, MOVE, PENAL}, {MOVE, PENAL}, {MOVE, PENAL}, {TRACE, MOVE, PENAL}, {MOVE, PENAL}),
    "evidence.department": ({DEPARTMENT},) * 5,
    "evidence.region": ({340000}, {340000}, {340103, 340104}, {340102, 340103, 340104}, {340103, 340104}),
    "evidence.observed_on": (
        {SEEN_MONTH, MOVED, SENTENCED},
        {MOVED, SENTENCED},
        {MOVED, SENTENCED},
        {SEEN, MOVED, SENTENCED},
        {MOVED, SENTENCED},
    ),
    "evidence.available_on": (
        {0, MOVED_KNOWN, SENTENCE_KNOWN},
        {MOVED_KNOWN, SENTENCE_KNOWN},
        {MOVED_KNOWN, SENTENCE_KNOWN},
        {SEEN_KNOWN, MOVED_KNOWN, SENTENCE_KNOWN},
        {MOVED_KNOWN, SENTENCE_KNOWN},
    ),
    "evidence.strength": ({v.STRENGTH_REAL_NAME},) * 5,
    "evidence.source_reference": ({""}, {""}, {"move", "penal"}, {"trace", "move", "penal"}, {"move", "penal"}),
    "evidence.detail": ({0, 350000}, {0, 350000}, {1, 350102}, {0, 1, 350102}, {0, 350102}),
    "evidence.from_on": ({0}, {0}, {0, SENTENCED}, {0, SENTENCED}, {0}),
    "evidence.until_on": ({0}, {0}, {0, FREE}, {0, FREE}, {0}),
    "reasons.department": ({0, DEPARTMENT},) * 5,
    "reasons.kind": ({0, TRACE, MOVE}, {0, MOVE}, {0, MOVE}, {0, TRACE, MOVE}, {0, MOVE}),
    "reasons.on": ({0, MOVED, SEEN_MONTH}, {0, MOVED}, {0, MOVED, FREE}, {0, MOVED, FREE, SEEN}, {0, MOVED}),
    "reasons.number": ({0, 350000}, {0, 350000}, {0, 350102}, {0, 350102}, {0, 350102}),
    "links.subject": ({0}, {0}, {0}, {0}, set()),
    "links.id_number": ({NEW_ANNA}, {NEW_ANNA}, {NEW_ANNA}, {NEW_ANNA}, set()),
    "links.since_on": ({LINKED_ON}, {LINKED_ON}, {LINKED_ON}, {LINKED_ON}, set()),
    "faces.subject": ({0}, set(), set(), set(), {0}),
    "faces.token": ({FACE}, set(), set(), set(), {FACE}),
    "last_trace_on": ({0, SEEN},) * 5,
    "last_trace_date": ({words.DATE_PRECISION_DAY},) * 5,
    "trace_dates": (
        {words.DATE_PRECISION_MONTH},
        {words.DATE_PRECISION_UNSPECIFIED},
        {words.DATE_PRECISION_DAY},
        {words.DATE_PRECISION_DAY},
        {words.DATE_PRECISION_MONTH},
    ),
    "event_dates": ({words.DATE_PRECISION_DAY},) * 5,
}
"""What each field carries about the person, by purpose."""
VERDICT = {
    *("status", "flags", "decided_on", "valid_until_on", "refused.subject", "refused.reason", "partial"),
    *("reasons.subject", "reasons.code", "sources.unreadable_subject"),
    *(f"reason_texts.{name}" for name in ("code", "name", "zh", "en", "about_trace")),
}
"""What was found and why, which every purpose is told alike. Texts are the rule file's; they hold no person's data."""
MAKING = {
    *("as_of_on", "made_at_ms", "rules_version", "rules_digest", "cacheable_until_ms", "stale_until_ms"),
    "benefit_since_used",
    *(f"sources.{name}" for name in ("adapter_id", "department", "outcome", "complete_until_on")),
}
"""How the answer was made: nothing about a person."""


def fields(of: Descriptor, path: str = "") -> Iterator[str]:
    for field in of.fields:
        if field.message_type is None:
            yield path + field.name
        else:
            yield from fields(field.message_type, f"{path}{field.name}.")


def values(message: Message, path: str) -> set[Any]:
    """Everything that a field carries, over all rows."""
    first, _, rest = path.partition(".")
    value: Any = getattr(message, first)
    many = value if message.DESCRIPTOR.fields_by_name[first].is_repeated else [value]
    return set(many) if not rest else {each for one in many for each in values(one, rest)}


def person() -> list[Row]:
    return [
        replace(row("OUTPATIENT", "2026-05-17", region=340102, known="2026-05-18"), reference="trace"),
        replace(
            row("RESIDENCE_MOVED", "2025-03-05", region=340103, detail=350102, known="2025-03-06"), reference="move"
        ),
        replace(
            row(
                "SENTENCE",
                "2020-03-05",
                region=340104,
                detail=v.PENALTY_KIND_FIXED_TERM,
                since="2020-03-05",
                until="2022-03-04",
                known="2020-03-07",
            ),
            reference="penal",
        ),
    ]


async def told(purpose: str, scope: Scope | None = None) -> exchange_pb2.Findings:
    department = Register({ANNA: person(), NEW_ANNA: []}, links={ANNA: NEW_ANNA}, faces={ANNA: (FACE, SEEN, 340102)})
    access = access_of(terms() if scope is None else terms(scope=scope))
    asked = question(ANNA, "x", purpose=PURPOSE_NAMES[purpose])
    return await findings_for(inquiry(department, access=access, book=book_of_one()), asked, sender=B.member_id)


def test_the_matrix_has_every_purpose_and_every_field_of_an_answer() -> None:
    assert set(ORDER) == set(PURPOSE_NAMES)
    assert set(fields(exchange_pb2.Findings.DESCRIPTOR)) == {*MATRIX, *VERDICT, *MAKING}
    assert len(MATRIX) + len(VERDICT) + len(MAKING) == len({*MATRIX, *VERDICT, *MAKING})


@pytest.mark.parametrize("purpose", ORDER)
@pytest.mark.parametrize("field", MATRIX)
async def test_a_field_carries_what_the_purpose_allows_and_no_more(purpose: str, field: str) -> None:
    assert values(await told(purpose), field) == MATRIX[field][ORDER.index(purpose)]


@pytest.mark.parametrize("field", sorted(VERDICT | MAKING))
async def test_what_was_found_and_how_is_told_alike_for_every_purpose(field: str) -> None:
    seen = [values(await told(purpose), field) for purpose in ORDER]
    assert all(each == seen[0] for each in seen)


SCOPES = {
    "one kind of event": Scope(frozenset({MOVE})),
    "one kind of trace": Scope(frozenset({TRACE})),
    "no kind there is": Scope(frozenset({v.EVIDENCE_KIND_BURIAL})),
    "every kind": Scope(frozenset(KIND_NAMES.values())),
    "a region": Scope(None, (340103,)),
    "a region and a kind": Scope(frozenset({MOVE}), (340100,)),
}
TOLD_OF_ROWS = [field for field in MATRIX if field.startswith("evidence.")]
NOTHING = {0, ""}


@pytest.mark.parametrize("purpose", ORDER)
@pytest.mark.parametrize("name", SCOPES)
async def test_a_grant_never_widens_what_the_purpose_allows(purpose: str, name: str) -> None:
    narrow, whole = await told(purpose, SCOPES[name]), await told(purpose)
    for field in MATRIX:
        if field not in ("last_trace_date", "trace_dates", "event_dates"):
            assert values(narrow, field) <= MATRIX[field][ORDER.index(purpose)] | NOTHING, field
    for field in VERDICT | MAKING:
        assert values(narrow, field) == values(whole, field), field


@pytest.mark.parametrize("purpose", ORDER)
@pytest.mark.parametrize("name", SCOPES)
async def test_no_field_carries_a_kind_that_the_grant_leaves_out(purpose: str, name: str) -> None:
    scope = SCOPES[name]
    narrow = await told(purpose, scope)
    kinds = frozenset(KIND_NAMES.values()) if scope.kinds is None else scope.kinds
    allowed = kinds & {TRACE, MOVE, PENAL}
    assert values(narrow, "evidence.kind") <= allowed
    assert values(narrow, "reasons.kind") <= allowed | {0}
    every_trace = all(kind in kinds for kind in KIND_NAMES.values() if kind < 100)
    may_tell_last = every_trace and not scope.regions
    assert (values(narrow, "last_trace_on") == {0, SEEN}) is may_tell_last
    assert (narrow.last_trace_date == words.DATE_PRECISION_DAY) is may_tell_last
    if TRACE not in allowed or scope.regions:
        assert not values(narrow, "reasons.on") & {SEEN, SEEN_MONTH}
    if MOVE not in allowed:
        assert not values(narrow, "reasons.number") & {350000, 350102}
        assert MOVED not in values(narrow, "reasons.on")
    if v.EVIDENCE_KIND_FACE_CHECK not in kinds or scope.regions == (340103,):
        assert not narrow.faces.token
    if PENAL not in allowed:
        assert FREE not in values(narrow, "reasons.on")
    places = {340102: TRACE, 340103: MOVE, 340104: PENAL}
    for region, kind in places.items():
        if kind not in allowed or (scope.regions == (340103,) and kind != MOVE):
            assert region not in values(narrow, "evidence.region")
            assert kind not in values(narrow, "evidence.kind")


async def test_without_evidence_wanted_no_field_of_a_row_carries_anything() -> None:
    department = Register({ANNA: person()})
    findings = await findings_for(inquiry(department), question(ANNA, evidence_limit=0), sender=B.member_id)
    assert all(values(findings, field) == set() for field in TOLD_OF_ROWS)


@pytest.mark.parametrize(
    ("checked_on", "told_of"),
    [(civil("2026-05-17"), True), (civil("2024-05-17"), False), (civil("2030-01-01"), False)],
)
async def test_only_faces_of_the_cycle_are_told(checked_on: int, told_of: bool) -> None:
    department = Register({ANNA: person()}, faces={ANNA: (FACE, checked_on, 340102)})
    findings = await findings_for(
        inquiry(department), question(ANNA, purpose=v.PURPOSE_CERTIFICATION), sender=B.member_id
    )
    assert list(findings.faces.token) == ([FACE] if told_of else [])


async def test_departments_are_not_asked_for_faces_that_may_not_be_told() -> None:
    for purpose, wanted in (("CERTIFICATION", True), ("CHANGE_MONITORING", False)):
        department = Register({ANNA: person()}, faces={ANNA: (FACE, SEEN, 340102)})
        await findings_for(inquiry(department), question(ANNA, purpose=PURPOSE_NAMES[purpose]), sender=B.member_id)
        assert {each.faces for each in department.asked} == {wanted}


async def test_of_a_person_in_identity_conflict_no_face_is_told() -> None:
    department = Register({ANNA: person()}, names={ANNA: "另一人"}, faces={ANNA: (FACE, SEEN, 340102)})
    findings = await findings_for(
        inquiry(department), question(ANNA, purpose=v.PURPOSE_CERTIFICATION), sender=B.member_id
    )
    assert not findings.faces.subject
