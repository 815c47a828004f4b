"""Counting answers: what is incomplete, impossible, late or contradicted."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.contract import Found, Lookup, Subjects
from adapters.proposing.shapes import is_resident_number
from gateway.quality.counters import BEYOND, C, Counts, Key, empty, from_bytes, percentile, to_bytes, total
from gateway.quality.measuring import Answers, measure, month_of
from gateway.quality.report import readable
from tests.unit.quality.quality_world import (
    BOOK,
    CERTIFICATE,
    CREMATION,
    HANGZHOU,
    JINHUA,
    MONTH,
    OUTPATIENT,
    RAIL,
    SENTENCE,
    TODAY,
    about,
    found,
    lookup,
    number,
    row,
)
from wugan.adapter.v1 import vocabulary_pb2 as words
from wugan.federation.v1 import vocabulary_pb2 as federation_words

CIVIL = about(words.DEPARTMENT_CIVIL_AFFAIRS, CREMATION)
INSURANCE = about(words.DEPARTMENT_HEALTH_INSURANCE, OUTPATIENT)
HEALTH = about(words.DEPARTMENT_HEALTH, CERTIFICATE)
COURTS = about(words.DEPARTMENT_COURTS, SENTENCE)


def counted(*answers: Answers) -> Mapping[Key, Counts]:
    return measure(answers, BOOK, TODAY, 15).counts


def item(counts: Mapping[Key, Counts], kind: int, region: int = 330700) -> Counts:
    return next(row for key, row in counts.items() if (key.kind, key.region) == (kind, region))


def test_the_source_as_a_whole_is_counted_by_outcome_and_person() -> None:
    outcomes: list[Found | int] = [
        found(CIVIL, [row(0, CREMATION, TODAY - 9), row(2, CREMATION, TODAY - 9)]),
        federation_words.SOURCE_OUTCOME_SILENT,
    ]
    counts = counted(Answers(lookup(5), [CIVIL, INSURANCE], outcomes))
    mine, silent = (counts[Key(MONTH, one.adapter_id, one.department, 0, 0)] for one in (CIVIL, INSURANCE))
    assert [mine[place] for place in (C.LOOKUPS, C.ANSWERED, C.ASKED, C.KNOWN)] == [1, 1, 5, 2]
    assert [silent[place] for place in (C.LOOKUPS, C.ANSWERED, C.SILENT, C.ASKED)] == [1, 0, 1, 0]


def test_an_answer_that_does_not_fit_its_question_is_faulty_and_nothing_of_it_counts() -> None:
    stranger = found(CIVIL, [row(7, CREMATION, TODAY - 9)])
    counts = counted(Answers(lookup(3), [CIVIL], [stranger]))
    assert set(counts) == {Key(MONTH, CIVIL.adapter_id, CIVIL.department, 0, 0)}
    assert next(iter(counts.values()))[C.FAULTY] == 1


def test_a_source_that_can_read_nothing_about_anybody_asked_is_faulty() -> None:
    unreadable = np.array([0, 1], np.int32)
    counts = counted(Answers(lookup(2), [CIVIL], [Found(unreadable=unreadable)]))
    mine = next(iter(counts.values()))
    assert (mine[C.FAULTY], mine[C.ANSWERED], mine[C.ASKED]) == (1, 0, 0)
    counts = counted(Answers(lookup(3), [CIVIL], [Found(unreadable=unreadable)]))
    assert next(iter(counts.values()))[C.ANSWERED] == 1


@pytest.mark.parametrize(
    ("given_row", "places"),
    [
        (row(0, CREMATION, TODAY - 9), set()),
        (row(0, CREMATION, TODAY + 1, TODAY), {C.FUTURE, C.BEFORE_EVENT, C.INVALID}),
        (row(0, CREMATION, TODAY - 9, TODAY + 9), {C.FUTURE, C.INVALID}),
        (row(0, CREMATION, TODAY - 9, TODAY - 10), {C.BEFORE_EVENT, C.INVALID}),
        (row(0, CREMATION, 0, 0), {C.NO_DAY, C.NO_AVAILABLE}),
        (row(0, CREMATION, TODAY - 9, region=0), {C.NO_REGION}),
        (row(0, CREMATION, TODAY - 9, 0), {C.NO_AVAILABLE}),
        (row(0, CREMATION, TODAY - 9, region=990702), {C.BAD_REGION, C.INVALID}),
        (row(0, CREMATION, TODAY - 9, region=330002), {C.BAD_REGION, C.INVALID}),
        (row(0, CREMATION, TODAY - 9, TODAY - 3), {C.LATE}),
    ],
    ids=str,
)
def test_a_row_is_judged_by_its_days_and_place(given_row: dict[str, int], places: set[C]) -> None:
    counts = counted(Answers(lookup(1), [CIVIL], [found(CIVIL, [given_row])]))
    (mine,) = (held for key, held in counts.items() if key.kind)
    watched = (C.NO_DAY, C.NO_AVAILABLE, C.NO_REGION, C.FUTURE, C.BEFORE_EVENT, C.BAD_REGION, C.INVALID, C.LATE)
    assert {place for place in watched if mine[place]} == places


def test_what_happened_before_birth_cannot_be() -> None:
    child = normal_of("33070220200101001")
    question = Lookup(Subjects([child], [""]))
    early = found(CIVIL, [row(0, CREMATION, 18_000)])
    assert item(counted(Answers(question, [CIVIL], [early])), CREMATION)[C.BEFORE_BIRTH] == 1
    later = found(CIVIL, [row(0, CREMATION, 18_300)])
    assert item(counted(Answers(question, [CIVIL], [later])), CREMATION)[C.BEFORE_BIRTH] == 0


def normal_of(body: str) -> str:
    """The number with these 17 digits, by its check digit."""
    return next(body + last for last in "0123456789X" if is_resident_number(body + last))


def test_a_term_ends_after_it_begins_and_kinds_that_have_one_should_say_it() -> None:
    rows = [
        row(0, SENTENCE, TODAY - 400, from_on=TODAY - 400, until_on=TODAY),
        row(1, SENTENCE, TODAY - 400, from_on=TODAY, until_on=TODAY - 400),
        row(2, SENTENCE, TODAY - 400),
    ]
    mine = item(counted(Answers(lookup(3), [COURTS], [found(COURTS, rows)])), SENTENCE)
    assert [mine[place] for place in (C.TERMS, C.NO_TERM, C.BAD_TERM)] == [3, 1, 1]


def test_references_count_only_where_they_were_wanted() -> None:
    rows = [row(0, CREMATION, TODAY - 9)]
    wanted = Answers(lookup(1), [CIVIL], [found(CIVIL, rows, references="")])
    spared = Answers(lookup(1, references=False), [CIVIL], [found(CIVIL, rows, references="")])
    mine = item(counted(wanted, spared), CREMATION)
    assert [mine[place] for place in (C.ROWS, C.REFERENCES, C.NO_REFERENCE)] == [2, 1, 1]


def test_places_are_prefectures() -> None:
    rows = [row(0, CREMATION, TODAY - 9, region=region) for region in (HANGZHOU, JINHUA, JINHUA)]
    counts = counted(Answers(lookup(1), [CIVIL], [found(CIVIL, rows)]))
    assert {key.region: held[C.ROWS] for key, held in counts.items() if key.kind} == {330100: 1, 330700: 2}


def test_who_died_here_and_goes_to_the_doctor_there_is_told_at_both() -> None:
    died = TODAY - 100
    dead = found(CIVIL, [row(0, CREMATION, died), row(1, CREMATION, died)])
    alive = found(
        INSURANCE, [row(0, OUTPATIENT, died + 60), row(1, OUTPATIENT, died + 2), row(2, OUTPATIENT, died + 60)]
    )
    measured = measure([Answers(lookup(3), [CIVIL, INSURANCE], [dead, alive])], BOOK, TODAY, 15)
    assert item(measured.counts, CREMATION)[C.CONTRADICTED] == 1
    assert item(measured.counts, OUTPATIENT)[C.CONTRADICTED] == 1
    texts = [one.text for one in measured.examples if one.defect == C.CONTRADICTED]
    assert len(texts) == 2
    assert any("医保 门诊结算" in readable(text, "zh") for text in texts)
    assert any("civil affairs cremation 2026-08-15" in readable(text, "en") for text in texts)


def test_a_revoked_declaration_contradicts_nothing() -> None:
    revoked, declared = words.EVIDENCE_KIND_DEATH_DECLARATION_REVOKED, words.EVIDENCE_KIND_DECLARED_DEAD
    courts = about(words.DEPARTMENT_COURTS, declared, revoked)
    told = found(courts, [row(0, declared, TODAY - 900), row(0, revoked, TODAY - 300)])
    alive = found(INSURANCE, [row(0, OUTPATIENT, TODAY - 60)])
    counts = counted(Answers(lookup(1), [courts, INSURANCE], [told, alive]))
    assert all(held[C.CONTRADICTED] == 0 for held in counts.values())


def test_two_days_of_death_far_apart_are_told_at_both_departments() -> None:
    dead = found(CIVIL, [row(0, CREMATION, TODAY - 100), row(1, CREMATION, TODAY - 100)])
    certified = found(HEALTH, [row(0, CERTIFICATE, TODAY - 110), row(1, CERTIFICATE, TODAY - 160)])
    counts = counted(Answers(lookup(2), [CIVIL, HEALTH], [dead, certified]))
    assert item(counts, CREMATION)[C.DATES_DIFFER] == 1
    assert item(counts, CERTIFICATE)[C.DATES_DIFFER] == 1


def test_people_of_different_questions_are_never_taken_for_one() -> None:
    died = found(CIVIL, [row(0, CREMATION, TODAY - 100)])
    other = lookup(2)
    other.subjects.id_number.reverse()  # type: ignore[attr-defined]
    alive = found(INSURANCE, [row(1, OUTPATIENT, TODAY - 10)])
    first, second = Answers(lookup(1), [CIVIL], [died]), Answers(other, [INSURANCE], [alive])
    assert all(held[C.CONTRADICTED] == 0 for held in counted(first, second).values())


def test_examples_show_nobody() -> None:
    rows = [row(at, CREMATION, TODAY - 9, TODAY - 10) for at in range(50)]
    measured = measure([Answers(lookup(50), [CIVIL], [found(CIVIL, rows)])], BOOK, TODAY, 15)
    assert len(measured.examples) == 3, "a few, not all"
    for example in measured.examples:
        assert not any(number(at)[2:17] in example.text for at in range(50))
        assert "R12345678" not in example.text
        assert example.text.startswith("33***************")


DAYS = st.integers(-10, TODAY + 400)
ROWS = st.lists(
    st.builds(
        row,
        st.integers(0, 3),
        st.sampled_from([CREMATION, OUTPATIENT, RAIL, CERTIFICATE]),
        DAYS,
        DAYS,
        st.sampled_from([0, 1, 330700, JINHUA, HANGZHOU, 990000, 2**31 - 1]),
        from_on=DAYS,
        until_on=DAYS,
    ),
    max_size=8,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=4))
def test_counting_together_is_counting_apart_and_adding(batches: list[list[dict[str, int]]]) -> None:
    source = about(words.DEPARTMENT_HEALTH, CREMATION, OUTPATIENT, RAIL, CERTIFICATE)
    answers = [Answers(lookup(4), [source], [found(source, rows)]) for rows in batches]
    together = counted(*answers)
    apart: dict[Key, Counts] = {}
    for answer in answers:
        for key, counts in counted(answer).items():
            apart[key] = apart.get(key, empty()) + counts
    assert set(together) == set(apart)
    for key, counts in together.items():
        assert (counts == apart[key]).all(), key
        assert counts[C.TIMED] == counts[C.DELAY : C.DELAY + 16].sum()
        assert (counts >= 0).all()


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=60), st.integers(1, 100))
def test_a_percentile_is_the_end_of_the_class_that_reaches_it(days: list[int], percent: int) -> None:
    from gateway.quality.counters import classes

    counts = empty()
    np.add.at(counts, C.DELAY + classes(np.array(days, np.int32)), 1)
    told = percentile(counts, C.DELAY, percent)
    assert told is not None
    within = sum(day <= told for day in days)
    assert within * 100 >= percent * len(days)
    if told != BEYOND and told > 0:
        before = sum(classes(np.array([day], np.int32))[0] < classes(np.array([told], np.int32))[0] for day in days)
        assert before * 100 < percent * len(days)


def test_rows_are_kept_and_added_whatever_version_wrote_them() -> None:
    one = empty()
    one[[C.ROWS, C.AGE + 15]] = [7, 2**40]
    assert (from_bytes(to_bytes(one)) == one).all()
    assert from_bytes(to_bytes(one)[:104])[C.ROWS] == 7
    assert from_bytes(to_bytes(one) + bytes(80))[C.AGE + 15] == 2**40
    assert total([one, one])[C.ROWS] == 14


def test_months() -> None:
    assert month_of(TODAY) == MONTH
    assert month_of(0) == 197001
