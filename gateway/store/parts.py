"""Encrypted files beside the database, for what is too large for its rows: the parts of a roster run.

Owns: a part: bytes under a name in a folder, encrypted under the store's key and bound to its folder and name, there
whole or not at all, and on the disk when writing it returns. Refuses: knowing what is in a part, and telling two parts
apart that bear the same name: the last written counts. Everything here blocks; call it from a thread.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from pathlib import Path
from typing import Final

from gateway.errors import StoreError
from gateway.store.keys import StoreKeys

_SCRATCH: Final = ".part"


class PartFolder:
    """The parts in one folder, which is private and made when the first of them is written.

    Args:
        folder: where.
        keys: under which parts are encrypted.
    """

    def __init__(self, folder: Path, keys: StoreKeys) -> None:
        self._folder = folder
        self._keys = keys
        self._bound_to = b"wugan-part-v1\x00" + folder.name.encode() + b"\x00"

    @property
    def name(self) -> str:
        """Of the folder."""
        return self._folder.name

    def write(self, name: str, plaintext: bytes) -> int:
        """Write a part; its size on the disk.

        Raises:
            StoreError: it could not be written.
        """
        body = self._keys.encrypt_apart(plaintext, self._bound_to + name.encode())
        target = self._folder / name
        scratch = self._folder / f"{name}.{threading.get_ident():x}{_SCRATCH}"  # an attempt given up may be at it still
        try:
            if not self._folder.exists():
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                _sync(self._folder.parent)
            handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.writelines(body)
                file.flush()
                os.fsync(file.fileno())
            scratch.replace(target)
            _sync(self._folder)
        except OSError as error:
            with contextlib.suppress(OSError):
                scratch.unlink(missing_ok=True)
            raise _failed() from error
        return sum(map(len, body))

    def read(self, name: str) -> bytes:
        """A part.

        Raises:
            StoreError: there is none of this name (not retryable), it cannot be read, or it was changed where it lay.
        """
        try:
            body = (self._folder / name).read_bytes()
        except FileNotFoundError as error:
            raise StoreError(
                "a part of a kept roster is missing; submit the roster anew",
                "已保存名册的部分数据缺失，请重新提交名册",
                retryable=False,
            ) from error
        except OSError as error:
            raise _failed() from error
        return self._keys.decrypt(body, self._bound_to + name.encode())

    def has(self, name: str) -> bool:
        """Whether there is a part of this name."""
        return (self._folder / name).exists()

    def names(self) -> list[str]:
        """The names of all parts, in order."""
        try:
            return sorted(each.name for each in self._folder.iterdir() if not each.name.endswith(_SCRATCH))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _failed() from error

    def remove(self, name: str) -> None:
        """Delete a part, if there is one."""
        try:
            (self._folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise _failed() from error

    def destroy(self) -> None:
        """Delete all parts, and the folder."""
        try:
            shutil.rmtree(self._folder)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise _failed() from error


class Parts:
    """Folders of parts under one that is private. See the module.

    Args:
        root: holds them.
        keys: under which parts are encrypted.
    """

    def __init__(self, root: Path, keys: StoreKeys) -> None:
        self._root = root
        self._keys = keys

    def folder(self, name: str) -> PartFolder:
        """The folder of a name, whether or not it is there."""
        return PartFolder(self._root / name, self._keys)

    def folders(self) -> list[PartFolder]:
        """Those that are there, by name."""
        try:
            return [self.folder(each.name) for each in sorted(self._root.iterdir()) if each.is_dir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _failed() from error


def _sync(folder: Path) -> None:
    """Have the names in a folder on the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _failed() -> StoreError:
    return StoreError(
        "a part of a roster could not be written or read; have the administrator look at the disk",
        "名册数据无法写入或读取，请管理员检查磁盘",
    )
