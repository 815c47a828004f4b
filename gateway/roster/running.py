"""A run on its way: the file is cut, members are asked, each at its own pace, chunks whose members are done are merged.

Owns: what is asked next, waiting for members that fail while the others go on, giving up at the deadline, and that
whatever was answered is on the disk before it counts, so that nobody is asked twice. Memory is bounded
by what is under way: rows, questions and answers lie on the disk until they are needed. Refuses: the wire
(`gateway.federation.streams`), rules, and deciding when a run begins.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Callable
from typing import Any, Final, TypeVar

import polars as pl

from gateway.errors import PartnerError, StoreError
from gateway.federation.partners import PartnerAnswer
from gateway.federation.streams import Chunk, ChunkOutcome
from gateway.resilience.backoff import Backoff
from gateway.roster.around import Around, Subscribes
from gateway.roster.asking import Moves, moves_from, positions, question
from gateway.roster.certifying import Certifying, claims
from gateway.roster.cutting import About, Cut, about, cut, rows_of
from gateway.roster.frames import to_arrow
from gateway.roster.living import Living
from gateway.roster.merging import Reply, merged
from gateway.roster.packing import pack
from gateway.roster.planning import Planner
from gateway.roster.progress import Figures, Standing
from gateway.roster.run import Ask, Refusal, RunFolder, Submitted, moves_part, result_part
from gateway.roster.subscribing import subscribe_for
from wugan.federation.v1 import vocabulary_pb2 as words

CUT_AT_ONCE: Final = 16
"""Chunks whose rows are kept in memory between being cut, asked about and merged; others are read again."""
CUT_AHEAD: Final = 4
"""Questions that wait for a member from which on nothing more is cut for it."""
ANSWERS_HELD: Final = 8
"""Answers that are kept in memory until their chunk is merged; others are read again."""
MERGED_AT_ONCE: Final = 2
BACKOFF: Final = Backoff(first_s=1.0, longest_s=300.0, least=0.5)
_RATE_S: Final = 20.0
"""Seconds over which the rate is told."""

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
        self._settled: dict[Ask, bool] = {}
        self._cuts: OrderedDict[int, Cut] = OrderedDict()
        self._held: OrderedDict[Ask, PartnerAnswer] = OrderedDict()
        self._moves_of: dict[int, Moves] = {}
        self._news = asyncio.Event()
        self._merging = asyncio.Semaphore(MERGED_AT_ONCE)
        self._subscribing = asyncio.Semaphore(1)
        self._paces: deque[tuple[float, int]] = deque()

    async def go(self) -> None:
        """Run to the end; then every chunk's results are on the disk.

        Raises:
            RefusedError: the file cannot be read.
            DirectoryError: the directory has expired.
            StoreError: a part could not be read or written.
        """
        self._settled = await self._in_pool(self._folder.asks)
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
            await self._in_pool(self._living.settle, self.figures.chunks)

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
            self._remember(found.number, rows)
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
                standing = self.standings[ask.member] = Standing()
                group.create_task(self._ask(group, ask.member, standing))
            standing.questions += 1
            self.figures.asked += people
            answered = self._settled.get(ask)
            if answered is None:
                self._open[ask.chunk].add(ask)
                standing.due.append(ask)
            else:
                standing.answered += answered
                standing.refused += not answered
                self.figures.answered += people if answered else 0
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
            elif self._over():
                return
            else:
                await news.wait()

    async def _feed(self, standing: Standing) -> AsyncGenerator[Chunk, None]:
        """Questions that are due, until there is none, or the member fails."""
        while standing.due and standing.error is None and self._left_s() > 0:
            ask = standing.due.popleft()
            standing.under_way.add(ask)
            if len(standing.due) < CUT_AHEAD:
                self._ring()
            yield Chunk(_number(ask), await self._question(ask))

    async def _question(self, ask: Ask) -> Any:
        rows = (await self._rows(ask.chunk)).rows
        moves = self._moves_of.get(ask.chunk, {})
        return await self._in_pool(lambda: question(self._run, ask, rows, positions(rows, ask, moves)))

    async def _came(self, group: asyncio.TaskGroup, standing: Standing, outcome: ChunkOutcome) -> None:
        """A question was answered, refused, or failed."""
        ask = next(each for each in standing.under_way if _number(each) == outcome.number)
        standing.under_way.discard(ask)
        if outcome.answer is not None:
            await self._in_pool(self._folder.keep, ask, outcome.answer, self._around.clock.now_ms())
            self._held[ask] = outcome.answer
            while len(self._held) > ANSWERS_HELD:
                self._held.popitem(last=False)
            standing.answered += 1
            standing.failures, standing.error, standing.next_try_ms = 0, None, 0
            people = len(outcome.answer.findings.status)
            self.figures.answered += people
            self._pace(people)
            await self._settle(group, ask)
            return
        error = outcome.error or PartnerError("no answer came", "未收到答复")
        if isinstance(error, StoreError):
            raise error
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

    async def _give_up(self, group: asyncio.TaskGroup, standing: Standing) -> None:
        """The deadline is over: what is due is not asked any more."""
        while standing.due:
            ask = standing.due.popleft()
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
        """What a chunk whose questions are all dealt with needs next: to follow moves, or to be merged."""
        async with self._merging:
            if not await self._in_pool(self._folder.parts.has, result_part(chunk)):
                cut_rows = await self._rows(chunk)
                if chunk not in self._moves_of:
                    moves = await self._in_pool(self._follow, chunk, cut_rows.rows)
                    self._moves_of[chunk] = moves
                    self._due(group, {Ask(chunk, 1, member): len(places) for member, places in moves.items()})
                    if self._open[chunk]:
                        return
                await self._in_pool(self._merge, chunk, cut_rows, self._moves_of[chunk], self._taken(chunk))
            self.figures.chunks_done += 1
            self.figures.rows_done += self._people.pop(chunk)
            del self._open[chunk]
            self._moves_of.pop(chunk, None)
            self._cuts.pop(chunk, None)
        self._ring()

    async def _subscribe(self, chunk: int, subscribes: Subscribes) -> None:
        """Subscribe for a chunk's people, beside everything else."""
        async with self._subscribing:
            now_ms = self._around.clock.now_ms()
            made = await subscribe_for(self._run, self._folder, chunk, subscribes, now_ms, self._in_pool)
        self.figures.subscribed += made
        self._tell()

    def _follow(self, chunk: int, rows: pl.DataFrame) -> Moves:
        """Who is to be asked about elsewhere; put down, so that it is the same after a restart."""
        folder = self._folder
        if folder.parts.has(moves_part(chunk)):
            found: Moves = json.loads(folder.parts.read(moves_part(chunk)))
            return found
        if not self._around.follow_moves:
            return {}
        answers = {}
        for ask in self._asks(chunk, {}):
            came = self._held.get(ask) or folder.reply(ask)
            if not isinstance(came, Refusal):
                answers[ask] = positions(rows, ask, {}), came.findings
        around = self._around
        moves = moves_from(around.directory.current(), around.member_id, rows, answers, around.max_members)
        if moves:
            folder.parts.write(moves_part(chunk), json.dumps(moves).encode())
        return moves

    def _merge(self, chunk: int, cut_rows: Cut, moves: Moves, held: dict[Ask, PartnerAnswer]) -> None:
        """Make a chunk's results, and put them down."""
        rows = cut_rows.rows
        replies = [
            Reply(ask, positions(rows, ask, moves), held.get(ask) or self._folder.reply(ask))
            for ask in self._asks(chunk, moves)
        ]
        shown = chunk if self._living is None else self._living.first_chunk + chunk
        tables = merged(self._around.book, self._run, shown, rows, replies)
        blobs = {name: to_arrow(table) for name, table in tables.items() if table.height}
        if cut_rows.rejected.height:
            blobs["rejected"] = to_arrow(cut_rows.rejected)
        self._folder.parts.write(result_part(chunk), pack(blobs))

    def _asks(self, chunk: int, moves: Moves) -> list[Ask]:
        """All questions of a chunk."""
        first = [Ask(chunk, 0, member) for member in about(self._folder, chunk).members]
        return first + [Ask(chunk, 1, member) for member in moves]

    def _taken(self, chunk: int) -> dict[Ask, PartnerAnswer]:
        """Answers of a chunk that are still in memory, which they leave."""
        return {ask: self._held.pop(ask) for ask in [ask for ask in self._held if ask.chunk == chunk]}

    async def _rows(self, chunk: int) -> Cut:
        """The rows of a chunk; members ask about one at about the same time."""
        known = self._cuts.get(chunk)
        if known is None:
            known = await self._in_pool(rows_of, self._folder, chunk)
            self._remember(chunk, known)
        return known

    def _remember(self, chunk: int, rows: Cut) -> None:
        self._cuts[chunk] = rows
        while len(self._cuts) > CUT_AT_ONCE:
            self._cuts.popitem(last=False)

    # what is told

    def rate(self) -> float:
        """People answered a second, of late; 0: not known."""
        now = self._around.clock.monotonic()
        while self._paces and self._paces[0][0] < now - _RATE_S:
            self._paces.popleft()
        if len(self._paces) < 2 or now <= self._paces[0][0]:
            return 0.0
        return sum(people for _, people in list(self._paces)[1:]) / (now - self._paces[0][0])

    def left_s(self) -> float:
        """Seconds left at that rate; 0: not known."""
        rate = self.rate()
        return (self.figures.asked - self.figures.answered) / rate if rate and not self.figures.reading else 0.0

    def _pace(self, people: int) -> None:
        self._paces.append((self._around.clock.monotonic(), people))

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
    return ask.chunk * 2 + ask.phase


def _first(several: BaseExceptionGroup[BaseException]) -> BaseException:
    """What went wrong first."""
    error: BaseException = several
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
