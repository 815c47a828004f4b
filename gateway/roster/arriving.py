"""Rosters that are handed in: understood, bounded, and put down whole.

Owns: that a submission is on the disk before it is said to be accepted, that the file is what its header says, and what
may go on from an earlier run. Refuses: rows, and running.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
from collections.abc import AsyncIterator, Callable
from typing import Final, TypeVar

from gateway.errors import RefusedError
from gateway.roster.around import Around
from gateway.roster.pieces import Step
from gateway.roster.run import DONE, INPUT_BLOCK, RunFolder, Submitted, input_part, not_live
from gateway.roster.shelf import Kept, Shelf, name_of
from gateway.roster.understanding import understood, wrong
from gateway.sections.lasting import RosterSettings
from wugan.agency.v1 import roster_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

MAX_STEPS: Final = 1_000_000
"""Steps in which a file is made of the one before, at most."""

T = TypeVar("T")


class Arriving:
    """See the module.

    Args:
        shelf: takes the runs.
        around: what runs have in common.
        settings: limits.
        pseudonym: (unit, official) → what stands for the official elsewhere.
    """

    def __init__(
        self, shelf: Shelf, around: Around, settings: RosterSettings, pseudonym: Callable[[str, str], bytes]
    ) -> None:
        self._shelf = shelf
        self._around = around
        self._settings = settings
        self._pseudonym = pseudonym
        self._arriving: set[str] = set()

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
            now_ms=self._around.clock.now_ms(),
            pseudonym=self._pseudonym,
        )
        if submitted.continues:
            self._check_continued(submitted)
        name = name_of(unit, submitted.run_id)
        known = self._shelf.kept.get(name)
        if known is not None:
            return known, True
        if name in self._arriving:
            raise wrong(
                "run_id", "this run is being submitted by another call", "该任务正由另一请求提交", retryable=True
            )
        unfinished = sum(kept.submitted.unit == unit and kept.ended is None for kept in self._shelf.kept.values())
        if unfinished >= self._settings.waiting:
            raise RefusedError(
                "too many rosters of this unit are not done yet; submit this one later",
                "本机构尚有过多名册未完成，请稍后提交",
                reason=words.REFUSAL_REASON_OVERLOADED,
                retryable=True,
                retry_after_ms=60_000,
            )
        self._arriving.add(name)
        folder = self._shelf.folder(name)
        try:
            await self._take(folder, submitted, data)
        except BaseException:
            await asyncio.shield(self._in_pool(folder.parts.destroy))
            raise
        finally:
            self._arriving.discard(name)
        kept = self._shelf.kept[name] = Kept(submitted, folder)
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

            before = self._shelf.before(submitted)
            if before is None:
                raise wrong("continues", "pieces are copied, but of no run", "未说明所接续的任务")
            await self._in_pool(compose, folder, submitted, before, made_of)
        await self._in_pool(folder.parts.write, "run", submitted.to_json())

    def _check_continued(self, submitted: Submitted) -> None:
        """A run may go on from one of the same unit that was live, is done, and asked the same.

        Raises:
            RefusedError: it may not.
        """
        before = self._shelf.get(submitted.unit, submitted.continues)
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

    async def _in_pool(self, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._around.pool, functools.partial(work, *arguments))


def _cut_off() -> RefusedError:
    return RefusedError(
        "data: the file is not what its header says; it was changed or cut off on the way. Submit it again",
        "data：文件与其头信息不符，可能在传输中被截断或改动，请重新提交",
        field="data",
        retryable=True,
    )
