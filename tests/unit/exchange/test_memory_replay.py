"""The replay guard in memory: the contract, its bound, and its use with an opened question."""

from __future__ import annotations

import pytest

from gateway.exchange.replay import MemoryReplayGuard, admit, claim
from tests.unit.exchange.exchange_world import LIFETIME_MS, NOW_MS, World, refused
from tests.unit.exchange.replay_contract import EXPIRES_MS, SENDER, ReplayGuardContract, new_id


class TestMemoryReplayGuard(ReplayGuardContract):
    @pytest.fixture
    def guard(self) -> MemoryReplayGuard:
        return MemoryReplayGuard()


async def test_a_full_guard_refuses_rather_than_forgets() -> None:
    guard = MemoryReplayGuard(capacity=3)
    held = [new_id() for _ in range(3)]
    for message_id in held:
        await admit(guard, SENDER, message_id, EXPIRES_MS, NOW_MS)
    with refused("OVERLOADED"):
        await admit(guard, SENDER, new_id(), EXPIRES_MS, NOW_MS)
    for message_id in held:
        with refused("ENVELOPE_REPLAYED"):
            await admit(guard, SENDER, message_id, EXPIRES_MS, NOW_MS)


async def test_what_has_expired_makes_room() -> None:
    guard = MemoryReplayGuard(capacity=3)
    for step in range(10):
        now_ms = NOW_MS + step * 200_000
        await admit(guard, SENDER, new_id(), now_ms + 180_000, now_ms)
        assert len(guard) == 1


async def test_an_envelope_is_remembered_for_as_long_as_it_would_open(world: World) -> None:
    guard = MemoryReplayGuard()
    envelope = world.ask().envelope
    claim(guard, world.open_at_b(envelope), NOW_MS)
    last_ms = NOW_MS + LIFETIME_MS + 120_000
    again = world.open_at_b(envelope, now_ms=last_ms)
    with refused("ENVELOPE_REPLAYED", "header.message_id"):
        claim(guard, again, last_ms)
    with refused("ENVELOPE_EXPIRED", "header.expires_at_ms"):
        world.open_at_b(envelope, now_ms=last_ms + 1)
