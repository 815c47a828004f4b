"""What becomes of a member's entry when keys are published or certificates taken back. Pure.

Owns: the changed copy. Refuses: judging it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from gateway.federation.directory import revokes
from gateway.federation.presented import Presented, issued_by, presented
from wugan.federation.v1 import authority_pb2, directory_pb2


def copied(entry: directory_pb2.Member) -> directory_pb2.Member:
    """A copy to be changed."""
    copy = directory_pb2.Member()
    copy.CopyFrom(entry)
    return copy


def tls_certificates(entry: directory_pb2.Member) -> set[bytes]:
    """Every TLS certificate that a member lists, DER."""
    return {certificate for gateway in entry.gateways for certificate in gateway.tls_certificates}


def certificates(entry: directory_pb2.Member) -> list[bytes]:
    """Every certificate that a member lists, DER."""
    return [*sorted(tls_certificates(entry)), *(key.certificate for key in entry.signing_keys)]


def with_keys_of(entry: directory_pb2.Member, held: directory_pb2.Member) -> directory_pb2.Member:
    """The entry, with the keys and TLS certificates that the one held so far has."""
    changed = copied(entry)
    changed.signing_keys.extend(held.signing_keys)
    changed.encryption_keys.extend(held.encryption_keys)
    for gateway in changed.gateways:
        gateway.tls_certificates.extend(sorted(tls_certificates(held)))
    return changed


def with_publication(entry: directory_pb2.Member, publication: authority_pb2.KeyPublication) -> directory_pb2.Member:
    """The entry, with exactly the keys and TLS certificates of a publication.

    Fields that the contract does not have are left out: nobody judges them, and every member would have to fetch them.
    """
    known = authority_pb2.KeyPublication()
    known.CopyFrom(publication)
    known.DiscardUnknownFields()
    publication, changed = known, copied(entry)
    for gateway in changed.gateways:
        del gateway.tls_certificates[:]
        gateway.tls_certificates.extend(publication.tls_certificates)
    del changed.signing_keys[:], changed.encryption_keys[:]
    changed.signing_keys.extend(publication.signing_keys)
    changed.encryption_keys.extend(publication.encryption_keys)
    return changed


def without_certificates(
    entry: directory_pb2.Member, revoked: Mapping[bytes, frozenset[bytes]]
) -> directory_pb2.Member:
    """The entry without the certificates that `Directory.revoked` takes back, whoever made them.

    What a listed TLS certificate says of itself is its maker's word: that its chain holds, TLS finds out. One with the
    number and issuer of another's certificate would keep that from being revoked, for nothing is both listed and
    revoked.
    """

    def other(certificate: bytes) -> bool:
        return not revokes(revoked, presented(certificate))

    if all(map(other, certificates(entry))):
        return entry
    return _with_certificates(entry, other)


def without_issuer(entry: directory_pb2.Member, issuer: bytes) -> directory_pb2.Member:
    """The entry without all certificates that a CA (DER) issued."""
    return _with_certificates(entry, lambda certificate: not issued_by(certificate, issuer))


def _with_certificates(entry: directory_pb2.Member, good: Callable[[bytes], bool]) -> directory_pb2.Member:
    changed = copied(entry)
    for gateway in changed.gateways:
        kept = [certificate for certificate in gateway.tls_certificates if good(certificate)]
        del gateway.tls_certificates[:]
        gateway.tls_certificates.extend(kept)
    del changed.signing_keys[:]
    changed.signing_keys.extend(key for key in entry.signing_keys if good(key.certificate))
    return changed


def without_key(entry: directory_pb2.Member, key_id: str) -> directory_pb2.Member:
    """The entry without a key, signing or encryption."""
    changed = copied(entry)
    del changed.signing_keys[:], changed.encryption_keys[:]
    changed.signing_keys.extend(key for key in entry.signing_keys if key.key_id != key_id)
    changed.encryption_keys.extend(key for key in entry.encryption_keys if key.key_id != key_id)
    return changed


def without_revoked(
    entry: directory_pb2.Member, barred: Collection[str], is_revoked: Callable[[Presented], bool]
) -> directory_pb2.Member:
    """The entry without the keys and certificates that were taken back.

    Args:
        entry: the entry.
        barred: ids of keys.
        is_revoked: tells of a certificate.

    Raises:
        RefusedError: a certificate in it is none.
    """

    def good(certificate: bytes) -> bool:
        return not is_revoked(presented(certificate))

    changed = _with_certificates(entry, good)
    signing = [key for key in changed.signing_keys if key.key_id not in barred]
    del changed.signing_keys[:], changed.encryption_keys[:]
    changed.signing_keys.extend(signing)
    changed.encryption_keys.extend(key for key in entry.encryption_keys if key.key_id not in barred)
    return changed


def lost_a_kind(entry: directory_pb2.Member, kept: directory_pb2.Member) -> bool:
    """Whether nothing is kept of a kind of key of which the entry had some."""
    pairs = (
        (tls_certificates(entry), tls_certificates(kept)),
        (entry.signing_keys, kept.signing_keys),
        (entry.encryption_keys, kept.encryption_keys),
    )
    return any(had and not has for had, has in pairs)


def without_keys(entry: directory_pb2.Member) -> directory_pb2.Member:
    """The entry without any key or TLS certificate."""
    return with_publication(entry, authority_pb2.KeyPublication())
