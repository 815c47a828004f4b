"""Programs of Debian's for tests: as they are installed, or as apt brings them.

Where one is not installed it is fetched by apt: installed as root, otherwise unpacked into a folder. In CI (variable
CI) one that cannot be had is a failure, elsewhere a reason to skip.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.needs import lacking


def installed(name: str, packages: Sequence[str], is_there: Callable[[Path], bool]) -> Path:
    """The root under which a program stands.

    Args:
        name: of the program, for people.
        packages: to be unpacked; the first of them brings the others with it where it is installed.
        is_there: whether it stands under a root.
    """
    root = _root(packages, is_there)
    if root is None:
        lacking(f"{name} is not installed, and apt cannot fetch it (package {packages[0]})")
    return root


def run(command: Sequence[str], *, check: bool = True, cwd: str | None = None) -> None:
    """Run a command that asks nobody anything."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(command, check=check, cwd=cwd, env=environment, capture_output=True, timeout=300)


def _root(packages: Sequence[str], is_there: Callable[[Path], bool]) -> Path | None:
    unpacked = Path(tempfile.gettempdir()) / f"wugan-{packages[0]}-{os.getuid()}"
    with unpacked.with_name(f"{unpacked.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two workers may look at the same time
        for root in (Path("/"), unpacked):
            if is_there(root):
                return root
        try:
            if os.geteuid() == 0:
                run(["apt-get", "update", "-qq"], check=False)
                run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", packages[0]])
                return Path("/")
            with tempfile.TemporaryDirectory() as scratch:
                run(["apt-get", "download", "-qq", *packages], cwd=scratch)
                shutil.rmtree(unpacked, ignore_errors=True)
                for package in Path(scratch).glob("*.deb"):
                    run(["dpkg", "-x", str(package), str(unpacked)])
        except (OSError, subprocess.SubprocessError):
            return None
        return unpacked
