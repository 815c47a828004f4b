"""Work lists: everybody who is to be seen stands on one, and the visitor is told no more than is needed."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from pathlib import Path

import openpyxl
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.roster.results import worklists
from gateway.roster.results.worklists import WorkListOptions, file_names, masked
from gateway.roster.results.writing import Options, write
from tests.unit.roster.result_world import AS_OF_ON, MEMBERS, empty_chunk, people, roster
from wugan.federation.v1 import vocabulary_pb2 as f

BOTH = Options(AS_OF_ON, members=MEMBERS, work_lists=WorkListOptions(("xlsx", "csv")))


def read(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig"), newline="")))


def test_everybody_to_be_seen_stands_on_the_list_of_their_unit_and_nobody_else(tmp_path: Path) -> None:
    write(roster(2000, 500, grids=30), tmp_path, BOTH)
    everybody = pl.concat([chunk.people for chunk in roster(2000, 500, grids=30)])
    visited = [f.CERTIFICATION_STATUS_NEEDS_VISIT, f.CERTIFICATION_STATUS_SUSPECT]
    for name, statuses in (("visit", visited), ("face", [f.CERTIFICATION_STATUS_NEEDS_FACE])):
        expected = everybody.filter(pl.col("certification").is_in(statuses))
        by_unit = {unit: rows["row"].to_list() for (unit,), rows in expected.group_by("grid_unit", maintain_order=True)}
        found = {
            path.stem: [int(row["行号"]) for row in read(path)]
            for path in (tmp_path / "worklists" / name).glob("*.csv")
        }
        assert found == by_unit
        assert {path.stem for path in (tmp_path / "worklists" / name).glob("*.xlsx")} == set(by_unit)
        index = [row for row in read(tmp_path / "worklists" / "index.csv") if row["文件"].startswith(f"{name}/")]
        assert {row["网格"]: int(row["人数"]) for row in index} == {unit: len(rows) for unit, rows in by_unit.items()}
        assert all((tmp_path / "worklists" / row["文件"]).is_file() for row in index)


def test_few_units_at_a_time_make_the_same_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(roster(500, grids=20), tmp_path / "one", BOTH)
    monkeypatch.setattr(worklists, "_ROWS_AT_A_TIME", 3)
    write(roster(500, grids=20), tmp_path / "few", BOTH)
    one, few = (
        {path.relative_to(folder): path.read_bytes() for path in (folder / "worklists").rglob("*.*")}
        for folder in (tmp_path / "one", tmp_path / "few")
    )
    assert one == few


def test_a_visitor_learns_what_to_establish_and_neither_reasons_nor_whole_numbers(tmp_path: Path) -> None:
    doubtful = [
        {"certification": f.CERTIFICATION_STATUS_SUSPECT, "status": status, "verify_by_on": AS_OF_ON + 30}
        for status in (f.SURVIVAL_STATUS_DECEASED_SUSPECTED, f.SURVIVAL_STATUS_MISSING, f.SURVIVAL_STATUS_CONFLICT, 1)
    ]
    visit = {
        "certification": f.CERTIFICATION_STATUS_NEEDS_VISIT,
        "status": f.SURVIVAL_STATUS_ALIVE_WEAK,
        "grid_unit": " ",
    }
    write(iter([empty_chunk(people=people([*doubtful, visit]))]), tmp_path, BOTH)
    rows = read(tmp_path / "worklists" / "visit" / "未分配网格.csv")
    assert [row["核查事项"] for row in rows] == [
        "核实是否在世",
        "核实是否走失、失踪",
        "核实身份与生存状况",
        "核实待遇资格",
        "上门见到本人",
    ]
    assert [row["核实期限"] for row in rows] == ["2026-10-04"] * 4 + [""]
    assert {row["证件号码"] for row in rows} == {"330702********1234"}
    assert not {"理由", "证据部门", "最近活动日期"} & set(rows[0])
    assert all(row["核查结果"] == row["核查人"] == "" for row in rows)
    sheet = openpyxl.load_workbook(tmp_path / "worklists" / "visit" / "未分配网格.xlsx").active
    assert sheet is not None
    (choice,) = sheet.data_validations.dataValidation
    assert choice.formula1 == '"通过,已死亡,未找到,拒绝"'
    assert str(choice.sqref) == "I2:I6"
    full = Options(AS_OF_ON, work_lists=WorkListOptions(("csv",), full_numbers=True))
    write(iter([empty_chunk(people=people([visit]))]), tmp_path, full)
    assert read(tmp_path / "worklists" / "visit" / "未分配网格.csv")[0]["证件号码"] == "330702195001011234"


def test_without_formats_there_are_no_work_lists(tmp_path: Path) -> None:
    written = write(roster(100), tmp_path, Options(AS_OF_ON, work_lists=WorkListOptions(())))
    assert written.units == 0
    assert not (tmp_path / "worklists").exists()


@pytest.mark.parametrize(
    ("number", "shown"), [("330702195001011234", "330702********1234"), ("H1234567", "H1****67"), ("AB1", "AB****B1")]
)
def test_the_middle_of_a_number_is_left_out(number: str, shown: str) -> None:
    assert pl.DataFrame({"id": [number]}).select(masked("id")).item() == shown


UNITS = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "",
                ".",
                "..",
                "../../etc/passwd",
                "CON",
                "con.txt",
                "A",
                "a",
                "é",
                "e\u0301",
                "x/y",
                "x:y",
                "-rf",
                "第1网格",
                "ａ",
            ]
        ),
        st.text(max_size=80),
    ),
    unique=True,
    max_size=12,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(UNITS)
def test_file_names_are_safe_everywhere_and_no_two_units_share_one(units: list[str]) -> None:
    names = file_names(units)
    assert set(names) == set(units)
    assert len({unicodedata.normalize("NFKC", name).casefold() for name in names.values()}) == len(units)
    for name in names.values():
        assert name
        assert not re.search(r'[\x00-\x1f<>:"/\\|?*]', name)
        assert name[0] not in "-~=+@. "
        assert name[-1] not in " ."
        assert not re.fullmatch(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?", name)
        assert len(name.encode("utf-8", "surrogatepass")) <= 130
    assert file_names(reversed(units)) == names
