"""What the authority refuses to a certificate of before is asked with that of the moment, once; one after another."""

from __future__ import annotations

import asyncio
import ssl
from types import SimpleNamespace
from typing import Any, cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from certs import keys
from certs.errors import CertsError, EstError, EstLaterError, RotationError
from gateway.federation.authority_client import AuthorityClient, LaterError
from gateway.federation.enrolling import EstEnroller
from gateway.sections.trust import AuthoritySettings
from wugan.federation.v1 import authority_pb2

FORMER, NEWEST = (cast("ssl.SSLContext", object()) for _ in range(2))
SETTINGS = AuthoritySettings(url="https://authority.example", tls_name="authority.example")
CSR = (
    x509.CertificateSigningRequestBuilder()
    .subject_name(x509.Name([]))
    .sign(keys.generate_tls_key(), hashes.SHA256())
    .public_bytes(serialization.Encoding.DER)
)


class Link:
    """Two identities; `former` says whether the one of before is shown."""

    session = None

    def __init__(self, *, former: bool) -> None:
        self.former = former

    async def context(self) -> ssl.SSLContext:
        return FORMER if self.former else NEWEST

    proving = context

    def give_up(self, context: ssl.SSLContext) -> bool:
        if context is NEWEST:
            return False
        self.former = False
        return True


class Authority:
    """Fails with what it is told to, by identity; counts who is there at once."""

    def __init__(self, link: Link, failing: dict[ssl.SSLContext, CertsError]) -> None:
        self.link = link
        self.failing = failing
        self.asked: list[ssl.SSLContext] = []
        self.present = self.most = 0

    async def answer(self, context: ssl.SSLContext) -> Any:
        self.asked.append(context)
        self.present += 1
        self.most = max(self.most, self.present)
        for _ in range(3):
            await asyncio.sleep(0)
        self.present -= 1
        if context in self.failing:
            raise self.failing[context]
        return SimpleNamespace(pem=b"chain")

    def enroller(self) -> EstEnroller:
        def client(context: ssl.SSLContext, *_more: object) -> Any:
            async def simplereenroll(_request: object, _label: str) -> Any:
                return await self.answer(context)

            return SimpleNamespace(simplereenroll=simplereenroll, issuers=())

        return EstEnroller(cast("Any", SimpleNamespace(link=self.link, label=str, client=client)))

    def client(self, monkeypatch: pytest.MonkeyPatch) -> AuthorityClient:
        made = AuthorityClient(SETTINGS, "11330000002482285J", cast("Any", self.link))

        async def sent(context: ssl.SSLContext, *_what: object) -> bytes:
            await self.answer(context)
            return authority_pb2.SeenReport().SerializeToString()

        monkeypatch.setattr(made, "_sent", sent)
        return made


def refused(cls: type[CertsError]) -> CertsError:
    return cls("refused (status 403): revoked", "已拒绝")


async def test_a_renewal_refused_to_a_certificate_of_before_is_asked_with_the_newest() -> None:
    authority = Authority(Link(former=True), {FORMER: refused(EstError)})
    assert await authority.enroller().enrol("tls", CSR) == b"chain"
    assert authority.asked == [FORMER, NEWEST]


async def test_a_renewal_refused_to_the_newest_is_refused() -> None:
    for former, asked in ((False, [NEWEST]), (True, [FORMER, NEWEST])):
        authority = Authority(Link(former=former), {each: refused(EstError) for each in (FORMER, NEWEST)})
        with pytest.raises(EstError, match="revoked"):
            await authority.enroller().enrol("signing", CSR)
        assert authority.asked == asked


async def test_a_server_that_is_busy_is_not_asked_at_once_again() -> None:
    link = Link(former=True)
    authority = Authority(link, {FORMER: EstLaterError(5.0, 503)})
    with pytest.raises(EstLaterError):
        await authority.enroller().enrol("tls", CSR)
    assert authority.asked == [FORMER]
    assert not link.former, "the next time it is the newest that asks"


async def test_renewals_go_one_after_the_other_whatever_becomes_of_them() -> None:
    authority = Authority(Link(former=False), {})
    enroller = authority.enroller()
    assert await asyncio.gather(enroller.enrol("tls", CSR), enroller.enrol("signing", CSR)) == [b"chain", b"chain"]
    authority.failing = {NEWEST: refused(EstError)}
    came = await asyncio.gather(*(enroller.enrol("tls", CSR) for _ in range(2)), return_exceptions=True)
    assert [type(each) for each in came] == [EstError, EstError]
    assert authority.most == 1


async def test_a_report_refused_to_a_certificate_of_before_is_made_with_the_newest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    authority = Authority(Link(former=True), {FORMER: refused(RotationError)})
    assert await authority.client(monkeypatch).report_seen(3) == {}
    assert authority.asked == [FORMER, NEWEST]
    authority.failing = {NEWEST: refused(RotationError)}
    with pytest.raises(RotationError, match="revoked"):
        await authority.client(monkeypatch).seen()
    assert authority.asked == [FORMER, NEWEST, NEWEST]


async def test_an_authority_that_is_away_is_tried_as_often_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(Link(former=True), {each: LaterError("away", "不可达") for each in (FORMER, NEWEST)})
    monkeypatch.setattr("gateway.federation.authority_client._SPREAD", lambda _state: 0.0)
    with pytest.raises(LaterError):
        await authority.client(monkeypatch).seen()
    assert authority.asked == [FORMER, NEWEST, NEWEST]
