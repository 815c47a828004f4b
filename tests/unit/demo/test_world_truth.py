from __future__ import annotations

import stat
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from gateway.demo import calendar
from gateway.demo.truth import Recipient, read_truth, write_truth
from gateway.demo.world import World
from gateway.errors import ConfigError
from wugan.adapter.v1 import vocabulary_pb2 as words


def test_the_truth_comes_back_as_it_was_written(small_world: World, tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    write_truth(small_world.recipients(), path)
    assert list(read_truth(path)) == list(small_world.recipients())


def test_nobody_else_may_read_the_truth(small_world: World, tmp_path: Path) -> None:
    write_truth(small_world.recipients(), tmp_path / "truth.jsonl")
    assert stat.S_IMODE((tmp_path / "truth.jsonl").stat().st_mode) == 0o600


def test_the_same_world_writes_the_same_bytes(small_world: World, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_truth(small_world.recipients(), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_file_is_written_whole_or_not_at_all(small_world: World, tmp_path: Path) -> None:
    def breaking() -> Iterator[Recipient]:
        yield next(small_world.recipients())
        raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError):
        write_truth(breaking(), tmp_path / "truth.jsonl")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("line", ["", "{}", "[1, 2]", "not json", '{"case": "active"}', "x" * 10_000])
def test_a_line_that_is_no_record_is_refused_with_its_place(tmp_path: Path, line: str) -> None:
    path = tmp_path / "truth.jsonl"
    path.write_text(line + "\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"truth\.jsonl:1"):
        list(read_truth(path))


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="wugan demo up"):
        list(read_truth(tmp_path / "truth.jsonl"))


def test_a_living_person_called_dead_is_intolerable(small_world: World) -> None:
    for recipient in small_world.recipients():
        assert recipient.is_intolerable("DECEASED") == recipient.alive
        assert not (recipient.is_right("DECEASED") and recipient.is_intolerable("DECEASED"))
        assert recipient.is_right(recipient.expected)


def test_starts_lie_between_the_first_marriage_and_what_ends_the_benefit(small_world: World) -> None:
    ending = {
        words.EVIDENCE_KIND_MARRIAGE,
        words.EVIDENCE_KIND_ADOPTION,
        words.EVIDENCE_KIND_RE_EMPLOYMENT,
    }
    events, people = small_world.events, small_world.people
    starts = {
        each.person: calendar.to_day(date.fromisoformat(each.benefit_since))
        for each in small_world.recipients()
        if each.benefit_since
    }
    assert all(people.birth_on[person] < start < small_world.as_of_on for person, start in starts.items())
    cases = {each.person: each.case for each in small_world.recipients()}
    before, since = set(), set()
    for person, kind, on in zip(events.person.tolist(), events.kind.tolist(), events.observed_on.tolist(), strict=True):
        if kind in ending and person in starts:
            (since if on >= starts[person] else before).add(person)
    assert {cases[person] for person in since} >= {"remarried_dependant", "adopted_dependant", "re_employed"}
    assert all(cases[person] not in ("active", "moderate") for person in since)
    assert {cases[person] for person in before} >= {"remarried_dependant", "remarried_divorced"}
