from __future__ import annotations

import dataclasses
import re
from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stdnum.cn import ric, uscc

from gateway.demo import calendar, names
from gateway.demo.cases import BY_LABEL, CASES, SHOWCASE, SMALLEST_COMPLETE_WORLD
from gateway.demo.regions import PROVINCES
from gateway.demo.world import World, build_world
from gateway.errors import ConfigError, RefusedError
from gateway.rules.book import RuleBook
from gateway.rules.identity import normalise_number

AS_OF = 20_780


@pytest.fixture(scope="module")
def book() -> RuleBook:
    return RuleBook.parse(files("gateway.rules").joinpath("rules.yaml").read_bytes(), "rules.yaml")


def columns(world: World) -> dict[str, object]:
    found: dict[str, object] = {}
    for part in (world.people, world.events, world.registers, world.changes):
        for field in dataclasses.fields(part):
            value = getattr(part, field.name)
            found[f"{type(part).__name__}.{field.name}"] = value.tobytes() if isinstance(value, np.ndarray) else value
    return found


def test_the_same_seed_gives_the_same_world() -> None:
    assert columns(build_world(8, 3, 300, AS_OF)) == columns(build_world(8, 3, 300, AS_OF))


def test_another_seed_gives_other_people() -> None:
    assert build_world(8, 3, 300, AS_OF).people.number != build_world(9, 3, 300, AS_OF).people.number


def test_the_smallest_complete_world_holds_every_case(small_world: World) -> None:
    assert {CASES[case].label for case in small_world.people.case.tolist()} == set(BY_LABEL)


def test_a_tiny_world_holds_the_cases_that_are_shown_first() -> None:
    shown = [recipient.case for recipient in build_world(1, 2, 15, AS_OF).showcase()]
    assert shown == list(SHOWCASE)


def test_the_showcase_has_every_kind_of_answer(small_world: World) -> None:
    expected = {recipient.expected for recipient in small_world.showcase()}
    assert expected == {
        "ALIVE_STRONG",
        "ALIVE_MEDIUM",
        "ALIVE_WEAK",
        "DECEASED",
        "DECEASED_SUSPECTED",
        "MISSING",
        "CONFLICT",
        "UNKNOWN",
    }
    flags = {flag for recipient in small_world.showcase() for flag in recipient.flags}
    assert flags >= {"REMARRIED", "PAROLED", "IDENTITY_LINKED", "IDENTITY_CONFLICT", "MISUSE_AFTER_DEATH"}


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 2**32), provinces=st.integers(2, 31), people=st.integers(1, 150), as_of=st.integers(0, 1_500)
)
def test_every_number_is_valid_and_tells_birth_and_sex(seed: int, provinces: int, people: int, as_of: int) -> None:
    world = build_world(seed, provinces, people, AS_OF + as_of)
    everyone = world.people
    for row, number in enumerate(everyone.number):
        if CASES[int(everyone.case[row])].label == "number_shared":
            continue  # the second of two people of one number bears the first one's
        assert ric.validate(number) == number
        assert normalise_number(number) == number
        assert number[6:14] == calendar.to_date(int(everyone.birth_on[row])).strftime("%Y%m%d")
        assert (int(number[16]) % 2 == 0) == everyone.female[row]
    for number in everyone.other_number.values():
        assert ric.is_valid(number)


def test_nobody_shares_a_number_but_those_whose_case_it_is(town: World) -> None:
    people = town.people
    shared = set(people.of("number_shared").tolist())
    alone = [number for row, number in enumerate(people.number) if row not in shared]
    assert len(set(alone) | set(people.other_number.values())) == len(alone) + len(people.other_number)
    for row in people.of("number_shared").tolist():
        assert people.number[row] == people.number[int(people.partner[row])]
        assert people.home_province[row] != people.home_province[people.partner[row]]


@pytest.mark.parametrize(
    ("label", "looks_like"),
    [
        ("number_fifteen_digits", r"\d{15}"),
        ("number_lower_x", r"\d{17}x"),
        ("number_full_width", r"[０-９]{17}[０-９Ｘ]"),
        ("number_blanks", r" \d{17}[\dX]\u3000"),
    ],
)
def test_what_clerks_write_is_still_the_same_number(town: World, label: str, looks_like: str) -> None:
    rows = town.people.of(label).tolist()
    for row in rows:
        assert re.fullmatch(looks_like, town.people.roster_number[row])
        assert normalise_number(town.people.roster_number[row]) == town.people.number[row]
    assert rows


def test_a_wrong_check_digit_in_the_roster_is_wrong(town: World) -> None:
    for row in town.people.of("number_wrong_check").tolist():
        with pytest.raises(RefusedError):
            normalise_number(town.people.roster_number[row])


def test_names_are_invented(town: World) -> None:
    for name in town.people.name:
        assert set(name) & set(names.FIRST), f"{name!r} does not look invented"


@pytest.mark.parametrize("label", ["name_rare", "name_variant", "name_minority"])
def test_names_written_differently_are_the_same_name(town: World, book: RuleBook, label: str) -> None:
    for row in town.people.of(label).tolist():
        assert book.names_match(town.people.roster_name[row], town.people.name[row])


def test_rare_names_survive_gb18030_in_four_bytes() -> None:
    for name in names.RARE:
        assert name.encode("gb18030").decode("gb18030") == name
        assert any(ord(character) > 0xFFFF or len(character.encode("gb18030")) == 4 for character in name)


def test_two_people_of_one_number_have_different_names(town: World, book: RuleBook) -> None:
    people = town.people
    clashes = [
        not book.names_match(people.name[row], people.name[int(people.partner[row])])
        for row in people.of("number_shared").tolist()
    ]
    assert clashes
    assert all(clashes)


def test_nearly_everyone_lives_in_another_province_than_the_one_that_pays(town: World) -> None:
    across = [recipient.across for recipient in town.recipients() if not recipient.again]
    assert np.mean(across) > 0.95


def test_children_are_the_age_their_case_says() -> None:
    for as_of in (AS_OF, 21_244, 21_243, 21_245, 22_706):  # around 29 February 2028 and on 1 March 2032
        world = build_world(2, 2, SMALLEST_COMPLETE_WORLD, as_of)
        today = calendar.to_date(as_of)
        for recipient in world.recipients():
            if "dependant" not in recipient.case or recipient.case.startswith("remarried"):
                continue
            born = calendar.to_date(int(world.people.birth_on[recipient.person]))
            age = today.year - born.year - ((today.month, today.day) < (born.month, born.day))
            assert ("AGED_OUT" in recipient.flags) == (age >= 18), (recipient.case, born, today)
            if recipient.case == "dependant_born_29_february":
                assert (born.month, born.day) == (2, 29)
            if recipient.case == "dependant_turned_18_month_end":
                assert calendar.to_date(int(world.people.birth_on[recipient.person]) + 1).day == 1


def test_member_ids_are_valid_credit_codes_and_units_have_regions() -> None:
    assert len({province.code for province in PROVINCES}) == 31
    for province in PROVINCES:
        assert uscc.validate(province.member_id) == province.member_id
        assert all(place // 10_000 * 10_000 == province.code for place in province.prefectures)
        assert [agency.unit for agency in province.agencies] == [str(agency.region) for agency in province.agencies]


def test_every_roster_row_belongs_to_an_agency_of_its_province(small_world: World) -> None:
    for recipient in small_world.recipients():
        agency = small_world.agency(int(recipient.unit))
        assert agency in small_world.province(recipient.paying_province).agencies


def test_rosters_of_the_provinces_are_parts_of_the_whole(small_world: World) -> None:
    parts = [r for province in small_world.provinces for r in small_world.recipients(province.code)]
    assert sorted(parts, key=lambda r: (r.person, r.again)) == list(small_world.recipients())


def test_duplicates_stand_in_two_rosters_or_twice_in_one(small_world: World) -> None:
    rows = [recipient for recipient in small_world.recipients() if recipient.case == "duplicate_benefit"]
    assert len({row.paying_province for row in rows}) == 2
    rows = [recipient for recipient in small_world.recipients() if recipient.case == "twice_in_roster"]
    assert len(rows) == 2
    assert rows[0].paying_province == rows[1].paying_province


@pytest.mark.parametrize(
    ("seed", "provinces", "people", "field"),
    [
        (-1, 3, 10, "seed"),
        (1, 1, 10, "provinces"),
        (1, 32, 10, "provinces"),
        (1, [330000, 330000], 10, "provinces"),
        (1, [330000, 990000], 10, "provinces"),
        (1, 3, 0, "people"),
        (1, 3, 50_000_000, "people"),
    ],
)
def test_a_world_out_of_bounds_is_refused(seed: int, provinces: int | list[int], people: int, field: str) -> None:
    with pytest.raises(ConfigError) as refused:
        build_world(seed, provinces, people, AS_OF)
    assert refused.value.field == field


def test_a_province_that_is_not_there_is_refused(small_world: World) -> None:
    with pytest.raises(ConfigError):
        small_world.province(540000)
    with pytest.raises(ConfigError):
        small_world.agency(540100)


def test_one_face_is_two_people_of_two_provinces_and_nobody_elses_is(town: World) -> None:
    people = town.people
    rows = people.of("face_shared").tolist()
    assert rows
    for row in rows:
        other = int(people.partner[row])
        assert people.template(row) == people.template(other)
        assert people.number[row] != people.number[other]
        assert people.birth_on[row] == people.birth_on[other]
        assert people.home_province[row] != people.home_province[other]
    assert len({people.template(row) for row in range(len(people))}) == len(people) - len(rows) // 2
