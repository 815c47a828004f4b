"""JSON lines, lines of fixed width, Parquet and workbooks: what is read, what is quarantined, what is refused."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from pathlib import Path

import openpyxl
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.apart import rows_apart
from adapters.build import build
from adapters.contract import Adapter
from adapters.errors import AdapterError, ManifestError, SourceDownError, SourceFaultError
from adapters.lines import byte_lines, fixed_width, json_lines
from adapters.manifest.layout import Layout
from adapters.manifest.sources import FileSet
from adapters.rows import MAX_LINE_BYTES, FileRejectedError, Row
from adapters.tabular import Table
from tests.unit.adapters.adapters_world import ANNA, BO, CHEN, ENDING_IN_X, NOW_MS, ask, holders, manifest_in, rows

TEXT = """\
manifest: 1
adapter_id: justice
version: 1
department: JUSTICE
regions: [330000]
kind: file
source: {folder: drop, settle_s: 0, scan_every_s: 0}
identity: {column: IDENTITY, name: NAME, forms: [lower_x]}
timeout_s: 20
records:
  - name: prison
    files: FILES
    evidence: IMPRISONED
    observed_on: {column: at, formats: ["%Y%m%d", iso]}
    from_on: {column: at, formats: ["%Y%m%d", iso]}
    until_on: {column: until, formats: ["%Y%m%d", iso], empty: ["00000000"]}
    strength: REAL_NAME
    source_reference: no
"""
LAYOUT = (
    "{columns: [{column: id, width: 18}, {column: name, width: 20}, {width: 2}, {column: at, width: 8},"
    " {column: until, width: 8}, {column: no, width: 10}], unit: UNIT, skip_lines: 1}"
)
RARE = "㐂𠮷·某"


class Drop:
    """A drop folder, and the adapter over it."""

    def __init__(self, folder: Path, files: str, identity: str = "id", name: str = "name") -> None:
        self.folder = folder / "drop"
        self.folder.mkdir()
        text = TEXT.replace("FILES", files).replace("IDENTITY", identity).replace("NAME", name)
        self.adapter: Adapter = build(manifest_in(folder, text), folder / "state", lambda: 2 * NOW_MS)
        self.quarantine = folder / "state" / "justice" / "quarantine"

    def put(self, name: str, data: bytes) -> None:
        (self.folder / f".{name}").write_bytes(data)
        (self.folder / f".{name}").rename(self.folder / name)

    def reasons(self) -> str:
        return "".join(path.read_text("utf-8-sig") for path in self.quarantine.glob("*.csv"))


def fields(person: str, name: str = RARE, at: str = "20260301", until: str = "", no: str = "1") -> dict[str, object]:
    return {"person": {"no": person}, "name": name, "at": at, "until": until, "no": no}


async def test_json_lines_are_read_by_dotted_paths_and_a_bad_line_is_a_bad_row(tmp_path: Path) -> None:
    drop = Drop(tmp_path, '{pattern: "*.jsonl", max_bad_share: 0.9}', "person.no")
    deep = "[" * 100_000
    bad = ["{", "[1]", "NaN", '{"at": ["20260301"], "person": {"no": "1"}}', deep, '{"person": 1' + "0" * 5_000 + "}"]
    good = [fields(ANNA), {**fields(BO), "until": None, "no": 7}, {"person": {"no": CHEN}, "at": "2026-03-02"}]
    lines = [json.dumps(one, ensure_ascii=False) for one in good] + ["", *bad]
    drop.put("a.jsonl", b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    await drop.adapter.check()
    answer = await drop.adapter.lookup(ask(ANNA, BO, CHEN))
    assert [row[2:] for row in rows(answer)] == [("2026-03-01", "1"), ("2026-03-01", "7"), ("2026-03-02", "")]
    assert holders(answer) == [(0, ANNA, RARE), (1, BO, RARE), (2, CHEN, "")]
    assert drop.reasons().count("不是 JSON") == 4, "two are no JSON, one no number, two no objects"
    assert "嵌套过深" in drop.reasons()
    assert "列表或对象" in drop.reasons()
    await drop.adapter.close()


@pytest.mark.parametrize(
    ("unit", "encoding"),
    [("bytes", "gb18030"), ("bytes", "utf-8"), ("characters", "gb18030"), ("characters", "utf-16-le")],
)
async def test_lines_of_fixed_width_are_cut_in_bytes_or_characters(tmp_path: Path, unit: str, encoding: str) -> None:
    layout = LAYOUT.replace("UNIT", unit)
    given = encoding if encoding.startswith("gb") or encoding == "utf-8" else "utf-16"
    drop = Drop(
        tmp_path, f'{{pattern: "*.txt", format: fixed, encoding: {given}, layout: {layout}, max_bad_share: 0.9}}'
    )

    def padded(text: str, width: int) -> str:
        size = len(text.encode(encoding)) if unit == "bytes" else len(text)
        return text + " " * (width - size)

    def line(person: str, name: str, at: str, until: str, no: str) -> str:
        return padded(person, 18) + padded(name, 20) + "##" + at + until + padded(no, 10)

    lines = [
        "H某监狱 20260401",
        line(ANNA, RARE, "20260301", "20270301", "第1号"),
        line(ENDING_IN_X.lower(), "夏", "20260302", "00000000", "2").rstrip(),
        line(BO, "博", "20260303", "00000000", "3") + " too long",
        line(CHEN, "陈", "20260304", "00000000", "")[:40],
    ]
    drop.put("a.txt", "\r\n".join(lines).encode(encoding))
    await drop.adapter.check()
    answer = await drop.adapter.lookup(ask(ANNA, ENDING_IN_X))
    assert rows(answer) == [(0, "IMPRISONED", "2026-03-01", "第1号"), (1, "IMPRISONED", "2026-03-02", "2")]
    assert holders(answer) == [(0, ANNA, RARE), (1, ENDING_IN_X, "夏")]
    for person in (BO, CHEN):
        with pytest.raises(SourceFaultError, match="layout's width"):
            await drop.adapter.lookup(ask(person))
    assert drop.reasons().count("行宽与版式不符") == 2
    await drop.adapter.close()


def test_a_width_that_cuts_through_a_character_makes_a_bad_row(tmp_path: Path) -> None:
    layout = Layout.model_validate({"columns": [{"column": "a", "width": 3}, {"column": "b", "width": 3}]})
    path = tmp_path / "a.txt"
    path.write_bytes("张张张\nab张c\n".encode("gb18030"))
    assert [bool(row.wrong) for row in fixed_width(path, "gb18030", 0, layout)] == [True, True]
    with pytest.raises(FileRejectedError, match="UTF-16"):
        list(fixed_width(path, "utf-16-le", 0, layout))


async def test_parquet_keeps_dates_and_numbers_and_reads_only_what_is_needed(tmp_path: Path) -> None:
    drop = Drop(tmp_path, "prison_*.parquet")
    frame = pl.DataFrame(
        {
            "id": [ANNA, BO],
            "name": [RARE, None],
            "at": [dt.date(2026, 3, 1), dt.date(2026, 3, 2)],
            "until": [dt.datetime(2027, 3, 1, 20, tzinfo=dt.UTC), None],
            "no": [1, 2],
            "other": [[1], [2, 3]],
        }
    )
    frame.write_parquet(drop.folder / "prison_1.parquet")
    await drop.adapter.check()
    answer = await drop.adapter.lookup(ask(ANNA, BO))
    assert [row[2:] for row in rows(answer)] == [("2026-03-01", "1"), ("2026-03-02", "2")]
    assert holders(answer) == [(0, ANNA, RARE), (1, BO, "")]
    until = dt.date(1970, 1, 1) + dt.timedelta(days=int(answer.evidence.until_on.max()))
    assert until == dt.date(2027, 3, 2), "20:00 UTC is the next day in Shanghai"
    await drop.adapter.close()


def written(frame: pl.DataFrame, path: Path) -> Path:
    frame.write_parquet(path)
    return path


def test_parquet_that_lacks_a_column_or_holds_lists_or_is_none_is_refused(tmp_path: Path) -> None:
    path = written(pl.DataFrame({"id": ["1"], "list": [[1]]}), tmp_path / "a.parquet")
    for column, says in (("who", "column named: who"), ("list", "lists or objects: list")):
        with pytest.raises(FileRejectedError, match=says):
            list(rows_apart("parquet", path, {"columns": [column]}))
    with pytest.raises(FileRejectedError) as caught:
        list(Table(path, FileSet(pattern="*"), ["id", "who"], lambda name: f"{name}.column").rows())
    assert "column named: 'who' (wanted by who.column)" in caught.value.en
    assert "下列列缺失或重复：'who'（清单 who.column 所用）" in caught.value.zh
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(FileRejectedError, match="Parquet"):
        list(rows_apart("parquet", path, {"columns": ["id"]}))


def test_a_workbook_of_two_cells_far_apart_does_not_end_the_process(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.cell(1, 1, "id")
    book.active.cell(1_048_576, 16_384, "x")  # half a terabyte, for who holds what lies between
    book.save(tmp_path / "a.xlsx")
    with pytest.raises(FileRejectedError, match="bounds of memory"):
        list(rows_apart("xlsx", tmp_path / "a.xlsx", {"sheet": None}))


def test_parquet_that_asks_for_too_much_memory_is_refused(tmp_path: Path) -> None:
    path = written(pl.DataFrame({"id": ["x" * (60 << 20)]}), tmp_path / "a.parquet")  # one cell
    assert path.stat().st_size < 100_000
    with pytest.raises(FileRejectedError, match="bounds of memory"):
        list(rows_apart("parquet", path, {"columns": ["id"]}, memory_bytes=350 << 20))


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.txt"])
async def test_a_file_without_line_ends_is_refused(tmp_path: Path, name: str) -> None:
    files = (
        '{pattern: "a.*"}'
        if name != "a.txt"
        else LAYOUT.replace("UNIT", "bytes").join(['{pattern: "a.*", format: fixed, layout: ', "}"])
    )
    drop = Drop(tmp_path, files)
    drop.put(name, b"7" * (MAX_LINE_BYTES + 10))
    with pytest.raises(SourceDownError, match="longer than"):
        await drop.adapter.check()
    await drop.adapter.close()


def test_the_longest_line_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"7" * MAX_LINE_BYTES + b"\n8\n")
    with path.open("rb") as stream:
        assert [len(line) for _, line in byte_lines(stream)] == [MAX_LINE_BYTES, 1]


@pytest.mark.parametrize(
    "files",
    [
        '{pattern: "*", format: fixed}',
        '{pattern: "*", layout: {columns: [{column: id, width: 18}]}}',
        '{pattern: "*", format: fixed, layout: {columns: []}}',
        '{pattern: "*", format: fixed, layout: {columns: [{column: id, width: 0}]}}',
        '{pattern: "*", format: fixed, layout: {columns: [{column: id, width: 1}, {column: id, width: 1}]}}',
    ],
)
def test_a_layout_that_is_none_is_refused(tmp_path: Path, files: str) -> None:
    with pytest.raises(ManifestError):
        Drop(tmp_path, files)


def read(rows: Sequence[Row] | object) -> list[Row]:
    """Rows, or none where the file is refused; anything else is a crash."""
    try:
        return list(rows)  # type: ignore[call-overload]
    except FileRejectedError:
        return []


_LINES = st.binary(max_size=400) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass"))
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "a", ""]), inner, max_size=3),
    max_leaves=12,
).map(lambda value: json.dumps(value).encode())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=_LINES | st.lists(_JSON | _LINES, max_size=5).map(b"\n".join),
    encoding=st.sampled_from(["utf-8", "gb18030", "utf-16-le"]),
)
def test_any_lines_are_taken_apart_or_refused_but_never_crash(tmp_path: Path, data: bytes, encoding: str) -> None:
    path = tmp_path / "any"
    path.write_bytes(data)
    for row in read(json_lines(path, encoding, 0, ["id", "a.id", "."])):
        assert row.wrong or len(row.cells) == 3
        assert not any(isinstance(cell, (dict, list)) for cell in row.cells)
    for unit in ("bytes", "characters"):
        layout = Layout.model_validate(
            {"columns": [{"column": "a", "width": 2}, {"width": 1}, {"column": "b", "width": 3}], "unit": unit}
        )
        for row in read(fixed_width(path, encoding, 0, layout)):
            assert row.wrong or len(row.cells) == 2
            assert all(isinstance(cell, str) for cell in row.cells)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 2_000), cut=st.booleans(), byte=st.integers(0, 255), form=st.sampled_from(["xlsx", "parquet"]))
def test_a_damaged_file_is_read_or_refused_but_never_crashes(
    tmp_path: Path, at: int, cut: bool, byte: int, form: str
) -> None:
    path = tmp_path / f"a.{form}"
    if form == "parquet":
        pl.DataFrame({"id": [ANNA, BO], "no": [1, 2]}).write_parquet(path)
    else:
        book = openpyxl.Workbook()
        book.active.append(["id", "no"])
        book.active.append([ANNA, 1])
        book.save(path)
    data = bytearray(path.read_bytes())
    at %= len(data)
    path.write_bytes(bytes(data[:at]) if cut else bytes(data[:at] + bytes([byte]) + data[at + 1 :]))
    try:
        read(Table(path, FileSet(pattern="*"), ["id"]).rows())
    except (FileRejectedError, AdapterError):
        return
