"""Whom to ask about each person of a roster: in columns, the same as for one (`gateway.federation.routing`).

Owns: routing each different combination of places once. A place that nobody serves is no fault of the file: the person
is named with the refusal, and nobody is asked. Refuses: routing rules.
"""

from __future__ import annotations

from typing import Any, Final

import polars as pl

from gateway.errors import RefusedError
from gateway.federation.directory import Directory
from gateway.federation.routing import Places, route
from wugan.federation.v1 import vocabulary_pb2 as words

SEPARATOR: Final = ";"
_PLACES: Final = ("residence", "insured", "past", "household")


class Planner:
    """Routes rows by one directory.

    Args:
        directory: that of the moment at which the roster is cut.
        own_id: this member.
        max_members: asked about one person at most.
        ask_about_home: people whom the file has in this member's own province are asked about in all others.
    """

    def __init__(self, directory: Directory, own_id: str, max_members: int, *, ask_about_home: bool) -> None:
        self._directory = directory
        self._own_id = own_id
        self._max_members = max_members
        self._ask_about_home = ask_about_home
        self._known: dict[Any, tuple[str, int]] = {}

    def plan(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with `members`, ids joined by ";", and `refusal`, a RefusalReason, where nobody may be asked."""
        places = pl.struct(*_PLACES).alias("places")
        unique = rows.select(places).unique()
        found = [self._route(each) for each in unique["places"].to_list()]
        table = unique.with_columns(
            pl.Series("members", [members for members, _ in found], pl.String),
            pl.Series("refusal", [refusal for _, refusal in found], pl.Int16),
        )
        planned = rows.with_columns(places).join(table, on="places", how="left", maintain_order="left")
        return planned.drop("places")

    def _route(self, given: dict[str, Any]) -> tuple[str, int]:
        key = tuple(tuple(part) if isinstance(part, list) else part for part in given.values())
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._asked(
                Places(tuple(given["residence"]), given["insured"] or 0, tuple(given["past"]), given["household"] or 0)
            )
        return known

    def _asked(self, places: Places) -> tuple[str, int]:
        try:
            return SEPARATOR.join(route(self._directory, self._own_id, places, self._max_members)), 0
        except RefusedError as error:
            if self._ask_about_home and error.reason == words.REFUSAL_REASON_NOT_SERVED and places.residence:
                return self._asked(Places((), places.insured, places.past, places.household))
            return "", error.reason
