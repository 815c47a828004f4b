"""Which rows of evidence a question asked for: of the kinds wanted, and no trace older than wanted.

Owns: that rule, for every kind of adapter. Refuses: leaving out an event because it is old.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from adapters.contract import Evidence, Int32, Lookup

FIRST_EVENT: Final = 100
"""Kinds of evidence below are traces."""


FEW: Final = 64
"""So many rows are looked at one by one: a column takes longer."""


def only_wanted(question: Lookup, evidence: Evidence) -> Evidence:
    """The rows that were asked for."""
    if len(evidence) <= FEW:
        _, kind, _, _, observed_on, *_ = evidence.lists()
        rows = _wanted_of_few(question, kind, observed_on)
    else:
        rows = wanted(question, evidence.kind, evidence.observed_on)
    return evidence if rows is None else evidence.take(rows)


def wanted(question: Lookup, kind: Int32, observed_on: Int32) -> NDArray[np.intp] | None:
    """The rows that were asked for; None: all."""
    if len(kind) <= FEW:
        return _wanted_of_few(question, kind.tolist(), observed_on.tolist())
    rows: NDArray[np.bool_] | None = None
    if question.traces_since_on:
        rows = (kind >= FIRST_EVENT) | (observed_on >= question.traces_since_on)
    if question.kinds:
        of_kind = np.isin(kind, np.array(question.kinds, np.int32))
        rows = of_kind if rows is None else rows & of_kind
    return None if rows is None or rows.all() else np.flatnonzero(rows)


def _wanted_of_few(question: Lookup, kind: Sequence[int], days: Sequence[int]) -> NDArray[np.intp] | None:
    since, kinds = question.traces_since_on, question.kinds
    if not kinds and (not days or min(days) >= since):  # as nearly always
        return None
    rows = [
        row
        for row, (of, day) in enumerate(zip(kind, days, strict=True))
        if (not since or of >= FIRST_EVENT or day >= since) and (not kinds or of in kinds)
    ]
    return None if len(rows) == len(kind) else np.array(rows, np.intp)
