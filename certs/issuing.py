"""The issuing CAs of an authority, as files in its folder: one current, the others retired.

    issuing.pem, issuing-key.pem        the first
    issuing-2.pem, issuing-2-key.pem    the second, and so on; the one with the highest number is current

Owns: reading them, adding one, and destroying one. The key is written before its certificate, and destroyed after it:
a CA is there if its certificate is, so a crash in between leaves a key without meaning, which the next step clears
away. Refuses: a certificate without its key, with another's, or that another root signed, and more than 60 at once.
"""

from __future__ import annotations

import datetime as dt
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from certs import keys, profiles
from certs.errors import AuthorityError
from certs.files import PUBLIC, read_public, remove_file, write_file
from certs.identity import require_federation
from certs.system_words import cause

FIRST: Final = "issuing"
MAX_ISSUING: Final = 60
"""A new one every week, for the 400 days that a signing certificate lives."""

_CERTIFICATE: Final = re.compile(r"issuing(?:-([1-9][0-9]{0,3}))?\.pem")
_KEY: Final = re.compile(r"(issuing(?:-[1-9][0-9]{0,3})?)-key\.pem")


@dataclass(frozen=True, slots=True)
class IssuingCa:
    """One issuing CA with its key.

    Args:
        number: counts from 1.
        issuer: what signs.
    """

    number: int
    issuer: profiles.Issuer

    @property
    def name(self) -> str:
        """What its files and its revocation list are called: "issuing", "issuing-2", …"""
        return self.issuer.name

    @property
    def certificate(self) -> x509.Certificate:
        """Its certificate."""
        return self.issuer.certificate


def numbers(folder: Path) -> tuple[int, ...]:
    """The numbers of the issuing CAs in a folder, the current one last.

    Raises:
        AuthorityError: the folder cannot be read, holds none, or more than 60.
    """
    try:
        names = os.listdir(folder)  # noqa: PTH208  looked at with each certificate that is issued
    except OSError as error:
        raise AuthorityError(
            f"{folder}: cannot be read ({cause(error).en})", f"{folder}：无法读取（{cause(error).zh}）"
        ) from error
    found = sorted(int(match[1] or 1) for name in names if (match := _CERTIFICATE.fullmatch(name)))
    if not 0 < len(found) <= MAX_ISSUING:
        raise AuthorityError(
            f"{folder}: holds {len(found)} issuing CAs; between 1 and {MAX_ISSUING} are expected",
            f"{folder}：含 {len(found)} 个签发 CA，应为 1 至 {MAX_ISSUING} 个",
        )
    return tuple(found)


def load(folder: Path, number: int, root: x509.Certificate, passphrase: bytes | None) -> IssuingCa:
    """Read one issuing CA.

    Raises:
        AuthorityError: its files do not belong together or to the root.
        KeyFileError: one of them is missing, unreadable, open to others or locked with another passphrase.
    """
    name = name_of(number)
    certificate = read_certificate(folder / f"{name}.pem")
    key = keys.load_private_key(folder / f"{name}-key.pem", passphrase=passphrase)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise AuthorityError(
            f"{folder}: {name}-key.pem is not the key of {name}.pem", f"{folder}：{name}-key.pem 与 {name}.pem 不匹配"
        )
    try:
        certificate.verify_directly_issued_by(root)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise AuthorityError(
            f"{folder}: {name}.pem was not issued by root.pem", f"{folder}：{name}.pem 不是由 root.pem 签发"
        ) from error
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.NameConstraints).value
    except (x509.ExtensionNotFound, ValueError) as error:
        raise AuthorityError(
            f"{folder}: {name}.pem was not made by this program: it has no name constraints",
            f"{folder}：{name}.pem 不是本程序签发的证书：缺少名称约束",
        ) from error
    permitted = constraints.permitted_subtrees or []
    federation = next((one.value for one in permitted if isinstance(one, x509.UniformResourceIdentifier)), "")
    loopback = any(isinstance(one, x509.DNSName) and one.value == profiles.LOOPBACK_NAME for one in permitted)
    return IssuingCa(number, profiles.Issuer(certificate, key, require_federation(federation), loopback, name))


def add(folder: Path, number: int, root: profiles.Issuer, passphrase: bytes | None, now: dt.datetime) -> IssuingCa:
    """Make an issuing CA; it is there once its certificate is.

    Raises:
        CertsError: the root has expired, or a file cannot be written.
    """
    name = name_of(number)
    key = keys.generate_issuing_key()
    certificate = profiles.issuing_certificate(root, key.public_key(), now, number)
    # A key without certificate is what a crash at this place left.
    keys.store_private_key(folder / f"{name}-key.pem", key, passphrase=passphrase, replace=True)
    write_file(folder / f"{name}.pem", certificate.public_bytes(serialization.Encoding.PEM), mode=PUBLIC, replace=False)
    return IssuingCa(number, profiles.Issuer(certificate, key, root.federation, root.loopback, name))


def destroy(folder: Path, number: int) -> None:
    """Remove an issuing CA with its key.

    Raises:
        KeyFileError: it cannot be removed.
    """
    remove_file(folder / f"{name_of(number)}.pem")
    remove_file(folder / f"{name_of(number)}-key.pem")


def clear_away(folder: Path) -> None:
    """Remove keys whose certificate is not there: what a crash left of `add` or `destroy`.

    Raises:
        KeyFileError: one cannot be removed.
    """
    for path in folder.glob("issuing*-key.pem"):
        match = _KEY.fullmatch(path.name)
        if match and not (folder / f"{match[1]}.pem").exists():
            remove_file(path)


def name_of(number: int) -> str:
    """The name of the issuing CA with a number."""
    return FIRST if number == 1 else f"{FIRST}-{number}"


def read_certificate(path: Path) -> x509.Certificate:
    """A certificate file in PEM.

    Raises:
        AuthorityError: it is none.
        KeyFileError: it cannot be read.
    """
    try:
        return x509.load_pem_x509_certificate(read_public(path))
    except ValueError as error:
        raise AuthorityError(f"{path}: not a certificate in PEM", f"{path}：不是 PEM 证书") from error
