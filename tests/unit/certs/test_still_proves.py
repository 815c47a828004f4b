"""A TLS key that another one followed may be shown to the authority still, unless there was a reason to drop it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from certs.rotation_rules import still_proves
from certs.slot_journal import Journal
from tests.unit.certs.rotation_world import RETIRE_MS, World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    world.found()
    yield world
    world.slots.close()


async def renewed(world: World) -> Journal:
    await world.rotator.rotate(["tls"], "asked")
    await world.settle()
    world.federation.look()
    await world.settle()
    assert world.numbers("tls") == {"retired": [1], "current": [2]}
    return world.slots.journal


async def test_what_was_superseded_in_the_ordinary_course_is_shown_until_it_is_listed_no_more(world: World) -> None:
    assert not still_proves(world.slots.journal, "tls-1", world.clock.at_ms), "it is the one in use"
    journal, now_ms = await renewed(world), world.clock.at_ms
    assert still_proves(journal, "tls-1", now_ms)
    assert not any(still_proves(journal, name, now_ms) for name in ("tls-2", "tls-3", "signing-1", ""))
    world.clock.advance(RETIRE_MS)
    await world.settle()
    assert world.numbers("tls")["current"] == [2]
    assert 1 not in world.numbers("tls").get("retired", [])
    assert not still_proves(world.slots.journal, "tls-1", world.clock.at_ms)


async def test_what_has_expired_is_shown_no_more(world: World) -> None:
    journal = await renewed(world)
    (before,) = journal.of("tls", "retired")
    assert still_proves(journal, "tls-1", before.not_after_ms - 1)
    assert not still_proves(journal, "tls-1", before.not_after_ms)


async def test_what_is_said_to_be_lost_is_shown_no_more(world: World) -> None:
    await world.rotator.rotate(["tls"], "stolen", urgent=True)
    while await world.rotator.step():
        pass
    journal = world.slots.journal
    assert world.numbers("tls") == {"retired": [1], "current": [2]}
    assert not still_proves(journal, "tls-1", world.clock.at_ms)


async def test_what_was_rolled_back_is_shown_no_more(world: World) -> None:
    await renewed(world)
    await world.rotator.roll_back(["tls"])
    assert world.numbers("tls") == {"retired": [2], "current": [1]}
    assert not still_proves(world.slots.journal, "tls-2", world.clock.at_ms)
    world.federation.look()
    await world.settle()
    assert not still_proves(world.slots.journal, "tls-2", world.clock.at_ms)


async def test_what_is_withdrawn_for_the_next_publication_is_shown_no_more(world: World) -> None:
    await renewed(world)
    world.clock.advance(RETIRE_MS - 1)
    await world.rotator.rotate(["tls"], "asked")
    world.clock.advance(1)
    assert still_proves(world.slots.journal, "tls-1", world.clock.at_ms)
    assert await world.rotator.step(), "prepared"
    assert world.slots.journal.publication.wanted, "the authority does not know yet"
    assert world.numbers("tls")["withdrawn"] == [1]
    assert not still_proves(world.slots.journal, "tls-1", world.clock.at_ms)
