"""What is read and derived of a key is so once, is dropped with the key, and is never of another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from certs import keys, slots
from certs.errors import KeyFileError, SlotError
from certs.rotation import key_set
from certs.slot_journal import KINDS, Generation, Kind
from tests.unit.certs.rotation_world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    world.found()
    yield world
    world.slots.close()


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """What is read (names of files) and derived."""
    done: Counter[str] = Counter()
    derive, read = keys.xwing_public_key, slots.read_public

    def derived(seed: bytes) -> bytes:
        done["derived"] += 1
        return derive(seed)

    def was_read(path: Path) -> bytes:
        done[path.name] += 1
        return read(path)

    monkeypatch.setattr(keys, "xwing_public_key", derived)
    monkeypatch.setattr(slots, "read_public", was_read)
    return done


def current(world: World, kind: Kind) -> Generation:
    found = world.slots.journal.current(kind)
    assert found is not None
    return found


async def renewed(world: World) -> None:
    await world.rotator.rotate(KINDS, "asked")
    for look in (False, True):
        if look:
            world.federation.look()
        while await world.rotator.step():
            key_set(world.slots)


async def test_nothing_is_read_or_derived_twice(world: World, work: Counter[str]) -> None:
    for _ in range(2):
        await renewed(world)
    assert work["derived"] == 2, "the key that was there, and was derived when it was installed, is known"
    assert {name for name, times in work.items() if times > 1} == {"derived"}
    assert {f"{kind}-{number}.chain.pem" for kind in ("tls", "signing") for number in (2, 3)} <= set(work)


async def test_what_is_told_is_what_the_files_say(world: World) -> None:
    for _ in range(3):
        await renewed(world)
    told = key_set(world.slots)
    world.reopen()
    assert key_set(world.slots) == told
    assert len(told.encryption) == 4
    assert len({each.public_key for each in told.encryption}) == 4


async def test_what_is_remembered_is_dropped_with_the_key(world: World) -> None:
    await renewed(world)
    await world.complete()
    living = {each.name for each in world.slots.journal.generations if each.state != "destroyed"}
    assert living == {"tls-2", "signing-2", "encryption-2"}
    memories = world.slots._held, world.slots._chains, world.slots._sealed_to
    assert [set(memory) for memory in memories] == [living, {"tls-2", "signing-2"}, {"encryption-2"}]
    world.slots.close()
    assert not any(memories)


async def test_a_generation_whose_key_was_lost_before_it_was_complete_gets_another_whole(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The directory must never list a public key whose private one is gone."""
    await world.rotator.rotate(["encryption"], "asked")

    def full(*_what: Any, **_more: Any) -> None:
        raise KeyFileError("no room", "磁盘已满")

    with monkeypatch.context() as patch:
        patch.setattr(world.slots, "record", full)
        with pytest.raises(KeyFileError):
            await world.rotator.step()
    (under_way,) = world.slots.journal.of("encryption", "preparing")
    lost = world.slots.sealed_to(under_way)
    world.slots.key_path(under_way).unlink()
    await world.settle()
    (made,) = world.slots.journal.of("encryption", "next")
    held = keys.xwing_public_key(keys.load_xwing_seed(world.slots.key_path(made)))
    assert held != lost
    assert world.slots.sealed_to(made) == held
    assert made.key_id == keys.key_id(held)
    assert key_set(world.slots).encryption[0].public_key == held


def test_a_key_that_nobody_seals_to_has_no_such_public_key(world: World) -> None:
    for kind in ("tls", "signing"):
        with pytest.raises(SlotError, match="no encryption key"):
            world.slots.sealed_to(current(world, kind))
