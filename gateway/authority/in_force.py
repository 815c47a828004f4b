"""What of the TUF repository is in force, found out as seldom as can be: read, verified, and remembered by its files.

Owns: reading metadata, who must have signed them, which version is in force, and what is known of that while the files
that say so are the same. Refuses: writing, and knowing keys (`gateway.authority.repository`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from securesystemslib.signer import Signature
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Signed, Snapshot, Targets, Timestamp

from certs.errors import CertsError
from certs.files import read_public
from gateway.authority.marks import Mark, mark_of
from gateway.errors import StoreError

S = TypeVar("S", bound=Signed)

ONLINE: Final = (Targets.type, Snapshot.type, Timestamp.type)
"""Roles whose keys are needed at each publication."""

_NUMBERED: Final = re.compile(r"([0-9]+)\.(root|targets|snapshot)\.json")


@dataclass(frozen=True, slots=True)
class Current(Generic[S]):
    """A role's metadata in force, its file's bytes, and who signed it, by key id."""

    signed: S
    data: bytes
    signatures: dict[str, Signature]


@dataclass(frozen=True, slots=True)
class _KnownRoot:
    """The newest root as it was read, while its file is that one and none follows it: every root is one higher."""

    path: Path
    follows: Path
    mark: Mark
    root: Root


@dataclass(frozen=True, slots=True)
class _Known:
    """What was found in force, or put there, while all files that say so are those ones.

    Args:
        marks: path → mark of root, timestamp, snapshot and targets.
        root: the newest root, by which they are signed.
        timestamp: version of the timestamp.
        version: of the directory.
    """

    marks: Mapping[Path, Mark]
    root: Root
    timestamp: int
    version: int


@dataclass(frozen=True, slots=True)
class _Made:
    """A file of metadata as it was just written, with a signature of each key that the root names for its role."""

    path: Path
    mark: Mark
    root: Root
    version: int


class InForce:
    """See the module.

    Args:
        folder: of the metadata.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known_root: _KnownRoot | None = None
        self._known: _Known | None = None
        self._made: dict[str, _Made] = {}

    def version(self) -> int:
        """Version of the directory in force; 0 before the first, and while one of its roles must be signed anew.

        Read and verified when one of the files is another one than last time.
        """
        known = self._still_known()
        if known is not None:
            return known.version
        try:
            targets, self._known = self._walked()
        except StoreError:
            return 0
        return targets.signed.version

    def last_timestamp(self) -> int:
        """Version of the timestamp that is there; 0 where there is none, or it is damaged."""
        known = self._still_known()
        if known is not None:
            return known.timestamp
        try:
            return self.read(Timestamp, "timestamp.json").signed.version
        except StoreError:
            return 0

    def targets(self) -> Current[Targets]:
        """The targets in force.

        Raises:
            StoreError: nothing was published yet, or a file is damaged, or the root has replaced the keys that signed.
        """
        return self._walked()[0]

    def rewriting(self, role: str) -> None:
        """A file of a role is about to be written: what was made of that role before counts no more."""
        self._made.pop(role, None)

    def made(self, signed: Targets | Snapshot | Timestamp, path: Path, root: Root) -> None:
        """A file was just written, with a signature of each key that `root` names for its role."""
        mark = mark_of(path)
        if mark is not None:
            self._made[signed.type] = _Made(path, mark, root, signed.version)

    def newest(self, role: str) -> int:
        """Highest version of a role's files, 0 where there is none."""
        return max(versions(self._folder, role), default=0)

    def root(self) -> Root:
        """The newest root, to be looked at only: it is read anew only when its file is another one, or one follows.

        Raises:
            StoreError: there is none, or it is damaged.
        """
        known = self._known_root
        if known is not None and mark_of(known.path) == known.mark and not known.follows.exists():
            return known.root
        newest = self.newest(Root.type)
        path = self._folder / f"{newest}.{Root.type}.json"
        mark = mark_of(path)
        if mark is None:
            raise _damaged(path)
        root = self.read(Root, path.name).signed
        self._known_root = _KnownRoot(path, self._folder / f"{newest + 1}.{Root.type}.json", mark, root)
        return root

    def _still_known(self) -> _Known | None:
        """What was last found in force, if every file that says so is still the same."""
        known = self._known
        try:
            same = known is not None and known.root is self.root()
        except StoreError:
            return None
        if known is None or not same or any(mark_of(path) != mark for path, mark in known.marks.items()):
            return None
        return known

    def _walked(self) -> tuple[Current[Targets], _Known]:
        """The targets in force, by way of timestamp and snapshot, each signed as the newest root wants it.

        Raises:
            StoreError: as `targets`.
        """
        root, marks = self.root(), dict[Path, Mark]()

        def read(kind: type[S], name: str) -> Current[S]:
            path = self._folder / name
            # The mark before the bytes: what is written in between is read again next time.
            mark = mark_of(path)
            if mark is None:
                raise _damaged(path)
            marks[path] = mark
            current = self.read(kind, name)
            self.require_signed(current)
            return current

        timestamp = read(Timestamp, "timestamp.json").signed
        snapshot = read(Snapshot, f"{timestamp.snapshot_meta.version}.{Snapshot.type}.json").signed
        targets = read(Targets, f"{snapshot.meta[f'{Targets.type}.json'].version}.{Targets.type}.json")
        return targets, _Known(marks, root, timestamp.version, targets.signed.version)

    def put_in_force(self) -> None:
        """What was just put in force is known without reading it, where the root's very keys signed all of it."""
        parts, root = [self._made.pop(role, None) for role in ONLINE], self.root()
        if any(part is None or part.root is not root for part in parts):
            return
        marks = {part.path: part.mark for part in parts if part is not None}
        targets, _, timestamp = (part.version for part in parts if part is not None)
        self._known = _Known(marks, root, timestamp, targets)

    def read(self, kind: type[S], name: str) -> Current[S]:
        """Metadata by their file's name, whoever signed them.

        Raises:
            StoreError: they are not there, or damaged.
        """
        path = self._folder / name
        try:
            data = read_public(path)
            metadata = Metadata.from_bytes(data)
        except (CertsError, RepositoryError) as error:
            raise _damaged(path) from error
        if not isinstance(metadata.signed, kind):
            raise _damaged(path)
        return Current(metadata.signed, data, metadata.signatures)

    def require_signed(self, current: Current[S]) -> None:
        """Return when the newest root's keys signed it. Raises StoreError."""
        metadata: Metadata[Any] = Metadata(current.signed, current.signatures)
        try:
            self.root().verify_delegate(metadata.signed.type, metadata.signed_bytes, metadata.signatures)
        except RepositoryError as error:
            raise _damaged(self._folder / f"{metadata.signed.type}.json") from error


def _damaged(path: Path) -> StoreError:
    return StoreError(
        f"{path}: is missing, damaged or not signed by the keys of the root; publish anew, or restore it from a backup",
        f"{path}：缺失、损坏或未经根元数据所列密钥签署，请重新发布或从备份恢复",
        retryable=False,
    )


def versions(metadata: Path, role: str) -> list[int]:
    """Versions of a role's files in the folder of the metadata, in no order. Waits for the disk."""
    return by_role(metadata)[role]


def by_role(metadata: Path) -> Mapping[str, list[int]]:
    """The same of every role that has numbered files."""
    found: dict[str, list[int]] = {Root.type: [], Targets.type: [], Snapshot.type: []}
    # Not as paths: there are hundreds of files.
    for match in map(_NUMBERED.fullmatch, os.listdir(metadata)):  # noqa: PTH208
        if match:
            found[match[2]].append(int(match[1]))
    return found
