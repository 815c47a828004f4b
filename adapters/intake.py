"""Taking dropped files into the index: when a file is whole, what of it is used, and what is quarantined.

Owns: which files count and in which order, the reading of each version once, bad rows with their reasons (mode 0600),
and the rejection of whole files. Refuses: half-written files, and guessing at a row that does not read.

A file is taken when it has rested where it lies (`adapters.dropping`), and if it is still the same after reading.
"""

from __future__ import annotations

import csv
import fnmatch
import os
import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from adapters import intake_columns, touched
from adapters.aside import Aside
from adapters.asked import normal
from adapters.bad_rows import both
from adapters.blocks import Block
from adapters.dropping import Drop, Dropped, Look, NotYetError
from adapters.index import Index
from adapters.intake_columns import MAX_SEGMENTS, ColumnIntake, block_of, column_blocks
from adapters.intake_rows import RowWriter
from adapters.kinds.common import day_before
from adapters.manifest.sources import FileSet
from adapters.mapping import LinkMapper, Mapper
from adapters.parts import Part
from adapters.rows import FileRejectedError, ReadingEndedError, Row
from adapters.tabular import Table, format_of
from adapters.values import text_of, wrong_number

if TYPE_CHECKING:
    import polars as pl

LOSS_FROM_ROWS = 1_000
"""Of a snapshot; a smaller one may well become much smaller."""
EMPTIED_FROM_ROWS = 20
_EMPTIED = 0.9
"""A smaller one, from so many rows on, is held back as well where a larger share is gone: an export that failed."""
MAX_WORKBOOK_FILE_BYTES = 256 * 2**20
_RUNS = re.compile(r"[\s\x00-\x1f]*[=+\-@＝＋－＠|%\t\r\n]")
_BLOCK = 5_000
_TRIED = 50
_QUARANTINED_AT_MOST = 10_000
_LINKS = "links"
_log = structlog.stdlib.get_logger(__name__)


class _Counts:
    """How a file goes in."""

    def __init__(self) -> None:
        self.rows = 0
        self.bad: list[tuple[int, str, Sequence[object]]] = []
        self.bad_rows = 0
        self.newest_on = 0
        self.aside: Aside | None = None

    def add_bad(self, row: Row, reason: str) -> None:
        self.bad_rows += 1
        if len(self.bad) < _QUARANTINED_AT_MOST:
            self.bad.append((row.number, reason, row.cells))

    def add_broken(self, row: Row) -> None:
        """A row whose cells may stand in other columns than their own."""
        self.add_bad(row, row.wrong)
        if self.aside is not None:
            self.aside.add_broken(row.cells, row.wrong)

    def first(self) -> tuple[str, str]:
        """The first of the bad rows, in English and in Chinese."""
        number, reason, _ = self.bad[0]
        return both(number, reason)

    def require(self, max_bad_share: float) -> None:
        """Return where no larger share of the rows is bad.

        Raises:
            FileRejectedError: it is.
        """
        if self.bad_rows > self.rows * max_bad_share:
            en, zh = self.first()
            raise FileRejectedError(
                f"{self.bad_rows} bad rows of {self.rows}; {en}",
                f"{self.rows} 行中有 {self.bad_rows} 行有误；{zh}",
            )

    def require_kept(self, before: int, max_loss: float) -> None:
        """Return where no larger share of the rows of a snapshot before is gone: half a file is whole by its looks.

        Raises:
            FileRejectedError: it is.
        """
        borne = max_loss
        if before < LOSS_FROM_ROWS:
            borne = max(max_loss, _EMPTIED) if before >= EMPTIED_FROM_ROWS else 1.0
        if self.rows < before * (1 - borne):
            raise FileRejectedError(
                f"{self.rows} rows, {before} in the snapshot before; if that is right, set max_loss: 1, drop it again,"
                " and take the setting back",
                f"仅 {self.rows} 行，而上一快照有 {before} 行；如确属实，请设 max_loss: 1 后重新投递，再恢复原设置",
            )


class Intake:
    """What is dropped for one adapter.

    Args:
        drop: where files are dropped.
        quarantine: where bad rows go.
        max_file_bytes: a larger file is rejected.
        index: where good rows go.
        parts: what is read.
        now_ms: Unix time in milliseconds.

    Attributes:
        others: files at the last look that no record set names.
        waiting: files at the last look that had not rested.
        bad: by record set, a bad row of a file that was taken in since the start, in English and in Chinese.
    """

    def __init__(
        self,
        *,
        drop: Drop,
        quarantine: Path,
        max_file_bytes: int,
        index: Index,
        parts: Sequence[Part],
        now_ms: Callable[[], int],
    ) -> None:
        self._drop = drop
        self._quarantine = quarantine
        self._max_file_bytes = max_file_bytes
        self._index = index
        self._parts = parts
        self._now_ms = now_ms
        self.stopped = False
        self.others = 0
        self.waiting = 0
        self.bad: dict[str, tuple[str, str]] = {}

    def scan(self) -> None:
        """Take in what has come. Blocks; for a thread.

        Raises:
            OSError, SourceDownError: it cannot be looked where files are dropped, or one cannot be read.
        """
        with self._drop.look() as look:
            patterns = [part.files.pattern for part in self._parts]
            named = [file for file in look.files if any(fnmatch.fnmatchcase(file.name, each) for each in patterns)]
            self.others = len(look.files) - len(named)
            self.waiting = sum(not file.version for file in named)
            for part in self._parts:
                self._scan(part, look)

    def stop(self) -> None:
        """Take in no more, and end what is under way."""
        self.stopped = True
        self._drop.stop()

    def _scan(self, part: Part, look: Look) -> None:
        known = self._index.files(part.name)
        mine = [file for file in look.files if fnmatch.fnmatchcase(file.name, part.files.pattern)]
        there = {file.name for file in mine}
        for name, state in known.items():
            if state.rejected and name not in there and not state.is_awaited:
                self._index.forget_rejected(state)
        if part.files.mode == "snapshot":
            in_force = max((name for name, state in known.items() if state.counts), default="")
            # An older one is no news, not even when the one in force has been taken away.
            mine = [file for file in mine[-1:] if file.name >= in_force]
        for file in mine:
            if file.version and (file.name not in known or known[file.name].version != file.version):
                self._take(part, file, look)
        self._begin(part)

    def _begin(self, part: Part) -> None:
        """Tell changes from the next file on: what the first ones bring is no news."""
        if part.monitored and not self._index.begun(part.name):
            whole = any(not file.rejected for file in self._index.files(part.name).values())
            if whole or part.files.mode == "increment":
                self._index.begin(part.name)

    def first_number(self) -> str:
        """Some number in the newest file of a record set, for trying the mapping; "" if there is none.

        Rather than the first that of the first row that could be used, among the first few.

        Raises:
            OSError, SourceDownError, FileRejectedError: nothing can be read.
        """
        with self._drop.look() as look:
            for part in self._parts:
                for file in reversed(
                    [each for each in look.files if fnmatch.fnmatchcase(each.name, part.files.pattern)]
                ):
                    check_size(file, part.files, self._max_file_bytes)
                    with look.taken(file) as path:
                        table = Table(path, part.files, part.columns(), part.wanting)
                        at = table.header.index(part.mapper.columns[0])
                        cells = (row.cells[at] for row in table.rows() if not row.wrong)
                        filled = (cell for cell in cells if text_of(cell) and not wrong_number(cell))
                        numbers = [normal(cell) for cell in islice(filled, _TRIED)]
                    unused = set(self._index.put_aside(numbers))
                    if numbers:
                        return next((number for number in numbers if number not in unused), numbers[0])
        return ""

    def _take(self, part: Part, dropped: Dropped, look: Look) -> None:
        counts = _Counts()
        before = max((state.rows for state in self._index.files(part.name).values() if state.counts), default=0)
        name, version = dropped.name, dropped.version
        header: list[str] = []
        try:
            check_size(dropped, part.files, self._max_file_bytes)
            with look.taken(dropped) as path:
                table = Table(path, part.files, part.columns(), part.wanting)
                header = table.header
                tells = part.monitored and self._index.begun(part.name)
                with self._index.writing() as connection:
                    if tells:
                        touched.watch(connection, part.name)
                    file = self._index.begin_file(connection, part.name, name, version)
                    if part.files.mode == "snapshot":
                        self._index.clear(connection, part.name, file)
                    stream = self._in_columns(part, dropped, path, table)
                    # Without a trace somebody is graded lower; without an event he may be certified after his death.
                    counted = (
                        isinstance(part.mapper, Mapper) and part.mapper.tells_events and not part.mapper.skips_bad_rows
                    )
                    counts.aside = Aside(connection, part.name, file, self._index.keys.person, counts=counted)
                    if stream is None:
                        writer = RowWriter(self._index, connection, part, file, counts.aside)
                        self._fill(writer, part, table, counts)
                    else:
                        self._fill_columns(connection, part, table, file, counts, stream)
                    counts.require(part.files.max_bad_share)
                    counts.require_kept(before, part.files.max_loss if part.files.mode == "snapshot" else 1.0)
                    if not look.unchanged(dropped):
                        raise NotYetError
                    if tells:
                        touched.tell(connection)
                    self._index.end_file(
                        connection, file, rows=counts.rows, bad=counts.bad_rows, newest_on=counts.newest_on
                    )
                if counts.bad:
                    self.bad[part.name] = counts.first()
        except (NotYetError, FileNotFoundError, ReadingEndedError):
            return  # the next look sees to it
        except FileRejectedError as error:
            self._index.reject_file(part.name, name, version, f"{error.en}\n{error.zh}")
            counts.bad.insert(0, (0, f"{error.en} / {error.zh}", ()))
            _log.warning("file rejected", part=part.name, reason=error.en)
        finally:
            self._index.sweep()
        if counts.bad:
            self._put_aside(part.name, name, header, counts)
        if counts.bad_rows:
            _log.warning("rows quarantined", part=part.name, rows=counts.rows, bad=counts.bad_rows)

    def _fill(self, writer: RowWriter, part: Part, table: Table, counts: _Counts) -> None:
        rows = table.rows()
        places = [table.header.index(name) for name in part.columns()]
        today = day_before(self._now_ms(), 0)
        while block := list(islice(rows, _BLOCK)):
            if self.stopped:
                raise NotYetError
            counts.rows += len(block)
            good: list[Row] = []
            for row in block:
                wrong = row.wrong or wrong_number(row.cells[places[0]])
                if row.wrong:
                    counts.add_broken(row)
                elif wrong:
                    counts.add_bad(row, wrong)
                else:
                    good.append(row)
            if not good:
                continue
            columns = [[row.cells[at] for row in good] for at in places]
            columns[0] = [normal(number) for number in columns[0]]
            bad = writer.write(columns)
            for at, what in sorted(bad.items()):
                counts.add_bad(good[at], what)
            if part.newest is not None:
                days = part.newest[1].column(columns[part.columns().index(part.newest[0])])
                counts.newest_on = max(counts.newest_on, *(day for day in days if day <= today), 0)

    def _in_columns(
        self, part: Part, dropped: Dropped, path: Path, table: Table
    ) -> Iterator[Block | Iterator[Row]] | None:
        """The blocks of a large file that goes in by columns; None: it goes in row by row."""
        snapshot = part.files.mode == "snapshot"
        least = intake_columns.LARGE_BYTES if snapshot else intake_columns.LARGE_INCREMENT_BYTES
        if dropped.size < least or part.monitored or isinstance(part.mapper, LinkMapper):
            return None
        if self._index.segments_of(part.name) >= MAX_SEGMENTS:
            return None
        return column_blocks(path, part.files, table)

    def _fill_columns(
        self,
        connection: sqlite3.Connection,
        part: Part,
        table: Table,
        file: int,
        counts: _Counts,
        stream: Iterator[Block | Iterator[Row]],
    ) -> None:
        assert isinstance(part.mapper, Mapper)  # noqa: S101  links never come here
        places = [table.header.index(name) for name in part.mapper.columns]
        reader = None
        if part.newest is not None:
            reader = part.newest[1]
            places.append(table.header.index(part.newest[0]))
        segment = self._index.segment()
        try:
            intake = ColumnIntake(part.mapper, places, reader, segment, day_before(self._now_ms(), 0))
            for block in stream:
                if isinstance(block, Block):
                    self._take_block(intake, block.columns, block.row, counts)
                    continue
                while rows := list(islice(block, _BLOCK)):
                    counts.rows += sum(bool(row.wrong) for row in rows)
                    for row in rows:
                        if row.wrong:
                            counts.add_broken(row)
                    rows = [row for row in rows if not row.wrong]
                    if rows:
                        self._take_block(intake, block_of(rows, len(table.header)), rows.__getitem__, counts)
            counts.newest_on = intake.newest_on
            segment.finish()
            self._index.use(connection, part.name, file, segment)
        except BaseException:
            segment.give_up()
            raise

    def _take_block(
        self,
        intake: ColumnIntake,
        columns: Sequence[pl.Series],
        row: Callable[[int], Row],
        counts: _Counts,
    ) -> None:
        if self.stopped:
            raise NotYetError
        counts.rows += len(columns[0])
        for at, what in sorted(intake.write(columns).items()):
            bad = row(at)
            counts.add_bad(bad, what)
            if counts.aside is not None:
                counts.aside.add(bad.cells[intake.number_at], what)

    def _put_aside(self, part: str, name: str, header: Sequence[str], counts: _Counts) -> None:
        """Write the bad rows where people see to them: the only place where they stand in clear."""
        self._quarantine.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._quarantine / f"{part}.{name}.{self._now_ms()}.csv"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8-sig", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["row 行号", "reason 原因", *map(_harmless, header)])
            writer.writerows([number or "", reason, *map(_harmless, cells)] for number, reason, cells in counts.bad)


def _harmless(cell: object) -> object:
    """A cell that no workbook program runs as a formula when people open the quarantine with one."""
    return f"'{cell}" if isinstance(cell, str) and _RUNS.match(cell) else cell


def check_size(file: Dropped, settings: FileSet, max_bytes: int) -> None:
    """Return when a file is not larger than what is read.

    Raises:
        FileRejectedError: it is.
    """
    if format_of(Path(file.name), settings) == "xlsx":
        max_bytes = min(max_bytes, MAX_WORKBOOK_FILE_BYTES)
    if file.size > max_bytes:
        raise FileRejectedError(f"larger than {max_bytes} bytes", f"超过 {max_bytes} 字节")
