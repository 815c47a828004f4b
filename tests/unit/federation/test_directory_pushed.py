"""Files of a directory version that come with the push stream: judged like those fetched, which then are not."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tuf.api.exceptions import DownloadError, DownloadHTTPError
from tuf.ngclient.fetcher import FetcherInterface

from gateway.authority.pushing import files_event
from gateway.errors import DirectoryError
from gateway.federation.directory_fetch import FolderFetcher, PushedFetcher
from gateway.federation.directory_pushed import MAX_EVENT_BYTES, MAX_LINE_BYTES, Pushed
from gateway.federation.directory_stream import Announced
from gateway.federation.directory_tuf import DirectoryTuf
from tests.unit.federation.tuf_world import HOUR_S, World

BASE = "https://authority.example/tuf"


class Network(FetcherInterface):
    """The way to the authority's files, which may be cut; notes what was asked for."""

    def __init__(self) -> None:
        self.cut = False
        self.asked: list[str] = []

    def _fetch(self, url: str) -> Iterator[bytes]:
        self.asked.append(Path(url).name)
        if self.cut:
            raise DownloadError("no way there")
        return FolderFetcher().fetch(url)


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.publish()
    return made


@pytest.fixture
def network() -> Network:
    return Network()


@pytest.fixture
async def gateway(world: World, network: Network) -> DirectoryTuf:
    """One that holds version 1, and from then on cannot fetch."""
    made = world.gateway(fetcher=network)
    await made.refresh()
    assert made.current().version == 1
    network.asked.clear()
    network.cut = True
    return made


def data_of(event: bytes) -> bytes:
    """An event's data as a reader of events puts them together."""
    lines = event.splitlines()
    assert (lines[0], lines[-1]) == (b"event: files", b"")
    return b"\n".join(line.removeprefix(b"data: ") for line in lines[1:-1])


def pushed(world: World, version: int) -> Pushed:
    made = Pushed.of(data_of(files_event(world.home / "tuf", version)))
    assert len(made.files) == 4
    return made


def changed(of: Pushed, name: str, data: bytes) -> Pushed:
    """With another file in place of the one whose name ends like this."""
    (path,) = (path for path in of.files if path.endswith(name))
    return Pushed({**of.files, path: data}, of.newest_root)


async def look(gateway: DirectoryTuf, version: int, files: Pushed) -> int:
    """The version in force after this was told."""
    gateway._note(Announced(version, data_of(files.event())))
    with contextlib.suppress(DirectoryError):
        await gateway.refresh()
    return gateway.current().version


# the form


@pytest.mark.parametrize("length", [0, 1, 2999, 3000, 3001, 700_000])
def test_what_is_sent_is_what_comes(length: int) -> None:
    given = Pushed({"metadata/timestamp.json": b"{}", "targets/a.directory.pb": os.urandom(length)}, 7)
    event = given.event()
    assert len(event) <= MAX_EVENT_BYTES
    assert max(map(len, event.splitlines(keepends=True))) <= MAX_LINE_BYTES
    assert Pushed.of(data_of(event)) == given


def test_what_would_be_too_long_is_not_sent() -> None:
    assert Pushed({"targets/a.directory.pb": bytes(MAX_EVENT_BYTES * 3 // 4)}, 1).event() == b""


def test_a_gateway_that_knows_versions_only_reads_on(world: World) -> None:
    """As the one before read: each line of data by itself."""

    def version(data: bytes) -> int | None:
        with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
            found = json.loads(data)["version"]
            if type(found) is int and found > 0:
                return found
        return None

    event = files_event(world.home / "tuf", 1)
    lines = event.splitlines(keepends=True)
    assert len(lines) > 10
    assert [version(line[5:]) for line in lines if line.startswith(b"data:")] == [None] * (len(lines) - 2)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"[]",
        b"7",
        b'{"version": 7}',
        b'{"root": true, "files": {}}',
        b'{"root": 0, "files": {}}',
        b'{"root": 1, "files": []}',
        b'{"root": 1, "files": {"a": "YQ=="}}',
        b'{"root": 1, "files": {"a": ["!"]}}',
        b'{"root": 1, "files": {"a": [1]}}',
        b'{"root": 1, "files": {' + b",".join(b'"%d": []' % n for n in range(17)) + b"}}",
        b"[" * 100_000,
    ],
)
def test_what_is_of_another_form_is_as_good_as_not_sent(data: bytes) -> None:
    assert Pushed.of(data) == Pushed()


# found at the authority


def test_another_version_than_the_one_in_force_is_not_found(world: World) -> None:
    assert files_event(world.home / "tuf", 2) == b""
    world.publish()
    assert files_event(world.home / "tuf", 1) == b""
    assert pushed(world, 2).newest_root == 1


def test_the_newest_root_is_named(world: World) -> None:
    for _ in range(10):
        world.rotate()
    assert pushed(world, 1).newest_root == 11


@pytest.mark.parametrize("name", ["timestamp.json", "1.snapshot.json", "1.targets.json"])
@pytest.mark.parametrize("data", [b"", b"[]", b'{"signed": {"meta": []}}', None])
def test_where_a_file_is_damaged_or_gone_none_is_found(world: World, name: str, data: bytes | None) -> None:
    path = world.home / "tuf" / "metadata" / name
    path.unlink()
    if data is not None:
        path.write_bytes(data)
    assert files_event(world.home / "tuf", 1) == b""


# fetched from what was pushed


def test_what_did_not_come_is_asked_for_elsewhere(world: World, network: Network) -> None:
    fetcher = PushedFetcher(Pushed({"metadata/timestamp.json": b"came"}, 1), str(world.mirror), network)
    assert fetcher.download_bytes(f"{world.mirror}/metadata/timestamp.json", 10) == b"came"
    assert network.asked == []
    fetcher.download_bytes(f"{world.mirror}/metadata/1.targets.json", 10_000)
    fetcher.download_bytes(f"{world.mirror}/metadata/1.root.json", 10_000)
    assert network.asked == ["1.targets.json", "1.root.json"]
    with pytest.raises(DownloadHTTPError) as refused:
        fetcher.download_bytes(f"{world.mirror}/metadata/2.root.json", 10_000)
    assert refused.value.status_code == 404
    assert len(network.asked) == 2


def test_a_file_that_is_longer_than_it_may_be_is_not_taken() -> None:
    fetcher = PushedFetcher(Pushed({"metadata/timestamp.json": bytes(11)}, 1), BASE, Network())
    with pytest.raises(DownloadError):
        fetcher.download_bytes(f"{BASE}/metadata/timestamp.json", 10)


# at a gateway


async def test_a_version_that_came_whole_is_taken_with_nothing_fetched(
    world: World, gateway: DirectoryTuf, network: Network
) -> None:
    for version in (2, 3):
        world.publish()
        assert await look(gateway, version, pushed(world, version)) == version
    assert network.asked == []
    again = world.gateway(fetcher=network)
    await again.refresh()
    assert again.current().version == 3, "kept like one that was fetched"


FILES = ["timestamp.json", ".snapshot.json", ".targets.json", ".directory.pb"]


@pytest.mark.parametrize("name", FILES)
async def test_a_file_changed_on_the_way_is_refused_and_all_is_fetched(
    world: World, gateway: DirectoryTuf, network: Network, name: str
) -> None:
    world.publish()
    given = pushed(world, 2)
    (honest,) = (data for path, data in given.files.items() if path.endswith(name))
    with capture_logs() as lines:
        assert await look(gateway, 2, changed(given, name, honest[:-9] + b"\0" + honest[-8:])) == 1, (
            "the old one goes on"
        )
        network.cut = False
        assert await look(gateway, 2, changed(given, name, honest[:-9] + b"\0" + honest[-8:])) == 2
    assert "timestamp.json" in network.asked
    assert [line["event"] for line in lines if "pushed" in line["event"]] == ["pushed directory not taken"] * 2


@pytest.mark.parametrize("name", FILES)
async def test_a_file_without_end_is_refused(world: World, gateway: DirectoryTuf, network: Network, name: str) -> None:
    world.publish()
    assert await look(gateway, 2, changed(pushed(world, 2), name, b" " * 400_000)) == 1
    assert network.asked == ["2.root.json"]


async def test_a_rollback_by_push_is_refused(world: World, gateway: DirectoryTuf) -> None:
    old = pushed(world, 1)
    world.publish()
    assert await look(gateway, 2, pushed(world, 2)) == 2
    assert await look(gateway, 3, old) == 2


@pytest.mark.parametrize("name", [".targets.json", ".directory.pb"])
async def test_old_files_among_new_ones_are_refused(world: World, gateway: DirectoryTuf, name: str) -> None:
    (old,) = (data for path, data in pushed(world, 1).files.items() if path.endswith(name))
    world.clock.advance(1)
    world.publish()
    assert await look(gateway, 2, changed(pushed(world, 2), name, old)) == 1


async def test_files_of_another_authority_are_refused(world: World, gateway: DirectoryTuf, tmp_path: Path) -> None:
    stranger = World(tmp_path, "stranger")
    stranger.clock = world.clock
    stranger.publish()
    stranger.publish()
    assert await look(gateway, 2, pushed(stranger, 2)) == 1


async def test_what_is_missing_is_fetched(world: World, gateway: DirectoryTuf, network: Network) -> None:
    world.publish()
    given = pushed(world, 2)
    files = {path: data for path, data in given.files.items() if "targets/" not in path}
    network.cut = False
    assert await look(gateway, 2, Pushed(files, given.newest_root)) == 2
    assert [name.partition(".")[2] for name in network.asked] == ["directory.pb"]


async def test_a_new_root_is_fetched_and_the_rest_is_not(world: World, gateway: DirectoryTuf, network: Network) -> None:
    world.rotate(online=True)
    world.publish()
    network.cut = False
    assert await look(gateway, 2, pushed(world, 2)) == 2
    assert network.asked == ["2.root.json"]


async def test_where_the_new_root_is_not_reached_the_old_directory_goes_on(
    world: World, gateway: DirectoryTuf, network: Network
) -> None:
    world.rotate(online=True)
    world.publish()
    given = pushed(world, 2)
    assert await look(gateway, 2, given) == 1
    assert await look(gateway, 2, Pushed(given.files, 1)) == 1, "signed by keys that the root held does not know"


async def test_a_new_root_that_is_not_named_yet_is_fetched_after_all(
    world: World, gateway: DirectoryTuf, network: Network
) -> None:
    world.rotate(online=True)
    world.publish()
    network.cut = False
    assert await look(gateway, 2, Pushed(pushed(world, 2).files, 1)) == 2


async def test_a_lower_version_is_fetched_not_taken_from_what_was_pushed(
    world: World, gateway: DirectoryTuf, network: Network
) -> None:
    """It is late; or it comes with a new root after a fast-forward."""
    late = pushed(world, 1)
    world.publish()
    assert await look(gateway, 2, pushed(world, 2)) == 2
    network.cut = False
    with capture_logs() as lines:
        assert await look(gateway, 1, late) == 2
    assert network.asked == ["2.root.json", "timestamp.json"]
    assert lines == []


async def test_what_was_pushed_serves_one_look_and_the_next_asks_the_authority(
    world: World, gateway: DirectoryTuf, network: Network
) -> None:
    """Or a gateway that is pushed nothing would never learn that its metadata were renewed."""
    world.publish()
    given = pushed(world, 2)
    assert await look(gateway, 2, given) == 2
    expires_at_ms = gateway.current().expires_at_ms
    world.clock.advance(HOUR_S)
    world.repository.renew_timestamp(world.now)
    world.copy()
    network.cut = False
    assert await look(gateway, 2, given) == 2
    assert "timestamp.json" in network.asked
    assert gateway.current().expires_at_ms == expires_at_ms + HOUR_S * 1000


async def test_what_is_held_already_under_a_higher_number_keeps_nobody_from_asking(
    world: World, gateway: DirectoryTuf, network: Network
) -> None:
    held = pushed(world, 1)
    world.publish()
    network.cut = False
    assert await look(gateway, 99, held) == 1
    await gateway.refresh()
    assert gateway.current().version == 2


async def test_metadata_that_have_expired_are_refused(world: World, gateway: DirectoryTuf, network: Network) -> None:
    world.publish()
    given = pushed(world, 2)
    world.clock.advance(25 * HOUR_S)
    gateway._note(Announced(2, data_of(given.event())))
    await gateway.refresh()
    with pytest.raises(DirectoryError, match="expired"):
        gateway.current()
    assert network.asked == ["2.root.json"]


class Told:
    """A stream that says what the test says."""

    def __init__(self) -> None:
        self.ready = asyncio.Event()

    async def follow(self, announced: object) -> None:
        self.say = announced
        self.ready.set()
        await asyncio.Event().wait()


async def test_who_waits_for_a_version_and_who_follows_look_once_between_them(
    world: World, gateway: DirectoryTuf, network: Network
) -> None:
    told = Told()
    following = asyncio.create_task(gateway.follow(3600, told))  # type: ignore[arg-type]
    await told.ready.wait()
    world.publish()
    told.say(Announced(2, data_of(pushed(world, 2).event())))  # type: ignore[operator]
    await gateway.refresh(2)
    await gateway.refresh(2)  # its turn is behind that of the one that follows
    assert (gateway.current().version, network.asked) == (2, [])
    world.publish()
    changed: asyncio.Queue[int] = asyncio.Queue()
    gateway.subscribe(lambda: changed.put_nowait(gateway.current().version))
    told.say(Announced(3, data_of(pushed(world, 3).event())))  # type: ignore[operator]
    assert await asyncio.wait_for(changed.get(), 20) == 3
    assert network.asked == []
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def test_a_state_folder_that_was_removed_does_not_make_what_was_pushed_worth_more(
    world: World, gateway: DirectoryTuf, network: Network
) -> None:
    old = pushed(world, 1)
    world.publish()
    assert await look(gateway, 2, pushed(world, 2)) == 2
    shutil.rmtree(world.folder / "state-gateway")
    assert await look(gateway, 3, old) == 2, "what is in force counts as seen"
