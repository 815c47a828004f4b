"""A report is a lead, never a verdict (DOMAIN section 2); a sign of life after a death is never silent (section 4)."""

from __future__ import annotations

import pytest
from rules_world import BOOK, DEPARTMENTS, DEPENDANT, EMPLOYEE, UNEMPLOYMENT, graded, row

LIVELY = [row("RAIL_TRAVEL", 3), row("OUTPATIENT", 4)]
ENDING = [
    ("MARRIAGE", DEPENDANT, "REMARRIED"),
    ("ADOPTION", DEPENDANT, "ADOPTED"),
    ("RE_EMPLOYMENT", UNEMPLOYMENT, "RE_EMPLOYED"),
    ("EMIGRATED", UNEMPLOYMENT, "EMIGRATED"),
    ("DUPLICATE_BENEFIT", EMPLOYEE, "DUPLICATE_BENEFIT"),
    ("IMPRISONED", EMPLOYEE, "IMPRISONED"),
    ("DETAINED", EMPLOYEE, "DETAINED"),
]


@pytest.mark.parametrize(("kind", "benefit", "flag"), ENDING)
def test_hearsay_of_what_ends_a_benefit_is_told_and_ends_nothing(kind: str, benefit: int, flag: str) -> None:
    assert flag in graded(row(kind, 100), *LIVELY, benefit=benefit).flags
    for hearsay in (row(kind, 100, strength="LEAD"), row(kind, 100, "BANKS")):
        found = graded(hearsay, *LIVELY, benefit=benefit)
        assert found.status == "ALIVE_STRONG"
        assert found.flags == set()
        department, told_kind, *_ = found.told("HEARSAY")
        assert (department, told_kind) == (hearsay.department, kind)


@pytest.mark.parametrize(("kind", "benefit", "flag"), ENDING)
def test_hearsay_takes_nothing_from_what_the_department_itself_says(kind: str, benefit: int, flag: str) -> None:
    said, hearsay = row(kind, 100), row(kind, 120, "BANKS")
    found = graded(said, hearsay, *LIVELY, benefit=benefit)
    assert flag in found.flags
    assert {"HEARSAY", flag} <= found.codes
    assert found.told(flag)[2:] == graded(said, *LIVELY, benefit=benefit).told(flag)[2:]


def test_hearsay_of_a_release_puts_nobody_out_of_prison() -> None:
    imprisoned = row("IMPRISONED", 300)
    for hearsay in (row("RELEASE", 50, "BANKS"), row("PAROLE", 50, strength="LEAD")):
        assert graded(imprisoned, hearsay, *LIVELY).flags == {"IMPRISONED"}


def test_whom_the_police_detained_they_release() -> None:
    detained, release = row("DETAINED", 100), row("RELEASE", 50, "PUBLIC_SECURITY")
    assert graded(detained, *LIVELY).flags == {"DETAINED"}
    found = graded(detained, release, *LIVELY)
    assert found.flags == set()
    assert "RELEASED" in found.codes


def test_hearsay_that_the_benefit_does_not_depend_on_is_not_told() -> None:
    assert "HEARSAY" not in graded(row("MARRIAGE", 100, "BANKS"), *LIVELY, benefit=EMPLOYEE).codes
    assert "HEARSAY" not in graded(row("MARRIAGE", 4000, "BANKS"), *LIVELY, benefit=DEPENDANT).codes


def test_a_move_is_followed_on_the_word_of_the_register_only() -> None:
    assert "MOVED" in graded(row("HOUSEHOLD_MOVED", 30, detail=420100), *LIVELY).flags
    assert graded(row("HOUSEHOLD_MOVED", 30, "BANKS", detail=420100), *LIVELY).flags == set()


@pytest.mark.parametrize("kind", ["CREMATION", "BURIAL", "DEATH_REPORT"])
def test_a_death_known_before_the_day_it_is_dated_is_no_reason_to_certify(kind: str) -> None:
    found = graded(row(kind, "2062-05-24", known=2), *LIVELY)
    assert (found.status, found.decided) == ("DECEASED_SUSPECTED", "2026-05-25")
    assert found.told("DEATH_LEAD")[1:3] == (kind, "2026-05-25")
    assert "DATED_IN_FUTURE" not in found.codes
    # Nobody knew of it yet, or nobody says when it was known.
    for later in (row(kind, "2062-05-24", known=-1), row(kind, "2062-05-24")):
        assert graded(later, *LIVELY).status == "ALIVE_STRONG"
    assert "DATED_IN_FUTURE" in graded(row("MARRIAGE", "2062-05-24", known=2), *LIVELY).codes


@pytest.mark.parametrize("kind", ["OLD_AGE_SUBSIDY", "HOSPITAL_STAY"])
def test_who_was_seen_in_person_after_a_confirmed_death_is_no_late_record(kind: str) -> None:
    found = graded(row("CREMATION", 40), row(kind, 38, strength="IN_PERSON"))
    assert found.status == "CONFLICT"
    assert found.told("PRESENT_AFTER_DEATH")[1] == kind
    within_grace = graded(row("CREMATION", 40), row(kind, 39, strength="IN_PERSON"))
    assert within_grace.status == "DECEASED"


def test_a_record_that_may_lag_is_told_though_it_contradicts_nothing() -> None:
    found = graded(row("CREMATION", 40), row("INPATIENT", 30), row("INPATIENT", 20), row("OUTPATIENT", 38))
    assert (found.status, found.flags) == ("DECEASED", set())
    assert found.told("TRACE_SOON_AFTER_DEATH")[1] == "INPATIENT"
    assert found.told("TRACE_SOON_AFTER_DEATH")[3] == 3
    on_the_day = graded(row("CREMATION", 40), row("INPATIENT", 40), row("OUTPATIENT", 39))
    assert "TRACE_SOON_AFTER_DEATH" not in on_the_day.codes
    contradicted = graded(row("CREMATION", 40), row("INPATIENT", 30), row("RAIL_TRAVEL", 30))
    assert contradicted.status == "CONFLICT"
    assert contradicted.told("TRACE_SOON_AFTER_DEATH")[3] == 1


def test_a_grave_registered_years_ahead_does_not_date_a_death_that_is_certain() -> None:
    grave, certificate = row("BURIAL", "2015-03-01"), row("DEATH_CERTIFICATE", "2026-03-01")
    found = graded(grave, certificate)
    assert (found.status, found.decided) == ("DECEASED", "2026-03-01")
    assert found.told("DEATH_SUPPORTED")[1:3] == ("BURIAL", "2015-03-01")
    travelled = graded(grave, certificate, row("CREMATION", "2026-03-03"), row("RAIL_TRAVEL", "2025-12-01"))
    assert (travelled.status, travelled.decided) == ("DECEASED", "2026-03-01")
    months_before = graded(row("BURIAL", "2025-09-01"), certificate)
    assert (months_before.status, months_before.decided) == ("DECEASED", "2025-09-01")
    assert graded(grave).decided == "2015-03-01"


@pytest.mark.parametrize("department", ["HEALTH_INSURANCE", "FACE_AUTHENTICATION", "SOCIAL_INSURANCE"])
def test_a_silent_department_that_could_support_a_death_keeps_the_grade_down(department: str) -> None:
    found = graded(*LIVELY, partial=True, silent=[DEPARTMENTS[department]])
    assert found.status == "ALIVE_MEDIUM"
    assert "CAPPED_BY_SILENCE" in found.codes
    assert graded(*LIVELY, partial=True, silent=[DEPARTMENTS["TRANSPORT"]]).status == "ALIVE_STRONG"
    assert DEPARTMENTS[department] in BOOK.kinds.death_departments
