"""Which CA of the authority issued a certificate, and what an administrator writes to name one.

Owns: reading. Refuses: issuing (`certs.authority`).
"""

from __future__ import annotations

from typing import Final

from cryptography import x509

from certs.authority import Authority
from certs.chain import issued_by
from gateway.errors import ConfigError
from gateway.federation.presented import serial_bytes

REASONS: Final = {
    0: x509.ReasonFlags.unspecified,
    1: x509.ReasonFlags.key_compromise,
    3: x509.ReasonFlags.affiliation_changed,
    4: x509.ReasonFlags.superseded,
    5: x509.ReasonFlags.cessation_of_operation,
    9: x509.ReasonFlags.privilege_withdrawn,
}
"""CRLReason (RFC 5280 section 5.3.1) as the directory writes it → as the ledger does (`certs.revocation.REASONS`)."""

CESSATION: Final = 5
"""CRLReason of a member that leaves: cessation of operation."""
SUPERSEDED: Final = 4
"""CRLReason of a certificate whose key nobody else has: what it was renewed to stays."""

NUMBERS: Final = {reason: number for number, reason in REASONS.items()}


def issuer_of(authority: Authority, certificate: x509.Certificate) -> x509.Certificate:
    """The issuing CA of a certificate, present or retired.

    Raises:
        ConfigError: none of the authority's issued it.
        CertsError: the authority's folder cannot be read any more.
    """
    authority.issuing.refresh()
    for issuing in authority.issuing.all:
        if issued_by(certificate, issuing.certificate):
            return issuing.certificate
    raise ConfigError("the certificate was not issued by this authority", "该证书不是由本管理机构签发")


def read_pem(pem: bytes, *, alone: bool = False) -> x509.Certificate:
    """The first certificate of a PEM file.

    Args:
        pem: the file.
        alone: whether it must be the only one.

    Raises:
        ConfigError: there is none, or not only one.
    """
    try:
        first, *others = x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise ConfigError("that is not a certificate in PEM", "不是 PEM 证书") from error
    if alone and others:
        raise ConfigError("one certificate is expected, that of the CA alone", "应仅含该 CA 的一张证书")
    return first


def read_serial(text: str) -> int:
    """A serial number in hexadecimal, with or without colons.

    Raises:
        ConfigError: that is none.
    """
    try:
        number = int(text.replace(":", ""), 16)
        serial_bytes(number)
    except ValueError as error:
        raise ConfigError("that is not a serial number in hexadecimal", "不是十六进制的证书序列号") from error
    return number
