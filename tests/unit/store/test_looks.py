"""Looks in passing: from the event loop where the database is embedded and quick, and never in its way."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from gateway.errors import StoreError
from gateway.store.engine import engine_at
from gateway.store.reader import Look, Reader
from gateway.store.sparing import SLOW_S, SLOW_SHARE

_TABLE = sa.Table(
    "thing", sa.MetaData(), sa.Column("number", sa.Integer, primary_key=True), sa.Column("state", sa.Integer)
)
_IN_STATES = Look(
    sa.select(_TABLE.c.number)
    .where(sa.or_(_TABLE.c.state == 1, _TABLE.c.state == 2), _TABLE.c.number > sa.bindparam("after"))
    .order_by(_TABLE.c.number)
    .limit(2)
)


class Times:
    """A clock that goes on by so much with each look at it."""

    def __init__(self) -> None:
        self.now = 100.0
        self.step = 0.0

    def __call__(self) -> float:
        self.now += self.step
        return self.now


class World:
    """A database with a few rows, and its reader; threads in which statements ran."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.times = Times()
        self.engine = engine_at(path)
        with self.engine.begin() as connection:
            _TABLE.metadata.create_all(connection)
            connection.execute(sa.insert(_TABLE), [{"number": n, "state": n % 4} for n in range(1, 9)])
        self.threads: list[int] = []
        sa.event.listen(self.engine, "begin", lambda _connection: self.threads.append(threading.get_ident()))
        self.reader = Reader(self.engine, self.times)

    async def look(self, after: int = 0) -> list[tuple[Any, ...]]:
        return await self.reader.look(_IN_STATES, after=after)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path / "store.db")
    yield made
    made.reader.close()
    made.engine.dispose()


async def test_a_look_finds_what_there_is_without_a_thread(world: World) -> None:
    assert await world.look() == [(1,), (2,)]
    assert await world.look(5) == [(6,)]
    assert await world.look(6) == []
    assert not world.threads


async def test_both_ways_of_looking_find_the_same(world: World) -> None:
    for after in range(9):
        here = await world.look(after)
        world.reader._sparing.until = float("inf")
        assert await world.look(after) == here
        world.reader._sparing.until = 0.0
    assert threading.get_ident() not in world.threads
    assert len(world.threads) == 9


async def test_a_look_sees_what_another_process_committed(world: World) -> None:
    await world.look()
    other = sqlite3.connect(world.path)
    with other:
        other.execute("INSERT INTO thing VALUES (99, 1)")
    other.close()
    assert await world.look(8) == [(99,)]


async def test_a_look_waits_for_nobody_who_writes(world: World) -> None:
    other = sqlite3.connect(world.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute("INSERT INTO thing VALUES (99, 1)")
    assert await asyncio.wait_for(world.look(8), 5.0) == []
    other.execute("COMMIT")
    other.close()
    assert await world.look(8) == [(99,)]


async def test_after_two_slow_looks_in_a_row_threads_look_for_a_while(world: World) -> None:
    for step in (2 * SLOW_S, 0.0, 2 * SLOW_S, 0.0):  # one alone says nothing
        world.times.step = step
        await world.look()
    world.times.step = 2 * SLOW_S
    for _ in range(2):
        await world.look()
    assert not world.threads
    world.times.step = 0.0
    await world.look()
    assert len(world.threads) == 1
    world.times.now += 4 * SLOW_S / SLOW_SHARE + SLOW_S
    await world.look()
    assert len(world.threads) == 1


async def test_what_cannot_be_read_is_an_error_and_is_read_again_once_it_can(world: World) -> None:
    await world.look()
    with world.engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE thing RENAME TO away"))
    with pytest.raises(StoreError):
        await world.look()
    with world.engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE away RENAME TO thing"))
    assert await world.look() == [(1,), (2,)]


async def test_after_it_was_closed_a_look_opens_it_anew_and_nothing_is_left_open(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Callable[[], Any]] = []
    real = world.engine.raw_connection
    monkeypatch.setattr(world.engine, "raw_connection", lambda: opened.append(real) or real())
    await world.look()
    await world.look()
    assert len(opened) == 1
    world.reader.close()
    world.reader.close()
    assert await world.look() == [(1,), (2,)]
    assert len(opened) == 2
    world.reader.close()
    assert world.engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # of the pool that there is
