"""Two provinces with rosters of their own: real gateways that compare whom they pay.

They have no departments, or each the same face platform: with it they answer each other's questions.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import datetime as dt
import io
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from stdnum.cn import ric

from bench.federation import ANSWERING, ASKING, start_gateway
from certs.keys import load_signing_key
from gateway.access.people import APPROVE_GRANT, PROPOSE_GRANT
from gateway.access.terms import thresholds
from gateway.cli.matching import standing_as_data
from gateway.clock import SystemClock
from gateway.config import load_gateway
from gateway.demo.founding import APPROVES, GRANTS, FoundedMember, MemberPlan, found
from gateway.demo.processes import Started, stop, stopped_on_failure, wait_ready
from gateway.inquiry.administering import Administration
from gateway.store.audit import AuditEvent
from gateway.store.engine import Store
from gateway.store.matchings import EVERYBODY

HEADER = ("人员编号", "证件号码", "姓名", "险种", "居住地", "月待遇", "最近发放月份", "网格")
SETTINGS = """
[access.harvest]
odd_people = 1000000000
unknown_people = 1000000000

[outbox]
poll_s = 0.2
retry_first_s = 0.1
retry_longest_s = 0.5

[roster]
chunk_rows = 500

[duplicates]
matching = true
poll_s = 0.2
column_people = 64
"""
PLATFORM = """\
manifest: 1
adapter_id: face-authentication
version: "1"
department: FACE_AUTHENTICATION
regions: [{region}]
kind: table
source: {{url: "sqlite:///face.db"}}
identity: {{column: number, name: name}}
records:
  - name: checks
    table: checked
    evidence: FACE_CHECK
    observed_on: {{column: day, formats: ["%Y-%m-%d"]}}
    strength: IN_PERSON
    face: {{platform: national.face-check, column: template}}
"""
Faces = Mapping[int, str]
"""Serial of a person → template under which the platform checked them."""
WAIT_S = 300.0
T = TypeVar("T")


def person(serial: int) -> tuple[str, str]:
    """Number and name of somebody made up."""
    body = (
        f"330702{1930 + serial // 366 % 40}{1 + serial % 12:02d}{1 + serial // 12 % 28:02d}{serial // 336 % 1000:03d}"
    )
    return body + ric.calc_check_digit(body + "0"), f"测试{serial:05d}"


class Beside:
    """The store of a member beside its running gateway, open from the first look on: opened for every look, it would
    take from the gateways the processors that they reckon with.
    """

    def __init__(self, config: Path) -> None:
        self._pool, self._runner, self._stack = ThreadPoolExecutor(1), asyncio.Runner(), contextlib.AsyncExitStack()
        state, clock = load_gateway(config).state_dir, SystemClock()
        opened = Store.open(state / "gateway.db", key=state / "store.key", clock=clock)
        self._store = self._run(self._stack.enter_async_context(opened))

    def work(self, work: Callable[[Store], Coroutine[Any, Any, T]]) -> T:
        return self._run(work(self._store))

    def close(self) -> None:
        self._run(self._stack.aclose())
        self._pool.submit(self._runner.close).result()
        self._pool.shutdown()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._pool.submit(self._runner.run, work).result()


@dataclass
class Province:
    """A member, its only agency, and its gateway's process."""

    member: FoundedMember
    unit: str
    process: Started | None = None
    rosters: int = 0
    beside: Beside | None = None

    @property
    def member_id(self) -> str:
        return self.member.plan.member_id

    @property
    def agency_config(self) -> Path:
        return self.member.agency_config(self.unit)

    def start(self) -> None:
        self.member.ready_file.unlink(missing_ok=True)
        self.process = start_gateway(self.member)
        wait_ready([(self.process, self.member.ready_file)])

    def kill(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, 9)
        os.waitpid(self.process.pid, 0)

    def wugan(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "gateway.cli", *arguments],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            env={**os.environ, "WUGAN_LANG": "en"},
        )

    def told(self, *arguments: str, config: Path | None = None) -> str:
        done = self.wugan(*arguments, "--config", str(config or self.agency_config))
        assert done.returncode == 0, done.stderr
        return done.stdout

    def pays(self, serials: Sequence[int], folder: Path, region: str, *, file: str = "roster") -> None:
        """Run a roster of these people."""
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(HEADER)
        for serial in serials:
            number, name = person(serial)
            writer.writerow((f"P{serial}", number, name, "企业职工基本养老保险", region, "3500.00", "2026-10", "网格1"))
        self.rosters += 1
        path = folder / f"{file}-{self.member_id}.csv"
        path.write_text(text.getvalue(), "utf-8")
        out = folder / f"out-{self.member_id}-{self.rosters}"
        done = self.wugan("roster", "run", str(path), "--config", str(self.agency_config), "--out", str(out))
        assert done.returncode == 0, done.stderr

    def match(self) -> None:
        self.told("duplicates", "match", config=self.member.config)

    def standing(self) -> dict[str, Any]:
        """How it stands with the other member, as `wugan duplicates status --json` says."""

        async def read(store: Store) -> dict[str, Any]:
            found = [each for each in await store.matchings.read() if each.member != EVERYBODY]
            return standing_as_data(found[0]) if found else {"state": "", "wanted": False}

        return self.in_store(read)

    def duplicates(self, kind: str = "OTHER_MEMBER") -> list[dict[str, Any]]:
        """What the agency is shown of people who draw twice in this way."""
        found = [json.loads(line) for line in self.told("duplicates", "list", "--json").splitlines()]
        return [each for each in found if each["kind"] == f"DUPLICATE_KIND_{kind}"]

    def recorded(self) -> list[AuditEvent]:
        """The record of processing."""

        async def read(store: Store) -> list[AuditEvent]:
            return [each.event for each in await store.audit.events()]

        return self.in_store(read)

    def in_store(self, work: Callable[[Store], Coroutine[Any, Any, T]]) -> T:
        """What the work comes to, beside the running gateway."""
        if self.beside is None:
            self.beside = Beside(self.member.config)
        return self.beside.work(work)

    def want(self) -> None:
        """What `match` does, for whoever has to ask again and again."""

        async def want(store: Store) -> None:
            await store.matchings.want(EVERYBODY, SystemClock().now_ms())

        self.in_store(want)

    def alarmed(self) -> bool:
        """Whether `alarms` would tell of any, likewise."""

        async def read(store: Store) -> bool:
            return bool(await store.alarms.read())

        return self.in_store(read)

    def alarms(self) -> list[dict[str, Any]]:
        return list(json.loads(self.told("access", "alarms", "--json", config=self.member.config)))

    def grant(self, member: str, **changed: Any) -> None:
        """Let a member compare rosters, as two security administrators do."""
        with ThreadPoolExecutor(1) as pool:
            pool.submit(asyncio.run, self._grant(member, **changed)).result()

    async def _grant(self, member: str, **changed: Any) -> None:
        clock, settings = SystemClock(), load_gateway(self.member.config)
        keys = {name: load_signing_key(self.member.folder / "people" / f"{name}.pem") for name in (GRANTS, APPROVES)}
        terms = {
            "member": member,
            "units": ["*"],
            "purposes": ["AUDIT"],
            "benefits": ["*"],
            "evidence": ["*"],
            "regions": ["*"],
            "quotas": {"day": 0, "official_day": 0, "minute": 0, "second": 0},
            "roster": 0,
            "from_ms": clock.now_ms() - 1000,
            "until_ms": clock.now_ms() + 30 * 86_400_000,
            "why": "agreement on comparing rosters",
            **changed,
        }
        state = settings.state_dir
        async with Store.open(state / "gateway.db", key=state / "store.key", clock=clock) as store:
            administration = Administration(store, self.member_id, thresholds(settings.access), clock)
            await administration.refresh()
            number = await administration.enact(PROPOSE_GRANT, terms, by=GRANTS, key=keys[GRANTS], about=member)
            await administration.enact(APPROVE_GRANT, {"grant": number}, by=APPROVES, key=keys[APPROVES], about=member)


@dataclass
class Pair:
    """The one whose id sorts first, and the other."""

    first: Province
    second: Province
    folder: Path
    used: list[Path] = field(default_factory=list)

    def matched(self) -> None:
        """Have them compare, and wait until both have."""
        self.first.match()
        self.until_done()

    def until_done(self) -> None:
        until(lambda: all(each.standing()["state"] == "DONE" for each in (self.first, self.second)), "both are done")


def until(true: Callable[[], bool], what: str, every_s: float = 0.01) -> None:
    end = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < end, f"not within {WAIT_S} s: {what}"
        time.sleep(every_s)


def platform(folder: Path, region: int, faces: Faces) -> tuple[Path, ...]:
    """The face platform of a province, as a department of it; its manifest."""
    folder.mkdir()
    with sqlite3.connect(folder / "face.db") as database:
        database.execute("CREATE TABLE checked (number TEXT, name TEXT, day TEXT, template TEXT)")
        today = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=20)
        rows = [(*person(serial), today.isoformat(), template) for serial, template in faces.items()]
        database.executemany("INSERT INTO checked VALUES (?, ?, ?, ?)", rows)
    manifest = folder / "face.yaml"
    manifest.write_text(PLATFORM.format(region=region), "utf-8")
    return (manifest,)


@contextlib.contextmanager
def pair(
    folder: Path, extra: str = "", *, granted: bool = True, faces: tuple[Faces, Faces] | None = None
) -> Iterator[Pair]:
    """Found and start both; stop them at the end.

    Args:
        folder: where.
        extra: settings of both.
        granted: whether each lets the other compare rosters.
        faces: what the face platform has of people who live in the one, and in the other.
    """
    platforms: list[tuple[Path, ...]] = [(), ()]
    purposes = ["AUDIT"]
    if faces is not None:
        places = (ASKING[3], ANSWERING[3])
        platforms = [platform(folder / f"platform-{at}", at, of) for at, of in zip(places, faces, strict=True)]
        purposes.append("CERTIFICATION")
    plans = [MemberPlan(*ASKING, units=(("110100", "北京"),), manifests=platforms[0])]
    plans.append(MemberPlan(*ANSWERING, units=(("330100", "杭州"),), manifests=platforms[1]))
    members = found(folder / "federation", plans, dt.datetime.now(dt.UTC), extra=SETTINGS + extra, log_level="WARNING")
    provinces = [Province(member, member.plan.units[0][0]) for member in members]
    processes: list[Started] = []
    if granted:
        provinces[0].grant(provinces[1].member_id, purposes=purposes)
        provinces[1].grant(provinces[0].member_id, purposes=purposes)
    try:
        with stopped_on_failure(processes):
            for province in provinces:
                province.start()
                assert province.process is not None
                processes.append(province.process)
        yield Pair(*sorted(provinces, key=lambda each: each.member_id), folder)
    finally:
        for province in provinces:
            if province.beside is not None:
                province.beside.close()
        stop([each.process for each in provinces if each.process is not None])
