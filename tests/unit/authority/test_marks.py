"""What tells a file from another one of the same name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.authority.marks import mark, mark_of


def test_the_same_file_has_the_same_mark_and_another_of_its_name_another(tmp_path: Path) -> None:
    path = tmp_path / "timestamp.json"
    path.write_bytes(b"one")
    before = mark(path)
    assert mark(str(path)) == mark_of(path) == before
    other = tmp_path / "new"
    other.write_bytes(b"two")
    os.utime(other, ns=(before[0], before[0]))
    other.replace(path)
    assert mark(path) != before, "as long and of the same moment, and yet another file"


def test_a_file_that_is_not_there_has_none(tmp_path: Path) -> None:
    assert mark_of(tmp_path / "gone") is None
    with pytest.raises(FileNotFoundError):
        mark(tmp_path / "gone")
