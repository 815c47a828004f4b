"""A clock that is ahead for a moment gives no left question its last answer: neither none at all nor half of one."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.errors import SourceDownError
from gateway.store.inbox import UNDER_WAY, WAITING
from gateway.store.jumps import SETTLE_S, STEP_MS, Jumps
from tests.unit.post.post_world import DAY_MS, Jumping, until
from tests.unit.services.gateways_world import NOW_MS
from tests.unit.services.test_late_answers import STRONG, World, world_in
from wugan.agency.v1 import agency_pb2
from wugan.federation.v1 import vocabulary_pb2 as words


async def left_at_b(world: World) -> agency_pb2.CheckResponse:
    """A question that lies at B, and was not looked at there yet."""
    left = await world.check(only_leave=True)
    async with world.a.running("outbox"):
        await until(lambda: waiting(world))
    return left


async def waiting(world: World) -> bool:
    return bool((await world.b.store.inbox.counts()).get(WAITING))


async def under_way(world: World) -> bool:
    return bool((await world.b.store.inbox.counts()).get(UNDER_WAY))


@pytest.mark.parametrize("ran_s", [0, SETTLE_S + 1])
@pytest.mark.parametrize("ahead_ms", [7 * DAY_MS + 1, 8 * DAY_MS])
async def test_a_question_that_is_over_by_a_clock_that_is_ahead_is_answered_when_it_is_right(
    tmp_path: Path, ahead_ms: int, ran_s: float
) -> None:
    clock = Jumping(NOW_MS)
    async with world_in(tmp_path, clock=clock) as world:
        clock.advance(ran_s)
        left = await left_at_b(world)
        clock.ahead_ms = ahead_ms
        world.insurance.error = world.banks.error = SourceDownError("down", "不可用")
        async with world.b.running("inbox"):
            await until(lambda: under_way(world))
        clock.ahead_ms = 0
        world.insurance.error = world.banks.error = None
        clock.advance(3_600)
        async with world.running():
            await until(lambda: world.told_of(1))
            await until(lambda: answered(world))
        told = await world.told()
        assert [each.response.answers[0].refusal for each in told] == [0] * len(told)
        response = await world.fetch(left.late_ticket)
        assert (response.status, response.partial, len(response.evidence)) == (STRONG, False, 2)


async def answered(world: World) -> bool:
    return await world.states() == [agency_pb2.LATE_STATE_ANSWERED]


async def test_an_answer_with_a_gap_is_not_the_last_because_a_clock_is_ahead(tmp_path: Path) -> None:
    clock = Jumping(NOW_MS)
    async with world_in(tmp_path, clock=clock) as world:
        clock.advance(SETTLE_S + 1)
        left = await left_at_b(world)
        world.banks.error = SourceDownError("down", "不可用")
        clock.ahead_ms = 7 * DAY_MS - 1_000
        async with world.b.running("inbox"):
            await until(lambda: under_way(world))
        clock.ahead_ms = 0
        world.banks.error = None
        clock.advance(3_600)
        async with world.running():
            await until(lambda: answered(world))
        response = await world.fetch(left.late_ticket)
        assert (response.partial, len(response.evidence)) == (False, 2)


async def test_a_question_that_is_over_by_the_time_that_passed_is_refused(tmp_path: Path) -> None:
    clock = Jumping(NOW_MS)
    async with world_in(tmp_path, clock=clock) as world:
        await left_at_b(world)
        clock.ahead_ms = 60_000
        clock.advance(7 * DAY_MS / 1000)
        async with world.running():
            await until(lambda: world.told_of(1))
        (told,) = await world.told()
        assert told.response.answers[0].refusal == words.REFUSAL_REASON_DELIVERY_EXPIRED


async def test_a_question_whose_time_ended_while_the_gateway_was_away_is_refused_but_not_at_once(
    tmp_path: Path,
) -> None:
    clock = Jumping(NOW_MS)
    async with world_in(tmp_path, clock=clock) as world:
        await left_at_b(world)
        clock.advance(8 * DAY_MS / 1000)
        world.questions._jumps = Jumps(clock, STEP_MS)  # as after a start
        async with world.running():
            await until(lambda: under_way(world))
            assert await world.told() == []
            await until(lambda: world.passes() and world.told_of(1))
        (told,) = await world.told()
        assert told.response.answers[0].refusal == words.REFUSAL_REASON_DELIVERY_EXPIRED
        assert world.insurance.asked == []
