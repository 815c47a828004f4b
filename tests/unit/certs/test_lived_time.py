"""What is forgotten for good is forgotten by the time lived through, whatever the clock says in between."""

from __future__ import annotations

import datetime as dt

from certs.lived_time import LONGEST_STEP, lived_until

NOW = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
YEAR = 365 * DAY


class Kept:
    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def at(self, now: dt.datetime) -> dt.datetime:
        return lived_until(now, lambda name: self.texts.get(name, ""), self.texts.__setitem__)


def test_it_goes_on_with_the_clock() -> None:
    kept = Kept()
    for hours in range(0, 2000, 7):
        assert kept.at(NOW + dt.timedelta(hours=hours)) == NOW + dt.timedelta(hours=hours)


def test_a_clock_that_jumps_ahead_moves_it_by_a_day_and_no_more_however_often_it_is_asked() -> None:
    kept = Kept()
    kept.at(NOW)
    for _ in range(100):
        assert kept.at(NOW + YEAR) == NOW + LONGEST_STEP
    assert kept.at(NOW + DAY / 2) == NOW + DAY / 2, "never later than the clock"
    for hours in range(12, 72):
        assert kept.at(NOW + dt.timedelta(hours=hours)) == NOW + dt.timedelta(hours=hours), "and nothing is left of it"


def test_a_clock_that_jumps_back_and_forth_does_not_move_it_on_and_on() -> None:
    kept = Kept()
    for _ in range(100):
        kept.at(NOW)
        assert kept.at(NOW + YEAR) <= NOW + 100 * DAY
    for _ in range(100):
        kept.at(NOW)
    assert kept.at(NOW) == NOW


def test_a_clock_that_was_years_behind_does_not_stop_it() -> None:
    kept = Kept()
    kept.at(NOW)
    kept.at(dt.datetime(1970, 1, 2, tzinfo=dt.UTC))
    assert kept.at(NOW + DAY / 24) == NOW + DAY / 24


def test_after_a_long_silence_things_are_only_kept_longer() -> None:
    kept = Kept()
    kept.at(NOW)
    assert kept.at(NOW + YEAR) == NOW + DAY
    assert kept.at(NOW + YEAR + DAY / 2) == NOW + DAY * 1.5
