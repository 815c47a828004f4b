"""`wugan access`: words as people type them, and words that are none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.access import people
from gateway.cli.access import access
from tests.configured import gateway_toml

MEMBER = "111100000000212234"


class Office:
    """Somebody at the terminal of a province with its three administrators."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "gateway.toml"
        self.config.write_text(gateway_toml())
        applications = []
        for name, role in (("wang", "system"), ("li", "security"), ("sun", "audit")):
            self.does("people", "key", name, "--out", str(folder))
            applications += [f"--{role}", str(folder / f"{name}.pub")]
        person = ("--as", "wang", "--key", str(folder / "wang.pem"))
        self.does("people", "found", *applications, "--config", str(self.config), *person)

    def types(self, *words: str) -> Result:
        return CliRunner().invoke(access, words)

    def shows(self, language: str, *words: str) -> str:
        """What a person reads, whatever became of it."""
        ran = CliRunner(env={"WUGAN_LANG": language}).invoke(access, [*words, "--config", str(self.config)])
        return ran.output

    def does(self, *words: str) -> str:
        ran = self.types(*words)
        assert ran.exit_code == 0, ran.output
        return ran.stdout

    def grants(self, **other: str) -> Result:
        terms = {
            **{"member": MEMBER, "purpose": "certification", "benefit": "employee_pension"},
            **{"evidence": "death_certificate", "region": "330000", "per-day": "10", "until": "2028-12-31"},
            **{name.replace("_", "-"): value for name, value in other.items()},
        }
        words = [word for name, value in terms.items() for word in (f"--{name}", value)]
        person = ("--as", "li", "--key", str(self.folder / "li.pem"))
        return self.types("grant", *words, "--why", "x", "--config", str(self.config), *person, "--json")

    def explains(self, member: str = MEMBER, purpose: str = "certification") -> Result:
        words = ("--member", member, "--purpose", purpose, "--benefit", "employee_pension", "--json")
        return self.types("explain", *words, "--config", str(self.config))


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
