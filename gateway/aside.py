"""What reckons for milliseconds is done aside, in one thread, so that the event loop is free for single questions.

Owns: that thread, and one piece of work at a time in it. Refuses: knowing what is done; what is handed over touches
nothing that the loop uses meanwhile.

One thread, because more would only wait for the interpreter: a batch gets the time that single questions leave.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Aside:
    """See the module. The thread is there from the first piece of work on."""

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None

    async def do(self, work: Callable[P, T], *args: P.args, **more: P.kwargs) -> T:
        """What `work` comes to, after all that was handed over before it."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "aside")
        context = contextvars.copy_context()
        call = functools.partial(context.run, work, *args, **more)
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    def close(self) -> None:
        """Let the thread end; what was handed over and not begun is given up."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)
