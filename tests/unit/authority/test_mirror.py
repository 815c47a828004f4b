"""The repository's files as they are served."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import web

from certs.files import PUBLIC, write_file
from gateway.authority import mirror
from gateway.authority.mirror import Mirror


async def served(mirror: Mirror, path: Path) -> object:
    return (await mirror.response(path, "application/json", "no-cache")).body


def write(path: Path, data: bytes) -> None:
    write_file(path, data, mode=PUBLIC, replace=True)


async def test_a_file_is_read_once_while_it_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, kept = tmp_path / "timestamp.json", Mirror()
    write(path, b"one")
    assert await served(kept, path) == b"one"
    monkeypatch.setattr(mirror, "read_public", None)
    assert await served(kept, path) == b"one"


async def test_a_file_that_was_replaced_is_read_anew(tmp_path: Path) -> None:
    path, kept = tmp_path / "timestamp.json", Mirror()
    for data in (b"one", b"two", b"and three"):
        write(path, data)
        assert await served(kept, path) == data


async def test_a_file_that_is_not_there_or_was_removed_is_not_found(tmp_path: Path) -> None:
    path, kept = tmp_path / "1.targets.json", Mirror()
    with pytest.raises(web.HTTPNotFound):
        await served(kept, path)
    write(path, b"one")
    assert await served(kept, path) == b"one"
    path.unlink()
    with pytest.raises(web.HTTPNotFound):
        await served(kept, path)


async def test_what_is_kept_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "KEPT", 2)
    kept = Mirror()
    for number in range(5):
        write(tmp_path / f"{number}.targets.json", b"%d" % number)
        assert await served(kept, tmp_path / f"{number}.targets.json") == b"%d" % number
    assert len(kept._held) == 2
