"""What rows of a roster may say, what each cell becomes, and that no row is lost or doubled, however a file is cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import RefusedError
from gateway.exchange.question import MAX_ALIASES
from gateway.roster.numbering import key_of
from gateway.roster.records import Cells
from gateway.roster.seen import Seen
from gateway.roster.validating import MAX_CELL_BYTES, ROWS, Sure, Validator, own_names
from gateway.rules.identity import normalise_number
from gateway.rules.overpayment import MAX_FEN
from tests.unit.adapters.adapters_world import day, number
from wugan.adapter.v1 import vocabulary_pb2 as v
from wugan.federation.v1 import vocabulary_pb2 as words

PENSION, INJURY = words.BENEFIT_TYPE_EMPLOYEE_PENSION, words.BENEFIT_TYPE_WORK_INJURY
ANNA, BO = number(1), number(2)
ENDING_IN_X = next(number(serial) for serial in range(500) if number(serial).endswith("X"))
OLD = next(number(serial) for serial in range(500) if number(serial)[6:8] == "19")
FIELDS = ("id_number", "name", "benefit")
PLAIN = {"id_number": ANNA, "name": "安娜", "benefit": "企业职工基本养老保险"}


def cells(rows: Sequence[dict[str, str]], fields: Sequence[str], start: int = 1, uneven: Sequence[int] = ()) -> Cells:
    columns = {str(at): [row.get(field, "") for row in rows] for at, field in enumerate(fields)}
    frame = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))
    return Cells(np.arange(start, start + len(rows), dtype=np.int64), frame, np.array(uneven, np.int64))


def checked(*rows: dict[str, str], benefit: int = 0, **more: Any) -> Sure:
    """Rows that are like `PLAIN` but for what is said."""
    whole = [{**PLAIN, **row} for row in rows]
    fields = list(dict.fromkeys([*FIELDS, *(field for row in rows for field in row)]))
    validator = Validator(fields, {field: at for at, field in enumerate(fields)}, benefit)
    return validator.check(cells(whole, fields, **more))


def wrong(sure: Sure) -> list[tuple[int, str]]:
    return sure.rejected.select("row", "column").rows()


@pytest.mark.parametrize(
    ("field", "text", "column", "meaning"),
    [
        ("id_number", f"\u3000{ANNA} ", "id_number", ANNA),
        ("id_number", f'="{ANNA}"', "id_number", ANNA),
        ("id_number", f"'{ANNA}", "id_number", ANNA),
        ("id_number", ENDING_IN_X.lower(), "id_number", ENDING_IN_X),
        ("id_number", OLD[:6] + OLD[8:17], "id_number", OLD),
        ("id_number", ANNA.translate({48 + digit: 0xFF10 + digit for digit in range(10)}), "id_number", ANNA),
        ("name", " 安·娜\u200b", "name", "安·娜"),
        ("benefit", "职工养老", "benefit", PENSION),
        ("benefit", "WORK_INJURY", "benefit", INJURY),
        ("benefit", f"{int(INJURY)}", "benefit", INJURY),
        ("document_kind", "", "document_kind", v.DOCUMENT_KIND_RESIDENT_IDENTITY),
        ("document_kind", "身份证", "document_kind", v.DOCUMENT_KIND_RESIDENT_IDENTITY),
        ("residence_region", "330700; 浙江省、110000", "residence", [330700, 330000, 110000]),
        ("residence_region", "330702001001", "residence", [330702]),
        ("residence_region", "33", "residence", [330000]),
        ("residence_region", "", "residence", []),
        ("insured_region", "110000", "insured", 110000),
        ("household_region", "", "household", 0),
        ("past_regions", "110000,330000", "past", [110000, 330000]),
        ("monthly", "￥3,500.50 元", "monthly_fen", 350_050),
        ("monthly", "0.10", "monthly_fen", 10),
        ("monthly", "3500.5000", "monthly_fen", 350_050),
        ("monthly", "", "monthly_fen", 0),
        ("monthly_fen", "350050", "monthly_fen", 350_050),
        ("account", "12", "account_fen", 1_200),
        ("last_paid_on", "2026年3月", "last_paid_on", day("2026-03-01")),
        ("last_paid_on", "20260315", "last_paid_on", day("2026-03-15")),
        ("last_paid_on", "2026-03-15 00:00:00", "last_paid_on", day("2026-03-15")),
        ("entitled_since_on", "1970-01-01", "entitled_since_on", 1),
        ("entitled_since_on", "", "entitled_since_on", 0),
        ("entitled_since_on", "1949-10-01", "entitled_since_on", day("1949-10-01")),
        ("entitled_since_on", "1949-09-30", "entitled_since_on", 0),
        ("entitled_since_on", "1900-01-01", "entitled_since_on", 0),
        ("old_id_numbers", f"{BO}；{OLD[:6] + OLD[8:17]}", "aliases", [BO, OLD]),
        ("reference", "P-17", "reference", "P-17"),
        ("grid_unit", " 网格一 ", "grid_unit", "网格一"),
    ],
)
def test_what_a_cell_means(field: str, text: str, column: str, meaning: object) -> None:
    sure = checked({field: text})
    assert not sure.refused, sure.rejected.rows()
    assert sure.rows.schema == pl.Schema(ROWS)
    assert sure.rows[column].to_list() == [meaning]


@pytest.mark.parametrize(
    ("row", "columns"),
    [
        ({"id_number": ""}, ["id_number"]),
        ({"id_number": ANNA[:-1] + ("0" if ANNA[-1] != "0" else "1")}, ["id_number"]),
        ({"id_number": "3.30702E+17"}, ["id_number"]),
        ({"id_number": "1" * 17}, ["id_number"]),
        ({"id_number": ANNA[:17] + "é"}, ["id_number"]),
        ({"id_number": "E" * 41, "document_kind": "护照"}, ["id_number"]),
        ({"name": " \u3000"}, ["name"]),
        ({"name": "安" * 86}, ["name"]),
        ({"name": "安\x07娜"}, ["name"]),
        ({"benefit": "?"}, ["benefit"]),
        ({"benefit": ""}, ["benefit"]),
        ({"document_kind": "图书证"}, ["document_kind"]),
        ({"residence_region": "990000"}, ["residence_region"]),
        ({"residence_region": "3307"}, []),
        ({"residence_region": "330700;X"}, ["residence_region"]),
        ({"insured_region": "12345"}, ["insured_region"]),
        ({"monthly": "-1"}, ["monthly"]),
        ({"monthly": "1.234"}, ["monthly"]),
        ({"monthly": f"{MAX_FEN // 100 + 1}"}, ["monthly"]),
        ({"monthly": "三千"}, ["monthly"]),
        ({"monthly_fen": "1.5"}, ["monthly_fen"]),
        ({"account": "1e3"}, ["account"]),
        ({"last_paid_on": "2026-02-30"}, ["last_paid_on"]),
        ({"last_paid_on": "1899-12-31"}, ["last_paid_on"]),
        ({"entitled_since_on": "03/04/2026"}, ["entitled_since_on"]),
        ({"old_id_numbers": "123"}, ["old_id_numbers"]),
        ({"old_id_numbers": ";".join(number(each) for each in range(MAX_ALIASES + 1))}, ["old_id_numbers"]),
        ({"reference": "R" * 101}, ["reference"]),
        ({"unit": "a\tb"}, ["unit"]),
        ({"name": "\ufffd"}, [""]),
        ({"id_number": "", "name": "", "benefit": "?", "monthly": "x"}, ["benefit", "id_number", "monthly", "name"]),
    ],
)
def test_what_is_wrong_with_a_row_is_told_all_at_once_in_both_languages(
    row: dict[str, str], columns: list[str]
) -> None:
    sure = checked(row, {"id_number": BO})
    assert sorted(column for _, column in wrong(sure)) == columns
    assert sure.fine.tolist() == [not columns, True]
    assert sure.refused == bool(columns)
    assert all(zh and en for zh, en in sure.rejected.select("reason_zh", "reason_en").rows())


def test_a_cell_that_is_too_long_and_a_row_of_another_length_are_refused_and_shown_cut() -> None:
    sure = checked({"reference": "字" * MAX_CELL_BYTES}, {"id_number": BO}, uneven=[1])
    assert {(row, column) for row, column in wrong(sure)} == {(1, ""), (1, "reference"), (2, "")}
    assert max(map(len, sure.rejected["reference_" if "reference_" in sure.rejected.columns else "reference"])) == 500


def test_a_benefit_for_all_rows_stands_where_a_row_names_none() -> None:
    sure = checked({"benefit": ""}, {"benefit": "工伤保险", "id_number": BO}, benefit=PENSION)
    assert sure.rows["benefit"].to_list() == [PENSION, INJURY]


def test_columns_that_a_file_does_not_have_are_told_by_the_fields_name() -> None:
    validator = Validator(["证件号码"], {"id_number": 0}, 0)
    sure = validator.check(cells([{"证件号码": ANNA}], ["证件号码"]))
    assert wrong(sure) == [(1, "benefit"), (1, "name")]


@pytest.mark.parametrize(
    "again",
    [ANNA, f" {ANNA}", ANNA.translate({48 + digit: 0xFF10 + digit for digit in range(10)})],
)
def test_who_stands_there_twice_for_one_benefit_is_asked_about_once(again: str) -> None:
    other = {"id_number": ANNA, "benefit": "工伤保险"}
    sure = checked({}, {"id_number": again}, other, {"id_number": again})
    assert sure.fine.tolist() == [True, False, True, False]
    assert sure.again.tolist() == [False, True, False, True]
    assert [(row, "1" in text) for row, text in sure.rejected.select("row", "reason_zh").rows()] == [
        (2, True),
        (4, True),
    ]


def test_who_is_refused_for_another_reason_does_not_take_the_place_of_a_later_row() -> None:
    sure = checked({"name": ""}, {})
    assert sure.fine.tolist() == [False, True]
    assert sure.again.tolist() == [False, False]


def test_people_without_a_resident_number_are_told_apart_by_theirs() -> None:
    passport = {"id_number": "E12345678", "document_kind": "护照"}
    sure = checked(passport, {**passport, "id_number": "E12345679"}, {**passport, "id_number": "e12345678"})
    assert sure.again.tolist() == [False, False, True]
    assert key_of("E12345678", resident=False) != key_of("E12345679", resident=False)


def test_the_files_own_columns_never_have_our_names() -> None:
    assert own_names(["row", "姓名", "姓名", "", "reason_en"]) == ["row_", "姓名", "姓名_", "column_4", "reason_en_"]


# for whatever rows

serials = st.integers(0, 30)
written = st.builds(
    lambda serial, form: [
        number(serial),
        number(serial).lower(),
        f" {number(serial)}",
        number(serial)[:-1],
        "",
        "E1234567",
    ][form],
    serials,
    st.integers(0, 5),
)
rows = st.fixed_dictionaries(
    {
        "id_number": written,
        "name": st.sampled_from(["安娜", "博", "", "a\x00b"]),
        "benefit": st.sampled_from(["企业职工基本养老保险", "工伤保险", "?", ""]),
        "document_kind": st.sampled_from(["", "", "护照"]),
        "monthly": st.sampled_from(["", "12.5", "x", "1,000"]),
        "residence_region": st.sampled_from(["", "330700", "330700;110000", "9"]),
        "old_id_numbers": st.sampled_from(["", "", number(40), "1"]),
    }
)
ORDER = ("id_number", "name", "benefit", "document_kind", "monthly", "residence_region", "old_id_numbers")


def in_parts(table: list[dict[str, str]], cuts: list[int]) -> list[Sure]:
    """A file checked in parts, one after another."""
    validator = Validator(ORDER, {field: at for at, field in enumerate(ORDER)}, 0, Seen())
    ends = sorted({min(cut, len(table)) for cut in cuts} | {len(table)})
    starts = [0, *ends[:-1]]
    return [
        validator.check(cells(table[start:end], ORDER, start + 1))
        for start, end in zip(starts, ends, strict=True)
        if start < end or not table
    ]


@settings(deadline=None, max_examples=25)
@given(st.lists(rows, max_size=30), st.lists(st.integers(0, 30), max_size=4))
def test_however_a_file_is_cut_every_row_is_asked_about_or_refused_and_the_same_way(
    table: list[dict[str, str]], cuts: list[int]
) -> None:
    (whole,) = in_parts(table, [])
    parts = in_parts(table, cuts)
    for name in ("rows", "rejected"):
        assert pl.concat([getattr(part, name) for part in parts]).equals(getattr(whole, name))
    for name in ("fine", "again", "keys"):
        assert np.concatenate([getattr(part, name) for part in parts]).tolist() == getattr(whole, name).tolist()
    asked, refused = whole.rows["row"].to_list(), set(whole.rejected["row"].to_list())
    assert asked == [row for row in range(1, len(table) + 1) if row not in refused]
    assert whole.refused == len(refused)


@settings(deadline=None, max_examples=25)
@given(st.lists(rows, min_size=1, max_size=20))
def test_in_columns_a_number_is_what_it_is_by_itself_and_people_are_told_apart(table: list[dict[str, str]]) -> None:
    (sure,) = in_parts(table, [])
    known: dict[tuple[str, str], int] = {}
    for place, row in enumerate(table):
        kind = v.DOCUMENT_KIND_PASSPORT if row["document_kind"] else v.DOCUMENT_KIND_RESIDENT_IDENTITY
        try:
            found = normalise_number(row["id_number"].strip(), kind) if row["id_number"] else ""
        except RefusedError:
            found = ""
        asked = sure.rows.filter(pl.col("row") == place + 1)
        if not found:
            assert not sure.fine[place]
        if asked.height:
            assert asked["id_number"].item() == found
            assert known.setdefault((found, row["benefit"]), place) == place, "asked about twice"
        if sure.again[place]:
            assert (found, row["benefit"]) in known
