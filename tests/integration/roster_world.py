"""Two provinces for rosters: small chunks, one question under way, so that a run can be caught in its middle."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from bench.federation import TwoProvinces, people, start_gateway
from gateway.channels import agency_channel
from gateway.config import load_agency, load_gateway
from gateway.demo.founding import FoundedMember
from gateway.demo.processes import Started, wait_ready
from wugan.agency.v1 import agency_pb2, agency_pb2_grpc

CHUNK = 20
SETTINGS = f"""\
unknown_people = 1000000000

[roster]
chunk_rows = {CHUNK}
window = 1
chunk_s = 10.0

[federation.breaker]
open_s = 0.1
longest_open_s = 1.0
"""
"""Behind the table [access.harvest]: whom nobody knows is no harvesting here. Whoever is back is asked soon."""
HEADER = ("人员编号", "证件号码", "姓名", "险种", "居住地", "月待遇", "最近发放月份", "网格")
WAIT_S = 300.0
END_S = 600.0
"""For a whole run, on a machine that has much else to do."""
INCOMING = 1
"""AuditEvent.direction of what another member asked, as it is stored."""


def row(number: str, name: str, serial: int = 0, region: str = "330700") -> tuple[str, ...]:
    return (f"P{serial}", number, name, "企业职工基本养老保险", region, "3500.00", "2026-10", f"网格{serial % 5}")


def known(count: int) -> list[tuple[str, ...]]:
    """So many people whom the other province knows."""
    return [row(number, name, serial) for serial, (number, name) in enumerate(people()[:count])]


def as_csv(rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(HEADER)
    writer.writerows(rows)
    return text.getvalue()


def command(running: TwoProvinces, file: Path, out: Path, *more: str) -> list[str]:
    options = ("--config", str(running.agency_config), "--out", str(out), "--tables", *more)
    return [sys.executable, "-m", "gateway.cli", "roster", "run", str(file), *options]


def cli(running: TwoProvinces, *arguments: str) -> list[str]:
    """Another command of the agency."""
    return [sys.executable, "-m", "gateway.cli", *arguments, "--config", str(running.agency_config)]


def submit(running: TwoProvinces, file: Path, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Run a roster to its end."""
    env = {**os.environ, "WUGAN_LANG": "en"}
    return subprocess.run(
        command(running, file, out, *more), capture_output=True, text=True, timeout=END_S, env=env, check=False
    )


@contextlib.contextmanager
def begun(running: TwoProvinces, file: Path, out: Path, *more: str) -> Any:
    """A command on its way; killed at the end of the block, if it still runs."""
    with subprocess.Popen(
        command(running, file, out, *more), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def folders(member: FoundedMember) -> set[Path]:
    """Where the gateway of a member keeps runs."""
    return set((member.folder / "state" / "rosters").glob("*"))


def parts(member: FoundedMember, kind: str, before: set[Path]) -> list[str]:
    """Names of the parts of a kind that the gateway of a member has of runs that were not there before."""
    return sorted(each.name for folder in folders(member) - before for each in folder.glob(f"{kind}-*"))


def until(true: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < end, f"not within {WAIT_S} s: {what}"
        time.sleep(0.005)


def kill(process: Started) -> None:
    os.kill(process.pid, signal.SIGKILL)
    os.waitpid(process.pid, 0)


def restart(running: TwoProvinces, position: int) -> None:
    """Start a gateway again that was killed."""
    member = (running.asking, running.answering)[position]
    member.ready_file.unlink(missing_ok=True)
    running.processes[position] = start_gateway(member)
    wait_ready([(running.processes[position], member.ready_file)])


def asked_at(member: FoundedMember) -> list[int]:
    """How many people each question of a roster was about that came there, as the record of processing has them.

    A question whose asker was killed meanwhile has a second row, which says that it was given up.
    """
    database = load_gateway(member.config).state_dir / "gateway.db"
    query = (
        "select max(subjects) from audit_event where direction = ? and case_reference like 'ROSTER-%'"
        " group by message_id order by min(sequence)"
    )
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return [subjects for (subjects,) in connection.execute(query, (INCOMING,)).fetchall()]


def table(out: Path, name: str) -> pl.DataFrame:
    """A table of the results as it came."""
    return pl.read_parquet(out / "tables" / f"{name}.parquet")


def check(running: TwoProvinces, *requests: agency_pb2.CheckRequest) -> list[agency_pb2.CheckResponse]:
    """The same people asked about one by one."""

    async def ask() -> list[agency_pb2.CheckResponse]:
        async with agency_channel(load_agency(running.agency_config)) as channel:
            stub = agency_pb2_grpc.AgencyServiceStub(channel)
            return [await stub.Check(request, timeout=60) for request in requests]

    return asyncio.run(ask())


def said_by(command: Sequence[str]) -> str:
    """What a command printed."""
    return subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False).stdout
