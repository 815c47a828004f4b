"""What arrives together is dealt with together: one envelope, one set lookup, one grading, instead of one for each.

Owns: gathering what arrives while the event loop is busy, 20 ms at most (`gateway.pacing`), or longer where it waited
for longer to arrive; and doing once what is asked twice at the same time. What is alone is passed on at once. Refuses:
knowing what a part is; who may share a batch, and what is the same, is said by the key.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import math
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

from gateway.clock import Clock
from gateway.errors import WuganError
from gateway.observing import tracing
from gateway.pacing import LONGEST_S, OVER_S, Pace, when_idle

SEVERAL = 3.0
"""So many parts from one batch to the next are worth waiting for."""
PACES = 256
"""Keys of which it is known how many parts come; of more, those of the last moment."""
PATIENT_S = 0.25
"""How long what may not begin is gathered for at most, where whatever comes waited as long before it came."""
SPARED = 1 / 8
"""Part of its time that a part is gathered for at most because others wait too."""
ALIKE = 1.1
"""Times of which the longer is no more than so many times the shorter are alike: a batch has the least of its parts'
times, and what has much time must not be cut short by what has little."""

K = TypeVar("K", bound=Hashable)
P = TypeVar("P")
R = TypeVar("R")

_Landed = tuple[R] | tuple[()]
"""A result; nothing where whoever was at it gave up, or failed."""


class Coalescer(Generic[K, P, R]):
    """Runs parts that share a key, and have about the same time, in batches.

    Args:
        run: answers a batch within so many seconds, one result a part, in order. What it raises, every part gets.
        limit: a batch that weighs so much takes no more parts.
        under_way: batches of a key under way at a time, as long as each of them is one part alone; beside a larger one
            none begins. None: any number. What may not begin gathers until it may, 20 ms at most. So a partner with
            little to do makes nobody wait, one with much gets few large batches, and a slow one delays nobody by more
            than that.
        apart_s: how far apart the batches of a key begin while several parts come in that time, seconds.
        waited_s: how long what comes here waited before it came, seconds. Where there is more to do than is got through
            it waits anyway, and the larger the batches are, the less there is to do: so beyond the first 20 ms of that,
            batches begin as far apart, `most_apart_s` at most, and what may not begin gathers as long, `PATIENT_S` at
            most.
    """

    def __init__(
        self,
        run: Callable[[K, Sequence[P], float], Awaitable[Sequence[R]]],
        clock: Clock,
        *,
        limit: int,
        under_way: int | None = None,
        apart_s: float = 0.0,
        most_apart_s: float = 0.0,
        waited_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._apart_s = apart_s
        self._most_apart_s = most_apart_s
        self._waited_s = waited_s
        self._paces: dict[K, Pace] = {}
        self._run = run
        self._clock = clock
        self._limit = limit
        self._most_under_way = under_way
        self._under_way: dict[K, list[int]] = {}  # what those under way weigh
        self._open: dict[K, list[_Batch[P, R]]] = {}  # of a key more than one only where times are not alike

    async def join(self, key: K, part: P, time_s: float, *, weight: int = 1, alone: bool = False) -> R:
        """The result for one part, which has `time_s` seconds; a batch has the least of its parts' times.

        Args:
            key: what a batch has in common.
            part: what to run.
            time_s: seconds it has.
            weight: how much of the limit it takes.
            alone: nothing else is on its way here: run it now, in the caller's own task.
        """
        if alone and not self._open:
            (result,) = await self._run(key, [part], time_s)
            return result
        loop = asyncio.get_running_loop()
        batch = self._batch(key, time_s)
        batch.trace()
        future = batch.add(part, time_s, weight, loop)
        if batch.weight >= self._limit:
            self._start(key, batch)
        elif not batch.due and self._may_begin(key):
            self._make_due(key, batch, self._wait_s(key, batch))
        elif len(batch.parts) == 1:
            loop.call_later(max(LONGEST_S, self._spared_s(batch, PATIENT_S)), self._start, key, batch)
        try:
            return await future
        except asyncio.CancelledError:
            batch.leave()
            raise

    def _batch(self, key: K, time_s: float) -> _Batch[P, R]:
        """The one that gathers for a part with so much time."""
        gathering = self._open.setdefault(key, [])
        for batch in gathering:
            if batch.suits(time_s):
                return batch
        batch = _Batch()
        gathering.append(batch)
        return batch

    def _make_due(self, key: K, batch: _Batch[P, R], wait_s: float) -> None:
        loop = asyncio.get_running_loop()
        batch.due = True
        if wait_s > 0:
            loop.call_later(wait_s, self._start, key, batch)
        else:
            when_idle(loop, self._clock, functools.partial(self._start, key, batch))

    def _wait_s(self, key: K, batch: _Batch[P, R]) -> float:
        pace = self._paces.get(key)
        if pace is None:
            return 0.0
        return pace.wait_s(self._clock.monotonic(), max(self._apart_s, self._spared_s(batch, self._most_apart_s)))

    def _spared_s(self, batch: _Batch[P, R], most_s: float) -> float:
        """How long it may be kept because whatever comes waits as long anyway. A moment of waiting is no sign: what
        came in one batch comes out at once, and those who come then wait for it.
        """
        return min(max(self._waited_s() - LONGEST_S, 0.0), most_s, SPARED * batch.time_s)

    def _note(self, key: K, count: int) -> None:
        """A batch of a key begins."""
        now = self._clock.monotonic()
        pace = self._paces.get(key)
        if pace is None:
            if len(self._paces) >= PACES:
                self._paces = {each: held for each, held in self._paces.items() if now - held.done_at < OVER_S}
            pace = self._paces[key] = Pace(SEVERAL, now - OVER_S)
        pace.done(count, now)

    def _may_begin(self, key: K) -> bool:
        under_way = self._under_way.get(key)
        if under_way is None or self._most_under_way is None:
            return True
        return len(under_way) < self._most_under_way and max(under_way) == 1

    def _start(self, key: K, batch: _Batch[P, R]) -> None:
        gathering = self._open.get(key, [])
        if batch not in gathering:
            return  # it has begun
        gathering.remove(batch)
        if not gathering:
            del self._open[key]
        if not batch.waiting:
            return  # everybody left before it began
        batch.close()
        if self._apart_s:
            self._note(key, len(batch.parts))
        self._under_way.setdefault(key, []).append(batch.weight)
        batch.task = asyncio.get_running_loop().create_task(self._settle(key, batch), context=batch.context)

    async def _settle(self, key: K, batch: _Batch[P, R]) -> None:
        try:
            results = await self._run(key, batch.parts, batch.time_s)
        except asyncio.CancelledError:
            batch.fail(_given_up())  # those who still wait: a channel was closed below, say, and nobody here gave up
            raise
        except Exception as error:  # noqa: BLE001  handed to those who wait, who deal with it
            batch.fail(error)
        else:
            for future, result in zip(batch.futures, results, strict=True):
                if not future.done():
                    future.set_result(result)
        finally:
            self._ended(key, batch.weight)

    def _ended(self, key: K, weight: int) -> None:
        """One batch less is under way: those that gather meanwhile may begin."""
        under_way = self._under_way[key]
        under_way.remove(weight)
        if not under_way:
            del self._under_way[key]
        for waiting in tuple(self._open.get(key, ())):
            if not self._may_begin(key):
                return
            wait_s = self._wait_s(key, waiting)
            if wait_s <= 0:
                self._start(key, waiting)
            elif not waiting.due:
                self._make_due(key, waiting, wait_s)


class _Flight(Generic[R]):
    """What is done for several, and until when whoever does it has time."""

    __slots__ = ("until_s", "waiting")

    def __init__(self, until_s: float) -> None:
        self.until_s = until_s
        self.waiting: list[asyncio.Future[_Landed[R]]] = []


class SingleFlight(Generic[K, R]):
    """Does what several ask for at the same time once, in the task of whoever came first.

    When that one gives up, one of the others begins anew: who asked for it alone must not have it taken away. For the
    same reason nobody waits for one who has much less time left, or much more: with the first it would be over too
    early, with the second too late.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._flights: dict[K, list[_Flight[R]]] = {}

    async def join(self, key: K, run: Callable[[], Awaitable[R]], time_s: float) -> R:
        """The result of `run`, this caller's or that of one who asked for the same, has about as much time left as
        `time_s` seconds, and is still at it.
        """
        until_s = self._clock.monotonic() + time_s
        while (alike := self._alike(key, until_s)) is not None:
            future: asyncio.Future[_Landed[R]] = asyncio.get_running_loop().create_future()
            alike.waiting.append(future)
            theirs = await future
            if theirs:
                return theirs[0]
        flight: _Flight[R] = _Flight(until_s)
        self._flights.setdefault(key, []).append(flight)
        landed: _Landed[R] = ()
        try:
            result = await run()
            landed = (result,)
            return result
        finally:
            self._land(key, flight, landed)

    def _alike(self, key: K, until_s: float) -> _Flight[R] | None:
        """One that may be waited for until then."""
        flights = self._flights.get(key)
        if flights is None:
            return None
        left_s = until_s - self._clock.monotonic()
        return next((each for each in flights if abs(each.until_s - until_s) <= (ALIKE - 1) * left_s), None)

    def _land(self, key: K, flight: _Flight[R], landed: _Landed[R]) -> None:
        """Tell those who wait what came of it."""
        flights = self._flights[key]
        flights.remove(flight)
        if not flights:
            del self._flights[key]
        for future in flight.waiting:
            if not future.done():
                future.set_result(landed)


def _given_up() -> WuganError:
    return WuganError("what was asked was given up on the way; ask again", "查询处理中断，请重新查询", retryable=True)


class _Batch(Generic[P, R]):
    """Parts that will be, or are being, run together."""

    def __init__(self) -> None:
        self.parts: list[P] = []
        self.futures: list[asyncio.Future[R]] = []
        self.time_s = math.inf
        self.longest_s = 0.0
        self.weight = 0
        self.waiting = 0
        self.due = False
        self.task: asyncio.Task[None] | None = None
        # That of the first part, or of the first that is traced: never that of the batch whose end lets this one begin.
        self.context = contextvars.copy_context()

    def trace(self) -> None:
        """Run in the context of the caller's part, if that is traced and none before it was."""
        if tracing.active() and not tracing.active_in(self.context):
            self.context = contextvars.copy_context()

    def suits(self, time_s: float) -> bool:
        """Whether so much time is like that of all its parts."""
        return max(self.longest_s, time_s) <= ALIKE * min(self.time_s, time_s)

    def add(self, part: P, time_s: float, weight: int, loop: asyncio.AbstractEventLoop) -> asyncio.Future[R]:
        future: asyncio.Future[R] = loop.create_future()
        self.parts.append(part)
        self.futures.append(future)
        self.time_s = min(self.time_s, time_s)
        self.longest_s = max(self.longest_s, time_s)
        self.weight += weight
        self.waiting += 1
        return future

    def close(self) -> None:
        """It begins: nothing is run for those who left before."""
        stay = [place for place, future in enumerate(self.futures) if not future.done()]
        if len(stay) < len(self.parts):
            self.parts = [self.parts[place] for place in stay]
            self.futures = [self.futures[place] for place in stay]

    def fail(self, error: Exception) -> None:
        """Whoever waits gets this."""
        for future in self.futures:
            if not future.done():
                future.set_exception(error)

    def leave(self) -> None:
        """One asker gave up; with the last one the work is given up too."""
        self.waiting -= 1
        if not self.waiting and self.task is not None:
            self.task.cancel()
