"""What the push stream carries of a version: the files that a gateway which knows the version before needs.

Owns: finding them in the repository, and putting them into one event. Refuses: waiting for a publication that is under
way, and judging: where the files are not those of the version, nothing but its number is told.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from certs.errors import CertsError
from certs.files import read_public
from gateway.authority.in_force import versions
from gateway.authority.repository import TARGET
from gateway.federation.directory_pushed import MAX_EVENT_BYTES, Pushed


def files_event(tuf: Path, version: int) -> bytes:
    """The event; empty where the version in force is another, or its files are too many bytes. Waits for the disk.

    Args:
        tuf: the repository, with `metadata/` and `targets/` in it.
        version: of the directory.
    """
    files: dict[str, bytes] = {}

    def read(path: str) -> bytes:
        files[path] = read_public(tuf / path, limit=MAX_EVENT_BYTES)
        return files[path]

    try:
        # As a gateway walks: each file is named by the one before, so they are of one version whenever that is.
        snapshot = _signed(read("metadata/timestamp.json"))["meta"]["snapshot.json"]["version"]
        if _signed(read(f"metadata/{snapshot}.snapshot.json"))["meta"]["targets.json"]["version"] != version:
            return b""
        described = _signed(read(f"metadata/{version}.targets.json"))["targets"][TARGET]
        read(f"targets/{described['hashes']['sha256']}.{TARGET}")
        # Looked up last: a root that came meanwhile is told, at worst too early, and then looked for.
        newest_root = max(versions(tuf / "metadata", "root"))
    except (CertsError, OSError, ValueError, KeyError, TypeError):
        return b""
    return Pushed(files, newest_root).event()


def _signed(data: bytes) -> Any:
    return json.loads(data)["signed"]
