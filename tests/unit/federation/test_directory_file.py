"""The directory file: replaced whole, never rolled back, and the old one kept when the new one is bad."""

from __future__ import annotations

import datetime as dt
import json
import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from certs.authority import Authority
from gateway.clock import FakeClock
from gateway.errors import DirectoryError
from gateway.federation.directory import DirectorySource
from gateway.federation.directory_build import sign_directory
from gateway.federation.directory_file import DirectoryFile
from gateway.federation.directory_trust import DirectoryTrust

FEDERATION = "test.wugan.internal"
DAY_S = 86_400


class Desk:
    """An authority that publishes into a folder, and gateways that read there."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.file = folder / "directory.pb"
        self.memory = folder / "seen.json"
        self.authority = Authority.create(folder / "ca", FEDERATION, now=self.now, root_passphrase=b"root")
        self.trust = DirectoryTrust.of(FEDERATION, self.authority.root_pem, [self.authority.directory_public_key.hex()])

    @property
    def now(self) -> dt.datetime:
        return dt.datetime.fromtimestamp(self.clock.now_ms() / 1000, dt.UTC)

    def publish(self, version: int, days: int = 7) -> None:
        self.file.write_bytes(
            sign_directory(
                self.authority,
                [],
                version=version,
                federation=FEDERATION,
                issued_at=self.now,
                expires_at=self.now + dt.timedelta(days=days),
            )
        )

    def gateway(self) -> DirectoryFile:
        return DirectoryFile(self.file, self.trust, self.clock, self.memory)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


async def test_it_is_a_directory_source_and_takes_what_is_published(desk: Desk) -> None:
    desk.publish(1)
    source: DirectorySource = desk.gateway()
    await source.refresh()
    assert source.current().version == 1
    desk.publish(2)
    assert source.current().version == 1
    await source.refresh()
    assert source.current().version == 2


async def test_nothing_is_in_force_before_the_first_reading(desk: Desk) -> None:
    with pytest.raises(DirectoryError, match="no federation directory"):
        desk.gateway().current()


async def test_a_gateway_does_not_start_without_a_directory(desk: Desk) -> None:
    with pytest.raises(DirectoryError):
        await desk.gateway().refresh()
    desk.file.write_bytes(b"nonsense")
    with pytest.raises(DirectoryError):
        await desk.gateway().refresh()


async def test_a_bad_directory_leaves_the_old_one_in_force_and_is_reported_once(desk: Desk) -> None:
    desk.publish(3)
    gateway = desk.gateway()
    await gateway.refresh()
    desk.file.write_bytes(desk.file.read_bytes()[:-1] + b"x")
    with capture_logs() as logs:
        for _ in range(3):
            await gateway.refresh()
    assert gateway.current().version == 3
    assert [log["log_level"] for log in logs] == ["warning"]
    desk.file.unlink()
    with capture_logs() as logs:
        await gateway.refresh()
    assert gateway.current().version == 3
    assert "cannot be read" in logs[0]["reason"]


async def test_a_gateway_recovers_from_a_bad_directory_and_reports_the_next_one(desk: Desk) -> None:
    desk.publish(3)
    gateway = desk.gateway()
    await gateway.refresh()
    for version in (4, 5):
        desk.file.write_bytes(b"nonsense")
        with capture_logs() as logs:
            await gateway.refresh()
        assert len(logs) == 1
        desk.publish(version)
        await gateway.refresh()
        assert gateway.current().version == version


async def test_an_older_directory_is_refused_while_running(desk: Desk) -> None:
    desk.publish(4)
    older = desk.file.read_bytes()
    gateway = desk.gateway()
    desk.publish(5)
    await gateway.refresh()
    desk.file.write_bytes(older)
    await gateway.refresh()
    assert gateway.current().version == 5


async def test_an_older_directory_is_refused_after_a_restart(desk: Desk) -> None:
    desk.publish(4)
    older = desk.file.read_bytes()
    desk.publish(5)
    await desk.gateway().refresh()
    desk.file.write_bytes(older)
    with pytest.raises(DirectoryError, match="rollback"):
        await desk.gateway().refresh()


async def test_another_directory_of_the_same_version_is_refused_after_a_restart(desk: Desk) -> None:
    desk.publish(4)
    await desk.gateway().refresh()
    await desk.gateway().refresh()
    desk.publish(4, days=8)
    with pytest.raises(DirectoryError, match="another directory of this version"):
        await desk.gateway().refresh()


async def test_a_refused_directory_is_not_remembered(desk: Desk) -> None:
    desk.publish(4)
    gateway = desk.gateway()
    await gateway.refresh()
    before = desk.memory.read_bytes()
    desk.publish(9, days=400)
    await gateway.refresh()
    assert desk.memory.read_bytes() == before
    assert json.loads(before)["version"] == 4


async def test_a_directory_that_expires_is_no_longer_given(desk: Desk) -> None:
    desk.publish(1)
    gateway = desk.gateway()
    await gateway.refresh()
    desk.clock.advance(7 * DAY_S - 1)
    assert gateway.current().version == 1
    desk.clock.advance(1)
    with pytest.raises(DirectoryError) as caught:
        gateway.current()
    assert caught.value.code == "DIRECTORY_EXPIRED"
    await gateway.refresh()
    with pytest.raises(DirectoryError):
        gateway.current()
    desk.publish(2)
    await gateway.refresh()
    assert gateway.current().version == 2


@pytest.mark.parametrize(
    "memory", [b"", b"{}", b"[]", b'{"version": "x", "sha256": ""}', b'{"version": 1, "sha256": "x"}']
)
async def test_a_damaged_memory_is_refused_rather_than_forgotten(desk: Desk, memory: bytes) -> None:
    desk.publish(1)
    desk.memory.write_bytes(memory)
    with pytest.raises(DirectoryError, match="damaged"):
        await desk.gateway().refresh()


async def test_a_directory_that_cannot_be_remembered_is_not_used(desk: Desk, tmp_path: Path) -> None:
    desk.publish(1)
    gateway = DirectoryFile(desk.file, desk.trust, desk.clock, tmp_path / "absent" / "seen.json")
    with pytest.raises(DirectoryError, match="cannot be written"):
        await gateway.refresh()
    with pytest.raises(DirectoryError):
        gateway.current()


async def test_a_pipe_in_place_of_the_file_does_not_block(desk: Desk) -> None:
    os.mkfifo(desk.file)
    with pytest.raises(DirectoryError, match="regular"):
        await desk.gateway().refresh()
