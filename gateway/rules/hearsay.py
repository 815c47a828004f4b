"""Hearsay of what changes entitlement: told, and nothing follows from it.

Owns (DOMAIN section 2: a report is a lead, never a verdict): which events count as hearsay, because their row is a lead
or comes from a department that does not originate the kind; and telling of them where the benefit depends on such a
fact. Refuses: deaths and disappearances, which weigh their own leads.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from gateway.rules.book import RuleBook
from gateway.rules.changes import Flags, bit, tell_events
from gateway.rules.columns import Int32
from gateway.rules.events import Events, in_look_back, said
from gateway.rules.kinds import Role
from gateway.rules.penal import PENAL_BITS
from gateway.rules.reasons import ReasonCode, ReasonSheet
from wugan.federation.v1 import vocabulary_pb2 as answer_words

_ROLES: Final = (Role.PENAL, Role.FLAG, Role.MOVED)
_MOVED_BIT: Final = bit(answer_words.ENTITLEMENT_FLAG_MOVED)


def set_aside(
    book: RuleBook, events: Events, relevant: Flags, since_on: Int32, as_of_on: int, sheet: ReasonSheet
) -> Events:
    """The events without hearsay.

    Args:
        book: the rules.
        events: all events.
        relevant: flags that each subject's benefit depends on.
        since_on: first day of each subject's benefit, 0: not known.
        as_of_on: the day asked about.
        sheet: where it is told.
    """
    heard = np.isin(events.role, _ROLES) & ~said(book, events)
    if not np.count_nonzero(heard):
        return events
    rows = events.take(heard)
    of_flags = np.left_shift(np.uint32(1), book.kinds.flag.take(rows.kind)).astype(np.uint32)
    wanted = np.where(rows.role == Role.PENAL, PENAL_BITS, np.where(rows.role == Role.MOVED, _MOVED_BIT, of_flags))
    told = (relevant[rows.subject] & wanted) != 0
    told &= in_look_back(book, rows.kind, rows.day, since_on[rows.subject], as_of_on)
    rows = rows.take(told)
    if len(rows):
        tell_events(rows, np.full(len(rows), ReasonCode.HEARSAY, np.int32), np.zeros(len(rows), np.int32), sheet)
    return events.take(~heard)
