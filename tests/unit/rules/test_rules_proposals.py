"""What is proposed, from which month, and what was paid too much; DOMAIN section 5, numbers 11 and 13."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rules_world import (
    BOOK,
    DEPENDANT,
    EMPLOYEE,
    UNEMPLOYMENT,
    WORK_INJURY,
    as_date,
    civil,
    flag_bits,
    graded_batch,
    row,
)

from gateway.errors import RefusedError
from gateway.rules.book import FLAG_SLOTS
from gateway.rules.certification import flag_days, month_text, propose
from gateway.rules.kinds import FLAGS
from gateway.rules.overpayment import MAX_FEN, overpaid, overpaid_by_month
from gateway.rules.reasons import ReasonCode, Reasons
from wugan.federation.v1 import vocabulary_pb2 as words


def proposed(status, *flags, benefit=EMPLOYEE, decided=None, since=None, **flag_on):
    days = np.zeros((1, FLAG_SLOTS), np.int32)
    for name, day in flag_on.items():
        days[0, FLAGS[name]] = civil(day)
    found = propose(
        BOOK,
        benefit=np.array([benefit], np.int32),
        status=np.array([words.SurvivalStatus.Value("SURVIVAL_STATUS_" + status)], np.int32),
        flags=np.array([flag_bits(*flags, *flag_on)], np.uint32),
        decided_on=np.array([civil(decided)], np.int32),
        flag_on=days,
        as_of_on=civil(0),
        entitled_since_on=None if since is None else np.array([civil(since)], np.int32),
    )
    name = words.CertificationStatus.Name(int(found.status[0])).removeprefix("CERTIFICATION_STATUS_")
    return name, month_text(int(found.effective_on[0])), as_date(found.verify_by_on[0])


@pytest.mark.parametrize(
    ("status", "proposal"),
    [
        ("ALIVE_STRONG", "CERTIFIED"),
        ("ALIVE_MEDIUM", "NEEDS_FACE"),
        ("ALIVE_WEAK", "NEEDS_VISIT"),
        ("UNKNOWN", "NEEDS_FACE"),
        ("UNSPECIFIED", "UNSPECIFIED"),
    ],
)
def test_what_is_proposed_for_a_status_alone(status, proposal):
    assert proposed(status) == (proposal, "", "")


def test_nothing_is_proposed_where_nobody_answered_or_the_status_is_of_another_version():
    assert proposed("UNSPECIFIED", IMPRISONED="2026-03-31") == ("UNSPECIFIED", "", "")
    found = propose(
        BOOK,
        benefit=np.array([EMPLOYEE] * 2, np.int32),
        status=np.array([99, -1], np.int32),
        flags=np.array([flag_bits("IMPRISONED")] * 2, np.uint32),
        decided_on=np.zeros(2, np.int32),
        flag_on=np.full((2, FLAG_SLOTS), 20_000, np.int32),
        as_of_on=civil(0),
    )
    assert found.status.tolist() == found.effective_on.tolist() == [0, 0]


@pytest.mark.parametrize("status", ["DECEASED_SUSPECTED", "CONFLICT", "MISSING"])
def test_a_doubt_is_verified_within_thirty_days_and_stops_nothing(status):
    assert proposed(status, decided="2026-01-31", IMPRISONED="2026-02-01") == ("SUSPECT", "", "2026-06-26")


@pytest.mark.parametrize(
    ("died", "month"),
    [("2026-01-31", "2026-02"), ("2026-02-01", "2026-03"), ("2025-12-31", "2026-01"), ("2024-02-29", "2024-03")],
)
def test_case_13_death_ends_from_the_month_after_it(died, month):
    assert proposed("DECEASED", decided=died) == ("STOP_PROPOSED", month, "")


@pytest.mark.parametrize(
    ("benefit", "flags", "proposal", "month"),
    [
        (EMPLOYEE, {"IMPRISONED": "2026-03-31"}, "STOP_PROPOSED", "2026-04"),
        (EMPLOYEE, {"DETAINED": "2026-03-01"}, "STOP_PROPOSED", "2026-04"),
        (EMPLOYEE, {"PAROLED": "2026-03-01"}, "CERTIFIED", ""),
        (EMPLOYEE, {"DUPLICATE_BENEFIT": "2026-03-01"}, "SUSPECT", ""),
        (EMPLOYEE, {"REMARRIED": "2026-03-01"}, "CERTIFIED", ""),
        (WORK_INJURY, {"IMPRISONED": "2026-03-31"}, "CERTIFIED", ""),
        (DEPENDANT, {"REMARRIED": "2026-02-28"}, "STOP_PROPOSED", "2026-03"),
        (DEPENDANT, {"AGED_OUT": "2026-03-01"}, "STOP_PROPOSED", "2026-04"),
        (DEPENDANT, {"ADOPTED": "2026-05-01", "REMARRIED": "2026-03-09"}, "STOP_PROPOSED", "2026-04"),
        (UNEMPLOYMENT, {"RE_EMPLOYED": "2026-03-09", "DUPLICATE_BENEFIT": "2026-01-01"}, "STOP_PROPOSED", "2026-04"),
        (0, {"IMPRISONED": "2026-03-31"}, "CERTIFIED", ""),
        (EMPLOYEE, {"IMPRISONED": None}, "STOP_PROPOSED", ""),
        (EMPLOYEE, {"IDENTITY_LINKED": None}, "CERTIFIED", ""),
        (EMPLOYEE, {"DEATH_DECLARATION_REVOKED": "2026-03-01"}, "CERTIFIED", ""),
        (EMPLOYEE, {"IDENTITY_CONFLICT": None}, "SUSPECT", ""),
        (EMPLOYEE, {"MISUSE_AFTER_DEATH": "2026-03-01"}, "SUSPECT", ""),
    ],
)
def test_what_a_fact_does_depends_on_the_benefit(benefit, flags, proposal, month):
    assert proposed("ALIVE_STRONG", benefit=benefit, since="2020-01-01", **flags)[:2] == (proposal, month)


def test_an_official_alone_stops_and_restores():
    never = {words.CERTIFICATION_STATUS_STOPPED, words.CERTIFICATION_STATUS_RESTORED}
    assert never.isdisjoint(BOOK.proposals.tolist())


def test_the_marriage_before_the_benefit_began_does_not_end_it():
    assert proposed("ALIVE_STRONG", benefit=DEPENDANT, since="2020-01-01", REMARRIED="2019-12-31")[0] == "CERTIFIED"
    assert proposed("ALIVE_STRONG", benefit=DEPENDANT, since="2020-01-01", REMARRIED="2020-01-01")[0] == "STOP_PROPOSED"


@pytest.mark.parametrize(
    ("benefit", "fact", "proposal"),
    [
        (DEPENDANT, "REMARRIED", "CERTIFIED"),
        (DEPENDANT, "ADOPTED", "CERTIFIED"),
        (DEPENDANT, "AGED_OUT", "CERTIFIED"),
        (UNEMPLOYMENT, "RE_EMPLOYED", "CERTIFIED"),
        (EMPLOYEE, "IMPRISONED", "STOP_PROPOSED"),
        (EMPLOYEE, "DETAINED", "STOP_PROPOSED"),
        (UNEMPLOYMENT, "EMIGRATED", "STOP_PROPOSED"),
        (EMPLOYEE, "EMIGRATED", "SUSPECT"),
        (EMPLOYEE, "DUPLICATE_BENEFIT", "SUSPECT"),
        (EMPLOYEE, "MISUSE_AFTER_DEATH", "SUSPECT"),
    ],
)
def test_of_what_began_before_the_benefit_only_what_is_over_by_then_does_not_count(benefit, fact, proposal):
    assert proposed("ALIVE_STRONG", benefit=benefit, since="2020-01-01", **{fact: "2019-12-31"})[0] == proposal


def test_nothing_is_overpaid_from_before_the_benefit_began():
    assert proposed("ALIVE_STRONG", since="2025-06-15", IMPRISONED="2024-03-09")[1] == "2025-06"
    assert proposed("ALIVE_STRONG", since="2025-06-15", IMPRISONED="2025-06-20")[1] == "2025-07"
    assert proposed("DECEASED", since="2025-06-15", decided="2024-03-09")[1] == "2025-06"
    assert proposed("DECEASED", since="2025-06-15", decided="2026-03-09")[1] == "2026-04"
    assert proposed("ALIVE_STRONG", since="2025-06-15")[1] == ""
    assert proposed("CONFLICT", since="2025-06-15", decided="2026-03-09")[1] == ""


def test_the_days_of_facts_are_read_from_the_reasons_of_an_answer():
    grades = graded_batch(
        [[row("MARRIAGE", "2025-08-31"), row("MARRIAGE", "2026-01-01")], []], benefit=DEPENDANT, born="2008-02-29"
    )
    days = flag_days(BOOK, grades.reasons, np.zeros(2, np.int32))
    assert as_date(days[0, FLAGS["REMARRIED"]]) == "2025-08-31"
    assert as_date(days[1, FLAGS["AGED_OUT"]]) == "2026-03-01"
    assert not days[1, FLAGS["REMARRIED"]]


def days_of(reasons, since=0):
    return flag_days(BOOK, reasons, np.array([since], np.int32))


def test_reasons_of_another_version_or_about_nobody_are_left_out():
    one = np.array([1], np.int32)
    assert not days_of(Reasons(one - 1, one + 5000, one, one, one, one)).any()
    two = np.array([0, 0], np.int32)
    untold = Reasons(two, two + int(ReasonCode.REMARRIED), two, two, np.array([0, 20_000], np.int32), two)
    assert days_of(untold)[0, FLAGS["REMARRIED"]] == 20_000
    assert not days_of(Reasons(one, one * int(ReasonCode.REMARRIED), one, one, one, one)).any()
    assert not days_of(Reasons(one + 7, one * int(ReasonCode.REMARRIED), one, one, one, one)).any()
    assert not days_of(Reasons(one - 2, one * int(ReasonCode.REMARRIED), one, one, one, one)).any()


def test_columns_of_different_lengths_are_refused():
    one = np.ones(1, np.int32)
    with pytest.raises(RefusedError, match="entitled_since_on"):
        propose(
            BOOK,
            benefit=one,
            status=one,
            flags=np.zeros(1, np.uint32),
            decided_on=one,
            flag_on=np.zeros((1, FLAG_SLOTS), np.int32),
            as_of_on=20_000,
            entitled_since_on=np.zeros(2, np.int32),
        )
    with pytest.raises(RefusedError, match="flag_on"):
        propose(
            BOOK,
            benefit=np.ones(2, np.int32),
            status=np.ones(2, np.int32),
            flags=np.zeros(2, np.uint32),
            decided_on=np.zeros(2, np.int32),
            flag_on=np.zeros((1, FLAG_SLOTS), np.int32),
            as_of_on=20_000,
        )


def days(*values):
    return np.array([civil(v) for v in values], np.int32)


def fen(*values):
    return np.array(values, np.int64)


def test_months_from_the_effective_month_on_are_overpaid_less_the_personal_account():
    found = overpaid(
        days("2026-02-01", "2026-02-01", None, "2026-06-01", "2026-01-01"),
        days("2026-05-15", "2026-02-28", "2026-05-01", "2026-05-01", None),
        fen(345_678, 100, 100, 100, 100),
        fen(1_000_000, 500, 0, 0, 0),
    )
    assert found.months.tolist() == [4, 1, 0, 0, 0]
    assert found.gross.tolist() == [1_382_712, 100, 0, 0, 0]
    assert found.offset.tolist() == [1_000_000, 100, 0, 0, 0]
    assert found.net.tolist() == [382_712, 0, 0, 0, 0]


def test_payments_that_changed_are_added_up_as_they_were():
    found = overpaid_by_month(
        days("2026-02-01", None),
        np.array([0, 0, 0, 0, 1], np.int32),
        days("2026-01-10", "2026-02-10", "2026-02-20", "2026-04-10", "2026-04-10"),
        fen(100, 200, 5, 300, 900),
        fen(5, 0),
    )
    assert found.months.tolist() == [2, 0]
    assert found.gross.tolist() == [505, 0]
    assert found.net.tolist() == [500, 0]


@given(st.lists(st.tuples(st.integers(-40, 40), st.integers(0, 10**9), st.integers(0, 10**9)), min_size=1, max_size=20))
@settings(max_examples=60, deadline=None)
def test_both_ways_of_counting_agree_to_the_fen(people):
    start = np.datetime64("2024-01", "M")
    effective = np.array([(start.astype("M8[D]") - np.datetime64(0, "D")).astype(int)] * len(people), np.int32)
    last = [start + np.timedelta64(months, "M") for months, _, _ in people]
    monthly = fen(*(amount for _, amount, _ in people))
    account = fen(*(amount for _, _, amount in people))
    paid_until = np.array([m.astype("M8[D]").astype(int) for m in last], np.int32)
    at_once = overpaid(effective, paid_until, monthly, account)
    rows = [
        (i, (start + np.timedelta64(k, "M")).astype("M8[D]").astype(int), int(monthly[i]))
        for i, (months, _, _) in enumerate(people)
        for k in range(-3, months + 1)
    ]
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    singly = overpaid_by_month(
        effective, np.array(columns[0], np.int32), np.array(columns[1], np.int32), fen(*columns[2]), account
    )
    for name in ("months", "gross", "offset", "net"):
        assert getattr(at_once, name).tolist() == getattr(singly, name).tolist()
    assert (at_once.net + at_once.offset == at_once.gross).all()
    assert (at_once.net >= 0).all()


@pytest.mark.parametrize("amount", [-1, MAX_FEN + 1])
def test_impossible_amounts_are_refused(amount):
    with pytest.raises(RefusedError):
        overpaid(days("2026-02-01"), days("2026-03-01"), fen(amount), fen(0))
    with pytest.raises(RefusedError):
        overpaid(days("2026-02-01"), days("2026-03-01"), fen(1), fen(amount))


def test_a_payment_to_nobody_is_refused():
    with pytest.raises(RefusedError):
        overpaid_by_month(days("2026-02-01"), np.array([1], np.int32), days("2026-03-01"), fen(1), fen(0))
