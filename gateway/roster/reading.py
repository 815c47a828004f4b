"""A roster's file as a header and rows of text, whichever of the formats it has.

Owns: bounds on what is read, and the way from a workbook's or a Parquet
file's cells to text. Delimited text is read as it comes, in bounded memory; the other two are held whole while they are
read, so their size has a bound of its own. Refuses: what a cell means (`validating`).
"""

from __future__ import annotations

import datetime as dt
import io
import itertools
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl

from adapters.apart import rows_apart
from adapters.rows import FileRejectedError
from gateway.errors import RefusedError
from gateway.roster.around import Bounds
from gateway.roster.decoding import Decoding
from gateway.roster.fields import MAX_COLUMNS
from gateway.roster.formats import PARQUET, XLSX, told
from gateway.roster.records import Cells, cells, delimiter_of, header_of, records
from wugan.federation.v1 import vocabulary_pb2 as words

INFLATES_AT_MOST: Final = 40
"""A workbook's parts are at most so many times as large as the file; what people fill in stays far below."""
SMALL_WORKBOOK: Final = 64 << 20
"""Below this, a workbook's parts may be as large as they like."""
_PARQUET_ROWS: Final = 50_000
_EXACT: Final = 10**15
"""Whole numbers below this are what was typed in; of longer ones a workbook keeps the first 15 digits only."""


class Table(NamedTuple):
    """A file's header, and its rows in batches; of delimited text also how it is read.

    Args:
        header: names of the columns.
        batches: the rows.
        delimiter: "" for a workbook or Parquet file.
        decoding: its encoding is known when all rows are read.
    """

    header: list[str]
    batches: Iterator[Cells]
    delimiter: str = ""
    decoding: Decoding | None = None


def open_table(
    blocks: Callable[[], Iterable[bytes]], size: int, form: int, sheet: str, bounds: Bounds, at_once: int
) -> Table:
    """Open a file.

    Args:
        blocks: gives its bytes from the start, block by block.
        size: its bytes.
        form: RosterFormat; unspecified: told by its first bytes.
        sheet: of a workbook; "": the first.
        bounds: what it may have.
        at_once: rows in a batch; the last has fewer.

    Raises:
        RefusedError: it cannot be read, or is larger than it may be; while iterating, too.
    """
    form = form or told(next(iter(blocks()), b""))
    if form not in (XLSX, PARQUET):
        return _bounded(_text(blocks, at_once), bounds)
    if size > bounds.max_whole_bytes:
        most = bounds.max_whole_bytes >> 20
        raise _too_large(
            f"workbooks and Parquet files have at most {most} MiB; save the roster as CSV",
            f"XLSX 与 Parquet 文件至多 {most} MiB，请另存为 CSV",
        )
    data = b"".join(blocks())
    table = _workbook(data, sheet, at_once) if form == XLSX else _parquet(data, at_once)
    return _bounded(table, bounds)


def _bounded(table: Table, bounds: Bounds) -> Table:
    header, batches = table.header, table.batches
    if not any(header):
        raise RefusedError(
            "the roster has no header; its first row must name the columns",
            "名册缺少表头，首行应为列名",
            field="data",
        )
    if len(header) > MAX_COLUMNS:
        raise RefusedError(f"more than {MAX_COLUMNS} columns", f"列数超过 {MAX_COLUMNS}", field="data")

    def counted() -> Iterator[Cells]:
        for batch in batches:
            if int(batch.row[-1]) > bounds.max_rows:
                raise _too_large(f"more than {bounds.max_rows} rows", f"行数超过 {bounds.max_rows}")
            yield batch

    return table._replace(batches=counted())


def _text(blocks: Callable[[], Iterable[bytes]], at_once: int) -> Table:
    decoding = Decoding(blocks())
    parts = records(decoding, at_once)
    first = next(parts, b"\n")
    delimiter = delimiter_of(first)
    header = header_of(first, delimiter)

    def batches() -> Iterator[Cells]:
        row = 1
        for text in parts:
            batch = cells(text, row, len(header), delimiter)
            row += len(batch.row)
            yield batch

    return Table(header, batches(), delimiter, decoding)


def rows_of_text(blocks: Iterable[bytes], encoding: str, delimiter: str, width: int, at_once: int) -> Iterator[Cells]:
    """Rows of delimited text without a header, numbered from 1.

    Raises:
        RefusedError: while iterating, it cannot be cut into records.
    """
    row = 1
    for text in records(Decoding(blocks, encoding), at_once, header=False):
        batch = cells(text, row, width, delimiter)
        row += len(batch.row)
        yield batch


def _workbook(data: bytes, sheet: str, at_once: int) -> Table:
    _require_sane(data)
    rows = _rows_apart(data, sheet)
    first = next(rows, [])
    header = [_cell(value).strip() for value in first]
    while header and not header[-1]:
        header.pop()
    width = len(header)

    def batches() -> Iterator[Cells]:
        filled = ((number, row) for number, row in enumerate(rows, 1) if any(value != "" for value in row))
        while taken := list(itertools.islice(filled, at_once)):
            texts = [[_cell(value) for value in row] for _, row in taken]
            uneven = [at for at, row in enumerate(texts) if any(row[width:])]
            frame = pl.DataFrame(
                [(row + [""] * width)[:width] for row in texts],
                schema={str(at): pl.String for at in range(width)},
                orient="row",
            )
            yield Cells(np.array([number for number, _ in taken], np.int64), frame, np.array(uneven, np.int64))

    return Table(header, batches())


def _rows_apart(data: bytes, sheet: str) -> Iterator[Sequence[object]]:
    """The rows of a workbook. Two cells far apart ask for half a terabyte, and end the process that reads them."""
    try:
        for row in rows_apart("xlsx", data, {"sheet": sheet or None}):
            yield row.cells
    except FileRejectedError as error:
        if error.why == "sheet":
            raise RefusedError("the workbook has no such sheet", "工作簿中没有该工作表", field="sheet") from error
        if error.why == "bounds":
            raise _too_large("the workbook's cells lie too far apart", "工作簿单元格跨度过大") from error
        raise _unreadable("XLSX") from error


def _require_sane(data: bytes) -> None:
    """Refuse a workbook that inflates to far more than people type in: every part is inflated once, and counted."""
    allowed = max(len(data) * INFLATES_AT_MOST, SMALL_WORKBOOK)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = archive.infolist()
            if len(parts) > 10_000 or sum(part.file_size for part in parts) > allowed:
                raise _too_large("the workbook is packed too tightly", "工作簿压缩比异常，已拒绝读取")
            for part in parts:
                with archive.open(part) as stream:
                    while stream.read(1 << 20):
                        pass
    except (
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        NotImplementedError,
        OSError,
        ValueError,
        EOFError,
        RuntimeError,
    ) as error:
        raise _unreadable("XLSX") from error


def _cell(value: Any) -> str:
    """A workbook's cell as text. Figures with more digits than a workbook keeps are told in a form that is refused as a
    number, rather than as one that is wrong.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        if abs(value) >= _EXACT:
            return f"{value:.14E}"
        return str(int(value)) if value == value // 1 else repr(value)
    if isinstance(value, dt.datetime) and value.time() == dt.time():
        return value.date().isoformat()
    return str(value)


def _parquet(data: bytes, at_once: int) -> Table:
    try:
        frame = pl.scan_parquet(io.BytesIO(data))
        schema = frame.collect_schema()
        for name, dtype in schema.items():
            if dtype.is_nested() or dtype in (pl.Binary, pl.Object):
                raise RefusedError(
                    f"column {name!r} holds no plain values", f"“{name}”列的数据类型不受支持", field="data"
                )
        height = int(frame.select(pl.len()).collect().item())
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        raise _unreadable("Parquet") from error
    width = len(schema)

    def batches() -> Iterator[Cells]:
        step = max(at_once, _PARQUET_ROWS // at_once * at_once)
        for start in range(0, height, step):
            try:
                part = frame.slice(start, step).select(_as_text(schema)).collect()
            except (pl.exceptions.PolarsError, OSError, ValueError) as error:
                raise _unreadable("Parquet") from error
            part.columns = [str(at) for at in range(width)]
            for offset in range(0, part.height, at_once):
                batch = part.slice(offset, at_once)
                first = start + offset + 1
                yield Cells(np.arange(first, first + batch.height, dtype=np.int64), batch, np.zeros(0, np.int64))

    return Table(list(schema), batches())


def _as_text(schema: pl.Schema) -> list[pl.Expr]:
    """Every column as text; days as "YYYY-MM-DD", whole figures without a point."""
    texts = []
    for name, dtype in schema.items():
        column = pl.col(name)
        if dtype.is_float():
            whole = (column == column.floor()) & (column.abs() < _EXACT)
            column = (
                pl.when(whole)
                .then(column.cast(pl.Int64, strict=False).cast(pl.String))
                .otherwise(column.cast(pl.String))
            )
        elif isinstance(dtype, pl.Datetime):
            column = column.dt.date().cast(pl.String)
        else:
            column = column.cast(pl.String)
        texts.append(column.fill_null("").alias(name))
    return texts


def _unreadable(form: str) -> RefusedError:
    return RefusedError(
        f"the file is no {form} file, or a broken one; save it anew",
        f"文件不是有效的 {form} 文件或已损坏，请重新保存",
        field="data",
    )


def _too_large(en: str, zh: str) -> RefusedError:
    return RefusedError(
        f"the roster is too large: {en}", f"名册过大：{zh}", reason=words.REFUSAL_REASON_TOO_LARGE, field="data"
    )
