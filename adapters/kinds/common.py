"""What the kinds share: the day, and the deadline of work done in threads.

Owns: running a job in a thread within a deadline, stopping it when the deadline or the caller does, and waiting for
threads no longer than one cares to.
Refuses: knowing any kind.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar, runtime_checkable

import structlog

from adapters.errors import SourceDownError
from adapters.found_again import FoundAgain
from adapters.gathering import Gathering

Result = TypeVar("Result")
Clock: TypeAlias = Callable[[], int]
"""Unix time in milliseconds."""

_SHANGHAI_OFFSET_MS = 8 * 3_600_000
_DAY_MS = 86_400_000
_log = structlog.stdlib.get_logger(__name__)


@runtime_checkable
class Sampling(Protocol):
    """An adapter that can name one number it holds, so that its mapping can be tried without knowing one."""

    async def any_number(self) -> str:
        """Some number that the source holds, or "" when it cannot tell."""
        ...


@runtime_checkable
class FindingAgain(Protocol):
    """An adapter that can try whether the numbers of its source are found when they are asked for."""

    async def found_again(self) -> list[FoundAgain]:
        """What became of a sample of each record set."""
        ...


@dataclass(frozen=True, slots=True)
class Lying:
    """What lies where files are dropped for one record set.

    Args:
        records: its name.
        files: taken in.
        rejected: files that cannot be used.
        rows, bad: of the files taken in.
        bad_en, bad_zh: one of the bad rows, by its place, and why.
    """

    records: str
    files: int
    rejected: int
    rows: int
    bad: int
    bad_en: str = ""
    bad_zh: str = ""


@runtime_checkable
class Dropping(Protocol):
    """An adapter into which files are dropped, that can tell what it found."""

    async def lying(self) -> tuple[list[Lying], int, int]:
        """By record set; files that no record set names; files that had not rested at the last look."""
        ...


def day_before(now_ms: int, days: int) -> int:
    """The civil day in Asia/Shanghai so many days before a moment."""
    return (now_ms + _SHANGHAI_OFFSET_MS) // _DAY_MS - days


def complete_until(day: int, now_ms: int) -> int:
    """A day up to which a source is complete, as its data tells it; 0, not known, where that is still to come."""
    return day if 0 < day <= day_before(now_ms, 0) else 0


def too_late(adapter_id: str) -> SourceDownError:
    """The source did not answer within the deadline."""
    return SourceDownError(
        f"{adapter_id}: no answer in time; try again later", f"{adapter_id}：未在时限内应答，请稍后重试"
    )


def report(adapter_id: str, gathering: Gathering) -> None:
    """Tell the log what of an answer was left out by policy, and about how many people it is not."""
    if gathering.skipped or gathering.ignored:
        _log.info("rows left out", adapter=adapter_id, bad=gathering.skipped, no_evidence=gathering.ignored)
    if gathering.unreadable:
        _log.warning("rows unreadable", adapter=adapter_id, people=len(gathering.unreadable), reason=gathering.why)


async def in_thread(
    threads: Executor,
    job: Callable[[], Result],
    seconds: float,
    adapter_id: str,
    stop: tuple[Executor, Callable[[], None]] | None = None,
) -> Result:
    """Run a job in a thread; when the deadline passes or the caller gives up, stop it and leave.

    Args:
        threads: to run it in.
        job: what to run.
        seconds: until the deadline.
        adapter_id: for the error.
        stop: how the job is stopped, and the adapter's own thread for that: stopping may block as long as the job, and
            must not hold up anybody else.

    Raises:
        SourceDownError: the deadline passed, or the adapter is closed.
    """
    loop = asyncio.get_running_loop()

    def give_up() -> None:
        if stop is not None:
            stopping, stops = stop
            with suppress(RuntimeError):  # the adapter is closed
                stopping.submit(_quietly, stops)

    try:
        running = loop.run_in_executor(threads, job)
    except RuntimeError as error:
        raise SourceDownError(f"{adapter_id}: is closed", f"{adapter_id}：已关闭") from error
    try:
        async with asyncio.timeout(seconds):
            return await running
    except TimeoutError:
        give_up()
        raise too_late(adapter_id) from None
    except asyncio.CancelledError:
        give_up()
        raise


async def ended(pools: Sequence[Executor], seconds: float) -> bool:
    """Begin nothing more in some threads, and wait until what they do has ended, so long at most; whether it has."""
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()

    def settle() -> None:
        if not over.done():
            over.set_result(None)

    def wait() -> None:
        for pool in pools:
            pool.shutdown(wait=True, cancel_futures=True)
        with suppress(RuntimeError):  # nobody waits any more
            loop.call_soon_threadsafe(settle)

    # Of its own, and none that the interpreter waits for: what it waits for may never end.
    threading.Thread(target=wait, name="closing", daemon=True).start()
    try:
        async with asyncio.timeout(seconds):
            await over
    except TimeoutError:
        return False
    return True


def _quietly(stops: Callable[[], None]) -> None:
    with suppress(Exception):
        stops()


async def all_of(jobs: Sequence[Coroutine[object, object, Result]]) -> list[Result]:
    """Run jobs side by side. The first that fails ends the others, and is what is raised."""
    tasks = [asyncio.ensure_future(job) for job in jobs]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
