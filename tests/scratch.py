"""Where tests keep their files: in memory, where there is room.

Owns: choosing the folder that pytest makes its temporary folders in. Refuses: a memory disk that is small, that
programs may not run from (tests write some), or that would take the memory the tests themselves need.

Most of what the suite writes is synced at every step, and on a disk that others use as well it waited for that longer
than it worked. No test sees whether a sync reached a disk: tests/integration/test_power_cut.py takes away itself what
was not synced, wherever it lies.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

MEMORY = Path("/dev/shm")
LEAST_BYTES = 4 << 30
"""A whole run keeps far less at once; three runs side by side and what they compute fit as well."""
VARIABLE = "PYTEST_DEBUG_TEMPROOT"
"""What pytest looks at; whoever sets it decides."""


def in_memory(memory: Path = MEMORY, meminfo: Path = Path("/proc/meminfo")) -> Path | None:
    """The memory disk, if tests can well work in it."""
    try:
        free = shutil.disk_usage(memory).free
        usable = os.access(memory, os.W_OK | os.X_OK) and not os.statvfs(memory).f_flag & os.ST_NOEXEC
        (line,) = (line for line in meminfo.read_text("ascii").splitlines() if line.startswith("MemAvailable:"))
    except (OSError, ValueError):
        return None
    return memory if usable and min(free, int(line.split()[1]) << 10) >= LEAST_BYTES else None


def choose() -> None:
    """Let pytest keep its files there, unless somebody said where."""
    found = None if VARIABLE in os.environ else in_memory()
    if found is not None:
        os.environ[VARIABLE] = str(found)
