"""Whether a file is private enough to hold a secret: one rule for keys, passphrases, ledgers and manifests' secrets.

Owns: opening such a file without waiting for whoever may be at the other end of it, and what speaks against it. It is
here, and imports nothing of ours, because everybody may import this package (`system_words`). Refuses: reading, and the
errors, which are the caller's.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NamedTuple


class Objection(NamedTuple):
    """Why a file may not hold a secret, and the command that mends it, to be followed by the file's name.

    Args:
        en, zh: why, without a full stop.
        command: "" where there is none.
    """

    en: str
    zh: str
    command: str


def opened(path: Path) -> int:
    """A descriptor to read from: what is judged by it is what is read.

    Raises:
        OSError: there is no such file, or it may not be read.
    """
    # Not blocking: opening a named pipe would otherwise wait for a writer.
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)


def objection(status: os.stat_result) -> Objection | None:
    """What speaks against a file; None: it is a regular one, ours or root's, and nobody else may reach it."""
    if not stat.S_ISREG(status.st_mode):
        return Objection("is not a regular file", "不是普通文件", "")
    if open_to_others(status):
        return Objection("group or others may access it", "同组或其他用户可访问该文件", "chmod 600")
    if of_another(status):
        return Objection("belongs to another user", "文件属于其他用户", f"chown {os.geteuid()}")
    return None


def of_another(status: os.stat_result) -> bool:
    """Whether a file or folder is neither ours nor root's: whoever owns it may change it, and its permissions."""
    return status.st_uid not in (os.geteuid(), 0)


def open_to_others(status: os.stat_result) -> bool:
    """Whether somebody besides its owner may do anything with a file or folder, by its permissions."""
    return bool(status.st_mode & (stat.S_IRWXG | stat.S_IRWXO))
