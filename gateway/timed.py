"""A limit of time on what a task does: `asyncio.timeout_at` without its two coroutines and its states.

Owns: cancelling the task when the time is over, and telling that apart from its being cancelled by somebody else.
Refuses: being moved or looked at; `asyncio.timeout_at` is for that.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self


class over_at:  # noqa: N801  reads as a function
    """What is awaited in the block is given up at a time of the event loop.

    with over_at(loop, loop.time() + 5.0):
        ...                                     # in a task

    Raises:
        TimeoutError: from the end of the block, where it was.
    """

    __slots__ = ("_before", "_loop", "_over", "_task", "_timer", "_when")

    def __init__(self, loop: asyncio.AbstractEventLoop, when: float) -> None:
        self._loop = loop
        self._when = when
        self._over = False

    def __enter__(self) -> Self:
        task = asyncio.current_task(self._loop)
        if task is None:
            raise RuntimeError("only what a task does has a limit")
        self._task = task
        self._before = task.cancelling()
        # What `call_at` of uvloop does, too, by way of one function more.
        self._timer = self._loop.call_later(self._when - self._loop.time(), self._end)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._over and self._task.uncancel() <= self._before and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _end(self) -> None:
        self._over = True
        self._task.cancel()
