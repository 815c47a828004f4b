"""What a certificate that somebody presents is called in the directory, and whose it is.

Owns: `presented`, the three values by which the directory speaks of a certificate, who issued it, and to which member
whoever it names belongs. Refuses: judging it;
TLS has verified it, and `Directory` says whether it is listed or revoked.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from typing import Final

from cryptography import x509

from certs import chain
from certs.chain import MAX_CERTIFICATE_BYTES
from certs.errors import CertsError
from gateway.errors import RefusedError
from wugan.federation.v1 import vocabulary_pb2 as words

MAX_SERIAL_BYTES: Final = 20
"""Longest serial number, bytes (RFC 5280 section 4.1.2.2)."""


@dataclass(frozen=True, slots=True)
class Presented:
    """A certificate, as the directory names one.

    Args:
        fingerprint: SHA-256 of it, DER.
        serial: serial number, unsigned, big-endian, without leading zeros.
        issuer_key: key identifier of the CA that issued it (RFC 5280 section 4.2.1.1); b"" if it names none.
    """

    fingerprint: bytes
    serial: bytes
    issuer_key: bytes


@functools.lru_cache(maxsize=16_384)
def presented(certificate: bytes) -> Presented:
    """Read a certificate, DER. The same few peers call again and again, so what was read is kept.

    Raises:
        RefusedError: STRANGER; it is no X.509 certificate.
    """
    try:
        if len(certificate) > MAX_CERTIFICATE_BYTES:
            raise ValueError("too large")
        parsed = x509.load_der_x509_certificate(certificate)
        serial = serial_bytes(parsed.serial_number)
        identifier = parsed.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    except x509.ExtensionNotFound:
        identifier = b""
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, x509.InvalidVersion) as error:
        raise RefusedError(
            "the certificate cannot be read; use one that the federation's authority issued",
            "证书无法解析，请使用联盟管理机构签发的证书",
            reason=words.REFUSAL_REASON_STRANGER,
        ) from error
    return Presented(hashlib.sha256(certificate).digest(), serial, identifier or b"")


@functools.lru_cache(maxsize=16_384)
def issued_by(certificate: bytes, issuer: bytes) -> bool:
    """Whether the key of a CA signed a certificate; both DER. Costs a signature, so what was found is kept."""
    try:
        ca, shown = (x509.load_der_x509_certificate(der) for der in (issuer, certificate))
    except ValueError:
        return False
    return chain.issued_by(shown, ca)


@functools.lru_cache(maxsize=16_384)
def belongs_to(certificate: bytes, federation: str) -> str:
    """Id of the member to which whoever a certificate (DER) names belongs; "" if it names nobody of a member."""
    try:
        identity = chain.parse_identity(certificate)
    except CertsError:
        return ""
    return identity.member_id if identity.federation == federation else ""


def serial_bytes(number: int) -> bytes:
    """A serial number as the directory writes it.

    Raises:
        ValueError: it is not positive, or longer than 20 bytes.
    """
    if number <= 0 or number.bit_length() > 8 * MAX_SERIAL_BYTES:
        raise ValueError("no serial number of RFC 5280")
    return number.to_bytes((number.bit_length() + 7) // 8, "big")
