"""Hearsay of what changes entitlement: told, and nothing follows from it.

Owns (DOMAIN section 2: a report is a lead, never a verdict): which events count as hearsay, because their row is a lead
or comes from a department that does not originate the kind; and telling of them where the benefit depends on such a
fact. Refuses: deaths and disappearances, which weigh their own leads.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from gateway.rules.book import RuleBook
from gateway.rules.changes import Flags, bit
from gateway.rules.columns import Mask, distinct, pack
from gateway.rules.events import Events
from gateway.rules.kinds import Role
from gateway.rules.penal import PENAL_BITS
from gateway.rules.reasons import ReasonCode, ReasonSheet
from wugan.adapter.v1 import vocabulary_pb2 as words
from wugan.federation.v1 import vocabulary_pb2 as answer_words

_ROLES: Final = (Role.PENAL, Role.FLAG, Role.MOVED)
_MOVED_BIT: Final = bit(answer_words.ENTITLEMENT_FLAG_MOVED)


def set_aside(book: RuleBook, events: Events, relevant: Flags, as_of_on: int, sheet: ReasonSheet) -> Events:
    """The events without hearsay.

    Args:
        book: the rules.
        events: all events.
        relevant: flags that each subject's benefit depends on.
        as_of_on: the day asked about.
        sheet: where it is told.
    """
    heard = _heard(book, events)
    if not np.count_nonzero(heard):
        return events
    rows = events.take(heard)
    table = book.kinds
    look_back = table.look_back_days.take(rows.kind)
    of_flags = np.left_shift(np.uint32(1), table.flag.take(rows.kind)).astype(np.uint32)
    wanted = np.where(rows.role == Role.PENAL, PENAL_BITS, np.where(rows.role == Role.MOVED, _MOVED_BIT, of_flags))
    told = (relevant[rows.subject] & wanted) != 0
    told &= (look_back == 0) | (as_of_on - rows.day <= look_back)
    rows = rows.take(told)
    if len(rows):
        once = distinct(pack(rows.subject, rows.day, rows.kind, rows.department))
        rows = rows.take(once)
        sheet.add(rows.subject, ReasonCode.HEARSAY, department=rows.department, kind=rows.kind, on=rows.day)
    return events.take(~heard)


def _heard(book: RuleBook, events: Events) -> Mask:
    concerned = np.isin(events.role, _ROLES)
    said = book.kinds.originates[events.kind, events.department] & (events.strength != words.STRENGTH_LEAD)
    heard: Mask = concerned & ~said
    return heard
