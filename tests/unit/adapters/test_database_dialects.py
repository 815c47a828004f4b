"""What is sent to databases that tests cannot start: statements of their real dialects, and how long lists are."""

from __future__ import annotations

import importlib
import re
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pymysql
import pytest
from sqlalchemy import select

from adapters import dameng
from adapters.connecting import not_in
from adapters.database import Database, DatabaseError, Work
from adapters.manifest import TableManifest
from adapters.manifest.model import Manifest
from tests.unit.adapters.adapters_world import manifest_in

URLS = {
    "oracle": "oracle+oracledb://reader:secret@127.0.0.1:9/?service_name=share",
    "mysql": "mysql+pymysql://reader:secret@127.0.0.1:9/share",
    "mariadb": "mariadb+pymysql://reader:secret@127.0.0.1:9/share",
}
LISTS = {"oracle": 1_000, "mysql": 2_000, "mariadb": 2_000}


def opened(name: str, folder: Path, chunk: int | None = None) -> Database:
    return Database(URLS[name], folder=folder, schema="share", chunk=chunk, timeout_s=1)


@pytest.fixture(params=URLS)
def dialect(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Statements with their parameters, as they would go to the driver."""
    calls: list[tuple[str, Any]] = []

    def run(_: Database, sql: str, parameters: Any, __: Work) -> list[tuple[object, ...]]:
        calls.append((sql, parameters))
        return []

    monkeypatch.setattr(Database, "_run", run)
    return calls


def test_no_list_is_longer_than_the_database_takes(dialect: str, tmp_path: Path, sent: list[tuple[str, Any]]) -> None:
    numbers = [f"{at:018d}" for at in range(2_500)]
    for chunk in (None, 50_000, 7):
        database = opened(dialect, tmp_path, chunk)
        statement = database.statement("insured", None, ("id", "name"), "id")
        sent.clear()
        database.rows(statement, numbers, Work())
        asked: set[str] = set()
        for sql, parameters in sent:
            values = list(parameters.values() if isinstance(parameters, dict) else parameters)
            (inside,) = re.findall(r"IN \((.*)\)", sql) or [""]
            assert inside.count(",") + 1 == len(values) <= min(LISTS[dialect], chunk or LISTS[dialect])
            assert not any(value in sql for value in values), "numbers are parameters"
            asked.update(values)
        assert asked == set(numbers)


def test_the_first_row_and_the_newest_day_are_asked_for_in_plain_statements(
    dialect: str, tmp_path: Path, sent: list[tuple[str, Any]]
) -> None:
    database = opened(dialect, tmp_path)
    statement = database.statement(None, "SELECT id, at FROM settlements WHERE state = 'a:b'", ("id", "at"), "at")
    database.first(statement, Work())
    database.newest(statement, Work())
    chosen = select(statement.source.c.id).where(statement.source.c.at > "2026").order_by(statement.source.c.at)
    database.read(chosen.limit(500), Work())
    for sql, parameters in sent:
        assert "POSTCOMPILE" not in sql
        assert "'a:b'" in sql
        marks = len(re.findall(r"%\(\w+\)s|(?<=[ (]):\w+", sql))
        assert marks == len(parameters)
    assert all(("FETCH FIRST" in sql) == (dialect == "oracle") for sql, _ in (sent[0], sent[2]))


def test_dameng_is_loaded_without_the_half_of_its_dialect_that_does_not_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "dmSQLAlchemy"
    package.mkdir()
    (package / "__init__.py").write_text("from . import sync\nfrom .dmasync import dialect_async\n")
    (package / "sync.py").write_text("WHOLE = True\n")
    (package / "dmasync.py").write_text("from sqlalchemy.util import what_is_no_more\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("dmSQLAlchemy", "dmSQLAlchemy.sync", "dmSQLAlchemy.dmasync"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    dameng.make_loadable()
    assert importlib.import_module("dmSQLAlchemy.sync").WHOLE
    (package / "dmasync.py").write_text("dialect_async = 'theirs'\n")
    for name in [name for name in sys.modules if name.startswith("dmSQLAlchemy")]:
        del sys.modules[name]
    importlib.invalidate_caches()
    dameng.make_loadable()
    assert importlib.import_module("dmSQLAlchemy").dialect_async == "theirs", (
        "where it loads by itself it is left alone"
    )
    for name in [name for name in sys.modules if name.startswith("dmSQLAlchemy")]:
        del sys.modules[name]


def test_a_database_that_is_away_is_down_and_its_driver_is_the_real_one(dialect: str, tmp_path: Path) -> None:
    database = opened(dialect, tmp_path)
    with pytest.raises(DatabaseError) as refused:
        database.first(database.statement("insured", None, ("id",), "id"), Work())
    assert refused.value.down
    assert "secret" not in str(refused.value)


def test_a_database_whose_host_is_not_found_is_down_whatever_its_driver_raises(dialect: str, tmp_path: Path) -> None:
    url = URLS[dialect].replace("127.0.0.1", "nowhere.invalid")
    database = Database(url, folder=tmp_path, schema="share", chunk=None, timeout_s=1)
    with pytest.raises(DatabaseError) as refused:
        database.first(database.statement("insured", None, ("id",), "id"), Work())
    assert (refused.value.down, refused.value.gone) == (True, True)
    assert str(refused.value) in {"host name not found", "timed out"}


def test_a_manifest_names_such_a_database(dialect: str, tmp_path: Path) -> None:
    text = f"""\
manifest: 1
adapter_id: insured
version: 1
department: HEALTH_INSURANCE
regions: [330000]
kind: table
source: {{url: "{URLS[dialect]}", chunk: 50000}}
identity: {{column: id}}
records: [{{name: insured, table: insured, evidence: none}}]
"""
    made: Manifest = manifest_in(tmp_path, text)
    assert isinstance(made, TableManifest)


@pytest.mark.parametrize(
    ("text", "zh"),
    [
        ('connection failed: FATAL:  password authentication failed for user "reader"', "用户名或口令被拒绝"),
        ("(1045, \"Access denied for user 'reader'@'10.0.0.8' (using password: YES)\")", "用户名或口令被拒绝"),
        ('connection failed: FATAL:  database "share" does not exist', "没有该数据库"),
        ("failed to resolve host 'db.example': [Errno -2] Name or service not known", "域名无法解析"),
        ("(2003, \"Can't connect to MySQL server on '10.0.0.8' ([Errno 111] Connection refused)\")", "连接被拒绝"),
        ("something of a person", "OSError"),
    ],
)
def test_why_no_connection_came_to_be_is_told_without_the_drivers_words(text: str, zh: str) -> None:
    why = not_in(OSError(text))
    assert why.zh == zh
    assert not any(word in why.en + why.zh for word in ("reader", "10.0.0.8", "share", "person"))


@pytest.mark.parametrize(("number", "refused"), [(1054, True), (1143, True), (2013, False), (1205, False)])
def test_a_column_that_mysql_does_not_know_is_no_database_that_is_down(
    tmp_path: Path, number: int, refused: bool
) -> None:
    database = opened("mysql", tmp_path)
    wrapped = database._wrap(pymysql.err.OperationalError(number, "what the driver says"))
    assert (wrapped.refused, wrapped.down) == (refused, not refused)
    database.close()


def test_after_a_connection_is_lost_a_statement_is_run_on_a_new_one_and_never_on_the_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(tmp_path / "insured.db")) as connection:
        connection.execute("CREATE TABLE insured (id TEXT, name TEXT)")
        connection.execute("INSERT INTO insured VALUES ('1', 'a')")
        connection.commit()
    database = Database("sqlite:///insured.db", folder=tmp_path, schema=None, chunk=None, timeout_s=1)
    statement = database.statement("insured", None, ("id", "name"), "id")
    run, lost, seen = Database._execute, 0, []

    def execute(of: Database, cursor: Any, sql: str, parameters: Any) -> None:
        nonlocal lost
        seen.append(cursor.connection)
        if lost:
            lost -= 1
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error
        run(of, cursor, sql, parameters)

    monkeypatch.setattr(Database, "_execute", execute)
    for times, tries in ((0, 1), (0, 1), (1, 2), (0, 1)):
        lost, before = times, len(seen)
        assert database.rows(statement, ["1"], Work()) == [("1", "a")]
        assert len(seen) - before == tries
    first, second = seen[0], seen[-1]
    assert first is not second
    assert seen == [first, first, first, second, second]
    lost = 2
    with pytest.raises(DatabaseError):
        database.rows(statement, ["1"], Work())
    assert database.rows(statement, ["1"], Work()) == [("1", "a")], "both that were lost are given up"
    database.close()
