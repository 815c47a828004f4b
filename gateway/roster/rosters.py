"""The runs of a gateway: run one after another, fetched, cancelled, forgotten.

Owns: how many run at once, going on with those that a stop or a crash left unfinished, and how each ends. Refuses:
which there are and whose (`shelf`), taking in (`arriving`), and rows (`running`). Loads what works on rows only when a
run begins.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, TypeVar

import structlog

from gateway.errors import DirectoryError, StoreError, WuganError
from gateway.log import described
from gateway.resilience.backoff import Backoff
from gateway.roster.around import Around, make_scratch
from gateway.roster.arriving import Arriving
from gateway.roster.pieces import Step
from gateway.roster.run import CANCELLED, DONE, FAILED, RUNNING, WAITING, Ended, result_part
from gateway.roster.shelf import Kept, Shelf, figures_of
from gateway.roster.understanding import wrong
from gateway.sections.lasting import RosterSettings
from gateway.store.jumps import Jumps
from gateway.store.parts import Parts
from wugan.agency.v1 import roster_pb2

_AGAIN: Final = Backoff(first_s=2.0, longest_s=300.0, least=0.5)
_TIDY_S: Final = 600.0
_DAY_MS: Final = 86_400_000

T = TypeVar("T")
_log = structlog.stdlib.get_logger(__name__)


class Rosters:
    """See the module.

    Args:
        parts: where runs are kept.
        around: what runs have in common.
        settings: limits.
        pseudonym: (unit, official) → what stands for the official elsewhere.
    """

    def __init__(
        self, parts: Parts, around: Around, settings: RosterSettings, pseudonym: Callable[[str, str], bytes]
    ) -> None:
        self._shelf = Shelf(parts)
        self._arriving = Arriving(self._shelf, around, settings, pseudonym)
        self._around = around
        self._settings = settings
        self._clock = around.clock
        self._jumps = Jumps(around.clock)
        self._wake = asyncio.Event()

    @property
    def counts(self) -> tuple[int, int]:
        """(runs on their way, runs that wait), for metrics."""
        states = [kept.state for kept in self._shelf.kept.values()]
        return states.count(RUNNING), states.count(WAITING)

    async def open(self) -> None:
        """Find out which runs there are; what was left of a submission that broke off is removed.

        Raises:
            StoreError: they cannot be read.
        """
        self._shelf.kept.update(await self._in_pool(self._shelf.load))
        if self._around.scratch is not None:
            await self._in_pool(make_scratch, self._around.scratch)

    async def submit(
        self, unit: str, header: roster_pb2.RosterHeader, as_of_on: int, data: AsyncIterator[bytes | list[Step]]
    ) -> tuple[Kept, bool]:
        """Take in a file, and run it when there is room; see `Arriving.submit`."""
        kept, known = await self._arriving.submit(unit, header, as_of_on, data)
        self._wake.set()
        return kept, known

    # what a unit may see

    def find(self, unit: str, run_id: bytes) -> Kept:
        """A run of a unit.

        Raises:
            RefusedError: it has none of this id.
        """
        return self._shelf.find(unit, run_id)

    def done(self) -> list[Kept]:
        """The runs of all units that are done."""
        return self._shelf.done()

    def list(self, unit: str, limit: int) -> list[Kept]:
        """A unit's runs, newest first."""
        return self._shelf.of(unit, limit)

    async def cancel(self, unit: str, run_id: bytes, *, delete: bool) -> Kept:
        """Stop a run; with `delete`, forget it.

        Raises:
            RefusedError: the unit has none of this id.
            StoreError: it could not be written.
        """
        kept = self.find(unit, run_id)
        if delete and kept.folder.parts.name in self._shelf.needed():
            raise wrong(
                "run_id",
                "later runs of this live roster rest on it; delete those first",
                "该名册的后续任务仍依赖此任务，请先删除后续任务",
            )
        if kept.ended is None:
            await self._end(kept, Ended(CANCELLED, self._clock.now_ms()))
            if kept.task is not None:
                kept.task.cancel()
                await asyncio.wait({kept.task})
        if delete:
            await self._forget(kept)
        return kept

    async def results(
        self, kept: Kept, from_chunk: int, *, only_changed: bool = False
    ) -> AsyncIterator[tuple[int, int, bytes]]:
        """(number, chunks, results packed) of a run's chunks, from one on.

        Args:
            kept: the run.
            from_chunk: number of the first that is wanted.
            only_changed: only what the run dealt with itself.

        Raises:
            RefusedError: it is not done.
            StoreError: they cannot be read.
        """
        if kept.state != DONE:
            raise wrong("run_id", "this run is not done; watch it first", "该名册任务尚未完成", retryable=True)
        if kept.submitted.continues and not only_changed:
            from gateway.roster.gathering import Gathering

            gathering = await self._in_pool(Gathering, kept.folder, kept.submitted.chunk_rows, self._shelf.folder)
            for number in range(from_chunk, gathering.chunks):
                yield number, gathering.chunks, await self._in_pool(gathering.packed, number)
            return
        read = await self._in_pool(kept.folder.read)
        chunks = 0 if read is None else read[0]
        for number in range(from_chunk, chunks):
            yield number, chunks, await self._in_pool(kept.folder.parts.read, result_part(number))

    # running

    async def run(self) -> None:
        """Run what is there, and what comes, until cancelled; what is on its way then goes on at the next start."""
        tidying = asyncio.create_task(self._tidy())
        try:
            while True:
                self._wake.clear()
                self._begin()
                await self._wake.wait()
        finally:
            tasks = [kept.task for kept in self._shelf.kept.values() if kept.task is not None]
            for task in (*tasks, tidying):
                task.cancel()
            await asyncio.gather(*tasks, tidying, return_exceptions=True)

    def _begin(self) -> None:
        """Begin runs that wait, the oldest first, as far as there is room."""
        on_their_way = sum(kept.task is not None for kept in self._shelf.kept.values())
        waiting = sorted(
            (kept for kept in self._shelf.kept.values() if kept.ended is None and kept.task is None),
            key=lambda kept: (kept.submitted.submitted_at_ms, kept.submitted.run_id),
        )
        for kept in waiting[: max(0, self._settings.at_once - on_their_way)]:
            kept.task = asyncio.create_task(self._go(kept))

    async def _go(self, kept: Kept) -> None:
        failures = 0
        try:
            while kept.ended is None:
                try:
                    await self._once(kept)
                except (StoreError, DirectoryError) as error:
                    if isinstance(error, StoreError) and not error.retryable:
                        await self._fail(kept, error)
                        continue
                    failures += 1
                    _log.warning("roster interrupted", fault=described(error), failures=failures)
                    await asyncio.sleep(_AGAIN.wait_s(failures, self._around.drawn()))
        finally:
            kept.task = kept.running = None
            kept.tell()
            self._wake.set()

    async def _once(self, kept: Kept) -> None:
        """Run a run, from where it is, to its end."""
        from gateway.roster.running import Running

        living = None
        if kept.submitted.live:
            from gateway.roster.living import Living

            before = self._shelf.before(kept.submitted)
            living = Living(kept.submitted, kept.folder, self._around, before, self._shelf.folder)
        running = kept.running = Running(kept.submitted, kept.folder, self._around, kept.tell, living)
        kept.tell()
        _log.info("roster begun", bytes=kept.submitted.size)
        try:
            await running.go()
        except (StoreError, DirectoryError):
            raise
        except WuganError as error:
            await self._fail(kept, error)
        except Exception as error:  # noqa: BLE001  one roster that cannot be dealt with must not stop the others
            _log.error("roster failed", fault=described(error))
            await self._fail(
                kept,
                WuganError(
                    "something went wrong here; it was logged. Tell the gateway's administrator",
                    "本网关处理名册时出错，已记录日志，请联系网关管理员",
                ),
            )
        else:
            figures, sources = figures_of(running), [] if living is None else living.sources
            await self._end(kept, Ended(DONE, self._clock.now_ms(), figures=figures, sources=sources))
            _log.info("roster done", people=running.figures.rows_done, rejected=running.figures.rows_rejected)

    async def _fail(self, kept: Kept, error: WuganError) -> None:
        figures = figures_of(kept.running) if kept.running is not None else {}
        await self._end(kept, Ended(FAILED, self._clock.now_ms(), error.zh, error.en, figures))

    async def _end(self, kept: Kept, ended: Ended) -> None:
        """Have it end so, unless it ended otherwise while that was to be written."""
        async with kept.ending:
            if kept.ended is None:
                await self._in_pool(kept.folder.parts.write, "state", ended.to_json())
                kept.ended = ended
                kept.over.set()
                kept.tell()

    async def _tidy(self) -> None:
        """Forget runs whose time is over, by a time that is believed: nobody may have fetched them yet."""
        while True:
            over_ms = self._jumps.at_least_ms() - round(self._settings.keep_days * _DAY_MS)
            for kept in list(self._shelf.kept.values()):
                over = kept.ended is not None and kept.ended.at_ms < over_ms
                if over and kept.folder.parts.name not in self._shelf.needed():
                    with contextlib.suppress(StoreError):
                        await self._forget(kept)
            await asyncio.sleep(_TIDY_S)

    async def _forget(self, kept: Kept) -> None:
        await self._in_pool(kept.folder.parts.destroy)
        self._shelf.kept.pop(kept.folder.parts.name, None)
        kept.tell()

    async def _in_pool(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._around.pool, functools.partial(work, *arguments))
