"""Result files appear under their names at once and whole, or not at all; nobody but their owner may read them.

Owns: a folder beside the results that files are written in, modes, fsync, and moving them to their names. Refuses:
looking into files. A run that was interrupted leaves the folder, with personal data; the next one removes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from certs.system_words import cause
from gateway.errors import StoreError

FOLDER: Final = ".wugan-writing"
_OWN_FILE: Final = 0o600
_OWN_FOLDER: Final = 0o700


class Staging:
    """Where files are written before they get their names."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._files = out / FOLDER / "files"
        self._spill = out / FOLDER / "spill"
        self._replaced = out / FOLDER / "replaced"
        for folder in (self._files, self._spill, self._replaced):
            folder.mkdir(mode=_OWN_FOLDER)

    def file(self, *name: str) -> Path:
        """A new empty file, to be written, that will be `name` beneath the results."""
        path = self._files.joinpath(*name)
        for folder in reversed(path.relative_to(self._files).parents[:-1]):
            (self._files / folder).mkdir(mode=_OWN_FOLDER, exist_ok=True)
        return _private(path)

    def spill(self, name: str) -> Path:
        """A new empty file that is gone at the end."""
        return _private(self._spill / name)

    def made(self) -> dict[str, Path]:
        """Every file that will be published, by its name beneath the results, in order."""
        paths = sorted(path for path in self._files.rglob("*") if path.is_file())
        return {path.relative_to(self._files).as_posix(): path for path in paths}

    def publish(self, known: frozenset[str]) -> None:
        """Give every file its name; what an earlier run left under a `known` name and this one did not make goes.

        Files are on the disk before any is renamed, so a power cut leaves old or new ones, never half of one.
        """
        for folder, _, files in os.walk(self._files, topdown=False):
            for name in files:
                _synced(Path(folder) / name)
            _synced(Path(folder))
        made = sorted(self._files.iterdir())
        for stale in sorted(known - {path.name for path in made}):
            self._set_aside(self._out / stale)
        for path in made:
            target = self._out / path.name
            if path.is_dir() or target.is_dir():
                self._set_aside(target)
            path.replace(target)
        _synced(self._out)

    def _set_aside(self, path: Path) -> None:
        if path.exists() or path.is_symlink():
            path.replace(self._replaced / path.name)


@contextlib.contextmanager
def staged(out: Path) -> Iterator[Staging]:
    """A staging folder beneath `out`, which is made if it is not there; gone at the end, whatever happened.

    Raises:
        StoreError: the folder cannot be made, or another run writes there now.
    """
    folder = out / FOLDER
    try:
        out.mkdir(mode=_OWN_FOLDER, parents=True, exist_ok=True)
        handle = os.open(out, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise StoreError(
            f"{out}: results cannot be written there ({cause(error).en})",
            f"{out}：无法写入结果（{cause(error).zh}）",
            retryable=False,
        ) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreError(
                f"{out}: another run writes its results there now; wait for it, or choose another folder",
                f"{out}：另一任务正在写入结果，请等待其结束或另选目录",
            ) from error
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=_OWN_FOLDER)
        try:
            yield Staging(out)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(handle)


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A draft to be written, which takes the place of `path` at the end; gone where that does not come.

    Raises:
        StoreError: the folder cannot be written to.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        _private(draft)
        try:
            yield draft
            _synced(draft)
            draft.replace(path)
            _synced(path.parent)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be written ({cause(error).en})", f"{path}：无法写入（{cause(error).zh}）", retryable=False
        ) from error


def _private(path: Path) -> Path:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWN_FILE))
    return path


def _synced(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
