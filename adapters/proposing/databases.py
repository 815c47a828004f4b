"""Reading samples from the tables of a database, as far as the user given may.

Owns: which tables are looked at, and their first rows. Refuses: writing (the session is read-only), and a password in
what is proposed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote_plus

import sqlalchemy
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, ProgrammingError, SQLAlchemyError

from adapters.connecting import Steps, not_in, read_only_engine
from adapters.proposing.samples import (
    FIRST,
    MAX_ROWS,
    MAX_TABLES,
    STEP,
    Column,
    Sample,
    SampleError,
    columns_of,
    spread,
)

_TIMEOUT_S: Final = 30.0
_VARIABLE: Final = "${DB_PASSWORD}"
"""Stands in place of a password, which is never written."""


def tables_of(url: str, tables: Sequence[str]) -> list[Sample]:
    """The tables and views of a database that have rows and that the user may read, or those named.

    Raises:
        SampleError: it is none, is not reached, or none of its tables can be used.
    """
    try:
        parsed = sqlalchemy.make_url(url)
        engine = read_only_engine(parsed, Path.cwd(), _TIMEOUT_S, Steps(0))
    except (ArgumentError, NoSuchModuleError, ImportError, ValueError) as error:
        raise SampleError(
            "not a database URL, or its driver is not installed", "不是数据库 URL，或未安装驱动"
        ) from error
    if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").is_file():
        raise SampleError("the SQLite file is not there", "SQLite 文件不存在")
    try:
        with engine.connect() as connection:
            if parsed.get_backend_name() == "postgresql":
                # A cursor of PostgreSQL's lives in a transaction, which is read-only like the session.
                connection.execution_options(isolation_level="READ COMMITTED")
            found = _read(connection, {"url": _shown(parsed)}, tables)
    except SQLAlchemyError as error:
        why = not_in(error)
        raise SampleError(f"the database could not be read ({why.en})", f"无法读取数据库（{why.zh}）") from error
    finally:
        engine.dispose()
    if not found:
        raise SampleError("no table that this user may read has rows", "没有该用户可读取且含数据的表")
    return found


def _shown(url: sqlalchemy.URL) -> str:
    """The URL as a manifest may hold it."""
    if url.password is not None:
        url = url.set(password=_VARIABLE)
    if url.get_backend_name() == "sqlite":
        url = url.set(database=str(Path(url.database or "").resolve()))
    return url.render_as_string(hide_password=False).replace(quote_plus(_VARIABLE), _VARIABLE)


def _read(connection: sqlalchemy.Connection, source: dict[str, object], tables: Sequence[str]) -> list[Sample]:
    known = sqlalchemy.inspect(connection)
    found: list[Sample] = []
    closed = 0
    for name in list(tables) or [*known.get_table_names(), *known.get_view_names()][:MAX_TABLES]:
        try:
            columns, rows = _table(connection, name)
        except ProgrammingError:
            if tables:
                raise
            # Most of a database is none of this user's business: what may be read is the sample.
            connection.rollback()
            closed += 1
            continue
        if rows and columns:
            found.append(Sample("table", name, columns, rows, dict(source), {"table": name}))
    if found and closed:
        found[0].remarks.append((f"{closed} tables may not be read by this user", f"该用户无权读取 {closed} 个表"))
    return found


def _table(connection: sqlalchemy.Connection, name: str) -> tuple[tuple[Column, ...], int]:
    """Columns of a table, and how many rows of it were looked at."""
    statement = sqlalchemy.select(sqlalchemy.text("*")).select_from(sqlalchemy.table(name))
    read = connection.execution_options(stream_results=True).execute(statement.limit(FIRST + STEP * MAX_ROWS))
    rows = [tuple(row) for row in spread(iter(read))]
    return columns_of(list(read.keys()), rows), len(rows)
