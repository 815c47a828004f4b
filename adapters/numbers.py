"""Identity numbers from a department's own source, to look at its quality: as many as one likes, read-only.

Owns: where they stand by the manifest, and how many of those read are none. Refuses: interfaces: they tell nothing
without a number.
"""

from __future__ import annotations

import fnmatch
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

import sqlalchemy
from sqlalchemy.exc import SQLAlchemyError

from adapters.asked import normal
from adapters.connecting import Steps, read_only_engine
from adapters.dropping import NotYetError, drop_of
from adapters.errors import AdapterError, SourceDownError, SourceFaultError
from adapters.intake import check_size
from adapters.manifest import FileManifest, Manifest, TableManifest
from adapters.proposing.samples import spread
from adapters.proposing.shapes import is_resident_number
from adapters.rows import FileRejectedError
from adapters.tabular import Table
from adapters.values import text_of

_TIMEOUT_S = 30.0


@runtime_checkable
class Rejecting(Protocol):
    """An adapter that takes rows in before it is asked, and leaves out those that it cannot map."""

    async def taken_in(self) -> tuple[int, int]:
        """Rows that came in the files of the moment, and those among them that were left out."""
        ...


@runtime_checkable
class PuttingAside(Protocol):
    """An adapter that answers nothing about somebody of whom it left out a row."""

    async def put_aside(self, numbers: Sequence[str]) -> list[str]:
        """Which of these people that are."""
        ...


@dataclass(slots=True)
class Numbers:
    """What was read: distinct numbers, how many cells were read, and how many of these hold no resident number."""

    good: dict[str, None] = field(default_factory=dict)
    read: int = 0
    ill_formed: int = 0

    def take(self, cells: Iterable[object], limit: int) -> None:
        """Read cells until there are so many distinct numbers."""
        for cell in cells:
            text = text_of(cell)
            if not text:
                continue
            self.read += 1
            if is_resident_number(text):
                self.good.setdefault(normal(text))
            else:
                self.ill_formed += 1
            if len(self.good) >= limit:
                return


def numbers_of(manifest: Manifest, limit: int) -> Numbers:
    """Up to so many numbers of every record set of a manifest. Blocks; for a thread or a command.

    Raises:
        AdapterError: the source cannot be read, or it is an interface.
    """
    found = Numbers()
    if isinstance(manifest, TableManifest):
        _from_tables(manifest, limit, found)
    elif isinstance(manifest, FileManifest):
        _from_files(manifest, limit, found)
    else:
        raise AdapterError("an interface names nobody: give numbers to try", "接口不会主动提供号码，请给出试查号码")
    return found


def _from_tables(manifest: TableManifest, limit: int, found: Numbers) -> None:
    url = sqlalchemy.make_url(manifest.reveal(manifest.source.url, ("source", "url"), url=True))
    engine = read_only_engine(url, manifest.folder, _TIMEOUT_S, Steps(0))
    share = max(1, limit // len(manifest.records))
    try:
        with engine.connect() as connection:
            for records in manifest.records:
                identity = manifest.identity_of(records)
                column: sqlalchemy.ColumnClause[object] = sqlalchemy.column(identity.column)
                source: sqlalchemy.FromClause
                if records.query is not None:
                    source = sqlalchemy.text(records.query.replace(":", "\\:")).columns(column).subquery("records")
                else:
                    schema, _, bare = (records.table or "").rpartition(".")
                    source = sqlalchemy.table(bare, column, schema=schema or manifest.source.schema_name)
                rows = connection.execute(sqlalchemy.select(source.c[identity.column]).limit(20 * share))
                found.take((row[0] for row in rows), len(found.good) + share)
    except SQLAlchemyError as error:
        kind = type(error).__name__
        raise SourceDownError(f"the database could not be read ({kind})", f"无法读取数据库（{kind}）") from error
    finally:
        engine.dispose()


def _from_files(manifest: FileManifest, limit: int, found: Numbers) -> None:
    share = max(1, limit // len(manifest.records))
    with tempfile.TemporaryDirectory(prefix="wugan-numbers-") as scratch:
        try:
            with drop_of(manifest, Path(scratch), _now_ms).look() as look:
                for records in manifest.records:
                    matching = [file for file in look.files if fnmatch.fnmatchcase(file.name, records.files.pattern)]
                    column = manifest.identity_of(records).column
                    for file in matching[-1:]:
                        check_size(file, records.files, manifest.source.max_file_bytes)
                        with look.taken(file) as path:
                            table = Table(path, records.files, [column], lambda _: "identity.column")
                            at = table.header.index(column)
                            cells = (row.cells[at] for row in spread(table.rows()) if not row.wrong)
                            found.take(cells, len(found.good) + share)
        except (OSError, NotYetError) as error:
            raise SourceDownError("the folder cannot be read", "无法读取文件夹") from error
        except FileRejectedError as error:
            raise SourceFaultError(error.en, error.zh) from error


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
