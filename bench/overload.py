"""More questions than a gateway gets through: how many are still answered, how soon, and what the others are told.

An agency asks one gateway, which asks another each time (`fresh`), with two seconds for each answer. What it gets
through is measured first, 64 at a time; then calls come at one and a half times and twice that rate whether or not
earlier ones have come back, for long enough that a queue of two seconds would have filled. Figures: `goodput_ratio`
(answered in time a second at one and a half times the rate, over what it gets through), `p99_s` of those answered, from
when they were due, and `told_ratio` (of those not answered, how many were told in words, OVERLOADED with a time to come
back); the same with `_twice` for twice the rate. On two cores, twice is about as much as the client and both gateways
can do together.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from pathlib import Path

import uvloop

from bench.federation import TwoProvinces, requests, two_provinces
from bench.load import Check, Outcome, at_rate, throughput
from bench.report import Figures, table
from gateway.channels import agency_channel
from gateway.config import load_agency
from gateway.services.serving import overloaded

AT_ONCE = 64
MEASURED_S = 6.0
OVERLOADED_S = 15.0
TIMES = (1.5, 2)
DEADLINE_S = 2.0


def main() -> Figures:
    """Run, print a table, return the figures."""
    with tempfile.TemporaryDirectory() as scratch, two_provinces(Path(scratch)) as provinces:
        return uvloop.run(_measure(provinces))


async def _measure(provinces: TwoProvinces) -> Figures:
    channel = agency_channel(load_agency(provinces.agency_config))
    check: Check = channel.unary_unary("/wugan.agency.v1.AgencyService/Check")
    questions = requests(fresh=True)
    bodies = itertools.cycle(questions)

    async def call(body: bytes) -> bytes:
        return await check(body, timeout=DEADLINE_S)

    capacity = await throughput(check, questions, AT_ONCE, MEASURED_S)
    outcomes: list[Outcome] = []
    for times in TIMES:
        outcomes.append(await at_rate(call, bodies, times * capacity, OVERLOADED_S))
        await asyncio.sleep(1.0)
    await channel.close()
    return _figures(capacity, outcomes)


def _figures(capacity: float, outcomes: list[Outcome]) -> Figures:
    figures: dict[str, float] = {}
    rows: list[tuple[str, ...]] = [("gets through", f"{capacity:.0f}", "", "", "", "")]
    told = f"RESOURCE_EXHAUSTED: {overloaded().en}"
    for times, outcome in zip(TIMES, outcomes, strict=True):
        answered = len(outcome.times) / OVERLOADED_S
        late_s = sorted(outcome.times)[int(len(outcome.times) * 0.99)] if outcome.times else DEADLINE_S
        share = outcome.failures[told] / max(1, outcome.failed)
        suffix = "" if times == TIMES[0] else "_twice"
        figures |= {f"goodput_ratio{suffix}": answered / capacity, f"p99_s{suffix}": late_s}
        figures[f"told_ratio{suffix}"] = share
        offered = f"{outcome.calls / OVERLOADED_S:.0f}"
        rows.append(
            (
                f"{times} times as much",
                offered,
                f"{answered:.0f}",
                f"{answered / capacity:.2f}",
                f"{late_s:.2f}",
                f"{share:.3f}",
            )
        )
    header = ("", "calls/s", "answered/s", "of what it gets through", "p99 of these, s", "others told in words")
    table("overload", header, rows)
    return figures
