"""A few rows of evidence given as lists are the same evidence as in arrays, to whoever asks for either."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from adapters.asked import Asked
from adapters.contract import Evidence, Lookup, Subjects
from adapters.gathering import Gathering
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
