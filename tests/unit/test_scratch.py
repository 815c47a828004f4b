"""Tests keep their files in memory only where that does no harm."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests import scratch


def meminfo(folder: Path, available: int) -> Path:
    file = folder / "meminfo"
    file.write_text(f"MemTotal:  99999999 kB\nMemAvailable:  {available >> 10} kB\n", "ascii")
    return file


def test_memory_is_used_where_there_is_room_and_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = shutil.disk_usage(tmp_path).free
    monkeypatch.setattr(scratch, "LEAST_BYTES", free // 2)
    assert scratch.in_memory(tmp_path, meminfo(tmp_path, free)) == tmp_path
    assert scratch.in_memory(tmp_path, meminfo(tmp_path, free // 4)) is None, "memory is short"
    assert scratch.in_memory(tmp_path / "nothing", meminfo(tmp_path, free)) is None
    assert scratch.in_memory(tmp_path, tmp_path / "nothing") is None, "nobody knows how much memory there is"
    monkeypatch.setattr(scratch, "LEAST_BYTES", free * 2)
    assert scratch.in_memory(tmp_path, meminfo(tmp_path, free * 4)) is None, "the memory disk is small"


def test_whoever_said_where_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "in_memory", lambda: Path("/memory"))
    monkeypatch.setenv(scratch.VARIABLE, "/elsewhere")
    scratch.choose()
    assert os.environ[scratch.VARIABLE] == "/elsewhere"
    monkeypatch.delenv(scratch.VARIABLE)
    scratch.choose()
    assert os.environ[scratch.VARIABLE] == "/memory"
