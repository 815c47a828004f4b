"""Questions that arrive together are answered together: one set lookup, one grading, instead of one for each.

Owns: gathering what arrives while the event loop is busy, 20 ms at most (`gateway.pacing`). A question that is alone is
passed on at once. Refuses: knowing what a question is; who may share a batch is said by the key.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

from gateway.clock import Clock
from gateway.pacing import when_idle

K = TypeVar("K", bound=Hashable)
P = TypeVar("P")
R = TypeVar("R")


class Coalescer(Generic[K, P, R]):
    """Runs parts that share a key in batches.

    Args:
        run: answers a batch within so many seconds, one result a part, in order. What it raises, every part gets.
        limit: parts in one batch at most.
    """

    def __init__(
        self, run: Callable[[K, Sequence[P], float], Awaitable[Sequence[R]]], clock: Clock, *, limit: int
    ) -> None:
        self._run = run
        self._clock = clock
        self._limit = limit
        self._open: dict[K, _Batch[P, R]] = {}

    async def join(self, key: K, part: P, time_s: float, *, alone: bool = False) -> R:
        """The result for one part, which has `time_s` seconds; a batch has the least of its parts' times.

        Args:
            key: what a batch has in common.
            part: what to run.
            time_s: seconds it has.
            alone: nothing else is on its way here: run it now, in the caller's own task.
        """
        if alone and not self._open:
            (result,) = await self._run(key, [part], time_s)
            return result
        loop = asyncio.get_running_loop()
        batch = self._open.get(key)
        if batch is None:
            batch = self._open[key] = _Batch()
            when_idle(loop, self._clock, functools.partial(self._start, key, batch))
        future = batch.add(part, time_s, loop)
        if len(batch.parts) >= self._limit:
            self._open.pop(key, None)
        try:
            return await future
        except asyncio.CancelledError:
            batch.leave()
            raise

    def _start(self, key: K, batch: _Batch[P, R]) -> None:
        if self._open.get(key) is batch:
            del self._open[key]
        if not batch.waiting:
            return  # everybody left before it began
        batch.task = asyncio.get_running_loop().create_task(self._settle(key, batch))

    async def _settle(self, key: K, batch: _Batch[P, R]) -> None:
        try:
            results = await self._run(key, batch.parts, batch.time_s)
        except Exception as error:  # noqa: BLE001  handed to those who wait, who deal with it
            for future in batch.futures:
                if not future.done():
                    future.set_exception(error)
            return
        for future, result in zip(batch.futures, results, strict=True):
            if not future.done():
                future.set_result(result)


class _Batch(Generic[P, R]):
    """Parts that will be, or are being, run together."""

    def __init__(self) -> None:
        self.parts: list[P] = []
        self.futures: list[asyncio.Future[R]] = []
        self.time_s = float("inf")
        self.waiting = 0
        self.task: asyncio.Task[None] | None = None

    def add(self, part: P, time_s: float, loop: asyncio.AbstractEventLoop) -> asyncio.Future[R]:
        future: asyncio.Future[R] = loop.create_future()
        self.parts.append(part)
        self.futures.append(future)
        self.time_s = min(self.time_s, time_s)
        self.waiting += 1
        return future

    def leave(self) -> None:
        """One asker gave up; with the last one the work is given up too."""
        self.waiting -= 1
        if not self.waiting and self.task is not None:
            self.task.cancel()
