"""Rows of dropped files into the index's database, block by block.

Owns: what becomes of a mapped block there: sealed, under its keys, in order. Refuses: files and blocks as such.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from adapters import touched
from adapters.aside import Aside
from adapters.asked import normal
from adapters.index import Index, IndexedRow, taken_back
from adapters.mapping import LinkMapper
from adapters.parts import Part
from adapters.values import text_of


class RowWriter:
    """Writes blocks of one file into the index, in order.

    Args:
        index, connection: of the index, within a transaction.
        part: whose rows they are.
        file: of the index.
        aside: where bad rows are noted.
    """

    def __init__(self, index: Index, connection: sqlite3.Connection, part: Part, file: int, aside: Aside) -> None:
        self._index = index
        self._connection = connection
        self._part = part
        self._file = file
        self._aside = aside
        columns = part.columns()
        self._keys = [columns.index(name) for name in part.files.key]

    def write(self, columns: Sequence[Sequence[object]]) -> dict[int, str]:
        """Write a block; which of its rows are bad, and why."""
        keys = self._row_keys(columns)
        mapper = self._part.mapper
        if isinstance(mapper, LinkMapper):
            self._index.add(self._connection, self._links(mapper, columns, keys))
            return {}
        mapped = mapper.map(columns)
        people = [str(number) for number in columns[0]]
        evidence = {row: i for i, row in enumerate(mapped.row)}
        seal, person_of = self._index.keys.seal, self._index.keys.person
        counted = set(mapped.holder_row)
        rows: dict[int, IndexedRow] = {
            row: taken_back(self._part.name, self._file, key)
            for row, key in enumerate(keys)
            if key is not None and row not in counted
        }
        some_taken_back = bool(rows)
        for row, name in zip(mapped.holder_row, mapped.name, strict=True):
            if row in mapped.bad:
                continue
            person = person_of(people[row])
            head = (self._part.name, person, self._file, keys[row], seal(name, person))
            i = evidence.get(row)
            if i is None:
                rows[row] = (*head, 0, 0, 0, 0, 0, "", 0, 0, 0)
                continue
            rows[row] = (
                *head,
                mapped.kind[i],
                mapped.region[i],
                mapped.observed_on[i],
                mapped.available_on[i],
                mapped.strength[i],
                mapped.source_reference[i],
                mapped.detail[i],
                mapped.from_on[i],
                mapped.until_on[i],
            )
        if self._part.monitored:
            sealed = {row[1]: (row[1], row[4]) for row in rows.values()}
            known = ((number, person_of(number)) for number in people)
            touched.know(
                self._connection, ((who, seal(number, who), sealed[who][1]) for number, who in known if who in sealed)
            )
        # In the order of the file: of several rows with the same key the last counts.
        ordered = (rows[row] for row in sorted(rows)) if some_taken_back else rows.values()
        self._index.add(self._connection, ordered)
        self._aside.settle(people, keys, mapped.bad, keyed=bool(self._keys))
        return mapped.bad

    def _row_keys(self, columns: Sequence[Sequence[object]]) -> list[bytes | None]:
        if not self._keys:
            return [None] * len(columns[0])
        cells = zip(*(columns[at] for at in self._keys), strict=True)
        return [self._index.keys.row([text_of(cell) for cell in row]) for row in cells]

    def _links(
        self, mapper: LinkMapper, columns: Sequence[Sequence[object]], keys: Sequence[bytes | None]
    ) -> list[IndexedRow]:
        rows: list[IndexedRow] = []
        vault, part, file = self._index.keys, self._part.name, self._file

        def back_of(key: bytes | None) -> bytes | None:
            return None if key is None else vault.row([key.hex(), "back"])

        told = zip(*mapper.map(columns), strict=True)
        kept = mapper.filter.keep(columns) or [1] * len(keys)
        for key, counts in zip(keys, kept, strict=True):
            if not counts:
                if key is not None:
                    rows += [taken_back(part, file, each) for each in (key, back_of(key)) if each is not None]
                continue
            number, other, since = next(told)
            pairs = [(normal(number), normal(other), key)]
            if mapper.both_ways:
                pairs.append((normal(other), normal(number), back_of(key)))
            for one, two, own_key in pairs:
                if one and two:
                    person = vault.person(one)
                    rows.append((part, person, file, own_key, vault.seal(two, person), 0, 0, since, 0, 0, "", 0, 0, 0))
        return rows
