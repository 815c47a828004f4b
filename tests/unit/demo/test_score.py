"""The score: what it counts, and that it is passed only where nobody was wronged and no known death was missed."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner
from rich.console import Console

from gateway.cli import demo_score
from gateway.demo.agency_files import as_file, by_agency, write_files
from gateway.demo.rostering import Ran
from gateway.demo.score import Answered, Score, count, masked
from gateway.demo.truth import Recipient
from gateway.demo.world import World
from gateway.roster.fields import REQUIRED, match
from gateway.roster.validating import Validator
from wugan.agency.v1 import roster_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

PROPOSED = {
    "ALIVE_STRONG": "CERTIFIED",
    "ALIVE_MEDIUM": "NEEDS_FACE",
    "ALIVE_WEAK": "NEEDS_VISIT",
    "DECEASED": "STOP_PROPOSED",
    "DECEASED_SUSPECTED": "SUSPECT",
    "MISSING": "SUSPECT",
    "CONFLICT": "SUSPECT",
    "UNKNOWN": "NEEDS_FACE",
}


def perfect(recipient: Recipient) -> Answered:
    """What a perfect reader of the evidence answers."""
    if recipient.expected == "REFUSED":
        return Answered("REFUSED")
    proposal = PROPOSED[recipient.expected]
    if recipient.alive and recipient.ended_by and proposal not in ("SUSPECT", "STOP_PROPOSED"):
        proposal = "STOP_PROPOSED"
    return Answered(recipient.expected, proposal, recipient.flags, recipient.unread, reasons=("WHY",))


@pytest.fixture
def everybody(small_world: World) -> list[Recipient]:
    return [each for each in small_world.recipients() if each.across]


def scored(everybody: list[Recipient], answer: Callable[[Recipient], Answered] = perfect) -> Score:
    result = Score()
    for recipient in everybody:
        result.add(recipient, answer(recipient))
    return result


def instead(one: Recipient, answered: Answered) -> Callable[[Recipient], Answered]:
    return lambda recipient: answered if recipient is one else perfect(recipient)


def first(everybody: list[Recipient], case: str) -> Recipient:
    return next(recipient for recipient in everybody if recipient.case == case)


def test_a_perfect_reader_passes(everybody: list[Recipient]) -> None:
    result = scored(everybody)
    assert result.passed
    assert not result.wrong
    assert not result.mistakes
    assert result.death_recall == 1.0
    assert result.deaths_known > 10
    assert result.deaths_unknown > 0
    assert result.living_ended["REMARRIED"] > 0
    assert 0 < result.certified == result.grades["ALIVE_STRONG", "CERTIFIED"] < result.judged


def test_the_deaths_of_which_departments_have_a_record_are_known(small_world: World) -> None:
    known = {recipient.case: recipient.death_known for recipient in small_world.recipients() if not recipient.alive}
    assert known["died_only_reported"]
    assert known["died_recorded_at_once"]
    assert known["number_changed_died"]
    assert not known["died_not_yet_known"]
    assert not known["died_unreported_burial"]
    assert not any(recipient.death_known for recipient in small_world.recipients() if recipient.alive)


def test_one_living_person_proposed_for_stopping_without_a_cause_fails_it_and_is_told_masked(
    everybody: list[Recipient],
) -> None:
    one = first(everybody, "active")
    result = scored(everybody, instead(one, Answered("ALIVE_STRONG", "STOP_PROPOSED", ("IMPRISONED",), False, ("R",))))
    assert (result.passed, result.living_stopped, result.living_called_dead) == (False, 1, 0)
    (mistake,) = result.mistakes
    assert (mistake.case, mistake.answered, mistake.reasons) == ("active", "ALIVE_STRONG/STOP_PROPOSED", ("R",))
    assert one.id_number not in str(result.as_json())
    assert mistake.who == masked(one.id_number)


def test_a_stop_because_of_a_fact_that_ends_the_benefit_is_right_and_because_of_death_is_not(
    everybody: list[Recipient],
) -> None:
    one = first(everybody, "remarried_dependant")
    assert scored(everybody, instead(one, Answered("ALIVE_WEAK", "STOP_PROPOSED", ("REMARRIED",)))).passed
    called_dead = scored(everybody, instead(one, Answered("DECEASED", "STOP_PROPOSED", ("REMARRIED",))))
    assert (called_dead.passed, called_dead.living_stopped, called_dead.living_called_dead) == (False, 1, 1)


@pytest.mark.parametrize(("status", "proposal"), [("ALIVE_STRONG", "CERTIFIED"), ("ALIVE_WEAK", "NEEDS_VISIT")])
def test_one_known_death_that_was_missed_fails_it(everybody: list[Recipient], status: str, proposal: str) -> None:
    one = first(everybody, "died_recorded_at_once")
    result = scored(everybody, instead(one, Answered(status, proposal)))
    assert not result.passed
    assert 0.9 < result.death_recall < 1
    assert [mistake.case for mistake in result.mistakes] == ["died_recorded_at_once"]


def test_who_was_not_answered_fails_it(everybody: list[Recipient]) -> None:
    result = scored(everybody, instead(everybody[0], Answered("", "NOT_SERVED")))
    assert not result.passed
    assert result.failed == {"NOT_SERVED": 1}


def test_results_are_counted_by_their_rows(everybody: list[Recipient]) -> None:
    (_, recipients) = max(by_agency(everybody), key=lambda each: len(each[1]))
    answers = [perfect(recipient) for recipient in recipients]
    result = Score()
    count(result, recipients, as_results(answers))
    assert result.passed
    assert result.asked == len(recipients)
    assert result.grades == scored(recipients).grades
    count(missing := Score(), recipients, as_results(answers[:-1]))
    assert missing.failed == {"NO_RESULT": 1}


def as_results(answers: list[Answered]) -> Ran:
    def people() -> Iterator[dict[str, object]]:
        for row, answered in enumerate(answers):
            if answered.status != "REFUSED":
                flags = [words.EntitlementFlag.Value(f"ENTITLEMENT_FLAG_{flag}") for flag in answered.flags]
                yield {
                    "row": row,
                    "status": words.SurvivalStatus.Value(f"SURVIVAL_STATUS_{answered.status}"),
                    "flags": sum(1 << flag for flag in flags),
                    "certification": words.CertificationStatus.Value(f"CERTIFICATION_STATUS_{answered.certification}"),
                    "partial": answered.partial,
                    "refusal": 0,
                }

    refused = [row for row, answered in enumerate(answers) if answered.status == "REFUSED"]
    return Ran(
        pl.DataFrame(list(people())),
        pl.DataFrame({"row": refused, "reason_en": ["wrong"] * len(refused)}),
        pl.DataFrame({"row": [0], "name": ["WHY"]}),
        roster_pb2.RosterRun(),
    )


def test_an_agency_s_file_is_a_roster_of_its_recipients_in_order(everybody: list[Recipient]) -> None:
    for (province, unit), recipients in by_agency(everybody):
        lines = as_file(recipients).decode().splitlines()
        columns = match(lines[0].split(","), {})
        assert set(REQUIRED) <= set(columns)
        assert Validator(lines[0].split(","), columns, 0) is not None
        assert len(lines) == len(recipients) + 1
        assert {(each.paying_province, each.unit) for each in recipients} == {(province, unit)}
        assert not any(word in lines[0] for word in ("alive", "died", "case"))


def test_every_agency_has_its_file_and_nobody_else_may_read_it(everybody: list[Recipient], tmp_path: Path) -> None:
    written = write_files(everybody, tmp_path / "rosters")
    assert written
    for (province, unit), recipients in by_agency(everybody):
        path = tmp_path / "rosters" / str(province) / f"{unit}.csv"
        assert written[province, unit] == path
        assert path.read_bytes() == as_file(recipients)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("language", "words_expected"), [("en", "Certified without bothering anyone"), ("zh", "免打扰认证")]
)
def test_the_score_is_explained_by_grade_in_both_languages(
    everybody: list[Recipient], monkeypatch: pytest.MonkeyPatch, language: str, words_expected: str
) -> None:
    monkeypatch.setenv("WUGAN_LANG", language)
    console = Console(record=True, width=160)
    one = first(everybody, "active")
    demo_score._print(console, scored(everybody, instead(one, Answered("DECEASED", "STOP_PROPOSED"))))
    text = console.export_text()
    assert words_expected in text
    assert masked(one.id_number) in text
    assert one.id_number not in text
    assert set(demo_score.MEANING) == set(PROPOSED)


def test_a_failed_score_is_exit_code_one(everybody: list[Recipient], monkeypatch: pytest.MonkeyPatch) -> None:
    for answer, code in ((perfect, 0), (instead(everybody[0], Answered("", "NOT_SERVED")), 1)):
        monkeypatch.setattr(demo_score, "_score", lambda _, answer=answer: scored(everybody, answer))
        monkeypatch.setattr("gateway.demo.launch.load", lambda folder: folder)
        assert CliRunner().invoke(demo_score.score, ["--json"]).exit_code == code
