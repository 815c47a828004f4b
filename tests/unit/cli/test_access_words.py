"""`wugan access`: words as people type them, and words that are none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.access import people
from tests.unit.cli.access_office import MEMBER, Office


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Office:
    monkeypatch.setenv("WUGAN_LANG", "en")
    return Office(tmp_path)


def test_words_may_be_typed_small_as_for_a_check(office: Office) -> None:
    assert office.grants().exit_code == 0
    [grant] = json.loads(office.does("list", "--config", str(office.config), "--json"))
    assert (grant["purposes"], grant["benefits"]) == (["CERTIFICATION"], ["EMPLOYEE_PENSION"])
    assert office.explains().exit_code == 0
    assert office.explains(purpose="AUDIT").exit_code == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"purpose": "curiosity"},
        {"benefit": "nonsense"},
        {"evidence": "rumour"},
        {"region": "999999"},
        {"region": "zhejiang"},
        {"member": "11110000000021223X"},
        {"until": "2020-12-31"},
    ],
    ids=str,
)
def test_terms_that_are_none_are_wrong_usage_and_nothing_is_granted(office: Office, wrong: dict[str, str]) -> None:
    ran = office.grants(**wrong)
    assert ran.exit_code == 2, ran.output
    assert json.loads(office.does("list", "--config", str(office.config), "--json")) == []


@pytest.mark.parametrize("wrong", [{"member": "nobody"}, {"purpose": "curiosity"}], ids=str)
def test_a_question_that_cannot_be_asked_is_wrong_usage(office: Office, wrong: dict[str, str]) -> None:
    assert office.explains(**wrong).exit_code == 2


@pytest.mark.parametrize("language", ["zh", "en"])
def test_why_a_grant_waits_is_told_in_words(office: Office, language: str) -> None:
    person = ("--as", "li", "--key", str(office.folder / "li.pem"))
    terms = ("--purpose", "audit", "--benefit", "*", "--evidence", "*", "--region", "*", "--per-day", "0")
    told = office.shows(
        language, "grant", "--member", "*", *terms, "--until", "2028-12-31", "--why", "x", *person
    ) + office.shows(language, "explain", "--member", MEMBER, "--purpose", "audit", "--benefit", "work_injury")
    many = "每日人数较多" if language == "zh" else "many people a day"
    assert told.count(many) == 2
    assert "quotas.day" not in told


@pytest.mark.parametrize("language", ["zh", "en"])
def test_who_may_not_is_told_in_words(office: Office, language: str) -> None:
    person = ("--as", "wang", "--key", str(office.folder / "wang.pem"))
    told = office.shows(language, "withdraw", "g1", "--why", "x", *person)
    if language == "zh":
        assert "系统管理员无权撤回授权，应由以下角色执行：安全保密管理员、安全审计员、部门数据负责人" in told
    else:
        assert "system administrator may not withdraw grants; that is for: security administrator" in told


def test_every_role_and_act_has_a_name_in_both_languages() -> None:
    assert set(people.TITLES) == set(people.ROLES)
    assert set(people.ACTS) == {*people.MAY, *people.MAY_LOOK}
