"""What a roster run hands over for one chunk of recipients, as polars frames, and the check that it fits.

Owns: the columns and their types; that rows ascend, none is empty, and nothing is told of people who are not there.
Refuses: judging values; a number that this version does not know is shown as itself.

Days are civil days in Asia/Shanghai since 1970-01-01, 0 meaning none; amounts are fen (分).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import polars as pl

from gateway.errors import RefusedError

Schema = Mapping[str, pl.DataType]

_FURTHEST_DAYS: Final = 400_000


def _schema(**columns: type[pl.DataType]) -> Schema:
    return MappingProxyType({name: kind() for name, kind in columns.items()})


PEOPLE: Final = _schema(
    row=pl.Int64,
    chunk=pl.Int32,
    id_number=pl.String,
    name=pl.String,
    benefit=pl.Int32,
    reference=pl.String,
    unit=pl.String,
    grid_unit=pl.String,
    region=pl.Int32,
    monthly_fen=pl.Int64,
    last_paid_on=pl.Int32,
    account_fen=pl.Int64,
    entitled_since_on=pl.Int32,
    status=pl.Int8,
    flags=pl.UInt32,
    decided_on=pl.Int32,
    last_trace_on=pl.Int32,
    valid_until_on=pl.Int32,
    partial=pl.Boolean,
    refusal=pl.Int16,
    members=pl.String,
    silent=pl.String,
    certification=pl.Int8,
    effective_on=pl.Int32,
    verify_by_on=pl.Int32,
    overpaid_months=pl.Int32,
    overpaid_gross_fen=pl.Int64,
    overpaid_offset_fen=pl.Int64,
    overpaid_net_fen=pl.Int64,
)
"""One row for each recipient.

row: data row of the input, from 1; reference: the agency's own id. grid_unit: 网格. region: of residence, GB/T 2260.
status: SurvivalStatus, 0: no answer, and then `refusal` says why (RefusalReason). members: who was asked, ids joined by
";". silent: who of them did not answer: "member", or "member/Department number" for a department; joined by ";".
certification: CertificationStatus, 0: nothing is proposed. Names as in gateway.rules for the rest.
"""

REASONS: Final = _schema(
    row=pl.Int64,
    member=pl.String,
    code=pl.Int32,
    name=pl.String,
    department=pl.Int16,
    kind=pl.Int16,
    on=pl.Int32,
    number=pl.UInt32,
    month=pl.Boolean,
)
"""Why, in order. member: whose reason, "" for one of the merging. month: the day stands for its month."""

EVIDENCE: Final = _schema(
    row=pl.Int64,
    member=pl.String,
    kind=pl.Int16,
    department=pl.Int16,
    region=pl.Int32,
    observed_on=pl.Int32,
    available_on=pl.Int32,
    strength=pl.Int8,
    source_reference=pl.String,
    from_on=pl.Int32,
    until_on=pl.Int32,
    detail=pl.Int32,
)
"""What was disclosed of whom. detail: PenaltyKind of a sentence."""

REASON_TEXTS: Final = _schema(member=pl.String, code=pl.Int32, name=pl.String, zh=pl.String, en=pl.String)
"""The templates of each member; places as in gateway.rules.wording."""

MESSAGES: Final = _schema(
    chunk=pl.Int32,
    member=pl.String,
    message_id=pl.String,
    question_digest=pl.String,
    made_at_ms=pl.Int64,
    rules_version=pl.String,
    rules_digest=pl.String,
    cached=pl.Boolean,
)
"""The answers a chunk rests on; ids and digests in hexadecimal."""

REJECTED: Final = _schema(row=pl.Int64, column=pl.String, reason_zh=pl.String, reason_en=pl.String)
"""Rows of the input that could not be used; the input's own columns follow, as text."""


@dataclass(frozen=True, slots=True)
class ChunkFrames:
    """One chunk, in order of input rows.

    Args:
        people, reasons, evidence, reason_texts, messages: as the schemas say.
        rejected: rows of the input between this chunk's that could not be used; None or empty where there is none.
    """

    people: pl.DataFrame
    reasons: pl.DataFrame
    evidence: pl.DataFrame
    reason_texts: pl.DataFrame
    messages: pl.DataFrame
    rejected: pl.DataFrame | None = None


def civil(column: str) -> pl.Expr:
    """A column of civil days as dates; null for 0, and for what is no day anyone could mean (polars stops at those)."""
    day = pl.col(column)
    return pl.when((day != 0) & day.is_between(-_FURTHEST_DAYS, _FURTHEST_DAYS)).then(day).cast(pl.Date)


def empty(schema: Schema) -> pl.DataFrame:
    """A frame without rows."""
    return pl.DataFrame(schema=dict(schema))


def check(chunk: ChunkFrames, after_row: int = 0) -> int:
    """Check that a chunk fits, and follows the one before; its last row.

    Args:
        chunk: what was handed over.
        after_row: last row of the chunk before, 0 for the first.

    Raises:
        RefusedError: a column is missing, unknown, of another type or has gaps; rows do not ascend; a reason or
            evidence is about nobody of the chunk. `field` is "frame.column".
    """
    for name, schema in (
        ("people", PEOPLE),
        ("reasons", REASONS),
        ("evidence", EVIDENCE),
        ("reason_texts", REASON_TEXTS),
        ("messages", MESSAGES),
    ):
        _check_columns(name, getattr(chunk, name), schema)
    rows = chunk.people["row"]
    last = after_row
    if len(rows):
        first, newest = rows[0], rows[-1]
        if first <= after_row or (len(rows) > 1 and not bool((rows.diff().drop_nulls() > 0).all())):
            raise _wrong("people.row", "rows must ascend, each only once", "行号应递增且不得重复")
        last = int(newest)
    for name in ("reasons", "evidence"):
        frame: pl.DataFrame = getattr(chunk, name)
        if frame.height and not bool(frame["row"].is_in(rows.implode()).all()):
            raise _wrong(f"{name}.row", "about nobody of this chunk", "不属于本批人员")
    _check_texts(chunk)
    if chunk.rejected is not None:
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
