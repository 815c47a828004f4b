"""`wugan access`: words as people type them, and words that are none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.cells import cell_len

from gateway.access import people
from gateway.cli.access_common import in_store
from gateway.clock import civil_day
from gateway.inquiry.quotas import counted_as
from gateway.store.alarms import Alarm
from gateway.store.engine import Store
from gateway.store.usage import DAY, Take
from tests.unit.cli.access_office import MEMBER, Office, later


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
        language, "grant", "--member", "*", *terms, "--until", later(), "--why", "x", *person
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


@pytest.mark.parametrize("language", ["zh", "en"])
def test_people_stand_in_columns_however_wide_their_roles_are_written(office: Office, language: str) -> None:
    for name in ("欧阳", "chen"):
        office.does("people", "key", name, "--out", str(office.folder))
        person = ("--as", "wang", "--key", str(office.folder / "wang.pem"))
        file = str(office.folder / f"{name}.pub")
        office.does("people", "add", file, "--role", "owner", "--config", str(office.config), *person)
    rows = office.shows(language, "people", "list").splitlines()
    assert len(rows) == 5
    assert len({cell_len(row.rstrip()) for row in rows}) == 1, rows  # each ends with an id of the same length


@pytest.mark.parametrize("language", ["zh", "en"])
def test_a_quota_that_has_no_room_is_named_where_a_grant_is_explained(office: Office, language: str) -> None:
    assert office.grants(per_day="300", per_minute="20").exit_code == 0
    assert office.grants(per_day="100").exit_code == 0
    asked = ("--member", MEMBER, "--purpose", "certification", "--benefit", "employee_pension")
    told = office.shows(language, "explain", *asked, "--people", "200")
    if language == "zh":
        assert "可适用的授权均不足 200 人的额度" in told
        assert "额度不足 200 人：一分钟内至多 20 人" in told
        assert "额度不足 200 人：每日至多 100 人" in told
    else:
        assert "no grant that would allow it has room for 200 people" in told
        assert "has no room for 200 people: 20 in any minute at most" in told
        assert "has no room for 200 people: 100 a day at most" in told


def test_small_grants_that_one_person_made_are_explained_with_the_room_they_share(office: Office) -> None:
    assert office.grants(per_day="900").exit_code == 0
    asked = ("--member", MEMBER, "--purpose", "certification", "--benefit", "employee_pension")
    in_store(office.config, lambda store, clock: shared(store, civil_day(clock.now_ms()), 950))
    told = office.shows("en", "explain", *asked, "--people", "60")
    assert "has no room for 60 people: 50 left today under all grants that one person made" in told


@pytest.mark.parametrize("language", ["zh", "en"])
def test_an_alarm_that_holds_questions_back_is_told_where_they_are_explained(office: Office, language: str) -> None:
    assert office.grants().exit_code == 0
    in_store(office.config, lambda store, _: store.alarms.submit(Alarm(0, 1, MEMBER, "jinhua", "unknown", 30, 20)))
    asked = ("--member", MEMBER, "--purpose", "certification", "--benefit", "employee_pension")
    told = office.shows(language, "explain", *asked, "--unit", "jinhua")
    assert told.startswith({"zh": "拒绝：疑似批量套取：", "en": "refused: it looks like harvesting: "}[language])
    assert {"zh": "解除告警 1 前限流", "en": "until an audit administrator clears alarm 1"}[language] in told
    assert office.explains().exit_code == 0, "another unit"
    person = ("--as", "sun", "--key", str(office.folder / "sun.pem"), "--config", str(office.config))
    office.does("clear", "1", "--why", "x", *person)
    assert office.shows(language, "explain", *asked, "--unit", "jinhua").startswith(("允许", "allowed"))


@pytest.mark.parametrize("language", ["zh", "en"])
def test_what_is_left_for_an_official_is_told_where_the_official_is_named(office: Office, language: str) -> None:
    assert office.grants(per_official="5").exit_code == 0
    [grant] = json.loads(office.does("list", "--config", str(office.config), "--json"))
    tag = counted_as(int(grant["grant"][1:]), MEMBER, b"o" * 32)
    in_store(office.config, lambda store, clock: taken(store, tag, civil_day(clock.now_ms()), 4))
    asked = ("--member", MEMBER, "--purpose", "certification", "--benefit", "employee_pension", "--people", "2")
    assert office.shows(language, "explain", *asked).startswith(("允许", "allowed"))
    told = office.shows(language, "explain", *asked, "--official", (b"o" * 32).hex())
    assert {"zh": "额度不足 2 人：该经办人今日余 1 人", "en": "1 left for this official today"}[language] in told
    assert office.types("explain", *asked, "--official", "x", "--config", str(office.config)).exit_code == 2


async def taken(store: Store, tag: bytes, day: int, people_used: int) -> None:
    """Count people in a counter of a day."""
    await store.usage.submit([Take(store.usage.tag(tag), DAY, day, people_used, 1000)])


@pytest.mark.parametrize(("language", "said"), [("zh", "险种不符：失业保险金"), ("en", "not for unemployment benefit")])
def test_a_benefit_that_a_grant_leaves_out_is_named_in_words(office: Office, language: str, said: str) -> None:
    assert office.grants().exit_code == 0
    asked = ("--member", MEMBER, "--purpose", "certification", "--benefit", "unemployment")
    assert said in office.shows(language, "explain", *asked)


async def shared(store: Store, day: int, people_used: int) -> None:
    """Count people under all grants that one person made."""
    await taken(store, counted_as(0, MEMBER), day, people_used)


def test_one_person_is_one_person(office: Office, tmp_path: Path) -> None:
    (tmp_path / "persons.txt").write_text("330702195001010017\n")
    person = ("--as", "li", "--key", str(office.folder / "li.pem"))
    told = office.shows("en", "protect", str(tmp_path / "persons.txt"), "--why", "x", *person)
    assert "1 person protected" in told
    told = office.shows("en", "unprotect", str(tmp_path / "persons.txt"), "--why", "x", *person)
    assert "1 person no longer protected" in told


def test_every_role_and_act_has_a_name_in_both_languages() -> None:
    assert set(people.TITLES) == set(people.ROLES)
    assert set(people.ACTS) == {*people.MAY, *people.MAY_LOOK}
