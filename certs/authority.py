"""The built-in authority of a federation: a folder with its root, its issuing CA and the key that signs directories.

    root.pem, root-key.pem            needed again only to make another issuing CA: move the key away, keep it offline
    issuing.pem, issuing-key.pem      issue every leaf
    directory-key.pem                 Ed25519, signs the federation directory

Owns: making that folder, and issuing by `certs.profiles`. Refuses: a name out of a certification request (only its
public key is taken, after its signature proved possession; who it is for is said by the caller), a folder that is not
empty when an authority is made, and one whose files are incomplete or do not belong together.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from certs import keys, profiles
from certs.errors import AuthorityError, ProfileError
from certs.files import PUBLIC, read_public, write_file
from certs.identity import ROLE_DEPARTMENT, ROLE_UNIT, Identity, require_federation

DIRECTORY_TAG: Final = b"wugan-directory-v1\x00"
"""What precedes the directory's bytes under its signatures, so that they mean nothing anywhere else."""

Holder = x509.CertificateSigningRequest | CertificatePublicKeyTypes
"""What a certificate is issued for: a certification request (PKCS#10) or a public key."""

_ROOT, _ROOT_KEY = "root.pem", "root-key.pem"
_ISSUING, _ISSUING_KEY = "issuing.pem", "issuing-key.pem"
_DIRECTORY_KEY = "directory-key.pem"


@dataclass(frozen=True, slots=True)
class Issued:
    """A leaf certificate, with what its holder must present beside it."""

    certificate: x509.Certificate
    issuing: x509.Certificate

    @property
    def pem(self) -> bytes:
        """The leaf, then the issuing CA: what a TLS server or client presents."""
        return _pem(self.certificate) + _pem(self.issuing)

    @property
    def der(self) -> bytes:
        """The leaf alone."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def intermediates_der(self) -> tuple[bytes, ...]:
        """What stands between the leaf and the root."""
        return (self.issuing.public_bytes(serialization.Encoding.DER),)


class Authority:
    """Issues certificates and signs directories for one federation. Made by `create` or `load`."""

    def __init__(self, root: x509.Certificate, issuer: profiles.Issuer, directory_key: Ed25519PrivateKey) -> None:
        self._root = root
        self._issuer = issuer
        self._directory_key = directory_key

    @classmethod
    def create(
        cls,
        folder: Path,
        federation: str,
        *,
        now: dt.datetime,
        root_passphrase: bytes | None = None,
        passphrase: bytes | None = None,
        loopback: bool = False,
    ) -> Authority:
        """Make a new authority.

        Args:
            folder: where; made with mode 0700, with its parents, if it is not there.
            federation: trust domain, e.g. "demo.wugan.internal".
            now: time of making, with time zone.
            root_passphrase: encrypts the root's key. Without one it lies open to whoever can read the folder.
            passphrase: encrypts the issuing and the directory key.
            loopback: let servers be called "localhost" too; for demonstrations on one machine.

        Raises:
            AuthorityError: there is one in the folder already, or the folder cannot be made.
            CertsError: the federation's name is malformed, or a file cannot be written.
        """
        require_federation(federation)
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            taken = any(folder.iterdir())
        except OSError as error:
            raise AuthorityError(
                f"{folder}: cannot be used as the authority's folder ({error.strerror})",
                f"{folder}：无法用作签发机构目录（{error.strerror}）",
            ) from error
        if taken:
            raise AuthorityError(
                f"{folder}: is not empty; a new authority starts in a folder of its own",
                f"{folder}：目录非空，新的签发机构须使用空目录",
            )
        root_key, issuing_key = keys.generate_authority_key(), keys.generate_authority_key()
        directory_key = keys.generate_signing_key()
        root = profiles.root_certificate(root_key, federation, now)
        issuing = profiles.issuing_certificate(
            profiles.Issuer(root, root_key, federation, loopback), issuing_key.public_key(), now
        )
        keys.store_private_key(folder / _ROOT_KEY, root_key, passphrase=root_passphrase)
        keys.store_private_key(folder / _ISSUING_KEY, issuing_key, passphrase=passphrase)
        keys.store_private_key(folder / _DIRECTORY_KEY, directory_key, passphrase=passphrase)
        write_file(folder / _ROOT, _pem(root), mode=PUBLIC, replace=False)
        write_file(folder / _ISSUING, _pem(issuing), mode=PUBLIC, replace=False)
        return cls(root, profiles.Issuer(issuing, issuing_key, federation, loopback), directory_key)

    @classmethod
    def load(cls, folder: Path, *, passphrase: bytes | None = None) -> Authority:
        """Open an authority; the root's key is not needed.

        Args:
            folder: as given to `create`.
            passphrase: of the issuing and the directory key.

        Raises:
            AuthorityError: its files do not belong together.
            KeyFileError: one of them is missing, unreadable, open to others or locked with another passphrase.
        """
        root = _certificate(folder / _ROOT)
        issuing = _certificate(folder / _ISSUING)
        key = keys.load_private_key(folder / _ISSUING_KEY, passphrase=passphrase)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != issuing.public_key():
            raise AuthorityError(
                f"{folder}: {_ISSUING_KEY} is not the key of {_ISSUING}",
                f"{folder}：{_ISSUING_KEY} 与 {_ISSUING} 不匹配",
            )
        try:
            constraints = issuing.extensions.get_extension_for_class(x509.NameConstraints).value
        except (x509.ExtensionNotFound, ValueError) as error:
            raise AuthorityError(
                f"{folder}: {_ISSUING} was not made by this program: it has no name constraints",
                f"{folder}：{_ISSUING} 不是本程序签发的证书：缺少名称约束",
            ) from error
        permitted = constraints.permitted_subtrees or []
        federation = next((name.value for name in permitted if isinstance(name, x509.UniformResourceIdentifier)), "")
        loopback = any(isinstance(name, x509.DNSName) and name.value == profiles.LOOPBACK_NAME for name in permitted)
        issuer = profiles.Issuer(issuing, key, require_federation(federation), loopback)
        return cls(root, issuer, keys.load_signing_key(folder / _DIRECTORY_KEY, passphrase=passphrase))

    @property
    def federation(self) -> str:
        """The trust domain it issues for."""
        return self._issuer.federation

    @property
    def root_pem(self) -> bytes:
        """The trust anchor that every member pins."""
        return _pem(self._root)

    @property
    def directory_public_key(self) -> bytes:
        """The 32 bytes of the Ed25519 key that every member pins for the directory."""
        return self._directory_key.public_key().public_bytes_raw()

    @property
    def directory_key_id(self) -> str:
        """Key id of the same."""
        return keys.key_id(self.directory_public_key)

    def sign_directory(self, directory: bytes) -> bytes:
        """Ed25519 signature over `DIRECTORY_TAG` and a serialized directory."""
        return self._directory_key.sign(DIRECTORY_TAG + directory)

    def issue_gateway_tls(
        self, member_id: str, holder: Holder, *, now: dt.datetime, lifetime: dt.timedelta = profiles.TLS_LIFETIME
    ) -> Issued:
        """A TLS certificate for a member's gateway: server and client.

        Raises:
            CertsError: the member id, the key or the request is not acceptable, or the authority has expired.
        """
        return self._tls(Identity.gateway(self.federation, member_id), holder, now, lifetime)

    def issue_unit_tls(
        self,
        member_id: str,
        unit: str,
        holder: Holder,
        *,
        now: dt.datetime,
        lifetime: dt.timedelta = profiles.TLS_LIFETIME,
    ) -> Issued:
        """A TLS client certificate for an agency (unit) of a member.

        Raises:
            CertsError: as `issue_gateway_tls`, or the unit's code is malformed.
        """
        return self._tls(Identity(self.federation, member_id, ROLE_UNIT, unit), holder, now, lifetime)

    def issue_department_tls(
        self,
        member_id: str,
        adapter_id: str,
        holder: Holder,
        *,
        now: dt.datetime,
        lifetime: dt.timedelta = profiles.TLS_LIFETIME,
    ) -> Issued:
        """A TLS certificate for a department's own adapter: server, since the gateway calls it, and client.

        Raises:
            CertsError: as `issue_gateway_tls`, or the adapter's id is malformed.
        """
        return self._tls(Identity(self.federation, member_id, ROLE_DEPARTMENT, adapter_id), holder, now, lifetime)

    def issue_signing(
        self, member_id: str, holder: Holder, *, now: dt.datetime, lifetime: dt.timedelta = profiles.SIGNING_LIFETIME
    ) -> Issued:
        """A certificate for the Ed25519 key with which a member signs envelopes.

        Raises:
            CertsError: as `issue_gateway_tls`.
        """
        identity = Identity.gateway(self.federation, member_id)
        leaf = profiles.signing_certificate(self._issuer, _public_key(holder), identity, now, lifetime)
        return Issued(leaf, self._issuer.certificate)

    def issue_authority_tls(
        self, holder: Holder, *, now: dt.datetime, lifetime: dt.timedelta = profiles.TLS_LIFETIME
    ) -> Issued:
        """A TLS certificate for the authority's own server.

        Raises:
            CertsError: as `issue_gateway_tls`.
        """
        return self._tls(Identity.authority(self.federation), holder, now, lifetime)

    def _tls(self, identity: Identity, holder: Holder, now: dt.datetime, lifetime: dt.timedelta) -> Issued:
        leaf = profiles.tls_certificate(self._issuer, _public_key(holder), identity, now, lifetime)
        return Issued(leaf, self._issuer.certificate)


def _public_key(holder: Holder) -> CertificatePublicKeyTypes:
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


def _certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(read_public(path))
    except ValueError as error:
        raise AuthorityError(f"{path}: not a certificate in PEM", f"{path}：不是 PEM 证书") from error


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
