"""The authority's record: members, the keys they published, what was revoked, who has seen which version.

Owns: one SQLite file, `members.db`, every change durable before it is published (synchronous=FULL), and knowing whether
something in it was not published yet: after a crash between the two, it is. Refuses: judging what it is given
(`gateway.authority.archive` does), and the clock.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from certs.system_words import cause
from gateway.errors import StoreError
from wugan.federation.v1 import authority_pb2, directory_pb2

RECORD_FILE: Final = "members.db"
_SCHEMA: Final = 1
_TABLES: Final = """
create table if not exists member (
    member_id text primary key, entry blob not null, sequence integer not null default 0,
    publication blob not null default x'', version integer not null default 0
) without rowid;
create table if not exists revocation (
    serial blob, issuer blob, at_ms integer not null, reason integer not null, expires_ms integer not null,
    primary key (serial, issuer)
) without rowid;
create table if not exists barred (key_id text primary key, at_ms integer not null) without rowid;
create table if not exists seen (
    member_id text primary key, version integer not null, at_ms integer not null
) without rowid;
create table if not exists member_ca (
    name text primary key, member_id text not null, certificate blob not null unique,
    accepted_ms integer not null, revoked_ms integer not null default 0
) without rowid;
create table if not exists state (name text primary key, value integer not null) without rowid;
"""


@dataclass(frozen=True, slots=True)
class Row:
    """A member on the record.

    Args:
        entry: what the directory says of it.
        sequence: of its last publication, 0 before the first.
        publication: SHA-256 of the last publication.
        version: the first directory that lists these keys; 0 until there is one.
    """

    entry: directory_pb2.Member
    sequence: int
    publication: bytes
    version: int


@dataclass(frozen=True, slots=True)
class Accepted:
    """A CA that a member runs itself, on the record.

    Args:
        name: what the authority calls it, "external-1" and so on.
        member_id: whose.
        certificate: DER.
        accepted_ms: since when, Unix milliseconds.
        revoked_ms: since when it is taken back; 0: it is not.
    """

    name: str
    member_id: str
    certificate: bytes
    accepted_ms: int
    revoked_ms: int = 0


class Membership:
    """The record in a folder. Used by one thread at a time, under the lock of the folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / RECORD_FILE
        with self._faults():
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._database = sqlite3.connect(self._path, timeout=30, isolation_level=None, check_same_thread=False)
            # One flush of the disk for a change instead of four; every gateway's report is a change.
            self._database.execute("pragma journal_mode = wal")
            self._database.execute("pragma synchronous = full")
            found = self._database.execute("pragma user_version").fetchone()[0]
            if found not in (0, _SCHEMA):
                raise StoreError(
                    f"{self._path}: was written by another version of this program (format {found})",
                    f"{self._path}：由其他版本的程序写入（格式 {found}）",
                    retryable=False,
                )
            self._database.executescript(f"begin immediate; {_TABLES} pragma user_version = {_SCHEMA}; commit;")

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    @contextlib.contextmanager
    def change(self) -> Iterator[None]:
        """All that is changed within the block, or nothing of it; what was changed is to be published."""
        with self._faults():
            self._database.execute("begin immediate")
            try:
                yield
                self.count("revision", self.state("revision") + 1)
                self._database.execute("commit")
            except BaseException:
                self._database.execute("rollback")
                raise

    def rows(self) -> dict[str, Row]:
        """Every member, by id."""
        found = self._all("select member_id, entry, sequence, publication, version from member order by member_id")
        return {row[0]: Row(directory_pb2.Member.FromString(row[1]), *row[2:]) for row in found}

    def row(self, member_id: str) -> Row | None:
        """One member."""
        found = self._all("select entry, sequence, publication, version from member where member_id = ?", member_id)
        return Row(directory_pb2.Member.FromString(found[0][0]), *found[0][1:]) if found else None

    def version(self, member_id: str) -> int:
        """The first directory that lists what is on record of a member; 0 until there is one, and where it is none."""
        found = self._all("select version from member where member_id = ?", member_id)
        return int(found[0][0]) if found else 0

    def issuers_of_revoked(self, serial: bytes) -> frozenset[bytes]:
        """SHA-256 of the CAs that issued a certificate of that serial number which was taken back."""
        return frozenset(row[0] for row in self._all("select issuer from revocation where serial = ?", serial))

    def any_revoked(self, serials: Collection[bytes]) -> bool:
        """Whether a certificate of one of these serial numbers, whoever issued it, was taken back."""
        among = ", ".join("?" * len(serials))
        return bool(self._all(f"select 1 from revocation where serial in ({among}) limit 1", *serials))  # noqa: S608

    def put(self, row: Row) -> None:
        """Add a member, or replace what is said of it."""
        self._run(
            "insert or replace into member values (?, ?, ?, ?, ?)",
            row.entry.member_id,
            row.entry.SerializeToString(deterministic=True),
            row.sequence,
            row.publication,
            row.version,
        )

    def remove(self, member_id: str) -> None:
        """Take a member off the record."""
        self._run("delete from member where member_id = ?", member_id)
        self._run("delete from seen where member_id = ?", member_id)

    def revocations(self, after_ms: int = 0) -> list[directory_pb2.Revocation]:
        """Every certificate taken back that had not expired at a time (Unix milliseconds)."""
        found = self._all(
            "select serial, issuer, at_ms, reason from revocation where expires_ms = 0 or expires_ms > ?"
            " order by at_ms, serial, issuer",
            after_ms,
        )
        return [
            directory_pb2.Revocation(serial_number=serial, issuer_sha256=issuer, revoked_at_ms=at_ms, reason=reason)
            for serial, issuer, at_ms, reason in found
        ]

    def revoke(self, revocation: directory_pb2.Revocation, expires_ms: int) -> None:
        """Take a certificate back, until it expires (Unix milliseconds; 0: for ever)."""
        self._run(
            "insert or ignore into revocation values (?, ?, ?, ?, ?)",
            revocation.serial_number,
            revocation.issuer_sha256,
            revocation.revoked_at_ms,
            revocation.reason,
            expires_ms,
        )

    def accepted(self) -> list[Accepted]:
        """Every CA of a member, those taken back too, in the order in which they came."""
        found = self._all(
            "select name, member_id, certificate, accepted_ms, revoked_ms from member_ca order by length(name), name"
        )
        return [Accepted(*row) for row in found]

    def accept(self, ca: Accepted) -> None:
        """Add a CA of a member, or note that it was taken back."""
        self._run(
            "insert or replace into member_ca values (?, ?, ?, ?, ?)",
            ca.name,
            ca.member_id,
            ca.certificate,
            ca.accepted_ms,
            ca.revoked_ms,
        )

    def forget_expired(self, before_ms: int) -> None:
        """Drop revocations of certificates that expired before that (Unix milliseconds), for good."""
        self._run("delete from revocation where expires_ms between 1 and ?", before_ms)

    def barred(self) -> frozenset[str]:
        """Ids of keys that are never listed again."""
        return frozenset(row[0] for row in self._all("select key_id from barred"))

    def bar(self, key_id: str, at_ms: int) -> None:
        """Never list a key again."""
        self._run("insert or ignore into barred values (?, ?)", key_id, at_ms)

    def revision(self) -> int:
        """A number that is another one after every change, by whichever process."""
        return self.state("revision")

    def unpublished(self) -> bool:
        """Whether something was changed since the last publication."""
        return self.revision() != self.state("published revision")

    def mark_published(self, version: int, told: Mapping[str, int]) -> None:
        """Everything on the record is in the directory of this version.

        Args:
            version: of the directory.
            told: counters of what else it tells, noted with it.
        """
        with self._faults():
            self._database.execute("begin immediate")
            self._run("update member set version = ? where version = 0", version)
            for name, value in told.items():
                self.count(name, value)
            self.count("published revision", self.state("revision"))
            self._database.execute("commit")

    def seen(self) -> authority_pb2.SeenReport:
        """Which version each member's gateway works with."""
        found = self._all(
            "select member.member_id, coalesce(seen.version, 0), coalesce(seen.at_ms, 0) from member"
            " left join seen on seen.member_id = member.member_id order by member.member_id"
        )
        return authority_pb2.SeenReport(
            members=[authority_pb2.MemberSeen(member_id=row[0], version=row[1], seen_at_ms=row[2]) for row in found]
        )

    def mark_seen(self, versions: Mapping[str, tuple[int, int]]) -> None:
        """Member ids that work with a version, since when (Unix milliseconds)."""
        with self._faults():
            rows = [(member_id, version, at_ms) for member_id, (version, at_ms) in versions.items()]
            self._database.execute("begin immediate")
            self._database.executemany("insert or replace into seen values (?, ?, ?)", rows)
            self._database.execute("commit")

    def state(self, name: str) -> int:
        """A counter."""
        found = self._all("select value from state where name = ?", name)
        return int(found[0][0]) if found else 0

    def count(self, name: str, value: int) -> None:
        """Set a counter, within a `change`."""
        self._run("insert or replace into state values (?, ?)", name, value)

    def _run(self, statement: str, *values: object) -> None:
        with self._faults():
            self._database.execute(statement, values)

    def _all(self, statement: str, *values: object) -> list[Any]:
        with self._faults():
            return self._database.execute(statement, values).fetchall()

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StoreError(
                f"{self._path}: cannot be read or written ({type(error).__name__}); check folder and free space",
                f"{self._path}：无法读写（{cause(error).zh}），请检查目录、权限与剩余空间",
            ) from error
