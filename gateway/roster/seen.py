"""Who stands in a roster already: the same person for the same benefit is asked about once.

Owns: a set of 64-bit keys with the rows that they were first seen in, 12 bytes each. Refuses: people; a key is made by
`validating`.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_FEW: Final = 100
"""Keys are few where there are so many times more from the start: sorting those costs more than looking them all up."""

Index = NDArray[np.int64]
_Run = tuple[Index, Index]


class Seen:
    """Keys in sorted runs, of which two of about one size become one: each key is moved a few times only."""

    def __init__(self, keys: Index | None = None, rows: Index | None = None) -> None:
        """`keys` are there already, in these `rows`, in any order."""
        self._before = None if keys is None or rows is None or not len(keys) else (keys, rows)
        self._looked_up = False
        self._runs: list[_Run] = []

    def first(self, keys: Index, rows: Index) -> Index:
        """For each key the row in which it stood before, 0 where it is new; the new ones are remembered.

        Args:
            keys: some keys; one may be among them several times.
            rows: number of the row of each, ascending, from 1.
        """
        before = self._first_before(keys)
        for held, held_rows in self._runs:
            place = np.minimum(np.searchsorted(held, keys), len(held) - 1)
            same = held[place] == keys
            before[same] = held_rows[place[same]]
        unique, at, inverse = np.unique(keys, return_index=True, return_inverse=True)
        again = (at[inverse] != np.arange(len(keys))) & (before == 0)
        before[again] = rows[at[inverse]][again]
        new = before[at] == 0
        if new.any():
            self._add((unique[new], rows[at][new].astype(np.int32)))
        return before

    def _first_before(self, keys: Index) -> Index:
        """Of those that were there from the start: these are looked up among the few, not the few among them."""
        found = np.zeros(len(keys), np.int64)
        if self._before is None or not len(keys):
            return found
        there, rows = self._before
        if self._looked_up or len(keys) * _FEW > len(there):
            order = np.argsort(there)
            self._runs.insert(0, (there[order], rows[order].astype(np.int32)))
            self._before = None
            return found
        self._looked_up = True
        ordered = np.sort(keys)
        place = np.minimum(np.searchsorted(ordered, there), len(ordered) - 1)
        held = np.flatnonzero(ordered[place] == there)
        first = np.zeros(len(keys), np.int64)
        first[place[held]] = rows[held]
        return first[np.searchsorted(ordered, keys)]

    def _add(self, run: _Run) -> None:
        while self._runs and len(self._runs[-1][0]) <= 2 * len(run[0]):
            run = _merged(self._runs.pop(), run)
        self._runs.append(run)


def _merged(one: _Run, other: _Run) -> _Run:
    """Two runs as one, without a copy of both beside it: no key is in both."""
    at = np.searchsorted(one[0], other[0])
    at += np.arange(len(at))
    rest = np.ones(len(one[0]) + len(at), np.bool_)
    rest[at] = False
    columns: list[Any] = []
    for mine, theirs in zip(one, other, strict=True):
        whole = np.empty(len(rest), mine.dtype)
        whole[rest], whole[at] = mine, theirs
        columns.append(whole)
    return columns[0], columns[1]
