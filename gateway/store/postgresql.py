"""PostgreSQL: how it is connected to, what every session is given, and why it cannot be reached, in words.

Owns: an engine with few connections, none of which waits for good: not for the server to be found, for a statement, for
a lock, nor for a peer that died without a word. What the address says of a connection (TLS, several hosts, its own
waiting times) is left alone. Refuses: statements of the store, and repeating what the driver says: it names users.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from certs.system_words import Cause
from gateway.errors import StoreError

CONNECT_S: Final = 5
"""Seconds for a connection to come to be, and for one of the pool to become free."""
_GONE_MS: Final = 15_000
"""Milliseconds after which a peer that acknowledges nothing is taken for gone."""
_BEYOND_S: Final = 10
"""Seconds by which an answer may be later than the time that its statement had at the server."""
_CONNECTING: Final[dict[str, Any]] = {
    "connect_timeout": CONNECT_S,
    "tcp_user_timeout": _GONE_MS,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "application_name": "wugan",
}
_SESSION: Final = sa.text(
    "SELECT set_config('statement_timeout', :statement, false), "
    "set_config('idle_in_transaction_session_timeout', :statement, false), "
    # The server, too, finds out that a gateway is gone, and lets go of what it held.
    "set_config('tcp_keepalives_idle', '10', false), set_config('tcp_keepalives_interval', '5', false), "
    "set_config('tcp_keepalives_count', '3', false), "
    # A commit is on the disk when it is reported, whatever the server's default; a stricter one is left alone.
    "set_config('synchronous_commit', CASE WHEN current_setting('synchronous_commit') IN ('off', 'local') "
    "THEN 'on' ELSE current_setting('synchronous_commit') END, false)"
)


if TYPE_CHECKING:
    from psycopg import Connection


class Limits(NamedTuple):
    """What a gateway takes of a server.

    Args:
        connections: how many at once.
        statement_s: seconds for a statement, waiting for others included, and for a transaction that does nothing.
    """

    connections: int = 16
    statement_s: float = 30.0


class _Said(NamedTuple):
    parts: tuple[str, ...]
    cause: Cause
    setting: bool = False


_SAID: Final = (
    _Said(
        ("password authentication failed", "no pg_hba.conf entry", "no password supplied", "认证失败", "没有用于主机"),
        Cause("user or password refused", "用户名或口令被拒绝"),
        setting=True,
    ),
    _Said(
        ('FATAL:  database "', '致命错误:  数据库 "', "3D000"), Cause("no such database", "没有该数据库"), setting=True
    ),
    _Said(('FATAL:  role "', '致命错误:  角色 "'), Cause("no such user", "没有该用户"), setting=True),
    _Said(
        ("certificate verify failed", "server certificate for"),
        Cause("the server's certificate is not accepted", "服务器证书未通过验证"),
        setting=True,
    ),
    _Said(
        ("root certificate file", "certificate revocation list", "could not read certificate", "private key file"),
        Cause("a file of the address's TLS settings cannot be used", "地址中 TLS 参数所指的文件无法使用"),
        setting=True,
    ),
    _Said(("does not support SSL",), Cause("the server offers no TLS", "服务器未启用 TLS"), setting=True),
    _Said(
        ("invalid connection option", "invalid sslmode value", "invalid value for", "invalid port", "invalid integer"),
        Cause("the address says what the driver does not know", "地址中有驱动程序无法识别的参数"),
        setting=True,
    ),
    _Said(("42501",), Cause("the user may not do what is needed", "该用户权限不足"), setting=True),
    _Said(("3F000",), Cause("there is no schema to make tables in", "没有可建表的模式（schema）"), setting=True),
    _Said(("25006", "read-only"), Cause("the server takes no writes: a standby", "服务器为只读备库，不接受写入")),
    _Said(("resolve host", "Name or service not known"), Cause("host name not found", "域名无法解析")),
    _Said(("refused", "No such file or directory"), Cause("connection refused", "连接被拒绝")),
    _Said(("timed out", "timeout expired", "57014"), Cause("timed out", "超时")),
    _Said(("starting up", "shutting down", "recovery mode", "57P0"), Cause("starting or stopping", "正在启动或停止")),
    _Said(("too many", "remaining connection slots", "53300"), Cause("too many connections", "连接数已满")),
    _Said(("53100", "No space left"), Cause("the server's disk is full", "服务器磁盘已满")),
    _Said(
        ("closed the connection", "closed unexpectedly", "reset by peer", "SYSCALL", "is lost", "broken", "is closed"),
        Cause("the connection broke", "连接中断"),
    ),
)
"""What server and driver say (text, or code of an error), what it means, and whether a setting is to be corrected."""
_UNKNOWN: Final = _Said((), Cause("database error", "数据库出错"))


def engine_of(url: sa.URL, limits: Limits) -> sa.Engine:
    """An engine for this address.

    Raises:
        ArgumentError, ImportError: the address, or its driver, cannot be used.
    """
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    engine = sa.create_engine(
        url,
        connect_args={name: value for name, value in _CONNECTING.items() if name not in url.query},
        pool_size=limits.connections,
        max_overflow=0,
        pool_timeout=CONNECT_S,
        pool_pre_ping=True,
    )
    impatient = _impatient(limits.statement_s + _BEYOND_S)

    def connect(_dialect: object, _record: object, arguments: Sequence[Any], given: dict[str, Any]) -> Any:
        return impatient.connect(*arguments, **given)

    session = str(_SESSION.compile(dialect=engine.dialect))
    values = {"statement": str(max(1, round(limits.statement_s * 1000)))}

    def set_up(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        cursor.execute(session, values)
        cursor.close()
        connection.commit()

    sa.event.listen(engine, "do_connect", connect)
    sa.event.listen(engine, "connect", set_up)
    return engine


def _impatient(longest_s: float) -> type[Connection[Any]]:
    """Connections that wait for the server for so many seconds at most, whatever they wait for.

    The server ends statements by itself, and the network finds out that a machine died. A server that was suspended,
    and a balancer that lost its server, do neither: the store's writer would wait for good.
    """
    from psycopg import Connection, OperationalError
    from psycopg.pq import TransactionStatus

    class Impatient(Connection[Any]):
        def wait(self, *args: Any, **given: Any) -> Any:
            given.setdefault("timeout", longest_s)
            try:
                return super().wait(*args, **given)
            except OperationalError:
                if self.pgconn.transaction_status == TransactionStatus.ACTIVE:  # an answer may come yet
                    self.pgconn.finish()
                raise

    return Impatient


def over_tls(connection: sa.Connection) -> bool:
    """Whether what goes over a connection is encrypted."""
    return bool(getattr(getattr(connection.connection.driver_connection, "pgconn", None), "ssl_in_use", False))


def why(error: BaseException) -> Cause:
    """What an error of the database means, without its words."""
    return _said(error).cause


@contextmanager
def reached() -> Iterator[None]:
    """Errors of connecting, and of what is done first, come out as StoreError with their cause.

    Raises:
        StoreError: retryable, it may go by itself; not retryable, somebody has to correct a setting or a right.
    """
    try:
        yield
    except DBAPIError as error:
        said = _said(error)
        en, zh = said.cause
        if said.setting:
            raise StoreError(
                f"PostgreSQL does not let the gateway work ({en}); correct the address, or the user's rights",
                f"PostgreSQL 拒绝网关使用（{zh}），请更正数据库地址，或在服务器上调整该用户的权限",
                retryable=False,
            ) from error
        raise StoreError(
            f"PostgreSQL cannot be used at the moment ({en}); look at the server and the network, and try again",
            f"PostgreSQL 暂时无法使用（{zh}），请检查服务器与网络后重试",
        ) from error


def _said(error: BaseException) -> _Said:
    found = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    code = getattr(found, "sqlstate", None)
    text = str(code or found)
    return next((said for said in _SAID if any(part in text for part in said.parts)), _UNKNOWN)
