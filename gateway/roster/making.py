"""The results of a run's chunks, made of its answers: rows and answers held or read again, moves followed, merged.

Owns: what of chunks and answers is in memory at a time (the rest is read again from the disk), and the parts `moves-…`
and `result-…`. Refuses: asking, and rules (`merging`, `asking`). What blocks is done in the pool.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Final

import polars as pl

from gateway.federation.partners import PartnerAnswer
from gateway.roster.around import Around
from gateway.roster.asking import Moves, Reply, moves_from, positions, question
from gateway.roster.cutting import Cut, about, rows_of
from gateway.roster.frames import to_arrow
from gateway.roster.merging import merged
from gateway.roster.packing import pack
from gateway.roster.run import Ask, Refusal, RunFolder, Submitted, moves_part, result_part

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
        self._moves_of: dict[int, Moves] = {}

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
        moves = self._moves_of.get(ask.chunk, {})
        return await self._in_pool(lambda: question(self._run, ask, rows, positions(rows, ask, moves)))

    async def has(self, chunk: int) -> bool:
        """Whether a chunk's results are there."""
        done: bool = await self._in_pool(self._folder.parts.has, result_part(chunk))
        return done

    async def follow(self, chunk: int) -> Moves | None:
        """Who of a chunk is to be asked about elsewhere, because of its first answers; None: that was said before."""
        if chunk in self._moves_of:
            return None
        rows = (await self._rows(chunk)).rows
        moves: Moves = await self._in_pool(self._follow, chunk, rows)
        self._moves_of[chunk] = moves
        return moves

    async def make(self, chunk: int) -> None:
        """Make a chunk's results, all of whose questions are dealt with, and put them down.

        Raises:
            StoreError: a part could not be read or written.
        """
        cut, moves = await self._rows(chunk), self._moves_of[chunk]
        taken = {ask: self._held.pop(ask) for ask in [ask for ask in self._held if ask.chunk == chunk]}
        await self._in_pool(self._merge, chunk, cut, moves, taken)

    def forget(self, chunk: int) -> None:
        """A chunk is done with."""
        self._moves_of.pop(chunk, None)
        self._cuts.pop(chunk, None)

    async def _rows(self, chunk: int) -> Cut:
        """The rows of a chunk; members ask about one at about the same time."""
        known = self._cuts.get(chunk)
        if known is None:
            known = await self._in_pool(rows_of, self._folder, chunk)
            self.remember(chunk, known)
        return known

    def _follow(self, chunk: int, rows: pl.DataFrame) -> Moves:
        """Put down, so that it is the same after a restart."""
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
                answers[ask] = (positions(rows, ask, {}), came.findings)
        around = self._around
        moves = moves_from(around.directory.current(), around.member_id, rows, answers, around.max_members)
        if moves:
            folder.parts.write(moves_part(chunk), json.dumps(moves).encode())
        return moves

    def _merge(self, chunk: int, cut: Cut, moves: Moves, held: dict[Ask, PartnerAnswer]) -> None:
        rows = cut.rows
        replies = [
            Reply(ask, positions(rows, ask, moves), held.get(ask) or self._folder.reply(ask))
            for ask in self._asks(chunk, moves)
        ]
        tables = merged(self._around.book, self._run, self._shown_from() + chunk, rows, replies)
        blobs = {name: to_arrow(table) for name, table in tables.items() if table.height}
        if cut.rejected.height:
            blobs["rejected"] = to_arrow(cut.rejected)
        self._folder.parts.write(result_part(chunk), pack(blobs))

    def _asks(self, chunk: int, moves: Moves) -> list[Ask]:
        """All questions of a chunk."""
        first = [Ask(chunk, 0, member) for member in about(self._folder, chunk).members]
        return first + [Ask(chunk, 1, member) for member in moves]
