"""Identity numbers of the demo world after GB 11643-1999, whole columns at a time, and the ways rosters miswrite them.

Owns: making valid, unique numbers, their 15-digit forms and the spellings clerks give them. Refuses: judging numbers;
`gateway.rules` does, and must agree.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gateway.demo.calendar import Days, compact

_WEIGHTS = np.array([7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2], np.int64)
"""GB 11643-1999, annex: 2^(18-i) mod 11 for place i."""
_CHECK = np.array(list("10X98765432"))
_POWERS = 10 ** np.arange(16, -1, -1, dtype=np.int64)
_SEQUENCES = 990
"""Order numbers in use here; even, so that a number keeps its parity (the sex) when it is counted on. In 15-digit
numbers 996 to 999 meant somebody born before 1900."""
_FULL_WIDTH = str.maketrans("0123456789X", "０１２３４５６７８９Ｘ")


def _bodies(county: NDArray[np.int64], birth_on: Days, sequence: NDArray[np.int64]) -> NDArray[np.int64]:
    return (county * 10**8 + compact(birth_on)) * 1_000 + sequence


def check_index(bodies: NDArray[np.int64]) -> NDArray[np.int64]:
    """Weighted sum modulo 11 of each 17-digit body; 2 stands for the check character X."""
    digits = bodies[:, None] // _POWERS % 10
    return (digits @ _WEIGHTS) % 11


def resident_numbers(
    rng: np.random.Generator,
    county: NDArray[np.int64],
    birth_on: Days,
    female: NDArray[np.bool_],
    want_x: NDArray[np.bool_],
) -> list[str]:
    """Unique 18-character numbers.

    Args:
        rng: source of the sequence digits.
        county: the issuing county's six digits.
        birth_on: date of birth.
        female: the sequence is even then.
        want_x: rows whose check character shall be X.
    """
    rows = len(county)
    sequence = rng.integers(1, _SEQUENCES // 2, rows) * 2 - (~female)
    bodies = _bodies(county, birth_on, sequence)
    wanting = np.flatnonzero(want_x)
    while True:
        pending = wanting[check_index(bodies[wanting]) != 2]
        if not pending.size:
            repeated = np.ones(rows, np.bool_)
            repeated[np.unique(bodies, return_index=True)[1]] = False
            pending = np.flatnonzero(repeated)
        if not pending.size:
            break
        sequence[pending] = (sequence[pending] + 2 * rng.integers(1, 400, pending.size)) % _SEQUENCES
        sequence[sequence == 0] = 2
        bodies[pending] = _bodies(county[pending], birth_on[pending], sequence[pending])
    checks = _CHECK[check_index(bodies)].tolist()
    return [f"{body}{check}" for body, check in zip(bodies.tolist(), checks, strict=True)]


def fifteen_digits(number: str) -> str:
    """The legacy form: century and check character left out. Only for people born from 1900 to 1999."""
    return number[:6] + number[8:17]


def lower_x(number: str) -> str:
    """With a lower-case check character."""
    return number.lower()


def full_width(number: str) -> str:
    """In full-width digits, as an input method leaves them."""
    return number.translate(_FULL_WIDTH)


def with_blanks(number: str) -> str:
    """With blanks before and behind, an ideographic one among them."""
    return f" {number}\u3000"


def wrong_check(number: str) -> str:
    """With a check character that does not fit: never valid, and no transposition of a valid number."""
    return number[:17] + ("0" if number[17] != "0" else "1")
