"""What is told of a run: everything that changes, at once, and one end that stays."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import pytest
from running_world import UNIT, Members, World, findings, line, roster

from gateway.errors import PartnerError, WuganError
from gateway.federation.streams import Chunk, ChunkOutcome
from gateway.resilience.backoff import Backoff
from gateway.roster.run import RUNNING, Ask, RunFolder
from gateway.roster.running import CUT_AHEAD
from gateway.roster.shelf import Kept
from gateway.store.parts import PartFolder
from wugan.federation.v1 import vocabulary_pb2 as words


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_that_a_run_has_begun_is_told_before_anything_of_it_is_done(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell, asks = Kept.tell, RunFolder.asks
    told: list[int] = []
    told_at_first: list[list[int]] = []

    def telling(kept: Kept) -> None:
        told.append(kept.state)
        tell(kept)

    def begun(folder: RunFolder) -> dict[Ask, str]:
        told_at_first.append(list(told))
        return asks(folder)

    monkeypatch.setattr(Kept, "tell", telling)
    monkeypatch.setattr(RunFolder, "asks", begun)
    async with world.running():
        await world.done(roster(line(1)))
    assert told_at_first == [[RUNNING]]


class Away(Members):
    """Does not answer the first time; notes what had been told by the time when it was asked again."""

    def __init__(self) -> None:
        super().__init__(lambda _, question: findings(question))
        self.told: list[WuganError | None] = []
        self.asked_again_after: list[WuganError | None] | None = None

    async def ask(
        self, member_id: str, chunks: AsyncIterator[Chunk], *, chunk_s: float
    ) -> AsyncGenerator[ChunkOutcome, None]:
        if not self.asked:
            chunk = await anext(chunks)
            self.asked.append((member_id, list(chunk.question.subjects.id_number)))
            reason = words.REFUSAL_REASON_PARTNER_UNAVAILABLE
            yield ChunkOutcome(chunk.number, error=PartnerError("away", "无法连接", reason=reason, retryable=True))
            return
        if self.asked_again_after is None:
            self.asked_again_after = list(self.told)
        async for outcome in super().ask(member_id, chunks, chunk_s=chunk_s):
            yield outcome


async def test_that_a_province_is_not_waited_for_any_more_is_told_when_it_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.roster.running.BACKOFF", Backoff(first_s=0.001, longest_s=0.001, least=0.5))
    tell, away = Kept.tell, Away()

    def telling(kept: Kept) -> None:
        if kept.running is not None:
            away.told += [standing.error for standing in kept.running.standings.values()]
        tell(kept)

    monkeypatch.setattr(Kept, "tell", telling)
    world = World(tmp_path, chunk_rows=1)
    world.members = away
    async with world.running():
        await world.done(roster(*map(line, range(1, CUT_AHEAD + 3))))
    assert away.asked_again_after
    assert any(away.asked_again_after), "it was waited for"
    assert away.asked_again_after[-1] is None


async def test_a_run_that_is_cancelled_while_its_end_is_written_has_one_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, writing, go_on = PartFolder.write, threading.Event(), threading.Event()

    def slow(folder: PartFolder, name: str, plaintext: bytes) -> int:
        if name == "state":
            if not writing.is_set():
                writing.set()
                go_on.wait(20)
                return write(folder, name, plaintext)
            written = write(folder, name, plaintext)
            go_on.set()
            return written
        return write(folder, name, plaintext)

    monkeypatch.setattr(PartFolder, "write", slow)
    async with world.running() as rosters:
        kept = await world.submit(roster(line(1)))
        await asyncio.to_thread(writing.wait, 20)
        cancelling = asyncio.create_task(rosters.cancel(UNIT, kept.submitted.run_id, delete=False))
        await asyncio.wait({cancelling}, timeout=0.05)
        go_on.set()
        told = (await cancelling).state
    async with world.running() as rosters:
        assert rosters.find(UNIT, kept.submitted.run_id).state == told
