"""Gateways take what the authority pushes: with both provinces running, a publication makes none of them fetch."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from office_world import TwoProvinces, two_provinces

from gateway import app
from gateway.authority import mirror
from gateway.clock import SystemClock
from gateway.config import load_gateway
from gateway.federation import directory_tuf
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


async def test_where_the_directory_comes_from_a_folder_what_is_pushed_is_a_hint_only(
    provinces: TwoProvinces, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = provinces.asking.config
    text = config.read_text("utf-8")
    (source,) = (line for line in text.splitlines() if line.startswith("source = "))
    config.write_text(text.replace(source, f'source = "{provinces.home}/tuf"'), "utf-8")
    heard: asyncio.Queue[Any] = asyncio.Queue()
    note = DirectoryTuf._note

    def noted(directory: DirectoryTuf, told: Any) -> None:
        note(directory, told)
        heard.put_nowait((directory, told))

    monkeypatch.setattr(DirectoryTuf, "_note", noted)
    monkeypatch.setattr(directory_tuf, "PushedFetcher", None)
    async with asyncio.timeout(120), provinces.authority(), app.gateway(load_gateway(config), SystemClock()):
        directory, _ = await heard.get()
        taken: asyncio.Queue[int] = asyncio.Queue()
        directory.subscribe(lambda: taken.put_nowait(directory.current().version))
        with provinces.office() as office:
            version = await asyncio.to_thread(office.publish)
        assert await taken.get() == version
        _, told = await heard.get()
    assert (told.version, told.files) == (version, b"")
