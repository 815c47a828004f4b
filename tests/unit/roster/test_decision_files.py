"""Filled-in lists are read back as they were written, in both languages and formats."""

from __future__ import annotations

import csv
import datetime as dt
from pathlib import Path

import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import ConfigError, RefusedError
from gateway.roster.decisions.importing import act_of, day_of, read
from gateway.roster.decisions.wordings import ACTS, SOURCES
from gateway.roster.results.headings import FACE, OUTCOME_WORDS, SEE
from gateway.roster.results.worklists import WorkListOptions
from gateway.roster.results.writing import Options, write
from gateway.rules.deciding import Act, Source
from tests.unit.roster.result_world import AS_OF_ON, roster


def test_every_act_and_source_has_words_and_each_is_read_back() -> None:
    assert set(ACTS) == set(Act)
    assert set(SOURCES) == set(Source)
    for act in Act:
        for text in (*ACTS[act], act.name, act.name.lower()):
            assert act_of(f" {text} ") is act
    assert act_of("通过", FACE.zh) is act_of("passed", FACE.en) is Act.FACE_PASSED
    assert act_of("通过", SEE.zh) is act_of("PASSED") is Act.VISIT_PASSED
    with pytest.raises(RefusedError, match="no such"):
        act_of("可能吧")


@pytest.mark.parametrize(
    "text",
    ["2026-09-03", "2026/9/3", "20260903", "2026.9.3", "2026年9月3日", "2026-09-03 10:00:00", "2026-09-03T10:00"],
)
def test_days_are_read_as_people_write_them(text: str) -> None:
    assert day_of(text) == (dt.date(2026, 9, 3) - dt.date(1970, 1, 1)).days


def test_months_stand_for_their_first_day_and_nonsense_is_refused() -> None:
    assert day_of("2026-09") == day_of("2026年9月") == day_of("2026-09-01")
    assert day_of("") == 0
    for text in ("2026", "2026-13-01", "2026-02-30", "yesterday", "03-09-2026"):
        with pytest.raises(RefusedError):
            day_of(text)


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("form", ["xlsx", "csv"])
def test_a_work_list_filled_in_is_read_back(tmp_path: Path, language: str, form: str) -> None:
    write(roster(300, grids=2), tmp_path, Options(AS_OF_ON, language, work_lists=WorkListOptions(("xlsx", "csv"))))  # type: ignore[arg-type]
    path = next((tmp_path / "worklists" / "visit").glob(f"*.{form}"))
    outcomes = [word.zh if language == "zh" else word.en for word in OUTCOME_WORDS.values()]
    if form == "xlsx":
        book = openpyxl.load_workbook(path)
        sheet = book.active
        assert sheet is not None
        lines = [int(str(row[0].value)) for row in sheet.iter_rows(min_row=2)]
        for at, outcome in enumerate(outcomes, 2):
            for column, value in ((9, outcome), (10, dt.date(2026, 9, 3)), (11, "网格员"), (12, "敲门")):
                sheet.cell(at, column, value)
        book.save(path)
    else:
        rows = list(csv.reader(path.read_text("utf-8-sig").splitlines()))
        lines = [int(row[0]) for row in rows[1:]]
        for row, outcome in zip(rows[1:], outcomes, strict=False):
            row[8:] = [outcome, "2026-09-03", "网格员", "敲门"]
        with path.open("w", encoding="gb18030", newline="") as file:
            csv.writer(file).writerows(rows)
    requests, problems = read(path, "王", "")
    assert problems == []
    assert [(request.row, request.act) for request in requests] == list(
        zip(lines, [Act.VISIT_PASSED, Act.FOUND_DEAD, Act.NOT_FOUND, Act.REFUSED], strict=False)
    )
    assert {(request.who, request.by, request.why, request.on_day) for request in requests} == {
        ("王", "网格员", "敲门", day_of("2026-09-03"))
    }
    assert all("*" in request.number for request in requests)


def test_a_stop_list_filled_in_is_read_back(tmp_path: Path) -> None:
    write(roster(500), tmp_path, Options(AS_OF_ON))
    path = tmp_path / "stop-list.xlsx"
    book = openpyxl.load_workbook(path)
    sheet = book.worksheets[0]
    titles = [cell.value for cell in sheet[1]]
    for title, value in (("决定", "同意停发"), ("决定理由", "死亡注销"), ("决定人", "李")):
        sheet.cell(2, titles.index(title) + 1, value)
    sheet.cell(3, titles.index("决定") + 1, "不予停发")
    book.save(path)
    (first, second), problems = read(path, "王", "默认理由")
    assert problems == []
    assert (first.act, first.who, first.why, first.by) == (Act.APPROVE_STOP, "李", "死亡注销", "")
    assert (second.act, second.who, second.why) == (Act.REJECT_STOP, "王", "默认理由")
    assert (first.row, first.number) == (sheet.cell(2, 1).value, sheet.cell(2, titles.index("证件号码") + 1).value)


def test_lines_that_cannot_be_read_are_named_and_the_others_count(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text(
        "row,outcome,date\n1,passed,\n2,maybe,\nx,passed,\n4,passed,32.13.2026\n5,,\n6\n7,'found dead,2026-09-01\n",
        "utf-8",
    )
    requests, problems = read(path, "w", "")
    assert [(request.row, request.line) for request in requests] == [(1, 2), (7, 8)]
    assert [(problem.line, problem.error.field) for problem in problems] == [(3, "act"), (4, "row"), (5, "date")]


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "row\n1\n", "行号,姓名\n1,张三\n"])
def test_a_file_without_the_columns_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "list.csv"
    path.write_text(text, "utf-8")
    with pytest.raises(ConfigError, match="columns"):
        read(path, "w", "")


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.binary(max_size=200), st.sampled_from([".csv", ".xlsx"]), st.booleans())
def test_whatever_stands_in_a_file_it_is_read_or_refused(
    tmp_path: Path, data: bytes, suffix: str, headed: bool
) -> None:
    path = tmp_path / f"list{suffix}"
    path.write_bytes(b"row,outcome,date\r\n" * headed + data)
    try:
        requests, problems = read(path, "w", "")
    except ConfigError:
        return
    assert all(request.line for request in requests)
    assert all(problem.error.zh for problem in problems)
