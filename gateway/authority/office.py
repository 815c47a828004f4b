"""The authority's office: every change of the record, judged, published, and answered for.

Owns: what an administrator and a member may change, under the lock of the folder, so that commands and the running
service do not meet; and that nothing is published that a member's gateway would not believe: it is judged before by
the very rule of the gateways (`DirectoryTrust`), so that no member can make the directory unbelievable for all.

What is revoked is written into the ledger of certificates first (`certs.revocation`), and the directory adopts it from
there. Killed in between, the certificate renews nothing any more, while the directory is behind; in the other order it
could have been renewed, and what it was renewed to would be nowhere revoked. Every change, and `upkeep`, adopts
what the ledger has revoked meanwhile, so the two agree again at the latest a minute after the service runs.

Refuses: knowing who asks (`gateway.authority.service`), and the event loop: everything here waits for the disk.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import hashlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from certs.authority import Authority
from certs.errors import CertsError
from certs.files import read_public
from certs.identity import ROLE_GATEWAY, Identity
from certs.records import Token
from certs.revocation import Revocation
from gateway.authority import entries, issuers
from gateway.authority.lock import locked
from gateway.authority.membership import Membership, Row
from gateway.authority.repository import Repository
from gateway.authority.settings import AuthorityFile, load_settings
from gateway.authority.taken_back import TakenBack, translated
from gateway.clock import Clock
from gateway.errors import AccessError, ConfigError, DirectoryError, RefusedError, WuganError
from gateway.federation import directory_build
from gateway.federation.directory_entries import Outline, refused, require_together
from gateway.federation.directory_trust import MAX_DIRECTORY_BYTES, MAX_MEMBERS, DirectoryTrust
from gateway.federation.presented import presented
from wugan.federation.v1 import authority_pb2, directory_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

ROOT_FILE = "root.pem"
CESSATION = 5
"""CRLReason of a member that leaves: cessation of operation."""

_GRACE_MS = 86_400_000
"""A revocation is kept for so long after its certificate has expired: clocks differ, and nothing is gained by haste."""


class Office:
    """The office in a folder that `wugan authority init` made. Safe for several threads and processes.

    Args:
        folder: the authority's.
        clock: dates what is published.
        passphrase: of the keys in daily use.
    """

    def __init__(self, folder: Path, clock: Clock, passphrase: bytes | None = None) -> None:
        self.folder = folder
        self.settings: AuthorityFile = load_settings(folder)
        self._clock = clock
        self._repository = Repository(folder, self.settings.life.lives(), passphrase)
        self._membership = Membership(folder)
        try:
            self._trust = DirectoryTrust.of(self.settings.federation, read_public(folder / ROOT_FILE))
        except CertsError as error:
            raise ConfigError(error.en, error.zh) from error
        self._passphrase = passphrase
        self._authority: Authority | None = None
        self._thread = threading.RLock()

    def close(self) -> None:
        """Close the record."""
        self._membership.close()
        if self._authority is not None:
            self._authority.close()

    @property
    def authority(self) -> Authority:
        """Who issues certificates, and its ledger; opened when it is first needed.

        Raises:
            ConfigError: its files or its passphrase are not as they should be.
            StoreError: its ledger cannot be used.
        """
        with self._thread:
            if self._authority is None:
                with translated():
                    self._authority = Authority.load(self.folder, passphrase=self._passphrase)
            return self._authority

    def _taken_back(self) -> TakenBack:
        return TakenBack(self._membership, self.authority, self.now())

    @property
    def _revocation(self) -> Revocation:
        return Revocation(self.authority)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        with self._thread, locked(self.folder):
            yield

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
                return self.authority.ledger.make_token(holder, self.now(), lifetime)

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
        """Forget all that a member's gateway has published, with its certificates; it is to enrol anew.

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
            with translated(), self.authority.ledger.together():
                for each in self.authority.ledger.live(self.now(), member_id=member_id):
                    if each.holder is not None and each.holder.role == ROLE_GATEWAY:
                        self._revocation.revoke(each.serial, issuers.REASONS[reason], self.now())
            with self._changing():
                row = self._membership.row(member_id)
                if row is not None:
                    self._membership.put(Row(entries.without_keys(row.entry), 0, b"", 0))
            return self._publish()

    def revoke_pem(self, pem: bytes, *, reason: int) -> int:
        """Take one certificate back, the first of a PEM file: whoever presents it is refused, and none lists it.

        Of a certificate that the ledger does not know, which somebody made with a stolen issuing key, the directory
        alone can say so: it is in no revocation list, unknown to OCSP, and good for no renewal anyhow.

        Raises:
            ConfigError: there is none in it, or it is another authority's.
        """
        certificate = issuers.read_pem(pem)
        with self._alone():
            with translated():
                issuer = issuers.issuer_of(self.authority, certificate)
                known = self.authority.ledger.by_certificate(certificate.public_bytes(Encoding.DER))
                if known is not None:
                    self._revocation.revoke(known.serial, issuers.REASONS[reason], self.now())
            with self._changing():
                if known is None:
                    self._taken_back().add(certificate.serial_number, issuer, certificate.not_valid_after_utc, reason)
            return self._publish()

    def revoke_serial(self, text: str, *, reason: int) -> int:
        """Take back the certificate of a serial number, hexadecimal.

        Raises:
            ConfigError: that is no serial number, or none of a certificate that was issued here.
        """
        number = issuers.read_serial(text)
        with self._alone():
            with translated():
                self._revocation.revoke(number, issuers.REASONS[reason], self.now())
            with self._changing():
                pass
            return self._publish()

    def revoke_key(self, key_id: str, *, reason: int) -> int:
        """Never list a key again, signing or encryption; the certificate of a signing key is taken back as well."""
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

    def publish(self) -> int:
        """Publish the record as it is, changed or not; the version."""
        with self._alone():
            return self._publish()

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
        """Replace the root, as `Repository.rotate_root` does; the root's version."""
        with self._alone():
            version = self._repository.rotate_root(old, new_passphrases, threshold, self.now(), online=online)
            if online:
                self._publish()
            return version

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

        Raises:
            RefusedError: STRANGER; no member, revoked, or the member lists others.
        """
        shown = presented(certificate)
        with self._thread:
            row = self._membership.row(member_id)
            taken_back = self._membership.is_revoked(shown.serial)
        listed = {presented(der).fingerprint for der in entries.tls_certificates(row.entry)} if row else set()
        if row is None or taken_back or (listed and shown.fingerprint not in listed):
            raise RefusedError(
                "the certificate is not that of a member's gateway, was revoked, or is not listed for it",
                "证书不属于成员网关、已被吊销，或未在目录中登记",
                reason=words.REFUSAL_REASON_STRANGER,
            )

    def seen(self) -> authority_pb2.SeenReport:
        """Which version each member's gateway works with."""
        with self._thread:
            return self._membership.seen()

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
        entry = entries.with_publication(row.entry, publication)
        self._admit(entry)
        with self._changing():
            self._membership.put(Row(entry, publication.sequence, digest, 0))
        return 0

    # how it is done

    def _admit(self, entry: directory_pb2.Member) -> None:
        """Return when an entry would be believed by itself, and none of its keys is barred.

        Raises:
            DirectoryError: it would not, or one is.
        """
        judged = self._trust.judge(entry)
        if not self._membership.barred().isdisjoint(judged.outline.key_ids):
            raise DirectoryError(
                "a key was revoked and is never listed again; make a new one",
                "密钥已被吊销，不再登记，请生成新密钥",
                reason=words.REFUSAL_REASON_INVALID_ARGUMENT,
            )

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """Change the record; what the gateways would not believe is not changed at all.

        Every entry was judged by itself when it came, so only what they are to each other is judged here: with a
        thousand members that takes milliseconds, and a revocation must not wait.
        """
        with self._membership.change():
            self._taken_back().adopt()
            yield
            entries_now = [row.entry for row in self._membership.rows().values()]
            revocations = self._membership.revocations()
            require_together(map(Outline.of, entries_now), revocations)
            size = sum(entry.ByteSize() for entry in entries_now) + sum(each.ByteSize() + 8 for each in revocations)
            if len(entries_now) > MAX_MEMBERS or size + 4096 > MAX_DIRECTORY_BYTES:
                raise refused("it has too many members or is too large", "成员过多或目录过大")

    def _publish(self) -> int:
        self._membership.forget_expired(self._clock.now_ms() - _GRACE_MS)
        listed = [row.entry for row in self._membership.rows().values()]
        make = functools.partial(self._directory, listed)
        version = self._repository.publish(make, self.now())
        self._membership.mark_published(version)
        return version

    def _directory(self, listed: Sequence[directory_pb2.Member], version: int, expires: dt.datetime) -> bytes:
        return directory_build.directory(
            listed,
            version=version,
            federation=self.settings.federation,
            issued_at=self.now(),
            expires_at=expires,
            revocations=self._membership.revocations(),
        )

    def now(self) -> dt.datetime:
        """The time."""
        return dt.datetime.fromtimestamp(self._clock.now_ms() / 1000, dt.UTC)


def _no_member() -> ConfigError:
    return ConfigError("there is no such member; see `wugan authority member list`", "没有该成员，请查看成员列表")
