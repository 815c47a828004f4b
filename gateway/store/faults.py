"""How the store fails: foreign errors made into StoreError, once, with texts that hold nothing of the data.

Owns: the wording. Refuses: text of the database, which may quote the values of a row.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import SQLAlchemyError

from gateway.errors import StoreError
from wugan.federation.v1 import vocabulary_pb2 as words

_RETRY_MS = 200


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


@contextmanager
def wrapped() -> Iterator[None]:
    """Errors of the database and of the disk come out as StoreError."""
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        raise failed() from error
