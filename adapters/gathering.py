"""One answer as its record sets come in: holders, links and evidence of a question, in the rows of the question.

Owns: putting the blocks of several record sets together, leaving out what was not asked for, and what becomes of rows
that cannot be read. Refuses: half an answer: whoever fills it raises instead of calling `found`, and of whom a row
cannot be read nothing is told at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING

import numpy as np

from adapters.asked import Asked, normal
from adapters.contract import (
    MAX_CELL_BYTES,
    NO_FACES,
    NO_LINKS,
    NOBODY,
    Evidence,
    Faces,
    Found,
    Holders,
    Int32,
    Links,
    Lookup,
)
from adapters.errors import SourceFaultError
from adapters.faces import FACE_KIND
from adapters.held import Held
from adapters.mapping import LinkMapper, Mapped, Mapper, unused_row
from adapters.texts import Texts, taken
from adapters.unreadable import without
from adapters.wanted import FEW, only_wanted, wanted

if TYPE_CHECKING:
    from adapters.columnar import MappedColumns

_COLUMNS = ("kind", "region", "observed_on", "available_on", "strength", "detail", "from_on", "until_on")
_columns_of = attrgetter(*_COLUMNS)
_Block = tuple[Sequence[int], Sequence[str], Sequence[Sequence[int]]]
"""Rows of evidence: whose each is, by position, its reference, and the columns in the order of `_COLUMNS`."""


class Gathering:
    """What a question's record sets brought.

    Args:
        question: what was asked.
        asked: its numbers.
        department: whose evidence it is.

    Attributes:
        skipped: bad rows left out, as the manifest says.
        ignored: rows whose code is no evidence.
        unreadable: positions of those of whom a row cannot be read.
        why: what is wrong with the first of these rows, as it stands in quarantine; nothing of the row itself.
    """

    def __init__(self, question: Lookup, asked: Asked, department: int) -> None:
        self._question = question
        self._asked = asked
        self._department = department
        self._holders: dict[tuple[int, str], None] = {}
        self._links: dict[tuple[int, str], int] = {}
        self._blocks: list[_Block] = []
        self._held_columns: Held | None = None
        self._parts: list[Evidence] = []
        self._faces: list[tuple[int, bytes, int, int]] = []
        self.skipped = 0
        self.ignored = 0
        self.unreadable: set[int] = set()
        self.why = ""

    def add_rows(self, mapper: Mapper, columns: Sequence[Sequence[object]]) -> None:
        """A block of a record set's rows, as columns in the mapper's order.

        Raises:
            SourceFaultError: someone else's record, or see `leave_out`.
        """
        if not columns or not columns[0]:
            return
        positions = self._asked.find(columns[0], mapper.name)
        self.add(
            mapper, positions, mapper.map(columns, references=self._question.references, faces=self._question.faces)
        )

    def add(self, mapper: Mapper, positions: Sequence[int], mapped: Mapped) -> None:
        """A block already mapped: `positions` says for each of its rows whose it is.

        Raises:
            SourceFaultError: see `leave_out`.
        """
        if mapped.bad:
            self._settle_bad(mapper, positions, mapped.bad)
        self.ignored += mapped.ignored
        held = map(positions.__getitem__, mapped.holder_row)
        self._holders.update(dict.fromkeys(zip(held, mapped.name, strict=True)))
        if not mapped.row:
            return
        for i, token in enumerate(mapped.face):
            if token and mapped.row[i] not in mapped.bad:
                self._faces.append((positions[mapped.row[i]], token, mapped.observed_on[i], mapped.region[i]))
        references: Sequence[str] = mapped.source_reference
        columns: Sequence[Sequence[int]] = _columns_of(mapped)
        if mapped.bad:
            good = [i for i, row in enumerate(mapped.row) if row not in mapped.bad]
            positions = [positions[mapped.row[i]] for i in good]
            references, columns = [references[i] for i in good], [[column[i] for i in good] for column in columns]
        elif len(mapped.row) < len(positions):
            positions = [positions[row] for row in mapped.row]
        if positions:
            self._blocks.append((positions, references, columns))

    def add_columns(self, mapper: Mapper, positions: Int32, mapped: MappedColumns) -> None:
        """A block of whole columns; see `add`."""
        self._settle_bad(mapper, positions, mapped.bad)
        self.ignored += mapped.ignored
        if self._held_columns is None:
            self._held_columns = Held(self._asked)
        self._held_columns.add(positions, mapped.name, mapped.counts)
        rows, columns, references = mapped.row, mapped.columns, mapped.source_reference
        every = positions
        if not len(rows):
            return
        if mapped.bad:
            rows = rows[~np.isin(rows, np.fromiter(mapped.bad, np.intp, len(mapped.bad)))]
        asked_for = wanted(self._question, columns["kind"][rows], columns["observed_on"][rows])
        if asked_for is not None:
            rows = rows[asked_for]
        if len(rows) < len(positions):  # each column is taken apart once, whatever was left out
            positions = positions[rows]
            columns = {name: column[rows] for name, column in columns.items()}
            references = None if references is None else references.gather(rows)
        for row, token in mapped.face:
            if row not in mapped.bad:
                day, region = (int(mapped.columns[name][row]) for name in ("observed_on", "region"))
                self._faces.append((int(every[row]), token, day, region))
        texts = Texts.blank(len(rows)) if references is None else Texts(references)
        columns = {**columns, "department": np.full(len(rows), self._department, np.int32)}
        self._parts.append(self._spread_evidence(positions, columns, texts))

    def leave_out(self, position: int, records: str, why: str) -> None:
        """Somebody of whom a row cannot be read: nothing is told about that person.

        Raises:
            SourceFaultError: whoever asks takes no answer without somebody.
        """
        if not self._question.takes_unreadable:
            raise unused_row(records, why)
        self.unreadable.add(position)
        self.why = self.why or why

    def _settle_bad(self, mapper: Mapper, positions: Sequence[int] | Int32, bad: Mapping[int, str]) -> None:
        """Apply the record set's policy on bad rows."""
        if mapper.skips_bad_rows:
            self.skipped += len(bad)
            return
        for row, why in bad.items():
            self.leave_out(int(positions[row]), mapper.name, why)

    def add_links(self, mapper: LinkMapper, columns: Sequence[Sequence[object]]) -> None:
        """A block of links.

        Raises:
            SourceFaultError: a pair of which neither number was asked.
        """
        if columns and columns[0]:
            self.add_pairs(mapper, *mapper.map(columns))

    def add_pairs(
        self, mapper: LinkMapper, numbers: Iterable[object], others: Iterable[object], days: Iterable[int]
    ) -> None:
        """Links already mapped; see `add_links`."""
        asked = self._asked
        for number, other, since in zip(numbers, others, days, strict=True):
            forward = asked.position(number)
            back = asked.position(other) if mapper.both_ways else None
            if forward is None and back is None:
                raise SourceFaultError(
                    "the links returned a pair of somebody who was not asked about; nothing was used",
                    "号码关联返回了未查询人员的记录，整个结果未予采用",
                )
            if forward is not None:
                self._link(forward, other, since)
            if back is not None:
                self._link(back, number, since)

    def _link(self, position: int, value: object, since: int) -> None:
        number = normal(value)
        if not number or number == self._asked.numbers[position]:
            return
        if len(number.encode("utf-8", "replace")) > MAX_CELL_BYTES:
            raise SourceFaultError("a linked number is too long", "关联号码过长")
        self._links.setdefault((position, number), since)
        self._holders.setdefault((position, ""))

    def found(self, complete_until_on: int = 0) -> Found:
        """The answer."""
        found = Found(
            holders=self._held(),
            evidence=only_wanted(self._question, self._evidence()),
            links=self._linked() if self._links else NO_LINKS,
            complete_until_on=complete_until_on,
            faces=self._shown() if self._faces else NO_FACES,
            unreadable=NOBODY,
        )
        if not self.unreadable:
            return found
        unreadable, _ = self._asked.spread(np.array(sorted(self.unreadable), np.int32))
        return without(found, unreadable, len(self._question.subjects))

    def _held(self) -> Holders:
        positions: list[int] = []
        names: list[str] = []
        for position, name in self._holders:
            positions.append(position)
            names.append(name)
        if self._held_columns is not None:
            if names:
                self._held_columns.add_names(np.array(positions, np.int32), names)
            return self._held_columns.holders()
        numbers = self._asked.numbers
        held = list(map(numbers.__getitem__, positions))
        if len(positions) <= FEW and self._asked.rows is None:
            return Holders.of_few(positions, held, names)
        subject, source = self._asked.spread(np.array(positions, np.int32))
        if source is None:
            return Holders(subject, held, names)
        return Holders(subject, taken(held, source), taken(names, source))

    def _linked(self) -> Links:
        subject, source = self._asked.spread(np.array([position for position, _ in self._links], np.int32))
        others = [number for _, number in self._links]
        days = np.array(list(self._links.values()), np.int32)
        return Links(subject, others, days) if source is None else Links(subject, taken(others, source), days[source])

    def _shown(self) -> Faces:
        since = self._question.traces_since_on
        found = Faces.newest(row for row in self._faces if row[2] >= since)
        if self._question.kinds and FACE_KIND not in self._question.kinds:
            return NO_FACES
        subject, source = self._asked.spread(found.subject)
        return found if source is None else replace(found.take(source), subject=subject)

    def _evidence(self) -> Evidence:
        parts = self._parts
        if self._blocks:
            parts = [*parts, self._of_rows(*self._blocks[0] if len(self._blocks) == 1 else _joined(self._blocks))]
        return parts[0] if len(parts) == 1 else Evidence.concatenate(parts)

    def _of_rows(
        self, positions: Sequence[int], references: Sequence[str], columns: Sequence[Sequence[int]]
    ) -> Evidence:
        """Rows of evidence for the rows of the question that the positions of a block stand for."""
        kind, *others = columns
        lists = [positions, kind, [self._department] * len(positions), *others]
        if len(positions) <= FEW and self._asked.rows is None:
            return Evidence.of_few(lists, references)
        # One array for all columns: of a few rows an array takes longer to make than to fill.
        table = np.array(lists, np.int32)
        subject, source = self._asked.spread(table[0])
        if source is not None:
            table, references = table[:, source], taken(references, source)
        return Evidence(
            subject=subject,
            kind=table[1],
            department=table[2],
            region=table[3],
            observed_on=table[4],
            available_on=table[5],
            strength=table[6],
            source_reference=references,
            detail=table[7],
            from_on=table[8],
            until_on=table[9],
        )

    def _spread_evidence(self, position: Int32, columns: dict[str, Int32], references: Sequence[str]) -> Evidence:
        """Rows of evidence for the rows of the question that their positions stand for."""
        subject, source = self._asked.spread(position)
        if source is not None:
            columns = {name: column[source] for name, column in columns.items()}
            references = taken(references, source)
        return Evidence(subject=subject, source_reference=references, **columns)


def _joined(blocks: Sequence[_Block]) -> _Block:
    """Several blocks as one."""
    positions, references, columns = zip(*blocks, strict=True)
    whole = [list(chain.from_iterable(column)) for column in zip(*columns, strict=True)]
    return list(chain.from_iterable(positions)), list(chain.from_iterable(references)), whole
