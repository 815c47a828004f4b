"""What the last notice of a subscription told, seen from the side that was told.

The other side keeps that itself, unless it lost the subscription; then it hears it from here. Owns: following the
notices that are kept in the order in which they were made. Refuses: judging whom they are about.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.federation.noticed import delivery_of
from gateway.rules.book import RuleBook
from gateway.rules.notifying import Told, compare, finding_of
from gateway.store.notices import KeptNotice
from wugan.federation.v1 import notices_pb2


def told_before(book: RuleBook, kept: Sequence[KeptNotice]) -> Told | None:
    """What a subscription's notices told in the end; None: nothing.

    Args:
        book: the rules.
        kept: its notices, in any order; where their numbers begin anew, only those from there on count.
    """
    before: Told | None = None
    deliveries = [(delivery_of(notice), notice) for notice in kept]
    for delivery, notice in sorted(deliveries, key=lambda each: each[0].delivery_id):
        if before is None or notice.sequence <= before.sequence:
            before = Told(0, 0, 0, 0)
        last = before._replace(sequence=notice.sequence - 1)
        findings = notices_pb2.Notice.FromString(delivery.body).findings
        change = compare(book, last, finding_of(findings))
        before = last._replace(sequence=notice.sequence) if change is None else change.told
    return before
