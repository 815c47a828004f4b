"""Since when the demo's benefits are paid: of those that a marriage, an adoption, work or age ends, where it matters.

Owns: a day for each recipient, before whatever ends the benefit in the case, and after the first marriage of a widow or
widower. Refuses: drawing anything: the start follows from the row, so that a world stays what it was.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from gateway.demo.calendar import Days
from gateway.demo.cases import CASES
from gateway.demo.histories import Rows
from gateway.demo.people import BENEFITS, People

_DEPENDANTS: Final = [BENEFITS.index("WORK_DEATH_DEPENDANT"), BENEFITS.index("NON_WORK_DEATH_DEPENDANT")]
_UNEMPLOYMENT: Final = BENEFITS.index("UNEMPLOYMENT")
_CHILD: Final = np.array([case.group == "child" for case in CASES])
_GRANTED_AT_DAYS: Final = 3 * 365
"""A child's age when the benefit was granted; the youngest is five, and adoptions are of the last four hundred days."""
_ONE_OF: Final = 16
"""Old marriages are in the registers of few: they were kept on paper."""
_MIXED: Final = 7_919
"""A prime, by which neighbouring rows get days far apart."""


def starts_of(people: People, rows: Rows, as_of_on: int) -> Days:
    """The first day of these people's benefits; 0 where it does not matter.

    Args:
        people: of the world.
        rows: of `people`.
        as_of_on: the world's today.
    """
    benefit = people.benefit[rows]
    mixed = rows * _MIXED
    start = np.where(np.isin(benefit, _DEPENDANTS), as_of_on - 800 - mixed % 2_500, 0)
    start = np.where(benefit == _UNEMPLOYMENT, as_of_on - 200 - mixed % 300, start)
    start = np.where(_CHILD[people.case[rows]], people.birth_on[rows] + _GRANTED_AT_DAYS, start)
    return np.where(start == 0, 0, np.maximum(start, 1)).astype(np.int32)


def widowed(people: People) -> Rows:
    """Dependants, alive and not children, whose marriage to the deceased worker is on record: whoever has a second one,
    and a few others.
    """
    others = people.of("active", "moderate")
    others = others[np.isin(people.benefit[others], _DEPENDANTS) & (others % _ONE_OF == 0)]
    return np.concatenate([people.of("remarried_dependant", "remarried_divorced"), others])
