"""What time it is at least, whatever the clock says for a moment."""

from __future__ import annotations

from gateway.store.jumps import HOLD_S, SETTLE_S, STEP_MS, Jumps
from tests.unit.post.post_world import DAY_MS, Jumping
from tests.unit.services.gateways_world import NOW_MS


def settled(clock: Jumping) -> Jumps:
    jumps = Jumps(clock, STEP_MS)
    clock.advance(SETTLE_S)
    assert jumps.at_least_ms() == clock.now_ms()
    return jumps


def test_nothing_is_over_until_a_while_after_the_start() -> None:
    clock = Jumping(NOW_MS)
    jumps = Jumps(clock)
    clock.advance(SETTLE_S - 1)
    assert jumps.at_least_ms() == 0
    clock.advance(1)
    assert jumps.at_least_ms() == clock.now_ms()


def test_while_it_is_ahead_time_passes_as_the_machine_counts_it() -> None:
    clock = Jumping(NOW_MS)
    jumps = settled(clock)
    right_ms = clock.now_ms()
    clock.ahead_ms = DAY_MS
    for passed_s in (0, 3_600, 7_200):
        assert jumps.at_least_ms() == right_ms + passed_s * 1000
        assert jumps.ahead_ms() == DAY_MS
        clock.advance(3_600)
    clock.advance(HOLD_S)
    assert jumps.at_least_ms() == clock.now_ms()


def test_a_clock_that_is_right_again_and_then_ahead_once_more_is_not_believed_the_sooner() -> None:
    clock = Jumping(NOW_MS)
    jumps = settled(clock)
    for _ in range(3):
        clock.ahead_ms = DAY_MS
        assert jumps.at_least_ms() == clock.now_ms() - DAY_MS
        clock.advance(HOLD_S - 1)
        clock.ahead_ms = 0
        assert jumps.at_least_ms() == clock.now_ms()


def test_a_little_ahead_and_set_back_are_believed_at_once() -> None:
    clock = Jumping(NOW_MS)
    jumps = settled(clock)
    for ahead_ms in (STEP_MS - 1, -DAY_MS):
        clock.ahead_ms = ahead_ms
        assert jumps.at_least_ms() == clock.now_ms()


class Turning(Jumping):
    """A clock that is a day ahead at every other reading."""

    turns = False

    def now_ms(self) -> int:
        now_ms = super().now_ms()
        if self.turns:
            self.ahead_ms = DAY_MS - self.ahead_ms
        return now_ms


def test_a_clock_that_jumps_between_two_readings_is_not_believed() -> None:
    clock = Turning(NOW_MS)
    jumps = settled(clock)
    right_ms = clock.now_ms()
    clock.turns = True
    assert [jumps.at_least_ms() for _ in range(4)] == [right_ms] * 4
