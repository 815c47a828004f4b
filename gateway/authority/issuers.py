"""Which CA of the authority issued a certificate, and what an administrator writes to name one.

Owns: reading. Refuses: issuing (`certs.authority`).
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from certs.errors import CertsError
from certs.files import read_public
from gateway.errors import ConfigError
from gateway.federation.presented import serial_bytes

_ISSUING: Final = "issuing*.pem"


def all_issuers(folder: Path) -> list[x509.Certificate]:
    """The issuing CAs in the authority's folder, present and past.

    Raises:
        ConfigError: a file cannot be read.
    """
    files = [path for path in sorted(folder.glob(_ISSUING)) if "key" not in path.name]
    try:
        return [read_pem(read_public(path)) for path in files]
    except CertsError as error:
        raise ConfigError(error.en, error.zh) from error


def issuer_of(folder: Path, certificate: x509.Certificate) -> x509.Certificate:
    """The issuing CA of a certificate.

    Raises:
        ConfigError: none of those in the folder issued it.
    """
    for issuer in all_issuers(folder):
        with contextlib.suppress(ValueError, TypeError, InvalidSignature):
            certificate.verify_directly_issued_by(issuer)
            return issuer
    raise ConfigError("the certificate was not issued by this authority", "该证书不是由本管理机构签发")


def read_pem(pem: bytes) -> x509.Certificate:
    """The first certificate of a PEM file.

    Raises:
        ConfigError: there is none.
    """
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise ConfigError("that is not a certificate in PEM", "不是 PEM 证书") from error


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
