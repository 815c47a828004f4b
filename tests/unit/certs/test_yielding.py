"""What may wait has a lower priority than what answers calls, and is otherwise as in any other thread."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading

import pytest

from certs.yielding import LOWER_BY, yielding

CASE: contextvars.ContextVar[str] = contextvars.ContextVar("case")


async def test_only_the_thread_of_what_may_wait_has_a_lower_priority() -> None:
    def priorities() -> tuple[int, int]:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id()), os.getpriority(os.PRIO_PROCESS, os.getpid())

    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    own, main = await yielding(priorities)
    assert own == min(main + LOWER_BY, 19)
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before


async def test_it_sees_the_context_and_gives_back_what_came_of_it() -> None:
    CASE.set("one")
    assert await yielding(lambda more: CASE.get() + more, more=" more") == "one more"
    with pytest.raises(ZeroDivisionError):
        await yielding(lambda: 1 // 0)


async def test_what_waits_does_not_hold_up_other_work() -> None:
    free = threading.Event()
    waiting = asyncio.create_task(yielding(free.wait, 30))
    assert await yielding(lambda: "done") == "done"
    free.set()
    assert await waiting
