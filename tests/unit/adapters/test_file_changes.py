"""Following dropped files: whom a file brings, changes or takes back is told; a repeated snapshot tells of nobody."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.contract import Changed
from adapters.errors import SourceFaultError
from adapters.kinds.file import FileAdapter
from tests.unit.adapters.adapters_world import ANNA, BO, CHEN, number
from tests.unit.adapters.test_file_adapter import INCREMENT, KEYED, SNAPSHOT, Drop, line

MONITORED = "    strength: REAL_NAME\n    changes: true\n"


@pytest.fixture
def drop(tmp_path: Path) -> Drop:
    return Drop(tmp_path)


def over(drop: Drop, mode: str = SNAPSHOT) -> FileAdapter:
    built = drop.adapter(mode, "    strength: REAL_NAME\n", MONITORED)
    assert isinstance(built, FileAdapter)
    assert built.describe().changes
    return built


class Follower:
    """Goes on from where it was, as the gateway does."""

    def __init__(self, adapter: FileAdapter, limit: int = 100) -> None:
        self.adapter = adapter
        self.limit = limit
        self.cursor = b""

    async def told(self) -> list[str]:
        people: list[str] = []
        more = True
        while more:
            changed: Changed = await self.adapter.changes(self.cursor, self.limit)
            people += changed.id_number
            self.cursor, more = changed.cursor, changed.more
        return sorted(people)


@pytest.fixture
async def snapshots(drop: Drop) -> AsyncIterator[Follower]:
    adapter = over(drop)
    yield Follower(adapter)
    await adapter.close()


async def test_the_first_snapshot_is_no_news_and_the_next_tells_the_difference(drop: Drop, snapshots: Follower) -> None:
    drop.csv("xs_1.csv", line(ANNA), line(BO, "2号"))
    assert await snapshots.told() == []
    drop.csv("xs_2.csv", line(ANNA), line(BO, "2号", at="20260302"), line(CHEN, "3号"))
    assert await snapshots.told() == [BO, CHEN]
    assert await snapshots.told() == []


async def test_whose_record_is_gone_from_a_snapshot_is_told(drop: Drop, snapshots: Follower) -> None:
    drop.csv("xs_1.csv", line(ANNA), line(BO, "2号"))
    await snapshots.told()
    drop.csv("xs_2.csv", line(ANNA))
    assert await snapshots.told() == [BO]


async def test_a_snapshot_that_repeats_itself_tells_nobody(drop: Drop, snapshots: Follower) -> None:
    drop.csv("xs_1.csv", line(ANNA), line(BO, "2号"))
    await snapshots.told()
    drop.csv("xs_2.csv", line(BO, "2号"), line(ANNA))
    assert await snapshots.told() == []


async def test_a_corrected_file_tells_only_of_the_corrected(drop: Drop) -> None:
    adapter = over(drop, INCREMENT)
    follower = Follower(adapter)
    drop.csv("xs_1.csv", line(ANNA), line(BO, "2号"))
    await follower.told()
    drop.csv("xs_1.csv", line(ANNA), line(BO, "2号", at="20260309"))
    assert await follower.told() == [BO]
    await adapter.close()


async def test_a_record_taken_back_by_its_key_is_told(drop: Drop) -> None:
    adapter = over(drop, KEYED)
    follower = Follower(adapter)
    drop.csv("xs_1.csv", line(ANNA, "1号"), line(BO, "2号"))
    await follower.told()
    drop.csv("xs_2.csv", line(BO, "2号", state="撤销"))
    assert await follower.told() == [BO]
    await adapter.close()


async def test_the_cursor_outlives_a_restart_and_pages_leave_nobody_out(drop: Drop) -> None:
    people = [number(serial) for serial in range(1, 24)]
    first = over(drop, INCREMENT)
    follower = Follower(first, limit=5)
    await follower.told()
    drop.csv("xs_1.csv", *(line(who, f"{at}号") for at, who in enumerate(people)))
    half = await first.changes(follower.cursor, 5)
    assert half.more
    assert list(half.name) == ["欧阳·某"] * 5
    await first.close()
    second = over(drop, INCREMENT)
    follower = Follower(second, limit=5)
    follower.cursor = half.cursor
    assert sorted([*half.id_number, *await follower.told()]) == people
    await second.close()


async def test_a_rejected_file_tells_nobody(drop: Drop, snapshots: Follower) -> None:
    drop.csv("xs_1.csv", line(ANNA))
    await snapshots.told()
    drop.csv("xs_2.csv", line(ANNA), line(BO, kind="流放"), line(CHEN, kind="流放"))
    assert await snapshots.told() == []


async def test_no_number_stands_in_clear_on_the_disk(drop: Drop, snapshots: Follower) -> None:
    drop.csv("xs_1.csv", line(ANNA))
    await snapshots.told()
    drop.csv("xs_2.csv", line(ANNA), line(BO, "2号"))
    await snapshots.told()
    for path in (drop.root / "state").rglob("*"):
        if path.is_file():
            assert BO.encode() not in path.read_bytes(), path.name


async def test_what_was_dealt_with_is_forgotten(drop: Drop, snapshots: Follower) -> None:
    drop.csv("xs_1.csv", line(ANNA))
    await snapshots.told()
    drop.csv("xs_2.csv", line(ANNA), line(BO, "2号"))
    assert await snapshots.told() == [BO]
    await snapshots.told()
    await snapshots.adapter.check()
    with sqlite3.connect(drop.root / "state" / "courts" / "index.db") as db:
        assert db.execute("SELECT COUNT(*) FROM touched").fetchone() == (0,)
    db.close()


@pytest.mark.parametrize("cursor", [b"x", b"ab:", b"ab:-1", b"ab:1e9", b":" + b"9" * 30])
async def test_a_cursor_of_somebody_else_is_refused(snapshots: Follower, cursor: bytes) -> None:
    with pytest.raises(SourceFaultError):
        await snapshots.adapter.changes(cursor, 10)


Rows = Sequence[tuple[int, int]]


@given(
    states=st.lists(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 3)), max_size=6), min_size=2, max_size=4),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_exactly_those_whose_records_differ_are_told(
    tmp_path_factory: pytest.TempPathFactory, states: Sequence[Rows]
) -> None:
    drop = Drop(tmp_path_factory.mktemp("drop"))
    adapter = over(drop)
    follower = Follower(adapter)
    before: Rows | None = None
    for at, state in enumerate(states):
        drop.csv(f"xs_{at}.csv", *(line(number(who), f"{who}-{day}号", at=f"2026030{day}") for who, day in state))
        told = await follower.told()
        people = {who for who, _ in [*(before or ()), *state]}
        differ = [
            who
            for who in people
            if before is not None
            and sorted(r for r in before if r[0] == who) != sorted(r for r in state if r[0] == who)
        ]
        assert told == sorted(number(who) for who in differ)
        before = state
    await adapter.close()
