"""The catalogue of a gateway: its own manifests, and the directory that it holds on its disk."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

import adapters
from gateway.cli import main
from gateway.clock import FakeClock
from gateway.config import load_gateway
from gateway.federation import directory_held
from gateway.federation.directory_held import held_directory
from gateway.federation.directory_kept import DIRECTORY, KEEPING
from tests.configured import gateway_toml
from tests.unit.federation.tuf_world import FEDERATION, World, certificate_roots

TEMPLATES = Path(adapters.__file__).parent / "departments"
CONFIG = gateway_toml(
    f'inquiry.adapters = ["{TEMPLATES / "courts.yaml"}"]', federation=FEDERATION, source="authority-mirror"
)


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.publish()
    (tmp_path / "gateway.toml").write_text(CONFIG, "utf-8")
    (tmp_path / "roots.pem").write_bytes(certificate_roots())
    (tmp_path / "root.json").write_bytes(made.root)
    return made


def fetch(world: World) -> Path:
    """The gateway fetches the directory once; the authority is gone afterwards."""
    asyncio.run(world.gateway().refresh())
    shutil.copytree(world.folder / "state-gateway", world.folder / "state" / "directory")
    shutil.rmtree(world.mirror)
    return world.folder / "state" / "directory"


def test_the_directory_on_the_disk_is_read_and_left_as_it_is(world: World) -> None:
    settings = load_gateway(world.folder / "gateway.toml")
    assert held_directory(settings, world.clock) is None
    held = fetch(world)
    before = {path: path.stat().st_mtime_ns for path in held.rglob("*")}
    directory = held_directory(settings, world.clock)
    assert directory is not None
    assert directory.version == 1
    assert {path: path.stat().st_mtime_ns for path in held.rglob("*")} == before


def test_one_that_was_changed_or_has_expired_is_not_believed(world: World) -> None:
    settings = load_gateway(world.folder / "gateway.toml")
    held = fetch(world)
    assert held_directory(settings, FakeClock(world.clock.now_ms() + 10 * 86_400_000)) is None
    told = json.loads((held / KEEPING).read_bytes())
    data = base64.b64decode(told[DIRECTORY]) + b"\x00"
    (held / KEEPING).write_text(json.dumps({**told, DIRECTORY: base64.b64encode(data).decode()}))
    assert held_directory(settings, world.clock) is None


def test_one_that_a_gateway_takes_while_it_is_read_is_not_missed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_gateway(world.folder / "gateway.toml")
    gateway, state = world.gateway(), world.folder / "state-gateway"
    asyncio.run(gateway.refresh())
    (world.folder / "state").mkdir()
    (world.folder / "state" / "directory").symlink_to(state)
    old = (state / KEEPING).read_bytes()

    def in_between(held: Path, copy: Path) -> None:
        world.publish()
        asyncio.run(world.gateway().refresh())
        shutil.copytree(held, copy)
        (copy / KEEPING).write_bytes(old)

    with monkeypatch.context() as patched:
        patched.setattr(directory_held, "shutil", SimpleNamespace(copytree=in_between, copy=shutil.copy))
        directory = held_directory(settings, world.clock)
    assert directory is not None
    assert directory.version == 2


def test_without_a_directory_own_manifests_are_shown_and_that_is_said(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.log.configure", lambda *_: None)
    config = world.folder / "gateway.toml"
    ran = CliRunner().invoke(main, ["catalogue", "gaps", "--config", str(config), "--json"])
    assert ran.exit_code == 0, ran.output
    assert "only own manifests" in ran.stderr or "仅列出" in ran.stderr
    assert {row["region"][:6] for row in json.loads(ran.stdout)["gaps"]} == {"330000"}
