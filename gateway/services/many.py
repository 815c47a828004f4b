"""Many questions of one agency over one call: each dealt with as a call of its own, and answers that are there together
leave together.

Owns: reading no further than there is room, what is given up, gathering answers, and how such a call ends: what was
read is answered first. Refuses: what becomes of a question (`Desk.take`, and whoever checks).
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

from gateway.errors import RefusedError, WuganError
from gateway.many import wire
from gateway.status import to_status
from wugan.agency.v1 import agency_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

CALLS: Final = 128
"""Such calls open at a time at most, half of them by one member (`Desk.hold`)."""
AT_A_TURN: Final = 32
"""Questions begun in one turn of the event loop at most: what else there is to do comes in between."""
FOR_S: Final = 40.0
"""A call is read for so long. A connection that is closed for its age has a minute of grace (`server`), in which what
was read is answered."""

Write = Callable[[bytes], Awaitable[None]]
Answer = Callable[[agency_pb2.CheckManyQuestion], Awaitable[bytes]]
"""Answers one question: a serialized CheckResponse, or a WuganError."""


class ManyChecks:
    """One call.

    Args:
        answer: answers one question.
        write: sends a serialized CheckManyResponse on its way.
        room: questions in hand at most: being dealt with, or with an answer that has not left. A message that was begun
            is read to its end.
    """

    def __init__(self, answer: Answer, write: Write, *, room: int) -> None:
        self._answer = answer
        self._write = write
        self._room = room
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._leaving = wire.Parcel()
        self._unsent = 0  # answers that wait, or are on their way
        self._something = asyncio.Event()  # there is to write, or nothing will be
        self._roomier = asyncio.Event()
        self._reading = True

    async def run(self, messages: AsyncIterator[agency_pb2.CheckManyRequest], stopping: asyncio.Event) -> bool:
        """Answer what is read; returns once that has left, whether `stopping` ended it.

        Raises:
            RefusedError: a message breaks the rules of the call; what was read before it has been answered.
        """
        reading = asyncio.ensure_future(self._read(messages))
        halt = asyncio.ensure_future(stopping.wait())
        writing = asyncio.ensure_future(self._write_all())
        try:
            await asyncio.wait({reading, halt, writing}, timeout=FOR_S, return_when=asyncio.FIRST_COMPLETED)
            self._reading = False
            self._something.set()
            await writing  # which ends with the last answer
            if reading.done():
                reading.result()
            return halt.done()
        finally:
            left: list[asyncio.Future[Any]] = [reading, halt, writing, *self._tasks.values()]
            for each in left:
                each.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    async def _read(self, messages: AsyncIterator[agency_pb2.CheckManyRequest]) -> None:
        loop = asyncio.get_running_loop()
        async for message in messages:
            if not self._reading:
                return
            if max(len(message.questions), len(message.given_up)) > wire.MOST_QUESTIONS:
                raise _too_many()
            for number in message.given_up:
                if number in self._tasks:
                    self._tasks[number].cancel()
            for at, question in enumerate(message.questions, 1):
                number = question.number
                if number in self._tasks:
                    raise _used_twice()
                task = self._tasks[number] = loop.create_task(self._one(number, question))
                # Not by the task itself: one that is given up before it began never runs.
                task.add_done_callback(functools.partial(self._let_go, number))
                if at % AT_A_TURN == 0:
                    await asyncio.sleep(0)
            while len(self._tasks) + self._unsent >= self._room:
                self._roomier.clear()
                await self._roomier.wait()

    async def _one(self, number: int, question: agency_pb2.CheckManyQuestion) -> None:
        try:
            body = await self._answer(question)
            if len(body) > wire.MOST_ANSWERED_BYTES:
                raise _too_large()
            part = wire.answer(number, body)
        except WuganError as error:
            part = wire.refusal(number, to_status(error).SerializeToString())
        self._leaving.add(part)
        self._unsent += 1
        self._something.set()

    def _let_go(self, number: int, _task: asyncio.Task[None]) -> None:
        del self._tasks[number]
        self._roomier.set()
        self._something.set()

    async def _write_all(self) -> None:
        while self._reading or self._tasks or self._leaving:
            if not self._leaving:
                self._something.clear()
                await self._something.wait()
                continue
            message, count = self._leaving.take()
            await self._write(message)
            self._unsent -= count
            self._roomier.set()


def _too_large() -> RefusedError:
    return RefusedError(
        f"the answer has more than {wire.MOST_ANSWERED_BYTES} bytes; ask for less evidence, or by Check",
        f"答复超过 {wire.MOST_ANSWERED_BYTES} 字节，请减少证据条数，或改用 Check 单独查询",
        reason=words.REFUSAL_REASON_TOO_LARGE,
        field="check.evidence_limit",
    )


def _too_many() -> RefusedError:
    return RefusedError(
        f"too many questions in one message: at most {wire.MOST_QUESTIONS}; send several messages",
        f"单条消息中的查询过多（上限 {wire.MOST_QUESTIONS}），请分多条消息发送",
        reason=words.REFUSAL_REASON_TOO_LARGE,
        field="questions",
    )


def _used_twice() -> RefusedError:
    return RefusedError(
        "questions.number: give each question a number that none waiting for an answer has",
        "questions.number：每个查询须使用与其他未答复查询不同的编号",
        field="questions.number",
    )
