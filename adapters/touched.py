"""Of whom a dropped file changed something: told by the index itself, row by row, while the file goes in.

Owns: three tables of the index (of whom a monitored part holds rows, of whom something was changed, which parts are
told of), and triggers that note every row that goes in or out. Somebody whose rows come out as they went in was not
changed, so a whole snapshot that repeats itself tells of nobody. Refuses: plaintext; numbers and names come sealed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import TypeAlias

TABLES = """
CREATE TABLE IF NOT EXISTS people (person BLOB PRIMARY KEY, number BLOB NOT NULL, name BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS touched (
    id INTEGER PRIMARY KEY AUTOINCREMENT, person BLOB NOT NULL, number BLOB NOT NULL, name BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS begun (part TEXT PRIMARY KEY)
"""
EMPTY = ("DELETE FROM people", "DELETE FROM touched", "DELETE FROM begun")

TouchedRow: TypeAlias = tuple[int, bytes, bytes, bytes]
"""Number of the change, person, sealed number, sealed name."""

_COLUMNS = ("part", "kind", "region", "observed_on", "available_on", "strength", "source_reference", "detail")
_WHAT = " || '|' || ".join(f"IFNULL({{0}}.{name}, '')" for name in (*_COLUMNS, "from_on", "until_on"))
_NOTE = "INSERT INTO noted SELECT {0}.person, " + _WHAT + ", {1} WHERE {0}.part = '{2}';"
_PEOPLE = "INSERT INTO people VALUES (?, ?, ?) ON CONFLICT (person) DO UPDATE SET name = excluded.name"
_TELL = """
INSERT INTO touched (person, number, name)
SELECT person, number, name FROM people WHERE person IN (
    SELECT person FROM (SELECT person, what FROM noted GROUP BY person, what HAVING SUM(sign) <> 0)
)
"""
_FORGET = """
DELETE FROM people WHERE person IN (SELECT person FROM noted)
AND NOT EXISTS (SELECT 1 FROM rows WHERE rows.person = people.person)
"""


def watch(connection: sqlite3.Connection, part: str) -> None:
    """Note from now on, in this transaction, what goes in and out of a part's rows. `part`: a name of a manifest."""
    if not part.replace("-", "").replace("_", "").isalnum():
        raise ValueError("no name of a record set")
    connection.execute("CREATE TEMP TABLE noted (person BLOB, what TEXT, sign INTEGER)")
    gone, come = _NOTE.format("OLD", -1, part), _NOTE.format("NEW", 1, part)
    for name, when, notes in (("come", "INSERT", come), ("gone", "DELETE", gone), ("both", "UPDATE", gone + come)):
        connection.execute(f"CREATE TEMP TRIGGER noted_{name} AFTER {when} ON main.rows BEGIN {notes} END")


def know(connection: sqlite3.Connection, people: Iterable[tuple[bytes, bytes, bytes]]) -> None:
    """Remember person, sealed number and sealed name of those whose rows go in."""
    connection.executemany(_PEOPLE, people)


def tell(connection: sqlite3.Connection) -> None:
    """Of whom rows came out otherwise than they went in, since `watch`; who has no rows any more is forgotten."""
    connection.execute(_TELL)
    connection.execute(_FORGET)


def read(connection: sqlite3.Connection, after: int, limit: int) -> list[TouchedRow]:
    """Changes after one, in order."""
    query = "SELECT id, person, number, name FROM touched WHERE id > ? ORDER BY id LIMIT ?"
    return connection.execute(query, (after, limit)).fetchall()


def last(connection: sqlite3.Connection) -> int:
    """Number of the newest change ever noted."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'touched'").fetchone()
    return int(row[0]) if row else 0


def forget(connection: sqlite3.Connection, through: int) -> None:
    """Take out changes up to one."""
    connection.execute("DELETE FROM touched WHERE id <= ?", (through,))
