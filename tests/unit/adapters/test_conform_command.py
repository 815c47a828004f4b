"""`wugan adapter conform`: exit codes, both languages, JSON, the page, and nobody's number or name anywhere."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli.adapter import adapter
from tests.unit.adapters import conformance_sources as sources

HEADER = "id_number,name,known,kind,observed_on\n"
ONLY = ("--only", "people.", "--only", "clock.known_day", "--only", "answer.")


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    text, _ = sources.table(tmp_path)
    path = tmp_path / "manifest.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    path = tmp_path / "sample.csv"
    known = [f"{person.number},{person.name},是,," for person in sources.SAMPLE.known]
    known[0] = f"{sources.ANNA},欧阳安娜,yes,HOTEL_STAY,2026-03-03"
    path.write_bytes((HEADER + "\n".join([*known, f"{sources.NOBODY},无,no,,"])).encode("gb18030"))
    return path


def conform(*arguments: str | Path, language: str = "en_GB.UTF-8") -> Result:
    return CliRunner(env={"WUGAN_LANG": language}).invoke(adapter, ["conform", *map(str, arguments)])


def secrets() -> list[str]:
    people = (*sources.SAMPLE.known, *sources.SAMPLE.unknown)
    return [person.number for person in people] + [person.name for person in people if len(person.name) > 1]


def test_an_adapter_that_conforms_ends_with_0_and_a_page_without_anybody(
    manifest: Path, sample: Path, tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    result = conform(manifest, "--sample", sample, "--people", "50", "--html", page, language="zh_CN.UTF-8")
    assert result.exit_code == 0, result.output
    assert "符合接入规范" in result.output
    html = page.read_text(encoding="utf-8")
    assert "符合接入规范" in html
    assert 'lang="zh-CN"' in html
    assert "· 公安 ·" in html
    assert "<script" not in html
    for secret in secrets():
        assert secret not in result.output
        assert secret not in html


def test_one_that_does_not_ends_with_1_and_says_what_to_do(manifest: Path, sample: Path) -> None:
    text = manifest.read_text(encoding="utf-8").replace("{column: at, formats: [iso]}", "{column: had, formats: [iso]}")
    manifest.write_text(text.replace("    strength:", "    bad_rows: skip\n    strength:"), encoding="utf-8")
    result = conform(manifest, "--sample", sample, *ONLY)
    assert result.exit_code == 1
    assert "✗ clock.known_day" in result.output
    assert "→ A day more or less means" in result.output
    told = json.loads(conform(manifest, "--sample", sample, "--json", *ONLY).output)
    assert told["conforms"] is False
    assert told["whole"] is False
    failed = {case["id"]: case for case in told["cases"] if case["outcome"] == "failed"}
    assert "clock.known_day" in failed
    assert failed["clock.known_day"]["advice"]["zh"]


def test_what_cannot_be_tried_is_told_so(manifest: Path) -> None:
    told = json.loads(conform(manifest, "--json", "--people", "50").output)
    not_tried = {case["id"]: case["says"]["en"] for case in told["cases"] if case["outcome"] == "not_tried"}
    assert "batch.paging" in not_tried
    assert "clock.known_day" in not_tried
    assert told["people_known"] == 1, "the database names one person itself"
    assert not any(secret in json.dumps(told, ensure_ascii=False) for secret in secrets())


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        ("", 0),
        (f"{sources.ANNA},安娜,maybe,,\n", 2),
        (f"{sources.ANNA},安娜,yes,NOTHING,\n", 2),
        (f"{sources.ANNA},安娜,yes,,2026-03-03\n", 2),
        (f"{sources.ANNA},安娜,yes,HOTEL_STAY,2026-02-30\n", 2),
        (f"{sources.ANNA},安娜,yes,,,,,\n", 2),
        (f"{sources.ANNA},安娜,yes,,\n,博,yes,,\n", 3),
    ],
)
def test_a_wrong_sample_is_told_by_its_line(manifest: Path, tmp_path: Path, rows: str, line: int) -> None:
    path = tmp_path / "wrong.csv"
    path.write_text(HEADER + rows, encoding="utf-8")
    result = conform(manifest, "--sample", path)
    assert result.exit_code == 2
    assert f"wrong.csv:{line}:" in result.output if line else "no rows" in result.output
    assert sources.ANNA not in result.output


def test_wrong_usage_wrong_manifests_and_sources_out_of_reach_have_their_own_exit_codes(
    manifest: Path, tmp_path: Path
) -> None:
    assert conform().exit_code == 2
    assert conform(manifest, "--only", "nothing.").exit_code == 2
    assert conform(tmp_path / "missing.yaml").exit_code == 2
    (tmp_path / "register.db").unlink()
    assert conform(manifest).exit_code == 3
    assert "error" in json.loads(conform(manifest, "--json").output)


def test_the_cases_can_be_listed_in_both_languages() -> None:
    assert "batch.empty" in conform("--list").output
    assert "空批次得到空应答" in conform("--list", language="zh_CN.UTF-8").output


def test_the_tutorial_ends_with_the_report_that_its_command_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Path(__file__).resolve().parents[3]
    text = (root / "docs" / "adapters" / "tutorial.md").read_text("utf-8")
    command, shown = re.findall(r"```sh\nwugan adapter (conform .*?)\n```\n\n```\n(.*?)```", text, re.S)[0]
    monkeypatch.chdir(root)
    words = shlex.split(command.replace("conformance.html", str(tmp_path / "conformance.html")))
    result = CliRunner(env={"WUGAN_LANG": "en"}).invoke(adapter, words)
    assert result.exit_code == 0, result.output
    printed = result.output.splitlines()
    for line in shown.splitlines():
        assert line == "…" or line in printed
    assert (tmp_path / "conformance.html").stat().st_size > 10_000


@pytest.mark.parametrize(("language", "says"), [("en", "add to `forms`"), ("zh", "的 forms 中加入")])
def test_numbers_that_would_not_be_found_are_told_before_any_case(manifest: Path, language: str, says: str) -> None:
    with contextlib.closing(sqlite3.connect(manifest.parent / "register.db")) as db, db:
        db.execute("UPDATE stays SET id = id || '  ' WHERE id = ?", (sources.ANNA,))
    result = conform(manifest, *ONLY, language=language)
    assert result.exit_code == 4, result.output
    assert says in result.output
    assert "padded_20" in result.output
    assert not any(secret in result.output for secret in secrets())
