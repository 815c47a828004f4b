"""An SFTP server of another make for tests: OpenSSH's, as it is installed, or as Debian has it.

How it comes here is said in `debian`.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.demo.ports import free_ports
from tests.debian import installed, run

PACKAGES = ("openssh-server", "openssh-client", "libwrap0")


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
    root = installed("OpenSSH", PACKAGES, _is_there)
    folder.mkdir(parents=True)
    for name in ("host", "user"):
        run([str(root / "usr/bin/ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(folder / name)])
    shutil.copy(folder / "user.pub", folder / "authorized")
    (port,) = free_ports(1)
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


def _is_there(root: Path) -> bool:
    return (root / "usr/sbin/sshd").exists() and (root / "usr/bin/ssh-keygen").exists()
