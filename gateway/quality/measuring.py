"""Many answers of departments at once → counters and a few masked examples.

Owns: which rows count as incomplete, impossible, late or contradicted; all in whole columns. Refuses: answers that do
not fit their question (counted as faulty, as the gateway itself judges them), and keeping anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from adapters.contract import Description, Evidence, Found, Lookup
from adapters.mapping import FROM_KINDS
from gateway.federation.regions import PROVINCES
from gateway.inquiry.fitting import fits_question
from gateway.masking import masked_number, masked_reference
from gateway.quality.contradictions import contradictions
from gateway.quality.counters import CLASSES, SIZE, C, Counts, Example, Key, classes, empty
from gateway.rules.book import RuleBook
from gateway.rules.identity import birth_on
from gateway.rules.kinds import KIND_SLOTS
from wugan.federation.v1 import vocabulary_pb2 as words

EXAMPLES: Final = 3
"""Of one defect of one item, from one look."""
DEFECTS: Final = (
    C.NO_AVAILABLE,
    C.NO_REGION,
    C.NO_REFERENCE,
    C.FUTURE,
    C.BEFORE_BIRTH,
    C.BEFORE_EVENT,
    C.BAD_REGION,
    C.BAD_TERM,
    C.CONTRADICTED,
    C.DATES_DIFFER,
)
"""Those of which examples are given; what is merely late is told by percentiles."""
_OUTCOMES: Final[dict[int, C]] = {
    words.SOURCE_OUTCOME_SILENT: C.SILENT,
    words.SOURCE_OUTCOME_UNAVAILABLE: C.UNAVAILABLE,
    words.SOURCE_OUTCOME_FAULTY: C.FAULTY,
}
_FROM: Final = np.zeros(KIND_SLOTS, np.bool_)
_FROM[list(FROM_KINDS)] = True
_PROVINCE: Final = np.zeros(100, np.bool_)
_PROVINCE[[code // 10_000 for code in PROVINCES]] = True
_PLACES: Final = 1_000_000


class Answers(NamedTuple):
    """One question and what each source said to it."""

    question: Lookup
    sources: Sequence[Description]
    outcomes: Sequence[Found | int]


@dataclass(slots=True)
class Measured:
    """What a look came to."""

    counts: dict[Key, Counts]
    examples: list[Example]


def measure(answers: Sequence[Answers], book: RuleBook, today: int, differ_days: int) -> Measured:
    """Count.

    Args:
        answers: of any number of questions.
        book: the rules: which kinds are deaths, and which regions there are.
        today: civil day on which they were given.
        differ_days: see `contradictions`.
    """
    month = month_of(today)
    measured = Measured({}, [])
    abouts: dict[str, tuple[int, Description]] = {}
    parts: list[Evidence] = []
    source_of: list[NDArray[np.int32]] = []
    wanted_of: list[NDArray[np.bool_]] = []
    numbers: list[str] = []
    for question, sources, outcomes in answers:
        people = len(question.subjects)
        for about, outcome in zip(sources, outcomes, strict=True):
            counts = _counts(measured, Key(month, about.adapter_id, about.department, 0, 0))
            counts[C.LOOKUPS] += 1
            if isinstance(outcome, int) or not fits_question(outcome, people, about):
                counts[_OUTCOMES.get(outcome, C.FAULTY) if isinstance(outcome, int) else C.FAULTY] += 1
                continue
            if 0 < people == len(outcome.unreadable):
                counts[C.FAULTY] += 1
                continue
            counts[C.ANSWERED] += 1
            counts[C.ASKED] += people
            counts[C.KNOWN] += _different(outcome.holders.subject)
            evidence = outcome.evidence
            if len(evidence):
                place = abouts.setdefault(about.adapter_id, (len(abouts), about))[0]
                parts.append(_moved(evidence, len(numbers)))
                source_of.append(np.full(len(evidence), place, np.int32))
                wanted_of.append(np.full(len(evidence), question.references, np.bool_))
        numbers += question.subjects.id_number
    if parts:
        rows = Evidence.concatenate(parts)
        described = [about for _, about in sorted(abouts.values(), key=lambda pair: pair[0])]
        flags = _Flags(rows, np.concatenate(source_of), np.concatenate(wanted_of), described, numbers, book, today)
        flags.count(measured, month, differ_days)
    return measured


def month_of(day: int) -> int:
    """The month of a civil day, as 202611."""
    on = date(1970, 1, 1) + timedelta(days=day)
    return on.year * 100 + on.month


def _moved(evidence: Evidence, by: int) -> Evidence:
    from dataclasses import replace

    return replace(evidence, subject=evidence.subject + np.int32(by))


def _different(numbers: NDArray[np.int32]) -> int:
    # Of one or none, as nearly always, without being sorted: a sample is counted beside calls.
    return len(numbers) if len(numbers) < 2 else len(np.unique(numbers))


def _counts(measured: Measured, key: Key) -> Counts:
    found = measured.counts.get(key)
    if found is None:
        found = measured.counts[key] = empty()
    return found


class _Flags:
    """The rows of a look with a column for each defect."""

    def __init__(
        self,
        rows: Evidence,
        source: NDArray[np.int32],
        wanted: NDArray[np.bool_],
        described: Sequence[Description],
        numbers: Sequence[str],
        book: RuleBook,
        today: int,
    ) -> None:
        self._rows, self._source, self._described, self._numbers, self._book = rows, source, described, numbers, book
        observed, available, region = rows.observed_on, rows.available_on, rows.region
        kind = np.clip(rows.kind, 0, KIND_SLOTS - 1)
        told = np.unique(rows.subject)
        born = np.zeros(len(numbers), np.int32)
        born[told] = birth_on([numbers[at] for at in told.tolist()])
        dated, there = observed > 0, available > 0
        bad_region = (region != 0) & ~_well_placed(region)
        both = dated & there
        delay = np.where(both, available - observed, 0)
        early = both & (delay < 0)
        timed = both & ~early & (available <= today)
        agreed_days = np.zeros((len(described), KIND_SLOTS), np.int32)
        for place, about in enumerate(described):
            for item in about.items:
                agreed_days[place, min(item.kind, KIND_SLOTS - 1)] = item.freshness_days
        agreed = agreed_days[source, kind]
        referenced = np.zeros(len(rows), np.bool_)
        if wanted.any():
            referenced[:] = [bool(text) for text in rows.source_reference]
        future = (observed > today) | (available > today)
        before_birth = dated & (born[rows.subject] != 0) & (observed < born[rows.subject])
        bad_term = (rows.from_on > 0) & (rows.until_on > 0) & (rows.from_on > rows.until_on)
        self._flags: dict[C, NDArray[np.bool_]] = {
            C.ROWS: np.ones(len(rows), np.bool_),
            C.NO_DAY: ~dated,
            C.NO_AVAILABLE: ~there,
            C.NO_REGION: region == 0,
            C.REFERENCES: wanted,
            C.NO_REFERENCE: wanted & ~referenced,
            C.TERMS: _FROM[kind],
            C.NO_TERM: _FROM[kind] & (rows.from_on == 0),
            C.INVALID: future | before_birth | early | bad_region | bad_term,
            C.FUTURE: future,
            C.BEFORE_BIRTH: before_birth,
            C.BEFORE_EVENT: early,
            C.BAD_REGION: bad_region,
            C.BAD_TERM: bad_term,
            C.TIMED: timed,
            C.AGREED: timed & (agreed > 0),
            C.LATE: timed & (agreed > 0) & (delay > agreed),
        }
        self._place = np.where(bad_region, 0, region // 100 * 100)
        self._kind = kind
        self._delay = np.where(timed, classes(delay), -1)
        self._age = np.where(timed, classes(np.maximum(today - available, 0).astype(np.int32)), -1)

    def count(self, measured: Measured, month: int, differ_days: int) -> None:
        """Add all of it up by source, kind and place; choose examples."""
        rows = self._rows
        found = contradictions(self._book, rows.subject, rows.kind, rows.department, rows.observed_on, differ_days)
        self._flags[C.CONTRADICTED], self._flags[C.DATES_DIFFER] = found.contradicted, found.dates_differ
        code = (self._source.astype(np.int64) * KIND_SLOTS + self._kind) * _PLACES + self._place
        groups, group = np.unique(code, return_inverse=True)
        sums = np.zeros((len(groups), SIZE), np.int64)
        for place, flag in self._flags.items():
            sums[:, place] = np.bincount(group[flag], minlength=len(groups))
        for first, column in ((C.DELAY, self._delay), (C.AGE, self._age)):
            held = column >= 0
            cells = np.bincount(group[held] * CLASSES + column[held], minlength=len(groups) * CLASSES)
            sums[:, first : first + CLASSES] = cells.reshape(len(groups), CLASSES)
        keys = []
        for number, packed in enumerate(groups.tolist()):
            upper, place = divmod(packed, _PLACES)
            source, kind = divmod(upper, KIND_SLOTS)
            about = self._described[source]
            keys.append(Key(month, about.adapter_id, about.department, kind, place))
            _counts(measured, keys[-1])[:] += sums[number]
        for defect in DEFECTS:
            self._examples(measured, defect, keys, group, found.against)

    def _examples(
        self, measured: Measured, defect: C, keys: Sequence[Key], group: NDArray[np.intp], against: NDArray[np.intp]
    ) -> None:
        at = np.flatnonzero(self._flags[defect])
        given: dict[int, int] = {}
        for row in at[: 64 * EXAMPLES].tolist():
            mine = int(group[row])
            if given.get(mine, 0) < EXAMPLES:
                given[mine] = given.get(mine, 0) + 1
                other = int(against[row]) if defect == C.CONTRADICTED else -1
                measured.examples.append(Example(keys[mine], int(defect), self._masked(row, other)))

    def _masked(self, row: int, other: int) -> str:
        """A row as its own department can find it, and nobody else."""
        rows = self._rows
        number = masked_number(self._numbers[int(rows.subject[row])])
        reference = masked_reference(str(rows.source_reference[row])) if len(rows.source_reference) else ""
        told = [number, day(int(rows.observed_on[row])), day(int(rows.available_on[row])), reference]
        if other >= 0:
            # By numbers, so that each reader has it in their own language (`report.readable`).
            told.append(f"@{rows.department[other]}:{rows.kind[other]}:{day(int(rows.observed_on[other]))}")
        return " · ".join(text or "–" for text in told)


def _well_placed(region: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Codes of GB/T 2260: a known province, and no county without a prefecture."""
    six = (region >= 100_000) & (region <= 999_999)
    known: NDArray[np.bool_] = six & _PROVINCE[np.clip(region // 10_000, 0, 99)]
    placed: NDArray[np.bool_] = known & ((region // 100 % 100 != 0) | (region % 100 == 0))
    return placed


def day(number: int) -> str:
    """A civil day as a date, "" for none and for what is no day."""
    return (date(1970, 1, 1) + timedelta(days=number)).isoformat() if 0 < number < 100_000 else ""
