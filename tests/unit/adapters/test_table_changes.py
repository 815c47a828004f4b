"""Following tables: whoever has a new row is told once, late rows included, over restarts and through full pages."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.build import build
from adapters.contract import Changed, ChangeFeed
from adapters.errors import ManifestError, SourceDownError, SourceFaultError
from adapters.kinds.table import TableAdapter
from tests.unit.adapters.adapters_world import ANNA, BO, CHEN, manifest_in, now_ms, number

TEXT = """\
manifest: 1
adapter_id: civil-affairs
version: 1
department: CIVIL_AFFAIRS
regions: [330000]
kind: table
source: {url: "sqlite:///civil.db"}
identity: {column: id, name: who}
records:
  - name: cremations
    table: cremation
    evidence: CREMATION
    observed_on: {column: at, formats: ["%Y%m%d"]}
    strength: REAL_NAME
    changes: CHANGES
"""
BY_NUMBER = "{column: seq, key: reg, overlap: 3}"
BY_TEXT = '{column: written, key: reg, form: "%Y-%m-%d %H:%M:%S", overlap: 60}'


def add(folder: Path, seq: int, who: str, *, reg: str = "", written: str = "2026-11-18 08:00:00") -> None:
    with contextlib.closing(sqlite3.connect(folder / "civil.db")) as db, db:
        row = (seq, reg or f"R{seq}", who, "某人", "20261117", written)
        db.execute("INSERT INTO cremation VALUES (?, ?, ?, ?, ?, ?)", row)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with contextlib.closing(sqlite3.connect(tmp_path / "civil.db")) as db, db:
        db.execute("CREATE TABLE cremation (seq INTEGER, reg TEXT, id TEXT, who TEXT, at TEXT, written TEXT)")
    return tmp_path


def over(folder: Path, changes: str = BY_NUMBER) -> TableAdapter:
    built = build(manifest_in(folder, TEXT.replace("CHANGES", changes)), folder / "state", now_ms)
    assert isinstance(built, TableAdapter)
    return built


@pytest.fixture
async def adapter(folder: Path) -> AsyncIterator[TableAdapter]:
    built = over(folder)
    yield built
    await built.close()


def told(changed: Changed) -> list[str]:
    return list(changed.id_number)


async def test_it_begins_with_nobody_and_then_tells_whoever_has_a_new_row(adapter: TableAdapter, folder: Path) -> None:
    assert isinstance(adapter, ChangeFeed)
    assert adapter.describe().changes
    add(folder, 10, ANNA)
    begun = await adapter.changes(b"", 100)
    assert not begun.more
    assert told(begun) == []
    add(folder, 11, BO)
    add(folder, 12, CHEN)
    later = await adapter.changes(begun.cursor, 100)
    assert told(later) == [BO, CHEN]
    assert list(later.name) == ["某人", "某人"]


async def test_nobody_is_told_twice_while_it_runs(adapter: TableAdapter, folder: Path) -> None:
    begun = await adapter.changes(b"", 100)
    add(folder, 11, BO)
    later = await adapter.changes(begun.cursor, 100)
    again = await adapter.changes(later.cursor, 100)
    assert told(later) == [BO]
    assert told(again) == []


async def test_a_row_committed_late_is_told_within_the_overlap(adapter: TableAdapter, folder: Path) -> None:
    begun = await adapter.changes(b"", 100)
    add(folder, 20, BO)
    later = await adapter.changes(begun.cursor, 100)
    add(folder, 18, CHEN)
    assert told(await adapter.changes(later.cursor, 100)) == [CHEN]


async def test_a_restarted_adapter_goes_on_from_its_cursor(folder: Path) -> None:
    first = over(folder)
    begun = await first.changes(b"", 100)
    await first.close()
    add(folder, 30, BO)
    second = over(folder)
    assert BO in told(await second.changes(begun.cursor, 100))
    await second.close()


async def test_a_changed_row_is_told_again(adapter: TableAdapter, folder: Path) -> None:
    begun = await adapter.changes(b"", 100)
    add(folder, 11, BO)
    later = await adapter.changes(begun.cursor, 100)
    with contextlib.closing(sqlite3.connect(folder / "civil.db")) as db, db:
        db.execute("UPDATE cremation SET seq = 12 WHERE reg = 'R11'")
    assert told(await adapter.changes(later.cursor, 100)) == [BO]


async def test_times_written_as_text_are_followed(folder: Path) -> None:
    adapter = over(folder, BY_TEXT)
    add(folder, 1, ANNA, written="2026-11-18 08:00:00")
    begun = await adapter.changes(b"", 100)
    add(folder, 2, BO, written="2026-11-18 08:00:00")
    add(folder, 3, CHEN, written="2026-11-18 08:00:01")
    later = await adapter.changes(begun.cursor, 100)
    assert told(later) == [BO, CHEN]
    add(folder, 4, number(9), written="2026-11-18 07:59:30")
    assert number(9) in told(await adapter.changes(later.cursor, 100))
    await adapter.close()


@given(count=st.integers(1, 40), page=st.integers(1, 7), same=st.booleans())
@settings(max_examples=25, deadline=None)
async def test_pages_of_any_size_leave_nobody_out(
    tmp_path_factory: pytest.TempPathFactory, count: int, page: int, same: bool
) -> None:
    folder = tmp_path_factory.mktemp("pages")
    with contextlib.closing(sqlite3.connect(folder / "civil.db")) as db, db:
        db.execute("CREATE TABLE cremation (seq INTEGER, reg TEXT, id TEXT, who TEXT, at TEXT, written TEXT)")
    adapter = over(folder)
    cursor = (await adapter.changes(b"", page)).cursor
    people = [number(serial) for serial in range(1, count + 1)]
    with contextlib.closing(sqlite3.connect(folder / "civil.db")) as db, db:
        rows = [(5 if same else 5 + at, f"R{at:03d}", who, "", "20261117", "") for at, who in enumerate(people)]
        db.executemany("INSERT INTO cremation VALUES (?, ?, ?, ?, ?, ?)", rows)
    met: list[str] = []
    more = True
    while more:
        changed = await adapter.changes(cursor, page)
        assert len(changed) <= page
        met += told(changed)
        cursor, more = changed.cursor, changed.more
    assert met == people
    await adapter.close()


@pytest.mark.parametrize("cursor", [b"x", b"[]", b'{"cremations": 1}', b'{"cremations": [1, 2]}', b"\xff", b"null"])
async def test_a_cursor_of_somebody_else_is_refused(adapter: TableAdapter, cursor: bytes) -> None:
    with pytest.raises(SourceFaultError):
        await adapter.changes(cursor, 10)


async def test_a_table_without_the_column_is_a_fault_and_the_check_says_so(folder: Path) -> None:
    adapter = over(folder, "{column: nowhere, key: reg}")
    with pytest.raises((SourceFaultError, SourceDownError)):
        await adapter.check()
    await adapter.close()


async def test_without_the_setting_it_is_not_monitored(folder: Path) -> None:
    text = TEXT.replace("    changes: CHANGES\n", "")
    adapter = build(manifest_in(folder, text), folder / "state", now_ms)
    assert not adapter.describe().changes
    await adapter.close()


@pytest.mark.parametrize(
    "changes",
    [
        "{column: seq}",
        "{column: id, key: reg}",
        "{column: seq, key: id}",
        '{column: seq, key: reg, form: "%d%m%Y"}',
        "{column: seq, key: reg, overlap: -1}",
    ],
)
def test_settings_that_cannot_work_are_refused(folder: Path, changes: str) -> None:
    with pytest.raises(ManifestError):
        manifest_in(folder, TEXT.replace("CHANGES", changes))


async def test_whoever_asks_again_from_an_earlier_cursor_is_told_again(folder: Path) -> None:
    add(folder, 1, ANNA)
    adapter = over(folder)
    begun = (await adapter.changes(b"", 10)).cursor
    add(folder, 12, BO)
    assert (await adapter.changes(begun, 10)).id_number == [BO]
    before = await adapter.changes(begun, 10)
    assert before.id_number == [BO], "they were not dealt with: the store may have failed"
    add(folder, 11, CHEN)  # committed late, within the overlap
    for _ in range(2):
        late = await adapter.changes(before.cursor, 10)
        assert late.id_number == [CHEN]
    assert (await adapter.changes(late.cursor, 10)).id_number == []
    await adapter.close()
