"""Revocation lists and OCSP as OpenSSL and curl see them."""

from __future__ import annotations

import base64
import datetime as dt
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest
import pytest_asyncio
from authority_world import MEMBER, ROOT_PASSPHRASE, Ran, ServedAuthority, must, now, run, served
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from certs import keys
from certs.authority import Authority
from certs.issuing import IssuingCa
from certs.revocation import Revocation
from tests.needs import require_tools

pytestmark = pytest.mark.integration


class Verifier:
    """Somebody who knows the root and has a certificate to check."""

    def __init__(self, world: ServedAuthority, folder: Path) -> None:
        self.world = world
        self.folder = folder
        self.file("root.pem", world.authority.root)
        self.issue()

    def file(self, name: str, certificate: x509.Certificate) -> None:
        (self.folder / name).write_bytes(certificate.public_bytes(Encoding.PEM))

    def issue(self) -> None:
        key = keys.generate_tls_key().public_key()
        issued = self.world.authority.issue_gateway_tls(MEMBER, key, now=now())
        self.leaf = issued.certificate
        self.file("leaf.pem", issued.certificate)
        self.file("issuing.pem", issued.issuing)

    def revoke(self, reason: x509.ReasonFlags = x509.ReasonFlags.key_compromise) -> None:
        self.world.revocation.revoke(self.leaf.serial_number, reason, now())

    async def ocsp(self, *options: str, digest: str = "-sha1", about: tuple[str, ...] = ("-cert", "leaf.pem")) -> Ran:
        return await run(
            *["openssl", "ocsp", "-issuer", "issuing.pem", digest, *about, "-CAfile", "root.pem"],
            *["-verify_other", "issuing.pem", "-url", f"{self.world.plain}/ocsp", *options],
            cwd=self.folder,
        )

    async def fetch(self, path: str, name: str) -> None:
        await must("curl", "--silent", "--fail", "--output", name, self.world.plain + path, cwd=self.folder)

    async def check_crl(self, name: str = "issuing") -> Ran:
        await self.fetch(f"/crl/{name}.crl", "list.crl")
        crl = await must("openssl", "crl", "-inform", "DER", "-in", "list.crl", "-out", "list.pem", cwd=self.folder)
        assert crl.code == 0
        return await run(
            *["openssl", "verify", "-x509_strict", "-crl_check", "-CRLfile", "list.pem", "-CAfile", "root.pem"],
            *["-untrusted", "issuing.pem", "leaf.pem"],
            cwd=self.folder,
        )


@pytest_asyncio.fixture
async def verifier(tmp_path: Path) -> AsyncIterator[Verifier]:
    require_tools("openssl", "curl")
    async with served(tmp_path / "authority") as world:
        (tmp_path / "verifier").mkdir()
        yield Verifier(world, tmp_path / "verifier")
        assert world.faults == []


@pytest.mark.parametrize("digest", ["-sha1", "-sha256", "-sha384"])
@pytest.mark.parametrize("options", [(), ("-no_nonce",)], ids=["nonce", "no nonce"])
async def test_openssl_ocsp_believes_good_and_then_revoked(
    verifier: Verifier, digest: str, options: tuple[str, ...]
) -> None:
    answer = await verifier.ocsp(*options, digest=digest)
    assert "Response verify OK" in answer.err
    assert "leaf.pem: good" in answer.text
    assert "nonce" not in answer.err.lower()
    verifier.revoke()
    answer = await verifier.ocsp()
    assert "Response verify OK" in answer.err
    assert "leaf.pem: revoked" in answer.text
    assert "keyCompromise" in answer.text


async def test_openssl_ocsp_hears_unknown_for_what_was_never_issued(verifier: Verifier) -> None:
    answer = await verifier.ocsp(about=("-serial", "0x1234"))
    assert "Response verify OK" in answer.err
    assert "0x1234: unknown" in answer.text


async def test_a_serial_number_that_no_certificate_can_have_is_malformed(verifier: Verifier) -> None:
    answer = await verifier.ocsp(about=("-serial", "-5"))
    assert "malformedrequest (1)" in answer.text + answer.err


async def test_two_questions_at_once_are_malformed(verifier: Verifier) -> None:
    answer = await verifier.ocsp(about=("-cert", "leaf.pem", "-serial", "0x1234"))
    assert "malformedrequest (1)" in answer.text


async def test_ocsp_is_answered_for_another_authority_with_unauthorized(verifier: Verifier, tmp_path: Path) -> None:
    async with served(tmp_path / "other") as other:
        verifier.file("issuing.pem", other.authority.issuing.all[0].certificate)
        answer = await verifier.ocsp()
    assert "unauthorized (6)" in answer.text + answer.err


async def test_ocsp_by_get_with_a_path_escaped_or_not(verifier: Verifier) -> None:
    command = ["openssl", "ocsp", "-issuer", "issuing.pem", "-cert", "leaf.pem", "-no_nonce", "-reqout", "request.der"]
    await must(*command, cwd=verifier.folder)
    text = base64.b64encode((verifier.folder / "request.der").read_bytes()).decode()
    for path in (quote(text, safe=""), text):
        await must(
            *["curl", "--silent", "--fail", "--path-as-is", "--output", "answer.der", "--dump-header", "headers"],
            f"{verifier.world.plain}/ocsp/{path}",
            cwd=verifier.folder,
        )
        headers = (verifier.folder / "headers").read_text().lower()
        assert "content-type: application/ocsp-response" in headers
        assert "cache-control: max-age=300" in headers
        shown = await must("openssl", "ocsp", "-respin", "answer.der", "-noverify", "-text", cwd=verifier.folder)
        assert "Cert Status: good" in shown.text


@pytest.mark.parametrize(
    ("options", "status"),
    [
        (("--data-binary", "nonsense", "--header", "Content-Type: application/ocsp-request"), "200"),
        (("--data-binary", "x" * 5000, "--header", "Content-Type: application/ocsp-request"), "413"),
        (("--data-binary", "x"), "415"),
        (("--request", "PUT"), "405"),
    ],
)
async def test_what_is_no_ocsp_request_is_refused(verifier: Verifier, options: tuple[str, ...], status: str) -> None:
    command = ["curl", "--silent", "--output", "answer.der", "--write-out", "%{http_code}", *options]
    ran = await must(*command, f"{verifier.world.plain}/ocsp", cwd=verifier.folder)
    assert ran.text == status
    if status == "200":
        shown = await run("openssl", "ocsp", "-respin", "answer.der", "-noverify", cwd=verifier.folder)
        assert "malformedrequest (1)" in shown.text + shown.err


async def test_openssl_verify_follows_the_revocation_list(verifier: Verifier) -> None:
    answer = await verifier.check_crl()
    assert answer.code == 0, answer.err
    verifier.revoke()
    answer = await verifier.check_crl()
    assert answer.code != 0
    assert "certificate revoked" in answer.err
    shown = await must(
        "openssl", "crl", "-in", "list.pem", "-noout", "-text", "-CAfile", "issuing.pem", cwd=verifier.folder
    )
    assert "verify OK" in shown.err
    number = re.search(r"X509v3 CRL Number: \n +([0-9]+)\n", shown.text)
    assert number, shown.text
    assert (now() - dt.timedelta(hours=1)).timestamp() < int(number[1]) / 1000 < (now().timestamp() + 3600)
    assert "Key Compromise" in shown.text
    assert f"{verifier.leaf.serial_number:X}".zfill(2) in shown.text.replace(":", "")


async def test_openssl_reads_higher_numbers_after_a_restore(
    verifier: Verifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `-crlnumber` prints is what `wugan authority publish --crl-above` takes."""

    async def listed() -> int:
        await verifier.check_crl()
        asked = ("openssl", "crl", "-in", "list.pem", "-noout", "-crlnumber", "-verify", "-CAfile", "issuing.pem")
        shown = await must(*asked, cwd=verifier.folder)
        assert "verify OK" in shown.err
        return int(shown.text.strip().removeprefix("crlNumber="), 0)

    first = await listed()
    shutil.copytree(tmp_path / "authority", tmp_path / "backup")
    for _ in range(3):
        verifier.revoke()
        verifier.issue()
        seen = await listed()
    assert seen > first + 3
    backup = Revocation(Authority.load(tmp_path / "backup"))
    monkeypatch.setattr(verifier.world.revocation, "crl", backup.crl)
    assert await listed() > seen
    backup.number_above(1 << 100)
    assert await listed() == (1 << 100) + 1


async def test_each_issuing_ca_answers_for_its_own_leaves_after_a_roll(verifier: Verifier) -> None:
    verifier.revoke()
    made: IssuingCa = verifier.world.authority.issuing.roll(now=now(), root_passphrase=ROOT_PASSPHRASE)
    assert "leaf.pem: revoked" in (await verifier.ocsp()).text
    assert "certificate revoked" in (await verifier.check_crl()).err
    verifier.issue()
    assert "leaf.pem: good" in (await verifier.ocsp()).text
    assert (await verifier.check_crl(made.name)).code == 0


async def test_the_places_that_a_certificate_names_are_the_places_that_answer(verifier: Verifier) -> None:
    def run_openssl(*options: str) -> list[str]:
        return ["openssl", "x509", "-in", "leaf.pem", "-noout", *options]

    place = (await must(*run_openssl("-ocsp_uri"), cwd=verifier.folder)).text.strip()
    assert place == f"{verifier.world.plain}/ocsp"
    text = (await must(*run_openssl("-ext", "crlDistributionPoints,authorityInfoAccess"), cwd=verifier.folder)).text
    addresses = [word.removeprefix("URI:") for word in text.split() if word.startswith("URI:")]
    assert addresses
    for address in addresses:
        if not address.endswith("/ocsp"):
            await must(
                "curl", "--silent", "--fail", "--output", address.rpartition("/")[2], address, cwd=verifier.folder
            )
    await must("openssl", "x509", "-inform", "DER", "-in", "issuing.cer", "-noout", cwd=verifier.folder)
    await must("openssl", "crl", "-inform", "DER", "-in", "issuing.crl", "-noout", cwd=verifier.folder)


async def test_names_that_are_not_there_are_not_found(verifier: Verifier) -> None:
    for path in ("/crl/issuing-2.crl", "/crl/..%2Froot.crl", "/ca/root.cer", "/crl/", "/crl/x%00.crl", "/ledger.db"):
        command = ["curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--path-as-is"]
        assert (await must(*command, verifier.world.plain + path)).text == "404", path
    said = await must("curl", "--silent", verifier.world.plain + "/crl/issuing-2.crl")
    assert said.text == "there is no such issuing CA\n没有该签发 CA\n"
