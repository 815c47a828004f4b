"""Reading the push stream: versions with files and without, what is too long, what is of no known kind."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from gateway.federation.directory_pushed import MAX_EVENT_BYTES
from gateway.federation.directory_stream import Announced, DirectoryStream

LAST = b'event: version\ndata: {"version": 999}\n\n'


async def told(*sent: bytes, files: bool = True) -> list[Announced]:
    """What is told of events sent over one connection, without the last one."""
    connections, heard_all = 0, asyncio.Event()

    async def events(request: web.Request) -> web.StreamResponse:
        nonlocal connections
        connections += 1
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for part in (*sent, LAST):
            await response.write(part)
        await heard_all.wait()
        return response

    async with serving(events) as url, aiohttp.ClientSession() as session:
        heard: asyncio.Queue[Announced] = asyncio.Queue()
        following = asyncio.create_task(DirectoryStream(session, url, "", files=files).follow(heard.put_nowait))
        every = []
        async with asyncio.timeout(20):
            while not every or every[-1].version != 999:
                every.append(await heard.get())
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        heard_all.set()
    assert connections == 1, "the stream goes on"
    assert every[-1] == Announced(999), "files belong to one version"
    return every[:-1]


@contextlib.asynccontextmanager
async def serving(events: object) -> AsyncIterator[str]:
    app = web.Application()
    app.add_routes([web.get("/directory/events", events)])  # type: ignore[arg-type]
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/directory/events"
    await runner.cleanup()


async def test_a_version_alone_as_authorities_told_it_before() -> None:
    assert await told(b'id: 7\nevent: version\ndata: {"version": 7}\n\n') == [Announced(7)]


async def test_files_come_with_the_version_after_them() -> None:
    sent = b'event: files\ndata: {"root": 1,\ndata: "files": {}}\n\nid: 7\nevent: version\ndata: {"version": 7}\n\n'
    assert await told(sent) == [Announced(7, b'{"root": 1,\n"files": {}}')]


async def test_however_it_is_cut_and_whatever_ends_its_lines() -> None:
    sent = b': hello\r\n\r\nevent:files\r\ndata:one\r\ndata: two\r\n\r\n: still here\r\n\r\ndata:{"version": 7}\r\n\r\n'
    assert await told(*(sent[at : at + 1] for at in range(len(sent)))) == [Announced(7, b"one\ntwo")]


async def test_files_that_nobody_asked_for_are_dropped() -> None:
    assert await told(b'event: files\ndata: {}\n\ndata: {"version": 7}\n\n', files=False) == [Announced(7)]


@pytest.mark.parametrize("line", [b"data: " + b"a" * 4000 + b"\n", b"data:\n", b"other: " + b"b" * 4000 + b"\n"])
async def test_files_that_are_too_long_are_dropped_and_the_version_is_told(line: bytes) -> None:
    sent = b"event: files\n" + line * (MAX_EVENT_BYTES // len(line) + 1) + b"data: {}\n\n"
    assert await told(sent, b'event: version\ndata: {"version": 7}\n\n') == [Announced(7)]


async def test_an_event_of_another_kind_is_passed_over() -> None:
    assert await told(b'event: weather\ndata: fair\n\nevent: version\ndata: {"version": 7}\n\n') == [Announced(7)]
