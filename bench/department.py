"""A department that runs its adapter itself: a process of its own, asked over mutual TLS.

Owns: certificates for both sides, the process, and the adapter as the gateway has it. Refuses: measuring.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from adapters.build import build
from adapters.contract import Adapter
from adapters.manifest import load_manifest
from adapters.manifest.handing import remote_manifest
from adapters.tls import own_tls_name
from certs import keys
from certs.authority import Authority
from certs.holders import Issued

_FEDERATION = "bench.wugan.internal"
_MEMBER = "11330000002482285J"
_START_S = 30.0


@contextlib.asynccontextmanager
async def department(manifest: Path, scratch: Path) -> AsyncIterator[Adapter]:
    """The adapter of a manifest as its gateway asks it, for the length of the block."""
    now = dt.datetime.now(dt.UTC)
    authority = Authority.create(scratch / "authority", _FEDERATION, now=now, root_passphrase=b"bench")
    key = keys.generate_tls_key()
    name = load_manifest(manifest).adapter_id
    issued = authority.issue_department_tls(_MEMBER, name, key.public_key(), now=now)
    there = _stored(scratch / "department", key, issued, authority)
    key = keys.generate_tls_key()
    here = _stored(scratch / "gateway", key, authority.issue_gateway_tls(_MEMBER, key.public_key(), now=now), authority)
    ready = scratch / "ready"
    options = ("--listen", "127.0.0.1:0", "--certs", str(there), "--ready-file", str(ready))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway.cli", "adapter", "serve", str(manifest), *options),
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(_START_S):
            while not ready.exists():  # noqa: ASYNC110  another process makes it
                await asyncio.sleep(0.05)
        text = remote_manifest(
            load_manifest(manifest),
            json.loads(ready.read_text("utf-8"))["adapter"],
            own_tls_name(there / "certificate.pem"),
        )
        own = f"client_certificate: {{certificate: {here}/certificate.pem, key: {here}/key.pem}}, ca: {here}/roots.pem"
        path = scratch / "remote.yaml"
        path.write_text(text.replace("tls_name:", f"{own}, tls_name:"), encoding="utf-8")
        adapter = build(load_manifest(path), scratch)
        try:
            yield adapter
        finally:
            await adapter.close()
    finally:
        process.terminate()
        await process.wait()


def _stored(folder: Path, key: keys.PrivateKey, issued: Issued, authority: Authority) -> Path:
    folder.mkdir()
    keys.store_private_key(folder / "key.pem", key)
    (folder / "certificate.pem").write_bytes(issued.pem)
    (folder / "roots.pem").write_bytes(authority.root_pem)
    return folder
