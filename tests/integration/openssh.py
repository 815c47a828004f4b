"""An SFTP server of another make for tests: OpenSSH's, as it is installed, or as Debian has it.

Where it is not installed apt installs it, or unpacks it into a folder where one may not install. In CI (variable CI) a
server that cannot be had is a failure, elsewhere a reason to skip.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGES = ("openssh-server", "openssh-client", "libwrap0")
_UNPACKED = Path(tempfile.gettempdir()) / f"wugan-openssh-{os.getuid()}"


@dataclass(frozen=True)
class OpenSsh:
    """A running server: whoever has the key comes in as the user who runs the tests."""

    port: int
    user: str
    key: Path
    host_key: str


@contextmanager
def openssh(folder: Path) -> Iterator[OpenSsh]:
    """A server for the length of the block, with keys made in a folder."""
    root = _root()
    if root is None:
        reason = "OpenSSH is not installed, and apt cannot fetch it (package openssh-server)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    folder.mkdir(parents=True)
    for name in ("host", "user"):
        _run([str(root / "usr/bin/ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(folder / name)])
    shutil.copy(folder / "user.pub", folder / "authorized")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = folder / "sshd_config"
    config.write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {folder / 'host'}\nAuthorizedKeysFile {folder / 'authorized'}\n"
        "StrictModes no\nPidFile none\nPermitRootLogin prohibit-password\nPasswordAuthentication no\n"
        "KbdInteractiveAuthentication no\nSubsystem sftp internal-sftp\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    command = [str(root / "usr/sbin/sshd"), "-D", "-e", "-f", str(config)]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stderr=log) as server:
        try:
            _wait(port, server, folder / "log")
            public = (folder / "host.pub").read_text().strip()
            user = subprocess.run(["id", "-un"], check=True, capture_output=True, text=True).stdout.strip()
            yield OpenSsh(port, user, folder / "user", public)
        finally:
            server.terminate()


def _wait(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    while server.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
    pytest.fail(f"sshd does not start: {log.read_text()}")


def _root() -> Path | None:
    with (Path(tempfile.gettempdir()) / f"wugan-openssh-{os.getuid()}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two workers may look at the same time
        for root in (Path("/"), _UNPACKED):
            if (root / "usr/sbin/sshd").exists() and (root / "usr/bin/ssh-keygen").exists():
                return root
        try:
            if os.geteuid() == 0:
                _run(["apt-get", "update", "-qq"], check=False)
                _run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", "openssh-server"])
                return Path("/")
            with tempfile.TemporaryDirectory() as scratch:
                _run(["apt-get", "download", "-qq", *PACKAGES], cwd=scratch)
                for package in Path(scratch).glob("*.deb"):
                    _run(["dpkg", "-x", str(package), str(_UNPACKED)])
        except (OSError, subprocess.SubprocessError):
            return None
        return _UNPACKED


def _run(command: Sequence[str], *, check: bool = True, cwd: str | None = None) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(command, check=check, cwd=cwd, env=environment, capture_output=True, timeout=100)
