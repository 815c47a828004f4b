"""Reading samples from the tables of a database, as far as the user given may.

Owns: which tables are looked at, and their first rows. Refuses: writing (the session is read-only), and a password in
what is proposed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote_plus

import sqlalchemy
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError, ProgrammingError, SQLAlchemyError

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
_SYSTEM: Final = re.compile(r"information_schema$|pg_|mysql$|performance_schema$|sys", re.IGNORECASE)
"""Schemas of the database's own."""
_VARIABLE: Final = "${DB_PASSWORD}"
"""Stands in place of a password, which is never written."""


def tables_of(url: str, tables: Sequence[str]) -> list[Sample]:
    """The tables and views of a database that have rows and that the user may read, or those named.

    Args:
        url: of the database; its user's own schema is looked at.
        tables: names, "schema.table" in another schema than that, as in a manifest.

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
        schema, _, bare = name.rpartition(".") if tables else ("", "", name)
        try:
            columns, rows = _table(connection, bare, schema or None)
        except (ProgrammingError, OperationalError) as error:
            if tables:
                why = not_in(error)
                raise SampleError(
                    f"table {name} could not be read: is it there, and may this user read it? ({why.en})",
                    f"无法读取表 {name}，请确认其存在且该用户有读取权限（{why.zh}）",
                ) from error
            if isinstance(error, OperationalError):
                raise
            # Most of a database is none of this user's business: what may be read is the sample.
            connection.rollback()
            closed += 1
            continue
        if rows and columns:
            found.append(Sample("table", bare, columns, rows, dict(source), {"table": name}))
    if found and closed:
        found[0].remarks.append((f"{closed} tables may not be read by this user", f"该用户无权读取 {closed} 个表"))
    if not found:
        raise _nothing(known, looked_in_all=not tables)
    return found


def _nothing(known: sqlalchemy.Inspector, *, looked_in_all: bool) -> SampleError:
    """That no table can be used, and in which other schemas there are some."""
    en, zh = "no table that this user may read has rows", "没有该用户可读取且含数据的表"
    if looked_in_all:
        others = [name for name in known.get_schema_names() if name != known.default_schema_name]
        full = [name for name in others if not _SYSTEM.match(name) and known.get_table_names(schema=name)][:5]
        if full:
            en += f"; there are tables in other schemas ({', '.join(full)}): name one, --table {full[0]}.NAME"
            zh += f"；其他模式中有表（{'、'.join(full)}），请用 --table {full[0]}.表名 指定"
    return SampleError(en, zh)


def _table(connection: sqlalchemy.Connection, name: str, schema: str | None) -> tuple[tuple[Column, ...], int]:
    """Columns of a table, and how many rows of it were looked at."""
    statement = sqlalchemy.select(sqlalchemy.text("*")).select_from(sqlalchemy.table(name, schema=schema))
    read = connection.execution_options(stream_results=True).execute(statement.limit(FIRST + STEP * MAX_ROWS))
    rows = [tuple(row) for row in spread(iter(read))]
    return columns_of(list(read.keys()), rows), len(rows)
