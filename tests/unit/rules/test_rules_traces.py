"""Strong, medium, weak; DOMAIN section 5, numbers 7, 8, 12, 13 and 15 as far as traces go."""

import re

import pytest
from rules_world import BOOK, EPOCH, TODAY, civil, graded, row

from gateway.rules import RULES_FILE
from gateway.rules.book import RuleBook
from wugan.adapter.v1 import vocabulary_pb2 as words


@pytest.mark.parametrize(
    ("rows", "status", "reason"),
    [
        ([row("RAIL_TRAVEL", 30), row("OUTPATIENT", 60)], "ALIVE_STRONG", "INDEPENDENT_DEPARTMENTS"),
        ([row("RAIL_TRAVEL", 90), row("PHARMACY", 365)], "ALIVE_STRONG", "INDEPENDENT_DEPARTMENTS"),
        ([row("RAIL_TRAVEL", 91), row("OUTPATIENT", 120)], "ALIVE_MEDIUM", "REAL_NAME_NOT_RECENT"),
        ([row("RAIL_TRAVEL", 5), row("AIR_TRAVEL", 4)], "ALIVE_MEDIUM", "REAL_NAME_ONE_DEPARTMENT"),
        ([row("FACE_CHECK", 1)], "ALIVE_MEDIUM", "REAL_NAME_ONE_DEPARTMENT"),
        ([row("RAIL_TRAVEL", 180)], "ALIVE_MEDIUM", "REAL_NAME_ONE_DEPARTMENT"),
        ([row("RAIL_TRAVEL", 181)], "ALIVE_WEAK", "WEAK_TRACES_ONLY"),
        ([row("SELF_SERVICE_WITHDRAWAL", 5), row("PHARMACY", 8)], "ALIVE_MEDIUM", "SEVERAL_WEAKER_TRACES"),
        ([row("SELF_SERVICE_WITHDRAWAL", 5), row("PHARMACY", 100)], "ALIVE_WEAK", "WEAK_TRACES_ONLY"),
        ([row("RAIL_TRAVEL", 200), row("PHARMACY", 3)], "ALIVE_WEAK", "WEAK_TRACES_ONLY"),
        ([row("RAIL_TRAVEL", 366)], "ALIVE_WEAK", "NO_RECENT_TRACES"),
        ([], "ALIVE_WEAK", "NO_TRACES"),
    ],
)
def test_strong_medium_weak_by_department_strength_and_age(rows, status, reason):
    found = graded(*rows)
    assert found.status == status
    assert reason in found.codes


@pytest.mark.parametrize(
    ("rows", "status"),
    [
        ([row("PHARMACY", 200), row("CITIZEN_CARD", 300)], "ALIVE_WEAK"),  # 25 + 25 points
        ([row("PHARMACY", 5), row("CITIZEN_CARD", 5)], "ALIVE_WEAK"),  # 100 + 100
        (
            [row("SELF_SERVICE_WITHDRAWAL", 5), row("BALANCE_MOVEMENT", 5), row("PHARMACY", 5)],
            "ALIVE_MEDIUM",
        ),  # 200 + 100
        ([row("SELF_SERVICE_WITHDRAWAL", 5), row("CITIZEN_CARD", 90)], "ALIVE_MEDIUM"),  # 200 + 100
        ([row("SELF_SERVICE_WITHDRAWAL", 5), row("CITIZEN_CARD", 91)], "ALIVE_WEAK"),  # 200 + 50
        ([row("MEDICAL_REGISTRATION", 5), row("BALANCE_MOVEMENT", 5)], "ALIVE_WEAK"),  # 200 + 50: interest counts half
    ],
)
def test_points_of_weaker_traces_are_held_against_the_threshold_in_the_same_measure(rows, status):
    assert graded(*rows).status == status


def test_case_7_death_never_reported_and_money_drawn_monthly_is_weak():
    found = graded(*[row("SELF_SERVICE_WITHDRAWAL", 30 * month) for month in range(12)])
    assert found.status == "ALIVE_WEAK"
    assert found.last_trace == TODAY.isoformat()


def test_case_8_bedridden_with_only_pharmacy_settlements_by_a_relative_is_not_strong():
    found = graded(*[row("PHARMACY", 15 * time, strength="IN_PERSON") for time in range(10)])
    assert found.status == "ALIVE_WEAK"
    assert found.told("WEAK_TRACES_ONLY")[:2] == ("HEALTH_INSURANCE", "PHARMACY")


def test_a_row_may_be_weaker_than_its_kind_but_never_stronger_than_allowed():
    assert graded(row("RAIL_TRAVEL", 5, strength="WEAK")).status == "ALIVE_WEAK"
    assert graded(row("BALANCE_MOVEMENT", 5, strength="IN_PERSON")).status == "ALIVE_WEAK"
    assert graded(row("TELLER_WITHDRAWAL", 5, strength="REAL_NAME")).status == "ALIVE_MEDIUM"


def test_an_own_certification_by_data_comparison_is_no_second_department():
    rail = row("RAIL_TRAVEL", 5)
    assert graded(rail, row("OWN_CERTIFICATION", 9, strength="WEAK")).status == "ALIVE_MEDIUM"
    assert graded(rail, row("OWN_CERTIFICATION", 9, strength="IN_PERSON")).status == "ALIVE_STRONG"
    assert graded(row("OWN_CERTIFICATION", 9, strength="ACCOUNT")).codes == {"NO_TRACES"}


@pytest.mark.parametrize("kind", ["OWN_CERTIFICATION", "FACE_CHECK"])
def test_a_face_check_and_the_certification_it_led_to_are_one_independent_source(kind):
    face, own = row("FACE_CHECK", 5, "FACE_AUTHENTICATION"), row(kind, 5, "SOCIAL_INSURANCE")
    for alone in ([face], [own], [face, own], [face, own, row(kind, 40, "SOCIAL_INSURANCE")]):
        found = graded(*alone)
        assert (found.status, found.codes) == ("ALIVE_MEDIUM", {"REAL_NAME_ONE_DEPARTMENT"})
    found = graded(face, own, row("PHARMACY", 5))
    assert found.status == "ALIVE_STRONG"
    assert found.told("INDEPENDENT_DEPARTMENTS")[3] == 2


def test_which_departments_are_one_source_is_a_setting():
    text = RULES_FILE.read_text("utf-8")
    apart = RuleBook.parse(re.sub(r"one_source: {.*}", "one_source: {}", text).encode(), "apart")
    assert graded(row("FACE_CHECK", 5), row("OWN_CERTIFICATION", 5), book=apart).status == "ALIVE_STRONG"
    medical = RuleBook.parse(
        re.sub(r"one_source: {.*}", "one_source: {MEDICAL: [HEALTH, HEALTH_INSURANCE]}", text).encode(), "medical"
    )
    visit = [row("OUTPATIENT", 5), row("MEDICAL_REGISTRATION", 5)]
    assert (graded(*visit).status, graded(*visit, book=medical).status) == ("ALIVE_STRONG", "ALIVE_MEDIUM")


def test_a_mere_lead_of_life_counts_for_nothing():
    found = graded(row("RAIL_TRAVEL", 5, strength="LEAD"))
    assert "NO_TRACES" in found.codes


def test_the_reason_names_the_newest_verified_trace_and_the_departments():
    found = graded(row("RAIL_TRAVEL", 40), row("PHARMACY", 2), row("HOTEL_STAY", 30))
    assert found.told("INDEPENDENT_DEPARTMENTS") == ("PUBLIC_SECURITY", "HOTEL_STAY", "2026-04-27", 3)
    assert found.last_trace == "2026-05-25"


def test_what_was_not_available_on_the_day_asked_about_does_not_exist_yet():
    late = row("RAIL_TRAVEL", 30, known=5)
    assert graded(late).status == "ALIVE_MEDIUM"
    past = graded(late, as_of=10)
    assert past.codes == {"NO_TRACES"}


def test_evidence_of_days_to_come_is_left_out_and_counted_once():
    ahead = row("RAIL_TRAVEL", -3)
    found = graded(ahead, ahead, row("OUTPATIENT", 3))
    assert found.told("DATED_IN_FUTURE")[3] == 1
    assert found.last_trace == "2026-05-24"


def test_case_13_the_day_itself_counts():
    assert graded(row("RAIL_TRAVEL", 0)).last_trace == TODAY.isoformat()


def test_a_trace_without_a_day_is_left_out_and_told():
    found = graded(row("RAIL_TRAVEL", None))
    assert found.codes == {"NO_TRACES", "NOT_UNDERSTOOD"}


@pytest.mark.parametrize(
    ("column", "value"),
    [("kind", 99), ("kind", 9999), ("kind", -1), ("department", 11), ("strength", 6), ("strength", -2)],
)
def test_case_15_numbers_outside_the_vocabulary_are_left_out_and_told(column, value):
    import numpy as np
    from rules_world import evidence, findings

    from gateway.rules.grading import grade

    rows = evidence([row("RAIL_TRAVEL", 5)])
    getattr(rows, column)[0] = value
    yes, no = np.ones(1, np.bool_), np.zeros(1, np.bool_)
    grades = grade(
        BOOK, subjects=1, evidence=rows, known=yes, identity_conflict=no, linked=no,
        benefit=np.ones(1, np.int32), birth_on=np.zeros(1, np.int32), as_of_on=civil(0),
    )  # fmt: skip
    assert findings(grades)[0].codes == {"NO_TRACES", "NOT_UNDERSTOOD"}


def test_an_answer_may_be_relied_on_until_the_verified_trace_grows_old():
    fresh = graded(row("RAIL_TRAVEL", 5), row("OUTPATIENT", 5))
    assert fresh.valid_until == "2026-06-26"
    fading = graded(row("RAIL_TRAVEL", 85), row("PHARMACY", 5))
    assert fading.valid_until == "2026-06-01"
    medium = graded(row("RAIL_TRAVEL", 170), row("SELF_SERVICE_WITHDRAWAL", 5))
    assert (medium.status, medium.valid_until) == ("ALIVE_MEDIUM", "2026-06-06")
    assert graded(row("RAIL_TRAVEL", 165), row("OUTPATIENT", 175)).valid_until == "2026-06-11"
    assert graded(row("SELF_SERVICE_WITHDRAWAL", 5), row("PHARMACY", 8)).valid_until == "2026-06-26"


def test_case_15_a_silent_department_keeps_the_grade_below_strong():
    rows = [row("RAIL_TRAVEL", 5), row("OUTPATIENT", 5)]
    silent = graded(*rows, partial=True, silent=[words.DEPARTMENT_CIVIL_AFFAIRS])
    assert silent.status == "ALIVE_MEDIUM"
    assert {"CAPPED_BY_SILENCE", "SOURCE_SILENT"} <= silent.codes
    assert silent.valid_until == TODAY.isoformat()
    dead = graded(row("CREMATION", 5), partial=True, silent=[words.DEPARTMENT_HEALTH])
    assert dead.status == "DECEASED"
    assert "CAPPED_BY_SILENCE" not in dead.codes
    harmless = graded(*rows, partial=True, silent=[words.DEPARTMENT_BANKS])
    assert harmless.status == "ALIVE_STRONG"
    assert harmless.told("SOURCE_SILENT")[0] == "BANKS"
    unnamed = graded(*rows, partial=True)
    assert unnamed.status == "ALIVE_MEDIUM"
    assert "SOURCES_SILENT" in unnamed.codes


def test_a_kind_may_count_for_less_than_a_cycle_and_strong_want_more_than_medium():
    text = RULES_FILE.read_text("utf-8")
    for old, new in (
        ("RAIL_TRAVEL: {strength: REAL_NAME,", "RAIL_TRAVEL: {valid_days: 60, strength: REAL_NAME,"),
        (
            "strong: {departments: 2, anchor_strength: REAL_NAME,",
            "strong: {departments: 2, anchor_strength: IN_PERSON,",
        ),
    ):
        assert old in text
        text = text.replace(old, new)
    book = RuleBook.parse(text.encode(), "changed.yaml")
    for rows, status in (
        ([row("RAIL_TRAVEL", 60)], "ALIVE_MEDIUM"),
        ([row("RAIL_TRAVEL", 61)], "ALIVE_WEAK"),
        ([row("RAIL_TRAVEL", 60), row("FACE_CHECK", 80)], "ALIVE_STRONG"),
        ([row("RAIL_TRAVEL", 61), row("FACE_CHECK", 80)], "ALIVE_MEDIUM"),
        ([row("RAIL_TRAVEL", 5), row("OUTPATIENT", 5)], "ALIVE_MEDIUM"),
        ([row("FACE_CHECK", 91), row("OUTPATIENT", 5)], "ALIVE_MEDIUM"),
    ):
        assert graded(*rows, book=book).status == status, rows
    assert "NO_RECENT_TRACES" in graded(row("RAIL_TRAVEL", 61), book=book).codes


def test_the_epoch_is_what_the_contract_says():
    assert civil(EPOCH) == 0
