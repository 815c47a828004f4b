"""Tries at another gateway: earned by answers, with a line for those who must wait for them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.resilience.elsewhere import EARNED, SAVED_AT_MOST, Elsewhere
from tests.instant_loop import run_instantly

FULL = SAVED_AT_MOST


async def in_line(elsewhere: Elsewhere, *counts: int, time_s: float = 60.0) -> list[asyncio.Task[bool]]:
    tasks = [asyncio.ensure_future(elsewhere.enter(count, time_s)) for count in counts]
    await asyncio.sleep(0)
    return tasks


async def test_what_is_saved_is_let_through_at_once_and_nothing_beyond() -> None:
    elsewhere = Elsewhere()
    assert [await elsewhere.enter(1, 0.0) for _ in range(FULL + 1)] == [True] * FULL + [False]
    assert elsewhere.spent == FULL


async def test_who_finds_nothing_saved_is_let_through_by_answers_in_turn() -> None:
    elsewhere = Elsewhere()
    assert await elsewhere.enter(FULL, 0.0)
    tasks = await in_line(elsewhere, FULL, FULL, 1)
    assert not any(task.done() for task in tasks)
    elsewhere.earn(FULL)
    elsewhere.end()
    assert await asyncio.gather(*tasks[:2]) == [True, True]
    assert not tasks[2].done()


async def test_nobody_passes_one_who_was_in_line_before() -> None:
    elsewhere = Elsewhere()
    assert await elsewhere.enter(FULL - 1, 0.0)
    large, small = await in_line(elsewhere, 2, 1)
    assert not small.done()
    elsewhere.earn(1)
    assert await asyncio.gather(large, small) == [True, True]


async def test_where_nobody_is_there_it_is_found_out_by_a_few() -> None:
    elsewhere = Elsewhere()
    while await elsewhere.enter(1, 60.0):
        elsewhere.end(failed=True)
    assert elsewhere.spent == 5


async def test_one_that_fails_among_others_that_are_answered_is_no_reason_to_stop() -> None:
    elsewhere = Elsewhere()
    for number in range(1_000):
        assert await elsewhere.enter(1, 0.0)
        if number % 3:
            elsewhere.earn(1)
        elsewhere.end(failed=not number % 3)


async def test_when_none_is_under_way_any_more_all_in_line_are_turned_away() -> None:
    elsewhere = Elsewhere()
    assert await elsewhere.enter(FULL // 2, 0.0)
    assert await elsewhere.enter(FULL // 2, 0.0)
    tasks = await in_line(elsewhere, 1, FULL)
    elsewhere.end()
    await asyncio.sleep(0)
    assert not any(task.done() for task in tasks)
    elsewhere.end()
    assert await asyncio.gather(*tasks) == [False, False]
    assert not await asyncio.wait_for(elsewhere.enter(1, 60.0), 1.0), "nothing will make room"


async def test_nobody_waits_for_longer_than_there_is_time() -> None:
    elsewhere = Elsewhere()
    assert await elsewhere.enter(FULL, 0.0)
    assert not await elsewhere.enter(1, 0.05)
    elsewhere.earn(1)
    assert await elsewhere.enter(2, 0.0), "who left the line was let through all the same"


async def test_who_leaves_the_line_lets_those_behind_come_up() -> None:
    elsewhere = Elsewhere()
    assert await elsewhere.enter(FULL - 1, 0.0)
    large, small = await in_line(elsewhere, FULL, 1)
    large.cancel()
    assert await asyncio.wait_for(small, 1.0)


async def test_who_is_let_through_in_the_moment_of_leaving_gives_it_back() -> None:
    elsewhere = Elsewhere()
    assert await elsewhere.enter(FULL, 0.0)
    (first,) = await in_line(elsewhere, FULL)
    elsewhere.earn(FULL // 2)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert elsewhere.spent == FULL
    assert await elsewhere.enter(FULL, 0.0)
    elsewhere.end()
    elsewhere.end()
    assert not await asyncio.wait_for(elsewhere.enter(1, 60.0), 1.0), "somebody is under way who left"


@given(
    st.lists(st.tuples(st.sampled_from(["ask", "answered", "failed", "give up"]), st.integers(1, FULL)), max_size=150)
)
def test_never_more_is_tried_elsewhere_than_was_saved_and_answers_earned(steps: Sequence[tuple[str, int]]) -> None:
    async def run() -> None:
        elsewhere = Elsewhere()
        earned = 0
        waiting: list[tuple[int, asyncio.Task[bool]]] = []
        through: list[int] = []
        for step, count in steps:
            if step == "ask":
                waiting.append((count, asyncio.ensure_future(elsewhere.enter(count, 60.0))))
            elif step == "give up" and waiting:
                waiting[count % len(waiting)][1].cancel()
            elif through:
                ended = through.pop(count % len(through))
                if step == "answered":
                    earned += ended
                    elsewhere.earn(ended)
                elsewhere.end(failed=step == "failed")
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            through += [asked for asked, task in waiting if task.done() and not task.cancelled() and task.result()]
            waiting = [(asked, task) for asked, task in waiting if not task.done()]
            assert elsewhere.spent <= FULL + EARNED * earned
            assert not waiting or through, "they wait, and nobody will let them through"
        for _ in through:
            elsewhere.end()
        assert not any(await asyncio.gather(*(task for _, task in waiting)))

    run_instantly(run)
