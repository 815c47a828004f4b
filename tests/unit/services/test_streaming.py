"""A stream of messages: how far it is read, in what order it is answered, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.errors import RefusedError
from gateway.services.streaming import Stream

SHUT = RuntimeError("shutting down")


class Ends:
    """Both ends of a stream: what comes in, what is worked on, what went out."""

    def __init__(self, *messages: int, window: int = 3) -> None:
        self._messages = list(messages)
        self.window = window
        self.read = 0
        self.answering: dict[int, asyncio.Future[int]] = {}
        self.written: list[int] = []
        self.stopping = asyncio.Event()
        self.may_write = asyncio.Event()
        self.may_write.set()
        self.more = asyncio.Event()

    async def messages(self) -> AsyncIterator[int]:
        for message in self._messages:
            self.read += 1
            yield message
        await self.more.wait()

    async def answer(self, message: int) -> int:
        self.answering[message] = asyncio.get_running_loop().create_future()
        return await self.answering[message]

    async def write(self, answer: int) -> None:
        await self.may_write.wait()
        self.written.append(answer)

    def start(self) -> asyncio.Task[None]:
        stream = Stream(self.messages(), self.answer, self.write, window=self.window)
        return asyncio.ensure_future(stream.run(self.stopping, lambda: SHUT))


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_no_more_than_the_window_is_read(  # the window is what bounds memory here
) -> None:
    ends = Ends(*range(9), window=3)
    running = ends.start()
    await settle()
    assert (ends.read, sorted(ends.answering)) == (3, [0, 1, 2])
    ends.answering[1].set_result(1)
    await settle()
    assert (ends.written, sorted(ends.answering)) == ([1], [0, 1, 2, 3])
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert all(future.done() for future in ends.answering.values()), "work went on for nobody"


async def test_nothing_is_read_while_answers_cannot_leave() -> None:
    ends = Ends(*range(9), window=2)
    ends.may_write.clear()
    running = ends.start()
    await settle()
    ends.answering[0].set_result(0)
    ends.answering[1].set_result(1)
    await settle()
    assert ends.read == 2
    ends.may_write.set()
    await settle()
    assert ends.written == [0, 1]
    assert ends.read == 4
    running.cancel()


async def test_it_ends_after_the_last_answer() -> None:
    ends = Ends(0, 1)
    running = ends.start()
    ends.more.set()
    await settle()
    assert not running.done()
    ends.answering[1].set_result(1)
    ends.answering[0].set_result(0)
    await running
    assert sorted(ends.written) == [0, 1]


async def test_what_fails_lets_those_in_hand_be_answered_first() -> None:
    ends = Ends(*range(9), window=3)
    running = ends.start()
    await settle()
    ends.answering[1].set_exception(ValueError("of the second"))
    await settle()
    ends.answering[2].set_exception(ValueError("of the third"))
    await settle()
    assert not running.done()
    ends.answering[0].set_result(0)
    with pytest.raises(ValueError, match="of the second"):
        await running
    assert (ends.written, ends.read) == ([0], 3)


async def test_a_stop_lets_those_in_hand_be_answered_and_reads_no_more() -> None:
    ends = Ends(*range(9), window=3)
    running = ends.start()
    await settle()
    ends.stopping.set()
    await settle()
    for message in (2, 0, 1):
        ends.answering[message].set_result(message)
    with pytest.raises(RuntimeError, match="shutting down"):
        await running
    assert sorted(ends.written) == [0, 1, 2]
    assert ends.read == 3


async def test_what_failed_before_a_stop_is_what_is_told() -> None:
    ends = Ends(*range(9), window=2)
    running = ends.start()
    await settle()
    ends.stopping.set()
    await settle()
    ends.answering[0].set_exception(ValueError("refused"))
    ends.answering[1].set_result(1)
    with pytest.raises(ValueError, match="refused"):
        await running


async def test_what_was_read_before_a_message_that_cannot_be_read_is_answered_before_the_end() -> None:
    unreadable = RefusedError("unreadable", "无法解析")

    class Broken(Ends):
        async def messages(self) -> AsyncIterator[int]:
            yield 0
            raise unreadable

    ends = Broken()
    running = ends.start()
    await settle()
    assert not running.done()
    ends.answering[0].set_result(0)
    with pytest.raises(RefusedError) as caught:
        await running
    assert (caught.value, ends.written) == (unreadable, [0])
