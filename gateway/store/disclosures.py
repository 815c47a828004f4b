"""Recording that answers were given again: many at a time, because giving one again costs little else.

Owns: gathering such events into one operation of the writer, until every call under way waits for it, and as many as
there were lately, 8 ms at most, or as long as calls wait before they are taken up. What is alone, and was so the last
time, is written at once. Where many are under way a commit would else be made for each few that happen to come
together, and cost more than all that is written by it.
Refuses: letting anything of it out before it is on the disk; whoever discloses awaits the future.

A timer, and not `gateway.pacing`: watching for an idle loop takes a round of it each time, which is much beside the
little that is to be done for a call here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from gateway.errors import StoreError
from gateway.store.audit import Appending
from gateway.store.chain import Content
from gateway.store.keys import StoreKeys
from gateway.store.rows import Transaction
from gateway.store.writer import Writer

GATHER_S: Final = 0.008
"""Shorter than the writer's own 20 ms: those who wait hold back the next calls of the same agencies."""
MOST_GATHER_S: Final = 0.04
"""The same while calls wait as long before they are taken up: they would be held back anyway."""


BRIEF_AT_MOST: Final = 16
"""Disclosures that are written in no time."""


class _AppendingAll:
    """How gathered events are written: one after another to the end of the chain."""

    def __init__(self, keys: StoreKeys) -> None:
        self._appending = Appending(keys)

    def brief(self, contents: Sequence[Content]) -> bool:
        """Where they are few."""
        return len(contents) <= BRIEF_AT_MOST

    def apply(self, transaction: Transaction, payloads: Sequence[Sequence[Content]]) -> list[None]:
        self._appending.apply(transaction, [content for contents in payloads for content in contents])
        return [None] * len(payloads)


class Disclosures:
    """See the module."""

    def __init__(
        self,
        writer: Writer,
        keys: StoreKeys,
        calls: Callable[[], int],
        waited_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """`calls`: how many are under way; `waited_s`: how long they wait before they are taken up, seconds."""
        self._writer = writer
        self._calls = calls
        self._waited_s = waited_s
        self._timer: asyncio.TimerHandle | None = None
        self._appending = _AppendingAll(keys)
        self._most = self._most_before = 0
        """Calls that were seen under way, this time and the last."""
        self._gathered: list[Content] = []
        self._waiting: list[asyncio.Future[None]] = []

    def submit(self, contents: Sequence[Content]) -> asyncio.Future[None]:
        """Have disclosures recorded. Await the future before they are made: then they are on the disk.

        Raises:
            StoreError: the future does, when the write failed, too much is waiting, or the store is closed.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._gathered += contents
        self._waiting.append(future)
        self._most = max(self._most, self._calls())
        if len(self._waiting) >= max(self._most, self._most_before):
            self._hand_over()
        elif self._timer is None:
            gather_s = min(max(GATHER_S, self._waited_s()), MOST_GATHER_S)
            self._timer = loop.call_later(gather_s, self._hand_over)
        return future

    def _hand_over(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        contents, waiting = self._gathered, self._waiting
        self._gathered, self._waiting = [], []
        self._most, self._most_before = 0, self._most
        try:
            submitted = self._writer.submit(self._appending, contents, now=True)
        except StoreError as error:
            _settle(waiting, error)
        else:
            submitted.add_done_callback(lambda done: _settle(waiting, done.exception()))


def _settle(waiting: Sequence[asyncio.Future[None]], error: BaseException | None) -> None:
    for future in waiting:
        if future.done():  # whoever asked has gone
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
