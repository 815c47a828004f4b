"""Which databases are read in columns, and what their statements look like."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from adapters.arrow import ArrowDatabase, sql_of
from adapters.database import Database

URL = "postgresql+psycopg://reader:p%40ss%2Fword@db.example:5432/share?sslmode=verify-full"


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///x.db",
        "mysql+pymysql://reader@db.example/share",
        "postgresql+psycopg2://reader@db.example/share",
        "postgresql+psycopg://reader@/share?host=a.example:5432&host=b.example:5432",
    ],
)
def test_other_databases_and_drivers_are_read_by_rows(url: str) -> None:
    assert ArrowDatabase.of(url, 5) is None


def test_without_its_driver_postgresql_is_read_by_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ArrowDatabase.of(URL, 5) is not None
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name.startswith("adbc") else found(name))
    assert ArrowDatabase.of(URL, 5) is None


def test_the_address_keeps_what_the_url_says() -> None:
    database = ArrowDatabase.of(URL, 5)
    assert database is not None
    told = make_url(database._uri)
    assert (told.username, told.password, told.host, told.port, told.database) == (
        "reader",
        "p@ss/word",
        "db.example",
        5432,
        "share",
    )
    assert told.query == {
        "sslmode": "verify-full",
        "connect_timeout": "5",
        "tcp_user_timeout": "6000",
        "application_name": "wugan",
        "keepalives_idle": "10",
        "keepalives_interval": "5",
        "keepalives_count": "3",
    }
    named = ArrowDatabase.of(f"{URL}&application_name=health", 5)
    assert named is not None
    assert make_url(named._uri).query["application_name"] == "health"


def test_numbers_are_one_parameter_of_the_columns_type(tmp_path: Path) -> None:
    database = Database("sqlite:///x.db", folder=tmp_path, schema="share", chunk=None, timeout_s=5)
    statement = database.statement('od"d', None, ("id", "who", "100%"), "id")
    char, text = sql_of(statement, ("id", "100%"), (1042, 1043, 25)), sql_of(statement, ("id",), (1043, 1043, 25))
    assert "ANY (CAST($1 AS BPCHAR[]))" in char
    assert '"od""d"."100%"' in char
    assert "ANY (CAST($1 AS VARCHAR[]))" in text
    assert "who" not in char + text
    database.close()
