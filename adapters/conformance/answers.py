"""What an adapter said, as it was asked, and as it can be compared.

Owns: taking one person's part out of an answer, and telling whether an answer's columns fit each other. Refuses:
judging what they say (`adapters.conformance.cases`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adapters.contract import Evidence, Found, Lookup

_COMPARED = tuple(name for name in Evidence.INTEGER_COLUMNS if name != "subject")


@dataclass(frozen=True, slots=True)
class Answer:
    """A question and what came back."""

    question: Lookup
    found: Found


class Row(NamedTuple):
    """A row of evidence of one person."""

    kind: int
    department: int
    region: int
    observed_on: int
    available_on: int
    strength: int
    detail: int
    from_on: int
    until_on: int
    source_reference: str


class Said(NamedTuple):
    """All that is said of one row of a question; rows of evidence in no order."""

    holders: frozenset[tuple[str, str]]
    evidence: tuple[tuple[Row, int], ...]
    links: frozenset[tuple[str, int]]

    @property
    def known(self) -> bool:
        """Whether the source knows the person."""
        return bool(self.holders)

    @property
    def rows(self) -> list[Row]:
        """The rows of evidence, each as often as it was said."""
        return [row for row, times in self.evidence for _ in range(times)]

    def with_rows(self, rows: Iterable[Row]) -> Said:
        """The same with other rows of evidence."""
        return Said(self.holders, _counted(rows), self.links)

    def without_references(self) -> Said:
        """The same, had nobody asked for references."""
        return self.with_rows(row._replace(source_reference="") for row in self.rows)


NOTHING = Said(frozenset(), (), frozenset())


def said_of(found: Found, wanted: Sequence[int]) -> list[Said]:
    """What an answer says of some rows of its question. Bears columns that do not fit: other cases tell of them."""
    holders: dict[int, set[tuple[str, str]]] = {row: set() for row in wanted}
    links: dict[int, set[tuple[str, int]]] = {row: set() for row in wanted}
    evidence: dict[int, list[Row]] = {row: [] for row in wanted}
    held, linked, told = found.holders, found.links, found.evidence
    size = min(len(held.subject), len(held.held_id_number), len(held.held_name))
    for at in _rows_in(held.subject[:size], wanted):
        holders[int(held.subject[at])].add((held.held_id_number[at], held.held_name[at]))
    size = min(len(linked.subject), len(linked.id_number), len(linked.since_on))
    for at in _rows_in(linked.subject[:size], wanted):
        links[int(linked.subject[at])].add((linked.id_number[at], int(linked.since_on[at])))
    columns = [getattr(told, name) for name in _COMPARED]
    size = min(len(told.subject), len(told.source_reference), *(len(column) for column in columns))
    for at in _rows_in(told.subject[:size], wanted):
        cells = [int(column[at]) for column in columns]
        evidence[int(told.subject[at])].append(Row._make([*cells, told.source_reference[at]]))
    return [Said(frozenset(holders[row]), _counted(evidence[row]), frozenset(links[row])) for row in wanted]


def _rows_in(subject: NDArray[np.int32], wanted: Sequence[int]) -> list[int]:
    """Where a column of row numbers has one of those wanted."""
    if not len(wanted):
        return []
    table = np.zeros(max(wanted) + 1, np.bool_)
    table[list(wanted)] = True
    there = np.flatnonzero((subject >= 0) & (subject < len(table)))
    places: list[int] = there[table[subject[there]]].tolist()
    return places


def _counted(rows: Iterable[Row]) -> tuple[tuple[Row, int], ...]:
    return tuple(sorted(Counter(rows).items()))


def columns_fit(found: Found) -> bool:
    """Whether the columns of an answer have the same lengths and are 32-bit integers and texts."""
    holders, evidence, links = found.holders, found.evidence, found.links
    integers = [holders.subject, links.subject, links.since_on, found.unreadable]
    integers += [getattr(evidence, name) for name in Evidence.INTEGER_COLUMNS]
    return (
        all(isinstance(column, np.ndarray) and column.dtype == np.int32 and column.ndim == 1 for column in integers)
        and len(holders.subject) == len(holders.held_id_number) == len(holders.held_name)
        and len(links.subject) == len(links.id_number) == len(links.since_on)
        and {len(getattr(evidence, name)) for name in Evidence.INTEGER_COLUMNS} == {len(evidence.source_reference)}
    )


def subjects_fit(answer: Answer) -> bool:
    """Whether every row of an answer is about somebody of its question."""
    found, people = answer.found, len(answer.question.subjects)
    subjects = (found.holders.subject, found.evidence.subject, found.links.subject, found.unreadable)
    return all(not len(rows) or (int(rows.min()) >= 0 and int(rows.max()) < people) for rows in subjects)


def size_of(found: Found) -> tuple[int, int]:
    """Rows, and about how many bytes on the wire, of an answer."""
    holders, evidence, links = found.holders, found.evidence, found.links
    rows = len(holders.subject) + len(evidence.subject) + len(links.subject)
    texts = (holders.held_id_number, holders.held_name, evidence.source_reference, links.id_number)
    return rows, rows * 4 + len(evidence.subject) * 16 + sum(len(text) for column in texts for text in column)
