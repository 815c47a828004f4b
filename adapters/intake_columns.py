"""Taking a large CSV file into the index in columns, instead of row by row.

Owns: which files go this way, and blocks of columns from the file to the segment, with the same rows left out for the
same reasons as row by row. Refuses: files whose rows replace one another or are told of: these are compared row by row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from adapters.asked import BLANKS, normal
from adapters.blocks import Block, blocks
from adapters.columnar import ColumnMapper, MappedColumns
from adapters.distinct import Codes, days
from adapters.mapping import Mapper
from adapters.rows import Row
from adapters.segments import COLUMNS, SegmentWriter
from adapters.tabular import Table, format_of
from adapters.tags import RESIDENT
from adapters.values import DateReader, wrong_number

if TYPE_CHECKING:
    import polars as pl

    from adapters.manifest.sources import FileSet

LARGE_BYTES: Final = 4 << 20
"""From this size on a snapshot goes in this way. There is one of it at a time."""
LARGE_INCREMENT_BYTES: Final = 16 << 20
MAX_SEGMENTS: Final = 32
"""Of one record set: every lookup looks into each. Further files go in row by row."""


def column_blocks(path: Path, settings: FileSet, table: Table) -> Iterator[Block | Iterator[Row]] | None:
    """The blocks of a file that can go in this way; None: it cannot."""
    if format_of(path, settings) != "csv" or settings.key:
        return None
    return blocks(path, settings, table)


class ColumnIntake:
    """Takes in one file.

    Args:
        mapper: of its record set.
        places: where the mapper's columns stand in the file, then that of the date up to which it is complete.
        newest: reader of that date.
        segment: to be written.
        today: a later date tells nothing of completeness.
    """

    def __init__(
        self, mapper: Mapper, places: Sequence[int], newest: DateReader | None, segment: SegmentWriter, today: int
    ) -> None:
        self._mapper = ColumnMapper(mapper, ["text"] * len(mapper.columns))
        self._places = places
        self._newest = newest
        self._today = today
        self._codes = Codes()
        self.segment = segment
        self.number_at = places[0]
        self.newest_on = 0

    def write(self, columns: Sequence[pl.Series]) -> dict[int, str]:
        """Take in a block of all columns of the file; which of its rows are bad, and why."""
        numbers, wrong = _numbers(columns[self._places[0]])
        if self._newest is not None and len(wrong) < len(numbers):
            told = days(columns[self._places[-1]], "text", self._newest, self._codes)
            told[list(wrong)] = 0
            told[told > self._today] = 0
            self.newest_on = max(self.newest_on, int(told.max()))
        wanted = [columns[at] for at in self._places[: len(self._mapper.mapper.columns)]]
        wanted[0] = numbers
        mapped = self._mapper.map(wanted, references=True)
        bad = {**mapped.bad, **wrong}
        keep = np.ones(len(numbers), np.bool_) if mapped.counts is None else mapped.counts.copy()
        keep[list(bad)] = False
        self._add(numbers, mapped, np.flatnonzero(keep))
        return bad

    def _add(self, numbers: pl.Series, mapped: MappedColumns, rows: np.ndarray[tuple[int], np.dtype[np.intp]]) -> None:
        import polars as pl

        blank = pl.repeat("", len(numbers), dtype=pl.String, eager=True)
        names = blank if mapped.name is None else mapped.name.str.strip_chars(BLANKS)
        references = blank if mapped.source_reference is None else mapped.source_reference
        evidence = np.zeros(len(numbers), np.bool_)
        evidence[mapped.row] = True
        told = {
            name: np.where(evidence, mapped.columns[name], 0).astype(np.int32)[rows]
            if name in mapped.columns
            else np.zeros(len(rows), np.int32)
            for name in COLUMNS
        }
        if not evidence.all():
            references = references.zip_with(pl.Series(evidence), blank)
        if len(rows) < len(numbers):
            numbers, names, references = numbers.gather(rows), names.gather(rows), references.gather(rows)
        self.segment.add(numbers, names, told, references)


def _numbers(column: pl.Series) -> tuple[pl.Series, dict[int, str]]:
    """Identity numbers as the contract writes them, and the rows that hold none."""
    bad: dict[int, str] = {}
    others = np.flatnonzero(~column.str.contains(RESIDENT).to_numpy())
    if not len(others):
        return column, bad
    cells = column.gather(others).to_list()
    for at, cell in zip(others.tolist(), cells, strict=True):
        wrong = wrong_number(cell)
        if wrong:
            bad[at] = wrong
    return column.clone().scatter(others, [normal(cell) for cell in cells]), bad


def block_of(rows: Sequence[Row], width: int) -> list[pl.Series]:
    """Rows of texts as columns."""
    import polars as pl

    return [pl.Series([row.cells[at] for row in rows], dtype=pl.String) for at in range(width)]
