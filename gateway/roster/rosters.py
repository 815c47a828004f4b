"""The runs of a gateway: taken in, run one after another, watched, fetched, cancelled, forgotten.

Owns: which runs there are and whose they are, that a submission is on the disk before it is said to be accepted, how
many run at once, and going on with those that a stop or a crash left unfinished. Refuses: showing a unit another one's
runs, and rows (`running`). Loads what works on rows only when a run begins.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

import structlog

from gateway.errors import DirectoryError, RefusedError, StoreError, WuganError
from gateway.log import described
from gateway.resilience.backoff import Backoff
from gateway.roster.around import Around, make_scratch
from gateway.roster.pieces import Step
from gateway.roster.progress import Figures, Province
from gateway.roster.run import (
    CANCELLED,
    DONE,
    FAILED,
    INPUT_BLOCK,
    RUNNING,
    WAITING,
    Ended,
    RunFolder,
    Submitted,
    input_part,
    no_such_run,
    not_live,
    result_part,
)
from gateway.roster.understanding import understood, wrong
from gateway.sections import RosterSettings
from gateway.store.parts import Parts
from wugan.agency.v1 import roster_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

if TYPE_CHECKING:
    from gateway.roster.running import Running

MAX_STEPS: Final = 1_000_000
"""Steps in which a file is made of the one before, at most."""
LIST_AT_MOST: Final = 1_000
_AGAIN: Final = Backoff(first_s=2.0, longest_s=300.0, least=0.5)
_TIDY_S: Final = 600.0
_DAY_MS: Final = 86_400_000

T = TypeVar("T")
_log = structlog.stdlib.get_logger(__name__)


@dataclass(slots=True, eq=False)
class Kept:
    """A run, as far as it is known without looking into its parts.

    Args:
        submitted: what was.
        folder: its parts.
        ended: how it ended; None: it has not.
        running: the run itself while it is on its way.
        task: in which it is.
        changed: set, and replaced, whenever there is something new to tell.
        over: set when it has ended.
    """

    submitted: Submitted
    folder: RunFolder
    ended: Ended | None = None
    running: Running | None = None
    task: asyncio.Task[None] | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def state(self) -> int:
        """RosterState."""
        if self.ended is not None:
            return self.ended.state
        return RUNNING if self.running is not None else WAITING

    def tell(self) -> None:
        """There is something new."""
        self.changed.set()
        self.changed = asyncio.Event()


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
        self._parts = parts
        self._around = around
        self._settings = settings
        self._pseudonym = pseudonym
        self._clock = around.clock
        self._kept: dict[str, Kept] = {}
        self._arriving: set[str] = set()
        self._wake = asyncio.Event()

    @property
    def counts(self) -> tuple[int, int]:
        """(runs on their way, runs that wait), for metrics."""
        states = [kept.state for kept in self._kept.values()]
        return states.count(RUNNING), states.count(WAITING)

    async def open(self) -> None:
        """Find out which runs there are; what was left of a submission that broke off is removed.

        Raises:
            StoreError: they cannot be read.
        """
        self._kept = await self._in_pool(self._load)
        if self._around.scratch is not None:
            await self._in_pool(make_scratch, self._around.scratch)

    def _load(self) -> dict[str, Kept]:
        found: dict[str, Kept] = {}
        for parts in self._parts.folders():
            folder = RunFolder(parts)
            submitted = folder.submitted()
            if submitted is None:
                parts.destroy()
            else:
                kept = found[parts.name] = Kept(submitted, folder, folder.ended())
                if kept.ended is not None:
                    kept.over.set()
        return found

    # taking in

    async def submit(
        self, unit: str, header: roster_pb2.RosterHeader, as_of_on: int, data: AsyncIterator[bytes | list[Step]]
    ) -> tuple[Kept, bool]:
        """Take in a file; the run, and whether it was known before. On the disk when this returns.

        Args:
            unit: whose it is.
            header: what is to be done with it.
            as_of_on: civil day as of which to answer; 0: today.
            data: the file, or pieces of the one before where it has the same.

        Raises:
            RefusedError: the header is wrong, the file is not what it says, or too much waits.
            StoreError: it could not be written.
        """
        submitted = understood(
            unit,
            header,
            as_of_on,
            settings=self._settings,
            now_ms=self._clock.now_ms(),
            pseudonym=self._pseudonym,
        )
        if submitted.continues:
            self._check_continued(submitted)
        name = _name(unit, submitted.run_id)
        known = self._kept.get(name)
        if known is not None:
            return known, True
        if name in self._arriving:
            raise wrong(
                "run_id", "this run is being submitted by another call", "该任务正由另一请求提交", retryable=True
            )
        unfinished = sum(kept.submitted.unit == unit and kept.ended is None for kept in self._kept.values())
        if unfinished >= self._settings.waiting:
            raise RefusedError(
                "too many rosters of this unit are not done yet; submit this one later",
                "本机构尚有过多名册未完成，请稍后提交",
                reason=words.REFUSAL_REASON_OVERLOADED,
                retryable=True,
                retry_after_ms=60_000,
            )
        self._arriving.add(name)
        folder = RunFolder(self._parts.folder(name))
        try:
            await self._take(folder, submitted, data)
        except BaseException:
            await asyncio.shield(self._in_pool(folder.parts.destroy))
            raise
        finally:
            self._arriving.discard(name)
        kept = self._kept[name] = Kept(submitted, folder)
        self._wake.set()
        return kept, False

    async def _take(self, folder: RunFolder, submitted: Submitted, data: AsyncIterator[bytes | list[Step]]) -> None:
        """Put a file down, block by block, then what says that it is all there."""
        digest, size, number = hashlib.sha256(), 0, 0
        waiting = bytearray()
        made_of: list[Step] = []
        async for piece in data:
            if isinstance(piece, list):
                made_of += piece
                if len(made_of) > MAX_STEPS:
                    raise _cut_off()
                continue
            size += len(piece)
            if size > submitted.size:
                raise _cut_off()
            digest.update(piece)
            waiting += piece
            if len(waiting) >= INPUT_BLOCK:
                await self._in_pool(folder.parts.write, input_part(number), bytes(waiting))
                number += 1
                waiting.clear()
        if not made_of and (size != submitted.size or digest.digest() != submitted.sha256):
            raise _cut_off()
        if waiting:
            await self._in_pool(folder.parts.write, input_part(number), bytes(waiting))
        if made_of:
            from gateway.roster.composing import compose

            before = self._before(submitted)
            if before is None:
                raise wrong("continues", "pieces are copied, but of no run", "未说明所接续的任务")
            await self._in_pool(compose, folder, submitted, before, made_of)
        await self._in_pool(folder.parts.write, "run", submitted.to_json())

    def _check_continued(self, submitted: Submitted) -> None:
        """A run may go on from one of the same unit that was live, is done, and asked the same.

        Raises:
            RefusedError: it may not.
        """
        before = self._kept.get(_name(submitted.unit, submitted.continues))
        if before is None or before.state != DONE or not before.submitted.live:
            raise not_live()
        theirs = before.submitted
        asked = submitted.purpose, submitted.benefit, submitted.ask_about_home
        if asked != (theirs.purpose, theirs.benefit, theirs.ask_about_home):
            raise wrong(
                "continues",
                "the run before asked for another purpose, benefit or place; submit the roster without it",
                "所接续任务的查询目的、险种或范围不同，请不带该项重新提交",
            )

    def _before(self, submitted: Submitted) -> RunFolder | None:
        """Folder of the run that one goes on from."""
        if not submitted.continues:
            return None
        return self._sibling(_name(submitted.unit, submitted.continues))

    def _sibling(self, name: str) -> RunFolder:
        return RunFolder(self._parts.folder(name))

    # what a unit may see

    def find(self, unit: str, run_id: bytes) -> Kept:
        """A run of a unit.

        Raises:
            RefusedError: it has none of this id.
        """
        kept = self._kept.get(_name(unit, run_id))
        if kept is None:
            raise no_such_run()
        return kept

    def done(self) -> list[Kept]:
        """The runs of all units that are done."""
        return [kept for kept in self._kept.values() if kept.state == DONE]

    def list(self, unit: str, limit: int) -> list[Kept]:
        """A unit's runs, newest first."""
        own = [kept for kept in self._kept.values() if kept.submitted.unit == unit]
        own.sort(key=lambda kept: (kept.submitted.submitted_at_ms, kept.submitted.run_id), reverse=True)
        return own[: min(limit, LIST_AT_MOST)]

    async def cancel(self, unit: str, run_id: bytes, *, delete: bool) -> Kept:
        """Stop a run; with `delete`, forget it.

        Raises:
            RefusedError: the unit has none of this id.
            StoreError: it could not be written.
        """
        kept = self.find(unit, run_id)
        if delete and kept.folder.parts.name in self._needed():
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

            gathering = await self._in_pool(Gathering, kept.folder, kept.submitted.chunk_rows, self._sibling)
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
            tasks = [kept.task for kept in self._kept.values() if kept.task is not None]
            for task in (*tasks, tidying):
                task.cancel()
            await asyncio.gather(*tasks, tidying, return_exceptions=True)

    def _begin(self) -> None:
        """Begin runs that wait, the oldest first, as far as there is room."""
        on_their_way = sum(kept.task is not None for kept in self._kept.values())
        waiting = sorted(
            (kept for kept in self._kept.values() if kept.ended is None and kept.task is None),
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

            before = self._before(kept.submitted)
            living = Living(kept.submitted, kept.folder, self._around, before, self._sibling)
        running = kept.running = Running(kept.submitted, kept.folder, self._around, kept.tell, living)
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
        if kept.ended is None:
            await self._in_pool(kept.folder.parts.write, "state", ended.to_json())
            kept.ended = ended
            kept.over.set()
            kept.tell()

    async def _tidy(self) -> None:
        """Forget runs whose time is over."""
        while True:
            over_ms = self._clock.now_ms() - round(self._settings.keep_days * _DAY_MS)
            for kept in list(self._kept.values()):
                over = kept.ended is not None and kept.ended.at_ms < over_ms
                if over and kept.folder.parts.name not in self._needed():
                    with contextlib.suppress(StoreError):
                        await self._forget(kept)
            await asyncio.sleep(_TIDY_S)

    def _needed(self) -> set[str]:
        """Folders on which others rest."""
        needed: set[str] = set()
        for name, kept in self._kept.items():
            rests_on = set() if kept.ended is None else set(kept.ended.sources)
            if kept.ended is None and kept.submitted.continues:
                before = self._kept.get(_name(kept.submitted.unit, kept.submitted.continues))
                if before is not None and before.ended is not None:
                    rests_on = {before.folder.parts.name, *before.ended.sources}
            needed |= rests_on - {name}
        return needed

    async def _forget(self, kept: Kept) -> None:
        await self._in_pool(kept.folder.parts.destroy)
        self._kept.pop(kept.folder.parts.name, None)
        kept.tell()

    async def _in_pool(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._around.pool, functools.partial(work, *arguments))


def figures_of(running: Running) -> dict[str, Any]:
    """What is kept of how far a run came."""
    return {
        **asdict(running.figures),
        "provinces": {member: list(standing.province) for member, standing in sorted(running.standings.items())},
    }


def figures_from(kept: dict[str, Any]) -> tuple[Figures, dict[str, Province]]:
    """The reverse."""
    plain = dict(kept)
    provinces = plain.pop("provinces", {})
    return Figures(**plain), {member: Province(*each) for member, each in provinces.items()}


def _name(unit: str, run_id: bytes) -> str:
    """Name of a run's folder: another one for each unit, so that no unit meets another's ids."""
    return hashlib.blake2b(unit.encode() + b"\x00" + run_id, digest_size=16).hexdigest()


def _cut_off() -> RefusedError:
    return RefusedError(
        "data: the file is not what its header says; it was changed or cut off on the way. Submit it again",
        "data：文件与其头信息不符，可能在传输中被截断或改动，请重新提交",
        field="data",
        retryable=True,
    )
