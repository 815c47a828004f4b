"""The kind `table` on a real SQLite file: lookups, read-only, faults, deadlines, cancellation."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.build import build
from adapters.contract import Adapter
from adapters.database import Database, DatabaseError, Work
from adapters.errors import ManifestError, SourceDownError, SourceFaultError
from tests.unit.adapters.adapters_world import (
    ANNA,
    BO,
    CHEN,
    ENDING_IN_X,
    ask,
    day,
    holders,
    manifest_in,
    now_ms,
    number,
    rows,
)

TEXT = """\
manifest: 1
adapter_id: health-insurance
version: 1
department: HEALTH_INSURANCE
regions: [330000]
kind: table
source: {url: "sqlite:///hi.db"}
identity: {column: id, name: who, forms: [lower_x, legacy_15]}
complete_until: {date: {column: at, formats: ["%Y%m%d"]}, of: settlements}
links: {table: pairs, identity: {column: old}, linked: new}
records:
  - {name: insured, table: "insured persons", evidence: none}
  - name: settlements
    table: settlements
    evidence: {column: type, codes: {11: OUTPATIENT, 21: INPATIENT}}
    observed_on: {column: at, formats: ["%Y%m%d"]}
    strength: REAL_NAME
    source_reference: ref
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a filled database."""
    with sqlite3.connect(tmp_path / "hi.db") as db:
        db.executescript(
            'CREATE TABLE "insured persons" (id TEXT PRIMARY KEY, who TEXT);'
            "CREATE TABLE settlements (id TEXT, who TEXT, type INTEGER, at TEXT, ref INTEGER);"
            "CREATE INDEX by_id ON settlements (id);"
            "CREATE TABLE pairs (old TEXT, new TEXT);"
            "CREATE INDEX by_old ON pairs (old); CREATE INDEX by_new ON pairs (new);"
        )
        people = [(ANNA, "安娜"), (BO, "博"), (ENDING_IN_X.lower(), "夏"), (CHEN[:6] + CHEN[8:17], "陈")]
        db.executemany('INSERT INTO "insured persons" VALUES (?, ?)', people)
        db.executemany(
            "INSERT INTO settlements VALUES (?, ?, ?, ?, ?)",
            [(ANNA, "安娜", 11, "20260301", 1), (ANNA, "安娜", 21, "20260401", 2), (BO, "博", 11, "20251231", 3)],
        )
        db.execute("INSERT INTO pairs VALUES (?, ?)", (BO, number(9)))
    db.close()
    return tmp_path


@pytest.fixture
async def adapter(folder: Path) -> AsyncIterator[Adapter]:
    """The adapter over it."""
    built = build(manifest_in(folder, TEXT), folder / "state", now_ms)
    yield built
    await built.close()


async def test_a_lookup_finds_rows_holders_links_and_how_complete_they_are(adapter: Adapter) -> None:
    await adapter.check()
    answer = await adapter.lookup(ask(ANNA, BO, number(8)))
    assert rows(answer) == [
        (0, "INPATIENT", "2026-04-01", "2"),
        (0, "OUTPATIENT", "2026-03-01", "1"),
        (1, "OUTPATIENT", "2025-12-31", "3"),
    ]
    assert {(row, held) for row, held, _ in holders(answer)} == {(0, ANNA), (1, BO)}
    assert list(answer.links.id_number) == [number(9)]
    assert answer.complete_until_on == day("2026-04-01")


async def test_a_day_to_come_does_not_tell_how_complete_it_is(folder: Path, adapter: Adapter) -> None:
    with sqlite3.connect(folder / "hi.db") as db:
        db.execute("UPDATE settlements SET at = '20621201' WHERE id = ?", (BO,))  # mistyped
    db.close()
    assert (await adapter.lookup(ask(ANNA))).complete_until_on == 0, "not known"


async def test_a_link_is_found_from_the_new_number_too(adapter: Adapter) -> None:
    answer = await adapter.lookup(ask(number(9)))
    assert list(answer.links.id_number) == [BO]


async def test_numbers_held_in_old_spellings_are_found_and_told_as_asked(adapter: Adapter) -> None:
    answer = await adapter.lookup(ask(ENDING_IN_X, CHEN))
    assert holders(answer) == [(0, ENDING_IN_X, "夏"), (1, CHEN, "陈")]


async def test_ten_thousand_people_are_one_lookup(adapter: Adapter, folder: Path) -> None:
    people = [number(i) + str(j) for i in range(100) for j in range(100)]
    with sqlite3.connect(folder / "hi.db") as db:
        values = [(person, "某", 11, "20260301", i) for i, person in enumerate(people)]
        db.executemany("INSERT INTO settlements VALUES (?, ?, ?, ?, ?)", values)
    db.close()
    answer = await adapter.lookup(ask(*people, deadline_s=60))
    assert len(answer.evidence) == len(people)
    assert answer.evidence.subject.tolist() == [int(ref) for ref in answer.evidence.source_reference]


@pytest.mark.parametrize("chunk", [1, 7, 10, 50])
async def test_any_size_of_chunk_finds_the_same(folder: Path, chunk: int) -> None:
    text = TEXT.replace('"sqlite:///hi.db"', f'"sqlite:///hi.db", chunk: {chunk}')
    built = build(manifest_in(folder, text), folder, now_ms)
    people = [number(i) for i in range(100, 145)]
    assert len(rows(await built.lookup(ask(ANNA, *people, BO)))) == 3
    await built.close()


async def test_a_number_is_a_value_and_never_sql(adapter: Adapter) -> None:
    answer = await adapter.lookup(ask("' OR 1=1 --", '"; DROP TABLE settlements'))
    assert holders(answer) == []
    await adapter.check()


def test_the_database_is_opened_read_only(folder: Path) -> None:
    database = Database("sqlite:///hi.db", folder=folder, schema=None, chunk=None, timeout_s=1)
    for sql in ("DELETE FROM settlements", "CREATE TABLE t (a)", "PRAGMA user_version = 7"):
        with pytest.raises(DatabaseError):
            database._run(sql, (), Work())
    database.close()


async def test_a_database_that_is_not_there_is_down(folder: Path) -> None:
    (folder / "hi.db").unlink()
    built = build(manifest_in(folder, TEXT), folder / "state", now_ms)
    for question in (built.check(), built.lookup(ask(ANNA)), built.lookup(ask(*[number(i) for i in range(20)]))):
        with pytest.raises(SourceDownError):
            await question
    assert not (folder / "hi.db").exists(), "a lookup must not make a database"
    await built.close()


@pytest.mark.parametrize(
    ("present", "misspelt", "record_set", "column", "setting"),
    [
        ("source_reference: ref", "source_reference: reff", "settlements", "reff", "source_reference"),
        ("evidence: {column: type", "evidence: {column: 类型", "settlements", "类型", "evidence.column"),
        ("linked: new", "linked: newer", "links", "newer", "linked"),
        ("{column: id, name: who,", "{column: id, name: whom,", "insured", "whom", "identity.name"),
        (
            'complete_until: {date: {column: at, formats: ["%Y%m%d"]}',
            'complete_until: {date: {column: till, formats: ["%Y%m%d"]}',
            "settlements",
            "till",
            "complete_until.date.column",
        ),
        (
            "source_reference: ref",
            "source_reference: ref\n    changes: {column: row_version, key: ref}",
            "settlements",
            "row_version",
            "changes.column",
        ),
    ],
)
async def test_a_missing_column_is_named_and_what_wants_it(
    folder: Path, present: str, misspelt: str, record_set: str, column: str, setting: str
) -> None:
    assert present in TEXT
    built = build(manifest_in(folder, TEXT.replace(present, misspelt)), folder, now_ms)

    async def everything() -> None:
        await built.check()
        await built.lookup(ask(ANNA))

    with pytest.raises(SourceFaultError) as caught:
        await everything()
    for text in (caught.value.en, caught.value.zh):
        assert all(repr(word) in text for word in (record_set, column)), text
        assert setting in text
        assert ANNA not in text
        assert "'type'" not in text, "what is there is not named"
    await built.close()


async def test_a_column_that_goes_away_is_named_to_who_asks(folder: Path) -> None:
    built = build(manifest_in(folder, TEXT), folder, now_ms)
    assert rows(await built.lookup(ask(ANNA)))
    with sqlite3.connect(folder / "hi.db") as db:
        db.execute("ALTER TABLE settlements DROP COLUMN ref")
    db.close()
    for people in ((ANNA,), [number(serial) for serial in range(20)]):
        with pytest.raises(SourceFaultError, match=r"'settlements' has no column 'ref' \(wanted by source_reference\)"):
            await built.lookup(ask(*people))
    await built.close()


async def test_a_table_that_is_missing_is_not_told_as_its_columns(folder: Path) -> None:
    built = build(manifest_in(folder, TEXT.replace("table: settlements", "table: setlements")), folder, now_ms)
    with pytest.raises(SourceFaultError, match="refused to read 'settlements'") as caught:
        await built.check()
    assert "no column" not in caught.value.en
    await built.close()


async def test_a_column_that_a_query_does_not_bring_is_named(folder: Path) -> None:
    text = TEXT.replace("table: settlements", 'query: "SELECT id, who, type, at FROM settlements"')
    built = build(manifest_in(folder, text), folder, now_ms)
    with pytest.raises(SourceFaultError, match=r"'settlements' has no column 'ref' \(wanted by source_reference\)"):
        await built.check()
    await built.close()


async def test_a_query_with_colons_and_percent_signs_is_taken_as_written(folder: Path) -> None:
    query = """SELECT id, who, type, at, ref FROM settlements WHERE who NOT LIKE '%x%' AND '12:30' <> ':none'"""
    text = TEXT.replace("table: settlements", f'query: "{query}"')
    built = build(manifest_in(folder, text), folder, now_ms)
    assert len(rows(await built.lookup(ask(ANNA)))) == 2
    await built.close()


async def test_an_unmappable_code_spoils_the_whole_answer(adapter: Adapter, folder: Path) -> None:
    with sqlite3.connect(folder / "hi.db") as db:
        db.execute("UPDATE settlements SET type = 99 WHERE ref = 2")
    db.close()
    with pytest.raises(SourceFaultError):
        await adapter.lookup(ask(ANNA))
    assert rows(await adapter.lookup(ask(BO)))


async def test_a_locked_database_is_waited_for_in_a_thread_and_then_down(folder: Path) -> None:
    built = build(manifest_in(folder, TEXT), folder, now_ms)
    blocker = sqlite3.connect(folder / "hi.db", isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    with pytest.raises(SourceDownError):
        await built.lookup(ask(ANNA, deadline_s=0.05))
    blocker.execute("ROLLBACK")
    blocker.close()
    assert rows(await built.lookup(ask(ANNA)))
    await built.close()


async def test_a_table_without_an_index_does_not_hold_up_the_others(folder: Path) -> None:
    with sqlite3.connect(folder / "hi.db") as db:
        db.execute("DROP INDEX by_id")
        many = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)"
        db.execute(f"INSERT INTO settlements {many} SELECT 'x' || i, '', 11, '20260101', i FROM n")
    db.close()
    built = build(manifest_in(folder, TEXT), folder, now_ms)
    assert len(rows(await built.lookup(ask(ANNA)))) == 2
    assert built._at_once is None, "a scan should have moved the lookups to the threads"  # type: ignore[attr-defined]
    assert len(rows(await built.lookup(ask(ANNA)))) == 2
    await built.close()


async def test_a_cancelled_lookup_stops_its_statement(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS id, i AS who FROM n"
    text = TEXT.replace('table: "insured persons"', f'query: "{endless}"')
    built = build(manifest_in(folder, text), folder, now_ms)
    started, stopped = threading.Event(), threading.Event()
    real = Database._try

    def watched(self: Database, *args: object) -> object:
        started.set()
        try:
            return real(self, *args)  # type: ignore[arg-type]
        finally:
            stopped.set()

    monkeypatch.setattr(Database, "_try", watched)
    people = [number(i) for i in range(20)]
    asking = asyncio.ensure_future(built.lookup(ask(*people)))
    await asyncio.to_thread(started.wait, 10)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert await asyncio.to_thread(stopped.wait, 10), "the statement went on after its lookup was cancelled"
    with pytest.raises(SourceDownError, match="in time"):
        await built.lookup(ask(*people, deadline_s=0.05))
    await built.close()


async def test_a_statement_that_is_cancelled_a_moment_before_it_begins_is_stopped_all_the_same(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "empty.db").close()
    database = Database("sqlite:///empty.db", folder=tmp_path, schema=None, chunk=None, timeout_s=60, budget=0)
    endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS id FROM n"
    work, interrupted = Work(), threading.Event()
    canceller = threading.Thread(target=database.cancel, args=(work,))

    class Telling:
        """The work's lock, which tells when the canceller has been in it."""

        def __init__(self) -> None:
            self.lock = threading.Lock()

        def __enter__(self) -> None:
            self.lock.acquire()

        def __exit__(self, *_: object) -> None:
            self.lock.release()
            if threading.current_thread() is canceller:
                interrupted.set()

    work.lock = Telling()  # type: ignore[assignment]

    class Late:
        """The last thing before a statement begins."""

        exceeded = False

        def begin(self) -> None:
            canceller.start()
            assert interrupted.wait(10)

    database._steps = Late()  # type: ignore[assignment]
    with pytest.raises(DatabaseError):
        await asyncio.to_thread(database.newest, database.statement(None, endless, ("id",), "id"), work)
    await asyncio.to_thread(canceller.join, 20)
    assert not canceller.is_alive()


@pytest.mark.parametrize("url", ["nonsense", "nodb://x/y", "mysql+nodriver://x/y"])
def test_a_url_that_is_none_is_a_manifest_error_with_its_line(tmp_path: Path, url: str) -> None:
    with pytest.raises(ManifestError, match=r"manifest\.yaml:7: source\.url"):
        build(manifest_in(tmp_path, TEXT.replace("sqlite:///hi.db", url)), tmp_path, now_ms)


@pytest.mark.parametrize("many", [False, True])
async def test_a_column_of_whole_numbers_is_asked_with_such_by_its_index(folder: Path, many: bool) -> None:
    people = [each for each in (number(serial) for serial in range(100, 500)) if each.isdigit()]
    with sqlite3.connect(folder / "hi.db") as db:
        # Without a type of its own, as views have it: nothing turns a text into a number there.
        db.execute("CREATE TABLE whole (id, who TEXT, type INTEGER, at TEXT, ref INTEGER)")
        db.execute("CREATE INDEX whole_id ON whole (id)")
        values = [(int(person), "某", 11, "20260301", i) for i, person in enumerate(people)]
        db.executemany("INSERT INTO whole VALUES (?, ?, ?, ?, ?)", values)
        db.execute("INSERT INTO whole VALUES (?, '陈', 11, '20260301', 77)", (int(CHEN[:6] + CHEN[8:17]),))
        plan = db.execute("EXPLAIN QUERY PLAN SELECT id FROM whole WHERE id IN (?, ?)", (1, 2)).fetchall()
    db.close()
    assert "whole_id" in str(plan)
    text = TEXT.replace("table: settlements", "table: whole").replace(
        "evidence: {column", "identity: {column: id, name: who, forms: FORMS}\n    evidence: {column"
    )
    asked = [*(people if many else people[:3]), ENDING_IN_X, CHEN, "H1234567"]
    built = build(manifest_in(folder, text.replace("FORMS", "[lower_x]")), folder / "state", now_ms)
    assert not len((await built.lookup(ask(*asked))).evidence), "as a text it does not stand there"
    await built.close()
    built = build(manifest_in(folder, text.replace("FORMS", "[integer, legacy_15]")), folder / "state", now_ms)
    found = await built.lookup(ask(*asked))
    assert len(found.evidence) == len(asked) - 2
    assert [row[3] for row in rows(await built.lookup(ask(ENDING_IN_X, CHEN)))] == ["77"]
    assert not len((await built.lookup(ask(ENDING_IN_X))).evidence), "it cannot stand there"
    await built.close()


@pytest.mark.parametrize("many", [False, True])
async def test_numbers_with_blanks_behind_are_found_where_the_manifest_says_so(folder: Path, many: bool) -> None:
    people = [number(serial) for serial in range(100, 400 if many else 103)]
    with sqlite3.connect(folder / "hi.db") as db:
        values = [(f"{person}  ", "某", 11, "20260301", i) for i, person in enumerate(people)]
        db.executemany("INSERT INTO settlements VALUES (?, ?, ?, ?, ?)", values)
    db.close()
    for forms, extra in (("[lower_x]", 0), ("[lower_x, padded_20]", len(people))):
        built = build(manifest_in(folder, TEXT.replace("[lower_x, legacy_15]", forms)), folder / "state", now_ms)
        found = await built.lookup(ask(ANNA, *people))
        assert len(found.evidence) == 2 + extra
        assert {held for _, held, _ in holders(found)} == {ANNA, *(people if extra else ())}, "told as asked"
        await built.close()


@pytest.mark.parametrize("form", ["padded", "padded_0", "padded_65", "padded_018", "upper_x"])
def test_a_form_that_is_none_is_an_error_that_names_the_others(folder: Path, form: str) -> None:
    with pytest.raises(ManifestError, match="padded_N") as caught:
        manifest_in(folder, TEXT.replace("legacy_15]", f"{form}]"))
    assert "padded_N" in caught.value.zh
