"""What the demo prints in Chinese is Chinese: the kinds of life, the processes, and how it ended."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from gateway.cli.demo import called
from gateway.cli.demo_options import life, status_word
from gateway.cli.showcase import sum_up
from gateway.demo.case_words import CASE_WORDS
from gateway.demo.cases import CASES

MEMBERS = [{"name_zh": "浙江省", "name_en": "Zhejiang"}, {"name_zh": "湖北省", "name_en": "Hubei"}]
CHINESE = re.compile("[\u4e00-\u9fff]")


def test_every_kind_of_life_has_a_chinese_word_of_its_own() -> None:
    assert set(CASE_WORDS) == {case.label for case in CASES}
    assert len(set(CASE_WORDS.values())) == len(CASE_WORDS)
    assert all(CHINESE.search(word) for word in CASE_WORDS.values())


@pytest.mark.parametrize(
    ("language", "word"), [("zh", "死亡，登记滞后（died_recorded_late）"), ("en", "died_recorded_late")]
)
def test_a_kind_of_life_is_told_with_the_label_by_which_the_truth_has_it(
    monkeypatch: pytest.MonkeyPatch, language: str, word: str
) -> None:
    monkeypatch.setenv("WUGAN_LANG", language)
    assert life("died_recorded_late") == word


def test_statuses_are_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WUGAN_LANG", "zh")
    assert [status_word(each) for each in ("ALIVE_STRONG", "REFUSED")] == ["生存（强）", "拒绝（号码有误）"]
    assert status_word("NEWER") == "NEWER"
    assert status_word("ALIVE_MEDIUM -REMARRIED -PAROLED") == "生存（中），缺标记：再婚、假释"
    monkeypatch.setenv("WUGAN_LANG", "en")
    assert status_word("ALIVE_MEDIUM -REMARRIED") == "alive (medium), without the flag remarried"


@pytest.mark.parametrize(
    ("name", "zh"),
    [
        ("departments Zhejiang", "浙江省各部门系统"),
        ("gateway Hubei", "湖北省网关"),
        ("authority", "联盟管理机构"),
        ("adapter of justice", "部门自行运行的接入程序 justice"),
        ("something else", "something else"),
    ],
)
def test_processes_are_called_in_the_users_language(monkeypatch: pytest.MonkeyPatch, name: str, zh: str) -> None:
    monkeypatch.setenv("WUGAN_LANG", "zh")
    assert called(name, MEMBERS) == zh
    monkeypatch.setenv("WUGAN_LANG", "en")
    assert called(name, MEMBERS) == name


def said(asked: int, wrong: list[str]) -> str:
    console = Console(file=io.StringIO(), record=True, width=200)
    sum_up(console, asked, wrong)
    return console.export_text()


@pytest.mark.parametrize("language", ["zh", "en"])
def test_at_the_end_it_is_said_whether_the_answers_agree_with_the_truth(
    monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    monkeypatch.setenv("WUGAN_LANG", language)
    assert {"zh": "14 项答复均与真实情况相符", "en": "All 14 answers agree with the truth"}[language] in said(14, [])
    assert "wugan demo up --detach" in said(14, [])
    text = said(14, ["paroled"])
    assert life("paroled") in text
    assert "14" in text
