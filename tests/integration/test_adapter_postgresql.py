"""The kind `table` on a real PostgreSQL server: arrays, CHAR columns, dates as such, read-only, time limits."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner
from sqlalchemy import make_url

from adapters import retries
from adapters.build import build
from adapters.contract import Adapter
from adapters.database import Database, DatabaseError, Work
from adapters.errors import SourceDownError
from adapters.proposing import SampleError, propose
from gateway.cli import main
from tests.unit.adapters import conformance_sources as sources
from tests.unit.adapters.adapters_world import ANNA, BO, CHEN, ask, day, holders, manifest_in, now_ms, rows

pytestmark = pytest.mark.integration

TEXT = """\
manifest: 1
adapter_id: health-insurance
version: 1
department: HEALTH_INSURANCE
regions: [330000]
kind: table
source: {url: "URL", schema: "share Data"}
identity: {column: id, name: who}
complete_until: {date: {column: at}, of: settlements}
timeout_s: 10
records:
  - {name: insured, table: Insured, evidence: none}
  - name: settlements
    table: settlements
    evidence: {column: type, codes: {11: OUTPATIENT, 21: INPATIENT}}
    observed_on: at
    strength: REAL_NAME
    source_reference: ref
    only: {column: valid, values: ["true"]}
  - name: remote
    query: >-
      SELECT id, who, at::date AS at, '5%' || to_char(at, 'HH24:MI') AS ref
      FROM "share Data".settlements WHERE NOT valid AND type % 2 = 1
    evidence: REMOTE_SETTLEMENT
    observed_on: at
    strength: REAL_NAME
    source_reference: ref
"""


@pytest.fixture(scope="module")
def server(new_database: Callable[[], str]) -> str:
    """A PostgreSQL database of our own."""
    uri = new_database()
    with psycopg.connect(uri, autocommit=True) as db:
        db.execute('CREATE SCHEMA "share Data"')
        db.execute('CREATE TABLE "share Data"."Insured" (id char(18) PRIMARY KEY, who varchar(50))')
        db.execute(
            'CREATE TABLE "share Data".settlements'
            " (id char(18), who text, type integer, at timestamptz, ref bigint, valid boolean)"
        )
        db.execute('CREATE INDEX ON "share Data".settlements (id)')
        with db.cursor() as cursor:
            cursor.executemany('INSERT INTO "share Data"."Insured" VALUES (%s, %s)', [(ANNA, "安娜"), (BO, "博")])
            cursor.executemany(
                'INSERT INTO "share Data".settlements VALUES (%s, %s, %s, %s, %s, %s)',
                [
                    (ANNA, "安娜", 11, "2026-02-28 23:30:00+00", 1, True),  # the first of March in Shanghai
                    (ANNA, "安娜", 21, "2026-04-01 12:00:00+08", 2, True),
                    (ANNA, "安娜", 99, "2026-04-02 12:00:00+08", 3, False),
                ],
            )
            filling = [(f"9{i:017d}", "某", 11, "2026-01-01", i, True) for i in range(20_000)]
            cursor.executemany('INSERT INTO "share Data".settlements VALUES (%s, %s, %s, %s, %s, %s)', filling)
        db.execute("ANALYZE")
    return uri.replace("postgresql://", "postgresql+psycopg://")


@pytest.fixture
async def adapter(server: str, tmp_path: Path) -> AsyncIterator[Adapter]:
    built = build(manifest_in(tmp_path, TEXT.replace("URL", server)), tmp_path, now_ms)
    yield built
    await built.close()


async def test_native_dates_truth_values_and_char_columns_map(adapter: Adapter) -> None:
    await adapter.check()
    answer = await adapter.lookup(ask(ANNA, BO, CHEN))
    assert [row[:3] for row in rows(answer)] == [
        (0, "INPATIENT", "2026-04-01"),
        (0, "OUTPATIENT", "2026-03-01"),
        (0, "REMOTE_SETTLEMENT", "2026-04-02"),
    ]
    assert holders(answer) == [(0, ANNA, "安娜"), (1, BO, "博")]
    assert answer.complete_until_on == day("2026-04-02")


async def test_ten_thousand_people_are_one_statement_each_record_set(adapter: Adapter, server: str) -> None:
    people = [f"9{i:017d}" for i in range(10_000)]
    answer = await adapter.lookup(ask(*people, deadline_s=30))
    assert len(answer.evidence) == 10_000


def test_an_index_on_a_char_column_is_used(server: str, tmp_path: Path) -> None:
    database = Database(server, folder=tmp_path, schema="share Data", chunk=None, timeout_s=5)
    statement = database.statement("settlements", None, ("id", "who"), "id")
    sql, _, _ = database._sql(statement, 3)
    plan = database._run(f"EXPLAIN {sql}", {"numbers": [ANNA, BO, CHEN]}, Work())
    database.close()
    assert any("Index" in str(line) for line in plan), plan


@pytest.mark.parametrize("kind", ["bigint", "numeric(18)"])
def test_a_column_of_whole_numbers_fails_the_check_until_it_is_asked_with_such(
    server: str, tmp_path: Path, kind: str
) -> None:
    with psycopg.connect(server.replace("+psycopg", ""), autocommit=True) as db:
        db.execute('DROP TABLE IF EXISTS "share Data".whole')
        db.execute(f'CREATE TABLE "share Data".whole (id {kind}, who text)')
        db.execute('CREATE INDEX ON "share Data".whole (id)')
        filling = "SELECT 90000000000000000 + n, 'x' FROM generate_series(1, 100) n"
        db.execute(f'INSERT INTO "share Data".whole {filling}')
        db.execute('INSERT INTO "share Data".whole VALUES (%s, %s)', (int(ANNA), "安娜"))
    text = TEXT.split("complete_until", maxsplit=1)[0] + "records: [{name: whole, table: whole, evidence: none}]\n"
    path = tmp_path / "manifest.yaml"
    for forms, code in (("", 4), (", forms: [integer]", 0)):
        path.write_text(text.replace("URL", server).replace("name: who}", f"name: who{forms}}}"), encoding="utf-8")
        result = CliRunner(env={"WUGAN_LANG": "en_GB"}).invoke(main, ["adapter", "check", str(path)])
        assert result.exit_code == code, result.output
        assert ("in the manifest: integer" in result.output) == bool(code)

    async def known(more: int) -> list[tuple[int, str, str]]:
        built = build(manifest_in(tmp_path, path.read_text("utf-8")), tmp_path, now_ms)
        try:
            strangers = [f"1{at:017d}" for at in range(more)]
            return holders(await built.lookup(ask(ANNA, *strangers, "11010519491231002X")))
        finally:
            await built.close()

    for more in (0, 400):  # row by row, and so many that others are read in columns
        assert asyncio.run(known(more)) == [(0, ANNA, "安娜")]


def test_the_session_is_read_only_and_bounded_in_time(server: str, tmp_path: Path) -> None:
    database = Database(server, folder=tmp_path, schema=None, chunk=None, timeout_s=60)
    with pytest.raises(DatabaseError) as caught:
        database._run('DELETE FROM "share Data".settlements', (), Work())
    assert not caught.value.down
    database.close()
    database = Database(server, folder=tmp_path, schema=None, chunk=None, timeout_s=0.1)
    with pytest.raises(DatabaseError) as caught:
        database._run("SELECT pg_sleep(30)", (), Work())
    assert caught.value.kind == "time limit"
    database.close()


async def test_a_lookup_past_its_deadline_is_cancelled_in_the_server(server: str, tmp_path: Path) -> None:
    slow = TEXT.replace("table: Insured", "query: 'SELECT pg_sleep(60)::text AS id, current_user AS who'")
    built = build(manifest_in(tmp_path, slow.replace("URL", server)), tmp_path, now_ms)
    with pytest.raises(SourceDownError, match="in time"):
        await built.lookup(ask(ANNA, deadline_s=0.2))
    uri = server.replace("+psycopg", "")
    busy = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE state = 'active' AND query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid()"
    )

    def left() -> int:
        with psycopg.connect(uri, autocommit=True) as db:
            row = db.execute(busy).fetchone()
            return int(row[0]) if row else 0

    async with asyncio.timeout(40):
        while await asyncio.to_thread(left):
            pass
    await built.close()


async def test_a_connection_that_went_away_is_made_anew(adapter: Adapter, server: str) -> None:
    further: list[str] = []
    retries.use(further.append)
    assert rows(await adapter.lookup(ask(ANNA)))
    assert further == []
    with psycopg.connect(server.replace("+psycopg", ""), autocommit=True) as db:
        db.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'wugan'")
    assert rows(await adapter.lookup(ask(ANNA)))
    assert set(further) == {"health-insurance"}, "it is a further try"
    retries.use(None)


async def test_a_server_that_is_not_there_is_down(tmp_path: Path) -> None:
    text = TEXT.replace("URL", "postgresql+psycopg://nobody@127.0.0.1:1/none")
    built = build(manifest_in(tmp_path, text), tmp_path, now_ms)
    with pytest.raises(SourceDownError):
        await built.check()
    await built.close()


def test_a_manifest_is_proposed_from_its_tables_and_passes_the_check(server: str, tmp_path: Path) -> None:
    with psycopg.connect(server.replace("+psycopg", ""), autocommit=True) as db:
        db.execute("CREATE TABLE cremations (gmsfhm char(18), xm text, hhrq date)")
        db.execute("CREATE TABLE another_affair AS SELECT * FROM cremations")
        db.execute("CREATE ROLE wugan_reader LOGIN PASSWORD 'for-the-test'")
        db.execute("GRANT SELECT ON cremations TO wugan_reader")
        with db.cursor() as cursor:
            rows = [
                (number, "安娜", f"2026-0{1 + serial % 9}-01") for serial, number in enumerate([ANNA, BO, CHEN] * 9)
            ]
            cursor.executemany("INSERT INTO cremations VALUES (%s, %s, %s)", rows)
    proposed = tmp_path / "proposed.yaml"
    reader = make_url(server).set(username="wugan_reader", password="for-the-test")
    text = propose(reader.render_as_string(hide_password=False))
    assert "for-the-test" not in text
    assert "该用户无权读取" in text, "what it may not read keeps nobody from reading the rest"
    proposed.write_text(text, "utf-8")
    ran = CliRunner(env={"DB_PASSWORD": "for-the-test"}).invoke(main, ["adapter", "check", str(proposed), "--json"])
    assert ran.exit_code == 0, ran.output
    assert json.loads(ran.output)["sample"]["evidence"][0]["kind"] == "CREMATION"


def test_a_manifest_is_proposed_from_a_table_of_another_schema_which_is_told_of(
    new_database: Callable[[], str], tmp_path: Path
) -> None:
    url = new_database()
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as db:
        db.execute('CREATE SCHEMA "share Data"')
        db.execute('CREATE TABLE "share Data".cremations (gmsfhm char(18), xm text, hhrq date)')
        with db.cursor() as cursor:
            listed = [(number, "安娜", f"2026-0{1 + at % 9}-01") for at, number in enumerate([ANNA, BO, CHEN] * 9)]
            cursor.executemany('INSERT INTO "share Data".cremations VALUES (%s, %s, %s)', listed)
    url = url if "+psycopg" in url else url.replace("postgresql://", "postgresql+psycopg://")
    with pytest.raises(SampleError, match=r"other schemas \(share Data\): name one, --table share Data\.NAME"):
        propose(url)
    proposed = tmp_path / "proposed.yaml"
    proposed.write_text(propose(url, table=["share Data.cremations"]), "utf-8")
    ran = CliRunner(env={"DB_PASSWORD": make_url(url).password or ""}).invoke(
        main, ["adapter", "check", str(proposed), "--json"]
    )
    assert ran.exit_code == 0, ran.output
    assert json.loads(ran.output)["sample"]["evidence"][0]["kind"] == "CREMATION"


async def test_it_passes_every_case_of_the_conformance_kit(server: str, tmp_path: Path) -> None:
    columns = "seq integer, id varchar(18), who text, type text, at timestamptz, had text, area text, ref text"
    with psycopg.connect(server.replace("+psycopg", ""), autocommit=True) as db, db.cursor() as cursor:
        cursor.execute(f"CREATE TABLE stays ({columns}, begins text, ends text)")
        cursor.execute("CREATE TABLE pairs (old text, new text)")
        cursor.executemany("INSERT INTO stays VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)", sources.ROWS)
        cursor.executemany("INSERT INTO pairs VALUES (%s, %s)", sources.PAIRS)
    made = len(sources.ROWS)

    async def stir() -> list[str]:
        nonlocal made
        made += 1
        with psycopg.connect(server.replace("+psycopg", ""), autocommit=True) as db:
            db.execute("INSERT INTO stays VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)", sources.another(made))
        return [BO]

    report = await sources.report_on(tmp_path, sources.table_text(server), stir)
    assert sources.not_passed(report) == {}
