"""Where a gateway's store is, by its settings, and the store opened there: for the gateway, and for every command.

Owns: the names of the embedded database and of its key, and reading the address of a PostgreSQL database from its file.
Refuses: addresses in the configuration, where a password would be read by whoever reads that.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError

from certs.errors import KeyFileError
from certs.files import read_secret
from gateway.clock import Clock
from gateway.config import GatewaySettings
from gateway.errors import ConfigError, StoreError
from gateway.store.engine import Store
from gateway.store.postgresql import Limits

EMBEDDED: Final = "gateway.db"
KEY: Final = "store.key"
MAX_URL_BYTES: Final = 4_096
_FIELD: Final = "store.url_file"


def database_file(settings: GatewaySettings) -> Path | None:
    """The embedded database; None where the store is on PostgreSQL."""
    return None if settings.store.url_file is not None else settings.state_dir / EMBEDDED


def address_of(settings: GatewaySettings) -> sa.URL | Path:
    """Path of the embedded database, or the address of the other.

    Raises:
        ConfigError: the file with the address cannot be read, others may read it, or what it holds is none.
    """
    file = settings.store.url_file
    if file is None:
        return settings.state_dir / EMBEDDED
    try:
        text = read_secret(file)
    except KeyFileError as error:
        raise ConfigError(f"{_FIELD}: {error.en}", f"{_FIELD}：{error.zh}", field=_FIELD) from error
    try:
        url = sa.make_url(text.decode().strip()) if len(text) <= MAX_URL_BYTES else None
    except (ArgumentError, UnicodeDecodeError, ValueError):  # their texts quote what stands there
        url = None
    if url is None or url.drivername not in ("postgresql", "postgresql+psycopg") or not url.database:
        raise ConfigError(
            f"{_FIELD}: {file}: holds no address of a database; write one line, "
            "postgresql+psycopg://user:password@host:5432/database?sslmode=verify-full&sslrootcert=…",
            f"{_FIELD}：{file}：内容不是数据库地址；应为一行 "
            "postgresql+psycopg://用户:口令@主机:5432/数据库?sslmode=verify-full&sslrootcert=…",
            field=_FIELD,
        ) from None
    return url


def limits_of(settings: GatewaySettings) -> Limits:
    """What the gateway takes of a PostgreSQL server."""
    return Limits(settings.store.connections, settings.store.statement_s)


def open_store(
    settings: GatewaySettings,
    clock: Clock,
    *,
    alone: Callable[[], bool] = lambda: False,
    calls: Callable[[], int] = lambda: 1,
    waited_s: Callable[[], float] = lambda: 0.0,
    replaced: Callable[[StoreError], None] | None = None,
) -> Store:
    """The store of a gateway, to be closed; made where there is none yet. For the rest see `Store.open`.

    Raises:
        ConfigError: a setting, a file, a right or the key is wrong: somebody has to correct it.
        StoreError: it may be opened later; the database is away, or something else has it now.
    """
    try:
        return Store.open(
            address_of(settings),
            key=settings.state_dir / KEY,
            clock=clock,
            alone=alone,
            calls=calls,
            waited_s=waited_s,
            limits=limits_of(settings),
            replaced=replaced,
        )
    except StoreError as error:
        if error.retryable:
            raise
        where = str(settings.store.url_file or settings.state_dir)
        en, zh = (error.en, error.zh) if where in error.en else (f"{where}: {error.en}", f"{where}：{error.zh}")
        raise ConfigError(en, zh, field=error.field) from error
