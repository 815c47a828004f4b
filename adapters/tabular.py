"""Reading the files that departments drop: which format, which encoding, which columns.

Owns: telling formats, encodings and delimiters apart, the header, CSV, and rows as cells with their row numbers. The
other formats stand in modules of their own: `adapters.lines`, and `adapters.apart` for what may ask for more memory
than there is. Refuses: files that are not what they say.
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import IO

from adapters.apart import rows_apart
from adapters.lacking import Wanting, not_exactly_one, shown
from adapters.lines import fixed_width, json_lines
from adapters.manifest.sources import FileSet
from adapters.rows import MAX_COLUMNS, MAX_LINE_BYTES, FileRejectedError, Row, too_long

_SUFFIXES = {".xlsx": "xlsx", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
_DELIMITERS = (",", "\t", ";", "|")
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (b"\x84\x31\x95\x33", "gb18030"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_DAMAGED_AFTER = 8
"""Text in GB 18030 stops being UTF-8 within its first few Chinese characters; what does so only later is damaged."""
_NOT_QUOTED, _CUT_OFF = "expected after", "unexpected end of data"
"""Of the csv module's words for text after an ending quote, and for a file that ends within quotes."""


def format_of(path: Path, settings: FileSet) -> str:
    """How a file is read: as its settings say, else by its name."""
    return settings.format if settings.format != "auto" else _SUFFIXES.get(path.suffix.lower(), "csv")


class Table:
    """The rows of one file.

    Args:
        path: of the file.
        settings: how it is read.
        wanted: columns that must be there.
        wanting: which settings of the manifest want each.

    Attributes:
        header: the names of its columns.

    Raises:
        FileRejectedError: it cannot be read, or lacks a column.
    """

    def __init__(self, path: Path, settings: FileSet, wanted: Sequence[str], wanting: Wanting = lambda _: "") -> None:
        form = format_of(path, settings)
        self.header: list[str] = []
        self._rows = self._headed(path, settings) if form in {"csv", "xlsx"} else iter(())
        if form == "parquet":
            self.header = list(wanted)
            self._rows = rows_apart(
                "parquet", path, {"columns": self.header, "shown": {name: shown(name, wanting) for name in wanted}}
            )
        elif form == "jsonl":
            self.header = list(wanted)
            self._rows = json_lines(path, *text_of_file(path, settings), self.header)
        elif form == "fixed" and settings.layout is not None:
            self.header = settings.layout.names
            self._rows = fixed_width(path, *text_of_file(path, settings), settings.layout)
        missing = [name for name in wanted if self.header.count(name) != 1]
        if missing:
            raise FileRejectedError(*not_exactly_one(missing, wanting))

    def _headed(self, path: Path, settings: FileSet) -> Iterator[Row]:
        """The rows of a file with a header, below it."""
        if format_of(path, settings) == "xlsx":
            rows = rows_apart("xlsx", path, {"sheet": settings.sheet})
        else:
            rows = _csv(path, settings)
        for row in rows:
            if row.number >= settings.header_row:
                self.header = [str(cell).strip().removeprefix("\ufeff") for cell in row.cells]
                break
        while self.header and not self.header[-1]:
            self.header.pop()
        return rows

    def rows(self) -> Iterator[Row]:
        """The rows below the header; empty ones are left out.

        Raises:
            FileRejectedError: the file turns out to be broken.
        """
        return self.checked(self._rows)

    def checked(self, rows: Iterator[Row]) -> Iterator[Row]:
        """Rows of this file with what is wrong with them; empty ones are left out.

        Raises:
            FileRejectedError: the file turns out to be broken.
        """
        width = len(self.header)
        for row in rows:
            if row.wrong:
                yield row
                continue
            cells = list(row.cells)
            if not any(cell not in ("", None) for cell in cells):
                continue
            while len(cells) > width and cells[-1] in ("", None):
                cells.pop()
            wrong = ""
            if len(cells) != width:
                if any(isinstance(cell, str) and "\n" in cell for cell in cells):
                    # An opening quote without its end swallows whole rows: what follows cannot be trusted.
                    raise _unbalanced(row.number)
                wrong = "wrong number of cells / 列数不符"
            elif any(isinstance(cell, str) and "\ufffd" in cell for cell in cells):
                wrong = "characters that cannot be decoded / 含无法解码的字符"
            yield Row(row.number, cells, wrong)


def encoding_of(path: Path) -> tuple[str, int]:
    """The encoding of a text file and the length of its byte order mark."""
    with path.open("rb") as stream:
        start = stream.read(4096)
        for mark, name in _BOMS:
            if start.startswith(mark):
                return name, len(mark)
        if start.count(0) > len(start) // 8:
            return ("utf-16-le" if start[1::2].count(0) >= start[0::2].count(0) else "utf-16-be"), 0
        stream.seek(0)
        return ("utf-8" if _is_utf8(stream) else "gb18030"), 0


def _is_utf8(stream: IO[bytes]) -> bool:
    """Whether text is UTF-8, be it damaged later on."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    beyond_ascii = 0
    while block := stream.read(1 << 20):
        try:
            text = decoder.decode(block)
        except UnicodeDecodeError as error:
            text = block[: error.start].decode("utf-8", "ignore")
            return beyond_ascii + sum(not char.isascii() for char in text) >= _DAMAGED_AFTER
        if beyond_ascii < _DAMAGED_AFTER and not text.isascii():
            beyond_ascii += sum(not char.isascii() for char in text)
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return beyond_ascii >= _DAMAGED_AFTER
    return True


def text_of_file(path: Path, settings: FileSet) -> tuple[str, int]:
    """Encoding of a file as its settings say, else as it looks, and the length of its byte order mark."""
    encoding, skip = encoding_of(path)
    if settings.encoding == "utf-16":
        return (encoding if encoding.startswith("utf-16") else "utf-16-le"), skip
    return (encoding, skip) if settings.encoding in {"auto", encoding} else (settings.encoding, 0)


def delimiter_of(header: str, settings: FileSet) -> str:
    """What stands between the cells of a CSV file, by its header."""
    return max(_DELIMITERS, key=header.count) if settings.delimiter == "auto" else settings.delimiter


def _csv(path: Path, settings: FileSet) -> Iterator[Row]:
    encoding, skip = text_of_file(path, settings)
    with path.open("rb") as binary:
        binary.seek(skip)
        with TextIOWrapper(binary, encoding=encoding, errors="replace", newline="") as text:
            lines = _lines(text)
            first = [line for _, line in zip(range(settings.header_row), lines, strict=False)]
            delimiter = delimiter_of(first[-1] if first else "", settings)
            yield from _cut(_chained(first, lines), delimiter, 0)


def csv_rows(text: TextIOWrapper, delimiter: str, before: int) -> Iterator[Row]:
    """The rows of CSV text that follows after so many lines.

    Raises:
        FileRejectedError: it turns out to be broken.
    """
    return _cut(_lines(text), delimiter, before)


def _cut(lines: Iterator[str], delimiter: str, before: int) -> Iterator[Row]:
    """Rows of cells.

    A quote without its end would swallow the rows up to the next quote, and what comes of it may look like a row. So
    what goes over several lines must be quoted as CSV says (RFC 4180); in a single line careless quotes are borne.
    """
    held = [""]
    reader = csv.reader(_held(lines, held), delimiter=delimiter, strict=True)
    start = before
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if _NOT_QUOTED in str(error) and start + reader.line_num == before + 1:
                cells = _careless(held[0], delimiter, before + 1)
            elif _NOT_QUOTED in str(error) or _CUT_OFF in str(error):
                raise _unbalanced(before + 1) from error
            else:
                en, zh = f"not proper CSV after row {before}", f"第 {before} 行之后不是有效的 CSV"
                raise FileRejectedError(en, zh) from error
        if len(cells) > MAX_COLUMNS:
            raise FileRejectedError(f"more than {MAX_COLUMNS} columns", f"超过 {MAX_COLUMNS} 列")
        yield Row(before + 1, cells)
        before = start + reader.line_num


def _held(lines: Iterator[str], held: list[str]) -> Iterator[str]:
    """The lines, of which the one given last is held."""
    for line in lines:
        held[0] = line
        yield line


def _careless(line: str, delimiter: str, number: int) -> list[str]:
    """The cells of a line with quotes that CSV does not know, such as "a"b."""
    (cells,) = csv.reader([line.rstrip("\r\n") + "\n"], delimiter=delimiter)
    if any("\n" in cell for cell in cells):
        raise _unbalanced(number)
    return cells


def _unbalanced(number: int) -> FileRejectedError:
    return FileRejectedError(f"unbalanced quotes at row {number}", f"第 {number} 行引号不配对")


def _lines(text: TextIOWrapper) -> Iterator[str]:
    number = 0
    while line := text.readline(MAX_LINE_BYTES):
        number += 1
        if len(line) == MAX_LINE_BYTES and not line.endswith(("\n", "\r")):
            raise too_long(number)
        yield line


def _chained(first: list[str], rest: Iterator[str]) -> Iterator[str]:
    yield from first
    yield from rest
