"""Whose row is it: numbers in the spellings of the source, and nobody else's record."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.asked import Asked, normal, spellings
from adapters.contract import Subjects
from adapters.errors import SourceFaultError
from tests.unit.adapters.adapters_world import ANNA, BO, CHEN, ENDING_IN_X, number


def test_a_fifteen_digit_number_becomes_eighteen() -> None:
    # The specimen of GB 11643-1999: 110105 491231 002 is 11010519491231002X.
    assert normal("110105491231002") == "11010519491231002X"
    assert normal(" 11010519491231002x ") == "11010519491231002X"


def test_a_source_is_asked_in_the_forms_it_may_hold() -> None:
    assert spellings("11010519491231002X", ["legacy_15", "lower_x"]) == [
        "11010519491231002X",
        "11010519491231002x",
        "110105491231002",
    ]
    assert spellings("110105200412310026", ["legacy_15"]) == ["110105200412310026"]
    assert spellings("H12345678", ["legacy_15", "lower_x"]) == ["H12345678"]


def test_a_column_wider_than_the_number_is_asked_with_blanks() -> None:
    assert spellings("110105200412310026", ["padded_20"]) == ["110105200412310026", "110105200412310026  "]
    assert spellings("H12345678", ["padded_18"]) == ["H12345678", "H12345678" + " " * 9]
    assert spellings("110105200412310026", ["padded_18"]) == ["110105200412310026"]
    assert spellings("11010519491231002X", ["padded_18", "padded_19", "legacy_15"]) == [
        "11010519491231002X",
        "110105491231002",
        "110105491231002   ",
        "11010519491231002X ",
        "110105491231002    ",
    ]


@given(st.builds("{:06}{:%y%m%d}{:03}".format, st.integers(110000, 829999), st.dates(), st.integers(0, 999)))
def test_upgrading_a_number_and_asking_in_the_old_form_is_a_round_trip(old: str) -> None:
    assert old in spellings(normal(old), ["legacy_15"])


def test_rows_are_found_in_any_spelling() -> None:
    asked = Asked(Subjects([ENDING_IN_X, BO], ["a", "b"]))
    assert asked.find([ENDING_IN_X.lower(), BO, ENDING_IN_X, f" {BO} "], "s") == [0, 1, 0, 1]


def test_the_same_person_twice_is_asked_once() -> None:
    asked = Asked(Subjects([ANNA, BO, ANNA], ["a", "b", "a"], [1], [CHEN]))
    assert asked.values(()) == [ANNA, BO, CHEN]
    assert asked.rows == [[0, 2], [1], [1]]


@pytest.mark.parametrize("strange", [CHEN, None, "", 17, 3.5])
def test_somebody_elses_record_is_a_fault_that_tells_no_number(strange: object) -> None:
    asked = Asked(Subjects([ANNA], ["a"]))
    with pytest.raises(SourceFaultError) as caught:
        asked.find([ANNA, strange], "visits")
    assert "visits" in caught.value.en
    assert CHEN not in caught.value.en + caught.value.zh


@settings(deadline=None)
@given(st.lists(st.sampled_from([ANNA, BO, ENDING_IN_X, "ABCDEFGHIJKLMNOPQX", "H1234567"]), min_size=1))
def test_a_column_is_found_as_its_values_are(numbers: list[str]) -> None:
    asked = Asked(Subjects(numbers, [""] * len(numbers), [0], [number(9)]))
    for forms in ((), ("lower_x",), ("legacy_15", "lower_x"), ("padded_20",), ("legacy_15", "padded_19", "padded_22")):
        assert sorted(set(asked.values(forms))) == sorted(set(asked.column(forms).to_list()))
        values = [
            spelt for each in asked.numbers for spelt in (each, each.lower(), f" {each}\u3000", *spellings(each, forms))
        ]
        for value in values:
            try:
                wanted: object = asked.find([value], "x")
            except SourceFaultError:
                wanted = None
            try:
                found: object = asked.find_column(pl.Series([value]), forms, "x").tolist()
            except SourceFaultError:
                found = None
            assert found == wanted, value


@given(st.lists(st.integers(0, 4), min_size=1), st.lists(st.integers(0, 30)))
def test_positions_are_spread_over_the_rows_they_stand_for(serials: list[int], chosen: list[int]) -> None:
    asked = Asked(Subjects([number(serial) for serial in serials], [""] * len(serials), [0], [number(9)]))
    positions = [each % len(asked.numbers) for each in chosen]
    rows, source = asked.spread(np.array(positions, np.int32))
    assert source is not None
    assert asked.rows is not None
    assert rows.tolist() == [row for position in positions for row in asked.rows[position]]
    assert source.tolist() == [at for at, position in enumerate(positions) for _ in asked.rows[position]]


class Number(str):
    """A number whose end can be noticed."""

    __slots__ = ("__weakref__",)


def test_people_are_forgotten_with_their_question_and_not_when_the_collector_comes() -> None:
    gc.disable()
    try:
        numbers = [Number(ANNA), Number(BO)]
        noticed = [weakref.ref(number) for number in numbers]
        subjects = Subjects(numbers, ["安娜", "博"])
        assert Asked.of(subjects) is Asked.of(subjects)
        assert Asked.of(subjects).trimmed_names.to_list() == ["安娜", "博"]
        del numbers, subjects
        assert [each() for each in noticed] == [None, None]
    finally:
        gc.enable()
