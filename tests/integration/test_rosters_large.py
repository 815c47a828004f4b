"""A roster of 20,000 people whose numbers follow each other, live, with a gateway killed now and then."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
import roster_world as world
from stdnum.cn import ric

from bench.federation import TwoProvinces, two_provinces
from gateway.config import load_gateway
from wugan.federation.v1 import vocabulary_pb2 as words

pytestmark = pytest.mark.integration
COUNT, CHUNK = 20_000, 2_000
CHANGED = range(500, COUNT, 1_000)
SETTINGS = f"""\
unknown_people = 1000000000

[roster]
chunk_rows = {CHUNK}
window = 1
"""
"""Behind the table [access.harvest]; how many numbers may follow each other is as usual."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoProvinces]:
    with two_provinces(tmp_path_factory.mktemp("large"), extra=SETTINGS, roster=4 * COUNT) as found:
        yield found


def number(serial: int) -> str:
    """Five hundred people a birthday, one order code after the other."""
    day = serial // 500
    body = f"330702{1950 + day // 28}05{1 + day % 28:02d}{serial % 500:03d}"
    return body + ric.calc_check_digit(body + "0")


def roster(file: Path, *, amount: str = "3500.00") -> Path:
    rows = [world.row(number(serial), f"测试{serial:05d}", serial) for serial in range(COUNT)]
    for at in CHANGED:
        rows[at] = (*rows[at][:5], amount, *rows[at][6:])
    file.write_text(world.as_csv(rows), "utf-8")
    return file


def alarms(running: TwoProvinces) -> int:
    database = load_gateway(running.answering.config).state_dir / "gateway.db"
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        return int(connection.execute("select count(*) from access_alarm").fetchone()[0])


def people(folder: Path) -> pl.DataFrame:
    return world.table(folder, "people").drop("chunk")


def test_a_live_roster_comes_to_its_end_whatever_is_killed_and_again_asks_about_what_changed(
    running: TwoProvinces, tmp_path: Path
) -> None:
    file, out = roster(tmp_path / "roster.csv"), tmp_path / "out"
    there = world.folders(running.asking)
    with world.begun(running, file, out, "--live") as command:
        world.until(lambda: len(world.parts(running.asking, "answer", there)) >= 2, "answers")
        world.kill(running.processes[0])
        assert len(world.parts(running.asking, "answer", there)) < COUNT // CHUNK
        world.restart(running, 0)
        _, said = command.communicate(timeout=300)
        assert command.returncode == 0, said
    assert alarms(running) == 0
    first = people(out)
    assert first["row"].to_list() == list(range(1, COUNT + 1))
    assert not first["partial"].any()
    assert (first["certification"] != 0).all()

    before = sum(world.asked_at(running.answering))
    there = world.folders(running.asking)
    with world.begun(running, roster(file, amount="4000.00"), out, "--live", "--full") as command:
        world.until(lambda: bool(world.parts(running.asking, "chunk", there)), "the file was read")
        world.kill(running.processes[0])
        world.restart(running, 0)
        _, said = command.communicate(timeout=300)
        assert command.returncode == 0, said
    asked = sum(world.asked_at(running.answering)) - before
    assert len(CHANGED) <= asked <= 2 * len(CHANGED), "only what changed; once more if the kill met the question"
    changed = first.with_columns(
        monthly_fen=pl.when(pl.col("row").is_in([at + 1 for at in CHANGED])).then(400_000).otherwise("monthly_fen")
    )
    assert people(out).equals(changed)
    (changes,) = (out / "changes").iterdir()
    assert world.table(changes, "people")["row"].to_list() == [at + 1 for at in CHANGED]
    assert not json.loads((changes / "manifest.json").read_text("utf-8"))["files"].get("messages.csv")


def test_who_was_certified_by_one_agency_is_not_certified_by_another(running: TwoProvinces, tmp_path: Path) -> None:
    """Two agencies of one member: the second finds those whom the first holds."""
    known = world.known(40)
    (tmp_path / "roster.csv").write_text(world.as_csv(known), "utf-8")
    for name in ("one", "two"):
        done = world.submit(running, tmp_path / "roster.csv", tmp_path / name)
        assert done.returncode == 0, done.stderr
        assert not world.table(tmp_path / name, "duplicates").height
    (tmp_path / "other.csv").write_text(world.as_csv([("Q" + each[0], *each[1:]) for each in known]), "utf-8")
    done = world.submit(running, tmp_path / "other.csv", tmp_path / "three")
    assert done.returncode == 0, done.stderr
    held = (world.table(tmp_path / "one", "people")["certification"] == words.CERTIFICATION_STATUS_CERTIFIED).sum()
    twice = world.table(tmp_path / "three", "duplicates")
    assert twice.height == held
    if held:
        assert twice["kind"].unique().to_list() == [words.DUPLICATE_KIND_TWICE]
        assert "重复" in (tmp_path / "three" / "findings.csv").read_text("utf-8-sig")
