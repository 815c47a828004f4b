"""Making a directory: what the federation's authority does when members join, change keys or leave.

Owns: the entries for a member and its keys, the directory of them all, and its signatures. Refuses: checking what it is
given. The members that receive it do that (`directory_trust`), and whoever publishes verifies it first. Writing: the
file must be replaced whole (`certs.files.write_file`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from google.protobuf.message import DecodeError

from gateway.errors import DirectoryError
from gateway.exchange.keys import key_id
from wugan.federation.v1 import directory_pb2, envelope_pb2


class DirectorySigner(Protocol):
    """Holds a directory key; `certs.authority.Authority` is one."""

    @property
    def directory_key_id(self) -> str:
        """Id of its key."""
        ...

    def sign_directory(self, directory: bytes) -> bytes:
        """Signature over "wugan-directory-v1" 0x00 and the bytes."""
        ...


def signing_key(certificate: bytes, intermediates: Sequence[bytes]) -> directory_pb2.SigningKey:
    """The entry of a signing key, to be used as long as its certificate is valid.

    Args:
        certificate: X.509, DER.
        intermediates: what stands between it and the root, DER.

    Raises:
        DirectoryError: it is no certificate of an Ed25519 key.
    """
    try:
        leaf = x509.load_der_x509_certificate(certificate)
        key = leaf.public_key()
    except ValueError as error:
        raise _no_signing_certificate() from error
    if not isinstance(key, Ed25519PublicKey):
        raise _no_signing_certificate()
    return directory_pb2.SigningKey(
        key_id=key_id(key.public_bytes_raw()),
        suite=envelope_pb2.SUITE_XWING_ED25519,
        certificate=certificate,
        intermediates=intermediates,
        not_before_ms=_ms(leaf.not_valid_before_utc),
        not_after_ms=_ms(leaf.not_valid_after_utc),
    )


def encryption_key(
    public_key: bytes, *, not_before: dt.datetime, not_after: dt.datetime
) -> directory_pb2.EncryptionKey:
    """The entry of an encryption key.

    Args:
        public_key: X-Wing public key, 1,216 bytes (`DecryptionKey.public_raw`).
        not_before: from when on it may be sealed to.
        not_after: until when, inclusive.
    """
    return directory_pb2.EncryptionKey(
        key_id=key_id(public_key),
        suite=envelope_pb2.SUITE_XWING_ED25519,
        public_key=public_key,
        not_before_ms=_ms(not_before),
        not_after_ms=_ms(not_after),
    )


def member_entry(
    *,
    member_id: str,
    name_zh: str,
    name_en: str,
    regions: Iterable[int],
    gateways: Iterable[tuple[str, str]],
    signing_keys: Iterable[directory_pb2.SigningKey],
    encryption_keys: Iterable[directory_pb2.EncryptionKey],
    offer: directory_pb2.Offer | None = None,
) -> directory_pb2.Member:
    """The entry of a member.

    Args:
        member_id: unified social credit code.
        name_zh: its name in Chinese.
        name_en: its name in English.
        regions: GB/T 2260 codes it answers for.
        gateways: "host:port" and TLS name (`Identity.tls_name`) of each; the first is called.
        signing_keys: made by `signing_key`.
        encryption_keys: made by `encryption_key`.
        offer: what it can be asked.
    """
    return directory_pb2.Member(
        member_id=member_id,
        name_zh=name_zh,
        name_en=name_en,
        regions=regions,
        gateways=[directory_pb2.Gateway(address=address, tls_name=tls_name) for address, tls_name in gateways],
        signing_keys=signing_keys,
        encryption_keys=encryption_keys,
        offer=offer,
    )


def sign_directory(
    signer: DirectorySigner,
    members: Iterable[directory_pb2.Member],
    *,
    version: int,
    federation: str,
    issued_at: dt.datetime,
    expires_at: dt.datetime,
) -> bytes:
    """A serialized SignedDirectory with one signature.

    Args:
        signer: the authority.
        members: made by `member_entry`.
        version: higher than that of every directory published before.
        federation: trust domain.
        issued_at: time of signing.
        expires_at: when members must have got a newer one.
    """
    directory = directory_pb2.Directory(
        version=version,
        issued_at_ms=_ms(issued_at),
        expires_at_ms=_ms(expires_at),
        federation=federation,
        members=members,
    )
    signed = directory_pb2.SignedDirectory(directory=directory.SerializeToString(deterministic=True))
    return cosign_directory(signed.SerializeToString(), signer)


def cosign_directory(signed: bytes, signer: DirectorySigner) -> bytes:
    """The same serialized SignedDirectory with one more signature, where the threshold asks for several.

    Raises:
        DirectoryError: it is none.
    """
    try:
        message = directory_pb2.SignedDirectory.FromString(signed)
    except DecodeError as error:
        raise DirectoryError("not a signed directory", "不是签名的成员目录") from error
    message.signatures.add(key_id=signer.directory_key_id, signature=signer.sign_directory(message.directory))
    return message.SerializeToString()


def _ms(at: dt.datetime) -> int:
    return round(at.timestamp() * 1000)


def _no_signing_certificate() -> DirectoryError:
    return DirectoryError("not a certificate of an Ed25519 signing key, DER", "不是 Ed25519 签名密钥的 DER 格式证书")
