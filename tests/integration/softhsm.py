"""A hardware token for tests: SoftHSM2, as it is installed, or as Debian has it.

How it comes here is said in `debian`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tests.debian import installed, run

PACKAGES = ("softhsm2", "softhsm2-common", "libsofthsm2")
MODULES = ("usr/lib/softhsm/libsofthsm2.so", "usr/lib/*/softhsm/libsofthsm2.so", "usr/lib64/pkcs11/libsofthsm2.so")
PIN, LABEL = "5678-user", "wugan"


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
    root = installed("SoftHSM2", PACKAGES, _is_there)
    module = _module(root)
    assert module is not None
    (folder / "tokens").mkdir(parents=True)
    config = folder / "softhsm2.conf"
    config.write_text(f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n")
    os.environ["SOFTHSM2_CONF"] = str(config)
    init = ["--init-token", "--free", "--label", LABEL, "--so-pin", "1234-officer", "--pin", PIN]
    run([str(root / "usr/bin/softhsm2-util"), "--module", str(module), *init])
    made = SoftHsm(module, folder)
    made.pin_file.write_text(PIN + "\n")
    made.pin_file.chmod(0o600)
    return made


def _is_there(root: Path) -> bool:
    return _module(root) is not None and (root / "usr/bin/softhsm2-util").exists()


def _module(root: Path) -> Path | None:
    return next((found for pattern in MODULES for found in sorted(root.glob(pattern))), None)
