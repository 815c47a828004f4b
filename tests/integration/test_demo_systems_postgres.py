"""Health insurance on PostgreSQL, wherever that can run."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from adapters.build import build
from adapters.contract import Lookup, Subjects
from adapters.manifest import load_manifest
from gateway.demo.processes import Started, start, stop, wait_ready
from gateway.demo.systems import SystemsConfig, health_insurance, materialise, postgres, write_manifests
from gateway.demo.world import World, build_world
from tests.needs import lacking

pytestmark = pytest.mark.integration

HERE = 330000


@pytest.fixture(scope="module")
def world() -> World:
    return build_world(seed=6, provinces=2, people=400, as_of_on=20_780)


@pytest.fixture(scope="module")
def running(
    world: World, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[SystemsConfig, Started, dict[str, str]]]:
    folder = tmp_path_factory.mktemp("province")
    config = materialise(world, HERE, folder / "systems")
    process = start("departments", ("gateway.demo.systems", "--config", str(config.path)), folder / "log")
    try:
        endpoints = wait_ready([(process, config.ready_file)])[0]
        if "health-insurance" not in endpoints:
            lacking("PostgreSQL cannot run here")
        yield config, process, endpoints
    finally:
        stop([process])


async def test_it_answers_as_the_sqlite_file_does(
    world: World, running: tuple[SystemsConfig, Started, dict[str, str]], tmp_path: Path
) -> None:
    config, _, endpoints = running
    subjects = Subjects(list(dict.fromkeys(world.people.number)), [""] * len(set(world.people.number)))
    answers = []
    for addresses in (endpoints, {name: at for name, at in endpoints.items() if name != "health-insurance"}):
        paths = write_manifests(world.province(HERE), config, addresses)
        adapter = build(load_manifest(next(p for p in paths if p.stem == "health-insurance")), tmp_path)
        await adapter.check()
        evidence = (await adapter.lookup(Lookup(subjects, deadline_s=30))).evidence
        columns = [getattr(evidence, name).tolist() for name in evidence.INTEGER_COLUMNS]
        answers.append(sorted(zip(*columns, evidence.source_reference, strict=True)))
        await adapter.close()
    assert answers[0] == answers[1]
    assert answers[0]


def test_the_reader_may_only_read(running: tuple[SystemsConfig, Started, dict[str, str]]) -> None:
    config, _, _ = running
    url = (config.folder / "secrets" / "health-insurance").read_text(encoding="utf-8")
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        assert connection.execute("SELECT count(*) FROM share.setl_d").fetchone()
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DELETE FROM share.setl_d")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(make_conninfo(url.replace("+psycopg", ""), password="guess"), connect_timeout=60)


def test_it_ends_with_its_process_even_when_that_is_killed(  # the last to use it
    running: tuple[SystemsConfig, Started, dict[str, str]],
) -> None:
    _, process, endpoints = running
    servers = [one for one in psutil.Process(process.pid).children(recursive=True) if one.name() == "postgres"]
    assert servers
    os.kill(process.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(servers, timeout=60)
    assert not alive
    host, port = endpoints["health-insurance"].split(":")
    with pytest.raises(OSError), contextlib.closing(socket.create_connection((host, int(port)), timeout=60)):
        pass


def test_where_the_wheel_is_missing_there_is_no_server(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = materialise(world, HERE, tmp_path / "systems")
    source = config.folder.joinpath(*health_insurance.DATABASE)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert postgres.start(source, health_insurance.SCHEMA) is None
