"""The files of a folder of own keys that are not keys: its lock and its journal; and removing files for good.

Owns: who has the folder open, reading the journal whoever has, and overwriting before unlinking. Refuses: changing the
journal (`slots`).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from certs.errors import SlotError, SlotHeldError
from certs.files import read_secret
from certs.slot_journal import KINDS, Journal
from certs.system_words import cause

JOURNAL: Final = "journal.json"
LOCK: Final = "lock"

_TRIES, _PAUSE_S = 15, 0.02
"""A command that looks whether the folder is open has it for an instant."""


def read_journal(folder: Path) -> Journal:
    """The journal of a folder of keys, whoever has it open; an empty one where there is none.

    Raises:
        SlotError: it is damaged.
        KeyFileError: it cannot be read, or others can.
    """
    path = folder / JOURNAL
    if not os.path.lexists(path):
        return Journal()
    return Journal.parse(read_secret(path), str(path))


def is_open(folder: Path) -> bool:
    """Whether a process has a folder of keys open.

    Raises:
        SlotError: it cannot be told.
    """
    try:
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise SlotError(
            f"{folder}: cannot be read ({cause(error).en})", f"{folder}：无法读取（{cause(error).zh}）"
        ) from error
    try:
        take(lock, folder, tries=1)
    except SlotError:
        return True
    finally:
        os.close(lock)
    return False


def require_complete(journal: Journal, where: Path) -> None:
    """Return when there is a current key of every kind.

    Raises:
        SlotError: there is not.
    """
    missing = [kind for kind in KINDS if journal.current(kind) is None]
    if missing:
        raise SlotError(
            f"{where}: no current key of kind {', '.join(missing)}; enrol this gateway: wugan certs enrol",
            f"{where}：缺少当前密钥（{', '.join(missing)}），请先登记本网关：wugan certs enrol",
        )


def take(lock: int, folder: Path, *, tries: int = _TRIES) -> None:
    """Lock a folder by its open lock file, until that is closed.

    Raises:
        SlotHeldError: another process has it.
    """
    for left in reversed(range(tries)):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if not left:
                raise SlotHeldError(
                    f"{folder}: another process uses these keys; wait until it has ended",
                    f"{folder}：另一进程正在使用该密钥目录，请等待其结束",
                ) from error
            time.sleep(_PAUSE_S)
        else:
            return


def remove(path: Path) -> None:
    """Remove what is no secret.

    Raises:
        SlotError: it cannot be removed.
    """
    with _removing(path):
        path.unlink()


def shred(path: Path) -> None:
    """Overwrite, then remove. On a disk that writes elsewhere the overwriting is in vain: encrypt the disk as well.

    Raises:
        SlotError: it cannot be removed.
    """
    with _removing(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            # A crash may have left a second name for a key that is in use (`files.write_files`).
            if status.st_nlink == 1:
                os.write(descriptor, bytes(status.st_size))
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        path.unlink()


@contextlib.contextmanager
def _removing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SlotError(
            f"{path}: cannot be removed ({cause(error).en}); remove it by hand",
            f"{path}：无法删除（{cause(error).zh}），请手工删除",
        ) from error
