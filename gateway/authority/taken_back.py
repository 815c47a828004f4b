"""Revocations, from the ledger of certificates into the record of members.

Owns: adopting whatever the ledger has revoked since it was last looked at, which CAs are believed, and taking a
certificate out of the entry of the member that lists it. Refuses: deciding what is revoked
(`gateway.authority.revoking`, `certs.revocation`).
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from certs.authority import Authority
from certs.errors import CertsError, LedgerError
from gateway.authority import entries, issuers
from gateway.authority.membership import Accepted, Membership
from gateway.errors import ConfigError, StoreError
from gateway.federation import directory_build
from gateway.federation.directory_entries import MAX_KEPT
from gateway.federation.presented import Presented, serial_bytes
from wugan.federation.v1 import directory_pb2

_REVISION: Final = "ledger revision"
_ISSUING: Final = "issuing cas"
_EVER: Final = dt.datetime.fromtimestamp(0, dt.UTC)

LISTED_AFTER_EXPIRY: Final = dt.timedelta(days=1)
"""The directory tells of a revocation for so long after its certificate has expired: clocks differ, and nothing is
gained by haste."""


class TakenBack:
    """What is revoked, at one moment. All but `behind` within a change of the record.

    Args:
        membership: the record.
        authority: has the ledger.
        now: the time.
    """

    def __init__(self, membership: Membership, authority: Authority, now: dt.datetime) -> None:
        self._membership = membership
        self._authority = authority
        self._now = now

    def behind(self) -> bool:
        """Whether the ledger has revoked something that is not adopted, or the issuing CAs are others than published.

        Raises:
            CertsError: the ledger or the folder cannot be used.
        """
        if self._membership.state(_REVISION) != self._authority.ledger.revision():
            return True
        return self._membership.state(_ISSUING) != _mark(self.issuing_cas(), self.member_cas())

    def issuing_cas(self) -> list[bytes]:
        """The CAs whose certificates are believed, DER.

        Raises:
            CertsError: the ledger or the folder cannot be used.
        """
        cas = self._authority.issuing
        cas.refresh()
        return [ca.certificate.public_bytes(Encoding.DER) for ca in cas.all if not cas.is_revoked(ca.name)]

    def kept(self) -> list[bytes]:
        """SHA-256 of what CAs that were taken back had really issued, and that still counts; of too many, the newest.

        Raises:
            CertsError: the ledger cannot be used.
        """
        cas = self._authority.issuing
        revoked = [ca.name for ca in cas.all if cas.is_revoked(ca.name)]
        found = [each for name in reversed(revoked) for each in self._authority.ledger.fingerprints(name, self._now)]
        return found[:MAX_KEPT]

    def accepted(self) -> list[Accepted]:
        """The CAs of members that are neither taken back nor expired."""
        now = self._now
        return [ca for ca in self._membership.accepted() if not ca.revoked_ms and now <= _expiry(ca.certificate)]

    def member_cas(self) -> list[directory_pb2.MemberCa]:
        """The same, as the directory tells of them."""
        return [directory_pb2.MemberCa(certificate=ca.certificate, member_id=ca.member_id) for ca in self.accepted()]

    def revocations(self) -> list[directory_pb2.Revocation]:
        """What the directory tells of certificates taken back.

        Not of a member's CA that is not in force: nothing of it is believed, and where the CA is not known the number
        alone would decide, which such a CA chooses and may have chosen to be that of somebody else's certificate.
        """
        in_force = {ca.name for ca in self.accepted()}
        gone = {
            hashlib.sha256(ca.certificate).digest() for ca in self._membership.accepted() if ca.name not in in_force
        }
        after_ms = round((self._now - LISTED_AFTER_EXPIRY).timestamp() * 1000)
        return [each for each in self._membership.revocations(after_ms) if each.issuer_sha256 not in gone]

    def is_revoked(self, shown: Presented) -> bool:
        """Whether a certificate was taken back.

        The number alone does not say it: a member's CA gives what numbers it likes. Only where the CA is none that is
        known, nothing but the number is left to go by.

        Raises:
            CertsError: the folder cannot be used.
        """
        issuers = self._membership.issuers_of_revoked(shown.serial)
        if not issuers:
            return False
        known = [hashlib.sha256(ca).digest() for ca in self._known() if _key_identifier(ca) == shown.issuer_key]
        return not known or not issuers.isdisjoint(known)

    def _known(self) -> list[bytes]:
        """Every CA that is on the disk or the record, DER."""
        self._authority.issuing.refresh()
        built_in = [ca.certificate.public_bytes(Encoding.DER) for ca in self._authority.issuing.all]
        return [*built_in, *(ca.certificate for ca in self._membership.accepted())]

    @staticmethod
    def published(issuing_cas: Sequence[bytes], member_cas: Sequence[directory_pb2.MemberCa]) -> Mapping[str, int]:
        """Which CAs the directory tells of, for `Membership.mark_published`."""
        return {_ISSUING: _mark(issuing_cas, member_cas)}

    def adopt(self) -> None:
        """Put on the record whatever the ledger has revoked.

        Raises:
            StoreError: the ledger cannot be used.
            ConfigError: the authority's folder cannot be read any more.
        """
        with translated():
            # The number before the list: what is revoked in between is only looked at once more.
            revision = self._authority.ledger.revision()
            if revision == self._membership.state(_REVISION):
                return
            self._authority.issuing.refresh()
            certificates = {issuing.name: issuing.certificate for issuing in self._authority.issuing.all}
            # Expired or not: the clock may be ahead, and what is skipped now is looked at again only with the next one.
            revoked = self._authority.ledger.revoked(_EVER)
        taken = {(each.serial_number, each.issuer_sha256) for each in self._membership.revocations()}
        digests = {name: issuer.fingerprint(hashes.SHA256()) for name, issuer in certificates.items()}
        gone: dict[bytes, frozenset[bytes]] = {}
        keys = self._keys_told()
        for each in revoked:
            issuer = certificates.get(each.issuing)
            if issuer is None or (serial_bytes(each.serial), digests[each.issuing]) in taken:
                continue
            reason = issuers.NUMBERS[each.reason or x509.ReasonFlags.unspecified]
            self._revoke(each.serial, issuer, each.expires_at, reason, each.revoked_at or self._now)
            serial = serial_bytes(each.serial)
            gone[serial] = gone.get(serial, frozenset()) | {keys.get(digests[each.issuing], b"")}
        self._unlist(gone)
        self._membership.count(_REVISION, revision)

    def add(self, serial_number: int, issuer: x509.Certificate, expires_at: dt.datetime, reason: int) -> None:
        """Revoke a certificate in the directory, from now on.

        Args:
            serial_number: its number.
            issuer: the CA that issued it.
            expires_at: until when it would have been valid.
            reason: CRLReason.
        """
        self._revoke(serial_number, issuer, expires_at, reason, self._now)
        key = self._keys_told().get(issuer.fingerprint(hashes.SHA256()), b"")
        self._unlist({serial_bytes(serial_number): frozenset({key})})

    def _revoke(
        self, serial_number: int, issuer: x509.Certificate, expires_at: dt.datetime, reason: int, at: dt.datetime
    ) -> None:
        """Put a revocation on the record."""
        revocation = directory_build.revocation(
            serial_number, issuer.public_bytes(Encoding.DER), revoked_at=at, reason=reason
        )
        self._membership.revoke(revocation, round(expires_at.timestamp() * 1000))

    def _keys_told(self) -> dict[bytes, bytes]:
        """SHA-256 of the certificate of each CA that the directory tells of → its key's identifier.

        Of the others it may know no key: there the number of a certificate alone decides.
        """
        told = (*self.issuing_cas(), *(each.certificate for each in self.accepted()))
        return {hashlib.sha256(ca).digest(): _key_identifier(ca) for ca in told}

    def _unlist(self, gone: Mapping[bytes, frozenset[bytes]]) -> None:
        """Take what is gone, as `Directory.revoked` says it, out of every entry that lists it."""
        for row in self._membership.rows().values() if gone else ():
            entry = entries.without_certificates(row.entry, gone)
            if entry is not row.entry:
                self._membership.put(replace(row, entry=entry))


def _mark(issuing_cas: Sequence[bytes], member_cas: Sequence[directory_pb2.MemberCa]) -> int:
    """A number that stands for CAs."""
    told = (*issuing_cas, *(each.SerializeToString(deterministic=True) for each in member_cas))
    return int.from_bytes(hashlib.sha256(b"".join(told)).digest()[:7])


@functools.lru_cache(maxsize=1024)
def _key_identifier(certificate: bytes) -> bytes:
    """Of a CA, DER."""
    parsed = x509.load_der_x509_certificate(certificate)
    return parsed.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest


@functools.lru_cache(maxsize=1024)
def _expiry(certificate: bytes) -> dt.datetime:
    return x509.load_der_x509_certificate(certificate).not_valid_after_utc


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Errors of the authority's folder and ledger as those of the gateway's tree.

    Raises:
        StoreError: the ledger cannot be used.
        ConfigError: anything else.
    """
    try:
        yield
    except LedgerError as error:
        raise StoreError(error.en, error.zh) from error
    except CertsError as error:
        raise ConfigError(error.en, error.zh) from error
