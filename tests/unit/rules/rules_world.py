"""A small world for the tests of the rules: rows of evidence written as sentences, findings read as names."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np

from adapters.contract import Evidence
from gateway.rules import RULES_FILE
from gateway.rules.book import RuleBook
from gateway.rules.grading import Grades, grade
from gateway.rules.kinds import DEPARTMENTS, FLAGS, KINDS
from gateway.rules.reasons import ReasonCode
from wugan.adapter.v1 import vocabulary_pb2 as words
from wugan.federation.v1 import vocabulary_pb2 as answer_words

BOOK = RuleBook.parse(RULES_FILE.read_bytes(), RULES_FILE.name)
TODAY = date(2026, 5, 27)
EPOCH = date(1970, 1, 1)

EMPLOYEE = answer_words.BENEFIT_TYPE_EMPLOYEE_PENSION
DEPENDANT = answer_words.BENEFIT_TYPE_WORK_DEATH_DEPENDANT
UNEMPLOYMENT = answer_words.BENEFIT_TYPE_UNEMPLOYMENT
WORK_INJURY = answer_words.BENEFIT_TYPE_WORK_INJURY


def civil(day: date | str | int | None) -> int:
    """A civil day from a date, an ISO text, days ago (int), or 0 for None."""
    if day is None:
        return 0
    if isinstance(day, int):
        day = TODAY - timedelta(days=day)
    if isinstance(day, str):
        day = date.fromisoformat(day)
    return (day - EPOCH).days


def as_date(day: int) -> str:
    return (EPOCH + timedelta(days=int(day))).isoformat() if day else ""


@dataclass(frozen=True)
class Row:
    kind: str
    observed: int
    department: str
    available: int = 0
    strength: str = ""
    region: int = 330700
    detail: int = 0
    since: int = 0
    until: int = 0
    subject: int = 0
    reference: str = "ref"

    def of(self, subject: int) -> Row:
        return replace(self, subject=subject)


def row(
    kind: str,
    when: date | str | int | None,
    department: str = "",
    *,
    known: date | str | int | None = None,
    strength: str = "",
    region: int = 330700,
    detail: int = 0,
    since: date | str | None = None,
    until: date | str | None = None,
) -> Row:
    """A row of evidence; `when` is a date, ISO text or days ago; the department is the one that originates the kind."""
    if not department:
        owners = np.flatnonzero(BOOK.kinds.originates[KINDS[kind]])
        department = _DEPARTMENT_NAMES[int(owners[0])] if len(owners) else "SOCIAL_INSURANCE"
    return Row(kind, civil(when), department, civil(known), strength, region, detail, civil(since), civil(until))


_DEPARTMENT_NAMES = {number: name for name, number in DEPARTMENTS.items()}


def evidence(rows: Sequence[Row]) -> Evidence:
    def column(values: list[int]) -> np.ndarray:
        return np.array(values, np.int32)

    return Evidence(
        subject=column([r.subject for r in rows]),
        kind=column([KINDS[r.kind] for r in rows]),
        department=column([DEPARTMENTS[r.department] for r in rows]),
        region=column([r.region for r in rows]),
        observed_on=column([r.observed for r in rows]),
        available_on=column([r.available for r in rows]),
        strength=column([words.Strength.Value("STRENGTH_" + r.strength) if r.strength else 0 for r in rows]),
        source_reference=[r.reference for r in rows],
        detail=column([r.detail for r in rows]),
        from_on=column([r.since for r in rows]),
        until_on=column([r.until for r in rows]),
    )


@functools.cache
def book_of_one(department: str = "HEALTH_INSURANCE") -> RuleBook:
    """The rules, where one department originates every kind: for a world that has no other."""
    text = re.sub(r"departments: \[[A-Z_, ]*\]", f"departments: [{department}]", RULES_FILE.read_text("utf-8"))
    return RuleBook.parse(text.encode(), RULES_FILE.name)


def status_name(status: int) -> str:
    return answer_words.SurvivalStatus.Name(int(status)).removeprefix("SURVIVAL_STATUS_")


def flag_names(flags: int) -> set[str]:
    return {name for name, number in FLAGS.items() if int(flags) >> number & 1}


def flag_bits(*names: str) -> int:
    return sum(1 << FLAGS[name] for name in names)


@dataclass(frozen=True)
class Finding:
    status: str
    flags: set[str]
    decided: str
    last_trace: str
    valid_until: str
    reasons: list[tuple[str, str, str, str, int]]

    @property
    def codes(self) -> set[str]:
        return {reason[0] for reason in self.reasons}

    def told(self, code: str) -> tuple[str, str, str, int]:
        found = [reason[1:] for reason in self.reasons if reason[0] == code]
        assert len(found) == 1, (code, self.reasons)
        return found[0]


def findings(grades: Grades) -> list[Finding]:
    kinds = {number: name for name, number in KINDS.items()}
    return [
        Finding(
            status_name(grades.status[i]),
            flag_names(grades.flags[i]),
            as_date(grades.decided_on[i]),
            as_date(grades.last_trace_on[i]),
            as_date(grades.valid_until_on[i]),
            [
                (ReasonCode(code).name, _DEPARTMENT_NAMES.get(dept, ""), kinds.get(kind, ""), as_date(on), number)
                for code, dept, kind, on, number in grades.reasons.of(i)
            ],
        )
        for i in range(len(grades.status))
    ]


def graded_batch(
    people: Sequence[Sequence[Row]],
    *,
    benefit: int | Sequence[int] = EMPLOYEE,
    born: date | str | Sequence[date | str | None] | None = None,
    known: Sequence[bool] | None = None,
    identity_conflict: Sequence[bool] | None = None,
    linked: Sequence[bool] | None = None,
    as_of: date | str | int = 0,
    partial: bool = False,
    silent: Sequence[int] = (),
    silent_about: Mapping[int, Sequence[bool]] | None = None,
    benefit_since: date | str | Sequence[date | str | None] | None = None,
    book: RuleBook = BOOK,
) -> Grades:
    count = len(people)
    rows = [r.of(i) for i, person in enumerate(people) for r in person]
    benefits = [benefit] * count if isinstance(benefit, int) else benefit
    births = [civil(born)] * count if born is None or isinstance(born, str | date) else [civil(b) for b in born]
    single = benefit_since is None or isinstance(benefit_since, str | date)
    starts = [benefit_since] * count if single else benefit_since
    return grade(
        book,
        subjects=count,
        evidence=evidence(rows),
        known=np.array(known if known is not None else [True] * count, np.bool_),
        identity_conflict=np.array(identity_conflict or [False] * count, np.bool_),
        linked=np.array(linked or [False] * count, np.bool_),
        benefit=np.array(benefits, np.int32),
        birth_on=np.array(births, np.int32),
        as_of_on=civil(as_of),
        partial=partial,
        silent=silent,
        silent_about={department: np.array(about, np.bool_) for department, about in (silent_about or {}).items()},
        since_on=None if benefit_since is None else np.array([civil(each) for each in starts], np.int32),
    )


def graded(
    *rows: Row, known: bool = True, identity_conflict: bool = False, linked: bool = False, **more: object
) -> Finding:
    """One person."""
    grades = graded_batch(
        [rows],
        known=[known],
        identity_conflict=[identity_conflict],
        linked=[linked],
        **more,  # type: ignore[arg-type]
    )
    return findings(grades)[0]
