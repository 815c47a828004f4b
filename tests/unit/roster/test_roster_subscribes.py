"""A live roster's people are subscribed for where they live, once; of whom a notice came is asked about again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from running_world import B, C, World, line, roster

from gateway.errors import RefusedError, StoreError
from gateway.federation.subscribing import Wanted
from gateway.store.parts import PartFolder
from tests.unit.adapters.adapters_world import number
from wugan.adapter.v1 import vocabulary_pb2 as v
from wugan.federation.v1 import exchange_pb2


class Subscribed:
    """Takes subscriptions in; nobody is refused."""

    def __init__(self) -> None:
        self.people: list[tuple[str, tuple[int, ...]]] = []
        self.purposes: set[int] = set()
        self.days: set[int] = set()

    async def subscribe(
        self, context: exchange_pb2.Context, people: Sequence[Wanted], until_ms: int
    ) -> tuple[int, list[tuple[int, RefusedError]]]:
        self.people += [(each.id_number, each.regions) for each in people]
        self.purposes.add(context.purpose)
        self.days.add((until_ms - WORLD_MS[0]) // 86_400_000)
        return len(people), []


WORLD_MS = [0]


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    WORLD_MS[0] = made.clock.now_ms()
    made.subscribes = Subscribed()
    return made


def taken(world: World) -> list[str]:
    assert isinstance(world.subscribes, Subscribed)
    people, world.subscribes.people = [each for each, _ in world.subscribes.people], []
    return people


async def test_everybody_with_a_place_is_subscribed_for_there_for_change_monitoring(world: World) -> None:
    data = roster(*(line(serial, (B if serial % 2 else C).region) for serial in range(25)), line(30, ""))
    async with world.running():
        kept = await world.done(data, live=True, subscribe=True)
    subscribed = world.subscribes
    assert isinstance(subscribed, Subscribed)
    wanted = [(number(serial), ((B if serial % 2 else C).region,)) for serial in range(25)]
    assert sorted(subscribed.people) == sorted(wanted)
    assert subscribed.purposes == {v.PURPOSE_CHANGE_MONITORING}
    assert subscribed.days == {180}
    assert kept.ended is not None
    assert kept.ended.figures["subscribed"] == 25


async def test_the_next_run_subscribes_for_those_whom_it_asks_about_and_a_notice_brings_somebody_into_it(
    world: World,
) -> None:
    people = [line(serial) for serial in range(12)]
    async with world.running():
        first = await world.done(roster(*people), live=True, subscribe=True)
        assert len(taken(world)) == 12
        world.asked()
        world.news.people.append(number(3))
        data = roster(*people, line(40))
        await world.done(data, live=True, subscribe=True, continues=first.submitted.run_id)
    assert sorted(taken(world)) == sorted([number(3), number(40)])
    assert world.asked() == {B.member_id: [number(3), number(40)]}


@pytest.mark.parametrize("changed", [{"live": True}, {}])
async def test_nobody_is_subscribed_for_unless_that_is_asked(world: World, changed: dict[str, Any]) -> None:
    async with world.running():
        await world.done(roster(line(1)), **changed)
    assert not taken(world)


async def test_only_a_live_roster_can_be_brought_notices(world: World) -> None:
    async with world.running():
        with pytest.raises(RefusedError) as caught:
            await world.submit(roster(line(1)), subscribe=True)
    assert caught.value.field == "subscribe"


async def test_a_chunk_is_subscribed_for_once_wherever_the_run_was_broken_off(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.running():
        pass
    kept = await world.submit(roster(*(line(serial) for serial in range(25))), live=True, subscribe=True)
    write, done = PartFolder.write, []

    def failing(self: PartFolder, name: str, plaintext: bytes) -> int:
        if name.startswith("result-000002"):
            raise StoreError("no room", "空间不足", retryable=False)
        done.append(name)
        return write(self, name, plaintext)

    with monkeypatch.context() as patched:
        patched.setattr(PartFolder, "write", failing)
        with pytest.raises(StoreError):
            await world.resumed(kept)
    before = len([name for name in done if name.startswith("subscribed-")])
    first = taken(world)
    await world.resumed(kept)
    again = taken(world)
    assert len(again) <= 25 - 10 * min(before, 2)
    assert {*first, *again} == {number(serial) for serial in range(25)}
