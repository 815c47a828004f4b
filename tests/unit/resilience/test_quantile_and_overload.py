"""A running quantile is near the exact one; a process that is late for a while has taken on too much."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.resilience.overload import Overload
from gateway.resilience.quantile import Quantile


@given(st.lists(st.floats(0.0001, 100), min_size=20, max_size=400), st.sampled_from([0.5, 0.9, 0.95]))
@settings(deadline=None)
def test_a_quantile_is_at_most_a_tenth_too_long(times: list[float], share: float) -> None:
    made = Quantile(share)
    for time_s in times:
        made.add(time_s)
    value = made.value()
    assert value is not None
    exact = sorted(times)[min(len(times) - 1, max(0, -(-round(share * len(times) * 1000) // 1000) - 1))]
    assert exact * 0.99 <= value <= exact * 1.11


@pytest.mark.parametrize(("time_s", "least", "most"), [(0.0, 0.0001, 0.0001), (1e9, 3000.0, 5000.0)])
def test_a_time_beyond_the_bounds_counts_in_the_bucket_at_the_end(time_s: float, least: float, most: float) -> None:
    made = Quantile(0.95)
    for _ in range(20):
        made.add(time_s)
    value = made.value()
    assert value is not None
    assert least <= value <= most


def test_too_few_times_say_nothing() -> None:
    made = Quantile(0.95)
    for _ in range(19):
        made.add(1.0)
    assert made.value() is None


def test_older_times_are_forgotten() -> None:
    made = Quantile(0.95)
    for time_s in (10.0,) * 2_000 + (0.1,) * 20_000:
        made.add(time_s)
    assert (made.value() or 0) < 0.2


@pytest.mark.parametrize("wrong", [0.0, 1.0, -1.0])
def test_a_quantile_that_is_none_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="quantile"):
        Quantile(wrong)


def test_a_burst_that_is_worked_off_sheds_nobody() -> None:
    made = Overload(0.1, 0.2)
    made.saw(10.0, 0.15)
    assert not made.at(10.0)
    made.saw(10.1, 0.12)
    made.saw(10.15, 0.01)
    assert not made.at(10.3)


def test_when_no_round_was_in_time_for_a_while_too_much_is_taken_on_until_one_is() -> None:
    made = Overload(0.1, 0.2)
    for at in (10.0, 10.12, 10.24, 10.36):
        made.saw(at, 0.12)
    assert made.at(10.36)
    made.saw(10.4, 0.02)
    assert not made.at(10.4)


def test_what_was_seen_long_ago_says_nothing() -> None:
    made = Overload(0.1, 0.2)
    for at in (10.0, 10.12, 10.24, 10.36):
        made.saw(at, 0.12)
    assert not made.at(20.0)
    made.saw(20.0, 0.12)
    assert not made.at(20.0)


def test_one_very_long_round_is_a_while() -> None:
    made = Overload(0.1, 0.2)
    made.saw(10.0, 3.0)
    assert made.at(10.0)


def test_nothing_is_late_where_no_bound_is_set() -> None:
    made = Overload(0.0)
    for at in range(100):
        made.saw(float(at), 5.0)
        assert not made.at(float(at))


@given(st.lists(st.tuples(st.floats(0.001, 1), st.floats(0, 0.099)), max_size=100))
def test_rounds_in_time_never_shed(rounds: list[tuple[float, float]]) -> None:
    made, now = Overload(0.1, 0.2), 0.0
    for passed, round_s in rounds:
        now += passed
        made.saw(now, round_s)
        assert not made.at(now)
