"""One gateway at a time has a PostgreSQL database: the lock that says so, and who held it last.

What gateways of one member do not share (keys and their rotation, running rosters, the windows of quotas, what looks
like harvesting) makes two of them on one database wrong. So the gateway's writer holds an advisory lock by its very
connection: whoever cannot have the lock cannot write. A connection that breaks takes the lock with it, and the next one
takes it anew; if another gateway had the database in between, what this one remembers is no longer so, and it must end.

Owns: the lock, the name under which it is held (`store_meta`), and ending a session of our own that the server has not
missed yet. Refuses: commands, which write beside a gateway and hold nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import SQLAlchemyError

from gateway.errors import StoreError
from gateway.store.tables import store_meta

_LOCK: Final = 0x77_75_67_61_6E_0B
"""PostgreSQL advisory lock of the gateway that has the database; held by a session."""
_HOLDER: Final = "holder"
_END_MS: Final = 3_000
"""Milliseconds that a session of our own gets to end."""
_TRY = sa.select(sa.func.pg_try_advisory_lock(_LOCK))
_NAMED = sa.text("SELECT set_config('application_name', :name, false)")
_END_OWN = sa.text(
    "SELECT pg_terminate_backend(pid, :ms) FROM pg_stat_activity "
    "WHERE application_name = :name AND pid <> pg_backend_pid()"
)
_WHO = sa.text(
    "SELECT host(client_addr) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND granted "
    "AND objsubid = 1 AND (classid::bigint << 32) + objid::bigint = :lock "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)

_log = structlog.stdlib.get_logger(__name__)


class Holding:
    """See the module.

    Args:
        engine: of the database.
        replaced: called once, from whichever thread finds out, when another gateway took the database.
    """

    def __init__(self, engine: sa.Engine, replaced: Callable[[StoreError], None]) -> None:
        self._engine = engine
        self._replaced = replaced
        self._name = f"wugan gateway {secrets.token_hex(8)}"
        self._first: sa.Connection | None = None
        self._noted = False
        self._over: StoreError | None = None

    def begin(self) -> None:
        """Take the database, before anything of it is changed.

        Raises:
            StoreError: another gateway has it; retryable.
            SQLAlchemyError: it cannot be reached.
        """
        self._first = self._taken()

    def note(self) -> None:
        """Leave our name, once the tables are there; after `begin`. Raises SQLAlchemyError."""
        connection = self._first
        if connection is not None:
            with connection.begin():
                connection.execute(sa.delete(store_meta).where(store_meta.c.name == _HOLDER))
                connection.execute(sa.insert(store_meta).values(name=_HOLDER, value=self._name.encode()))
            self._noted = True

    def connect(self) -> sa.Connection:
        """A connection that holds the lock.

        Raises:
            StoreError: another gateway has, or had, the database: this one must end.
            SQLAlchemyError: the database cannot be reached; to be tried again.
        """
        if self._over is not None:
            raise self._over
        if self._first is not None:
            connection, self._first = self._first, None
            return connection
        try:
            return self._taken()
        except StoreError as error:
            self._over = error
            _log.error("another gateway took the database")
            self._replaced(error)
            raise

    def release(self) -> None:
        """Give back what nobody has written through yet."""
        if self._first is not None:
            connection, self._first = self._first, None
            _close(connection)

    def _taken(self) -> sa.Connection:
        connection = self._engine.connect()
        try:
            if not connection.execute(_TRY).scalar():
                # A session of ours whose end the server has not noticed.
                connection.execute(_END_OWN, {"ms": _END_MS, "name": self._name})
                if not connection.execute(_TRY).scalar():
                    raise _taken_by(connection.execute(_WHO, {"lock": _LOCK}).scalar())
            connection.execute(_NAMED, {"name": self._name})
            if self._noted:
                last = connection.execute(sa.select(store_meta.c.value).where(store_meta.c.name == _HOLDER)).scalar()
                if last is None or bytes(last) != self._name.encode():
                    raise _had_by_another()
            connection.commit()
        except BaseException:
            _close(connection)
            raise
        return connection


def _close(connection: sa.Connection) -> None:
    """Not back into the pool: the lock goes with the session."""
    try:
        connection.invalidate()
        connection.close()
    except SQLAlchemyError as error:
        _log.warning("store connection did not close", error=type(error).__name__)


def _taken_by(address: str | None) -> StoreError:
    where_en, where_zh = (f" (connected from {address})", f"（来自 {address}）") if address else ("", "")
    return StoreError(
        f"another gateway is running on this database{where_en}, and one at a time may; stop it, or give this one a "
        "database of its own",
        f"已有另一网关正在使用该数据库{where_zh}，同一时间只允许一个；请停止该网关，或为本网关另配数据库",
    )


def _had_by_another() -> StoreError:
    return StoreError(
        "another gateway had this database while the connection was broken; what this one remembers is outdated: it "
        "ends, and may be started again",
        "连接中断期间另一网关使用过该数据库，本网关内存中的状态已过时，现停止运行，可重新启动",
    )
