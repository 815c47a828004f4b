"""EST with clients that nobody here wrote: OpenSSL makes keys and requests and reads answers, curl carries them."""

from __future__ import annotations

import base64
import datetime as dt
import os
import re
import shlex
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from authority_world import (
    FEDERATION,
    MEMBER,
    ROOT_PASSPHRASE,
    TLS_NAME,
    Ran,
    ServedAuthority,
    must,
    now,
    served,
)
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from certs import keys
from certs.authority import Authority
from certs.chain import certificate_identity
from certs.enrolment import Enrolment
from certs.est_server import est_app
from certs.identity import ROLE_DEPARTMENT, ROLE_UNIT, Identity
from tests.needs import require_tools

pytestmark = pytest.mark.integration

READER = """
import sys
from certs.est_wire import parse_certs_only
print(*(each.serial_number for each in parse_certs_only(sys.stdin.buffer.read())))
"""


class Client:
    """Somebody with a folder, OpenSSL and curl."""

    def __init__(self, world: ServedAuthority, folder: Path) -> None:
        self.world = world
        self.folder = folder
        self.roots = folder / "roots.pem"
        self.roots.write_bytes(world.authority.root_pem)

    async def openssl(self, line: str, stdin: bytes = b"") -> Ran:
        return await must("openssl", *shlex.split(line), stdin=stdin, cwd=self.folder)

    async def request(self, name: str, subject: str = "/", kind: str = "EC -pkeyopt ec_paramgen_curve:P-256") -> bytes:
        """Make a key and a certification request; the body for EST."""
        await self.openssl(f"genpkey -algorithm {kind} -out {name}.key")
        await self.openssl(f"req -new -key {name}.key -subj {subject} -outform DER -out {name}.csr")
        return (await self.openssl(f"base64 -in {name}.csr")).out

    async def curl(self, path: str, *options: str, body: bytes | None = None, cert: str = "") -> tuple[int, bytes]:
        """Status and body; the headers go to `headers`."""
        resolve = f"{TLS_NAME}:{self.world.tls_port}:127.0.0.1"
        command = ["curl", "--silent", "--show-error", "--tlsv1.3", "--cacert", str(self.roots), "--resolve", resolve]
        command += ["--dump-header", "headers", "--output", "answer", "--write-out", "%{http_code}", *options]
        if body is not None:
            command += ["--header", "Content-Type: application/pkcs10", "--data-binary", "@-"]
        if cert:
            command += ["--cert", f"{cert}.pem", "--key", f"{cert}.key"]
        (self.folder / "answer").unlink(missing_ok=True)
        ran = await must(*command, self.world.est + path, stdin=body or b"", cwd=self.folder)
        answer = self.folder / "answer"
        return int(ran.text), answer.read_bytes() if answer.exists() else b""

    def headers(self) -> dict[str, str]:
        lines = (self.folder / "headers").read_text().splitlines()
        return {name.lower(): value.strip() for name, colon, value in (line.partition(":") for line in lines) if colon}

    async def certificates(self, answer: bytes, name: str) -> list[x509.Certificate]:
        """What OpenSSL finds in an answer, also written to `<name>.pem`."""
        der = (await self.openssl("base64 -d", stdin=answer)).out
        pem = (await self.openssl("pkcs7 -inform DER -print_certs", stdin=der)).out
        (self.folder / f"{name}.pem").write_bytes(pem)
        # The same content is a CMS too.
        await self.openssl("cms -cmsout -inform DER -print -noout", stdin=der)
        return x509.load_pem_x509_certificates(pem)

    async def enrol(self, name: str, holder: Identity | None = None) -> x509.Certificate:
        """A whole enrolment; leaves `<name>.key` and `<name>.pem`, the latter with the issuing CA."""
        token = self.world.token(holder)
        body = await self.request(name)
        status, answer = await self.curl("/simpleenroll", "--user", f"{token.token_id}:{token.secret}", body=body)
        assert status == 200, answer
        (leaf,) = await self.certificates(answer, name)
        await self.with_issuing(name, leaf)
        return leaf

    async def with_issuing(self, name: str, leaf: x509.Certificate) -> None:
        """Put the issuing CA behind a leaf, as every EST client has to."""
        _, answer = await self.curl("/cacerts")
        chain = [one for one in await self.certificates(answer, "cacerts") if one.subject == leaf.issuer]
        with (self.folder / f"{name}.pem").open("wb") as file:
            for certificate in (leaf, *chain):
                file.write(certificate.public_bytes(Encoding.PEM))


@pytest_asyncio.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    require_tools("openssl", "curl")
    async with served(tmp_path / "authority") as world:
        (tmp_path / "client").mkdir()
        yield Client(world, tmp_path / "client")
        assert world.faults == []


async def test_the_ca_certificates_are_the_root_and_the_issuing_ca(client: Client) -> None:
    status, answer = await client.curl("/cacerts")
    assert status == 200
    headers = client.headers()
    assert headers["content-type"] == "application/pkcs7-mime; smime-type=certs-only"
    assert headers["content-transfer-encoding"] == "base64"
    found = await client.certificates(answer, "cacerts")
    assert set(found) == {client.world.authority.root, client.world.authority.issuing.all[0].certificate}


async def test_certificates_that_openssl_puts_together_are_taken_without_a_word(client: Client) -> None:
    """In whatever order: a set in DER has one only, and other EST servers send what OpenSSL makes."""
    leaf = await client.enrol("first")
    _, answer = await client.curl("/cacerts")
    await client.certificates(answer, "cacerts")
    for order in (("cacerts", "first"), ("first", "cacerts")):
        files = " ".join(f"-certfile {name}.pem" for name in order)
        der = (await client.openssl(f"crl2pkcs7 -nocrl -outform DER {files}")).out
        ran = await must(sys.executable, "-c", READER, stdin=base64.encodebytes(der))
        assert str(leaf.serial_number) in ran.text.split()
        assert not ran.err


async def test_a_whole_enrolment_and_a_renewal_by_openssl_and_curl(client: Client) -> None:
    leaf = await client.enrol("first")
    await client.openssl("verify -x509_strict -CAfile roots.pem -untrusted first.pem -purpose sslclient first.pem")
    assert certificate_identity((client.folder / "first.pem").read_bytes()) == Identity.gateway(FEDERATION, MEMBER)

    body = await client.request("second", f'"/O={MEMBER}/CN=gateway {MEMBER}"')
    status, answer = await client.curl("/simplereenroll", body=body, cert="first")
    assert status == 200, answer
    (renewed,) = await client.certificates(answer, "second")
    assert renewed.subject == leaf.subject
    assert renewed.serial_number != leaf.serial_number
    await client.openssl("x509 -in second.pem -noout -checkend 2500000")
    public = (await client.openssl("x509 -in second.pem -noout -pubkey")).out
    assert public == (await client.openssl("pkey -in second.key -pubout")).out


@pytest.mark.parametrize(("role", "name"), [(ROLE_UNIT, "330700"), (ROLE_DEPARTMENT, "health")])
async def test_agencies_and_departments_enrol_and_renew_in_the_same_way(client: Client, role: str, name: str) -> None:
    holder = Identity(FEDERATION, MEMBER, role, name)  # type: ignore[arg-type]
    await client.enrol("first", holder)
    status, answer = await client.curl("/tls/simplereenroll", body=await client.request("second"), cert="first")
    assert status == 200, answer
    await client.certificates(answer, "second")
    assert certificate_identity((client.folder / "second.pem").read_bytes()) == holder


async def test_a_gateway_gets_its_signing_certificate_with_its_tls_certificate(client: Client) -> None:
    await client.enrol("tls")
    body = await client.request("signing", kind="ED25519")
    status, answer = await client.curl("/signing/simplereenroll", body=body, cert="tls")
    assert status == 200, answer
    await client.certificates(answer, "signing")
    text = (await client.openssl("x509 -in signing.pem -noout -text")).text
    assert "ED25519" in text
    assert "2.25.284441273135143739694019708015765544424" in text


async def test_the_attributes_are_read_by_openssl(client: Client) -> None:
    for label, wanted in (("", ["id-ecPublicKey", "prime256v1", "ecdsa-with-SHA256"]), ("/signing", ["ED25519"])):
        status, answer = await client.curl(f"{label}/csrattrs")
        assert status == 200
        assert client.headers()["content-type"] == "application/csrattrs"
        der = (await client.openssl("base64 -d", stdin=answer)).out
        text = (await client.openssl("asn1parse -inform DER", stdin=der)).text
        assert [word for word in wanted if word in text] == wanted


async def test_a_token_works_once_and_a_wrong_one_never(client: Client) -> None:
    token = client.world.token()
    user = ("--user", f"{token.token_id}:{token.secret}")
    body = await client.request("one")
    for wrong in ((), ("--user", f"{token.token_id}:x"), ("--user", "x:y"), ("--oauth2-bearer", "x")):
        status, _ = await client.curl("/simpleenroll", *wrong, body=body)
        assert status == 401
        assert client.headers()["www-authenticate"].startswith("Basic realm=")
    assert (await client.curl("/simpleenroll", *user, body=body))[0] == 200
    assert (await client.curl("/simpleenroll", *user, body=await client.request("two")))[0] == 401


async def test_a_request_that_openssl_makes_of_another_kind_is_refused(client: Client) -> None:
    token = client.world.token()
    user = ("--user", f"{token.token_id}:{token.secret}")
    for kind in ("RSA -pkeyopt rsa_keygen_bits:2048", "EC -pkeyopt ec_paramgen_curve:P-384", "ED25519"):
        body = await client.request("other", kind=kind)
        status, answer = await client.curl("/simpleenroll", *user, body=body)
        assert status == 400
        assert b"P-256" in answer
    assert (await client.curl("/simpleenroll", *user, body=b"nonsense"))[0] == 400
    assert (await client.curl("/simpleenroll", *user, body=await client.request("good")))[0] == 200


async def test_renewal_needs_a_certificate_that_is_ours_and_not_revoked(client: Client, tmp_path: Path) -> None:
    body = await client.request("next")
    assert (await client.curl("/simplereenroll", body=body))[0] == 403
    leaf = await client.enrol("first")
    assert (await client.curl("/simplereenroll", body=body, cert="first"))[0] == 200
    client.world.revocation.revoke(leaf.serial_number, x509.ReasonFlags.key_compromise, now())
    status, answer = await client.curl("/simplereenroll", body=body, cert="first")
    assert (status, b"revoked" in answer) == (403, True)


async def test_who_comes_with_an_expired_certificate_is_told_so(client: Client) -> None:
    """Thirty days are soon over: a connection that just ends says nothing to an agency."""
    key, issued_at = keys.generate_tls_key(), now() - dt.timedelta(minutes=20)
    issued = client.world.authority.issue_gateway_tls(
        MEMBER, key.public_key(), now=issued_at, lifetime=dt.timedelta(minutes=1)
    )
    keys.store_private_key(client.folder / "expired.key", key)
    (client.folder / "expired.pem").write_bytes(issued.pem)
    status, answer = await client.curl("/simplereenroll", body=await client.request("next"), cert="expired")
    assert (status, b"expired" in answer, "过期".encode() in answer) == (403, True, True)
    assert client.world.refused == [("/.well-known/est/simplereenroll", "forbidden", issued.der)]


async def test_a_request_for_somebody_else_is_refused(client: Client) -> None:
    await client.enrol("first")
    for subject in ("/CN=gateway", f'"/O={MEMBER}/CN=gateway 12340000002482285X"'):
        body = await client.request("next", subject)
        status, answer = await client.curl("/simplereenroll", body=body, cert="first")
        assert (status, b"leave it empty" in answer, "请留空".encode() in answer) == (403, True, True)


async def test_a_stranger_gets_no_connection(client: Client) -> None:
    await client.openssl(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout stranger.key -out stranger.pem -days 2"
        f" -subj /CN=stranger -addext subjectAltName=URI:{Identity.gateway(FEDERATION, MEMBER).uri}"
    )
    with pytest.raises(AssertionError, match="\n000\n"):
        await client.curl("/simplereenroll", body=await client.request("next"), cert="stranger")


async def test_tls_below_1_3_is_not_spoken(client: Client) -> None:
    with pytest.raises(AssertionError, match="\n000\n"):
        await client.curl("/cacerts", "--tls-max", "1.2", "--tlsv1.2")
    assert (await client.curl("/cacerts"))[0] == 200


PKCS10 = ("--header", "Content-Type: application/pkcs10")
LARGE = "x" * 20_000


@pytest.mark.parametrize(
    ("path", "options", "status"),
    [
        ("/other/cacerts", (), 404),
        ("/other/simpleenroll", ("--data", "x", *PKCS10), 404),
        ("/nothing", (), 404),
        ("/cacerts", ("--data", "x"), 405),
        ("/simpleenroll", (), 405),
        ("/simpleenroll", ("--data", "x"), 415),
        ("/simpleenroll", ("--data", "x", *PKCS10, "--header", "Content-Encoding: gzip"), 415),
        ("/simpleenroll", ("--data", LARGE, *PKCS10), 413),
        ("/simpleenroll", ("--data", LARGE, *PKCS10, "--header", "Transfer-Encoding: chunked"), 413),
    ],
)
async def test_what_is_not_est_is_refused(client: Client, path: str, options: tuple[str, ...], status: int) -> None:
    got, answer = await client.curl(path, *options)
    assert got == status
    if path.startswith(("/other", "/simpleenroll")) and status != 405:
        en, zh = answer.decode().splitlines()
        assert en.isascii()
        assert not zh.isascii()


async def test_a_roll_of_the_issuing_ca_is_seen_at_the_next_enrolment_without_a_restart(client: Client) -> None:
    await client.enrol("first")
    client.world.authority.issuing.roll(now=now(), root_passphrase=ROOT_PASSPHRASE)
    status, answer = await client.curl("/simplereenroll", body=await client.request("second"), cert="first")
    assert status == 200
    (renewed,) = await client.certificates(answer, "second")
    await client.with_issuing("second", renewed)
    await client.openssl("verify -x509_strict -CAfile roots.pem -untrusted second.pem second.pem")
    # The new one is as good for the next renewal.
    assert (await client.curl("/simplereenroll", body=await client.request("third"), cert="second"))[0] == 200


async def test_a_broken_ledger_is_no_certificate_and_no_lost_token(tmp_path: Path) -> None:
    require_tools("openssl", "curl")
    async with served(tmp_path / "authority") as world:
        (tmp_path / "client").mkdir()
        client, token = Client(world, tmp_path / "client"), world.token()
        body = await client.request("one")
        world.authority.ledger.close()
        status, answer = await client.curl("/simpleenroll", "--user", f"{token.token_id}:{token.secret}", body=body)
        assert status == 503
        assert client.headers()["retry-after"] == "5"
        assert b"ledger" not in answer
        assert len(world.faults) == 1


async def test_est_is_not_spoken_without_tls(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path / "ca", FEDERATION, now=now(), root_passphrase=ROOT_PASSPHRASE)
    app = web.Application()
    app.add_subapp("/.well-known/est", est_app(Enrolment(authority), now))
    async with TestClient(TestServer(app)) as plain:
        assert (await plain.get("/.well-known/est/cacerts")).status == 403


async def test_the_commands_in_the_document_enrol_and_renew(client: Client) -> None:
    text = (Path(__file__).parents[2] / "docs" / "enrolment.md").read_text("utf-8")
    steps = re.findall(r"^```sh\n(.*?)^```$", text, re.M | re.S)
    assert len(steps) == 2
    token = client.world.token()
    (client.folder / "root.pem").write_bytes(client.world.authority.root_pem)
    # The one thing that a document cannot know: where the name leads to.
    (client.folder / ".curlrc").write_text(f'resolve = "{TLS_NAME}:{client.world.tls_port}:127.0.0.1"\nsilent\n')
    settings = {
        "PATH": os.environ["PATH"],
        "CURL_HOME": str(client.folder),
        "AUTHORITY": f"https://{TLS_NAME}:{client.world.tls_port}",
        "TOKEN": f"{token.token_id}:{token.secret}",
    }
    given = [f"{name}={value}" for name, value in settings.items()]
    for step in steps:
        ran = await must("env", "-i", *given, "bash", "-e", "-o", "pipefail", "-c", step, cwd=client.folder)
        assert ran.text.strip().endswith(".pem: OK")
    for name in ("tls", "next"):
        pem = (client.folder / f"{name}.pem").read_bytes()
        assert certificate_identity(pem) == Identity.gateway(FEDERATION, MEMBER)
