"""Who gets which certificate, and who gets none."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from certs import est_wire, keys
from certs.authority import Authority
from certs.enrolment import Enrolment
from certs.errors import EnrolmentError
from certs.identity import ROLE_DEPARTMENT, ROLE_UNIT, Identity
from certs.requests import certification_request

FEDERATION = "test.wugan.internal"
MEMBER = "11330000002482285J"
GATEWAY = Identity.gateway(FEDERATION, MEMBER)
UNIT = Identity(FEDERATION, MEMBER, ROLE_UNIT, "330700")
DEPARTMENT = Identity(FEDERATION, MEMBER, ROLE_DEPARTMENT, "health")
HOUR = dt.timedelta(hours=1)


class Enrolling:
    """An authority, and what a client does."""

    def __init__(self, folder: Path, now: dt.datetime) -> None:
        self.authority = Authority.create(folder, FEDERATION, now=now, root_passphrase=b"root")
        self.rules = Enrolment(self.authority)
        self.now = now

    def token(self, holder: Identity) -> tuple[str, str]:
        token = self.authority.ledger.tokens.make(holder, self.now, HOUR)
        return token.token_id, token.secret

    def present(self, holder: Identity = GATEWAY) -> x509.Certificate:
        """A TLS certificate that was issued before."""
        return self.authority.issue("tls", holder, keys.generate_tls_key().public_key(), self.now).certificate

    def renew(self, body: bytes, client: x509.Certificate, profile: Any = "tls", *, later: dt.timedelta = HOUR) -> Any:
        return self.rules.with_certificate(profile, body, der(client), self.now + later)


@pytest.fixture
def enrolling(tmp_path: Path, now: dt.datetime) -> Enrolling:
    return Enrolling(tmp_path / "ca", now)


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def body(
    key: Any = None,
    subject: x509.Name | None = None,
    names: list[x509.GeneralName] | None = None,
    *,
    tamper: bool = False,
) -> bytes:
    key = key or keys.generate_tls_key()
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject or x509.Name([]))
    if names is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    signed = builder.sign(key, hashes.SHA256() if hasattr(key, "curve") else None)
    data = bytearray(signed.public_bytes(serialization.Encoding.DER))
    if tamper:
        data[-1] ^= 1
    return est_wire.encode(bytes(data))


def uri_of(certificate: x509.Certificate) -> str:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names.get_values_for_type(x509.UniformResourceIdentifier)[0]


def refused(call: Any, *args: Any, **kwargs: Any) -> EnrolmentError:
    with pytest.raises(EnrolmentError) as caught:
        call(*args, **kwargs)
    assert caught.value.zh
    return caught.value


@pytest.mark.parametrize("holder", [GATEWAY, UNIT, DEPARTMENT], ids=lambda holder: holder.role)
def test_a_token_yields_a_certificate_for_its_holder_whoever_bears_it(enrolling: Enrolling, holder: Identity) -> None:
    key = keys.generate_tls_key()
    someone = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "someone else")])
    leaf = enrolling.rules.with_token("tls", body(key, someone), *enrolling.token(holder), enrolling.now)
    assert uri_of(leaf) == holder.uri
    assert leaf.public_key() == key.public_key()
    assert "someone" not in leaf.subject.rfc4514_string()


@pytest.mark.parametrize("serving", [False, True])
def test_a_gateways_own_first_request_names_it_and_where_it_is_asked_for_its_server(
    enrolling: Enrolling, serving: bool
) -> None:
    key = keys.generate_tls_key()
    made = x509.load_der_x509_csr(certification_request(key, GATEWAY, None, serving=serving))
    named = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert named.get_values_for_type(x509.DNSName) == ([GATEWAY.tls_name] if serving else [])
    assert named.get_values_for_type(x509.UniformResourceIdentifier) == [GATEWAY.uri]
    token = enrolling.token(GATEWAY)
    leaf = enrolling.rules.with_token("tls", est_wire.request_body(made), *token, enrolling.now)
    assert leaf.public_key() == key.public_key()


def test_a_token_yields_a_signing_certificate_for_a_gateway_only(enrolling: Enrolling) -> None:
    request = body(keys.generate_signing_key())
    leaf = enrolling.rules.with_token("signing", request, *enrolling.token(GATEWAY), enrolling.now)
    assert uri_of(leaf) == GATEWAY.uri
    for holder in (UNIT, DEPARTMENT):
        error = refused(enrolling.rules.with_token, "signing", request, *enrolling.token(holder), enrolling.now)
        assert error.refusal == "forbidden"


def test_an_answer_that_was_lost_can_be_asked_for_again_with_the_same_key_only(enrolling: Enrolling) -> None:
    key, token = keys.generate_tls_key(), enrolling.token(GATEWAY)
    first = enrolling.rules.with_token("tls", body(key), *token, enrolling.now)
    assert enrolling.rules.with_token("tls", body(key), *token, enrolling.now) == first
    assert len(enrolling.authority.ledger.live(enrolling.now)) == 1
    for wrong in (body(), body(key, tamper=True)):
        refused(enrolling.rules.with_token, "tls", wrong, *token, enrolling.now)
    refused(enrolling.rules.with_token, "signing", body(keys.generate_signing_key()), *token, enrolling.now)
    enrolling.authority.ledger.revoke(first.serial_number, x509.ReasonFlags.superseded, enrolling.now)
    refused(enrolling.rules.with_token, "tls", body(key), *token, enrolling.now)


@pytest.mark.parametrize(
    "bad",
    [
        b"nonsense",
        body(tamper=True),
        body(keys.generate_signing_key()),
        body(keys.generate_authority_key()),
        body(names=[x509.UniformResourceIdentifier(UNIT.uri)]),
        body(names=[x509.DNSName("another.name")]),
        body(names=[x509.UniformResourceIdentifier(GATEWAY.uri), x509.DNSName("another.name")]),
        body(names=[x509.DNSName(GATEWAY.tls_name)]),
        body(names=[]),
    ],
    ids=["nonsense", "unproven", "ed25519", "p384", "another's uri", "dns", "one name more", "own dns alone", "empty"],
)
def test_a_bad_request_costs_no_token(enrolling: Enrolling, bad: bytes) -> None:
    token = enrolling.token(GATEWAY)
    refused(enrolling.rules.with_token, "tls", bad, *token, enrolling.now)
    assert enrolling.rules.with_token("tls", body(), *token, enrolling.now)


def test_the_authoritys_own_name_is_never_enrolled(enrolling: Enrolling) -> None:
    own = Identity.authority(FEDERATION)
    error = refused(enrolling.rules.with_token, "tls", body(), *enrolling.token(own), enrolling.now)
    assert error.refusal == "forbidden"
    assert refused(enrolling.renew, body(), enrolling.present(own)).refusal == "forbidden"


@pytest.mark.parametrize("holder", [GATEWAY, UNIT, DEPARTMENT], ids=lambda holder: holder.role)
def test_a_certificate_is_renewed_for_the_same_holder(enrolling: Enrolling, holder: Identity) -> None:
    present, key = enrolling.present(holder), keys.generate_tls_key()
    san = present.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    for request in (
        body(key),
        body(key, present.subject),
        body(key, names=list(san)),
        body(key, names=list(san)[::-1]),
        body(key, present.subject, [x509.UniformResourceIdentifier(holder.uri)]),
    ):
        leaf = enrolling.renew(request, present)
        assert uri_of(leaf) == holder.uri
        record = enrolling.authority.ledger.by_serial(leaf.serial_number)
        assert record is not None
        assert record.grounds == f"certificate {present.serial_number:x}"


def test_a_gateway_renews_its_signing_certificate_with_its_tls_certificate(enrolling: Enrolling) -> None:
    request = body(keys.generate_signing_key(), names=[x509.UniformResourceIdentifier(GATEWAY.uri)])
    assert uri_of(enrolling.renew(request, enrolling.present(), "signing")) == GATEWAY.uri
    assert refused(enrolling.renew, request, enrolling.present(UNIT), "signing").refusal == "forbidden"


def test_a_signing_certificate_renews_nothing(enrolling: Enrolling) -> None:
    key = keys.generate_signing_key().public_key()
    signing = enrolling.authority.issue("signing", GATEWAY, key, enrolling.now).certificate
    assert refused(enrolling.renew, body(), signing).refusal == "forbidden"


@pytest.mark.parametrize(
    "request_body",
    [
        body(subject=x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "gateway 12340000002482285X")])),
        body(names=[x509.UniformResourceIdentifier(UNIT.uri)]),
        body(names=[x509.UniformResourceIdentifier(GATEWAY.uri), x509.DNSName("another.name")]),
        body(names=[]),
    ],
    ids=["subject", "another's uri", "one name more", "empty"],
)
def test_a_renewal_that_names_somebody_else_is_refused(enrolling: Enrolling, request_body: bytes) -> None:
    assert refused(enrolling.renew, request_body, enrolling.present()).refusal == "forbidden"


def test_a_renewal_without_certificate_is_refused(enrolling: Enrolling) -> None:
    error = refused(enrolling.rules.with_certificate, "tls", body(), None, enrolling.now)
    assert error.refusal == "forbidden"


def test_a_revoked_certificate_renews_nothing(enrolling: Enrolling) -> None:
    present = enrolling.present()
    enrolling.authority.ledger.revoke(present.serial_number, x509.ReasonFlags.key_compromise, enrolling.now)
    assert "revoked" in refused(enrolling.renew, body(), present).en


def test_an_expired_certificate_renews_nothing(enrolling: Enrolling) -> None:
    present = enrolling.present()
    life = present.not_valid_after_utc - enrolling.now
    assert "expired" in refused(enrolling.renew, body(), present, later=life).en


def test_a_certificate_that_is_not_in_the_ledger_renews_nothing(
    enrolling: Enrolling, tmp_path: Path, now: dt.datetime
) -> None:
    """One that a stolen issuing key made, or another authority of the same name."""
    twin = Enrolling(tmp_path / "twin", now)
    assert "does not know" in refused(enrolling.renew, body(), twin.present()).en


def test_renewal_works_across_a_roll_of_the_issuing_ca(enrolling: Enrolling) -> None:
    present = enrolling.present()
    made = enrolling.authority.issuing.roll(now=enrolling.now, root_passphrase=b"root")
    assert enrolling.renew(body(), present).issuer == made.certificate.subject
    assert enrolling.rules.ca_certificates()[:2] == (enrolling.authority.root, made.certificate)
    assert len(enrolling.rules.ca_certificates()) == 3
