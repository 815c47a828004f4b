"""From a manifest to the adapter it describes.

Owns: which kind is built for which manifest. Refuses: being imported by anything but a composition root or a command.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.contract import Adapter
from adapters.errors import AdapterError
from adapters.manifest import ApiManifest, Manifest, RemoteManifest, TableManifest, load_manifest

if TYPE_CHECKING:
    from adapters.line import Channels

__all__ = ["build", "load_manifest", "system_clock"]


def system_clock() -> int:
    """Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


def build(
    manifest: Manifest,
    state_dir: Path,
    now_ms: Callable[[], int] = system_clock,
    channels: Channels | None = None,
) -> Adapter:
    """The adapter of a manifest. Nothing is reached yet; `Adapter.check` does that.

    Args:
        manifest: from `load_manifest`.
        state_dir: folder of the gateway's own; the adapter keeps its state in a folder of its id below it.
        now_ms: Unix time in milliseconds.
        channels: opens channels with the gateway's own certificate, for remote adapters whose manifest names no other.

    Raises:
        ManifestError: a secret is missing, or a setting does not work on this machine.
    """
    if isinstance(manifest, TableManifest):
        from adapters.kinds.table import TableAdapter

        return TableAdapter(manifest, now_ms)
    if isinstance(manifest, ApiManifest):
        from adapters.kinds.api import ApiAdapter

        return ApiAdapter(manifest, now_ms)
    if isinstance(manifest, RemoteManifest):
        return _remote(manifest, channels)
    from adapters.kinds.file import FileAdapter

    return FileAdapter(manifest, state_dir / manifest.adapter_id, now_ms)


def _remote(manifest: RemoteManifest, channels: Channels | None) -> Adapter:
    from adapters.incoming import AnswerLimits
    from adapters.kinds.remote import RemoteAdapter, RemoteLimits
    from adapters.line import Line
    from adapters.tls import FileChannels, TlsFiles

    source, own = manifest.source, manifest.source.client_certificate
    if own is not None and source.ca is not None:
        place = ("source", "client_certificate")
        secret = manifest.reveal(own.passphrase, (*place, "passphrase")).encode() if own.passphrase else None
        folder = manifest.folder
        try:
            channels = FileChannels(TlsFiles(folder / own.certificate, folder / own.key, folder / source.ca, secret))
        except AdapterError as error:
            raise manifest.error(place, error.en, error.zh) from error
    if channels is None:
        raise manifest.error(
            ("source",),
            "is called with the gateway's own certificate, which only a running gateway has; it tells how the adapter "
            "does (wugan gateway health). To try it elsewhere, give client_certificate and ca",
            "使用网关自身证书调用，仅运行中的网关可用；其状态见 wugan gateway health。如需在别处试查，"
            "请设置 client_certificate 与 ca",
        )
    limits = RemoteLimits(
        timeout_s=manifest.timeout_s,
        max_batch=manifest.max_batch,
        at_once=manifest.concurrency,
        answer=AnswerLimits(payload=source.max_answer_bytes, rows=source.max_answer_rows),
    )
    opens = functools.partial(channels.open, source.address, source.tls_name)
    vouch = functools.partial(channels.vouch, source.address, source.tls_name)
    return RemoteAdapter(Line(opens, channels.version, vouch), limits, manifest.description())
