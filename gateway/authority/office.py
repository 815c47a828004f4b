"""The authority's office: what an administrator and a member may change, and what follows from it.

Owns: these acts, each under the lock of the folder, judged and published (`gateway.authority.archive`).

What is revoked is written into the ledger of certificates first (`certs.revocation`), and the directory adopts it from
there. Killed in between, the certificate renews nothing any more, while the directory is behind; in the other order it
could have been renewed, and what it was renewed to would be nowhere revoked. Every change, and `upkeep`, adopts
what the ledger has revoked meanwhile, so the two agree again at the latest a minute after the service runs.

A key that was stolen may have been used to renew its certificate. So with a certificate all is revoked that was issued
on the strength of it, unless the reason says that it was merely superseded; and whoever revokes is told what the same
holder has besides.

Refuses: knowing who asks (`gateway.authority.service`), and the event loop: everything here waits for the disk.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding

from certs.files import PUBLIC, write_file
from certs.identity import Identity
from certs.issuing import IssuingCa
from certs.records import PROFILE_TLS, Record, Token
from gateway.authority import entries, issuers
from gateway.authority.archive import ROOT_JSON, Archive
from gateway.authority.membership import Row
from gateway.authority.taken_back import translated
from gateway.errors import AccessError, ConfigError, RefusedError, WuganError
from gateway.federation.presented import presented
from wugan.federation.v1 import authority_pb2, directory_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

SUPERSEDED: Final = 4
"""CRLReason of a certificate whose key nobody else has: what it was renewed to stays."""
CESSATION: Final = 5
"""CRLReason of a member that leaves: cessation of operation."""
_KEY_ID: Final = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Revoked:
    """What came of a revocation.

    Args:
        version: of the directory that says so.
        taken: the certificates revoked now, and not before.
        left: what the same holder has that is still valid.
    """

    version: int
    taken: tuple[Record, ...]
    left: tuple[Record, ...]


class Office(Archive):
    """The office in a folder that `wugan authority init` made. Safe for several threads and processes."""

    # what an administrator does

    def members(self) -> list[directory_pb2.Member]:
        """Every member's entry."""
        with self._alone():
            return [row.entry for row in self._membership.rows().values()]

    def entry(self, member_id: str) -> directory_pb2.Member:
        """What the directory says of a member.

        Raises:
            ConfigError: there is no such member.
        """
        with self._alone():
            row = self._membership.row(member_id)
            if row is None:
                raise _no_member()
            return row.entry

    def make_token(self, holder: Identity, lifetime: dt.timedelta) -> Token:
        """A one-time token with which a member's gateway, agency or department enrols.

        Raises:
            ConfigError: there is no such member, or the lifetime is not within 30 days.
            StoreError: it cannot be recorded.
        """
        with self._alone():
            if self._membership.row(holder.member_id) is None:
                raise _no_member()
            with translated():
                return self.authority.ledger.tokens.make(holder, self.now(), lifetime)

    def add(self, *members: directory_pb2.Member) -> int:
        """Take members in, or change what is said of them; the keys one has published stay, unless some are given.

        Returns:
            The version of the directory that says so.

        Raises:
            DirectoryError: an entry breaks the rule; it and those after it were not taken.
        """
        with self._alone():
            for entry in members:
                held = self._membership.row(entry.member_id)
                given = entry.signing_keys or entry.encryption_keys
                wanted = entries.with_keys_of(entry, held.entry) if held is not None and not given else entry
                self._admit(wanted)
                with self._changing():
                    self._membership.put(replace(held, entry=wanted, version=0) if held else Row(wanted, 0, b"", 0))
            return self._publish()

    def remove(self, member_id: str, *, reason: int = CESSATION) -> int:
        """Take a member out, with every certificate and token that it, its agencies and its departments have.

        From the next directory on nobody answers it, and nothing of it is answered. If it comes back, it enrols anew.

        Args:
            member_id: which.
            reason: CRLReason of its certificates.

        Raises:
            ConfigError: there is no such member, and never was one.
        """
        with self._alone():
            now = self.now()
            with translated():
                self._revocation.revoke_member(member_id, issuers.REASONS[reason], now)
                known = self.authority.ledger.revoked(now, member_id=member_id)
            row = self._membership.row(member_id)
            if row is None and not known:
                raise _no_member()
            with self._changing():
                self._membership.remove(member_id)
            return self._publish()

    def readmit(self, member_id: str, *, reason: int) -> int:
        """Forget all that a member's gateway has published, with its certificates and tokens; it is to enrol anew.

        For a gateway whose keys are stolen, or gone together with their journal: what it would publish next is then
        neither shown with a listed certificate nor counted on. Certificates of agencies and departments stay.

        Args:
            member_id: which.
            reason: CRLReason of its certificates.

        Raises:
            ConfigError: there is no such member.
        """
        with self._alone():
            if self._membership.row(member_id) is None:
                raise _no_member()
            ledger, holder = self.authority.ledger, Identity.gateway(self.settings.federation, member_id)
            with translated(), ledger.together():
                ledger.tokens.cancel_holder(holder)
                for each in ledger.held(holder, self.now()):
                    self._revocation.revoke(each.serial, issuers.REASONS[reason], self.now())
            with self._changing():
                row = self._membership.row(member_id)
                if row is not None:
                    self._membership.put(Row(entries.without_keys(row.entry), 0, b"", 0))
            return self._publish()

    def revoke_pem(self, pem: bytes, *, reason: int, renewed: bool | None = None) -> Revoked:
        """Take one certificate back, the first of a PEM file: whoever presents it is refused, and none lists it.

        Of a certificate that the ledger does not know, which somebody made with a stolen issuing key, the directory
        alone can say so: it is in no revocation list, unknown to OCSP, and good for no renewal anyhow.

        Args:
            pem: the file.
            reason: CRLReason.
            renewed: whether to take back as well what was issued on the strength of it; None: as the reason suggests.

        Raises:
            ConfigError: there is none in it, or it is another authority's.
        """
        certificate = issuers.read_pem(pem)
        with self._alone():
            with translated():
                issuer = issuers.issuer_of(self.authority, certificate)
                known = self.authority.ledger.by_certificate(certificate.public_bytes(Encoding.DER))
            if known is not None:
                return self._revoke(known.serial, reason, renewed)
            with self._changing():
                self._taken_back().add(certificate.serial_number, issuer, certificate.not_valid_after_utc, reason)
            return Revoked(self._publish(), (), ())

    def revoke_serial(self, text: str, *, reason: int, renewed: bool | None = None) -> Revoked:
        """Take back the certificate of a serial number, hexadecimal; otherwise as `revoke_pem`.

        Raises:
            ConfigError: that is no serial number, or none of a certificate that was issued here.
        """
        number = issuers.read_serial(text)
        with self._alone():
            return self._revoke(number, reason, renewed)

    def roll_issuing(self, root_key: Path | None, root_passphrase: bytes | None) -> IssuingCa:
        """Make another issuing CA, as `Authority.roll_issuing` does. The directory tells of it before it issues.

        Raises:
            ConfigError: the root's key is not the root's or cannot be read, or there are too many issuing CAs.
            StoreError: the ledger cannot be used.
        """
        with self._alone(), translated(), self.authority.ledger.together():
            made = self.authority.roll_issuing(now=self.now(), root_passphrase=root_passphrase, root_key=root_key)
            with self._changing():
                pass
            self._publish()
            return made

    def revoke_issuing(self, name: str) -> tuple[int, int]:
        """Take a retired issuing CA back: whoever presents what somebody else made with its key is refused.

        Certificates that it really issued are in the ledger, and the directory names them; they go on.

        Returns:
            The version of the directory that says so, and how many certificates it names.

        Raises:
            ConfigError: there is no such CA, or it is the one that issues.
            StoreError: it cannot be recorded.
        """
        with self._alone():
            with translated():
                self.authority.revoke_issuing(name, self.now())
            with self._changing():
                pass
            version = self._publish()
            with translated():
                return version, len(self.authority.ledger.fingerprints(name, self.now()))

    def revoke_key(self, key_id: str, *, reason: int) -> int:
        """Never list a key again, signing or encryption; the certificate of a signing key is taken back as well.

        Raises:
            ConfigError: that is no key id.
        """
        key_id = _key_id(key_id)
        with self._alone():
            rows = self._membership.rows().values()
            listed = [key.certificate for row in rows for key in row.entry.signing_keys if key.key_id == key_id]
            with translated():
                for certificate in listed:
                    known = self.authority.ledger.by_certificate(certificate)
                    if known is not None:
                        self._revocation.revoke(known.serial, issuers.REASONS[reason], self.now())
            with self._changing():
                self._membership.bar(key_id, self._clock.now_ms())
                for row in self._membership.rows().values():
                    self._membership.put(replace(row, entry=entries.without_key(row.entry, key_id)))
            return self._publish()

    def lists_key(self, key_id: str) -> bool:
        """Whether a member has published a key of this id, signing or encryption.

        Raises:
            ConfigError: that is no key id.
        """
        wanted = _key_id(key_id)
        with self._alone():
            rows = self._membership.rows().values()
        listed = {key.key_id for row in rows for key in row.entry.signing_keys}
        return wanted in listed.union(key.key_id for row in rows for key in row.entry.encryption_keys)

    def publish(self, above: int = 0) -> int:
        """Publish the record as it is, changed or not; the version.

        Args:
            above: a version of timestamp or directory that gateways may have seen: everything published now is newer.
                For a folder that was restored from a backup; without it they would take it for a rollback.
        """
        with self._alone():
            return self._publish(above)

    def version(self) -> int:
        """The version in force, 0 before the first. Waits for nobody: what is published is whole at any moment."""
        return self._repository.published()

    def upkeep(self) -> bool:
        """Publish what a crash left unpublished or unrevoked, renew what is half over; whether anything was done."""
        with self._alone():
            now = self.now()
            with translated():
                behind = self._taken_back().behind()
            if behind:
                with self._changing():
                    pass
            whole, timestamp = self._repository.due(now)
            if whole or self._membership.unpublished():
                self._publish()
            elif timestamp:
                self._repository.renew_timestamp(now)
            return behind or whole or timestamp

    def rotate_root(
        self,
        old: Sequence[tuple[Path, bytes]],
        new_passphrases: Sequence[bytes],
        threshold: int | None,
        *,
        online: bool = False,
    ) -> int:
        """Replace the root, as `Repository.rotate_root` does; the root's version. New members are given the new one."""
        with self._alone():
            version = self._repository.rotate_root(old, new_passphrases, threshold, self.now(), online=online)
            with translated():
                write_file(self.folder / ROOT_JSON, self._repository.root().data, mode=PUBLIC, replace=True)
            if online:
                self._publish()
            return version

    def require_root_keys(self, old: Sequence[tuple[Path, bytes]]) -> None:
        """Return when these keys can sign a new root. Raises as `rotate_root` does."""
        with self._alone():
            self._repository.root_signers(old)

    def root_keys(self) -> tuple[Path, ...]:
        """Files of the root keys as they were made, in the order in which their passphrases were given."""
        return self._repository.root_keys()

    # what a member does

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
                rows = self._membership.rows()
                results = [
                    rows[publications[at].member_id].version if result == 0 else result
                    for at, result in enumerate(results)
                ]
            return results

    def require_peer(self, member_id: str, certificate: bytes) -> None:
        """Return when a member's gateway may speak for it with a certificate (DER).

        It must have been issued here, listed or not: a chain is made by whoever stole an issuing key, and listed in the
        member's name by whoever had one TLS key of its gateway, once.

        Raises:
            RefusedError: STRANGER; no member, revoked, the member lists others, or it was not issued here.
        """
        shown = presented(certificate)
        with self._thread:
            row = self._membership.row(member_id)
            taken_back = self._membership.is_revoked(shown.serial)
            with translated():
                issued = self.authority.ledger.by_certificate(certificate) is not None
        listed = {presented(der).fingerprint for der in entries.tls_certificates(row.entry)} if row else set()
        if row is None or taken_back or not issued or (listed and shown.fingerprint not in listed):
            raise RefusedError(
                "the certificate is not that of a member's gateway, was issued elsewhere or revoked, or is not listed",
                "证书不属于成员网关、非本机构签发、已被吊销，或未在目录中登记",
                reason=words.REFUSAL_REASON_STRANGER,
            )

    def seen(self) -> authority_pb2.SeenReport:
        """Which version each member's gateway works with."""
        with self._thread:
            return self._membership.seen()

    def shut_out(self) -> frozenset[str]:
        """Members that list no TLS certificate and have none in force: their gateways can speak with nobody."""
        with self._thread:
            now = self.now()
            silent = {
                member_id
                for member_id, row in self._membership.rows().items()
                if not entries.tls_certificates(row.entry)
            }
            with translated():
                held = {
                    member_id: self.authority.ledger.held(Identity.gateway(self.settings.federation, member_id), now)
                    for member_id in silent
                }
        return frozenset(
            member_id for member_id in silent if not any(each.profile == PROFILE_TLS for each in held[member_id])
        )

    def mark_seen(self, versions: dict[str, tuple[int, int]]) -> None:
        """Member ids that work with a version, and since when (Unix milliseconds)."""
        with self._thread:
            self._membership.mark_seen(versions)

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
        self._admit(entry)
        with self._changing():
            self._membership.put(Row(entry, publication.sequence, digest, 0))
        return 0

    # how it is done

    def _revoke(self, serial: int, reason: int, renewed: bool | None) -> Revoked:
        renewed = reason != SUPERSEDED if renewed is None else renewed
        now, ledger = self.now(), self.authority.ledger
        with translated():
            taken = self._revocation.revoke_issued(serial, issuers.REASONS[reason], now, renewed=renewed)
            record = ledger.by_serial(serial)
            left = ledger.held(record.holder, now) if record is not None and record.holder is not None else ()
        with self._changing():
            pass
        return Revoked(self._publish(), taken, left)

    def _without_revoked(self, entry: directory_pb2.Member) -> directory_pb2.Member:
        """The entry without what was revoked, if something of each kind is left: a gateway that renews a revoked key
        lists both until it uses the new one. Where nothing is left it stays as it is, and is refused with the reason.
        """
        kept = entries.without_revoked(entry, self._membership.barred(), self._membership.is_revoked)
        return entry if entries.lost_a_kind(entry, kept) else kept


def _key_id(text: str) -> str:
    """A key id as the directory writes it."""
    written = text.strip().lower()
    if not _KEY_ID.fullmatch(written):
        raise ConfigError(
            "that is not a key id: 32 hexadecimal digits, as `wugan certs status` shows them",
            "不是密钥标识：应为 `wugan certs status` 所示的 32 位十六进制数",
        )
    return written


def _no_member() -> ConfigError:
    return ConfigError("there is no such member; see `wugan authority member list`", "没有该成员，请查看成员列表")
