"""Following departments: one that fails holds up nobody, and nothing that it brought is lost or believed too easily."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from adapters.contract import MAX_CURSOR_BYTES, Changed
from adapters.errors import SourceDownError, SourceFaultError
from gateway.errors import StoreError
from gateway.observing.health import Level
from gateway.vitals.sources import SourceVitals
from tests.unit.notices.notices_world import Feed, World, death, world
from tests.unit.post.post_world import until
from tests.unit.services.gateways_world import ANNA, BO
from wugan.adapter.v1 import vocabulary_pb2 as v


class Odd(Feed):
    """A department whose changes are what a test says."""

    def __init__(self, answer: Any) -> None:
        super().__init__({})
        self.answer = answer

    async def changes(self, cursor: bytes, limit: int) -> Changed:
        if not cursor:
            return Changed([], [], b"1")
        return self.answer(limit)


@pytest.mark.parametrize(
    "answer",
    [
        lambda _: Changed([ANNA], [], b"2"),
        lambda limit: Changed([ANNA] * (limit + 1), [""] * (limit + 1), b"2"),
        lambda _: Changed([], [], b"x" * (MAX_CURSOR_BYTES + 1)),
    ],
)
async def test_changes_out_of_shape_are_not_used(tmp_path: Path, answer: Any) -> None:
    async with world(tmp_path, Odd(answer)) as w:
        with pytest.raises(SourceFaultError):
            await w.look()
        assert await w.b.store.changes.cursor("civil-affairs") == b"1"


async def test_numbers_that_are_none_are_left_out(tmp_path: Path) -> None:
    odd = Odd(lambda _: Changed(["", "x", "9" * 99, ANNA], ["", "", "", "安娜"], b"2"))
    async with world(tmp_path, odd) as w:
        await w.subscribe(ANNA)
        await w.look()
        (due,) = await w.b.store.changes.due(w.clock.now_ms(), 10)
        assert due.person.number == ANNA
        assert ANNA not in repr(due)


async def running(w: World) -> asyncio.Task[None]:
    """The loops at work, as in a gateway."""

    async def both() -> None:
        await asyncio.gather(w.following.run(), w.noticing.run())

    return asyncio.create_task(both())


async def test_a_department_that_is_down_holds_up_no_other(tmp_path: Path) -> None:
    civil = Feed({ANNA: []})
    health = Feed({BO: []}, department=v.DEPARTMENT_HEALTH)
    async with world(tmp_path, civil, health) as w:
        await w.subscribe(ANNA, BO)
        health.error = SourceDownError("down", "不可用")
        task = await running(w)
        civil.record(ANNA, death())

        async def told() -> bool:
            return [each.id_number for each in await w.told()] == [ANNA]

        await until(told, "the notice of the other department")

        async def three_times() -> bool:
            return [each.tries for each in w.following.behind.values()] == [3]

        await until(three_times, "three tries in vain")
        seen = SourceVitals(w.departments, lambda: w.following.behind)
        [fact] = await seen(w.clock.now_ms() + 120_000)
        assert fact.about == f"department/{health.describe().adapter_id}/changes"
        assert fact.level is Level.ATTENTION
        assert "not been read for 2 minutes: down" in fact.en
        assert "2 分钟未能读取：不可用" in fact.zh
        health.error = None
        health.record(BO, death())

        async def both() -> bool:
            return {each.id_number for each in await w.told()} == {ANNA, BO}

        await until(both, "the notice of the one that came back")
        assert await seen(w.clock.now_ms()) == []
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_no_department_is_blamed_for_the_gateways_own_storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    civil = Feed({ANNA: []})
    async with world(tmp_path, civil) as w:
        await w.subscribe(ANNA)

        async def away(_adapter: str) -> bytes:
            raise StoreError("the gateway's storage failed", "网关存储故障")

        monkeypatch.setattr(w.b.store.changes, "cursor", away)
        task = await running(w)

        async def three_times() -> bool:
            return [each.tries >= 3 for each in w.following.behind.values()] == [True]

        await until(three_times, "three tries in vain")
        assert await SourceVitals(w.departments, lambda: w.following.behind)(w.clock.now_ms()) == []
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_department_that_crashes_is_looked_at_again(tmp_path: Path) -> None:
    calls = 0

    def answer(_limit: int) -> Changed:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RuntimeError("a bug of the adapter")
        return Changed([], [], b"2")

    async with world(tmp_path) as w:
        odd = Odd(answer)
        about = odd.describe()
        w.departments.sources.use([w.departments.sources.source(odd)])
        await w.following.look(about, odd)
        task = asyncio.create_task(w.following.run())

        async def went_on() -> bool:
            return await w.b.store.changes.cursor(about.adapter_id) == b"2"

        await until(went_on, "the look after the crash")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_departments_are_followed_as_they_come_and_go_and_one_that_is_back_goes_on(tmp_path: Path) -> None:
    civil = Feed({ANNA: [], BO: []})
    async with world(tmp_path, civil, poll_s=3_600) as w:
        sources = w.departments.sources
        sources.listen(w.following.wake)
        await w.subscribe(ANNA, BO)
        task = await running(w)

        async def told(*people: str) -> None:
            async def all_of_them() -> bool:
                return {each.id_number for each in await w.told()} == set(people)

            await until(all_of_them, f"{len(people)} notices")

        sources.use([])

        async def left_alone() -> bool:
            return not w.following._woken

        await until(left_alone, "the end of following")
        civil.record(ANNA, death())
        sources.use([sources.source(civil)])
        await told(ANNA)
        civil.record(BO, death())
        w.following.wake(civil.about.adapter_id)  # an hour before the next look
        await told(ANNA, BO)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_pages_are_taken_one_after_another(tmp_path: Path) -> None:
    civil = Feed({ANNA: [], BO: []})
    async with world(tmp_path, civil, page=1) as w:
        await w.subscribe(ANNA, BO)
        civil.record(ANNA, death())
        civil.record(BO, death())
        await w.settle()
        assert {each.id_number for each in await w.told()} == {ANNA, BO}


async def test_a_change_of_somebody_who_waits_already_is_one_look(tmp_path: Path) -> None:
    civil = Feed({ANNA: []})
    async with world(tmp_path, civil) as w:
        await w.subscribe(ANNA)
        for days in (5, 4, 3):
            civil.record(ANNA, death(days))
            await w.look()
        assert (await w.b.store.changes.waiting())[0] == 1
