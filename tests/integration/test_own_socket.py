"""Over the socket by which a gateway calls itself nobody is let in: whoever calls there shows no certificate."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from federation_world import SmallWorld, ours
from test_unreadable_calls import methods

pytestmark = pytest.mark.integration

SERVED = list(methods())


def sockets(world: SmallWorld) -> set[Path]:
    """Of the world's gateways; others run on the machine, too."""
    return {
        Path(each.laddr)
        for process in world.demo.processes
        if process.alive()
        for each in psutil.Process(process.pid).net_connections("unix")
        if "wugan-own-" in each.laddr
    }


async def call(opened: grpc.aio.Channel, method: Any) -> None:
    """Call, and return when something was answered. Streams are opened, and nothing is sent in them."""
    makers = ((opened.unary_unary, opened.unary_stream), (opened.stream_unary, opened.stream_stream))
    make: Any = makers[method.client_streaming][method.server_streaming](
        f"/{method.containing_service.full_name}/{method.name}"
    )
    called = make(timeout=60) if method.client_streaming else make(b"", timeout=60)
    await (called.read() if method.server_streaming else called)


@pytest.mark.parametrize("method", SERVED, ids=lambda method: method.full_name)
async def test_no_call_is_served_over_the_own_socket(world: SmallWorld, method: Any) -> None:
    found = sockets(world)
    assert len(found) == len(world.members)
    for path in found:
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        credentials = grpc.local_channel_credentials(grpc.LocalConnectionType.UDS)
        async with grpc.aio.secure_channel(f"unix:{path}", credentials) as opened:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(opened, method)
            error = ours(caught.value)
            assert (caught.value.code(), error.code) == (grpc.StatusCode.UNAUTHENTICATED, "STRANGER")
