"""The agency's end of CheckMany, against servers on loopback that behave as the tests say."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest

from gateway.clock import FakeClock
from gateway.errors import LostError, RefusedError, WuganError
from gateway.many import client as many_client
from gateway.many import wire
from gateway.many.client import METHOD, RENEW_S, ManyClient
from gateway.services.serving import shutting_down
from gateway.status import abort, to_status
from wugan.agency.v1 import agency_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

SOON_S = 30.0
Context = grpc.aio.ServicerContext[Any, Any]
Messages = AsyncIterator[agency_pb2.CheckManyRequest]
Serve = Callable[[Messages, Context], Awaitable[None]]


def request(number: int) -> agency_pb2.CheckRequest:
    return agency_pb2.CheckRequest(id_number=str(number))


def echoed(question: agency_pb2.CheckManyQuestion) -> bytes:
    response = agency_pb2.CheckResponse(as_of=question.check.id_number)
    return wire.answer(question.number, response.SerializeToString())


def refused(question: agency_pb2.CheckManyQuestion, error: WuganError) -> bytes:
    return wire.refusal(question.number, to_status(error).SerializeToString())


class Gateway:
    """What a server saw, call by call and message by message."""

    def __init__(self, serve: Serve | None = None) -> None:
        self.calls: list[list[agency_pb2.CheckManyRequest]] = []
        self.ended: list[int] = []
        self._serve = serve

    async def many(self, messages: Messages, context: Context) -> None:
        seen: list[agency_pb2.CheckManyRequest] = []
        self.calls.append(seen)
        number = len(self.calls)

        async def noted() -> Messages:
            async for message in messages:
                seen.append(message)
                yield message

        if self._serve is not None:
            await self._serve(noted(), context)
            return
        async for message in noted():
            await context.write(b"".join(map(echoed, message.questions)))
        self.ended.append(number)


@contextlib.asynccontextmanager
async def asking(gateway: Gateway, clock: FakeClock | None = None) -> AsyncIterator[ManyClient]:
    answer = grpc.stream_stream_rpc_method_handler(
        gateway.many, request_deserializer=agency_pb2.CheckManyRequest.FromString
    )
    service, _, name = METHOD.strip("/").partition("/")
    server = grpc.aio.server(handlers=[grpc.method_handlers_generic_handler(service, {name: answer})])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            client = ManyClient(channel, clock or FakeClock(0))
            try:
                yield client
            finally:
                await client.close()
    finally:
        await server.stop(None)


async def asked(client: ManyClient, number: int, timeout_s: float = SOON_S) -> str:
    return (await client.check(request(number), timeout_s)).as_of


async def test_each_has_its_own_answer_and_what_is_asked_together_travels_together() -> None:
    gateway = Gateway()
    async with asking(gateway) as client:
        assert await asyncio.gather(*(asked(client, at) for at in range(600))) == [str(at) for at in range(600)]
    (call,) = gateway.calls
    sizes = [len(message.questions) for message in call]
    assert max(sizes) == wire.MOST_QUESTIONS
    assert len(sizes) <= 4
    assert len({each.number for message in call for each in message.questions}) == 600


async def test_serialized_questions_times_and_traces_arrive_as_they_are() -> None:
    gateway = Gateway()
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with asking(gateway) as client:
        await client.check(request(5).SerializeToString(), 12.5, traceparent=trace)
    (question,) = gateway.calls[0][0].questions
    assert question.check == request(5)
    assert question.timeout_ms == 12_500
    assert question.traceparent == trace


async def test_a_refusal_is_raised_where_it_belongs_with_its_reason() -> None:
    error = RefusedError("no such benefit", "险种无效", reason=words.REFUSAL_REASON_UNKNOWN_BENEFIT, field="benefit")

    async def serve(messages: Messages, context: Context) -> None:
        async for message in messages:
            parts = [refused(each, error) if each.number % 2 else echoed(each) for each in message.questions]
            await context.write(b"".join(parts))

    async with asking(Gateway(serve)) as client:
        results = await asyncio.gather(*(asked(client, at) for at in range(4)), return_exceptions=True)
    refusals = [each for each in results if isinstance(each, WuganError)]
    assert [(each.code, each.field, each.zh) for each in refusals] == [("UNKNOWN_BENEFIT", "benefit", "险种无效")] * 2
    assert len([each for each in results if isinstance(each, str)]) == 2


@pytest.mark.parametrize("ending", ["ok", "stopping", "each refused"])
async def test_what_a_call_ended_without_reading_is_asked_again_over_another(ending: str) -> None:
    async def serve(messages: Messages, context: Context) -> None:
        message = await anext(messages)
        if len(gateway.calls) > 2:
            await context.write(b"".join(map(echoed, message.questions)))
            await anext(messages, None)
        elif ending == "stopping":
            await abort(context, shutting_down())
        elif ending == "each refused":
            await context.write(b"".join(refused(each, shutting_down()) for each in message.questions))

    gateway = Gateway(serve)
    async with asking(gateway) as client:
        assert await asyncio.gather(*(asked(client, at) for at in range(20))) == [str(at) for at in range(20)]
    assert len(gateway.calls) == 3


async def test_it_is_not_asked_again_for_ever() -> None:
    async def serve(messages: Messages, context: Context) -> None:
        await anext(messages)
        await abort(context, shutting_down())

    gateway = Gateway(serve)
    async with asking(gateway) as client:
        with pytest.raises(WuganError) as caught:
            await asked(client, 1)
    assert (caught.value.code, caught.value.retryable) == ("SHUTTING_DOWN", True)
    assert not isinstance(caught.value, LostError), "nobody read it"
    assert len(gateway.calls) == many_client.TRIES


async def test_where_a_call_breaks_off_nothing_is_asked_again_and_everybody_is_told() -> None:
    async def serve(messages: Messages, context: Context) -> None:
        message = await anext(messages)
        await context.write(echoed(message.questions[0]))
        await context.abort(grpc.StatusCode.UNAVAILABLE, "connection reset")

    gateway = Gateway(serve)
    async with asking(gateway) as client:
        results = await asyncio.gather(*(asked(client, at) for at in range(5)), return_exceptions=True)
        assert results[0] == "0"
        assert {each.code for each in results[1:] if isinstance(each, WuganError)} == {"PARTNER_UNAVAILABLE"}
        assert len(gateway.calls) == 1
        assert isinstance(results[4], LostError)
        assert results[4].retryable


async def test_who_refuses_the_call_is_heard_by_all() -> None:
    async def serve(_messages: Messages, context: Context) -> None:
        await abort(context, RefusedError("a stranger", "陌生人", reason=words.REFUSAL_REASON_STRANGER))

    async with asking(Gateway(serve)) as client:
        results = await asyncio.gather(*(asked(client, at) for at in range(3)), return_exceptions=True)
    assert [each.code for each in results if isinstance(each, WuganError)] == ["STRANGER"] * 3
    assert not any(isinstance(each, LostError) for each in results)


async def test_an_answer_without_anything_in_it_is_an_error() -> None:
    async def serve(messages: Messages, context: Context) -> None:
        async for message in messages:
            for each in message.questions:
                empty = agency_pb2.CheckManyAnswer(number=each.number)
                await context.write(agency_pb2.CheckManyResponse(answers=[empty]).SerializeToString())

    async with asking(Gateway(serve)) as client:
        with pytest.raises(LostError, match="ended early"):
            await asked(client, 1)


async def test_an_answer_to_nobody_is_passed_over() -> None:
    async def serve(messages: Messages, context: Context) -> None:
        async for message in messages:
            await context.write(wire.answer(77, b"") + b"".join(map(echoed, message.questions)))

    async with asking(Gateway(serve)) as client:
        assert await asked(client, 1) == "1"


async def test_another_call_is_opened_in_time_and_the_old_one_ends_after_its_last_answer() -> None:
    clock, late = FakeClock(0), asyncio.Event()

    async def serve(messages: Messages, context: Context) -> None:
        number = len(gateway.calls)
        async for message in messages:
            if number == 1 and message.questions[0].check.id_number == "1":
                await late.wait()
            await context.write(b"".join(map(echoed, message.questions)))
        gateway.ended.append(number)

    gateway = Gateway(serve)
    async with asking(gateway, clock) as client:
        slow = asyncio.ensure_future(asked(client, 1))
        while not gateway.calls or not gateway.calls[0]:
            await asyncio.sleep(0.001)
        clock.advance(RENEW_S)
        assert await asked(client, 2) == "2"
        assert (len(gateway.calls), gateway.ended) == (2, [])
        late.set()
        assert await slow == "1"
        while not gateway.ended:
            await asyncio.sleep(0.001)
        assert gateway.ended == [1]
        assert await asked(client, 3) == "3"
    assert len(gateway.calls) == 2


async def test_whoever_gives_up_is_not_waited_for_at_the_gateway() -> None:
    heard: list[int] = []

    async def serve(messages: Messages, _context: Context) -> None:
        async for message in messages:
            heard.extend(message.given_up)

    gateway = Gateway(serve)
    async with asking(gateway) as client:
        waiting = asyncio.ensure_future(asked(client, 1))
        while not gateway.calls or not gateway.calls[0]:
            await asyncio.sleep(0.001)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        with pytest.raises(LostError) as caught:
            await asked(client, 2, timeout_s=0.01)
        assert caught.value.code == "DEADLINE_EXCEEDED"
        numbers = [each.number for message in gateway.calls[0] for each in message.questions]
        while len(heard) < 2:
            await asyncio.sleep(0.001)
    assert heard == [numbers[0], numbers[0] + 1]


async def test_too_many_at_a_time_are_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many_client, "MOST_WAITING", 2)

    async def serve(messages: Messages, _context: Context) -> None:
        async for _ in messages:
            pass

    async with asking(Gateway(serve)) as client:
        waiting = [asyncio.ensure_future(asked(client, at)) for at in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(RefusedError) as caught:
            await asked(client, 3)
        assert (caught.value.code, caught.value.retryable) == ("OVERLOADED", True)
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_what_is_no_question_for_its_size_does_not_get_out() -> None:
    gateway = Gateway()
    async with asking(gateway) as client:
        with pytest.raises(RefusedError) as caught:
            await client.check(b"\0" * (wire.MOST_ASKED_BYTES + 1), SOON_S)
        assert caught.value.code == "TOO_LARGE"
        assert gateway.calls == []
        assert await asked(client, 1) == "1"


async def test_who_waits_when_it_is_closed_is_told() -> None:
    async def serve(messages: Messages, _context: Context) -> None:
        async for _ in messages:
            pass

    gateway = Gateway(serve)
    async with asking(gateway) as client:
        waiting = asyncio.ensure_future(asked(client, 1))
        while not gateway.calls or not gateway.calls[0]:
            await asyncio.sleep(0.001)
        await client.close()
        with pytest.raises(LostError, match="ended early"):
            await waiting


async def test_a_gateway_that_is_not_there_is_told_at_once() -> None:
    async with grpc.aio.insecure_channel("127.0.0.1:9") as channel:
        client = ManyClient(channel, FakeClock(0))
        with pytest.raises(LostError) as caught:
            await asked(client, 1)
        assert (caught.value.code, caught.value.retryable) == ("PARTNER_UNAVAILABLE", True)
        await client.close()
