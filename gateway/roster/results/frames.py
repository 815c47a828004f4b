"""The check that what a roster run hands over for one chunk fits (gateway/roster/frames.py has the columns).

Owns: that rows ascend, none has gaps, and nothing is told of people who are not there. Refuses: judging values; a
number that this version does not know is shown as itself.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from gateway.errors import RefusedError
from gateway.roster.frames import REJECTED, TABLES, ChunkFrames, Schema

_FURTHEST_DAYS: Final = 400_000


def civil(column: str) -> pl.Expr:
    """A column of civil days as dates; null for 0, and for what is no day anyone could mean (polars stops at those)."""
    day = pl.col(column)
    return pl.when((day != 0) & day.is_between(-_FURTHEST_DAYS, _FURTHEST_DAYS)).then(day).cast(pl.Date)


def check(chunk: ChunkFrames, after_row: int = 0) -> int:
    """Check that a chunk fits, and follows the one before; its last row.

    Args:
        chunk: what was handed over.
        after_row: last row of the chunk before, 0 for the first.

    Raises:
        RefusedError: a column is missing, unknown, of another type or has gaps; rows do not ascend; a reason or
            evidence is about nobody of the chunk. `field` is "frame.column".
    """
    for name, (_, schema) in TABLES.items():
        if name != "rejected":
            _check_columns(name, getattr(chunk, name), schema)
    rows = chunk.people["row"]
    last = after_row
    if len(rows):
        first, newest = rows[0], rows[-1]
        if first <= after_row or (len(rows) > 1 and not bool((rows.diff().drop_nulls() > 0).all())):
            raise _wrong("people.row", "rows must ascend, each only once", "行号应递增且不得重复")
        last = int(newest)
    for name in ("reasons", "evidence", "duplicates"):
        frame: pl.DataFrame = getattr(chunk, name)
        if frame.height and not bool(frame["row"].is_in(rows.implode()).all()):
            raise _wrong(f"{name}.row", "about nobody of this chunk", "不属于本批人员")
    _check_texts(chunk)
    _check_rejected(chunk.rejected)
    return last


def _check_columns(name: str, frame: pl.DataFrame, schema: Schema) -> None:
    for column, kind in schema.items():
        if column not in frame.columns:
            raise _wrong(f"{name}.{column}", "the column is missing", "缺少该列")
        if frame.schema[column] != kind:
            found = frame.schema[column]
            raise _wrong(f"{name}.{column}", f"is {found}, should be {kind}", f"类型为 {found}，应为 {kind}")
        if frame[column].null_count():
            raise _wrong(f"{name}.{column}", "has gaps; use 0 or empty text", "有空值，应以 0 或空文本表示")
    for column in frame.columns:
        if column not in schema:
            raise _wrong(f"{name}.{column}", "there is no such column", "没有该列")


def _check_texts(chunk: ChunkFrames) -> None:
    texts = chunk.reason_texts.select("member", "code")
    if texts.is_duplicated().any():
        raise _wrong("reason_texts.code", "a member's code has two texts", "同一成员的同一代码有两条文本")
    told = chunk.reasons.select("member", "code").unique()
    if told.join(texts, on=["member", "code"], how="anti").height:
        raise _wrong("reasons.code", "a reason has no text", "有理由缺少文本")


def _check_rejected(frame: pl.DataFrame) -> None:
    head = frame.select([name for name in REJECTED if name in frame.columns])
    _check_columns("rejected", head, REJECTED)
    for column in frame.columns:
        if column not in REJECTED and frame.schema[column] != pl.String:
            raise _wrong(f"rejected.{column}", "should be text", "应为文本")


def _wrong(field: str, en: str, zh: str) -> RefusedError:
    return RefusedError(f"roster results: {field}: {en}", f"名册结果：{field}：{zh}", field=field)
