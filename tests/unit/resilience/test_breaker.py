"""The breaker: when it opens, whom it lets through, and what it remembers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.clock import FakeClock
from gateway.resilience.backoff import Backoff, Outage
from gateway.resilience.breaker import Breaker, Limits, Pass, Said, State

NOW_MS = 1_795_000_000_000


def limits(**changed: Any) -> Limits:
    options: dict[str, Any] = {
        "window_s": 10.0,
        "calls": 4,
        "error_rate": 0.5,
        "silent_s": 60.0,
        "slow_s": 2.0,
        "slow_rate": 0.75,
        "probes": 2,
        "backoff": Backoff(4.0, 60.0, 1.0),
        **changed,
    }
    return Limits(**options)


class World:
    """A breaker, its clock, and how often it told of a change."""

    def __init__(self, **changed: Any) -> None:
        self.clock = FakeClock(NOW_MS)
        self.told = 0
        self.breaker = Breaker(limits(**changed), self.clock, changed=self.tell, drawn=lambda: 0.0)

    def tell(self) -> None:
        self.told += 1

    def call(self, said: Said, took_s: float = 0.0, reason: str = "UNAVAILABLE") -> bool:
        """A call, if it is let through."""
        given = self.breaker.admit()
        if given is None:
            return False
        self.clock.advance(took_s)
        self.breaker.settle(given, said, reason)
        return True

    def open(self) -> None:
        for _ in range(4):
            self.call(Said.FAILED)
        assert self.breaker.state is State.OPEN


def test_it_opens_once_the_share_of_failures_is_reached_and_not_before() -> None:
    world = World()
    for said in (Said.WELL, Said.WELL, Said.FAILED):
        world.call(said)
    assert world.breaker.state is State.CLOSED
    world.call(Said.FAILED)
    assert world.breaker.state is State.OPEN
    assert not world.call(Said.WELL)
    assert world.breaker.refuses
    assert world.breaker.retry_after_ms == 4_000


def test_who_only_fails_for_a_while_is_left_alone_however_well_it_did_before() -> None:
    world = World(silent_s=2.0)
    for _ in range(100):
        world.call(Said.WELL)
    for _ in range(20):  # as when a connection breaks with what is under way on it
        world.call(Said.FAILED)
    assert world.breaker.state is State.CLOSED
    world.clock.advance(1.9)
    world.call(Said.FAILED)
    assert world.breaker.state is State.CLOSED
    world.call(Said.FAILED, took_s=0.1)
    assert world.breaker.state is State.OPEN
    assert world.breaker.outage is not None
    assert world.breaker.outage.since_ms == NOW_MS


def test_one_that_did_well_between_begins_the_while_anew() -> None:
    world = World(silent_s=2.0)
    for _ in range(100):
        world.call(Said.WELL)
    for _ in range(10):
        world.call(Said.FAILED, took_s=1.0)
        world.call(Said.NOTHING, took_s=0.9)
        for _ in range(2):
            world.call(Said.WELL)
    assert world.breaker.state is State.CLOSED


def test_few_failures_do_not_last_a_while() -> None:
    world = World(silent_s=2.0, window_s=100.0)
    for _ in range(20):
        world.call(Said.WELL)
    for _ in range(3):
        world.call(Said.FAILED, took_s=2.5)
    assert world.breaker.state is State.CLOSED
    world.call(Said.FAILED)
    assert world.breaker.state is State.OPEN


def test_who_is_asked_seldom_and_only_fails_is_left_alone_though_few_calls_are_within_the_window() -> None:
    world = World(silent_s=2.0)
    for _ in range(4):
        assert world.breaker.state is State.CLOSED
        world.call(Said.FAILED, took_s=5.0)
        world.call(Said.NOTHING)
        world.clock.advance(60.0)
    assert world.breaker.state is State.OPEN
    assert world.breaker.outage is not None
    assert world.breaker.outage.since_ms == NOW_MS + 5_000


def test_who_is_asked_seldom_and_does_well_between_is_not_left_alone() -> None:
    world = World(silent_s=2.0)
    for _ in range(10):
        for _ in range(3):
            world.call(Said.FAILED, took_s=5.0)
            world.clock.advance(60.0)
        world.call(Said.WELL)
    assert world.breaker.state is State.CLOSED


def test_few_failures_say_nothing() -> None:
    world = World()
    for _ in range(3):
        world.call(Said.FAILED)
    assert world.breaker.state is State.CLOSED


def test_failures_outside_the_window_are_forgotten() -> None:
    world = World()
    for _ in range(3):
        world.call(Said.FAILED)
    world.clock.advance(10.0)
    world.call(Said.FAILED)
    assert world.breaker.state is State.CLOSED


def test_it_opens_when_most_calls_are_slow() -> None:
    world = World()
    for _ in range(3):
        world.call(Said.WELL, took_s=2.5)
    world.call(Said.WELL, took_s=0.1)
    assert world.breaker.state is State.OPEN
    assert world.breaker.outage is not None
    assert world.breaker.outage.reason == "SLOW"


def test_calls_that_say_nothing_are_not_counted() -> None:
    world = World()
    for _ in range(100):
        world.call(Said.NOTHING, took_s=0.05)
    for _ in range(2):
        world.call(Said.FAILED)
    assert world.breaker.state is State.CLOSED


def test_after_the_interval_a_few_are_let_through_and_as_many_successes_close_it() -> None:
    world = World()
    world.open()
    world.clock.advance(4.0)
    first, second = world.breaker.admit(), world.breaker.admit()
    assert first is not None
    assert second is not None
    assert world.breaker.admit() is None
    assert world.breaker.state is State.HALF_OPEN
    world.breaker.settle(first, Said.WELL)
    assert world.breaker.state is State.HALF_OPEN
    world.breaker.settle(second, Said.WELL)
    assert world.breaker.state is State.CLOSED
    assert world.breaker.outage is None


def test_a_probe_that_fails_opens_it_for_twice_as_long_and_a_late_one_changes_nothing() -> None:
    world = World()
    world.open()
    world.clock.advance(4.0)
    first, second = world.breaker.admit(), world.breaker.admit()
    assert first is not None
    assert second is not None
    world.breaker.settle(first, Said.FAILED, "DEADLINE_EXCEEDED")
    assert world.breaker.retry_after_ms == 8_000
    world.breaker.settle(second, Said.WELL)
    assert world.breaker.state is State.OPEN
    assert world.breaker.outage == Outage(NOW_MS, 2, 8_000, NOW_MS + 12_000, "DEADLINE_EXCEEDED")


def test_calls_let_through_before_it_opened_say_nothing_afterwards() -> None:
    world = World()
    given = [world.breaker.admit() for _ in range(12)]
    for each in given:
        assert each is not None
        world.breaker.settle(each, Said.FAILED, "UNAVAILABLE")
    assert world.breaker.outage is not None
    assert world.breaker.outage.failures == 1


def test_a_probe_that_was_given_up_leaves_its_place_to_another() -> None:
    world = World(probes=1)
    world.open()
    world.clock.advance(4.0)
    assert world.call(Said.NOTHING)
    assert world.call(Said.WELL)
    assert world.breaker.state is State.CLOSED


def test_it_tells_of_openings_and_closings_and_not_of_calls() -> None:
    world = World(probes=1)
    world.open()
    assert world.told == 1
    for _ in range(50):
        world.call(Said.WELL)
    assert world.told == 1
    world.clock.advance(4.0)
    world.call(Said.WELL)
    assert world.told == 2
    for _ in range(50):
        world.call(Said.WELL)
    assert world.told == 2


def test_it_fails_since_the_first_failure_after_it_last_did_well() -> None:
    world = World()
    world.call(Said.FAILED)
    world.clock.advance(1.0)
    world.call(Said.WELL)
    world.clock.advance(1.0)
    for _ in range(2):
        world.call(Said.FAILED)
        world.clock.advance(1.0)
    assert world.breaker.outage is not None
    assert world.breaker.outage.since_ms == NOW_MS + 2_000


def test_after_a_restart_it_is_open_until_the_moment_that_was_kept() -> None:
    world = World()
    kept = Outage(NOW_MS - 60_000, 3, 16_000, NOW_MS + 5_000, "UNAVAILABLE")
    world.breaker.restore(kept)
    assert world.breaker.outage == kept
    assert not world.call(Said.WELL)
    world.clock.advance(5.0)
    assert world.call(Said.FAILED)
    assert world.breaker.outage is not None
    assert world.breaker.outage.failures == 4
    assert world.breaker.outage.since_ms == NOW_MS - 60_000


@pytest.mark.parametrize(("next_try_ms", "wait_s"), [(NOW_MS + 10**12, 60.0), (0, 0.0)])
def test_a_kept_moment_that_no_interval_leads_to_is_not_believed(next_try_ms: int, wait_s: float) -> None:
    world = World()
    world.breaker.restore(Outage(NOW_MS, 1, 4_000, next_try_ms, "UNAVAILABLE"))
    assert world.breaker.retry_after_ms == wait_s * 1000


@given(st.lists(st.sampled_from([Said.WELL, Said.NOTHING]), max_size=300), st.floats(0, 1.9))
@settings(deadline=None)
def test_a_peer_that_does_well_is_never_left_alone(said: list[Said], took_s: float) -> None:
    world = World()
    assert all(world.call(each, took_s) for each in said)


class AnyOrder(RuleBasedStateMachine):
    """Whatever comes in whatever order, the breaker keeps its promises."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.held: list[Pass] = []
        self.opened_at: float | None = None

    @rule()
    def admit(self) -> None:
        breaker = self.world.breaker
        was_open = breaker.state is State.OPEN
        due = breaker.retry_after_ms == 0
        given = breaker.admit()
        assert given is None or not was_open or due, "let through before the interval was over"
        if given is not None:
            self.held.append(given)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), said=st.sampled_from(Said))
    def settle(self, data: st.DataObject, said: Said) -> None:
        self.world.breaker.settle(self.held.pop(data.draw(st.integers(0, len(self.held) - 1))), said, "X")

    @rule(seconds=st.floats(0, 90))
    def time_passes(self, seconds: float) -> None:
        self.world.clock.advance(seconds)

    @invariant()
    def half_open_lets_a_bounded_number_through(self) -> None:
        breaker = self.world.breaker
        if breaker.state is State.HALF_OPEN:
            here = [given for given in self.held if given.period == breaker._period]
            assert len(here) <= 2
            assert breaker.refuses == (len(here) == 2)

    @invariant()
    def it_is_never_open_for_longer_than_the_longest_interval(self) -> None:
        assert self.world.breaker.retry_after_ms <= 60_000

    @invariant()
    def what_is_open_is_known_as_an_outage(self) -> None:
        breaker = self.world.breaker
        assert (breaker.outage is None) == (breaker.state is State.CLOSED)


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=60, deadline=None)
