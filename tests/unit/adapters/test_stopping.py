"""Stopping a query may block as long as the query: it is done in the adapter's own thread, and holds up nobody else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from adapters.errors import SourceDownError
from adapters.kinds.common import in_thread

MANY = 100
"""More than there are default threads."""


class Stuck:
    """Jobs that run until they are let go, and a stop that does too."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.threads = ThreadPoolExecutor(MANY)
        self.stopping = ThreadPoolExecutor(1)
        self.stops = 0

    def stop(self) -> None:
        self.stops += 1
        self.go.wait(30)

    async def run(self, seconds: float) -> bool:
        return await in_thread(
            self.threads, lambda: self.go.wait(30), seconds, "department", (self.stopping, self.stop)
        )


@pytest.fixture
def stuck() -> Iterator[Stuck]:
    made = Stuck()
    yield made
    made.go.set()
    made.threads.shutdown()
    made.stopping.shutdown()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


async def test_queries_that_cannot_even_be_stopped_leave_the_default_threads_free(stuck: Stuck) -> None:
    outcomes = await asyncio.gather(*(stuck.run(0.01) for _ in range(MANY)), return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {SourceDownError}
    async with asyncio.timeout(10):
        assert await asyncio.to_thread(lambda: "read") == "read"
    await until(lambda: stuck.stops == 1)


async def test_who_gives_up_has_the_query_stopped_too(stuck: Stuck) -> None:
    running = asyncio.ensure_future(stuck.run(60.0))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await until(lambda: stuck.stops == 1)


async def test_after_the_adapter_is_closed_giving_up_still_ends(stuck: Stuck) -> None:
    stuck.stopping.shutdown()
    with pytest.raises(SourceDownError):
        await stuck.run(0.01)
