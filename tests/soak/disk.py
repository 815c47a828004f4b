"""What the disk under a process would hold after a power cut, and putting it in the place of what the system holds.

kill -9 loses nothing that was written, because the operating system keeps it. `only_synced.c`, loaded into the process,
keeps aside what was synced.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).with_name("only_synced.c")
_KNOWN = ".synced"


def built(folder: Path) -> Path | None:
    """The library that remembers what was synced; None where there is no C compiler, or no LD_PRELOAD."""
    compiler = shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        return None
    library = folder / "only_synced.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(library), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True)
    return library


class Disk:
    """The disk under a folder.

    Args:
        library: as `built`.
        folder: what the process writes to; absolute, and without links in its path.
        kept: where to keep what was synced; made.
    """

    def __init__(self, library: Path, folder: Path, kept: Path) -> None:
        self._folder = folder.resolve()
        self._kept = kept.resolve()
        self.environment = {
            "LD_PRELOAD": str(library),
            "ONLY_SYNCED_FROM": str(self._folder),
            "ONLY_SYNCED_TO": str(self._kept),
        }
        """For the process."""

    def begin(self) -> None:
        """All that is there now is on the disk. No process may be at work."""
        shutil.rmtree(self._kept, ignore_errors=True)
        shutil.copytree(self._folder, self._kept, symlinks=True)
        (self._kept / _KNOWN).mkdir(mode=0o700)

    def cut(self) -> None:
        """The power was cut: the folder holds what was synced. The process must have been killed before."""
        shutil.rmtree(self._folder)
        shutil.copytree(self._kept, self._folder, symlinks=True, ignore=shutil.ignore_patterns(_KNOWN))
        self._folder.chmod(0o700)
        self.begin()
