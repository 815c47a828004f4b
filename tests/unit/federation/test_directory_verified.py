"""What python-tuf verified is not verified again over the same bytes for the same root, and for nothing else."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import SSlibKey
from tuf.api.exceptions import RepositoryError, UnsignedMetadataError
from tuf.api.metadata import Metadata, Root, Snapshot, Timestamp
from tuf.ngclient._internal import trusted_metadata_set

from gateway.errors import DirectoryError
from gateway.federation.directory_kept import KEEPING
from gateway.federation.directory_updater import Fetched
from gateway.federation.directory_verified import KNOWN, Verified
from tests.unit.federation.tuf_world import HOUR_S, ROOT_PASSPHRASES, World

tuf_load = trusted_metadata_set._load_from_metadata


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.publish()
    return made


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids of the keys whose signatures were verified."""
    keys: list[str] = []
    verify = SSlibKey.verify_signature

    def counted(key: SSlibKey, *args: Any) -> None:
        keys.append(key.keyid)
        verify(key, *args)

    monkeypatch.setattr(SSlibKey, "verify_signature", counted)
    return keys


def root_of(world: World) -> Root:
    return Metadata[Root].from_bytes((world.home / "tuf" / "metadata" / "1.root.json").read_bytes()).signed


def timestamp_of(world: World) -> bytes:
    return (world.mirror / "metadata" / "timestamp.json").read_bytes()


async def test_a_look_verifies_what_is_new_and_nothing_else(world: World, verified: list[str]) -> None:
    gateway = world.gateway()
    await gateway.refresh()
    verified.clear()
    await gateway.refresh()
    assert verified == []
    world.publish()
    await gateway.refresh()
    roles = root_of(world).roles
    assert verified == [roles[name].keyids[0] for name in ("timestamp", "snapshot", "targets")]
    assert gateway.current().version == 2


async def test_after_a_restart_all_is_verified(world: World, verified: list[str]) -> None:
    await world.gateway().refresh()
    verified.clear()
    await world.gateway().refresh()
    assert len(verified) == len(ROOT_PASSPHRASES) + 3


async def test_what_was_verified_expires_like_everything(world: World) -> None:
    gateway = world.gateway()
    await gateway.refresh()
    world.clock.advance(24 * HOUR_S)
    await gateway.refresh()
    with pytest.raises(DirectoryError):
        gateway.current()
    with pytest.raises(DirectoryError):
        await world.gateway().refresh()


async def test_a_look_leaves_what_was_verified_as_it_was(world: World) -> None:
    gateway = world.gateway()
    await gateway.refresh()
    first = gateway._following._first
    assert first is not None
    known = first._verified._known
    before = [(each.result[0], each.result[0].to_dict()) for each in known]
    root = first._trusted_set.root.to_dict()
    world.publish()
    await gateway.refresh()
    assert [each.result[0] for each in known][: len(before)] == [signed for signed, _ in before]
    assert all(signed.to_dict() == text for signed, text in before)
    assert (first._trusted_set.root.to_dict(), len(first._trusted_set)) == (root, 1)


async def test_what_signed_it_counts_no_more_once_a_new_root_says_so(world: World) -> None:
    gateway = world.gateway()
    await gateway.refresh()
    old = timestamp_of(world)
    world.rotate(online=True)
    world.publish()
    (world.mirror / "metadata" / "timestamp.json").write_bytes(old)
    await gateway.refresh()
    assert gateway.current().version == 1
    assert gateway._complaint.startswith("directory refused: its metadata are not signed by enough of the keys")
    world.copy()
    await gateway.refresh()
    assert gateway.current().version == 2


def test_the_root_is_compared_whole(world: World) -> None:
    known, data = Verified(), timestamp_of(world)
    loaded = known.through(tuf_load)(Timestamp, data, root_of(world))
    assert known.through(tuf_load)(Timestamp, data, root_of(world)) is loaded
    higher = root_of(world)
    higher.roles["timestamp"].threshold = 2
    with pytest.raises(UnsignedMetadataError):
        known.through(tuf_load)(Timestamp, data, higher)
    others = root_of(world)
    others.roles["timestamp"].keyids = others.roles["snapshot"].keyids
    with pytest.raises(UnsignedMetadataError):
        known.through(tuf_load)(Timestamp, data, others)
    another = root_of(world)
    key = another.keys[another.roles["timestamp"].keyids[0]]
    key.keyval["public"] = another.keys[another.roles["snapshot"].keyids[0]].keyval["public"]
    with pytest.raises(UnsignedMetadataError):
        known.through(tuf_load)(Timestamp, data, another)


def test_the_bytes_and_the_role_are_compared_too(world: World) -> None:
    known, data, root = Verified(), timestamp_of(world), root_of(world)
    known.through(tuf_load)(Timestamp, data, root)
    with pytest.raises(RepositoryError):
        known.through(tuf_load)(Snapshot, data, root)
    with pytest.raises(UnsignedMetadataError):
        known.through(tuf_load)(Timestamp, data, root, "targets")
    with pytest.raises(UnsignedMetadataError):
        known.through(tuf_load)(Timestamp, data.replace(b'"version":1', b'"version":2', 1), root)
    with pytest.raises(RepositoryError):
        known.through(tuf_load)(Timestamp, data[:-1], root)


def test_what_was_refused_is_not_remembered_and_no_more_than_so_much_is(world: World) -> None:
    known, root, asked = Verified(), root_of(world), []

    def load(*args: Any) -> Any:
        asked.append(args[1])
        if args[1] == b"refused":
            raise RepositoryError
        return object()

    through = known.through(load)
    for _ in range(2):
        with pytest.raises(RepositoryError):
            through(Timestamp, b"refused", root)
    assert len(asked) == 2
    asked.clear()
    for number in (*range(KNOWN + 1), 0, KNOWN):
        through(Timestamp, b"%d" % number, root)
    assert asked == [*(b"%d" % number for number in range(KNOWN + 1)), b"0"]
    for _ in range(2):
        through(Root, b"root", root)
        through(Timestamp, b"unsigned", None)
    assert asked[-4:] == [b"root", b"unsigned"] * 2


async def test_a_look_that_was_given_up_does_not_put_an_older_version_over_a_newer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = world.gateway()
    await gateway.refresh()
    came, go_on, ended = threading.Event(), threading.Event(), threading.Semaphore(0)
    keep, take = gateway._following.keep, gateway._take_newest

    def slow(fetched: Fetched) -> None:
        if fetched.version == 2:
            came.set()
            assert go_on.wait(30)
        keep(fetched)

    def noted(files: bytes) -> Any:
        try:
            return take(files)
        finally:
            ended.release()

    monkeypatch.setattr(gateway._following, "keep", slow)
    monkeypatch.setattr(gateway, "_take_newest", noted)
    world.publish()
    given_up = asyncio.create_task(gateway.refresh())
    await asyncio.to_thread(came.wait, 30)
    given_up.cancel()
    await asyncio.wait([given_up])
    world.publish()
    later = asyncio.create_task(gateway.refresh())
    await asyncio.wait([later], timeout=0.2)
    go_on.set()
    await later
    for _ in range(2):
        assert await asyncio.to_thread(ended.acquire, timeout=30)
    assert gateway.current().version == 3
    held = json.loads((world.folder / "state-gateway" / KEEPING).read_bytes())
    assert base64.b64decode(held["metadata/timestamp.json"]) == timestamp_of(world)
