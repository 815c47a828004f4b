"""What those who write letters and deal with deliveries are handed, and hand back.

Owns: making a letter, the delivery that a handler is given, and what a handler may say. Refuses: sending and executing
(`outbox`, `inbox`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from gateway.exchange.envelope import Proof
from gateway.exchange.uuid7 import Uuid7
from gateway.post import traces
from gateway.store.letters import Effect, Letter
from wugan.federation.v1 import delivery_pb2

_DIGEST_TAG: Final = b"wugan-delivery-v1\x00"
_ids: Final = Uuid7()


def letter(
    partner: str,
    kind: delivery_pb2.DeliveryKind.ValueType,
    body: bytes,
    *,
    purpose: int,
    now_ms: int,
    expires_at_ms: int,
    order_key: bytes = b"",
) -> Letter:
    """A letter with an id of its own. See `Letter`."""
    delivery_id = _ids.next(now_ms)
    traces.made(delivery_id)
    return Letter(partner, kind, purpose, body, expires_at_ms, order_key, delivery_id, now_ms)


def delivery_digest(delivery_id: bytes, body: bytes) -> bytes:
    """What an answer to a delivery names it by: SHA-256 over tag, id and body. Treat it like the body."""
    return hashlib.sha256(_DIGEST_TAG + delivery_id + body).digest()


class Received(NamedTuple):
    """A delivery that was accepted, for its handler.

    Args:
        sender: member that sent it, proved.
        delivery_id: by which both sides know it.
        kind, purpose: as it travelled.
        accepted_at_ms, expires_at_ms: Unix milliseconds. A delivery is handed over after its time too: what is still to
            be said then is the handler's business.
        body: what it holds.
        proof: what proves to a third party that the member sent it.
        progress: the handler's own number, 0 to begin with.
        attempts: how often it was handed over before.
    """

    sender: str
    delivery_id: bytes
    kind: int
    purpose: int
    accepted_at_ms: int
    expires_at_ms: int
    body: bytes
    proof: Proof
    progress: int
    attempts: int

    def __repr__(self) -> str:
        """Nothing of the content, whoever logs it."""
        return f"<Received {self.delivery_id.hex()}>"


class Handled(NamedTuple):
    """What came of handling a delivery. It is committed as a whole, once, or not at all.

    Args:
        effects: writes that are its outcome: a letter in answer, an event noted.
        again_at_ms: 0: it is done. Otherwise it is handed over again then, Unix milliseconds; those behind it under the
            same order key do not wait for that.
        progress: the handler's number from now on.
    """

    effects: Sequence[Effect] = ()
    again_at_ms: int = 0
    progress: int = 0


class Handler(Protocol):
    """Deals with deliveries of one kind."""

    def check(self, sender: str, purpose: int, body: bytes, now_ms: int) -> None:
        """Look at a delivery before it is accepted; quick, without I/O.

        Raises:
            WuganError: it is not accepted; the sender is told why, and gives it up unless the error is retryable.
        """
        ...

    async def handle(self, delivery: Received) -> Handled:
        """Deal with it. What is done otherwise than by effects may be done again after a crash.

        Raises:
            WuganError: it failed. It is handed over again later, and given up after too many failures, or at once if
                the error is not retryable; then an operator sees it.
        """
        ...
