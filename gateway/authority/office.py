"""The authority's office: every change of the record, judged, published, and answered for.

Owns: what an administrator and a member may change, under the lock of the folder, so that commands and the running
service do not meet; and that nothing is published that a member's gateway would not believe: it is judged before by
the very rule of the gateways (`DirectoryTrust`), so that no member can make the directory unbelievable for all.
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

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from certs.errors import CertsError
from certs.files import read_public
from gateway.authority import entries, issuers
from gateway.authority.lock import locked
from gateway.authority.membership import Membership, Row
from gateway.authority.repository import Repository
from gateway.authority.settings import AuthorityFile, load_settings
from gateway.clock import Clock
from gateway.errors import AccessError, ConfigError, DirectoryError, RefusedError, WuganError
from gateway.federation import directory_build
from gateway.federation.directory_entries import Outline, refused, require_together
from gateway.federation.directory_trust import MAX_DIRECTORY_BYTES, MAX_MEMBERS, DirectoryTrust
from gateway.federation.presented import presented, serial_bytes
from wugan.federation.v1 import authority_pb2, directory_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

ROOT_FILE = "root.pem"
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
        self._thread = threading.RLock()

    def close(self) -> None:
        """Close the record."""
        self._membership.close()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        with self._thread, locked(self.folder):
            yield

    # what an administrator does

    def members(self) -> list[directory_pb2.Member]:
        """Every member's entry."""
        with self._alone():
            return [row.entry for row in self._membership.rows().values()]

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

    def remove(self, member_id: str, *, revoke: bool = False, reason: int = 0) -> int:
        """Take a member out: nobody answers it, and nothing of it is answered, from the next directory on.

        Args:
            member_id: which.
            revoke: take back every certificate it lists too, so that they stay dead if it comes back.
            reason: CRLReason, where they are.

        Raises:
            ConfigError: there is no such member.
        """
        with self._alone():
            row = self._membership.row(member_id)
            if row is None:
                raise ConfigError(
                    "there is no such member; see `wugan authority member list`", "没有该成员，请查看成员列表"
                )
            with self._changing():
                self._membership.remove(member_id)
                for certificate in entries.certificates(row.entry) if revoke else ():
                    self._take_back(x509.load_der_x509_certificate(certificate), reason)
            return self._publish()

    def revoke_certificate(self, serial_number: int, *of: x509.Certificate, expires_ms: int, reason: int) -> int:
        """Take one certificate back: whoever presents it is refused, and no member lists it any more.

        Args:
            serial_number: its number.
            of: the CA that issued it, or each that may have.
            expires_ms: when it expires, Unix milliseconds; 0 if that is not known.
            reason: CRLReason.
        """
        with self._alone():
            serial = serial_bytes(serial_number)
            with self._changing():
                for issuer in of:
                    key = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
                    self._put_revocation(serial_number, issuer, expires_ms, reason)
                    for row in self._membership.rows().values():
                        self._membership.put(replace(row, entry=entries.without_certificate(row.entry, serial, key)))
            return self._publish()

    def revoke_pem(self, pem: bytes, *, reason: int) -> int:
        """Take back the first certificate of a PEM file.

        Raises:
            ConfigError: there is none in it, or it is another authority's.
        """
        certificate = issuers.read_pem(pem)
        expires_ms = round(certificate.not_valid_after_utc.timestamp() * 1000)
        issuer = issuers.issuer_of(self.folder, certificate)
        return self.revoke_certificate(certificate.serial_number, issuer, expires_ms=expires_ms, reason=reason)

    def revoke_serial(self, text: str, *, reason: int) -> int:
        """Take back the certificate of a serial number, hexadecimal, of whichever issuing CA of this authority.

        Raises:
            ConfigError: that is no serial number.
        """
        number = issuers.read_serial(text)
        return self.revoke_certificate(number, *issuers.all_issuers(self.folder), expires_ms=0, reason=reason)

    def revoke_key(self, key_id: str, *, reason: int) -> int:
        """Never list a key again, signing or encryption; the certificate of a signing key is taken back as well."""
        with self._alone():
            with self._changing():
                self._membership.bar(key_id, self._clock.now_ms())
                for row in self._membership.rows().values():
                    for key in row.entry.signing_keys:
                        if key.key_id == key_id:
                            self._take_back(x509.load_der_x509_certificate(key.certificate), reason)
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
        """Publish what a crash left unpublished, and renew what is half over; whether anything was done."""
        with self._alone():
            now = self._now()
            whole, timestamp = self._repository.due(now)
            if whole or self._membership.unpublished():
                self._publish()
            elif timestamp:
                self._repository.renew_timestamp(now)
            return whole or timestamp

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
            version = self._repository.rotate_root(old, new_passphrases, threshold, self._now(), online=online)
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
        version = self._repository.publish(make, self._now())
        self._membership.mark_published(version)
        return version

    def _directory(self, listed: Sequence[directory_pb2.Member], version: int, expires: dt.datetime) -> bytes:
        return directory_build.directory(
            listed,
            version=version,
            federation=self.settings.federation,
            issued_at=self._now(),
            expires_at=expires,
            revocations=self._membership.revocations(),
        )

    def _take_back(self, certificate: x509.Certificate, reason: int) -> None:
        expires_ms = round(certificate.not_valid_after_utc.timestamp() * 1000)
        self._put_revocation(certificate.serial_number, issuers.issuer_of(self.folder, certificate), expires_ms, reason)

    def _put_revocation(self, serial_number: int, issuer: x509.Certificate, expires_ms: int, reason: int) -> None:
        revocation = directory_build.revocation(
            serial_number, issuer.public_bytes(Encoding.DER), revoked_at=self._now(), reason=reason
        )
        self._membership.revoke(revocation, expires_ms)

    def _now(self) -> dt.datetime:
        return dt.datetime.fromtimestamp(self._clock.now_ms() / 1000, dt.UTC)
