"""Work that may wait is done in threads that let calls go first: renewing keys, judging a new directory.

Owns: those threads, of lower priority than the one that answers calls. Refuses: work that a call waits for.

A rotation is some tens of milliseconds of work in a row, at both sides and at the authority at the same time. At equal
priority it has the processors to itself for as long, and every call that comes meanwhile stands in line behind it; at a
lower one it takes what calls leave, and is done a moment later.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

LOWER_BY: Final = 10
"""Steps of niceness: a ninth of the weight of a thread of normal priority."""
THREADS: Final = 8
"""At most; work that waits for a network or a token must not hold up all other."""


def _yield() -> None:
    """Lower the priority of this thread alone, which setpriority(2) does on Linux, and of nothing elsewhere."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            thread = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + LOWER_BY)


_THREADS: Final = ThreadPoolExecutor(THREADS, "yielding", initializer=_yield)


async def yielding(work: Callable[P, T], *args: P.args, **more: P.kwargs) -> T:
    """What `work` comes to: as `asyncio.to_thread`, in a thread of lower priority."""
    call = functools.partial(contextvars.copy_context().run, work, *args, **more)
    return await asyncio.get_running_loop().run_in_executor(_THREADS, call)
