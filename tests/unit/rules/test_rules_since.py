"""Since when a benefit is paid: what of before does not count, what of long ago does, and what is asked where it is not
known; DOMAIN sections 4 and 5."""

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rules_world import (
    BOOK,
    DEPENDANT,
    EMPLOYEE,
    TODAY,
    UNEMPLOYMENT,
    Row,
    as_date,
    civil,
    evidence,
    flag_bits,
    graded,
    graded_batch,
    row,
)

from gateway.rules.book import FLAG_SLOTS
from gateway.rules.certification import FlagDays, flag_days, propose, start_not_used, start_unknown
from gateway.rules.disclosure import minimise
from gateway.rules.kinds import FLAGS
from gateway.rules.living import grade_living
from wugan.federation.v1 import vocabulary_pb2 as words

SEEN = (row("RAIL_TRAVEL", 3), row("OUTPATIENT", 5))


def outcome(rows: tuple[Row, ...], benefit: int, born: str | None, since: str | None) -> tuple[set[str], str, str]:
    """Flags, what is proposed, and the first month without entitlement; of a person who is seen."""
    grades = graded_batch([(*SEEN, *rows)], benefit=benefit, born=born, benefit_since=since)
    starts = np.array([civil(since)], np.int32)
    found = propose(
        BOOK,
        benefit=np.array([benefit], np.int32),
        status=grades.status,
        flags=grades.flags,
        decided_on=grades.decided_on,
        flag_on=flag_days(BOOK, grades.reasons, starts),
        as_of_on=civil(TODAY),
        entitled_since_on=starts,
    )
    name = words.CertificationStatus.Name(int(found.status[0])).removeprefix("CERTIFICATION_STATUS_")
    raised = {name for name, number in FLAGS.items() if int(grades.flags[0]) >> number & 1}
    return raised, name, as_date(found.effective_on[0])


STOPPED, LOOKED_AT, FINE = "STOP_PROPOSED", "SUSPECT", "CERTIFIED"


@pytest.mark.parametrize(
    ("rows", "benefit", "born", "since", "flags", "proposal", "effective"),
    [
        # a widow whose only marriage is the one to the deceased worker
        ((row("MARRIAGE", "2018-05-01"),), DEPENDANT, "1960-01-01", "2020-03-01", set(), FINE, ""),
        ((row("MARRIAGE", "2018-05-01"),), DEPENDANT, "1960-01-01", None, {"REMARRIED"}, LOOKED_AT, ""),
        # remarried: on the first day, later, and more than ten years ago
        ((row("MARRIAGE", "2020-03-01"),), DEPENDANT, "1960-01-01", "2020-03-01", {"REMARRIED"}, STOPPED, "2020-04-01"),
        ((row("MARRIAGE", "2020-02-29"),), DEPENDANT, "1960-01-01", "2020-03-01", set(), FINE, ""),
        ((row("MARRIAGE", "2012-06-30"),), DEPENDANT, "1960-01-01", "2010-03-01", {"REMARRIED"}, STOPPED, "2012-07-01"),
        ((row("MARRIAGE", "2012-06-30"),), DEPENDANT, "1960-01-01", None, set(), FINE, ""),
        # both marriages
        (
            (row("MARRIAGE", "1984-05-01"), row("MARRIAGE", "2019-06-30")),
            DEPENDANT,
            "1960-01-01",
            "2010-03-01",
            {"REMARRIED"},
            STOPPED,
            "2019-07-01",
        ),
        # a divorce restores nothing
        (
            (row("MARRIAGE", "2019-06-30"), row("DIVORCE", "2021-06-30")),
            DEPENDANT,
            "1960-01-01",
            "2010-03-01",
            {"REMARRIED"},
            STOPPED,
            "2019-07-01",
        ),
        # a marriage whose day nobody has: it may be the one of before
        (
            (row("MARRIAGE", None, known="2026-01-01"),),
            DEPENDANT,
            "1960-01-01",
            "2010-03-01",
            {"REMARRIED"},
            LOOKED_AT,
            "",
        ),
        ((row("MARRIAGE", None, known="2009-01-01"),), DEPENDANT, "1960-01-01", "2010-03-01", set(), FINE, ""),
        # adopted by the deceased worker, or by somebody else since
        ((row("ADOPTION", "2015-01-01"),), DEPENDANT, "2012-01-01", "2020-03-01", set(), FINE, ""),
        ((row("ADOPTION", "2021-01-01"),), DEPENDANT, "2012-01-01", "2020-03-01", {"ADOPTED"}, STOPPED, "2021-02-01"),
        ((row("ADOPTION", "2021-01-01"),), DEPENDANT, "2012-01-01", None, {"ADOPTED"}, LOOKED_AT, ""),
        # the work by which unemployment benefit was earned; work of three years ago, under which it went on
        ((row("RE_EMPLOYMENT", "2025-01-01"),), UNEMPLOYMENT, "1980-01-01", "2025-09-01", set(), FINE, ""),
        (
            (row("RE_EMPLOYMENT", "2026-01-01"),),
            UNEMPLOYMENT,
            "1980-01-01",
            "2025-09-01",
            {"RE_EMPLOYED"},
            STOPPED,
            "2026-02-01",
        ),
        (
            (row("RE_EMPLOYMENT", "2023-01-10"),),
            UNEMPLOYMENT,
            "1980-01-01",
            "2022-09-01",
            {"RE_EMPLOYED"},
            STOPPED,
            "2023-02-01",
        ),
        ((row("RE_EMPLOYMENT", "2025-01-01"),), UNEMPLOYMENT, "1980-01-01", None, {"RE_EMPLOYED"}, LOOKED_AT, ""),
        # age: a child who came of age since; one who was of age before; a child's benefit that goes on at 26 and at 40
        ((), DEPENDANT, "2007-01-15", "2015-03-01", {"AGED_OUT"}, STOPPED, "2025-02-01"),
        ((), DEPENDANT, "2007-01-15", None, {"AGED_OUT"}, STOPPED, "2025-02-01"),
        ((), DEPENDANT, "2007-01-15", "2025-01-15", {"AGED_OUT"}, STOPPED, "2025-02-01"),
        ((), DEPENDANT, "2007-01-15", "2025-01-16", set(), FINE, ""),
        ((), DEPENDANT, "2000-01-15", "2010-03-01", {"AGED_OUT"}, LOOKED_AT, ""),
        ((), DEPENDANT, "1986-01-15", "1990-03-01", {"AGED_OUT"}, LOOKED_AT, ""),
        ((), DEPENDANT, "2000-01-15", "2022-03-01", set(), FINE, ""),
        ((), DEPENDANT, "2000-01-15", None, set(), FINE, ""),
        ((), DEPENDANT, "1950-01-15", "2010-03-01", set(), FINE, ""),
        # a start of before the birth is none
        ((), DEPENDANT, "1990-01-15", "1985-03-01", set(), FINE, ""),
        # what does not concern the benefit, and what lasts
        ((row("MARRIAGE", "2022-05-01"),), EMPLOYEE, "1960-01-01", None, set(), FINE, ""),
        (
            (row("IMPRISONED", "2024-01-01", since="2024-01-01", until="2027-12-31"),),
            DEPENDANT,
            "1960-01-01",
            "2025-01-01",
            {"IMPRISONED"},
            STOPPED,
            "2025-01-01",
        ),
    ],
)
def test_what_a_fact_does_by_the_start_of_the_benefit(rows, benefit, born, since, flags, proposal, effective):
    assert outcome(rows, benefit, born, since) == (flags, proposal, effective)


def test_a_child_benefit_long_after_the_age_is_told_of_where_the_start_is_not_known():
    def told(born, since=None, benefit=DEPENDANT):
        return "CHILD_BENEFIT_POSSIBLE" in graded(*SEEN, benefit=benefit, born=born, benefit_since=since).codes

    assert told("2000-01-15")
    assert told("1972-01-15")
    assert not told("1970-01-15")  # 56: may draw as a widow or mother
    assert not told("2007-01-15")  # flagged
    assert not told("2010-01-15")  # a child
    assert not told("2000-01-15", since="2010-03-01")
    assert not told("2000-01-15", since="2022-03-01")
    assert not told("2000-01-15", benefit=EMPLOYEE)


def test_what_is_told_without_columns_is_what_is_told_in_them():
    rows = evidence([each.of(0) for each in SEEN])
    for born, since, plain in [
        ("2000-01-15", None, False),
        ("1950-01-15", None, True),
        ("1950-01-15", "1960-01-01", False),
    ]:
        found = grade_living(
            BOOK, rows, benefit=DEPENDANT, born_on=civil(born), as_of_on=civil(0), since_on=civil(since)
        )
        assert (found is not None) == plain, (born, since)


def test_what_does_not_count_is_not_disclosed_and_what_counts_is():
    before, since, long_ago = (
        row("MARRIAGE", "2009-05-01"),
        row("MARRIAGE", "2024-05-01"),
        row("MARRIAGE", "2012-05-01"),
    )
    rows = evidence([each.of(0) for each in (before, since, long_ago)])

    def shown(start):
        found = minimise(
            BOOK,
            1,
            rows,
            benefit=np.array([DEPENDANT], np.int32),
            flags=np.array([flag_bits("REMARRIED")], np.uint32),
            decided_on=np.zeros(1, np.int32),
            as_of_on=civil(0),
            limit=10,
            since_on=None if start is None else np.array([civil(start)], np.int32),
        )
        return [as_date(day) for day in found.observed_on.tolist()]

    assert shown(None) == ["2024-05-01"]
    assert shown("2010-03-01") == ["2024-05-01", "2012-05-01"]
    assert shown("2025-03-01") == []


def test_hearsay_of_before_the_start_is_not_told():
    lead = row("MARRIAGE", "2019-05-01", department="BANKS")
    assert "HEARSAY" in graded(*SEEN, lead, benefit=DEPENDANT).codes
    assert "HEARSAY" in graded(*SEEN, lead, benefit=DEPENDANT, benefit_since="2018-01-01").codes
    assert "HEARSAY" not in graded(*SEEN, lead, benefit=DEPENDANT, benefit_since="2020-01-01").codes


def test_the_starts_of_people_graded_together_are_their_own():
    person = (*SEEN, row("MARRIAGE", "2018-05-01"))
    grades = graded_batch([person] * 3, benefit=DEPENDANT, benefit_since=["2020-01-01", None, "2010-01-01"])
    married = flag_bits("REMARRIED")
    assert [int(flags) & married for flags in grades.flags] == [0, married, married]


def test_who_is_asked_about_again_with_the_start():
    flags = np.array([flag_bits("REMARRIED"), flag_bits("REMARRIED"), flag_bits("AGED_OUT"), 0], np.uint32)
    starts = np.array([0, 15_000, 0, 0], np.int32)
    benefit = np.full(4, DEPENDANT, np.int32)
    assert start_unknown(BOOK, benefit, flags, starts).tolist() == [True, False, False, False]
    assert not start_unknown(BOOK, np.full(4, EMPLOYEE, np.int32), flags, starts).any()
    assert not start_unknown(BOOK, np.full(4, 99, np.int32), flags, starts).any()


def test_who_leaves_out_what_is_long_ago_is_known_by_the_shortest_look_back():
    today = civil(0)

    def not_used(benefit: int, since_on: int) -> bool:
        return bool(start_not_used(BOOK, np.array([benefit], np.int32), np.array([since_on], np.int32), today)[0])

    assert not_used(DEPENDANT, today - 731)
    assert not not_used(DEPENDANT, today - 730)
    assert not not_used(EMPLOYEE, today - 9_000)
    assert not not_used(99, today - 9_000)


def test_days_of_several_answers_come_to_the_earliest_that_counts():
    one = graded_batch([[row("MARRIAGE", "2018-05-01")], []], benefit=DEPENDANT).reasons
    other = graded_batch([[row("MARRIAGE", "2023-05-01"), row("MARRIAGE", "2022-05-01")]], benefit=DEPENDANT).reasons
    starts = np.array([civil("2020-01-01"), 0, civil("2020-01-01")], np.int32)
    days = FlagDays(BOOK, starts)
    days.hear(one, np.array([2, 0]))
    days.hear(other, np.array([2]))
    found = days.result()
    assert found.shape == (3, FLAG_SLOTS)
    assert [as_date(day) for day in found[:, FLAGS["REMARRIED"]]] == ["", "", "2022-05-01"]


MARRIAGES = st.lists(st.integers(1, 9_000), max_size=4)


@given(MARRIAGES, st.integers(0, 9_000), st.integers(0, 9_000))
@settings(max_examples=150, deadline=None)
def test_a_later_start_never_makes_an_older_marriage_count(ages, one, other):
    early, late = sorted((one, other), reverse=True)  # days ago
    people = [(*SEEN, *[row("MARRIAGE", age) for age in ages])] * 2
    starts = [TODAY - timedelta(days=ago) for ago in (early, late)]
    grades = graded_batch(people, benefit=DEPENDANT, benefit_since=starts)
    days = flag_days(BOOK, grades.reasons, np.array([civil(each) for each in starts], np.int32))[:, FLAGS["REMARRIED"]]
    counted = [[age for age in ages if age <= ago] for ago in (early, late)]
    for place, mine in enumerate(counted):
        raised = bool(int(grades.flags[place]) & flag_bits("REMARRIED"))
        assert raised == bool(mine)
        assert int(days[place]) == (civil(max(mine)) if mine else 0)
    assert set(counted[1]) <= set(counted[0])
