"""Reading many rows of PostgreSQL as columns: ADBC to Arrow to polars, without a Python object for each row.

Owns: connections of its own, read-only and limited in time like those of `adapters.database`, and stopping a statement
that runs. Refuses: other databases, few rows (a driver's cursor is faster for those), and types whose meaning would not
be the same on both ways: whoever asks looks at `READABLE` first.

The numbers travel as one parameter, an array: the planner sees how many there are, compares a row of the table with all
of them by hashing, and no number stands in a statement's text, which servers log.
"""

from __future__ import annotations

import importlib.util
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import sqlalchemy
from sqlalchemy import bindparam, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.engine import URL
from sqlalchemy.types import String

from adapters import retries
from adapters.connecting import CONNECT_TIMEOUT_S, KEEPALIVE
from adapters.database import MAX_ROWS, PG_BPCHAR, PG_CANCELLED, BpChar, DatabaseError, Statement, Work

if TYPE_CHECKING:
    import polars as pl
    from adbc_driver_manager import AdbcConnection, AdbcDatabase

Kind: TypeAlias = Literal["text", "int", "bool", "numeric", "date", "timestamp", "timestamptz"]

READABLE: dict[int, Kind] = {
    25: "text",
    1043: "text",
    PG_BPCHAR: "text",
    21: "int",
    23: "int",
    20: "int",
    16: "bool",
    1700: "numeric",
    1082: "date",
    1114: "timestamp",
    1184: "timestamptz",
}
"""Types by their number in PostgreSQL's catalogue that read the same here as by psycopg."""

_DIALECT = PGDialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]


@dataclass(slots=True)
class _Connection:
    """A connection, and which work's statement it is running."""

    handle: AdbcConnection
    lock: threading.Lock = field(default_factory=threading.Lock)
    running: object = None
    fresh: bool = True


class _Stop:
    """What stops one statement, and no later one on the same connection."""

    __slots__ = ("_connection",)

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection

    def cancel(self) -> None:
        """Stop the statement if it is still running. May block."""
        with self._connection.lock:
            if self._connection.running is self:
                self._connection.handle.cancel()


class ArrowDatabase:
    """One PostgreSQL database, read-only, by ADBC.

    Args:
        url: as for `Database`.
        timeout_s: of one statement.
        adapter_id: as for `Database`.
    """

    def __init__(self, url: URL, timeout_s: float, adapter_id: str = "") -> None:
        milliseconds = max(1, round(timeout_s * 1000))
        further = {
            "connect_timeout": str(CONNECT_TIMEOUT_S),
            "tcp_user_timeout": str(milliseconds + 1_000),
            "application_name": "wugan",
        } | {name: str(value) for name, value in KEEPALIVE.items()}
        plain = url.set(drivername="postgresql").update_query_dict(
            {name: value for name, value in further.items() if name not in url.query}
        )
        self._uri = plain.render_as_string(hide_password=False)
        self._first = (
            "SET default_transaction_read_only = on",
            f"SET statement_timeout = {milliseconds}",
            # Compiling a statement anew for each batch would cost more than it runs.
            "SET jit = off",
        )
        self._adapter_id = adapter_id
        self._database: AdbcDatabase | None = None
        self._local = threading.local()
        self._open: list[_Connection] = []
        self._lock = threading.Lock()

    @staticmethod
    def of(url: str, timeout_s: float, adapter_id: str = "") -> ArrowDatabase | None:
        """For a database that can be read so: None where it is no PostgreSQL, or the driver is not installed."""
        parsed = sqlalchemy.make_url(url)
        if parsed.get_backend_name() != "postgresql" or parsed.get_driver_name() != "psycopg":
            return None
        if any(not isinstance(value, str) for value in parsed.query.values()):
            return None  # several hosts: SQLAlchemy's own spelling
        if importlib.util.find_spec("adbc_driver_postgresql") is None:
            return None
        return ArrowDatabase(parsed, timeout_s, adapter_id)

    def rows(self, sql: str, numbers: pl.Series, work: Work) -> pl.DataFrame:
        """The rows of a statement by `sql_of`, as columns in its order.

        Raises:
            DatabaseError: the database failed, the work was cancelled, or there are too many rows. `gone` where it
                could not be connected to.
        """
        connection, fresh = self._connection()
        try:
            return self._try(connection, sql, numbers, work)
        except DatabaseError as error:
            if fresh or not error.gone or work.cancelled:
                raise
            retries.again(self._adapter_id)
            connection, _ = self._connection()
            return self._try(connection, sql, numbers, work)

    def close(self) -> None:
        """Close every connection. No work may be under way."""
        with self._lock:
            connections, self._open = self._open, []
            database, self._database = self._database, None
        for connection in connections:
            _shut(connection)
        if database is not None:
            database.close()

    def _try(self, connection: _Connection, sql: str, numbers: pl.Series, work: Work) -> pl.DataFrame:
        import polars as pl
        from adbc_driver_manager import AdbcStatement, Error

        stop = _Stop(connection)
        with connection.lock:
            connection.running = stop
        with work.lock:
            work.over.clear()
            work.connection = stop
        try:
            if work.cancelled:
                raise DatabaseError(down=True, kind="cancelled")
            with AdbcStatement(connection.handle) as statement:
                statement.set_sql_query(sql)
                statement.bind_stream(pl.DataFrame([numbers.implode()]))
                stream, _ = statement.execute_query()
                frame = _plain(pl.DataFrame(stream))
        except (Error, pl.exceptions.PolarsError) as error:
            raise self._wrap(error, connection) from error
        finally:
            with connection.lock:
                connection.running = None
            with work.lock:
                work.connection = None
                work.over.set()
        if len(frame) > MAX_ROWS:
            raise DatabaseError(down=False, kind="too many rows")
        return frame

    def _connection(self) -> tuple[_Connection, bool]:
        """The connection of this thread, and whether it was just made."""
        connection: _Connection | None = getattr(self._local, "connection", None)
        if connection is not None:
            return connection, False
        from adbc_driver_manager import AdbcConnection, AdbcStatement, Error

        try:
            with self._lock:
                if self._database is None:
                    import adbc_driver_postgresql

                    self._database = adbc_driver_postgresql.connect(self._uri)
                database = self._database
            handle = AdbcConnection(database)
            try:
                for sql in self._first:
                    with AdbcStatement(handle) as statement:
                        statement.set_sql_query(sql)
                        statement.execute_update()
            except Error:
                handle.close()
                raise
        except Error as error:
            raise DatabaseError(down=True, kind=type(error).__name__, gone=True) from error
        connection = self._local.connection = _Connection(handle)
        with self._lock:
            self._open.append(connection)
        return connection, True

    def _wrap(self, error: Exception, connection: _Connection) -> DatabaseError:
        """What an error means; the connection is thrown away when it may be the connection's fault."""
        state = getattr(error, "sqlstate", None) or ""
        if state == PG_CANCELLED:
            return DatabaseError(down=True, kind="time limit")
        # Without a state the server said nothing: the connection broke. 08: connection; 53: out of resources;
        # 57: told to go away; 58: system.
        down = state[:2] in {"", "08", "53", "57", "58"}
        if down:
            self._local.connection = None
            with self._lock:
                self._open.remove(connection)
            _shut(connection)
        return DatabaseError(down=down, kind=type(error).__name__, gone=down, refused=not down)


def sql_of(statement: Statement, columns: tuple[str, ...], types: tuple[int, ...]) -> str:
    """The text of a lookup of `columns` by an array of numbers.

    Args:
        statement: what is read, and by which column.
        columns: those needed.
        types: of the statement's columns, by their number in PostgreSQL's catalogue.
    """
    source = statement.source
    is_char = types[statement.columns.index(statement.by)] == PG_BPCHAR
    numbers = sqlalchemy.cast(bindparam("numbers"), ARRAY(BpChar() if is_char else String()))
    chosen = select(*(source.c[name] for name in columns)).where(source.c[statement.by] == sqlalchemy.any_(numbers))
    return str(chosen.limit(sqlalchemy.literal_column(str(MAX_ROWS + 1))).compile(dialect=_DIALECT))


def _plain(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame without the names that the driver gives to types which Arrow does not have; their values stay."""
    import polars as pl

    named = [column for column in frame.get_columns() if isinstance(column.dtype, pl.BaseExtension)]
    return frame.with_columns(column.ext.storage() for column in named) if named else frame


def _shut(connection: _Connection) -> None:
    with connection.lock:
        connection.running = None
        handle: Any = connection.handle
        handle.close()
