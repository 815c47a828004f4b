"""The schema's versions, and the step from whichever a database has to the newest.

Owns: bringing a database up to date when the gateway starts. Refuses: a database made by a newer gateway, and stepping
back. Alembic is imported only when there is something to do, so that an ordinary start does not pay for it.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from gateway.errors import StoreError

NEWEST = "0012"
"""The version this gateway works with; a test holds it to the newest file in `versions`."""

_KNOWN = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0010", "0011", "0012")
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


def _migrate(connection: sa.Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, NEWEST)
