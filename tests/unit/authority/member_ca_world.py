"""A member that runs its own issuing CA under the federation's root, and what it makes with it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from certs import keys, profiles
from certs.holders import certificate_pem
from certs.identity import Identity
from gateway.exchange.keys import DecryptionKey
from gateway.federation.directory_build import encryption_key, signing_key
from tests.unit.authority.authority_world import FEDERATION, YEAR, Keys, World


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def request(key: ec.EllipticCurvePrivateKey) -> bytes:
    made = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA384())
    return made.public_bytes(serialization.Encoding.PEM)


@dataclass
class MemberCa:
    """The CA, with its key."""

    world: World
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def made(cls, world: World, member_id: str) -> MemberCa:
        """Signed with the root's key."""
        key = keys.generate_authority_key()
        return cls(world, key, world.office.certify_ca(request(key), member_id, None, None))

    @property
    def pem(self) -> bytes:
        return certificate_pem(self.certificate)

    @property
    def issuer(self) -> profiles.Issuer:
        return profiles.Issuer(self.certificate, self.key, FEDERATION)

    def tls(self, identity: Identity) -> x509.Certificate:
        """What it can sign, whomever it names: a TLS stack that looks at name constraints refuses some."""
        key = keys.generate_tls_key().public_key()
        return profiles.tls_certificate(self.issuer, key, identity, self.world.now, dt.timedelta(days=30))

    def keys_of(self, member_id: str) -> Keys:
        """All that a gateway needs, certified here."""
        tls, signer, now = keys.generate_tls_key(), keys.generate_signing_key(), self.world.now
        holder, month = Identity.gateway(FEDERATION, member_id), dt.timedelta(days=30)
        shown = profiles.tls_certificate(self.issuer, tls.public_key(), holder, now, month)
        signs = profiles.signing_certificate(self.issuer, signer.public_key(), holder, now, month)
        public = DecryptionKey.from_seed(keys.generate_xwing_seed()).public_raw
        return Keys(
            member_id,
            tls,
            certificate_pem(shown) + self.pem,
            der(shown),
            signing_key(der(signs), [der(self.certificate)]),
            encryption_key(public, not_before=now, not_after=now + YEAR),
        )
