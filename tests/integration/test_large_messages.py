"""Messages larger than a gateway takes, by the real library: refused in words of ours, whoever refuses them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from federation_world import SmallWorld, channel

from gateway.cli import EXIT_REFUSED, client
from gateway.cli.client import code_of
from gateway.config import AgencySettings
from gateway.errors import WuganError
from gateway.federation import retrying
from gateway.federation.retrying import Again, failed_by
from gateway.status import from_rpc_error
from wugan.agency.v1 import agency_pb2, agency_pb2_grpc
from wugan.federation.v1 import envelope_pb2, exchange_pb2_grpc
from wugan.federation.v1 import vocabulary_pb2 as words

pytestmark = pytest.mark.integration

MOST = 16 << 20
MARK = "payload-not-to-be-repeated"


def large(size: int) -> agency_pb2.CheckRequest:
    return agency_pb2.CheckRequest(name=MARK + "n" * (size - len(MARK)))


def is_too_large(error: grpc.aio.AioRpcError, limit: int) -> WuganError:
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED, error.details()
    ours = from_rpc_error(error)
    assert ours is not None, error.details()
    assert (ours.reason, ours.retryable) == (words.REFUSAL_REASON_TOO_LARGE, False)
    assert str(limit) in ours.en
    assert f"{limit} 字节" in ours.zh
    assert code_of(ours) == EXIT_REFUSED
    return ours


@pytest.mark.parametrize(("size", "limit"), [(MOST + 1, MOST), (2 * MOST - 64, MOST), (2 * MOST + 1, 2 * MOST)])
async def test_a_question_that_is_too_large_is_refused_as_that(world: SmallWorld, size: int, limit: int) -> None:
    member = world.members[1]
    async with channel(member.agency, member.tls_name, member.credentials(member.units[0])) as opened:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await agency_pb2_grpc.AgencyServiceStub(opened).Check(large(size), timeout=60)
        assert "消息" in is_too_large(caught.value, limit).zh
        # The gateway goes on, on the same connection.
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await agency_pb2_grpc.AgencyServiceStub(opened).Check(agency_pb2.CheckRequest(), timeout=60)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_what_is_read_of_it_stands_in_the_log_and_nothing_of_its_contents(world: SmallWorld) -> None:
    member = world.members[1]
    async with channel(member.agency, member.tls_name, member.credentials(member.units[0])) as opened:
        stub = agency_pb2_grpc.AgencyServiceStub(opened)
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.Check(large(17 << 20), timeout=60)

        async def requests() -> AsyncIterator[agency_pb2.CheckManyRequest]:
            yield agency_pb2.CheckManyRequest(questions=[agency_pb2.CheckManyQuestion(check=large(17 << 20))])

        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in stub.CheckMany(requests(), timeout=60):
                pass
        is_too_large(caught.value, MOST)
    calls: set[str] = set()
    async with asyncio.timeout(30):  # a line is written once the caller has been told
        while not calls >= {"Check", "CheckMany"}:
            await asyncio.sleep(0.02)
            text = b"".join(log.read_bytes() for log in world.logs())
            lines = [line for line in text.splitlines(keepends=True) if line.endswith(b"}\n") and b"TOO_LARGE" in line]
            calls = {json.loads(line)["call"] for line in lines if line.startswith(b"{")}
    assert MARK.encode() not in text


async def test_a_partner_does_not_try_again_with_what_is_too_large(world: SmallWorld) -> None:
    member, other = world.members[1], world.members[0]
    envelope = envelope_pb2.Envelope(ciphertext=bytes(2 * MOST + 1))
    async with channel(member.federation, member.tls_name, other.credentials()) as opened:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await exchange_pb2_grpc.FederationServiceStub(opened).Exchange(envelope, timeout=60)
    failed = failed_by(caught.value)
    assert failed.error.reason == words.REFUSAL_REASON_TOO_LARGE
    assert failed.row is retrying.TABLE[retrying.ANY, retrying.ANY]
    assert failed.row.repeatable is failed.row.once is Again.NO


async def echo(request: bytes, _context: Any) -> bytes:
    return bytes(len(request))


@pytest.fixture
async def echoing() -> AsyncIterator[str]:
    """A server that sends at most 50,000 bytes."""
    server = grpc.aio.server(options=[("grpc.max_send_message_length", 50_000)])
    handler = grpc.unary_unary_rpc_method_handler(echo)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("echo", {"Echo": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


@pytest.mark.parametrize(
    ("option", "size", "limit", "what"),
    [
        (None, 50_001, 50_000, "答复"),
        ("grpc.max_receive_message_length", 2_000, 1_000, "答复"),
        ("grpc.max_send_message_length", 2_000, 1_000, "消息"),
    ],
)
async def test_whichever_side_the_library_refuses_on(
    echoing: str, option: str | None, size: int, limit: int, what: str
) -> None:
    async with grpc.aio.insecure_channel(echoing, options=[(option, limit)] if option else []) as opened:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await opened.unary_unary("/echo/Echo")(bytes(size))
    assert is_too_large(caught.value, limit).zh.startswith(what)


async def test_the_command_says_so_and_ends_as_for_a_refusal(
    world: SmallWorld, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    member = world.members[1]
    settings = AgencySettings.model_construct(gateway=member.agency)
    async with channel(member.agency, member.tls_name, member.credentials(member.units[0])) as opened:
        monkeypatch.setattr(client, "opened", lambda _settings: opened)
        with pytest.raises(SystemExit) as ended:
            await client.with_gateway(settings, lambda stub: stub.Check(large(2 * MOST + 1), timeout=60))
    assert ended.value.code == EXIT_REFUSED
    told = capsys.readouterr().err
    assert told.startswith("wugan: [TOO_LARGE] ")
    assert "cannot be reached" not in told
