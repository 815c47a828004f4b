"""Rows in JSON answers: what is no rows, and what is no answer."""

from __future__ import annotations

import pytest

from adapters.paths import PathError, rows_of


@pytest.mark.parametrize("path", [".", "data.list"])
def test_a_null_in_place_of_the_whole_answer_is_no_answer(path: str) -> None:
    with pytest.raises(PathError):
        list(rows_of(None, path))


@pytest.mark.parametrize(
    ("answer", "path", "rows"),
    [
        ({"list": None}, "list", []),
        ({"data": {"list": []}}, "data.list", []),
        ({"list": {"a": 1}}, "list", [{"a": 1}]),
        ([{"a": 1}, {"a": 2}], ".", [{"a": 1}, {"a": 2}]),
        ({"people": [{"visits": [{"a": 1}]}, {"visits": []}]}, "people[].visits", [{"a": 1}]),
    ],
)
def test_rows_are_found_where_the_path_leads(answer: object, path: str, rows: list[object]) -> None:
    assert [row for row, _ in rows_of(answer, path)] == rows  # type: ignore[arg-type]


@pytest.mark.parametrize(("answer", "path"), [({}, "list"), ({"list": 5}, "list"), ([1], "."), ({"list": [1]}, "list")])
def test_a_path_that_leads_elsewhere_is_an_error(answer: object, path: str) -> None:
    with pytest.raises(PathError):
        list(rows_of(answer, path))  # type: ignore[arg-type]
