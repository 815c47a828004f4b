"""Departments of the demo that run their adapter themselves, next to their data.

    members/<region>/departments/<adapter id>/    tls/ with its certificate, remote.yaml for the gateway, adapter.ready

Owns: what such a department and its gateway hand each other: certificate, address, the manifest of kind `remote`.
Refuses: starting anything.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from adapters.manifest import load_manifest
from adapters.manifest.handing import remote_manifest
from certs import keys
from certs.authority import Authority
from certs.files import PUBLIC, write_file
from certs.identity import ROLE_DEPARTMENT, Identity


@dataclass(frozen=True, slots=True)
class ServedDepartment:
    """A department that runs its own adapter.

    Args:
        manifest: its own.
        folder: of its files.
        address: where it is called.
    """

    manifest: Path
    folder: Path
    address: str

    @property
    def remote(self) -> Path:
        """The manifest that its gateway is given."""
        return self.folder / "remote.yaml"

    @property
    def ready_file(self) -> Path:
        """Where it writes its address once it takes calls."""
        return self.folder / "adapter.ready"

    @property
    def command(self) -> tuple[str, ...]:
        """What runs it."""
        where = ("--listen", self.address, "--certs", str(self.folder / "tls"), "--state", str(self.folder / "state"))
        options = (*where, "--ready-file", str(self.ready_file))
        return ("gateway.cli", "adapter", "serve", str(self.manifest), *options)


def equip_department(
    authority: Authority, member_id: str, department: ServedDepartment, now: dt.datetime
) -> ServedDepartment:
    """Make a department's certificate, and the manifest that its gateway is given; the same department.

    Raises:
        CertsError: a file cannot be written.
        ManifestError: its manifest is wrong.
    """
    manifest = load_manifest(department.manifest)
    key = keys.generate_tls_key()
    issued = authority.issue_department_tls(member_id, manifest.adapter_id, key.public_key(), now=now)
    write_tls(department.folder / "tls", authority, key, issued.pem)
    name = Identity(authority.federation, member_id, ROLE_DEPARTMENT, manifest.adapter_id).tls_name
    text = remote_manifest(manifest, department.address, name)
    write_file(department.remote, text.encode(), mode=PUBLIC, replace=False)
    return department


def write_tls(folder: Path, authority: Authority, key: keys.PrivateKey, chain_pem: bytes) -> None:
    """The three files of a holder of a certificate, in a folder made for them."""
    folder.mkdir(mode=0o700, parents=True)
    keys.store_private_key(folder / "key.pem", key)
    write_file(folder / "certificate.pem", chain_pem, mode=PUBLIC, replace=False)
    write_file(folder / "roots.pem", authority.root_pem, mode=PUBLIC, replace=False)
