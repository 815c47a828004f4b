"""What the certificates say, and what the authority refuses to certify."""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID

from certs import keys, profiles
from certs.authority import Authority
from certs.chain import certificate_identity
from certs.errors import AuthorityError, CertsError, ChainError, IdentityError, KeyFileError, ProfileError
from certs.identity import ROLE_DEPARTMENT, ROLE_UNIT, Identity

MEMBER = "11330000002482285J"


def value(certificate: x509.Certificate, kind: type[Any]) -> Any:
    return certificate.extensions.get_extension_for_class(kind).value


def critical(certificate: x509.Certificate) -> set[str]:
    return {extension.oid._name for extension in certificate.extensions if extension.critical}


def test_the_root_and_issuing_authority_are_as_documented(world: Any, now: dt.datetime) -> None:
    root, issuing = world.root.certificate, world.issuer.certificate
    assert value(root, x509.BasicConstraints) == x509.BasicConstraints(ca=True, path_length=1)
    assert value(issuing, x509.BasicConstraints) == x509.BasicConstraints(ca=True, path_length=0)
    for certificate, curve, digest in ((root, ec.SECP384R1, "sha384"), (issuing, ec.SECP256R1, "sha384")):
        usage = value(certificate, x509.KeyUsage)
        assert usage.key_cert_sign
        assert usage.crl_sign
        assert not usage.digital_signature
        assert isinstance(certificate.public_key().curve, curve)
        assert certificate.signature_hash_algorithm.name == digest
        assert certificate.not_valid_before_utc == now - profiles.BACKDATE
    assert critical(root) == {"basicConstraints", "keyUsage"}
    assert critical(issuing) == {"basicConstraints", "keyUsage", "nameConstraints"}
    constraints = value(issuing, x509.NameConstraints)
    assert {name.value for name in constraints.permitted_subtrees} == {"test.wugan.internal"}
    assert {str(name.value) for name in constraints.excluded_subtrees} == {"0.0.0.0/0", "::/0"}


def test_a_gateway_certificate_serves_and_calls_under_its_member_name(world: Any, now: dt.datetime) -> None:
    issued = world.authority.issue_gateway_tls(MEMBER, keys.generate_tls_key().public_key(), now=now)
    leaf = issued.certificate
    names = value(leaf, x509.SubjectAlternativeName)
    assert names.get_values_for_type(x509.DNSName) == ["11330000002482285j.gateway.test.wugan.internal"]
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [
        f"spiffe://test.wugan.internal/member/{MEMBER}/gateway"
    ]
    assert set(value(leaf, x509.ExtendedKeyUsage)) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert value(leaf, x509.KeyUsage).digital_signature
    assert not value(leaf, x509.KeyUsage).content_commitment
    assert not value(leaf, x509.BasicConstraints).ca
    assert leaf.not_valid_after_utc == now + profiles.TLS_LIFETIME
    assert certificate_identity(issued.pem) == Identity.gateway("test.wugan.internal", MEMBER)
    assert len(x509.load_pem_x509_certificates(issued.pem)) == 2


def test_a_unit_is_only_ever_a_client_and_a_department_is_a_server_too(world: Any, now: dt.datetime) -> None:
    unit = world.authority.issue_unit_tls(MEMBER, "330700", keys.generate_tls_key().public_key(), now=now)
    assert list(value(unit.certificate, x509.ExtendedKeyUsage)) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not value(unit.certificate, x509.SubjectAlternativeName).get_values_for_type(x509.DNSName)
    assert certificate_identity(unit.pem).role == ROLE_UNIT
    department = world.authority.issue_department_tls(MEMBER, "health", keys.generate_tls_key().public_key(), now=now)
    assert ExtendedKeyUsageOID.SERVER_AUTH in value(department.certificate, x509.ExtendedKeyUsage)
    assert certificate_identity(department.pem).role == ROLE_DEPARTMENT


def test_the_authority_is_only_ever_a_server(world: Any, now: dt.datetime) -> None:
    issued = world.authority.issue_authority_tls(keys.generate_tls_key().public_key(), now=now)
    assert list(value(issued.certificate, x509.ExtendedKeyUsage)) == [ExtendedKeyUsageOID.SERVER_AUTH]
    names = value(issued.certificate, x509.SubjectAlternativeName)
    assert names.get_values_for_type(x509.DNSName) == ["authority.test.wugan.internal"]
    assert certificate_identity(issued.pem) == Identity.authority("test.wugan.internal")


def test_a_signing_certificate_is_for_nothing_else(world: Any) -> None:
    leaf = world.leaf().certificate
    usage = value(leaf, x509.KeyUsage)
    assert usage.digital_signature
    assert usage.content_commitment
    assert list(value(leaf, x509.ExtendedKeyUsage)) == [profiles.MESSAGE_SIGNING]
    assert "extendedKeyUsage" in critical(leaf)


def test_key_identifiers_link_every_certificate_to_its_issuer(world: Any) -> None:
    leaf, issuing, root = world.leaf().certificate, world.issuer.certificate, world.root.certificate
    for certificate, issuer in ((leaf, issuing), (issuing, root)):
        held = value(certificate, x509.AuthorityKeyIdentifier).key_identifier
        assert held == value(issuer, x509.SubjectKeyIdentifier).digest


def test_serial_numbers_differ_and_are_hard_to_guess(world: Any) -> None:
    serials = {world.leaf().certificate.serial_number for _ in range(20)}
    assert len(serials) == 20
    assert all(serial.bit_length() > 100 for serial in serials)


def test_only_a_demonstration_authority_lets_servers_be_called_localhost(tmp_path: Path, now: dt.datetime) -> None:
    demo = Authority.create(tmp_path / "ca", "demo.wugan.internal", now=now, loopback=True)
    for authority in (demo, Authority.load(tmp_path / "ca")):
        leaf = authority.issue_gateway_tls(MEMBER, keys.generate_tls_key().public_key(), now=now).certificate
        assert "localhost" in value(leaf, x509.SubjectAlternativeName).get_values_for_type(x509.DNSName)


def test_a_leaf_never_outlives_its_issuer(world: Any, now: dt.datetime) -> None:
    late = world.issuer.certificate.not_valid_after_utc - dt.timedelta(days=1)
    leaf = world.authority.issue_gateway_tls(MEMBER, keys.generate_tls_key().public_key(), now=late).certificate
    assert leaf.not_valid_after_utc == world.issuer.certificate.not_valid_after_utc
    with pytest.raises(ProfileError, match="expired"):
        world.authority.issue_gateway_tls(MEMBER, keys.generate_tls_key().public_key(), now=late + dt.timedelta(days=1))


@pytest.mark.parametrize(
    "key",
    [keys.generate_signing_key().public_key(), keys.generate_authority_key().public_key()],
    ids=["ed25519", "p384"],
)
def test_tls_certificates_are_for_p256_keys_only(world: Any, now: dt.datetime, key: Any) -> None:
    with pytest.raises(ProfileError, match="P-256"):
        world.authority.issue_gateway_tls(MEMBER, key, now=now)


def test_signing_certificates_are_for_ed25519_keys_only(world: Any, now: dt.datetime) -> None:
    with pytest.raises(ProfileError, match="Ed25519"):
        world.authority.issue_signing(MEMBER, keys.generate_tls_key().public_key(), now=now)


def test_no_signing_certificate_is_made_for_a_key_under_which_anybody_can_sign(world: Any, now: dt.datetime) -> None:
    neutral = Ed25519PublicKey.from_public_bytes(b"\x01" + bytes(31))
    neutral.verify(b"\x01" + bytes(63), b"anything")
    with pytest.raises(ProfileError, match="anybody"):
        world.authority.issue_signing(MEMBER, neutral, now=now)


def test_roots_are_p384_only_and_issuing_authorities_p256_only(world: Any, now: dt.datetime) -> None:
    with pytest.raises(ProfileError, match="P-384"):
        profiles.root_certificate(keys.generate_issuing_key(), "test.wugan.internal", now)
    with pytest.raises(ProfileError, match="P-256"):
        profiles.issuing_certificate(world.root, keys.generate_authority_key().public_key(), now)


@pytest.mark.parametrize(
    ("make", "digest"), [(keys.generate_issuing_key, "sha256"), (keys.generate_authority_key, "sha384")]
)
def test_an_issuing_authority_signs_as_its_key_is_strong(world: Any, now: dt.datetime, make: Any, digest: str) -> None:
    issuer = dataclasses.replace(world.issuer, key=make())  # those of before are P-384
    identity = Identity.gateway(issuer.federation, MEMBER)
    made = profiles.tls_certificate(issuer, keys.generate_tls_key().public_key(), identity, now)
    assert made.signature_hash_algorithm is not None
    assert made.signature_hash_algorithm.name == digest


def test_a_malformed_member_or_unit_gets_no_certificate(world: Any, now: dt.datetime) -> None:
    key = keys.generate_tls_key().public_key()
    with pytest.raises(IdentityError):
        world.authority.issue_gateway_tls("11330000002482285A", key, now=now)
    with pytest.raises(IdentityError):
        world.authority.issue_unit_tls(MEMBER, "../x", key, now=now)


def test_another_federations_identity_gets_no_certificate(world: Any, now: dt.datetime) -> None:
    stranger = Identity.gateway("other.wugan.internal", MEMBER)
    with pytest.raises(ProfileError, match="federation"):
        profiles.tls_certificate(world.issuer, keys.generate_tls_key().public_key(), stranger, now)


def test_only_gateways_sign_messages(world: Any, now: dt.datetime) -> None:
    unit = Identity("test.wugan.internal", MEMBER, ROLE_UNIT, "330700")
    with pytest.raises(ProfileError, match="gateway"):
        profiles.signing_certificate(world.issuer, keys.generate_signing_key().public_key(), unit, now)


def test_a_time_without_zone_and_a_life_of_nothing_are_refused(world: Any, now: dt.datetime) -> None:
    key = keys.generate_tls_key().public_key()
    with pytest.raises(ProfileError):
        world.authority.issue_gateway_tls(MEMBER, key, now=now, lifetime=dt.timedelta(0))
    with pytest.raises(ProfileError, match="zone"):
        profiles.root_certificate(keys.generate_authority_key(), "test.wugan.internal", now.replace(tzinfo=None))


def test_a_request_lends_its_key_and_nothing_else(world: Any, now: dt.datetime) -> None:
    key = keys.generate_tls_key()
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "someone.else")]))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    leaf = world.authority.issue_gateway_tls(MEMBER, request, now=now).certificate
    assert leaf.public_key() == key.public_key()
    assert not value(leaf, x509.BasicConstraints).ca
    assert "someone.else" not in leaf.subject.rfc4514_string()


def test_a_request_signed_with_another_key_is_refused(world: Any, now: dt.datetime) -> None:
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .sign(keys.generate_tls_key(), hashes.SHA256())
    )
    der = bytearray(request.public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    with pytest.raises(ProfileError, match="not signed"):
        world.authority.issue_gateway_tls(MEMBER, x509.load_der_x509_csr(bytes(der)), now=now)


def test_an_authority_can_be_opened_again_without_its_root_key(tmp_path: Path, now: dt.datetime) -> None:
    folder = tmp_path / "ca"
    made = Authority.create(folder, "test.wugan.internal", now=now, root_passphrase=b"offline", passphrase=b"daily")
    (folder / "root-key.pem").rename(tmp_path / "vault.pem")
    opened = Authority.load(folder, passphrase=b"daily")
    assert opened.root_pem == made.root_pem
    assert opened.federation == "test.wugan.internal"
    assert opened.issue_signing(MEMBER, keys.generate_signing_key().public_key(), now=now).der
    with pytest.raises(KeyFileError):
        Authority.load(folder)
    with pytest.raises(KeyFileError):
        keys.load_private_key(tmp_path / "vault.pem", passphrase=b"daily")
    assert keys.load_private_key(tmp_path / "vault.pem", passphrase=b"offline")


def test_the_folder_of_an_authority_is_closed_to_others(tmp_path: Path, now: dt.datetime) -> None:
    Authority.create(tmp_path / "ca", "test.wugan.internal", now=now, root_passphrase=b"root")
    assert (tmp_path / "ca").stat().st_mode & 0o777 == 0o700


def test_an_authority_is_never_made_over_another(tmp_path: Path, now: dt.datetime) -> None:
    Authority.create(tmp_path / "ca", "test.wugan.internal", now=now, root_passphrase=b"root")
    before = {path.name: path.read_bytes() for path in (tmp_path / "ca").iterdir()}
    with pytest.raises(AuthorityError, match="not empty"):
        Authority.create(tmp_path / "ca", "test.wugan.internal", now=now, root_passphrase=b"root")
    assert {path.name: path.read_bytes() for path in (tmp_path / "ca").iterdir()} == before
    (tmp_path / "file").touch()
    with pytest.raises(AuthorityError):
        Authority.create(tmp_path / "file", "test.wugan.internal", now=now, root_passphrase=b"root")


@pytest.mark.parametrize("name", ["root.pem", "issuing.pem", "issuing-key.pem"])
def test_an_incomplete_or_mixed_authority_is_refused(tmp_path: Path, now: dt.datetime, name: str) -> None:
    Authority.create(tmp_path / "ca", "test.wugan.internal", now=now, root_passphrase=b"root")
    (tmp_path / "ca" / name).write_bytes(b"nonsense")
    with pytest.raises(CertsError):
        Authority.load(tmp_path / "ca")
    (tmp_path / "ca" / name).unlink()
    with pytest.raises(CertsError):
        Authority.load(tmp_path / "ca")


def test_a_key_of_another_authority_is_noticed(tmp_path: Path, now: dt.datetime) -> None:
    for name in ("one", "two"):
        Authority.create(tmp_path / name, "test.wugan.internal", now=now, root_passphrase=b"root")
    (tmp_path / "one" / "issuing-key.pem").write_bytes((tmp_path / "two" / "issuing-key.pem").read_bytes())
    with pytest.raises(AuthorityError, match="not the key"):
        Authority.load(tmp_path / "one")


def test_an_issuing_certificate_of_another_kind_is_noticed(tmp_path: Path, now: dt.datetime) -> None:
    folder = tmp_path / "ca"
    Authority.create(folder, "test.wugan.internal", now=now, root_passphrase=b"root")
    (folder / "issuing.pem").write_bytes((folder / "root.pem").read_bytes())
    root_key = keys.load_private_key(folder / "root-key.pem", passphrase=b"root")
    keys.store_private_key(folder / "issuing-key.pem", root_key, replace=True)
    with pytest.raises(AuthorityError, match="name constraints"):
        Authority.load(folder)


def test_what_is_no_certificate_has_no_identity(world: Any) -> None:
    for pem in (b"", b"nonsense", world.authority.root_pem):
        with pytest.raises(ChainError):
            certificate_identity(pem)
