"""Of whom dropped files hold a row that could not be used: so that nobody takes what is left for all there is.

Owns: a table of the index, with the person under the same keyed hash as the rows, and what was wrong; and when a row
put aside is made good. Refuses: plaintext, and rows that do not say whose they are: nobody can be told of these.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from adapters.asked import normal
from adapters.proposing.shapes import is_resident_number
from adapters.values import text_of, wrong_number

TABLES: Final = """
CREATE TABLE IF NOT EXISTS aside (
    person BLOB NOT NULL, part TEXT NOT NULL, file INTEGER NOT NULL, key BLOB, reason TEXT NOT NULL, UNIQUE (part, key)
);
CREATE INDEX IF NOT EXISTS aside_person ON aside (person)
"""
EMPTY: Final = ("DELETE FROM aside",)
# What came later by name, good or bad, says more of the row with this key.
_ADD = """
INSERT INTO aside (person, part, file, key, reason) SELECT ?1, ?2, ?3, ?4, ?5 WHERE ?4 IS NULL OR NOT EXISTS (
    SELECT 1 FROM rows JOIN files ON files.id = rows.file WHERE rows.part = ?2 AND rows.key = ?4
    AND files.name > (SELECT name FROM files WHERE id = ?3)
)
ON CONFLICT (part, key) DO UPDATE SET person = excluded.person, file = excluded.file, reason = excluded.reason
WHERE (SELECT name FROM files WHERE id = excluded.file) >= (SELECT name FROM files WHERE id = aside.file)
"""
_MADE_GOOD = """
DELETE FROM aside WHERE part = ?1 AND key = ?2
AND (SELECT name FROM files WHERE id = aside.file) <= (SELECT name FROM files WHERE id = ?3)
"""
_AT_ONCE = 900
"""People in one statement; every SQLite takes so many parameters."""
_LONGEST: Final = 64
"""Of a cell that may be a number."""
_WITHIN: Final = re.compile(r"(?=([0-9]{17}[0-9Xx]))")


@dataclass(frozen=True, slots=True)
class PutAside:
    """A row that could not be used.

    Args:
        part: the record set.
        reason: as it stands in quarantine: setting, English, Chinese. It holds nothing of the row.
    """

    part: str
    reason: str


class Aside:
    """Notes of whom the rows are that one file could not bring.

    Args:
        connection: of the index, within a transaction.
        part: the record set.
        file: of the index.
        person: under what a number is found.
        counts: whether an answer without such a row is not whole; False: by the manifest it may be left out.
    """

    def __init__(
        self, connection: sqlite3.Connection, part: str, file: int, person: Callable[[str], bytes], *, counts: bool
    ) -> None:
        self._connection = connection
        self._part = part
        self._file = file
        self._person = person
        self._counts = counts

    def add(self, cell: object, reason: str, key: bytes | None = None) -> None:
        """A row that could not be mapped, by the cell of its identity number."""
        if self._counts and not wrong_number(cell):
            self._note(normal(cell), reason, key)

    def add_broken(self, cells: Sequence[object], reason: str) -> None:
        """A row whose cells may stand in other columns than their own: it is of everybody whose number it holds."""
        if not self._counts:
            return
        texts = [text_of(cell) for cell in cells]
        # A row that could not be cut into cells at all is a text, which has its numbers somewhere.
        within = {found.upper() for text in texts for found in _WITHIN.findall(text)}
        for number in within.union(normal(text) for text in texts if len(text) <= _LONGEST):
            if is_resident_number(number):
                self._note(number, reason, None)

    def settle(
        self, numbers: Sequence[object], keys: Sequence[bytes | None], bad: Mapping[int, str], *, keyed: bool
    ) -> None:
        """A block of mapped rows. Of several rows with the same key the last counts, be it good or bad.

        Args:
            numbers: of each row.
            keys: of each row.
            bad: row to what is wrong with it.
            keyed: whether rows have keys at all.
        """
        if not self._counts:
            return
        if not keyed:
            for row, reason in bad.items():
                self.add(numbers[row], reason)
            return
        if not bad and not self._any():
            return
        last = {key: row for row, key in enumerate(keys)}
        good = [key for key, row in last.items() if row not in bad]
        self._connection.executemany(_MADE_GOOD, [(self._part, key, self._file) for key in good])
        for key, row in last.items():
            if row in bad:
                self.add(numbers[row], bad[row], key)

    def _any(self) -> bool:
        found = self._connection.execute("SELECT EXISTS (SELECT 1 FROM aside WHERE part = ?)", (self._part,))
        return bool(found.fetchone()[0])

    def _note(self, number: str, reason: str, key: bytes | None) -> None:
        self._connection.execute(_ADD, (self._person(number), self._part, self._file, key, reason))


def prepare(connection: sqlite3.Connection) -> None:
    """Make the table. Files that an earlier version took in with bad rows are read again, if they still lie there."""
    there = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'aside'").fetchone()
    for statement in TABLES.split(";"):
        connection.execute(statement)
    if there is None:
        connection.execute("UPDATE files SET version = version || ':again' WHERE bad > 0 AND rejected = ''")


def forget(connection: sqlite3.Connection, part: str, file: int | None = None) -> None:
    """What a file, or every file of a part, put aside counts no longer."""
    if file is None:
        connection.execute("DELETE FROM aside WHERE part = ?", (part,))
    else:
        connection.execute("DELETE FROM aside WHERE part = ? AND file = ?", (part, file))


def is_empty(cursor: sqlite3.Cursor) -> bool:
    """Whether nothing is put aside at all, as is usual."""
    return not cursor.execute("SELECT EXISTS (SELECT 1 FROM aside)").fetchone()[0]


def find(cursor: sqlite3.Cursor, people: Sequence[bytes]) -> dict[bytes, PutAside]:
    """Who of these people has a row that was put aside."""
    found: dict[bytes, PutAside] = {}
    for start in range(0, len(people), _AT_ONCE):
        chunk = people[start : start + _AT_ONCE]
        marks = ", ".join("?" * len(chunk))
        rows = cursor.execute(f"SELECT person, part, reason FROM aside WHERE person IN ({marks})", chunk)  # noqa: S608
        found.update({person: PutAside(part, reason) for person, part, reason in rows.fetchall()})
    return found
