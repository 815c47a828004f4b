"""Which page of an interface's answer is asked for next, and whether all of them came.

Owns: going on by number, cursor or link, and holding what came against what the interface said of it. Refuses: part of
an answer: pages that do not come to the total told, a full page beside a total that is none, and the same page again
(an interface that does not look at the number) are faults. HTTP is not its affair.
"""

from __future__ import annotations

from adapters.http import Answer
from adapters.manifest.sources import Paging
from adapters.paths import Json, field_of
from adapters.values import text_of

_MORE = frozenset({"true", "1", "y", "yes"})
_NO_MORE = frozenset({"false", "0", "n", "no", ""})
"""Where there is no more, many leave the field out."""


class PagingError(Exception):
    """The pages do not make a whole; says why, never a value."""


class Turn:
    """Which page is asked for: before the first request, and after each answer.

    Args:
        paging: None where the first answer is all.

    Attributes:
        number: of the page asked for, from 1.
        page: the same as the interface counts.
        cursor, link: of the page asked for, by style.
        awaits_more: whether the interface said that there is a page after those that came.
    """

    def __init__(self, paging: Paging | None) -> None:
        self._paging = paging
        self._rows = 0
        self._told: int | None = None
        self._before: list[Json] = []
        self.number = 1
        self.page = paging.first if paging else 0
        self.cursor: str | None = None
        self.link = ""
        self.awaits_more = False

    def next(self, answer: Answer, entries: list[Json]) -> bool:
        """Move to the next page; False when this was the last.

        Args:
            answer: this page.
            entries: its rows.

        Raises:
            PagingError: see the module.
        """
        paging = self._paging
        if paging is None:
            return False
        self.number += 1
        self._rows += len(entries)
        self.page += 1
        if paging.style == "page":
            # Of a single row another one may well be just the same.
            if len(entries) > 1 and entries == self._before:
                raise PagingError("the same page again")
            self._before = entries
            return self._more(paging, answer.body, len(entries))
        after = answer.next_link if paging.next == "header" else text_of(field_of(answer.body, paging.next or "."))
        self.awaits_more = bool(after)
        if paging.style == "cursor":
            same, self.cursor = after == self.cursor, after
            # Some interfaces go on naming their last cursor: with no rows, that is the end.
            return bool(after) and not (same and not entries)
        self.link = after
        return bool(after)

    def _more(self, paging: Paging, body: Json, count: int) -> bool:
        if paging.more is not None:
            said = text_of(field_of(body, paging.more)).lower()
            if said not in _MORE and said not in _NO_MORE:
                raise PagingError(f"{paging.more}: neither yes nor no")
            # Some say always that there is more: a page without rows is the end.
            self.awaits_more = said in _MORE and count > 0
            return self.awaits_more
        place = paging.total or paging.pages
        if place is None:
            return count >= paging.size
        told = _count(field_of(body, place))
        if told is not None:
            self._told = told
        full = count >= paging.size
        if self._told is None:
            if full:
                raise PagingError(f"{place}: no number")
            return False
        if paging.pages is not None:
            self.awaits_more = self.number <= self._told
            if full and self._told < 1:
                raise PagingError(f"{place}: less than came")
            return self.awaits_more
        self.awaits_more = self._rows < self._told
        if (self.awaits_more and not count) or (full and self._rows > self._told):
            raise PagingError(f"{place}: not what came")
        return self.awaits_more


def _count(value: Json) -> int | None:
    """A number of rows or pages; None where it is none."""
    text = text_of(value)
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 12 else None
