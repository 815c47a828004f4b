"""Which rows of the demo's civil affairs files a tired clerk spoilt, and about whom the department cannot speak for it.

Owns: the places of spoilt rows and what is wrong with each, known to who writes the files and to the truth alike.
Refuses: writing files (`gateway.demo.systems.civil_affairs`), and judging.

A gateway tells nothing of a department that holds a row about somebody which it cannot read, not even what it can: the
answer is incomplete, and nobody is certified by it (docs/adr/0062-unreadable-rows-are-one-persons.md). So nothing that
only this department could tell may be expected of the answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.demo.histories import Events
from wugan.adapter.v1 import vocabulary_pb2 as words

_GOOD_PER_BAD: Final = 15
"""A spoilt row behind every so many good ones: a copy of the last."""

MARRIAGES: Final = (words.EVIDENCE_KIND_MARRIAGE, words.EVIDENCE_KIND_DIVORCE)
REGISTERS: Final[tuple[tuple[int, ...], ...]] = (
    (words.EVIDENCE_KIND_CREMATION,),
    (words.EVIDENCE_KIND_BURIAL,),
    MARRIAGES,
    (words.EVIDENCE_KIND_ADOPTION,),
)
"""Kinds of each file of events, in the order of its rows. The subsidy is a trace: without one somebody is only graded
lower, so that its spoilt rows are left out and the rest is told."""
DEATHS: Final = (words.EVIDENCE_KIND_CREMATION, words.EVIDENCE_KIND_BURIAL)
FLAGS: Final = frozenset({"REMARRIED", "ADOPTED"})
"""EntitlementFlags without prefix that only these files tell of."""


class Spoilt(Enum):
    """What is wrong with a row."""

    NO_NUMBER = 0
    NO_SUCH_DAY = 1
    CUT_SHORT = 2


def spoilt_behind(place: int) -> Spoilt | None:
    """What is wrong with the copy behind a file's good row, None where there is none.

    Args:
        place: of the good row among the file's, from 1.
    """
    return None if place % _GOOD_PER_BAD else Spoilt(place // _GOOD_PER_BAD % len(Spoilt))


def unread_events(events: Events) -> NDArray[np.int64]:
    """The events whose copy is spoilt and still says whose it is.

    Args:
        events: of the world, in order of province and kind.
    """
    found: list[int] = []
    for province in np.unique(events.province).tolist():
        first, last = events.of_province(province)
        of_kind = events.kind[first:last]
        for register in REGISTERS:
            rows = np.concatenate([np.flatnonzero(of_kind == kind) for kind in register]) + first
            places = range(_GOOD_PER_BAD, rows.size + 1, _GOOD_PER_BAD)
            found += [int(rows[place - 1]) for place in places if spoilt_behind(place) is not Spoilt.NO_NUMBER]
    return np.array(sorted(found), np.int64)


def flags_told(flags: Iterable[str]) -> tuple[str, ...]:
    """The flags that are left to other departments to tell."""
    return tuple(flag for flag in flags if flag not in FLAGS)
