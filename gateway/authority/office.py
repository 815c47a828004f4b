"""The authority's office: all that may be done in its folder, and keeping what it publishes in force.

Owns: publishing the record as it is, renewing metadata in time, and the root's keys. Who is a member, what is taken
back, and what members tell are parts of it (`admitting`, `revoking`, `listening`), over one folder under one lock
(`archive`). Refuses: knowing who asks (`gateway.authority.service`), and the event loop: everything here waits for the
disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from certs.files import PUBLIC, write_file
from gateway.authority.admitting import Admitting
from gateway.authority.archive import ROOT_JSON
from gateway.authority.ending import Ending, behind, endings
from gateway.authority.listening import Listening
from gateway.authority.revoking import Revoking
from gateway.authority.taken_back import translated


class Office(Admitting, Revoking, Listening):
    """The office in a folder that `wugan authority init` made. Safe for several threads and processes."""

    def publish(self, above: int = 0, lists_above: int = 0) -> int:
        """Publish the record as it is, changed or not; the version.

        Args:
            above: a version of timestamp or directory that gateways may have seen: everything published now is newer.
                For a folder that was restored from a backup; without it they would take it for a rollback.
            lists_above: the number of a revocation list that somebody holds: those made from now on have higher ones.
                They have so by themselves, unless the clock was ahead once after the backup, or is behind.

        Raises:
            ConfigError: no list has such a number.
        """
        with self._alone():
            if lists_above:
                with translated():
                    self._revocation.number_above(lists_above)
            return self._publish(above)

    def version(self) -> int:
        """The version in force, 0 before the first. Waits for nobody: what is published is whole at any moment."""
        return self._repository.published()

    def upkeep(self) -> bool:
        """Publish what a crash left unpublished or unrevoked, renew what is half over; whether anything was done."""
        with self._alone():
            now = self.now()
            with translated():
                self.authority.ledger.lived_until(now)  # it goes on, whether anything is published or not
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

    def endings(self) -> tuple[Ending, ...]:
        """What only people can see to: what ends soon and does not renew itself, and a clock that is behind.

        Raises:
            StoreError: there is no root, or it is damaged.
            ConfigError: the folder cannot be read any more.
        """
        with self._thread, translated():
            issuing = self.authority.issuing
            issuing.refresh()
            later = self.authority.ledger.later_before(self.now())
            wrong = () if later is None else (behind(later),)
            return wrong + endings(
                self.now(),
                self._repository.root().signed.expires,
                self.settings.life.lives().root,
                (issuing.current.name, issuing.current.certificate.not_valid_after_utc),
                self.authority.root.not_valid_after_utc,
            )

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
