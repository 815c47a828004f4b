"""Letters that subscribe, sent again after some of the subscriptions were ended: the ending goes after them once more.

An ending does not wait for a letter that died, so that one that is sent again comes after it: the other member would
watch people whom nobody here pays any more, until its time for them is over.

At the other side it may die in the inbox, and what came after it be dealt with. There it is not dealt with again: who
is not taken in is asked for anew by the subscriber, within a day, and whoever is not asked for is nobody's any more.

Owns: who of such a letter is not subscribed for any more, and the letter that takes them out, behind it in the same
order. Refuses: changing the letter itself: the member may have it already, and knows it by what it holds.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection
from typing import Any, Final

import sqlalchemy as sa
from google.protobuf.message import DecodeError
from sqlalchemy.engine import Row

from gateway.store.audit import AuditEvent, AuditLog
from gateway.store.inbox import DONE, UNDER_WAY
from gateway.store.letters import Effect, Letter
from gateway.store.notice_tables import subscription
from gateway.store.outbox import OutboxTable
from gateway.store.post_tables import inbox
from wugan.agency.v1 import agency_pb2
from wugan.federation.v1 import delivery_pb2, notices_pb2

_TOKEN_BYTES: Final = 16
_AT_ONCE: Final = 500
_GAP: Final = 0b11 << 62
_FIXED: Final = 7 << 76 | 0b10 << 62
"""Version and variant of a UUIDv7 (RFC 9562)."""


def ending_again(
    connection: sa.Connection, outbox: OutboxTable, audit: AuditLog, sent: Letter, now_ms: int
) -> list[Effect]:
    """What takes out those for whom a letter subscribes though they were ended since, and the record of it.

    Args:
        connection: of the transaction in which the letter is put at the end of the order.
        outbox: where the ending goes.
        audit: where it is recorded.
        sent: the letter, with its new time.
        now_ms: Unix milliseconds.
    """
    change = notices_pb2.SubscriptionChange()
    try:
        change.ParseFromString(sent.body)
    except DecodeError:  # from a version that wrote something else
        return []
    people, unit = change.people, change.context.unit
    tokens = _cut(people.tokens, _TOKEN_BYTES)
    checks = _cut(people.name_checks, len(people.name_checks) // max(1, len(tokens)))
    if not change.until_ms or not len(tokens) == len(checks) == len(people.benefit):
        return []
    there = _subscribed(connection, sent.partner, unit, tokens)
    rows = zip(tokens, checks, people.benefit, strict=True)
    ended = [row for row in rows if (row[0], row[2]) not in there]
    if not ended:
        return []
    ending = notices_pb2.SubscriptionChange(
        context=change.context,
        key=change.key,
        people=notices_pb2.SubscribedColumns(
            tokens=b"".join(token for token, _, _ in ended),
            name_checks=b"".join(check for _, check, _ in ended),
            benefit=[benefit for _, _, benefit in ended],
        ),
    )
    delivery_id = _id(now_ms)
    event = AuditEvent.of(
        change.context,
        at_ms=now_ms,
        direction="out",
        counterpart=sent.partner,
        message_id=delivery_id,
        digest=b"",
        subjects=len(ended),
        decision="subscriptions to notices ended",
    )
    follows = sent._replace(delivery_id=delivery_id, body=ending.SerializeToString(), created_at_ms=now_ms)
    return [outbox.effect(follows), audit.effect(event)]


def overtaken(connection: sa.Connection, row: Row[Any], content: bytes) -> bool:
    """Whether a delivery in the inbox subscribes, and one that was made after it has been dealt with.

    Args:
        connection: of the transaction in which it would be put back.
        row: of it.
        content: what is kept of it.
    """
    later = sa.select(inbox.c.sequence).where(
        inbox.c.sender == row.sender,
        inbox.c.order_key == row.order_key,
        inbox.c.state.in_((UNDER_WAY, DONE)),
        inbox.c.sequence > row.sequence,
    )
    if row.order_key is None or connection.execute(later.limit(1)).first() is None:
        return False
    try:
        delivery = delivery_pb2.Delivery.FromString(agency_pb2.Proof.FromString(content).payload)
        return bool(notices_pb2.SubscriptionChange.FromString(delivery.body).until_ms)
    except DecodeError:
        return False


def _subscribed(connection: sa.Connection, member: str, unit: str, tokens: Collection[bytes]) -> set[tuple[bytes, int]]:
    """For whom of these the unit is subscribed at the member: token and benefit."""
    wanted, found = list(dict.fromkeys(tokens)), set()
    for start in range(0, len(wanted), _AT_ONCE):
        query = sa.select(subscription.c.token, subscription.c.benefit).where(
            subscription.c.member == member,
            subscription.c.unit == unit,
            subscription.c.token.in_(wanted[start : start + _AT_ONCE]),
        )
        found |= {(bytes(row.token), row.benefit) for row in connection.execute(query)}
    return found


def _cut(joined: bytes, size: int) -> list[bytes]:
    return [joined[start : start + size] for start in range(0, len(joined), size)] if size else []


def _id(now_ms: int) -> bytes:
    """A delivery id of that time."""
    return (now_ms << 80 | _FIXED | secrets.randbits(76) & ~_GAP).to_bytes(16, "big")
