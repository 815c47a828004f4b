"""Sentences, remarriage, age, moves; DOMAIN section 5, numbers 10, 11, 12 and 13."""

import pytest
from rules_world import DEPENDANT, EMPLOYEE, UNEMPLOYMENT, WORK_INJURY, graded, row

from wugan.adapter.v1 import vocabulary_pb2 as words

FIXED, LIFE = words.PENALTY_KIND_FIXED_TERM, words.PENALTY_KIND_LIFE
SENTENCED = row("SENTENCE", "2023-12-20", detail=FIXED, since="2024-01-01", until="2027-12-31")
IMPRISONED = row("IMPRISONED", "2024-02-01", since="2024-02-01", until="2027-12-31")
COMMUTED = row("COMMUTATION", "2025-06-01", until="2026-12-31")
PAROLED = row("PAROLE", "2026-03-01", since="2026-03-10")
MEDICAL = row("MEDICAL_RELEASE", "2025-01-01", since="2025-01-10", until="2025-12-31")
OPEN_MEDICAL = row("MEDICAL_RELEASE", "2025-01-01", since="2025-01-10")
RELEASED_LATER = row("RELEASE", "2026-05-10", since="2026-05-10")
RELEASED = row("RELEASE", "2026-04-01", since="2026-04-02")


@pytest.mark.parametrize(
    ("rows", "as_of", "flags"),
    [
        ([SENTENCED], "2023-12-31", set()),
        ([SENTENCED], "2024-01-01", {"IMPRISONED"}),
        ([SENTENCED], "2027-12-31", {"IMPRISONED"}),
        ([SENTENCED], "2028-01-01", set()),
        ([SENTENCED, IMPRISONED, COMMUTED], "2026-12-31", {"IMPRISONED"}),
        ([SENTENCED, IMPRISONED, COMMUTED], "2027-01-01", set()),
        ([SENTENCED, IMPRISONED, COMMUTED], "2025-05-31", {"IMPRISONED"}),
        ([SENTENCED, IMPRISONED, PAROLED], "2026-03-09", {"IMPRISONED"}),
        ([SENTENCED, IMPRISONED, PAROLED], "2026-03-10", {"PAROLED"}),
        ([SENTENCED, IMPRISONED, COMMUTED, PAROLED], "2027-01-01", set()),
        ([SENTENCED, MEDICAL], "2025-06-01", {"MEDICAL_RELEASE"}),
        ([SENTENCED, MEDICAL], "2026-01-01", {"IMPRISONED"}),
        ([SENTENCED, RELEASED], "2026-04-01", {"IMPRISONED"}),
        ([SENTENCED, RELEASED], "2026-04-02", set()),
        (
            [SENTENCED, PAROLED, row("RETURNED_TO_PRISON", "2026-05-01", since="2026-05-01")],
            "2026-05-20",
            {"IMPRISONED"},
        ),
        ([PAROLED], "2026-05-20", {"PAROLED"}),
        ([row("SENTENCE", "2010-01-01", detail=LIFE, since="2010-01-01")], "2060-01-01", {"IMPRISONED"}),
        (
            [
                row("SENTENCE", "2010-01-01", detail=LIFE, since="2010-01-01"),
                row("COMMUTATION", "2014-01-01", until="2030-06-30"),
            ],
            "2030-07-01",
            set(),
        ),
        (
            [
                row(
                    "SENTENCE",
                    "2025-01-01",
                    detail=words.PENALTY_KIND_SUSPENDED_SENTENCE,
                    since="2025-01-01",
                    until="2028-01-01",
                )
            ],
            "2026-01-01",
            set(),
        ),
        (
            [
                row(
                    "SENTENCE",
                    "2025-01-01",
                    detail=words.PENALTY_KIND_PUBLIC_SURVEILLANCE,
                    since="2025-01-01",
                    until="2027-01-01",
                )
            ],
            "2026-01-01",
            set(),
        ),
        ([row("SENTENCE", "2025-01-01", since="2025-01-01", until="2028-01-01")], "2026-01-01", set()),
        ([row("DETAINED", "2026-01-01", since="2026-01-01")], "2026-05-01", {"DETAINED"}),
        ([row("DETAINED", "2026-01-01", since="2026-01-01", until="2026-02-01")], "2026-05-01", set()),
        ([row("DETAINED", "2023-11-01", since="2023-11-01"), SENTENCED], "2026-05-01", {"IMPRISONED"}),
        (
            [SENTENCED, RELEASED, row("SENTENCE", "2026-05-01", detail=FIXED, since="2026-05-01", until="2030-01-01")],
            "2026-05-02",
            {"IMPRISONED"},
        ),
        # 判二缓三, then released early in the archives of an earlier term: the earlier term does not come back
        ([SENTENCED, RELEASED, COMMUTED], "2026-05-02", set()),
        # released on parole while outside for treatment: the end of the treatment does not put the parolee back
        (
            [SENTENCED, row("MEDICAL_RELEASE", "2026-01-01", since="2026-01-01", until="2026-04-01"), PAROLED],
            "2026-05-01",
            {"PAROLED"},
        ),
        ([SENTENCED, IMPRISONED, PAROLED], "2027-12-31", {"PAROLED"}),
        ([SENTENCED, IMPRISONED, PAROLED], "2028-01-01", set()),
        ([SENTENCED, MEDICAL], "2025-01-09", {"IMPRISONED"}),
        ([SENTENCED, MEDICAL], "2025-01-10", {"MEDICAL_RELEASE"}),
        ([SENTENCED, MEDICAL], "2025-12-31", {"MEDICAL_RELEASE"}),
        ([SENTENCED, OPEN_MEDICAL], "2027-12-31", {"MEDICAL_RELEASE"}),
        ([SENTENCED, OPEN_MEDICAL], "2028-01-01", set()),
        # the newer of parole and treatment counts, parole where both begin on one day
        ([SENTENCED, OPEN_MEDICAL, PAROLED], "2026-05-20", {"PAROLED"}),
        (
            [SENTENCED, PAROLED, row("MEDICAL_RELEASE", "2026-04-01", since="2026-04-01")],
            "2026-05-20",
            {"MEDICAL_RELEASE"},
        ),
        ([SENTENCED, PAROLED, row("MEDICAL_RELEASE", "2026-03-10", since="2026-03-10")], "2026-05-20", {"PAROLED"}),
        ([SENTENCED, MEDICAL, RELEASED], "2026-05-20", set()),
        ([row("PAROLE", "2026-03-01", since="2026-03-10", detail=FIXED)], "2026-05-20", {"PAROLED"}),
        ([SENTENCED, IMPRISONED, row("DETAINED", "2026-05-01", since="2026-05-01")], "2026-05-20", {"IMPRISONED"}),
        ([SENTENCED, RELEASED, row("DETAINED", "2026-05-01", since="2026-05-01")], "2026-05-20", {"DETAINED"}),
        ([row("DETAINED", "2026-05-01", since="2026-05-01", until="2026-05-20")], "2026-05-20", {"DETAINED"}),
        ([row("DETAINED", "2026-05-01", since="2026-05-01"), RELEASED_LATER], "2026-05-20", set()),
        # sentenced, commuted, then paroled
        ([SENTENCED, IMPRISONED, COMMUTED, PAROLED], "2026-12-31", {"PAROLED"}),
        # a judgment without a kind of penalty ends the detention, and puts nobody into prison
        ([row("DETAINED", "2026-01-01", since="2026-01-01"), row("SENTENCE", "2026-02-01")], "2026-05-20", set()),
        # a statement that does not say when the term ends leaves it as it was
        ([SENTENCED, row("IMPRISONED", "2024-02-01", since="2024-02-01")], "2028-01-01", set()),
        ([SENTENCED, row("COMMUTATION", "2025-06-01")], "2027-12-31", {"IMPRISONED"}),
        ([SENTENCED, row("COMMUTATION", "2025-06-01")], "2028-01-01", set()),
        # and of an earlier sentence, from which there was a release, it says nothing
        ([SENTENCED, RELEASED, row("IMPRISONED", "2026-05-01", since="2026-05-01")], "2028-01-01", {"IMPRISONED"}),
        # the newest statement counts, whichever kind it is of
        ([SENTENCED, COMMUTED, row("IMPRISONED", "2026-02-01", until="2028-06-30")], "2028-06-30", {"IMPRISONED"}),
        ([SENTENCED, COMMUTED, row("IMPRISONED", "2024-02-01", until="2028-06-30")], "2027-01-01", set()),
        ([SENTENCED, COMMUTED, row("COMMUTATION", "2026-02-01", until="2026-08-31")], "2026-09-01", set()),
        ([row("DETAINED", "2026-05-01", since="2026-05-01", detail=FIXED)], "2026-05-20", {"DETAINED"}),
        ([row("DETAINED", "2026-05-01", since="2026-06-01")], "2026-05-20", set()),
        # a sentence that is to be served later moves nobody yet
        ([row("SENTENCE", "2026-05-01", detail=FIXED, since="2026-06-01", until="2027-06-01")], "2026-05-20", set()),
    ],
)
def test_case_10_where_a_convict_is_on_a_day(rows, as_of, flags):
    assert graded(*rows, as_of=as_of).flags == flags


def test_case_10_the_day_told_is_the_first_of_this_time_in_prison():
    assert graded(SENTENCED, IMPRISONED).told("IMPRISONED")[2] == "2024-01-01"
    returned = row("RETURNED_TO_PRISON", "2026-05-01", since="2026-05-01")
    assert graded(SENTENCED, IMPRISONED, PAROLED, returned).told("IMPRISONED")[2] == "2026-05-01"
    assert graded(SENTENCED, MEDICAL).told("IMPRISONED")[2] == "2026-01-01"
    early = row("RETURNED_TO_PRISON", "2025-06-01", since="2025-06-01")
    assert graded(SENTENCED, MEDICAL, early, as_of="2025-07-01").told("IMPRISONED")[2] == "2025-06-01"
    assert graded(SENTENCED, OPEN_MEDICAL, early).told("IMPRISONED")[2] == "2025-06-01"
    commuted = row("COMMUTATION", "2026-03-20", until="2027-06-30")
    assert graded(SENTENCED, PAROLED, commuted, returned).told("IMPRISONED")[2] == "2026-05-01"
    again = row("SENTENCE", "2026-05-01", detail=FIXED, since="2026-05-02", until="2030-01-01")
    assert graded(SENTENCED, RELEASED, again).told("IMPRISONED")[2] == "2026-05-02"
    assert graded(SENTENCED, MEDICAL, as_of="2025-06-01").told("MEDICAL_RELEASE")[2] == "2025-01-10"
    assert graded(SENTENCED, PAROLED).told("PAROLED")[2] == "2026-03-10"
    assert graded(row("DETAINED", "2026-05-03", since="2026-05-01")).told("DETAINED")[2] == "2026-05-01"


def test_case_10_how_the_term_moved_and_ended_is_told():
    moved = graded(SENTENCED, IMPRISONED, COMMUTED)
    assert moved.told("TERM_MOVED")[2] == "2026-12-31"
    assert moved.codes == {"IMPRISONED", "TERM_MOVED", "NO_TRACES"}
    assert graded(SENTENCED, IMPRISONED).codes == {"IMPRISONED", "NO_TRACES"}
    ended = graded(SENTENCED, IMPRISONED, COMMUTED, as_of="2027-01-01")
    assert ended.told("TERM_ENDED")[2] == "2026-12-31"
    assert ended.codes == {"TERM_ENDED", "NO_TRACES"}
    assert graded(COMMUTED, as_of="2027-01-01").codes == {"NO_TRACES"}
    released = graded(SENTENCED, RELEASED)
    assert released.told("RELEASED")[2] == "2026-04-02"
    assert released.codes == {"RELEASED", "NO_TRACES"}
    again = row("SENTENCE", "2026-05-01", detail=FIXED, since="2026-05-01", until="2030-01-01")
    assert graded(SENTENCED, RELEASED, again).codes == {"IMPRISONED", "NO_TRACES"}


def test_case_10_a_suspended_sentence_is_told_while_it_runs():
    sentence = row(
        "SENTENCE", "2025-01-01", detail=words.PENALTY_KIND_SUSPENDED_SENTENCE, since="2025-01-03", until="2026-05-20"
    )
    assert graded(sentence, as_of="2026-05-20").told("NOT_IN_PRISON")[2] == "2025-01-03"
    assert graded(sentence, as_of="2026-05-21").codes == {"NO_TRACES"}
    held = row("DETAINED", "2024-11-01", since="2024-11-01")
    assert graded(sentence, held, as_of="2026-05-20").codes == {"NOT_IN_PRISON", "NO_TRACES"}
    assert graded(sentence, as_of="2025-01-02").codes == {"NO_TRACES"}
    assert graded(row("SENTENCE", "2025-01-01"), row("SENTENCE", "2025-01-01")).told("PENALTY_NOT_STATED")[2]


def test_nothing_penal_is_told_to_a_benefit_that_does_not_depend_on_it():
    for rows in ([SENTENCED], [SENTENCED, RELEASED], [row("SENTENCE", "2025-01-01")], [SENTENCED, COMMUTED]):
        assert graded(*rows, benefit=0).codes == {"NO_TRACES"}
    assert graded(row("DETAINED", 10), benefit=WORK_INJURY).codes == {"NO_TRACES"}


def test_case_10_a_suspended_sentence_is_told_as_what_it_is():
    sentence = row(
        "SENTENCE", "2025-01-01", detail=words.PENALTY_KIND_SUSPENDED_SENTENCE, since="2025-01-01", until="2028-01-01"
    )
    assert "NOT_IN_PRISON" in graded(sentence).codes
    assert "PENALTY_NOT_STATED" in graded(row("SENTENCE", "2025-01-01")).codes


def test_an_answer_about_a_prisoner_ends_with_the_term():
    found = graded(row("IMPRISONED", "2024-02-01", since="2024-02-01", until="2026-05-30"))
    assert found.valid_until == "2026-05-30"


@pytest.mark.parametrize(
    ("rows", "until"),
    [
        ([row("SENTENCE", "2026-05-20", detail=FIXED, since="2026-06-02", until="2029-01-01")], "2026-06-01"),
        ([IMPRISONED, row("RELEASE", "2026-05-20", since="2026-06-02")], "2026-06-01"),
        ([IMPRISONED, row("PAROLE", "2026-05-20", since="2026-05-28")], "2026-05-27"),
        ([IMPRISONED, row("MEDICAL_RELEASE", "2026-05-20", since="2026-06-02", until="2026-09-01")], "2026-06-01"),
        ([IMPRISONED, row("MEDICAL_RELEASE", "2026-05-20", since="2026-05-20", until="2026-05-31")], "2026-05-31"),
        ([IMPRISONED, PAROLED, row("COMMUTATION", "2026-03-20", until="2026-05-29")], "2026-05-29"),
        ([row("DETAINED", "2026-05-20", since="2026-05-20", until="2026-05-30")], "2026-05-30"),
        ([row("DETAINED", "2026-05-20", since="2026-05-20")], "2026-06-03"),
        ([IMPRISONED], "2026-06-03"),
        ([row("IMPRISONED", "2026-05-20", since="2026-05-27")], "2026-06-03"),
        ([IMPRISONED, row("RELEASE", "2026-05-20", since="2026-07-20")], "2026-06-03"),
    ],
)
def test_an_answer_ends_before_the_next_change_that_is_known(rows, until):
    assert graded(*rows).valid_until == until


def test_imprisonment_matters_only_to_benefits_that_depend_on_it():
    assert graded(SENTENCED, benefit=EMPLOYEE).flags == {"IMPRISONED"}
    assert graded(SENTENCED, benefit=0).flags == set()
    assert graded(row("DETAINED", 10, since="2026-05-01"), benefit=WORK_INJURY).flags == set()


def test_case_11_remarriage_ends_and_a_later_divorce_does_not_restore():
    married, divorced = row("MARRIAGE", "2025-08-31", "CIVIL_AFFAIRS", region=510100), row("DIVORCE", "2026-01-01")
    found = graded(married, divorced, benefit=DEPENDANT)
    assert found.flags == {"REMARRIED"}
    assert found.told("REMARRIED")[2] == "2025-08-31"
    assert found.told("DIVORCE_DOES_NOT_RESTORE")[2] == "2026-01-01"
    assert found.told("REMARRIED")[3] == 0
    twice = graded(married, row("MARRIAGE", "2025-12-01"), divorced, row("DIVORCE", "2025-10-01"), benefit=DEPENDANT)
    assert twice.told("DIVORCE_DOES_NOT_RESTORE")[2] == "2026-01-01"
    between = graded(married, row("MARRIAGE", "2026-02-01"), row("DIVORCE", "2025-10-01"), benefit=DEPENDANT)
    assert between.told("DIVORCE_DOES_NOT_RESTORE")[2] == "2025-10-01"
    assert "DIVORCE_DOES_NOT_RESTORE" in graded(married, row("DIVORCE", "2025-08-31"), benefit=DEPENDANT).codes
    assert "DIVORCE_DOES_NOT_RESTORE" not in graded(married, row("DIVORCE", "2025-08-30"), benefit=DEPENDANT).codes
    assert graded(married, benefit=EMPLOYEE).flags == set()
    assert graded(married, benefit=EMPLOYEE).codes == {"NO_TRACES"}


@pytest.mark.parametrize(
    ("kind", "benefit", "days"), [("MARRIAGE", DEPENDANT, 3650), ("RE_EMPLOYMENT", UNEMPLOYMENT, 730)]
)
def test_how_far_back_a_fact_counts(kind, benefit, days):
    assert graded(row(kind, days), benefit=benefit).flags
    assert not graded(row(kind, days + 1), benefit=benefit).flags


def test_the_marriage_to_the_deceased_worker_is_too_old_to_be_a_second_one():
    assert graded(row("MARRIAGE", "1988-01-01"), benefit=DEPENDANT).flags == set()


@pytest.mark.parametrize(
    ("born", "as_of", "aged"),
    [
        ("2008-05-27", "2026-05-26", False),
        ("2008-05-27", "2026-05-27", True),
        ("2008-02-29", "2026-02-28", False),
        ("2008-02-29", "2026-03-01", True),
        ("2008-01-31", "2026-01-31", True),
        ("2001-05-28", "2026-05-27", True),
        ("2001-05-27", "2026-05-27", False),
        ("1950-01-01", "2026-05-27", False),
        (None, "2026-05-27", False),
    ],
)
def test_case_13_a_dependant_comes_of_age(born, as_of, aged):
    found = graded(row("RAIL_TRAVEL", "2026-01-01"), benefit=DEPENDANT, born=born, as_of=as_of)
    assert ("AGED_OUT" in found.flags) is aged
    assert "AGED_OUT" not in graded(benefit=EMPLOYEE, born=born, as_of=as_of).flags


def test_case_13_an_answer_about_a_child_ends_before_the_birthday():
    found = graded(row("RAIL_TRAVEL", 1), row("OUTPATIENT", 1), benefit=DEPENDANT, born="2008-06-05")
    assert found.valid_until == "2026-06-04"
    today = graded(benefit=DEPENDANT, born="2008-05-27")
    assert (today.flags, today.valid_until) == ({"AGED_OUT"}, "2026-06-03")
    aged = graded(benefit=DEPENDANT, born="2008-02-29")
    assert aged.told("AGED_OUT")[2:] == ("2026-03-01", 18)


@pytest.mark.parametrize(
    ("moves", "moved"),
    [
        ([row("RESIDENCE_MOVED", 50, region=330700, detail=510100)], True),
        ([row("HOUSEHOLD_MOVED", 50, region=330700, detail=330100)], False),
        (
            [
                row("RESIDENCE_MOVED", 90, region=330700, detail=510100),
                row("RESIDENCE_MOVED", 20, region=510100, detail=330200),
            ],
            False,
        ),
        (
            [
                row("RESIDENCE_MOVED", 90, region=330700, detail=330100),
                row("RESIDENCE_MOVED", 20, region=330100, detail=440100),
            ],
            True,
        ),
        ([row("RESIDENCE_MOVED", 50, region=330000, detail=330100)], False),
        ([row("RESIDENCE_MOVED", 50, region=330100, detail=330000)], False),
        ([row("RESIDENCE_MOVED", 50, region=0, detail=510100)], False),
        ([row("RESIDENCE_MOVED", 50, region=330700, detail=0)], False),
    ],
)
def test_case_12_a_move_to_another_province_is_told(moves, moved):
    found = graded(*moves)
    assert ("MOVED" in found.flags) is moved
    if moved:
        assert found.told("MOVED")[3] == moves[-1].detail
    elsewhere = graded(*moves, benefit=0)
    assert (elsewhere.flags, elsewhere.codes) == (set(), {"NO_TRACES"})


def test_work_ends_unemployment_benefit_but_not_the_work_it_was_earned_by():
    assert graded(row("RE_EMPLOYMENT", 30), benefit=UNEMPLOYMENT).flags == {"RE_EMPLOYED"}
    assert graded(row("RE_EMPLOYMENT", 3000), benefit=UNEMPLOYMENT).flags == set()
    assert graded(row("RE_EMPLOYMENT", 30), benefit=EMPLOYEE).flags == set()


def test_other_facts_are_told_with_their_day_and_place():
    found = graded(
        row("DUPLICATE_BENEFIT", "2026-02-02", detail=440100), row("EMIGRATED", "2026-03-03"), row("ACCOUNT_CLOSED", 3)
    )
    assert found.flags == {"DUPLICATE_BENEFIT", "EMIGRATED"}
    assert found.told("DUPLICATE_BENEFIT")[2:] == ("2026-02-02", 440100)
    assert found.told("ACCOUNT_FROZEN_OR_CLOSED")[1::2] == ("ACCOUNT_CLOSED", 0)
    assert graded(row("ADOPTION", 30), benefit=DEPENDANT).flags == {"ADOPTED"}
