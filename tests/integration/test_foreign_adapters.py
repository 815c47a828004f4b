"""The examples of departments' own programs, with the SDK for Python and in Node.js, asked as a gateway asks.

The one in Node.js needs Node 20 or newer and npm, which fetches the packages pinned in its package-lock.json.
"""

from __future__ import annotations

import json
import runpy
import shutil
import subprocess
from datetime import date
from pathlib import Path

import pytest
from remote_world import EXAMPLES, FEDERATION, MEMBER, OTHER, ROOT, Member, running

from adapters import sdk
from adapters.contract import Lookup, Subjects
from adapters.errors import SourceFaultError
from adapters.kinds.remote import RemoteAdapter
from certs.identity import Identity
from tests.needs import require_node
from tests.unit.adapters.adapters_world import ask, holders, number, rows
from wugan.adapter.v1 import vocabulary_pb2 as v

pytestmark = pytest.mark.integration

GATEWAY = Identity.gateway(FEDERATION, MEMBER).uri


@pytest.fixture(scope="module")
def member(tmp_path_factory: pytest.TempPathFactory) -> Member:
    return Member(tmp_path_factory.mktemp("member"))


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of examples/adapters/node with its packages installed."""
    require_node()
    folder = tmp_path_factory.mktemp("example") / "node"
    shutil.copytree(EXAMPLES / "node", folder, ignore=shutil.ignore_patterns("node_modules"))
    done = subprocess.run(
        ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


async def answers_well(adapter: RemoteAdapter) -> None:
    """The adapter knows the four people of the register, and nobody else."""
    await adapter.check()
    assert adapter.offered == adapter.describe()
    found = await adapter.lookup(ask(number(2), number(9), number(1)))
    assert holders(found) == [(0, number(2), "李桂兰"), (2, number(1), "张建国")]
    assert rows(found) == [(0, "BURIAL", "2026-02-14", "B26-002"), (2, "BURIAL", "2026-01-14", "B26-001")]
    assert found.evidence.available_on.tolist() == [
        date(2026, month, 1).toordinal() - date(1970, 1, 1).toordinal() for month in (3, 2)
    ]
    assert found.evidence.region.tolist() == [330700, 330700]
    assert found.evidence.strength.tolist() == [v.STRENGTH_REAL_NAME] * 2

    renumbered = Lookup(Subjects([number(9), number(3)], ["某", "某"], [0], [number(4)]))
    assert holders(await adapter.lookup(renumbered)) == [(0, number(4), "赵玉珍"), (1, number(3), "王秀英")]
    assert not len((await adapter.lookup(ask())).holders.subject)
    own_alias = Lookup(Subjects([number(1)], ["某"], [0, 0], [number(1), number(1)]))
    assert len((await adapter.lookup(own_alias)).holders.subject) == 1
    of_another_kind = await adapter.lookup(ask(number(1), kinds=(v.EVIDENCE_KIND_OLD_AGE_SUBSIDY,)))
    assert holders(of_another_kind) == [(0, number(1), "张建国")]
    assert not len(of_another_kind.evidence)
    twice = await adapter.lookup(ask(number(1), number(1)))
    assert {row for row, _, _, _ in rows(twice)} == {0, 1}
    everybody = await adapter.lookup(
        ask(*(f"11010119{serial:010d}" for serial in range(9_999)), number(1), deadline_s=20)
    )
    assert [row for row, _, _, _ in rows(everybody)] == [9_999]
    await adapter.close()


async def test_the_example_with_the_sdk_answers(member: Member) -> None:
    example = runpy.run_path(str(EXAMPLES / "sdk_burials" / "adapter.py"))
    async with sdk.served(example["Burials"](), "127.0.0.1:0", member.department()) as address:
        await answers_well(member.adapter(address, member.gateway()))


async def test_the_example_in_node_answers(
    member: Member, tmp_path: Path, node: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WUGAN_PROTO", str(ROOT / "proto"))
    ready = tmp_path / "ready"
    command = ("node", node / "adapter.mjs", "127.0.0.1:0", member.department(), GATEWAY, ready)
    async with running(*command, ready=ready) as (address, process):
        await answers_well(member.adapter(address, member.gateway()))
        for strangers in (member.gateway(OTHER, "other"), member.unit()):
            refused = member.adapter(address, strangers)
            with pytest.raises(SourceFaultError, match="PERMISSION_DENIED"):
                await refused.lookup(ask(number(1)))
            await refused.close()
        process.terminate()
        assert await process.wait() == 0
    assert not ready.exists()


def test_the_lock_file_of_the_example_in_node_pins_every_package_by_digest_and_names_no_registry() -> None:
    packages = json.loads((EXAMPLES / "node" / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    for name, package in packages.items():
        assert "resolved" not in package
        assert not name or package["integrity"].startswith("sha512-")
