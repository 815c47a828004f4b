"""What slow, absent and lying partners cost: one gateway that asks, five that answer, each behind a fault proxy.

All are real processes on loopback; the proxies and the agency are in this one. Settings are the defaults, but that
breakers try again after half a second at most, so that one round can follow another, and that an answer is due after a
second where the agency says nothing. Calls are sent on a schedule, whether or not those before have come back, and
their time counts from the moment that they were due.

Figures:
- `p99_ratio`: 99th percentile of the time of a question to one of four partners while the fifth is a black hole that is
  asked as often as they are, over the same while it is well; in alternating rounds, each compared with the one beside
  it, the median of these. `pooled_p99_ratio`: over the calls of all rounds together, where one bad second of the
  machine decides. `p99_well_ms`, `p99_black_hole_ms`: medians of the rounds.
- `deadline_overrun_ms`: how long after the deadline the last answer of a question to all five came, the signed partial
  with one of them in each kind of trouble; the largest over all calls and troubles.
- `hangs`: calls that were not over half a minute later, of 100,000 under troubles that change all the time.
- `amplification`: questions that reached a partner that does not answer, over those that agencies asked, from good
  times on: one that says at once that it is unavailable and one that says nothing, while there is time for a second
  try; of one gateway and of two; with breakers and with breakers that never open. The most of all eight. What is saved
  for the first moments, three envelopes of questions at most, is in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import uvloop

from bench.report import Figures, table
from certs import require_tls13
from tests.faults.provinces import HangsError, Outcome, Troubled, UnclearError, troubled
from tests.faults.stand_in import Manner, StandIn
from tests.faults.trouble import BLACK_HOLE, CALM, TROUBLES, Trouble

PARTNERS = 5
DEADLINE_S = 1.0
RATE = 20.0
"""Calls a second to each partner while neighbours are timed: about half of what two cores do."""
ROUND_S = 5.0
ROUNDS = 48
"""The p99 of a round is the fifth slowest of 400 calls, and one hiccup of the machine doubles it: of 48 pairs of rounds
the median of the ratios has a standard error of about a fifteenth."""
FANNED_OUT = 10
"""Questions to all partners in each trouble, half of them at once."""
GOOD_CALLS = 1_000
"""Answered before an outage, so that what good times save up is there to be spent in it."""
OUTAGE_CALLS = 5_000
OUTAGE_AT_ONCE = {Manner.UNAVAILABLE: 20, Manner.SILENT: 250}
"""Where nothing comes for seconds, about as many as a partner has places: they all find out at the same time."""
OUTAGE_DEADLINE_S = 2.5
"""Leaves time for a second try after one that was in vain, with what is kept back for it by default."""
CALLS = 100_000
AT_ONCE = 128
HANG_S = 30.0
HARMLESS = ("latency", "loss")
"""Troubles under which an answer may be whole."""

BREAKERS = {"breakers": "open_s = 0.25\nlongest_open_s = 0.5", "breakers that never open": "calls = 10000"}
GATEWAYS = (1, 2)


def main() -> Figures:
    """Run, print a table, return the figures."""
    require_tls13()
    return uvloop.run(_measure())


async def _measure() -> Figures:
    async with _world(PARTNERS, _settings(DEADLINE_S, "breakers")) as world:
        figures = await _neighbours(world)
        late = {name: await _overrun(world, trouble, name) for name, trouble in TROUBLES.items()}
        hangs, ends = await _hangs(world)
    amplified = await _amplified()
    worst = max(late, key=lambda name: late[name])
    figures |= {
        "deadline_overrun_ms": late[worst],
        "hangs": hangs,
        "amplification": max(amplified.values()),
        "calls": sum(ends.values()),
    }
    table(
        "partners",
        ("", "measured", "goal"),
        [
            ("p99 of four, ms, the fifth well (median round)", f"{figures['p99_well_ms']:.1f}", ""),
            ("p99 of four, ms, the fifth a black hole (median round)", f"{figures['p99_black_hole_ms']:.1f}", ""),
            ("ratio, median of neighbouring rounds", f"{figures['p99_ratio']:.2f}", "<= 1.1"),
            ("ratio, all rounds together", f"{figures['pooled_p99_ratio']:.2f}", ""),
            ("of the four, refused or late", f"{figures['others_failed']:.0f}", "0"),
            (f"last answer after the deadline, ms ({worst})", f"{late[worst]:.1f}", "<= 50"),
            *((f"questions out for each in: {what}", f"{most:.3f}", "<= 1.10") for what, most in amplified.items()),
            (f"hangs in {figures['calls']:.0f} calls", f"{hangs}", "0"),
            *((f"  {what}", f"{count}", "") for what, count in sorted(ends.items())),
        ],
    )
    return figures


def _settings(deadline_s: float, breakers: str) -> str:
    deadline = f"\n[federation]\ndeadline_ms = {deadline_s * 1000:.0f}\n"
    return f"{deadline}[federation.breaker]\n{BREAKERS[breakers]}\n"


@contextlib.asynccontextmanager
async def _world(answering: int, settings: str, gateways: int = 1) -> AsyncIterator[Troubled]:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "world"
        async with troubled(folder, answering, extra=settings, replicas=gateways) as world:
            await _until_whole(world)
            yield world


async def _until_whole(world: Troubled) -> None:
    """End all troubles, and return once everybody has answered 20 times in a row."""
    await world.heal()
    well = 0
    async with asyncio.timeout(120):
        while well < 20:
            answer = (await world.agency.ask(world.request(), patience_s=HANG_S)).answer
            well = 0 if answer is None or answer.partial else well + 1
            await asyncio.sleep(0.02)


# one of five is a black hole


async def _neighbours(world: Troubled) -> dict[str, float]:
    times: dict[Trouble, list[list[float]]] = {CALM: [], BLACK_HOLE: []}
    failed = 0
    await _round(world, 1.0)
    for trouble in (CALM, BLACK_HOLE) * ROUNDS:
        await world.proxies[0].suffer(trouble)
        outcomes = await _round(world, ROUND_S)
        failed += sum(outcome.answer is None for outcome in outcomes)
        times[trouble].append([outcome.seconds for outcome in outcomes])
        await _until_whole(world)
    well, black_hole = ([_p99(of_round) * 1000 for of_round in times[trouble]] for trouble in (CALM, BLACK_HOLE))
    well_in_all, black_hole_in_all = (
        _p99(list(itertools.chain.from_iterable(times[trouble]))) for trouble in (CALM, BLACK_HOLE)
    )
    return {
        "p99_ratio": statistics.median(beside / alone for beside, alone in zip(black_hole, well, strict=True)),
        "pooled_p99_ratio": black_hole_in_all / well_in_all,
        "p99_well_ms": statistics.median(well),
        "p99_black_hole_ms": statistics.median(black_hole),
        "others_failed": failed,
    }


async def _round(world: Troubled, seconds: float) -> list[Outcome]:
    """Questions to each partner at the bench's rate; what came of those to all but the first."""
    each = await asyncio.gather(*(_paced(world, position, seconds) for position in range(PARTNERS)))
    return list(itertools.chain.from_iterable(each[1:]))


async def _paced(world: Troubled, position: int, seconds: float) -> list[Outcome]:
    begin = time.perf_counter() + position / (PARTNERS * RATE)

    async def one(due: float) -> Outcome:
        outcome = await world.agency.ask(world.request(position), patience_s=HANG_S)
        return Outcome(time.perf_counter() - due, outcome.answer, outcome.refusal)

    tasks = []
    for number in range(round(seconds * RATE)):
        due = begin + number / RATE
        await asyncio.sleep(due - time.perf_counter())
        tasks.append(asyncio.create_task(one(due)))
    return list(await asyncio.gather(*tasks))


def _p99(times: Sequence[float]) -> float:
    return statistics.quantiles(times, n=100)[-1]


# the signed partial is there in time


async def _overrun(world: Troubled, trouble: Trouble, name: str) -> float:
    """Milliseconds from the deadline to the last answer; negative where it came before."""
    late = []
    for at_once in (1, FANNED_OUT // 2):
        await world.proxies[0].suffer(trouble)
        for _ in range(FANNED_OUT // 2 // at_once):
            asked = [world.agency.ask(world.request(), patience_s=HANG_S) for _ in range(at_once)]
            for outcome in await asyncio.gather(*asked):
                late.append((outcome.seconds - DEADLINE_S) * 1000)
                _hold_to(world, outcome, whole=name in HARMLESS)
        await _until_whole(world)
    return max(late)


def _hold_to(world: Troubled, outcome: Outcome, *, whole: bool) -> None:
    """Check that it is what was asked for: the others' signed answers, and the silence of one named."""
    if outcome.answer is None:
        raise AssertionError(f"all of it was refused: {outcome.refusal}")
    for part in outcome.answer.answers:
        if part.refusal:
            if part.member_id != world.member_id(0):
                raise AssertionError(f"trouble with another harmed this partner: {part.message_en}")
        else:
            world.verify(part)
    if not outcome.answer.partial and not whole:
        raise AssertionError("it passes for whole")


# nobody answers


async def _amplified() -> dict[str, float]:
    """Questions that reached a partner, over questions asked, in each kind of outage."""
    amplified = {}
    for breakers, gateways in itertools.product(BREAKERS, GATEWAYS):
        async with _world(1, _settings(OUTAGE_DEADLINE_S, breakers), gateways) as world:
            for manner in Manner:
                what = f"{manner.value}, gateways: {gateways}, {breakers}"
                amplified[what] = await _amplification(world, manner)
    return amplified


async def _amplification(world: Troubled, manner: Manner) -> float:
    """Questions that reached the partner, whose gateways all do that from now on, over questions asked."""
    at_once = OUTAGE_AT_ONCE[manner]
    await _ask(world, GOOD_CALLS, at_once)
    (member,) = world.running.answering
    stand_in = StandIn(world.running, member)
    stand_in.manner = manner
    async with stand_in.serving():
        for proxy in world.proxies:
            proxy.target = stand_in.address
            proxy.reset()
        await _ask(world, OUTAGE_CALLS, at_once)
    for proxy in world.proxies:
        proxy.target = member.federation_address
        proxy.reset()
    await _until_whole(world)
    return stand_in.asked.total() / OUTAGE_CALLS


async def _ask(world: Troubled, calls: int, at_once: int) -> None:
    """So many questions, so many at once."""
    for first in range(0, calls, at_once):
        requests = [world.request() for _ in range(min(at_once, calls - first))]
        await asyncio.gather(*(world.agency.ask(request, patience_s=HANG_S) for request in requests))


# troubles that change all the time


async def _hangs(world: Troubled) -> tuple[int, Counter[str]]:
    """Calls that did not end, and how the others did."""
    luck = random.Random(1)
    ends: Counter[str] = Counter()
    left = itertools.count(CALLS, -1)

    async def worker() -> None:
        while next(left) > 0:
            positions = [luck.randrange(PARTNERS)] if luck.random() < 0.85 else []
            timeout_s = luck.choice([None, 0.2, 0.5, 1.5])
            end = await _end(world, positions, timeout_s)
            ends[end] += 1
            if end == "refused":
                await asyncio.sleep(0.02)  # as somebody told to come again would

    async def weather(position: int) -> None:
        names = [CALM, CALM, CALM, *TROUBLES.values()]
        while True:
            await world.proxies[position].suffer(luck.choice(names))
            await asyncio.sleep(luck.uniform(0.1, 1.5))

    changing = [asyncio.ensure_future(weather(position)) for position in range(PARTNERS)]
    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    for task in changing:
        task.cancel()
    await asyncio.gather(*changing, return_exceptions=True)
    await _until_whole(world)
    return ends["hung"], ends


async def _end(world: Troubled, positions: Sequence[int], timeout_s: float | None) -> str:
    """How a call ended, in a word."""
    try:
        outcome = await world.agency.ask(world.request(*positions), timeout_s=timeout_s, patience_s=HANG_S)
    except HangsError:
        return "hung"
    except UnclearError:
        return "given up by the agency" if timeout_s is not None else "unclear"
    if outcome.answer is None:
        return "refused"
    return "partial" if outcome.answer.partial else "whole"
