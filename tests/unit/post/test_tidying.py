"""Forgetting as time passes, and not because a clock says for a moment that it has."""

from __future__ import annotations

from pathlib import Path

from gateway.clock import FakeClock
from gateway.post.tidying import Tidying
from gateway.store.engine import Store
from gateway.store.jumps import HOLD_S, SETTLE_S
from gateway.store.watches import Person, Registration
from tests.unit.post.post_world import DAY_MS, Jumping, open_store
from tests.unit.services.gateways_world import NOW_MS, A


async def _subscribed(store: Store, clock: FakeClock, days: int) -> None:
    people = [Person(b"t" * 16, b"c" * 16, 1)]
    until_ms = clock.now_ms() + days * DAY_MS
    made = Registration(A.member_id, "jinhua", b"k" * 16, b"s" * 32, b"context", people, until_ms)
    await store.together([store.watches.registering(made)])


async def test_what_is_over_is_forgotten_as_time_passes(tmp_path: Path) -> None:
    clock = Jumping(NOW_MS)
    async with open_store(tmp_path, clock) as store:
        await _subscribed(store, clock, 1)
        tidying = Tidying(store, clock, 600.0)
        await tidying.once()
        assert await store.watches.count(A.member_id) == 1
        clock.advance(2 * 86_400)
        await tidying.once()
        assert await store.watches.count(A.member_id) == 0


async def test_a_clock_that_is_a_year_ahead_for_a_while_ends_no_subscription(tmp_path: Path) -> None:
    clock = Jumping(NOW_MS)
    async with open_store(tmp_path, clock) as store:
        await _subscribed(store, clock, 30)
        tidying = Tidying(store, clock, 600.0)
        await tidying.once()
        clock.ahead_ms = 365 * DAY_MS
        for _ in range(3):
            clock.advance(600)
            await tidying.once()
        clock.ahead_ms = 0
        await tidying.once()
        assert await store.watches.count(A.member_id) == 1, "nobody is told of anything until it is renewed"
        clock.ahead_ms = 365 * DAY_MS  # and this time it stays, as it does where the clock was behind before
        await tidying.once()
        clock.advance(HOLD_S + 1)
        await tidying.once()
        assert await store.watches.count(A.member_id) == 0


async def test_a_gateway_that_starts_with_a_clock_that_is_ahead_ends_none_before_it_is_set_right(
    tmp_path: Path,
) -> None:
    clock = Jumping(NOW_MS)
    async with open_store(tmp_path, clock) as store:
        await _subscribed(store, clock, 30)
        clock.ahead_ms = 365 * DAY_MS
        tidying = Tidying(store, clock, 600.0)
        clock.advance(SETTLE_S - 1)
        await tidying.once()
        clock.ahead_ms = 0
        clock.advance(1)
        await tidying.once()
        assert await store.watches.count(A.member_id) == 1
