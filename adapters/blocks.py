"""A large CSV file in blocks of columns: what `adapters.tabular.Table` reads row by row, without an object for a row.

Owns: cutting the file at line ends, and telling which blocks are so plain that splitting them at delimiters is reading
them: no quotes, as many cells in every line as the header has, nothing that cannot be decoded. Every other block comes
row by row, from the reader of `adapters.tabular`; once there are quotes, all that follows does, since a line end within
quotes is none. Refuses: UTF-16, and headers that are not plain.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from adapters.rows import MAX_LINE_BYTES, Row
from adapters.tabular import Table, csv_rows, delimiter_of, text_of_file

if TYPE_CHECKING:
    import polars as pl

    from adapters.manifest.sources import FileSet

BLOCK_BYTES = 8 << 20
_NEWLINE, _QUOTE = b"\n", b'"'
_DAMAGED = "�".encode()


@dataclass(frozen=True, slots=True)
class Block:
    """Rows one after another.

    Args:
        first: number of the first row, as people see it.
        columns: every column of the file, as texts.
    """

    first: int
    columns: Sequence[pl.Series]

    def row(self, at: int) -> Row:
        """One of them."""
        return Row(self.first + at, [column[at] for column in self.columns])


def blocks(path: Path, settings: FileSet, table: Table) -> Iterator[Block | Iterator[Row]] | None:
    """The rows of a CSV file below its header, in order; None where it must be read row by row.

    Args:
        path: of the file.
        settings: how it is read.
        table: of the same file: its header, and the check of rows that are not plain.
    """
    encoding, skip = text_of_file(path, settings)
    if encoding not in {"utf-8", "gb18030"}:
        return None
    with path.open("rb") as stream:
        stream.seek(skip)
        head = [stream.readline(MAX_LINE_BYTES) for _ in range(settings.header_row)]
        start = stream.tell()
    lines = [_plain(line, encoding) for line in head]
    last = lines[-1]
    if last is None or None in lines or not all(line.endswith(_NEWLINE) for line in head):
        return None
    delimiter = delimiter_of(last.decode(), settings)
    if last.count(delimiter.encode()) + 1 != len(table.header):
        return None
    return _Reading(path, encoding, delimiter, table).blocks(start, settings.header_row)


class _Reading:
    def __init__(self, path: Path, encoding: str, delimiter: str, table: Table) -> None:
        self._path = path
        self._encoding = encoding
        self._delimiter = delimiter
        self._table = table
        self._width = len(table.header)

    def blocks(self, start: int, before: int) -> Iterator[Block | Iterator[Row]]:
        """From a place in the file on, before which there were so many lines."""
        with self._path.open("rb") as stream:
            stream.seek(start)
            left = b""
            while True:
                place = stream.tell() - len(left)
                read = stream.read(BLOCK_BYTES)
                raw = left + read
                if not raw:
                    return
                cut = raw.rfind(_NEWLINE) + 1 if read else len(raw)
                raw, left = raw[:cut], raw[cut:]
                if _QUOTE in raw or len(left) >= MAX_LINE_BYTES:
                    yield self._row_by_row(place, before)
                    return
                if not raw:
                    continue
                text = _plain(raw, self._encoding)
                columns = None if text is None else self._columns(text)
                if columns is None:
                    whole = io.TextIOWrapper(io.BytesIO(raw), self._encoding, errors="replace", newline="")
                    yield self._table.checked(csv_rows(whole, self._delimiter, before))
                    whole.seek(0)
                    before += sum(1 for _ in whole)
                    continue
                yield Block(before + 1, columns)
                before += len(columns[0])

    def _row_by_row(self, place: int, before: int) -> Iterator[Row]:
        with self._path.open("rb") as stream:
            stream.seek(place)
            with io.TextIOWrapper(stream, self._encoding, errors="replace", newline="") as text:
                yield from self._table.checked(csv_rows(text, self._delimiter, before))

    def _columns(self, text: bytes) -> list[pl.Series] | None:
        """The columns of a plain block; None where some line has another number of cells, or is empty."""
        if not text.endswith(_NEWLINE):
            text += _NEWLINE
        data = np.frombuffer(text, np.uint8)
        ends = np.flatnonzero(data == _NEWLINE[0])
        cuts = np.flatnonzero(data == ord(self._delimiter))
        if len(cuts) != len(ends) * (self._width - 1):
            return None
        cells = np.diff(np.searchsorted(cuts, ends), prepend=0)
        lengths = np.diff(ends, prepend=-1)
        # A line that holds nothing but delimiters is no row.
        if (cells != self._width - 1).any() or lengths.min() <= self._width or lengths.max() > MAX_LINE_BYTES:
            return None
        import polars as pl

        frame = pl.read_csv(
            io.BytesIO(text),
            has_header=False,
            separator=self._delimiter,
            quote_char=None,
            infer_schema=False,
            empty_string_is_null=False,
            new_columns=[f"c{at}" for at in range(self._width)],
        )
        return frame.get_columns() if frame.shape == (len(ends), self._width) else None


def _plain(raw: bytes, encoding: str) -> bytes | None:
    """Text in UTF-8 with its lines ended by line feeds alone; None where it is not plain."""
    if _QUOTE in raw or b"\0" in raw:
        return None
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError:
        return None
    data = raw if encoding == "utf-8" else text.encode()
    data = data.replace(b"\r\n", _NEWLINE)
    return None if b"\r" in data or _DAMAGED in data else data
