"""The store as a whole: one database, one key, one writer, and what is kept through them.

    store = Store.open(folder / "wugan.db", key=folder / "store.key", clock=clock)
    await store.replay.admit(...)
    await store.audit.record(...)
    await store.close()

Owns: opening (schema brought up to date, key checked, files private) and closing. Embedded: one SQLite file in WAL mode
with synchronous=FULL, so that a commit that was reported is on the disk. Refuses: a database whose key is missing or
another one, because what it would write could not be read, nor its audit trail continued; and knowing a gateway's
settings (`gateway.store.place`).
"""

from __future__ import annotations

import asyncio
import hmac
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Self

import sqlalchemy as sa
import structlog
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import ConnectionPoolEntry

from certs.private_files import open_to_others
from certs.system_words import cause
from gateway.aside import Aside
from gateway.clock import Clock
from gateway.errors import StoreError
from gateway.log import described
from gateway.store.acts import Acts
from gateway.store.adapters import Adapters
from gateway.store.alarms import Alarms
from gateway.store.answers import KeptAnswers
from gateway.store.audit import AuditLog, read_head
from gateway.store.certifications import Certifications
from gateway.store.chain import ChainHead
from gateway.store.changes import Changes
from gateway.store.disclosures import Disclosures
from gateway.store.duplicates import Duplicates
from gateway.store.ended import EndedAnswers
from gateway.store.faults import failed, opening, wrapped
from gateway.store.holding import Holding
from gateway.store.inbox import InboxTable
from gateway.store.keys import StoreKeys, load_or_create_key
from gateway.store.late import LateChecks
from gateway.store.letters import Effect, Together
from gateway.store.matchings import Matchings
from gateway.store.migrations import NEWEST, current, lock, upgrade
from gateway.store.notices import Notices
from gateway.store.outbox import OutboxTable
from gateway.store.partner_state import PartnerStates
from gateway.store.parts import Parts
from gateway.store.post_office import PostOffice
from gateway.store.postgresql import Limits, engine_of, over_tls, reached
from gateway.store.quality import Quality
from gateway.store.reader import Reader
from gateway.store.replay import DurableReplayGuard
from gateway.store.reusable import ReusableAnswers
from gateway.store.subscriptions import Subscriptions
from gateway.store.tables import store_meta
from gateway.store.trail import Trail
from gateway.store.usage import Usage
from gateway.store.watches import Watches
from gateway.store.writer import Writer

QUEUE_LIMIT = 8192
"""Writes that may be under way, four seconds of a thousand exchanges a second; more are refused as OVERLOADED."""
UPGRADE_S = 3_600.0
"""Seconds for one statement of bringing the tables of PostgreSQL up to date."""
BUSY_TIMEOUT_MS = 5000
_LOOK_AGAIN_MS = 20
_PRAGMAS = (
    f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA trusted_schema=OFF",
)
WRITES = "wugan_writes"
"""Option of an engine of the embedded database whose transactions take the write lock at once."""
_KEY_CHECK = "key_check"
_LIMITS = Limits()

_log = structlog.stdlib.get_logger(__name__)


class Store:
    """What one gateway keeps. Made by `open`."""

    def __init__(
        self,
        engine: sa.Engine,
        keys: StoreKeys,
        clock: Clock,
        *,
        queue_limit: int,
        alone: Callable[[], bool],
        calls: Callable[[], int],
        waited_s: Callable[[], float],
        holding: Holding | None = None,
    ) -> None:
        self._engine = engine
        self._holding = holding
        self._keys = keys
        self._reader = Reader(engine)
        self._measuring = Aside()
        self._writer = Writer(
            engine.execution_options(**{WRITES: True}),
            clock,
            limit=queue_limit,
            alone=alone,
            connect=None if holding is None else holding.connect,
        )
        self._together = Together()
        self.replay = DurableReplayGuard(self._writer, self._reader, clock)
        self.audit = AuditLog(self._writer, self._reader, keys, clock)
        self.trail = Trail(self._reader)
        self.answers = KeptAnswers(self._writer, self._reader, keys, clock)
        self.ended = EndedAnswers(self._reader, shared=engine.dialect.name != "sqlite")
        self.reusable = ReusableAnswers(self._writer, self._reader, keys, self.ended)
        self.disclosures = Disclosures(self._writer, keys, calls, waited_s)
        self.acts = Acts(self._writer, self._reader, keys)
        self.adapters = Adapters(self._writer, self._reader, keys)
        self.usage = Usage(self._writer, self._reader, keys)
        self.alarms = Alarms(self._writer, self._reader, keys)
        self.partners = PartnerStates(self._writer, self._reader)
        self.outbox = OutboxTable(self._writer, self._reader, keys)
        self.inbox = InboxTable(self._writer, self._reader, keys)
        self.late = LateChecks(self._writer, self._reader, keys)
        self.watches = Watches(self._writer, self._reader, keys)
        self.changes = Changes(self._writer, self._reader, keys)
        self.subscriptions = Subscriptions(self._writer, self._reader, keys)
        self.notices = Notices(self._writer, self._reader, keys)
        self.certifications = Certifications(self._writer)
        self.duplicates = Duplicates(self._writer, self._reader, keys)
        self.matchings = Matchings(self._writer, self._reader, keys)
        self.quality = Quality(self._writer, self._reader)
        self.once_tags = keys.once_tags
        """What stands for numbers, names, faces and references in the once-only gate; keyed."""
        self.once_again = keys.once_again
        """What stands for a person and a class of benefits, of what stands for the person; keyed."""
        self.post_office = PostOffice(self._writer, self._reader, self.audit, self.outbox, self.inbox, self.late)
        self.order_key = keys.order_key
        """(partner, normalised number) → what keeps deliveries about a person in order; keyed."""
        self.protected_digest = keys.protected_digest
        """What stands for a person on the list of special protection; keyed."""
        self.pseudonym_key = keys.pseudonym_key
        """For the asking side, under which officials become pseudonyms; 32 bytes."""

    def parts(self, root: Path) -> Parts:
        """Folders of encrypted files under `root`, for what is too large for rows."""
        return Parts(root, self._keys)

    @classmethod
    def open(
        cls,
        where: str | Path | sa.URL,
        *,
        key: bytes | Path,
        clock: Clock,
        queue_limit: int = QUEUE_LIMIT,
        alone: Callable[[], bool] = lambda: False,
        calls: Callable[[], int] = lambda: 1,
        waited_s: Callable[[], float] = lambda: 0.0,
        limits: Limits = _LIMITS,
        replaced: Callable[[StoreError], None] | None = None,
    ) -> Store:
        """Open the store, making it where there is none. Blocks for some milliseconds; call it at start.

        Args:
            where: path of the embedded database, or a URL of SQLAlchemy, "sqlite:///…" or "postgresql+psycopg://…".
            key: the 32 secret bytes, or the file that holds them; the file is made with a new store.
            clock: tells what is old enough to be deleted.
            queue_limit: writes that may be under way; more are refused.
            alone: whether one call at most is under way that began lately, whose writes then wait for no others.
            calls: how many are under way and began lately, whose disclosures wait for each other for a moment.
            waited_s: how long calls wait before they are taken up, seconds: for as long do disclosures wait, too.
            limits: of PostgreSQL.
            replaced: given by the gateway itself, which has a database on PostgreSQL for itself, commands aside;
                called, from any thread, when another gateway took it: then this one writes no more, and is to end.

        Raises:
            StoreError: the database or the key cannot be used; the message says which and what to do. Retryable: it may
                be opened later.
        """
        engine = engine_at(where, limits)
        holding = None if replaced is None or engine.dialect.name == "sqlite" else Holding(engine, replaced)
        try:
            with opening(), _reaching(engine):
                if holding is not None:
                    holding.begin()
                _upgrade(engine, limits)
                keys = _checked_keys(engine.execution_options(**{WRITES: True}), key)
                with engine.connect() as connection:
                    head, tls = read_head(connection), over_tls(connection)
                if holding is not None:
                    holding.note()
                store = cls(
                    engine,
                    keys,
                    clock,
                    queue_limit=queue_limit,
                    alone=alone,
                    calls=calls,
                    waited_s=waited_s,
                    holding=holding,
                )
        except BaseException:
            if holding is not None:
                holding.release()
            engine.dispose()
            raise
        if engine.dialect.name == "sqlite":
            _note(head, "store opened")
        else:
            _note(head, "store opened", database="PostgreSQL", tls=tls)
        return store

    def together(self, effects: Sequence[Effect]) -> asyncio.Future[None]:
        """Have several writes committed together, all or none; their `after` is for the caller to call.

        Raises:
            StoreError: too much is waiting, or the store is closed; so does the future when the write failed.
        """
        return self._writer.submit(self._together, effects)

    @property
    def waiting(self) -> int:
        """Writes under way, for metrics."""
        return self._writer.waiting

    async def size(self) -> int:
        """Bytes of the database at its server.

        Raises:
            StoreError: it cannot be reached; the message says why, and is for the administrator alone.
        """

        def ask() -> int:
            with wrapped(), _reaching(self._engine), self._engine.connect() as connection:
                query = sa.select(sa.func.pg_database_size(sa.func.current_database()))
                return int(connection.execute(query).scalar() or 0)

        return await self._measuring.do(ask)

    async def close(self) -> None:
        """Write what is waiting, then close. Afterwards every write raises StoreError."""
        await self._writer.close()
        if self._holding is not None:
            self._holding.release()
        try:
            _note(await self.audit.head(), "store closed")
        except StoreError as error:
            _log.warning("store closed without reading the audit trail", fault=described(error))
        self._reader.close()
        self._measuring.close()
        self._engine.dispose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _reaching(engine: sa.Engine) -> AbstractContextManager[None]:
    return nullcontext() if engine.dialect.name == "sqlite" else reached()


def _note(head: ChainHead, event: str, **more: str | bool) -> None:
    """The end of the audit trail goes to the log, out of reach of whoever gets at the database."""
    _log.info(event, audit_sequence=head.sequence, audit_mac=head.mac.hex(), **more)


def engine_at(where: str | Path | sa.URL, limits: Limits = _LIMITS) -> sa.Engine:
    """An engine for either database, settings of the connections included; for `where` and `limits` see `Store.open`.

    Raises:
        StoreError: the address or the file cannot be used.
    """
    try:
        url = where if isinstance(where, sa.URL) else _url(where)
        backend = url.get_backend_name()
        if backend == "sqlite":
            if url.database in (None, "", ":memory:"):
                raise _unusable()
            _make_private(Path(str(url.database)))
            engine = sa.create_engine(url)
            sa.event.listen(engine, "connect", _set_up_embedded)
            sa.event.listen(engine, "begin", _begin_embedded)
            return engine
        if backend == "postgresql":
            return engine_of(url, limits)
    except (ArgumentError, ImportError) as error:
        raise _unusable() from error
    except OSError as error:
        raise StoreError(
            f"the database file cannot be used ({cause(error).en}); check the path and its permissions",
            f"数据库文件无法使用（{cause(error).zh}），请检查路径与权限",
            retryable=False,
        ) from error
    raise _unusable()


def _url(where: str | Path) -> sa.URL:
    if isinstance(where, str) and "://" in where:
        return sa.make_url(where)
    return sa.URL.create("sqlite", database=str(where))


def _make_private(path: Path) -> None:
    """The file and its folder exist, and nobody else may read the file; SQLite gives its WAL the same mode."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(mode=0o600)
    if open_to_others(path.stat()):
        path.chmod(0o600)


def _set_up_embedded(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.isolation_level = None  # the driver begins nothing by itself; `_begin_embedded` does
        _write_ahead(connection)
        for pragma in _PRAGMAS:
            connection.execute(pragma)


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Have changes written ahead. Of several that open a new database at once one does it, and SQLite does not always
    have the others wait for it, whatever `busy_timeout` says.
    """
    connection.execute("PRAGMA busy_timeout=0")
    for left in range(BUSY_TIMEOUT_MS // _LOOK_AGAIN_MS, -1, -1):
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if not left or error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            time.sleep(_LOOK_AGAIN_MS / 1000)
        else:
            return


def _begin_embedded(connection: sa.Connection) -> None:
    """A writer takes the write lock at once: one that asks for it half-way through may be refused it."""
    driver = connection.connection.driver_connection
    if isinstance(driver, sqlite3.Connection) and not driver.in_transaction:
        try:
            driver.execute("BEGIN IMMEDIATE" if connection.get_execution_options().get(WRITES) else "BEGIN")
        except sqlite3.Error as error:
            raise failed() from error


def _upgrade(engine: sa.Engine, limits: Limits) -> None:
    """Bring the tables up to date; a step over large tables may take longer than any other statement."""
    if engine.dialect.name != "sqlite":
        with engine.connect() as connection:
            if current(connection) == NEWEST:
                return
        patient = engine_at(engine.url, limits._replace(statement_s=max(limits.statement_s, UPGRADE_S)))
        try:
            upgrade(patient)
        finally:
            patient.dispose()
        return
    upgrade(engine.execution_options(**{WRITES: True}))


def _checked_keys(engine: sa.Engine, key: bytes | Path) -> StoreKeys:
    """The keys, once it is sure that they are this database's; a new database remembers whose it is."""
    with engine.begin() as connection:
        lock(connection)
        query = sa.select(store_meta.c.value).where(store_meta.c.name == _KEY_CHECK)
        known = connection.execute(query).scalar()
        keys = StoreKeys(load_or_create_key(key, may_create=known is None) if isinstance(key, Path) else key)
        if known is None:
            connection.execute(sa.insert(store_meta).values(name=_KEY_CHECK, value=keys.check_value))
        elif not hmac.compare_digest(known, keys.check_value):
            raise StoreError(
                "the store key is not the one this database was written under; restore the right key file",
                "存储密钥与该数据库不匹配，请恢复正确的密钥文件",
                retryable=False,
            )
    return keys


def _unusable() -> StoreError:
    return StoreError(
        "the database address cannot be used; write a file path, or a postgresql+psycopg:// address and install "
        "wugan[postgresql]",
        "数据库地址无法使用；请填写文件路径，或 postgresql+psycopg:// 地址并安装 wugan[postgresql]",
        retryable=False,
    )
