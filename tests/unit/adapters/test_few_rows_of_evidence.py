"""A few rows of evidence given as lists are the same evidence as in arrays, to whoever asks for either."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from adapters.asked import Asked
from adapters.contract import Evidence, Holders, Lookup, Subjects
from adapters.gathering import Gathering
from adapters.mapping import Mapped
from adapters.wanted import FEW
from tests.unit.adapters.test_gathered_rows import MAPPER, block
from wugan.adapter.v1 import vocabulary_pb2 as words

LISTS = [[10 * column + row for row in range(3)] for column in range(len(Evidence.INTEGER_COLUMNS))]
REFERENCES = ["a", "b", "c"]


def few() -> Evidence:
    return Evidence.of_few(LISTS, REFERENCES)


def in_arrays() -> Evidence:
    arrays = {name: np.array(column, np.int32) for name, column in zip(Evidence.INTEGER_COLUMNS, LISTS, strict=True)}
    return Evidence(**arrays, source_reference=REFERENCES)


def cells(evidence: Evidence) -> list[list[int]]:
    """What stands in the arrays, each of which has the type of the contract."""
    arrays = [getattr(evidence, name) for name in Evidence.INTEGER_COLUMNS]
    assert {array.dtype for array in arrays} == {np.dtype(np.int32)}
    return [array.tolist() for array in arrays]


def test_lists_and_arrays_are_had_of_either() -> None:
    for evidence in (few(), in_arrays()):
        assert cells(evidence) == evidence.lists() == [list(column) for column in evidence.columns()] == LISTS
        assert len(evidence) == 3
        assert list(evidence.source_reference) == REFERENCES
        assert evidence.to_message() == in_arrays().to_message()


def test_no_array_is_made_before_one_is_asked_for() -> None:
    evidence = few()
    assert evidence.lists() is evidence.columns() is LISTS
    assert len(evidence) == 3
    made = Evidence.__dict__["kind"]  # the slot itself, past what fills it
    with pytest.raises(AttributeError):
        made.__get__(evidence)
    assert evidence.region.tolist() == LISTS[3]
    assert made.__get__(evidence).tolist() == LISTS[1]


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))])
def test_what_is_copied_stays_the_same(again: Callable[[Evidence], Evidence]) -> None:
    assert cells(again(few())) == again(few()).lists() == LISTS


def test_a_changed_column_is_changed_in_the_lists_too() -> None:
    for evidence in (few(), in_arrays()):
        evidence.lists()
        changed = replace(evidence, subject=np.array([7, 8, 9], np.int32))
        assert changed.lists() == cells(changed) == [[7, 8, 9], *LISTS[1:]]
        assert evidence.take(np.array([2, 0])).lists() == [[column[2], column[0]] for column in LISTS]
        assert Evidence.concatenate([evidence, evidence]).lists() == [[*column, *column] for column in LISTS]


def test_whose_rows_are_is_had_of_a_list_and_of_an_array() -> None:
    rows = [3, 0, 3]
    others = ["n"] * 3, ["甲"] * 3
    for held in (Holders.of_few(rows, *others), Holders(np.array(rows, np.int32), *others)):
        for _ in range(2):
            assert (len(held), held.rows(), held.subject.tolist()) == (3, rows, rows)
            assert held.subject.dtype == np.int32
            assert (held.held_id_number, held.held_name) == others
        changed = replace(held, subject=np.array([1, 2, 4], np.int32))
        assert (len(changed), changed.rows(), changed.subject.tolist()) == (3, [1, 2, 4], [1, 2, 4])
        with pytest.raises(AttributeError, match="colour"):
            held.colour  # type: ignore[attr-defined]  # noqa: B018
    assert (len(Holders()), Holders().rows()) == (0, [])
    held = Holders.of_few(rows, *others)
    assert (held.rows(), len(held)) == (rows, 3)
    with pytest.raises(AttributeError):  # no array was made yet
        Holders.__dict__["subject"].__get__(held)


@pytest.mark.parametrize("people", [1, FEW, FEW + 1])
@pytest.mark.parametrize("aliases", [0, 1])
def test_gathered_holders_are_the_same_however_many_they_are(people: int, aliases: int) -> None:
    numbers, further = [f"110101195001{at:06}" for at in range(people)], ["110101195002021234"] * aliases
    asked = Subjects(numbers, ["甲"] * people, [0] * aliases, further)
    gathering = Gathering(Lookup(asked), Asked(asked), words.DEPARTMENT_HEALTH)
    positions = [*range(people + aliases)]
    names = [f"甲{position}" for position in positions]
    gathering.add(MAPPER, positions, Mapped(holder_row=positions, name=names))
    held, rows = gathering.found().holders, [*range(people), *[0] * aliases]
    assert (held.subject.tolist(), held.rows()) == (rows, rows)
    assert (list(held.held_id_number), list(held.held_name)) == ([*numbers, *further], names)


def test_another_name_is_no_column() -> None:
    for evidence in (few(), in_arrays()):
        with pytest.raises(AttributeError, match="colour"):
            evidence.colour  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize("rows", [1, FEW, FEW + 1])
@pytest.mark.parametrize("aliases", [(), (0,)])
def test_a_gathered_block_says_the_same_however_many_rows_it_has(rows: int, aliases: tuple[int, ...]) -> None:
    people = Subjects(["110101195001011234"], ["甲"], aliases, ["110101195002021234"] * len(aliases))
    gathering = Gathering(Lookup(people), Asked(people), words.DEPARTMENT_HEALTH)
    kinds = [*range(rows)]
    gathering.add(MAPPER, [len(aliases)] * rows, block(kinds, kinds))  # the further number stands after the first
    found = gathering.found().evidence
    said = [[0] * rows, kinds, [words.DEPARTMENT_HEALTH] * rows]
    said += [[first + kind for kind in kinds] for first in (110_000, 20_000, 20_100)]
    said += [[1] * rows, *([first + kind for kind in kinds] for first in (30, 40, 50))]
    assert cells(found) == found.lists() == said
    assert list(found.source_reference) == [f"b{kind}" for kind in kinds]
