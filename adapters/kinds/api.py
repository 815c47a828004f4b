"""The kind `api`: a department with an HTTP interface.

Owns: which requests a question needs (as many as the batch size asks for and no more), and where the rows stand in the
answers. Refuses: HTTP (`adapters.http`), when the last page came (`adapters.paging`) and the meaning of rows
(`adapters.mapping`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias
from urllib.parse import quote

from yarl import URL

from adapters.asked import Asked, normal
from adapters.contract import Changed, Description, Found, Lookup, Subjects
from adapters.errors import SourceFaultError
from adapters.following_api import ApiFollower
from adapters.gathering import Gathering
from adapters.http import Answer, Client, Request, filled, same_origin
from adapters.kinds.common import Clock, complete_until, day_before, report, too_late
from adapters.lacking import Wanting, shown, told, wanting
from adapters.manifest.model import ApiManifest
from adapters.manifest.sources import Endpoint
from adapters.mapping import LinkMapper, Mapper
from adapters.paging import PagingError, Turn
from adapters.paths import Json, PathError, absent_of, columns_of, entries_of, field_of, rows_of
from adapters.values import DateReader, text_of
from adapters.xml_answers import escape

MAX_ROWS = 1_000_000
"""Rows of one lookup in one record set."""
_IN_THREAD_FROM = 256
"""The rows of so many people are not mapped in the event loop."""

Row: TypeAlias = tuple[Json, Json]

_NOBODY = normal("110101000101000")
"""A well-formed number that is nobody's: the serial number 000 is not issued (GB 11643-1999, 4.3). For checks."""


@dataclass(frozen=True, slots=True)
class _Place:
    """One record set or the links: its endpoint, the mapper, and the fields it needs."""

    name: str
    endpoint: Endpoint
    mapper: Mapper | LinkMapper
    wanting: Wanting


class ApiAdapter:
    """An adapter over an HTTP interface.

    Args:
        manifest: of kind `api`.
        now_ms: Unix time in milliseconds.

    Raises:
        ManifestError: a secret or a certificate is missing or wrong.
    """

    def __init__(self, manifest: ApiManifest, now_ms: Clock) -> None:
        self._manifest = manifest
        self._description = manifest.description()
        self._now_ms = now_ms
        self._client = Client(manifest, now_ms)
        self._is_xml = manifest.source.format == "xml"
        self._base = URL(manifest.source.base_url, encoded=True)
        self._places = [_Place(r.name, r.endpoint, Mapper(manifest, r), wanting(manifest, r)) for r in manifest.records]
        if manifest.links is not None:
            links = manifest.links
            self._places.append(_Place("links", links.endpoint, LinkMapper(manifest, links), wanting(manifest, links)))
        followed = manifest.changes
        self._follower = None if followed is None else ApiFollower(manifest, followed, self._client, now_ms)
        setting = manifest.complete_until
        self._complete_date = setting.date if setting else None
        self._complete_of = setting.of if setting else None
        self._complete_reader = DateReader(setting.date, manifest.timezone) if setting and setting.date else None

    def describe(self) -> Description:
        """What it offers."""
        return self._description

    async def lookup(self, question: Lookup) -> Found:
        """What the interface knows about the people of the question; see `Adapter`."""
        asked = Asked(question.subjects)
        gathering = Gathering(question, asked, self._manifest.department)
        parts: list[tuple[_Place, list[str]]] = []
        for place in self._places:
            values = asked.values(place.mapper.forms)
            size = place.endpoint.ids_per_request
            parts += [(place, values[start : start + size]) for start in range(0, len(values), size)]
        tasks = [asyncio.ensure_future(self._part(place, values)) for place, values in parts]
        try:
            async with asyncio.timeout(min(question.deadline_s, self._time_s(len(question.subjects), len(parts)))):
                answers = await asyncio.gather(*tasks)
        except TimeoutError:
            raise too_late(self._manifest.adapter_id) from None
        finally:
            for task in tasks:
                task.cancel()
        complete = [day for _, day in answers if day is not None]

        def found() -> Found:
            for (place, _), (rows, _) in zip(parts, answers, strict=True):
                self._add(gathering, place, rows)
            report(self._manifest.adapter_id, gathering)
            return gathering.found(self._complete_until(complete))

        if len(question.subjects) < _IN_THREAD_FROM:
            return found()
        return await asyncio.to_thread(found)  # others must not wait until the rows of thousands are mapped

    async def changes(self, cursor: bytes, limit: int) -> Changed:
        """Of whom the interface says that it has something new; see `ChangeFeed`."""
        if self._follower is None:
            return Changed([], [], cursor)
        try:
            async with asyncio.timeout(self._manifest.timeout_s):
                return await self._follower.read(cursor, limit)
        except TimeoutError:
            raise too_late(self._manifest.adapter_id) from None

    async def check(self) -> None:
        """Return when every endpoint answers in shape, asked about a number that is nobody's."""
        await self.lookup(Lookup(Subjects([_NOBODY], [""]), deadline_s=self._manifest.timeout_s))
        await self.changes(b"", 1)

    async def any_number(self) -> str:
        """Nothing: an interface tells only about those it is asked about."""
        return ""

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    def _time_s(self, people: int, requests: int) -> float:
        """How long a lookup may take: about many people it is many requests, of which so many are made at once."""
        if people < _IN_THREAD_FROM:
            return self._manifest.timeout_s
        return self._manifest.timeout_s * max(1, -(-requests // self._manifest.concurrency))

    def _add(self, gathering: Gathering, place: _Place, rows: Sequence[Row]) -> None:
        if not rows:
            return
        try:
            columns = columns_of(rows, place.mapper.columns)
        except PathError as error:
            raise self._not_at(place, error) from error
        try:
            if isinstance(place.mapper, LinkMapper):
                gathering.add_links(place.mapper, columns)
            else:
                gathering.add_rows(place.mapper, columns)
        except SourceFaultError as error:
            # An interface may leave out what it does not know, so that it is told only where something is wrong.
            absent = absent_of(rows, place.mapper.columns)
            if not absent:
                raise
            en, zh = told(absent, place.wanting)
            raise SourceFaultError(f"{error.en}; no row has {en}", f"{error.zh}；各行均无 {zh}") from error

    async def _part(self, place: _Place, values: list[str]) -> tuple[list[Row], int | None]:
        """The rows of one request's people over all pages, and the day up to which they are complete if told."""
        rows: list[Row] = []
        complete: int | None = None
        async for answer in self._pages(place, values):
            if answer.nobody:
                continue
            try:
                rows += rows_of(answer.body, place.endpoint.rows)
            except PathError as error:
                raise self._not_at(place, error) from error
            if len(rows) > MAX_ROWS:
                raise self._shape(place, "too many rows")
            if place.name == self._complete_of and self._complete_date and self._complete_reader:
                day = self._complete_reader.read(text_of(field_of(answer.body, self._complete_date.column)))
                complete = max(day, 0)
        return rows, complete

    async def _pages(self, place: _Place, values: list[str]) -> AsyncIterator[Answer]:
        endpoint = place.endpoint
        paging = endpoint.paging
        turn = Turn(paging)
        request = self._request(endpoint, values, turn)
        while True:
            answer = await self._client.fetch(request)
            yield answer
            if answer.nobody and turn.awaits_more:
                raise self._shape(place, "nobody found on a page that was told of")
            if paging is None or answer.nobody:
                return
            try:
                entries = entries_of(answer.body, endpoint.rows)
            except PathError as error:
                raise self._not_at(place, error) from error
            try:
                if not turn.next(answer, entries):
                    return
            except PagingError as error:
                raise self._shape(place, str(error)) from error
            if turn.number > paging.max_pages:
                raise self._shape(place, f"more than {paging.max_pages} pages")
            if turn.link:
                url = same_origin(request.url, turn.link)
                if url is None:
                    raise self._shape(place, "the next page is elsewhere")
                request = replace(request, url=url)
            else:
                request = self._request(endpoint, values, turn)

    def _request(self, endpoint: Endpoint, values: list[str], turn: Turn) -> Request:
        size = endpoint.paging.size if endpoint.paging else 0
        places = {"$ids": values, "$page": turn.page, "$size": size, "$cursor": turn.cursor}
        if endpoint.ids_per_request == 1:
            places["$id"] = values[0]
        path = endpoint.path
        for name in ("$ids", "$id"):
            if name in path and name in places:
                path = path.replace(name, quote(endpoint.separator.join(values), safe=""))
        url = URL(str(self._base) + path, encoded=True)
        query = {key: filled(value, places, endpoint.separator) for key, value in endpoint.query.items()}
        if query:
            url = url.with_query({key: _parameter(v, endpoint.separator) for key, v in query.items() if v is not None})
        if self._is_xml:
            places["$ids"] = _elements(values, endpoint)
            if "$id" in places:
                places["$id"] = escape(values[0])
            if turn.cursor:
                places["$cursor"] = escape(turn.cursor)
        body = filled(endpoint.body, places, endpoint.separator)
        return Request(endpoint.method, url, body, endpoint.not_found_is_nobody, endpoint.headers)

    def _complete_until(self, told: list[int]) -> int:
        setting = self._manifest.complete_until
        if setting is not None and setting.lag_days is not None:
            return day_before(self._now_ms(), setting.lag_days)
        return complete_until(min(told, default=0), self._now_ms())

    def _not_at(self, place: _Place, error: PathError) -> SourceFaultError:
        """What a path of the manifest leads to is not what should stand there."""
        return self._shape(place, *shown(str(error), place.wanting))

    def _shape(self, place: _Place, where: str, zh: str = "") -> SourceFaultError:
        return SourceFaultError(
            f"{self._manifest.adapter_id}: the answer for {place.name!r} has not the shape of the manifest ({where})",
            f"{self._manifest.adapter_id}：{place.name!r} 的应答结构与清单不符（{zh or where}）",
        )


def _elements(values: list[str], endpoint: Endpoint) -> str:
    """The numbers as they stand in a body of XML."""
    numbers = [escape(value) for value in values]
    if endpoint.item is None:
        return endpoint.separator.join(numbers)
    return "".join(endpoint.item.replace("$id", number) for number in numbers)


def _parameter(value: object, separator: str) -> str:
    return separator.join(str(item) for item in value) if isinstance(value, list) else str(value)
