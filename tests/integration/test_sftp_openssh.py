"""Files dropped on OpenSSH's server: taken in, corrected, told of; the command looks; another key is refused."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from adapters.build import build
from adapters.errors import SourceDownError
from adapters.manifest import load_manifest
from gateway.cli import main
from tests.integration.openssh import OpenSsh, openssh
from tests.unit.adapters.adapters_world import ANNA, BO, CHEN, ask, rows

pytestmark = pytest.mark.integration

TEXT = """\
manifest: 1
adapter_id: burials
version: 1
department: CIVIL_AFFAIRS
regions: [330000]
kind: file
source:
  sftp: {host: 127.0.0.1, port: PORT, user: USER, key: KEY, host_key: "HOST", folder: FOLDER}
  settle_s: 0
  scan_every_s: 0
identity: {column: id, name: name}
timeout_s: 20
records:
  - name: burials
    files: {pattern: "burial_*.csv", mode: increment, key: [ref]}
    evidence: BURIAL
    observed_on: at
    strength: REAL_NAME
    source_reference: ref
    changes: true
"""


def manifest(at: OpenSsh, root: Path, host_key: str = "") -> Path:
    path = root / "manifest.yaml"
    text = TEXT
    values = {
        "PORT": str(at.port),
        "USER": at.user,
        "KEY": str(at.key),
        "HOST": host_key or at.host_key,
        "FOLDER": str(root / "drop"),
    }
    for name, value in values.items():
        text = text.replace(name, value, 1)
    path.write_text(text, encoding="utf-8")
    return path


async def test_a_drop_on_openssh_is_taken_in_corrected_and_told_of(tmp_path: Path) -> None:
    drop = tmp_path / "drop"
    drop.mkdir()
    with openssh(tmp_path / "sshd") as at:
        path = manifest(at, tmp_path)
        (drop / "burial_1.csv").write_text(f"id,name,at,ref\n{ANNA},安娜,2026-03-01,1\n{BO},博,2026-03-02,2\n")
        adapter = build(load_manifest(path), tmp_path / "state")
        await adapter.check()
        begun = await adapter.changes(b"", 100)  # type: ignore[attr-defined]
        assert begun.id_number == [], "the first files are no news"
        # A later file corrects a day and takes nothing else back; one that is still being written is left.
        (drop / "burial_2.csv").write_text(f"id,name,at,ref\n{BO},博,2026-02-20,2\n")
        (drop / "burial_3.csv.part").write_text(f"id,name,at,ref\n{CHEN},陈,2026-03-03,3\n")
        await adapter.check()
        told = await adapter.changes(begun.cursor, 100)  # type: ignore[attr-defined]
        assert told.id_number == [BO]
        assert (await adapter.changes(told.cursor, 100)).id_number == []  # type: ignore[attr-defined]
        assert [row[2:] for row in rows(await adapter.lookup(ask(ANNA, BO, CHEN)))] == [
            ("2026-03-01", "1"),
            ("2026-02-20", "2"),
        ]
        (drop / "burial_3.csv.part").rename(drop / "burial_3.csv")
        await adapter.check()
        assert (await adapter.changes(told.cursor, 100)).id_number == [CHEN]  # type: ignore[attr-defined]
        await adapter.close()

        ran = await asyncio.to_thread(CliRunner().invoke, main, ["adapter", "check", str(path), "--json"])
        assert ran.exit_code == 0, ran.output
        assert json.loads(ran.output)["files"] == [
            {"records": "burials", "files": 3, "rows": 4, "bad": 0, "rejected": 0, "bad_en": "", "bad_zh": ""}
        ]

        wrong = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDtqJ7zOtqQtYqOo0CpvDXNlMV3HeJDpjrASKGLWdopD"
        ran = await asyncio.to_thread(
            CliRunner().invoke, main, ["adapter", "check", str(manifest(at, tmp_path, wrong))]
        )
        assert ran.exit_code == 3
        assert "SHA256:" in ran.output
        again = build(load_manifest(path), tmp_path / "state2")
        with pytest.raises(SourceDownError, match="another key than"):
            await again.lookup(ask(ANNA))
        await again.close()
