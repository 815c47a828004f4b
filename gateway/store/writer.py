"""Group commit: one thread that writes whatever is waiting in one transaction, with one fsync.

Owns: the queue, the writing connection, the transaction, and the waking of those who wait. Refuses: knowing what it
writes (a `Kind` does), and reading.

When to commit: a commit costs as much processor time as answering a question, so a busy gateway should make few and a
quiet one should not wait. Operations gather for as long as the event loop has other work, and 20 ms at most
(`gateway.pacing`). A loop with nothing else to do commits after one round; one that is busy commits some fifty times
a second, however much it writes.

All or nothing: when a transaction fails, everyone in it gets a StoreError and nothing of it was written. The connection
is thrown away and a new one opened for the next batch, so that a database that comes back is used again.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import SQLAlchemyError

from gateway.clock import Clock
from gateway.log import described
from gateway.observing import calls
from gateway.pacing import LONGEST_S, when_idle
from gateway.store.faults import closed, failed, overloaded
from gateway.store.rows import Transaction

_log = structlog.stdlib.get_logger(__name__)

PayloadT_contra = TypeVar("PayloadT_contra", contravariant=True)
ResultT_co = TypeVar("ResultT_co", covariant=True)
T = TypeVar("T")
P = TypeVar("P")


class Kind(Protocol[PayloadT_contra, ResultT_co]):
    """One kind of write. All that wait of one kind are applied together, in the order in which they were submitted."""

    def apply(self, transaction: Transaction, payloads: Sequence[PayloadT_contra]) -> Sequence[ResultT_co]:
        """Write them; one result for each. Runs in the writer's thread. Whatever it raises fails the transaction."""
        ...


_Operation = tuple[Kind[Any, Any], Any, "asyncio.Future[Any]"]


class Writer:
    """The one thread that writes, for one event loop at a time."""

    def __init__(
        self, engine: sa.Engine, clock: Clock, *, limit: int, alone: Callable[[], bool] = lambda: False
    ) -> None:
        """A writer.

        Args:
            engine: of the database.
            clock: tells how busy the event loop is.
            limit: operations that may be under way; more are refused.
            alone: whether there is nobody to share a commit with, so that none is waited for.
        """
        self._engine = engine
        self._clock = clock
        self._limit = limit
        self._alone = alone
        self._open = True
        # Of the event loop: what gathers.
        self._gathered: list[_Operation] = []
        self._due = False
        self._behind: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        # Between the two: what was handed over (None: stop), and how many operations; the thread counts what it wrote.
        self._queue: SimpleQueue[list[_Operation] | None] = SimpleQueue()
        self._handed_over = 0
        self._written = 0
        # Of the thread.
        self._transaction: Transaction | None = None
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Operations submitted whose transaction has not ended."""
        return len(self._gathered) + self._handed_over - self._written

    def submit(
        self, kind: Kind[P, T], payload: P, *, more: bool = False, now: bool = False, behind: bool = False
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
        elif now or (self._alone() and not more):
            self._hand_over()
        elif not self._due:
            self._due = True
            when_idle(loop, self._clock, self._hand_over)
        return future

    def _hand_over(self) -> None:
        self._due = False
        if self._behind is not None:
            self._behind.cancel()
            self._behind = None
        if self._gathered:
            self._handed_over += len(self._gathered)
            self._queue.put(self._gathered)
            self._gathered = []

    async def close(self) -> None:
        """Write what is waiting, then stop. Returns when the thread has ended."""
        if self._open:
            self._open = False
            self._hand_over()
            self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        queue = self._queue
        running = True
        while running:
            batch: list[_Operation] = []
            while running and not (batch and queue.empty()):
                taken = queue.get()
                if taken is None:
                    running = False
                else:
                    batch += taken
            if batch:
                self._write(batch)
                self._written += len(batch)
        self._disconnect()

    def _write(self, batch: list[_Operation]) -> None:
        groups: dict[Kind[Any, Any], tuple[list[Any], list[asyncio.Future[Any]]]] = {}
        for kind, payload, future in batch:
            payloads, futures = groups.setdefault(kind, ([], []))
            payloads.append(payload)
            futures.append(future)
        outcomes: list[tuple[asyncio.Future[Any], Any]] = []
        began = calls.now()
        fault = ""
        try:
            transaction = self._transaction or self._connect()
            with transaction:
                for kind, (payloads, futures) in groups.items():
                    outcomes += zip(futures, kind.apply(transaction, payloads), strict=True)
        except Exception as error:  # noqa: BLE001  those who wait must hear of it, and the thread must go on
            fault = described(error)
            _log.error("store write failed", operations=len(batch), fault=fault)
            self._disconnect()
            outcomes = [(future, _FAILED) for _, _, future in batch]
        calls.store_wrote(began, len(batch), failed=bool(fault))
        _deliver(outcomes)

    def _connect(self) -> Transaction:
        self._transaction = Transaction(self._engine.connect())
        return self._transaction

    def _disconnect(self) -> None:
        if self._transaction is None:
            return
        connection, self._transaction = self._transaction.connection, None
        try:
            connection.invalidate()
            connection.close()
        except SQLAlchemyError as error:
            _log.warning("store connection did not close", error=type(error).__name__)


_FAILED = object()


def _deliver(outcomes: list[tuple[asyncio.Future[Any], Any]]) -> None:
    """Wake those who wait: one call into each event loop, however many wait there."""
    loops: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any]]] = {}
    for outcome in outcomes:
        loops.setdefault(outcome[0].get_loop(), []).append(outcome)
    for loop, pairs in loops.items():
        try:
            loop.call_soon_threadsafe(_resolve, pairs)
        except RuntimeError:  # the loop was closed: nobody waits there any more
            _log.warning("store results not collected", operations=len(pairs))


def _resolve(pairs: list[tuple[asyncio.Future[Any], Any]]) -> None:
    for future, result in pairs:
        if future.done():
            continue
        if result is _FAILED:
            future.set_exception(failed())
        else:
            future.set_result(result)
