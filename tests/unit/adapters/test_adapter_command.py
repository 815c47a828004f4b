"""`wugan adapter check`: what it says, in which language, with which exit code, and what it never shows."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli.adapter import adapter
from gateway.masking import masked_name, masked_number
from tests.unit.adapters.adapters_world import ANNA, BO, ENDING_IN_X, number

TEXT = """\
manifest: 1
adapter_id: health-insurance
version: 1
department: HEALTH_INSURANCE
regions: [330000]
kind: table
source: {url: "sqlite:///hi.db"}
identity: {column: id, name: who}
records:
  - name: settlements
    table: settlements
    evidence: {column: type, codes: {11: OUTPATIENT}}
    observed_on: at
    strength: REAL_NAME
    source_reference: ref
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A manifest over a database with one row."""
    with sqlite3.connect(tmp_path / "hi.db") as db:
        db.execute("CREATE TABLE settlements (id TEXT, who TEXT, type TEXT, at TEXT, ref TEXT)")
        db.execute("INSERT INTO settlements VALUES (?, '欧阳安娜', '11', '2026-03-01', 'REF-77')", (ANNA,))
    db.close()
    manifest = tmp_path / "manifest.yaml"
    manifest.write_text(TEXT, encoding="utf-8")
    return manifest


def check(*arguments: str | Path, language: str = "en_GB.UTF-8") -> Result:
    return CliRunner(env={"WUGAN_LANG": language}).invoke(adapter, ["check", *map(str, arguments)])


def test_a_sound_manifest_shows_one_masked_row(path: Path) -> None:
    result = check(path)
    assert result.exit_code == 0, result.output
    assert "OUTPATIENT" in result.output
    assert "2026-03-01" in result.output
    assert masked_number(ANNA) in result.output
    for secret in (ANNA, "欧阳", "安娜", "REF-77"):
        assert secret not in result.output


def test_it_speaks_chinese_too(path: Path) -> None:
    result = check(path, language="zh_CN.UTF-8")
    assert "清单正确" in result.output
    assert "有此人" in result.output


def test_json_is_one_object_without_personal_data(path: Path) -> None:
    result = check(path, "--json", "--id", ANNA.lower())
    told = json.loads(result.output)
    assert told["exit_code"] == 0
    assert told["reached"] is True
    assert told["sample"]["holders"] == [
        {"subject": 0, "id_number": masked_number(ANNA), "name": masked_name("欧阳安娜")}
    ]
    assert [row["kind"] for row in told["sample"]["evidence"]] == ["OUTPATIENT"]
    assert ANNA not in result.output


def test_an_unknown_number_is_told_so(path: Path) -> None:
    result = check(path, "--id", BO)
    assert result.exit_code == 0
    assert "not known" in result.output or "does not know" in result.output
    assert BO not in result.output


@pytest.mark.parametrize(
    ("old", "new", "code", "says"),
    [
        ("OUTPATIENT", "OUTPATENT", 2, "manifest.yaml:12"),
        ("sqlite:///hi.db", "${NO_SUCH_VARIABLE}", 2, "NO_SUCH_VARIABLE"),
        ("sqlite:///hi.db", "sqlite:///none.db", 3, "did not answer"),
        ("table: settlements", "table: elsewhere", 4, "check table, columns and rights"),
        ("{11: OUTPATIENT}", "{12: OUTPATIENT}", 4, "cannot be mapped"),
    ],
)
def test_each_failure_has_its_exit_code(path: Path, old: str, new: str, code: int, says: str) -> None:
    path.write_text(TEXT.replace(old, new), encoding="utf-8")
    result = check(path)
    assert result.exit_code == code, result.output
    assert says in result.output
    told = json.loads(check(path, "--json").output)
    assert told["exit_code"] == code
    assert says in told["errors"][0]["en"]
    assert told["errors"][0]["zh"]


def test_a_missing_file_is_wrong_usage(tmp_path: Path) -> None:
    assert check(tmp_path / "none.yaml").exit_code == 2


def test_masks_hide_all_but_the_ends() -> None:
    assert masked_number("110105491231002") == "11************2"
    assert (masked_number("123"), masked_number("")) == ("***", "")
    assert (masked_name("欧阳娜娜"), masked_name("李"), masked_name("")) == ("欧***", "*", "")


def test_json_stays_one_object_when_rows_are_left_out(path: Path) -> None:
    manifest = path.read_text("utf-8").replace("{11: OUTPATIENT}", "{11: OUTPATIENT, 99: ignore}")
    path.write_text(manifest, encoding="utf-8")
    with sqlite3.connect(path.parent / "hi.db") as db:
        db.execute("INSERT INTO settlements VALUES (?, '欧阳安娜', '99', '2026-03-01', 'REF-78')", (ANNA,))
    db.close()
    assert json.loads(check(path, "--json", "--id", ANNA).output)["exit_code"] == 0


def test_a_department_that_only_the_gateway_may_call_is_sound_and_where_it_pushes_notices_begin(tmp_path: Path) -> None:
    manifest = tmp_path / "remote.yaml"
    manifest.write_text(
        "manifest: 1\nadapter_id: burials\nversion: 1\ndepartment: CIVIL_AFFAIRS\nregions: [330700]\nkind: remote\n"
        "source: {address: 'burials.example:7443', tls_name: burials.example}\n"
        "offers: {items: [{evidence: BURIAL, strength: REAL_NAME}], pushes: true}\n"
    )
    result = check(manifest)
    assert result.exit_code == 0, result.output
    assert "notices can begin here" in result.output
    assert "wugan gateway health" in result.output


@pytest.mark.parametrize(
    ("language", "why"), [("en", "row 2: observed_on: does not read"), ("zh", "第 2 行：observed_on：无法")]
)
def test_the_first_bad_row_of_a_dropped_file_is_told_with_why(tmp_path: Path, language: str, why: str) -> None:
    (tmp_path / "drop").mkdir()
    (tmp_path / "manifest.yaml").write_text(
        "manifest: 1\nadapter_id: burials\nversion: 1\ndepartment: CIVIL_AFFAIRS\nregions: [330700]\nkind: file\n"
        "source: {folder: drop, settle_s: 0}\nidentity: {column: id}\n"
        "records: [{name: burials, files: {pattern: 'b*.csv', max_bad_share: SHARE}, evidence: BURIAL, observed_on: day"
        ", strength: REAL_NAME}]\n"
    )
    text = (tmp_path / "manifest.yaml").read_text()
    (tmp_path / "drop" / "b1.csv").write_text(f"id,day\n{ANNA},yesterday\n{BO},2026-03-01\n")
    for share, code in (("0.5", 0), ("0.1", 3)):
        (tmp_path / "manifest.yaml").write_text(text.replace("SHARE", share))
        result = check(tmp_path / "manifest.yaml", language=language)
        assert result.exit_code == code, result.output
        assert why in result.output
        assert ("does not read as a date" in result.output) == (language == "en"), "one language at a time"
        assert ANNA not in result.output
        assert "yesterday" not in result.output


OLD = f"{ANNA[:6]}{ANNA[8:17]}"
WIDE = ANNA.translate({ord(char): ord(char) + 0xFEE0 for char in "0123456789X"})


@pytest.mark.parametrize(
    ("stands", "en", "zh", "forms"),
    [
        (f"{ANNA} ", "blanks behind", "空格", "padded_19"),
        (f"{OLD}     ", "blanks behind them and with 15 digits", "空格，且为 15 位", "padded_20, legacy_15"),
        (OLD, "15 digits", "15 位", "legacy_15"),
        (ENDING_IN_X.lower(), "small x", "小写 x", "lower_x"),
        (int(ANNA), "as numbers", "数值", "integer"),
        (int(OLD), "as numbers instead of text and with 15 digits", "数值", "integer, legacy_15"),
        (WIDE, "full-width", "全角", ""),
        (f"'{ANNA}", "another way", "不同", ""),
        (f" {ANNA}", "another way", "不同", ""),
        (3.307e17, "as numbers", "数值", ""),
    ],
)
def test_numbers_that_would_not_be_found_fail_the_check_and_say_what_to_do(
    path: Path, stands: object, en: str, zh: str, forms: str
) -> None:
    with sqlite3.connect(path.parent / "hi.db") as db:
        db.execute("DROP TABLE settlements")
        db.execute("CREATE TABLE settlements (id, who TEXT, type TEXT, at TEXT, ref TEXT)")
        rows = [(BO,)] * 3 + [(stands,)]
        db.executemany("INSERT INTO settlements VALUES (?, '欧阳安娜', '11', '2026-03-01', 'REF-78')", rows)
    db.close()
    result = check(path)
    assert result.exit_code == 4, result.output
    assert "1 of 2 numbers" in result.output
    assert en in result.output
    assert f"manifest: {forms}" in result.output if forms else "offer a view" in result.output
    for secret in (BO, str(stands).strip(), ANNA, OLD):
        assert secret not in result.output
    assert zh in check(path, language="zh_CN.UTF-8").output
    told = json.loads(check(path, "--json").output)
    assert told["exit_code"] == 4
    assert told["numbers"][0]["sampled"] == 2
    assert ", ".join(told["numbers"][0]["unfound"][0]["forms"]) == forms
    if forms:
        path.write_text(TEXT.replace("name: who}", f"name: who, forms: [{forms}]}}"), encoding="utf-8")
        if forms.startswith("integer"):  # of one type, as in a database that has them
            with sqlite3.connect(path.parent / "hi.db") as db:
                db.execute("UPDATE settlements SET id = ? WHERE id = ?", (int(BO), BO))
            db.close()
        result = check(path)
        assert result.exit_code == 0, result.output
        assert "2 of its numbers were asked for, and found again" in result.output
        assert "knows" in result.output


@pytest.mark.parametrize("column", ["who", "type"])
def test_a_column_without_any_document_number_fails_the_check_though_its_values_are_found_again(
    path: Path, column: str
) -> None:
    path.write_text(TEXT.replace("column: id,", f"column: {column},"), encoding="utf-8")
    result = check(path)
    assert result.exit_code == 4, result.output
    assert "settlements: none of the 1 values in its column of numbers can be a document's number" in result.output
    assert "identity" in result.output
    assert "欧阳" not in result.output
    assert "证件号码" in check(path, language="zh_CN.UTF-8").output
    assert json.loads(check(path, "--json").output)["numbers"][0]["numbers"] == 0


@pytest.mark.parametrize("stands", ["H12345678", "01234567", "E1234567", "EA0123456", ANNA, OLD])
def test_numbers_of_every_kind_of_document_are_such(path: Path, stands: str) -> None:
    with sqlite3.connect(path.parent / "hi.db") as db:
        db.execute("UPDATE settlements SET id = ?", (stands,))
    db.close()
    result = check(path)
    assert "can be a document's number" not in result.output


def test_a_sample_is_bounded_and_tells_how_many_there_are(path: Path) -> None:
    with sqlite3.connect(path.parent / "hi.db") as db:
        rows = [(f"{number(serial)}  ",) for serial in range(100, 199)]
        db.executemany("INSERT INTO settlements VALUES (?, '欧阳安娜', '11', '2026-03-01', 'REF-78')", rows)
        db.executemany("INSERT INTO settlements VALUES (?, '甲', '11', '2026-03-01', 'REF-78')", [(None,), ("",)])
    db.close()
    result = check(path)
    assert result.exit_code == 4
    assert "49 of 50 numbers" in result.output


def test_numbers_of_links_are_tried_from_both_ends(path: Path) -> None:
    with sqlite3.connect(path.parent / "hi.db") as db:
        db.execute("CREATE TABLE changed (old TEXT, new TEXT)")
        db.execute("INSERT INTO changed VALUES (?, ?)", (ANNA, f"{BO} "))
    db.close()
    links = "links: {table: changed, identity: {column: old}, linked: new, both_ways: true}\n"
    path.write_text(TEXT + links, encoding="utf-8")
    result = check(path)
    assert result.exit_code == 4, result.output
    assert "links: 1 of 1 numbers" in result.output
    assert "padded_19" in result.output
