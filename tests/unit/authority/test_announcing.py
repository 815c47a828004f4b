"""Telling gateways of directory versions: in order, and the last one too, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import web

from gateway.authority import event_streams, service
from gateway.authority.event_streams import EventStreams
from gateway.authority.pushing import files_event
from gateway.authority.service import DirectoryService
from tests.unit.authority.authority_world import World


class Listener:
    """Listens; something happens while it is told of the first version."""

    def __init__(self, told: EventStreams) -> None:
        self.streams = told
        self.told: list[bytes] = []

    async def write(self, data: bytes) -> None:
        self.told.append(data.splitlines()[0])
        if len(self.told) == 1:
            self.streams.announce(2)
            self.streams.close()


async def test_a_version_announced_while_another_is_told_is_told_before_the_stream_is_closed(world: World) -> None:
    told = EventStreams(world.home / "tuf")
    told.announce(1)
    listener = Listener(told)
    async with asyncio.timeout(20):
        await told.tell(cast("web.StreamResponse", listener))
    assert listener.told == [b"id: 1", b"id: 2"]


async def test_a_version_looked_up_before_another_was_announced_is_not_announced_behind_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "WATCH_S", 0.002)
    version, announce = world.office.version, EventStreams.announce
    looking, go_on, announced, calls = threading.Event(), threading.Event(), list[int](), list[int]()

    def slow(*_: Any) -> int:
        found = version()
        calls.append(found)
        if len(calls) == 2:  # the first is not the watch's
            looking.set()
            go_on.wait(20)
        return found

    def announcing(told: EventStreams, newest: int) -> None:
        announced.append(newest)
        announce(told, newest)

    monkeypatch.setattr(world.office, "version", slow)
    monkeypatch.setattr(EventStreams, "announce", announcing)
    async with DirectoryService(world.office, world.clock) as told:
        await asyncio.to_thread(looking.wait, 20)
        told._events.announce(await asyncio.to_thread(world.office.publish))  # as for a member that published
        go_on.set()
        async with asyncio.timeout(20):
            while len(calls) < 3:
                await asyncio.sleep(0.002)
    assert calls[1] == 1, "it looked before"
    assert announced == [2] * len(announced)


# the files that go with a version


class Hearing:
    """Takes what it is told when it may; leaves after the version given."""

    def __init__(self, told: EventStreams, last: int) -> None:
        self.streams = told
        self.last = last
        self.may = asyncio.Event()
        self.began = asyncio.Event()
        self.heard = b""
        self.most = 0

    async def write(self, data: bytes) -> None:
        self.began.set()
        await self.may.wait()
        self.most = max(self.most, len(data))
        self.heard += data
        if self.versions and self.versions[-1] == self.last:
            raise ConnectionResetError

    @property
    def versions(self) -> list[int]:
        return [int(line[4:]) for line in self.heard.splitlines() if line.startswith(b"id: ")]

    async def hear(self) -> None:
        with contextlib.suppress(ConnectionResetError):
            await self.streams.tell(cast("web.StreamResponse", self))


async def published(world: World, told: EventStreams) -> int:
    version = await asyncio.to_thread(world.office.publish)
    told.announce(version)
    return version


async def test_files_go_with_each_version_but_the_first_and_are_put_together_once_for_all(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    def counted(tuf: Path, version: int) -> bytes:
        made.append(version)
        return files_event(tuf, version)

    monkeypatch.setattr(event_streams, "files_event", counted)
    told = EventStreams(world.home / "tuf")
    told.announce(1)
    listeners = [Hearing(told, 2) for _ in range(3)]
    for listener in listeners:
        listener.may.set()
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        for listener in listeners:
            group.create_task(listener.hear())
        for listener in listeners:
            await listener.began.wait()
        await published(world, told)
    assert made == [2]
    files = files_event(world.home / "tuf", 2)
    plain = [b'id: %d\nevent: version\ndata: {"version": %d}\n\n' % (version, version) for version in (1, 2)]
    assert [listener.heard for listener in listeners] == [plain[0] + files + plain[1]] * 3


async def test_a_slow_listener_holds_up_nobody_and_misses_what_was_replaced_meanwhile(world: World) -> None:
    told = EventStreams(world.home / "tuf")
    told.announce(1)
    slow, other = Hearing(told, 4), Hearing(told, 4)
    other.may.set()
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        for listener in (slow, other):
            group.create_task(listener.hear())
            await listener.began.wait()
        for version in (2, 3, 4):
            assert await published(world, told) == version
            while other.versions[-1] != version:
                await asyncio.sleep(0)
        slow.may.set()
    assert (other.versions, slow.versions) == ([1, 2, 3, 4], [1, 4])
    assert slow.heard.endswith(other.heard[-1000:])


async def test_what_is_handed_over_at_once_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_streams, "files_event", lambda *_: b": large\n\n" * 50_000)
    told = EventStreams(world.home / "tuf")
    told.announce(1)
    listener = Hearing(told, 2)
    listener.may.set()
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(listener.hear())
        await listener.began.wait()
        told.announce(2)
    assert listener.most == event_streams.PIECE_BYTES < len(listener.heard)


async def test_a_listener_that_takes_nothing_is_let_go(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_streams, "PATIENCE_S", 0.01)
    told = EventStreams(world.home / "tuf")
    told.announce(1)
    listener = Hearing(told, 1)
    telling = asyncio.create_task(told.tell(cast("web.StreamResponse", listener)))
    done, _ = await asyncio.wait({telling}, timeout=20)
    assert done == {telling}
    assert isinstance(telling.exception(), TimeoutError)
    assert listener.began.is_set()
