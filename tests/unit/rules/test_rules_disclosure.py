"""What an answer may carry: every purpose against every field."""

import numpy as np
import pytest
from rules_world import BOOK, DEPENDANT, EMPLOYEE, UNEMPLOYMENT, as_date, civil, evidence, flag_bits, graded_batch, row

from gateway.errors import RefusedError
from gateway.rules.disclosure import may_tell_numbers, minimise, minimise_last_trace, minimise_reasons
from gateway.rules.kinds import FIRST_EVENT, KINDS
from gateway.rules.purposes import PURPOSES, Precision
from gateway.rules.reasons import TRACE_CODES, ReasonCode
from wugan.adapter.v1 import vocabulary_pb2 as words

DIED = "2026-02-10"
ROWS = [
    row("RAIL_TRAVEL", "2026-01-15", region=330702, known="2026-01-16"),
    row("PHARMACY", "2026-03-15", region=330702, known="2026-03-16"),
    row("CREMATION", DIED, region=330702, known="2026-02-12"),
    row("SENTENCE", "2020-03-05", detail=words.PENALTY_KIND_FIXED_TERM, since="2020-03-05", until="2022-03-04"),
    row("RESIDENCE_MOVED", "2025-03-05", detail=510104),
]

#                        traces   events refs   trace region/date   event region/date  numbers last  penal
EXPECTED = {
    "CERTIFICATION": (["RAIL_TRAVEL", "PHARMACY"], True, False, 330000, "-01", 330000, "-10", True, True, False),
    "CHANGE_MONITORING": ([], True, False, None, None, 330000, "-10", True, True, False),
    "OVERPAYMENT_RECOVERY": (["PHARMACY"], True, True, 330000, "-15", 330702, "-10", True, True, True),
    "DISPUTE_REVIEW": (["RAIL_TRAVEL", "PHARMACY"], True, True, 330702, "-15", 330702, "-10", True, True, True),
    "AUDIT": ([], True, True, None, None, 330702, "-10", False, True, False),
}


def disclosed(purpose, rows=ROWS, *, benefit=EMPLOYEE, flags=0, decided=DIED, limit=100, as_of=0):
    return minimise(
        BOOK,
        PURPOSES.get(purpose, 99),
        evidence(rows),
        benefit=np.array([benefit], np.int32),
        flags=np.array([flags], np.uint32),
        decided_on=np.array([civil(decided)], np.int32),
        as_of_on=civil(as_of),
        limit=limit,
    )


def test_the_matrix_covers_every_purpose():
    assert set(EXPECTED) == set(PURPOSES)


@pytest.mark.parametrize("purpose", EXPECTED)
def test_an_answer_carries_what_its_purpose_allows_and_no_more(purpose):
    traces, _, references, trace_region, trace_day, event_region, event_day, numbers, last, penal = EXPECTED[purpose]
    shown = disclosed(purpose)
    names = {number: name for name, number in KINDS.items()}
    kinds = [names[kind] for kind in shown.kind.tolist()]
    assert sorted(k for k in kinds if KINDS[k] < FIRST_EVENT) == sorted(traces)
    assert {"CREMATION", "SENTENCE", "RESIDENCE_MOVED"} <= set(kinds)
    assert set(shown.source_reference) == ({"ref"} if references else {""})
    for at, kind in enumerate(kinds):
        trace = KINDS[kind] < FIRST_EVENT
        if trace:
            assert shown.region[at] == trace_region
            assert as_date(shown.observed_on[at]).endswith(trace_day)
            assert bool(shown.available_on[at]) is (trace_day != "-01")
        if kind == "CREMATION":
            assert shown.region[at] == event_region
            assert as_date(shown.observed_on[at]).endswith(event_day)
        if kind == "SENTENCE":
            assert bool(shown.detail[at]) is penal
            assert as_date(shown.until_on[at]) == ("2022-03-04" if penal else "")
        if kind == "RESIDENCE_MOVED":
            assert shown.detail[at] == (510104 if event_region == 330702 else 510000)
    assert may_tell_numbers(BOOK, PURPOSES[purpose]) is numbers
    day = np.array([civil("2026-03-15")], np.int32)
    told = minimise_last_trace(BOOK, PURPOSES[purpose], day, np.zeros(1, np.uint32))
    assert as_date(told[0]) == ("2026-03-15" if last else "")


@pytest.mark.parametrize("purpose", EXPECTED)
def test_reasons_tell_a_trace_no_more_exactly_than_its_row(purpose):
    allowed = BOOK.disclosure(PURPOSES[purpose])
    grades = graded_batch([ROWS, ROWS[:1] + ROWS[3:]], as_of="2026-05-27")
    told = minimise_reasons(BOOK, PURPOSES[purpose], grades.reasons)
    assert told.code.tolist() == grades.reasons.code.tolist()
    for at, code in enumerate(told.code.tolist()):
        before = as_date(grades.reasons.on[at])
        after = as_date(told.on[at])
        if code in TRACE_CODES and allowed.trace_dates == Precision.NONE:
            assert (after, told.kind[at], told.department[at]) == ("", 0, 0)
        if code == ReasonCode.TRACE_AFTER_DEATH and purpose == "OVERPAYMENT_RECOVERY":
            assert after == before
            assert told.kind[at] == KINDS["PHARMACY"]
        if code == ReasonCode.REAL_NAME_ONE_DEPARTMENT:
            assert after == {"CERTIFICATION": "2026-01-01", "DISPUTE_REVIEW": "2026-01-15"}.get(purpose, "")
        if code == ReasonCode.MOVED:
            assert told.number[at] == (510104 if allowed.event_region == Precision.EXACT else 510000)
        if code == ReasonCode.TERM_ENDED:
            assert after == (before if allowed.penal_detail else "")
        if code == ReasonCode.DEATH_CONFIRMED:
            assert after == before


def test_case_3_nothing_is_disclosed_about_a_person_in_identity_conflict():
    flags = flag_bits("IDENTITY_CONFLICT")
    assert len(disclosed("DISPUTE_REVIEW", flags=flags).rows) == 0
    last = minimise_last_trace(BOOK, PURPOSES["DISPUTE_REVIEW"], np.array([5], np.int32), np.array([flags], np.uint32))
    assert last.tolist() == [0]


def test_an_unknown_purpose_gets_nothing():
    assert len(disclosed("CURIOSITY").rows) == 0


def test_events_that_the_benefit_does_not_depend_on_stay_at_home():
    rows = [row("MARRIAGE", 30), row("DIVORCE", 20), row("ADOPTION", 20), row("DEATH_REPORT", 10), row("SENTENCE", 10)]
    names = {number: name for name, number in KINDS.items()}

    def kinds(benefit):
        flags = int(graded_batch([rows], benefit=benefit).flags[0])
        return {names[k] for k in disclosed("DISPUTE_REVIEW", rows, benefit=benefit, flags=flags).kind.tolist()}

    assert kinds(EMPLOYEE) == {"DEATH_REPORT", "SENTENCE"}
    assert kinds(DEPENDANT) == {"MARRIAGE", "DIVORCE", "ADOPTION", "DEATH_REPORT", "SENTENCE"}
    assert kinds(0) == {"DEATH_REPORT"}


def test_recovery_learns_of_traces_after_the_death_and_of_no_others():
    rows = [row("PHARMACY", day) for day in ("2026-02-09", "2026-02-10", "2026-02-11", "2026-02-12")]
    shown = disclosed("OVERPAYMENT_RECOVERY", rows)
    assert [as_date(day) for day in shown.observed_on] == ["2026-02-12"]
    assert len(disclosed("OVERPAYMENT_RECOVERY", rows, decided=None).rows) == 0
    assert len(disclosed("OVERPAYMENT_RECOVERY", [*rows, row("CREMATION", DIED)], decided=None).rows) == 1


def test_what_came_on_the_day_asked_about_is_shown():
    assert len(disclosed("DISPUTE_REVIEW", [row("RAIL_TRAVEL", 30, known=20)], as_of=20).rows) == 1
    assert len(disclosed("DISPUTE_REVIEW", [row("RAIL_TRAVEL", 30, known=20)], as_of=21).rows) == 0


def test_columns_of_different_lengths_are_refused_before_anything_is_disclosed():
    arguments = {"benefit": np.ones(1, np.int32), "as_of_on": civil(0), "limit": 9}
    flags, days = np.zeros(1, np.uint32), np.zeros(1, np.int32)
    for wrong in ({"flags": np.zeros(2, np.uint32)}, {"decided_on": np.zeros(2, np.int32)}):
        with pytest.raises(RefusedError):
            minimise(BOOK, 1, evidence(ROWS), **{**arguments, "flags": flags, "decided_on": days, **wrong})


def test_rows_that_the_grading_did_not_use_stay_at_home():
    names = {number: name for name, number in KINDS.items()}

    def kinds(benefit, *rows):
        flags = int(graded_batch([rows], benefit=benefit).flags[0])
        shown = disclosed("DISPUTE_REVIEW", rows, benefit=benefit, flags=flags)
        return [(names[kind], as_date(on)) for kind, on in zip(shown.kind, shown.observed_on, strict=True)]

    first, last_day, second = (row("MARRIAGE", ago) for ago in (3651, 3650, 300))
    divorce = row("DIVORCE", 100)
    assert kinds(DEPENDANT, first) == []
    assert kinds(DEPENDANT, first, divorce) == []
    assert kinds(DEPENDANT, row("MARRIAGE", None, known=3651)) == []
    assert kinds(DEPENDANT, last_day) == [("MARRIAGE", "2016-05-29")]
    assert kinds(DEPENDANT, row("MARRIAGE", None, known=400)) == [("MARRIAGE", "")]
    assert kinds(DEPENDANT, first, second, divorce) == [("DIVORCE", "2026-02-16"), ("MARRIAGE", "2025-07-31")]
    assert kinds(UNEMPLOYMENT, row("RE_EMPLOYMENT", 731)) == []
    for unused in (
        row("RAIL_TRAVEL", 5, strength="LEAD"),
        row("OWN_CERTIFICATION", 5, strength="WEAK"),
        row("RAIL_TRAVEL", None),
    ):
        assert kinds(EMPLOYEE, unused, row("OUTPATIENT", 9)) == [("OUTPATIENT", "2026-05-18")]


def test_the_newest_rows_come_first_and_no_more_than_asked_for():
    rows = [row("RAIL_TRAVEL", ago) for ago in (9, 3, 7, 1, 5)]
    shown = disclosed("DISPUTE_REVIEW", rows, limit=3)
    assert [as_date(day) for day in shown.observed_on] == ["2026-05-26", "2026-05-24", "2026-05-22"]
    assert len(disclosed("DISPUTE_REVIEW", rows, limit=0).rows) == 0


def test_the_limit_is_for_each_person_and_people_keep_their_order():
    people = [[row("RAIL_TRAVEL", ago) for ago in range(1, 1 + count)] for count in (4, 0, 1, 3)]
    rows = [each.of(subject) for subject, person in enumerate(people) for each in person][::-1]
    shown = minimise(
        BOOK,
        PURPOSES["DISPUTE_REVIEW"],
        evidence(rows),
        benefit=np.full(4, EMPLOYEE, np.int32),
        flags=np.array([0, 0, 0, flag_bits("IDENTITY_CONFLICT")], np.uint32),
        decided_on=np.zeros(4, np.int32),
        as_of_on=civil(0),
        limit=2,
    )
    assert shown.subject.tolist() == [0, 0, 2]
    assert [as_date(day) for day in shown.observed_on] == ["2026-05-26", "2026-05-25", "2026-05-26"]


def test_rows_of_later_days_are_not_shown():
    rows = [row("RAIL_TRAVEL", 10), row("RAIL_TRAVEL", 40, known=10), row("RAIL_TRAVEL", 50)]
    assert len(disclosed("DISPUTE_REVIEW", rows, as_of=30).rows) == 1


def test_rows_of_an_unknown_kind_are_not_shown():
    rows = evidence([row("RAIL_TRAVEL", 10)] * 3)
    rows.kind[:] = [77, 9999, -4]
    shown = minimise(
        BOOK,
        PURPOSES["DISPUTE_REVIEW"],
        rows,
        benefit=np.ones(1, np.int32),
        flags=np.zeros(1, np.uint32),
        decided_on=np.zeros(1, np.int32),
        as_of_on=civil(0),
        limit=9,
    )
    assert len(shown.rows) == 0
