"""What the authority has issued and what it has revoked: the ledger, one SQLite file.

Owns: the records of certificates, and that a certificate is given out only after its record is on the disk. Its
one-time tokens are in the same file (`certs.ledger_tokens`), so a token is used up exactly when its certificate is
recorded. Refuses: more certificates in force for one holder than anybody needs.

A record is kept for 90 days after its certificate has expired, then removed with the next one that is written. Whether
it is so old is told by the time lived through (`certs.lived_time`): what a clock that is ahead takes for old is not.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from certs.errors import IdentityError, LedgerError
from certs.identity import Identity
from certs.ledger_file import LedgerFile, to_hex, to_ms, to_time
from certs.ledger_tokens import Tokens
from certs.lived_time import later_before, lived_until
from certs.records import BY_CERTIFICATE, PROFILE_OCSP, PROFILE_TLS, Profile, Record, RevokedList

MAX_LIVE: Final = 5_000
"""Certificates in force of one holder and profile: one every ten minutes for a life of 30 days. Revoked ones do not
count: a thief of a TLS key can have as many issued as there may be, and who was robbed must be able to enrol anew."""
MAX_OF_MEMBER: Final = 10_000
"""The same of all holders of one member together. Who removes a member revokes all of them, and the directory has room
for some 65,000 revocations: a member with more could not be removed, and nothing else be changed from then on."""
KEPT_AFTER_EXPIRY: Final = dt.timedelta(days=90)
LISTED_AFTER_EXPIRY: Final = dt.timedelta(days=7)
"""For how long a revocation list names a certificate that has expired."""

_PRUNED_AT_ONCE: Final = 200
_NUMBERS_ABOVE: Final = "crl numbers above"
_SELECT: Final = (
    "SELECT serial, issuing, profile, holder, grounds, issued_ms, expires_ms, certificate, revoked_ms, reason"
    " FROM issued "
)


class Ledger:
    """The authority's records. Safe for several threads and processes."""

    def __init__(self, path: Path) -> None:
        """Open the ledger, making it if it is not there.

        Raises:
            LedgerError: the file cannot be used, is none of ours, or others can read it.
        """
        self._file = LedgerFile(path)
        self.tokens: Final = Tokens(self._file, self.by_serial, self.lived_until)

    def close(self) -> None:
        """Close the file; every later call fails."""
        self._file.close()

    def record(
        self,
        certificate: x509.Certificate,
        *,
        issuing: str,
        profile: Profile,
        holder: Identity | None,
        grounds: str,
        now: dt.datetime,
    ) -> None:
        """Write down a certificate before it is given to anybody.

        Raises:
            LedgerError: it cannot be written, or the holder or its member has too many that have not expired.
        """
        uri, member_id, now_ms = holder.uri if holder else "", holder.member_id if holder else "", to_ms(now)
        with self._file.writing():
            of_holder = "holder = ? AND profile = ? AND expires_ms > ?", (uri, profile, now_ms)
            if self._many(*of_holder, MAX_LIVE):
                self._require_fewer(*of_holder, MAX_LIVE, uri or profile)
            if member_id and self._many("member = ?", (member_id,), MAX_OF_MEMBER):
                of_member = "member = ? AND expires_ms > ?", (member_id, now_ms)
                self._require_fewer(*of_member, MAX_OF_MEMBER, member_id)
            self._file.run(
                "DELETE FROM issued WHERE serial IN (SELECT serial FROM issued WHERE expires_ms < ? LIMIT ?)",
                to_ms(self.lived_until(now) - KEPT_AFTER_EXPIRY),
                _PRUNED_AT_ONCE,
            )
            self._file.run(
                "INSERT INTO issued (serial, fingerprint, issuing, profile, holder, member, grounds, issued_ms,"
                " expires_ms, certificate) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                to_hex(certificate.serial_number),
                certificate.fingerprint(hashes.SHA256()),
                issuing,
                profile,
                uri,
                member_id,
                grounds,
                now_ms,
                to_ms(certificate.not_valid_after_utc),
                certificate.public_bytes(serialization.Encoding.DER),
            )

    def by_certificate(self, certificate_der: bytes) -> Record | None:
        """The record of exactly this certificate, None if this authority did not issue it."""
        return self._record("fingerprint = ?", hashlib.sha256(certificate_der).digest())

    def by_serial(self, serial: int) -> Record | None:
        """The record of a serial number."""
        return self._record("serial = ?", to_hex(serial))

    def live(self, now: dt.datetime, *, member_id: str = "", limit: int = 10_000) -> tuple[Record, ...]:
        """What has neither expired nor been revoked, of one member or of all, newest first."""
        return self._records(
            "WHERE expires_ms > ? AND revoked_ms IS NULL AND holder != ''"
            " AND (? = '' OR member = ?) ORDER BY issued_ms DESC, serial LIMIT ?",
            to_ms(now),
            member_id,
            member_id,
            limit,
        )

    def held(self, holder: Identity, now: dt.datetime) -> tuple[Record, ...]:
        """What a holder has that has neither expired nor been revoked, newest first."""
        return self._records(
            "WHERE holder = ? AND expires_ms > ? AND revoked_ms IS NULL ORDER BY issued_ms DESC, serial",
            holder.uri,
            to_ms(now),
        )

    def unexpired(self, now: dt.datetime, *, member_id: str = "", limit: int = 10_000) -> tuple[Record, ...]:
        """What has not expired, revoked or not, of one member or of all: by holder, newest first."""
        return self._records(
            "WHERE expires_ms > ? AND holder != '' AND (? = '' OR member = ?)"
            " ORDER BY holder, issued_ms DESC, serial LIMIT ?",
            to_ms(now),
            member_id,
            member_id,
            limit,
        )

    def renewed_from(self, serial: int, now: dt.datetime) -> tuple[Record, ...]:
        """What was issued on the strength of a certificate, of those it was renewed to, and so on; unexpired, oldest
        first, revoked or not.

        Only a TLS certificate renews, and only for its own holder.
        """
        first = self.by_serial(serial)
        if first is None or first.holder is None or first.profile != PROFILE_TLS:
            return ()
        rows = self._file.all(
            "SELECT serial, grounds FROM issued WHERE holder = ? ORDER BY issued_ms, serial", first.holder.uri
        )
        after: dict[str, list[str]] = {}
        for each, grounds in rows:
            if grounds.startswith(BY_CERTIFICATE):
                after.setdefault(grounds.removeprefix(BY_CERTIFICATE), []).append(each)
        reached, waiting = {to_hex(serial)}, [to_hex(serial)]
        while waiting:
            new = [each for each in after.get(waiting.pop(), ()) if each not in reached]
            reached.update(new)
            waiting.extend(new)
        unexpired = self._records(
            "WHERE holder = ? AND expires_ms > ? ORDER BY issued_ms, serial", first.holder.uri, to_ms(now)
        )
        return tuple(each for each in unexpired if each.serial != serial and to_hex(each.serial) in reached)

    def revoked(self, now: dt.datetime, *, member_id: str = "") -> tuple[Record, ...]:
        """What was revoked and would not have expired yet, of one member or of all, in the order of its expiry."""
        return self._records(
            "WHERE revoked_ms IS NOT NULL AND expires_ms > ? AND (? = '' OR member = ?) ORDER BY expires_ms, serial",
            to_ms(now),
            member_id,
            member_id,
        )

    def fingerprints(self, issuing: str, now: dt.datetime) -> tuple[bytes, ...]:
        """SHA-256 of each certificate of an issuing CA, its own OCSP responders' apart, that has neither expired nor
        been revoked, the newest first.
        """
        return tuple(
            bytes(fingerprint)
            for (fingerprint,) in self._file.all(
                "SELECT fingerprint FROM issued WHERE issuing = ? AND profile != ? AND holder != '' AND expires_ms > ?"
                " AND revoked_ms IS NULL ORDER BY issued_ms DESC, fingerprint",
                issuing,
                PROFILE_OCSP,
                to_ms(now),
            )
        )

    def last_expiry(self, issuing: str) -> dt.datetime | None:
        """When the last certificate of an issuing CA expires, its own OCSP responders apart."""
        (latest,) = self._file.one(
            "SELECT max(expires_ms) FROM issued WHERE issuing = ? AND profile != ?", issuing, PROFILE_OCSP
        )
        return None if latest is None else to_time(latest)

    # revocation

    def revoke(self, serial: int, reason: x509.ReasonFlags, now: dt.datetime) -> Record | None:
        """Revoke a certificate; one that is revoked stays as it was. None if there is no such certificate."""
        with self._file.writing():
            if self.by_serial(serial) is None:
                return None
            self._revoke("serial = ?", to_hex(serial), reason, now)
            return self.by_serial(serial)

    def revoke_member(self, member_id: str, reason: x509.ReasonFlags, now: dt.datetime) -> tuple[Record, ...]:
        """Revoke all that a member has, and take back its tokens; answers with what was not revoked before."""
        with self._file.writing():
            found = self.live(now, member_id=member_id, limit=1_000_000)
            self.tokens.cancel_member(member_id)
            self._revoke("member = ?", member_id, reason, now)
            return tuple(record for one in found if (record := self.by_serial(one.serial)) is not None)

    def revision(self) -> int:
        """Grows with every revocation, and with whatever else makes lists be made anew."""
        return int(self.state("revision") or 0)

    def revoked_list(self, issuing: str, now: dt.datetime) -> RevokedList:
        """What the next revocation list of an issuing CA says; takes a new number for it (RFC 5280 section 5.2.3).

        The number is the time in Unix milliseconds, and higher than the last one and than what was told
        (`number_above`): so it grows while the clock goes back, and after a restore it is above what the backup lacks.

        An entry stays for a while after its certificate has expired, so at least one list holds it (section 3.3).
        """
        with self._file.writing():
            before = max(int(self.state(f"crl {issuing}") or 0), int(self.state(_NUMBERS_ABOVE) or 0))
            number = max(before + 1, to_ms(now))
            self.set_state(f"crl {issuing}", str(number))
            entries = self._records(
                "WHERE issuing = ? AND revoked_ms IS NOT NULL AND expires_ms > ?",
                issuing,
                to_ms(now - LISTED_AFTER_EXPIRY),
            )
            return RevokedList(entries, self.revision(), number)

    def number_above(self, number: int) -> None:
        """Number every revocation list higher than this from now on, those of issuing CAs to come too; what is told
        never goes down. Who holds lists makes them anew.
        """
        with self._file.writing():
            self.set_state(_NUMBERS_ABOVE, str(max(number, int(self.state(_NUMBERS_ABOVE) or 0))))
            self.set_state("revision", str(self.revision() + 1))

    # state

    def state(self, name: str) -> str:
        """A small text kept under a name, "" if there is none."""
        row = self._file.maybe("SELECT value FROM state WHERE name = ?", name)
        return str(row[0]) if row else ""

    def set_state(self, name: str, value: str) -> None:
        """Keep a small text under a name."""
        with self._file.writing():
            self._file.run("INSERT OR REPLACE INTO state (name, value) VALUES (?, ?)", name, value)

    def lived_until(self, now: dt.datetime) -> dt.datetime:
        """The time lived through, never later than `now`: what is expired by it may be forgotten for good.

        Raises:
            LedgerError: the ledger cannot be used.
        """
        with self._file.writing():
            return lived_until(now, self.state, self.set_state)

    def later_before(self, now: dt.datetime) -> dt.datetime | None:
        """What has been lived through, where the clock is behind that; None where it goes on. Raises LedgerError."""
        return later_before(now, self.state)

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """All that is done within happens, or none of it; no other process writes meanwhile.

        Raises:
            LedgerError: the ledger cannot be used.
        """
        with self._file.writing():
            yield

    def _many(self, where: str, values: tuple[object, ...], limit: int) -> bool:
        """Whether so many are on record, revoked and expired ones too: an index tells it alone.

        Which of them are revoked is in the rows; reading those of one member with each of its certificates cost
        milliseconds once it had some hundreds.
        """
        (count,) = self._file.one(f"SELECT count(*) FROM issued WHERE {where}", *values)  # noqa: S608
        return bool(count >= limit)

    def _require_fewer(self, where: str, values: tuple[object, ...], limit: int, whose: str) -> None:
        """Raises LedgerError where so many are in force."""
        (live,) = self._file.one(
            f"SELECT count(*) FROM issued WHERE {where} AND revoked_ms IS NULL",  # noqa: S608
            *values,
        )
        if live >= limit:
            raise _too_many(whose, live)

    def _revoke(self, where: str, value: str, reason: x509.ReasonFlags, now: dt.datetime) -> None:
        statement = f"UPDATE issued SET revoked_ms = ?, reason = ? WHERE {where} AND revoked_ms IS NULL"  # noqa: S608
        self._file.run(statement, to_ms(now), reason.value, value)
        self.set_state("revision", str(self.revision() + 1))

    def _record(self, where: str, value: object) -> Record | None:
        row = self._file.maybe(f"{_SELECT}WHERE {where}", value)
        return None if row is None else _record(row)

    def _records(self, rest: str, *values: object) -> tuple[Record, ...]:
        return tuple(_record(row) for row in self._file.all(_SELECT + rest, *values))


def _record(row: Any) -> Record:
    serial, issuing, profile, holder, grounds, issued_ms, expires_ms, certificate, revoked_ms, reason = row
    try:
        return Record(
            int(serial, 16),
            issuing,
            profile,
            Identity.parse(holder) if holder else None,
            grounds,
            to_time(issued_ms),
            to_time(expires_ms),
            certificate,
            None if revoked_ms is None else to_time(revoked_ms),
            None if reason is None else x509.ReasonFlags(reason),
        )
    except (ValueError, IdentityError) as error:
        raise LedgerError("a record of the ledger is damaged", "签发台账中有损坏的记录") from error


def _too_many(whose: str, count: int) -> LedgerError:
    return LedgerError(
        f"{whose} has {count} certificates that have not expired; no more are issued",
        f"{whose} 已有 {count} 张未过期证书，不再签发",
    )
