"""One writer at a time in the authority's folder, whichever process or thread it is in, and one service for it.

Owns: the two lock files: `.lock` is held for the length of a change, by commands and by the service; `.serving` for as
long as a service runs, so that commands go on beside it and a second service does not. Refuses: waiting for ever.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed
from tenacity.wait import wait_base

from certs.system_words import cause
from gateway.errors import ConfigError, StoreError

LOCK_FILE: Final = ".lock"
SERVING_FILE: Final = ".serving"
PATIENCE_S: Final = 30.0
_LOOK: Final[wait_base] = wait_fixed(0.01)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Nobody else changes the folder for the length of the block. The lock goes with the process that holds it.

    Raises:
        StoreError: somebody else held it for 30 s, or there is no such folder.
    """
    descriptor = _opened(folder, LOCK_FILE)
    try:
        retrying = Retrying(
            retry=retry_if_exception_type(BlockingIOError), wait=_LOOK, stop=stop_after_delay(PATIENCE_S), reraise=True
        )
        try:
            retrying(fcntl.flock, descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreError(
                f"{folder}: another command has been changing it for {PATIENCE_S:.0f} s; try again later",
                f"{folder}：另一命令占用已超过 {PATIENCE_S:.0f} 秒，请稍后重试或检查该命令",
            ) from error
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[None]:
    """No second service runs on the folder for the length of the block. The lock goes with the process that holds it.

    Raises:
        ConfigError: one runs already; its process is named.
        StoreError: there is no such folder.
    """
    descriptor = _opened(folder, SERVING_FILE)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
            en, zh = (f" (process {holder})", f"（进程 {holder}）") if holder.isdigit() else ("", "")
            raise ConfigError(
                f"{folder}: `wugan authority run` serves this folder already{en}; stop that one first",
                f"{folder}：该目录已由另一 `wugan authority run` 提供服务{zh}，请先将其停止",
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _opened(folder: Path, name: str) -> int:
    try:
        return os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(
            f"{folder}: cannot be locked ({cause(error).en}); is this the authority's folder?",
            f"{folder}：无法加锁（{cause(error).zh}），请确认这是管理机构目录",
            retryable=False,
        ) from error
