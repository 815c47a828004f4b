"""Live rosters through real gateways: who is asked about again, and that nobody else is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl
import pytest
import roster_world as world
from roster_world import CHUNK, HEADER, known, row

from bench.federation import TwoProvinces, people, two_provinces
from gateway.demo.numbers import wrong_check

pytestmark = pytest.mark.integration
COUNT = 240
LONG = 400
"""People of a run that is to be killed in its middle."""
NUMBER = HEADER.index("证件号码")
AMOUNT = HEADER.index("月待遇")

Rows = list[tuple[str, ...]]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoProvinces]:
    with two_provinces(tmp_path_factory.mktemp("live"), extra=world.SETTINGS) as found:
        yield found


class Live:
    """A live roster: its file, its folder of results."""

    def __init__(self, running: TwoProvinces, folder: Path, name: str = "roster.csv") -> None:
        self.running = running
        self.file, self.out = folder / name, folder / "out"

    def run(self, rows: Sequence[Sequence[str]], *more: str) -> int:
        """Run it with these rows; how many people were asked about."""
        if self.file.suffix == ".parquet":
            pl.DataFrame(list(rows), schema=list(HEADER), orient="row").write_parquet(self.file)
        else:
            self.file.write_text(world.as_csv(rows), "utf-8")
        before = sum(world.asked_at(self.running.answering))
        done = world.submit(self.running, self.file, self.out, "--live", *more)
        assert done.returncode == 0, done.stderr
        return sum(world.asked_at(self.running.answering)) - before

    @property
    def changes(self) -> Path:
        """The folder of the last run that went on from another."""
        return sorted((self.out / "changes").iterdir())[-1]


@pytest.fixture
def live(running: TwoProvinces, tmp_path: Path) -> Live:
    return Live(running, tmp_path)


def same_results(running: TwoProvinces, rows: Rows, found: Path, folder: Path) -> None:
    """What the live roster has of these rows is what a run that asks everybody has."""
    folder.mkdir(exist_ok=True)
    file, out = folder / "whole.csv", folder / "whole"
    file.write_text(world.as_csv(rows), "utf-8")
    done = world.submit(running, file, out)
    assert done.returncode == 0, done.stderr
    for name in ("people", "reasons", "evidence", "rejected", "reason_texts"):
        one, other = world.table(out, name), world.table(found, name)
        for column in ("chunk", "reason_zh", "reason_en"):
            one, other = (each.drop(column, strict=False) for each in (one, other))
        assert one.equals(other.select(one.columns)), name


def changed(rows: Rows, at: int) -> tuple[str, ...]:
    return (*rows[at][:AMOUNT], "4000.00", *rows[at][AMOUNT + 1 :])


def test_nothing_changed_and_nobody_is_asked(live: Live) -> None:
    rows = known(COUNT)
    assert live.run(rows) == COUNT
    assert live.run(rows) == 0
    assert world.table(live.changes, "people").height == 0
    assert world.table(live.out, "people").height == COUNT


@pytest.mark.parametrize("name", ["roster.csv", "roster.parquet"])
def test_rows_that_changed_came_or_moved(running: TwoProvinces, tmp_path: Path, name: str) -> None:
    live = Live(running, tmp_path, name)
    rows = known(COUNT)
    bad = wrong_check(people()[COUNT + 7][0])
    first = [*rows[:150], (rows[0][0], bad, *rows[0][2:]), *rows[150:]]
    assert live.run(first) == COUNT
    second = [*first[:10], *first[12:]]  # two went
    second[200] = changed(second, 200)
    second.insert(3, row(*people()[COUNT], COUNT))
    second.append(row(*people()[COUNT + 1], COUNT + 1))
    second[100], second[101] = second[101], second[100]
    assert live.run(second, "--full") == 3
    changes = world.table(live.changes, "people")
    assert changes["row"].to_list() == [4, 202, COUNT + 1]
    assert changes["monthly_fen"].to_list() == [350_000, 400_000, 350_000]
    same_results(running, second, live.out, tmp_path)
    third = second[5:]
    assert live.run(third, "--full") == 0
    same_results(running, third, live.out, tmp_path / "third")


def test_whoever_stood_twice_is_asked_about_when_the_first_row_goes(live: Live, tmp_path: Path) -> None:
    rows = known(3)
    twice = (*rows[0][:-1], "另一网格")
    assert live.run([*rows, twice]) == 3
    assert live.run([*rows, twice]) == 0
    assert live.run([*rows[1:], twice], "--full") == 1
    assert world.table(live.out, "people")["row"].to_list() == [1, 2, 3]
    assert world.table(live.out, "rejected").height == 0


def test_a_new_row_about_somebody_who_is_there_already_is_refused(live: Live) -> None:
    rows = known(3)
    assert live.run(rows) == 3
    assert live.run([*rows, (*rows[1][:-1], "另一网格")]) == 0
    rejected = world.table(live.changes, "rejected")
    assert rejected["row"].to_list() == [4]
    assert "第 2 行" in rejected["reason_zh"][0]


def test_people_without_an_answer_are_asked_about_again(running: TwoProvinces, live: Live) -> None:
    rows = known(CHUNK * 2)
    world.kill(running.processes[1])
    try:
        live.run(rows, "--deadline", "2")
    finally:
        world.restart(running, 1)
    assert world.table(live.out, "people")["status"].to_list() == [0] * len(rows)
    assert live.run(rows) == len(rows)
    assert 0 not in world.table(live.changes, "people")["status"].to_list()
    assert live.run(rows) == 0


def test_a_live_run_is_killed_in_the_middle_and_goes_on(running: TwoProvinces, live: Live, tmp_path: Path) -> None:
    rows = known(LONG)
    assert live.run(rows) == LONG
    rows = [changed(rows, at) if at % 2 else rows[at] for at in range(LONG)]
    live.file.write_text(world.as_csv(rows), "utf-8")
    before = len(world.asked_at(running.answering))
    there = world.folders(running.asking)
    with world.begun(running, live.file, live.out, "--live", "--full") as command:
        world.until(lambda: len(world.parts(running.asking, "answer", there)) >= 3, "answers")
        world.kill(running.processes[0])
        world.restart(running, 0)
        _, said = command.communicate(timeout=300)
        assert command.returncode == 0, said
    assert len(world.asked_at(running.answering)) - before in (LONG // 2 // CHUNK, LONG // 2 // CHUNK + 1)
    same_results(running, rows, live.out, tmp_path)


def test_the_gateway_forgot_the_run_before_and_everybody_is_asked(running: TwoProvinces, live: Live) -> None:
    rows = known(CHUNK)
    assert live.run(rows) == CHUNK
    world.said_by(world.cli(running, "roster", "cancel", str(live.out), "--delete"))
    assert live.run(rows) == CHUNK
    assert live.run(rows) == 0


def test_a_live_roster_subscribes_for_its_people_where_they_live(live: Live) -> None:
    live.run(known(60), "--subscribe")
    listing = world.cli(live.running, "notices", "list", "--json")
    # Over there no department tells of changes: that is the reply, and it is kept for each of them.
    world.until(lambda: world.said_by(listing).count("REASON_NOT_SERVED") == 60, "the other side replied")
    assert live.run(known(60), "--subscribe") == 0
