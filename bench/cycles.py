"""Departments that come and go under load: registered, approved, promoted, suspended, removed, a thousand times.

The gateway of B answers questions of an agency of A, several at once and without a pause, each asked anew. Beside it
administrators of B, with their own keys on B's own store, bring a further version of an adapter into use and take it
out again, as fast as the gateway takes it up. A question has failed when the call failed, when it was refused, or when
its answer names a source that did not answer.

Figures: `cycles_failed` (goal 0), `cycles_per_s`, `cycle_questions` (how many were asked meanwhile) and
`cycles_seen` (in how many answers the adapter that comes and goes took part).

`BENCH_CYCLES=100` makes it shorter.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sqlite3
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.federation import TwoProvinces, requests, two_provinces
from bench.load import Check
from bench.report import Figures, table
from certs.keys import load_signing_key
from gateway.access import adapters as states
from gateway.access import people as roles
from gateway.access.terms import thresholds
from gateway.channels import agency_channel
from gateway.clock import SystemClock
from gateway.config import load_agency, load_gateway
from gateway.inquiry.administering import Administration
from gateway.log import configure
from gateway.store.adapters import Document
from gateway.store.engine import Store
from wugan.agency.v1 import agency_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

CYCLES = int(os.environ.get("BENCH_CYCLES", "1000"))
ASKERS = 4
ADAPTER = "late-registry"
SETTINGS = "\n[access]\npoll_s = 0.05\n"
MANIFEST = """\
manifest: 1
adapter_id: late-registry
version: "{version}"
department: CIVIL_AFFAIRS
regions: [330000]
kind: table
source:
  url: sqlite:///late.db
identity: {{column: id_no, name: full_name}}
records:
  - name: cremations
    table: cremation
    evidence: CREMATION
    observed_on: {{column: cremated, formats: ["%Y%m%d"]}}
    strength: REAL_NAME
"""


class _Asked:
    """What came of the questions."""

    def __init__(self) -> None:
        self.count = self.failed = self.seen = 0
        self.why: set[str] = set()

    def take(self, answer: bytes) -> None:
        response = agency_pb2.CheckResponse.FromString(answer)
        self.count += 1
        wrong = [source for source in response.sources if source.outcome != words.SOURCE_OUTCOME_ANSWERED]
        if response.partial or wrong or not response.status or not response.sources:
            self.failed += 1
            self.why.update(f"{each.adapter_id} {each.outcome}" for each in wrong)
        self.seen += any(source.adapter_id == ADAPTER for source in response.sources)


def measure() -> Figures:
    """Run, print a table, return the figures."""
    configure("WARNING")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with two_provinces(folder / "federation", SETTINGS) as provinces:
            return asyncio.run(_measure(folder, provinces))


async def _measure(folder: Path, provinces: TwoProvinces) -> Figures:
    with sqlite3.connect(folder / "late.db") as database:
        database.execute("CREATE TABLE cremation (id_no TEXT, full_name TEXT, cremated TEXT)")
        database.execute("CREATE INDEX cremation_id ON cremation (id_no)")
    database.close()
    asked, stop = _Asked(), asyncio.Event()
    bodies = itertools.cycle(requests(fresh=True))
    async with agency_channel(load_agency(provinces.agency_config)) as channel:
        check: Check = channel.unary_unary("/wugan.agency.v1.AgencyService/Check")

        async def asking() -> None:
            while not stop.is_set():
                try:
                    asked.take(await check(next(bodies), timeout=10))
                except Exception as error:  # noqa: BLE001  whatever it is: the question failed
                    asked.count, asked.failed = asked.count + 1, asked.failed + 1
                    asked.why.add(type(error).__name__)

        askers = [asyncio.create_task(asking()) for _ in range(ASKERS)]
        began = time.perf_counter()
        try:
            await _cycles(folder, provinces)
        finally:
            stop.set()
            took = time.perf_counter() - began
            await asyncio.gather(*askers)
    figures = {
        "cycles_failed": float(asked.failed),
        "cycles_per_s": CYCLES / took,
        "cycle_questions": float(asked.count),
        "cycles_seen": float(asked.seen),
    }
    table(
        f"adapters that come and go ({CYCLES} times)",
        ("", "measured", "goal"),
        [
            ("questions that failed", f"{asked.failed} {sorted(asked.why) or ''}", "0"),
            ("questions asked", f"{asked.count}", ""),
            ("of them answered by the adapter, too", f"{asked.seen}", ""),
            ("cycles a second", f"{figures['cycles_per_s']:.1f}", ""),
        ],
    )
    return figures


async def _cycles(folder: Path, provinces: TwoProvinces) -> None:
    member = provinces.answering
    state, clock = member.folder / "state", SystemClock()
    key = {name: load_signing_key(member.folder / "people" / f"{name}.pem") for name in ("wang", "li", "sun")}
    async with Store.open(state / "gateway.db", key=state / "store.key", clock=clock) as store:
        access = load_gateway(member.config).access
        administration = Administration(store, member.plan.member_id, thresholds(access), clock)

        async def act(name: str, by: str, body: dict[str, Any]) -> None:
            await administration.enact(name, body, by=by, key=key[by])

        async def until(digest: bytes, stage: str) -> None:
            while not await at(digest, stage):  # noqa: ASYNC110  another process says so, in its store
                await asyncio.sleep(0.005)

        async def at(digest: bytes, stage: str) -> bool:
            return any((each.digest, each.stage) == (digest, stage) for each in await store.adapters.standings())

        for cycle in range(CYCLES):
            document = Document(ADAPTER, MANIFEST.format(version=cycle).encode(), clock.now_ms())
            digest = await store.adapters.keep(document)
            body: dict[str, Any] = {"adapter": ADAPTER, "digest": digest.hex(), "why": "bench"}
            more = {"version": str(cycle), "kind": "table", "origin": states.HOST, "folder": str(folder)}
            await act(roles.PROPOSE_ADAPTER, "wang", body | more)
            await act(roles.APPROVE_ADAPTER, "li", body)
            await act(roles.PROMOTE_ADAPTER, "li", body)
            await until(digest, states.LIVE)
            await act(roles.SUSPEND_ADAPTER, "sun", body)
            await until(digest, "")
            await act(roles.REMOVE_ADAPTER, "li", body)
