"""Streams that agencies watch: so many and no more, and all end with the gateway."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import RefusedError
from gateway.services import watchers
from gateway.services.watchers import CURSOR, Watchers
from gateway.wording import Word
from wugan.federation.v1 import vocabulary_pb2 as words

BUSY = Word("连接过多", "too many")


async def test_one_too_many_is_told_so_and_a_place_is_free_again_when_one_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchers, "MOST", 1)
    watched, leave = Watchers(BUSY), asyncio.Event()

    async def wait() -> None:
        await leave.wait()

    first = asyncio.ensure_future(watched.attend("jinhua", wait()))
    await asyncio.sleep(0)
    with pytest.raises(RefusedError) as caught:
        await watched.attend("jinhua", wait())
    assert (caught.value.en, caught.value.zh, caught.value.reason) == (*BUSY[::-1], words.REFUSAL_REASON_OVERLOADED)
    assert caught.value.retryable
    leave.set()
    await first
    await watched.attend("jinhua", wait())


async def test_one_unit_that_takes_all_it_gets_leaves_places_for_the_others() -> None:
    watched = Watchers(BUSY)

    async def for_ever() -> None:
        await asyncio.Event().wait()

    greedy = [asyncio.ensure_future(watched.attend("jinhua", for_ever())) for _ in range(2 * watchers.MOST)]
    await asyncio.sleep(0)
    refused = [each for each in greedy if each.done()]
    assert len(greedy) - len(refused) == watchers.MOST_OF_A_UNIT
    error = refused[0].exception()
    assert isinstance(error, RefusedError)
    assert "this unit" in error.en
    assert "本单位" in error.zh
    assert (error.reason, error.retryable) == (words.REFUSAL_REASON_OVERLOADED, True)
    other = asyncio.ensure_future(watched.attend("hangzhou", for_ever()))
    await asyncio.sleep(0)
    assert not other.done()
    watched.close()
    await asyncio.gather(*greedy, other, return_exceptions=True)
    assert not watched._of_unit


async def test_all_end_when_the_gateway_stops_and_are_told_where_to_go_on() -> None:
    watched, ended = Watchers(BUSY), []

    async def for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    several = [asyncio.ensure_future(watched.attend("jinhua", for_ever())) for _ in range(3)]
    await asyncio.sleep(0)
    watched.close()
    told = await asyncio.gather(*several, return_exceptions=True)
    assert ended == [True] * 3
    for error in told:
        assert isinstance(error, RefusedError)
        assert (error.zh, error.reason) == (CURSOR.zh, words.REFUSAL_REASON_SHUTTING_DOWN)


async def test_what_goes_wrong_in_the_telling_is_told() -> None:
    async def fails() -> None:
        raise RefusedError("no such run", "没有该任务")

    with pytest.raises(RefusedError, match="no such run"):
        await Watchers(BUSY).attend("jinhua", fails())
