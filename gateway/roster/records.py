"""Records of delimited text: where one ends and the next begins, and their cells as columns of text.

Owns: cutting UTF-8 text into records (RFC 4180: line ends within quotes belong to the cell), the delimiter, rows with
too many or too few cells, bounds. Blank lines are no records. Refuses: encodings (`decoding`), what a cell means.
"""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from gateway.errors import RefusedError
from gateway.roster.pieces import MAX_RECORD_BYTES, QUOTE, blank_records, ends_of

DELIMITERS: Final = b",\t;|"
Index = NDArray[np.int64]


class Cells(NamedTuple):
    """Some rows of a file.

    Args:
        row: number of each, from 1 for the first under the header.
        frame: their cells as text, "" for empty ones; a column for each of the header, named by its position.
        uneven: positions of those that have more or fewer cells than the header.
    """

    row: Index
    frame: pl.DataFrame
    uneven: Index


def records(blocks: Iterable[bytes], at_once: int, *, header: bool = True) -> Iterator[bytes]:
    """Whole records, the header alone first where there is one, then `at_once` at a time. Blank lines are left out.

    Raises:
        RefusedError: a record is longer than any may be; a quote is not closed.
    """
    waiting: list[bytes] = []
    count = 0
    wanted = 1 if header else at_once
    for text in _whole(blocks):
        ends = ends_of(text)
        start = 0
        at = 0
        while at < len(ends):
            taken = min(wanted - count, len(ends) - at)
            end = int(ends[at + taken - 1]) + 1
            waiting.append(text[start:end])
            count += taken
            at += taken
            start = end
            if count == wanted:
                yield b"".join(waiting)
                waiting, count, wanted = [], 0, at_once
    if waiting:
        yield b"".join(waiting)


def _whole(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The text in pieces that end where a record ends, without blank lines."""
    rest = b""
    for block in blocks:
        text = rest + block
        ends = ends_of(text)
        end = int(ends[-1]) + 1 if len(ends) else 0
        rest = text[end:]
        if len(rest) > MAX_RECORD_BYTES:
            raise _too_long()
        if end:
            whole = _without_blank_lines(text[:end], ends)
            if whole:
                yield whole
    if rest.strip():
        if np.count_nonzero(np.frombuffer(rest, np.uint8) == QUOTE) % 2:
            raise _too_long()
        rest += b"\n"
        yield from filter(None, [_without_blank_lines(rest, ends_of(rest))])


def _without_blank_lines(text: bytes, ends: Index) -> bytes:
    blank = blank_records(text, ends)
    if blank is None:
        return text
    starts = np.concatenate((np.zeros(1, np.int64), ends[:-1] + 1))
    return b"".join(text[start : end + 1] for start, end in zip(starts[~blank], ends[~blank], strict=True))


def delimiter_of(header: bytes) -> str:
    """The delimiter that the header uses most outside of quotes; a comma where it has a single cell."""
    outside = b"".join(header.split(b'"')[::2])
    counts = [(outside.count(bytes([each])), -place) for place, each in enumerate(DELIMITERS)]
    return chr(DELIMITERS[-max(counts)[1]]) if max(counts)[0] else ","


def header_of(record: bytes, delimiter: str) -> list[str]:
    """The cells of a header.

    Raises:
        RefusedError: it cannot be read.
    """
    return [cell.strip() for cell in _slow(record, delimiter)]


def cells(text: bytes, first_row: int, width: int, delimiter: str) -> Cells:
    """The cells of some records.

    Args:
        text: whole records, none of them blank.
        first_row: number of the first.
        width: cells of the header.
        delimiter: between cells.
    """
    ends = ends_of(text)
    count = len(ends)
    separators = _separators(text, ends, delimiter)
    uneven = np.flatnonzero(separators != width - 1)
    frame: pl.DataFrame | None = None
    with contextlib.suppress(pl.exceptions.PolarsError):
        frame = pl.read_csv(
            io.BytesIO(text),
            has_header=False,
            separator=delimiter,
            quote_char='"',
            schema={str(at): pl.String for at in range(width)},
            extra_columns="ignore",
            missing_columns="insert",
            encoding="utf8-lossy",
        )
    if frame is None or frame.height != count:  # quotes where none may be: read slowly, and as people mean it
        starts = [0, *(ends[:-1] + 1).tolist()]
        rows = [_slow(text[start : end + 1], delimiter) for start, end in zip(starts, ends.tolist(), strict=True)]
        uneven = np.array([at for at, row in enumerate(rows) if len(row) != width], np.int64)
        padded = [(row + [""] * width)[:width] for row in rows]
        frame = pl.DataFrame(padded, schema={str(at): pl.String for at in range(width)}, orient="row")
    frame = frame.with_columns(pl.all().fill_null(""))
    return Cells(np.arange(first_row, first_row + count, dtype=np.int64), frame, uneven)


def _separators(text: bytes, ends: Index, delimiter: str) -> Index:
    """How many delimiters each record has outside of quotes."""
    characters = np.frombuffer(text, np.uint8)
    places = np.flatnonzero(characters == ord(delimiter))
    if b'"' in text:
        quotes = np.flatnonzero(characters == QUOTE)
        places = places[np.searchsorted(quotes, places) % 2 == 0]
    upto = np.searchsorted(places, ends)
    return np.diff(upto, prepend=0)


def _slow(record: bytes, delimiter: str) -> list[str]:
    """The cells of one record; of one that makes no sense, whatever there is."""
    lines = io.StringIO(record.decode("utf-8", "replace"), newline="")
    return [cell for row in csv.reader(lines, delimiter=delimiter) for cell in row]


def _too_long() -> RefusedError:
    return RefusedError(
        "the roster cannot be cut into rows: a line is too long, or a quotation mark is not closed; save the file anew "
        "as CSV (UTF-8) or XLSX",
        "名册无法分行：存在过长的行或未闭合的引号，请另存为 CSV（UTF-8）或 XLSX 后重试",
        field="data",
    )
