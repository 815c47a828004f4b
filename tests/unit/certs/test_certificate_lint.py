"""Certificates, lists and OCSP answers pass a linter that nobody here wrote: pkilint.

What it finds all the same, and why that is accepted:

- "pkix.invalid_uri_syntax" about the SPIFFE id. It takes URIs of a fixed list of schemes only, "spiffe" not among
  them; the same text with "http" before it passes. RFC 3986 has no such list.
- A message-signing certificate cannot be read to its end: its decoder takes no arc of an object identifier beyond 32
  bits, and ours is made of a UUID (ITU-T X.667), whose arc has 128. So the same certificate is linted with a short
  identifier in its place.
"""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp

from certs import keys, profiles
from certs.authority import Authority
from certs.ocsp_responder import OcspResponder
from certs.revocation import Revocation

MEMBER = "11330000002482285J"
SPIFFE = ("ERROR", "pkix.invalid_uri_syntax", "spiffe://")
NOW = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder = tmp_path_factory.mktemp("linted") / "ca"
    url = "http://authority.test.wugan.internal:8080"
    return Authority.create(folder, "test.wugan.internal", now=NOW, root_passphrase=b"root", public_url=url)


def lint(linter: str, path: Path, *options: str) -> set[tuple[str, str, str]]:
    """Severity, code and message of everything from "notice" on."""
    command = [sys.executable, "-m", f"pkilint.bin.{linter}", "lint", *options, "-s", "NOTICE", "-f", "JSON", str(path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert not ran.stderr, ran.stderr
    found = set()
    for result in json.loads(ran.stdout)["results"]:
        for finding in result["finding_descriptions"]:
            found.add((finding["severity"], finding["code"], finding["message"] or ""))
    return found


def lint_certificate(certificate: x509.Certificate, folder: Path) -> set[tuple[str, str, str]]:
    path = folder / "certificate.der"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.DER))
    return lint("lint_pkix_cert", path)


def unaccepted(found: set[tuple[str, str, str]]) -> set[tuple[str, str, str]]:
    """Without the URI syntax of a SPIFFE id."""
    return {one for one in found if not (one[:2] == SPIFFE[:2] and SPIFFE[2] in one[2])}


def public_key() -> keys.ec.EllipticCurvePublicKey:
    return keys.generate_tls_key().public_key()


@pytest.mark.parametrize("kind", ["root", "issuing", "gateway", "unit", "department", "authority", "ocsp"])
def test_a_certificate_passes_the_linter(authority: Authority, tmp_path: Path, kind: str) -> None:
    match kind:
        case "root":
            certificate = authority.root
        case "issuing":
            certificate = authority.issuing.all[0].certificate
        case "gateway":
            certificate = authority.issue_gateway_tls(MEMBER, public_key(), now=NOW).certificate
        case "unit":
            certificate = authority.issue_unit_tls(MEMBER, "330700", public_key(), now=NOW).certificate
        case "department":
            certificate = authority.issue_department_tls(MEMBER, "health", public_key(), now=NOW).certificate
        case "authority":
            certificate = authority.issue_authority_tls(public_key(), now=NOW).certificate
        case _:
            certificate = authority.issue_ocsp(authority.issuing.all[0], public_key(), now=NOW)
    assert unaccepted(lint_certificate(certificate, tmp_path)) == set()


def test_a_signing_certificate_passes_the_linter_but_for_its_long_identifier(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = keys.generate_signing_key().public_key()
    real = lint_certificate(authority.issue_signing(MEMBER, key, now=NOW).certificate, tmp_path)
    (finding,) = unaccepted(real)
    assert finding[:2] == ("FATAL", "itu.invalid_asn1_syntax")
    assert "larger than 32-bits" in finding[2]
    monkeypatch.setattr(profiles, "MESSAGE_SIGNING", x509.ObjectIdentifier("1.3.6.1.4.1.32473.1"))
    twin = authority.issue_signing(MEMBER, key, now=NOW).certificate
    assert unaccepted(lint_certificate(twin, tmp_path)) == set()


def test_the_linter_would_find_a_fault(authority: Authority, tmp_path: Path) -> None:
    key = keys.generate_authority_key()
    name = authority.root.subject
    faulty = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=False)
        .sign(key, hashes.SHA384())
    )
    assert unaccepted(lint_certificate(faulty, tmp_path))


def test_revocation_lists_pass_the_linter(authority: Authority, tmp_path: Path) -> None:
    revocation = Revocation(authority)
    for reason in (None, x509.ReasonFlags.key_compromise, x509.ReasonFlags.unspecified):
        if reason is not None:
            leaf = authority.issue_gateway_tls(MEMBER, public_key(), now=NOW).certificate
            revocation.revoke(leaf.serial_number, reason, NOW)
        path = tmp_path / "list.crl"
        path.write_bytes(revocation.crl("issuing", NOW))
        assert lint("lint_crl", path, "-t", "CRL", "-p", "PKIX") == set()


@pytest.mark.parametrize("status", ["good", "revoked", "unknown"])
def test_ocsp_answers_pass_the_linter(authority: Authority, tmp_path: Path, status: str) -> None:
    leaf = authority.issue_gateway_tls(MEMBER, public_key(), now=NOW).certificate
    if status == "revoked":
        Revocation(authority).revoke(leaf.serial_number, x509.ReasonFlags.superseded, NOW)
    issuing = authority.issuing.all[0].certificate
    asked = ocsp.OCSPRequestBuilder().add_certificate(leaf, issuing, hashes.SHA256()).build()
    if status == "unknown":
        builder = ocsp.OCSPRequestBuilder().add_certificate_by_hash(
            asked.issuer_name_hash, asked.issuer_key_hash, 4711, hashes.SHA256()
        )
        asked = builder.add_extension(x509.OCSPNonce(bytes(32)), critical=False).build()
    answer = OcspResponder(authority).answer(asked.public_bytes(serialization.Encoding.DER), NOW).der
    assert ocsp.load_der_ocsp_response(answer).certificate_status.name.lower() == status
    path = tmp_path / "answer.der"
    path.write_bytes(answer)
    assert lint("lint_ocsp_response", path) == set()
