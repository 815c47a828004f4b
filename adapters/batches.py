"""A question about more people than an adapter takes, asked in parts.

Owns: cutting, and putting the parts' answers together in the rows of the whole. Refuses: part of an answer: what fails
in one part fails whole.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace

import numpy as np

from adapters.contract import Evidence, Faces, Found, Holders, Links, Lookup, Subjects
from adapters.texts import joined


def cut(subjects: Subjects, size: int) -> Iterator[tuple[int, Subjects]]:
    """The people in parts of that size at most, each with the row of its first in the whole."""
    aliases = list(zip(subjects.alias_subject, subjects.alias_id_number, strict=True))
    for start in range(0, len(subjects), size):
        inside = [(row - start, number) for row, number in aliases if start <= row < start + size]
        yield (
            start,
            Subjects(
                subjects.id_number[start : start + size],
                subjects.name[start : start + size],
                [row for row, _ in inside],
                [number for _, number in inside],
            ),
        )


async def in_batches(lookup: Callable[[Lookup], Awaitable[Found]], question: Lookup, size: int) -> Found:
    """Ask in parts, one after another, so that an adapter is not asked more at once than it said.

    Args:
        lookup: asks about one part.
        question: about more than `size` people.
        size: people in a part at most.
    """
    parts = [
        (start, await lookup(replace(question, subjects=subjects))) for start, subjects in cut(question.subjects, size)
    ]
    return together(parts)


def together(parts: list[tuple[int, Found]]) -> Found:
    """The answers of parts as the answer of the whole; each with the row of its first person."""
    return Found(
        holders=Holders(
            np.concatenate([found.holders.subject + np.int32(start) for start, found in parts]),
            joined([found.holders.held_id_number for _, found in parts]),
            joined([found.holders.held_name for _, found in parts]),
        ),
        evidence=Evidence.concatenate(
            [replace(found.evidence, subject=found.evidence.subject + np.int32(start)) for start, found in parts]
        ),
        links=Links(
            np.concatenate([found.links.subject + np.int32(start) for start, found in parts]),
            joined([found.links.id_number for _, found in parts]),
            np.concatenate([found.links.since_on for _, found in parts]),
        ),
        complete_until_on=min(found.complete_until_on for _, found in parts),
        faces=Faces.concatenate(
            [replace(found.faces, subject=found.faces.subject + np.int32(start)) for start, found in parts]
        ),
        unreadable=np.concatenate([found.unreadable + np.int32(start) for start, found in parts]),
    )
