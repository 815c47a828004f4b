"""A roster as a workbook: read in a process of its own, so that one made to harm does not end the gateway."""

from __future__ import annotations

import datetime as dt
import io

import openpyxl
import pytest

from gateway.errors import RefusedError
from gateway.roster.reading import _workbook
from wugan.federation.v1 import vocabulary_pb2 as words


def saved(book: openpyxl.Workbook) -> bytes:
    data = io.BytesIO()
    book.save(data)
    return data.getvalue()


def test_cells_come_as_text_with_the_numbers_of_their_rows() -> None:
    book = openpyxl.Workbook()
    sheet = book.create_sheet("名册")
    sheet.append(["身份号码", "出生日期", "金额", "时间"])
    sheet.append(["33070219500101001X", dt.date(1950, 1, 1), 1200.5, dt.datetime(2026, 1, 2, 8)])  # noqa: DTZ001
    sheet.append([])
    sheet.append([330702195001010017, "x", 3, True])
    table = _workbook(saved(book), "名册", 10)
    assert table.header == ["身份号码", "出生日期", "金额", "时间"]
    (cells,) = table.batches
    assert cells.row.tolist() == [1, 3]
    assert cells.frame.rows() == [
        ("33070219500101001X", "1950-01-01", "1200.5", "2026-01-02 08:00:00"),
        ("3.30702195001010E+17", "x", "3", "True"),
    ]


def test_two_cells_far_apart_are_refused() -> None:
    book = openpyxl.Workbook()
    book.active.cell(1, 1, "id")
    book.active.cell(1_048_576, 16_384, "x")
    with pytest.raises(RefusedError) as error:
        _workbook(saved(book), "", 10)
    assert error.value.reason == words.REFUSAL_REASON_TOO_LARGE


@pytest.mark.parametrize(("data", "sheet", "field"), [(None, "missing", "sheet"), (b"PK\x03\x04", "", "data")])
def test_a_missing_sheet_and_a_broken_file_are_told_apart(data: bytes | None, sheet: str, field: str) -> None:
    with pytest.raises(RefusedError) as error:
        _workbook(data or saved(openpyxl.Workbook()), sheet, 10)
    assert error.value.field == field
