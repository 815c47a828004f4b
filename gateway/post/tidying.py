"""Forgetting, as time passes: subscriptions of others whose time is over, and notices that were kept long enough.

Owns: the loop, and not believing a clock that has just jumped ahead (`gateway.store.jumps`): of whom a subscription is
forgotten nobody is told anything. Refuses: deciding how long anything is kept.
"""

from __future__ import annotations

import asyncio

import structlog

from gateway.clock import Clock
from gateway.errors import StoreError
from gateway.log import described
from gateway.store.engine import Store
from gateway.store.jumps import Jumps

_log = structlog.stdlib.get_logger(__name__)


class Tidying:
    """See the module; looks every `every_s` seconds."""

    def __init__(self, store: Store, clock: Clock, every_s: float) -> None:
        self._store = store
        self._every_s = every_s
        self._jumps = Jumps(clock)
        self._told = False

    async def run(self) -> None:
        """Forget until cancelled."""
        while True:
            try:
                await self.once()
            except StoreError as error:
                _log.warning("nothing forgotten", fault=described(error))
            await asyncio.sleep(self._every_s)

    async def once(self) -> None:
        """Forget everything whose time is over by now; while the clock is not believed, by the time that passed.

        Raises:
            StoreError: it could not be written.
        """
        ahead_ms = self._jumps.ahead_ms()
        if ahead_ms and not self._told:
            _log.warning("the clock went ahead: nothing is forgotten by it", minutes=ahead_ms // 60_000)
        self._told = bool(ahead_ms)
        for purge in (self._store.watches.purge, self._store.notices.purge, self._store.subscriptions.purge):
            while await purge(self._jumps.at_least_ms()):
                pass
