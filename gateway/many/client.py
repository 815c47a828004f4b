"""The agency's end: a program that asks many questions at a time asks them all over one call, and each of its parts has
its own answer or its own error, as if it had called by itself.

What is asked while a message is on its way goes with the next, so that with few questions none waits, and with many
they travel together. Owns: the call, opening another before the gateway ends it, and asking again what a call ended
without having read. Refuses: asking again where it is not known what became of a question: whoever asked is told.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

import grpc
from google.protobuf.message import DecodeError
from google.rpc import status_pb2

from gateway.clock import Clock
from gateway.errors import LostError, PartnerError, RefusedError, WuganError
from gateway.many import wire
from gateway.status import from_rpc_error, from_status
from wugan.agency.v1 import agency_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

METHOD: Final = "/wugan.agency.v1.AgencyService/CheckMany"
RENEW_S: Final = 20.0
"""A call takes questions for so long; then another is opened. A gateway reads one for twice as long."""
TRIES: Final = 5
"""Calls that may end one after the other without having read a question."""
MOST_WAITING: Final = 4096
"""Questions that wait for their answers at most; one more is refused at once."""
_LONGEST_S: Final = 86_400.0


class ManyClient:
    """Asks the agency's gateway many questions at a time (`AgencyService.CheckMany`).

    Args:
        channel: to the gateway (`gateway.channels.agency_channel`); stays its owner's.
        clock: the time.
    """

    def __init__(self, channel: grpc.aio.Channel, clock: Clock) -> None:
        self._channel = channel
        self._clock = clock
        self._current: _Call | None = None
        self._calls: set[_Call] = set()
        self._waiting = 0

    async def check(
        self, check: agency_pb2.CheckRequest | bytes, timeout_s: float, *, traceparent: str = ""
    ) -> agency_pb2.CheckResponse:
        """The answer to one question.

        Args:
            check: the question, or its serialized form.
            timeout_s: time for the answer, seconds; up to a day.
            traceparent: W3C trace context of whoever asks.

        Raises:
            RefusedError: OVERLOADED; too many wait for an answer here already. TOO_LARGE; this is no such question.
            LostError: PARTNER_UNAVAILABLE, it was not reached, or the call broke off; DEADLINE_EXCEEDED.
            WuganError: what the gateway refused the question with.
        """
        if self._waiting >= MOST_WAITING:
            raise _too_many_wait()
        body = check if isinstance(check, bytes) else check.SerializeToString()
        if len(body) > wire.MOST_ASKED_BYTES:
            raise _too_large()
        until = self._clock.monotonic() + min(max(timeout_s, 0.001), _LONGEST_S)
        self._waiting += 1
        try:
            async with asyncio.timeout(until - self._clock.monotonic()):
                for _ in range(TRIES):
                    left_ms = max(1, round((until - self._clock.monotonic()) * 1000))
                    response = await self._call().ask(body, left_ms, traceparent)
                    if response is not None:
                        return response
        except TimeoutError as error:
            raise _late() from error
        finally:
            self._waiting -= 1
        raise _nobody_reads()

    async def close(self) -> None:
        """End the calls; whoever still waits is told that."""
        for call in tuple(self._calls):
            await call.close()

    def _call(self) -> _Call:
        """The one that takes questions now."""
        now = self._clock.monotonic()
        current = self._current
        if current is None or current.ended or now - current.opened_at >= RENEW_S:
            if current is not None:
                current.finish()
            current = self._current = _Call(self._channel, now, self._calls.discard)
            self._calls.add(current)
        return current


class _Call:
    """One call: questions that wait for their answers, by number.

    Args:
        channel: over which.
        now: monotonic time, seconds.
        gone: told when it has ended.
    """

    def __init__(self, channel: grpc.aio.Channel, now: float, gone: Callable[[_Call], None]) -> None:
        self.opened_at = now
        self.ended = False
        """It takes no more questions."""
        self._call: grpc.aio.StreamStreamCall[bytes, agency_pb2.CheckManyResponse] = channel.stream_stream(
            METHOD, None, agency_pb2.CheckManyResponse.FromString
        )()
        self._gone = gone
        self._waiting: dict[int, asyncio.Future[agency_pb2.CheckResponse | None]] = {}
        self._leaving = wire.Parcel()
        self._more = asyncio.Event()
        self._number = 0
        self._tasks = [asyncio.ensure_future(self._read()), asyncio.ensure_future(self._write())]

    async def ask(self, check: bytes, timeout_ms: int, traceparent: str) -> agency_pb2.CheckResponse | None:
        """The answer; None where the call ended without the question's having been taken up.

        Raises:
            WuganError: the question was refused, or the call broke off.
        """
        self._number = number = self._number + 1
        answered: asyncio.Future[agency_pb2.CheckResponse | None] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answered
        self._send(wire.question(number, check, timeout_ms, traceparent))
        try:
            return await answered
        except asyncio.CancelledError:
            if self._waiting.pop(number, None) is not None and not self.ended:
                self._send(wire.given_up(number))
            raise

    def finish(self) -> None:
        """Take no more questions; it ends by itself after the last answer."""
        self.ended = True
        self._more.set()

    async def close(self) -> None:
        """End it now."""
        self.ended = True
        self._call.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _send(self, part: bytes) -> None:
        self._leaving.add(part)
        self._more.set()

    async def _write(self) -> None:
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # `_read` tells why it ended
            while self._leaving or not self.ended:
                if not self._leaving:
                    self._more.clear()
                    await self._more.wait()
                    continue
                message, _ = self._leaving.take()
                await self._call.write(message)
            await self._call.done_writing()

    async def _read(self) -> None:
        ended: WuganError | None = _broken_off()
        try:
            async for message in self._call:
                for answer in message.answers:
                    waiting = self._waiting.pop(answer.number, None)
                    if waiting is not None:
                        _settle(waiting, answer.response if answer.HasField("response") else _refusal_in(answer))
            ended = None
        except grpc.aio.AioRpcError as failed:
            ended = from_rpc_error(failed) or _unreachable(failed.code().name)
        finally:
            self.ended = True
            self._tasks[1].cancel()
            self._gone(self)
            for waiting in self._waiting.values():
                _settle(waiting, ended)
            self._waiting.clear()


def _settle(
    waiting: asyncio.Future[agency_pb2.CheckResponse | None], outcome: agency_pb2.CheckResponse | WuganError | None
) -> None:
    """Hand over what became of a question; nothing where it was not taken up, because the gateway stops."""
    if waiting.done():
        return
    if not isinstance(outcome, WuganError):
        waiting.set_result(outcome)
    elif outcome.reason == words.REFUSAL_REASON_SHUTTING_DOWN:
        waiting.set_result(None)
    else:
        waiting.set_exception(outcome)


def _refusal_in(answer: agency_pb2.CheckManyAnswer) -> WuganError:
    try:
        return from_status(status_pb2.Status.FromString(answer.refusal)) or _broken_off()
    except DecodeError:
        return _broken_off()


def _unreachable(code: str) -> LostError:
    return LostError(
        f"the gateway cannot be reached, or the connection broke off ({code}); ask again",
        f"无法连接网关，或连接中断（{code}），请重新查询",
    )


def _broken_off() -> LostError:
    return LostError("the call to the gateway ended early; ask again", "与网关的调用提前结束，请重新查询")


def _nobody_reads() -> PartnerError:
    return PartnerError(
        "the gateway is shutting down, again and again; ask again shortly",
        "网关正在停机，请稍后重新查询",
        reason=words.REFUSAL_REASON_SHUTTING_DOWN,
    )


def _late() -> LostError:
    return LostError(
        "no answer in time; allow more time",
        "未在时限内得到答复，请延长时限",
        reason=words.REFUSAL_REASON_DEADLINE_EXCEEDED,
    )


def _too_large() -> RefusedError:
    return RefusedError(
        f"a question has at most {wire.MOST_ASKED_BYTES} bytes",
        f"单个查询至多 {wire.MOST_ASKED_BYTES} 字节",
        reason=words.REFUSAL_REASON_TOO_LARGE,
    )


def _too_many_wait() -> RefusedError:
    return RefusedError(
        f"{MOST_WAITING} questions wait for their answers already; ask again once some have them",
        f"已有 {MOST_WAITING} 个查询在等待答复，请稍后再查询",
        reason=words.REFUSAL_REASON_OVERLOADED,
        retryable=True,
    )
