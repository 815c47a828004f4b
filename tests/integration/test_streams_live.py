"""Rosters over streams between real gateways: in order or not, through lost connections, kills and restarts."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.federation import ANSWERING
from bench.memory import DEAD_IN_A_THOUSAND
from bench.memory_asker import Roster, streams_of
from bench.roster_protocol import start_from_memory, two_gateways
from gateway.config import load_gateway
from gateway.demo.founding import FoundedMember
from gateway.demo.processes import Started, stop
from gateway.federation.streams import Chunk, ChunkOutcome, Streams
from gateway.store.engine import Store
from tests.faults.proxy import FaultProxy
from tests.faults.trouble import HALF_OPEN_BACK
from wugan.federation.v1 import vocabulary_pb2 as words

pytestmark = pytest.mark.integration

MEMBER = ANSWERING[0]
PEOPLE = 6_000
CHUNK = 200
CHUNKS = PEOPLE // CHUNK
AN_ANSWER = 1_000
"""Bytes: more than the frames about a connection, less than an answer about a chunk."""


@dataclass
class Pair:
    """A's way of asking rosters, B as a process, and what is between them."""

    streams: Streams
    store: Store
    proxy: FaultProxy
    answering: FoundedMember
    process: Started

    async def restart(self) -> None:
        """Start B again after its end."""
        self.process = await asyncio.to_thread(start_from_memory, self.answering, PEOPLE)

    def outcomes(self, roster: AsyncIterator[Chunk], chunk_s: float = 60.0) -> AsyncIterator[ChunkOutcome]:
        return self.streams.ask(MEMBER, roster, chunk_s=chunk_s)


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    async with contextlib.AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(FaultProxy())
        # In a thread: starting and stopping block, and the proxy must go on meanwhile.
        running = two_gateways(tmp_path, PEOPLE, listed=proxy.address, extra="\n[federation.breaker]\nopen_s = 0.1\n")
        asking, answering, process = await asyncio.to_thread(running.__enter__)
        stack.push_async_callback(asyncio.to_thread, running.__exit__, None, None, None)
        proxy.target = answering.federation_address
        streams, store = await stack.enter_async_context(streams_of(load_gateway(asking.config)))
        made = Pair(streams, store, proxy, answering, process)
        yield made
        if made.process is not process:
            await asyncio.to_thread(stop, [made.process])


def roster(chunk: int = CHUNK) -> AsyncIterator[Chunk]:
    return Roster(PEOPLE, chunk).chunks()


def require_whole(outcomes: list[ChunkOutcome]) -> None:
    """Every chunk was answered, once, and everybody in it as the departments know."""
    assert sorted(each.number for each in outcomes) == list(range(CHUNKS))
    statuses: list[int] = []
    for outcome in outcomes:
        assert outcome.answer is not None, outcome.error
        assert not outcome.answer.findings.partial
        statuses += outcome.answer.findings.status
    assert statuses.count(words.SURVIVAL_STATUS_DECEASED) == PEOPLE * DEAD_IN_A_THOUSAND // 1000
    assert statuses.count(words.SURVIVAL_STATUS_ALIVE_STRONG) == len(statuses) * (1000 - DEAD_IN_A_THOUSAND) // 1000


async def test_a_roster_is_answered_over_one_stream_and_recorded(pair: Pair) -> None:
    outcomes = [each async for each in pair.outcomes(roster())]
    require_whole(outcomes)
    assert all(len(each.sent) == 1 for each in outcomes)
    events = [each.event for each in await pair.store.audit.events()]
    asked = [event for event in events if event.direction == "out"]
    assert [(event.subjects, event.outcome) for event in asked] == [(CHUNK, 0)] * CHUNKS


async def test_connections_that_are_reset_mid_stream_lose_nothing(pair: Pair) -> None:
    async def reset_with_an_answer_on_its_way() -> None:
        await pair.proxy.until(lambda: pair.proxy.held_down > AN_ANSWER)
        pair.proxy.reset()
        await pair.proxy.heal()

    outcomes = []
    resets = []
    async for outcome in pair.outcomes(roster()):
        outcomes.append(outcome)
        if len(outcomes) in (3, 10):
            await pair.proxy.suffer(HALF_OPEN_BACK)
            resets.append(asyncio.ensure_future(reset_with_an_answer_on_its_way()))
    await asyncio.gather(*resets)
    require_whole(outcomes)
    assert any(len(each.sent) > 1 for each in outcomes), "nothing was on its way when the connection was reset"


async def test_a_gateway_that_is_killed_and_started_again_is_asked_the_rest(pair: Pair) -> None:
    outcomes = []
    restarting: asyncio.Task[None] | None = None
    async for outcome in pair.outcomes(roster()):
        outcomes.append(outcome)
        if len(outcomes) == 5:
            os.kill(pair.process.pid, signal.SIGKILL)
            pair.answering.ready_file.unlink(missing_ok=True)
            restarting = asyncio.ensure_future(pair.restart())
    assert restarting is not None
    await restarting
    require_whole(outcomes)


async def test_a_gateway_that_is_stopped_answers_what_it_has_in_hand(pair: Pair) -> None:
    outcomes = []
    restarting: asyncio.Task[None] | None = None

    async def stop_and_start() -> None:
        await asyncio.to_thread(stop, [pair.process])
        await pair.restart()

    async for outcome in pair.outcomes(roster()):
        outcomes.append(outcome)
        if len(outcomes) == 5:
            restarting = asyncio.ensure_future(stop_and_start())
    assert restarting is not None
    await restarting
    require_whole(outcomes)


async def test_a_partner_that_stays_away_fails_each_chunk_in_its_time(pair: Pair) -> None:
    await asyncio.to_thread(stop, [pair.process])

    async def two() -> AsyncIterator[Chunk]:
        async with contextlib.aclosing(Roster(PEOPLE, CHUNK).chunks()) as chunks:
            for _ in range(2):
                yield await anext(chunks)

    outcomes = [each async for each in pair.outcomes(two(), chunk_s=1.5)]
    assert [each.error.code for each in outcomes if each.error] == ["PARTNER_UNAVAILABLE"] * 2
    assert all(each.error is not None and each.error.retryable for each in outcomes)
    assert pair.proxy.accepted < 60, "it was called again and again without a pause"


async def test_giving_up_ends_the_work_on_the_other_side(pair: Pair) -> None:
    outcomes = pair.streams.ask(MEMBER, roster(), chunk_s=60)
    assert (await anext(outcomes)).answer is not None
    await outcomes.aclose()
    assert (await anext(pair.outcomes(roster(1)))).answer is not None
