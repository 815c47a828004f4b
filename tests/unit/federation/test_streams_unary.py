"""A roster on its way to a member that knows no streams: the same questions by calls of their own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest

from gateway.errors import EnvelopeError
from gateway.federation.stream_unary import UnaryStream
from tests.unit.federation.streams_world import Chunks, Read, errors, world_of_old
from tests.unit.services.gateways_world import rpc_error, status_of
from wugan.federation.v1 import envelope_pb2, exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words


async def test_every_chunk_is_asked_by_a_call_of_its_own_with_the_time_of_its_envelope(tmp_path: Path) -> None:
    async with world_of_old(tmp_path, Read.answer) as (world, old):
        outcomes = await world.ask(Chunks(*range(7)), window=3, chunk_s=40.0)
        assert {each.number for each in outcomes} == set(range(7))
        assert not errors(outcomes)
        assert old.streams == 1
        assert sorted(old.numbers()) == list(range(7))
        assert all(left is not None and 20 < left <= 40 for left in old.calls)
        assert all(len(each.sent) == 1 for each in outcomes)
        assert sorted(await world.recorded()) == [(f"chunk {number}", 0, "") for number in range(7)]


async def test_what_is_lost_is_sent_again_and_what_is_refused_for_good_is_the_outcome_of_its_chunk(
    tmp_path: Path,
) -> None:
    lost = [2, 4]

    def reply(read: Read) -> envelope_pb2.Envelope:
        if read.number in lost:
            lost.remove(read.number)
            raise rpc_error(grpc.StatusCode.UNAVAILABLE)
        if read.number == 5:
            raise status_of(EnvelopeError("no", "不", reason=words.REFUSAL_REASON_ENVELOPE_REJECTED))
        return read.answer()

    async with world_of_old(tmp_path, reply) as (world, old):
        outcomes = await world.ask(Chunks(*range(8)))
        assert errors(outcomes) == {5: "ENVELOPE_REJECTED"}
        assert old.streams == 1
        assert {old.numbers().count(number) for number in (2, 4)} == {2}


async def test_a_signed_refusal_for_now_is_asked_again(tmp_path: Path) -> None:
    def reply(read: Read) -> envelope_pb2.Envelope:
        first = old.numbers().count(read.number) == 1
        refusal = exchange_pb2.Refusal(
            reason=words.REFUSAL_REASON_QUOTA_EXCEEDED, message_en="no", retryable=True, retry_after_ms=30
        )
        return read.answer(refusal=refusal) if first and read.number == 1 else read.answer()

    async with world_of_old(tmp_path, reply) as (world, old):
        assert not errors(await world.ask(Chunks(0, 1, 2)))
        assert sorted(old.numbers()) == [0, 1, 1, 2]


class Stub:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.waiting: list[asyncio.Future[envelope_pb2.Envelope]] = []

    async def Exchange(self, _envelope: envelope_pb2.Envelope, *, timeout: float) -> envelope_pb2.Envelope:
        self.waiting.append(asyncio.get_running_loop().create_future())
        return await self.waiting[-1]


async def test_at_a_failure_nothing_more_is_sent_and_the_rest_is_answered_first() -> None:
    stub = Stub()
    stream = UnaryStream(stub)
    for _ in range(3):
        await stream.write(envelope_pb2.Envelope())
    await asyncio.sleep(0)
    stub.waiting[1].set_exception(rpc_error(grpc.StatusCode.UNAVAILABLE))
    reading = asyncio.ensure_future(stream.read())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not reading.done()
    with pytest.raises(asyncio.InvalidStateError):
        await stream.write(envelope_pb2.Envelope())
    for place in (2, 0):
        stub.waiting[place].set_result(envelope_pb2.Envelope(header=bytes([place])))
        assert (await reading).header == bytes([place])
        reading = asyncio.ensure_future(stream.read())
    with pytest.raises(grpc.aio.AioRpcError):
        await reading


async def test_whoever_reads_is_cancelled_with_it_and_the_end_is_told() -> None:
    stream = UnaryStream(Stub())
    await stream.write(envelope_pb2.Envelope())
    reading = asyncio.ensure_future(stream.read())
    await asyncio.sleep(0)
    assert not stream.done()
    stream.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    ended = UnaryStream(Stub())
    await ended.done_writing()
    assert await ended.read() is grpc.aio.EOF
