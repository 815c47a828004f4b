"""The EST client against our server, and against servers that do things in another way, or wrongly."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from authority_world import FEDERATION, MEMBER, ROOT_PASSPHRASE, TLS_NAME, ServedAuthority, now, served
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import pkcs7

from certs import est_wire, keys, profiles
from certs.authority import Authority
from certs.errors import EstError, EstLaterError
from certs.est_client import EstClient
from certs.identity import Identity
from certs.server_tls import ServerTls
from certs.tls_context import client_context, server_context

pytestmark = pytest.mark.integration

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def request(key: Any) -> x509.CertificateSigningRequest:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, hashes.SHA256() if hasattr(key, "curve") else None)


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[ServedAuthority]:
    async with served(tmp_path / "authority") as running:
        yield running


def client(world: ServedAuthority, context: ssl.SSLContext | None = None, **options: Any) -> EstClient:
    url = f"https://127.0.0.1:{world.tls_port}"
    options = {"tls_name": TLS_NAME, **options}
    return EstClient(url, context or client_context(world.authority.root_pem), **options)


async def test_a_gateway_enrols_renews_and_gets_its_signing_certificate(world: ServedAuthority) -> None:
    token, key = world.token(), keys.generate_tls_key()
    issuing = world.authority.issuing.all[0].certificate
    async with client(world) as est:
        assert set(await est.cacerts()) == {world.authority.root, issuing}
        assert "1.2.840.10045.3.1.7" in await est.csrattrs()
        assert await est.csrattrs("signing") == ("1.3.101.112",)
        enrolled = await est.simpleenroll(request(key), token.token_id, token.secret)
    assert enrolled.chain[1:] == (issuing,)
    async with client(world, client_context(world.authority.root_pem, key, enrolled.pem)) as est:
        renewed = await est.simplereenroll(request(keys.generate_tls_key()))
        assert renewed.certificate.subject == enrolled.certificate.subject
        # The issuing CA is replaced while the connection is open.
        made = world.authority.issuing.roll(now=now(), root_passphrase=ROOT_PASSPHRASE)
        signer = keys.generate_signing_key()
        signing = await est.simplereenroll(request(signer), "signing")
    assert signing.certificate.public_key() == signer.public_key()
    assert signing.chain[1:] == (made.certificate,)


async def test_a_refusal_is_told_with_the_servers_reason(world: ServedAuthority) -> None:
    async with client(world) as est:
        with pytest.raises(EstError, match="token is not valid") as caught:
            await est.simpleenroll(request(keys.generate_tls_key()), "x", "y")
        assert (caught.value.status, caught.value.retryable) == (401, False)
        with pytest.raises(EstError, match="403"):
            await est.simplereenroll(request(keys.generate_tls_key()))
        with pytest.raises(EstError, match="404"):
            await est.cacerts("other")


async def test_a_certificate_revoked_on_an_open_connection_renews_nothing(world: ServedAuthority) -> None:
    key = keys.generate_tls_key()
    issued = world.authority.issue_gateway_tls(MEMBER, key.public_key(), now=now())
    async with client(world, client_context(world.authority.root_pem, key, issued.pem)) as est:
        await est.simplereenroll(request(keys.generate_tls_key()))
        world.revocation.revoke(issued.certificate.serial_number, x509.ReasonFlags.key_compromise, now())
        with pytest.raises(EstError, match="revoked"):
            await est.simplereenroll(request(keys.generate_tls_key()))


async def test_a_server_of_another_root_or_another_name_gets_no_token(world: ServedAuthority, tmp_path: Path) -> None:
    other = Authority.create(tmp_path / "other", FEDERATION, now=now(), root_passphrase=ROOT_PASSPHRASE)
    gateway = Identity.gateway(FEDERATION, MEMBER).tls_name
    for est in (client(world, client_context(other.root_pem)), client(world, tls_name=gateway)):
        async with est:
            with pytest.raises(EstError, match="no TLS connection"):
                await est.simpleenroll(request(keys.generate_tls_key()), "x", "y")


async def test_a_members_gateway_cannot_pass_for_the_authority(world: ServedAuthority) -> None:
    key = keys.generate_tls_key()
    issued = world.authority.issue_gateway_tls(MEMBER, key.public_key(), now=now())
    server = server_context(key, issued.pem, world.authority.root_pem)
    believing = client_context(world.authority.root_pem)
    async with (
        serving({}, server) as port,
        EstClient(f"https://127.0.0.1:{port}", believing, tls_name=TLS_NAME) as est,
    ):
        with pytest.raises(EstError, match="no TLS connection"):
            await est.cacerts()


async def test_the_authoritys_certificate_is_replaced_while_it_serves(tmp_path: Path) -> None:
    started = now() - profiles.TLS_LIFETIME * 0.7
    authority = Authority.create(tmp_path / "ca", FEDERATION, now=started, root_passphrase=ROOT_PASSPHRASE)
    tls = ServerTls(authority, started)
    assert not tls.renew_if_due(started + profiles.TLS_LIFETIME / 2)

    async def serial(port: int) -> str:
        context = client_context(authority.root_pem)
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=TLS_NAME)
        connection = writer.get_extra_info("ssl_object")
        assert connection.version() == "TLSv1.3"
        writer.close()
        return str(connection.getpeercert()["serialNumber"])

    async with serving({}, tls.context) as port:
        first = await serial(port)
        assert await serial(port) == first
        assert tls.renew_if_due(now())
        assert await serial(port) != first


@asynccontextmanager
async def serving(handlers: dict[str, Handler], context: ssl.SSLContext) -> AsyncIterator[int]:
    app = web.Application()
    for path, handler in handlers.items():
        app.router.add_route("*", path, handler)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


class Foreign:
    """Another EST server, which answers as it is told."""

    def __init__(self, authority: Authority, port: int, answers: dict[str, Any]) -> None:
        self.authority = authority
        self.answers = answers
        self.asked: list[str] = []
        self.client = EstClient(
            f"https://127.0.0.1:{port}/pki/", client_context(authority.root_pem), tls_name=TLS_NAME, timeout_s=60.0
        )


@pytest_asyncio.fixture
async def foreign(tmp_path: Path) -> AsyncIterator[Foreign]:
    authority = Authority.create(tmp_path / "ca", FEDERATION, now=now(), root_passphrase=ROOT_PASSPHRASE)
    answers: dict[str, Any] = {}
    asked: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        operation = request.match_info["operation"]
        asked.append(operation)
        told = answers[operation]
        if callable(told):
            told = await told(request)
        return told if isinstance(told, web.StreamResponse) else web.Response(body=told)

    async with serving({"/pki/.well-known/est/{operation}": answer}, ServerTls(authority, now()).context) as port:
        made = Foreign(authority, port, answers)
        made.asked = asked
        async with made.client:
            yield made


def bundle(*certificates: x509.Certificate) -> bytes:
    return pkcs7.serialize_certificates(list(certificates), serialization.Encoding.DER)


@pytest.mark.parametrize("form", ["alone", "with its chain", "with everything, in pem", "bare der"])
async def test_a_new_certificate_is_found_however_it_is_sent(foreign: Foreign, form: str) -> None:
    key = keys.generate_tls_key()
    issued = foreign.authority.issue_gateway_tls(MEMBER, key.public_key(), now=now())
    root = foreign.authority.root
    match form:
        case "alone":
            body = est_wire.encode(bundle(issued.certificate))
        case "with its chain":
            body = est_wire.encode(bundle(issued.issuing, issued.certificate)).replace(b"\n", b"\r\n")
        case "bare der":
            body = bundle(issued.certificate)
        case _:
            everything = [root, issued.issuing, issued.certificate]
            body = pkcs7.serialize_certificates(everything, serialization.Encoding.PEM)
    foreign.answers.update(simpleenroll=body, cacerts=est_wire.certs_only([issued.issuing, root]))
    enrolled = await foreign.client.simpleenroll(request(key), "user", "password")
    assert enrolled.chain == (issued.certificate, issued.issuing)


async def test_an_issuer_that_is_known_is_not_asked_for_again_and_another_one_is(foreign: Foreign) -> None:
    authority = foreign.authority

    async def operations() -> list[str]:
        foreign.asked.clear()
        key = keys.generate_tls_key()
        issued = authority.issue_gateway_tls(MEMBER, key.public_key(), now=now())
        foreign.answers.update(
            simpleenroll=est_wire.encode(bundle(issued.certificate)),
            cacerts=est_wire.certs_only([issued.issuing, authority.root]),
        )
        enrolled = await foreign.client.simpleenroll(request(key), "user", "password")
        assert enrolled.chain == (issued.certificate, issued.issuing)
        return foreign.asked.copy()

    assert await operations() == ["simpleenroll", "cacerts"]
    assert await operations() == ["simpleenroll"]
    authority.issuing.roll(now=now(), root_passphrase=ROOT_PASSPHRASE)
    assert await operations() == ["simpleenroll", "cacerts"]


async def test_a_session_that_others_use_is_not_closed(world: ServedAuthority) -> None:
    async with aiohttp.ClientSession() as session:
        async with client(world, session=session) as est:
            await est.cacerts()
        assert not session.closed


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "99999999999999"}, 86_400.0),
        ({"Retry-After": "Fri, 20 Nov 2026 12:01:30 GMT", "Date": "Fri, 20 Nov 2026 12:00:00 GMT"}, 90.0),
        ({"Retry-After": "Fri, 20 Nov 2026 11:00:00 GMT", "Date": "Fri, 20 Nov 2026 12:00:00 GMT"}, 1.0),
        ({"Retry-After": "soon"}, 60.0),
        ({}, 60.0),
    ],
)
@pytest.mark.parametrize("status", [202, 503])
async def test_a_server_may_ask_to_come_back_later(
    foreign: Foreign, status: int, header: dict[str, str], seconds: float
) -> None:
    foreign.answers["simpleenroll"] = web.Response(status=status, headers=header)
    with pytest.raises(EstLaterError) as caught:
        await foreign.client.simpleenroll(request(keys.generate_tls_key()), "user", "password")
    assert (caught.value.retry_after_s, caught.value.status, caught.value.retryable) == (seconds, status, True)


async def test_a_server_may_have_no_wishes(foreign: Foreign) -> None:
    for answer in (web.Response(status=204), web.Response(status=404), b""):
        foreign.answers["csrattrs"] = answer
        assert await foreign.client.csrattrs() == ()


async def test_a_certificate_for_another_key_is_refused(foreign: Foreign) -> None:
    other = foreign.authority.issue_gateway_tls(MEMBER, keys.generate_tls_key().public_key(), now=now())
    foreign.answers["simpleenroll"] = est_wire.certs_only([other.certificate])
    with pytest.raises(EstError, match="key of the request"):
        await foreign.client.simpleenroll(request(keys.generate_tls_key()), "user", "password")


@pytest.mark.parametrize(
    "answer",
    [b"", b"<html>", b"x" * (est_wire.MAX_ANSWER_BYTES + 1), est_wire.encode(b"\x30\x00")],
    ids=["nothing", "a page", "too much", "no pkcs7"],
)
async def test_an_answer_that_is_none_is_refused(foreign: Foreign, answer: bytes) -> None:
    foreign.answers["cacerts"] = answer
    with pytest.raises(EstError):
        await foreign.client.cacerts()


async def test_a_redirection_is_not_followed(foreign: Foreign) -> None:
    foreign.answers["cacerts"] = web.Response(status=302, headers={"Location": "/pki/.well-known/est/csrattrs"})
    with pytest.raises(EstError, match="302"):
        await foreign.client.cacerts()
    assert foreign.asked == ["cacerts"]


async def test_a_reason_is_cut_and_made_printable(foreign: Foreign) -> None:
    foreign.answers["cacerts"] = web.Response(status=500, body=b"\x1b[31m\n" + b"x" * 100_000)
    with pytest.raises(EstError) as caught:
        await foreign.client.cacerts()
    assert caught.value.retryable
    assert len(caught.value.en) < 1_200
    assert caught.value.en.isprintable()


async def test_a_server_that_does_not_answer_is_left(foreign: Foreign) -> None:
    released = asyncio.Event()

    async def silent(request: web.Request) -> bytes:
        await released.wait()
        return b""

    foreign.answers["cacerts"] = silent
    foreign.client._timeout_s = 0.2
    with pytest.raises(EstError, match="did not answer") as caught:
        await foreign.client.cacerts()
    assert caught.value.retryable
    released.set()


async def test_a_server_that_is_not_there_is_told(world: ServedAuthority, unused_tcp_port: int) -> None:
    est = EstClient(f"https://127.0.0.1:{unused_tcp_port}", client_context(world.authority.root_pem))
    async with est:
        with pytest.raises(EstError, match="cannot be reached") as caught:
            await est.cacerts()
    assert caught.value.retryable


def test_only_https_is_spoken(tmp_path: Path) -> None:
    with pytest.raises(EstError, match="https"):
        EstClient("http://127.0.0.1", ssl.create_default_context())
