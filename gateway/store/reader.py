"""Reading from the store without holding up the event loop.

Owns: a thread and a connection for each read, looks in passing, errors wrapped, and the line in the log that says why
it cannot be read. Refuses: writing; that is the writer's alone.

Looks in passing. Whether there is something to do is asked every second or oftener, by many, and mostly in vain. In a
thread such a look costs a hundred times what the database has to do for it, and takes the interpreter from the calls
under way. So the embedded database is looked at from the event loop, on a connection of its own that waits for no
lock, past SQLAlchemy. After two in a row that were slow (the disk is; one alone may have lost the processor to somebody
else), all go to threads for a while. PostgreSQL is asked from threads.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import SQLAlchemyError

from gateway.log import Standstill, described
from gateway.store.faults import told, wrapped
from gateway.store.sparing import Sparing

_log = structlog.stdlib.get_logger(__name__)

T = TypeVar("T")


class Look:
    """A look in passing: few rows, found by a key or at the end of an index.

    Args:
        statement: with a bound parameter for each value that differs from one look to the next; no lists of values.
    """

    __slots__ = ("_wanted", "embedded", "statement")

    def __init__(self, statement: sa.Select[Any]) -> None:
        self.statement = statement
        compiled = statement.compile(dialect=sqlite.dialect())
        self.embedded = str(compiled)
        self._wanted = [(name, compiled.binds[name]) for name in compiled.positiontup or ()]

    def parameters(self, values: dict[str, Any]) -> tuple[Any, ...]:
        """What the embedded database is given, in its order."""
        return tuple(values[name] if bound.required else bound.value for name, bound in self._wanted)


class Reader:
    """Runs functions that read.

    Args:
        engine: of the database.
        now: monotonic time, seconds.
    """

    def __init__(self, engine: sa.Engine, now: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._now = now
        self._standstill = Standstill()
        self._embedded = engine.dialect.name == "sqlite"
        self._here: sa.PoolProxiedConnection | None = None
        self._sparing = Sparing(in_a_row=2)

    async def run(self, read: Callable[[sa.Connection], T]) -> T:
        """What `read` returns, given a connection in a thread of its own.

        Raises:
            StoreError: the database could not be read.
        """
        return await asyncio.to_thread(self.run_here, read)

    def run_here(self, read: Callable[[sa.Connection], T]) -> T:
        """The same in this thread, for the start, when there is no event loop to hold up."""
        with wrapped():
            try:
                with self._engine.connect() as connection:
                    found = read(connection)
            except SQLAlchemyError as error:
                if self._standstill.begins():
                    _log.error("store not read", fault=described(error), why=told(error))
                raise
            if self._standstill.ends():
                _log.info("store read again")
            return found

    async def look(self, look: Look, **values: Any) -> list[tuple[Any, ...]]:
        """The rows that a look finds.

        Raises:
            StoreError: the database could not be read.
        """
        began = self._now()
        if self._embedded and began >= self._sparing.until:
            try:
                rows = self._connection().execute(look.embedded, look.parameters(values)).fetchall()
            except (sqlite3.Error, SQLAlchemyError, OSError):
                self.close()  # a thread tries, and tells what is wrong if something is
            else:
                self._sparing.took(began, self._now())
                return rows
        return await self.run(lambda connection: [tuple(row) for row in connection.execute(look.statement, values)])

    def close(self) -> None:
        """Let go of the connection that looks are made over; another look makes a new one."""
        here, self._here = self._here, None
        if here is not None:
            with suppress(sqlite3.Error, SQLAlchemyError):
                here.invalidate()

    def _connection(self) -> sqlite3.Connection:
        if self._here is None:
            self._here = self._engine.raw_connection()
            self._driver().execute("PRAGMA busy_timeout=0")
        return self._driver()

    def _driver(self) -> sqlite3.Connection:
        driver = None if self._here is None else self._here.driver_connection
        if not isinstance(driver, sqlite3.Connection):
            raise sqlite3.OperationalError
        return driver
