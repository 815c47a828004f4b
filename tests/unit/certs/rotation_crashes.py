"""Kills a member at every step of a story and lets it start again; run as a program by test_rotation_crashes.

The story is played in a forked child in which the n-th effect on the outside world (a sync, a rename, an unlink, a word
with the authority) ends the process before it takes place, as kill -9 would. The parent then starts as after
a restart, checks the promises at once and after every step, and finishes the story. n grows until the child survives.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from certs.slot_journal import KINDS
from tests.unit.certs.rotation_world import RETIRE_MS, World

KILLED = 42


class Fuse:
    """Ends the process at the n-th effect."""

    def __init__(self, at: int) -> None:
        self._left = at

    def burn(self) -> None:
        self._left -= 1
        if self._left < 0:
            os._exit(KILLED)

    def around(self, owner: Any, name: str) -> None:
        plain: Callable[..., Any] = getattr(owner, name)

        def effect(*arguments: Any, **named: Any) -> Any:
            self.burn()
            return plain(*arguments, **named)

        async def awaited(*arguments: Any, **named: Any) -> Any:
            self.burn()
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


STORIES = {"rotate": rotate, "change_of_mind": change_of_mind, "put_back": put_back}


def child(folder: Path, story: str, at: int) -> None:
    world = World(folder)
    fuse = Fuse(at)
    for name in ("fsync", "write"):
        fuse.around(os, name)
    for name in ("replace", "hardlink_to", "unlink"):
        fuse.around(Path, name)
    fuse.around(world.enroller, "enrol")
    fuse.around(world.federation, "publish")
    fuse.around(world.federation, "seen")
    asyncio.run(STORIES[story](world))
    os._exit(0)


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
    template = folder / "template"
    template.mkdir()
    founded = World(template)
    founded.found()
    founded.slots.close()
    crashes, failures = 0, []
    while True:
        place = folder / "place"
        shutil.copytree(template, place)
        pid = os.fork()
        if pid == 0:
            try:
                child(place, story, crashes)
            except BaseException as error:  # noqa: BLE001  told by the exit code
                print(f"{story} at {crashes}: {error!r}", file=sys.stderr)
            os._exit(1)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code not in (0, KILLED):
            failures.append(f"at {crashes}: the story itself failed")
        try:
            asyncio.run(resume(place))
        except Exception as error:  # noqa: BLE001  reported, with its place
            failures.append(f"at {crashes}: {type(error).__name__}: {error}")
        shutil.rmtree(place)
        if code != KILLED or len(failures) > 5:
            break
        crashes += 1
    print(json.dumps({"crashes": crashes, "failures": failures}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
