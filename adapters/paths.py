"""Dotted paths into a JSON answer: to a field, and to the list of rows with the object around it.

Owns: `a.b.0.c` for fields, `a.people[].visits` for nested lists, `^field` for the object around a row.
Refuses: anything cleverer; an interface that needs it is better wrapped in a program behind the adapter contract.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


class PathError(Exception):
    """The answer does not have the shape that the path says; names the path, never a value."""


def field_of(value: Json, path: str) -> Json:
    """The value at a path; None where any part of it is not there."""
    if path == ".":
        return value
    for part in path.split("."):
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def rows_of(answer: Json, path: str) -> Iterator[tuple[Json, Json]]:
    """The rows at a path, each with the object that holds their list.

    A null in place of a list is no rows, a single object is one row. A null in place of the whole answer is no answer.

    Raises:
        PathError: the path leads to nothing, or to something else.
    """
    if answer is None:
        raise PathError(path)
    if path == ".":
        yield from _each(answer, None, path)
        return
    *outer, last = path.split("[].")
    parents: list[Json] = [answer]
    for part in outer:
        parents = [inner for parent in parents for inner, _ in _each(_at(parent, part, path), parent, path)]
    for parent in parents:
        holder, _, name = last.rpartition(".")
        around = _at(parent, holder, path) if holder else parent
        if around is None:
            continue
        yield from _each(_at(around, name.removesuffix("[]"), path), around, path)


def _at(value: Json, path: str, whole: str) -> Json:
    for part in path.split("."):
        if value is None:
            return None
        if not isinstance(value, dict) or part not in value:
            raise PathError(whole)
        value = value[part]
    return value


def _each(value: Json, around: Json, path: str) -> Iterator[tuple[Json, Json]]:
    if value is None:
        return
    if isinstance(value, dict):
        yield value, around
    elif isinstance(value, list):
        for row in value:
            if not isinstance(row, dict):
                raise PathError(path)
            yield row, around
    else:
        raise PathError(path)


def columns_of(rows: Sequence[tuple[Json, Json]], names: Sequence[str]) -> list[list[object]]:
    """The named fields of rows as columns of scalars.

    Raises:
        PathError: a field holds a list or an object.
    """
    columns: list[list[object]] = []
    for name in names:
        if name.startswith("^"):
            column = [field_of(around, name[1:]) for _, around in rows]
        elif "." in name:
            column = [field_of(row, name) for row, _ in rows]
        else:
            column = [row.get(name) if isinstance(row, dict) else None for row, _ in rows]
        if any(isinstance(value, (dict, list)) for value in column):
            raise PathError(name)
        columns.append([*column])
    return columns


def absent_of(rows: Sequence[tuple[Json, Json]], names: Sequence[str]) -> list[str]:
    """The named fields that stand in none of the rows; one that is null stands there."""
    return [
        name for name in names if not any(_stands(around if name[:1] == "^" else row, name) for row, around in rows)
    ]


def _stands(value: Json, name: str) -> bool:
    holder, dot, last = name.removeprefix("^").rpartition(".")
    within = field_of(value, holder) if dot else value
    if isinstance(within, list):
        return last.isdecimal() and int(last) < len(within)
    return isinstance(within, dict) and last in within


def entries_of(answer: Json, path: str) -> list[Json]:
    """The entries of the (outermost) list at a path: what an interface counts as rows of a page.

    A null in place of a list is none, a single object is one.

    Raises:
        PathError: the path leads to nothing.
    """
    first = path.split("[].", maxsplit=1)[0].removesuffix("[]")
    value = answer if path == "." else _at(answer, first, path)
    return value if isinstance(value, list) else [] if value is None else [value]
