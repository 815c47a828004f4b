"""A gateway that refuses callers for having too much to do says so on its health page, until it is over for a while."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from certs.identity import Identity
from gateway.clock import FakeClock
from gateway.observing.health import Health, HealthFact, Level
from gateway.observing.refusals import CALLS, SLOT_S, STREAMS, WINDOW_S, Refusals
from gateway.services.serving import Desk
from gateway.services.shedding import Shedding
from gateway.vitals.overload import OverloadVitals
from tests.unit.services.gateways_world import FEDERATION, NOW_MS, A, AbortedError, Call, Listed
from wugan.agency.v1 import agency_pb2

SERVICE = agency_pb2.DESCRIPTOR.services_by_name["AgencyService"]


class World:
    """A gateway's desk, and its health page as far as that tells of the desk."""

    def __init__(self) -> None:
        self.clock = FakeClock(NOW_MS)
        directory = Listed(A, clock=self.clock).current
        self.desk = Desk(self.clock, directory, federation=FEDERATION, limit=1, shed_s=0.1)
        self.go = asyncio.Event()

    async def fact(self) -> HealthFact | None:
        health = Health("11330000002482285J", self.clock)
        health.register("overload", OverloadVitals(self.desk.refusals))
        report = await health.report()
        assert report.level == max((fact.level for fact in report.facts), default=Level.WELL)
        return report.facts[0] if report.facts else None

    async def work(self, _peer: Identity) -> str:
        await self.go.wait()
        return "done"

    async def refused(self) -> None:
        with pytest.raises(AbortedError):
            await self.desk.serve("Check", Call(A.unit()).as_context(), self.work)


@pytest.fixture
async def world() -> World:
    return World()


@contextlib.asynccontextmanager
async def full(world: World) -> Any:
    """A gateway with as many calls as it takes."""
    held = asyncio.ensure_future(world.desk.serve("Check", Call(A.unit()).as_context(), world.work))
    await asyncio.sleep(0)
    yield
    world.go.set()
    assert await held == "done"


async def test_refused_calls_are_told_of_with_how_many_since_when_and_what_to_do(world: World) -> None:
    async with full(world):
        assert await world.fact() is None, "taking on as much as one can is no overload"
        began = world.clock.now_ms()
        await world.refused()
        world.clock.advance(60)
        await world.refused()
        world.clock.advance(5)
    fact = await world.fact()
    assert fact is not None
    assert (fact.about, fact.level, fact.since_ms) == ("overload", Level.ATTENTION, began)
    assert "Refused in the last 5 minutes: single calls: 2." in fact.en
    assert "近 5 分钟已拒绝单次调用 2 次" in fact.zh
    assert "When there is too much to do" in fact.do_en
    assert "When there is too much to do" in fact.do_zh


async def test_it_is_over_once_nothing_was_refused_for_a_while(world: World) -> None:
    async with full(world):
        await world.refused()
        world.clock.advance(WINDOW_S)
        assert await world.fact() is not None
        world.clock.advance(0.1)
        assert await world.fact() is None
        world.clock.advance(60)
        again = world.clock.now_ms()
        await world.refused()
    fact = await world.fact()
    assert fact is not None
    assert fact.since_ms == again, "that is another time"
    assert "single calls: 1." in fact.en


async def test_what_is_refused_at_the_door_counts_and_what_may_go_on_does_not(world: World) -> None:
    world.desk._backlog.saw(world.clock.monotonic(), 5.0)
    world.clock.advance(1.0)
    shedding = Shedding(world.desk, [SERVICE])

    class Details:
        method = f"/{SERVICE.full_name}/Check"

    class Open(Details):
        method = f"/{SERVICE.full_name}/WatchLate"

    assert shedding.service(Details()) is not None  # type: ignore[arg-type]
    assert shedding.service(Open()) is None  # type: ignore[arg-type]
    fact = await world.fact()
    assert fact is not None
    assert "single calls: 1." in fact.en
    assert "stay open" not in fact.en


async def test_one_of_many_over_an_open_call_counts_as_a_call(world: World) -> None:
    world.desk._backlog.saw(world.clock.monotonic(), 5.0)
    world.clock.advance(1.0)
    with pytest.raises(Exception, match="too many calls"):
        await world.desk.take("Check", world.desk.caller(Call(A.unit()).as_context()), None, world.work)
    fact = await world.fact()
    assert fact is not None
    assert "single calls: 1." in fact.en


async def test_streams_that_find_no_place_are_told_of_too(world: World) -> None:
    held = asyncio.ensure_future(world.desk.hold("CheckMany", Call(A.unit()).as_context(), world.work, at_once=2))
    await asyncio.sleep(0)
    with pytest.raises(AbortedError):
        await world.desk.hold("CheckMany", Call(A.unit()).as_context(), world.work, at_once=2)
    fact = await world.fact()
    assert fact is not None
    assert "calls that stay open: 1." in fact.en
    assert "长连接调用 1 次" in fact.zh
    assert "single" not in fact.en
    world.go.set()
    await held


async def test_who_stops_is_not_overloaded(world: World) -> None:
    world.desk.drain()
    await world.refused()
    assert await world.fact() is None


def test_memory_is_bounded_and_old_refusals_do_not_count() -> None:
    clock = FakeClock(NOW_MS)
    refusals = Refusals(clock)
    began = clock.monotonic()
    for _ in range(1_000):
        refusals.add(CALLS)
        refusals.add(STREAMS)
        clock.advance(SLOT_S)
    most = int(WINDOW_S / SLOT_S) + 1
    assert len(refusals._slots) <= most
    told = refusals.lately()
    assert told is not None
    assert most - 1 <= told.counts[CALLS] == told.counts[STREAMS] <= most
    assert told.for_s == clock.monotonic() - began, "it has been going on all the time"
