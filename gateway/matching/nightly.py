"""When rosters are compared: once a night with every member that may be, and when an operator asks; and forgetting.

Owns: the loop. Refuses: deciding who may be compared with whom (the access policy of either side does).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from gateway.clock import SHANGHAI_OFFSET_S, Clock, civil_day
from gateway.errors import DirectoryError, StoreError, WuganError
from gateway.federation.directory import DirectorySource
from gateway.log import Standstill, described
from gateway.matching.matching import Matching
from gateway.sections.lasting import DuplicatesSettings
from gateway.store.matchings import EVERYBODY, Matchings

_HOUR_S: Final = 3_600
TIDY_S: Final = 3_600.0

_log = structlog.stdlib.get_logger(__name__)


class Nightly:
    """See the module.

    Args:
        member_id: this member.
        tidy: forgets some of what is over; how much that was.
    """

    def __init__(
        self,
        member_id: str,
        matching: Matching,
        matchings: Matchings,
        directory: DirectorySource,
        tidy: Callable[[], Awaitable[int]],
        clock: Clock,
        settings: DuplicatesSettings,
    ) -> None:
        self._member_id = member_id
        self._matching = matching
        self._matchings = matchings
        self._directory = directory
        self._tidy = tidy
        self._clock = clock
        self._settings = settings
        self._day = 0
        self._tonight: set[str] = set()
        """With whom it is still to be begun, because it is night."""
        self._tidied_s = -TIDY_S

    async def run(self) -> None:
        """Go on until cancelled."""
        standstill = Standstill()
        while True:
            try:
                await self.once()
                standstill.ends()
            except (StoreError, DirectoryError) as error:
                if standstill.begins():
                    _log.warning("matching waits", fault=described(error))
            await asyncio.sleep(self._settings.poll_s)

    async def once(self) -> None:
        """See to what is due by now.

        Raises:
            StoreError: something could not be read or written.
            DirectoryError: the directory has expired.
        """
        if self._clock.monotonic() - self._tidied_s >= TIDY_S:
            self._tidied_s = self._clock.monotonic()
            await self._matching.tidy()
            while await self._tidy():
                pass
        now_ms = self._clock.now_ms()
        day, hour = civil_day(now_ms), (now_ms // 1000 + SHANGHAI_OFFSET_S) // _HOUR_S % 24
        members = {member.member_id for member in self._directory.current().members} - {self._member_id}
        wanted = {each.member for each in await self._matchings.read() if each.wanted_at_ms}
        if EVERYBODY in wanted:
            await self._matchings.want_each(members)
            wanted |= members
        if self._settings.matching and hour == self._settings.hour and day != self._day:
            self._day, self._tonight = day, set(members)
        failed: StoreError | None = None
        for member in sorted((wanted | self._tonight) & members):
            try:
                await self._matching.begin(member)
            except StoreError as error:
                failed = error  # it stays wanted; the others need not wait for it
                continue
            except WuganError as error:
                _log.warning("matching not begun", member=member, why=error.code)
            self._tonight.discard(member)
        if failed is not None:
            raise failed
