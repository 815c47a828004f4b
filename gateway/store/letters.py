"""What is left with another member, and what comes of it: the words that outbox, inbox and their handlers share.

Owns: a letter, an effect (a write that is to be committed with others), and numbers that only grow. Refuses: knowing
what a letter holds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from gateway.store.committing import Kind
from gateway.store.rows import Transaction
from gateway.store.tables import store_meta

REMEMBERED_MS: Final = 30 * 86_400_000
"""How long after its time a delivery is still known to whom it was delivered, so that it is not accepted twice."""
LONGEST_OFF_MS: Final = 86_400_000
"""Nothing is put off for longer at a time. What seems to be was put off while the clock was ahead, and is due."""
_LOCK = 0x77_75_67_61_6E_05
"""PostgreSQL advisory lock: gateways that share a database number one after another."""


class Letter(NamedTuple):
    """Something to be delivered to another member.

    Args:
        partner: to whom.
        kind: DeliveryKind of the contract.
        purpose: under which it travels.
        body: a serialized message, as the kind says.
        expires_at_ms: after this it is not worth delivering, Unix milliseconds.
        order_key: 16 bytes; letters to a partner under the same key are delivered and dealt with in the order in which
            they were submitted. Empty: in no order.
        delivery_id: UUIDv7 by which it is known on both sides.
        created_at_ms: when it was made, Unix milliseconds.
    """

    partner: str
    kind: int
    purpose: int
    body: bytes
    expires_at_ms: int
    order_key: bytes
    delivery_id: bytes
    created_at_ms: int

    def __repr__(self) -> str:
        """Nothing of the content, whoever logs it."""
        return f"<Letter {self.delivery_id.hex()}>"


class Effect(NamedTuple):
    """A write that is to be committed with others, all or none.

    Args:
        kind: how it is written.
        payload: what is written.
        after: called in the event loop once it is on the disk.
    """

    kind: Kind[Any, Any]
    payload: Any
    after: Callable[[], None] | None = None


def apply_effects(transaction: Transaction, effects: Sequence[Effect]) -> None:
    """Write them, all of one kind at once, the kinds in the order in which they first come."""
    groups: dict[Kind[Any, Any], list[Any]] = {}
    for effect in effects:
        groups.setdefault(effect.kind, []).append(effect.payload)
    for kind, payloads in groups.items():
        kind.apply(transaction, payloads)


class Together:
    """A kind of write that is several, committed together."""

    def apply(self, transaction: Transaction, payloads: Sequence[Sequence[Effect]]) -> list[None]:
        """Write all of them."""
        apply_effects(transaction, [effect for effects in payloads for effect in effects])
        return [None] * len(payloads)


def one_at_a_time(transaction: Transaction) -> None:
    """Of gateways that share a database only one goes on from here, until its transaction ends."""
    if transaction.embedded is None:
        transaction.connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))


def take_numbers(transaction: Transaction, name: str, count: int, now_ms: int) -> int:
    """The first of so many numbers that grow: ever larger, and never below the time in microseconds.

    Larger than all that were taken before even if rows were deleted or the clock was set back; and, because they follow
    the time, also after an older copy of the database was restored.
    """
    connection = transaction.connection
    one_at_a_time(transaction)
    known = connection.execute(sa.select(store_meta.c.value).where(store_meta.c.name == name)).scalar()
    first = now_ms * 1000 if known is None else max(int.from_bytes(bytes(known)) + 1, now_ms * 1000)
    value = (first + count - 1).to_bytes(8)
    if known is None:
        connection.execute(sa.insert(store_meta).values(name=name, value=value))
    else:
        connection.execute(sa.update(store_meta).where(store_meta.c.name == name).values(value=value))
    return first
