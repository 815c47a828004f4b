"""Status-change notices between two provinces as real processes: how soon a death recorded at B is handled at A, and
what 100,000 subscriptions cost in memory.

`p99_s`: of the time from the moment the row is in B's department to the notice at A's agency, less what passed until
B's gateway looked (at most `poll_s`, which is set to 0.2 s here and is counted in full: the figure is an upper bound).
`rss_mb`: memory of B's gateway with all subscriptions; `rss_growth_mb`: how much more than before the first of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import itertools
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import uvloop
from stdnum.cn import ric

from bench.federation import ANSWERING, ANY_HOUR, ASKING, UNIT, TwoProvinces, start_gateway
from bench.report import Figures, table
from gateway.channels import agency_channel
from gateway.config import load_agency
from gateway.demo.founding import MemberPlan, found
from gateway.demo.processes import Started, stop, stopped_on_failure, wait_ready
from wugan.agency.v1 import agency_pb2, agency_pb2_grpc
from wugan.federation.v1 import vocabulary_pb2 as words

SUBSCRIPTIONS = 100_000
DEATHS = 400
AT_ONCE = 8
EVERY_S = 0.1
SETTINGS = ANY_HOUR + "\n[notices]\npoll_s = 0.2\n\n[outbox]\nrate_per_s = 2000.0\n"

MANIFEST = """\
manifest: 1
adapter_id: civil-affairs
version: "1"
department: CIVIL_AFFAIRS
regions: [330000]
kind: table
source: {url: "sqlite:///civil.db"}
identity: {column: id_no, name: full_name}
records:
  - name: cremations
    table: cremation
    evidence: CREMATION
    observed_on: {column: cremated, formats: ["%Y%m%d"]}
    strength: REAL_NAME
    source_reference: reg_no
    changes: {column: seq, key: reg_no}
"""


def main() -> Figures:
    """Run, print a table, return the figures."""
    with tempfile.TemporaryDirectory() as scratch, _provinces(Path(scratch)) as provinces:
        return uvloop.run(_measure(Path(scratch), provinces))


@contextlib.contextmanager
def _provinces(folder: Path) -> Iterator[TwoProvinces]:
    now = dt.datetime.now(dt.UTC)
    departments = folder / "departments"
    departments.mkdir(parents=True)
    with contextlib.closing(sqlite3.connect(departments / "civil.db")) as database, database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute(
            "create table cremation (seq integer primary key, reg_no text, id_no text, full_name text, cremated text)"
        )
        database.execute("create index cremation_id on cremation (id_no)")
    manifest = departments / "civil-affairs.yaml"
    manifest.write_text(MANIFEST, "utf-8")
    plans = [
        MemberPlan(*ASKING, units=((UNIT, "bench"),), manifests=()),
        MemberPlan(*ANSWERING, units=(), manifests=(manifest,)),
    ]
    asking, answering = found(folder / "federation", plans, now, extra=SETTINGS, log_level="WARNING")
    processes: list[Started] = []
    with stopped_on_failure(processes):
        for member in (asking, answering):
            processes.append(start_gateway(member))
        wait_ready([(processes[0], asking.ready_file), (processes[1], answering.ready_file)])
    try:
        yield TwoProvinces(asking, answering, folder / "federation" / "authority", processes)
    finally:
        stop(processes)


async def _measure(scratch: Path, provinces: TwoProvinces) -> Figures:
    settings = load_agency(provinces.agency_config)
    people = [_number(serial) for serial in range(SUBSCRIPTIONS)]
    answering = provinces.processes[1]
    async with agency_channel(settings) as channel:
        stub: agency_pb2_grpc.AgencyServiceAsyncStub = agency_pb2_grpc.AgencyServiceStub(channel)
        before = _rss_mb(answering.pid)
        began = time.perf_counter()
        await _subscribe(stub, people)
        await _in_force(stub)
        took = time.perf_counter() - began
        after = _rss_mb(answering.pid)
        times = await _deaths(stub, scratch / "departments" / "civil.db", people)
        last = _rss_mb(answering.pid)
    times.sort()
    figures = {
        "p99_s": times[min(len(times) - 1, round(len(times) * 0.99))],
        "p50_s": statistics.median(times),
        "rss_mb": last,
        "rss_growth_mb": max(after, last) - before,
        "subscriptions_per_s": SUBSCRIPTIONS / took,
        "notices": len(times),
    }
    table(
        "notices",
        ("", "measured", "goal"),
        [
            ("recorded at B to told at A, p99 s", f"{figures['p99_s']:.2f}", "<= 2"),
            ("the same, median s", f"{figures['p50_s']:.2f}", ""),
            (f"memory of B with {SUBSCRIPTIONS:,} subscriptions, MB", f"{figures['rss_mb']:.0f}", ""),
            ("of it since before the first, MB", f"{figures['rss_growth_mb']:.0f}", "flat"),
            ("subscriptions a second until in force", f"{figures['subscriptions_per_s']:.0f}", ""),
        ],
    )
    return figures


async def _subscribe(stub: agency_pb2_grpc.AgencyServiceAsyncStub, people: list[str]) -> None:
    for start in range(0, len(people), 1000):
        request = agency_pb2.SubscribeRequest(
            people=[
                agency_pb2.WatchedPerson(
                    id_number=number,
                    name="测试",
                    benefit=words.BENEFIT_TYPE_EMPLOYEE_PENSION,
                    regions=[330700],
                )
                for number in people[start : start + 1000]
            ],
            legal_basis="社会保险法 第七十四条",
            case_reference="BENCH-1",
            official="bench",
        )
        response = await stub.Subscribe(request, timeout=60)
        assert response.accepted == len(request.people), response


async def _in_force(stub: agency_pb2_grpc.AgencyServiceAsyncStub) -> None:
    """Return when B has said of every subscription that it counts."""
    request = agency_pb2.ListSubscriptionsRequest(limit=1000)
    while True:
        page = await stub.ListSubscriptions(request, timeout=60)
        if any(each.standing != agency_pb2.SUBSCRIPTION_STANDING_ACTIVE for each in page.subscriptions):
            await asyncio.sleep(0.2)
            continue
        if not page.next:
            return
        request.after = page.next


async def _deaths(stub: agency_pb2_grpc.AgencyServiceAsyncStub, path: Path, people: list[str]) -> list[float]:
    """Record deaths, some at once, and take the time until the agency is told of each."""
    recorded: dict[str, float] = {}
    times: list[float] = []

    async def watch() -> None:
        async for notice in stub.WatchNotices(agency_pb2.WatchNoticesRequest()):
            times.append(time.perf_counter() - recorded[notice.id_number])
            assert notice.result.status == words.SURVIVAL_STATUS_DECEASED, notice.result.status
            if len(times) == DEATHS:
                return

    watching = asyncio.create_task(watch())
    numbers = itertools.count(1)
    day = f"{dt.datetime.now(dt.UTC).date() - dt.timedelta(days=3):%Y%m%d}"
    with contextlib.closing(sqlite3.connect(path, timeout=30)) as database:
        for start in range(0, DEATHS, AT_ONCE):
            chosen = people[start * 37 % SUBSCRIPTIONS :][:AT_ONCE]
            with database:
                for number in chosen:
                    seq = next(numbers)
                    row = (seq, f"R{seq}", number, "测试", day)
                    database.execute("insert into cremation values (?, ?, ?, ?, ?)", row)
            now = time.perf_counter()
            recorded.update(dict.fromkeys(chosen, now))
            await asyncio.sleep(EVERY_S)
    async with asyncio.timeout(120):
        await watching
    return times


def _number(serial: int) -> str:
    """A well-formed number of a made-up person (GB 11643-1999)."""
    born = dt.date(1930, 1, 1) + dt.timedelta(days=serial // 900)
    body = f"330702{born:%Y%m%d}{100 + serial % 900:03d}"
    return body + str(ric.calc_check_digit(body + "0"))


def _rss_mb(pid: int) -> float:
    """Resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0
