"""How fast a partner is served that has everything of a week to receive: never faster than it can bear."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from gateway.clock import FakeClock
from gateway.post.pace import Pace
from tests.unit.post.post_world import DAY_MS, two_sites, until
from tests.unit.services.gateways_world import NOW_MS


def served(pace: Pace, seconds: int, after: int = 0) -> list[int]:
    """How many went in each second to a partner for which more than enough waits."""
    went = []
    for second in range(after + 1, after + seconds + 1):
        room = pace.room(float(second))
        if room > 0:
            pace.sent(room)
        went.append(max(0, room))
    return went


def test_no_more_goes_than_the_rate_and_one_burst() -> None:
    pace = Pace(20.0, 50, 0.0)
    went = served(pace, 100)
    assert went[0] == 50, "after a pause a burst may go at once"
    assert all(each <= 20 for each in went[1:])
    assert sum(went) == 50 + 99 * 20


def test_a_partner_that_says_it_is_too_much_gets_half_and_slowly_more_again() -> None:
    pace = Pace(20.0, 20, 0.0)
    served(pace, 5)
    pace.too_much()
    assert pace.room(5.0) <= 0, "nothing goes at once"
    assert pace.rate == 10.0
    went = served(pace, 60, after=5)
    assert went[0] == 10
    assert all(later >= each - 1 for each, later in pairwise(went)), "it rises, but for what was rounded down"
    assert went[-1] == 20
    assert went.index(20) > 10, "and slowly"


def test_however_often_it_is_too_much_something_still_goes() -> None:
    pace = Pace(20.0, 20, 0.0)
    for _ in range(100):
        pace.too_much()
    assert pace.rate == 1.0
    assert pace.wait_s() == pytest.approx(2.0)


async def test_what_waited_for_a_week_goes_at_the_rate_set_for_the_partner(tmp_path: Path) -> None:
    clock = FakeClock(NOW_MS)
    told: list[tuple[int, int]] = []
    async with two_sites(tmp_path, clock, rate_per_s=10.0, batch=10, retry_longest_s=300.0) as (a, b):
        a.wire.door = None
        async with a.running(), b.running():
            await a.leave(*(b"%03d" % n for n in range(80)), expires_at_ms=NOW_MS + 8 * DAY_MS)
            clock.advance(7 * 86_400)
            await until(lambda: bool(a.wire.envelopes))
            a.wire.door = b.door
            clock.advance(301)
            began_ms = clock.now_ms()

            def passes() -> bool:
                told.append((clock.now_ms() - began_ms, len(b.noting.bodies)))
                clock.advance(0.2)
                return len(b.noting.bodies) == 80

            await until(passes)
    assert all(have <= 10 + 10 * (passed_ms / 1000) for passed_ms, have in told), told
    assert told[-1][0] >= 6_000, "it is spread"
