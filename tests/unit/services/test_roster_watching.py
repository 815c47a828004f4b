"""Watching a roster's run: whoever watches is told how it ended, however slowly it takes what it is told."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.roster.shelf import Kept
from gateway.services.rosters import RosterService
from tests.unit.roster.running_world import DAY_MS, UNIT, A, B, C, World, line, roster
from tests.unit.services.gateways_world import Listed
from wugan.agency.v1 import roster_pb2

WAITING, DONE = roster_pb2.ROSTER_STATE_WAITING, roster_pb2.ROSTER_STATE_DONE


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


class Slow:
    """Takes the first that it is told only when the run has ended."""

    def __init__(self, kept: Kept) -> None:
        self.kept = kept
        self.told: list[roster_pb2.RosterRun] = []

    async def write(self, response: roster_pb2.WatchRosterResponse) -> None:
        self.told.append(response.run)
        await self.kept.over.wait()


async def watched(world: World, kept: Kept, *, only_present: bool = False) -> list[roster_pb2.RosterRun]:
    service = RosterService(world.rosters, Listed(A, B, C, clock=world.clock), DAY_MS)
    slow = Slow(kept)
    request = roster_pb2.WatchRosterRequest(run_id=kept.submitted.run_id, only_present=only_present)
    async with asyncio.timeout(20):
        await service.watch(UNIT, request, slow.write)
    return slow.told


async def test_a_run_that_ends_while_something_earlier_is_being_told_is_told_to_have_ended(world: World) -> None:
    async with world.running():
        first, *_, last = await watched(world, await world.submit(roster(line(1))))
    assert first.state == WAITING
    assert (last.state, last.rows_done, last.reading) == (DONE, 1, False)


async def test_who_asks_for_what_is_present_is_told_that_and_no_more(world: World) -> None:
    async with world.running():
        told = await watched(world, await world.submit(roster(line(1))), only_present=True)
    assert [run.state for run in told] == [WAITING]
