"""A stream of messages, each answered as soon as it can be, so many in hand at once.

Owns: reading no further than the window allows, and the end of a stream: what fails, or a stop of the gateway, lets
what is in hand be answered first, and then is the stream's status. Refuses: knowing what the messages are.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Generic, TypeVar

from gateway.errors import WuganError

Q = TypeVar("Q")
A = TypeVar("A")


class Stream(Generic[Q, A]):
    """One stream.

    Args:
        messages: read one after another, while fewer than `window` are in hand.
        answer: answers one.
        write: sends an answer on its way; while that waits, nothing is read.
        window: messages in hand at most.
    """

    def __init__(
        self,
        messages: AsyncIterator[Q],
        answer: Callable[[Q], Awaitable[A]],
        write: Callable[[A], Awaitable[None]],
        *,
        window: int,
    ) -> None:
        self._messages = messages
        self._answer = answer
        self._write = write
        self._window = window
        self._in_hand: dict[asyncio.Task[A], int] = {}
        self._reading: asyncio.Task[Q | None] | None = None
        self._failed: dict[int, BaseException] = {}
        self._more = True
        self._read = 0

    async def run(self, stopping: asyncio.Event, stopped: Callable[[], Exception]) -> None:
        """Answer every message; return once there are no more.

        Args:
            stopping: nothing is read any more once this is set.
            stopped: what the stream ends with then.

        Raises:
            Exception: what the first message that failed, in the order of reading, failed with, or `stopped`; those
                read besides it have been answered.
        """
        halt = asyncio.ensure_future(stopping.wait())
        try:
            while self._more or self._in_hand:
                waiting: set[asyncio.Task[Any]] = {*self._in_hand}
                if self._more:
                    waiting.add(halt)
                    if self._reading is None and len(self._in_hand) < self._window:
                        self._reading = asyncio.ensure_future(_next(self._messages))
                    if self._reading is not None:
                        waiting.add(self._reading)
                done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                if self._more and halt in done:
                    self._fail(self._read, stopped())
                elif self._reading in done:
                    self._take(self._reading)
                for task in [task for task in self._in_hand if task in done]:
                    await self._give(task)
        finally:
            left = [each for each in (halt, self._reading, *self._in_hand) if each is not None]
            for each in left:
                each.cancel()
            await asyncio.gather(*left, return_exceptions=True)
        if self._failed:
            raise self._failed[min(self._failed)]

    def _take(self, reading: asyncio.Task[Q | None]) -> None:
        """A message was read, or cannot be, or there are no more."""
        self._reading = None
        try:
            message = reading.result()
        except WuganError as error:
            self._fail(self._read, error)
            return
        if message is None:
            self._more = False
        else:
            self._in_hand[asyncio.ensure_future(self._answer(message))] = self._read
            self._read += 1

    async def _give(self, task: asyncio.Task[A]) -> None:
        """A message was answered, or failed."""
        place = self._in_hand.pop(task)
        error = task.exception()
        if error is None:
            await self._write(task.result())
        else:
            self._fail(place, error)

    def _fail(self, place: int, error: BaseException) -> None:
        self._more = False
        self._failed[place] = error


async def _next(messages: AsyncIterator[Q]) -> Q | None:
    return await anext(messages, None)
