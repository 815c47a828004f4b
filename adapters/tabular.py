"""Reading the files that departments drop: CSV in the encodings they come in, and workbooks.

Owns: telling encodings and delimiters apart, the header, and rows as cells with their row numbers. Refuses: files that
are not what they say, and workbooks that unpack to more than memory should hold.
"""

from __future__ import annotations

import codecs
import csv
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import IO, cast

import python_calamine

from adapters.manifest.sources import FileSet

MAX_COLUMNS = 1_000
MAX_WORKBOOK_BYTES = 768 * 2**20
_DELIMITERS = (",", "\t", ";", "|")
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (b"\x84\x31\x95\x33", "gb18030"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_DAMAGED_AFTER = 8
"""Text in GB 18030 stops being UTF-8 within its first few Chinese characters; what does so only later is damaged."""


class FileRejectedError(Exception):
    """A file cannot be used as a whole; `en` and `zh` tell why, naming columns and rows but no content."""

    def __init__(self, en: str, zh: str) -> None:
        super().__init__(en)
        self.en = en
        self.zh = zh


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its number as a person sees it, its cells, and what is wrong with it as a whole, if anything."""

    number: int
    cells: Sequence[object]
    wrong: str = ""


class Table:
    """The rows of one file.

    Args:
        path: of the file.
        settings: how it is read.
        wanted: columns that must be there.

    Attributes:
        header: the names of its columns.

    Raises:
        FileRejectedError: it cannot be read, or lacks a column.
    """

    def __init__(self, path: Path, settings: FileSet, wanted: Sequence[str]) -> None:
        workbook = settings.format == "xlsx" or (settings.format == "auto" and path.suffix.lower() == ".xlsx")
        self._rows = _workbook(path, settings) if workbook else _csv(path, settings)
        self.header: list[str] = []
        for row in self._rows:
            if row.number >= settings.header_row:
                self.header = [str(cell).strip().removeprefix("\ufeff") for cell in row.cells]
                break
        while self.header and not self.header[-1]:
            self.header.pop()
        missing = [name for name in wanted if self.header.count(name) != 1]
        if missing:
            names = ", ".join(missing)
            raise FileRejectedError(f"not exactly one column named: {names}", f"下列列缺失或重复：{names}")

    def rows(self) -> Iterator[Row]:
        """The rows below the header; empty ones are left out.

        Raises:
            FileRejectedError: the file turns out to be broken.
        """
        width = len(self.header)
        for row in self._rows:
            cells = list(row.cells)
            if not any(cell not in ("", None) for cell in cells):
                continue
            while len(cells) > width and cells[-1] in ("", None):
                cells.pop()
            wrong = ""
            if len(cells) != width:
                if any(isinstance(cell, str) and "\n" in cell for cell in cells):
                    # An opening quote without its end swallows whole rows: what follows cannot be trusted.
                    raise FileRejectedError(f"unbalanced quotes at row {row.number}", f"第 {row.number} 行引号不配对")
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


def _csv(path: Path, settings: FileSet) -> Iterator[Row]:
    encoding, skip = encoding_of(path)
    if settings.encoding == "utf-16":
        encoding = encoding if encoding.startswith("utf-16") else "utf-16-le"
    elif settings.encoding not in {"auto", encoding}:
        encoding, skip = settings.encoding, 0
    with path.open("rb") as binary:
        binary.seek(skip)
        with TextIOWrapper(binary, encoding=encoding, errors="replace", newline="") as text:
            first = [text.readline(65_536) for _ in range(settings.header_row)]
            delimiter: str = settings.delimiter
            if delimiter == "auto":
                delimiter = max(_DELIMITERS, key=first[-1].count)
            reader = csv.reader(_lines(first, text), delimiter=delimiter)
            before = 0
            try:
                for cells in reader:
                    if len(cells) > MAX_COLUMNS:
                        raise FileRejectedError(f"more than {MAX_COLUMNS} columns", f"超过 {MAX_COLUMNS} 列")
                    yield Row(before + 1, cells)
                    before = reader.line_num
            except csv.Error as error:
                raise FileRejectedError(
                    f"not proper CSV after row {before}", f"第 {before} 行之后不是有效的 CSV"
                ) from error


def _lines(first: list[str], rest: TextIOWrapper) -> Iterator[str]:
    yield from first
    yield from rest


def _workbook(path: Path, settings: FileSet) -> Iterator[Row]:
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_WORKBOOK_BYTES:
                raise FileRejectedError("the workbook unpacks to too much; send CSV", "工作簿解压后过大，请改用 CSV")
        with python_calamine.CalamineWorkbook.from_path(path) as book:
            names = book.sheet_names
            if settings.sheet is not None and settings.sheet not in names:
                raise FileRejectedError("the workbook has no sheet of that name", "工作簿中没有该工作表")
            sheet = book.get_sheet_by_name(settings.sheet if settings.sheet is not None else names[0])
            for number, cells in enumerate(sheet.iter_rows(), 1):
                if len(cells) > MAX_COLUMNS:
                    raise FileRejectedError(f"more than {MAX_COLUMNS} columns", f"超过 {MAX_COLUMNS} 列")
                yield Row(number, cast("Sequence[object]", cells))
    except (python_calamine.CalamineError, zipfile.BadZipFile, IndexError, OSError) as error:
        raise FileRejectedError("not a workbook (.xlsx) that can be read", "不是可读取的工作簿（.xlsx）") from error
