"""Answers that another gateway of this member let go: not given by this one any more either.

Owns: looking, twice a second, at what gateways that share a database tell each other (`gateway.store.ended`), and the
word to the cache. A gateway that cannot look gives no answer again until it can. Refuses: deciding what is to go.

Numbers are given out before they are committed, so a row may appear behind one that was seen: each is looked for until
ten seconds after a later one was. Own rows say nothing new, and what was asked since is not to go because of them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import Final, Protocol

import structlog

from gateway.clock import Clock
from gateway.errors import StoreError
from gateway.log import described
from gateway.store.ended import EndedAnswers

LOOK_S: Final = 0.5
BEHIND_S: Final = 10.0
"""How long after a later row one may still appear: longer than any transaction of ours takes."""
BLIND_S: Final = 5.0
"""After so long without a look nothing is given again."""
_FIRST_BACK: Final = 1_024
"""Rows before the newest at the start that may not all have appeared."""

_log = structlog.stdlib.get_logger(__name__)


class Cache(Protocol):
    """What is told. `blind` while it is not known what is to go."""

    blind: bool

    def forget(self, member_id: str, indexes: list[bytes] | None, *, tell: bool) -> None:
        """Give no answer of a member (or EVERY_MEMBER) about these people (None: about anybody) any more, rows on their
        way included.
        """
        ...

    def forget_all(self) -> None:
        """Give no answer that is held by now."""
        ...


class EndedElsewhere:
    """See the module. Call `open` before the cache reads what is on the disk."""

    def __init__(self, ended: EndedAnswers, cache: Cache, clock: Clock) -> None:
        self._ended = ended
        self._cache = cache
        self._clock = clock
        self._low = 0
        self._seen: set[int] = set()
        self._passed: deque[tuple[float, int]] = deque()
        self._looked_s = clock.monotonic()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin with what is told from now on.

        Raises:
            StoreError: the database cannot be read.
        """
        if not self._ended.shared:
            return
        self._low = max(0, await self._ended.newest() - _FIRST_BACK)
        rows, _ = await self._ended.after(self._low)
        self._seen.update(row.number for row in rows)
        self._looked_s = self._clock.monotonic()
        self._task = asyncio.create_task(self._go_on(), name="ended elsewhere")
        self._task.add_done_callback(self._stopped)

    async def close(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def look(self) -> None:
        """Let go what others let go since the last look."""
        try:
            rows, swept = await self._ended.after(self._low)
        except StoreError as error:
            if not self._cache.blind and self._clock.monotonic() - self._looked_s > BLIND_S:
                self._cache.blind = True
                _log.error("no answer is given again: it cannot be read what is to go", fault=described(error))
            return
        if swept:
            self._cache.forget_all()
        for row in rows:
            if row.number not in self._seen:
                self._seen.add(row.number)
                if self._ended.is_own(row.number):
                    continue
                people = None if row.blind_index is None else [bytes(row.blind_index)]
                self._cache.forget(row.member, people, tell=False)
        now_s = self._looked_s = self._clock.monotonic()
        self._cache.blind = False
        if rows:
            self._passed.append((now_s, rows[-1].number))
        while self._passed and now_s - self._passed[0][0] > BEHIND_S:
            self._low = max(self._low, self._passed.popleft()[1])
        self._seen = {number for number in self._seen if number > self._low}

    async def _go_on(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            await self.look()

    def _stopped(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            self._cache.blind = True
            _log.error("no answer is given again: looking for what is to go has ended")
