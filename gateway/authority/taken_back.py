"""Revocations, from the ledger of certificates into the record of members.

Owns: adopting whatever the ledger has revoked since it was last looked at, and taking a certificate out of the entry of
the member that lists it. Refuses: deciding what is revoked (`gateway.authority.office`, `certs.revocation`).
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator
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
from gateway.federation.presented import serial_bytes

_REVISION: Final = "ledger revision"


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
        """Whether the ledger has revoked something since the record adopted it.

        Raises:
            CertsError: the ledger cannot be used.
        """
        return self._membership.state(_REVISION) != self._authority.ledger.revision()

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
        for each in revoked:
            issuer = certificates.get(each.issuing)
            if issuer is None or serial_bytes(each.serial) in taken:
                continue
            reason = issuers.NUMBERS[each.reason or x509.ReasonFlags.unspecified]
            member_id = each.holder.member_id if each.holder is not None else ""
            self.add(each.serial, issuer, each.expires_at, reason, at=each.revoked_at, member_id=member_id)
        self._membership.count(_REVISION, revision)

    def add(
        self,
        serial_number: int,
        issuer: x509.Certificate,
        expires_at: dt.datetime,
        reason: int,
        *,
        at: dt.datetime | None = None,
        member_id: str | None = None,
    ) -> None:
        """Revoke a certificate in the directory.

        Args:
            serial_number: its number.
            issuer: the CA that issued it.
            expires_at: until when it would have been valid.
            reason: CRLReason.
            at: since when it is revoked; now where that is not known.
            member_id: the one member that can list it; where that is not known, every entry is searched.
        """
        revocation = directory_build.revocation(
            serial_number, issuer.public_bytes(Encoding.DER), revoked_at=at or self._now, reason=reason
        )
        self._membership.revoke(revocation, round(expires_at.timestamp() * 1000))
        key = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
        rows = self._membership.rows().values() if member_id is None else [self._membership.row(member_id)]
        for row in rows:
            if row is not None:
                entry = entries.without_certificate(row.entry, serial_bytes(serial_number), key)
                if entry != row.entry:
                    self._membership.put(replace(row, entry=entry))


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
