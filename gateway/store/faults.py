"""How the store fails: foreign errors made into StoreError, once, with texts that hold nothing of the data.

Owns: the wording. Refuses: text of the database, which may quote the values of a row.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from certs.system_words import cause
from gateway.errors import StoreError
from gateway.store.postgresql import why
from wugan.federation.v1 import vocabulary_pb2 as words

_RETRY_MS = 200
_NO_DATABASE = frozenset({"SQLITE_NOTADB", "SQLITE_CORRUPT", "SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM"})
"""What SQLite says of a file that no second try makes usable."""


def failed() -> StoreError:
    """The database could not read or write."""
    return StoreError(
        "the gateway's storage failed; try again, and have its administrator look at disk and database",
        "网关存储发生故障，请重试，并由管理员检查磁盘与数据库",
    )


def overloaded() -> StoreError:
    """More is waiting to be written than is allowed to wait."""
    return StoreError(
        "the gateway has more to write down than it can at the moment; try again shortly",
        "网关写入任务过多，请稍后重试",
        reason=words.REFUSAL_REASON_OVERLOADED,
        retry_after_ms=_RETRY_MS,
    )


def closed() -> StoreError:
    """The store was closed, or is being closed."""
    return StoreError(
        "the gateway is shutting down; ask again, another instance may answer",
        "网关正在关闭，请重新查询",
        reason=words.REFUSAL_REASON_SHUTTING_DOWN,
    )


def told(error: BaseException) -> str:
    """What an error of either database means, for the log: nothing of what it says."""
    found = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    if isinstance(found, sqlite3.Error):
        return str(getattr(found, "sqlite_errorname", type(found).__name__))
    return why(error).en if isinstance(error, DBAPIError) else type(error).__name__


@contextmanager
def wrapped() -> Iterator[None]:
    """Errors of the database and of the disk come out as StoreError."""
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        raise failed() from error


@contextmanager
def opening() -> Iterator[None]:
    """The same while a store is opened, when it matters whether a second try is of use."""
    try:
        with wrapped():
            yield
    except StoreError as error:
        found = error.__cause__.orig if isinstance(error.__cause__, DBAPIError) else error.__cause__
        name = "_".join(str(getattr(found, "sqlite_errorname", "")).split("_")[:2])
        if not isinstance(found, sqlite3.Error) or name not in _NO_DATABASE:
            raise
        raise StoreError(
            f"the database file cannot be used ({cause(found).en}); check the path and its permissions, or restore a "
            "backup",
            f"数据库文件无法使用（{cause(found).zh}），请检查路径与权限，或用备份恢复",
            retryable=False,
        ) from error
