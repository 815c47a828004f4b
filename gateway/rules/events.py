"""The rows of a batch that are events, made ready: visible on the day asked about, each with a day.

Owns: which day an event counts from when the source gave none. Refuses: what an event does.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter

import numpy as np

from gateway.rules.book import RuleBook
from gateway.rules.columns import EvidenceLike, Index, Int32, Mask
from gateway.rules.kinds import Role
from wugan.adapter.v1 import vocabulary_pb2 as words


@dataclass(frozen=True, slots=True)
class Events:
    """Columns of event rows. `day` is the day it happened; `dated` whether the source said so."""

    subject: Index
    kind: Int32
    department: Int32
    role: Int32
    day: Int32
    dated: Mask
    available_on: Int32
    strength: Int32
    region: Int32
    detail: Int32
    from_on: Int32
    until_on: Int32

    def __len__(self) -> int:
        return len(self.subject)

    def take(self, rows: Index | Mask) -> Events:
        """Some of the rows."""
        if not len(self.subject[rows]):
            return _NONE
        return Events(*[column[rows] for column in _columns_of(self)])

    def of(self, *roles: int) -> Events:
        """The rows of some roles."""
        chosen = self.role == roles[0]
        for role in roles[1:]:
            chosen |= self.role == role
        return self if np.count_nonzero(chosen) == len(chosen) else self.take(chosen.nonzero()[0])


_columns_of = attrgetter(*Events.__slots__)
_EMPTY = np.zeros(0, np.int32)
_NONE = Events(
    subject=np.zeros(0, np.intp),
    kind=_EMPTY,
    department=_EMPTY,
    role=_EMPTY,
    day=_EMPTY,
    dated=np.zeros(0, np.bool_),
    available_on=_EMPTY,
    strength=_EMPTY,
    region=_EMPTY,
    detail=_EMPTY,
    from_on=_EMPTY,
    until_on=_EMPTY,
)


def read_events(book: RuleBook, evidence: EvidenceLike, rows: Index, as_of_on: int) -> Events:
    """The events among `rows` that were known by `as_of_on`; see `dies_early`."""
    observed = evidence.observed_on[rows]
    available = evidence.available_on[rows]
    early = dies_early(book, evidence, rows, as_of_on)
    if np.count_nonzero(early):
        observed = np.where(early, np.int32(0), observed)
    visible = (observed <= as_of_on) & (available <= as_of_on)
    if np.count_nonzero(visible) != len(visible):
        rows, observed, available = rows[visible], observed[visible], available[visible]
    from_on = evidence.from_on[rows]
    dated = observed != 0
    day = event_days(observed, available, from_on, as_of_on)
    kind = evidence.kind[rows]
    return Events(
        subject=evidence.subject[rows].astype(np.intp),
        kind=kind,
        department=evidence.department[rows],
        role=book.kinds.role[kind].astype(np.int32),
        day=day,
        dated=dated,
        available_on=available,
        strength=evidence.strength[rows],
        region=evidence.region[rows],
        detail=evidence.detail[rows],
        from_on=from_on,
        until_on=evidence.until_on[rows],
    )


def dies_early(book: RuleBook, evidence: EvidenceLike, rows: Index, as_of_on: int) -> Mask:
    """Which of the rows are deaths that were known by `as_of_on` and are dated after it: of these the day is wrong, and
    the death may be right. They count as undated, so that nobody is certified on a mistyped year.
    """
    available = evidence.available_on[rows]
    role = book.kinds.role.take(evidence.kind[rows], mode="clip")
    early: Mask = (evidence.observed_on[rows] > as_of_on) & (available > 0) & (available <= as_of_on)
    return early & (role >= Role.DEATH_CONFIRMED) & (role <= Role.DEATH_LEAD)


def event_days(observed: Int32, available: Int32, from_on: Int32, as_of_on: int) -> Int32:
    """The day from which each row counts, all visible on the day asked about.

    A row without a day counts from its `from_on`, else from the day it became available, else from the day asked about:
    the latest it can have been.
    """
    dated = observed != 0
    if np.count_nonzero(dated) == len(dated):
        return observed
    fallback = np.where(available != 0, available, np.int32(as_of_on))
    begun = (from_on != 0) & (from_on <= as_of_on)
    day: Int32 = np.where(dated, observed, np.where(begun, from_on, fallback))
    return day


def said(book: RuleBook, events: Events) -> Mask:
    """Which rows are no hearsay: they come from a department that originates their kind, and are more than a lead."""
    originated = book.kinds.originates[events.kind, events.department]
    enough: Mask = originated & (events.strength != words.STRENGTH_LEAD)
    return enough


def sound(book: RuleBook, events: Events) -> Mask:
    """Which rows say enough to undo another record: they are no hearsay, and have a day."""
    return said(book, events) & events.dated


def in_look_back(book: RuleBook, kind: Int32, day: Int32, since_on: Int32, as_of_on: int) -> Mask:
    """Which events are not too long ago to be reported.

    Args:
        book: the rules.
        kind: of each event.
        day: of each.
        since_on: first day of the benefit of whom each is about, 0: not known. Where it is, what was looked at when the
            benefit was granted counts from that day on; all else, and where it is not, by the kind's look-back.
        as_of_on: the day asked about.
    """
    look_back = book.kinds.look_back_days.take(kind, mode="clip")
    counts: Mask = (look_back == 0) | (as_of_on - day <= look_back)
    begun = since_on != 0
    if np.count_nonzero(begun):
        begun &= book.before_start.take(book.kinds.flag.take(kind, mode="clip"))
        counts = np.where(begun, day >= since_on, counts)
    return counts


def roles_present(events: Events) -> frozenset[int]:
    """Which roles occur, so that the others need not be looked for."""
    return frozenset(np.bincount(events.role).nonzero()[0].tolist())
