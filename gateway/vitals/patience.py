"""Asking something that may never answer: a database on a server that stands still.

Owns: one question at a time. Whoever looks again while it is under way waits for the same, so that looking often does
not fill the threads with questions that hang. Refuses: ending what it asked, which a thread cannot be made to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from gateway.observing import calls

T = TypeVar("T")

WITHIN_S: Final = 1.0
"""How long a look waits; the page has little more for all of them."""


class Patient(Generic[T]):
    """See the module.

    Args:
        ask: the question.
    """

    def __init__(self, ask: Callable[[], Awaitable[T]]) -> None:
        self._ask = ask
        self._asking: asyncio.Future[T] | None = None
        self._since: float | None = None

    async def __call__(self) -> T:
        """The answer, or whatever error it is.

        Raises:
            TimeoutError: there is none yet.
        """
        if self._asking is None or self._asking.done():  # what was answered while nobody looked is old
            self._asking = asyncio.ensure_future(self._ask())
            self._asking.add_done_callback(self._heard)
            if self._since is None:
                self._since = calls.now()
        await asyncio.wait([self._asking], timeout=WITHIN_S)
        if not self._asking.done():
            raise TimeoutError
        return self._asking.result()

    def waited_s(self) -> float:
        """How long it has been asked, time and again if it failed meanwhile, since it was answered last; 0: it is."""
        return 0.0 if self._since is None else calls.now() - self._since

    def _heard(self, asked: asyncio.Future[T]) -> None:
        """An answer; or an error, which nobody need have waited for."""
        if not asked.cancelled() and asked.exception() is None:
            self._since = None
