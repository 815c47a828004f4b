"""The directory as a signed file that is replaced whole, until the federation publishes it by TUF.

Owns: reading the file, remembering the newest version believed across restarts, and keeping the directory held when a
new one may not be believed. Refuses: believing anything itself (`directory_trust`), and a memory that it cannot read:
a gateway that forgot what it saw could be rolled back.
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import structlog

from certs.errors import CertsError
from certs.files import PRIVATE, read_public, write_file
from gateway.clock import Clock
from gateway.errors import DirectoryError
from gateway.federation.directory import Directory
from gateway.federation.directory_trust import MAX_DIRECTORY_BYTES, DirectoryTrust, Seen

_log = structlog.stdlib.get_logger(__name__)


class DirectoryFile:
    """A `DirectorySource` that reads one file.

    Args:
        path: the signed directory; whoever replaces it writes beside it and renames.
        trust: what this member pins, and the rule.
        clock: tells when a directory has expired.
        memory: where the newest version believed is kept; its folder must exist, and only this gateway writes it.
    """

    def __init__(self, path: Path, trust: DirectoryTrust, clock: Clock, memory: Path) -> None:
        self._path = path
        self._trust = trust
        self._clock = clock
        self._memory = memory
        self._raw = b""
        self._held: Directory | None = None
        self._complaint = ""
        self._lock = asyncio.Lock()

    def current(self) -> Directory:
        """The directory in force.

        Raises:
            DirectoryError: none was taken yet, or it has expired.
        """
        if self._held is None:
            raise DirectoryError(
                "no federation directory was read yet; check the setting directory.file and the log",
                "尚未读取到联盟成员目录，请检查 directory.file 设置与日志",
            )
        self._held.require_fresh(self._clock.now_ms())
        return self._held

    async def refresh(self) -> None:
        """Read the file; take its directory if it is another one and may be believed, else keep the one held.

        A directory that is kept instead of a new one is reported once for each reason, as a warning.

        Raises:
            DirectoryError: none is held, and this one cannot be read or may not be believed.
        """
        async with self._lock:
            try:
                await asyncio.to_thread(self._read)
            except DirectoryError as error:
                if self._held is None:
                    raise
                if self._complaint != error.en:
                    self._complaint = error.en
                    _log.warning(
                        "directory kept, new one refused",
                        reason=error.en,
                        file=str(self._path),
                        held=self._held.version,
                    )
            else:
                self._complaint = ""

    def _read(self) -> None:
        try:
            raw = read_public(self._path, limit=MAX_DIRECTORY_BYTES)
        except CertsError as error:
            raise DirectoryError(error.en, error.zh, field="directory.file") from error
        if raw == self._raw:
            return
        seen = self._seen()
        directory = self._trust.verify(raw, now_ms=self._clock.now_ms(), seen=seen)
        if seen is None or directory.version > seen.version:
            # First remembered, then used: a crash between the two loses nothing.
            self._remember(directory)
        self._raw = raw
        self._held = directory
        _log.info("directory taken", version=directory.version, members=len(directory.members))

    def _seen(self) -> Seen | None:
        if self._held is not None:
            return Seen(self._held.version, self._held.digest)
        try:
            if not os.path.lexists(self._memory):
                return None
            kept = json.loads(read_public(self._memory))
            return Seen(int(kept["version"]), bytes.fromhex(kept["sha256"]))
        except CertsError as error:
            raise DirectoryError(error.en, error.zh) from error
        except (ValueError, KeyError, TypeError) as error:
            raise DirectoryError(
                f"{self._memory}: the memory of the newest directory is damaged; compare the directory's version with "
                "the federation's authority, then remove the file",
                f"{self._memory}：目录版本记录已损坏；请先与联盟管理机构核对目录版本，再删除该文件",
            ) from error

    def _remember(self, directory: Directory) -> None:
        text = json.dumps({"version": directory.version, "sha256": directory.digest.hex()})
        try:
            write_file(self._memory, text.encode(), mode=PRIVATE, replace=True)
        except CertsError as error:
            raise DirectoryError(error.en, error.zh) from error
