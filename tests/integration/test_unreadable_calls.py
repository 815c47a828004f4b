"""Bytes that are no message, sent to every call of a gateway by somebody who is let in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from federation_world import SmallWorld, channel, ours
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from wugan.adapter.v1 import registry_pb2
from wugan.agency.v1 import agency_pb2
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

pytestmark = pytest.mark.integration

MARK = b"payload-not-to-be-repeated"
BYTES = b"\xff\xff\xff" + MARK
FEDERATION = exchange_pb2.DESCRIPTOR


def methods() -> Iterator[Any]:
    ours = (FEDERATION, agency_pb2.DESCRIPTOR, registry_pb2.DESCRIPTOR)
    for file in (*ours, health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR):
        for service in file.services_by_name.values():
            yield from service.methods


async def answered(opened: grpc.aio.Channel, method: Any) -> None:
    """Send the bytes and return when all was answered."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    makers = (
        (opened.unary_unary, opened.unary_stream),
        (opened.stream_unary, opened.stream_stream),
    )
    make: Any = makers[method.client_streaming][method.server_streaming](path)
    call = make(iter([BYTES]) if method.client_streaming else BYTES, timeout=60)
    if method.server_streaming:
        async for _ in call:
            pass
    else:
        await call


@pytest.mark.parametrize("method", list(methods()), ids=lambda method: method.full_name)
async def test_bytes_that_are_no_message_are_refused_in_words_and_not_logged(world: SmallWorld, method: Any) -> None:
    member, other = world.members[1], world.members[0]
    between = method.containing_service.file is FEDERATION
    address = member.federation if between else member.agency
    shown = other.credentials() if between else member.credentials(member.units[0])
    async with channel(address, member.tls_name, shown) as opened:
        for _ in range(2):  # the second finds all as the first did
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await answered(opened, method)
            assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT, caught.value.details()
            error = ours(caught.value)
            assert error.reason == words.REFUSAL_REASON_INVALID_ARGUMENT
            assert "消息" in error.zh
            assert not error.retryable
    for log in world.logs():
        text = log.read_bytes()
        assert MARK not in text, log
        assert b"Unexpected [%s] raised" not in text, log
