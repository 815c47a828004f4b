"""What the authority has issued, to whom it gave one-time tokens, and what it has revoked: one SQLite file.

Owns: the records, and that what belongs together happens together: a token is used up exactly when its certificate is
recorded, and a certificate is given out only after its record is on the disk. Several processes may use the file at
once (a service, and the commands of administrators); a writer waits for another, and a crash leaves all of a change or
nothing of it. Refuses: keeping a token's secret (only its SHA-256 is kept; it is 256 random bits, so nothing slower is
needed), more open tokens and more unexpired certificates for one holder than anybody needs, and a file that others
can read.

A record is kept for 90 days after its certificate has expired, then removed with the next one that is written.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import hmac
import os
import secrets
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from certs.errors import EnrolmentError, IdentityError, LedgerError
from certs.identity import Identity
from certs.records import PROFILE_OCSP, OpenToken, Profile, Record, RevokedList, Token

MAX_OPEN_TOKENS: Final = 10_000
MAX_LIVE: Final = 5_000
"""Unexpired certificates of one holder and profile: one every ten minutes for a life of 30 days."""
MAX_TOKEN_LIFE: Final = dt.timedelta(days=30)
KEPT_AFTER_EXPIRY: Final = dt.timedelta(days=90)
LISTED_AFTER_EXPIRY: Final = dt.timedelta(days=7)
"""For how long a revocation list names a certificate that has expired."""

_BUSY_S: Final = 10.0
_PRUNED_AT_ONCE: Final = 200
_MAX_SECRET_CHARS: Final = 128
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
_SELECT: Final = (
    "SELECT serial, issuing, profile, holder, grounds, issued_ms, expires_ms, certificate, revoked_ms, reason"
    " FROM issued "
)


class Ledger:
    """The authority's records. Safe for several threads and processes."""

    def __init__(self, path: Path) -> None:
        """Open the ledger, making it if it is not there.

        Raises:
            LedgerError: the file cannot be used, is none of ours, or others can read it.
        """
        self._path = path
        self._lock = threading.RLock()
        try:
            _make_private(path)
            self._db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA trusted_schema = OFF")
            with self._write():
                self._require_schema()
        except (OSError, sqlite3.Error) as error:
            raise self._unusable(error) from error

    def close(self) -> None:
        """Close the file; every later call fails."""
        with self._lock:
            self._db.close()

    # certificates

    def record(
        self,
        certificate: x509.Certificate,
        *,
        issuing: str,
        profile: Profile,
        holder: Identity | None,
        grounds: str,
        now: dt.datetime,
    ) -> None:
        """Write down a certificate before it is given to anybody.

        Raises:
            LedgerError: it cannot be written, or the holder has too many that have not expired.
        """
        uri, now_ms = holder.uri if holder else "", _ms(now)
        with self._write():
            (live,) = self._one(
                "SELECT count(*) FROM issued WHERE holder = ? AND profile = ? AND expires_ms > ?", uri, profile, now_ms
            )
            if live >= MAX_LIVE:
                raise LedgerError(
                    f"{uri or profile} has {live} certificates that have not expired; no more are issued",
                    f"{uri or profile} 已有 {live} 张未过期证书，不再签发",
                )
            self._run(
                "DELETE FROM issued WHERE serial IN (SELECT serial FROM issued WHERE expires_ms < ? LIMIT ?)",
                now_ms - _span_ms(KEPT_AFTER_EXPIRY),
                _PRUNED_AT_ONCE,
            )
            self._run(
                "INSERT INTO issued (serial, fingerprint, issuing, profile, holder, member, grounds, issued_ms,"
                " expires_ms, certificate) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                _hex(certificate.serial_number),
                certificate.fingerprint(hashes.SHA256()),
                issuing,
                profile,
                uri,
                holder.member_id if holder else "",
                grounds,
                now_ms,
                _ms(certificate.not_valid_after_utc),
                certificate.public_bytes(serialization.Encoding.DER),
            )

    def by_certificate(self, certificate_der: bytes) -> Record | None:
        """The record of exactly this certificate, None if this authority did not issue it."""
        return self._record("fingerprint = ?", hashlib.sha256(certificate_der).digest())

    def by_serial(self, serial: int) -> Record | None:
        """The record of a serial number."""
        return self._record("serial = ?", _hex(serial))

    def live(self, now: dt.datetime, *, member_id: str = "", limit: int = 10_000) -> tuple[Record, ...]:
        """What has neither expired nor been revoked, of one member or of all, newest first."""
        rows = self._all(
            f"{_SELECT}WHERE expires_ms > ? AND revoked_ms IS NULL AND holder != ''"
            " AND (? = '' OR member = ?) ORDER BY issued_ms DESC, serial LIMIT ?",
            _ms(now),
            member_id,
            member_id,
            limit,
        )
        return tuple(_record(row) for row in rows)

    def revoked(self, now: dt.datetime, *, member_id: str = "") -> tuple[Record, ...]:
        """What was revoked and would not have expired yet, of one member or of all, in the order of its expiry."""
        rows = self._all(
            f"{_SELECT}WHERE revoked_ms IS NOT NULL AND expires_ms > ? AND (? = '' OR member = ?)"
            " ORDER BY expires_ms, serial",
            _ms(now),
            member_id,
            member_id,
        )
        return tuple(_record(row) for row in rows)

    def last_expiry(self, issuing: str) -> dt.datetime | None:
        """When the last certificate of an issuing CA expires, its own OCSP responders apart."""
        (latest,) = self._one(
            "SELECT max(expires_ms) FROM issued WHERE issuing = ? AND profile != ?", issuing, PROFILE_OCSP
        )
        return None if latest is None else _time(latest)

    # tokens

    def make_token(self, holder: Identity, now: dt.datetime, lifetime: dt.timedelta) -> Token:
        """A one-time token with which its bearer may enrol once as `holder`.

        Raises:
            LedgerError: too many tokens are open, the lifetime is not within 30 days, or it cannot be written.
        """
        if not dt.timedelta(0) < lifetime <= MAX_TOKEN_LIFE:
            raise LedgerError("a token lives for up to 30 days", "一次性令牌的有效期不得超过 30 天")
        token = Token(secrets.token_hex(8), secrets.token_urlsafe(32), holder, now + lifetime)
        with self._write():
            self._run("DELETE FROM tokens WHERE expires_ms < ?", _ms(now))
            (tokens,) = self._one("SELECT count(*) FROM tokens")
            if tokens >= MAX_OPEN_TOKENS:
                raise LedgerError(
                    f"{tokens} tokens are open; wait until some expire", f"未过期令牌已达 {tokens} 个，请待其过期"
                )
            self._run(
                "INSERT INTO tokens (id, secret_hash, holder, member, expires_ms) VALUES (?, ?, ?, ?, ?)",
                token.token_id,
                _secret_hash(token.secret),
                holder.uri,
                holder.member_id,
                _ms(token.expires_at),
            )
        return token

    def open_tokens(self, now: dt.datetime) -> tuple[OpenToken, ...]:
        """The tokens that may still be used, in the order in which they expire."""
        rows = self._all(
            "SELECT id, holder, expires_ms FROM tokens WHERE serial IS NULL AND expires_ms > ? ORDER BY expires_ms, id",
            _ms(now),
        )
        return tuple(OpenToken(token_id, Identity.parse(holder), _time(expires)) for token_id, holder, expires in rows)

    def cancel_token(self, token_id: str) -> bool:
        """Take a token back; answers whether there was one to take."""
        with self._write():
            found = self._maybe("SELECT 1 FROM tokens WHERE id = ? AND serial IS NULL", token_id) is not None
            self._run("DELETE FROM tokens WHERE id = ? AND serial IS NULL", token_id)
        return found

    def redeem(
        self,
        token_id: str,
        secret: str,
        now: dt.datetime,
        issue: Callable[[Identity, Record | None], x509.Certificate],
    ) -> x509.Certificate:
        """Let `issue` make a certificate for a token's holder and use the token up, both or neither.

        Args:
            token_id: which token.
            secret: its secret.
            now: the time.
            issue: is called with the holder and what the token was used up for, if it was; it answers with a
                certificate that it has recorded, or raises.

        Raises:
            EnrolmentError: no such token, not its secret, or expired: all alike.
            LedgerError: the ledger cannot be used.
        """
        given = _secret_hash(secret[:_MAX_SECRET_CHARS])
        with self._write():
            row = self._maybe("SELECT secret_hash, holder, expires_ms, serial FROM tokens WHERE id = ?", token_id)
            expected, holder, expires_ms, serial = row or (bytes(32), "", 0, None)
            if not hmac.compare_digest(expected, given) or _ms(now) >= expires_ms:
                raise EnrolmentError(
                    "unauthenticated",
                    "the token is not valid, or no longer; ask the authority's administrator for another",
                    "一次性令牌无效或已失效，请向签发机构管理员申请新令牌",
                )
            used = None if serial is None else self.by_serial(int(serial, 16))
            if serial is not None and used is None:
                raise LedgerError("a used token has lost its record", "已用令牌的签发记录缺失")
            certificate = issue(Identity.parse(holder), used)
            self._run("UPDATE tokens SET serial = ? WHERE id = ?", _hex(certificate.serial_number), token_id)
        return certificate

    # revocation

    def revoke(self, serial: int, reason: x509.ReasonFlags, now: dt.datetime) -> Record | None:
        """Revoke a certificate; one that is revoked stays as it was. None if there is no such certificate."""
        with self._write():
            if self.by_serial(serial) is None:
                return None
            self._revoke("serial = ?", _hex(serial), reason, now)
            return self.by_serial(serial)

    def revoke_member(self, member_id: str, reason: x509.ReasonFlags, now: dt.datetime) -> tuple[Record, ...]:
        """Revoke all that a member has, and take back its tokens; answers with what was not revoked before."""
        with self._write():
            found = self.live(now, member_id=member_id, limit=1_000_000)
            self._run("DELETE FROM tokens WHERE member = ?", member_id)
            self._revoke("member = ?", member_id, reason, now)
            return tuple(record for one in found if (record := self.by_serial(one.serial)) is not None)

    def revision(self) -> int:
        """Grows with every revocation."""
        return int(self.state("revision") or 0)

    def revoked_list(self, issuing: str, now: dt.datetime) -> RevokedList:
        """What the next revocation list of an issuing CA says; takes a new number for it (RFC 5280 section 5.2.3).

        An entry stays for a while after its certificate has expired, so at least one list holds it (section 3.3).
        """
        with self._write():
            number = int(self.state(f"crl {issuing}") or 0) + 1
            self.set_state(f"crl {issuing}", str(number))
            rows = self._all(
                f"{_SELECT}WHERE issuing = ? AND revoked_ms IS NOT NULL AND expires_ms > ?",
                issuing,
                _ms(now - LISTED_AFTER_EXPIRY),
            )
            return RevokedList(tuple(_record(row) for row in rows), self.revision(), number)

    # state

    def state(self, name: str) -> str:
        """A small text kept under a name, "" if there is none."""
        row = self._maybe("SELECT value FROM state WHERE name = ?", name)
        return str(row[0]) if row else ""

    def set_state(self, name: str, value: str) -> None:
        """Keep a small text under a name."""
        with self._write():
            self._run("INSERT OR REPLACE INTO state (name, value) VALUES (?, ?)", name, value)

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """All that is done within happens, or none of it; no other process writes meanwhile.

        Raises:
            LedgerError: the ledger cannot be used.
        """
        with self._write():
            yield

    @contextlib.contextmanager
    def _write(self) -> Iterator[None]:
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

    def _require_schema(self) -> None:
        (version,) = self._one("PRAGMA user_version")
        if version == _VERSION:
            return
        if version or self._one("SELECT count(*) FROM sqlite_schema")[0]:
            raise LedgerError(f"{self._path}: not a ledger of this version", f"{self._path}：不是本版本的签发台账")
        for statement in _SCHEMA.split(";\n"):
            self._db.execute(statement)
        self._db.execute(f"PRAGMA user_version = {_VERSION}")

    def _revoke(self, where: str, value: str, reason: x509.ReasonFlags, now: dt.datetime) -> None:
        statement = f"UPDATE issued SET revoked_ms = ?, reason = ? WHERE {where} AND revoked_ms IS NULL"  # noqa: S608
        self._run(statement, _ms(now), reason.value, value)
        self.set_state("revision", str(self.revision() + 1))

    def _record(self, where: str, value: object) -> Record | None:
        row = self._maybe(f"{_SELECT}WHERE {where}", value)
        return None if row is None else _record(row)

    def _run(self, statement: str, *values: object) -> None:
        self._all(statement, *values)

    def _one(self, statement: str, *values: object) -> Any:
        return self._all(statement, *values)[0]

    def _maybe(self, statement: str, *values: object) -> Any:
        rows = self._all(statement, *values)
        return rows[0] if rows else None

    def _all(self, statement: str, *values: object) -> list[Any]:
        try:
            with self._lock:
                return self._db.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> LedgerError:
        return LedgerError(
            f"{self._path}: the ledger cannot be used ({error}); check the file, its permissions and the free space",
            f"{self._path}：签发台账不可用（{error}），请检查文件、权限与剩余空间",
        )


def _make_private(path: Path) -> None:
    """SQLite gives the files beside it the same permissions."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        mode = os.fstat(descriptor).st_mode
    finally:
        os.close(descriptor)
    if not stat.S_ISREG(mode) or mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise LedgerError(
            f"{path}: must be a regular file that only its owner can reach; run: chmod 600 {path}",
            f"{path}：必须是仅属主可访问的普通文件，请执行：chmod 600 {path}",
        )


def _record(row: Any) -> Record:
    serial, issuing, profile, holder, grounds, issued_ms, expires_ms, certificate, revoked_ms, reason = row
    try:
        return Record(
            int(serial, 16),
            issuing,
            profile,
            Identity.parse(holder) if holder else None,
            grounds,
            _time(issued_ms),
            _time(expires_ms),
            certificate,
            None if revoked_ms is None else _time(revoked_ms),
            None if reason is None else x509.ReasonFlags(reason),
        )
    except (ValueError, IdentityError) as error:
        raise LedgerError("a record of the ledger is damaged", "签发台账中有损坏的记录") from error


def _secret_hash(secret: str) -> bytes:
    return hashlib.sha256(b"wugan-enrolment-token-v1\x00" + secret.encode("utf-8", "surrogateescape")).digest()


def _hex(serial: int) -> str:
    return f"{serial:x}"


def _ms(time: dt.datetime) -> int:
    if time.tzinfo is None:
        raise LedgerError("a time needs a time zone", "时间必须带时区")
    return int(time.timestamp() * 1000)


def _span_ms(span: dt.timedelta) -> int:
    return int(span.total_seconds() * 1000)


def _time(ms: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(ms / 1000, dt.UTC)
