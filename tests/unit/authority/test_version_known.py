"""Which version is in force is read and verified once, and again when any file that says so is another one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from certs import keys
from gateway.authority.in_force import InForce
from gateway.authority.office import Office
from tests.unit.authority.authority_world import ROOT_PASSPHRASES, ZHEJIANG, World
from tests.unit.federation.tuf_world import opens


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of files of the repository that were read."""
    names: list[str] = []
    before = InForce.read

    def counted(in_force: InForce, kind: Any, name: str) -> Any:
        names.append(name)
        return before(in_force, kind, name)

    monkeypatch.setattr(InForce, "read", counted)
    return names


def _newest(world: World, role: str) -> Path:
    found = (world.home / "tuf" / "metadata").glob(f"*{role}.json")
    return max(found, key=lambda path: int(path.name.partition(".")[0]) if path.name[0].isdigit() else 0)


def test_what_was_just_published_is_not_read_again(world: World, read: list[str]) -> None:
    world.office.add(world.entry(ZHEJIANG))
    read.clear()
    assert [world.office.version(), world.office.version()] == [2, 2]
    assert world.office.publish() == 3
    assert world.office.version() == 3
    assert read == []


def test_what_was_found_in_force_is_not_read_again(world: World, read: list[str]) -> None:
    again = Office(world.home, world.clock)
    assert again.version() == 1
    assert len(read) == 4, "root, timestamp, snapshot and targets, once"
    assert again.version() == 1
    assert len(read) == 4
    again.close()


def test_what_another_process_published_is_noticed(world: World) -> None:
    assert world.office.version() == 1
    other = Office(world.home, world.clock)
    assert other.publish() == 2
    assert world.office.version() == 2
    assert world.office.publish() == 3
    assert other.version() == 3
    other.close()


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets", "root"])
@pytest.mark.parametrize("by", ["itself", "another"])
def test_a_file_that_is_damaged_or_gone_is_noticed(world: World, role: str, by: str) -> None:
    office = world.office if by == "itself" else Office(world.home, world.clock)
    assert office.publish() == 2
    assert office.version() == 2
    path = _newest(world, role)
    whole = path.read_bytes()
    broken = whole.replace(b'"sig":"', b'"sig":"00')
    assert broken != whole
    # Nobody verifies the signatures of the authority's own root with each look; it must be one all the same.
    path.write_bytes(broken if role != "root" else b"{}")
    os.utime(path, ns=(1, 1))
    assert office.version() == 0, "nobody would believe it"
    path.unlink()
    assert office.version() == 0
    path.write_bytes(whole)
    assert office.version() == 2


def test_a_root_with_other_keys_is_noticed(world: World) -> None:
    assert world.office.publish() == 2
    found = sorted((world.home / "tuf-root-keys").iterdir())
    old = [(path, passphrase) for path in found for passphrase in ROOT_PASSPHRASES if opens(path, passphrase)]
    world.office._repository.rotate_root(old[:2], [], None, world.now, online=True)
    assert world.office.version() == 0, "what is there is signed by keys that are no longer in office"
    assert world.office.publish() == 3
    assert world.office.version() == 3


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_what_another_key_signed_does_not_count_as_known(world: World, role: str) -> None:
    (path,) = (world.home / "tuf-keys").glob(f"{role}-*.pem")
    path.unlink()
    keys.store_private_key(path, keys.generate_signing_key(), passphrase=None)
    office = Office(world.home, world.clock)
    office.publish()
    assert office.version() == 0
    office.close()
