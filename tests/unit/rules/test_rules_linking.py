"""Registrations that belong together, against a slow search by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import RefusedError
from gateway.rules.linking import NO_CODE, Pairs, Repeats, persons, repeats, together
from wugan.federation.v1 import vocabulary_pb2 as words


def codes(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def pairs(*values: tuple[int, int]) -> Pairs:
    return Pairs(np.array([row for row, _ in values], np.intp), codes(*(code for _, code in values)))


def listed(found: Repeats) -> list[tuple[int, int, int]]:
    return list(zip(found.row.tolist(), found.first.tolist(), found.kind.tolist(), strict=True))


def groups(count: int, edges: list[tuple[int, int]]) -> list[int]:
    """The smallest node reached from each, by walking."""
    near: dict[int, set[int]] = {node: {node} for node in range(count)}
    for one, other in edges:
        near[one].add(other)
        near[other].add(one)
    smallest = []
    for node in range(count):
        seen, todo = {node}, [node]
        while todo:
            for further in near[todo.pop()] - seen:
                seen.add(further)
                todo.append(further)
        smallest.append(min(seen))
    return smallest


graphs = st.integers(1, 40).flatmap(
    lambda count: st.tuples(
        st.just(count), st.lists(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)), max_size=60)
    )
)


@given(graphs)
def test_nodes_are_together_exactly_when_a_path_joins_them(graph: tuple[int, list[tuple[int, int]]]) -> None:
    count, edges = graph
    one, other = (np.array([edge[end] for edge in edges], np.intp) for end in (0, 1))
    assert together(count, one, other).tolist() == groups(count, edges)


def test_a_long_chain_is_one_person_whichever_way_it_is_numbered() -> None:
    count = 20_000
    shuffled = np.random.Generator(np.random.PCG64(1)).permutation(count)
    for order in (np.arange(count), np.arange(count)[::-1], shuffled):
        assert not together(count, order[:-1], order[1:]).any()


def test_a_number_that_is_in_no_row_still_joins_those_who_bore_it() -> None:
    found = persons(codes(7, 8, 9), pairs((0, 100), (2, 100)))
    assert found.tolist() == [0, 1, 0]


def test_the_same_number_twice_is_a_repeat_only_where_benefits_exclude_each_other() -> None:
    found = repeats(codes(7, 7, 7), codes(1, 1, 1), codes(1, 2, 1), Pairs.none(), Pairs.none())
    assert listed(found) == [(2, 0, words.DUPLICATE_KIND_TWICE)]


def test_a_person_under_old_and_new_number_is_found() -> None:
    found = repeats(codes(7, 8), codes(1, 1), codes(1, 1), pairs((1, 7)), Pairs.none())
    assert listed(found) == [(1, 0, words.DUPLICATE_KIND_OTHER_NUMBER)]


def test_a_number_under_two_names_is_found_whatever_the_benefits() -> None:
    found = repeats(codes(7, 7, 7), codes(1, 2, NO_CODE), codes(1, 2, 3), Pairs.none(), Pairs.none())
    assert listed(found) == [(1, 0, words.DUPLICATE_KIND_OTHER_NAME)]


def test_one_face_under_two_people_is_found_and_under_one_person_is_none() -> None:
    found = repeats(codes(7, 8, 9), codes(1, 2, 3), codes(1, 2, 3), pairs((1, 7)), pairs((0, 50), (1, 50), (2, 50)))
    assert listed(found) == [(2, 0, words.DUPLICATE_KIND_OTHER_FACE)]


def test_a_row_may_be_found_for_several_reasons_and_once_for_each() -> None:
    faces = pairs((0, 50), (1, 50), (1, 51), (0, 51))
    found = repeats(codes(7, 8), codes(1, 1), codes(1, 1), Pairs.none(), faces)
    assert listed(found) == [(1, 0, words.DUPLICATE_KIND_OTHER_FACE)]
    linked = repeats(codes(7, 7, 8), codes(1, 2, 1), codes(1, 1, 1), pairs((2, 7)), Pairs.none())
    assert listed(linked) == [
        (1, 0, words.DUPLICATE_KIND_TWICE),
        (1, 0, words.DUPLICATE_KIND_OTHER_NAME),
        (2, 0, words.DUPLICATE_KIND_OTHER_NUMBER),
    ]


def test_nobody_is_nobody() -> None:
    none = codes()
    assert len(repeats(none, none, none, Pairs.none(), Pairs.none())) == 0


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(RefusedError, match="name"):
        repeats(codes(1), codes(), codes(1), Pairs.none(), Pairs.none())


small = st.integers(0, 5)
rosters = st.lists(st.tuples(small, st.integers(-1, 3), st.integers(0, 2)), max_size=12)


@given(rosters, st.data())
def test_repeats_are_those_that_a_search_row_by_row_finds(
    rows: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    index = st.integers(0, max(0, len(rows) - 1))
    sparse = st.lists(st.tuples(index, st.integers(0, 8)), max_size=8) if rows else st.just([])
    links, faces = data.draw(sparse), data.draw(sparse)
    columns = [codes(*(row[at] for row in rows)) for at in range(3)]
    found = set(listed(repeats(*columns, pairs(*links), pairs(*faces))))

    edges = [(row, len(rows) + number) for row, (number, _, _) in enumerate(rows)]
    edges += [(row, len(rows) + number) for row, number in links]
    person = groups(len(rows) + 9, edges)
    expected: set[tuple[int, int, int]] = set()

    def first(later: int, kind: int, fits: list[int]) -> None:
        if fits and fits[0] < later:
            expected.add((later, fits[0], kind))

    for later, (number, name, exclusion) in enumerate(rows):
        same = [row for row in range(len(rows)) if person[row] == person[later] and rows[row][2] == exclusion]
        first(
            later, words.DUPLICATE_KIND_TWICE if rows[same[0]][0] == number else words.DUPLICATE_KIND_OTHER_NUMBER, same
        )
        named = [row for row in range(len(rows)) if rows[row][0] == number and rows[row][1] != NO_CODE]
        if name != NO_CODE and name != rows[named[0]][1]:
            first(later, words.DUPLICATE_KIND_OTHER_NAME, named)
        for template in sorted(face for row, face in faces if row == later):
            lowest = min(row for row, face in faces if face == template)
            if person[lowest] != person[later]:
                expected.add((later, lowest, words.DUPLICATE_KIND_OTHER_FACE))
                break
    assert found == expected
