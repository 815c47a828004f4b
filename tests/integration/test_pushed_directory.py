"""Gateways take what the authority pushes: with both provinces running, a publication makes none of them fetch."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from office_world import TwoProvinces, two_provinces

from gateway.authority import mirror
from gateway.federation.directory_tuf import DirectoryTuf

pytestmark = pytest.mark.integration


@pytest.fixture
def provinces(tmp_path: Path) -> TwoProvinces:
    return two_provinces(tmp_path)


async def test_what_an_administrator_publishes_reaches_both_gateways_with_no_file_fetched(
    provinces: TwoProvinces, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []
    response, note = mirror.Mirror.response, DirectoryTuf._note
    listening: set[DirectoryTuf] = set()

    async def counted(kept: mirror.Mirror, path: Path, kind: str, cache: str) -> Any:
        fetched.append(path.name)
        return await response(kept, path, kind, cache)

    def noted(directory: DirectoryTuf, told: Any) -> None:
        listening.add(directory)
        note(directory, told)

    def publish() -> int:
        with provinces.office() as office:
            return office.publish()

    monkeypatch.setattr(mirror.Mirror, "response", counted)
    monkeypatch.setattr(DirectoryTuf, "_note", noted)
    async with asyncio.timeout(120), provinces.running():
        while len(listening) < 2:  # and from then on told of whatever comes
            await asyncio.sleep(0.01)
        before = max(directory.current().version for directory in listening)
        taken: asyncio.Queue[int] = asyncio.Queue()
        for directory in listening:
            directory.subscribe(lambda directory=directory: taken.put_nowait(directory.current().version))  # type: ignore[misc]
        fetched.clear()
        for version in (before + 1, before + 2):
            assert await asyncio.to_thread(publish) == version
            assert [await taken.get(), await taken.get()] == [version, version]
        assert fetched == []
