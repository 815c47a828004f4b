"""Who draws in two provinces, found by two real gateways from their rosters, blinded."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from matching_world import Pair, pair, person, until

from adapters.faces import face_token

pytestmark = pytest.mark.integration
BOTH = [3, 500, 999]
IN_FIRST, IN_SECOND = 700, 1700
"""One person with two numbers: the one draws in the first province, the other in the second."""


@pytest.fixture(scope="module")
def matched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A thousand people on either side, three of them in both rosters; compared. Some were checked by face, where they
    live: in the other province.
    """
    folder = tmp_path_factory.mktemp("matching")
    faces = {IN_SECOND: "T-9", 3: "T-3", 1200: "T-12"}, {IN_FIRST: "T-9", 3: "T-3", 10: "T-10"}
    with pair(folder, faces=faces) as both:
        both.first.pays(range(1000), folder, "330700")
        both.second.pays([*BOTH, *range(1000, 1997)], folder, "110100")
        both.matched()
        yield both


def test_exactly_those_in_both_rosters_are_found_on_both_sides(matched: Pair) -> None:
    wanted = sorted(person(serial)[0] for serial in BOTH)
    for province, other in ((matched.first, matched.second), (matched.second, matched.first)):
        found = province.duplicates()
        assert sorted(each["id_number"] for each in found) == wanted
        assert {each["member_id"] for each in found} == {other.member_id}
        assert {each["exclusion"] for each in found} == {"OLD_AGE"}
        assert province.standing()["found"] == len(BOTH) + 1
        assert not province.alarms()
        told = province.told("duplicates", "status", config=province.member.config)
        # Where the faces come a round after the people they are a column of their own, filled up to 64 rows.
        answered = r"done  1003 of 1003 people and faces answered, (1024|1088) rows of theirs, 4 found"
        assert re.search(rf"\({other.member_id}\)  {answered}", told)


def test_one_face_that_draws_under_two_numbers_is_found_on_both_sides(matched: Pair) -> None:
    for province, other, serial in (
        (matched.first, matched.second, IN_FIRST),
        (matched.second, matched.first, IN_SECOND),
    ):
        (found,) = province.duplicates("OTHER_FACE")
        assert (found["id_number"], found["member_id"]) == (person(serial)[0], other.member_id)
        assert found["exclusion"] == "OLD_AGE"
        (line,) = [each for each in province.told("duplicates", "list").splitlines() if person(serial)[0] in each]
        assert "one face, two people" in line


def test_a_finding_refuses_the_certification_until_it_is_settled(matched: Pair) -> None:
    number = matched.first.duplicates()[0]["number"]
    told = matched.first.told("duplicates", "settle", str(number), "--why", "已转出")
    assert "已转出" in told
    assert len(matched.first.duplicates()) == len(BOTH) - 1
    assert len(matched.second.duplicates()) == len(BOTH), "the other side decides for itself"


def test_nothing_of_a_person_went_over_or_lies_in_clear(matched: Pair) -> None:
    numbers = [person(serial)[0].encode() for serial in (*BOTH, IN_FIRST, IN_SECOND, 1, 1001)]
    token = face_token("national.face-check", "T-9")
    numbers += [token, token.hex().encode()]
    for province in (matched.first, matched.second):
        for path in (province.member.folder / "state").rglob("*"):
            if path.is_file():
                data = path.read_bytes()
                assert not any(number in data for number in numbers), path


def test_every_step_is_recorded_on_both_sides(matched: Pair) -> None:
    for province in (matched.first, matched.second):
        events = [each for each in province.recorded() if each.case_reference.startswith("MATCHING-")]
        came = [each for each in events if each.direction == "in"]
        went = [each for each in events if each.direction == "out"]
        assert sum(each.subjects for each in came) >= 1000
        assert sum(each.subjects for each in went) >= 1000
        assert {each.outcome for each in came} == {0}


def test_who_came_since_is_compared_and_nobody_else_is_again(matched: Pair, tmp_path: Path) -> None:
    before = matched.first.standing()
    matched.first.pays([*range(1000), 1500], tmp_path, "330700")
    matched.first.match()
    until(lambda: matched.first.standing()["round"] == before["round"] + 1, "another round")
    matched.until_done()
    found = {each["id_number"] for each in matched.second.duplicates()}
    assert person(1500)[0] in found
    assert matched.first.standing()["people"] == before["people"] + 1
