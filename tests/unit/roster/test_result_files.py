"""A run's files: what stands in them, that they are the same every time, and that they are safe to open."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import openpyxl
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import RefusedError, StoreError
from gateway.roster.frames import ChunkFrames
from gateway.roster.results import headings
from gateway.roster.results.sheets import Workbook, column_letters
from gateway.roster.results.staging import FOLDER, staged
from gateway.roster.results.tables import harmless, write_csv
from gateway.roster.results.writing import KNOWN, Options, write
from tests.unit.roster.result_world import AS_OF_ON, BEIJING, HUBEI, MEMBERS, empty_chunk, people, roster
from wugan.federation.v1 import vocabulary_pb2 as f

OPTIONS = Options(AS_OF_ON, title="名册", agency="社保中心", members=MEMBERS)


def table(path: Path) -> list[dict[str, str]]:
    raw = path.read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf"), f"{path.name} has no byte order mark"
    return list(csv.DictReader(io.StringIO(raw.decode("utf-8-sig"), newline="")))


def sheet(path: Path, at: int = 0) -> list[tuple[object, ...]]:
    return list(openpyxl.load_workbook(path).worksheets[at].iter_rows(values_only=True))


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("roster") / "out"
    write(roster(3000, 700), out, OPTIONS)
    return out


def test_every_recipient_has_one_row_in_order_with_the_five_indicators(written: Path) -> None:
    chunks = list(roster(3000, 700))
    given_people = pl.concat([chunk.people for chunk in chunks])
    rows = table(written / "results.csv")
    assert [int(row["行号"]) for row in rows] == given_people["row"].to_list()
    assert [row["证件号码"] for row in rows] == given_people["id_number"].to_list()
    for row, certification, status in zip(rows, given_people["certification"], given_people["status"], strict=True):
        certified = certification == f.CERTIFICATION_STATUS_CERTIFIED
        assert row["底数"].startswith("在册")
        assert (row["认证状态"] == "已认证") == certified
        assert (row["认证来源"], row["认证时间"]) == (("数据比对", "2026-09-04") if certified else ("", ""))
        assert row["认证标记"] == headings.MARKS[status].zh
        assert bool(row["理由"]) == (status > 0)
        assert bool(row["未获答复原因"]) == (status == 0)
    stored = pl.read_parquet(written / "results.parquet")
    assert stored["row"].to_list() == given_people["row"].to_list()
    assert stored.select(given_people.columns).equals(given_people), "the frame's own columns stay as they are"


def test_the_sheet_says_what_the_csv_says(written: Path) -> None:
    rows = table(written / "results.csv")
    cells = sheet(written / "results.xlsx")
    assert list(cells[0]) == list(rows[0])
    for line, row in zip(cells[1:], rows, strict=True):
        for cell, heading in zip(line, headings.RESULT, strict=True):
            text = row[heading.zh]
            if heading.shown is headings.Shown.MONEY:
                assert f"{cell:.2f}" == text
            elif heading.shown in (headings.Shown.DAY, headings.Shown.MONTH):
                assert ("" if cell is None else f"{cell:%Y-%m-%d}").startswith(text)
                assert (cell is None) == (text == "")
            else:
                assert ("" if cell is None else str(cell)) == text


def test_the_stop_list_has_its_evidence_and_nobody_else(written: Path) -> None:
    proposed = pl.concat([chunk.people for chunk in roster(3000, 700)]).filter(
        pl.col("certification") == f.CERTIFICATION_STATUS_STOP_PROPOSED
    )
    stops = table(written / "stop-list.csv")
    evidence = table(written / "stop-evidence.csv")
    assert [int(row["行号"]) for row in stops] == proposed["row"].to_list()
    assert {row["行号"] for row in evidence} == {row["行号"] for row in stops}
    assert [int(row["证据条数"]) for row in stops] == [2] * len(stops)
    assert {row["证据"] for row in evidence} == {"火化", "死亡注销户口"}
    assert [row[0] for row in sheet(written / "stop-list.xlsx")[1:]] == proposed["row"].to_list()
    assert len(sheet(written / "stop-list.xlsx", 1)) == len(evidence) + 1


def test_overpayments_add_up_in_list_and_sums(written: Path) -> None:
    everybody = pl.concat([chunk.people for chunk in roster(3000, 700)])
    net = int(everybody["overpaid_net_fen"].sum())
    rows = table(written / "overpayments.csv")
    assert sum(round(float(row["应追回金额（元）"]) * 100) for row in rows) == net
    for row in rows:
        gross, offset, left = (
            round(float(row[name]) * 100) for name in ("多发金额（元）", "个人账户抵扣（元）", "应追回金额（元）")
        )
        assert int(row["多发月数"]) * round(float(row["月待遇（元）"]) * 100) == gross == offset + left
    listed, sums = sheet(written / "overpayments.xlsx"), sheet(written / "overpayments.xlsx", 1)
    assert round(float(str(listed[-1][-1])) * 100) == net
    assert sums[-1][0] == "合计"
    assert round(float(str(sums[-1][-1])) * 100) == net == sum(round(float(str(row[-1])) * 100) for row in sums[1:-1])


def test_the_same_chunks_give_the_same_bytes_whatever_was_there_before(written: Path, tmp_path: Path) -> None:
    write(roster(200, 100, seed=9), tmp_path / "again", OPTIONS)
    (tmp_path / "again" / "notes.txt").write_text("the agency's own")
    write(roster(3000, 700), tmp_path / "again", OPTIONS)
    found = digests(tmp_path / "again")
    assert found.pop("notes.txt")
    assert found == digests(written)


def test_the_manifest_holds_the_digest_of_every_file_but_messages(written: Path) -> None:
    listed = json.loads((written / "manifest.json").read_text("utf-8"))["files"]
    found = {
        name: digest for name, digest in digests(written).items() if not name.startswith(("messages.", "manifest."))
    }
    assert {name: entry["sha256"] for name, entry in listed.items()} == found
    assert {name.split("/")[0] for name in digests(written)} == KNOWN


def test_only_the_owner_may_read_what_was_written(written: Path) -> None:
    for path in written.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_a_run_that_breaks_off_leaves_the_earlier_files_and_nothing_else(written: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(roster(3000, 700), out, OPTIONS)

    def broken() -> Iterator[ChunkFrames]:
        yield from roster(1400, 700, seed=5)
        raise RefusedError("broken off", "中断")

    with pytest.raises(RefusedError, match="broken off"):
        write(broken(), out, OPTIONS)
    assert digests(out) == digests(written)


def test_what_a_killed_run_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / FOLDER / "files").mkdir(parents=True)
    (tmp_path / FOLDER / "files" / "results.csv").write_text("330702195001011234")
    write(roster(10), tmp_path, OPTIONS)
    assert not (tmp_path / FOLDER).exists()


def test_two_runs_do_not_write_to_one_folder(tmp_path: Path) -> None:
    with staged(tmp_path), pytest.raises(StoreError, match="another run"):
        write(roster(10), tmp_path, OPTIONS)


def test_too_many_rows_for_a_spreadsheet_leave_none_behind(tmp_path: Path) -> None:
    write(roster(50), tmp_path, OPTIONS)
    assert (tmp_path / "results.xlsx").exists()
    write(roster(50), tmp_path, Options(AS_OF_ON, xlsx_rows=49))
    assert not (tmp_path / "results.xlsx").exists()


def test_an_empty_roster_has_every_file(tmp_path: Path) -> None:
    written = write(iter(()), tmp_path, OPTIONS)
    assert written.counts.people == 0
    assert set(written.files) == KNOWN
    assert table(tmp_path / "results.csv") == []
    assert sheet(tmp_path / "results.xlsx")[0][0] == "行号"


def test_rows_beyond_a_sheet_go_on_to_the_next(tmp_path: Path) -> None:
    write(roster(100), tmp_path, Options(AS_OF_ON, sheet_rows=40))
    book = openpyxl.load_workbook(tmp_path / "results.xlsx")
    assert [(each.title, each.max_row - 1) for each in book.worksheets] == [
        ("认证结果", 40),
        ("认证结果 2", 40),
        ("认证结果 3", 20),
    ]
    assert [row[0] for each in book.worksheets for row in each.iter_rows(min_row=2, values_only=True)] == list(
        range(1, 101)
    )


def test_rejected_rows_are_listed_with_what_stood_in_them(tmp_path: Path) -> None:
    def chunks() -> Iterator[ChunkFrames]:
        for chunk, column in zip(roster(20, 10), ("姓名", "备注"), strict=True):
            bad = pl.DataFrame(
                {"row": [7], "column": [column], "reason_zh": ["有误"], "reason_en": ["wrong"], column: ["=1+1"]}
            )
            yield replace(chunk, rejected=bad)

    assert write(chunks(), tmp_path, OPTIONS).counts.rejected == 2
    rows = table(tmp_path / "rejected.csv")
    assert [(row["列"], row["原因"], row["姓名"], row["备注"]) for row in rows] == [
        ("姓名", "有误", "'=1+1", ""),
        ("备注", "有误", "", "'=1+1"),
    ]


def test_english_is_english_throughout(tmp_path: Path) -> None:
    write(roster(60), tmp_path, Options(AS_OF_ON, "en", members=MEMBERS))
    rows = table(tmp_path / "results.csv")
    assert rows[0]["registered"] == "registered"
    assert {row["certification status"] for row in rows} >= {"certified", "needs a face check"}
    assert any("independent departments" in row["reasons"] for row in rows)


def test_members_and_their_departments_that_were_silent_are_named(tmp_path: Path) -> None:
    silent = people([{"row": 1, "members": f"{BEIJING};{HUBEI}", "silent": f"{BEIJING}/7;{HUBEI};X/y"}])
    write(iter([empty_chunk(people=silent)]), tmp_path, OPTIONS)
    row = table(tmp_path / "results.csv")[0]
    assert (row["查询省份"], row["未答复来源"]) == ("北京、湖北", "北京·交通、湖北、X·y")


# what a spreadsheet would run

CELLS = st.text(
    st.one_of(
        st.sampled_from("=+-@＝＋－＠|%'\t\r\n ,\"<>&;\x00\x0b\ufffe𠮷张a1"), st.characters(exclude_categories=["Cs"])
    ),
    max_size=12,
)


@given(st.lists(CELLS, min_size=1, max_size=8))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_no_cell_runs_and_none_is_lost(tmp_path: Path, cells: list[str]) -> None:
    columns = (headings.Heading("name", "姓名", "name"), headings.Heading("n", "数", "n", headings.Shown.NUMBER))
    frame = pl.DataFrame({"name": cells, "n": range(len(cells))})
    write_csv(frame.lazy(), columns, tmp_path / "x.csv", "zh")
    read = [row["姓名"] for row in table(tmp_path / "x.csv")]
    for cell, found in zip(cells, read, strict=True):
        assert found.strip(" \t\r\n\x00\v\f\x1c\x1d\x1e\x1f\x85\xa0\u3000")[:1] not in tuple("=+-@＝＋－＠|%")
        assert found in (cell, f"'{cell}")
    with Workbook(tmp_path / "x.xlsx", "zh") as book:
        book.sheet("s", columns, [frame])
    shown = sheet(tmp_path / "x.xlsx")[1:]
    assert [row[1] for row in shown] == list(range(len(cells)))
    for cell, row in zip(cells, shown, strict=True):
        kept = "".join("\ufffd" if c in "\ufffe\uffff" or (c < " " and c not in "\t\r\n") else c for c in cell)
        assert (row[0] or "").replace("\r\n", "\n").replace("\r", "\n") == kept.replace("\r\n", "\n").replace(
            "\r", "\n"
        )


@pytest.mark.parametrize("cell", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(1)", " =1", "\t=1", "＝1", "\r=1", "\x1f%1"])
def test_what_begins_like_a_formula_gets_an_apostrophe(cell: str) -> None:
    assert pl.select(harmless(pl.lit(cell))).item() == f"'{cell}"


@pytest.mark.parametrize("cell", ["", "张三", "330702195001011234", "a=b", "'=1", "A-1"])
def test_what_does_not_stays_as_it_is(cell: str) -> None:
    assert pl.select(harmless(pl.lit(cell))).item() == cell


@pytest.mark.parametrize(
    ("number", "letters"), [(0, "A"), (25, "Z"), (26, "AA"), (51, "AZ"), (52, "BA"), (701, "ZZ"), (702, "AAA")]
)
def test_columns_are_lettered(number: int, letters: str) -> None:
    assert column_letters(number) == letters
