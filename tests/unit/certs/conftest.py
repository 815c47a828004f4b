"""A small federation, and a forger who can put anything into a certificate."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from certs import keys, profiles
from certs.authority import Authority
from certs.chain import load_roots
from certs.identity import Identity

FEDERATION = "test.wugan.internal"
ZHEJIANG = "11330000002482285J"
NOW = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)

Extensions = list[tuple[x509.ExtensionType, bool]]


@dataclass
class World:
    """An authority with its keys laid open."""

    folder: Path
    authority: Authority
    roots: tuple[x509.Certificate, ...]
    root: profiles.Issuer
    issuer: profiles.Issuer
    signing_key: ed25519.Ed25519PrivateKey

    def forge(
        self,
        change: Callable[[Extensions], Extensions] = lambda extensions: extensions,
        *,
        template: x509.Certificate | None = None,
        issuer: profiles.Issuer | None = None,
        **fields: Any,
    ) -> bytes:
        """A signing leaf (or another template) with changed extensions or fields, properly signed, DER."""
        issuer = issuer or self.issuer
        if template is None:
            template = self.leaf().certificate
        extensions = change([(extension.value, extension.critical) for extension in template.extensions])
        builder = (
            x509.CertificateBuilder()
            .subject_name(template.subject)
            .issuer_name(fields.get("issuer_name", issuer.certificate.subject))
            .public_key(fields.get("public_key", template.public_key()))
            .serial_number(x509.random_serial_number())
            .not_valid_before(fields.get("not_before", template.not_valid_before_utc))
            .not_valid_after(fields.get("not_after", template.not_valid_after_utc))
        )
        for value, critical in extensions:
            builder = builder.add_extension(value, critical)
        signer = fields.get("signer", issuer.key)
        algorithm = None if isinstance(signer, ed25519.Ed25519PrivateKey) else fields.get("hash", hashes.SHA384())
        return builder.sign(signer, algorithm).public_bytes(serialization.Encoding.DER)

    def leaf(self, member_id: str = ZHEJIANG) -> Any:
        """A proper signing certificate."""
        return self.authority.issue_signing(member_id, self.signing_key.public_key(), now=NOW)

    @property
    def issuing_der(self) -> bytes:
        return self.issuer.certificate.public_bytes(serialization.Encoding.DER)


def make_world(folder: Path, federation: str = FEDERATION) -> World:
    authority = Authority.create(folder, federation, now=NOW, root_passphrase=b"root")
    roots = load_roots(authority.root_pem)
    root_key = keys.load_private_key(folder / "root-key.pem", passphrase=b"root")
    issuing_key = keys.load_private_key(folder / "issuing-key.pem")
    assert isinstance(root_key, ec.EllipticCurvePrivateKey)
    assert isinstance(issuing_key, ec.EllipticCurvePrivateKey)
    issuing = x509.load_pem_x509_certificate((folder / "issuing.pem").read_bytes())
    return World(
        folder,
        authority,
        roots,
        profiles.Issuer(roots[0], root_key, federation),
        profiles.Issuer(issuing, issuing_key, federation),
        keys.generate_signing_key(),
    )


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("authority") / "ca")


@pytest.fixture(scope="session")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Another authority that claims the same federation."""
    return make_world(tmp_path_factory.mktemp("foreign") / "ca")


@pytest.fixture
def now() -> dt.datetime:
    return NOW


@pytest.fixture
def gateway() -> Identity:
    return Identity.gateway(FEDERATION, ZHEJIANG)
