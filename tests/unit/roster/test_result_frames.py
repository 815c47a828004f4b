"""What is handed over is checked before anything is written of it."""

from __future__ import annotations

import polars as pl
import pytest

from gateway.errors import RefusedError
from gateway.roster import frames
from gateway.roster.frames import ChunkFrames
from gateway.roster.results.frames import check, civil
from tests.unit.roster.result_world import empty_chunk, people, roster, texts


def refused(chunk: ChunkFrames, after_row: int = 0) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        check(chunk, after_row)
    assert caught.value.field in caught.value.en
    assert caught.value.field in caught.value.zh
    return caught.value


def test_a_generated_roster_fits_and_its_last_row_is_known() -> None:
    last = 0
    for chunk in roster(120, 50):
        last = check(chunk, last)
    assert last == 120
    assert check(empty_chunk(), 7) == 7


@pytest.mark.parametrize("name", ["people", "reasons", "evidence", "reason_texts", "messages"])
def test_a_missing_unknown_or_wrongly_typed_column_is_named(name: str) -> None:
    frame = getattr(empty_chunk(), name)
    column = frame.columns[-1]
    assert refused(empty_chunk(**{name: frame.drop(column)})).field == f"{name}.{column}"
    assert refused(empty_chunk(**{name: frame.with_columns(more=pl.lit(1))})).field == f"{name}.more"
    wrong = frame.with_columns(pl.col(column).cast(pl.Float32))
    assert "Float32" in refused(empty_chunk(**{name: wrong})).en


def test_gaps_are_refused() -> None:
    gap = people([{}]).with_columns(grid_unit=pl.lit(None, pl.String))
    assert refused(empty_chunk(people=gap)).field == "people.grid_unit"


@pytest.mark.parametrize(("rows", "after"), [([2, 1], 0), ([1, 1], 0), ([5, 6], 5), ([0], 0)])
def test_rows_that_do_not_ascend_are_refused(rows: list[int], after: int) -> None:
    assert refused(empty_chunk(people=people([{"row": row} for row in rows])), after).field == "people.row"


def test_a_reason_or_evidence_about_nobody_and_a_reason_without_text_are_refused() -> None:
    one = people([{}])
    reason = {
        "row": 1,
        "member": "A",
        "code": 1,
        "name": "",
        "department": 1,
        "kind": 1,
        "on": 0,
        "number": 0,
        "month": False,
    }
    reasons = pl.DataFrame([reason], schema=dict(frames.REASONS))
    assert refused(empty_chunk(people=one, reasons=reasons)).field == "reasons.code"
    assert check(empty_chunk(people=one, reasons=reasons, reason_texts=texts("A"))) == 1
    stranger = reasons.with_columns(row=pl.lit(9, pl.Int64))
    assert refused(empty_chunk(people=one, reasons=stranger, reason_texts=texts("A"))).field == "reasons.row"
    twice = pl.concat([texts("A"), texts("A").head(1)])
    assert refused(empty_chunk(reason_texts=twice)).field == "reason_texts.code"


def test_rejected_rows_have_their_own_columns_as_text() -> None:
    rejected = pl.DataFrame(
        {
            "row": [3],
            "column": ["证件号码"],
            "reason_zh": ["校验码有误"],
            "reason_en": ["check digit"],
            "姓名": ["张三"],
        }
    )
    assert check(empty_chunk(rejected=rejected)) == 0
    number = rejected.with_columns(pl.lit(1).alias("年龄"))
    assert refused(empty_chunk(rejected=number)).field == "rejected.年龄"


def test_days_that_nobody_could_mean_are_none() -> None:
    days = pl.DataFrame({"on": [0, 1, -1, 2**31 - 1, -(2**31), 400_001]}, schema={"on": pl.Int32})
    assert [str(day) for day in days.select(civil("on"))["on"]] == [
        "None",
        "1970-01-02",
        "1969-12-31",
        "None",
        "None",
        "None",
    ]
