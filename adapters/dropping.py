"""Where a department drops files: what lies there, and a file of it to be read.

Owns: the contract of such a place, and the folder on this machine (`adapters.sftp` is the other one). Refuses: files
that are still being written, hidden ones, links, and reading what is in a file.

A file in a folder has rested when neither its content (mtime) nor its directory entry (ctime, which a copy that keeps
other times cannot keep) has changed for the time set.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from adapters.errors import SourceDownError
from adapters.manifest.model import FileManifest

MAX_FILES = 10_000
"""More lie where files are dropped than are looked at: which of them were new could not be told."""
_AS_NS = 10**14
"""Above it a time is no number of seconds."""


class NotYetError(Exception):
    """The file changed while it was read, or is gone; the next look sees to it."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """A file that lies there.

    Args:
        name: of the file.
        version: of its content: size, time and more, joined by colons; "": it has not rested.
        size: in bytes.
    """

    name: str
    version: str
    size: int


class Look(Protocol):
    """What lay there when it was looked."""

    @property
    def files(self) -> Sequence[Dropped]:
        """In order of their names."""
        ...

    def taken(self, file: Dropped) -> AbstractContextManager[Path]:
        """The file, on this machine, for the length of the block.

        Raises:
            NotYetError: it is not any more what it was.
            OSError, SourceDownError: it cannot be read.
        """
        ...

    def unchanged(self, file: Dropped) -> bool:
        """Whether what was read is still that version."""
        ...


class Drop(Protocol):
    """A place into which files are dropped."""

    def look(self) -> AbstractContextManager[Look]:
        """What lies there now. Blocks; for a thread.

        Raises:
            OSError, SourceDownError: it cannot be looked at, or there are more than `MAX_FILES`.
        """
        ...

    def stop(self) -> None:
        """End what is under way, from another thread; it fails."""
        ...


def written_ms(version: str) -> int:
    """When a file was written, by its version, in Unix milliseconds: the second part of one, in ns or seconds."""
    at = int(version.split(":")[1])
    return at // 1_000_000 if at > _AS_NS else at * 1_000


def counts(name: str) -> bool:
    """Whether a file of this name is meant to be read: neither hidden nor still being written."""
    return not name.startswith((".", "~")) and not name.lower().endswith((".tmp", ".part"))


def too_many(name: str) -> SourceDownError:
    """There are more files than are looked at; nobody is to be left out unsaid."""
    return SourceDownError(
        f"{name}: more than {MAX_FILES} files lie in the drop folder; move those away that were taken in long ago",
        f"{name}：投递目录中的文件超过 {MAX_FILES} 个，请移走早已读入的文件",
    )


class FolderDrop:
    """A folder of this machine.

    Args:
        name: for errors.
        folder: that one.
        settle_s: how long a file must have rested, seconds.
        now_ms: Unix time in milliseconds.
    """

    def __init__(self, name: str, folder: Path, settle_s: float, now_ms: Callable[[], int]) -> None:
        self._name = name
        self._folder = folder
        self._settle_ns = round(settle_s * 1e9)
        self._now_ms = now_ms

    @contextmanager
    def look(self) -> Iterator[Look]:
        """See `Drop`."""
        now_ns = self._now_ms() * 1_000_000
        rested_ns = now_ns - self._settle_ns
        present: list[Dropped] = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if not counts(entry.name) or not entry.is_file(follow_symlinks=False):
                    continue
                if len(present) >= MAX_FILES:
                    raise too_many(self._name)
                status = entry.stat(follow_symlinks=False)
                # A time of the future came with a copy from a machine whose clock is wrong: it tells nothing.
                written_ns = status.st_mtime_ns if status.st_mtime_ns <= now_ns else 0
                rested = max(written_ns, status.st_ctime_ns) <= rested_ns
                present.append(Dropped(entry.name, _version(status) if rested else "", status.st_size))
        yield _FolderLook(self._folder, sorted(present, key=lambda file: file.name))

    def stop(self) -> None:
        """Nothing that is under way takes long."""


@dataclass(frozen=True, slots=True)
class _FolderLook:
    folder: Path
    files: Sequence[Dropped]

    @contextmanager
    def taken(self, file: Dropped) -> Iterator[Path]:
        yield self.folder / file.name

    def unchanged(self, file: Dropped) -> bool:
        try:
            return _version((self.folder / file.name).stat()) == file.version
        except FileNotFoundError:
            return False


def drop_of(manifest: FileManifest, state_dir: Path, now_ms: Callable[[], int]) -> Drop:
    """The place that a manifest names.

    Args:
        manifest: of kind `file`.
        state_dir: for what is fetched, while it is read.
        now_ms: Unix time in milliseconds.

    Raises:
        ManifestError: a secret or key cannot be used, or the library for SFTP is not installed.
    """
    source = manifest.source
    at = source.sftp
    if at is None:
        return FolderDrop(manifest.adapter_id, manifest.folder / (source.folder or ""), source.settle_s, now_ms)
    place = ("source", "sftp")
    try:
        from adapters.sftp import SftpDrop
        from adapters.sftp_session import KeyFileError, Login, private_key
    except ImportError as error:
        en, zh = "needs the extra `sftp`: pip install 'wugan[sftp]'", "需安装附加组件：pip install 'wugan[sftp]'"
        raise manifest.error(place, en, zh) from error
    login = Login(
        at,
        manifest.adapter_id,
        None if at.key is None else manifest.folder / at.key,
        None if at.passphrase is None else manifest.reveal(at.passphrase, (*place, "passphrase")),
        None if at.password is None else manifest.reveal(at.password, (*place, "password")),
    )
    try:
        private_key(login)
    except KeyFileError as error:
        raise manifest.error((*place, "key"), error.en, error.zh) from error
    return SftpDrop(login, state_dir / "spool", source.settle_s, now_ms)


def _version(status: os.stat_result) -> str:
    return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ino}"
