"""A limit of time on what a task does: over at its end, not before, and nobody else's cancelling is taken for it."""

from __future__ import annotations

import asyncio

import pytest

from gateway.timed import over_at


async def test_what_is_done_in_time_is_not_cut_off() -> None:
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    with over_at(loop, loop.time() + 0.01):
        await asyncio.sleep(0)
    await asyncio.sleep(0.03)  # its timer would have run out by now
    assert not task.cancelling()


@pytest.mark.parametrize("left_s", [0.01, 0.0, -1.0])
async def test_what_takes_longer_is_given_up(left_s: float) -> None:
    loop = asyncio.get_running_loop()
    given_up: list[str] = []

    async def for_ever() -> None:
        try:
            await loop.create_future()
        except asyncio.CancelledError:
            given_up.append("what was awaited")
            raise

    with pytest.raises(TimeoutError) as raised, over_at(loop, loop.time() + left_s):
        await for_ever()
    assert given_up == ["what was awaited"]
    assert isinstance(raised.value.__cause__, asyncio.CancelledError)
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


async def test_an_error_of_its_own_stays_what_it_is() -> None:
    loop = asyncio.get_running_loop()

    async def fails_when_given_up() -> None:
        try:
            await loop.create_future()
        except asyncio.CancelledError:
            raise ValueError("own") from None

    with pytest.raises(ValueError, match="own"), over_at(loop, loop.time() + 0.01):
        await fails_when_given_up()
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


@pytest.mark.parametrize("also_over", [False, True])
async def test_who_is_cancelled_by_somebody_else_is_cancelled(also_over: bool) -> None:
    loop = asyncio.get_running_loop()
    outcome: list[str] = []

    async def work() -> None:
        try:
            with over_at(loop, loop.time() + (0.0 if also_over else 5.0)):
                await loop.create_future()
        except TimeoutError:
            outcome.append("over")
        except asyncio.CancelledError:
            outcome.append("cancelled")
            raise

    task = loop.create_task(work())
    await asyncio.sleep(0)
    if also_over:
        loop.call_later(0.0, task.cancel)  # in the same round as the end of the time, before or after it
    else:
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert outcome == ["cancelled"]


async def test_only_a_task_has_a_limit() -> None:
    loop = asyncio.get_running_loop()
    told: asyncio.Future[str] = loop.create_future()

    def outside() -> None:
        try:
            with over_at(loop, loop.time() + 1.0):
                told.set_result("begun")
        except RuntimeError:
            told.set_result("refused")

    loop.call_soon(outside)
    assert await told == "refused"
