"""An answer on the terminal and as JSON: every word of the contract can be shown, in both languages."""

from __future__ import annotations

import io
import json
import re

import pytest
from rich.console import Console

from gateway import wording
from gateway.cli.check import awaited_json, names_of
from gateway.cli.report import as_json, show
from wugan.adapter.v1 import vocabulary_pb2 as v
from wugan.agency.v1 import agency_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

LANGUAGES = ["en", "zh"]
CHINESE = re.compile(r"[\u4e00-\u9fff]")


@pytest.fixture(params=LANGUAGES)
def language(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    chosen: str = request.param
    monkeypatch.setenv("WUGAN_LANG", chosen)
    return chosen


def answer(status: int = words.SURVIVAL_STATUS_ALIVE_STRONG) -> agency_pb2.CheckResponse:
    """An answer with something in every part."""
    response = agency_pb2.CheckResponse(
        status=words.SurvivalStatus.ValueType(status),
        flags=[words.ENTITLEMENT_FLAG_REMARRIED, words.ENTITLEMENT_FLAG_MOVED],
        proposal=words.CERTIFICATION_STATUS_STOP_PROPOSED,
        effective_month="2026-06",
        reasons=[agency_pb2.Reason(name="REMARRIED", zh="已再婚。", en="Married again.")],
        decided_on="2026-05-01",
        last_trace_on="2026-05-20",
        valid_until="2026-06-20",
        as_of="2026-05-27",
        linked_id_numbers=["330702195001010041"],
        partial=True,
    )
    response.made_at.FromMilliseconds(1_779_854_400_000)
    response.evidence.add(
        kind=v.EVIDENCE_KIND_IMPRISONED,
        department=v.DEPARTMENT_JUSTICE,
        region=340102,
        observed_on="2026-05-01",
        available_on="2026-05-02",
        strength=v.STRENGTH_REAL_NAME,
        from_on="2026-05-01",
        member_id="B",
    )
    response.sources.add(member_id="B", adapter_id="j", department=v.DEPARTMENT_JUSTICE, outcome=1)
    response.sources.add(member_id="B", adapter_id="b", department=v.DEPARTMENT_BANKS, outcome=2)
    response.answers.add(
        member_id="B",
        member_name_zh="安徽",
        member_name_en="Anhui",
        status=words.SURVIVAL_STATUS_ALIVE_STRONG,
        rules_version="2026.1",
        rules_digest=bytes(range(32)),
    )
    response.answers.add(
        member_id="C",
        member_name_zh="福建",
        member_name_en="Fujian",
        refusal=words.REFUSAL_REASON_PARTNER_UNAVAILABLE,
        message_zh="无法连接",
        message_en="not reached",
    )
    return response


def shown(response: agency_pb2.CheckResponse, width: int = 160, **more: str) -> str:
    console = Console(record=True, width=width, force_terminal=True, file=io.StringIO())
    show(console, response, **more)
    return console.export_text()


@pytest.mark.parametrize("status", words.SurvivalStatus.values())
def test_every_status_is_shown_by_its_word(language: str, status: int) -> None:
    text = shown(answer(status))
    if status:
        assert getattr(wording.STATUSES[status], language) in text


def test_every_flag_and_proposal_is_shown_by_its_word(language: str) -> None:
    response = answer()
    response.flags[:] = words.EntitlementFlag.values()[1:]
    text = shown(response, width=400)
    for flag in words.EntitlementFlag.values()[1:]:
        assert getattr(wording.FLAGS[flag], language) in text
    for proposal in words.CertificationStatus.values()[1:]:
        response.proposal = proposal
        assert getattr(wording.PROPOSALS[proposal], language) in shown(response, width=400)


def test_every_kind_department_strength_and_outcome_is_shown_by_its_word(language: str) -> None:
    response = answer()
    del response.evidence[:], response.sources[:]
    for kind in v.EvidenceKind.values()[1:]:
        response.evidence.add(kind=kind, department=v.DEPARTMENT_HEALTH, strength=v.STRENGTH_WEAK)
    for department in v.Department.values()[1:]:
        for outcome in words.SourceOutcome.values()[1:]:
            response.sources.add(member_id="B", department=department, outcome=outcome)
    text = shown(response, width=2000)
    for table, numbers in (
        (wording.KINDS, v.EvidenceKind.values()),
        (wording.DEPARTMENTS, v.Department.values()),
        (wording.OUTCOMES, words.SourceOutcome.values()[1:]),
    ):
        assert all(getattr(table[number], language) in text for number in numbers[1:])


def test_an_answer_in_english_holds_no_chinese_and_the_other_way_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WUGAN_LANG", "en")
    text = shown(answer(), title="Anna", note="a note")
    assert not CHINESE.search(text)
    for said in ("Married again.", "Anhui", "not reached", "Incomplete", "2026-06", "330702195001010041", "Anna"):
        assert said in text
    monkeypatch.setenv("WUGAN_LANG", "zh")
    text = shown(answer())
    for said in ("已再婚。", "安徽", "无法连接", "信息不完整", "2026-06"):
        assert said in text
    assert "Married" not in text
    assert "Incomplete" not in text


def test_of_two_adapters_of_one_department_it_is_told_which_is_which(language: str) -> None:
    response = answer()
    response.sources.add(member_id="B", adapter_id="small-bank", department=v.DEPARTMENT_BANKS, outcome=1)
    assert "small-bank" in shown(response, width=400), f"which of the two banks is silent ({language})?"


def test_numbers_of_a_newer_version_can_be_shown(language: str) -> None:
    response = answer(77)
    response.flags.append(31)  # type: ignore[arg-type]
    response.proposal = 99  # type: ignore[assignment]
    response.evidence.add(kind=999, department=99, strength=99)  # type: ignore[arg-type]
    response.sources.add(member_id="B", department=99, outcome=99)  # type: ignore[arg-type]
    assert shown(response)
    json.dumps(as_json(response))


def test_an_empty_answer_can_be_shown(language: str) -> None:
    assert shown(agency_pb2.CheckResponse())
    assert as_json(agency_pb2.CheckResponse())["answers"] == []


def test_a_narrow_terminal_loses_nothing_that_matters(language: str) -> None:
    text = shown(answer(), width=60).replace("\n", "")
    assert getattr(wording.STATUSES[words.SURVIVAL_STATUS_ALIVE_STRONG], language) in text


def test_days_and_words_are_never_broken_within(monkeypatch: pytest.MonkeyPatch) -> None:
    response = answer()
    response.evidence[0].kind = v.EVIDENCE_KIND_OWN_CERTIFICATION
    response.evidence[0].department = v.DEPARTMENT_FACE_AUTHENTICATION
    response.evidence[0].from_on = ""
    monkeypatch.setenv("WUGAN_LANG", "en")
    for width in (60, 80):
        text = shown(response, width=width)
        assert all(word in text for word in ("2026-05-01", "2026-05-02", "certification", "authentication")), width


def test_chinese_is_broken_between_characters_and_no_line_begins_with_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WUGAN_LANG", "zh")
    response = agency_pb2.CheckResponse(status=words.SURVIVAL_STATUS_CONFLICT)
    for length in range(30, 80):
        del response.reasons[:]
        response.reasons.add(name="X", zh="同" * length + "。" + "自 2026-11 起，" * 3)
        lines = [line.strip("│ ") for line in shown(response, width=60).splitlines()]
        assert "•" not in lines, "a bullet alone in its line"
        assert not any(line.startswith(("。", "，")) for line in lines)
        assert "".join(lines).count("2026-11") == 3


def test_what_one_province_does_not_know_stands_beside_it_not_above_all(language: str) -> None:
    response = answer()
    response.reasons.add(name="UNKNOWN_PERSON", zh="均查无此人。", en="Nobody knows.")
    response.answers[1].status = words.SURVIVAL_STATUS_UNKNOWN
    response.answers[1].refusal = words.REFUSAL_REASON_UNSPECIFIED
    text = shown(response)
    assert not any(each in text for each in ("均查无此人。", "Nobody knows."))
    assert getattr(wording.STATUSES[words.SURVIVAL_STATUS_UNKNOWN], language) in text
    response.status = words.SURVIVAL_STATUS_UNKNOWN
    assert any(each in shown(response) for each in ("均查无此人。", "Nobody knows."))


def test_where_no_department_answered_nobody_is_said_to_be_registered_nowhere(language: str) -> None:
    nowhere = getattr(wording.STATUSES[words.SURVIVAL_STATUS_UNKNOWN], language)
    response = answer()
    response.reasons.add(name="NOBODY_ANSWERED", zh="没有任何部门答复。", en="No department answered.")
    assert not any(each in shown(response) for each in ("没有任何部门答复。", "No department answered."))
    response.status = words.SURVIVAL_STATUS_UNKNOWN
    head = shown(response).split("→")[0]
    assert {"zh": "无部门答复", "en": "nobody answered"}[language] in head
    assert nowhere not in head
    response.reasons.add(name="UNKNOWN_PERSON", zh="均查无此人。", en="Nobody knows.")
    assert nowhere in shown(response).split("→")[0]


def test_an_incomplete_answer_is_not_said_to_be_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WUGAN_LANG", "zh")
    text = shown(answer())
    assert "不会偏高" not in text
    assert "死亡记录未计入" in text


def test_texts_of_another_province_cannot_steer_the_terminal(language: str) -> None:
    response = answer()
    hostile = "\x1b]0;owned\x07\x1b[2J[bold]x[/bold]\u202e"
    response.reasons[0].zh = response.reasons[0].en = hostile
    response.answers[1].message_zh = response.answers[1].message_en = hostile
    response.answers[0].rules_version = hostile
    response.linked_id_numbers[0] = hostile
    text = shown(response)
    assert "\x1b]" not in text
    assert "\x1b[2J" not in text
    assert "\u202e" not in text
    assert "[bold]x[/bold]" in text, "markup of theirs is text, not style"


def test_json_is_the_contracts_own_with_the_digest_in_hexadecimal() -> None:
    answered = json.loads(json.dumps(as_json(answer()), ensure_ascii=False))
    assert answered["status"] == "SURVIVAL_STATUS_ALIVE_STRONG"
    assert answered["answers"][0]["rules_digest"] == bytes(range(32)).hex()
    assert answered["answers"][1]["rules_digest"] == ""
    assert answered["evidence"][0]["kind"] == "EVIDENCE_KIND_IMPRISONED"
    assert answered["partial"] is True


AGAIN = re.compile("ask again|请稍后")


def test_beside_an_outdated_answer_whose_province_was_left_the_question_nobody_is_told_to_ask_again(
    language: str,
) -> None:
    response = answer()
    response.stale = response.from_cache = True
    outdated = response.answers[0]
    outdated.stale = True
    assert AGAIN.search(shown(response).casefold())
    outdated.pending_until.FromMilliseconds(1_779_940_800_000)
    text = shown(response)
    assert not AGAIN.search(text.casefold().replace("no need to ask again", ""))
    until = {
        "en": "left with it until 2026-05-28 12:00, no need to ask again",
        "zh": "留置至 2026-05-28 12:00，无需重新查询",
    }[language]
    assert until in text


def outdated() -> agency_pb2.CheckResponse:
    """An answer of one province that cannot be reached, given before: nothing else is wrong with it."""
    response = answer()
    del response.answers[1], response.sources[1]
    response.stale = response.from_cache = response.answers[0].from_cache = response.answers[0].stale = True
    response.answers[0].made_at.FromMilliseconds(1_779_854_400_000)
    response.age_ms = 3 * 3_600_000
    return response


def test_above_an_outdated_answer_it_is_said_whose_it_is_of_when_and_what_is_missing(language: str) -> None:
    text = shown(outdated())
    said = {
        "en": "Outdated: no answer from Anhui now. What was answered 3 h ago (2026-05-27 12:00) is shown; what changed",
        "zh": "过期答复：安徽目前未能答复，以下为其 3 小时前（2026-05-27 12:00）的答复，此后的变化未计入。请稍后",
    }[language]
    assert said in text
    assert text.index(said) < text.index({"en": "Married again", "zh": "已再婚"}[language])


def test_of_an_outdated_answer_it_is_said_why_there_is_no_newer_one(language: str) -> None:
    response = outdated()
    response.answers[0].message_en = "it did not answer in time"
    response.answers[0].message_zh = "未在时限内答复"
    said = {"en": "outdated (it did not answer in time)", "zh": "过期答复（未在时限内答复）"}[language]
    assert said in shown(response)


def test_of_an_answer_that_is_not_under_all_linked_numbers_it_is_said_why(language: str) -> None:
    response = answer()
    response.answers[0].linked_unasked = True
    response.answers[0].message_en, response.answers[0].message_zh = "enough for today", "今日额度已满"
    said = {"en": ", enough for today", "zh": "，今日额度已满"}[language]
    assert said in shown(response)
    response.answers[0].linked_unasked = False
    assert said not in shown(response)


def test_an_outdated_answer_is_not_called_incomplete_unless_something_else_is_missing(language: str) -> None:
    incomplete = re.compile("Incomplete|信息不完整")
    response = outdated()
    assert not incomplete.search(shown(response))
    response.sources.add(member_id="D", department=v.DEPARTMENT_BANKS, outcome=2)
    assert incomplete.search(shown(response))
    response = outdated()
    response.answers.add(member_id="C", refusal=words.REFUSAL_REASON_PARTNER_UNAVAILABLE)
    assert incomplete.search(shown(response))


def test_chinese_is_punctuated_as_chinese(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WUGAN_LANG", "zh")
    assert "安徽：生存（强），已签名答复" in shown(answer())


def test_of_an_answer_that_is_not_the_last_it_is_said_by_name_who_is_awaited(language: str) -> None:
    members = [agency_pb2.AwaitedMember(member_id=str(at), name_zh=f"某省{at}", name_en=f"P{at}") for at in range(30)]
    said = {"en": ("still to answer: P0, P1", "P29"), "zh": ("尚待答复：某省0、某省1、", "某省29")}[language]
    text = shown(answer(), width=80, title="…", note=names_of(members))
    assert all(each in text for each in said)
    assert max(len(line) for line in text.splitlines()) <= 80
    assert names_of([]) == ""
    assert awaited_json(members[:1]) == {
        "awaited": ["0"],
        "awaited_members": [{"member_id": "0", "name_zh": "某省0", "name_en": "P0"}],
    }
