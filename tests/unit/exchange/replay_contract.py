"""What every replay guard must do. A test class derives from `ReplayGuardContract` and gives the fixture `guard`:

class TestMyGuard(ReplayGuardContract):
    @pytest.fixture
    def guard(self) -> ReplayGuard: ...
"""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import EnvelopeError
from gateway.exchange.replay import ReplayGuard, admit
from gateway.exchange.uuid7 import Uuid7
from tests.unit.exchange.exchange_world import NOW_MS, refused

SENDER = "11330000MB1A00001A"
OTHER_SENDER = "11340000MB1B00002B"
EXPIRES_MS = NOW_MS + 180_000

_ids = Uuid7()


def new_id() -> bytes:
    return _ids.next(NOW_MS)


class ReplayGuardContract:
    """Derive and give the fixture `guard`, empty, with room for a thousand messages at least."""

    @pytest.fixture
    def guard(self) -> ReplayGuard:
        raise NotImplementedError("the derived class says which guard")

    async def test_a_message_is_accepted_once(self, guard: ReplayGuard) -> None:
        message_id = new_id()
        await admit(guard, SENDER, message_id, EXPIRES_MS, NOW_MS)
        for later_ms in (0, 1, 60_000):
            with refused("ENVELOPE_REPLAYED"):
                await admit(guard, SENDER, message_id, EXPIRES_MS, NOW_MS + later_ms)

    async def test_other_messages_are_accepted_beside_it(self, guard: ReplayGuard) -> None:
        for _ in range(50):
            await admit(guard, SENDER, new_id(), EXPIRES_MS, NOW_MS)

    async def test_the_same_id_of_another_sender_is_another_message(self, guard: ReplayGuard) -> None:
        message_id = new_id()
        await admit(guard, SENDER, message_id, EXPIRES_MS, NOW_MS)
        await admit(guard, OTHER_SENDER, message_id, EXPIRES_MS, NOW_MS)

    async def test_a_message_is_remembered_through_its_last_millisecond(self, guard: ReplayGuard) -> None:
        message_id = new_id()
        await admit(guard, SENDER, message_id, EXPIRES_MS, NOW_MS)
        with refused("ENVELOPE_REPLAYED"):
            await admit(guard, SENDER, message_id, EXPIRES_MS, EXPIRES_MS)

    async def test_a_message_past_its_time_is_refused(self, guard: ReplayGuard) -> None:
        with refused("ENVELOPE_EXPIRED"):
            await admit(guard, SENDER, new_id(), NOW_MS - 1, NOW_MS)
        await admit(guard, SENDER, new_id(), NOW_MS, NOW_MS)

    async def test_a_clock_set_back_does_not_open_the_door_again(self, guard: ReplayGuard) -> None:
        message_id = new_id()
        await admit(guard, SENDER, message_id, EXPIRES_MS, NOW_MS)
        later_ms = EXPIRES_MS + 3_600_000
        for _ in range(300):
            await admit(guard, SENDER, new_id(), later_ms + 1000, later_ms)
        with pytest.raises(EnvelopeError) as caught:
            await admit(guard, SENDER, message_id, EXPIRES_MS, NOW_MS)
        assert caught.value.code in {"ENVELOPE_REPLAYED", "ENVELOPE_EXPIRED"}

    async def test_of_many_at_once_exactly_one_is_accepted(self, guard: ReplayGuard) -> None:
        message_id = new_id()
        outcomes = await asyncio.gather(
            *(admit(guard, SENDER, message_id, EXPIRES_MS, NOW_MS) for _ in range(20)), return_exceptions=True
        )
        assert outcomes.count(None) == 1
        assert {one.code for one in outcomes if isinstance(one, EnvelopeError)} == {"ENVELOPE_REPLAYED"}
