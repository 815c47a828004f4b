"""The replay guard: an envelope is accepted once.

Owns: the interface that every guard fulfils, and the guard in memory.
Refuses: durability. `MemoryReplayGuard` forgets when the process ends, so an envelope could be accepted again after a
restart while it is still within its time; a gateway therefore uses the durable guard of `gateway.store`. The one in
memory serves tests, benchmarks and tools. tests/unit/exchange/replay_contract.py is what both must pass.
"""

from __future__ import annotations

import heapq
from typing import Final, Protocol

from gateway.exchange.envelope import Opened
from gateway.exchange.refusals import expired, overloaded, replayed


class Claim(Protocol):
    """A message that is accepted as far as can be told without I/O, held for one caller."""

    def submit(self) -> None:
        """Have it written down, and go on meanwhile. To be called once."""
        ...

    async def accepted(self) -> None:
        """Return when the acceptance is remembered, by a durable guard on disk. Nothing may be answered before.

        Raises:
            EnvelopeError: ENVELOPE_REPLAYED if it was accepted before, here before a restart or by another instance.
            StoreError: the storage failed, and the message is not accepted.
        """
        ...


class ReplayGuard(Protocol):
    """Remembers which messages were accepted."""

    def claim(self, sender: str, message_id: bytes, expires_at_ms: int, now_ms: int) -> Claim:
        """Refuse a message that is known to have been accepted before, or hold it for the caller alone. No I/O.

        Of two claims of the same message at most one succeeds, and of two that were both submitted, by two instances
        that share the storage, at most one is accepted.

        Args:
            sender: member id, already authenticated: the same id from another sender is another message.
            message_id: UUIDv7, 16 bytes.
            expires_at_ms: last Unix millisecond at which the envelope itself would still be accepted, skew included
                (`Opened.acceptable_until_ms`). The guard remembers the message through that millisecond at least.
            now_ms: Unix time in milliseconds. May go back; the guard then still refuses whatever it may have forgotten.

        Raises:
            EnvelopeError: ENVELOPE_REPLAYED if accepted before; ENVELOPE_EXPIRED if now is past `expires_at_ms`, or
                what was acceptable until then may have been forgotten; OVERLOADED (retryable) if no more can be
                remembered.
        """
        ...


def claim(guard: ReplayGuard, opened: Opened, now_ms: int) -> Claim:
    """Claim an opened question. Raises as `ReplayGuard.claim`."""
    return guard.claim(opened.header.sender, opened.header.message_id, opened.acceptable_until_ms, now_ms)


async def admit(guard: ReplayGuard, sender: str, message_id: bytes, expires_at_ms: int, now_ms: int) -> None:
    """Claim a message and return when its acceptance is remembered. Raises as `claim` and `Claim.accepted`."""
    await guard.claim(sender, message_id, expires_at_ms, now_ms).accepted()


class _Held:
    """A claim that is as durable as it will be."""

    def submit(self) -> None:
        """Nothing is left to write."""

    async def accepted(self) -> None:
        """It is."""


_HELD: Final = _Held()


class MemoryReplayGuard:
    """A bounded guard in memory. When full it refuses new messages rather than forget one that is within its time."""

    _FULL_RETRY_MS: Final = 1_000

    def __init__(self, capacity: int = 1_000_000) -> None:
        """`capacity`: messages remembered at most, about 250 bytes each."""
        self._capacity = capacity
        self._seen: set[tuple[str, bytes]] = set()
        self._expiries: list[tuple[int, str, bytes]] = []
        self._latest_ms = 0

    def __len__(self) -> int:
        """How many messages are remembered."""
        return len(self._seen)

    def claim(self, sender: str, message_id: bytes, expires_at_ms: int, now_ms: int) -> Claim:
        """See `ReplayGuard.claim`."""
        self._latest_ms = max(self._latest_ms, now_ms)
        self._forget()
        if (sender, message_id) in self._seen:
            raise replayed()
        if expires_at_ms < self._latest_ms:
            raise expired("header.expires_at_ms", "it has expired", "已过期")
        if len(self._seen) >= self._capacity:
            raise overloaded(self._FULL_RETRY_MS)
        self._seen.add((sender, message_id))
        heapq.heappush(self._expiries, (expires_at_ms, sender, message_id))
        return _HELD

    def _forget(self) -> None:
        expiries = self._expiries
        while expiries and expiries[0][0] < self._latest_ms:
            _, sender, message_id = heapq.heappop(expiries)
            self._seen.discard((sender, message_id))
