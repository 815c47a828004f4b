"""An event loop on which waiting takes no time: its clock goes to the next timer as soon as there is nothing to do.

For tests whose parts are all in one process and that wait for minutes altogether. What waits for something else, such
as a thread or a socket, would wait for ever, and is told so.

Owns: the time of such a loop. Refuses: other clocks of the process.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

T = TypeVar("T")


class InstantLoop(asyncio.SelectorEventLoop):
    """See the module."""

    def __init__(self) -> None:
        self._now_s = 1_000.0
        super().__init__(_Instant(self._pass))

    def time(self) -> float:
        """Seconds by the loop's own clock."""
        return self._now_s

    def _pass(self, seconds: float) -> None:
        self._now_s += seconds


class _Instant(selectors.DefaultSelector):  # type: ignore[misc, valid-type]  # which one it is, the platform says
    """Waits for nothing, and has it counted as if it had waited."""

    def __init__(self, count: Callable[[float], None]) -> None:
        super().__init__()
        self._count = count

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found: list[Any] = super().select(0)
        if not found:
            if timeout is None:
                raise RuntimeError("it waits for what no timer of this loop ends")
            self._count(max(timeout, 0.0))
        return found


def run_instantly(what: Callable[[], Awaitable[T]]) -> T:
    """What comes of it, on such a loop."""

    async def main() -> T:
        return await what()

    with asyncio.Runner(loop_factory=InstantLoop) as runner:
        return runner.run(main())
