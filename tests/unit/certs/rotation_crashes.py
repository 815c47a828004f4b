"""Kills a member at every step of a story and lets it start again; run as a program by test_rotation_crashes.

The story is played once, in a forked child. Before each effect on the outside world (a sync, a rename, an unlink, a
word with the authority) the folder is copied as it lies on the disk: what kill -9 would leave behind at that moment,
without anything that is still buffered. From every copy the parent starts as after a restart, checks the promises at
once and after every step, and finishes the story.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from certs.errors import CertsError
from certs.slot_journal import KINDS
from tests.unit.certs.rotation_world import RETIRE_MS, World


class Camera:
    """Takes a copy of a folder before each effect."""

    def __init__(self, folder: Path, copies: Path) -> None:
        self._folder = folder
        self._copies = copies
        self._taken = 0
        self._at_it = False

    def take(self) -> None:
        if self._at_it:  # an effect of copying
            return
        self._at_it = True
        shutil.copytree(self._folder, self._copies / f"{self._taken:04}")
        self._taken += 1
        self._at_it = False

    def around(self, owner: Any, name: str) -> None:
        plain: Callable[..., Any] = getattr(owner, name)

        def effect(*arguments: Any, **named: Any) -> Any:
            self.take()
            return plain(*arguments, **named)

        async def awaited(*arguments: Any, **named: Any) -> Any:
            self.take()
            return await plain(*arguments, **named)

        setattr(owner, name, awaited if asyncio.iscoroutinefunction(plain) else effect)


async def rotate(world: World) -> None:
    await world.rotator.rotate(KINDS, "asked")
    await world.complete()


async def change_of_mind(world: World) -> None:
    await world.rotator.rotate(KINDS, "asked")
    await world.settle()
    await world.rotator.roll_back(KINDS)
    await world.complete()


async def put_back(world: World) -> None:
    await world.rotator.rotate(KINDS, "asked")
    await world.settle()
    world.federation.look()
    await world.settle()
    await world.rotator.roll_back(KINDS)
    await world.complete()


async def half_refused(world: World) -> None:
    world.enroller.refusing = {"signing"}
    await world.rotator.rotate(KINDS, "asked")
    with contextlib.suppress(CertsError):
        await world.settle()
    world.enroller.refusing.clear()
    await world.complete()


async def half_refused_and_given_up(world: World) -> None:
    world.enroller.refusing = {"tls"}
    await world.rotator.rotate(KINDS, "asked")
    with contextlib.suppress(CertsError):
        await world.settle()
    await world.rotator.roll_back(KINDS)
    await world.complete()


STORIES = {each.__name__: each for each in (rotate, change_of_mind, put_back, half_refused, half_refused_and_given_up)}


def play(folder: Path, copies: Path, story: str) -> None:
    world = World(folder)
    camera = Camera(folder, copies)
    for name in ("fsync", "write"):
        camera.around(os, name)
    for name in ("replace", "hardlink_to", "unlink"):
        camera.around(Path, name)
    camera.around(world.enroller, "enrol")
    camera.around(world.federation, "publish")
    camera.around(world.federation, "seen")
    asyncio.run(STORIES[story](world))


async def resume(folder: Path) -> None:
    world = World(folder)
    try:
        world.check()
        await world.settle()
        world.clock.advance(RETIRE_MS)
        await world.complete()
        world.check_files()
        for kind in KINDS:
            numbers = world.numbers(kind)
            assert list(numbers) == ["current"], f"{kind} ends as {numbers}"
    finally:
        world.slots.close()


def main(folder: Path, story: str) -> None:
    place, copies = folder / "place", folder / "copies"
    place.mkdir()
    copies.mkdir()
    founded = World(place)
    founded.found()
    founded.slots.close()
    failures = []
    pid = os.fork()
    if pid == 0:
        try:
            play(place, copies, story)
            os._exit(0)
        except BaseException as error:  # noqa: BLE001  told by the exit code
            print(f"{story}: {error!r}", file=sys.stderr)
        os._exit(1)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
        failures.append("the story itself failed")
    left = sorted(copies.iterdir())
    for at in (*left, place):
        try:
            asyncio.run(resume(at))
        except Exception as error:  # noqa: BLE001  reported, with its place
            failures.append(f"at {at.name}: {type(error).__name__}: {error}")
        shutil.rmtree(at)
        if len(failures) > 5:
            break
    print(json.dumps({"crashes": len(left), "failures": failures}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
