"""Files of every kind as rows of text."""

from __future__ import annotations

import csv
import io

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import RefusedError
from gateway.roster.around import Bounds
from gateway.roster.decoding import Decoding
from gateway.roster.pieces import MAX_RECORD_BYTES
from gateway.roster.reading import Table, open_table
from gateway.roster.records import records

BOUNDS = Bounds(1 << 30, 1 << 26, 1_000)
CELL = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from('",;\n\t|'), max_size=12)


def read(data: bytes, at_once: int = 7, block: int = 1 << 20, bounds: Bounds = BOUNDS) -> Table:
    blocks = [data[at : at + block] for at in range(0, len(data), block)]
    return open_table(lambda: blocks, len(data), 0, "", bounds, at_once)


def rows_of(table: Table) -> list[tuple[int, tuple[str, ...]]]:
    return [
        (int(number), row) for cells in table.batches for number, row in zip(cells.row, cells.frame.rows(), strict=True)
    ]


@given(
    st.lists(st.lists(CELL, min_size=3, max_size=3), max_size=20),
    st.integers(1, 9),
    st.integers(1, 300),
    st.sampled_from(["utf-8", "utf-8-sig", "gb18030", "utf-16"]),
)
def test_what_was_written_is_read(rows: list[list[str]], at_once: int, block: int, encoding: str) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(["身份证号码", "姓名甲", "其他列"])
    writer.writerows(rows)
    data = text.getvalue().encode(encoding)
    table = read(data, at_once, block)
    assert table.header == ["身份证号码", "姓名甲", "其他列"]
    assert [row for _, row in rows_of(table)] == [tuple(row) for row in rows]


def test_blank_lines_are_no_rows() -> None:
    assert rows_of(read(b"a,b\n\n1,2\r\n\r\n\n3,4")) == [(1, ("1", "2")), (2, ("3", "4"))]


def test_rows_of_another_length_are_told() -> None:
    (cells,) = read(b"a,b\n1\n1,2\n1,2,3\n").batches
    assert cells.uneven.tolist() == [0, 2]
    assert cells.frame.rows() == [("1", ""), ("1", "2"), ("1", "2")]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_told_by_the_header(delimiter: str) -> None:
    table = read(f'"a{delimiter}x"{delimiter}b\n1{delimiter}2\n'.encode())
    assert table.header == [f"a{delimiter}x", "b"]
    assert rows_of(table) == [(1, ("1", "2"))]


@pytest.mark.parametrize(
    "data", [b'a,b\n"' + b"x" * (2 * MAX_RECORD_BYTES), b'a,b\n"1,2\n', b"x" * (MAX_RECORD_BYTES + 9)]
)
def test_what_cannot_be_cut_is_refused(data: bytes) -> None:
    with pytest.raises(RefusedError):
        rows_of(read(data))


def test_too_many_rows_are_refused() -> None:
    table = read(b"a,b\n" + b"1,2\n" * 4, bounds=BOUNDS.__class__(1 << 30, 1 << 26, 3), at_once=2)
    with pytest.raises(RefusedError) as refused:
        rows_of(table)
    assert "3" in refused.value.en


def test_what_is_not_text_is_told_by_its_mark() -> None:
    (cells,) = read("a,b\n张三,2\n".encode("gb18030") + b"\xff\xff,2\n").batches
    assert cells.frame["0"][0] == "张三"
    assert "\ufffd" in cells.frame["0"][1]


def test_parquet_says_what_text_would() -> None:
    buffer = io.BytesIO()
    frame = pl.DataFrame({"证件号码": ["330702194001010004"], "月待遇": [3500.5], "整数": [7.0], "空": [None]})
    frame.with_columns(日期=pl.lit("2026-03-01").str.to_date()).write_parquet(buffer)
    assert rows_of(read(buffer.getvalue())) == [(1, ("330702194001010004", "3500.5", "7", "", "2026-03-01"))]


@given(st.lists(st.text('a\n\r"', max_size=8), max_size=30), st.integers(1, 5))
def test_records_come_in_full_batches(lines: list[str], at_once: int) -> None:
    data = "h\n" + "\n".join(lines)
    if data.count('"') % 2:
        data += '"'
    parts = list(records(Decoding([data.encode()]), at_once))[1:]
    counts = [sum(1 for _ in records(Decoding([part]), 1, header=False)) for part in parts]
    assert all(count == at_once for count in counts[:-1])
    assert not counts or 0 < counts[-1] <= at_once


def test_encodings_are_told_once_all_was_read() -> None:
    for encoding, told in (("ascii", ""), ("utf-8", "utf-8"), ("gb18030", "gb18030"), ("utf-16", "utf-16-le")):
        decoding = Decoding([("a,b\n1,2" if encoding == "ascii" else "a,姓名\n1,张三").encode(encoding)])
        assert b"".join(decoding).decode().startswith("a,")
        assert decoding.encoding == told


def test_numbers_of_rows_ascend() -> None:
    numbers = np.array([number for number, _ in rows_of(read(b"a,b\n" + b"1,2\n" * 50))])
    assert numbers.tolist() == list(range(1, 51))
