"""What was gathered is acted on once the event loop has nothing else to do, and nothing of it stays behind."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from gateway.clock import FakeClock
from gateway.pacing import IDLE_ROUND_S, LONGEST_S, when_idle

BUSY_S = 0.003


class Gathered:
    """Something to act on, on a clock of its own."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.acted = 0

    def act(self) -> None:
        self.acted += 1

    def wait(self) -> None:
        when_idle(asyncio.get_running_loop(), self.clock, self.act)

    async def rounds(self, *each_s: float) -> list[int]:
        """How often it was acted on after each round of the loop that takes so long."""
        acted = []
        for lasting_s in each_s:
            self.clock.advance(lasting_s)
            await asyncio.sleep(0)
            acted.append(self.acted)
        return acted


async def test_it_is_acted_on_after_the_first_idle_round_and_once() -> None:
    gathered = Gathered()
    gathered.wait()
    assert await gathered.rounds(BUSY_S, BUSY_S, IDLE_ROUND_S / 2, 0.0, BUSY_S) == [0, 0, 1, 1, 1]


async def test_it_is_acted_on_after_a_while_however_busy_the_loop_is() -> None:
    gathered = Gathered()
    gathered.wait()
    in_time = int(LONGEST_S / BUSY_S)
    acted = await gathered.rounds(*[BUSY_S] * (in_time + 3))
    assert acted[:in_time] == [0] * in_time
    assert acted[-2:] == [1, 1]


@pytest.mark.parametrize("round_s", [0.0, BUSY_S])
async def test_it_is_forgotten_once_it_was_acted_on_and_not_when_the_collector_comes(round_s: float) -> None:
    gathered = Gathered()
    noticed = weakref.ref(gathered)
    gc.disable()
    try:
        gathered.wait()
        await gathered.rounds(*[round_s] * 20)
        assert gathered.acted == 1
        del gathered
        await asyncio.sleep(0)
        assert noticed() is None
    finally:
        gc.enable()
