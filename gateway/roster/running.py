"""A run on its way: the file is cut, members are asked, each at its own pace, chunks whose members are done are merged.

Owns: what is asked next, waiting for members that fail while the others go on, asking again where departments did not
answer (`lacking`), giving up at the deadline, and that whatever was answered is on the disk before it counts, so that
nobody is asked twice. Memory is bounded by what is under way: rows, questions and answers lie on the disk until they
are needed (`making`). Refuses: the wire (`gateway.federation.streams`), rules, and deciding when a run begins.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Any, Final, TypeVar

from gateway.errors import PartnerError, StoreError
from gateway.federation.partners import PartnerAnswer
from gateway.federation.streams import Chunk, ChunkOutcome
from gateway.resilience.backoff import Backoff
from gateway.roster.around import Around, Subscribes
from gateway.roster.certifying import Certifying, claims
from gateway.roster.cutting import About, Cut, about, cut
from gateway.roster.lacking import Lacking, lacks
from gateway.roster.living import Living
from gateway.roster.making import Making
from gateway.roster.planning import Planner
from gateway.roster.progress import Figures, Pace, Standing
from gateway.roster.run import PHASES, Ask, RunFolder, Submitted
from gateway.roster.subscribing import subscribe_for
from wugan.federation.v1 import vocabulary_pb2 as words

CUT_AHEAD: Final = 4
"""Questions that wait for a member from which on nothing more is cut for it."""
MERGED_AT_ONCE: Final = 2
BACKOFF: Final = Backoff(first_s=1.0, longest_s=300.0, least=0.5)

T = TypeVar("T")


class Running:
    """One run on its way.

    Args:
        run: what was submitted.
        folder: its parts.
        around: what it has in common with others.
        changed: called whenever there is something new to tell.
        living: what it takes over from another run and leaves to the next; None: it is not live.
    """

    def __init__(
        self,
        run: Submitted,
        folder: RunFolder,
        around: Around,
        changed: Callable[[], None],
        living: Living | None = None,
    ) -> None:
        self._run = run
        self._folder = folder
        self._around = around
        self._changed = changed
        self._living = living
        self.figures = Figures()
        self.standings: dict[str, Standing] = {}
        self._open: dict[int, set[Ask]] = {}
        self._people: dict[int, int] = {}
        self._settled: dict[Ask, str] = {}
        self._lacked: dict[Ask, int] = {}
        self._making = Making(run, folder, around, self._in_pool, lambda: 0 if living is None else living.first_chunk)
        self._news = asyncio.Event()
        self._merging = asyncio.Semaphore(MERGED_AT_ONCE)
        self._subscribing = asyncio.Semaphore(1)
        self._pace = Pace(around.clock)

    async def go(self) -> None:
        """Run to the end; then every chunk's results are on the disk.

        Raises:
            RefusedError: the file cannot be read.
            DirectoryError: the directory has expired.
            StoreError: a part could not be read or written.
        """
        self._settled, self._lacked = await self._in_pool(self._dealt_with)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._cut(group))
        except BaseExceptionGroup as several:
            raise _first(several) from None
        around = self._around
        if around.gate is not None and around.scratch is not None and claims(self._run):
            certifying = Certifying(self._run, self._folder, around.gate, around.book, around.scratch)
            await certifying.go(self.figures.chunks, self._in_pool)
        if self._living is not None:
            figures = self.figures
            own = figures.rows + figures.rows_rejected - self._living.carried_wrong
            await self._in_pool(self._living.settle, figures.chunks, own)

    def _dealt_with(self) -> tuple[dict[Ask, str], dict[Ask, int]]:
        """What was asked before a restart, and of answers that were to be asked for again what they lack."""
        asks = self._folder.asks()
        replies = {ask: self._folder.reply(ask) for ask, came in asks.items() if came == "partly"}
        return asks, {ask: lacks(came.findings) for ask, came in replies.items() if isinstance(came, PartnerAnswer)}

    # the file

    async def _cut(self, group: asyncio.TaskGroup) -> None:
        """Cut the file, or look at what was cut before, and have each chunk asked about."""
        living = self._living
        if living is not None:
            await living.prepare(self._in_pool)
            self.figures.rows_carried = self.figures.rows_done = living.carried
            self.figures.rows_rejected = living.carried_wrong
        read = await self._in_pool(self._folder.read)
        if read is not None:
            for number in range(read[0]):
                self._found(group, await self._in_pool(about, self._folder, number), None)
        else:
            planner = Planner(
                self._around.directory.current(),
                self._around.member_id,
                self._around.max_members,
                ask_about_home=self._run.ask_about_home,
            )
            chunks = None if living is None else living.changes(planner)
            chunks = chunks or cut(self._folder, self._run, planner, self._around.bounds)
            while (found := await self._in_pool(next, chunks, None)) is not None:
                self._found(group, *found)
                await self._not_too_far()
            read = await self._in_pool(self._folder.read)
        if read is not None:
            self.figures.rows_read = read[1]
        self.figures.reading = False
        self._ring()

    async def _not_too_far(self) -> None:
        """Wait while every member that answers has enough to do: rows that are asked about soon stay in memory."""
        while (
            self.standings
            and all(
                len(standing.due) >= CUT_AHEAD or standing.error is not None for standing in self.standings.values()
            )
            and any(standing.error is None for standing in self.standings.values())
        ):
            await self._news.wait()

    def _found(self, group: asyncio.TaskGroup, found: About, rows: Cut | None) -> None:
        """A chunk was cut."""
        if rows is not None:
            self._making.remember(found.number, rows)
        figures = self.figures
        figures.chunks += 1
        figures.rows += found.rows
        figures.rows_rejected += found.refused
        figures.rows_read = figures.rows + figures.rows_rejected + figures.rows_carried
        self._people[found.number] = found.rows
        self._open[found.number] = set()
        self._due(group, {Ask(found.number, 0, member): people for member, people in found.members.items()})
        if not self._open[found.number]:
            group.create_task(self._next(group, found.number))
        if self._run.subscribe and self._around.subscribes is not None:
            group.create_task(self._subscribe(found.number, self._around.subscribes))
        self._tell()

    def _due(self, group: asyncio.TaskGroup, asks: dict[Ask, int]) -> None:
        """These are to be asked, but for those that are settled."""
        for ask, people in asks.items():
            standing = self.standings.get(ask.member)
            if standing is None:
                clock = asyncio.get_running_loop().time
                lacking = Lacking(self._around.departments_s, clock, self._around.drawn)
                standing = self.standings[ask.member] = Standing(lacking)
                group.create_task(self._ask(group, ask.member, standing))
            standing.questions += 1
            self.figures.asked += people
            came = self._settled.get(ask)
            standing.answered += came in ("answer", "partly")
            standing.refused += came == "refused"
            self.figures.answered += people if came in ("answer", "partly") else 0
            if came is None:
                self._open[ask.chunk].add(ask)
                standing.due.append(ask)
            elif came == "partly":
                self._open[ask.chunk].add(ask)
                if not standing.lacking.add(ask, self._lacked[ask]):
                    group.create_task(self._accept(group, ask))
        self._ring()

    # members

    async def _ask(self, group: asyncio.TaskGroup, member: str, standing: Standing) -> None:
        """Ask a member whatever is due, as long as anything may become due."""
        while True:
            news = self._news
            if standing.due:
                left_s = self._left_s()
                if left_s <= 0:
                    await self._give_up(group, standing)
                    continue
                chunk_s = min(self._around.chunk_s, left_s)
                async with contextlib.aclosing(
                    self._around.asks.ask(member, self._feed(standing), chunk_s=chunk_s)
                ) as outcomes:
                    async for outcome in outcomes:
                        await self._came(group, standing, outcome)
                if standing.error is not None:
                    await self._wait(standing)
            elif standing.lacking and not self.figures.reading:
                await self._ask_again(group, standing, news)
            elif self._over():
                return
            else:
                await news.wait()

    async def _ask_again(self, group: asyncio.TaskGroup, standing: Standing, news: asyncio.Event) -> None:
        """Nothing else is due: ask again where departments did not answer, or wait until it is time, or give up."""
        wait_s = standing.lacking.wait_s(self._left_s())
        standing.again_ms = 0
        if wait_s is None:
            for ask in standing.lacking.end():
                await self._accept(group, ask)
        elif wait_s > 0:
            standing.again_ms = self._around.clock.now_ms() + round(wait_s * 1000)
            self._tell()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await news.wait()
        else:
            standing.due.extend(standing.lacking.take())

    async def _accept(self, group: asyncio.TaskGroup, ask: Ask) -> None:
        """An answer that lacks departments is the one that counts."""
        await self._in_pool(self._folder.accept, ask)
        await self._settle(group, ask)

    async def _feed(self, standing: Standing) -> AsyncGenerator[Chunk, None]:
        """Questions that are due, until there is none, or the member fails."""
        while standing.due and standing.error is None and self._left_s() > 0:
            ask = standing.due.popleft()
            standing.under_way.add(ask)
            if len(standing.due) < CUT_AHEAD:
                self._ring()
            yield Chunk(_number(ask), await self._making.question(ask))

    async def _came(self, group: asyncio.TaskGroup, standing: Standing, outcome: ChunkOutcome) -> None:
        """A question was answered, refused, or failed."""
        ask = next(each for each in standing.under_way if _number(each) == outcome.number)
        standing.under_way.discard(ask)
        again = ask in standing.lacking
        if outcome.answer is not None:
            standing.failures, standing.error, standing.next_try_ms = 0, None, 0
            if not again:
                standing.answered += 1
                people = len(outcome.answer.findings.status)
                self.figures.answered += people
                self._pace.add(people)
            await self._answered(group, standing, ask, outcome.answer)
            return
        error = outcome.error or PartnerError("no answer came", "未收到答复")
        if isinstance(error, StoreError):
            raise error
        if again:
            self._in_vain(standing, ask, None)
            return
        if error.retryable and self._left_s() > 0:
            standing.due.appendleft(ask)
            if standing.error is None:
                standing.failures += 1
            standing.error = error
            self._tell()
            return
        await self._in_pool(self._folder.refuse, ask, error)
        standing.refused += 1
        await self._settle(group, ask)

    async def _answered(self, group: asyncio.TaskGroup, standing: Standing, ask: Ask, answer: PartnerAnswer) -> None:
        """Keep an answer; where it lacks departments it counts until a better one comes."""
        lack, lacking = lacks(answer.findings), standing.lacking
        again = ask in lacking
        better = not again or lacking.fewer(ask, lack)
        partly = lack > 0 and (again or lacking.add(ask, lack))
        if better:
            now_ms = self._around.clock.now_ms()
            await self._in_pool(functools.partial(self._folder.keep, ask, answer, now_ms, partly=partly))
            self._making.hold(ask, answer)
        if not partly:
            if again:
                lacking.came(ask, 0)
                self._ring()
            await self._settle(group, ask)
        elif again:
            self._in_vain(standing, ask, lack)
        else:
            self._tell()

    def _in_vain(self, standing: Standing, ask: Ask, lack: int | None) -> None:
        """Departments did not answer again; the questions that were to be asked again for them wait, too."""
        standing.lacking.came(ask, lack)
        standing.due = deque(each for each in standing.due if each not in standing.lacking)
        self._tell()

    async def _wait(self, standing: Standing) -> None:
        """Wait before a member that failed is tried again; its other questions wait, too."""
        around, error = self._around, standing.error
        wait_s = max(
            BACKOFF.wait_s(standing.failures, around.drawn()), error.retry_after_ms / 1000 if error is not None else 0.0
        )
        wait_s = min(wait_s, max(self._left_s(), 0.0))
        standing.next_try_ms = around.clock.now_ms() + round(wait_s * 1000)
        standing.waits(wait_s)
        standing.due = deque(sorted(standing.due))
        self._ring()
        await asyncio.sleep(wait_s)
        standing.error = None
        self._tell()

    async def _give_up(self, group: asyncio.TaskGroup, standing: Standing) -> None:
        """The deadline is over: what is due is not asked any more."""
        while standing.due:
            ask = standing.due.popleft()
            if ask in standing.lacking:
                continue  # it has an answer
            error = standing.error or PartnerError(
                "the other province did not answer before the roster's deadline",
                "对方省份未在名册时限内答复",
                reason=words.REFUSAL_REASON_DEADLINE_EXCEEDED,
            )
            await self._in_pool(self._folder.refuse, ask, error)
            standing.given_up += 1
            await self._settle(group, ask)

    # chunks

    async def _settle(self, group: asyncio.TaskGroup, ask: Ask) -> None:
        """A question is dealt with; if it was the last of its chunk, go on with that."""
        waiting = self._open[ask.chunk]
        waiting.discard(ask)
        self._tell()
        if not waiting:
            await self._merging.acquire()  # whoever answers quickly waits for what is made of it
            self._merging.release()
            group.create_task(self._next(group, ask.chunk))

    async def _next(self, group: asyncio.TaskGroup, chunk: int) -> None:
        """What a chunk whose questions are all dealt with needs next: to follow moves and links, or to be merged."""
        making = self._making
        async with self._merging:
            if not await making.has(chunk):
                while more := await making.more(chunk):
                    self._due(group, more)
                    if self._open[chunk]:
                        return
                await making.make(chunk)
            self.figures.chunks_done += 1
            self.figures.rows_done += self._people.pop(chunk)
            del self._open[chunk]
            making.forget(chunk)
        self._ring()

    async def _subscribe(self, chunk: int, subscribes: Subscribes) -> None:
        """Subscribe for a chunk's people, beside everything else."""
        async with self._subscribing:
            now_ms = self._around.clock.now_ms()
            made = await subscribe_for(self._run, self._folder, chunk, subscribes, now_ms, self._in_pool)
        self.figures.subscribed += made
        self._tell()

    # what is told

    def rate(self) -> float:
        """People answered a second, of late; 0: not known."""
        return self._pace.rate()

    def left_s(self) -> float:
        """Seconds left at that rate; 0: not known."""
        rate = self.rate()
        return (self.figures.asked - self.figures.answered) / rate if rate and not self.figures.reading else 0.0

    def _left_s(self) -> float:
        """Seconds until the deadline."""
        return (self._run.deadline_ms - self._around.clock.now_ms()) / 1000

    def _over(self) -> bool:
        return not self.figures.reading and not self._open

    def _ring(self) -> None:
        """Whoever waits for something to do looks again."""
        self._news.set()
        self._news = asyncio.Event()
        self._tell()

    def _tell(self) -> None:
        self._changed()

    async def _in_pool(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._around.pool, functools.partial(work, *arguments))


def _number(ask: Ask) -> int:
    """What a question is known by among those of its member."""
    return ask.chunk * PHASES + ask.phase


def _first(several: BaseExceptionGroup[BaseException]) -> BaseException:
    """What went wrong first."""
    error: BaseException = several
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
