"""A clock that is ahead for a moment: nobody's change is forgotten because subscriptions seem to be over by it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.inquiry.following import Following
from gateway.inquiry.noticing import Noticing
from gateway.store.jumps import HOLD_S, SETTLE_S
from tests.unit.notices.notices_world import Feed, World, death, world
from tests.unit.post.post_world import DAY_MS, Jumping
from tests.unit.rules.rules_world import row
from tests.unit.services.gateways_world import ANNA, NOW_MS
from wugan.federation.v1 import vocabulary_pb2 as words

DECEASED = words.SURVIVAL_STATUS_DECEASED
VISIT = row("OUTPATIENT", 5, region=340100)
YEAR_MS = 365 * DAY_MS


@pytest.fixture
async def jumping(tmp_path: Path) -> AsyncIterator[tuple[World, Jumping, Feed]]:
    """Gateways that have run for a while, and somebody who is subscribed for."""
    clock, civil = Jumping(NOW_MS), Feed({ANNA: [VISIT]})
    async with world(tmp_path, civil, clock=clock) as w:
        clock.advance(SETTLE_S + 1)
        await w.subscribe(ANNA, days=100)
        yield w, clock, civil


async def test_a_change_that_is_read_while_the_clock_is_ahead_is_told(jumping: tuple[World, Jumping, Feed]) -> None:
    w, clock, civil = jumping
    civil.record(ANNA, VISIT, death())
    clock.ahead_ms = YEAR_MS
    await w.look()
    clock.ahead_ms = 0
    await w.settle()
    assert await w.statuses() == [DECEASED]


async def test_a_change_that_is_pushed_while_the_clock_is_ahead_is_told(jumping: tuple[World, Jumping, Feed]) -> None:
    w, clock, civil = jumping
    civil.people[ANNA] = [VISIT, death()]
    clock.ahead_ms = YEAR_MS
    await w.following.pushed(civil.describe().adapter_id, [ANNA], [civil.names[ANNA]])
    clock.ahead_ms = 0
    await w.settle()
    assert await w.statuses() == [DECEASED]


async def test_a_change_that_is_looked_at_while_the_clock_is_ahead_is_told(
    jumping: tuple[World, Jumping, Feed],
) -> None:
    w, clock, civil = jumping
    civil.record(ANNA, VISIT, death())
    await w.look()
    clock.ahead_ms = YEAR_MS
    while await w.noticing.once():
        pass
    clock.ahead_ms = 0
    await w.settle()
    await w.looked_again()
    assert await w.statuses() == [DECEASED]


async def test_a_gateway_that_starts_while_the_clock_is_ahead_forgets_nobody(
    jumping: tuple[World, Jumping, Feed],
) -> None:
    w, clock, civil = jumping
    clock.ahead_ms = YEAR_MS
    w.following = Following(w.departments, w.b.store.watches, w.b.store.changes, clock, w.settings, lambda: None)
    noticing = w.noticing
    w.noticing = Noticing(
        noticing._book,
        w.departments,
        noticing._inquiry,
        noticing._directory,
        w.b.store,
        w.b.outbox,
        clock,
        w.settings,
        deliver_ms=30 * DAY_MS,
    )
    civil.record(ANNA, VISIT, death())
    await w.look()
    while await w.noticing.once():
        pass
    clock.ahead_ms = 0
    clock.advance(SETTLE_S)
    await w.settle()
    await w.looked_again()
    assert await w.statuses() == [DECEASED]


async def test_a_subscription_that_is_over_by_the_time_that_passed_is_over(
    jumping: tuple[World, Jumping, Feed],
) -> None:
    w, clock, civil = jumping
    clock.ahead_ms = YEAR_MS
    civil.record(ANNA, VISIT)
    await w.look()
    for _ in range(101):
        clock.advance(HOLD_S)
    clock.ahead_ms = 0
    civil.record(ANNA, VISIT, death())
    await w.settle()
    assert await w.statuses() == []
    assert await w.b.store.changes.waiting() == (0, 0)
