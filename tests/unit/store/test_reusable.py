"""Rows that say which kept answers may be given again: written in bulk, bounded, dropped by person; and disclosures."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from gateway.clock import FakeClock
from gateway.store import reusable
from gateway.store.disclosures import Disclosures
from gateway.store.ended import EVERY_MEMBER
from gateway.store.engine import Store
from gateway.store.reusable import Changes, Reusable
from gateway.store.rows import Transaction
from gateway.store.writer import Writer
from tests.unit.adapters.adapters_world import number
from tests.unit.post.post_world import steps
from tests.unit.store.conftest import OpenStore
from tests.unit.store.store_world import MEMBER, NEIGHBOUR, NOW_MS, OTHER_MEMBER, PERSON, answer, event, refused

HOUR_MS = 3_600_000


def row(name: str = "one", **changed: object) -> Reusable:
    until = NOW_MS + HOUR_MS
    plain = Reusable(
        hashlib.sha256(name.encode()).digest(), MEMBER, b"m" * 16, 0, NOW_MS, until, 0, until, b"d" * 40, NOW_MS
    )
    return plain._replace(**changed)


async def write(store: Store, *rows: Reusable, now_ms: int = NOW_MS, most: int = 100, **used: int) -> list[bytes]:
    touched = [(row(name).key, at) for name, at in used.items()]
    return await store.reusable.submit(Changes(rows, touched, now_ms, most))


async def test_a_row_is_found_by_its_key_after_a_restart(open_store: OpenStore) -> None:
    async with open_store() as store:
        await write(store, row("one"), row("two", position=3))
    async with open_store() as store:
        assert await store.reusable.find(row("two").key) == row("two", position=3)
        assert await store.reusable.find(row("three").key) is None


async def test_a_newer_row_takes_the_place_of_the_one_before(store: Store) -> None:
    newer = row("one", message_id=b"n" * 16, received_at_ms=NOW_MS + 1)
    await write(store, row("one"))
    await write(store, row("one"), newer)
    assert await store.reusable.find(newer.key) == newer


async def test_keys_come_most_lately_used_first_and_none_that_is_over(store: Store) -> None:
    await write(store, row("one"), row("two"), row("over", until_ms=NOW_MS))
    await write(store, one=NOW_MS + 5)
    assert await store.reusable.keys(NOW_MS, 10) == [row("one").key, row("two").key]
    assert await store.reusable.keys(NOW_MS, 1) == [row("one").key]


async def test_what_is_over_goes_and_then_what_was_used_least_lately(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reusable, "PURGE_EVERY", 4)
    rows = [row(name, used_at_ms=NOW_MS + at) for at, name in enumerate(("one", "two", "three"))]
    dropped = await write(store, row("over", until_ms=NOW_MS), *rows, most=2)
    assert dropped == [row("over").key, row("one").key]
    assert await store.reusable.keys(NOW_MS, 10) == [row("three").key, row("two").key]


async def test_rows_about_a_person_are_dropped_of_that_member_only(store: Store) -> None:
    kept = [
        answer(),
        answer(),
        answer(member=OTHER_MEMBER),
    ]
    for one, person in zip(kept, (PERSON, NEIGHBOUR, PERSON), strict=True):
        await store.answers.keep(one, [person])
    rows = [row(str(at), member=one.member, message_id=one.message_id) for at, one in enumerate(kept)]
    await write(store, *rows)
    dropped = await store.reusable.drop(MEMBER, [store.reusable.blind_index(PERSON)])
    assert dropped == [rows[0].key]
    assert set(await store.reusable.keys(NOW_MS, 10)) == {rows[1].key, rows[2].key}
    assert await store.reusable.drop(MEMBER, None) == [rows[1].key]


async def test_rows_about_a_person_are_dropped_of_every_member(store: Store) -> None:
    kept = [answer(), answer(), answer(member=OTHER_MEMBER)]
    for one, person in zip(kept, (PERSON, NEIGHBOUR, PERSON), strict=True):
        await store.answers.keep(one, [person])
    rows = [row(str(at), member=one.member, message_id=one.message_id) for at, one in enumerate(kept)]
    await write(store, *rows)
    dropped = await store.reusable.drop(EVERY_MEMBER, [store.reusable.blind_index(PERSON)])
    assert set(dropped) == {rows[0].key, rows[2].key}
    assert await store.reusable.keys(NOW_MS, 10) == [rows[1].key]


async def test_dropping_what_every_member_said_of_a_person_takes_no_more_where_many_answers_are_kept(
    tmp_path: Path, clock: FakeClock
) -> None:
    """See decision 55. Counted with the person's own answers of two members, among few of others and among many."""
    async with Store.open(tmp_path / "gateway.db", key=tmp_path / "store.key", clock=clock) as store:

        async def keep(person: str, *names: str) -> None:
            kept = [(f"{name} {member}", answer(member=member)) for name in names for member in (MEMBER, OTHER_MEMBER)]
            await asyncio.gather(*(store.answers.submit(one, [person]) for _, one in kept))
            rows = [row(name, member=one.member, message_id=one.message_id) for name, one in kept]
            await write(store, *rows, most=10_000)

        drop = store.reusable.dropping(EVERY_MEMBER, [store.reusable.blind_index(PERSON)])

        def work(connection: sa.Connection) -> None:
            (dropped,) = drop.kind.apply(Transaction(connection), [drop.payload])
            assert len(dropped) == 2
            connection.rollback()

        await keep(PERSON, "one")
        await keep(NEIGHBOUR, *(f"few {at}" for at in range(5)))
        few = steps(tmp_path, work)
        await keep(NEIGHBOUR, *(f"many {at}" for at in range(100)))
        for at in range(400):
            await keep(number(100 + at), str(at))
        assert steps(tmp_path, work) <= few + 1


async def test_the_key_depends_on_the_stores_own(store: Store, clock: FakeClock, tmp_path_factory: object) -> None:
    assert store.reusable.key(b"terms") != hashlib.sha256(b"terms").digest()
    assert store.reusable.key(b"terms") != store.reusable.key(b"terms ")


async def test_disclosures_are_recorded_in_order_before_anybody_goes_on(store: Store) -> None:
    store.disclosures._calls = lambda: 2
    one, two = (store.audit.content(event(direction="again", case_reference=name)) for name in ("a", "b"))
    await asyncio.gather(store.disclosures.submit([one]), store.disclosures.submit([two, one]))
    recorded = [each.event for each in await store.audit.events()]
    assert [each.case_reference for each in recorded] == ["a", "b", "a"]
    assert {each.direction for each in recorded} == {"again"}
    await store.audit.verify_chain()


async def test_one_that_gave_up_does_not_keep_the_others_from_going_on(store: Store) -> None:
    content = store.audit.content(event(direction="again"))
    gone, there = store.disclosures.submit([content]), store.disclosures.submit([content])
    gone.cancel()
    await there
    assert len(await store.audit.events()) == 2, "what was asked to be recorded is"


class _Counted:
    """A writer, and how many operations were handed to it."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self.operations = 0

    def submit(self, *args: Any, **options: Any) -> Any:
        self.operations += 1
        return self._writer.submit(*args, **options)


async def test_one_call_alone_is_recorded_without_waiting_for_others(store: Store) -> None:
    writer = _Counted(store._writer)
    alone = Disclosures(writer, _keys(store), lambda: 1)
    future = alone.submit([store.audit.content(event(direction="again"))])
    assert writer.operations == 1
    await future


async def test_after_many_calls_at_once_a_few_wait_for_more_and_one_alone_only_once(store: Store) -> None:
    under_way = [3]
    writer = _Counted(store._writer)
    disclosures = Disclosures(writer, _keys(store), lambda: under_way[0])
    content = store.audit.content(event(direction="again"))
    many = [disclosures.submit([content]) for _ in range(2)]
    assert writer.operations == 0, "a third call is under way"
    many.append(disclosures.submit([content]))
    assert writer.operations == 1, "one operation for them all"
    await asyncio.gather(*many)
    under_way[0] = 1
    one = disclosures.submit([content])
    assert writer.operations == 1, "there were three just now"
    await one
    another = disclosures.submit([content])
    assert writer.operations == 3, "the one before, and this at once"
    await another


@pytest.mark.parametrize(("waited_s", "gather_s"), [(0.0, 0.008), (0.005, 0.008), (0.025, 0.025), (1.0, 0.04)])
async def test_while_calls_wait_to_be_taken_up_disclosures_gather_for_as_long(
    store: Store, monkeypatch: pytest.MonkeyPatch, waited_s: float, gather_s: float
) -> None:
    disclosures = Disclosures(store._writer, _keys(store), lambda: 2, lambda: waited_s)
    loop = asyncio.get_running_loop()
    later, timers = loop.call_later, []

    def call_later(after_s: float, act: Callable[[], None]) -> asyncio.TimerHandle:
        timers.append((after_s, act))
        return later(3600, act)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "call_later", call_later)
        future = disclosures.submit([store.audit.content(event(direction="again"))])
    ((after_s, act),) = timers
    assert after_s == gather_s
    act()
    await future


def _keys(store: Store) -> object:
    return store.audit._keys


async def test_after_the_store_was_closed_nothing_may_be_disclosed(open_store: OpenStore) -> None:
    store = open_store()
    await store.close()
    with refused("SHUTTING_DOWN"):
        await store.disclosures.submit([store.audit.content(event(direction="again"))])
