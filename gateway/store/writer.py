"""Group commit: whatever is waiting is written in one transaction, with one fsync, and by one at a time.

Owns: the queue, the thread that writes, and the waking of those who wait. Refuses: connections and transactions
(`gateway.store.committing`), knowing what is written (a `Kind` does), and reading.

When to commit: a commit costs as much processor time as answering a question, so a busy gateway should make few and a
quiet one should not wait. Operations gather for as long as the event loop has other work, and 20 ms at most
(`gateway.pacing`). A loop with nothing else to do commits after one round; one that is busy commits some fifty times
a second, however much it writes.

Where: in a thread of its own. But a call that is alone has what is brief written in the event loop itself, if the
database is embedded and its disk quick: to hand it to the thread, with which the loop shares the interpreter, costs
more than such a commit, and there is nobody else whom the loop could serve meanwhile. Where that call itself has more
to do, the thread waits for the disk in its stead, which takes hardly any of the interpreter; unless the disk is quicker
than the two are about it. What finds the database locked goes to the thread; after a commit that was slow, all does for
a while.

All or nothing: when a transaction fails, everyone in it gets a StoreError and nothing of it was written.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final, TypeVar

import sqlalchemy as sa
import structlog

from gateway.clock import Clock
from gateway.pacing import LONGEST_S, when_idle
from gateway.store.committing import FAILED, Committing, Kind, LockedError, Written, is_brief
from gateway.store.faults import closed, failed, overloaded
from gateway.store.sparing import Quick, Sparing

_log = structlog.stdlib.get_logger(__name__)

T = TypeVar("T")
P = TypeVar("P")


HERE_AT_MOST: Final = 16
"""Operations written in the event loop at once."""
HERE_IN_A_ROW: Final = 64
"""So many batches written there, then one by the thread: it keeps SQLite's log of writes short, which takes longer."""

_Outcomes = list[tuple["asyncio.Future[Any]", Any]]
_Operation = tuple[Kind[Any, Any], Any, "asyncio.Future[Any]"]
_Handed = list[_Operation] | Written["asyncio.Future[Any]"] | None
"""What the thread is to write; or what was written in the event loop, to wait for the disk; None: it is to stop."""


class Writer:
    """What writes, for one event loop at a time."""

    def __init__(
        self,
        engine: sa.Engine,
        clock: Clock,
        *,
        limit: int,
        alone: Callable[[], bool] = lambda: False,
        connect: Callable[[], sa.Connection] | None = None,
    ) -> None:
        """A writer.

        Args:
            engine: of the database.
            clock: tells how busy the event loop is.
            limit: operations that may be under way; more are refused.
            alone: whether there is nobody to share a commit with, so that none is waited for.
            connect: makes the connection that is written through, where that is not the engine's affair.
        """
        self._clock = clock
        self._limit = limit
        self._alone = alone
        self._open = True
        # Of the event loop: what gathers.
        self._gathered: list[_Operation] = []
        self._due = False
        self._behind: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        # Between the two: what was handed over, and how many operations; the thread counts what it wrote.
        self._queue: SimpleQueue[_Handed] = SimpleQueue()
        self._handed_over = 0
        self._written = 0
        # What the thread is through with, for the event loop of each.
        self._ended: deque[tuple[asyncio.AbstractEventLoop, _Outcomes]] = deque()
        self._aside = Committing(engine, connect=connect)  # of the thread
        # Of the event loop while the thread has nothing to do: batches written there since the thread wrote one.
        self._here = Committing(engine, patient=False)
        self._embedded = engine.dialect.name == "sqlite"
        if self._embedded:
            self._here.connect()  # now, because that takes longer than a commit
        self._in_a_row = 0
        self._sparing = Sparing()
        self._quick = Quick()  # told by whoever commits
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Operations submitted whose transaction has not ended."""
        return len(self._gathered) + self._handed_over - self._written

    def submit(
        self,
        kind: Kind[P, T],
        payload: P,
        *,
        more: bool = False,
        now: bool = False,
        behind: bool = False,
        meanwhile: bool = False,
    ) -> asyncio.Future[T]:
        """Have it written; the future's result comes once it is on the disk. Call it from the event loop.

        What is submitted first is on the disk first, or at the same time. Cancelling the future does not undo the
        write.

        Args:
            kind: how it is written.
            payload: what is written.
            more: something else is submitted right after it, to be committed with it.
            now: it was gathered for long enough already.
            behind: nobody waits for it: it is written with what is submitted next, or by itself after 20 ms.
            meanwhile: the caller has something else to do before it needs to know that it is on the disk.

        Raises:
            StoreError: OVERLOADED, too much is waiting; SHUTTING_DOWN, the store is closed. The future raises
                StoreError when the write failed.
        """
        if not self._open:
            raise closed()
        if self.waiting >= self._limit:
            raise overloaded()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._gathered.append((kind, payload, future))
        if self._loop is not loop:
            self._loop, self._due, self._behind = loop, False, None
        if behind:
            if not self._due and self._behind is None:
                self._behind = loop.call_later(LONGEST_S, self._hand_over)
        elif (alone := not more and self._alone()) or now:
            if not self._write_here(loop, alone=alone, meanwhile=meanwhile):
                self._hand_over()
        elif not self._due:
            self._due = True
            when_idle(loop, self._clock, self._hand_over)
        return future

    def _hand_over(self) -> None:
        if batch := self._taken():
            self._in_a_row = 0
            self._handed_over += len(batch)
            self._queue.put(batch)

    def _taken(self) -> list[_Operation]:
        """What was gathered; from now on it gathers anew."""
        self._due = False
        if self._behind is not None:
            self._behind.cancel()
            self._behind = None
        batch, self._gathered = self._gathered, []
        return batch

    def _write_here(self, loop: asyncio.AbstractEventLoop, *, alone: bool, meanwhile: bool) -> bool:
        """Write what was gathered in the event loop, if it may be; whether it was. The thread waits for the disk if
        there is something to do `meanwhile`, and the disk is not quick. `alone`: it is known that the call is.
        """
        batch = self._gathered
        began = self._clock.monotonic()
        if (
            not self._embedded
            or self._handed_over != self._written  # the thread is at it
            or self._in_a_row >= HERE_IN_A_ROW
            or began < self._sparing.until
            or len(batch) > HERE_AT_MOST
            or not (alone or self._alone())
        ):
            return False
        for kind, payload, future in batch:
            if not is_brief(kind, payload) or future.get_loop() is not loop:
                return False
        try:
            written = self._here.write(batch)
        except LockedError:
            return False
        self._taken()
        self._in_a_row += 1
        if meanwhile and not self._quick:
            self._handed_over += len(batch)
            self._queue.put(written)
        else:
            _resolve(self._committed(written))
        self._sparing.took(began, self._clock.monotonic())
        return True

    async def close(self) -> None:
        """Write what is waiting, then stop. Returns when the thread has ended."""
        if self._open:
            self._open = False
            self._hand_over()
            self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        self._here.disconnect()

    def _run(self) -> None:
        queue = self._queue
        running = True
        while running:
            batch: list[_Operation] = []
            while running and not (batch and queue.empty()):
                handed = queue.get()
                if handed is None:
                    running = False
                elif isinstance(handed, Written):
                    self._end(self._committed(handed))
                else:
                    batch += handed
            if batch:
                self._end(self._aside.commit(batch))
        self._aside.disconnect()

    def _committed(self, written: Written[asyncio.Future[Any]]) -> _Outcomes:
        """The outcomes of what was written in the event loop, once it is on the disk."""
        began = self._clock.monotonic()
        outcomes = self._here.end(written)
        self._quick.took(self._clock.monotonic() - began)
        return outcomes

    def _end(self, outcomes: _Outcomes) -> None:
        """Wake those who wait: one call into each event loop, however many wait there."""
        loops: dict[asyncio.AbstractEventLoop, _Outcomes] = {}
        for outcome in outcomes:
            loops.setdefault(outcome[0].get_loop(), []).append(outcome)
        self._ended.extend(loops.items())
        self._written += len(outcomes)
        for loop, pairs in loops.items():
            _call(loop, self.wake, pairs)

    def wake(self) -> None:
        """Give those of this event loop whose write has ended its result: now, and not in the loop's next round."""
        here = asyncio.get_running_loop()
        while self._ended:
            loop, pairs = self._ended.popleft()
            if loop is here:
                _resolve(pairs)
            elif not loop.is_closed():
                _call(loop, functools.partial(_resolve, pairs), pairs)


def _call(loop: asyncio.AbstractEventLoop, run: Callable[[], None], pairs: _Outcomes) -> None:
    try:
        loop.call_soon_threadsafe(run)
    except RuntimeError:  # the loop was closed: nobody waits there any more
        _log.warning("store results not collected", operations=len(pairs))


def _resolve(pairs: _Outcomes) -> None:
    for future, result in pairs:
        if future.done():
            continue
        if result is FAILED:
            future.set_exception(failed())
        else:
            future.set_result(result)
