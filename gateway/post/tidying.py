"""Forgetting, as time passes: subscriptions of others whose time is over, and notices that were kept long enough.

Owns: the loop, and not believing a clock that has just jumped ahead: what is forgotten does not come back when it is
set right, and of whom a subscription is forgotten nobody is told anything. Refuses: deciding how long anything is kept.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from gateway.clock import Clock
from gateway.errors import StoreError
from gateway.log import described
from gateway.store.engine import Store

JUMP_MS: Final = 3_600_000
"""A clock that goes ahead by so much more than time has passed has jumped;"""
HOLD_S: Final = 86_400.0
"""and is believed once it has stayed there for so long."""

_log = structlog.stdlib.get_logger(__name__)


class Tidying:
    """See the module; looks every `every_s` seconds."""

    def __init__(self, store: Store, clock: Clock, every_s: float) -> None:
        self._store = store
        self._clock = clock
        self._every_s = every_s
        self._offset_ms = self._offset()
        """Wall time less the time that passed, as it is believed; a lower one is believed at once."""
        self._ahead_since_s: float | None = None

    async def run(self) -> None:
        """Forget until cancelled."""
        while True:
            try:
                await self.once()
            except StoreError as error:
                _log.warning("nothing forgotten", fault=described(error))
            await asyncio.sleep(self._every_s)

    async def once(self) -> None:
        """Forget everything whose time is over by now; nothing while the clock is not believed.

        Raises:
            StoreError: it could not be written.
        """
        if self._jumped():
            return
        for purge in (self._store.watches.purge, self._store.notices.purge, self._store.subscriptions.purge):
            while await purge(self._clock.now_ms()):
                pass

    def _offset(self) -> int:
        return self._clock.now_ms() - round(self._clock.monotonic() * 1000)

    def _jumped(self) -> bool:
        """Whether the clock went ahead lately, and has not stayed there long enough."""
        offset_ms, now_s = self._offset(), self._clock.monotonic()
        if offset_ms - self._offset_ms < JUMP_MS:
            self._offset_ms, self._ahead_since_s = offset_ms, None
            return False
        if self._ahead_since_s is None:
            self._ahead_since_s = now_s
            _log.warning("nothing forgotten: the clock went ahead", minutes=(offset_ms - self._offset_ms) // 60_000)
        if now_s - self._ahead_since_s < HOLD_S:
            return True
        self._offset_ms, self._ahead_since_s = offset_ms, None
        return False
