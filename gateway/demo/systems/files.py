"""Writing the departments' databases and files, each whole or not at all.

Owns: bulk loading of SQLite, and dropping a file as departments are asked to. Refuses: what stands in them.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Table:
    """A table to fill.

    Args:
        name: of the table.
        columns: column definitions, as SQL.
        rows: its rows, one value a column.
        index: columns by which people are looked up, one index each.
    """

    name: str
    columns: Sequence[str]
    rows: Iterable[Sequence[object]]
    index: Sequence[str]


def write_database(path: Path, tables: Iterable[Table], then: Iterable[str] = ()) -> None:
    """A SQLite database, mode 0600, put into place once it is whole.

    Args:
        path: where.
        tables: what stands in it.
        then: statements run once it is filled: what is to be noted from now on and not of the filling.

    Raises:
        ConfigError: it cannot be written.
    """
    with replacing(path) as temporary:
        try:
            with contextlib.closing(sqlite3.connect(temporary, isolation_level=None)) as database:
                database.execute("PRAGMA journal_mode = OFF")
                database.execute("PRAGMA synchronous = OFF")
                database.execute("BEGIN")
                for table in tables:
                    database.execute(f"CREATE TABLE {table.name} ({', '.join(table.columns)})")
                    places = ", ".join("?" * len(table.columns))
                    database.executemany(f"INSERT INTO {table.name} VALUES ({places})", table.rows)  # noqa: S608
                    for column in table.index:
                        database.execute(f"CREATE INDEX {table.name}_{column} ON {table.name} ({column})")
                for statement in then:
                    database.execute(statement)
                database.execute("COMMIT")
        except sqlite3.Error as error:
            raise _unwritable(path) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, moved to it when the block ends well and removed when it does not.

    Raises:
        ConfigError: the folder cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
        os.close(descriptor)
    except OSError as error:
        raise _unwritable(path) from error
    temporary = Path(name)
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_private(path: Path, text: str) -> None:
    """A small file with a secret or a setting, mode 0600."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _unwritable(path: Path) -> ConfigError:
    return ConfigError(
        f"{path} cannot be written: check space and permissions", f"无法写入 {path}：请检查磁盘空间与权限", field="dir"
    )
