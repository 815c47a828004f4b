"""The far end of streams as a test plays it: it reads, answers in whatever order, and loses what it is told to lose."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import grpc

from gateway.exchange.envelope import Opened
from gateway.federation.streams import Chunk, ChunkOutcome, Streams
from gateway.sections.resilience import BreakerSettings, RetrySettings
from gateway.store.engine import Store
from tests.unit.services.gateways_world import (
    ANNA,
    B,
    Call,
    Federation,
    findings,
    opened_at,
    question,
    rpc_error,
    sealed_answer,
    stored,
)
from wugan.federation.v1 import envelope_pb2, exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

STRONG = words.SURVIVAL_STATUS_ALIVE_STRONG
QUICK = RetrySettings(first_wait_ms=1, longest_wait_ms=20)


def asked(number: int) -> exchange_pb2.Question:
    """A question that is known by its case."""
    return question(ANNA, case_reference=f"chunk {number}")


def number_of(read: exchange_pb2.Question) -> int:
    return int(read.context.case_reference.removeprefix("chunk "))


class Read:
    """A question as it arrived, with what it takes to answer it."""

    def __init__(self, far: Far, opened: Opened) -> None:
        self.opened = opened
        self._far = far
        self.question = exchange_pb2.Question.FromString(opened.payloads[0])
        self.number = number_of(self.question)

    def answer(self, **more: Any) -> envelope_pb2.Envelope:
        """Its answer, under seal."""
        answer = exchange_pb2.Answer(context=self.question.context, **more)
        if not more:
            answer.findings.CopyFrom(findings(STRONG))
        return sealed_answer(self._far.federation, B, self.opened, answer.SerializeToString())


Script = Callable[["Far", AsyncIterator[Read], "Writing"], Any]


class Writing:
    """Where a script writes answers."""

    def __init__(self, call: Any) -> None:
        self._call = call

    async def __call__(self, envelope: envelope_pb2.Envelope) -> None:
        await self._call.write(envelope)


class Far:
    """A gateway that deals with each stream by the next script; the last one is used again and again."""

    def __init__(self, federation: Federation, *scripts: Script) -> None:
        self.federation = federation
        self._scripts = list(scripts)
        self.read: list[Read] = []
        self.streams = 0

    async def __call__(self, _envelope: envelope_pb2.Envelope, _call: Call) -> envelope_pb2.Envelope:
        raise rpc_error(grpc.StatusCode.UNIMPLEMENTED)

    async def stream(self, envelopes: AsyncIterator[envelope_pb2.Envelope], call: Any) -> None:
        self.streams += 1
        script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
        if script is at_the_door:
            raise rpc_error(grpc.StatusCode.UNAVAILABLE)
        await call.send_initial_metadata(())
        await script(self, self._opened(envelopes), Writing(call))

    async def _opened(self, envelopes: AsyncIterator[envelope_pb2.Envelope]) -> AsyncIterator[Read]:
        async for envelope in envelopes:
            read = Read(self, opened_at(self.federation, B, envelope))
            self.read.append(read)
            yield read

    def numbers(self) -> list[int]:
        """The chunks that arrived, in order."""
        return [read.number for read in self.read]


class Old(Far):
    """A gateway that knows no streams, and answers each question by itself, as a function says."""

    def __init__(self, federation: Federation, reply: Callable[[Read], envelope_pb2.Envelope]) -> None:
        super().__init__(federation, at_once)
        self._reply = reply
        self.calls: list[float | None] = []

    async def __call__(self, envelope: envelope_pb2.Envelope, call: Call) -> envelope_pb2.Envelope:
        self.calls.append(call.time_remaining())
        read = Read(self, opened_at(self.federation, B, envelope))
        self.read.append(read)
        await asyncio.sleep(0)
        return self._reply(read)

    async def stream(self, envelopes: AsyncIterator[envelope_pb2.Envelope], call: Any) -> None:
        self.streams += 1
        raise rpc_error(grpc.StatusCode.UNIMPLEMENTED)


async def at_once(_far: Far, reads: AsyncIterator[Read], write: Writing) -> None:
    """Answer each question as it is read."""
    async for read in reads:
        await write(read.answer())


async def at_the_door(_far: Far, _reads: AsyncIterator[Read], _write: Writing) -> None:
    """Nobody is there."""


def losing_after(answers: int, status: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE) -> Script:
    """The connection is lost when one more question was read than was answered."""

    async def script(_far: Far, reads: AsyncIterator[Read], write: Writing) -> None:
        left = answers
        async for read in reads:
            if not left:
                raise rpc_error(status)
            left -= 1
            await write(read.answer())

    return script


class Chunks:
    """An iterator of chunks that counts how many were taken."""

    def __init__(self, *numbers: int) -> None:
        self._left = list(numbers)
        self.taken = 0

    def __aiter__(self) -> Chunks:
        return self

    async def __anext__(self) -> Chunk:
        if not self._left:
            raise StopAsyncIteration
        self.taken += 1
        number = self._left.pop(0)
        return Chunk(number, asked(number))


class World:
    """A asks, the far end answers, A's store records."""

    def __init__(self, federation: Federation, store: Store) -> None:
        self.federation = federation
        self.store = store
        self.waited: list[float] = []
        self.partners = federation.partners(
            retry=QUICK, sleep=asyncio.sleep, breaker=BreakerSettings(calls=1000, open_s=0.05)
        )

    def leave_alone_after(self, calls: int) -> None:
        """Have B left alone for a second or more after so many failures; waits take no time, by anybody's clock."""
        breaker = BreakerSettings(calls=calls, open_s=2, longest_open_s=2)
        self.partners = self.federation.partners(retry=QUICK, sleep=self._wait, breaker=breaker)

    async def _wait(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.federation.clock.advance(seconds)
        await asyncio.sleep(0)

    def streams(self, window: int = 3) -> Streams:
        return Streams(self.partners, self.store.audit, self.federation.clock, window=window)

    async def ask(self, chunks: Chunks, *, window: int = 3, chunk_s: float = 20.0) -> list[ChunkOutcome]:
        return [each async for each in self.streams(window).ask(B.member_id, chunks, chunk_s=chunk_s)]

    async def recorded(self) -> list[tuple[str, int, str]]:
        """What A's audit trail says: case, outcome and words."""
        events = await self.store.audit.events()
        return [(each.event.case_reference, each.event.outcome, each.event.decision) for each in events]


@contextlib.asynccontextmanager
async def world_of(folder: Path, *scripts: Script) -> AsyncIterator[tuple[World, Far]]:
    federation = Federation()
    far = Far(federation, *scripts)
    federation.at(B, far)
    async with stored(folder, federation.clock) as store:
        yield World(federation, store), far


@contextlib.asynccontextmanager
async def world_of_old(
    folder: Path, reply: Callable[[Read], envelope_pb2.Envelope]
) -> AsyncIterator[tuple[World, Old]]:
    federation = Federation()
    old = Old(federation, reply)
    federation.at(B, old)
    async with stored(folder, federation.clock) as store:
        yield World(federation, store), old


def errors(outcomes: Sequence[ChunkOutcome]) -> dict[int, str]:
    """Why chunks have no answer, by number."""
    return {each.number: each.error.code for each in outcomes if each.error is not None}
