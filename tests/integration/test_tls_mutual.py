"""Real gRPC over real TLS on loopback: who gets in, who does not, and what the server learns of the caller."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from certs import keys, profiles
from certs.authority import Authority
from certs.errors import CertsError
from certs.grpc_credentials import channel_credentials, channel_options, peer_identity
from certs.holders import Issued, certificate_pem
from certs.identity import ROLE_GATEWAY, ROLE_UNIT, Identity
from certs.server_certificate import ServerCertificate

pytestmark = pytest.mark.integration

FEDERATION = "test.wugan.internal"
SERVER = "11330000002482285J"
CLIENT = "12330000002482285F"
NOW = dt.datetime.now(dt.UTC)


@dataclass
class Party:
    """A certificate with its key."""

    key: keys.PrivateKey
    issued: Issued

    def store(self, folder: Path) -> tuple[Path, Path]:
        keys.store_private_key(folder / "key.pem", self.key)
        (folder / "chain.pem").write_bytes(self.issued.pem)
        return folder / "chain.pem", folder / "key.pem"


def gateway(authority: Authority, member: str, now: dt.datetime = NOW) -> Party:
    key = keys.generate_tls_key()
    return Party(key, authority.issue_gateway_tls(member, key.public_key(), now=now))


class Echo(grpc.GenericRpcHandler):
    """Answers every call with the identity of its caller."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        async def answer(_request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
            try:
                return peer_identity(context.auth_context()).uri.encode()
            except CertsError as error:
                await context.abort(grpc.StatusCode.UNAUTHENTICATED, error.en)

        return grpc.unary_unary_rpc_method_handler(answer)


@dataclass
class Server:
    """A running server and what it was made of."""

    port: int
    party: Party
    roots: bytes
    shown: ServerCertificate

    async def call(self, party: Party, roots: bytes, tls_name: str) -> str:
        credentials = channel_credentials(party.key, party.issued.pem, roots)
        return await self.call_with(credentials, tls_name)

    async def call_with(self, credentials: grpc.ChannelCredentials, tls_name: str) -> str:
        address = f"127.0.0.1:{self.port}"
        async with grpc.aio.secure_channel(address, credentials, options=channel_options(tls_name)) as channel:
            answer: bytes = await channel.unary_unary("/test/echo")(b"", timeout=60)
            return answer.decode()


async def serve(party: Party, roots: bytes) -> tuple[grpc.aio.Server, Server]:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Echo(),))
    shown = ServerCertificate(party.key, party.issued.pem, roots)
    port = server.add_secure_port("127.0.0.1:0", shown.credentials)
    await server.start()
    return server, Server(port, party, roots, shown)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ca") / "ca"


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    return Authority.create(folder, FEDERATION, now=NOW, root_passphrase=b"root")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Another authority that gives itself the same federation's name."""
    return Authority.create(tmp_path_factory.mktemp("stranger") / "ca", FEDERATION, now=NOW, root_passphrase=b"root")


@pytest_asyncio.fixture
async def server(authority: Authority) -> AsyncIterator[Server]:
    running, server = await serve(gateway(authority, SERVER), authority.root_pem)
    yield server
    await running.stop(None)


SERVER_NAME = Identity.gateway(FEDERATION, SERVER).tls_name


async def refused(server: Server, party: Party, roots: bytes, tls_name: str = SERVER_NAME) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await server.call(party, roots, tls_name)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_the_server_learns_which_members_gateway_calls(server: Server, authority: Authority) -> None:
    uri = await server.call(gateway(authority, CLIENT), authority.root_pem, SERVER_NAME)
    assert Identity.parse(uri) == Identity(FEDERATION, CLIENT, ROLE_GATEWAY)


async def test_the_server_learns_which_agency_calls(server: Server, authority: Authority) -> None:
    key = keys.generate_tls_key()
    party = Party(key, authority.issue_unit_tls(CLIENT, "330700", key.public_key(), now=NOW))
    uri = await server.call(party, authority.root_pem, SERVER_NAME)
    assert Identity.parse(uri) == Identity(FEDERATION, CLIENT, ROLE_UNIT, "330700")


async def test_whoever_is_given_an_issuing_ca_for_a_root_believes_that_ca_alone(tmp_path: Path) -> None:
    """For agencies and departments' adapters after an issuing key was stolen: they do not follow the directory."""
    authority = Authority.create(tmp_path / "ca", FEDERATION, now=NOW, root_passphrase=b"root")
    old = gateway(authority, SERVER), gateway(authority, CLIENT)
    pinned = certificate_pem(authority.issuing.roll(now=NOW, root_passphrase=b"root").certificate)
    new = gateway(authority, SERVER), gateway(authority, CLIENT)
    running, renewed = await serve(new[0], pinned)
    assert Identity.parse(await renewed.call(new[1], pinned, SERVER_NAME)).member_id == CLIENT
    await refused(renewed, old[1], pinned)
    await running.stop(None)
    running, stolen = await serve(old[0], authority.root_pem)
    await refused(stolen, new[1], pinned)
    await running.stop(None)


async def test_a_server_of_another_member_is_refused_wherever_its_address_points(
    server: Server, authority: Authority
) -> None:
    name = Identity.gateway(FEDERATION, CLIENT).tls_name
    await refused(server, gateway(authority, CLIENT), authority.root_pem, name)


async def test_a_client_of_a_strange_authority_is_refused(
    server: Server, authority: Authority, stranger: Authority
) -> None:
    await refused(server, gateway(stranger, CLIENT), authority.root_pem)


async def test_a_server_of_a_strange_authority_is_refused(
    server: Server, authority: Authority, stranger: Authority
) -> None:
    await refused(server, gateway(authority, CLIENT), stranger.root_pem)


async def test_a_client_without_a_certificate_is_refused(server: Server, authority: Authority) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await server.call_with(grpc.ssl_channel_credentials(authority.root_pem), SERVER_NAME)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_an_expired_client_is_refused(server: Server, authority: Authority) -> None:
    # Issued long ago by an authority whose own certificates are younger: only the leaf's dates are looked at here.
    expired = gateway(authority, CLIENT, NOW - dt.timedelta(days=60))
    await refused(server, expired, authority.root_pem)


async def test_an_issuing_authority_cannot_name_members_of_another_federation(
    server: Server, authority: Authority, folder: Path
) -> None:
    """Its name constraints forbid it, and the TLS stack enforces them."""
    issuing_key = keys.load_private_key(folder / "issuing-key.pem")
    assert isinstance(issuing_key, ec.EllipticCurvePrivateKey)
    issuing = x509.load_pem_x509_certificate((folder / "issuing.pem").read_bytes())
    disloyal = profiles.Issuer(issuing, issuing_key, "other.wugan.internal")
    key = keys.generate_tls_key()
    identity = Identity("other.wugan.internal", CLIENT, ROLE_UNIT, "330700")
    leaf = profiles.tls_certificate(disloyal, key.public_key(), identity, NOW)
    await refused(server, Party(key, Issued(leaf, issuing)), authority.root_pem)


async def test_an_agencys_certificate_cannot_serve(authority: Authority) -> None:
    key = keys.generate_tls_key()
    unit = Party(key, authority.issue_unit_tls(SERVER, "330700", key.public_key(), now=NOW))
    running, server = await serve(unit, authority.root_pem)
    await refused(server, gateway(authority, CLIENT), authority.root_pem)
    await running.stop(None)


def handshake(server: Server, authority: Authority, folder: Path, version: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=authority.root_pem.decode())
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = version
    context.set_alpn_protocols(["h2"])
    chain, key = gateway(authority, CLIENT).store(folder)
    context.load_cert_chain(chain, key)
    return context


async def test_tls_12_is_refused(server: Server, authority: Authority, tmp_path: Path) -> None:
    context = handshake(server, authority, tmp_path, ssl.TLSVersion.TLSv1_2)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("127.0.0.1", server.port, ssl=context, server_hostname=SERVER_NAME)


async def test_tls_13_is_spoken_with_the_very_same_certificate(
    server: Server, authority: Authority, tmp_path: Path
) -> None:
    context = handshake(server, authority, tmp_path, ssl.TLSVersion.TLSv1_3)
    _, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context, server_hostname=SERVER_NAME)
    assert writer.get_extra_info("ssl_object").version() == "TLSv1.3"
    writer.close()


async def test_a_client_of_ours_refuses_a_server_that_speaks_only_tls_12(authority: Authority, tmp_path: Path) -> None:
    party = gateway(authority, SERVER)
    chain, key = party.store(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    context.load_cert_chain(chain, key)
    connected: list[str] = []

    async def accept(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.append(writer.get_extra_info("ssl_object").version())
        writer.close()

    listener = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    port = listener.sockets[0].getsockname()[1]
    unused = ServerCertificate(party.key, party.issued.pem, authority.root_pem)
    await refused(Server(port, party, authority.root_pem, unused), gateway(authority, CLIENT), authority.root_pem)
    assert connected == []
    listener.close()
