"""Calls into a token's module, for whose return nobody waits for ever.

Owns: one thread for each `TokenThread`, and how long a caller waits for it. Refuses: knowing what is called.

A module is the vendor's code. Where its device or the network to it stands still it may not return at all, and nothing
can make it. So it is called in a thread that is left behind, and which the process does not wait for when it ends.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class TokenThread:
    """One thread that does one thing after the other. Safe for several callers."""

    def __init__(self, name: str) -> None:
        self._waiting: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._late: Future[Any] | None = None
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def do(self, work: Callable[[], T], within_s: float) -> T:
        """What `work` comes to.

        Args:
            work: done in the thread.
            within_s: how long it is waited for, seconds; not at all while something before it hangs.

        Raises:
            TimeoutError: it did not come in time. It may be done all the same, later.
            Exception: what `work` failed with.
        """
        if self._late is not None and not self._late.done():
            raise TimeoutError
        future: Future[T] = Future()
        self._waiting.put((future, work))
        try:
            return future.result(within_s)
        except TimeoutError:
            # What has not begun is not done any more: only what hangs is late.
            if not future.cancel():
                self._late = future
            raise

    def close(self) -> None:
        """End the thread once it has done what it was given."""
        self._waiting.put(None)

    def _run(self) -> None:
        while (given := self._waiting.get()) is not None:
            future, work = given
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001  whoever waits for it raises it
                future.set_exception(error)
            del future, work, given  # not held until the next: it may be a key
