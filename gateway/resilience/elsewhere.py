"""Tries at another gateway of a partner after one failed: earned by the partner's answers.

    saved       as many questions as one envelope holds, to begin with and at most: they are tried elsewhere at once.
    answered    each question that a gateway of the partner answers earns two: while one answers there is always room,
                and if many need it at once, twice as many go with every answer.
    failed      half of what is saved is lost: where nobody is there, that is found out by a few and not by all of it.
    in line     who finds nothing saved waits while others are being tried elsewhere, since their answers earn it room;
                when none of them is under way any more, nothing will, and all in line are turned away at once.

So while nobody answers, no more is tried elsewhere than was saved, however many ask and however they are let down; and
who is turned away may still have the share that `adapters.budget` leaves for further tries of any kind.

Owns: this account, and the line. Refuses: knowing what is tried, and where.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import Final

SAVED_AT_MOST: Final = 32
"""Questions: a full envelope, so that whatever fails first may go on elsewhere, and show whether somebody is there."""
EARNED: Final = 2
"""By an answer. With 1 as many as were saved would be under way at any time, and 256 who fail together take as long as
eight answers, one after the other; so it is four."""


class Elsewhere:
    """The account of one partner, in questions, used from one event loop."""

    __slots__ = ("_line", "_saved", "_under_way", "spent")

    def __init__(self) -> None:
        self._saved = SAVED_AT_MOST
        self._under_way = 0
        self._line: deque[tuple[int, asyncio.Future[bool]]] = deque()
        self.spent = 0
        """Questions that were let through."""

    async def enter(self, count: int, time_s: float) -> bool:
        """Whether so many questions may be tried elsewhere; `end` is to be called after the try in that case.

        Args:
            count: of questions in the envelope, `SAVED_AT_MOST` at most: for more there is never room.
            time_s: how long to wait in line for it at most, seconds.
        """
        if not self._line and self._begin(count):
            return True
        if not self._under_way or time_s <= 0:
            return False
        place: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        entry = (count, place)
        self._line.append(entry)
        try:
            async with asyncio.timeout(time_s):
                return await place
        except BaseException as error:
            if place.done() and not place.cancelled():
                if place.result():  # it was let through in the very moment that it left
                    self._saved = min(SAVED_AT_MOST, self._saved + count)
                    self.spent -= count
                    self.end()
            else:
                with contextlib.suppress(ValueError):
                    self._line.remove(entry)
                self._move()  # those behind it may need less
            if not isinstance(error, TimeoutError):
                raise
            return False

    def earn(self, answered: int) -> None:
        """So many questions were answered, at whichever gateway."""
        if not self._line:
            self._saved = min(SAVED_AT_MOST, self._saved + EARNED * answered)
            return
        for _ in range(answered):  # one after the other: who is in line takes it before it is more than can be saved
            self._saved = min(SAVED_AT_MOST, self._saved + EARNED)
            self._move()

    def end(self, *, failed: bool = False) -> None:
        """A try that was let through is over; where it was answered, `earn` was told before."""
        self._under_way -= 1
        if failed:
            self._saved //= 2
        self._move()

    def _begin(self, count: int) -> bool:
        if self._saved < count:
            return False
        self._saved -= count
        self.spent += count
        self._under_way += 1
        return True

    def _move(self) -> None:
        """Let through those in line for whom there is room; or turn all away, where nothing will make any."""
        while self._line and (self._line[0][1].done() or self._begin(self._line[0][0])):
            place = self._line.popleft()[1]
            if not place.done():
                place.set_result(True)
        if not self._under_way:
            for _, place in self._line:
                if not place.done():
                    place.set_result(False)
            self._line.clear()
