"""Taking certificates back, and the lists that say so (RFC 5280 section 5).

Owns: `revoke`, and one revocation list for each issuing CA, whose number grows with every list, across a restore from
a backup too, and which is made anew as soon as something was revoked, by this process or another, or the clock was put
back to before it was made. Refuses: revoking what this authority never issued, and reasons that mean something else
than "never again" (a hold could be lifted).
"""

from __future__ import annotations

import datetime as dt
import threading
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from certs.authority import Authority
from certs.errors import RevocationError
from certs.identity import require_member_id
from certs.issuing import IssuingCa
from certs.profiles import STEP_BACK
from certs.records import Record

LIST_LIFE: Final = dt.timedelta(days=1)
"""From a list's making until the next must be there; a new one is made at half of it."""

HIGHEST_TOLD: Final = (1 << 127) - 1
"""Above this no number of a list is told: numbers have 20 octets at most (RFC 5280 section 5.2.3), and count on."""

REASONS: Final = (
    x509.ReasonFlags.unspecified,
    x509.ReasonFlags.key_compromise,
    x509.ReasonFlags.affiliation_changed,
    x509.ReasonFlags.superseded,
    x509.ReasonFlags.cessation_of_operation,
    x509.ReasonFlags.privilege_withdrawn,
)


@dataclass(frozen=True, slots=True)
class _List:
    der: bytes
    revision: int
    made: dt.datetime
    due: dt.datetime

    def holds(self, revision: int, now: dt.datetime) -> bool:
        """Whether it is as of the last change, and neither half over nor of a clock that was ahead."""
        return self.revision == revision and self.made - STEP_BACK <= now < self.due


class Revocation:
    """Revokes certificates of one authority and makes its lists. Safe for several threads."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        self._lists: dict[str, _List] = {}
        self._lock = threading.Lock()

    def revoke(self, serial: int, reason: x509.ReasonFlags, now: dt.datetime) -> Record:
        """Revoke one certificate; once revoked it stays so, with its first time and reason.

        Raises:
            RevocationError: this authority did not issue it, or the reason is none of `REASONS`.
            LedgerError: it cannot be recorded; then it is not revoked.
        """
        _require_reason(reason)
        record = self._authority.ledger.revoke(serial, reason, now)
        if record is None:
            raise RevocationError(
                f"no certificate with serial number {serial:x} was issued here; compare it with the list",
                f"本管理机构未签发序列号为 {serial:x} 的证书，请核对证书清单",
            )
        return record

    def revoke_issued(
        self, serial: int, reason: x509.ReasonFlags, now: dt.datetime, *, renewed: bool
    ) -> tuple[Record, ...]:
        """Revoke a certificate, and all that was issued on the strength of it if `renewed` is set: whoever had its key
        could have had them issued. All at once, so that no renewal comes in between.

        Returns:
            What was not revoked before, the certificate itself first.

        Raises:
            RevocationError, LedgerError: as `revoke`; then nothing is revoked.
        """
        ledger = self._authority.ledger
        with ledger.together():
            before = ledger.by_serial(serial)
            record = self.revoke(serial, reason, now)
            taken = [record] if before is None or before.revoked_at is None else []
            # Not by a clock that may be ahead: what it takes for expired would go on.
            for each in ledger.renewed_from(serial, ledger.lived_until(now)) if renewed else ():
                if each.revoked_at is None:
                    taken.append(self.revoke(each.serial, reason, now))
        return tuple(taken)

    def revoke_member(self, member_id: str, reason: x509.ReasonFlags, now: dt.datetime) -> tuple[Record, ...]:
        """Revoke all that a member has, its agencies' and departments' certificates too, and take back its tokens.

        Raises:
            IdentityError: not a member's code.
            RevocationError: the reason is none of `REASONS`.
            LedgerError: it cannot be recorded; then nothing is revoked.
        """
        _require_reason(reason)
        return self._authority.ledger.revoke_member(require_member_id(member_id), reason, now)

    def number_above(self, number: int) -> None:
        """Number every list from now on higher than this. For an authority that was restored from a backup of before a
        time when its clock was ahead: numbers go by the time, and somebody may hold one of then.

        Args:
            number: of a list that somebody holds (CRLNumber); a lower one than was told before changes nothing.

        Raises:
            RevocationError: it is negative, or so high that there is no room above it.
            LedgerError: the ledger cannot be used.
        """
        if not 0 <= number <= HIGHEST_TOLD:
            raise RevocationError(
                "that is no number of a revocation list made here: it is negative or has more than 127 bits",
                "不是本机构吊销列表的编号：为负数或超过 127 位",
            )
        self._authority.ledger.number_above(number)

    def crl(self, name: str, now: dt.datetime) -> bytes:
        """The revocation list of an issuing CA, DER.

        Args:
            name: of the issuing CA, e.g. "issuing" or "issuing-2".
            now: the time.

        Raises:
            RevocationError: there is no such issuing CA.
            LedgerError: the ledger cannot be used.
        """
        self._authority.issuing.refresh()
        ca = self._ca(name)
        with self._lock:
            present = self._lists.get(name)
            if present is None or not present.holds(self._authority.ledger.revision(), now):
                present = self._make(ca, now)
                self._lists[name] = present
            return present.der

    def issuing_certificate(self, name: str) -> bytes:
        """The certificate of an issuing CA, DER (RFC 5280 section 4.2.2.1, caIssuers).

        Raises:
            RevocationError: there is no such issuing CA.
        """
        self._authority.issuing.refresh()
        return self._ca(name).certificate.public_bytes(serialization.Encoding.DER)

    def _ca(self, name: str) -> IssuingCa:
        ca = next((ca for ca in self._authority.issuing.all if ca.name == name), None)
        if ca is None:
            raise RevocationError("there is no such issuing CA", "没有该签发 CA")
        return ca

    def _make(self, ca: IssuingCa, now: dt.datetime) -> _List:
        content = self._authority.ledger.revoked_list(ca.name, now)
        identifier = ca.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        made = now.replace(microsecond=0)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(ca.certificate.subject)
            .last_update(made)
            .next_update(made + LIST_LIFE)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
            .add_extension(x509.CRLNumber(content.number), critical=False)
        )
        for record in content.entries:
            builder = builder.add_revoked_certificate(_entry(record, made))
        der = builder.sign(ca.issuer.key, ca.issuer.digest).public_bytes(serialization.Encoding.DER)
        return _List(der, content.revision, now, now + LIST_LIFE / 2)


def _entry(record: Record, made: dt.datetime) -> x509.RevokedCertificate:
    builder = x509.RevokedCertificateBuilder().serial_number(record.serial)
    builder = builder.revocation_date(min(record.revoked_at or made, made))
    if record.reason is not None and record.reason is not x509.ReasonFlags.unspecified:
        builder = builder.add_extension(x509.CRLReason(record.reason), critical=False)
    return builder.build()


def _require_reason(reason: x509.ReasonFlags) -> None:
    if reason not in REASONS:
        raise RevocationError(
            f"{reason.value} is no reason to revoke here; use one of {', '.join(one.value for one in REASONS)}",
            f"吊销原因 {reason.value} 不适用，可用：{'、'.join(one.value for one in REASONS)}",
        )
