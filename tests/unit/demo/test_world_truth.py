from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.demo.truth import Recipient, read_truth, write_truth
from gateway.demo.world import World
from gateway.errors import ConfigError


def test_the_truth_comes_back_as_it_was_written(small_world: World, tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    write_truth(small_world.recipients(), path)
    assert list(read_truth(path)) == list(small_world.recipients())


def test_nobody_else_may_read_the_truth(small_world: World, tmp_path: Path) -> None:
    write_truth(small_world.recipients(), tmp_path / "truth.jsonl")
    assert stat.S_IMODE((tmp_path / "truth.jsonl").stat().st_mode) == 0o600


def test_the_same_world_writes_the_same_bytes(small_world: World, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_truth(small_world.recipients(), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_file_is_written_whole_or_not_at_all(small_world: World, tmp_path: Path) -> None:
    def breaking() -> Iterator[Recipient]:
        yield next(small_world.recipients())
        raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError):
        write_truth(breaking(), tmp_path / "truth.jsonl")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("line", ["", "{}", "[1, 2]", "not json", '{"case": "active"}', "x" * 10_000])
def test_a_line_that_is_no_record_is_refused_with_its_place(tmp_path: Path, line: str) -> None:
    path = tmp_path / "truth.jsonl"
    path.write_text(line + "\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"truth\.jsonl:1"):
        list(read_truth(path))


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="wugan demo up"):
        list(read_truth(tmp_path / "truth.jsonl"))


def test_a_living_person_called_dead_is_intolerable(small_world: World) -> None:
    for recipient in small_world.recipients():
        assert recipient.is_intolerable("DECEASED") == recipient.alive
        assert not (recipient.is_right("DECEASED") and recipient.is_intolerable("DECEASED"))
        assert recipient.is_right(recipient.expected)
