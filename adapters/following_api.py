"""Following an interface: of whom it says that it has something new.

Owns: the one request of a look, and where the next goes on: at the interface's own cursor, or from the time up to which
was read. Rows that a look from a time brings again are remembered, in memory and within bounds. Refuses: HTTP
(`adapters.http`) and the meaning of rows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import cast
from zoneinfo import ZoneInfo

from yarl import URL

from adapters.contract import MAX_CURSOR_BYTES, Changed
from adapters.errors import SourceFaultError
from adapters.following import MAX_REMEMBERED, People
from adapters.http import Answer, Client, Request, filled
from adapters.manifest.fields import EPOCH_MS, EPOCH_S, ISO
from adapters.manifest.following import ApiChanges
from adapters.manifest.model import ApiManifest
from adapters.paths import Json, PathError, columns_of, field_of, rows_of
from adapters.values import text_of

_NEAR_MS = 5_000
_FAR_MS = 86_400_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ApiFollower:
    """Follows the operation `changes` of an interface.

    Args:
        manifest: of kind `api`.
        settings: its `changes`.
        client: of the interface.
        now_ms: Unix time in milliseconds.
    """

    def __init__(self, manifest: ApiManifest, settings: ApiChanges, client: Client, now_ms: Callable[[], int]) -> None:
        self._adapter_id = manifest.adapter_id
        self._base = manifest.source.base_url
        self._zone = ZoneInfo(manifest.timezone)
        self._settings = settings
        self._client = client
        self._now_ms = now_ms
        identity = settings.identity or manifest.identity
        self._columns = [identity.column, *([identity.name] if identity.name else [])]
        self._seen: dict[bytes, int] = {}
        self._before: tuple[int, list[bytes]] = (0, [])
        self._behind_ms = 0
        self._counted_ms: int | None = None

    async def read(self, cursor: bytes, limit: int) -> Changed:
        """See `ChangeFeed.changes`; one request. Call it within a deadline.

        Raises:
            SourceDownError, SourceFaultError: as `Client.fetch`; the answer has not the shape of the manifest, or the
                cursor is none of this adapter's.
        """
        size = min(self._settings.size, limit)
        if self._settings.style == "cursor":
            return await self._by_cursor(cursor, size)
        return await self._since(cursor, size)

    async def _by_cursor(self, cursor: bytes, size: int) -> Changed:
        settings = self._settings
        at = self._text(cursor) if cursor else settings.first
        answer = await self._client.fetch(self._request({"$cursor": at, "$size": size}))
        rows = self._rows(answer)
        following = at if answer.nobody else text_of(field_of(answer.body, settings.next or ".")) or at
        told = People()
        if cursor:
            self._tell(told, rows)
        written = b"c" + following.encode()
        if len(written) > MAX_CURSOR_BYTES:
            raise self._shape("next")
        return told.changed(written, more=following != at and self._more(answer, rows, size))

    async def _since(self, cursor: bytes, size: int) -> Changed:
        now = self._now_ms()
        if not cursor:
            return Changed([], [], self._written(now, now, self._settings.first_page, 0))
        since, until, page, turn = self._moment(cursor)
        if self._counted_ms is None:
            page = self._settings.first_page  # what the pages before were counted from is not known any more
        if page == self._settings.first_page:
            until = max(now, since)
        answer = await self._page(since, page, size)
        rows = self._rows(answer)
        people = People()
        turn = self._add(people, rows, turn, page)
        if self._more(answer, rows, size):
            return people.changed(self._written(since, until, page + 1, turn), more=True)
        return people.changed(self._written(until, until, self._settings.first_page, turn), more=False)

    async def _page(self, since: int, page: int, size: int) -> Answer:
        """One page of what is new since a moment of our clock, told as one of theirs: they may be behind."""
        first = page == self._settings.first_page
        while True:
            # All pages of a look count from the same moment.
            counted = self._counted_ms = self._behind_ms if first else self._counted_ms or 0
            told = self._told(since - self._settings.overlap_s * 1000 - counted)
            answer = await self._client.fetch(self._request({"$since": told, "$page": page, "$size": size}))
            if first:
                self._behind_ms = _behind(answer.date, self._now_ms())
            if not first or self._behind_ms <= counted + _NEAR_MS:
                return answer

    def _request(self, places: dict[str, object]) -> Request:
        settings = self._settings
        url = URL(self._base + settings.path, encoded=True)
        query = {key: filled(value, places, ",") for key, value in settings.query.items()}
        if query:
            url = url.with_query({key: str(value) for key, value in query.items() if value is not None})
        return Request(settings.method, url, filled(settings.body, places, ","))

    def _rows(self, answer: Answer) -> list[tuple[Json, Json]]:
        if answer.nobody:
            return []
        try:
            return list(rows_of(answer.body, self._settings.rows))
        except PathError as error:
            raise self._shape(str(error)) from error

    def _add(self, people: People, rows: list[tuple[Json, Json]], turn: int, page: int) -> int:
        """Put the people of rows together; where looks overlap, without the rows dealt with before a cursor's turn.

        Returns:
            The turn of the cursors that come after.
        """
        marks = [hashlib.blake2b(json.dumps(row).encode(), digest_size=16).digest() for row, _ in rows]
        if len(marks) > 1 and (page - 1, marks) == self._before:
            raise self._shape("the same page again")  # it would never end
        self._before = page, marks
        new = [at for at, mark in enumerate(marks) if self._seen.get(mark, turn + 1) > turn]
        if len(self._seen) + len(new) > MAX_REMEMBERED:
            self._seen.clear()
        self._seen.update((marks[at], turn + 1) for at in new)
        self._tell(people, [rows[at] for at in new])
        return turn + 1 if new else turn

    def _tell(self, people: People, rows: list[tuple[Json, Json]]) -> None:
        if not rows:
            return
        try:
            columns = columns_of(rows, self._columns)
        except PathError as error:
            raise self._shape(str(error)) from error
        names = columns[1] if len(columns) > 1 else [""] * len(rows)
        for number, name in zip(columns[0], names, strict=True):
            people.add(number, name)

    def _more(self, answer: Answer, rows: list[tuple[Json, Json]], size: int) -> bool:
        if answer.nobody:
            return False
        if self._settings.more is not None:
            return text_of(field_of(answer.body, self._settings.more)).lower() in {"true", "1"}
        return len(rows) >= size

    def _told(self, at_ms: int) -> object:
        form = self._settings.form
        if form == EPOCH_MS:
            return at_ms
        if form == EPOCH_S:
            return at_ms // 1000
        moment = (_EPOCH + timedelta(milliseconds=at_ms)).astimezone(self._zone)
        return moment.isoformat(timespec="seconds") if form == ISO else moment.strftime(form)

    @staticmethod
    def _written(since: int, until: int, page: int, turn: int) -> bytes:
        return f"s{since}:{until}:{page}:{turn}".encode()

    def _moment(self, cursor: bytes) -> tuple[int, int, int, int]:
        parts = self._text(cursor).split(":")
        if len(parts) == 3:  # as it was written before there were turns
            parts.append("0")
        if len(parts) != 4 or not all(part.isascii() and part.isdigit() and len(part) < 17 for part in parts):
            raise self._foreign()
        return cast("tuple[int, int, int, int]", tuple(int(part) for part in parts))

    def _text(self, cursor: bytes) -> str:
        """The cursor without the letter of its style."""
        try:
            text = cursor.decode()
        except UnicodeDecodeError as error:
            raise self._foreign() from error
        if text[0] != self._settings.style[0]:
            raise self._foreign()
        return text[1:]

    def _foreign(self) -> SourceFaultError:
        name = self._adapter_id
        return SourceFaultError(f"{name}: the cursor is none of this adapter's", f"{name}：游标不属于该接入")

    def _shape(self, where: str) -> SourceFaultError:
        name = self._adapter_id
        return SourceFaultError(
            f"{name}: the answer for the changes has not the shape of the manifest ({where})",
            f"{name}：变化查询的应答结构与清单不符（{where}）",
        )


def _behind(date: str, now_ms: int) -> int:
    """By how much the clock of whoever sent this Date header is behind ours, a day at most; 0 if it does not tell."""
    try:
        told_ms = (parsedate_to_datetime(date) - _EPOCH) // timedelta(milliseconds=1)
    except (ValueError, TypeError, OverflowError):
        return 0
    return min(max(0, now_ms - told_ms), _FAR_MS)
