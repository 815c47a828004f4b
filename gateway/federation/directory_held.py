"""The directory that a gateway holds on its disk, read by a command while the gateway runs or does not.

Owns: judging it anew, by the gateway's own rules and trust, from a copy. Refuses: fetching, and writing into the state
folder, where only the gateway writes.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from pathlib import Path

from gateway.clock import Clock
from gateway.config import GatewaySettings
from gateway.errors import DirectoryError
from gateway.federation.directory import Directory
from gateway.federation.directory_fetch import HeldFetcher
from gateway.federation.directory_kept import KEEPING, Kept
from gateway.federation.directory_trust import DirectoryTrust
from gateway.federation.directory_tuf import DirectoryTuf
from gateway.federation.directory_updater import DirectoryPlace


def held_directory(settings: GatewaySettings, clock: Clock) -> Directory | None:
    """The directory held; None where there is none, it may not be believed, or it has expired."""
    held = settings.state_dir / "directory"
    if not held.is_dir():
        return None
    given = settings.directory
    try:
        roots, root = settings.tls.roots.read_bytes(), given.root.read_bytes()
        trust = DirectoryTrust.of(given.federation, roots)
        with tempfile.TemporaryDirectory(prefix="wugan-directory-") as folder:
            copy = Path(folder) / "directory"
            shutil.copytree(held, copy)
            with contextlib.suppress(FileNotFoundError):
                shutil.copy(held / KEEPING, copy / KEEPING)  # again, last: never older than what is beside it
            source = DirectoryTuf(
                DirectoryPlace(str(given.source), root, copy), HeldFetcher(Kept(copy).timestamp), trust, clock
            )
            asyncio.run(source.refresh())
            return source.current()
    except (DirectoryError, OSError):
        return None
