"""A coroutine that has until a moment to end, and mostly ends at once.

Owns: that what never waits costs no timer: it is over before a timer could have said anything. Refuses: whatever does
wait any other time limit than asyncio's own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


async def within(end: float, coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine comes to, in the caller's own task, as under `asyncio.timeout_at`.

    Args:
        end: by the event loop's clock.
        coroutine: not begun yet.

    Raises:
        TimeoutError: it still waited at the end, and was cancelled.
    """
    try:
        waits_for = coroutine.send(None)
    except StopIteration as ended:
        result: T = ended.value
        return result
    async with asyncio.timeout_at(end):
        return await _Rest(coroutine, waits_for)


class _Rest(Generic[T]):
    """What is left of a coroutine that was begun, and waits for something."""

    __slots__ = ("_coroutine", "_waits_for")

    def __init__(self, coroutine: Coroutine[Any, Any, T], waits_for: Any) -> None:
        self._coroutine = coroutine
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, T]:
        coroutine, waits_for = self._coroutine, self._waits_for
        while True:
            try:
                try:
                    given = yield waits_for
                except BaseException as error:  # noqa: BLE001  the coroutine's: mostly that it is cancelled
                    waits_for = coroutine.throw(error)
                else:
                    waits_for = coroutine.send(given)
            except StopIteration as ended:
                result: T = ended.value
                return result
