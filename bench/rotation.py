"""Keys of both provinces renewed every second under 500 calls a second, beside the same calls without.

Two gateways and their authority as real processes. An agency asks A, which asks B, at a fixed rate (open loop: times
count from the moment a call was due). Phases without and with rotation alternate, and each is compared with the one
beside it: what else the machine does for some seconds makes a queue that fills the slowest hundredth of all calls,
whichever phase it falls into. While rotating, each gateway is asked every second to renew its TLS, signing and
encryption keys, as `wugan certs rotate` asks it, and the authority changes its issuing CA every few seconds. Every
safety rule holds: keys are used only once the other side works with the directory that lists them.

Two provinces do not keep step: in each phase B is asked another tenth of a second after A, from none to nine, so that
both at the same moment is one of ten.

Whoever sends the calls shares the processors with who answers them, and does not interrupt them by waking up, as they
do not interrupt each other at this rate (`gateway.scheduling`).

Settings differ from the defaults where a life of a second needs it: envelopes live for a second, superseded keys are
kept for as long as a call may take, and the gateways look for their next step more often.

Figures: `failed` (calls that were not answered well in any phase, goal 0), `p99_ratio` (p99 with rotation over p99
without, the median of the pairs of phases, goal at most 2), `worst_p99_ratio` (the worst of the pairs),
`pooled_p99_ratio` (over all calls together), `p99_ms` and `baseline_p99_ms` (medians of the phases), `calls` and
`baseline_calls`, `rotations` and `rotations_per_s` (completed, of the kind and on the side where there were fewest,
those in the seconds before each phase is measured included; one a second is asked for) and `issuing_cas` (changes of
the issuing CA). With BENCH_S=8 in the environment each kind of phase lasts 8 seconds together instead of 60.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from bench.federation import TwoProvinces, requests, two_provinces
from bench.load import Call, Check, Outcome, at_rate
from bench.report import Figures, table
from certs import slot_requests
from certs.slot_files import read_journal
from certs.slot_journal import KINDS
from certs.slot_requests import Request
from gateway.authority.office import Office
from gateway.channels import agency_channel
from gateway.clock import SystemClock
from gateway.config import load_agency
from gateway.demo.founding import FoundedMember
from gateway.demo.processes import Started
from gateway.scheduling import settle_scheduling

CALLS_PER_S = 500.0
TIMEOUT_S = 2.0
SECONDS = float(os.environ.get("BENCH_S", "60"))
PHASES = 10
WARM_UP_S = 1.5
EVERY_S = 1.0
ISSUING_EVERY_S = 5.0
SETTINGS = f"""
[messages]
lifetime_ms = 1000

[rotation]
retire_after_s = {TIMEOUT_S + 0.5}
poll_s = 0.1
pace_s = 0.03
issuer_poll_s = 1.0
"""


@dataclass(slots=True)
class Mode:
    """Phases of one mode, together.

    Args:
        outcome: of the calls.
        p99_ms: of each phase.
        seconds: how long they lasted.
        busy: process → processor time, seconds.
    """

    outcome: Outcome = field(default_factory=Outcome)
    p99_ms: list[float] = field(default_factory=list)
    seconds: float = 0.0
    busy: dict[str, float] = field(default_factory=dict)


def main() -> Figures:
    """Run, print a table, return the figures."""
    with (
        tempfile.TemporaryDirectory() as scratch,
        two_provinces(Path(scratch), SETTINGS, authority=True) as provinces,
    ):
        settle_scheduling()  # after the gateways have begun: what they had from here they would take for an operator's
        figures = uvloop.run(_measure(provinces))
        for process in provinces.processes:
            _show_log(process)
    return figures


async def _measure(provinces: TwoProvinces) -> Figures:
    # To look through all that is loaded for garbage takes 70 ms, in which no call is sent and none is seen to end.
    gc.collect()
    gc.freeze()
    channel = agency_channel(load_agency(provinces.agency_config))
    check: Check = channel.unary_unary("/wugan.agency.v1.AgencyService/Check")

    async def call(body: bytes) -> bytes:
        answer: bytes = await check(body, timeout=TIMEOUT_S)
        return answer

    quiet, rotating, at_work_s = Mode(), Mode(), 0.0
    administration = Administration(provinces)
    bodies = itertools.cycle(requests(fresh=True))
    before = administration.numbers()
    for number in range(PHASES):
        await _phase(call, bodies, quiet, provinces.processes)
        began = time.monotonic()
        async with administration.at_work(EVERY_S * number / PHASES):
            await _phase(call, bodies, rotating, provinces.processes)
        at_work_s += time.monotonic() - began
        await administration.settled()
    await channel.close()
    administration.close()
    after = administration.numbers()
    completed = {name: after[name] - before[name] for name in after}
    ratios = [with_ms / without_ms for with_ms, without_ms in zip(rotating.p99_ms, quiet.p99_ms, strict=True)]
    figures = {
        "failed": float(quiet.outcome.failed + rotating.outcome.failed),
        "p99_ratio": statistics.median(ratios),
        "worst_p99_ratio": max(ratios),
        "pooled_p99_ratio": rotating.outcome.quantile_ms(0.99) / quiet.outcome.quantile_ms(0.99),
        "p99_ms": statistics.median(rotating.p99_ms),
        "baseline_p99_ms": statistics.median(quiet.p99_ms),
        "calls": float(rotating.outcome.calls),
        "baseline_calls": float(quiet.outcome.calls),
        "rotations": float(min(completed.values())),
        "rotations_per_s": min(completed.values()) / at_work_s,
        "issuing_cas": float(administration.issuing),
    }
    _show(quiet, rotating, figures)
    listed = [(name, str(number), f"{number / at_work_s:.2f}") for name, number in completed.items()]
    table("keys renewed", ("", "times", "a second"), [*listed, ("issuing CA", str(administration.issuing), "")])
    return figures


async def _phase(call: Call, bodies: Iterator[bytes], mode: Mode, processes: list[Started]) -> None:
    await at_rate(call, bodies, CALLS_PER_S, WARM_UP_S)
    before, began = _busy(processes), time.perf_counter()
    outcome = await at_rate(call, bodies, CALLS_PER_S, SECONDS / PHASES)
    mode.outcome.add(outcome)
    mode.p99_ms.append(outcome.quantile_ms(0.99))
    mode.seconds += time.perf_counter() - began
    for name, spent in _busy(processes).items():
        mode.busy[name] = mode.busy.get(name, 0.0) + spent - before[name]


class Administration:
    """What administrators of both provinces and of the authority do.

    The issuing CA is changed in a process of its own, as by a command: in a thread of this one it would hold up the
    clock by which calls are measured.
    """

    def __init__(self, provinces: TwoProvinces) -> None:
        self._members = {"A": provinces.asking, "B": provinces.answering}
        self._office = ProcessPoolExecutor(
            1, multiprocessing.get_context("spawn"), initializer=_open_office, initargs=(provinces.authority,)
        )
        self._office.submit(os.getpid).result()  # it is up before anything is measured
        self.issuing = 0

    def close(self) -> None:
        """End what was begun for it."""
        self._office.shutdown()

    def numbers(self) -> dict[str, int]:
        """Number of the key in use of each side and kind."""
        found = {}
        for side, member in self._members.items():
            journal = read_journal(member.keys)
            for kind in KINDS:
                current = journal.current(kind)
                found[f"{side} {kind}"] = current.number if current else 0
        return found

    @contextlib.asynccontextmanager
    async def at_work(self, apart_s: float) -> AsyncIterator[None]:
        """Rotate for the length of the block, B so long after A."""
        waits = zip(self._members.values(), (0.0, apart_s), strict=True)
        tasks = [asyncio.create_task(self._rotate(member, wait_s)) for member, wait_s in waits]
        tasks.append(asyncio.create_task(self._change_issuing()))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def settled(self) -> None:
        """Return when no rotation is under way, and every superseded key is destroyed."""
        async with asyncio.timeout(60):
            while not all(_quiet(member) for member in self._members.values()):  # noqa: ASYNC110  other processes
                await asyncio.sleep(0.1)

    async def _rotate(self, member: FoundedMember, wait_s: float) -> None:
        await asyncio.sleep(wait_s)
        due = time.monotonic()
        while True:
            # While the one before is under way the gateway refuses; asking all the same would only add to its work.
            while not _idle(member) or not await asyncio.to_thread(_asked, member):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            due = max(due + EVERY_S, time.monotonic())
            await asyncio.sleep(due - time.monotonic())

    async def _change_issuing(self) -> None:
        while True:
            await asyncio.sleep(min(ISSUING_EVERY_S, SECONDS / PHASES / 2))
            await asyncio.get_running_loop().run_in_executor(self._office, _roll_issuing)
            self.issuing += 1


_offices: list[Office] = []
"""In the process that changes the issuing CA: the authority's folder, open."""


def _open_office(home: Path) -> None:
    _offices.append(Office(home, SystemClock()))


def _roll_issuing() -> None:
    _offices[0].roll_issuing(None, None)


def _asked(member: FoundedMember) -> bool:
    """Ask a gateway to renew all its keys, as the command does; whether it has begun."""
    name = slot_requests.ask(member.keys, Request(action="rotate", asked_at_ms=SystemClock().now_ms()))
    until = time.monotonic() + 10
    while time.monotonic() < until:
        answer = slot_requests.answer_of(member.keys, name)
        if answer is not None:
            return answer.done
        time.sleep(0.01)
    raise TimeoutError("the gateway does not take up requests")


def _idle(member: FoundedMember) -> bool:
    return read_journal(member.keys).rotation is None


def _quiet(member: FoundedMember) -> bool:
    journal = read_journal(member.keys)
    return journal.rotation is None and all(each.state in ("current", "destroyed") for each in journal.generations)


def _busy(processes: list[Started]) -> dict[str, float]:
    """Processor time of each process so far, and of this one, seconds."""
    tick = os.sysconf("SC_CLK_TCK")
    spent = {"this bench": time.process_time()}
    for process in processes:
        fields = Path(f"/proc/{process.pid}/stat").read_text("utf-8").rpartition(")")[2].split()
        spent[process.name] = (int(fields[11]) + int(fields[12])) / tick
    return spent


def _show(quiet: Mode, rotating: Mode, figures: Figures) -> None:
    rows = [
        (name, *(f"{mode.outcome.quantile_ms(share):.1f}" for mode in (quiet, rotating)), "")
        for name, share in (("p50, ms", 0.5), ("p90, ms", 0.9))
    ]
    rows += [
        ("p99, ms, median phase", f"{figures['baseline_p99_ms']:.1f}", f"{figures['p99_ms']:.1f}", ""),
        ("ratio of p99, median pair", "", f"{figures['p99_ratio']:.2f}", "<= 2"),
        ("worst pair", "", f"{figures['worst_p99_ratio']:.2f}", ""),
        ("all calls together", "", f"{figures['pooled_p99_ratio']:.2f}", ""),
        *(
            (name, *(f"{mode.outcome.quantile_ms(share):.1f}" for mode in (quiet, rotating)), "")
            for name, share in (("p99, ms", 0.99), ("p99.9, ms", 0.999), ("longest, ms", 1.0))
        ),
        ("calls", *(str(mode.outcome.calls) for mode in (quiet, rotating)), ""),
        ("failed", *(str(mode.outcome.failed) for mode in (quiet, rotating)), "0"),
    ]
    for name in quiet.busy:
        used = (mode.busy[name] / mode.seconds for mode in (quiet, rotating))
        rows.append((f"{name}, % of a core", *(f"{share * 100:.0f}" for share in used), ""))
    table(f"rotation ({CALLS_PER_S:.0f} calls/s, open loop)", ("", "without", "with rotation", "goal"), rows)
    for mode, name in ((quiet, "without"), (rotating, "with rotation")):
        for why, count in mode.outcome.failures.most_common(5):
            print(f"  {name}: {count} × {why}")


def _show_log(process: Started) -> None:
    """What a process complained about."""
    lines = process.log.read_text("utf-8", "replace").splitlines()
    for line in lines[:5]:
        print(f"  {process.name}: {line[:300]}")
    if len(lines) > 5:
        print(f"  {process.name}: … {len(lines)} lines")
