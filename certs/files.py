"""Files that must be whole or absent: atomic writing, and reading what only the owner may read.

Owns: temporary file, fsync, rename and fsync of the folder, so that a crash leaves the old file or the new one; reading
a secret only where it is private (`private_files`). Refuses: files larger than any of ours can be, and overwriting
where nothing was said to exist.
"""

from __future__ import annotations

import itertools
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

from certs.errors import KeyFileError
from certs.private_files import objection, opened
from certs.system_words import cause

MAX_FILE_BYTES = 256 << 10
"""Largest key or certificate file, bytes."""

PRIVATE = 0o600
PUBLIC = 0o644


def write_file(path: Path, data: bytes, *, mode: int, replace: bool, lasting: bool = True) -> None:
    """Write a whole file, durably.

    Args:
        path: where; its folder must exist.
        data: all of it.
        mode: permissions; the file never exists with wider ones, whatever the umask.
        replace: whether a file that is already there may be replaced.
        lasting: whether it must survive a power cut; without, it is only whole or absent to whoever looks.

    Raises:
        KeyFileError: it cannot be written, or is there already and `replace` is false.
    """
    write_files({path: data}, mode=mode, replace=replace, lasting=lasting)


def write_files(files: Mapping[Path, bytes], *, mode: int, replace: bool, lasting: bool = True) -> None:
    """Write whole files, each as `write_file` does, in their order; a folder is synced once for all in a row.

    Nothing takes its name before everything is on the disk. A crash leaves those at the beginning, and a power cut any
    of those in one folder; what goes into the next folder is there only if they all are.

    Args:
        files: contents, by path.
        mode: as for `write_file`.
        replace: likewise.
        lasting: likewise.

    Raises:
        KeyFileError: as `write_file`; those before the one that it is about are there.
    """
    temporaries: dict[Path, Path] = {}
    done: set[Path] = set()
    path = Path()
    try:
        try:
            for path, data in files.items():
                temporaries[path] = path.parent / f".{path.name}.{secrets.token_hex(8)}.tmp"
                _write(temporaries[path], data, mode, lasting=lasting)
            for folder, inside in itertools.groupby(temporaries, key=lambda each: each.parent):
                for path in inside:
                    if replace:
                        temporaries[path].replace(path)
                    else:
                        # A link fails when the name is taken; a rename would replace it.
                        path.hardlink_to(temporaries[path])
                        temporaries[path].unlink()
                    done.add(path)
                if lasting:
                    _sync_folder(folder)
        finally:
            for temporary in (temporaries[left] for left in temporaries if left not in done):
                temporary.unlink(missing_ok=True)
    except FileExistsError as error:
        raise KeyFileError(
            f"{path}: is there already and is not overwritten; move it away first",
            f"{path}：文件已存在，不会覆盖，请先移走",
        ) from error
    except OSError as error:
        raise KeyFileError(
            f"{path}: cannot be written ({cause(error).en}); check the folder, its permissions and the free space",
            f"{path}：无法写入（{cause(error).zh}），请检查目录、权限与剩余空间",
        ) from error


def _write(temporary: Path, data: bytes, mode: int, *, lasting: bool) -> None:
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
        os.fchmod(descriptor, mode)
        file.write(data)
        file.flush()
        if lasting:
            os.fsync(descriptor)


def remove_file(path: Path) -> None:
    """Remove a file, durably; one that is not there is no error.

    Raises:
        KeyFileError: it cannot be removed.
    """
    try:
        path.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except OSError as error:
        raise KeyFileError(
            f"{path}: cannot be removed ({cause(error).en}); check the folder and its permissions",
            f"{path}：无法删除（{cause(error).zh}），请检查目录与权限",
        ) from error


def read_public(path: Path, *, limit: int = MAX_FILE_BYTES) -> bytes:
    """The whole of a file that is no secret, at most `limit` bytes.

    Raises:
        KeyFileError: it cannot be read, is no regular file or is too large.
    """
    return _read(path, limit, secret=False)


def read_secret(path: Path) -> bytes:
    """The whole of a file that holds a secret.

    Raises:
        KeyFileError: it cannot be read, is no regular file or too large, belongs to someone else, or its group or
            others have any permission on it.
    """
    return _read(path, MAX_FILE_BYTES, secret=True)


def _read(path: Path, limit: int, *, secret: bool) -> bytes:
    try:
        descriptor = opened(path)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - what is checked is what is read
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise KeyFileError(f"{path}: is not a regular file", f"{path}：不是普通文件")
            if secret and (found := objection(status)) is not None:
                raise KeyFileError(
                    f"{path}: {found.en}; run: {found.command} {path}",
                    f"{path}：{found.zh}，请执行：{found.command} {path}",
                )
            data = file.read(limit + 1)
    except OSError as error:
        raise KeyFileError(
            f"{path}: cannot be read ({cause(error).en}); check the path and its permissions",
            f"{path}：无法读取（{cause(error).zh}），请检查路径与权限",
        ) from error
    if len(data) > limit:
        raise KeyFileError(
            f"{path}: larger than {limit} bytes, which no such file is",
            f"{path}：超过 {limit} 字节，不可能是此类文件",
        )
    return data


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
