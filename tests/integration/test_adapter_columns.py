"""Many people on a real PostgreSQL server: whole columns mean what rows mean, and are as strictly bounded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from adapters import retries
from adapters.arrow import ArrowDatabase, sql_of
from adapters.asked import normal
from adapters.build import build
from adapters.contract import Found, Lookup, Subjects
from adapters.database import DatabaseError, Work
from adapters.errors import SourceDownError, SourceFaultError
from adapters.kinds import columns, table
from adapters.kinds.table import TableAdapter
from tests.unit.adapters.adapters_world import ANNA, ask, manifest_in, now_ms

pytestmark = pytest.mark.integration

TEXT = """\
manifest: 1
adapter_id: health-insurance
version: 1
department: HEALTH_INSURANCE
regions: [330000]
kind: table
source: {url: "URL", schema: "share Data"}
identity: {column: id, name: "Name of"}
links: {table: pairs, identity: {column: old}, linked: new, since: at}
complete_until: {date: {column: at}, of: zoned}
timeout_s: 20
records:
  - name: insured
    table: Insured
    evidence: none
    identity: {column: id, name: "Name of", forms: [lower_x, legacy_15]}
  - name: zoned
    table: zoned
    evidence: {column: type, codes: {11: OUTPATIENT, 21: INPATIENT, 31: ignore}}
    observed_on: at
    available_on: had
    region: {column: area}
    strength: {column: type, codes: {11: REAL_NAME, 21: IN_PERSON}, otherwise: WEAK}
    source_reference: ref
    only: {column: valid, values: ["true"]}
  - name: plain
    table: plain
    evidence: {column: "type", codes: {A: DEATH_SETTLEMENT, B: PHARMACY}, unknown: ignore}
    observed_on: {column: at, formats: ["%Y%m%d"]}
    available_on: had
    region: {column: area, otherwise: 330000}
    strength: REAL_NAME
    source_reference: ref
    only: {column: valid, except_values: ["0"]}
    bad_rows: skip
  - name: floating
    table: floating
    evidence: REMOTE_SETTLEMENT
    observed_on: at
    region: {column: area}
    strength: REAL_NAME
    source_reference: ref
  - name: chosen
    query: >-
      SELECT id, "Name of", at::date AS at, '5%' || to_char(at, 'HH24:MI') AS ref
      FROM "share Data".zoned WHERE NOT valid
    evidence: REMOTE_SETTLEMENT
    observed_on: at
    strength: REAL_NAME
    source_reference: ref
"""
PEOPLE = 1_200
TABLES = """
CREATE SCHEMA "share Data";
SET search_path = "share Data";
CREATE TABLE ids AS SELECT n, id, '某' || n AS "Name of" FROM unnest(%(numbers)s::text[]) WITH ORDINALITY AS k (id, n);
CREATE TABLE "Insured" AS SELECT
    (CASE n % 5 WHEN 0 THEN lower(id) WHEN 1 THEN substr(id, 1, 6) || substr(id, 9, 9) ELSE id END)::char(20) AS id,
    (CASE n % 7 WHEN 0 THEN '别名' WHEN 1 THEN NULL WHEN 2 THEN ' ' || "Name of" ELSE "Name of" END)::varchar(50)
    AS "Name of"
    FROM ids;
CREATE TABLE zoned AS SELECT
    id::char(18) AS id, "Name of", (ARRAY[11, 21, 31])[1 + (n + k) %% 3]::smallint AS type,
    timestamptz '1985-01-01 16:00:00+00' + n * 12 * interval '1 day' + k * interval '7 hours' AS at,
    CASE n %% 9 WHEN 0 THEN NULL ELSE timestamptz '2026-01-01' END AS had,
    (330100 + n %% 20)::numeric(12, 2) AS area, n * 100 + k AS ref, n %% 11 <> 3 AS valid
    FROM ids, generate_series(1, 3) AS k;
CREATE TABLE plain AS SELECT
    id::varchar(18) AS id, "Name of",
    (CASE n %% 4 WHEN 0 THEN 'A ' WHEN 1 THEN 'B' WHEN 2 THEN 'new' END)::char(3) AS type,
    CASE n %% 6 WHEN 0 THEN '2026-03-01' WHEN 1 THEN '' ELSE to_char(date '2025-01-01' + n::int, 'YYYYMMDD') END AS at,
    timestamp '2026-01-01 23:59:59.999' + n * interval '1 hour' AS had,
    CASE n %% 5 WHEN 0 THEN NULL ELSE '3301020010' || (10 + n %% 80) END AS area,
    CASE n %% 13 WHEN 0 THEN 'case ' || id ELSE 'P' || n END AS ref, (n %% 17)::bigint AS valid
    FROM ids;
CREATE TABLE floating AS SELECT
    id, "Name of", date '2026-01-01' + n::int %% 60 AS at, (330100 + n %% 3)::float4 AS area, (n * 1.5)::numeric AS ref
    FROM ids WHERE n %% 10 = 0;
CREATE TABLE pairs AS
    SELECT id AS old, '33070219300101' || lpad(n::text, 4, '0') AS new, date '2020-01-01' + n::int AS at
    FROM ids WHERE n %% 40 = 0;
CREATE TABLE strangers AS SELECT * FROM zoned;
CREATE INDEX ON zoned (id);
CREATE INDEX ON plain (id);
ANALYZE;
""".replace("n % ", "n %% ")


@pytest.fixture(scope="module")
def server(new_database: Callable[[], str]) -> str:
    """A PostgreSQL database of our own."""
    uri = new_database()
    with psycopg.connect(uri, autocommit=True, cursor_factory=psycopg.ClientCursor) as db:
        db.execute(TABLES, {"numbers": _numbers()})
    return uri.replace("postgresql://", "postgresql+psycopg://")


@pytest.fixture
async def adapter(server: str, tmp_path: Path) -> AsyncIterator[TableAdapter]:
    built = build(manifest_in(tmp_path, TEXT.replace("URL", server)), tmp_path, now_ms)
    assert isinstance(built, TableAdapter)
    yield built
    await built.close()


def _numbers() -> list[str]:
    return [normal(f"3307025001{1 + serial // 900:02d}{serial % 900:03d}") for serial in range(PEOPLE)]


def _lookup(**settings: object) -> Lookup:
    numbers = _numbers()
    names = [f"某{n + 1}" for n in range(PEOPLE)]
    subjects = Subjects([*numbers, numbers[5]], [*names, names[5]], [7], [numbers[8]])
    return Lookup(subjects, deadline_s=30, **settings)  # type: ignore[arg-type]


def _told(found: Found) -> object:
    evidence, held, links = found.evidence, found.holders, found.links
    columns = [getattr(evidence, name).tolist() for name in evidence.INTEGER_COLUMNS]
    return (
        sorted(zip(held.subject.tolist(), held.held_id_number, held.held_name, strict=True)),
        sorted(zip(*columns, evidence.source_reference, strict=True)),
        sorted(zip(links.subject.tolist(), links.id_number, links.since_on.tolist(), strict=True)),
        found.complete_until_on,
    )


async def _both(adapter: TableAdapter, question: Lookup, monkeypatch: pytest.MonkeyPatch) -> tuple[Found, Found]:
    by_columns = await adapter.lookup(question)
    with monkeypatch.context() as patched:
        patched.setattr(table, "COLUMNS_FROM", 1_000_000)
        return by_columns, await adapter.lookup(question)


async def test_columns_of_every_type_mean_what_their_rows_mean(
    adapter: TableAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_columns, by_rows = await _both(adapter, _lookup(), monkeypatch)
    assert _told(by_columns) == _told(by_rows)
    assert len(by_columns.evidence) > PEOPLE
    assert len(by_columns.links.subject) > 0
    assert adapter._columns is not None
    ways = [way is not None for way in adapter._columns._ways.values()]
    assert sorted(ways) == [False, *[True] * 6], "a float column is read by rows, all else by columns"
    old, new = await _both(adapter, _lookup(traces_since_on=20_000, kinds=(1, 2, 3, 105)), monkeypatch)
    assert _told(old) == _told(new)


async def test_references_that_nobody_needs_are_not_read(adapter: TableAdapter) -> None:
    whole, spared = await adapter.lookup(_lookup()), await adapter.lookup(_lookup(references=False))
    assert set(spared.evidence.source_reference) == {""}
    assert adapter._columns is not None
    texts = [text for way in adapter._columns._ways.values() if way is not None for text in way.texts.values()]
    assert sum(".ref" in text for text in texts) == 3, "in three record sets, where it was asked for"
    # Rows of which nothing was wrong but the reference count as well.
    assert len(whole.evidence) < len(spared.evidence) < len(whole.evidence) + PEOPLE / 13


async def test_somebody_elses_record_spoils_the_answer(adapter: TableAdapter, monkeypatch: pytest.MonkeyPatch) -> None:
    # A view may call other numbers the same, by a collation of its own; here the condition itself is left out.
    def careless(*about: Any) -> str:
        return sql_of(*about).replace(".id = ANY (CAST($1", ".id <> ANY (CAST($1")

    monkeypatch.setattr(columns, "sql_of", careless)
    question = _lookup()
    fewer = Subjects(question.subjects.id_number[:600], question.subjects.name[:600])
    with pytest.raises(SourceFaultError, match="somebody who was not asked"):
        await adapter.lookup(replace(question, subjects=fewer))


async def test_a_changed_table_is_read_anew(server: str, tmp_path: Path) -> None:
    uri = server.replace("+psycopg", "")
    with psycopg.connect(uri, autocommit=True) as db:
        db.execute('CREATE TABLE "share Data".moving AS SELECT * FROM "share Data".zoned')
    built = build(
        manifest_in(tmp_path, TEXT.replace("table: zoned", "table: moving").replace("URL", server)), tmp_path, now_ms
    )
    before = _told(await built.lookup(_lookup()))
    with psycopg.connect(uri, autocommit=True) as db:
        db.execute('ALTER TABLE "share Data".moving ALTER COLUMN type TYPE varchar(4), ALTER COLUMN ref TYPE text')
    assert _told(await built.lookup(_lookup())) == before
    assert _told(await built.lookup(_lookup())) == before
    await built.close()


async def test_a_column_that_goes_away_is_named_and_what_wants_it(server: str, tmp_path: Path) -> None:
    uri = server.replace("+psycopg", "")
    with psycopg.connect(uri, autocommit=True) as db:
        db.execute('CREATE TABLE "share Data".losing AS SELECT * FROM "share Data".zoned')
    text = TEXT.replace("table: zoned", "table: losing").replace("URL", server)
    built, known = (build(manifest_in(tmp_path, text), tmp_path, now_ms) for _ in range(2))
    assert _told(await known.lookup(_lookup()))
    with psycopg.connect(uri, autocommit=True) as db:
        db.execute('ALTER TABLE "share Data".losing DROP COLUMN ref')
    # By columns, of types known before and not; and by rows.
    for adapter, question in ((built, _lookup()), (known, _lookup()), (built, ask(ANNA))):
        with pytest.raises(SourceFaultError, match=r"has no column 'ref' \(wanted by source_reference\)") as caught:
            await adapter.lookup(question)
        assert ANNA not in caught.value.en
    with pytest.raises(SourceFaultError, match="'ref'"):
        await built.check()
    await built.close()
    await known.close()


def test_the_session_is_read_only_bounded_in_time_and_stopped_from_outside(server: str) -> None:
    import threading

    import polars as pl

    database = ArrowDatabase.of(server, 60)
    assert database is not None
    numbers = pl.Series("numbers", ["x"])
    with pytest.raises(DatabaseError) as caught:
        database.rows('DELETE FROM "share Data".ids WHERE id = ANY($1::text[]) RETURNING id', numbers, Work())
    assert not caught.value.down
    database.close()
    database = ArrowDatabase.of(server, 0.3)
    assert database is not None
    with pytest.raises(DatabaseError) as caught:
        database.rows("SELECT pg_sleep(60), $1::text[]", numbers, Work())
    assert caught.value.kind == "time limit"
    database.close()
    database, work = ArrowDatabase.of(server, 60), Work()
    assert database is not None
    stopper = threading.Thread(target=_stop, args=(work,))
    stopper.start()
    with pytest.raises(DatabaseError) as caught:
        database.rows("SELECT pg_sleep(60), $1::text[]", numbers, work)
    stopper.join()
    assert caught.value.kind == "time limit"
    assert len(database.rows("SELECT 1 AS one WHERE 'x' = ANY($1::text[])", numbers, Work())) == 1
    database.close()


def _stop(work: Work) -> None:
    """Stop what runs, once it runs; again, if it was a moment too early."""
    while not work.over.wait(0.05):
        with work.lock:
            running = work.connection
        if running is not None:
            running.cancel()


async def test_a_lookup_past_its_deadline_is_cancelled_in_the_server(server: str, tmp_path: Path) -> None:
    slow = TEXT.replace("table: plain", "query: 'SELECT *, pg_sleep(60)::text AS s FROM \"share Data\".plain'")
    built = build(manifest_in(tmp_path, slow.replace("URL", server)), tmp_path, now_ms)
    with pytest.raises(SourceDownError, match="in time"):
        await built.lookup(replace(_lookup(), deadline_s=0.5))
    busy = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE state = 'active' AND query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid()"
    )

    def left() -> int:
        with psycopg.connect(server.replace("+psycopg", ""), autocommit=True) as db:
            row = db.execute(busy).fetchone()
            return int(row[0]) if row else 0

    async with asyncio.timeout(40):
        while await asyncio.to_thread(left):
            pass
    await built.close()


async def test_connections_that_went_away_are_made_anew(adapter: TableAdapter, server: str) -> None:
    further: list[str] = []
    retries.use(further.append)
    before = _told(await adapter.lookup(_lookup()))
    assert further == []
    with psycopg.connect(server.replace("+psycopg", ""), autocommit=True) as db:
        db.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'wugan'")
    assert _told(await adapter.lookup(_lookup())) == before
    assert set(further) == {adapter.describe().adapter_id}, "it is a further try"
    retries.use(None)


async def test_a_server_that_is_not_there_is_down(tmp_path: Path) -> None:
    text = TEXT.replace("URL", "postgresql+psycopg://nobody@127.0.0.1:1/none")
    built = build(manifest_in(tmp_path, text), tmp_path, now_ms)
    with pytest.raises(SourceDownError):
        await built.lookup(_lookup())
    await built.close()


async def test_an_index_is_used_and_no_number_stands_in_a_statement(adapter: TableAdapter, server: str) -> None:
    await adapter.lookup(_lookup())
    assert adapter._columns is not None
    texts = [text for way in adapter._columns._ways.values() if way is not None for text in way.texts.values()]
    assert texts
    assert not any(number in text for text in texts for number in _numbers()[:20])
    with psycopg.connect(server.replace("+psycopg", ""), autocommit=True) as db:
        (text,) = (text for text in texts if '"share Data".zoned.type' in text)
        plan = db.execute("EXPLAIN " + text.replace("%", "%%").replace("$1", "%s"), [_numbers()[:100]]).fetchall()
    assert any("Index" in str(line) for line in plan), plan


async def test_a_single_person_does_not_wait_for_the_many(server: str, tmp_path: Path) -> None:
    slow = TEXT.replace("table: plain", "query: 'SELECT *, pg_sleep(0.05)::text AS s FROM \"share Data\".plain'")
    built = build(
        manifest_in(tmp_path, slow.replace("URL", server).replace("timeout_s: 20", "timeout_s: 60")), tmp_path, now_ms
    )
    many = [asyncio.ensure_future(built.lookup(replace(_lookup(), deadline_s=60))) for _ in range(4)]
    single = Lookup(Subjects(_numbers()[:1], ["某1"]), deadline_s=60)
    first, _ = await asyncio.wait(
        [*many, asyncio.ensure_future(built.lookup(single))], return_when=asyncio.FIRST_COMPLETED
    )
    assert len(first) == 1
    assert not any(each.done() for each in many)
    for each in many:
        each.cancel()
    await asyncio.gather(*many, return_exceptions=True)
    await built.close()
