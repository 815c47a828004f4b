"""The SQLite file of the ledger: opening it, its tables, and that what is written together happens together.

Owns: the file. Several processes may use it at once (a service, and the commands of administrators); a writer waits for
another, and a crash leaves all of a change or nothing of it. Refuses: knowing what the rows mean (`certs.ledger`,
`certs.ledger_tokens`), a file that others can read, and one of another version.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from certs.errors import LedgerError
from certs.private_files import open_to_others
from certs.system_words import cause

_BUSY_S: Final = 10.0
_VERSION: Final = 1

_SCHEMA: Final = """
CREATE TABLE issued (
    serial TEXT PRIMARY KEY,
    fingerprint BLOB NOT NULL UNIQUE,
    issuing TEXT NOT NULL,
    profile TEXT NOT NULL,
    holder TEXT NOT NULL,
    member TEXT NOT NULL,
    grounds TEXT NOT NULL,
    issued_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    certificate BLOB NOT NULL,
    revoked_ms INTEGER,
    reason TEXT
) WITHOUT ROWID;
CREATE INDEX issued_holder ON issued (holder, profile, expires_ms);
CREATE INDEX issued_member ON issued (member);
CREATE INDEX issued_expiry ON issued (expires_ms);
CREATE INDEX issued_revoked ON issued (issuing) WHERE revoked_ms IS NOT NULL;
CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    secret_hash BLOB NOT NULL,
    holder TEXT NOT NULL,
    member TEXT NOT NULL,
    expires_ms INTEGER NOT NULL,
    serial TEXT
) WITHOUT ROWID;
CREATE TABLE state (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


class LedgerFile:
    """The open file. Safe for several threads and processes."""

    def __init__(self, path: Path) -> None:
        """Open it, making it if it is not there.

        Raises:
            LedgerError: the file cannot be used, is none of ours, or others can read it.
        """
        self.path = path
        self._lock = threading.RLock()
        try:
            _make_private(path)
            self._db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA trusted_schema = OFF")
            with self.writing():
                self._require_schema()
        except (OSError, sqlite3.Error) as error:
            raise self._unusable(error) from error

    def close(self) -> None:
        """Close the file; every later call fails."""
        with self._lock:
            self._db.close()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """All that is done within happens, or none of it; no other process writes meanwhile.

        Raises:
            LedgerError: the file cannot be used.
        """
        try:
            with self._lock:
                if self._db.in_transaction:
                    # Ours: whoever else would have begun it had to hold the lock. Joined, not nested.
                    yield
                    return
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield
                    self._db.execute("COMMIT")
                finally:
                    if self._db.in_transaction:
                        self._db.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def run(self, statement: str, *values: object) -> None:
        """Do something. Raises LedgerError, as all below."""
        self.all(statement, *values)

    def one(self, statement: str, *values: object) -> Any:
        """The first row of several, of which there is one."""
        return self.all(statement, *values)[0]

    def maybe(self, statement: str, *values: object) -> Any:
        """The first row, None where there is none."""
        rows = self.all(statement, *values)
        return rows[0] if rows else None

    def all(self, statement: str, *values: object) -> list[Any]:
        """Every row."""
        try:
            with self._lock:
                return self._db.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def _require_schema(self) -> None:
        (version,) = self.one("PRAGMA user_version")
        if version == _VERSION:
            return
        if version or self.one("SELECT count(*) FROM sqlite_schema")[0]:
            raise LedgerError(f"{self.path}: not a ledger of this version", f"{self.path}：不是本版本的签发台账")
        for statement in _SCHEMA.split(";\n"):
            self._db.execute(statement)
        self._db.execute(f"PRAGMA user_version = {_VERSION}")

    def _unusable(self, error: OSError | sqlite3.Error) -> LedgerError:
        return LedgerError(
            f"{self.path}: the ledger cannot be used ({error}); check the file, its permissions and the free space",
            f"{self.path}：签发台账不可用（{cause(error).zh}），请检查文件、权限与剩余空间",
        )


def to_ms(time: dt.datetime) -> int:
    """A time as the file has it: Unix milliseconds.

    Raises:
        LedgerError: it has no time zone.
    """
    if time.tzinfo is None:
        raise LedgerError("a time needs a time zone", "时间必须带时区")
    return int(time.timestamp() * 1000)


def to_time(ms: int) -> dt.datetime:
    """The time that the file has as Unix milliseconds."""
    return dt.datetime.fromtimestamp(ms / 1000, dt.UTC)


def to_hex(serial: int) -> str:
    """A serial number as the file has it."""
    return f"{serial:x}"


def _make_private(path: Path) -> None:
    """SQLite gives the files beside it the same permissions."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        status = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if not stat.S_ISREG(status.st_mode) or open_to_others(status):
        raise LedgerError(
            f"{path}: must be a regular file that only its owner can reach; run: chmod 600 {path}",
            f"{path}：必须是仅属主可访问的普通文件，请执行：chmod 600 {path}",
        )
