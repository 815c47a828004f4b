"""A sleeping province, as an agency meets it on the command line: asked once, answered when the province is back.

While it sleeps, its store is put on PostgreSQL, and later another machine takes over: docs/operations/postgresql.md.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from runbook import PAGES, Book, Host, stopped_at_the_end

from bench.federation import TwoProvinces, people, two_provinces
from gateway.cli import main
from gateway.clock import SystemClock
from gateway.config import load_gateway
from gateway.demo.processes import stop
from gateway.errors import StoreError
from gateway.store.place import open_store

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SETTINGS = "\n[outbox]\nretry_longest_s = 0.5\npoll_s = 0.2\n"
WAIT_S = 120


@dataclass
class Moving:
    """The answering province's host, whose store moves, and the page that says how.

    Args:
        book: the page.
        hosts: by name.
        database: where the store goes, as its administrator.
    """

    book: Book
    hosts: dict[str, Host]
    database: psycopg.Connection[tuple[Any, ...]]

    @property
    def gateway(self) -> Host:
        return self.hosts["gateway"]

    def sql(self, section: str) -> None:
        """Run what stands in a section for whoever keeps the server."""
        text = (PAGES / self.book.page).read_text("utf-8").partition(f"## {section}\n")[2]
        found = re.search(r"^```sql\n(.*?)^```", text, re.M | re.S)
        assert found
        for statement in found[1].split(";\n"):
            self.database.execute(statement)

    def count(self, query: str) -> int:
        row = self.database.execute(query).fetchone()
        assert row is not None
        return int(row[0])


@pytest.fixture(scope="module")
def provinces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoProvinces]:
    with two_provinces(tmp_path_factory.mktemp("left"), extra=SETTINGS) as both:
        yield both


@pytest.fixture(scope="module")
def moving(provinces: TwoProvinces, new_database: Callable[[], str]) -> Iterator[Moving]:
    """Owns the process of the answering province's gateway from when its store moves."""
    socket = sa.make_url(new_database()).query["host"]
    on_the_page = "@db.example:5432/wugan?sslmode=verify-full&sslrootcert=/etc/wugan/postgresql-ca.pem"
    host = Host("gateway", provinces.answering.folder, {on_the_page: f"@/wugan?host={socket}"})
    host.service = "wugan gateway run --config gateway.toml"
    with psycopg.connect(new_database(), autocommit=True) as admin:
        made = Moving(Book("postgresql.md"), {"gateway": host}, admin)
        made.sql("The database")
    with psycopg.connect(f"postgresql://postgres@/wugan?host={socket}", autocommit=True) as made.database:
        try:
            yield made
        finally:
            with stopped_at_the_end([host, made.gateway]):
                pass


def wugan(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gateway.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "WUGAN_LANG": "zh"},
    )


def told(*arguments: str) -> Any:
    done = wugan(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()] if "watch" in arguments else json.loads(done.stdout)


def ask(provinces: TwoProvinces, *more: str) -> list[str]:
    number, name = people()[0]
    about = ["--id", number, "--name", name, "--benefit", "EMPLOYEE_PENSION", "--purpose", "CERTIFICATION"]
    where = ["--region", "330700", "--config", str(provinces.agency_config), "--timeout", "60"]
    return ["check", *about, *where, "--official", "test", "--basis", "社会保险法 第七十四条", *more]


def until(moving: Moving, query: str, wanted: int) -> None:
    """Return when a query of the answering province's database counts so many."""
    end = time.monotonic() + WAIT_S
    while moving.count(query) != wanted:
        assert time.monotonic() < end, f"{query}: never {wanted}; see the logs of both gateways"
        time.sleep(0.05)


def test_a_sleeping_province_answers_when_it_wakes_and_its_agency_need_not_ask_again(
    provinces: TwoProvinces, moving: Moving, tmp_path: Path
) -> None:
    agency, gateway = ["--config", str(provinces.agency_config)], ["--config", str(provinces.asking.config)]
    stop([provinces.processes[1]])
    assert wugan(*ask(provinces)).returncode == 3
    left = told(*ask(provinces, "--leave", "1d"))
    assert left["answers"][0]["refusal"] == "REFUSAL_REASON_PARTNER_UNAVAILABLE"
    (check,) = told("late", "list", *agency, "--open")
    assert list(check["provinces"].values()) == ["open"]
    (waiting,) = told("outbox", "list", *gateway)
    assert (waiting["kind"], waiting["state"]) == ("question", "waiting")
    assert "member_failing_since" in told("outbox", "show", waiting["delivery"], *gateway)

    moving.book.follow("Put the store there", moving.hosts)
    assert not (moving.gateway.folder / "state" / "gateway.db").exists()
    department = provinces.answering.folder.parents[2] / "departments" / "insurance.db"
    with contextlib.closing(sqlite3.connect(department, isolation_level=None)) as busy:
        busy.execute("BEGIN EXCLUSIVE")  # nobody can be asked: what is accepted waits
        until(moving, "SELECT count(*) FROM inbox WHERE state IN (1, 2)", 1)
        another_machine_takes_over(moving, tmp_path / "elsewhere")
    until(moving, "SELECT count(*) FROM inbox WHERE state = 3", 1)
    until(moving, "SELECT count(*) FROM outbox", 0)
    end = time.monotonic() + WAIT_S
    while not (came := told("late", "watch", *agency, "--once")):
        assert time.monotonic() < end, "no late answer; see the logs of both gateways"
    assert [each["status"].rpartition("_")[0] for each in came] == ["SURVIVAL_STATUS_ALIVE"]
    assert told("late", "show", check["ticket"], *agency)["answers"][0]["late"]
    assert told("late", "watch", *agency, "--once", "--after", str(came[0]["cursor"])) == []
    assert told("late", "list", *agency, "--open") == []
    assert told("outbox", "list", *gateway) == []
    assert told("inbox", "list", "--config", str(moving.gateway.folder / "gateway.toml")) == []
    # Whoever saw the gateway die connects again after a moment; what is asked before that is refused at once.
    while (code := wugan(*ask(provinces, "--fresh")).returncode) == 3:
        assert time.monotonic() < end, "the gateway on the other machine is not reached"
    assert code == 0
    assert moving.count("SELECT count(*) FROM replay_guard") == 1
    moving.book.require_done()


def another_machine_takes_over(moving: Moving, elsewhere: Path) -> None:
    """The gateway is killed, and one of its state folder's copy goes on; not before."""
    old = moving.gateway
    shutil.copytree(old.folder, elsewhere)
    new = moving.hosts["gateway"] = Host("gateway", elsewhere, old.other, service=old.service)
    with pytest.raises(StoreError, match="another gateway is running"):
        open_store(load_gateway(elsewhere / "gateway.toml"), SystemClock(), replaced=lambda _error: None)
    old.stop(signal.SIGKILL)
    moving.sql("Change the password")
    moving.book.follow("Change the password", moving.hosts)
    moving.book.follow("Another machine takes over", moving.hosts)
    for log in (old.log, new.log):
        assert "long-random-password" not in log.read_text("utf-8")


def test_a_person_reads_that_it_was_left_and_how_to_look_at_it(provinces: TwoProvinces) -> None:
    shown = wugan(*ask(provinces, "--leave", "12h", "--leave-only")).stdout
    assert "尚无答复" in shown
    assert "wugan late show" in shown.replace("\n", "")


@pytest.mark.parametrize("time_text", ["7", "d", "x7d", "99999d", "7w"])
def test_a_time_that_cannot_be_read_is_wrong_usage(provinces: TwoProvinces, time_text: str) -> None:
    assert CliRunner().invoke(main, ask(provinces, "--leave", time_text)).exit_code == 2


def test_no_log_of_either_gateway_holds_a_number_or_a_name(provinces: TwoProvinces) -> None:
    number, name = people()[0]
    for process in provinces.processes:
        log = Path(process.log).read_text("utf-8")
        assert number not in log
        assert name not in log
