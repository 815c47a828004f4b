"""More calls than a process gets through: some are refused at the door, in words, and the others are still answered."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from gateway.clock import SystemClock
from gateway.errors import WuganError
from gateway.observing.instruments import value_of
from gateway.services.own_calls import OwnCalls, OwnSocket
from gateway.services.serving import Desk
from gateway.services.shedding import Shedding
from gateway.status import from_rpc_error
from tests.unit.services.gateways_world import FEDERATION, A, Listed
from wugan.agency.v1 import agency_pb2

WORK_S = 0.005
AT_ONCE = 100
"""So many calls together take half a second; a tenth may be waited for."""
MOST = 4_000
SERVICE = agency_pb2.DESCRIPTOR.services_by_name["AgencyService"]
CHECK, WATCH, OTHER = (f"/{name}" for name in (f"{SERVICE.full_name}/Check", f"{SERVICE.full_name}/WatchLate", "o/Ask"))


def work() -> None:
    """Work for a while, as an answer does, during which nothing else goes on."""
    until = time.monotonic() + WORK_S
    while time.monotonic() < until:
        pass


async def answer(_request: object, _context: object) -> bytes:
    work()
    return b"done"


def counted() -> float:
    return value_of("wugan_calls_total", call="Check", outcome="OVERLOADED")


class Everything(grpc.GenericRpcHandler):
    """Answers whatever is called."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        return grpc.unary_unary_rpc_method_handler(answer)


@pytest.fixture
async def desk() -> Desk:
    clock = SystemClock()
    made = Desk(clock, Listed(A, clock=clock).current, federation=FEDERATION, limit=1_000, shed_s=0.1)
    for _ in range(1_000):
        made._backlog.came(0.4)
    made.own_calls = OwnCalls(clock, made._backlog, time.monotonic)  # as if this thread had never waited for anything
    return made


@contextlib.asynccontextmanager
async def served(desk: Desk) -> AsyncIterator[grpc.aio.Channel]:
    server = grpc.aio.server(handlers=[Shedding(desk, [SERVICE]), Everything()])
    port = server.add_insecure_port("127.0.0.1:0")
    own = OwnSocket()
    own.listen(server)
    await server.start()
    desk.own_calls.begin(own.call)
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        await desk.own_calls.end()
        await own.close()
        await server.stop(None)


async def outcome(channel: grpc.aio.Channel, method: str) -> WuganError | bytes:
    try:
        return await channel.unary_unary(method)(b"question")
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED and (ours := from_rpc_error(error)) is not None:
            return ours
        raise


async def test_under_more_load_than_it_gets_through_a_process_refuses_some_and_answers_the_others(desk: Desk) -> None:
    before = counted()
    async with served(desk) as channel:
        assert await outcome(channel, CHECK) == b"done"
        outcomes: list[WuganError | bytes] = []
        errors: list[WuganError] = []
        others: list[asyncio.Future[WuganError | bytes]] = []

        async def ask() -> None:
            while len(errors) < 100 and len(outcomes) < MOST:
                outcomes.append(said := await outcome(channel, CHECK))
                if isinstance(said, WuganError):
                    errors.append(said)
                    if len(errors) % 10 == 0:
                        others.extend(asyncio.ensure_future(outcome(channel, each)) for each in (WATCH, OTHER))

        await asyncio.gather(*(ask() for _ in range(AT_ONCE)))
        assert 100 <= len(errors) < len(outcomes)
        assert {error.code for error in errors} == {"OVERLOADED"}
        assert all(error.retryable for error in errors)
        again = [error.retry_after_ms for error in errors]
        assert min(again) > 0
        assert max(again) - min(again) > 50, "all of them were told to come back at the same time"
        assert counted() - before == len(errors)
        assert set(await asyncio.gather(*others)) == {b"done"}, "only calls of one message each way are refused so"
        async with asyncio.timeout(60):  # it is over when the load is
            while await outcome(channel, CHECK) != b"done":
                await asyncio.sleep(0.01)


async def test_whoever_stops_says_so_instead(desk: Desk) -> None:
    desk._backlog.saw(SystemClock().monotonic() - 1.0, 5.0)
    assert desk.sheds()
    desk.drain()
    assert not desk.sheds()
