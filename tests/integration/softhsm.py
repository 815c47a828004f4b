"""A hardware token for tests: SoftHSM2, as it is installed, or as Debian has it.

Where it is not installed it is fetched by apt: installed as root, otherwise unpacked into a folder. In CI (variable CI)
a token that cannot be had is a failure, elsewhere a reason to skip.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGES = ("softhsm2", "softhsm2-common", "libsofthsm2")
MODULES = ("usr/lib/softhsm/libsofthsm2.so", "usr/lib/*/softhsm/libsofthsm2.so", "usr/lib64/pkcs11/libsofthsm2.so")
PIN, LABEL = "5678-user", "wugan"
_UNPACKED = Path(tempfile.gettempdir()) / f"wugan-softhsm-{os.getuid()}"


@dataclass(frozen=True)
class SoftHsm:
    """The module, and a token that was just made."""

    module: Path
    folder: Path

    @property
    def pin_file(self) -> Path:
        return self.folder / "pin"


def softhsm(folder: Path) -> SoftHsm:
    """A new token in a folder; the process, and those it starts, find it by SOFTHSM2_CONF."""
    root = _root()
    if root is None:
        reason = "SoftHSM2 is not installed, and apt cannot fetch it (package softhsm2)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    module = _module(root)
    assert module is not None
    (folder / "tokens").mkdir(parents=True)
    config = folder / "softhsm2.conf"
    config.write_text(f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n")
    os.environ["SOFTHSM2_CONF"] = str(config)
    init = ["--init-token", "--free", "--label", LABEL, "--so-pin", "1234-officer", "--pin", PIN]
    _run([str(root / "usr/bin/softhsm2-util"), "--module", str(module), *init])
    made = SoftHsm(module, folder)
    made.pin_file.write_text(PIN + "\n")
    made.pin_file.chmod(0o600)
    return made


def _root() -> Path | None:
    with (Path(tempfile.gettempdir()) / f"wugan-softhsm-{os.getuid()}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two workers may look at the same time
        for root in (Path("/"), _UNPACKED):
            if _module(root) is not None and (root / "usr/bin/softhsm2-util").exists():
                return root
        try:
            if os.geteuid() == 0:
                _run(["apt-get", "update", "-qq"], check=False)
                _run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", "softhsm2"])
                return Path("/")
            return _unpacked()
        except (OSError, subprocess.SubprocessError):
            return None


def _unpacked() -> Path:
    with tempfile.TemporaryDirectory() as scratch:
        _run(["apt-get", "download", "-qq", *PACKAGES], cwd=scratch)
        shutil.rmtree(_UNPACKED, ignore_errors=True)
        for package in Path(scratch).glob("*.deb"):
            _run(["dpkg", "-x", str(package), str(_UNPACKED)])
    return _UNPACKED


def _module(root: Path) -> Path | None:
    return next((found for pattern in MODULES for found in sorted(root.glob(pattern))), None)


def _run(command: Sequence[str], *, check: bool = True, cwd: str | None = None) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(command, check=check, cwd=cwd, env=environment, capture_output=True, timeout=100)
