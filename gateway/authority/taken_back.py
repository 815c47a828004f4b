"""Revocations, from the ledger of certificates into the record of members.

Owns: adopting whatever the ledger has revoked since it was last looked at, which CAs are believed, and taking a
certificate out of the entry of the member that lists it. Refuses: deciding what is revoked
(`gateway.authority.revoking`, `certs.revocation`).
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from certs.authority import Authority
from certs.errors import CertsError, LedgerError
from gateway.authority import entries, issuers
from gateway.authority.membership import Membership
from gateway.errors import ConfigError, StoreError
from gateway.federation import directory_build
from gateway.federation.directory_entries import MAX_KEPT
from gateway.federation.presented import serial_bytes

_REVISION: Final = "ledger revision"
_ISSUING: Final = "issuing cas"


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
        return self._membership.state(_ISSUING) != _mark(self.issuing_cas())

    def issuing_cas(self) -> list[bytes]:
        """The CAs whose certificates are believed, DER.

        Raises:
            CertsError: the ledger or the folder cannot be used.
        """
        self._authority.refresh()
        cas = self._authority.issuing_cas
        return [ca.certificate.public_bytes(Encoding.DER) for ca in cas if not self._authority.is_revoked(ca.name)]

    def kept(self) -> list[bytes]:
        """SHA-256 of what CAs that were taken back had really issued, and that still counts; of too many, the newest.

        Raises:
            CertsError: the ledger cannot be used.
        """
        revoked = [ca.name for ca in self._authority.issuing_cas if self._authority.is_revoked(ca.name)]
        found = [each for name in reversed(revoked) for each in self._authority.ledger.fingerprints(name, self._now)]
        return found[:MAX_KEPT]

    def published(self, issuing_cas: Sequence[bytes]) -> None:
        """Note which CAs the directory tells of."""
        self._membership.count(_ISSUING, _mark(issuing_cas))

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
            self._authority.refresh()
            certificates = {issuing.name: issuing.certificate for issuing in self._authority.issuing_cas}
            revoked = self._authority.ledger.revoked(self._now)
        taken = {revocation.serial_number for revocation in self._membership.revocations()}
        serials = set()
        for each in revoked:
            issuer = certificates.get(each.issuing)
            if issuer is None or serial_bytes(each.serial) in taken:
                continue
            reason = issuers.NUMBERS[each.reason or x509.ReasonFlags.unspecified]
            serials.add(self._revoke(each.serial, issuer, each.expires_at, reason, each.revoked_at or self._now))
        self._unlist(serials)
        self._membership.count(_REVISION, revision)

    def add(self, serial_number: int, issuer: x509.Certificate, expires_at: dt.datetime, reason: int) -> None:
        """Revoke a certificate in the directory, from now on.

        Args:
            serial_number: its number.
            issuer: the CA that issued it.
            expires_at: until when it would have been valid.
            reason: CRLReason.
        """
        self._unlist({self._revoke(serial_number, issuer, expires_at, reason, self._now)})

    def _revoke(
        self, serial_number: int, issuer: x509.Certificate, expires_at: dt.datetime, reason: int, at: dt.datetime
    ) -> bytes:
        """Put a revocation on the record; the serial number as the directory has it."""
        revocation = directory_build.revocation(
            serial_number, issuer.public_bytes(Encoding.DER), revoked_at=at, reason=reason
        )
        self._membership.revoke(revocation, round(expires_at.timestamp() * 1000))
        return serial_bytes(serial_number)

    def _unlist(self, serials: Collection[bytes]) -> None:
        """Take certificates out of every entry that lists them, whoever's they are."""
        for row in self._membership.rows().values() if serials else ():
            entry = entries.without_serials(row.entry, serials)
            if entry is not row.entry:
                self._membership.put(replace(row, entry=entry))


def _mark(issuing_cas: Sequence[bytes]) -> int:
    """A number that stands for CAs."""
    return int.from_bytes(hashlib.sha256(b"".join(issuing_cas)).digest()[:7])


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
