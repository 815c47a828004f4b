"""Two provinces in one process, and an authority that lists their keys: what rotation needs around it.

The authority here issues with the real `certs.authority.Authority`, and answers the messages of authority.proto over
mutual TLS; it publishes by replacing the signed directory file that both gateways read.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import shutil
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from cryptography import x509

from bench.federation import ANSWERING, ASKING, MANIFEST, UNIT, fill
from certs import keys
from certs.authority import Authority
from certs.chain import certificate_identity
from certs.errors import RotationError
from certs.files import PUBLIC, write_file
from certs.identity import Identity
from certs.slot_journal import Kind
from gateway import app
from gateway.clock import SystemClock
from gateway.config import GatewaySettings, load_gateway
from gateway.demo.founding import FEDERATION, FoundedMember, MemberPlan, found
from gateway.demo.ports import free_ports
from gateway.federation.directory_build import sign_directory
from wugan.federation.v1 import authority_pb2, directory_pb2

AUTHORITY_MEMBER = "12330000002482285F"
AUTHORITY_NAME = Identity.gateway(FEDERATION, AUTHORITY_MEMBER).tls_name
ROTATION = """
[authority]
url = "https://127.0.0.1:{port}"
tls_name = "{name}"

[rotation]
retire_after_s = 2.0
poll_s = 0.05
"""


class InProcess:
    """The authority's own hand as enroller."""

    def __init__(self, authority: Authority, member_id: str) -> None:
        self._authority = authority
        self._member_id = member_id

    async def enrol(self, kind: Kind, csr_der: bytes) -> bytes:
        issue = self._authority.issue_gateway_tls if kind == "tls" else self._authority.issue_signing
        return issue(self._member_id, x509.load_der_x509_csr(csr_der), now=dt.datetime.now(dt.UTC)).pem


@dataclass
class Office:
    """The authority's server."""

    folder: Path
    authority: Authority
    directory: directory_pb2.Directory
    sequences: dict[str, tuple[int, int]] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
    peers: list[tuple[str, bytes]] = field(default_factory=list)
    refuse: int = 0

    def member(self, request: web.Request) -> str:
        assert request.transport is not None
        der = request.transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
        pem = x509.load_der_x509_certificate(der).public_bytes(keys.serialization.Encoding.PEM)
        identity = certificate_identity(pem)
        self.peers.append((identity.member_id, der))
        return identity.member_id

    async def take_keys(self, request: web.Request) -> web.Response:
        if self.refuse:
            self.refuse -= 1
            return web.Response(status=503)
        told = authority_pb2.KeyPublication.FromString(await request.read())
        member_id = self.member(request)
        if told.member_id != member_id:
            return web.Response(status=403)
        before = self.sequences.get(member_id, (0, 0))
        if told.sequence < before[0]:
            return web.Response(status=409)
        if told.sequence > before[0]:
            self.publish(member_id, told)
            self.sequences[member_id] = told.sequence, self.directory.version
        return self.protobuf(authority_pb2.PublicationReceipt(directory_version=self.sequences[member_id][1]))

    def publish(self, member_id: str, told: authority_pb2.KeyPublication) -> None:
        entry = next(each for each in self.directory.members if each.member_id == member_id)
        for gateway in entry.gateways:
            gateway.tls_certificates[:] = told.tls_certificates
        del entry.signing_keys[:], entry.encryption_keys[:]
        entry.signing_keys.extend(told.signing_keys)
        entry.encryption_keys.extend(told.encryption_keys)
        now = dt.datetime.now(dt.UTC)
        self.directory.version += 1
        signed = sign_directory(
            self.authority,
            self.directory.members,
            version=self.directory.version,
            federation=FEDERATION,
            issued_at=now,
            expires_at=now + dt.timedelta(days=30),
        )
        write_file(self.folder / "directory.pb", signed, mode=PUBLIC, replace=True)

    async def take_seen(self, request: web.Request) -> web.Response:
        told = authority_pb2.DirectorySeen.FromString(await request.read())
        self.seen[self.member(request)] = told.version
        return await self.tell_seen(request)

    async def tell_seen(self, _request: web.Request) -> web.Response:
        members = [
            authority_pb2.MemberSeen(member_id=each.member_id, version=self.seen.get(each.member_id, 0))
            for each in self.directory.members
        ]
        return self.protobuf(authority_pb2.SeenReport(members=members))

    @staticmethod
    def protobuf(message: Any) -> web.Response:
        return web.Response(body=message.SerializeToString(), content_type="application/x-protobuf")


@contextlib.asynccontextmanager
async def serving_office(office: Office, port: int) -> AsyncIterator[None]:
    application = web.Application()
    application.add_routes(
        [
            web.post("/directory/keys", office.take_keys),
            web.post("/directory/seen", office.take_seen),
            web.get("/directory/seen", office.tell_seen),
        ]
    )
    key = keys.generate_tls_key()
    issued = office.authority.issue_gateway_tls(AUTHORITY_MEMBER, key.public_key(), now=dt.datetime.now(dt.UTC))
    keys.store_private_key(office.folder / "office-key.pem", key, replace=True)
    (office.folder / "office.pem").write_bytes(issued.pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(office.folder / "office.pem", office.folder / "office-key.pem")
    context.load_verify_locations(cadata=office.authority.root_pem.decode())
    context.verify_mode = ssl.CERT_REQUIRED
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context).start()
    try:
        yield
    finally:
        await runner.cleanup()


@dataclass
class TwoProvinces:
    """Both members, and the office."""

    folder: Path
    asking: FoundedMember
    answering: FoundedMember
    office: Office
    port: int

    def enroller(self, settings: GatewaySettings, *_more: object) -> InProcess:
        return InProcess(self.office.authority, settings.member_id)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Both gateways and the office, for the length of the block."""
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(serving_office(self.office, self.port))
            for member in (self.asking, self.answering):
                settings = load_gateway(member.config)
                await stack.enter_async_context(app.gateway(settings, SystemClock(), enroller=self.enroller))
            yield


def two_provinces(folder: Path, extra: str = "") -> TwoProvinces:
    now = dt.datetime.now(dt.UTC)
    departments = folder / "departments"
    departments.mkdir(parents=True)
    fill(departments / "insurance.db", now.date())
    manifest = departments / "health-insurance.yaml"
    manifest.write_text(MANIFEST, "utf-8")
    plans = [
        MemberPlan(*ASKING, units=((UNIT, "test"),), manifests=()),
        MemberPlan(*ANSWERING, units=(), manifests=(manifest,)),
    ]
    (port,) = free_ports(1)
    home = folder / "federation"
    told = ROTATION.format(port=port, name=AUTHORITY_NAME) + extra
    asking, answering = found(home, plans, now, extra=told, log_level="WARNING")
    signed = directory_pb2.SignedDirectory.FromString((home / "directory.pb").read_bytes())
    authority = Authority.load(home / "authority")
    office = Office(home, authority, directory_pb2.Directory.FromString(signed.directory))
    return TwoProvinces(folder, asking, answering, office, port)


def forget_keys(member: FoundedMember) -> None:
    """As before it was enrolled."""
    shutil.rmtree(member.keys)


class Refusing:
    """An enroller that is not there."""

    async def enrol(self, _kind: Kind, _csr_der: bytes) -> bytes:
        raise RotationError("the authority cannot be reached", "无法连接签发机构")
