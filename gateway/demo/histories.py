"""Life histories: every trace a person leaves and every event that changes what they are entitled to, as columns.

Owns: the ledger into which histories are written, the usual delay with which each kind of record reaches its
department, and the traces of an ordinary life. The unusual lives, case by case, are in `gateway.demo.lives`. Refuses:
how a department stores a record; that is `gateway.demo.systems`.

Only what the departments have on the as-of day is kept: a record that reaches its department later does not exist yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gateway.demo.calendar import Days
from gateway.demo.people import People
from gateway.demo.regions import Province
from wugan.adapter.v1 import vocabulary_pb2 as words

Rows = NDArray[np.int64]

PRESENT, OTHER = 0, 1
"""Under which number a department holds a record: the present one, or the person's other one."""

WINDOW_DAYS = 400
"""How far back ordinary traces go: the certification cycle of twelve months and a little."""

DELAYS: dict[int, tuple[int, int]] = {
    words.EVIDENCE_KIND_CHECKPOINT_FACE: (0, 1),
    words.EVIDENCE_KIND_CHECKPOINT_VEHICLE: (0, 1),
    words.EVIDENCE_KIND_HOTEL_STAY: (0, 1),
    words.EVIDENCE_KIND_IDENTITY_CARD_ISSUED: (0, 3),
    words.EVIDENCE_KIND_BORDER_CROSSING: (0, 2),
    words.EVIDENCE_KIND_OLD_AGE_SUBSIDY: (5, 25),
    words.EVIDENCE_KIND_CORRECTION_CHECK_IN: (0, 2),
    words.EVIDENCE_KIND_OUTPATIENT: (0, 2),
    words.EVIDENCE_KIND_INPATIENT: (1, 7),
    words.EVIDENCE_KIND_PHARMACY: (0, 2),
    words.EVIDENCE_KIND_REMOTE_SETTLEMENT: (2, 9),
    words.EVIDENCE_KIND_MEDICAL_REGISTRATION: (0, 1),
    words.EVIDENCE_KIND_HOSPITAL_STAY: (0, 2),
    words.EVIDENCE_KIND_VACCINATION: (0, 2),
    words.EVIDENCE_KIND_HEALTH_CHECK: (3, 10),
    words.EVIDENCE_KIND_HEALTH_CODE_TEST: (0, 1),
    words.EVIDENCE_KIND_RAIL_TRAVEL: (1, 3),
    words.EVIDENCE_KIND_AIR_TRAVEL: (1, 3),
    words.EVIDENCE_KIND_BUS_TRAVEL: (1, 4),
    words.EVIDENCE_KIND_CITIZEN_CARD: (1, 2),
    words.EVIDENCE_KIND_TELLER_WITHDRAWAL: (1, 5),
    words.EVIDENCE_KIND_SELF_SERVICE_WITHDRAWAL: (1, 5),
    words.EVIDENCE_KIND_BALANCE_MOVEMENT: (1, 5),
    words.EVIDENCE_KIND_FACE_CHECK: (0, 0),
    words.EVIDENCE_KIND_HOME_VISIT: (0, 3),
    words.EVIDENCE_KIND_OWN_CERTIFICATION: (0, 1),
    words.EVIDENCE_KIND_DEATH_CERTIFICATE: (1, 5),
    words.EVIDENCE_KIND_CREMATION: (1, 7),
    words.EVIDENCE_KIND_HOUSEHOLD_CANCELLED_DEATH: (4, 15),
    words.EVIDENCE_KIND_DEATH_SETTLEMENT: (5, 18),
}
"""Days from the event until the department has it, least and most; (0, 7) for kinds not listed."""


@dataclass(frozen=True, slots=True)
class _Habit:
    """How often an ordinary person leaves a trace of a kind.

    Args:
        kind: EvidenceKind.
        yearly: times a year.
        away: share of them far from home.
        from_age: nobody younger.
    """

    kind: int
    yearly: float
    away: float = 0.0
    from_age: int = 0


HABITS: tuple[_Habit, ...] = (
    _Habit(words.EVIDENCE_KIND_CHECKPOINT_FACE, 3.0, away=0.1),
    _Habit(words.EVIDENCE_KIND_CHECKPOINT_VEHICLE, 0.4, from_age=18),
    _Habit(words.EVIDENCE_KIND_HOTEL_STAY, 0.3, away=0.7, from_age=18),
    _Habit(words.EVIDENCE_KIND_IDENTITY_CARD_ISSUED, 0.04),
    _Habit(words.EVIDENCE_KIND_BORDER_CROSSING, 0.04, away=0.5, from_age=18),
    _Habit(words.EVIDENCE_KIND_OLD_AGE_SUBSIDY, 4.0, from_age=80),
    _Habit(words.EVIDENCE_KIND_OUTPATIENT, 1.4),
    _Habit(words.EVIDENCE_KIND_INPATIENT, 0.15),
    _Habit(words.EVIDENCE_KIND_PHARMACY, 2.0),
    _Habit(words.EVIDENCE_KIND_REMOTE_SETTLEMENT, 0.15, away=1.0),
    _Habit(words.EVIDENCE_KIND_MEDICAL_REGISTRATION, 0.8),
    _Habit(words.EVIDENCE_KIND_HOSPITAL_STAY, 0.1),
    _Habit(words.EVIDENCE_KIND_VACCINATION, 0.3),
    _Habit(words.EVIDENCE_KIND_HEALTH_CHECK, 0.4),
    _Habit(words.EVIDENCE_KIND_HEALTH_CODE_TEST, 0.05),
    _Habit(words.EVIDENCE_KIND_RAIL_TRAVEL, 0.6, away=0.4),
    _Habit(words.EVIDENCE_KIND_AIR_TRAVEL, 0.15, away=0.6),
    _Habit(words.EVIDENCE_KIND_BUS_TRAVEL, 0.5, away=0.2),
    _Habit(words.EVIDENCE_KIND_CITIZEN_CARD, 2.0),
    _Habit(words.EVIDENCE_KIND_TELLER_WITHDRAWAL, 0.6, from_age=18),
    _Habit(words.EVIDENCE_KIND_SELF_SERVICE_WITHDRAWAL, 1.5, from_age=18),
    _Habit(words.EVIDENCE_KIND_BALANCE_MOVEMENT, 0.8, from_age=18),
    _Habit(words.EVIDENCE_KIND_FACE_CHECK, 0.3),
    _Habit(words.EVIDENCE_KIND_HOME_VISIT, 0.03),
    _Habit(words.EVIDENCE_KIND_OWN_CERTIFICATION, 0.4),
)

_FRESH = (
    (words.EVIDENCE_KIND_CHECKPOINT_FACE, 3, 30),
    (words.EVIDENCE_KIND_OUTPATIENT, 4, 45),
    (words.EVIDENCE_KIND_BUS_TRAVEL, 8, 75),
)
"""What everyone who goes about has lately: kind, least and most days ago."""


@dataclass(frozen=True, slots=True)
class Events:
    """One row a record in some department's system, in order of province, kind, person and day.

    Args:
        person: row of People.
        kind: EvidenceKind.
        province: index of the province whose department has the record.
        region: GB/T 2260 code of the place.
        observed_on: day it happened.
        available_on: day the department had it.
        detail: as in EvidenceKind.
        from_on: as in EvidenceKind.
        until_on: as in EvidenceKind.
        held: PRESENT or OTHER.
    """

    person: NDArray[np.int32]
    kind: NDArray[np.int16]
    province: NDArray[np.int16]
    region: NDArray[np.int32]
    observed_on: Days
    available_on: Days
    detail: NDArray[np.int32]
    from_on: Days
    until_on: Days
    held: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.person)

    def take(self, rows: Rows) -> Events:
        """Some rows, in the order given."""
        return Events(**{column.name: getattr(self, column.name)[rows] for column in fields(self)})

    def of_province(self, province: int) -> tuple[int, int]:
        """First row, and one past the last, of a province."""
        first, last = np.searchsorted(self.province, [province, province + 1])
        return int(first), int(last)


class Ledger:
    """Where histories are written down; `finish` gives the events that departments have on the as-of day."""

    def __init__(self, rng: np.random.Generator, people: People, provinces: Sequence[Province], as_of_on: int) -> None:
        self.rng = rng
        self.people = people
        self.as_of_on = as_of_on
        self.places = np.array([place for province in provinces for place in province.prefectures], np.int32)
        self._index = {province.code // 10_000: i for i, province in enumerate(provinces)}
        self._parts: list[Events] = []

    def days_ago(self, who: Rows, least: int, most: int) -> Days:
        """A day for each, from `least` to `most` days before the as-of day."""
        return (self.as_of_on - self.rng.integers(least, most + 1, who.size)).astype(np.int32)

    def add(
        self,
        who: Rows,
        kind: int,
        on: ArrayLike,
        *,
        delay: tuple[int, int] | None = None,
        at: ArrayLike | None = None,
        detail: ArrayLike = 0,
        from_on: ArrayLike = 0,
        until_on: ArrayLike = 0,
        held: ArrayLike = PRESENT,
    ) -> None:
        """Write down one record for each of `who`.

        Args:
            who: rows of People, repeats allowed.
            kind: EvidenceKind.
            on: the day it happened.
            delay: days until the department has it, least and most; by default those of the kind.
            at: the place, by default where the person lives.
            detail: as in EvidenceKind.
            from_on: as in EvidenceKind.
            until_on: as in EvidenceKind.
            held: under which number.
        """
        least, most = delay or DELAYS.get(kind, (0, 7))

        def column(value: ArrayLike) -> NDArray[np.int32]:
            return np.broadcast_to(np.asarray(value, np.int32), who.shape)

        region = column(self.people.home[who] if at is None else at)
        codes, inverse = np.unique(region // 10_000, return_inverse=True)
        province = np.array([self._index[code] for code in codes.tolist()], np.int16)
        observed = column(on)
        self._parts.append(
            Events(
                person=who.astype(np.int32),
                kind=np.full(who.shape, kind, np.int16),
                province=province[inverse] if who.size else np.zeros(0, np.int16),
                region=region,
                observed_on=observed,
                available_on=observed + self.rng.integers(least, most + 1, who.size, dtype=np.int32),
                detail=column(detail),
                from_on=column(from_on),
                until_on=column(until_on),
                held=np.broadcast_to(np.asarray(held, np.int8), who.shape),
            )
        )

    def go_about(self, who: Rows, since: ArrayLike, until: ArrayLike, *, at: ArrayLike | None = None) -> None:
        """Ordinary traces from `since` to `until`, both included; nothing for those whose span is empty."""
        since_on = np.broadcast_to(np.asarray(since, np.int64), who.shape)
        span = np.maximum(0, np.broadcast_to(np.asarray(until, np.int64), who.shape) - since_on + 1)
        home = self.people.home[who] if at is None else np.broadcast_to(np.asarray(at, np.int32), who.shape)
        age = (self.as_of_on - self.people.birth_on[who]) // 365
        for habit in HABITS:
            rate = np.where(age >= habit.from_age, habit.yearly, 0) * span / 365
            rows = np.repeat(np.arange(who.size), self.rng.poisson(rate))
            on = since_on[rows] + (self.rng.random(rows.size) * span[rows]).astype(np.int64)
            place = home[rows]
            if habit.away:
                elsewhere = self.rng.choice(self.places, rows.size)
                place = np.where(self.rng.random(rows.size) < habit.away, elsewhere, place)
            self.add(who[rows], habit.kind, on, at=place)

    def keep_fresh(self, who: Rows, *, least: int = 0) -> None:
        """Recent traces at home in three departments; none of the last `least` days."""
        for kind, first, last in _FRESH:
            self.add(who, kind, self.days_ago(who, max(first, least), last))

    def finish(self) -> Events:
        """What the departments have on the as-of day."""
        parts = self._parts
        joined = Events(
            **{column.name: np.concatenate([getattr(part, column.name) for part in parts]) for column in fields(Events)}
        )
        known = np.flatnonzero(joined.available_on <= self.as_of_on)
        self._parts = []
        kept = joined.take(known)
        order = np.lexsort((kept.observed_on, kept.person, kept.kind, kept.province))
        return kept.take(order)
