"""The directory by TUF as a gateway lives with it: taken, kept, followed, and what happens with the authority gone."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import shutil
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from tuf.api.exceptions import DownloadError
from tuf.ngclient.fetcher import FetcherInterface

from gateway.errors import DirectoryError
from gateway.federation import directory_tuf, directory_updater
from gateway.federation.directory import DirectorySource
from gateway.federation.directory_fetch import FolderFetcher
from gateway.federation.directory_kept import KEEPING
from gateway.federation.directory_stream import Announced, _version
from gateway.federation.directory_tuf import DirectoryTuf
from tests.unit.federation.tuf_world import HOUR_S, Thief, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.publish()
    return made


class Unreachable(FetcherInterface):
    """A network that may be cut; counts what was asked for."""

    def __init__(self) -> None:
        self.cut = True
        self.asked = 0

    def _fetch(self, url: str) -> Iterator[bytes]:
        self.asked += 1
        if self.cut:
            raise DownloadError("no way there")
        return FolderFetcher().fetch(url)


async def test_it_is_a_directory_source_and_takes_what_is_published(world: World) -> None:
    source: DirectorySource = world.gateway()
    await source.refresh()
    assert source.current().version == 1
    world.publish()
    assert source.current().version == 1
    await source.refresh()
    assert source.current().version == 2


async def test_nothing_is_in_force_before_the_first_look(world: World) -> None:
    with pytest.raises(DirectoryError, match="no federation directory"):
        world.gateway().current()


async def test_a_gateway_does_not_start_without_a_directory(world: World, tmp_path: Path) -> None:
    with pytest.raises(DirectoryError) as caught:
        await world.gateway(fetcher=Unreachable()).refresh()
    assert caught.value.retryable
    with pytest.raises(DirectoryError, match="TUF"):
        await world.gateway(root=b"{}").refresh()


async def test_one_look_more_costs_no_judging_and_makes_no_other_directory(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = world.gateway()
    await gateway.refresh()
    before = gateway.current()
    monkeypatch.setattr(directory_tuf.DirectoryTrust, "verify", None)
    await gateway.refresh()
    assert gateway.current() is before


async def test_nothing_is_looked_for_where_the_version_wanted_is_held(world: World) -> None:
    network = Unreachable()
    network.cut = False
    gateway = world.gateway(fetcher=network)
    await gateway.refresh()
    asked = network.asked
    world.publish()
    await gateway.refresh(1)
    assert (gateway.current().version, network.asked) == (1, asked)
    await asyncio.gather(gateway.refresh(2), gateway.refresh(2))
    assert gateway.current().version == 2
    assert network.asked == asked + 5, "next root, timestamp, snapshot, targets, directory; once"


async def test_a_renewed_timestamp_lengthens_the_life_of_the_directory(world: World) -> None:
    gateway = world.gateway()
    await gateway.refresh()
    first = gateway.current().expires_at_ms
    world.clock.advance(HOUR_S)
    world.repository.renew_timestamp(world.now)
    world.copy()
    await gateway.refresh()
    assert gateway.current().expires_at_ms == first + HOUR_S * 1000
    assert gateway.current().version == 1


async def test_the_directorys_own_expiry_counts_as_well(world: World) -> None:
    repository = world.repository
    soon = world.now.replace(microsecond=0)
    repository.publish(
        lambda version, _: world.content(version, soon.fromtimestamp(soon.timestamp() + 60, soon.tzinfo)), world.now
    )
    world.copy()
    gateway = world.gateway()
    await gateway.refresh()
    world.clock.advance(61)
    with pytest.raises(DirectoryError):
        gateway.current()


# the authority is gone


async def test_with_the_authority_gone_the_directory_goes_on_with_a_warning_until_it_expires(world: World) -> None:
    network = Unreachable()
    network.cut = False
    gateway = world.gateway(fetcher=network)
    await gateway.refresh()
    network.cut = True
    with capture_logs() as logs:
        for _ in range(3):
            await gateway.refresh()
    assert gateway.current().version == 1
    assert [(log["log_level"], log["event"]) for log in logs] == [("warning", "directory held goes on")]
    assert 0 < logs[0]["left_s"] <= 24 * HOUR_S
    world.clock.advance(24 * HOUR_S)
    with capture_logs() as logs:
        await gateway.refresh()
    assert [log["log_level"] for log in logs] == ["error"]
    with pytest.raises(DirectoryError) as caught:
        gateway.current()
    assert caught.value.code == "DIRECTORY_EXPIRED"
    network.cut = False
    world.publish()
    await gateway.refresh()
    assert gateway.current().version == 2


async def test_a_gateway_restarts_while_the_authority_is_gone(world: World) -> None:
    await world.gateway().refresh()
    again = world.gateway(fetcher=Unreachable())
    await again.refresh()
    assert again.current().version == 1
    world.clock.advance(24 * HOUR_S)
    with pytest.raises(DirectoryError):
        await world.gateway(fetcher=Unreachable()).refresh()


@pytest.mark.parametrize("files", range(3))
async def test_killed_between_the_files_of_a_version_it_has_a_directory_when_the_authority_is_gone(
    world: World, monkeypatch: pytest.MonkeyPatch, files: int
) -> None:
    gateway = world.gateway()
    await gateway.refresh()
    world.publish()
    replace, kept = Path.replace, []

    def killed(path: Path, target: Path) -> Path:
        if target.name in (KEEPING, "timestamp.json"):
            if len(kept) == files:
                raise RuntimeError("killed")
            kept.append(target)
        return replace(path, target)

    with monkeypatch.context() as patched, contextlib.suppress(RuntimeError):
        patched.setattr(Path, "replace", killed)
        await gateway.refresh()
    assert len(kept) == files
    again = world.gateway(fetcher=Unreachable())
    await again.refresh()
    assert again.current().version == (2 if files else 1)
    await again.refresh()
    world.publish()
    back = world.gateway()
    await back.refresh()
    assert back.current().version == 3


async def test_a_folder_that_was_removed_is_there_again_after_the_next_look(world: World) -> None:
    gateway = world.gateway()
    await gateway.refresh()
    shutil.rmtree(world.folder / "state-gateway")
    await gateway.refresh()
    assert (world.folder / "state-gateway" / "metadata" / "root.json").read_bytes() == world.root
    again = world.gateway(fetcher=Unreachable())
    await again.refresh()
    assert again.current().version == 1


async def test_killed_between_them_the_newer_one_is_shown_again_to_people_too(world: World) -> None:
    await world.gateway().refresh()
    shown = world.folder / "state-gateway" / "metadata" / "timestamp.json"
    old = shown.read_bytes()
    world.publish()
    await world.gateway().refresh()
    new = shown.read_bytes()
    shown.write_bytes(old)
    again = world.gateway(fetcher=Unreachable())
    await again.refresh()
    assert again.current().version == 2
    assert shown.read_bytes() == new != old


def as_before(state: Path) -> None:
    """The folder as programs of before left it."""
    for name, data in json.loads((state / KEEPING).read_bytes()).items():
        (state / name).write_bytes(base64.b64decode(data))
    (state / KEEPING).unlink()


async def test_what_a_program_of_before_kept_counts(world: World) -> None:
    await world.gateway().refresh()
    first = world.saved()
    world.publish()
    await world.gateway().refresh()
    state = world.folder / "state-gateway"
    as_before(state)
    again = world.gateway(fetcher=Unreachable())
    await again.refresh()
    assert again.current().version == 2
    assert sorted(path.name for path in state.rglob("*.*") if path.is_file() and "root" not in path.name) == [
        KEEPING,
        "timestamp.json",
    ]
    as_before(state)
    world.play_back(first)
    rolled_back = world.gateway()
    await rolled_back.refresh()
    assert rolled_back.current().version == 2
    world.copy()
    world.publish()
    await rolled_back.refresh()
    assert rolled_back.current().version == 3


async def test_a_version_is_on_the_disk_before_it_is_in_force_and_costs_two_waits_for_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = world.gateway()
    await gateway.refresh()
    world.publish()
    state, synced, fsync = world.folder / "state-gateway", [], os.fsync

    def noted(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        synced.append((name.split(".")[1] if "." in name else name, gateway.current().version))
        fsync(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", noted)
        await gateway.refresh()
    assert synced == [("keeping", 1), (state.name, 1)]
    assert gateway.current().version == 2


async def test_after_fast_forward_what_was_before_cannot_come_back_with_a_power_cut(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = world.gateway()
    await gateway.refresh()
    Thief(world, world.folder / "thief").attack()
    await gateway.refresh()
    world.rotate(online=True)
    world.publish()
    synced, fsync = [], os.fsync

    def noted(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name.split(".")[1:3])
        fsync(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", noted)
        await gateway.refresh()
    assert gateway.current().version == 2
    assert ["timestamp", "json"] in synced


@pytest.mark.parametrize("count", range(5))
async def test_what_a_program_of_before_was_just_putting_in_place_counts_with_what_is_there(
    world: World, count: int
) -> None:
    await world.gateway().refresh()
    state = world.folder / "state-gateway"
    told = json.loads((state / KEEPING).read_bytes())
    as_before(state)
    (state / KEEPING).write_text(json.dumps({name: told[name] for name in [*told][:count]}))
    for name in [*told][1:count]:
        (state / name).unlink()
    again = world.gateway(fetcher=Unreachable())
    await again.refresh()
    assert again.current().version == 1


async def test_what_a_kill_left_long_ago_does_not_take_a_newer_directory_back(world: World) -> None:
    await world.gateway().refresh()
    state = world.folder / "state-gateway"
    left = (state / KEEPING).read_bytes()
    world.publish()
    await world.gateway().refresh()
    as_before(state)
    timestamp = (state / "metadata" / "timestamp.json").read_bytes()
    (state / KEEPING).write_bytes(left)
    again = world.gateway(fetcher=Unreachable())
    await again.refresh()
    assert again.current().version == 2
    (state / "metadata" / "snapshot.json").unlink()
    with pytest.raises(DirectoryError):
        await world.gateway(fetcher=Unreachable()).refresh()
    assert (state / "metadata" / "timestamp.json").read_bytes() == timestamp


@pytest.mark.parametrize(
    "noise", [b"", b"{}", b"[]", b'{"metadata/timestamp.json": "!"}', b'{"../x": "eA=="}', b"\xff"]
)
async def test_noise_in_place_of_what_a_kill_left_does_not_hinder(world: World, noise: bytes) -> None:
    await world.gateway().refresh()
    state = world.folder / "state-gateway"
    (state / KEEPING).write_bytes(noise)
    with pytest.raises(DirectoryError):
        await world.gateway(fetcher=Unreachable()).refresh()
    assert not (world.folder / "x").exists()
    again = world.gateway()
    await again.refresh()
    assert again.current().version == 1


async def test_what_is_on_the_disk_is_judged_again_at_a_restart(world: World) -> None:
    await world.gateway().refresh()
    held = world.folder / "state-gateway" / KEEPING
    told = json.loads(held.read_bytes())
    data = base64.b64decode(told["targets/directory.pb"]) + b"x"
    held.write_text(json.dumps({**told, "targets/directory.pb": base64.b64encode(data).decode()}))
    with pytest.raises(DirectoryError):
        await world.gateway(fetcher=Unreachable()).refresh()
    again = world.gateway()
    await again.refresh()
    assert again.current().version == 1


# bad content under good signatures


async def test_a_directory_that_breaks_the_rule_leaves_the_old_one_in_force_and_is_reported_once(world: World) -> None:
    gateway = world.gateway()
    await gateway.refresh()
    world.publish(federation="another.example")
    with capture_logs() as logs:
        for _ in range(3):
            await gateway.refresh()
    assert gateway.current().version == 1
    assert [(log["log_level"], "another federation" in log["reason"]) for log in logs] == [("error", True)]
    world.publish()
    await gateway.refresh()
    assert gateway.current().version == 3


async def test_a_directory_kept_instead_of_a_bad_one_still_expires(world: World) -> None:
    gateway = world.gateway()
    await gateway.refresh()
    world.publish(federation="another.example")
    world.clock.advance(23 * HOUR_S)
    world.repository.renew_timestamp(world.now)
    world.copy()
    await gateway.refresh()
    world.clock.advance(HOUR_S)
    with pytest.raises(DirectoryError):
        gateway.current()


def without_its_file(world: World) -> None:
    """A mirror that is copied from the top: the metadata have arrived, the directory has not."""
    [old] = (world.mirror / "targets").iterdir()
    world.publish()
    for path in (world.mirror / "targets").iterdir():
        if path.name != old.name:
            path.unlink()


def with_old_files(world: World) -> None:
    [old] = [path.read_bytes() for path in (world.mirror / "targets").iterdir()]
    world.clock.advance(1)
    world.publish()
    for path in (world.mirror / "targets").iterdir():
        path.write_bytes(old)


def with_old_targets(world: World) -> None:
    world.publish()
    shutil.copy(world.mirror / "metadata" / "1.targets.json", world.mirror / "metadata" / "2.targets.json")


def with_an_old_snapshot(world: World) -> None:
    world.publish()
    shutil.copy(world.mirror / "metadata" / "1.snapshot.json", world.mirror / "metadata" / "2.snapshot.json")


def breaking_the_rule(world: World) -> None:
    world.publish(federation="another.example")


@pytest.mark.parametrize(
    "spoiled", [without_its_file, with_old_files, with_old_targets, with_an_old_snapshot, breaking_the_rule]
)
async def test_what_cannot_be_taken_whole_leaves_the_old_one_in_force_over_a_restart_too(
    world: World, spoiled: Callable[[World], None]
) -> None:
    gateway = world.gateway()
    await gateway.refresh()
    spoiled(world)
    await gateway.refresh()
    assert gateway.current().version == 1
    again = world.gateway()
    await again.refresh()
    assert again.current().version == 1
    alone = world.gateway(fetcher=Unreachable())
    await alone.refresh()
    assert alone.current().version == 1
    world.clock.advance(24 * HOUR_S)
    with pytest.raises(DirectoryError):
        await world.gateway().refresh()
    world.publish()
    await again.refresh()
    assert again.current().version == 3


async def test_a_directory_that_is_not_believed_is_fetched_once(world: World) -> None:
    network = Unreachable()
    network.cut = False
    gateway = world.gateway(fetcher=network)
    await gateway.refresh()
    breaking_the_rule(world)
    await gateway.refresh()
    asked = network.asked
    await gateway.refresh()
    assert network.asked == asked + 4, "next root, timestamp, snapshot, targets"


def played_back(world: World) -> None:
    world.play_back(world.folder / "first")


def anothers(world: World) -> None:
    stranger = World(world.folder, "stranger")
    stranger.publish()
    world.play_back(stranger.mirror)


@pytest.mark.parametrize(
    ("spoiled", "en", "zh"),
    [
        (played_back, "`wugan authority publish --above`", "`wugan authority publish --above`"),
        (with_old_files, "copy the mirror again", "请重新完整复制镜像"),
        (anothers, "compare root.json", "请与管理机构核对 root.json"),
    ],
)
async def test_what_is_refused_is_said_in_words_with_what_to_do(
    world: World, spoiled: Callable[[World], None], en: str, zh: str
) -> None:
    shutil.copytree(world.mirror, world.folder / "first")
    gateway = world.gateway()
    if spoiled is played_back:
        world.publish()
    await gateway.refresh()
    spoiled(world)
    with capture_logs() as logs:
        await gateway.refresh()
    [reason] = [log["reason"] for log in logs]
    assert en in reason
    (world.folder / "state-gateway" / KEEPING).unlink()
    with pytest.raises(DirectoryError) as caught:
        await world.gateway().refresh()
    assert (caught.value.en, zh in caught.value.zh) == (reason, True)


async def test_metadata_without_a_directory_are_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory_updater, "TARGET", "another.pb")
    with pytest.raises(DirectoryError, match="names no directory"):
        await world.gateway().refresh()


async def test_a_directory_announced_as_too_large_is_not_fetched(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory_updater, "MAX_DIRECTORY_BYTES", 4)
    with pytest.raises(DirectoryError, match="too large"):
        await world.gateway().refresh()
    assert not list((world.folder / "state-gateway" / "targets").iterdir())


# what is kept


async def test_what_is_kept_is_private(world: World) -> None:
    await world.gateway().refresh()
    state = world.folder / "state-gateway"
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    kept = [*state.rglob("*.json"), *(state / "targets").iterdir()]
    assert sorted(path.name for path in kept) == ["1.root.json", KEEPING, "root.json", "timestamp.json"]
    for path in kept:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


async def test_a_state_folder_that_cannot_be_used_is_an_error_of_ours(world: World) -> None:
    (world.folder / "state-gateway").write_text("in the way")
    with pytest.raises(DirectoryError, match="cannot be kept"):
        await world.gateway().refresh()


@pytest.mark.parametrize("name", ["timestamp.json", "snapshot.json", "targets.json"])
@pytest.mark.parametrize("before", [False, True])
async def test_damaged_metadata_are_fetched_anew(world: World, name: str, before: bool) -> None:
    await world.gateway().refresh()
    state = world.folder / "state-gateway"
    if before:
        as_before(state)
    else:
        told = json.loads((state / KEEPING).read_bytes())
        (state / KEEPING).write_text(json.dumps({**told, f"metadata/{name}": base64.b64encode(b"{}").decode()}))
    if before or name == "timestamp.json":
        (state / "metadata" / name).write_bytes(b"{}")
    with pytest.raises(DirectoryError):
        await world.gateway(fetcher=Unreachable()).refresh()
    gateway = world.gateway()
    await gateway.refresh()
    assert gateway.current().version == 1


async def test_a_pipe_in_place_of_a_file_of_the_mirror_does_not_block(world: World) -> None:
    timestamp = world.mirror / "metadata" / "timestamp.json"
    timestamp.unlink()
    os.mkfifo(timestamp)
    with pytest.raises(DirectoryError):
        await world.gateway().refresh()


# following


class Told:
    """A stream that says what the test says."""

    def __init__(self) -> None:
        self.say: Callable[[int], None] = lambda _: None
        self.ready = asyncio.Event()

    async def follow(self, announced: Callable[[Announced], None]) -> None:
        self.say = lambda version: announced(Announced(version))
        self.ready.set()
        await asyncio.Event().wait()


@pytest.fixture
async def following() -> AsyncIterator[Callable[..., asyncio.Task[None]]]:
    tasks: list[asyncio.Task[None]] = []

    def follow(gateway: DirectoryTuf, every_s: float, stream: Any = None) -> asyncio.Task[None]:
        tasks.append(asyncio.create_task(gateway.follow(every_s, stream)))
        return tasks[-1]

    yield follow
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def changes(gateway: DirectoryTuf) -> asyncio.Queue[int]:
    """The version in force at each change."""
    queue: asyncio.Queue[int] = asyncio.Queue()
    gateway.subscribe(lambda: queue.put_nowait(gateway.current().version))
    return queue


async def test_an_announced_version_is_taken_at_once(world: World, following: Any) -> None:
    gateway, told = world.gateway(), Told()
    await gateway.refresh()
    queue = changes(gateway)
    following(gateway, 3600, told)
    await told.ready.wait()
    world.publish()
    told.say(2)
    assert await asyncio.wait_for(queue.get(), 10) == 2


async def test_an_announcement_is_not_believed_only_looked_after(world: World, following: Any) -> None:
    gateway, told = world.gateway(), Told()
    await gateway.refresh()
    following(gateway, 3600, told)
    await told.ready.wait()
    told.say(99)
    await asyncio.sleep(0)
    assert gateway.current().version == 1


async def test_without_a_stream_it_is_polled(world: World, following: Any) -> None:
    gateway = world.gateway()
    await gateway.refresh()
    queue = changes(gateway)
    following(gateway, 0.01)
    world.publish()
    assert await asyncio.wait_for(queue.get(), 10) == 2


async def test_after_a_failure_it_is_tried_again_before_the_next_poll_is_due(world: World, following: Any) -> None:
    network, told = Unreachable(), Told()
    network.cut = False
    gateway = world.gateway(fetcher=network)
    await gateway.refresh()
    queue = changes(gateway)
    world.publish()
    network.cut = True
    asked = network.asked
    following(gateway, 3600, told)
    await told.ready.wait()
    told.say(2)
    while network.asked == asked:
        await asyncio.sleep(0)
    network.cut = False
    assert await asyncio.wait_for(queue.get(), 10) == 2


async def test_subscribers_are_told_when_the_directory_has_expired(world: World) -> None:
    network = Unreachable()
    network.cut = False
    gateway = world.gateway(fetcher=network)
    await gateway.refresh()
    told: list[str] = []

    def changed() -> None:
        try:
            gateway.current()
        except DirectoryError as error:
            told.append(error.code)

    gateway.subscribe(changed)
    network.cut = True
    await gateway.refresh()
    assert told == []
    world.clock.advance(25 * HOUR_S)
    await gateway.refresh()
    assert told == ["DIRECTORY_EXPIRED"]


@pytest.mark.parametrize(
    ("data", "version"),
    [
        (b'{"version": 7}', 7),
        (b'{"version": 0}', None),
        (b'{"version": true}', None),
        (b'{"version": "7"}', None),
        (b"[]", None),
        (b"", None),
        (b"\xff", None),
        (b"[" * 4000, None),
    ],
)
def test_an_event_that_is_none_is_passed_over(data: bytes, version: int | None) -> None:
    assert _version(data) == version
