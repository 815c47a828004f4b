"""The schema's versions, and the step from whichever a database has to the newest.

Owns: bringing a database up to date when the gateway starts. Refuses: a database made by a newer gateway, and stepping
back. An empty database gets the tables as they are now, and is said to have the newest version; one that has been there
goes through the versions, which end at the same tables: tests compare them. Alembic is imported only for these.
"""

from __future__ import annotations

import functools
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.schema import CreateIndex, CreateTable

from gateway.errors import StoreError
from gateway.store import adapter_tables, notice_tables, once_tables, post_tables, quality_tables
from gateway.store.tables import metadata

NEWEST = "0016"
"""The version this gateway works with; a test holds it to the newest file in `versions`."""

_KNOWN = tuple(f"{number:04}" for number in range(1, int(NEWEST) + 1))
_NOTED = (
    "CREATE TABLE alembic_version (\n\tversion_num VARCHAR(32) NOT NULL, \n"
    "\tCONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)\n)",
    f"INSERT INTO alembic_version (version_num) VALUES ('{NEWEST}')",  # noqa: S608  (a constant)
)
"""The version, noted as Alembic notes it."""
_DECLARING = (adapter_tables, notice_tables, once_tables, post_tables, quality_tables)
"""Modules that put tables into the metadata: without one of them loaded, a new store would lack its tables."""
_LOCK = 0x77_75_67_61_6E_01
"""PostgreSQL advisory lock of setting up."""


def upgrade(engine: sa.Engine) -> None:
    """Bring the schema to `NEWEST`, in one transaction; does nothing where it is already.

    Raises:
        StoreError: the database was made by a newer gateway.
    """
    with engine.connect() as connection:
        if current(connection) == NEWEST:
            return
    with engine.begin() as connection:
        lock(connection)
        found = current(connection)
        if found == NEWEST:
            return
        if found is not None and found not in _KNOWN:
            raise StoreError(
                f"the database has schema version {found!r}, made by a newer gateway; run that version or newer",
                f"数据库结构版本为 {found!r}，由更新版本的网关创建，请使用该版本或更高版本",
                retryable=False,
            )
        if found is None:
            _make(connection)
        else:
            _migrate(connection)


def lock(connection: sa.Connection) -> None:
    """Of several gateways setting up one database, one at a time, until the transaction ends.

    The embedded database needs no more than the IMMEDIATE transaction that its writers always use.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))


def current(connection: sa.Connection) -> str | None:
    """The version a database has, None where it is empty."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return version


def _make(connection: sa.Connection) -> None:
    """All tables as they are now, a hundred times as fast as their history is gone through."""
    for statement in _statements(connection.dialect.name, connection.dialect.driver):
        connection.exec_driver_sql(statement)


@functools.cache
def _statements(database: str, driver: str) -> tuple[str, ...]:
    """What makes all tables and their indexes; composing it takes longer than having it done."""
    dialect = sa.make_url(f"{database}+{driver}://").get_dialect()()
    tables = metadata.sorted_tables
    parts: list[CreateTable | CreateIndex] = [CreateTable(table) for table in tables]
    parts += [
        CreateIndex(index) for table in tables for index in sorted(table.indexes, key=lambda each: each.name or "")
    ]
    return (*(str(part.compile(dialect=dialect)) for part in parts), *_NOTED)


def _migrate(connection: sa.Connection, version: str = NEWEST) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, version)
