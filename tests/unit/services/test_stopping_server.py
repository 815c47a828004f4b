"""How a server stops: when nobody waits for anything, whatever its peers do or do not say."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from adapters.stopping import stop_when
from gateway.clock import FakeClock
from gateway.services.serving import Desk
from tests.faults.proxy import FaultProxy
from tests.unit.services.gateways_world import FEDERATION, NOW_MS, A, Call, Listed

LONG_S = 3_600.0
"""A grace that no test waits for: whoever sits it out hangs."""
SOON_S = 30.0

Answer = Callable[[bytes, grpc.aio.ServicerContext[Any, Any]], Awaitable[bytes]]


@dataclass
class Running:
    """A server, the proxy before it, and a client that is connected through it."""

    server: grpc.aio.Server
    proxy: FaultProxy
    ask: Callable[[], Awaitable[bytes]]


@contextlib.asynccontextmanager
async def running(answer: Answer) -> AsyncIterator[Running]:
    handler = grpc.method_handlers_generic_handler("s", {"Ask": grpc.unary_unary_rpc_method_handler(answer)})
    server = grpc.aio.server(handlers=[handler])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with FaultProxy(f"127.0.0.1:{port}") as proxy, grpc.aio.insecure_channel(proxy.address) as channel:
        yield Running(server, proxy, lambda: channel.unary_unary("/s/Ask")(b""))


@pytest.fixture
def desk() -> Desk:
    clock = FakeClock(NOW_MS)
    return Desk(clock, Listed(A, clock=clock).current, federation=FEDERATION, limit=2)


async def test_a_peer_that_is_frozen_and_waits_for_nothing_does_not_hold_up_the_stop(desk: Desk) -> None:
    async def answer(_request: bytes, _context: object) -> bytes:
        return b"done"

    async with running(answer) as world:
        assert await world.ask() == b"done"
        world.proxy.freeze()
        desk.drain()
        await asyncio.wait_for(stop_when(world.server, desk.emptied(), LONG_S, farewell_s=0.0), SOON_S)


async def test_beside_a_frozen_peer_a_call_in_flight_is_answered_before_the_end(desk: Desk) -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def work(_peer: object) -> bytes:
        begun.set()
        await go.wait()
        return b"done"

    async def answer(_request: bytes, _context: object) -> bytes:
        return await desk.serve("Ask", Call(A.unit()).as_context(), work)

    async with (
        running(answer) as world,
        FaultProxy(world.proxy.target) as frozen,
        grpc.aio.insecure_channel(frozen.address) as other,
    ):
        await other.channel_ready()
        frozen.freeze()
        asked = asyncio.ensure_future(world.ask())
        await begun.wait()
        desk.drain()
        stopping = asyncio.ensure_future(stop_when(world.server, desk.emptied(), LONG_S, farewell_s=0.0))
        done, _ = await asyncio.wait({stopping, asked}, timeout=0.05)
        assert not done
        go.set()
        assert await asked == b"done"
        await asyncio.wait_for(stopping, SOON_S)


async def test_what_is_in_flight_when_the_time_is_over_is_cancelled(desk: Desk) -> None:
    begun = asyncio.Event()

    async def work(_peer: object) -> bytes:
        begun.set()
        await asyncio.Event().wait()
        return b"never"

    async def answer(_request: bytes, _context: object) -> bytes:
        return await desk.serve("Ask", Call(A.unit()).as_context(), work)

    async with running(answer) as world:
        asked = asyncio.ensure_future(world.ask())
        await begun.wait()
        desk.drain()
        await asyncio.wait_for(stop_when(world.server, desk.emptied(), 0.0), SOON_S)
        with pytest.raises(grpc.aio.AioRpcError):
            await asked


async def test_a_desk_is_empty_once_streams_held_open_are_over_too(desk: Desk) -> None:
    async def stream(_peer: object) -> None:
        await desk.draining.wait()
        await asyncio.sleep(0)

    held = asyncio.ensure_future(desk.hold("ExchangeStream", Call(A.identity).as_context(), stream, at_once=2))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    desk.drain()
    emptied = asyncio.ensure_future(desk.emptied())
    await asyncio.sleep(0)
    assert not emptied.done()
    await held
    await asyncio.wait_for(emptied, SOON_S)
