"""One living person written without columns: the same findings, to the byte, as the columns come to; or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.contract import Evidence
from gateway.access.terms import EVERYTHING, Scope
from gateway.inquiry.findings import Part, Terms, column_of, since_of, write_findings
from gateway.inquiry.gathering import Gathered, SourceReport
from gateway.inquiry.plain import write_plain
from gateway.rules import RULES_FILE
from gateway.rules.book import RuleBook
from gateway.rules.grading import grade
from gateway.rules.kinds import DEPARTMENTS, FIRST_EVENT, KIND_SLOTS, KINDS, STRENGTHS
from gateway.rules.living import LAST_DAY, ROWS_AT_MOST
from gateway.rules.purposes import PURPOSES
from tests.unit.rules.rules_world import BOOK, EMPLOYEE, Row, civil, evidence, row
from wugan.adapter.v1 import vocabulary_pb2 as words
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as answer_words

MADE_AT_MS = 1_779_840_000_000
TRACES = sorted(name for name, number in KINDS.items() if number < FIRST_EVENT)
STRONG, MEDIUM = "anchor_strength: REAL_NAME, anchor_days: 90", "anchor_strength: REAL_NAME, anchor_days: 180"
CERTIFICATION = PURPOSES["CERTIFICATION"]


def book_with(*changes: tuple[str, str]) -> RuleBook:
    text = RULES_FILE.read_text("utf-8")
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    return RuleBook.parse(text.encode(), "changed")


BOOKS = [
    BOOK,
    book_with(
        (STRONG, "anchor_strength: IN_PERSON, anchor_days: 30"), (MEDIUM, "anchor_strength: WEAK, anchor_days: 365")
    ),
    book_with(("points: 300}", "points: 30}")),
    book_with(("  FACE_CHECK: {", "  FACE_CHECK: {valid_days: 100, ")),
    book_with(("one_source: {", "one_source: {OTHERS: [BANKS, TRANSPORT, HEALTH], ")),
]


def terms(purpose: int = CERTIFICATION, *, as_of_on: int = civil(0), limit: int = 5, not_alive: bool = False) -> Terms:
    return Terms(purpose, "law", as_of_on, limit, EVERYTHING, not_alive)


def part(benefit: int = EMPLOYEE, born_on: int = civil("1950-05-05")) -> Part:
    return Part(1, [0], [], ["n"], ["name"], np.array([benefit], np.int32), np.array([born_on], np.int32), [], [])


def gathered(rows: Sequence[Row] | Evidence) -> Gathered:
    report = SourceReport("one", words.DEPARTMENT_BANKS, answer_words.SOURCE_OUTCOME_ANSWERED, civil(1))
    no = np.zeros(1, np.bool_)
    found = rows if isinstance(rows, Evidence) else evidence(rows)
    return Gathered(found, np.ones(1, np.bool_), no, no, [], [], [], [report], plain=True)


def in_columns(book: RuleBook, asked: Terms, about: Part, found: Gathered) -> exchange_pb2.Findings:
    grades = grade(
        book,
        subjects=1,
        evidence=found.evidence,
        known=found.known,
        identity_conflict=found.identity_conflict,
        linked=found.linked,
        benefit=about.benefits,
        birth_on=about.born_on,
        as_of_on=asked.as_of_on,
        partial=found.partial,
    )
    (written,) = write_findings(book, asked, [about], found, grades, about.benefits, MADE_AT_MS)
    return written


def plainly(book: RuleBook, asked: Terms, about: Part, found: Gathered) -> exchange_pb2.Findings | None:
    return write_plain(book, asked, [about], found, MADE_AT_MS)


def trace(
    kind: str, ago: int, lag: int | None, department: str, strength: str, region: int, detail: int, reference: str
) -> Row:
    known = None if lag is None else max(ago - lag, 0)
    made = row(kind, ago, department, known=known, strength=strength, region=region, detail=detail)
    return replace(made, reference=reference)


ages = st.one_of(
    st.sampled_from([5, 6]),
    st.integers(0, 400),
    st.sampled_from([0, 1, 29, 30, 31, 89, 90, 91, 99, 100, 101, 179, 180, 181, 365]),
)
traces = st.builds(
    trace,
    st.sampled_from(TRACES),
    ages,
    st.one_of(st.none(), st.integers(0, 40)),
    st.sampled_from(sorted(DEPARTMENTS)),
    st.sampled_from(["", *STRENGTHS]),
    st.sampled_from([0, 330700, 330702, 510104]),
    st.sampled_from([0, 1, 510104]),
    st.sampled_from(["", "a", "b"]),
)
known_traces = st.builds(
    trace,
    st.sampled_from(TRACES),
    ages,
    st.none(),
    st.sampled_from(sorted(DEPARTMENTS)),
    st.just(""),
    *[st.just(0)] * 2,
    st.just("a"),
)
benefits = st.sampled_from(answer_words.BenefitType.values())
births = st.one_of(st.just(0), st.integers(civil("1930-01-01"), civil(0)))
purposes = st.sampled_from([*PURPOSES.values(), 99])


@given(
    st.sampled_from(BOOKS),
    st.lists(st.one_of(traces, known_traces), max_size=8),
    benefits,
    births,
    purposes,
    st.integers(0, 9),
    st.booleans(),
    st.sampled_from([0, 0, 0, 1, 30, 200]),
)
@settings(max_examples=2000, deadline=None)
def test_whatever_is_written_without_columns_is_what_the_columns_come_to(
    book: RuleBook,
    rows: list[Row],
    benefit: int,
    born_on: int,
    purpose: int,
    limit: int,
    not_alive: bool,
    ago: int,
) -> None:
    asked = terms(purpose, as_of_on=civil(ago), limit=limit, not_alive=not_alive)
    found = gathered(rows)
    written = plainly(book, asked, part(benefit, born_on), found)
    if written is not None:
        assert written == in_columns(book, asked, part(benefit, born_on), found)


numbers = st.one_of(
    st.integers(-3, 300), st.sampled_from([-(2**31), 2**31 - 1, civil(0), civil(1), civil(300), LAST_DAY + 1])
)
strange = st.lists(st.tuples(*[numbers] * 9), max_size=4)


@given(strange, purposes, st.sampled_from([civil(0), civil(300), 1, 200, LAST_DAY, LAST_DAY + 5]))
@settings(max_examples=600, deadline=None)
def test_numbers_that_nobody_sends_are_no_exception(rows: list[tuple[int, ...]], purpose: int, as_of_on: int) -> None:
    columns = np.array(rows, np.int32).reshape(-1, 9).T
    names = ("kind", "department", "region", "observed_on", "available_on", "strength", "detail", "from_on", "until_on")
    found = gathered(
        Evidence(
            subject=np.zeros(len(rows), np.int32),
            source_reference=["r"] * len(rows),
            **dict(zip(names, columns, strict=True)),
        )
    )
    asked = terms(purpose, as_of_on=as_of_on)
    written = plainly(BOOK, asked, part(), found)
    if written is not None:
        assert written == in_columns(BOOK, asked, part(), found)


@given(st.lists(known_traces, max_size=8), purposes, benefits)
@settings(max_examples=200, deadline=None)
def test_all_whose_traces_may_be_used_are_written_so(rows: list[Row], purpose: int, benefit: int) -> None:
    """Or nothing would be gained, and the comparison would compare nothing."""
    assert plainly(BOOK, terms(purpose), part(benefit), gathered(rows)) is not None


@pytest.mark.parametrize(
    ("rows", "status", "told"),
    [
        ([], "ALIVE_WEAK", 0),
        ([row("PHARMACY", 9)], "ALIVE_WEAK", 1),
        ([row("FACE_CHECK", 9), row("PHARMACY", 3)], "ALIVE_STRONG", 2),
        ([row("FACE_CHECK", 120), row("PHARMACY", 300)], "ALIVE_MEDIUM", 2),
        ([row("FACE_CHECK", 5), row("OWN_CERTIFICATION", 5)], "ALIVE_MEDIUM", 2),
    ],
)
def test_the_living_are_told_as_alive(rows: list[Row], status: str, told: int) -> None:
    written = plainly(BOOK, terms(), part(), gathered(rows))
    assert written is not None
    assert list(written.status) == [answer_words.SurvivalStatus.Value(f"SURVIVAL_STATUS_{status}")]
    assert len(written.evidence.subject) == told
    assert written == in_columns(BOOK, terms(), part(), gathered(rows))


@pytest.mark.parametrize(
    "more",
    [
        row("CREMATION", 5),
        row("SENTENCE", 5),
        row("DECLARED_MISSING", 5),
        row("RESIDENCE_MOVED", 5, detail=510104),
        row("FACE_CHECK", 5, strength="LEAD"),
        row("FACE_CHECK", -1),
        row("FACE_CHECK", 5, known=-1),
        row("FACE_CHECK", None),
        row("INPATIENT", 5, since=date(2026, 5, 1)),
        row("INPATIENT", 5, until=date(2026, 6, 1)),
        replace(row("FACE_CHECK", 5), kind="CREMATION", observed=0),
    ],
)
def test_who_has_more_than_traces_is_left_to_the_columns(more: Row) -> None:
    """Above all: nobody of whom a death is on record is told as alive."""
    assert plainly(BOOK, terms(), part(), gathered([row("PHARMACY", 9), more])) is None
    assert plainly(BOOK, terms(), part(), gathered([row("PHARMACY", 9)])) is not None


def test_no_kind_of_event_is_ever_written_so() -> None:
    for kind in range(FIRST_EVENT, KIND_SLOTS):
        columns = {name: np.array([0], np.int32) for name in Evidence.INTEGER_COLUMNS}
        day = np.array([civil(3)], np.int32)
        for department in DEPARTMENTS.values():
            columns |= {"kind": np.array([kind], np.int32), "department": np.array([department], np.int32)}
            found = gathered(Evidence(**{**columns, "observed_on": day}, source_reference=["r"]))
            assert plainly(BOOK, terms(), part(), found) is None


@pytest.mark.parametrize(("ago", "status"), [(100, "ALIVE_MEDIUM"), (101, "ALIVE_WEAK")])
def test_a_kind_that_counts_for_fewer_days_counts_no_longer(ago: int, status: str) -> None:
    book = BOOKS[3]
    assert not book.kinds.uniform_validity
    found = gathered([row("FACE_CHECK", ago)])
    written = plainly(book, terms(), part(), found)
    assert written is not None
    assert list(written.status) == [answer_words.SurvivalStatus.Value(f"SURVIVAL_STATUS_{status}")]
    assert written == in_columns(book, terms(), part(), found)


def test_what_is_alike_in_many_answers_is_not_taken_for_what_differs() -> None:
    """Sources, purpose and grant of one answer never come into another; nor does the start of a benefit."""
    rows = [row("FACE_CHECK", 5), row("PHARMACY", 9)]
    one = gathered(rows)
    (report,) = one.reports
    told = []
    for reports in (
        [report],
        [replace(report, adapter_id="two")],
        [replace(report, department=words.DEPARTMENT_HEALTH)],
        [replace(report, complete_until_on=civil(2))],
        [report, replace(report, adapter_id="two")],
    ):
        for purpose in (CERTIFICATION, PURPOSES["DISPUTE_REVIEW"]):
            found = replace(one, reports=reports)
            written = plainly(BOOK, terms(purpose), part(), found)
            assert written == in_columns(BOOK, terms(purpose), part(), found)
            told.append(written.SerializeToString() if written is not None else b"")
    assert len(set(told)) == len(told)
    since = replace(part(), since_on=np.array([civil("2015-01-01")], np.int32))
    for about in (since, part(), since):
        written = plainly(BOOK, terms(), about, one)
        assert written is not None
        assert written == in_columns(BOOK, terms(), about, one)
        assert written.benefit_since_used == (about is since)


def test_only_one_plain_person_is_written_so() -> None:
    found = gathered([row("FACE_CHECK", 5)])
    assert plainly(BOOK, terms(), part(), found) is not None
    assert plainly(BOOK, terms(), part(), replace(found, plain=False)) is None
    two = replace(part(), count=2, rows=[0, 1])
    assert plainly(BOOK, terms(), two, found) is None
    assert plainly(BOOK, terms(), replace(part(), count=2), found) is None  # the other one was refused
    assert write_plain(BOOK, terms(), [part(), part()], found, MADE_AT_MS) is None
    narrow = Scope(regions=(330000,))
    assert plainly(BOOK, terms()._replace(scope=narrow), part(), found) is None


def test_who_comes_of_age_is_left_to_the_columns() -> None:
    found = gathered([row("FACE_CHECK", 5)])
    young = part(answer_words.BENEFIT_TYPE_WORK_DEATH_DEPENDANT, civil("2010-06-01"))
    assert plainly(BOOK, terms(), young, found) is None
    assert plainly(BOOK, terms(), part(EMPLOYEE, civil("2010-06-01")), found) is not None


def test_columns_of_several_questions_stand_one_after_another() -> None:
    days = [civil("2015-01-01"), civil("2016-01-01")]
    said = replace(part(), count=2, rows=[0, 1], since_on=days)
    assert since_of([part(), part()]) is None
    together = since_of([part(), said, part()])
    assert together is not None
    assert (together.tolist(), together.dtype) == ([0, *days, 0], np.int32)
    assert column_of([np.array([3], np.int32), [1, 2], []]).tolist() == [3, 1, 2]
    assert column_of([[7]]).dtype == np.int32


def test_many_rows_are_left_to_the_columns() -> None:
    rows = [row("FACE_CHECK", 5)] * ROWS_AT_MOST
    assert plainly(BOOK, terms(), part(), gathered(rows)) is not None
    assert plainly(BOOK, terms(), part(), gathered([*rows, row("FACE_CHECK", 5)])) is None


@pytest.mark.parametrize("as_of_on", [-1, 0, LAST_DAY + 1])
def test_days_that_are_none_here_are_left_to_the_columns(as_of_on: int) -> None:
    assert plainly(BOOK, terms(as_of_on=as_of_on), part(), gathered([])) is None
