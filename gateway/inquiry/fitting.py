"""Whether a source's answer fits the question and what its adapter described. I/O-free.

Owns: the form of an answer: columns of one length, numbers in range, and of people whom the source knows. Refuses: what
is made of an answer that fits, and whether the numbers that it holds are those asked for (`gathering` does both).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from adapters.contract import Description, Evidence, Found, Holders
from adapters.faces import FACE_KIND, FACE_TOKEN_BYTES
from wugan.adapter.v1 import vocabulary_pb2 as words

COLUMNS_FROM = 256
"""So many holders or more are looked at in whole columns."""

_STRENGTHS = 1 + max(words.Strength.values())
_STRENGTHS_KNOWN = frozenset(range(_STRENGTHS))


def fits_question(found: Found, count: int, about: Description) -> bool:
    """Whether the columns of an answer fit each other, the question and what the adapter described."""
    holders, evidence, links, faces = found.holders, found.evidence, found.links, found.faces
    rows, linked, shown = len(evidence), len(links.subject), len(faces.subject)
    if len(found.unreadable) and not _silent_about(found, count):
        return False
    held = len(holders)
    fits = (
        held == len(holders.held_id_number) == len(holders.held_name)
        and linked == len(links.id_number) == len(links.since_on)
        and (about.links or not linked)
        and len(faces.token) == len(faces.observed_on) == len(faces.region) == shown
        and (not shown or (FACE_KIND in about.kinds and {FACE_TOKEN_BYTES}.issuperset(map(len, faces.token))))
        and len(evidence.source_reference) == rows
        and {rows}.issuperset(map(len, evidence.columns()))
    )
    if not fits:
        return False
    if rows < COLUMNS_FROM and held < COLUMNS_FROM and not linked and not shown:
        return _few_fit(holders, evidence, count, about)
    return _columns_fit(found, count, about)


def _silent_about(found: Found, count: int) -> bool:
    """Whether a source says nothing of those whom it cannot read about, who are in range and each told of once."""
    if not (_in_range(found.unreadable, count) and _in_range(found.holders.subject, count)):
        return False
    mask = np.zeros(count, np.bool_)
    mask[found.unreadable] = True
    return np.count_nonzero(mask) == len(found.unreadable) and not np.count_nonzero(mask[found.holders.subject])


def _few_fit(holders: Holders, evidence: Evidence, count: int, about: Description) -> bool:
    """Whether the numbers in a few rows, without links and faces, are in range and of people whom the source knows."""
    held = set(holders.rows())
    told, kind, department, _, _, _, strength, *_ = evidence.lists()
    return (
        (not held or (min(held) >= 0 and max(held) < count))
        and held.issuperset(told)
        and _STRENGTHS_KNOWN.issuperset(strength)
        and {about.department}.issuperset(department)
        and about.kinds.issuperset(kind)
    )


def _columns_fit(found: Found, count: int, about: Description) -> bool:
    """The same for many rows, or with links and faces."""
    holders, evidence, links, faces = found.holders, found.evidence, found.links, found.faces
    rows, linked, shown = len(evidence), len(links.subject), len(faces)
    if not (
        _in_range(holders.subject, count)
        and _in_range(links.subject, count)
        and _in_range(faces.subject, count)
        and _in_range(evidence.subject, count)
        and _in_range(evidence.strength, _STRENGTHS)
    ):
        return False
    known = np.zeros(count, np.bool_)
    known[holders.subject] = True
    if linked and np.count_nonzero(known[links.subject]) != linked:
        return False
    if shown and np.count_nonzero(known[faces.subject]) != shown:
        return False
    return not rows or bool(
        np.count_nonzero(known[evidence.subject]) == rows
        and np.count_nonzero(evidence.department == about.department) == rows
        and _described(evidence.kind, about)
    )


def _described(kinds: NDArray[np.int32], about: Description) -> bool:
    """Whether all kinds are among those that the adapter described."""
    if len(kinds) < COLUMNS_FROM:
        return about.kinds.issuperset(kinds.tolist())
    table = np.zeros(1 + max(about.kinds, default=0), np.bool_)
    table[list(about.kinds)] = True
    return _in_range(kinds, len(table)) and bool(table[kinds].all())


def _in_range(rows: NDArray[np.int32], count: int) -> bool:
    # As unsigned numbers negative ones are beyond every count.
    return not len(rows) or int(rows.view(np.uint32).max()) < count
