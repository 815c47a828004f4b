"""Making a directory: what the federation's authority does when members join, change keys or leave.

Owns: the entries for a member and its keys, and the directory of them all. Refuses: checking what it is given (the
members that receive it do that, `directory_trust`, and the authority before it publishes), and signing: that is TUF's.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable, Sequence

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.errors import DirectoryError
from gateway.exchange.keys import key_id
from gateway.federation.presented import serial_bytes
from wugan.federation.v1 import directory_pb2, envelope_pb2


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
    tls_certificates: Sequence[bytes] = (),
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
        tls_certificates: those with which they may prove themselves, DER; none: any that names the member.
        signing_keys: made by `signing_key`.
        encryption_keys: made by `encryption_key`.
        offer: what it can be asked.
    """
    return directory_pb2.Member(
        member_id=member_id,
        name_zh=name_zh,
        name_en=name_en,
        regions=regions,
        gateways=[
            directory_pb2.Gateway(address=address, tls_name=tls_name, tls_certificates=tls_certificates)
            for address, tls_name in gateways
        ],
        signing_keys=signing_keys,
        encryption_keys=encryption_keys,
        offer=offer,
    )


def directory(
    members: Iterable[directory_pb2.Member],
    *,
    version: int,
    federation: str,
    issued_at: dt.datetime,
    expires_at: dt.datetime,
    revocations: Iterable[directory_pb2.Revocation] = (),
    issuing_cas: Iterable[bytes] = (),
    kept_certificates: Iterable[bytes] = (),
    member_cas: Iterable[directory_pb2.MemberCa] = (),
) -> bytes:
    """A serialized Directory: the TUF target of that name.

    Args:
        members: made by `member_entry`.
        version: of the TUF targets metadata that will name it.
        federation: trust domain.
        issued_at: time of making.
        expires_at: when members must have got a newer one.
        revocations: made by `revocation`.
        issuing_cas: CAs whose certificates are believed, DER.
        kept_certificates: SHA-256 of each certificate of another CA that is believed all the same.
        member_cas: CAs that members run themselves.
    """
    return directory_pb2.Directory(
        version=version,
        issued_at_ms=_ms(issued_at),
        expires_at_ms=_ms(expires_at),
        federation=federation,
        members=members,
        revocations=revocations,
        issuing_cas=issuing_cas,
        kept_certificates=kept_certificates,
        member_cas=member_cas,
    ).SerializeToString(deterministic=True)


def revocation(
    serial_number: int, issuer: bytes, *, revoked_at: dt.datetime, reason: int = 0
) -> directory_pb2.Revocation:
    """The entry of a certificate taken back.

    Args:
        serial_number: its serial number.
        issuer: the issuing CA's certificate, DER.
        revoked_at: when.
        reason: CRLReason (RFC 5280 section 5.3.1).

    Raises:
        ValueError: that is no serial number.
    """
    return directory_pb2.Revocation(
        serial_number=serial_bytes(serial_number),
        issuer_sha256=hashlib.sha256(issuer).digest(),
        revoked_at_ms=_ms(revoked_at),
        reason=reason,
    )


def _ms(at: dt.datetime) -> int:
    return round(at.timestamp() * 1000)


def _no_signing_certificate() -> DirectoryError:
    return DirectoryError("not a certificate of an Ed25519 signing key, DER", "不是 Ed25519 签名密钥的 DER 格式证书")
