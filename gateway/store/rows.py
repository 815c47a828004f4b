"""Many rows in few steps: the inserts that every exchange makes.

Owns: how a batch of rows gets into a table, and what the two databases do differently there. Refuses: reading, and
transactions; those are the writer's.

In the embedded database each step of a statement gives up the interpreter lock and has to win it back from the event
loop, which costs more than the insert itself. So rows go in by prepared statements of 1, 2, 4 … 64 rows, straight
through the driver. PostgreSQL gets the same rows through SQLAlchemy, which sends them in one round trip.
"""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

# Of each value that is bytes the driver asks whether it has another form to be written in, and makes an error of there
# being none; for a row of several that takes half as long as the insert. `bytes` of bytes are themselves.
sqlite3.register_adapter(bytes, bytes)

Row = tuple[Any, ...]

MOST_ROWS = 64


class Transaction:
    """The writer's connection, on which one transaction after the other is begun and committed.

    In the embedded database both go through the driver, which takes a fifth of the time; SQLAlchemy joins in when
    `connection` is used within. A transaction that fails is undone by closing the connection.
    """

    __slots__ = ("connection", "embedded")

    def __init__(self, connection: sa.Connection) -> None:
        self.connection = connection
        driver = connection.connection.driver_connection
        self.embedded: sqlite3.Connection | None = driver if isinstance(driver, sqlite3.Connection) else None

    def begin(self) -> None:
        """Begin one. Raises sqlite3.Error or SQLAlchemyError."""
        if self.embedded is None:
            self.connection.begin()
        else:
            self.embedded.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """On the disk when this returns. Raises sqlite3.Error or SQLAlchemyError."""
        if self.connection.in_transaction():
            self.connection.commit()
        elif self.embedded is not None:
            self.embedded.execute("COMMIT")


class BulkInsert:
    """Rows into one table, values in the order of its columns."""

    def __init__(self, table: sa.Table) -> None:
        self._table = table
        self._names = [column.name for column in table.columns]
        self._key = list(table.primary_key.columns)
        self._key_places = [self._names.index(column.name) for column in self._key]
        values = ", ".join(["(" + ", ".join("?" * len(self._names)) + ")"] * MOST_ROWS)
        width = len(values) // MOST_ROWS
        into = f"INTO {table.name} ({', '.join(self._names)}) VALUES "
        self._embedded = {
            1 << power: f"INSERT {into}{values[: (width + 1) * (1 << power)].rstrip(', ')}"
            for power in range(MOST_ROWS.bit_length())
        }
        self._embedded_new = f"INSERT OR IGNORE {into}{values[: width + 1].rstrip(', ')}"
        self._embedded_put = {size: text.replace("INSERT", "REPLACE", 1) for size, text in self._embedded.items()}

    # What only PostgreSQL is told is composed when it first is: for the embedded database it would be half of the time
    # that opening a store takes.
    @functools.cached_property
    def _insert(self) -> sa.Insert:
        return sa.insert(self._table)

    @functools.cached_property
    def _insert_new(self) -> sa.Executable:
        return postgresql.insert(self._table).on_conflict_do_nothing().returning(*self._key)

    @functools.cached_property
    def _put(self) -> sa.Executable:
        put = postgresql.insert(self._table)
        keys = {column.name for column in self._key}
        over = {name: put.excluded[name] for name in self._names if name not in keys}
        return put.on_conflict_do_update(index_elements=self._key, set_=over) if over else self._insert_new

    def add(self, transaction: Transaction, rows: Sequence[Row]) -> None:
        """Insert rows whose keys are known to be new.

        Raises:
            sqlite3.Error, SQLAlchemyError: the batch fails.
        """
        if transaction.embedded is None:
            if rows:  # of none, one of default values would be made, which no table here takes
                transaction.connection.execute(self._insert, self._named(rows))
            return
        if len(rows) == 1:  # most often
            transaction.embedded.execute(self._embedded[1], rows[0])
            return
        for part in _parts(rows):
            transaction.embedded.execute(self._embedded[len(part)], list(chain.from_iterable(part)))

    def add_new(self, transaction: Transaction, rows: Sequence[Row]) -> list[bool]:
        """Insert those rows whose keys are not there yet; which ones those were. Of rows with the same key, the first.

        Raises:
            sqlite3.Error, SQLAlchemyError: the batch fails.
        """
        fresh: list[bool] = []
        if not rows:
            return fresh
        if transaction.embedded is None:
            added = {tuple(key) for key in transaction.connection.execute(self._insert_new, self._named(rows))}
            for row in rows:
                key = tuple(row[place] for place in self._key_places)
                fresh.append(key in added)
                added.discard(key)
            return fresh
        if len(rows) == 1:  # most often
            return [transaction.embedded.execute(self._embedded_new, rows[0]).rowcount == 1]
        for part in _parts(rows):
            try:
                transaction.embedded.execute(self._embedded[len(part)], list(chain.from_iterable(part)))
                fresh += [True] * len(part)
            except sqlite3.IntegrityError:  # undoes the one statement only; rare, so row by row is good enough
                fresh += [transaction.embedded.execute(self._embedded_new, row).rowcount == 1 for row in part]
        return fresh

    def put(self, transaction: Transaction, rows: Sequence[Row]) -> None:
        """Insert rows, in place of those with their keys; no two of them have the same.

        Raises:
            sqlite3.Error, SQLAlchemyError: the batch fails.
        """
        if transaction.embedded is None:
            if rows:
                transaction.connection.execute(self._put, self._named(rows))
            return
        for part in _parts(rows):
            transaction.embedded.execute(self._embedded_put[len(part)], list(chain.from_iterable(part)))

    def _named(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        return [dict(zip(self._names, row, strict=True)) for row in rows]


def _parts(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """Cut into parts whose lengths are powers of two, so that few prepared statements serve every length."""
    start, left = 0, len(rows)
    while left:
        size = min(MOST_ROWS, 1 << (left.bit_length() - 1))
        yield rows[start : start + size]
        start += size
        left -= size
