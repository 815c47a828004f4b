"""The process that reads one workbook or Parquet file; see `adapters.apart`.

Owns: its own bounds, set before anything is read, and both formats. Writes a line of JSON for each row, and at last
whether that was all. Refuses: being imported by anything: it is run.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import date, datetime
from typing import Any

_AT_ONCE = 20_000
_MAX_COLUMNS = 1_000

Write = Callable[[int, Sequence[object]], None]


class _RejectedError(Exception):
    """The file cannot be used; both languages, and of what sort it is."""


def main() -> None:
    """Read the file that the order names."""
    order: dict[str, Any] = json.loads(sys.argv[1])
    _bound(order["memory_bytes"], order["cpu_s"])
    out = sys.stdout
    source = io.BytesIO(sys.stdin.buffer.read()) if order["path"] is None else order["path"]
    dump = json.JSONEncoder(ensure_ascii=True, default=_told, check_circular=False).encode

    def write(number: int, cells: Sequence[object]) -> None:
        out.write(dump([number, *cells]) + "\n")

    try:
        if order["form"] == "xlsx":
            _workbook(source, order["sheet"], write)
        else:
            _parquet(source, order["columns"], order.get("shown", {}), write)
        out.write('{"end": true}\n')
    except _RejectedError as error:
        en, zh, *why = error.args
        out.write(dump({"en": en, "zh": zh, "why": "".join(why)}) + "\n")


def _bound(memory_bytes: int, cpu_s: int) -> None:
    try:
        import resource
    except ImportError:  # a system without such bounds
        return
    for what, limit in ((resource.RLIMIT_AS, memory_bytes), (resource.RLIMIT_CPU, cpu_s), (resource.RLIMIT_CORE, 0)):
        with suppress(ValueError, OSError):  # the system allows less already
            resource.setrlimit(what, (limit, limit))


def _told(value: object) -> object:
    if isinstance(value, datetime):
        return {"t": value.isoformat()}
    if isinstance(value, date):
        return {"d": value.isoformat()}
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _workbook(source: str | io.BytesIO, sheet: str | None, write: Write) -> None:
    from python_calamine import CalamineError, CalamineWorkbook

    try:
        with CalamineWorkbook.from_object(source) as book:
            names = book.sheet_names
            if sheet is not None and sheet not in names:
                raise _RejectedError("the workbook has no sheet of that name", "工作簿中没有该工作表", "sheet")
            page = book.get_sheet_by_name(sheet if sheet is not None else names[0])
            _write_all(page.iter_rows(), write)
    except (CalamineError, IndexError, OSError, ValueError) as error:
        raise _RejectedError("not a workbook (.xlsx) that can be read", "不是可读取的工作簿（.xlsx）") from error


def _write_all(rows: Iterable[Sequence[object]], write: Write) -> None:
    for number, cells in enumerate(rows, 1):
        if len(cells) > _MAX_COLUMNS:
            raise _RejectedError(f"more than {_MAX_COLUMNS} columns", f"超过 {_MAX_COLUMNS} 列")
        write(number, cells)


def _parquet(source: str | io.BytesIO, columns: list[str], shown: dict[str, list[str]], write: Write) -> None:
    import polars as pl

    try:
        table = pl.scan_parquet(source, glob=False, hive_partitioning=False)
        schema = table.collect_schema()
        missing = [name for name in columns if name not in schema]
        if missing:
            en, zh = (", ".join(shown.get(name, (name, name))[at] for name in missing) for at in (0, 1))
            raise _RejectedError(f"not exactly one column named: {en}", f"下列列缺失或重复：{zh}")
        nested = [name for name in columns if schema[name].is_nested() or schema[name] == pl.Object]
        if nested:
            names = ", ".join(nested)
            raise _RejectedError(f"columns that hold lists or objects: {names}", f"下列列为列表或对象：{names}")
        number, rows = 0, int(table.select(pl.len()).collect().item())
        for block in table.select(columns).collect_batches(maintain_order=True, chunk_size=_AT_ONCE):
            for start in range(0, len(block), _AT_ONCE):
                for cells in block.slice(start, _AT_ONCE).iter_rows():
                    number += 1
                    write(number, cells)
        if number != rows:
            # Where memory does not suffice the batches end early, without an error.
            raise MemoryError
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        raise _RejectedError("not a Parquet file that can be read", "不是可读取的 Parquet 文件") from error


if __name__ == "__main__":
    main()
