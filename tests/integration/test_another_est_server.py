"""A province whose keys are certified by an EST server and a CA of its own: it takes part, and is out with its CA."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from office_world import TwoProvinces, two_provinces

from bench.federation import UNIT, requests
from certs import keys
from certs.authority import Authority
from certs.chain import issued_by
from certs.enrolment import Enrolment
from certs.est_client import WELL_KNOWN
from certs.est_server import est_app
from certs.files import PUBLIC, write_file
from certs.holders import certificate_pem
from certs.identity import Identity
from certs.slot_journal import KINDS
from certs.tls_context import server_context
from gateway.channels import agency_channel
from gateway.clock import SystemClock
from gateway.config import GatewaySettings, load_agency, load_gateway
from gateway.demo.founding import FEDERATION
from gateway.errors import ConfigError
from gateway.federation.enrolling import Token
from gateway.federation.own_hand import own_hand
from wugan.agency.v1 import agency_pb2, agency_pb2_grpc

pytestmark = pytest.mark.integration

ELSEWHERE = "elsewhere.example"


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@dataclass
class Elsewhere:
    """An EST server that is not the federation's authority, and its CA."""

    ca: Authority
    certificate: x509.Certificate
    url: str
    roots: Path

    def token(self, holder: Identity) -> Token:
        made = self.ca.ledger.tokens.make(holder, now(), dt.timedelta(hours=1))
        return Token(made.token_id, made.secret)


@contextlib.asynccontextmanager
async def elsewhere(provinces: TwoProvinces, folder: Path) -> AsyncIterator[Elsewhere]:
    """The member's own CA under the federation's root; its web server lies under a root of the province's own."""
    member_id = provinces.answering.plan.member_id
    key = keys.generate_authority_key()
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA384())
    with provinces.office() as office:
        certificate = office.certify_ca(csr.public_bytes(serialization.Encoding.PEM), member_id, None, None)
        roots = office.authority.root_pem
    home = folder / "own-ca"
    home.mkdir()
    keys.store_private_key(home / "issuing-key.pem", key)
    for name, pem in (("root.pem", roots), ("issuing.pem", certificate_pem(certificate))):
        write_file(home / name, pem, mode=PUBLIC, replace=False)
    with contextlib.closing(Authority.load(home)) as ca:
        web_root = Authority.create(folder / "web", ELSEWHERE, now=now(), loopback=True)
        shown = keys.generate_tls_key()
        chain = web_root.issue_authority_tls(shown.public_key(), now=now()).pem
        app = web.Application()
        app.add_subapp(WELL_KNOWN, est_app(Enrolment(ca), now))
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_context(shown, chain, roots)).start()
            url = f"https://127.0.0.1:{runner.addresses[0][1]}"
            yield Elsewhere(ca, certificate, url, folder / "web" / "root.pem")
        finally:
            await runner.cleanup()
            web_root.close()


async def asked(provinces: TwoProvinces, body: bytes) -> agency_pb2.CheckResponse:
    channel = agency_channel(load_agency(provinces.asking.agency_config(UNIT)))
    try:
        stub = agency_pb2_grpc.AgencyServiceStub(channel)
        return await stub.Check(agency_pb2.CheckRequest.FromString(body), timeout=60)
    finally:
        await channel.close()


async def enrolled(settings: GatewaySettings, token: Token) -> None:
    async with own_hand(settings, SystemClock(), lambda _: None, token=token) as hand:
        await hand.rotator.rotate(KINDS, "first keys")
        await hand.work(SystemClock(), 0.0)


async def test_a_province_with_an_est_server_of_its_own_takes_part_until_its_ca_is_taken_back(tmp_path: Path) -> None:
    provinces = two_provinces(tmp_path)
    member, bodies = provinces.answering, requests(fresh=True)
    provinces.forget_keys(member)
    holder = Identity.gateway(FEDERATION, member.plan.member_id)
    async with elsewhere(provinces, tmp_path) as there:
        text = member.config.read_text("utf-8")
        est = f'\n[est]\nurl = "{there.url}"\ntls_name = "authority.{ELSEWHERE}"\nroots = "{there.roots}"\n'
        member.config.write_text(text + est, "utf-8")
        settings, clock = load_gateway(member.config), SystemClock()

        async with provinces.authority():
            # Its EST server certifies it, which counts for nothing before the federation's authority says so.
            with pytest.raises(ConfigError, match="403"):
                await enrolled(settings, there.token(holder))
            with provinces.office() as office:
                office.accept_ca(certificate_pem(there.certificate), member.plan.member_id)
            async with own_hand(settings, clock, lambda _: None) as hand:
                assert await hand.work(clock, 0.0)
                await hand.rotator.rotate(("tls", "signing"), "renewed with what it has", urgent=True)
                assert await hand.work(clock, 0.0)
                for kind in ("tls", "signing"):
                    current = hand.slots.journal.current(kind)
                    assert current is not None
                    assert current.number == 2
                    leaf = x509.load_pem_x509_certificate(hand.slots.chain(current))
                    assert issued_by(leaf, there.certificate)

        async with provinces.running():
            answer = await asked(provinces, bodies[0])
            assert answer.answers
            assert not answer.partial
            with provinces.office() as office:
                office.revoke_issuing("external-1")
                version = office.version()
                async with asyncio.timeout(60):
                    while any(
                        each.version < version
                        for each in office.seen().members
                        if each.member_id == provinces.asking.plan.member_id
                    ):
                        await asyncio.sleep(0.05)
            with pytest.raises(grpc.aio.AioRpcError, match="does not open or verify"):
                await asked(provinces, bodies[1])
