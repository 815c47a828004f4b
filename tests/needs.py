"""What a test needs of the machine. In CI (variable CI) what is not there is a failure, elsewhere a reason to skip.

Owns: every skip of the tests; a test looks that there is no other.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import NoReturn

import pytest


def lacking(what: str) -> NoReturn:
    """End the test: the machine lacks something."""
    if os.environ.get("CI"):
        pytest.fail(f"{what}; CI has to have it")
    pytest.skip(what)


def require_tools(*names: str) -> None:
    """Go on where these programs are installed."""
    missing = [name for name in names if shutil.which(name) is None]
    if missing:
        lacking(f"not installed: {', '.join(missing)} (Debian packages of the same names)")


def require_node() -> None:
    """Go on where Node.js 20 or newer and npm are installed."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        lacking("Node 20 or newer and npm are needed; none found")
    version = subprocess.run(("node", "--version"), capture_output=True, text=True, check=True).stdout.strip()
    if int(version.removeprefix("v").split(".")[0]) < 20:
        lacking(f"Node 20 or newer is needed; found {version}")
