"""What `wugan notices` says: who was refused, by line of the file, and which notices are taken back."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from gateway.cli import notices
from wugan.agency.v1 import agency_pb2
from wugan.federation.v1 import vocabulary_pb2 as words


@pytest.mark.parametrize("reason", words.RefusalReason.values()[1:])
def test_why_nobody_watches_is_said_in_words(monkeypatch: pytest.MonkeyPatch, reason: int) -> None:
    monkeypatch.setenv("WUGAN_LANG", "zh")
    told = notices._standing(agency_pb2.SubscriptionState(id_number="1", name="a", standing=3, refusal=reason))
    assert words.RefusalReason.Name(reason).removeprefix("REFUSAL_REASON_") in told
    assert told.count(" (") == 1
    assert any("\u4e00" <= each <= "\u9fff" for each in told.split("被拒绝")[1].split("(")[0])


def test_a_subscription_is_told_with_the_name_of_the_province(monkeypatch: pytest.MonkeyPatch) -> None:
    state = agency_pb2.SubscriptionState(member_id="11X", member_name_zh="安徽省", member_name_en="Anhui")
    monkeypatch.setenv("WUGAN_LANG", "zh")
    assert "  安徽省（11X）  " in notices._standing(state)
    monkeypatch.setenv("WUGAN_LANG", "en")
    assert "  Anhui (11X)  " in notices._standing(state)
    gone = agency_pb2.SubscriptionState(member_id="11X", member_name_zh="11X", member_name_en="11X")
    assert "  11X  " in notices._standing(gone)


def test_people_of_a_file_are_known_by_their_line(tmp_path: Path) -> None:
    listed = tmp_path / "people.csv"
    listed.write_text('id_number,name,benefit,regions\n1,"a\nb",,340000\n\n2,c,,340000\n', "utf-8")
    assert [row.line for row in notices._read(listed, ending=False)] == [3, 5]


def test_people_of_a_file_in_gb_18030_with_a_mark_are_read_and_a_broken_line_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = tmp_path / "people.csv"
    whole = "\ufeffid_number,name,benefit,regions\n1,㐀𠮷,,340000\n".encode("gb18030")
    listed.write_bytes(whole)
    assert [row.name for row in notices._read(listed, ending=False)] == ["㐀𠮷"]
    listed.write_bytes(whole + b"2,\xff\xff,,340000\n")
    with pytest.raises(SystemExit) as ended:
        notices._read(listed, ending=False)
    assert ended.value.code == 2
    assert f"{listed}:3" in capsys.readouterr().err


@pytest.mark.parametrize(("first", "which"), [(1, "第 1 至 2 号"), (2, "第 2 号")])
def test_a_notice_says_its_number_and_those_it_takes_back(
    monkeypatch: pytest.MonkeyPatch, first: int, which: str
) -> None:
    monkeypatch.setenv("WUGAN_LANG", "zh")
    console = Console(record=True, width=100, file=io.StringIO())
    notices._show(console, agency_pb2.WatchNoticesResponse(cursor=7, sequence=3, retracts_from=first))
    text = console.export_text()
    assert "第 3 号通知" in text
    assert f"（{which}）不再成立" in text
