"""Of whom the demo's files hold a row that does not read, the truth knows; and the score holds the answers to that."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from adapters.build import build, load_manifest, system_clock
from adapters.contract import Lookup, Subjects
from gateway.cli import demo_score
from gateway.demo.score import Answered, Score, masked
from gateway.demo.systems import materialise, write_manifests
from gateway.demo.truth import Recipient
from gateway.demo.world import World, build_world
from tests.unit.demo.conftest import AS_OF

ENDPOINTS = dict.fromkeys(("public-security", "health", "face-authentication"), "http://127.0.0.1:1")


@pytest.fixture(scope="module")
def two_thousand() -> World:
    """Where a remarried person's divorce was spoilt."""
    return build_world(seed=1, provinces=3, people=2_000, as_of_on=20_785)


def of_case(world: World, case: str, *, unread: bool) -> Recipient:
    return next(each for each in world.recipients() if each.case == case and each.unread == unread)


async def test_the_truth_knows_exactly_whom_the_department_says_it_cannot_read(town: World, tmp_path: Path) -> None:
    code = 330000
    config = materialise(town, code, tmp_path / "systems", postgres=False)
    written = write_manifests(town.province(code), config, ENDPOINTS)
    manifest = load_manifest(next(path for path in written if path.stem == "civil-affairs"))
    adapter = build(manifest, tmp_path / "state", lambda: system_clock() + 3_600_000)  # the files have rested
    await adapter.check()
    here = {each.present_number: each.unread for each in town.recipients() if each.lives_in == code}
    numbers = list(here)
    subjects = Subjects(numbers, ["某人"] * len(numbers))
    found = await adapter.lookup(Lookup(subjects, takes_unreadable=True))
    await adapter.close()
    cannot = {numbers[row] for row in found.unreadable.tolist()}
    assert cannot == {number for number, unread in here.items() if unread}
    assert len(cannot) > 3


def test_what_only_such_a_department_could_tell_is_not_asked_of_the_answer(two_thousand: World) -> None:
    person = of_case(two_thousand, "remarried_divorced", unread=True)
    assert (person.expected, person.right, person.flags) == ("ALIVE_MEDIUM", ("ALIVE_MEDIUM",), ())
    whole = of_case(two_thousand, "remarried_divorced", unread=False)
    assert (whole.expected, whole.flags) == ("ALIVE_STRONG", ("REMARRIED",))


def test_a_death_of_which_only_such_a_row_tells_is_known_to_nobody() -> None:
    found = {}
    for seed in range(40):
        world = build_world(seed=seed, provinces=2, people=900, as_of_on=AS_OF)
        for each in world.recipients():
            if each.unread and not each.alive:
                found[each.case] = each
        if {"died_one_department", "died_recorded_at_once"} <= found.keys():
            break
    alone, certified = found["died_one_department"], found["died_recorded_at_once"]
    assert (alone.death_known, alone.expected, "DECEASED" in alone.right) == (False, "ALIVE_WEAK", False)
    assert (certified.death_known, certified.expected) == (True, "DECEASED")


def scored(recipient: Recipient, answered: Answered) -> Score:
    result = Score()
    result.add(recipient, answered)
    return result


def test_who_has_a_row_that_does_not_read_is_answered_incompletely_and_not_certified(two_thousand: World) -> None:
    person = of_case(two_thousand, "remarried_divorced", unread=True)
    right = Answered("ALIVE_MEDIUM", "NEEDS_FACE", (), partial=True)
    result = scored(person, right)
    assert result.passed
    assert not result.wrong
    assert (result.unread, result.unread_told, result.incomplete_otherwise) == (1, 1, 0)
    for wrong in (replace(right, partial=False), replace(right, certification="CERTIFIED")):
        result = scored(person, wrong)
        assert not result.passed
        assert [mistake.who for mistake in result.mistakes] == [masked(person.id_number)]


def test_a_benefit_that_a_fact_on_record_ended_must_not_go_on_unseen(two_thousand: World) -> None:
    person = of_case(two_thousand, "remarried_dependant", unread=False)
    paid_on = scored(person, Answered("ALIVE_STRONG", "CERTIFIED"))
    assert (paid_on.passed, paid_on.living_paid_on) == (False, 1)
    assert [mistake.case for mistake in paid_on.mistakes] == ["remarried_dependant"]
    assert not scored(person, Answered("ALIVE_MEDIUM", "NEEDS_FACE")).passed, "a face check would certify"
    assert scored(person, Answered("ALIVE_STRONG", "SUSPECT", ("REMARRIED",))).passed
    silent = scored(person, Answered("ALIVE_MEDIUM", "NEEDS_FACE", partial=True))
    assert (silent.passed, silent.incomplete_otherwise) == (True, 1), "who did not answer is told by the answer"
    assert silent.wrong


@pytest.mark.parametrize(("language", "told"), [("en", "do not read"), ("zh", "无法读取")])
def test_it_is_told_in_both_languages(
    two_thousand: World, monkeypatch: pytest.MonkeyPatch, language: str, told: str
) -> None:
    monkeypatch.setenv("WUGAN_LANG", language)
    console = Console(record=True, width=200)
    person = of_case(two_thousand, "remarried_divorced", unread=True)
    demo_score._print(console, scored(person, Answered("ALIVE_MEDIUM", "NEEDS_FACE", (), partial=True)))
    text = console.export_text()
    assert told in text
    assert "−" not in text
    as_json = scored(person, Answered("ALIVE_MEDIUM", "CERTIFIED", (), partial=True)).as_json()
    assert as_json["unread"] == {"people": 1, "told_incomplete": 1, "certified": 1}
    assert as_json["living_paid_on"] == 0
