"""A manifest proposed from a sample: right for sources as departments have them, and with nothing of a person."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import openpyxl
import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.asked import normal
from adapters.manifest import Manifest, parse_manifest
from adapters.manifest.document import Document
from adapters.manifest.sources import FileSet
from adapters.proposing import SampleError, propose
from adapters.proposing.shapes import is_resident_number, shape_of
from gateway.cli import main
from wugan.adapter.v1 import vocabulary_pb2 as words


def number(serial: int) -> str:
    """A resident number with a right check digit."""
    old = f"330702{40 + serial % 30:02d}{1 + serial % 12:02d}{1 + serial % 28:02d}{serial % 1000:03d}"
    return normal(old)


PEOPLE = [(number(serial), f"{'王李张刘陈'[serial % 5]}{'国强秀英建'[serial // 5 % 5]}华") for serial in range(60)]


def read(text: str) -> Manifest:
    manifest, errors, warnings = parse_manifest(Document(text, "proposed.yaml"))
    assert manifest is not None, ([error.en for error in errors], text)
    assert not errors
    assert not warnings, [warning.en for warning in warnings]
    return manifest


def csv_file(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]], encoding: str = "utf-8") -> Path:
    text = "\r\n".join(",".join(str(cell) for cell in row) for row in [header, *rows]) + "\r\n"
    path.write_bytes(text.encode(encoding))
    return path


def checked(path: Path) -> Result:
    return CliRunner().invoke(main, ["adapter", "check", str(path), "--json"])


def accepted(text: str, folder: Path) -> dict[str, Any]:
    """The proposal passes `wugan adapter check` against its own sample; what that told."""
    path = folder / "proposed.yaml"
    # The sample was written just now; a gateway would wait until it has rested.
    path.write_text(re.sub(r"(?m)^(source: \{folder: .*)\}$", r"\1, settle_s: 0}", text), "utf-8")
    ran = checked(path)
    assert ran.exit_code == 0, (ran.output, text)
    told: dict[str, Any] = json.loads(ran.stdout)
    return told


def cremations(path: Path, encoding: str = "gb18030") -> Path:
    header = ["登记编号", "逝者姓名", "公民身份号码", "火化日期", "殡仪馆所在区划", "上报日期"]
    rows = [
        [
            f"HH{at:06d}",
            name,
            who.replace("X", "x"),
            f"2026年{at % 9 + 1}月{at % 28 + 1}日",
            330702,
            f"2026/{at % 9 + 2}/5",
        ]
        for at, (who, name) in enumerate(PEOPLE)
    ]
    return csv_file(path, header, rows, encoding)


@pytest.mark.parametrize("encoding", ["gb18030", "utf-8", "utf-8-sig"])
def test_a_file_of_cremations_is_understood_whole(tmp_path: Path, encoding: str) -> None:
    text = propose(cremations(tmp_path / "火化登记_20261001.csv", encoding))
    manifest = read(text)
    (records,) = manifest.records
    assert manifest.department == words.DEPARTMENT_CIVIL_AFFAIRS
    assert manifest.regions == (330000,)
    assert (manifest.identity.column, manifest.identity.name) == ("公民身份号码", "逝者姓名")
    assert manifest.identity.forms == ("lower_x",)
    assert records.evidence.fixed == words.EVIDENCE_KIND_CREMATION
    assert records.observed_on is not None
    assert records.observed_on.formats == ("%Y年%m月%d日",)
    assert records.available_on is not None
    assert (records.available_on.column, records.available_on.formats) == ("上报日期", ("%Y/%m/%d",))
    assert records.region is not None
    assert records.region.column == "殡仪馆所在区划"
    assert records.source_reference == "登记编号"
    assert "火化登记_*.csv" in text
    told = accepted(text, tmp_path)
    assert told["sample"]["evidence"][0]["kind"] == "CREMATION"


def test_a_workbook_with_a_title_above_its_columns(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    sheet.append(["2026年刑事判决汇总表"])
    sheet.append(["案号", "被告人", "证件号码", "生效日期", "刑种", "刑期起", "刑期止", "推送日期"])
    for at, (who, name) in enumerate(PEOPLE):
        day = f"2025-0{at % 9 + 1}-1{at % 9}"
        until = "终身" if at % 7 == 0 else "2030-01-01"
        sheet.append(
            [f"（2025）浙07刑初{at}号", name, who, day, "有期徒刑" if at % 7 else "无期徒刑", day, until, "2025-11-01"]
        )
    path = tmp_path / "判决_20251101.xlsx"
    book.save(path)
    text = propose(path)
    (records,) = read(text).records
    assert records.evidence.fixed == words.EVIDENCE_KIND_SENTENCE
    assert records.detail is not None
    assert records.detail.codes == {"有期徒刑": words.PENALTY_KIND_FIXED_TERM, "无期徒刑": words.PENALTY_KIND_LIFE}
    assert records.until_on is not None
    assert records.until_on.empty == ("终身",)
    assert records.from_on is not None
    assert "header_row: 2" in text
    accepted(text, tmp_path)


def test_the_tables_of_a_database_and_the_links_between_numbers(tmp_path: Path) -> None:
    path = tmp_path / "settlement.db"
    with sqlite3.connect(path) as database:
        database.execute(
            "CREATE TABLE setl_d (setl_id, psn_certno, psn_name, med_type, setl_time, updt_time, vali_flag)"
        )
        database.execute("CREATE TABLE hmbg (bh, ysfzh, xsfzh, bgrq)")
        database.execute("CREATE TABLE settings (name, value)")
        database.execute("INSERT INTO settings VALUES ('x', 'y')")
        for at, (who, name) in enumerate(PEOPLE):
            kind, flag = ("11", "21", "41", "99")[at % 4], "01"[at % 10 > 0]
            at_time, there = f"2026-03-{at % 28 + 1:02d} 08:00:00", f"2026-04-{at % 28 + 1:02d} 08:00:00"
            database.execute(
                "INSERT INTO setl_d VALUES (?,?,?,?,?,?,?)", (f"S{at}", who, name, kind, at_time, there, flag)
            )
            database.execute(
                "INSERT INTO hmbg VALUES (?,?,?,?)", (at, number(at + 200), who, f"2020{at % 9 + 1:02d}11")
            )
    text = propose(f"sqlite:///{path}")
    manifest = read(text)
    settlements = next(one for one in manifest.records if one.name == "setl-d")
    assert manifest.department == words.DEPARTMENT_HEALTH_INSURANCE
    assert settlements.evidence.codes == {
        "11": words.EVIDENCE_KIND_OUTPATIENT,
        "21": words.EVIDENCE_KIND_INPATIENT,
        "41": words.EVIDENCE_KIND_PHARMACY,
        "99": 0,
    }
    assert settlements.only is not None
    assert settlements.only.values == ("1",)
    assert manifest.links is not None
    assert (manifest.links.identity.column, manifest.links.linked) == ("ysfzh", "xsfzh")
    assert {one.name for one in manifest.records} == {"setl-d", "hmbg"}
    accepted(text, tmp_path)


def test_a_table_is_named_with_its_schema_as_a_manifest_names_it(tmp_path: Path) -> None:
    path = tmp_path / "share.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE cremation (bh, sfzh, xm, hhrq)")
        for at, (who, name) in enumerate(PEOPLE):
            database.execute(
                "INSERT INTO cremation VALUES (?,?,?,?)", (f"H{at}", who, name, f"202603{at % 28 + 1:02d}")
            )
    text = propose(f"sqlite:///{path}", table=["main.cremation"])
    (record,) = read(text).records
    assert (record.name, record.table) == ("cremation", "main.cremation")
    accepted(text, tmp_path)
    with pytest.raises(SampleError, match=r"table elsewhere\.cremation could not be read: is it there"):
        propose(f"sqlite:///{path}", table=["elsewhere.cremation"])


def test_json_lines_are_understood_where_a_manifest_can_name_them(tmp_path: Path) -> None:
    path = tmp_path / "火化_20261001.jsonl"
    rows = [
        {"id": who, "person": {"name": name}, "火化日期": f"2026030{at % 9 + 1}"}
        for at, (who, name) in enumerate(PEOPLE)
    ]
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), "utf-8")
    if "jsonl" not in get_args(FileSet.model_fields["format"].annotation):
        with pytest.raises(SampleError, match="JSON lines"):
            propose(path)
        return
    text = propose(path)
    manifest = read(text)
    assert (manifest.identity.column, manifest.identity.name) == ("id", "person.name")
    accepted(text, tmp_path)


def test_an_answer_grouped_by_person(tmp_path: Path) -> None:
    answer = {
        "code": 0,
        "data": {
            "people": [
                {
                    "idCard": who,
                    "name": name,
                    "events": [
                        {"eventId": f"E{who[-4:]}{turn}", "occurredAt": 1_780_000_000_000 + turn * 10**9}
                        for turn in (1, 2)
                    ],
                }
                for who, name in PEOPLE
            ]
        },
        "next": "abc",
    }
    path = tmp_path / "接种_answer.json"
    path.write_text(json.dumps(answer, ensure_ascii=False), "utf-8")
    text = propose(path)
    manifest = read(text)
    (records,) = manifest.records
    assert (manifest.identity.column, manifest.identity.name) == ("^idCard", "^name")
    assert records.evidence.fixed == words.EVIDENCE_KIND_VACCINATION
    assert records.observed_on is not None
    assert records.observed_on.formats == ("epoch_ms",)
    assert 'rows: "data.people[].events"' in text
    assert "$cursor" in text
    assert 'result: {field: code, ok: ["0"]}' in text


def test_a_register_of_changes_is_not_taken_for_deaths(tmp_path: Path) -> None:
    """Codes that nobody has explained: most people of such a register have moved."""
    rows = [[f"B{at}", who, name, at % 4, f"202603{at % 28 + 1:02d}"] for at, (who, name) in enumerate(PEOPLE)]
    text = propose(csv_file(tmp_path / "户口变动.csv", ["编号", "身份证号", "姓名", "注销类型", "户口注销日期"], rows))
    (records,) = read(text).records
    assert records.evidence.kinds() == ()
    assert re.search(r'# 请核对：注销类型 的代码含义：\{"\d": \?', text)
    assert "# observed_on:" in text


@pytest.mark.parametrize(("table", "kind", "day"), [("hkbd", "ywlx", "bdrq"), ("zxdj", "zxyy", "zxrq")])
def test_nor_is_one_whose_columns_are_called_in_pinyin(tmp_path: Path, table: str, kind: str, day: str) -> None:
    rows = [[who, name, at % 3 + 1, f"202603{at % 28 + 1:02d}"] for at, (who, name) in enumerate(PEOPLE)]
    text = propose(csv_file(tmp_path / f"{table}.csv", ["gmsfhm", "xm", kind, day], rows))
    assert read(text).records[0].evidence.kinds() == ()
    assert f"# 请核对：{kind} 的代码含义" in text


def test_a_day_that_might_be_the_last_of_a_term_is_one_like_any_other_where_nothing_has_a_term(tmp_path: Path) -> None:
    """`jzrq`: 截止日期, or, as here, 就诊日期; `sbsj` is when it was reported."""
    rows = [
        [who, name, f"202603{at % 27 + 1:02d}", f"2026-03-{at % 27 + 2:02d}"] for at, (who, name) in enumerate(PEOPLE)
    ]
    text = propose(csv_file(tmp_path / "挂号.csv", ["sfzh", "xm", "jzrq", "sbsj"], rows))
    (records,) = read(text).records
    assert records.observed_on is not None
    assert records.observed_on.column == "jzrq"
    assert records.available_on is not None
    assert records.available_on.column == "sbsj"


def test_what_evidence_does_not_need_of_a_person_is_named_and_left(tmp_path: Path) -> None:
    rows = [[who, name, at % 2 + 1, f"2026030{at % 9 + 1}"] for at, (who, name) in enumerate(PEOPLE)]
    text = propose(csv_file(tmp_path / "火化.csv", ["身份证号", "姓名", "性别", "火化日期"], rows))
    read(text)
    assert "未使用的列: 性别 (性别，GB/T 2261.1)" in text
    assert "性别 的代码含义" not in text


def test_the_day_of_birth_is_no_event_and_the_later_date_is_when_it_was_there(tmp_path: Path) -> None:
    rows = [
        [
            who,
            name,
            f"{who[6:10]}-{who[10:12]}-{who[12:14]}",
            f"2026-03-{at % 20 + 1:02d}",
            f"2026-03-{at % 20 + 4:02d}",
        ]
        for at, (who, name) in enumerate(PEOPLE)
    ]
    text = propose(csv_file(tmp_path / "住院.csv", ["id_no", "name", "c1", "c2", "c3"], rows))
    (records,) = read(text).records
    assert records.observed_on is not None
    assert records.available_on is not None
    assert (records.observed_on.column, records.available_on.column) == ("c2", "c3")
    assert records.freshness_days == 3


def test_a_file_without_names_of_columns_is_refused_and_nothing_of_it_is_said(tmp_path: Path) -> None:
    path = csv_file(
        tmp_path / "x.csv", [PEOPLE[0][0], PEOPLE[0][1], "2026-01-01"], [[who, name, 1] for who, name in PEOPLE[1:]]
    )
    with pytest.raises(SampleError) as caught:
        propose(path)
    assert PEOPLE[0][0] not in caught.value.en + caught.value.zh
    assert "must name the columns" in caught.value.en


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.csv", b""),
        ("x.csv", "姓名,日期\n王一,2026-01-01\n".encode()),
        ("x.json", b"{}"),
        ("x.json", b'{"a": [[1]]}'),
        ("x.json", b"[" * 100_000),
        ("x.xlsx", b"PK\x03\x04"),
        ("x.xlsx", b"no workbook"),
    ],
)
def test_what_is_no_sample_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SampleError):
        propose(tmp_path / name)


@pytest.mark.parametrize("url", ["nothing://x/y", "sqlite:////nowhere/x.db", "postgresql+nodriver://u:secret@h/d"])
def test_a_database_that_is_none_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(SampleError) as caught:
        propose(url)
    assert "secret" not in caught.value.en


HEADERS = st.sampled_from(
    [
        "身份证号",
        "姓名",
        "日期",
        "类型",
        "状态",
        "编号",
        "住址",
        "电话",
        "id_no",
        "name",
        "type",
        "flag",
        "date",
        "经办人",
        "备注",
    ]
)
PERSON = st.sampled_from(PEOPLE)
SECRETS = st.sampled_from(["13812345678", "文三路7号", "欧阳修", "王小二", "330702194001010018", "糖尿病史"])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    header=st.lists(HEADERS, min_size=1, max_size=7, unique=True),
    people=st.lists(PERSON, min_size=1, max_size=8),
    others=st.lists(SECRETS, min_size=7, max_size=7),
    more=st.sampled_from(["", "2026-01-05", "20260105", "45000", "1"]),
)
def test_nothing_personal_is_ever_written(
    tmp_path: Path, header: list[str], people: list[tuple[str, str]], others: list[str], more: str
) -> None:
    rows = [
        [*((others[at] if at % 2 else more or name) for at in range(len(header))), who, name] for who, name in people
    ]
    path = csv_file(tmp_path / "sample.csv", [*header, "公民身份号码", "当事人姓名"], rows)
    text = propose(path)
    read(text)
    for who, name in people:
        assert who not in text
        assert name not in text
    named = [
        other
        for at, other in enumerate(others[: len(header)])
        if at % 2 and header[at] not in {"类型", "状态", "type", "flag"}
    ]
    for other in named:
        assert other not in text, text


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=400), ending=st.sampled_from(["csv", "json", "xlsx", "txt"]))
def test_any_bytes_are_refused_or_understood(tmp_path: Path, content: bytes, ending: str) -> None:
    path = tmp_path / f"sample.{ending}"
    path.write_bytes(content)
    with contextlib.suppress(SampleError):
        read(propose(path))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from([who for who, _ in PEOPLE[:5]]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.dictionaries(st.text(max_size=8), JSON, max_size=5), min_size=1, max_size=5), answer=JSON)
def test_any_answer_is_refused_or_understood(tmp_path: Path, rows: list[dict[str, object]], answer: object) -> None:
    path = tmp_path / "answer.json"
    path.write_text(json.dumps({"other": answer, "rows": [{**row, "id": PEOPLE[0][0]} for row in rows]}), "utf-8")
    try:
        text = propose(path)
    except SampleError:
        return
    read(text)
    assert PEOPLE[0][0] not in text


@given(st.integers(0, 999), st.sampled_from("0123456789X"))
def test_a_number_is_one_by_its_check_digit_alone(serial: int, last: str) -> None:
    right = number(serial)
    assert is_resident_number(right)
    assert is_resident_number(right[:17] + last) == (right[17] == last)


@pytest.mark.parametrize(
    ("values", "formats"),
    [
        (["20260105", "20260210"], ("%Y%m%d",)),
        (["2026-1-5", "2026-02-10"], ("iso", "%Y-%m-%d")),
        (["2026年1月5日", ""], ("%Y年%m月%d日",)),
        (["1780000000", "1780100000"], ("epoch_s",)),
        (["45000", "45100.5"], ("excel_serial",)),
        (["330702", "330703"], ()),
        (["13800000000"], ()),
        (["2026-13-45"], ()),
        (["0000-00-00"], ()),
    ],
)
def test_formats_of_dates(values: list[str], formats: tuple[str, ...]) -> None:
    assert shape_of(values).formats == formats


def test_the_command_writes_a_new_file_and_never_over_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WUGAN_LANG", "en")
    sample = str(cremations(tmp_path / "火化.csv"))
    out = tmp_path / "m.yaml"
    ran = CliRunner().invoke(
        main, ["adapter", "new", "--from", sample, "--out", str(out), "--id", "hh", "--region", "330700"]
    )
    assert ran.exit_code == 0, ran.output
    manifest = read(out.read_text("utf-8"))
    assert (manifest.adapter_id, manifest.regions) == ("hh", (330700,))
    before = out.read_bytes()
    assert CliRunner().invoke(main, ["adapter", "new", "--from", sample, "--out", str(out)]).exit_code == 2
    assert out.read_bytes() == before
    shown = CliRunner().invoke(main, ["adapter", "new", "--from", sample])
    assert "# [high] 100 % of its values" in shown.output
    assert CliRunner().invoke(main, ["adapter", "new"]).exit_code == 2
