"""Read-only access to any database that SQLAlchemy knows, for lookups by identity number.

Owns: the statements (compiled once, numbers always parameters), one connection a worker thread, read-only sessions,
time limits and cancellation. Refuses: writing, and values built into a statement.

Statements run on the driver's own cursor: building them is Core's work, done once; what a single lookup pays for is the
driver and the database.
"""

from __future__ import annotations

import os
import re
import socket
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

import sqlalchemy
from sqlalchemy import ColumnElement, FromClause, Select, bindparam, column, select, table, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine import Dialect
from sqlalchemy.types import BigInteger, String, UserDefinedType

from adapters import retries
from adapters.connecting import CONNECT_TIMEOUT_S, Steps, not_in, read_only_engine
from adapters.errors import SourceDownError, SourceFaultError

MAX_ROWS = 2_000_000
"""Rows of one lookup in one record set; a source that has more for a batch is not what the manifest describes."""

_CHUNKS = {"sqlite": 900, "postgresql": 20_000, "oracle": 900, "dm": 900, "mssql": 1_000}
_AT_MOST = {"sqlite": 30_000, "oracle": 1_000, "dm": 1_000, "mssql": 2_000, "mysql": 2_000, "mariadb": 2_000}
"""Numbers in one list, whatever a manifest says: Oracle takes no more (ORA-01795), others no more parameters."""
_DEFAULT_CHUNK = 1_000
_WHOLE = re.compile(r"[1-9][0-9]{0,17}")
"""What can stand in a column of whole numbers: nothing that ends in X, or begins with zeros."""
_INTERRUPTS = 200
_INTERRUPT_AGAIN_S = 0.05
"""A statement of an embedded database that goes on after an interruption is interrupted again, so often at most."""
_STOPPED_WITHIN_S = 2.0
"""A statement that goes on for so long after it was stopped will not be heard of again."""
PG_BPCHAR = 1042
"""Type oid of CHAR(n) in PostgreSQL."""
PG_CANCELLED = "57014"
"""SQLSTATE query_canceled: the statement's time limit, or cancelled from outside."""
_MYSQL_REFUSING = {1054, 1142, 1143}
"""Errors of MySQL that its driver calls operational and that no other connection mends: a column that is not there
(ER_BAD_FIELD_ERROR), and no right to the table or a column."""
_SQLITE_PASSING = {sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}

Rows: TypeAlias = list[tuple[object, ...]]


class BpChar(UserDefinedType[str]):
    """PostgreSQL's CHAR without a length: compared with TEXT, an index on a CHAR column would not be used."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        """As it is written in a statement."""
        return "BPCHAR"


class DatabaseError(Exception):
    """A driver error: `kind` names it, `down` when asking again may help, `gone` when the connection is lost, `refused`
    when the database refused a statement as it stands.
    """

    def __init__(self, *, down: bool, kind: str, gone: bool = False, refused: bool = False, zh: str = "") -> None:
        super().__init__(kind)
        self.refused = refused
        self.zh = zh or kind
        self.gone = gone
        self.down = down
        self.kind = kind

    def as_adapter_error(self, what: str) -> SourceDownError | SourceFaultError:
        """For the adapter's caller; `what` is the record set. The driver's own text may quote values: left out."""
        if self.down:
            return SourceDownError(
                f"the database of {what!r} did not answer ({self.kind})", f"{what!r} 的数据库未应答（{self.zh}）"
            )
        return SourceFaultError(
            f"the database refused to read {what!r} ({self.kind}); check table, columns and rights",
            f"数据库拒绝读取 {what!r}（{self.kind}），请检查表名、列名和权限",
        )


@dataclass(slots=True)
class Work:
    """One lookup in progress, so that it can be stopped from outside."""

    cancelled: bool = False
    connection: Any = None
    lock: threading.Lock = field(default_factory=threading.Lock)
    over: threading.Event = field(default_factory=threading.Event)
    """Set whenever no statement of it is running."""

    def begin(self, connection: Any) -> None:
        """A statement of it begins on the driver's connection."""
        with self.lock:
            self.over.clear()
            self.connection = connection

    def end(self) -> None:
        """The statement ended."""
        with self.lock:
            self.connection = None
            self.over.set()


class Unstopped(Work):
    """A lookup that is over before anybody could stop it, because it is done in one go where it is asked for."""

    def begin(self, connection: Any) -> None:
        """Nobody has to know."""

    def end(self) -> None:
        """Nobody has to know."""


UNSTOPPED: Final = Unstopped()
"""Holds nothing, and so is that of all."""


@dataclass(slots=True)
class Statement:
    """A compiled SELECT over one table, for chunks of numbers.

    Attributes:
        integers: whether the number's column holds whole numbers, and is asked with such.
        sizes: chunk size to SQL text and parameter names; an array statement has the one size 0.
    """

    source: FromClause
    columns: tuple[str, ...]
    by: str
    integers: bool = False
    sizes: dict[int, tuple[str, tuple[str, ...] | None]] = field(default_factory=dict)


class Database:
    """One database, read-only.

    Args:
        url: SQLAlchemy URL; the path of a SQLite file is relative to `folder`.
        folder: of the manifest.
        schema: of the tables.
        chunk: numbers in one statement; None: by database.
        timeout_s: of one statement, where the database can hold to it; of waiting for a lock in SQLite.
        budget: steps of SQLite's machine in one statement, after which it is given up; 0: no bound.
        adapter_id: whose it is, for those who count further tries.

    Attributes:
        chunk: numbers in one statement at most.

    Raises:
        ValueError: the URL is not one, or its driver is not installed.
    """

    def __init__(
        self,
        url: str,
        *,
        folder: Path,
        schema: str | None,
        chunk: int | None,
        timeout_s: float,
        budget: int = 0,
        adapter_id: str = "",
    ) -> None:
        try:
            parsed = sqlalchemy.make_url(url)
            self._steps = Steps(budget)
            self._engine = read_only_engine(parsed, folder, timeout_s, self._steps)
        except (sqlalchemy.exc.ArgumentError, sqlalchemy.exc.NoSuchModuleError, ImportError) as error:
            raise ValueError("not a database URL whose driver is installed") from error
        self._dialect: Dialect = self._engine.dialect
        self._schema = schema
        self._arrays = self._dialect.name == "postgresql"
        name = self._dialect.name
        self.chunk = chunk or _CHUNKS.get(name, _DEFAULT_CHUNK)
        self.chunk = min(self.chunk, _AT_MOST.get(name, self.chunk))
        self._timeout_s = timeout_s
        self.adapter_id = adapter_id
        self._local = threading.local()
        self._open: set[Any] = set()
        self._lock = threading.Lock()

    @property
    def budget_exceeded(self) -> bool:
        """Whether some statement took more steps than allowed: a table without an index, as a rule."""
        return self._steps.exceeded

    @property
    def is_local(self) -> bool:
        """Whether it is a SQLite file, read by this process itself."""
        return self._dialect.name == "sqlite"

    def statement(
        self, name: str | None, query: str | None, columns: Sequence[str], by: str, *, integers: bool = False
    ) -> Statement:
        """A SELECT of `columns` from a table or from a query, by the number in the column `by`."""
        if query is not None:
            # ":" begins a parameter in Core's text; in an operator's SELECT it is only a colon.
            source: FromClause = (
                text(re.sub(r"(?<!:):(?=\w)", r"\\:", query)).columns(*(column(c) for c in columns)).subquery("records")
            )
        else:
            schema, _, bare = (name or "").rpartition(".")
            source = table(bare, *(column(c) for c in columns), schema=schema or self._schema)
        return Statement(source, tuple(columns), by, integers)

    def rows(self, statement: Statement, values: Sequence[str], work: Work) -> Rows:
        """Every row whose number is among `values`.

        Raises:
            DatabaseError: the database failed, or the work was cancelled.
        """
        found: Rows = []
        wanted: Sequence[str] | Sequence[int] = values
        if statement.integers:
            wanted = [int(value) for value in values if _WHOLE.fullmatch(value)]
        for start in range(0, len(wanted), self.chunk):
            chunk = wanted[start : start + self.chunk]
            sql, names, size = self._sql(statement, len(chunk))
            found += self._run(sql, self._parameters(chunk, names, size), work)
            if len(found) > MAX_ROWS:
                raise DatabaseError(down=False, kind="too many rows")
        return found

    @contextmanager
    def one_read(self) -> Iterator[None]:
        """A few statements on a local file under one lock: cheaper, and of one moment. For short work only.

        Raises:
            DatabaseError: the file cannot be opened, or is locked.
        """
        try:
            connection = self._connection()
            connection.cursor().execute("BEGIN")
        except self._dialect.loaded_dbapi.Error as error:
            raise self._wrap(error) from error
        try:
            yield
        finally:
            # A failed statement may have taken the connection away, and the lock with it.
            with suppress(self._dialect.loaded_dbapi.Error):
                connection.cursor().execute("COMMIT")

    def first(self, statement: Statement, work: Work) -> Rows:
        """The first row, if any: proves that the table and its columns are there.

        Raises:
            DatabaseError: they are not, or the database failed.
        """
        return self.read(select(*(statement.source.c[name] for name in statement.columns)).limit(1), work)

    def some(self, statement: Statement, count: int, work: Work) -> Rows:
        """The numbers of a few rows, whichever come first, as they stand there.

        Raises:
            DatabaseError: the database failed, or the work was cancelled.
        """
        number = statement.source.c[statement.by]
        return self.read(select(number).where(number.is_not(None)).limit(count), work)

    def read(self, chosen: Select[Any], work: Work) -> Rows:
        """The rows of a statement of Core, with its own parameters.

        Raises:
            DatabaseError: the database failed, or the work was cancelled.
        """
        # Some databases want a limit as a number in the text, where a driver's cursor would find a mark of Core's.
        compiled = chosen.compile(dialect=self._dialect, compile_kwargs={"render_postcompile": True})
        values = compiled.construct_params()
        names = compiled.positiontup if compiled.positional else None
        return self._run(str(compiled), values if names is None else tuple(values[name] for name in names), work)

    def lacking(self, statement: Statement, work: Work) -> tuple[str, ...]:
        """Which columns of a refused statement are not there, or must not be read, though the table may be; none where
        that is not what was refused.

        Raises:
            DatabaseError: the database is down, or the work was cancelled.
        """

        def readable(chosen: ColumnElement[Any]) -> bool:
            try:
                self.read(select(chosen).select_from(statement.source).where(sqlalchemy.false()), work)
            except DatabaseError as error:
                if error.refused:
                    return False
                raise
            return True

        names = dict.fromkeys(statement.columns)
        lacking = tuple(name for name in names if not readable(statement.source.c[name]))
        if len(lacking) == len(names) and not readable(sqlalchemy.literal_column("1")):
            return ()
        return lacking

    def newest(self, statement: Statement, work: Work) -> object:
        """The greatest value of the column `by`; None in an empty table."""
        greatest = select(sqlalchemy.func.max(statement.source.c[statement.by])).compile(dialect=self._dialect)
        rows = self._run(str(greatest), (), work)
        return rows[0][0] if rows else None

    def cancel(self, work: Work) -> None:
        """Stop the work, its running statement included where the driver can. May block; not for an event loop.

        Where nothing comes of that, the connection is broken: over one that died without a word, the thread would wait
        for as long as the kernel believes in it, which may be hours.
        """
        work.cancelled = True
        for _ in range(_INTERRUPTS):
            with work.lock:
                connection = work.connection
                if not isinstance(connection, sqlite3.Connection):
                    break
                connection.interrupt()
            # An interruption that comes a moment before the statement begins interrupts nothing.
            if work.over.wait(_INTERRUPT_AGAIN_S):
                return
        with suppress(Exception):  # it may not be reached at all
            stop = getattr(connection, "cancel_safe", None)
            if callable(stop):
                stop(timeout=CONNECT_TIMEOUT_S)
            elif callable(stop := getattr(connection, "cancel", None)):
                stop()
        if connection is not None and not work.over.wait(_STOPPED_WITHIN_S):
            with work.lock:  # while it is held, the connection is no other work's
                if work.connection is not None:
                    _break(work.connection)

    def sever(self) -> None:
        """Break every connection, so that whoever waits for an answer over one gets an error instead.

        For a database that says nothing any more; only drivers that tell their socket can be helped.
        """
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            _break(connection.driver_connection)

    def close(self) -> None:
        """Close every connection. No work may be under way."""
        with self._lock:
            connections, self._open = self._open, set()
        for connection in connections:
            connection.close()
        self._engine.dispose()

    def _sql(self, statement: Statement, count: int) -> tuple[str, tuple[str, ...] | None, int]:
        size = 0
        if not self._arrays:
            size = 1 if count == 1 else next(s for s in (10, 100, self.chunk) if count <= s <= self.chunk)
        known = statement.sizes.get(size)
        if known is None:
            known = statement.sizes[size] = self._compile(statement, size)
        return known[0], known[1], size

    def _compile(self, statement: Statement, size: int) -> tuple[str, tuple[str, ...] | None]:
        source = statement.source
        number = source.c[statement.by]
        chosen = select(*(source.c[name] for name in statement.columns))
        if size == 0:
            kind: Any = BigInteger() if statement.integers else BpChar() if self._is_bpchar(statement) else String()
            compiled = chosen.where(number == sqlalchemy.any_(bindparam("numbers", type_=ARRAY(kind)))).compile(
                dialect=self._dialect
            )
            return str(compiled), ("numbers",)
        one: Any = BigInteger() if statement.integers else String()
        parameters = [bindparam(f"n{i}", type_=one) for i in range(size)]
        chosen = chosen.where(number == parameters[0] if size == 1 else number.in_(parameters))
        compiled = chosen.compile(dialect=self._dialect)
        return str(compiled), None if compiled.positional else tuple(f"n{i}" for i in range(size))

    def types(self, statement: Statement) -> tuple[int, ...]:
        """The types of the columns of a statement, as the driver describes them.

        Raises:
            DatabaseError: the table or a column is not there, or the database failed.
        """
        fresh = getattr(self._local, "connection", None) is None
        try:
            return self._describe(statement)
        except DatabaseError as error:
            if fresh or not error.gone:
                raise
            retries.again(self.adapter_id)
            return self._describe(statement)

    def _describe(self, statement: Statement) -> tuple[int, ...]:
        chosen = select(*(statement.source.c[name] for name in statement.columns)).where(sqlalchemy.false())
        try:
            cursor = self._connection().cursor()
            self._execute(cursor, str(chosen.compile(dialect=self._dialect)), ())
            described = tuple(column[1] for column in cursor.description)
            cursor.close()
        except self._dialect.loaded_dbapi.Error as error:
            raise self._wrap(error) from error
        return described

    def _is_bpchar(self, statement: Statement) -> bool:
        """Whether the column of the number is a CHAR(n)."""
        return self.types(statement)[statement.columns.index(statement.by)] == PG_BPCHAR

    @staticmethod
    def _parameters(chunk: Sequence[str] | Sequence[int], names: tuple[str, ...] | None, size: int) -> Any:
        if size == 0:
            return {"numbers": list(chunk)}
        # Asking for the last number again fills the statement up without changing what is found.
        values = [*chunk, *[chunk[-1]] * (size - len(chunk))]
        return tuple(values) if names is None else dict(zip(names, values, strict=True))

    def _run(self, sql: str, parameters: Any, work: Work) -> Rows:
        """Run one statement; once more on a new connection if the old one turns out to be gone."""
        held = getattr(self._local, "driver", None)
        try:
            return self._try(held, sql, parameters, work)
        except DatabaseError as error:
            if held is None or not error.gone or work.cancelled:
                raise
            retries.again(self.adapter_id)
            return self._try(None, sql, parameters, work)

    def _try(self, driver: Any, sql: str, parameters: Any, work: Work) -> Rows:
        """Run a statement on the driver's connection that this thread has; None: it has none yet."""
        try:
            if driver is None:
                driver = self._connection().dbapi_connection
            work.begin(driver)
            if work.cancelled:
                raise DatabaseError(down=True, kind="cancelled")
            self._steps.begin()
            cursor = driver.cursor()
            try:
                self._execute(cursor, sql, parameters)
                rows: Rows = cursor.fetchmany(MAX_ROWS + 1)
            finally:
                cursor.close()
        except self._dialect.loaded_dbapi.Error as error:
            raise self._wrap(error) from error
        finally:
            work.end()
        return rows

    def _execute(self, cursor: Any, sql: str, parameters: Any) -> None:
        """Run a statement. Where a percent sign marks a parameter Core doubles the others, and without parameters, be
        they none, the driver would leave them so.
        """
        if parameters or self._dialect.paramstyle in {"format", "pyformat"}:
            cursor.execute(sql, parameters or ())
        else:
            cursor.execute(sql)

    def _connection(self) -> Any:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            try:
                connection = self._engine.raw_connection()
            except (self._dialect.loaded_dbapi.Error, OSError) as error:
                # Whatever a driver calls it, some leave the socket's own error: who does not come in asks again later.
                why = not_in(error)
                raise DatabaseError(down=True, kind=why.en, zh=why.zh, gone=True) from error
            self._local.connection = connection
            self._local.driver = connection.dbapi_connection
            with self._lock:
                self._open.add(connection)
        return connection

    def _wrap(self, error: Exception) -> DatabaseError:
        """What a driver error means, and the connection thrown away when it may be the connection's fault."""
        dbapi = self._dialect.loaded_dbapi
        down = isinstance(error, (dbapi.OperationalError, dbapi.InterfaceError))
        if getattr(error, "sqlstate", None) == PG_CANCELLED or (
            isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode in _SQLITE_PASSING
        ):
            return DatabaseError(down=True, kind="time limit", gone=False)
        if isinstance(error, sqlite3.OperationalError) and "no such" in str(error):
            down = False
        if self._dialect.name in {"mysql", "mariadb"} and error.args and error.args[0] in _MYSQL_REFUSING:
            down = False
        connection = getattr(self._local, "connection", None)
        if down and connection is not None:
            self._local.connection = self._local.driver = None
            with self._lock:
                self._open.discard(connection)
            connection.invalidate()
        return DatabaseError(down=down, kind=type(error).__name__, gone=down, refused=not down)


def _break(driver_connection: Any) -> None:
    """Have whoever waits for an answer over a connection get an error instead, where its driver tells its socket."""
    tell = getattr(driver_connection, "fileno", None)
    with suppress(Exception):  # closed meanwhile, in whatever state
        if callable(tell):
            with socket.socket(fileno=os.dup(tell())) as end:
                end.shutdown(socket.SHUT_RDWR)
