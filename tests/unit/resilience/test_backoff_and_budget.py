"""Waits grow and are spread; further tries cannot multiply an outage."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.budget import Budget
from gateway.resilience.backoff import Backoff, Outage, failed_again

drawn = st.floats(0, 1, exclude_max=True)


@given(st.floats(0.001, 60), st.floats(0.001, 3600), st.integers(-3, 10_000), drawn)
def test_a_wait_of_full_jitter_is_anything_up_to_a_bound_that_doubles(
    first: float, longest: float, failures: int, chance: float
) -> None:
    backoff = Backoff(first, longest)
    bound = backoff.bound_s(failures)
    assert 0 <= backoff.wait_s(failures, chance) <= bound <= longest
    assert bound <= backoff.bound_s(failures + 1)
    assert backoff.wait_s(failures, 0.0) == 0.0


def test_bounds_double_until_the_longest() -> None:
    backoff = Backoff(1.0, 10.0)
    assert [backoff.bound_s(failures) for failures in range(1, 7)] == [1, 2, 4, 8, 10, 10]


@given(st.floats(0, 1), drawn, st.integers(1, 50))
def test_a_wait_takes_its_least_part_at_least(least: float, chance: float, failures: int) -> None:
    backoff = Backoff(2.0, 100.0, least)
    assert backoff.wait_s(failures, chance) >= least * backoff.bound_s(failures) * 0.999


def test_an_outage_remembers_when_it_began_and_counts() -> None:
    backoff = Backoff(1.0, 100.0, 1.0)
    first = failed_again(None, 50_000, "UNAVAILABLE", backoff, 0.0, since_ms=48_000)
    assert first == Outage(48_000, 1, 1_000, 51_000, "UNAVAILABLE")
    assert failed_again(first, 60_000, "SLOW", backoff, 0.0, since_ms=59_000) == Outage(
        48_000, 2, 2_000, 62_000, "SLOW"
    )
    assert failed_again(None, 70_000, "SLOW", backoff, 0.0).since_ms == 70_000


@given(
    st.floats(0, 0.5),
    st.sampled_from([0.0, 1.0, 5.0]),
    st.lists(st.tuples(st.booleans(), st.integers(1, 32)), max_size=200),
)
def test_at_every_moment_no_more_was_spent_than_the_share_of_what_was_earned(
    share: float, reserve: float, steps: list[tuple[bool, int]]
) -> None:
    budget = Budget(share, most=64, reserve=reserve)
    earned = spent = 0
    for earns, count in steps:
        if earns:
            budget.earn(count)
            earned += count
        elif budget.spend(count):
            spent += count
        assert spent <= share * earned + reserve + 1e-6
    assert (budget.earned, budget.spent) == (earned, spent)


@given(st.integers(0, 5_000), st.lists(st.integers(1, 4), max_size=300))
def test_after_long_health_an_outage_gets_what_the_bucket_holds_and_its_share(before: int, wanted: list[int]) -> None:
    budget = Budget(0.08, most=16)
    budget.earn(before)
    spent = 0
    for count in wanted:
        budget.earn(1)
        spent += count if budget.spend(count) else 0
    assert spent <= 16 + 0.08 * len(wanted) + 1e-6


def test_where_every_try_fails_amplification_stays_at_the_share() -> None:
    retries, hedges = Budget(0.08, reserve=1), Budget(0.02)
    tries = 0
    for _ in range(10_000):
        tries += 1
        for budget in (retries, hedges):
            budget.earn()
            tries += budget.spend()
    assert tries / 10_000 <= 1.1001


def test_what_good_times_saved_is_not_spent_on_an_outage() -> None:
    retries, hedges = Budget(0.08, reserve=1), Budget(0.02)
    for budget in (retries, hedges):
        budget.earn(100_000)
    tries = 0
    for _ in range(1_000):
        tries += 1
        for budget in (retries, hedges):
            budget.earn()
            tries += budget.spend()
    assert tries / 1_000 <= 1.12  # and 1.10 from then on: see the bench of partners


@given(st.integers(0, 2_000), st.lists(st.integers(1, 32), max_size=200))
def test_more_than_a_bucket_holds_is_allowed_when_it_is_full_and_paid_back_before_anything_else(
    before: int, wanted: list[int]
) -> None:
    budget = Budget(0.08)
    budget.earn(before)
    spent = earned = 0
    for count in wanted:
        budget.earn(count)
        earned += count
        spent += count if budget.spend(count) else 0
        assert spent <= max(8, *wanted) + 0.08 * earned + 1e-6


def test_what_is_larger_than_a_bucket_is_not_refused_for_ever() -> None:
    budget = Budget(0.08)
    budget.earn(99)
    assert not budget.spend(32)
    budget.earn(1)
    assert budget.spend(32)
    budget.earn(300)
    assert not budget.spend()
    budget.earn(13)
    assert budget.spend()


def test_a_share_of_nothing_allows_nothing() -> None:
    budget = Budget(0.0, reserve=5.0)
    budget.earn(1000)
    assert not budget.spend()


@pytest.mark.parametrize("wrong", [{"share": -1.0}, {"share": 0.1, "reserve": 65.0}, {"share": 0.1, "reserve": -1.0}])
def test_a_budget_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="budget"):
        Budget(**wrong)
