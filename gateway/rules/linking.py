"""Registrations that belong together: one number twice, old and new numbers, one face.

Owns: which rows of a roster are one person, and which of them may not stand there (一人一号、一张脸一个待遇).
Refuses: the numbers themselves. Rows bring codes, whole numbers of which equal ones mean equal identity numbers, names
or face templates; whoever has the text makes them.

Rows are of one person when they bear the same number, or numbers that somebody knows to belong together (号码变更),
over any number of steps. A face never makes two rows one person: it is a doubt about both.

    TWICE          the same number draws benefits that exclude each other
    OTHER_NUMBER   one person draws them under different, linked numbers
    OTHER_NAME     one number under two names: two people of one number, or one of them is wrong (any benefits)
    OTHER_FACE     one face under two people (any benefits)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.rules.columns import Index, same_length
from wugan.federation.v1 import vocabulary_pb2 as words

Codes = NDArray[np.int64]

NO_CODE: Final = -1
"""In a column of names: none is known, which contradicts nothing."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Sparse pairs of a row and a code: a number linked to the row's person, a face under which it was certified."""

    row: Index
    code: Codes

    @staticmethod
    def none() -> Pairs:
        """No pairs."""
        return Pairs(np.zeros(0, np.intp), np.zeros(0, np.int64))


@dataclass(frozen=True, slots=True)
class Repeats:
    """Rows that may not stand beside an earlier one, in order of rows and kinds; a row may occur under several kinds.

    Args:
        row: the later row.
        first: the earliest row it repeats.
        kind: DuplicateKind.
    """

    row: Index
    first: Index
    kind: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.row)


def together(count: int, one: Index, other: Index) -> Index:
    """The smallest node that each of `count` nodes is connected with, over any number of steps.

    Every round hangs each group below its smallest neighbour and flattens what came of it; groups that are no smaller
    than a neighbour vanish, so that the rounds are few however long the chains are.

    Args:
        count: nodes, numbered from 0.
        one: the one end of every edge.
        other: its other end.
    """
    root = np.arange(count, dtype=np.intp)
    while True:
        ends = root[one], root[other]
        apart = ends[0] != ends[1]
        if not apart.any():
            return root
        low, high = np.minimum(*ends)[apart], np.maximum(*ends)[apart]
        np.minimum.at(root, high, low)
        while True:
            above = root[root]
            if np.array_equal(above, root):
                break
            root = above


def persons(number: Codes, links: Pairs) -> Index:
    """The smallest row of the person of each row.

    Args:
        number: of each row, as codes.
        links: numbers that belong to the person of a row, as codes of the same kind; they need not occur in the roster.
    """
    rows = len(number)
    _, code = np.unique(np.concatenate((number, links.code)), return_inverse=True)
    node = code.astype(np.intp) + rows
    root = together(
        rows + (int(code.max()) + 1 if code.size else 0),
        np.concatenate((np.arange(rows, dtype=np.intp), links.row)),
        node,
    )
    return root[:rows]


def repeats(number: Codes, name: Codes, exclusion: Codes, links: Pairs, faces: Pairs) -> Repeats:
    """What may not stand in one roster; the order of rows decides which of two is the first.

    Args:
        number: of each row.
        name: of each row, as it is compared; NO_CODE where none is known.
        exclusion: of each row, the class of its benefit: benefits of one class exclude each other.
        links: numbers that belong to the person of a row.
        faces: templates under which the person of a row passed a face check.

    Raises:
        RefusedError: columns of different lengths.
    """
    same_length(len(number), name=name, exclusion=exclusion)
    person = persons(number, links)
    every = np.arange(len(number), dtype=np.intp)
    parts = []

    row, first = _later(every, person, exclusion)
    kind = np.where(number[row] == number[first], words.DUPLICATE_KIND_TWICE, words.DUPLICATE_KIND_OTHER_NUMBER)
    parts.append((row, first, kind))

    named = (name != NO_CODE).nonzero()[0]
    row, first = _later(named, number[named])
    row, first = named[row], named[first]
    other = name[row] != name[first]
    parts.append((row[other], first[other], np.full(np.count_nonzero(other), words.DUPLICATE_KIND_OTHER_NAME)))

    place, first_place = _later(faces.row, faces.code)
    row, first = faces.row[place], faces.row[first_place]
    other = person[row] != person[first]
    parts.append((row[other], first[other], np.full(np.count_nonzero(other), words.DUPLICATE_KIND_OTHER_FACE)))

    row, first = (np.concatenate([part[at] for part in parts]) for at in (0, 1))
    kind = np.concatenate([part[2] for part in parts]).astype(np.int8)
    _, once = np.unique(row.astype(np.int64) * 8 + kind, return_index=True)
    return Repeats(row[once], first[once], kind[once])


def _later(order: Index, *keys: Codes | Index) -> tuple[Index, Index]:
    """Of entries with equal keys, the place of each but the first, and the place of the first; `order` says which comes
    before which.
    """
    if not len(order):
        return order, order
    places = np.lexsort((order, *reversed(keys)))
    begins = np.ones(len(places), np.bool_)
    begins[1:] = np.logical_or.reduce([key[places[1:]] != key[places[:-1]] for key in keys])
    start = np.maximum.accumulate(np.where(begins, np.arange(len(places)), 0))
    later = (~begins).nonzero()[0]
    return places[later], places[start[later]]
