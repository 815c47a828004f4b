"""Two gateways on one database: what one lets go, the other does not give again either."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from gateway.clock import FakeClock
from gateway.errors import StoreError
from gateway.federation import ended_elsewhere
from gateway.federation.answer_cache import AnswerCache
from gateway.federation.ended_elsewhere import BEHIND_S, BLIND_S, EndedElsewhere
from gateway.store import ended as ended_table
from gateway.store.ended import Ended, EndedAnswers
from gateway.store.reader import Reader
from gateway.store.reusable import ReusableAnswers
from tests.unit.federation.cache_world import CacheWorld, asked_about
from tests.unit.services.gateways_world import ANNA, BO, NOW_MS, B, C, Party, stored
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words


class Pair:
    """Two caches over one store, each as a gateway's; B answered both."""

    def __init__(self, world: CacheWorld) -> None:
        world.store.ended.shared = True
        self.world = world
        self.mine = world.cache
        store = world.store
        ended = EndedAnswers(store.reusable._reader, shared=True)
        reusable = ReusableAnswers(store._writer, store.reusable._reader, store.audit._keys, ended)
        self.theirs = AnswerCache(reusable, store.answers, world.directory, world.clock, world.options)
        self.elsewhere = EndedElsewhere(ended, self.theirs, world.clock)
        self.at_mine = EndedElsewhere(store.ended, self.mine, world.clock)

    async def held(self, asked: exchange_pb2.Question, party: Party = B) -> bool:
        """Whether the other gateway would give an answer again."""
        key = self.theirs.key(party.member_id, asked)
        return await self.theirs.find(party.member_id, key, asked.subjects.id_number, 5.0) is not None


@pytest.fixture
async def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pair]:
    monkeypatch.setattr(ended_elsewhere, "LOOK_S", 3600.0)  # the test says when
    clock = FakeClock(NOW_MS)
    async with stored(tmp_path, clock) as store:
        world = CacheWorld(store, clock)
        await world.cache.open()
        made = Pair(world)
        for person in (ANNA, BO):
            answer = await world.take(asked_about(person))
            made.theirs.put(asked_about(person), answer, made.theirs.mark, 5.0)
        await made.elsewhere.open()
        await made.theirs.open()
        yield made
        await made.theirs.close()
        await made.elsewhere.close()
        await world.cache.close()


async def test_a_notice_at_one_gateway_ends_the_answer_at_the_other(pair: Pair) -> None:
    assert await pair.held(asked_about(ANNA))
    await pair.mine.invalidate(B.member_id, [pair.mine.index_of(ANNA)])
    await pair.elsewhere.look()
    assert not await pair.held(asked_about(ANNA))
    assert await pair.held(asked_about(BO))


async def test_what_is_said_against_somebody_at_one_gateway_ends_what_every_member_said_at_the_other(
    pair: Pair,
) -> None:
    for person in (ANNA, BO):
        answer = await pair.world.take(asked_about(person), C)
        pair.theirs.put(asked_about(person), answer, pair.theirs.mark, 5.0)
    # It may not be given again itself: the other gateway would find it in the database they share.
    await pair.world.take(asked_about(ANNA), status=[words.SURVIVAL_STATUS_DECEASED], for_ms=0)
    await asyncio.gather(*pair.mine._drops)
    await pair.elsewhere.look()
    for party in (B, C):
        assert not await pair.held(asked_about(ANNA), party)
        assert await pair.held(asked_about(BO), party)


async def test_who_let_go_itself_goes_on_giving_what_it_asked_for_since(pair: Pair) -> None:
    await pair.at_mine.open()
    dead = await pair.world.take(asked_about(ANNA), status=[words.SURVIVAL_STATUS_DECEASED])
    await asyncio.gather(*pair.mine._drops)
    for _ in range(2):
        await pair.at_mine.look()
        assert await pair.world.found(asked_about(ANNA)) == dead
    await pair.theirs.invalidate(B.member_id, [pair.theirs.index_of(ANNA)])
    await pair.at_mine.look()
    assert await pair.world.found(asked_about(ANNA)) is None, "what the other lets go goes here, too"
    await pair.at_mine.close()


async def test_an_answer_on_its_way_meanwhile_is_not_taken_either(pair: Pair) -> None:
    mark = pair.theirs.mark
    late = pair.world.answer(asked_about(ANNA))
    await pair.mine.invalidate(B.member_id, [pair.mine.index_of(ANNA)])
    await pair.elsewhere.look()
    pair.theirs.put(asked_about(ANNA), late, mark, 5.0)
    assert not await pair.held(asked_about(ANNA))


async def test_of_a_member_that_is_gone_nothing_is_given(pair: Pair) -> None:
    await pair.mine.invalidate(B.member_id, None)
    await pair.elsewhere.look()
    assert not await pair.held(asked_about(ANNA))
    assert not await pair.held(asked_about(BO))


async def test_a_row_that_the_other_gateway_writes_meanwhile_goes_too(pair: Pair) -> None:
    newer = pair.world.answer(asked_about(ANNA))
    await pair.world.keep(asked_about(ANNA), newer)
    pair.theirs.put(asked_about(ANNA), newer, pair.theirs.mark, 5.0)  # its row is not written yet
    await pair.mine.invalidate(B.member_id, [pair.mine.index_of(ANNA)])
    await pair.elsewhere.look()
    await pair.theirs.close()
    assert await pair.world.store.reusable.find(pair.theirs.key(B.member_id, asked_about(ANNA))) is None


async def test_what_is_taken_after_the_look_stays(pair: Pair) -> None:
    await pair.mine.invalidate(B.member_id, [pair.mine.index_of(ANNA)])
    await pair.elsewhere.look()
    anew = pair.world.answer(asked_about(ANNA))
    pair.theirs.put(asked_about(ANNA), anew, pair.theirs.mark, 5.0)
    await pair.elsewhere.look()
    assert await pair.held(asked_about(ANNA))


async def test_one_gateway_alone_writes_nothing_and_looks_at_nothing(tmp_path: Path) -> None:
    clock = FakeClock(NOW_MS)
    async with stored(tmp_path, clock) as store:
        world = CacheWorld(store, clock)
        await world.cache.open()
        await world.take(asked_about(ANNA))
        await world.cache.invalidate(B.member_id, [world.cache.index_of(ANNA)])
        assert await store.ended.newest() == 0
        await world.cache.close()


class Told(EndedAnswers):
    """Rows as a test puts them there."""

    def __init__(self) -> None:
        super().__init__(cast("Reader", None), shared=True)
        self.rows: list[Ended] = []
        self.fails = False

    async def newest(self) -> int:
        return self.rows[-1].number if self.rows else 0

    async def after(self, number: int) -> tuple[list[Ended], bool]:
        if self.fails:
            raise StoreError("gone", "不可用")
        rows = sorted(row for row in self.rows if row.number > number)
        return rows, bool(rows) and rows[-1].number - number > ended_table.KEPT


class Noting:
    """A cache that notes what it is told."""

    def __init__(self) -> None:
        self.blind = False
        self.gone: list[tuple[str, list[bytes] | None]] = []
        self.everything = 0

    def forget(self, member_id: str, indexes: list[bytes] | None, *, tell: bool) -> None:
        assert not tell, "they would tell each other for ever"
        self.gone.append((member_id, indexes))

    def forget_all(self) -> None:
        self.everything += 1


@pytest.fixture
async def noting(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Told, Noting, FakeClock, EndedElsewhere]]:
    monkeypatch.setattr(ended_elsewhere, "LOOK_S", 3600.0)
    told, cache, clock = Told(), Noting(), FakeClock(NOW_MS)
    made = EndedElsewhere(told, cache, clock)
    await made.open()
    yield told, cache, clock, made
    await made.close()


async def test_a_row_that_appears_behind_a_later_one_counts_and_each_counts_once(
    noting: tuple[Told, Noting, FakeClock, EndedElsewhere],
) -> None:
    told, cache, clock, elsewhere = noting
    told.rows = [Ended(2, B.member_id, b"2")]
    await elsewhere.look()
    clock.advance(BEHIND_S - 1)
    told.rows = [Ended(1, C.member_id, None), Ended(2, B.member_id, b"2")]
    await elsewhere.look()
    await elsewhere.look()
    assert cache.gone == [(B.member_id, [b"2"]), (C.member_id, None)]
    clock.advance(BEHIND_S + 1)
    await elsewhere.look()
    told.rows.append(Ended(3, C.member_id, b"3"))
    await elsewhere.look()
    assert cache.gone[2:] == [(C.member_id, [b"3"])]


async def test_who_cannot_look_gives_nothing_again_until_it_can(
    noting: tuple[Told, Noting, FakeClock, EndedElsewhere],
) -> None:
    told, cache, clock, elsewhere = noting
    told.fails = True
    await elsewhere.look()
    assert not cache.blind  # a moment is none
    clock.advance(BLIND_S + 1)
    await elsewhere.look()
    assert cache.blind
    told.fails = False
    told.rows = [Ended(1, B.member_id, b"1")]
    await elsewhere.look()
    assert (cache.blind, cache.gone) == (False, [(B.member_id, [b"1"])])


async def test_who_was_away_for_longer_than_the_rows_reach_back_lets_everything_go(
    noting: tuple[Told, Noting, FakeClock, EndedElsewhere],
) -> None:
    told, cache, _, elsewhere = noting
    told.rows = [Ended(ended_table.KEPT + 5, B.member_id, b"1")]
    await elsewhere.look()
    assert cache.everything == 1


async def test_a_blind_cache_gives_nothing(pair: Pair) -> None:
    pair.theirs.blind = True
    assert not await pair.held(asked_about(ANNA))
    pair.theirs.blind = False
    assert await pair.held(asked_about(ANNA))
