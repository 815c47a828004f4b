"""How each database is opened: read-only, with time limits, and without a transaction that outlives a statement.

Owns: what differs between SQLite, PostgreSQL, MySQL and the rest at the moment of connecting. Refuses: statements. A
database that has no read-only session is opened as its user may use it: give the gateway a user that may only read.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import sqlalchemy
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from adapters import dameng
from certs.system_words import Cause

CONNECT_TIMEOUT_S = 5
KEEPALIVE: Final = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
"""PostgreSQL's: that a server lost its power in the middle of a statement is known after 25 s, not after two hours."""
_STEPS_AT_A_TIME = 5_000
_NOT_IN: Final = (
    (
        ("password authentication failed", "no pg_hba.conf entry", "认证失败", "Access denied", "ORA-01017"),
        Cause("user or password refused", "用户名或口令被拒绝"),
    ),
    (('FATAL:  database "', "Unknown database", "ORA-12514"), Cause("no such database", "没有该数据库")),
    (("resolve host", "Name or service not known", "getaddrinfo"), Cause("host name not found", "域名无法解析")),
    (("refused",), Cause("connection refused", "连接被拒绝")),
    (("timed out", "timeout"), Cause("timed out", "连接超时")),
    (("unable to open database file",), Cause("the file cannot be opened", "数据库文件无法打开")),
)
"""What drivers write of a connection that did not come to be. Only the meaning is told: the text names users."""


def not_in(error: Exception) -> Cause:
    """Why no connection came to be, as far as the driver's words tell; else the name of its error."""
    text, name = str(error), type(error).__name__
    return next((why for said, why in _NOT_IN if any(word in text for word in said)), Cause(name, name))


class Steps:
    """Counts the steps of one SQLite statement in the one thread that has a budget.

    SQLite counts over all runs of a prepared statement, so how many calls of its handler belong to this run is counted
    here; the first may come early.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.exceeded = False
        self._calls = 0

    def begin(self) -> None:
        """A statement begins."""
        self._calls = 0

    def over(self) -> int:
        """SQLite's progress handler: other than 0 when the statement is to be given up."""
        self._calls += 1
        if self._calls * _STEPS_AT_A_TIME <= self.budget:
            return 0
        self.exceeded = True
        return 1


def read_only_engine(url: URL, folder: Path, timeout_s: float, steps: Steps) -> sqlalchemy.Engine:
    """An engine without a pool, every connection of which is read-only.

    Args:
        url: of the database.
        folder: from which a relative SQLite path counts.
        timeout_s: of one statement; of waiting for a lock in SQLite.
        steps: budget of a statement in SQLite.
    """
    name = url.get_backend_name()
    if name == "sqlite":
        path = folder / (url.database or "")
        address = f"file:{quote(str(path))}?mode=ro"

        def connect() -> sqlite3.Connection:
            # Autocommit, and used by the thread that opened it except for interrupt(), which any thread may call.
            connection = sqlite3.connect(
                address, uri=True, timeout=timeout_s, isolation_level=None, check_same_thread=False
            )
            connection.execute("PRAGMA query_only = ON")
            if steps.budget:
                connection.set_progress_handler(steps.over, _STEPS_AT_A_TIME)
            return connection

        return sqlalchemy.create_engine("sqlite://", creator=connect, poolclass=NullPool)
    options: dict[str, Any] = {"poolclass": NullPool}
    milliseconds = max(1, round(timeout_s * 1000))
    first: list[str] = []
    if name == "postgresql":
        options["isolation_level"] = "AUTOCOMMIT"
        first = ["SET default_transaction_read_only = on", f"SET statement_timeout = {milliseconds}"]
        if url.get_driver_name() == "psycopg":
            options["connect_args"] = {
                "connect_timeout": CONNECT_TIMEOUT_S,
                "tcp_user_timeout": milliseconds + 1_000,
                "application_name": "wugan",
            } | {name: value for name, value in KEEPALIVE.items() if name not in url.query}
    elif name in {"mysql", "mariadb"}:
        options["isolation_level"] = "AUTOCOMMIT"
        # Each of the two servers reads the limit meant for it; to the other it is a comment.
        first = [
            "SET SESSION TRANSACTION READ ONLY",
            f"SET @wugan_maria = 1 /*M!100100 , SESSION max_statement_time = {timeout_s:.3f} */",
            f"SET @wugan_my = 1 /*!50708 , SESSION max_execution_time = {milliseconds} */",
        ]
        if url.get_driver_name() == "pymysql":
            options["connect_args"] = {
                "connect_timeout": CONNECT_TIMEOUT_S,
                "read_timeout": milliseconds / 1000 + 1,
                "write_timeout": milliseconds / 1000 + 1,
            }
    elif name == "dm":
        dameng.make_loadable()
    engine = sqlalchemy.create_engine(url, **options)
    if first:

        @sqlalchemy.event.listens_for(engine, "connect")
        def begin(connection: Any, _: object) -> None:
            cursor = connection.cursor()
            for sql in first:
                cursor.execute(sql)
            cursor.close()

    return engine
