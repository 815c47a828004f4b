"""Whether all partners work with a directory, and that one that is gone holds no rotation up for ever."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio

from certs.errors import RotationError
from certs.rotation import Seen
from certs.rotation_rules import Policy, may_settle
from gateway.federation.authority_client import Partnership
from gateway.federation.directory_tuf import DirectoryTuf
from tests.unit.authority.authority_world import ANHUI, JINHUA, ZHEJIANG, World

HOUR_S = 3600.0
DAY_MS = 86_400_000


class Told:
    """The authority, as far as it is asked who works with which version."""

    def __init__(self) -> None:
        self.versions: dict[str, int] = {}
        self.reported: list[int] = []

    async def report_seen(self, version: int) -> Mapping[str, int]:
        self.reported.append(version)
        return self.versions


class Federation:
    """Three members and their authority; ours is Zhejiang's gateway."""

    def __init__(self, folder: Path) -> None:
        self.world = World(folder / "authority")
        self.told = Told()
        self.world.office.add(
            self.world.entry(ZHEJIANG),
            self.world.entry(ANHUI, self.world.keys_of(ANHUI), region=340000),
            self.world.entry(JINHUA, self.world.keys_of(JINHUA), region=330700),
        )
        self.directory = self.world.reader()
        self.partnership = self.restarted(self.directory)

    def restarted(self, directory: DirectoryTuf) -> Partnership:
        return Partnership(cast(Any, self.told), directory, ZHEJIANG)

    def all_but_jinhua_see(self, version: int) -> None:
        self.told.versions = {ZHEJIANG: version, ANHUI: version, JINHUA: 1}

    async def after(self, hours: float) -> None:
        """Time goes by; the authority keeps its metadata fresh, the gateway follows."""
        self.world.clock.advance(hours * HOUR_S)
        self.world.office.upkeep()
        await self.directory.refresh()

    @property
    def now_ms(self) -> int:
        return self.world.clock.now_ms()


@pytest_asyncio.fixture
async def federation(tmp_path: Path) -> AsyncIterator[Federation]:
    made = Federation(tmp_path)
    await made.directory.refresh()
    yield made
    made.world.office.close()


async def test_a_version_is_everywhere_when_every_other_member_works_with_it_or_a_later_one(
    federation: Federation,
) -> None:
    version = federation.world.office.publish()
    federation.told.versions = {ANHUI: version, JINHUA: version - 1}
    assert not (await federation.partnership.seen(version)).everywhere
    federation.told.versions = {ANHUI: version, JINHUA: version + 1}
    assert (await federation.partnership.seen(version)).everywhere
    assert federation.told.reported[-1] == version, "and that we do was told with it"


async def test_a_member_that_never_said_a_word_counts_as_absent(federation: Federation) -> None:
    version = federation.world.office.publish()
    federation.told.versions = {ANHUI: version}
    assert not (await federation.partnership.seen(version)).everywhere


async def test_a_member_that_was_revoked_or_has_not_enrolled_yet_holds_nobody_up(federation: Federation) -> None:
    office = federation.world.office
    [key] = (await federation.world.directory()).member(JINHUA).signing_keys
    office.revoke_key(key, reason=1)
    version = office.publish()
    federation.told.versions = {ANHUI: version, JINHUA: 1}
    assert (await federation.partnership.seen(version)).everywhere
    federation.told.versions = {ANHUI: 1, JINHUA: 1}
    assert not (await federation.partnership.seen(version)).everywhere


async def test_an_absent_partner_is_waited_for_until_what_it_can_hold_has_expired_and_no_longer(
    federation: Federation,
) -> None:
    await federation.after(1)
    version = federation.world.office.publish()
    federation.all_but_jinhua_see(version)
    first = await federation.partnership.seen(version)
    assert first.everywhere is False
    assert first.older_end_ms is not None
    older_at_most = federation.now_ms + DAY_MS
    assert federation.now_ms < first.older_end_ms <= older_at_most, "a day is the life of a timestamp"
    settled_after_h = None
    for hour in range(1, 73):
        await federation.after(1)
        seen = await federation.partnership.seen(version)
        assert seen == Seen(False, first.older_end_ms), "timestamps are renewed for ever; the bound does not move"
        if settled_after_h is None and may_settle(0, seen.older_end_ms, Policy(), federation.now_ms):
            settled_after_h = hour
    assert settled_after_h == 24


async def test_the_bound_is_never_before_the_end_of_anything_held_before(federation: Federation) -> None:
    """Where lives were shortened, older directories outlive this one."""
    older_end_ms = federation.directory.current().expires_at_ms
    settings = federation.world.home / "authority.toml"
    settings.write_text(settings.read_text("utf-8") + "\n[life]\ntimestamp_h = 1.0\n", "utf-8")
    from gateway.authority.office import Office

    shortened = Office(federation.world.home, federation.world.clock)
    version = shortened.publish()
    shortened.close()
    seen = await federation.partnership.seen(version)
    assert federation.directory.current().expires_at_ms < older_end_ms
    assert seen.older_end_ms == older_end_ms


async def test_every_version_has_a_bound_of_its_own(federation: Federation) -> None:
    first = await federation.partnership.seen(federation.world.office.publish())
    await federation.after(5)
    second = await federation.partnership.seen(federation.world.office.publish())
    assert first.older_end_ms is not None
    assert second.older_end_ms is not None
    assert second.older_end_ms - first.older_end_ms == 5 * HOUR_S * 1000


async def test_after_a_restart_the_bound_is_later_but_still_there(federation: Federation) -> None:
    version = federation.world.office.publish()
    first = await federation.partnership.seen(version)
    await federation.after(13)
    federation.partnership = federation.restarted(federation.directory)
    again = await federation.partnership.seen(version)
    assert first.older_end_ms is not None
    assert again.older_end_ms is not None
    assert first.older_end_ms < again.older_end_ms <= federation.now_ms + DAY_MS
    await federation.after(13)
    assert await federation.partnership.seen(version) == again


async def test_of_a_version_that_is_not_there_yet_nothing_is_said(federation: Federation) -> None:
    version = federation.world.office.publish()
    federation.told.versions = dict.fromkeys((ANHUI, JINHUA), version + 1)
    assert await federation.partnership.seen(version + 1) == Seen(everywhere=False)


async def test_an_expired_directory_is_an_error_of_rotations(federation: Federation) -> None:
    federation.world.clock.advance(dt.timedelta(days=2).total_seconds())
    with pytest.raises(RotationError, match="expired"):
        await federation.partnership.seen(1)
