"""What people alone renew is told of in time: before the whole federation stops with it."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging

import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs

from gateway import clock as clocks
from gateway.authority import ending, service
from gateway.authority.ending import endings
from gateway.authority.service import DirectoryService
from gateway.cli import main
from gateway.errors import DirectoryError
from tests.unit.authority.authority_world import World
from tests.unit.federation.tuf_world import HOUR_S, ROOT_PASSPHRASES

NOW = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
YEAR = 365 * DAY
DAY_S = 24 * HOUR_S


@pytest.mark.parametrize(
    ("root", "issuing", "anchor", "told"),
    [
        (61, 181, 401, []),
        (59, 181, 401, ["root of the directory"]),
        (61, 179, 401, ["issuing CA issuing-3"]),
        (61, 181, 399, ["root of certificates"]),
        (-1, -1, -1, ["root of the directory", "issuing CA issuing-3", "root of certificates"]),
    ],
)
def test_each_is_told_of_in_time(root: int, issuing: int, anchor: int, told: list[str]) -> None:
    found = endings(NOW, NOW + root * DAY, YEAR, ("issuing-3", NOW + issuing * DAY), NOW + anchor * DAY)
    assert [name for name, each in zip(told, found, strict=True) if name in each.en] == told
    for each in found:
        assert each.over == (root < 0)
        assert not each.zh.isascii()
        assert "wugan authority" in each.zh or "证书根" in each.zh


def test_of_a_root_that_lives_for_days_only_it_is_told_at_its_end() -> None:
    far = NOW + 10 * YEAR
    assert endings(NOW, NOW + 2 * DAY, 6 * DAY, ("issuing", far), far) == ()
    assert len(endings(NOW, NOW + DAY / 2, 6 * DAY, ("issuing", far), far)) == 1


async def told_by_the_service(world: World) -> list[tuple[str, str]]:
    with capture_logs() as lines:
        async with DirectoryService(world.office, world.clock):
            for _ in range(50):
                await asyncio.sleep(0.01)
    return [(line["log_level"], line["reason"]) for line in lines if line["event"] == "needs an administrator"]


async def test_the_service_says_it_in_its_log(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    assert await told_by_the_service(world) == []
    world.clock.advance(310 * DAY_S)
    [(level, reason)] = await told_by_the_service(world)
    assert level == "warning"
    assert "wugan authority root rotate" in reason
    world.clock.advance(60 * DAY_S)
    [(level, _)] = await told_by_the_service(world)
    assert level == "error"


async def test_a_fault_in_telling_it_does_not_keep_metadata_from_being_renewed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(type(world.office), "endings", fault)
    monkeypatch.setattr(service, "UPKEEP_S", 0.02)
    async with DirectoryService(world.office, world.clock):
        world.clock.advance(13 * HOUR_S)
        for _ in range(100):
            await asyncio.sleep(0.02)
            if not any(world.office._repository.due(world.now)):
                break
        else:
            pytest.fail("not renewed")


@pytest.mark.parametrize(
    ("language", "word"), [("en", "the root of the directory ends"), ("zh", "目录根元数据即将到期")]
)
def test_every_command_says_it_and_a_new_root_ends_it(
    world: World, monkeypatch: pytest.MonkeyPatch, language: str, word: str
) -> None:
    monkeypatch.setenv("WUGAN_LANG", language)
    monkeypatch.setattr(clocks, "SystemClock", lambda: world.clock)
    world.office.upkeep()
    ran = CliRunner().invoke(main, ["authority", "member", "list", "--dir", str(world.home)])
    assert ran.exit_code == 0
    assert word not in ran.stderr
    world.clock.advance(310 * DAY_S)
    ran = CliRunner().invoke(main, ["authority", "member", "list", "--json", "--dir", str(world.home)])
    assert ran.exit_code == 0
    assert word in ran.stderr
    assert word not in ran.stdout
    world.office.rotate_root(list(zip(world.office.root_keys(), ROOT_PASSPHRASES, strict=True)), [], None)
    ran = CliRunner().invoke(main, ["authority", "member", "list", "--dir", str(world.home)])
    assert ran.exit_code == 0
    assert word not in ran.stderr


@pytest.mark.parametrize(("language", "word"), [("en", "clock is behind"), ("zh", "时钟偏慢")])
async def test_a_clock_that_is_behind_is_told_of(
    world: World, monkeypatch: pytest.MonkeyPatch, language: str, word: str
) -> None:
    """What is published by it has expired at the gateways, and nothing else would tell."""
    world.clock.advance(HOUR_S)
    world.office.upkeep()
    right = world.clock.now_ms()
    world.clock._now_ms = right - 60_000
    assert world.office.endings() == ()
    world.clock._now_ms = right - 40 * 3_600_000
    world.office.upkeep()
    monkeypatch.setenv("WUGAN_LANG", language)
    monkeypatch.setattr(clocks, "SystemClock", lambda: world.clock)
    ran = await asyncio.to_thread(CliRunner().invoke, main, ["authority", "publish", "--dir", str(world.home)])
    assert ran.exit_code == 0
    assert word in ran.stderr
    [(level, reason)] = await told_by_the_service(world)
    assert (level, "clock is behind" in reason) == ("error", True)
    world.clock._now_ms = right
    assert world.office.upkeep()
    assert world.office.endings() == ()
    assert (await world.directory()).expires_at_ms > right


async def test_a_gateway_says_that_it_is_the_root_and_who_is_to_renew_it(world: World) -> None:
    reader = world.reader()
    world.clock.advance(366 * DAY_S)
    world.office.publish()
    with pytest.raises(DirectoryError) as caught:
        await reader.refresh()
    assert "its root has expired" in caught.value.en
    assert "wugan authority root rotate" in caught.value.zh


async def test_of_other_metadata_it_does_not_say_so(world: World) -> None:
    reader = world.reader()
    world.clock.advance(40 * DAY_S)
    with pytest.raises(DirectoryError) as caught:
        await reader.refresh()
    assert "root" not in caught.value.en


def test_a_life_that_is_told_of_fits_into_the_life(world: World) -> None:
    assert world.office.settings.life.lives().root / 6 >= ending.ROOT_TOLD
