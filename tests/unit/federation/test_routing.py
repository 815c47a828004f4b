"""Whom to ask: by residence, insured place, earlier places and household, and where a person has moved to."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.clock import FakeClock
from gateway.errors import RefusedError
from gateway.federation.directory import Directory
from gateway.federation.routing import MAX_REGIONS, Places, destinations, moved_to, route
from tests.unit.services.gateways_world import ANHUI, FUJIAN, NOW_MS, ZHEJIANG, A, B, C, Listed, Party, findings
from wugan.adapter.v1 import vocabulary_pb2 as v
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

SICHUAN = 510000
D = Party(SICHUAN)
DIRECTORY: Directory = Listed(A, B, C, D, clock=FakeClock(NOW_MS)).current()
NAMES = {A.member_id: "A", B.member_id: "B", C.member_id: "C", D.member_id: "D"}
MOVED = 1 << words.ENTITLEMENT_FLAG_MOVED


def asked(**places: Any) -> str:
    return "".join(NAMES[member] for member in route(DIRECTORY, A.member_id, Places(**places), 10))


@pytest.mark.parametrize(
    ("places", "members"),
    [
        ({}, "BCD"),
        ({"residence": (FUJIAN, ANHUI)}, "CB"),
        ({"residence": (FUJIAN,), "insured": ANHUI}, "CB"),
        ({"insured": SICHUAN, "past": (FUJIAN + 100,), "household": ANHUI}, "DCB"),
        ({"past": (FUJIAN, SICHUAN, FUJIAN)}, "CD"),
        ({"residence": (ANHUI,), "household": ZHEJIANG}, "B"),
        ({"household": ZHEJIANG, "insured": ZHEJIANG}, "BCD"),
        ({"household": 650000}, "BCD"),
        ({"residence": (ANHUI,), "past": (650000,)}, "B"),
    ],
    ids=[
        "nothing known: all others",
        "residences, most likely first",
        "insured elsewhere",
        "insured place, then past, then household",
        "each once",
        "a household at home adds nothing",
        "only at home: residence is not known, so all others",
        "a household that nobody serves leads nowhere",
        "nor does such an earlier place",
    ],
)
def test_those_are_asked_whose_places_the_register_names(places: dict[str, Any], members: str) -> None:
    assert asked(**places) == members


@pytest.mark.parametrize(
    ("places", "code", "field"),
    [
        ({"residence": (650000,)}, "UNKNOWN_REGION", "regions[0]"),
        ({"residence": (ANHUI,), "insured": 999999}, "UNKNOWN_REGION", "insured_region"),
        ({"past": (ANHUI, 340001)}, "UNKNOWN_REGION", "past_regions[1]"),
        ({"household": 12}, "UNKNOWN_REGION", "household_region"),
        ({"residence": (ZHEJIANG,), "household": ZHEJIANG}, "NOT_SERVED", "regions"),
        ({"residence": (ANHUI,) * 5, "past": (ANHUI,) * (MAX_REGIONS - 4)}, "INVALID_ARGUMENT", "regions"),
    ],
    ids=["nobody serves the residence", "no code", "no prefecture", "too short", "one's own", "too many together"],
)
def test_a_wrong_place_is_refused_with_its_field(places: dict[str, Any], code: str, field: str) -> None:
    with pytest.raises(RefusedError) as caught:
        asked(**places)
    assert (caught.value.code, caught.value.field) == (code, field)


def moved(*regions: int, flags: int = MOVED, name: str = "MOVED", **more: Any) -> exchange_pb2.Findings:
    """Findings that tell of a move to these regions."""
    made = findings(words.SURVIVAL_STATUS_ALIVE_WEAK, flags=[flags], **more)
    for region in regions:
        made.reasons.subject.append(0)
        made.reasons.code.append(7)
        made.reasons.number.append(region)
    made.reason_texts.add(code=7, name=name)
    return made


def next_asked(made: exchange_pb2.Findings, *already: Party) -> str:
    members = moved_to(DIRECTORY, A.member_id, made, {party.member_id for party in already})
    return "".join(NAMES[member] for member in members)


def test_a_move_leads_to_the_member_that_serves_its_end_but_not_to_one_asked_already() -> None:
    assert next_asked(moved(FUJIAN), B) == "C"
    assert next_asked(moved(FUJIAN), B, C) == ""


def test_a_move_home_leads_nowhere() -> None:
    assert next_asked(moved(ZHEJIANG), B) == ""


def test_without_the_flag_or_under_another_reason_nothing_is_followed() -> None:
    assert next_asked(moved(FUJIAN, flags=0), B) == ""
    assert next_asked(moved(FUJIAN, name="DUPLICATE_BENEFIT"), B) == ""


@pytest.mark.parametrize("region", [1, 999999, 340001, 2**31 - 1])
def test_a_place_that_is_none_leads_nowhere(region: int) -> None:
    assert next_asked(moved(region), B) == ""


def test_one_answer_sends_on_to_a_few_places_only() -> None:
    assert next_asked(moved(650000, 640000, 630000, FUJIAN, SICHUAN), B) == ""


def test_where_the_reason_leaves_the_place_out_the_newest_row_tells() -> None:
    made = moved(0)
    rows = made.evidence
    for kind, on, detail in (
        (v.EVIDENCE_KIND_RESIDENCE_MOVED, 100, SICHUAN),
        (v.EVIDENCE_KIND_HOUSEHOLD_MOVED, 200, FUJIAN),
        (v.EVIDENCE_KIND_DUPLICATE_BENEFIT, 300, ANHUI),
    ):
        rows.subject.append(0)
        rows.kind.append(kind)  # type: ignore[arg-type]
        rows.observed_on.append(on)
        rows.detail.append(detail)
    assert next_asked(made, B) == "CD"


def test_each_person_of_an_answer_has_moves_of_their_own() -> None:
    made = moved(FUJIAN, flags=MOVED)
    made.flags.extend([MOVED, 0])
    rows = made.evidence
    for who, on, detail in ((0, 100, ANHUI), (1, 100, SICHUAN), (1, 200, FUJIAN)):
        rows.subject.append(who)
        rows.kind.append(v.EVIDENCE_KIND_RESIDENCE_MOVED)
        rows.observed_on.append(on)
        rows.detail.append(detail)
    assert destinations(made) == {0: [FUJIAN], 1: [FUJIAN, SICHUAN]}, "a reason comes before rows, the newest row first"
