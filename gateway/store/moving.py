"""The embedded store, put on PostgreSQL: every row of every table, or nothing.

Owns: copying in one transaction into a database without a store, and putting the file out of the way afterwards, so
that nobody starts a gateway on it again: its replay guard and its grants would be of the past. Refuses: a database that
holds a store already, the way back, and folders of encrypted files, which stay where they are.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple

import sqlalchemy as sa

from certs.system_words import cause
from gateway.clock import Clock
from gateway.config import GatewaySettings
from gateway.errors import ConfigError, StoreError
from gateway.store.audit import read_head
from gateway.store.chain import ChainHead
from gateway.store.engine import WRITES, Store, engine_at
from gateway.store.faults import opening
from gateway.store.holding import Holding
from gateway.store.migrations import upgrade
from gateway.store.place import EMBEDDED, KEY, address_of, limits_of, open_store
from gateway.store.postgresql import reached
from gateway.store.tables import ended_answer, metadata, store_meta

ROWS: Final = 1_000
"""Rows in memory at a time."""
_LEFT: Final = (ended_answer,)
"""What gateways that share a database tell each other: an embedded one is nobody else's, and the numbers are the
database's own."""


class Moved(NamedTuple):
    """What came of it.

    Args:
        rows: how many, by table; of tables that have any.
        head: the last event of the audit trail, the same before and after.
        file: where the embedded database is now.
    """

    rows: dict[str, int]
    head: ChainHead
    file: Path


def move(settings: GatewaySettings, clock: Clock) -> Moved:
    """Put the embedded store of a gateway that does not run on the PostgreSQL database of its settings.

    Raises:
        ConfigError: there is no file to move, or no address to move it to, or either cannot be used; nothing was moved.
        StoreError: the database is away, or a gateway has it, and nothing was moved; or what was moved does not verify.
    """
    file, target = settings.state_dir / EMBEDDED, address_of(settings)
    after = file.with_name(f"{EMBEDDED}.moved")
    if not isinstance(target, sa.URL):
        raise ConfigError(
            "store.url_file: is missing: it names the file with the address of the database to move to",
            "store.url_file：缺少此项，应指明存放目标数据库地址的文件",
            field="store.url_file",
        )
    if not file.is_file():
        raise ConfigError(f"{file}: is not there: nothing to move", f"{file}：文件不存在，没有可迁移的存储")
    if after.exists():
        raise ConfigError(f"{after}: is there already; move it away first", f"{after}：文件已存在，请先移走")
    asyncio.run(Store.open(file, key=settings.state_dir / KEY, clock=clock).close())  # up to date, and its key is right
    with ExitStack() as stack:
        source, database = engine_at(file), engine_at(target, limits_of(settings))
        stack.callback(source.dispose)
        stack.callback(database.dispose)
        rows, head = _copied(source, database, str(settings.store.url_file))
    try:
        file.rename(after)
    except OSError as error:
        raise ConfigError(
            f"{file}: was copied, but cannot be renamed ({cause(error).en}); move it away before a gateway starts",
            f"{file}：已复制，但无法改名（{cause(error).zh}），请在启动网关前手工移走",
        ) from error

    async def verified() -> None:
        async with open_store(settings, clock) as store:
            await store.audit.verify_chain([head])

    asyncio.run(verified())
    return Moved(rows, head, after)


def _copied(source: sa.Engine, database: sa.Engine, named: str) -> tuple[dict[str, int], ChainHead]:
    """Every row, in one transaction on either side; nobody writes into the one, and no gateway has the other."""
    holding = Holding(database, lambda _error: None)
    rows: dict[str, int] = {}
    try:
        with opening(), reached():
            holding.begin()
            upgrade(database)
            with source.execution_options(**{WRITES: True}).begin() as old, database.begin() as new:
                if new.execute(sa.select(store_meta.c.name).limit(1)).first() is not None:
                    raise ConfigError(
                        f"{named}: that database holds a store already; name an empty one",
                        f"{named}：该数据库中已有存储，请指定空数据库",
                        field="store.url_file",
                    )
                for table in metadata.sorted_tables:
                    count = 0 if table in _LEFT else _table(table, old, new)
                    if count:
                        rows[table.name] = count
                head = read_head(new)
                if head != read_head(old):
                    raise StoreError("the audit trail was not copied whole", "审计日志未完整复制", retryable=False)
    finally:
        holding.release()
    return rows, head


def _table(table: sa.Table, old: sa.Connection, new: sa.Connection) -> int:
    count = 0
    found = old.execution_options(yield_per=ROWS).execute(sa.select(table))
    for part in found.mappings().partitions():
        new.execute(sa.insert(table), [dict(row) for row in part])
        count += len(part)
    return count
