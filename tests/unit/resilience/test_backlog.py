"""Calls that wait too long before they are taken up, for a while, are too many."""

from __future__ import annotations

import math

import pytest

from gateway.resilience.backlog import Backlog


def hurried(backlog: Backlog, time_s: float | None = 0.2) -> Backlog:
    """Its callers have so much time."""
    for _ in range(1_000):
        backlog.came(time_s)
    return backlog


@pytest.fixture
def backlog() -> Backlog:
    return hurried(Backlog(0.1, 0.2))


def test_who_knows_nothing_sheds_nothing(backlog: Backlog) -> None:
    assert backlog.watched
    assert not backlog.at(0.0)


def test_one_late_call_of_its_own_sheds_nothing(backlog: Backlog) -> None:
    assert backlog.saw(10.0, 5.0)
    assert not backlog.at(10.0)
    assert not backlog.at(10.19)


def test_from_a_late_one_on_none_in_time_sheds_until_one_is(backlog: Backlog) -> None:
    backlog.saw(10.0, 0.11)
    backlog.saw(10.15, 0.15)
    assert not backlog.at(10.19)
    assert backlog.at(10.21)
    backlog.saw(10.3, 0.15)
    assert backlog.at(10.5)
    assert not backlog.saw(10.6, 0.1)
    assert not backlog.at(10.6)


def test_one_in_time_between_late_ones_starts_anew(backlog: Backlog) -> None:
    backlog.saw(10.0, 0.2)
    backlog.saw(10.1, 0.05)
    backlog.saw(10.25, 0.15)
    assert not backlog.at(10.4)
    assert backlog.at(10.46)


def test_who_shed_lately_does_so_at_the_first_late_one(backlog: Backlog) -> None:
    backlog.saw(10.0, 0.2)
    assert backlog.at(10.3)
    backlog.saw(10.4, 0.01)
    backlog.saw(11.0, 0.2)
    assert backlog.at(11.0)
    backlog.saw(11.1, 0.01)
    backlog.saw(14.0, 0.2)
    assert not backlog.at(14.0)


def test_what_is_forgotten_sheds_nothing(backlog: Backlog) -> None:
    backlog.saw(10.0, 0.2)
    backlog.forget()
    assert not backlog.at(10.5)


def test_without_a_limit_nothing_is_late() -> None:
    backlog = Backlog(0.0)
    assert not backlog.watched
    assert not backlog.saw(10.0, 60.0)
    assert not backlog.at(20.0)


@pytest.mark.parametrize(("time_s", "late_s"), [(0.2, 0.1), (2.0, 0.5), (8.0, 2.0), (3600.0, 2.5), (None, 2.5)])
def test_late_is_what_takes_a_quarter_of_the_time_that_callers_have(time_s: float | None, late_s: float) -> None:
    backlog = hurried(Backlog(0.1, 0.2), time_s)
    assert backlog.late_s == pytest.approx(late_s, rel=0.01)
    assert not backlog.saw(10.0, late_s * 0.98)
    assert backlog.saw(10.0, late_s * 1.02)


def test_what_callers_waited_already_belongs_to_the_time_they_have() -> None:
    backlog = hurried(Backlog(0.1, 0.2), 2.0)
    backlog.saw(10.0, 1.5)
    hurried(backlog, 0.5)
    assert backlog.late_s == pytest.approx(0.5, rel=0.01)


def test_those_in_a_hurry_count_where_they_are_not_few() -> None:
    backlog = Backlog(0.1, 0.2)
    for _ in range(1_000):
        backlog.came(2.0)
        backlog.came(None)
    assert 0.5 < backlog.late_s < 1.0
    for turn in range(5_000):
        backlog.came(2.0 if turn % 1_000 == 0 else None)
    assert backlog.late_s > 2.0


def test_a_call_that_was_dropped_is_late_however_soon(backlog: Backlog) -> None:
    assert backlog.saw(10.0, 0.01, dropped=True)
    assert backlog.at(10.3)


def test_how_long_calls_wait_is_looked_back_on_over_a_quarter_of_a_second() -> None:
    backlog = Backlog(0.1)
    backlog.saw(0.0, 0.4)
    assert backlog.waited_s == pytest.approx(0.4)
    for step in range(1, 6):
        backlog.saw(0.05 * step, 0.0)
    assert backlog.waited_s == pytest.approx(0.4 * math.exp(-1))
    backlog.saw(0.25, 0.4)  # at the same moment
    assert backlog.waited_s == pytest.approx(0.4 * math.exp(-1))
    backlog.saw(10.0, 0.003)
    assert backlog.waited_s == pytest.approx(0.003)
    backlog.forget()
    assert backlog.waited_s == 0
