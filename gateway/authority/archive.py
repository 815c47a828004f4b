"""The authority's folder as it is changed: under one lock, judged, and published.

Owns: that commands and the running service do not meet in the folder; and that nothing is published that a member's
gateway would not believe: it is judged before by the very rule of the gateways (`DirectoryTrust`), so that no member
can make the directory unbelievable for all. Refuses: knowing who changes what, and why (`gateway.authority.office` and
its parts).
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from certs.authority import Authority
from certs.errors import CertsError
from certs.files import read_public
from certs.ledger import KEPT_AFTER_EXPIRY
from certs.revocation import Revocation
from gateway.authority.lock import locked
from gateway.authority.membership import Membership
from gateway.authority.repository import Repository
from gateway.authority.settings import AuthorityFile, load_settings
from gateway.authority.taken_back import TakenBack, translated
from gateway.clock import Clock
from gateway.errors import ConfigError, DirectoryError
from gateway.federation import directory_build
from gateway.federation.directory_entries import Outline, refused, require_together
from gateway.federation.directory_trust import MAX_DIRECTORY_BYTES, MAX_MEMBERS, DirectoryTrust
from wugan.federation.v1 import directory_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

ROOT_FILE: Final = "root.pem"
ROOT_JSON: Final = "root.json"
"""The root of the directory that new members are given: always the newest."""

_ON_CAS_BYTES: Final = 3 << 20
"""Room in the directory for what it says of issuing CAs and of certificates that are kept, and for its head."""


class Archive:
    """What is in a folder that `wugan authority init` made. Safe for several threads and processes.

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
        """Close the record, once no thread is at work on it: SQLite does not survive being closed in the middle."""
        with self._thread:
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

    def now(self) -> dt.datetime:
        """The time."""
        return dt.datetime.fromtimestamp(self._clock.now_ms() / 1000, dt.UTC)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else changes the folder for the length of the block."""
        with self._thread, locked(self.folder):
            yield

    def _taken_back(self) -> TakenBack:
        return TakenBack(self._membership, self.authority, self.now())

    @property
    def _revocation(self) -> Revocation:
        return Revocation(self.authority)

    def _admit(self, entry: directory_pb2.Member) -> None:
        """Return when an entry would be believed by itself, and none of its keys is barred.

        Raises:
            DirectoryError: it would not, or one is.
        """
        judged = self._trust.judge(entry)
        self._trust.remember(judged)
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
            with translated():
                taken_back = self._taken_back()
                revocations = taken_back.revocations()
                cas = (*taken_back.issuing_cas(), *(ca.certificate for ca in taken_back.accepted()))
            require_together(map(Outline.of, entries_now), revocations, cas)
            size = sum(entry.ByteSize() for entry in entries_now) + sum(each.ByteSize() + 8 for each in revocations)
            if len(entries_now) > MAX_MEMBERS or size + _ON_CAS_BYTES > MAX_DIRECTORY_BYTES:
                raise refused("it has too many members or is too large", "成员过多或目录过大")

    def _publish(self, above: int = 0) -> int:
        """Publish the record as it is, under a version higher than `above`; the version."""
        with translated():
            lived = self.authority.ledger.lived_until(self.now())
        self._membership.forget_expired(round((lived - KEPT_AFTER_EXPIRY).timestamp() * 1000))
        listed = [row.entry for row in self._membership.rows().values()]
        taken_back = self._taken_back()
        with translated():
            issuing_cas, kept, member_cas = taken_back.issuing_cas(), taken_back.kept(), taken_back.member_cas()
        make = functools.partial(self._directory, listed, issuing_cas, kept, member_cas)
        version = self._repository.publish(make, self.now(), above=above)
        self._membership.mark_published(version, taken_back.published(issuing_cas, member_cas))
        return version

    def _directory(
        self,
        listed: Sequence[directory_pb2.Member],
        issuing_cas: Sequence[bytes],
        kept: Sequence[bytes],
        member_cas: Sequence[directory_pb2.MemberCa],
        version: int,
        expires: dt.datetime,
    ) -> bytes:
        return directory_build.directory(
            listed,
            version=version,
            federation=self.settings.federation,
            issued_at=self.now(),
            expires_at=expires,
            revocations=self._taken_back().revocations(),
            issuing_cas=issuing_cas,
            kept_certificates=kept,
            member_cas=member_cas,
        )
