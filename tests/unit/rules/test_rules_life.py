"""Death, disappearance, identity; DOMAIN section 5, numbers 2, 3, 5, 6, 9, 15. No living person is called DECEASED."""

import pytest
from rules_world import graded, row

LIVELY = [row("RAIL_TRAVEL", 20), row("OUTPATIENT", 40)]


@pytest.mark.parametrize("kind", ["HOUSEHOLD_CANCELLED_DEATH", "DEATH_CERTIFICATE", "CREMATION", "DECLARED_DEAD"])
def test_one_confirming_record_is_death(kind):
    found = graded(row(kind, "2026-03-10", known="2026-03-12"), row("RAIL_TRAVEL", "2026-03-01"))
    assert found.status == "DECEASED"
    assert found.decided == "2026-03-10"
    assert found.told("DEATH_CONFIRMED")[1:3] == (kind, "2026-03-10")
    assert found.last_trace == "2026-03-01"


@pytest.mark.parametrize("kind", ["BURIAL", "DEATH_SETTLEMENT", "VISIT_FOUND_DEAD", "DEATH_REPORT"])
def test_one_record_that_does_not_confirm_is_a_suspicion(kind):
    found = graded(row(kind, "2026-03-10"))
    assert found.status == "DECEASED_SUSPECTED"
    assert found.decided == "2026-03-10"


def test_a_death_before_the_person_was_born_is_not_credible():
    before, on_the_day = row("CREMATION", "2001-05-04"), row("CREMATION", "2001-05-05")
    assert graded(on_the_day, born="2001-05-05").status == "DECEASED"
    found = graded(before, born="2001-05-05")
    assert (found.status, found.codes) == ("DECEASED_SUSPECTED", {"DEATH_LEAD"})
    confirmed = graded(before, row("BURIAL", "2001-05-01"), row("DEATH_CERTIFICATE", "2026-05-01"), born="2001-05-05")
    assert (confirmed.status, confirmed.decided) == ("DECEASED", "2026-05-01")
    assert graded(row("CREMATION", "1955-01-01"), born="1949-12-31").status == "DECEASED"
    assert graded(row("CREMATION", "1949-12-30"), born="1949-12-31").status == "DECEASED_SUSPECTED"
    assert graded(before, born=None).status == "DECEASED"
    assert graded(row("CREMATION", "1969-05-05"), born=None).status == "DECEASED"


def test_many_leads_are_still_a_suspicion():
    leads = [row(kind, 30) for kind in ("BURIAL", "DEATH_SETTLEMENT", "VISIT_FOUND_DEAD", "DEATH_REPORT")]
    assert graded(*leads, *leads).status == "DECEASED_SUSPECTED"


def test_a_confirming_record_that_is_only_a_lead_or_not_of_its_department_or_undated_is_a_suspicion():
    assert graded(row("CREMATION", 30, strength="LEAD")).status == "DECEASED_SUSPECTED"
    assert graded(row("DEATH_CERTIFICATE", 30, "BANKS")).status == "DECEASED_SUSPECTED"
    assert graded(row("DEATH_CERTIFICATE", None, known=30)).status == "DECEASED_SUSPECTED"
    assert graded(row("DEATH_CERTIFICATE", None, known=30)).decided == "2026-04-27"


def test_a_very_late_record_that_stands_alone_is_a_suspicion():
    late = row("HOUSEHOLD_CANCELLED_DEATH", "2024-01-10", known="2026-05-01")
    found = graded(late)
    assert found.status == "DECEASED_SUSPECTED"
    assert found.told("DEATH_LATE") == ("PUBLIC_SECURITY", "HOUSEHOLD_CANCELLED_DEATH", "2024-01-10", 842)
    borne_out = graded(late, row("CREMATION", "2024-01-12", known="2026-05-02"))
    assert borne_out.status == "DECEASED"
    assert borne_out.decided == "2024-01-10"
    assert graded(late, row("RAIL_TRAVEL", 30)).status == "CONFLICT"


def test_only_a_record_of_more_than_a_lead_that_stands_bears_out_a_late_one():
    late = row("HOUSEHOLD_CANCELLED_DEATH", "2024-01-10", known="2026-05-01")
    assert graded(late, row("BURIAL", "2024-01-12", known="2026-05-02")).status == "DECEASED"
    assert graded(late, row("DEATH_REPORT", "2024-01-12")).status == "DECEASED_SUSPECTED"
    assert graded(late, row("CREMATION", "2024-01-12", strength="LEAD")).status == "DECEASED_SUSPECTED"
    cremated = row("CREMATION", "2024-01-10", known="2026-05-01")
    void = [row("DECLARED_DEAD", "2022-01-01"), row("DEATH_DECLARATION_REVOKED", "2022-05-01")]
    assert graded(cremated, *void).status == "DECEASED_SUSPECTED"


@pytest.mark.parametrize(("known", "status"), [("2026-01-10", "DECEASED"), ("2026-01-11", "DECEASED_SUSPECTED")])
def test_late_is_more_than_a_year_after_the_death(known, status):
    assert graded(row("CREMATION", "2025-01-10", known=known)).status == status


def test_a_lead_stays_a_lead_however_late_it_came_or_after_a_revocation():
    report = row("DEATH_REPORT", "2024-01-10", known="2026-05-01")
    assert "DEATH_LEAD" in graded(report).codes
    assert graded(report, row("CREMATION", "2026-04-01")).decided == "2026-04-01"
    revoked = [row("DECLARED_DEAD", 900), row("DEATH_DECLARATION_REVOKED", 300)]
    heard = row("HOUSEHOLD_CANCELLED_DEATH", 200, strength="LEAD")
    assert "DEATH_LEAD" in graded(*revoked, heard).codes


def test_the_day_after_a_death_contradicts_and_refutes_nothing():
    for kind in ("CREMATION", "VISIT_FOUND_DEAD"):
        dead = "DECEASED" if kind == "CREMATION" else "DECEASED_SUSPECTED"
        seen = "CONFLICT" if kind == "CREMATION" else "ALIVE_WEAK"
        assert graded(row(kind, 60), row("MARRIAGE", 59)).status == dead
        assert graded(row(kind, 60), row("MARRIAGE", 58)).status == seen
        assert graded(row(kind, 60), row("FACE_CHECK", 59)).status == dead
    used = row("PHARMACY", 20)
    assert graded(row("CREMATION", 60), row("HOME_VISIT", 59), used).flags == {"MISUSE_AFTER_DEATH"}
    assert graded(row("CREMATION", 60), row("HOME_VISIT", 58), used).flags == set()


def test_misuse_counts_from_the_day_that_is_more_than_a_lead():
    records = [row("DEATH_REPORT", 60), row("DEATH_SETTLEMENT", 40)]
    assert (graded(*records, row("PHARMACY", 39)).status, graded(*records, row("PHARMACY", 39)).flags) == (
        "CONFLICT",
        set(),
    )
    assert graded(*records, row("PHARMACY", 38)).flags == {"MISUSE_AFTER_DEATH"}


def test_dates_that_differ_are_those_of_records_that_stand_and_are_more_than_leads():
    cremated = row("CREMATION", "2026-02-01")
    for other in (row("DEATH_REPORT", "2026-03-01"), row("DEATH_CERTIFICATE", "2026-03-01", strength="LEAD")):
        found = graded(cremated, other)
        assert "DEATH_DATES_DIFFER" not in found.codes
        assert found.told("DEATH_CONFIRMED")[3] == 0
    assert graded(cremated, row("BURIAL", "2026-03-01")).told("DEATH_DATES_DIFFER")[2:] == ("2026-02-01", 28)


def test_case_6_the_earliest_credible_date_wins_and_all_are_listed():
    found = graded(
        row("HOUSEHOLD_CANCELLED_DEATH", "2026-05-01"),
        row("DEATH_CERTIFICATE", "2026-01-31"),
        row("CREMATION", "2026-02-02"),
    )
    assert found.status == "DECEASED"
    assert found.decided == "2026-01-31"
    assert [reason[3] for reason in found.reasons if reason[0] == "DEATH_CONFIRMED"] == [
        "2026-01-31",
        "2026-02-02",
        "2026-05-01",
    ]
    assert found.told("DEATH_DATES_DIFFER")[2:] == ("2026-01-31", 90)


def test_case_6_a_supporting_date_is_credible_once_death_is_confirmed_but_a_lead_never():
    cancelled = row("HOUSEHOLD_CANCELLED_DEATH", "2026-05-01")
    assert graded(cancelled, row("DEATH_SETTLEMENT", "2026-02-10")).decided == "2026-02-10"
    assert graded(cancelled, row("DEATH_REPORT", "2026-02-10")).decided == "2026-05-01"
    seen = row("FACE_CHECK", "2026-03-01")
    assert graded(cancelled, row("DEATH_SETTLEMENT", "2026-02-10"), seen).decided == "2026-05-01"


def test_case_6_a_death_is_known_from_the_day_it_became_available():
    cremation = row("CREMATION", "2026-01-31", known="2026-05-20")
    assert graded(cremation, *LIVELY[1:]).status in {"DECEASED", "CONFLICT"}
    assert graded(cremation, row("RAIL_TRAVEL", "2026-01-05"), as_of="2026-05-19").status == "ALIVE_MEDIUM"


def test_case_9_card_used_after_death_is_a_conflict_and_a_finding():
    found = graded(row("DEATH_CERTIFICATE", "2026-02-01"), row("PHARMACY", "2026-03-03"), row("PHARMACY", "2026-04-03"))
    assert found.status == "CONFLICT"
    assert found.decided == "2026-02-01"
    assert found.flags == {"MISUSE_AFTER_DEATH"}
    assert found.told("TRACE_AFTER_DEATH") == ("HEALTH_INSURANCE", "PHARMACY", "2026-04-03", 2)
    assert found.told("MISUSE_AFTER_DEATH")[2] == "2026-03-03"


def test_money_drawn_after_death_is_a_conflict_and_a_finding():
    found = graded(row("CREMATION", "2026-02-01"), row("SELF_SERVICE_WITHDRAWAL", "2026-02-20"))
    assert (found.status, found.flags) == ("CONFLICT", {"MISUSE_AFTER_DEATH"})


def test_a_journey_after_death_is_a_conflict_but_no_misuse_of_a_benefit():
    found = graded(row("CREMATION", "2026-02-01"), row("RAIL_TRAVEL", "2026-02-20"))
    assert (found.status, found.flags) == ("CONFLICT", set())


def test_somebody_seen_in_person_after_a_death_record_is_a_conflict_and_no_misuse():
    found = graded(
        row("DEATH_CERTIFICATE", "2026-02-01"), row("HOME_VISIT", "2026-04-01"), row("PHARMACY", "2026-04-02")
    )
    assert (found.status, found.flags) == ("CONFLICT", set())
    assert found.told("PRESENT_AFTER_DEATH")[1] == "HOME_VISIT"
    often = [row("HOME_VISIT", "2026-03-01"), row("MARRIAGE", "2026-05-01"), row("FACE_CHECK", "2026-04-01")]
    newest = graded(row("DEATH_CERTIFICATE", "2026-02-01"), *often).told("PRESENT_AFTER_DEATH")
    assert newest[1:3] == ("MARRIAGE", "2026-05-01")


def test_an_event_that_needs_the_person_contradicts_an_earlier_death_too():
    assert graded(row("CREMATION", "2026-02-01"), row("MARRIAGE", "2026-03-01")).status == "CONFLICT"


@pytest.mark.parametrize(
    ("trace", "status"),
    [
        (row("PHARMACY", "2026-02-01"), "DECEASED"),
        (row("PHARMACY", "2026-02-02"), "DECEASED"),
        (row("PHARMACY", "2026-02-03"), "CONFLICT"),
        (row("INPATIENT", "2026-03-03"), "DECEASED"),
        (row("INPATIENT", "2026-03-04"), "CONFLICT"),
        (row("OLD_AGE_SUBSIDY", "2026-03-01"), "DECEASED"),
    ],
)
def test_traces_that_settle_after_death_get_their_days_of_grace(trace, status):
    assert graded(row("DEATH_CERTIFICATE", "2026-02-01"), trace).status == status


def test_a_lead_is_refuted_by_seeing_the_person_and_otherwise_contradicted():
    lead = row("DEATH_REPORT", 40)
    seen = graded(lead, row("FACE_CHECK", 10), row("OUTPATIENT", 5))
    assert seen.status == "ALIVE_STRONG"
    assert seen.decided == ""
    assert "DEATH_REFUTED" in seen.codes
    travelled = graded(lead, row("RAIL_TRAVEL", 10))
    assert (travelled.status, travelled.flags) == ("CONFLICT", set())
    assert graded(lead, row("FACE_CHECK", 40)).status == "DECEASED_SUSPECTED"
    assert graded(lead, row("FACE_CHECK", 50)).status == "DECEASED_SUSPECTED"


NOT_SOUND = [{"strength": "LEAD"}, {"department": "BANKS"}, {"when": None, "known": 5}, {"when": None}]
"""What is said of a record that says so little that it undoes no other: hearsay, from elsewhere, without a day."""


def said(kind, **how):
    return row(kind, how.pop("when", 10), **how)


@pytest.mark.parametrize("how", NOT_SOUND)
def test_what_is_hearsay_or_from_elsewhere_or_undated_contradicts_and_never_refutes(how):
    visited = row("VISIT_FOUND_DEAD", 40)
    for kind in ("MARRIAGE", "DETAINED", "FOUND"):
        assert graded(visited, row(kind, 10)).status == "ALIVE_WEAK"
        found = graded(visited, said(kind, **how))
        assert found.status == "CONFLICT"
        assert {"PRESENT_AFTER_DEATH", "DEATH_SUPPORTED"} <= found.codes
    used = row("PHARMACY", 20)
    assert graded(visited, used, said("MARRIAGE", **how)).flags == {"MISUSE_AFTER_DEATH"}


def test_an_undated_marriage_known_before_the_death_contradicts_nothing():
    assert graded(row("DEATH_CERTIFICATE", 40), row("MARRIAGE", None, known=400)).status == "DECEASED"


@pytest.mark.parametrize("how", NOT_SOUND)
def test_case_5_a_revocation_by_hearsay_restores_nobody_and_is_not_passed_over(how):
    found = graded(row("DECLARED_DEAD", 300), said("DEATH_DECLARATION_REVOKED", **how))
    assert (found.status, found.flags) == ("CONFLICT", set())
    assert found.codes == {"PRESENT_AFTER_DEATH", "DEATH_CONFIRMED"}


@pytest.mark.parametrize("how", NOT_SOUND)
def test_who_is_found_by_hearsay_is_still_missing_and_that_is_told(how):
    for missing in ("REPORTED_MISSING", "DECLARED_MISSING"):
        for kind in ("FOUND", "MISSING_DECLARATION_REVOKED"):
            found = graded(row(missing, 60), said(kind, **how))
            assert (found.status, found.codes) == ("MISSING", {missing, "FOUND_AGAIN"})
        assert graded(row(missing, 60), said("MARRIAGE", **how)).status == "MISSING"
        assert graded(row(missing, 60), said("DEATH_DECLARATION_REVOKED", **how)).status == "MISSING"


def test_misuse_is_a_finding_after_a_supported_death_but_not_after_a_mere_lead():
    use = row("PHARMACY", 5)
    assert graded(row("DEATH_SETTLEMENT", 60), use).flags == {"MISUSE_AFTER_DEATH"}
    assert graded(row("DEATH_REPORT", 60), use).flags == set()


def test_case_5_a_revoked_declaration_restores():
    declared, cancelled = row("DECLARED_DEAD", "2025-03-01"), row("HOUSEHOLD_CANCELLED_DEATH", "2025-04-01")
    revoked = row("DEATH_DECLARATION_REVOKED", "2026-02-01")
    assert graded(declared, cancelled).status == "DECEASED"
    back = graded(declared, cancelled, revoked, *LIVELY)
    assert back.status == "ALIVE_STRONG"
    assert back.flags == {"DEATH_DECLARATION_REVOKED"}
    assert {"DEATH_VOID", "DEATH_DECLARATION_REVOKED"} <= back.codes
    assert graded(declared, revoked).status == "ALIVE_WEAK"
    assert graded(declared, revoked, as_of="2026-01-31").status == "DECEASED"
    assert graded(row("DECLARED_DEAD", "2026-02-01"), revoked).status == "ALIVE_WEAK"


def test_case_5_a_household_cancelled_late_after_the_revocation_is_no_verdict():
    rows = [row("DECLARED_DEAD", "2025-03-01"), row("DEATH_DECLARATION_REVOKED", "2026-02-01")]
    late = row("HOUSEHOLD_CANCELLED_DEATH", "2026-02-20")
    assert graded(*rows, late).status == "DECEASED_SUSPECTED"
    assert graded(*rows, late, row("CREMATION", "2026-02-18")).status == "DECEASED"


def test_case_5_a_body_recorded_before_the_revocation_is_a_conflict():
    found = graded(row("CREMATION", "2025-03-01"), row("DEATH_DECLARATION_REVOKED", "2026-02-01"))
    assert (found.status, found.flags) == ("CONFLICT", {"DEATH_DECLARATION_REVOKED"})


def test_case_5_declared_dead_and_found_alive_before_any_revocation_is_a_conflict():
    found = graded(row("DECLARED_DEAD", "2025-03-01"), row("FOUND", "2026-02-01"))
    assert found.status == "CONFLICT"


def test_declared_dead_again_after_a_revocation_is_death():
    rows = [row("DECLARED_DEAD", "2020-03-01"), row("DEATH_DECLARATION_REVOKED", "2021-02-01")]
    found = graded(*rows, row("DECLARED_DEAD", "2026-02-01"))
    assert (found.status, found.flags) == ("DECEASED", set())


@pytest.mark.parametrize(
    ("rows", "status"),
    [
        ([row("REPORTED_MISSING", 60)], "MISSING"),
        ([row("DECLARED_MISSING", 60)], "MISSING"),
        ([row("REPORTED_MISSING", 60), row("FOUND", 60)], "ALIVE_WEAK"),
        ([row("DECLARED_MISSING", 60), row("MISSING_DECLARATION_REVOKED", 10)], "ALIVE_WEAK"),
        ([row("FOUND", 90), row("REPORTED_MISSING", 60)], "MISSING"),
        ([row("REPORTED_MISSING", 60), row("RAIL_TRAVEL", 30)], "ALIVE_MEDIUM"),
        ([row("REPORTED_MISSING", 60), row("PHARMACY", 30)], "MISSING"),
        ([row("DECLARED_MISSING", 60), row("RAIL_TRAVEL", 30)], "CONFLICT"),
        ([row("DECLARED_MISSING", 60), row("PHARMACY", 30)], "MISSING"),
        ([row("DECLARED_MISSING", 60), row("FOUND", 40), row("RAIL_TRAVEL", 30)], "ALIVE_MEDIUM"),
        ([row("DECLARED_MISSING", 900), row("DECLARED_DEAD", 60)], "DECEASED"),
        ([row("REPORTED_MISSING", 60), row("DEATH_REPORT", 30)], "DECEASED_SUSPECTED"),
    ],
)
def test_missing_found_and_seen_again(rows, status):
    assert graded(*rows).status == status


@pytest.mark.parametrize(
    ("rows", "status"),
    [
        ([row("DECLARED_MISSING", 60), row("FACE_CHECK", 59)], "MISSING"),
        ([row("DECLARED_MISSING", 60), row("FACE_CHECK", 58)], "CONFLICT"),
        ([row("DECLARED_MISSING", 60), row("MARRIAGE", 59)], "MISSING"),
        ([row("DECLARED_MISSING", 60), row("MARRIAGE", 58)], "CONFLICT"),
        ([row("REPORTED_MISSING", 60), row("MARRIAGE", 40)], "ALIVE_WEAK"),
        ([row("REPORTED_MISSING", 60), row("RAIL_TRAVEL", 60)], "ALIVE_MEDIUM"),
        ([row("REPORTED_MISSING", 60), row("RAIL_TRAVEL", 61)], "MISSING"),
        ([row("REPORTED_MISSING", 60), row("SELF_SERVICE_WITHDRAWAL", 40)], "MISSING"),
        ([row("DECLARED_MISSING", 60), row("SELF_SERVICE_WITHDRAWAL", 40)], "MISSING"),
        ([row("DECLARED_MISSING", 60), row("FOUND", 60)], "ALIVE_WEAK"),
        ([row("DECLARED_MISSING", 60), row("FOUND", 61)], "MISSING"),
        ([row("DECLARED_MISSING", 60), row("DEATH_DECLARATION_REVOKED", 30)], "ALIVE_WEAK"),
    ],
)
def test_which_day_answers_a_disappearance(rows, status):
    assert graded(*rows).status == status


def test_a_disappearance_is_told_since_when_and_what_came_after_it():
    since = ["2026-01-01", "2026-02-01"]
    found = graded(
        *[row(kind, day) for kind in ("REPORTED_MISSING", "DECLARED_MISSING") for day in since],
        *[row("PHARMACY", day) for day in ("2025-12-01", "2026-01-02", "2026-03-01", "2026-04-01")],
    )
    for kind in ("DECLARED_MISSING", "REPORTED_MISSING"):
        assert found.told(kind)[1:3] == (kind, "2026-01-01")
    assert found.told("TRACE_AFTER_MISSING")[1:3] == ("PHARMACY", "2026-04-01")
    grace = graded(row("DECLARED_MISSING", "2026-01-01"), row("PHARMACY", "2026-01-02"))
    assert grace.codes == {"DECLARED_MISSING"}
    back = graded(row("REPORTED_MISSING", 60), row("FOUND", 50), row("MISSING_DECLARATION_REVOKED", 40))
    assert back.told("FOUND_AGAIN")[1] == "MISSING_DECLARATION_REVOKED"
    assert back.codes == {"FOUND_AGAIN", "NO_TRACES"}
    again = graded(row("FOUND", 90), row("REPORTED_MISSING", 60))
    assert again.codes == {"REPORTED_MISSING"}


def test_missing_is_decided_on_the_first_day_that_still_stands():
    found = graded(row("REPORTED_MISSING", "2026-01-01"), row("DECLARED_MISSING", "2026-05-01"))
    assert found.decided == "2026-01-01"
    again = graded(
        row("REPORTED_MISSING", "2025-01-01"), row("FOUND", "2025-02-01"), row("REPORTED_MISSING", "2026-03-01")
    )
    assert again.decided == "2026-03-01"


def test_case_2_a_changed_number_is_answered_once_and_the_link_named():
    found = graded(*LIVELY, linked=True)
    assert found.status == "ALIVE_STRONG"
    assert found.flags == {"IDENTITY_LINKED"}
    assert "IDENTITY_LINKED" in found.codes


def test_case_3_two_people_under_one_number_are_a_conflict_and_nothing_else_is_told():
    found = graded(*LIVELY, row("CREMATION", 5), identity_conflict=True, linked=True)
    assert found.status == "CONFLICT"
    assert found.flags == {"IDENTITY_CONFLICT"}
    assert found.codes == {"IDENTITY_CONFLICT"}
    assert (found.decided, found.last_trace) == ("", "")


def test_nobody_knows_the_person():
    found = graded(*LIVELY, known=False)
    assert (found.status, found.flags, found.codes) == ("UNKNOWN", set(), {"UNKNOWN_PERSON"})
    assert found.last_trace == ""


def test_case_15_a_department_that_contradicts_itself_is_shown_as_it_is():
    found = graded(row("DEATH_CERTIFICATE", "2026-02-01"), row("DEATH_CERTIFICATE", "2025-02-01"))
    assert found.decided == "2025-02-01"
    assert "DEATH_DATES_DIFFER" in found.codes
