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
- `amplification`: questions that reached partners of whom none answers, over those that agencies asked; with breakers,
  and with breakers that never open, whichever is more.
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
ROUNDS = 32
"""The p99 of a round is the fifth slowest of 400 calls, and one hiccup of the machine doubles it: of 16 pairs of rounds
the median of the ratios has a standard error of about a fifth."""
FANNED_OUT = 10
"""Questions to all partners in each trouble, half of them at once."""
GOOD_CALLS = 4_000
"""Answered before an outage, so that what good times save up is there to be spent in it."""
OUTAGE_CALLS = 5_000
OUTAGE_AT_ONCE = 20
CALLS = 100_000
AT_ONCE = 128
HANG_S = 30.0
HARMLESS = ("latency", "loss")
"""Troubles under which an answer may be whole."""

SETTINGS = f"""
[federation]
deadline_ms = {DEADLINE_S * 1000:.0f}
[federation.breaker]
open_s = 0.25
longest_open_s = 0.5
"""
NEVER_OPEN = f"""
[federation]
deadline_ms = {DEADLINE_S * 1000:.0f}
[federation.breaker]
calls = 10000
"""


def main() -> Figures:
    """Run, print a table, return the figures."""
    require_tls13()
    return uvloop.run(_measure())


async def _measure() -> Figures:
    async with _world(PARTNERS, SETTINGS) as world:
        figures = await _neighbours(world)
        late = {name: await _overrun(world, trouble, name) for name, trouble in TROUBLES.items()}
        guarded = await _amplification(world)
        hangs, ends = await _hangs(world)
    async with _world(2, NEVER_OPEN) as world:
        unguarded = await _amplification(world)
    worst = max(late, key=lambda name: late[name])
    figures |= {
        "deadline_overrun_ms": late[worst],
        "hangs": hangs,
        "amplification": max(guarded, unguarded),
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
            ("questions out for each in, total outage", f"{guarded:.3f}", "<= 1.10"),
            ("the same, breakers that never open", f"{unguarded:.3f}", "<= 1.10"),
            (f"hangs in {figures['calls']:.0f} calls", f"{hangs}", "0"),
            *((f"  {what}", f"{count}", "") for what, count in sorted(ends.items())),
        ],
    )
    return figures


@contextlib.asynccontextmanager
async def _world(answering: int, settings: str) -> AsyncIterator[Troubled]:
    with tempfile.TemporaryDirectory() as scratch:
        async with troubled(Path(scratch) / "world", answering, extra=settings) as world:
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


async def _amplification(world: Troubled) -> float:
    """Questions that reached partners, over questions asked; from good times on."""
    asked, reached = 0, 0
    await _ask_in_turn(world, GOOD_CALLS)
    async with contextlib.AsyncExitStack() as stack:
        stand_ins = [StandIn(world.running, member) for member in world.running.answering]
        for stand_in, proxy in zip(stand_ins, world.proxies, strict=True):
            await stack.enter_async_context(stand_in.serving())
            proxy.target = stand_in.address
        for manner in Manner:
            calls = OUTAGE_CALLS if manner is Manner.UNAVAILABLE else OUTAGE_CALLS // 5
            for stand_in, proxy in zip(stand_ins, world.proxies, strict=True):
                stand_in.manner = manner
                proxy.reset()
            await _ask_in_turn(world, calls)
            asked += calls
        reached = sum(stand_in.asked.total() for stand_in in stand_ins)
    for member, proxy in zip(world.running.answering, world.proxies, strict=True):
        proxy.target = member.federation_address
        proxy.reset()
    await _until_whole(world)
    return reached / asked


async def _ask_in_turn(world: Troubled, calls: int) -> None:
    """So many questions, to one partner after the other, some at once."""
    places = itertools.cycle(range(len(world.running.answering)))
    for first in range(0, calls, OUTAGE_AT_ONCE):
        requests = [world.request(next(places)) for _ in range(min(OUTAGE_AT_ONCE, calls - first))]
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
