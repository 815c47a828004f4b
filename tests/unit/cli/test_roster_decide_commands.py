"""`wugan roster decide` and `wugan roster decisions` as an official uses them."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner, Result

from gateway.cli import main
from gateway.clock import SystemClock, civil_day
from gateway.roster.results.writing import Options, write
from tests.unit.roster.result_world import empty_chunk, people, roster

WHO = ("--as", "王科长", "--why", "已核实")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of this morning, in which row 2 needs a face check and a stop is proposed for row 3."""
    out = tmp_path_factory.mktemp("published") / "out"
    today = civil_day(SystemClock().now_ms())
    rows = people(
        [
            {"certification": 1, "status": 1, "id_number": "330702195001011231", "reference": "JH-1"},
            {"certification": 2, "status": 2, "id_number": "330702195001011232", "reference": "JH-2"},
            {
                "certification": 5,
                "status": 4,
                "id_number": "330702195001011233",
                "reference": "JH-3",
                "effective_on": today,
            },
            {"certification": 3, "status": 3, "id_number": "330702195001011234", "reference": "JH-3", "name": "李四"},
        ]
    )
    write(iter([empty_chunk(people=rows)]), out, Options(today))
    return out


@pytest.fixture
def folder(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of them, for one test to decide on."""
    monkeypatch.setenv("WUGAN_LANG", "en")
    return shutil.copytree(published, tmp_path / "out")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["roster", *map(str, arguments)])


def told(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found


def test_one_decision_is_recorded_and_shown(folder: Path) -> None:
    done = run("decide", folder, "--act", "approve-stop", "--row", "3", *WHO)
    assert done.exit_code == 0, done.output
    assert "row 3: stop proposed → stopped" in done.output
    head = re.search(r"1:[0-9a-f]{64}", done.output)
    assert head
    shown = run("decisions", folder, "--verify", head[0])
    assert shown.exit_code == 0, shown.output
    assert "stop approved → stopped" in shown.output
    assert "王科长" in shown.output
    assert f"record whole; head {head[0]}" in shown.output


def test_a_program_reads_the_same(folder: Path) -> None:
    done = told(run("decide", folder, "--act", "face-passed", "--reference", "JH-2", *WHO, "--json"))
    assert done["outcomes"][0]["status"] == "CERTIFIED"
    assert done["outcomes"][0]["source"] == "FACE"
    shown = told(run("decisions", folder, "--json"))
    assert shown["proposed"] == {"CERTIFIED": 1, "NEEDS_FACE": 1, "NEEDS_VISIT": 1, "STOP_PROPOSED": 1}
    assert shown["now"] == {"CERTIFIED": 2, "NEEDS_VISIT": 1, "STOP_PROPOSED": 1}
    assert shown["head"] == done["head"]
    (event,) = shown["cases"][0]["events"]
    assert (event["act"], event["was"], event["status"], event["why"]) == (
        "FACE_PASSED",
        "NEEDS_FACE",
        "CERTIFIED",
        "已核实",
    )


def test_a_refusal_says_why_and_ends_with_one(folder: Path) -> None:
    refused = run("decide", folder, "--act", "restore", "--row", "2", *WHO)
    assert refused.exit_code == 1
    assert "not possible: needs a face check" in refused.stderr
    twice = run("decide", folder, "--act", "face-passed", "--row", "1", *WHO)
    assert twice.exit_code == 1
    assert "certified already" in twice.stderr
    found = told(run("decisions", folder, "--findings", "--json"))
    assert [case["row"] for case in found["cases"]] == [1]


def test_neither_command_prints_a_name_or_number(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for language in ("en", "zh"):
        monkeypatch.setenv("WUGAN_LANG", language)
        said = run("decide", folder, "--act", "found-dead", "--row", "4", *WHO, "--by", language).output
        said += run("decisions", folder).output + run("decisions", folder, "--json").output
        assert "李四" not in said
        assert not re.search(r"330702\d{11}", said)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--act", "restore", *WHO),
        ("--row", "1", *WHO),
        ("--act", "restore", "--row", "1", "--reference", "JH-1", *WHO),
        ("--act", "restore", "--reference", "JH-3", *WHO),
        ("--act", "restore", "--reference", "nobody", *WHO),
        ("--act", "restore", "--row", "1"),
        ("--act", "stop", "--row", "1", *WHO),
    ],
)
def test_wrong_usage_ends_with_two(folder: Path, arguments: tuple[str, ...]) -> None:
    assert run("decide", folder, *arguments).exit_code == 2


def test_folders_without_results_or_decisions_are_told_apart(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert run("decide", tmp_path / "empty", "--act", "restore", "--row", "1", *WHO).exit_code == 2
    nothing = run("decisions", folder)
    assert nothing.exit_code == 1
    assert "nothing was decided" in nothing.stderr
    assert run("decisions", folder, "--verify", "12").exit_code == 2


def test_a_day_that_is_none_is_wrong_usage_and_one_to_come_is_refused(folder: Path) -> None:
    assert run("decide", folder, "--act", "face-passed", "--row", "2", *WHO, "--on", "32.13").exit_code == 2
    assert run("decide", folder, "--act", "face-passed", "--row", "2", *WHO, "--on", "2999-01-01").exit_code == 1


def test_lists_filled_in_are_recorded_line_by_line(folder: Path, tmp_path: Path) -> None:
    lines = [
        ["行号", "核查结果", "核查人"],
        ["2", "通过", "网格员"],
        ["4", "大概", "网格员"],
        ["3", "未找到", "网格员"],
        ["99", "拒绝", ""],
    ]
    path = tmp_path / "filled.csv"
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows(lines)
    tried = run("decide", folder, "--from", path, "--as", "王", "--try")
    assert tried.exit_code == 1
    assert "would be recorded: 2; recorded before: 0; refused: 2; nothing was recorded" in tried.stdout
    done = run("decide", folder, "--from", path, "--as", "王", "--json")
    assert done.exit_code == 1
    body = told(done)
    assert [(each["row"], each.get("status")) for each in body["outcomes"]] == [
        (2, "CERTIFIED"),
        (3, "STOP_PROPOSED"),
        (99, None),
    ]
    assert [each["line"] for each in body["unread"]] == [3]
    again = run("decide", folder, "--from", path, "--as", "王")
    assert "recorded: 0; recorded before: 2; refused: 2" in again.stdout
    assert run("decide", folder, "--from", path, "--row", "1", "--as", "王").exit_code == 2


def test_a_restoration_says_what_is_paid_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WUGAN_LANG", "zh")
    today = civil_day(SystemClock().now_ms())
    row = {"certification": 5, "status": 4, "monthly_fen": 123_456, "last_paid_on": today}
    write(iter([empty_chunk(people=people([row]))]), tmp_path, Options(today))
    assert run("decide", tmp_path, "--act", "approve-stop", "--row", "1", *WHO).exit_code == 0
    later = pl.select(pl.date(1970, 1, 1).dt.offset_by(f"{today}d").dt.offset_by("4mo").dt.strftime("%Y-%m")).item()
    restored = run("decide", tmp_path, "--act", "restore", "--row", "1", *WHO, "--resume-from", later)
    assert "第 1 行：已停发 → 已恢复；补发 3 个月，共 3,703.68 元" in restored.output


def test_many_decisions_are_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WUGAN_LANG", "en")
    write(roster(200), tmp_path, Options(civil_day(SystemClock().now_ms())))
    rows = pl.read_parquet(tmp_path / "results.parquet").filter(pl.col("certification") == 2)["row"].to_list()
    path = tmp_path / "filled.csv"
    path.write_text("row,outcome\n" + "".join(f"{row},face check passed\n" for row in rows), "utf-8")
    assert run("decide", tmp_path, "--from", path, "--as", "w").exit_code == 0
    shown = run("decisions", tmp_path, "--export", tmp_path / "standing.csv", "--limit", "1")
    assert f"written: {len(rows)} recipients" in shown.output
    lines = list(csv.DictReader((tmp_path / "standing.csv").read_text("utf-8-sig").splitlines()))
    assert [int(line["row"]) for line in lines] == rows
    assert {(line["certification status"], line["source"]) for line in lines} == {("certified", "face check")}
