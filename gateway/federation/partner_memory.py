"""Remembering across restarts which partners fail, written down off the way of any call.

Owns: restoring what was kept, and writing what changed: at most once in a while, however often it changes meanwhile.
Refuses: deciding anything by it. What could not be written is written with the next change; nothing depends on it.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from gateway.errors import StoreError, WuganError
from gateway.federation.directory import DirectorySource
from gateway.federation.standing import Standings
from gateway.log import described
from gateway.resilience.backoff import Outage
from gateway.store.partner_state import PartnerState, PartnerStates

PAUSE_S: Final = 1.0
"""From one write to the next at least."""

_log = structlog.stdlib.get_logger(__name__)


class PartnerMemory:
    """Keeps what `standings` knows of partners that fail.

    Args:
        standings: how each partner is doing.
        states: where it is kept.
        directory: whose gateways there are; what concerns others is forgotten.
        pause_s: from one write to the next at least.
    """

    def __init__(
        self, standings: Standings, states: PartnerStates, directory: DirectorySource, *, pause_s: float = PAUSE_S
    ) -> None:
        self._standings = standings
        self._states = states
        self._directory = directory
        self._pause_s = pause_s
        self._changed: set[tuple[str, str]] = set()
        self._wake = asyncio.Event()
        standings.changed = self._note

    async def restore(self) -> None:
        """Have partners that failed before a restart be left alone as long as they were to be.

        Raises:
            StoreError: what was kept cannot be read.
        """
        for state in await self._states.read():
            outage = Outage(state.since_ms, state.failures, state.interval_ms, state.next_try_ms, state.reason)
            self._standings.of(state.member).door(state.address).breaker.restore(outage)
        self.follow()

    def follow(self) -> None:
        """Forget gateways that the directory in force does not list; call it when that changes."""
        try:
            directory = self._directory.current()
        except WuganError:
            return  # expired: nobody is asked anyway, and nobody is forgotten for it
        listed = {(member.member_id, gateway.address) for member in directory.members for gateway in member.gateways}
        gone = self._standings.keep_only(listed)
        if gone:
            self._changed.update(gone)
            self._wake.set()

    async def run(self) -> None:
        """Write down what changes, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self.write()
            await asyncio.sleep(self._pause_s)

    async def write(self) -> None:
        """Write down what changed since the last time."""
        changed, self._changed = self._changed, set()
        if not changed:
            return
        outages = {key: self._standings.outage(*key) for key in changed}
        kept = [
            PartnerState(member, address, **outage._asdict())
            for (member, address), outage in outages.items()
            if outage is not None
        ]
        gone = [key for key, outage in outages.items() if outage is None]
        try:
            await self._states.submit(kept, gone)
        except StoreError as error:
            _log.error("state of partners not written", fault=described(error))
            self._changed |= changed

    def _note(self, member_id: str, address: str) -> None:
        outage = self._standings.outage(member_id, address)
        if outage is None:
            _log.info("partner is well again", member=member_id, address=address)
        else:
            told = {"failures": outage.failures, "seconds": round(outage.interval_ms / 1000, 1)}
            _log.warning("partner left alone", member=member_id, address=address, error=outage.reason, **told)
        self._changed.add((member_id, address))
        self._wake.set()
