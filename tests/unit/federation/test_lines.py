"""Channels to partners' gateways that were away."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import grpc
import pytest

from gateway.demo.ports import free_ports
from gateway.federation import lines as module
from gateway.federation.lines import Lines, channel_limits
from wugan.federation.v1 import envelope_pb2

NAME, OTHER = "gateway.b.example", "gateway.c.example"
LONG_MS = 600_000


async def echo(request: bytes, _context: object) -> bytes:
    return request


def channel(address: str, _tls_name: str) -> grpc.aio.Channel:
    """As the gateway's own, but for TLS, and for the pause after a failure: nobody waits that long."""
    paused = [(name, value) for name, value in channel_limits(1 << 20, 20.0) if "reconnect" not in name]
    pause = [("grpc.initial_reconnect_backoff_ms", LONG_MS), ("grpc.max_reconnect_backoff_ms", LONG_MS)]
    return grpc.aio.insecure_channel(address, options=[*paused, *pause])


@contextlib.asynccontextmanager
async def there(address: str) -> AsyncIterator[None]:
    exchange: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(echo)
    handler = grpc.method_handlers_generic_handler("wugan.federation.v1.FederationService", {"Exchange": exchange})
    server = grpc.aio.server(handlers=[handler], options=[("grpc.so_reuseport", 0)])
    server.add_insecure_port(address)
    await server.start()
    try:
        yield
    finally:
        await server.stop(0)


async def asked(lines: Lines, address: str) -> str:
    """What came of a call: "" that it was answered."""
    with lines.use(address, NAME) as stub:
        try:
            await stub.Exchange(envelope_pb2.Envelope(), timeout=20)
        except grpc.aio.AioRpcError as error:
            return error.code().name
        return ""


@pytest.fixture
async def lines() -> AsyncIterator[Lines]:
    made = Lines(channel)
    yield made
    await made.close()


async def test_a_partner_that_calls_is_asked_at_once_and_not_when_the_library_has_waited(lines: Lines) -> None:
    address = f"127.0.0.1:{free_ports(1)[0]}"
    assert await asked(lines, address) == "UNAVAILABLE"
    async with there(address):
        assert await asked(lines, address) == "UNAVAILABLE", "the library waits"
        lines.heard_from(OTHER)
        assert await asked(lines, address) == "UNAVAILABLE", "somebody else called"
        lines.heard_from(NAME)
        assert await asked(lines, address) == ""
        before = lines._open[address, NAME]
        lines.heard_from(NAME)
        assert lines._open[address, NAME] is before, "over which calls go"


async def test_one_that_calls_all_the_time_and_is_not_reached_is_not_tried_all_the_time(
    lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"127.0.0.1:{free_ports(1)[0]}"
    monkeypatch.setattr(module, "APART_S", 3_600.0)
    assert await asked(lines, address) == "UNAVAILABLE"
    lines.heard_from(NAME)
    assert await asked(lines, address) == "UNAVAILABLE"
    before = lines._open[address, NAME]
    for _ in range(100):
        lines.heard_from(NAME)
        assert await asked(lines, address) == "UNAVAILABLE"
    assert lines._open[address, NAME] is before


async def test_a_channel_is_dropped_for_calls_that_went_over_it_and_not_for_those_before(lines: Lines) -> None:
    address = f"127.0.0.1:{free_ports(1)[0]}"
    loop = asyncio.get_running_loop()

    def channel_now() -> object:
        with lines.hold(address, NAME) as line:
            return line.channel

    began = loop.time()
    first = channel_now()  # a call's time counts from before it has a channel
    assert lines.drop_silent(address, NAME, began)
    second = channel_now()
    assert second is not first
    assert not lines.drop_silent(address, NAME, began), "that call cannot have gone over this one"
    assert channel_now() is second
    assert lines.drop_silent(address, NAME, loop.time())
    assert channel_now() is not second
