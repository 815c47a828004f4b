"""What departments say of one person that cannot all be true: died here and travelling there; two days of death.

Owns: which rows contradict which, over whole columns. Refuses: saying who is right; both rows are counted, each at its
department.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gateway.rules.book import RuleBook
from gateway.rules.columns import FAR, Int32
from gateway.rules.kinds import FIRST_EVENT, KIND_SLOTS, Role


class Contradictions(NamedTuple):
    """Rows that contradict another department's, and for each the row (of a death, or of a trace) it contradicts."""

    contradicted: NDArray[np.bool_]
    against: NDArray[np.intp]
    dates_differ: NDArray[np.bool_]


def contradictions(
    book: RuleBook, subject: Int32, kind: Int32, department: Int32, observed_on: Int32, differ_days: int
) -> Contradictions:
    """Compare the rows of many people.

    A trace contradicts a death that another department records with confidence when it is dated later than the grace of
    the rules and the lag of its kind allow. People whose declaration of death was revoked are left out.

    Args:
        book: the rules.
        subject: whose row it is; counts from 0.
        kind: EvidenceKind of each row.
        department: Department of each row.
        observed_on: civil day of each row, 0: not given.
        differ_days: days of death of two departments may lie so far apart (a cremation follows the death).
    """
    rows = len(subject)
    contradicted, differ = np.zeros(rows, np.bool_), np.zeros(rows, np.bool_)
    against = np.full(rows, -1, np.intp)
    slot = np.clip(kind, 0, KIND_SLOTS - 1)
    role = book.kinds.role[slot]
    people = int(subject.max()) + 1 if rows else 0
    revoked = np.zeros(people, np.bool_)
    revoked[subject[role == Role.DEATH_REVOKED]] = True
    able = (observed_on > 0) & ~revoked[subject] if rows else np.zeros(0, np.bool_)
    deaths = np.flatnonzero(able & ((role == Role.DEATH_CONFIRMED) | (role == Role.DEATH_SUPPORTED)))
    if not len(deaths):
        return Contradictions(contradicted, against, differ)
    traces = np.flatnonzero(able & (kind > 0) & (kind < FIRST_EVENT))
    allowed = np.maximum(book.death.grace_days, book.kinds.lag_days[slot[traces]])
    earliest = np.full(people, FAR, np.int32)
    latest = np.full(people, -FAR, np.int32)
    for one in np.unique(department[deaths]).tolist():
        mine = deaths[department[deaths] == one]
        died, died_row = np.full(people, FAR, np.int32), np.full(people, -1, np.intp)
        np.minimum.at(died, subject[mine], observed_on[mine])
        first = mine[observed_on[mine] == died[subject[mine]]]
        died_row[subject[first]] = first
        has = died < FAR
        earliest[has] = np.minimum(earliest[has], died[has])
        latest[has] = np.maximum(latest[has], died[has])
        who = subject[traces]
        against_it = (department[traces] != one) & has[who] & (observed_on[traces] > died[who] + allowed)
        living = traces[against_it]
        contradicted[living] = True
        against[living] = died_row[subject[living]]
        died_rows = died_row[np.unique(subject[living])]
        contradicted[died_rows] = True
        against[died_row[subject[living]]] = living
    apart = latest.astype(np.int64) - earliest > differ_days
    apart &= latest > -FAR
    differ[deaths[apart[subject[deaths]]]] = True
    return Contradictions(contradicted, against, differ)
