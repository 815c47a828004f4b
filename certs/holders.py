"""For whose key a certificate is made, and what is handed over.

Owns: taking a public key out of a certification request (RFC 2986), and the shape of what was issued. Refuses: a
request that is not signed with the key it asks for.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from certs.errors import ProfileError

Holder = x509.CertificateSigningRequest | CertificatePublicKeyTypes
"""What a certificate is issued for: a certification request (PKCS#10) or a public key."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A leaf certificate, with what its holder must present beside it."""

    certificate: x509.Certificate
    issuing: x509.Certificate

    @property
    def pem(self) -> bytes:
        """The leaf, then the issuing CA: what a TLS server or client presents."""
        return certificate_pem(self.certificate) + certificate_pem(self.issuing)

    @property
    def der(self) -> bytes:
        """The leaf alone."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def intermediates_der(self) -> tuple[bytes, ...]:
        """What stands between the leaf and the root."""
        return (self.issuing.public_bytes(serialization.Encoding.DER),)


def proven_key(holder: Holder) -> CertificatePublicKeyTypes:
    """The public key; of a request only after its signature has proved possession of the private one.

    Raises:
        ProfileError: the request is not signed with the key it asks for.
    """
    if not isinstance(holder, x509.CertificateSigningRequest):
        return holder
    try:
        proven = holder.is_signature_valid
        key = holder.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _unproven() from error
    if not proven:
        raise _unproven()
    return key


def _unproven() -> ProfileError:
    return ProfileError(
        "the certification request is not signed with the key it asks for", "证书请求未由其所含公钥对应的私钥签名"
    )


def certificate_pem(certificate: x509.Certificate) -> bytes:
    """A certificate in PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)
