"""The bulkhead: places, the line for them, and who is refused."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.clock import FakeClock
from gateway.resilience.bulkhead import LEAST_RETRY_MS, MOST_RETRY_MS, Bulkhead


def bulkhead(at_once: int = 2, waiting: int = 1, clock: FakeClock | None = None) -> Bulkhead:
    return Bulkhead(clock or FakeClock(), at_once, waiting)


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_so_many_at_once_then_a_few_in_line_then_nobody() -> None:
    made = bulkhead()
    held = [await made.enter(5.0), await made.enter(5.0)]
    third = asyncio.ensure_future(made.enter(5.0))
    await turns()
    assert (made.in_use, made.in_line) == (2, 1)
    assert await made.enter(5.0) is None
    assert made.shed == 1
    assert held[0] is not None
    made.leave(held[0])
    assert await third is not None
    assert (made.in_use, made.in_line) == (2, 0)


async def test_the_line_is_first_come_first_served_and_not_jumped() -> None:
    made = bulkhead(at_once=1, waiting=5)
    held = made.take()
    assert held is not None
    order: list[int] = []

    async def come(number: int) -> None:
        taken = await made.enter(5.0)
        assert taken is not None
        order.append(number)
        made.leave(taken)

    waiting = [asyncio.ensure_future(come(number)) for number in range(4)]
    await turns()
    made.leave(held)
    assert made.take() is None, "a free place belongs to the first in line"
    await asyncio.gather(*waiting)
    assert order == [0, 1, 2, 3]
    assert made.in_use == 0


async def test_nobody_waits_longer_than_there_is_time() -> None:
    made = bulkhead(at_once=1, waiting=5)
    held = made.take()
    assert held is not None
    assert await made.enter(0.01) is None
    assert (made.in_line, made.shed) == (0, 1)
    made.leave(held)
    assert made.in_use == 0


async def test_whoever_would_wait_in_vain_is_refused_at_once() -> None:
    clock = FakeClock()
    made = bulkhead(at_once=1, waiting=5, clock=clock)
    held = made.take()
    assert held is not None
    clock.advance(4.0)
    made.leave(held)
    assert made.take() is not None
    assert await asyncio.wait_for(made.enter(3.0), 1.0) is None
    assert made.retry_after_ms == 4_000


async def test_the_time_to_come_back_is_bounded() -> None:
    clock = FakeClock()
    made = bulkhead(clock=clock)
    assert made.retry_after_ms == LEAST_RETRY_MS
    held = made.take()
    assert held is not None
    clock.advance(10_000.0)
    made.leave(held)
    assert made.retry_after_ms == MOST_RETRY_MS


async def test_a_place_given_to_somebody_who_leaves_in_that_moment_is_handed_on() -> None:
    made = bulkhead(at_once=1, waiting=5)
    held = made.take()
    assert held is not None
    first, second = (asyncio.ensure_future(made.enter(5.0)) for _ in range(2))
    await turns()
    made.leave(held)  # the first has the place, and does not know yet
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await second is not None


@given(
    st.lists(st.sampled_from(["enter", "leave", "cancel", "turn"]), max_size=60), st.integers(1, 3), st.integers(0, 3)
)
@settings(max_examples=100, deadline=None)
def test_whatever_comes_places_and_line_keep_to_their_bounds_and_none_is_lost(
    steps: list[str], at_once: int, waiting: int
) -> None:
    async def run() -> None:
        made = bulkhead(at_once, waiting)
        tasks: list[asyncio.Task[float | None]] = []

        def inside() -> list[asyncio.Task[float | None]]:
            return [task for task in tasks if task.done() and not task.cancelled() and task.result() is not None]

        for step in [*steps, "turn"]:
            if step == "enter":
                tasks.append(asyncio.ensure_future(made.enter(60.0)))
            elif step == "leave" and inside():
                gone = inside()[0]
                tasks.remove(gone)
                made.leave(gone.result() or 0.0)
            elif step == "cancel":
                for task in [task for task in tasks if not task.done()][:1]:
                    task.cancel()
            elif step == "turn":
                await turns(3)
            assert made.in_use <= at_once
            assert made.in_line <= waiting
        assert made.in_use == len(inside())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in inside():
            made.leave(task.result() or 0.0)
        assert (made.in_use, made.in_line) == (0, 0)

    asyncio.run(run())


def test_a_bulkhead_without_a_place_is_refused() -> None:
    with pytest.raises(ValueError, match="place"):
        bulkhead(0)
