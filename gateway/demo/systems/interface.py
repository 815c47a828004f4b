"""What the departments' HTTP interfaces have in common: reading their database, checking the caller, being slow.

Owns: read-only access to a SQLite file beside the event loop, the credential check, and the bounds of a request.
Refuses: a department's own shapes and codes; and logging what was asked.
"""

from __future__ import annotations

import asyncio
import hmac
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

MAX_BODY_BYTES = 1024 * 1024
MAX_NUMBERS = 500
"""People in one request."""
MAX_PAGE = 1_000
"""Rows of one page."""

Record = dict[str, object]


class Shelf:
    """A department's SQLite file, read by one thread of its own."""

    def __init__(self, path: Path) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=path.stem)
        uri = f"{path.resolve().as_uri()}?mode=ro"
        self._database = sqlite3.connect(uri, uri=True, check_same_thread=False)
        self._database.row_factory = sqlite3.Row

    async def find(
        self,
        table: str,
        columns: Sequence[str],
        numbers: Sequence[str],
        *,
        after: int = 0,
        skip: int = 0,
        limit: int = MAX_PAGE,
    ) -> list[Record]:
        """Rows in which any of `columns` is one of `numbers`, in the order in which they were filed.

        Args:
            table: its name.
            columns: of identity numbers.
            numbers: to be found.
            after: only rows with a greater `rowid`.
            skip: leave out so many of them.
            limit: at most so many.
        """
        condition = f"({_any(columns, numbers)}) AND rowid > ? ORDER BY rowid LIMIT ? OFFSET ?"
        sql = f"SELECT rowid, * FROM {table} WHERE {condition}"  # noqa: S608  names of ours, values as parameters
        return await self._run(sql, [*[*numbers] * len(columns), after, limit, skip])

    async def count(self, table: str, columns: Sequence[str], numbers: Sequence[str]) -> int:
        """How many rows `find` would give in all."""
        sql = f"SELECT count(*) AS n FROM {table} WHERE {_any(columns, numbers)}"  # noqa: S608
        rows = await self._run(sql, [*numbers] * len(columns))
        total = rows[0]["n"]
        return total if isinstance(total, int) else 0

    async def filed(self, table: str, after: int, limit: int) -> list[Record]:
        """Rows of a table after a `rowid`, in the order in which they were filed."""
        sql = f"SELECT rowid, * FROM {table} WHERE rowid > ? ORDER BY rowid LIMIT ?"  # noqa: S608  names of ours
        return await self._run(sql, [after, limit])

    async def last(self, table: str) -> int:
        """The greatest `rowid` of a table, 0 if it is empty."""
        (row,) = await self._run(f"SELECT max(rowid) AS n FROM {table}", [])  # noqa: S608
        return row["n"] if isinstance(row["n"], int) else 0

    def close(self) -> None:
        """Let go of the file."""
        self._executor.submit(self._database.close).result()
        self._executor.shutdown()

    async def _run(self, sql: str, values: Sequence[str | int]) -> list[Record]:
        def read() -> list[Record]:
            return [dict(row) for row in self._database.execute(sql, values)]

        return await asyncio.get_running_loop().run_in_executor(self._executor, read)


def _any(columns: Sequence[str], numbers: Sequence[str]) -> str:
    places = ", ".join("?" * len(numbers))
    return " OR ".join(f"{column} IN ({places})" for column in columns)


def guarded(header: str, credential: str, denied: Callable[[], web.Response], delay_ms: int) -> Middleware:
    """A middleware that waits `delay_ms`, then lets only who knows the credential pass; others get `denied()`."""
    expected = credential.encode()

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if delay_ms:
            await asyncio.sleep(delay_ms / 1000)
        given = request.headers.get(header, "").encode()
        if not hmac.compare_digest(given, expected):
            return denied()
        return await handler(request)

    return middleware


def application(
    shelf: Shelf,
    middleware: Middleware,
    routes: Mapping[tuple[str, str], Handler],
) -> web.Application:
    """An application that closes its shelf when it ends."""
    app = web.Application(middlewares=[middleware], client_max_size=MAX_BODY_BYTES)
    for (method, path), handler in routes.items():
        app.router.add_route(method, path, handler)

    async def close(_: web.Application) -> None:
        shelf.close()

    app.on_cleanup.append(close)
    return app


def whole(value: object, low: int, high: int) -> int | None:
    """A whole number within bounds, also when written as text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    try:
        number = int(value)
    except ValueError:
        return None
    return number if low <= number <= high else None


def numbers_of(value: object) -> list[str] | None:
    """Identity numbers of a request: a list of 1 to MAX_NUMBERS short texts; None for anything else."""
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_NUMBERS:
        return None
    if any(not isinstance(one, str) or not 1 <= len(one) <= 32 for one in value):
        return None
    return value


async def json_object(request: web.Request) -> dict[str, object] | None:
    """The JSON object of a request's body, or None."""
    try:
        body = await request.json()
    except (ValueError, UnicodeDecodeError):
        return None
    return body if isinstance(body, dict) else None
