"""One writer at a time in the authority's folder, whichever process or thread it is in.

Owns: the lock file. Refuses: waiting for ever.
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
from gateway.errors import StoreError

LOCK_FILE: Final = ".lock"
PATIENCE_S: Final = 30.0
_LOOK: Final[wait_base] = wait_fixed(0.01)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Nobody else changes the folder for the length of the block. The lock goes with the process that holds it.

    Raises:
        StoreError: somebody else held it for 30 s, or there is no such folder.
    """
    try:
        descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(
            f"{folder}: cannot be locked ({cause(error).en}); is this the authority's folder?",
            f"{folder}：无法加锁（{cause(error).zh}），请确认这是管理机构目录",
            retryable=False,
        ) from error
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
