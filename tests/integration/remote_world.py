"""A member with an authority, certificates of its gateway and departments on the disk; adapters as processes."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from adapters.build import build
from adapters.kinds.remote import RemoteAdapter
from adapters.manifest import load_manifest
from certs import keys
from certs.authority import Authority
from certs.holders import Issued
from certs.identity import ROLE_DEPARTMENT, Identity

FEDERATION = "test.wugan.internal"
MEMBER = "11330000002482285J"
OTHER = "12330000002482285F"
ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "adapters"

MANIFEST = """\
manifest: 1
adapter_id: burials
version: "1"
department: CIVIL_AFFAIRS
regions: [330700]
kind: remote
source:
  address: "{address}"
  tls_name: {tls_name}
  client_certificate: {{certificate: {certs}/certificate.pem, key: {certs}/key.pem}}
  ca: {certs}/roots.pem
offers:
  items: [{{evidence: BURIAL, strength: REAL_NAME, freshness_days: 30}}]
timeout_s: 5
"""


class Member:
    """See the module.

    Args:
        folder: of everything.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.now = dt.datetime.now(dt.UTC)
        self.authority = Authority.create(folder / "ca", FEDERATION, now=self.now, root_passphrase=b"root")

    def gateway(self, member: str = MEMBER, folder: str = "gateway") -> Path:
        """The folder with the files of a gateway."""
        key = keys.generate_tls_key()
        return self._store(folder, key, self.authority.issue_gateway_tls(member, key.public_key(), now=self.now))

    def unit(self) -> Path:
        """The folder with the files of an agency of the member."""
        key = keys.generate_tls_key()
        return self._store("unit", key, self.authority.issue_unit_tls(MEMBER, "u1", key.public_key(), now=self.now))

    def department(self, adapter_id: str = "burials", folder: str = "department") -> Path:
        """The folder with the files of a department's adapter."""
        key = keys.generate_tls_key()
        issued = self.authority.issue_department_tls(MEMBER, adapter_id, key.public_key(), now=self.now)
        return self._store(folder, key, issued)

    def _store(self, name: str, key: keys.PrivateKey, issued: Issued) -> Path:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        keys.store_private_key(folder / "key.pem", key, replace=True)
        (folder / "certificate.pem").write_bytes(issued.pem)
        (folder / "roots.pem").write_bytes(self.authority.root_pem)
        return folder

    def adapter(self, address: str, certs: Path, tls_name: str | None = None, **changed: str) -> RemoteAdapter:
        """The remote adapter as a gateway with these files builds it from its manifest."""
        text = MANIFEST.format(address=address, certs=certs, tls_name=tls_name or tls_name_of("burials"))
        for old, new in changed.items():
            text = text.replace(old, new)
        path = self.folder / "remote.yaml"
        path.write_text(text, encoding="utf-8")
        built = build(load_manifest(path), self.folder / "state")
        assert isinstance(built, RemoteAdapter)
        return built


def tls_name_of(adapter_id: str) -> str:
    """The DNS name of a department's adapter of the member."""
    return Identity(FEDERATION, MEMBER, ROLE_DEPARTMENT, adapter_id).tls_name


@contextlib.asynccontextmanager
async def running(*command: str | Path, ready: Path) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    """A process that serves an adapter, once it takes calls: its address, and itself. Killed in the end."""
    ready.unlink(missing_ok=True)
    process = await asyncio.create_subprocess_exec(
        *map(str, command), cwd=ROOT, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    try:
        while not ready.exists():
            if process.returncode is not None:
                assert process.stderr is not None
                raise AssertionError((await process.stderr.read()).decode())
            await asyncio.sleep(0.02)
        yield json.loads(ready.read_text("utf-8"))["adapter"], process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def wugan(*arguments: str | Path) -> list[str | Path]:
    """The command line of ours."""
    return [sys.executable, "-m", "gateway.cli", *arguments]
