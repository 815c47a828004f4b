"""Which order codes were seen under which prefix: of small questions by themselves, of large ones in columns.

A number of GB 11643 is a prefix (six digits of place, eight of birth), three digits of order and a check digit. What
was seen is held as a set of numbers in columns, 16 bytes each at most, because a roster brings hundreds of thousands
within an hour; and beside it, where sequences are looked for, how many there are under each prefix, so that only those
with enough of them are looked at.

Owns: this set, in memory. Refuses: knowing what a sequence means, and keeping a number anywhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

ORDERS: Final = 1000
"""Order codes under one prefix."""
_NUMBER_CHARS: Final = 18
_ZERO: Final = np.uint8(48)
_PLACES: Final = np.zeros((17, 2), np.float64)
"""What the digits of a number add up to: prefix, below 2^53 and so exact, and order code."""
_PLACES[:14, 0] = 10.0 ** np.arange(13, -1, -1)
_PLACES[14:, 1] = [100, 10, 1]
_SMALLEST: Final = 4096
"""Cells of the smallest table."""
_FULL: Final = 0.7
"""Used cells, of all, at which a table grows: beyond, looking for a free one takes long."""
_AFTER: Final = 0.5
"""Used cells once it has grown. Little more than what is needed is free, because the old table is there meanwhile."""
_ODD: Final = np.uint64(0x9E37_79B9_7F4A_7C15)
_PART: Final = 1 << 16
_HALF: Final = np.uint64(32)
_ALL_ORDERS: Final = np.arange(ORDERS, dtype=np.int64)


class Seen:
    """A set of numbers above zero, each prefix * 1000 + order code, that grows only.

    Args:
        counted: how many are held under a prefix is asked, too.
    """

    __slots__ = ("_counts", "_table", "count")

    def __init__(self, *, counted: bool = True) -> None:
        self.count = 0
        self._table = np.zeros(0, np.int64)
        self._counts = np.zeros(0, np.uint16) if counted else None

    def add(self, numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Take in numbers, all different; which of them are new."""
        if self.count + len(numbers) > _FULL * len(self._table):
            self._grow(self.count + len(numbers))
        return self._insert(numbers)

    def holds(self, numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of these numbers are in it."""
        table = self._table
        found = np.zeros(len(numbers), np.bool_)
        if not self.count:
            return found
        at = self._places(numbers)
        left = np.arange(len(numbers))
        while len(left):
            held = table[at[left]]
            same = held == numbers[left]
            found[left[same]] = True
            left = left[~same & (held != 0)]
            at[left] = self._after(at[left])
        return found

    def under(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many are held under the prefix of each of these numbers, or more. Of a set that counts them only."""
        if self._counts is None:
            raise TypeError
        if not self.count:
            return np.zeros(len(numbers), np.int64)
        return self._counts[self._places(numbers // ORDERS)].astype(np.int64)

    def orders(self, prefix: int) -> int:
        """The order codes held under a prefix, a bit for each."""
        found = self.holds(prefix * ORDERS + _ALL_ORDERS)
        return int.from_bytes(np.packbits(found, bitorder="little").tobytes(), "little")

    def _places(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where to look first for each key; the high bits of a product are spread best (Knuth, multiplicative)."""
        spread = keys.view(np.uint64) * _ODD >> _HALF
        return (spread * np.uint64(len(self._table)) >> _HALF).view(np.int64)

    def _after(self, at: NDArray[np.int64]) -> NDArray[np.int64]:
        """The cells after these, round the end."""
        following = at + 1
        following[following == len(self._table)] = 0
        return following

    def _insert(self, numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
        table = self._table
        new = np.zeros(len(numbers), np.bool_)
        at = self._places(numbers)
        left = np.arange(len(numbers))
        while len(left):
            here = at[left]
            held = table[here]
            empty = held == 0
            table[here[empty]] = numbers[left[empty]]  # of several that want a cell, one gets it
            mine = table[here] == numbers[left]
            new[left[mine & empty]] = True
            left = left[~mine]
            at[left] = self._after(at[left])
        self.count += int(np.count_nonzero(new))
        if self._counts is not None:
            np.add.at(self._counts, self._places(numbers[new] // ORDERS), np.uint16(1))
        return new

    def _grow(self, count: int) -> None:
        """Make room for so many numbers."""
        old = self._table
        size = max(_SMALLEST, int(count / _AFTER))
        self._table, self.count = np.zeros(size, np.int64), 0
        if self._counts is not None:
            self._counts = np.zeros(size, np.uint16)
        for part in range(0, len(old), _PART):  # what it takes to move them is held for a part at a time
            some = old[part : part + _PART]
            self._insert(some[some != 0])


def longest_runs(near: NDArray[np.bool_], step: int) -> NDArray[np.int64]:
    """For each row the length of the run, `step` apart, that its middle is in; the middle is there."""
    middle = near.shape[1] // 2
    after, before = near[:, middle::step], near[:, middle::-step]
    reach = np.logical_and.accumulate(after, axis=1).sum(axis=1)
    reach += np.logical_and.accumulate(before, axis=1).sum(axis=1)
    lengths: NDArray[np.int64] = reach - 1
    return lengths


def read(numbers: Sequence[str]) -> tuple[NDArray[np.int64], int]:
    """The resident numbers among these as prefix * 1000 + order code, each once; and how many of these are resident."""
    text = "".join(numbers)
    if not text.isascii() or set(map(len, numbers)) != {_NUMBER_CHARS}:
        text = "".join([number for number in numbers if len(number) == _NUMBER_CHARS and number.isascii()])
    digits = np.frombuffer(text.encode("ascii"), np.uint8).reshape(-1, _NUMBER_CHARS)[:, :17] - _ZERO
    if not len(digits):
        return np.zeros(0, np.int64), 0
    if digits.max() > 9:
        digits = digits[(digits <= 9).all(axis=1)]  # what lies before "0" wraps round to large numbers
    sums = (digits.astype(np.float64) @ _PLACES).astype(np.int64)
    found = np.sort(sums[:, 0] * ORDERS + sums[:, 1])
    return found[np.flatnonzero(np.diff(found, prepend=-1))], len(found)
