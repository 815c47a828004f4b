"""The index of dropped files: what a lookup reads instead of the files, and what stands on the disk instead of people.

Owns: an SQLite database in the adapter's state folder. People are found by a keyed hash of their number (HMAC-SHA-256,
cut to 128 bits), names and linked numbers are encrypted (AES-256-GCM, bound to the person), and the keys stand beside
in a file of mode 0600. Without them the index is worthless and is built anew. A file goes in as one transaction, so
that a lookup sees all of it or nothing. A large file's rows stand beside the database in columns (`adapters.segments`);
the database says which of these count. Refuses: plaintext numbers and names.
"""

from __future__ import annotations

import hmac
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias
from urllib.parse import quote

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from adapters import aside, touched
from adapters.aside import PutAside
from adapters.segments import Segment, SegmentBrokenError, SegmentWriter
from adapters.tags import Tags

_FORMAT = "1"
_DIGEST_BYTES = 16
_NONCE_BYTES = 12
_KEY_BYTES = 32

_TABLES = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value BLOB);
CREATE TABLE IF NOT EXISTS files (
    id INTEGER PRIMARY KEY, part TEXT NOT NULL, name TEXT NOT NULL, version TEXT NOT NULL, rejected TEXT DEFAULT '',
    rows INTEGER DEFAULT 0, bad INTEGER DEFAULT 0, newest_on INTEGER DEFAULT 0, UNIQUE (part, name)
);
CREATE TABLE IF NOT EXISTS rows (
    person BLOB NOT NULL, part TEXT NOT NULL, file INTEGER NOT NULL, key BLOB, name BLOB NOT NULL, kind INTEGER,
    region INTEGER, observed_on INTEGER, available_on INTEGER, strength INTEGER, source_reference TEXT, detail INTEGER,
    from_on INTEGER, until_on INTEGER, UNIQUE (part, key)
);
CREATE INDEX IF NOT EXISTS rows_person ON rows (person);
CREATE TABLE IF NOT EXISTS segments (file INTEGER PRIMARY KEY, part TEXT NOT NULL, folder TEXT NOT NULL);
"""
_EMPTY = (
    "DELETE FROM rows",
    "DELETE FROM segments",
    "DELETE FROM files",
    "DELETE FROM about",
    *aside.EMPTY,
    *touched.EMPTY,
)
_FIND = """
SELECT part, person, name, kind, region, observed_on, available_on, strength, source_reference, detail, from_on,
    until_on FROM rows WHERE person IN ({})
"""
_AT_ONCE = (1, 30, 900)
"""People in one statement; every SQLite takes so many parameters."""
_FINDS = {size: _FIND.format(", ".join("?" * size)) for size in _AT_ONCE}
# A row with the key of an earlier one replaces it, unless that came in a file of a later name.
_ADD = """
INSERT INTO rows (part, person, file, key, name, kind, region, observed_on, available_on, strength, source_reference,
    detail, from_on, until_on) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (part, key) DO UPDATE SET person = excluded.person, file = excluded.file, name = excluded.name,
    kind = excluded.kind, region = excluded.region, observed_on = excluded.observed_on,
    available_on = excluded.available_on, strength = excluded.strength, source_reference = excluded.source_reference,
    detail = excluded.detail, from_on = excluded.from_on, until_on = excluded.until_on
WHERE (SELECT name FROM files WHERE id = excluded.file) >= (SELECT name FROM files WHERE id = rows.file)
"""
_TO_BE_READ_ANEW = "UPDATE files SET version = '', rejected = ?, rows = 0, bad = 0, newest_on = 0 WHERE "
_PUT_BACK = (
    "it must be read anew, as settings changed or the index was damaged, and does not lie there any more; put it back, "
    "or delete the adapter's state folder to go on without it\n因设置变更或索引损坏须重新读取此文件，但其已不在目录中；"
    "请放回该文件，或删除该接入的状态目录以放弃其内容"
)

FoundRow: TypeAlias = tuple[str, bytes, bytes, int, int, int, int, int, str, int, int, int]
"""part, person, sealed name, then kind to until_on as in the contract."""
IndexedRow: TypeAlias = tuple[str, bytes, int, bytes | None, bytes, int, int, int, int, int, str, int, int, int]
"""part, person, file, key, sealed name, then kind to until_on."""


class FoundIn(NamedTuple):
    """What the index holds about some people.

    Args:
        rows: of the database, each with the place of its number.
        segments: with their parts; they are looked into by tags.
        unused: of whom a row could not be used, by the place of the number: one of these rows.
    """

    rows: list[tuple[int, FoundRow]]
    segments: list[tuple[str, Segment]]
    unused: dict[int, PutAside]


def taken_back(part: str, file: int, key: bytes) -> IndexedRow:
    """Nobody's row, in place of the one with this key that a file says counts no longer.

    It stays, so that a file of an earlier name that comes late does not bring that row again.
    """
    return (part, b"", file, key, b"", 0, 0, 0, 0, 0, "", 0, 0, 0)


class IndexBrokenError(Exception):
    """The index cannot be read: damaged, or made with other keys."""


@dataclass(frozen=True, slots=True)
class FileState:
    """A file as it was when it was taken in or rejected.

    Args:
        id: in the index.
        name: of the file.
        version: size and times, as a text; another one is another file. "": `is_awaited`.
        rejected: why it was, in both languages, "" if it was not.
        rows, bad: how many it had.
        newest_on: newest date of the completeness column, 0: not known.
    """

    id: int
    name: str
    version: str
    rejected: str
    rows: int
    bad: int
    newest_on: int

    @property
    def counts(self) -> bool:
        """Whether rows of it are in the index: of this version, or of an earlier one if this one was rejected."""
        return not self.rejected or self.rows > 0

    @property
    def is_awaited(self) -> bool:
        """Whether it is to be read anew, once it lies there: settings changed, or what it brought was damaged."""
        return not self.version


class Keys:
    """The secrets of one index: made once, kept in a file that only its owner reads.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        secret = _secret(path)
        self.secret = hmac.digest(secret, b"wugan-index-segments", "sha256")
        self.tags = Tags(self.secret)
        self._people = hmac.digest(secret, b"wugan-index-people", "sha256")
        self._rows = hmac.digest(secret, b"wugan-index-rows", "sha256")
        self._cipher = AESGCM(hmac.digest(secret, b"wugan-index-text", "sha256"))
        self.check = hmac.digest(secret, b"wugan-index-check", "sha256")[:_DIGEST_BYTES]

    def person(self, number: str) -> bytes:
        """Under what a number is found."""
        return hmac.digest(self._people, number.encode(), "sha256")[:_DIGEST_BYTES]

    def row(self, cells: Sequence[str]) -> bytes:
        """Under what a row is found by its key columns."""
        return hmac.digest(self._rows, "\0".join(cells).encode(), "sha256")[:_DIGEST_BYTES]

    def seal(self, text: str, person: bytes) -> bytes:
        """Encrypt a text of a person; "" stays empty."""
        if not text:
            return b""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, text.encode(), person)

    def open(self, sealed: bytes, person: bytes) -> str:
        """The text again.

        Raises:
            IndexBrokenError: it was not sealed with these keys for this person.
        """
        if not sealed:
            return ""
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], person).decode()
        except (InvalidTag, ValueError) as error:
            raise IndexBrokenError("a row of the index does not open") from error


def _secret(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        secret = path.read_bytes()
        if len(secret) != _KEY_BYTES:
            raise IndexBrokenError("the key file of the index is damaged") from None
        return secret
    with os.fdopen(descriptor, "wb") as stream:
        secret = os.urandom(_KEY_BYTES)
        stream.write(secret)
        stream.flush()
        os.fsync(stream.fileno())
    return secret


class Index:
    """The index of one adapter.

    Args:
        folder: state folder of the adapter; made if it is not there.
        parts: for each record set its name and a digest of its settings; links are a part of the name "links".
            A part whose settings changed is emptied, so that its files are read anew; till then they are rejected.
    """

    def __init__(self, folder: Path, parts: Sequence[tuple[str, str]]) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = folder / "index.db"
        self.keys = Keys(folder / "index.key")
        self._local = threading.local()
        self._open: set[sqlite3.Connection] = set()
        self._lock = threading.Lock()
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        self._segments: dict[str, Segment] = {}
        self._folder = folder / "segments"
        with self.writing() as connection:
            self._prepare(connection, parts)
            for name, file in connection.execute("SELECT folder, file FROM segments").fetchall():
                try:
                    self._segments[name] = Segment(self._folder / name, self.keys.secret)
                except SegmentBrokenError:
                    connection.execute("DELETE FROM segments WHERE file = ?", (file,))
                    connection.execute(f"{_TO_BE_READ_ANEW} id = ?", (_PUT_BACK, file))
        self.sweep()

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            connections, self._open = self._open, set()
        for connection in connections:
            connection.close()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A connection in one transaction: all of it or nothing."""
        connection = sqlite3.connect(self._path, isolation_level=None, timeout=60)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
        finally:
            connection.close()

    def _prepare(self, connection: sqlite3.Connection, parts: Sequence[tuple[str, str]]) -> None:
        for statement in (*_TABLES.split(";"), *touched.TABLES.split(";")):
            connection.execute(statement)
        aside.prepare(connection)
        known = dict(connection.execute("SELECT name, value FROM about").fetchall())
        if known and (known.get("format") != _FORMAT or known.get("check") != self.keys.check):
            for statement in _EMPTY:
                connection.execute(statement)
            known = {}
        digests = {f"part {name}": digest for name, digest in parts}
        for label in {*known, *digests} - {"format", "check"}:
            if known.get(label) != digests.get(label):
                part = label.removeprefix("part ")
                connection.execute("DELETE FROM rows WHERE part = ?", (part,))
                if label in digests:
                    # What lies there no longer cannot be read anew: it stays missing until it is put back.
                    connection.execute("DELETE FROM files WHERE part = ? AND rejected <> '' AND rows = 0", (part,))
                    connection.execute(f"{_TO_BE_READ_ANEW} part = ?", (_PUT_BACK, part))
                else:
                    connection.execute("DELETE FROM files WHERE part = ?", (part,))
                connection.execute("DELETE FROM segments WHERE part = ?", (part,))
                aside.forget(connection, part)
                connection.execute("DELETE FROM begun WHERE part = ?", (part,))
                connection.execute("DELETE FROM about WHERE name = ?", (label,))
        about = {"format": _FORMAT, "check": self.keys.check, **digests}
        connection.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", about.items())

    def files(self, part: str) -> dict[str, FileState]:
        """Every file of a part that was taken in or rejected, by name."""
        rows = self._reader().execute(
            "SELECT id, name, version, rejected, rows, bad, newest_on FROM files WHERE part = ?", (part,)
        )
        return {row[1]: FileState(*row) for row in rows.fetchall()}

    def begin_file(self, connection: sqlite3.Connection, part: str, name: str, version: str) -> int:
        """Make room for a file's rows, taking out those of an earlier version; its id."""
        known = connection.execute("SELECT id FROM files WHERE part = ? AND name = ?", (part, name)).fetchone()
        if known is not None:
            connection.execute("DELETE FROM rows WHERE part = ? AND file = ?", (part, known[0]))
            connection.execute("DELETE FROM segments WHERE file = ?", (known[0],))
            aside.forget(connection, part, known[0])
            connection.execute("UPDATE files SET version = ? WHERE id = ?", (version, known[0]))
            return int(known[0])
        made = connection.execute("INSERT INTO files (part, name, version) VALUES (?, ?, ?)", (part, name, version))
        return int(made.lastrowid or 0)

    def end_file(self, connection: sqlite3.Connection, file: int, *, rows: int, bad: int, newest_on: int) -> None:
        """Note how a file went in."""
        connection.execute(
            "UPDATE files SET rows = ?, bad = ?, newest_on = ?, rejected = '' WHERE id = ?",
            (rows, bad, newest_on, file),
        )

    def reject_file(self, part: str, name: str, version: str, why: str) -> None:
        """Note that a version of a file was rejected; rows of an earlier version stay."""
        with self.writing() as connection:
            connection.execute(
                "INSERT INTO files (part, name, version, rejected) VALUES (?, ?, ?, ?) ON CONFLICT (part, name)"
                " DO UPDATE SET version = excluded.version, rejected = excluded.rejected",
                (part, name, version, why),
            )

    def forget_rejected(self, file: FileState) -> None:
        """A rejected file was taken away again; what an earlier version of it brought stays."""
        with self.writing() as connection:
            connection.execute("DELETE FROM files WHERE id = ? AND rows = 0", (file.id,))
            connection.execute("UPDATE files SET rejected = '' WHERE id = ?", (file.id,))

    def clear(self, connection: sqlite3.Connection, part: str, but: int) -> None:
        """Take out every other file of a part with its rows: a snapshot has come."""
        connection.execute("DELETE FROM rows WHERE part = ?", (part,))
        connection.execute("DELETE FROM segments WHERE part = ?", (part,))
        aside.forget(connection, part)
        connection.execute("DELETE FROM files WHERE part = ? AND id <> ?", (part, but))

    def add(self, connection: sqlite3.Connection, rows: Iterable[IndexedRow]) -> None:
        """Add rows; one with the key of an earlier row replaces it, unless that came in a file of a later name."""
        connection.executemany(_ADD, rows)

    def segments_of(self, part: str) -> int:
        """How many files of a part stand in columns."""
        counted = self._reader().execute("SELECT COUNT(*) FROM segments WHERE part = ?", (part,)).fetchone()
        return int(counted[0])

    def segment(self) -> SegmentWriter:
        """A new segment to be written."""
        return SegmentWriter(self._folder / os.urandom(8).hex(), self.keys.secret)

    def use(self, connection: sqlite3.Connection, part: str, file: int, written: SegmentWriter) -> None:
        """Let a file's rows be those of a segment that was written; from the end of the transaction on."""
        name = written.folder.name
        self._segments[name] = Segment(written.folder, self.keys.secret)
        connection.execute("INSERT INTO segments VALUES (?, ?, ?)", (file, part, name))

    def sweep(self) -> None:
        """Take away segments that do not count any more; who reads one just now goes on with it."""
        used = {name for (name,) in self._reader().execute("SELECT folder FROM segments").fetchall()}
        for name in self._segments.keys() - used:
            self._segments.pop(name, None)
        if self._folder.is_dir():
            for folder in self._folder.iterdir():
                if folder.name not in used:
                    shutil.rmtree(folder, ignore_errors=True)

    def find(self, numbers: Sequence[str]) -> FoundIn:
        """Every row of these people in every part, each with the place of its number; and the segments beside.

        Raises:
            IndexBrokenError: the index cannot be read.
        """
        try:
            try:
                return self._find(numbers)
            except KeyError:  # a segment that stopped to count just now
                return self._find(numbers)
        except (sqlite3.Error, KeyError) as error:
            raise IndexBrokenError("the index cannot be read") from error

    def put_aside(self, numbers: Sequence[str]) -> list[str]:
        """Of which of these people a row could not be used."""
        people = {self.keys.person(number): number for number in numbers}
        return [people[person] for person in aside.find(self._reader().cursor(), list(people))]

    def _find(self, numbers: Sequence[str]) -> FoundIn:
        unused: dict[int, PutAside] = {}
        people: dict[bytes, int] = {}
        found: list[tuple[int, FoundRow]] = []
        cursor = self._reader().cursor()
        # One transaction: a file that goes in meanwhile is seen for everybody or for nobody.
        cursor.execute("BEGIN")
        try:
            told = cursor.execute("SELECT part, folder FROM segments ORDER BY file").fetchall()
            segments = [(part, self._segments[name]) for part, name in told]
            some_aside = not aside.is_empty(cursor)
            some_rows = cursor.execute("SELECT EXISTS (SELECT 1 FROM rows)").fetchone()[0]
            if some_rows or some_aside:
                people = {self.keys.person(number): place for place, number in enumerate(numbers)}
            if some_aside:
                unused = {people[person]: row for person, row in aside.find(cursor, list(people)).items()}
            if some_rows:
                found = [(people[row[1]], row) for row in self._rows(cursor, list(people))]
        finally:
            cursor.execute("COMMIT")
        return FoundIn(found, segments, unused)

    @staticmethod
    def _rows(cursor: sqlite3.Cursor, people: Sequence[bytes]) -> list[FoundRow]:
        found: list[FoundRow] = []
        for start in range(0, len(people), _AT_ONCE[-1]):
            chunk = people[start : start + _AT_ONCE[-1]]
            size = next(size for size in _AT_ONCE if len(chunk) <= size)
            # Asking for the last one again fills the statement up without changing what is found.
            chunk = [*chunk, *[chunk[-1]] * (size - len(chunk))]
            found += cursor.execute(_FINDS[size], chunk).fetchall()
        return found

    def begun(self, part: str) -> bool:
        """Whether changes of a part are told: its first files have gone in."""
        return self._reader().execute("SELECT 1 FROM begun WHERE part = ?", (part,)).fetchone() is not None

    def begin(self, part: str) -> None:
        """Tell changes of a part from now on."""
        with self.writing() as connection:
            connection.execute("INSERT OR IGNORE INTO begun VALUES (?)", (part,))

    def touched(self, after: int, limit: int) -> list[touched.TouchedRow]:
        """Of whom something was changed since: number of the change, person, sealed number, sealed name."""
        return touched.read(self._reader(), after, limit)

    def last_touched(self) -> int:
        """Number of the newest change."""
        return touched.last(self._reader())

    def forget_touched(self, through: int) -> None:
        """Take out changes that were dealt with."""
        with self.writing() as connection:
            touched.forget(connection, through)

    def _reader(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            address = f"file:{quote(str(self._path))}?mode=ro"
            connection = sqlite3.connect(address, uri=True, isolation_level=None, timeout=5, check_same_thread=False)
            self._local.connection = connection
            with self._lock:
                self._open.add(connection)
        return connection
