"""The results of a run's chunks, made of its answers: rows and answers held or read again, followed, merged.

Owns: what of chunks and answers is in memory at a time (the rest is read again from the disk), what is asked because of
answers (moves, then links), and the parts `moves-…`, `links-…` and `result-…`. Refuses: asking, and rules (`merging`,
`asking`, `linking`). What blocks is done in the pool.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import polars as pl

from gateway.federation.partners import PartnerAnswer
from gateway.roster.around import Around
from gateway.roster.asking import Further, Reply, asked_under, moves_from, positions, question
from gateway.roster.cutting import Cut, about, rows_of
from gateway.roster.frames import to_arrow
from gateway.roster.linking import again, linked_by
from gateway.roster.merging import merged
from gateway.roster.packing import pack
from gateway.roster.run import LINKED, MOVED, Ask, RunFolder, Submitted, further_part, result_part

CUT_AT_ONCE: Final = 16
"""Chunks whose rows are kept in memory between being cut, asked about and merged; others are read again."""
ANSWERS_HELD: Final = 8
"""Answers that are kept in memory until their chunk is merged; others are read again."""

InPool = Callable[..., Awaitable[Any]]


class Making:
    """See the module.

    Args:
        run: what was submitted.
        folder: its parts.
        around: what it has in common with others.
        in_pool: does what blocks.
        shown_from: number by which its first chunk is told.
    """

    def __init__(
        self, run: Submitted, folder: RunFolder, around: Around, in_pool: InPool, shown_from: Callable[[], int]
    ) -> None:
        self._run = run
        self._folder = folder
        self._around = around
        self._in_pool = in_pool
        self._shown_from = shown_from
        self._cuts: OrderedDict[int, Cut] = OrderedDict()
        self._held: OrderedDict[Ask, PartnerAnswer] = OrderedDict()
        self._steps_of: dict[int, list[Further]] = {}
        """Of chunks whose first questions are dealt with, what is asked besides: by phase, as far as that is known."""

    def remember(self, chunk: int, rows: Cut) -> None:
        """Rows of a chunk that are needed soon."""
        self._cuts[chunk] = rows
        while len(self._cuts) > CUT_AT_ONCE:
            self._cuts.popitem(last=False)

    def hold(self, ask: Ask, answer: PartnerAnswer) -> None:
        """An answer whose chunk is merged soon; it is on the disk already."""
        self._held[ask] = answer
        while len(self._held) > ANSWERS_HELD:
            self._held.popitem(last=False)

    async def question(self, ask: Ask) -> Any:
        """The question about those of a chunk who are to be asked about at a member."""
        rows = (await self._rows(ask.chunk)).rows
        steps = self._steps_of.get(ask.chunk, [])
        matters = self._around.book.start_matters
        return await self._in_pool(
            lambda: question(self._run, ask, rows, positions(rows, ask, steps), matters, asked_under(ask, steps))
        )

    async def has(self, chunk: int) -> bool:
        """Whether a chunk's results are there."""
        done: bool = await self._in_pool(self._folder.parts.has, result_part(chunk))
        return done

    async def more(self, chunk: int) -> dict[Ask, int]:
        """The questions that follow from the answers to a chunk, and about how many people each is: about who moved,
        and when these are dealt with, too, about whom others link to further numbers. Each is told once; none: that is
        all.
        """
        steps = self._steps_of.setdefault(chunk, [])
        if len(steps) == LINKED:
            return {}
        rows = (await self._rows(chunk)).rows
        steps += await self._in_pool(self._next_steps, chunk, rows, tuple(steps))
        return {Ask(chunk, len(steps), member): len(places) for member, places in steps[-1].items()}

    async def make(self, chunk: int) -> None:
        """Make a chunk's results, all of whose questions are dealt with, and put them down.

        Raises:
            StoreError: a part could not be read or written.
        """
        cut, steps = await self._rows(chunk), self._steps_of[chunk]
        taken = {ask: self._held.pop(ask) for ask in [ask for ask in self._held if ask.chunk == chunk]}
        await self._in_pool(self._merge, chunk, cut, steps, taken)

    def forget(self, chunk: int) -> None:
        """A chunk is done with."""
        self._steps_of.pop(chunk, None)
        self._cuts.pop(chunk, None)

    async def _rows(self, chunk: int) -> Cut:
        """The rows of a chunk; members ask about one at about the same time."""
        known = self._cuts.get(chunk)
        if known is None:
            known = await self._in_pool(rows_of, self._folder, chunk)
            self.remember(chunk, known)
        return known

    def _next_steps(self, chunk: int, rows: pl.DataFrame, before: Sequence[Further]) -> list[Further]:
        """What is asked in the next phase in which anything is, and before it nothing."""
        replies: list[Reply] = []
        steps: list[Further] = []
        while len(before) + len(steps) < LINKED and not any(steps):
            phase = len(before) + len(steps) + 1
            part = further_part(chunk, phase)
            if self._folder.parts.has(part):
                steps.append(_read(self._folder.parts.read(part)))
                continue
            if phase == MOVED and not self._around.follow_moves:
                steps.append({})
                continue
            replies = replies or self._replies(chunk, rows, before, self._held)
            steps.append(self._moved(rows, replies) if phase == MOVED else again(linked_by(rows, replies), replies))
            if steps[-1]:  # put down, so that it is the same after a restart
                self._folder.parts.write(part, _written(steps[-1]))
        return steps

    def _moved(self, rows: pl.DataFrame, replies: Sequence[Reply]) -> Further:
        """Who is to be asked about elsewhere: under what members link to them by now, too."""
        around = self._around
        moves = moves_from(around.directory.current(), around.member_id, rows, replies, around.max_members)
        linked = linked_by(rows, replies) if moves else {}
        return {
            member: {place: linked[place].numbers(member) if place in linked else () for place in places}
            for member, places in moves.items()
        }

    def _merge(self, chunk: int, cut: Cut, steps: Sequence[Further], held: Mapping[Ask, PartnerAnswer]) -> None:
        rows = cut.rows
        replies = self._replies(chunk, rows, steps, held)
        tables = merged(self._around.book, self._run, self._shown_from() + chunk, rows, replies)
        blobs = {name: to_arrow(table) for name, table in tables.items() if table.height}
        if cut.rejected.height:
            blobs["rejected"] = to_arrow(cut.rejected)
        self._folder.parts.write(result_part(chunk), pack(blobs))

    def _replies(
        self, chunk: int, rows: pl.DataFrame, steps: Sequence[Further], held: Mapping[Ask, PartnerAnswer]
    ) -> list[Reply]:
        """What came of all questions of a chunk, in order of phases."""
        asks = [Ask(chunk, 0, member) for member in about(self._folder, chunk).members]
        asks += [Ask(chunk, phase, member) for phase, step in enumerate(steps, start=1) for member in step]
        return [
            Reply(ask, positions(rows, ask, steps), held.get(ask) or self._folder.reply(ask), asked_under(ask, steps))
            for ask in asks
        ]


def _written(step: Further) -> bytes:
    """For a part: of each person the place, and the numbers behind it."""
    plain = {member: [[place, *numbers] for place, numbers in people.items()] for member, people in step.items()}
    return json.dumps(plain).encode()


def _read(data: bytes) -> Further:
    """The reverse; a place may stand there alone, as earlier versions wrote it."""
    step: Further = {}
    for member, people in json.loads(data).items():
        listed = (each if isinstance(each, list) else [each] for each in people)
        step[member] = {place: tuple(numbers) for place, *numbers in listed}
    return step
