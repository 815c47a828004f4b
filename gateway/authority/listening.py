"""What members' gateways tell the authority, and are told by it: keys they publish, versions they work with.

Owns: whether a gateway may speak for its member; publications, taken together into one version, each durable before it
is answered; the report of who works with which version. Refuses: what an administrator does
(`gateway.authority.admitting`, `gateway.authority.revoking`), and HTTP (`gateway.authority.service`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from certs.identity import Identity
from certs.records import PROFILE_TLS
from gateway.authority import entries
from gateway.authority.accepting import Accepting
from gateway.authority.membership import Row
from gateway.authority.taken_back import translated
from gateway.clock import Clock
from gateway.errors import AccessError, RefusedError, WuganError
from gateway.federation.presented import presented
from wugan.federation.v1 import authority_pb2, directory_pb2
from wugan.federation.v1 import vocabulary_pb2 as words


class Listening(Accepting):
    """See the module."""

    def __init__(self, folder: Path, clock: Clock, passphrase: bytes | None = None) -> None:
        super().__init__(folder, clock, passphrase)
        self._listing_none: tuple[int, frozenset[str]] | None = None
        """Members that list no TLS certificate, at a revision of the record: it is asked more often than changed."""

    def take(self, publications: Sequence[authority_pb2.KeyPublication]) -> list[int | WuganError]:
        """Take what members publish, together in one version; for each the version that lists it, or why not.

        A publication is durable before it is answered; the same one is answered like the first time.
        """
        with self._alone():
            results: list[int | WuganError] = []
            for publication in publications:
                try:
                    results.append(self._take_one(publication))
                except WuganError as error:
                    results.append(error)
            if 0 in results:
                if self._membership.unpublished():
                    self._publish()
                results = [
                    self._membership.version(publications[at].member_id) if result == 0 else result
                    for at, result in enumerate(results)
                ]
            return results

    def require_peer(self, member_id: str, certificate: bytes) -> None:
        """Return when a member's gateway may speak for it with a certificate (DER).

        It must have been issued here, listed or not: a chain is made by whoever stole an issuing key, and listed in the
        member's name by whoever had one TLS key of its gateway, once. Or a CA of the member's own issued it, which was
        accepted for it and is in force.

        Raises:
            RefusedError: STRANGER; no member, revoked, expired, the member lists others, or it was not issued here.
        """
        shown = presented(certificate)
        with self._thread:
            row = self._membership.row(member_id)
            with translated():
                taken_back = self._taken_back().is_revoked(shown)
                record = self.authority.ledger.by_certificate(certificate)
            # TLS does not ask whether it has expired (`certs.tls_context`).
            here = record is not None and self.now() < record.expires_at
            issued = here or self._vouched(member_id, certificate)
        listed = {presented(der).fingerprint for der in entries.tls_certificates(row.entry)} if row else set()
        if row is None or taken_back or not issued or (listed and shown.fingerprint not in listed):
            raise RefusedError(
                "the certificate is not that of a member's gateway, has expired, was revoked or issued elsewhere, or "
                "is not listed",
                "证书不属于成员网关、已过期、非本机构签发、已被吊销，或未在目录中登记",
                reason=words.REFUSAL_REASON_STRANGER,
            )

    def seen(self) -> authority_pb2.SeenReport:
        """Which version each member's gateway works with."""
        with self._thread:
            return self._membership.seen()

    def report(self, told: Mapping[str, tuple[int, int]]) -> authority_pb2.SeenReport:
        """The same, as members are told it.

        Whoever is shut out works with no version at all, so none of it is to be waited for before keys are renewed: it
        is told as working with the newest.

        Args:
            told: what was told and is not written yet, as for `mark_seen`.
        """
        with self._thread:
            report = self._membership.seen()
            shut_out = self._shut_out()
            newest = self._repository.published() if shut_out else 0
        for member in report.members:
            if member.member_id in shut_out:
                member.version = newest
            elif member.member_id in told:
                member.version, member.seen_at_ms = told[member.member_id]
        return report

    def mark_seen(self, versions: dict[str, tuple[int, int]]) -> None:
        """Member ids that work with a version, and since when (Unix milliseconds)."""
        with self._thread:
            self._membership.mark_seen(versions)

    def _shut_out(self) -> frozenset[str]:
        """Members that list no TLS certificate and have none in force: their gateways can speak with nobody.

        Whoever has a CA of its own may have some.
        """
        revision = self._membership.revision()
        if self._listing_none is None or self._listing_none[0] != revision:
            rows = self._membership.rows()
            none = frozenset(member_id for member_id, row in rows.items() if not entries.tls_certificates(row.entry))
            self._listing_none = revision, none
        if not self._listing_none[1]:
            return frozenset()
        now, ledger = self.now(), self.authority.ledger
        own = {ca.member_id for ca in self._taken_back().accepted()}
        with translated():
            held = {
                member_id: ledger.held(Identity.gateway(self.settings.federation, member_id), now)
                for member_id in self._listing_none[1] - own
            }
        return frozenset(
            member_id for member_id, found in held.items() if not any(each.profile == PROFILE_TLS for each in found)
        )

    def _take_one(self, publication: authority_pb2.KeyPublication) -> int:
        """Put a publication on the record; the version that lists it, 0 while it is not published."""
        row = self._membership.row(publication.member_id)
        if row is None:
            raise AccessError("there is no such member", "没有该成员", reason=words.REFUSAL_REASON_STRANGER)
        digest = hashlib.sha256(publication.SerializeToString(deterministic=True)).digest()
        if publication.sequence == row.sequence and digest == row.publication:
            return row.version
        if publication.sequence <= row.sequence:
            raise RefusedError(
                f"publication {publication.sequence} comes too late: {row.sequence} was taken already",
                f"第 {publication.sequence} 次发布已过时：已接受第 {row.sequence} 次",
                field="sequence",
            )
        entry = self._without_revoked(entries.with_publication(row.entry, publication))
        self._require_own_cas(entry)
        self._admit(entry)
        with self._changing():
            self._membership.put(Row(entry, publication.sequence, digest, 0))
        return 0

    def _without_revoked(self, entry: directory_pb2.Member) -> directory_pb2.Member:
        """The entry without what was revoked, if something of each kind is left: a gateway that renews a revoked key
        lists both until it uses the new one. Where nothing is left it stays as it is, and is refused with the reason.
        """
        barred = self._membership.barred()
        keys = {key.key_id for key in entry.signing_keys} | {key.key_id for key in entry.encryption_keys}
        serials = {presented(der).serial for der in entries.certificates(entry)}
        # Asked once for all: mostly nothing of it was ever revoked.
        if barred.isdisjoint(keys) and not self._membership.any_revoked(serials):
            return entry
        with translated():
            kept = entries.without_revoked(entry, barred, self._taken_back().is_revoked)
        return entry if entries.lost_a_kind(entry, kept) else kept
