"""A server and its callers change certificates while calls are under way, over real TLS on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import os
import ssl
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from cryptography import x509

from certs import keys
from certs.authority import Authority, Issued
from certs.grpc_credentials import channel_credentials, channel_options
from certs.identity import Identity
from certs.server_certificate import ServerCertificate
from gateway.federation.lines import Lines
from wugan.federation.v1 import envelope_pb2, exchange_pb2_grpc

pytestmark = pytest.mark.integration

FEDERATION = "test.wugan.internal"
SERVER = "11330000002482285J"
CLIENT = "12330000002482285F"
NAME = Identity.gateway(FEDERATION, SERVER).tls_name
NOW = dt.datetime.now(dt.UTC)


@dataclass
class Party:
    key: keys.PrivateKey
    issued: Issued

    @property
    def serial(self) -> int:
        return self.issued.certificate.serial_number


class Service(exchange_pb2_grpc.FederationServiceServicer):
    """Tells each caller the serial number of the certificate it came with; waits where told to."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.entered = asyncio.Event()

    async def Exchange(self, request: envelope_pb2.Envelope, context: Any) -> envelope_pb2.Envelope:
        if request.header == b"wait":
            self.entered.set()
            await self.gate.wait()
        (pem,) = context.auth_context()["x509_pem_cert"]
        serial = x509.load_pem_x509_certificate(pem).serial_number
        return envelope_pb2.Envelope(header=serial.to_bytes(20, "big"))


@dataclass
class World:
    authority: Authority
    server: Party
    shown: ServerCertificate
    client: Party
    service: Service
    port: int
    channels: list[grpc.aio.Channel] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def party(self, member: str) -> Party:
        key = keys.generate_tls_key()
        return Party(key, self.authority.issue_gateway_tls(member, key.public_key(), now=NOW))

    def channel(self, address: str, tls_name: str) -> grpc.aio.Channel:
        credentials = channel_credentials(self.client.key, self.client.issued.pem, self.authority.root_pem)
        self.channels.append(grpc.aio.secure_channel(address, credentials, options=channel_options(tls_name)))
        return self.channels[-1]

    async def call(self, lines: Lines, header: bytes = b"") -> int:
        with lines.use(self.address, NAME) as stub:
            answer = await stub.Exchange(envelope_pb2.Envelope(header=header), timeout=60)
        return int.from_bytes(answer.header, "big")

    async def shown_serial(self) -> int:
        """Of the certificate that a new connection sees."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        _, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=context)
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        return x509.load_der_x509_certificate(der).serial_number

    async def renew_server(self) -> None:
        self.server = self.party(SERVER)
        await self.shown.replace(self.server.key, self.server.issued.pem, self.address)


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    authority = Authority.create(tmp_path / "ca", FEDERATION, now=NOW, loopback=True)
    parties = []
    for member in (SERVER, CLIENT):
        key = keys.generate_tls_key()
        parties.append(Party(key, authority.issue_gateway_tls(member, key.public_key(), now=NOW)))
    shown = ServerCertificate(parties[0].key, parties[0].issued.pem, authority.root_pem)
    server, service = grpc.aio.server(), Service()
    exchange_pb2_grpc.add_FederationServiceServicer_to_server(service, server)
    port = server.add_secure_port("127.0.0.1:0", shown.credentials)
    await server.start()
    yield World(authority, parties[0], shown, parties[1], service, port)
    await server.stop(None)
    await shown.close()


async def test_a_new_connection_sees_the_new_certificate_as_soon_as_the_change_is_made(world: World) -> None:
    assert await world.shown_serial() == world.server.serial
    for _ in range(3):
        await world.renew_server()
        for _ in range(2):
            assert await world.shown_serial() == world.server.serial


async def test_a_connection_that_is_there_survives_the_change(world: World) -> None:
    lines = Lines(world.channel)
    assert await world.call(lines) == world.client.serial
    world.service.gate.clear()
    waiting = asyncio.ensure_future(world.call(lines, b"wait"))
    await world.service.entered.wait()
    await world.renew_server()
    world.service.gate.set()
    assert await waiting == world.client.serial
    assert await world.call(lines) == world.client.serial
    assert len(world.channels) == 1
    await lines.close()


async def test_grpc_is_told_of_a_configuration_only_when_there_is_another(world: World) -> None:
    """One that is told at every handshake crashes the process (grpc#36693)."""
    assert [world.shown._fetch() for _ in range(3)] == [None, None, None]
    await world.renew_server()
    assert [world.shown._fetch() for _ in range(3)] == [None, None, None]


async def test_after_a_change_the_server_still_asks_for_a_certificate_and_for_tls_13(world: World) -> None:
    await world.renew_server()
    credentials = grpc.ssl_channel_credentials(world.authority.root_pem)
    async with grpc.aio.secure_channel(world.address, credentials, options=channel_options(NAME)) as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await exchange_pb2_grpc.FederationServiceStub(channel).Exchange(envelope_pb2.Envelope(), timeout=60)
    context = ssl.create_default_context(cadata=world.authority.root_pem.decode())
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("127.0.0.1", world.port, ssl=context, server_hostname=NAME)


async def test_the_old_configuration_outlives_the_change(world: World) -> None:
    """A handshake of our own holds it, so that gRPC does not free it while another one reads it (grpc#36693)."""
    await world.renew_server()
    assert len(world.shown._held) == 1
    await world.renew_server()
    assert len(world.shown._held) == 2
    await world.shown.close()
    assert world.shown._held == set()


async def test_changes_under_a_storm_of_handshakes_lose_nothing(world: World) -> None:
    stop = asyncio.Event()
    done = 0

    async def storm() -> None:
        nonlocal done
        while not stop.is_set():
            lines = Lines(world.channel)
            assert await world.call(lines) == world.client.serial
            await lines.close()
            done += 1

    storms = [asyncio.ensure_future(storm()) for _ in range(8)]
    for _ in range(40):
        await world.renew_server()
    stop.set()
    await asyncio.gather(*storms)
    assert done >= 8


async def test_calls_move_to_the_new_certificate_and_those_in_flight_end_on_the_old(world: World) -> None:
    lines = Lines(world.channel)
    old = world.client
    assert await world.call(lines) == old.serial
    world.service.gate.clear()
    waiting = asyncio.ensure_future(world.call(lines, b"wait"))
    await world.service.entered.wait()
    world.client = world.party(CLIENT)
    await lines.renew()
    assert await world.call(lines) == world.client.serial
    assert world.channels[0].get_state() is not grpc.ChannelConnectivity.SHUTDOWN
    world.service.gate.set()
    assert await waiting == old.serial
    async with asyncio.timeout(60):
        while world.channels[0].get_state() is not grpc.ChannelConnectivity.SHUTDOWN:
            await asyncio.sleep(0)
    await lines.close()


async def test_no_call_fails_while_both_sides_change_again_and_again(world: World) -> None:
    lines = Lines(world.channel)
    stop = asyncio.Event()
    answered = 0

    async def caller() -> None:
        nonlocal answered
        while not stop.is_set():
            await world.call(lines)
            answered += 1

    callers = [asyncio.ensure_future(caller()) for _ in range(8)]
    for _ in range(15):
        world.client = world.party(CLIENT)
        await asyncio.gather(world.renew_server(), lines.renew())
    stop.set()
    await asyncio.gather(*callers)
    assert answered > 15
    assert await world.call(lines) == world.client.serial
    await lines.close()


async def test_calls_move_even_where_the_new_channel_does_not_connect(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.federation.lines.CONNECT_S", 0.05)
    lines = Lines(world.channel)
    with lines.use("127.0.0.1:1", NAME):
        pass
    await lines.renew()
    assert len(world.channels) == 2
    await lines.close()


SERVES = """
import asyncio, sys
import certs, grpc
from pathlib import Path
from certs.keys import load_private_key
from certs.server_certificate import ServerCertificate

async def main(folder):
    begun = []
    chain, roots = (folder / "chain.pem").read_bytes(), (folder / "roots.pem").read_bytes()
    shown = ServerCertificate(load_private_key(folder / "key.pem"), chain, roots, begun=lambda: begun.append(1))
    server = grpc.aio.server()
    print(server.add_secure_port("127.0.0.1:0", shown.credentials), flush=True)
    await server.start()
    await asyncio.to_thread(sys.stdin.readline)
    await server.stop(None)
    print(len(begun))

asyncio.run(main(Path(sys.argv[1])))
"""
FORGED = b'\n{"level":"error","event":"forged"}\n'


def greeting(name: bytes) -> bytes:
    """What a client says first, in which it asks for a server of that name."""
    place = "x" * len(name)
    outgoing = ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=place).do_handshake()
    return outgoing.read().replace(place.encode(), name)


async def test_who_reaches_the_port_writes_nothing_into_the_log_and_is_counted(tmp_path: Path) -> None:
    """By itself, the core writes the server name that is asked for as it comes, and more for each handshake."""
    authority = Authority.create(tmp_path / "ca", FEDERATION, now=NOW, loopback=True)
    key = keys.generate_tls_key()
    keys.store_private_key(tmp_path / "key.pem", key)
    (tmp_path / "chain.pem").write_bytes(authority.issue_gateway_tls(SERVER, key.public_key(), now=NOW).pem)
    (tmp_path / "roots.pem").write_bytes(authority.root_pem)
    environment = {name: value for name, value in os.environ.items() if name != "GRPC_VERBOSITY"}
    pipe = asyncio.subprocess.PIPE
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SERVES, str(tmp_path)), stdin=pipe, stdout=pipe, stderr=pipe, env=environment
    )
    assert server.stdout is not None
    port = int(await server.stdout.readline())
    for said in (greeting(FORGED), b"GET / HTTP/1.1\r\n\r\n"):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(said)
        assert await reader.read(1) or said.startswith(b"GET")  # it was dealt with
        writer.close()
    told, written = await server.communicate(b"\n")
    assert written == b""
    assert told == b"2\n"
