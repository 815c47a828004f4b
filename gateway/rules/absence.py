"""Missing persons: reported, declared, found again.

Owns: a police report is answered by the person being found, or seen well verified afterwards; a court's declaration
only by its revocation or by the person being found, so that a well-verified trace afterwards is a CONFLICT. Weaker
traces change neither: somebody else may hold the card; nor does an event that is not sound (`events.sound`), but that
somebody is said to be found is told. Refuses: deaths.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gateway.rules.book import RuleBook
from gateway.rules.columns import FAR, Int32, Mask, earliest, latest
from gateway.rules.events import Events, sound
from gateway.rules.kinds import Role
from gateway.rules.reasons import ReasonCode, ReasonSheet
from gateway.rules.stamps import NO_STAMP, newest_stamp, oldest_stamp, stamp_day, stamps, tell_found
from gateway.rules.traces import TraceRows


@dataclass(frozen=True, slots=True)
class Absences:
    """What the records say of each subject: missing since when (FAR: not missing), and whether a trace contradicts."""

    on: Int32
    conflict: Mask


def judge_absences(
    book: RuleBook, count: int, events: Events, traces: TraceRows, presence: Events, sheet: ReasonSheet
) -> Absences:
    """Weigh the reports and declarations of a batch; arguments as in `deaths.judge_deaths`."""
    grace = book.death.grace_days
    lifting = events.of(Role.FOUND, Role.MISSING_REVOKED, Role.DEATH_REVOKED)
    lifting = lifting.take(sound(book, lifting))
    lifted_on = latest(count, lifting.subject, lifting.day)
    verified = traces.take((book.kinds.strength.take(traces.cell) >= book.death.missing_answered_from).nonzero()[0])
    seen_on = latest(count, verified.subject, verified.day)
    seen = presence.take(sound(book, presence))
    np.maximum.at(seen_on, seen.subject, seen.day)

    declared, reported = events.of(Role.MISSING_DECLARED), events.of(Role.MISSING_REPORTED)
    declared = declared.take(declared.day > lifted_on[declared.subject])
    answered_on = np.maximum(lifted_on, seen_on)
    reported = reported.take(reported.day > answered_on[reported.subject])
    declared_on = earliest(count, declared.subject, declared.day)
    on = np.minimum(declared_on, earliest(count, reported.subject, reported.day))
    conflict = seen_on > declared_on + grace

    _tell_oldest(declared, count, ReasonCode.DECLARED_MISSING, sheet)
    _tell_oldest(reported, count, ReasonCode.REPORTED_MISSING, sheet)
    found = events.of(Role.FOUND, Role.MISSING_REVOKED)
    if len(found):
        stamp = newest_stamp(count, found.subject, stamps(found.day, found.kind, found.department))
        told = (on == FAR) | (stamp_day(stamp) >= on)
        tell_found(sheet, np.where(told, stamp, NO_STAMP), ReasonCode.FOUND_AGAIN)
    later = traces.take((traces.day > on[traces.subject] + grace).nonzero()[0])
    if len(later):
        tell_found(sheet, newest_stamp(count, later.subject, later.stamp), ReasonCode.TRACE_AFTER_MISSING)
    return Absences(on, conflict)


def _tell_oldest(events: Events, count: int, code: ReasonCode, sheet: ReasonSheet) -> None:
    if len(events):
        stamp = stamps(events.day, events.kind, events.department)
        tell_found(sheet, oldest_stamp(count, events.subject, stamp), code)
