"""Who stands in a roster already: the same person for the same benefit is asked about once.

Owns: a set of 64-bit keys with the rows that they were first seen in, 12 bytes each. Refuses: people; a key is made by
`validating`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.int64]
_Run = tuple[Index, Index]


class Seen:
    """Keys in sorted runs, of which two of about one size become one: each key is moved a few times only."""

    def __init__(self) -> None:
        self._runs: list[_Run] = []

    def first(self, keys: Index, rows: Index) -> Index:
        """For each key the row in which it stood before, 0 where it is new; the new ones are remembered.

        Args:
            keys: some keys; one may be among them several times.
            rows: number of the row of each, ascending, from 1.
        """
        before = np.zeros(len(keys), np.int64)
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

    def _add(self, run: _Run) -> None:
        while self._runs and len(self._runs[-1][0]) <= 2 * len(run[0]):
            keys = np.concatenate((self._runs[-1][0], run[0]))
            rows = np.concatenate((self._runs.pop()[1], run[1]))
            order = np.argsort(keys, kind="stable")
            run = keys[order], rows[order]
        self._runs.append(run)
