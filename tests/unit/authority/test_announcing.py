"""Telling gateways of directory versions: in order, and the last one too, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, cast

import pytest
from aiohttp import web

from gateway.authority import service
from gateway.authority.service import DirectoryService
from tests.unit.authority.authority_world import World


class Listener:
    """Listens; something happens while it is told of the first version."""

    def __init__(self, told: DirectoryService) -> None:
        self.service = told
        self.told: list[bytes] = []

    async def write(self, data: bytes) -> None:
        self.told.append(data.splitlines()[0])
        if len(self.told) == 1:
            self.service._announce(2)
            self.service.close_streams()


async def test_a_version_announced_while_another_is_told_is_told_before_the_stream_is_closed(world: World) -> None:
    told = DirectoryService(world.office, world.clock)
    told._announce(1)
    listener = Listener(told)
    async with asyncio.timeout(20):
        await told._tell(cast("web.StreamResponse", listener))
    assert listener.told == [b"id: 1", b"id: 2"]


async def test_a_version_looked_up_before_another_was_announced_is_not_announced_behind_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "WATCH_S", 0.002)
    version, announce = world.office.version, DirectoryService._announce
    looking, go_on, announced, calls = threading.Event(), threading.Event(), list[int](), list[int]()

    def slow(*_: Any) -> int:
        found = version()
        calls.append(found)
        if len(calls) == 2:  # the first is not the watch's
            looking.set()
            go_on.wait(20)
        return found

    def announcing(told: DirectoryService, newest: int) -> None:
        announced.append(newest)
        announce(told, newest)

    monkeypatch.setattr(world.office, "version", slow)
    monkeypatch.setattr(DirectoryService, "_announce", announcing)
    async with DirectoryService(world.office, world.clock) as told:
        await asyncio.to_thread(looking.wait, 20)
        told._announce(await asyncio.to_thread(world.office.publish))  # as for a member that published
        go_on.set()
        async with asyncio.timeout(20):
            while len(calls) < 3:
                await asyncio.sleep(0.002)
    assert calls[1] == 1, "it looked before"
    assert announced == [2] * len(announced)
