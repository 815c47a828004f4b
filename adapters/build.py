"""From a manifest to the adapter it describes.

Owns: which kind is built for which manifest. Refuses: being imported by anything but a composition root or a command.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from adapters.contract import Adapter
from adapters.manifest import ApiManifest, Manifest, TableManifest, load_manifest

__all__ = ["build", "load_manifest", "system_clock"]


def system_clock() -> int:
    """Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


def build(manifest: Manifest, state_dir: Path, now_ms: Callable[[], int] = system_clock) -> Adapter:
    """The adapter of a manifest. Nothing is reached yet; `Adapter.check` does that.

    Args:
        manifest: from `load_manifest`.
        state_dir: folder of the gateway's own; the adapter keeps its state in a folder of its id below it.
        now_ms: Unix time in milliseconds.

    Raises:
        ManifestError: a secret is missing, or a setting does not work on this machine.
    """
    if isinstance(manifest, TableManifest):
        from adapters.kinds.table import TableAdapter

        return TableAdapter(manifest, now_ms)
    if isinstance(manifest, ApiManifest):
        from adapters.kinds.api import ApiAdapter

        return ApiAdapter(manifest, now_ms)
    from adapters.kinds.file import FileAdapter

    return FileAdapter(manifest, state_dir / manifest.adapter_id, now_ms)
