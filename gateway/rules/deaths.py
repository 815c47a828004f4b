"""Deaths: confirmed, suspected, contradicted, revoked. No living person may be called DECEASED, as far as anybody tells
of a life: a confirming record under a wrong number, with no trace since, cannot be told from a true one.

Owns (DOMAIN sections 4 and 5, numbers 5, 6 and 9):
  * A record confirms a death when its kind does, it comes from a department that originates the kind, is dated and is
    more than a lead. Confirming records give DECEASED; any others, however many, only DECEASED_SUSPECTED.
  * A record of a death before the person was born is not credible: a lead.
  * A confirming record that came very late and stands alone is suspected only.
  * A revoked declaration of death is void, and so is the household cancelled because of it. A household cancelled after
    the revocation may still repeat it: it supports, and does not confirm.
  * The earliest credible date wins: the earliest of the confirming records and of the supporting ones that nothing
    refutes and that lie within `supported_within_days` before a confirming one. A lead's date never wins over a
    confirmed one.
  * Somebody seen in person after an unconfirmed record refutes it. Any other trace after a death is a CONFLICT, never
    silently either; the use of a benefit or an account then is a finding of misuse, unless the person was seen. What a
    kind's `lag_days` excuse is told; whom an official saw they do not excuse.
  * What refutes or revokes must itself be sound (`events.sound`). An event that is not, because it is hearsay, from
    elsewhere, or of a day that nobody knows, contradicts only.
Refuses: deciding which of two contradicting records is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from gateway.rules.book import RuleBook
from gateway.rules.columns import FAR, NEVER, Index, Int32, Mask, distinct, earliest, latest, pack
from gateway.rules.events import Events, sound
from gateway.rules.kinds import Role
from gateway.rules.reasons import ReasonCode, ReasonSheet
from gateway.rules.stamps import newest_stamp, oldest_stamp, stamps, tell_found
from gateway.rules.traces import TraceRows
from wugan.adapter.v1 import vocabulary_pb2 as words

_TIER_CODES: Final = np.zeros(4, np.int32)
_TIER_CODES[Role.DEATH_CONFIRMED] = ReasonCode.DEATH_CONFIRMED
_TIER_CODES[Role.DEATH_SUPPORTED] = ReasonCode.DEATH_SUPPORTED
_TIER_CODES[Role.DEATH_LEAD] = ReasonCode.DEATH_LEAD
_LATE: Final = int(ReasonCode.DEATH_LATE)
_REFUTED: Final = int(ReasonCode.DEATH_REFUTED)
_VOID: Final = int(ReasonCode.DEATH_VOID)


@dataclass(frozen=True, slots=True)
class Deaths:
    """What the death records say of each subject.

    Args:
        on: earliest credible day, FAR: none that stands.
        confirmed: whether a confirming record stands.
        conflict: whether the person did something afterwards.
        misuse: whether that was the use of a benefit or an account.
        revoked: whether a declaration was revoked and no later death stands.
    """

    on: Int32
    confirmed: Mask
    conflict: Mask
    misuse: Mask
    revoked: Mask


def judge_deaths(
    book: RuleBook,
    count: int,
    events: Events,
    traces: TraceRows,
    presence: Events,
    birth_on: Int32,
    sheet: ReasonSheet,
) -> Deaths:
    """Weigh the death records of a batch.

    Args:
        book: the rules.
        count: subjects of the batch.
        events: all events.
        traces: traces of the subjects that have a death record; others do no harm.
        presence: the events at which the person was there.
        birth_on: day of birth of each subject, 0: not known.
        sheet: where the reasons go.
    """
    table, rule = book.kinds, book.death
    records = events.of(Role.DEATH_CONFIRMED, Role.DEATH_SUPPORTED, Role.DEATH_LEAD)
    revocations = events.of(Role.DEATH_REVOKED)
    revocations = revocations.take(sound(book, revocations))
    revoked_on = latest(count, revocations.subject, revocations.day)
    tier, void, late = _tiers(book, count, records, revoked_on, birth_on)

    by_official = table.strength.take(traces.cell) >= rule.refuted_from
    in_person = traces.take(by_official.nonzero()[0])
    seen_on = latest(count, in_person.subject, in_person.day)
    seen = presence.take(sound(book, presence))
    np.maximum.at(seen_on, seen.subject, seen.day)

    unconfirmed = (tier != Role.DEATH_CONFIRMED) & ~void
    refuted = unconfirmed & (seen_on[records.subject] > records.day + rule.grace_days)
    stands = ~void & ~refuted
    confirmed_on = _earliest_of(count, records, stands & (tier == Role.DEATH_CONFIRMED))
    supported = stands & (tier == Role.DEATH_SUPPORTED) & _near(book, records, confirmed_on)
    supported_on = _earliest_of(count, records, supported)
    lead_on = _earliest_of(count, records, stands & (tier == Role.DEATH_LEAD))
    confirmed = confirmed_on < FAR
    known_on = np.minimum(confirmed_on, supported_on)
    on = np.where(confirmed, known_on, np.minimum(supported_on, lead_on))

    leeway = np.maximum(np.where(by_official, 0, table.lag_days.take(traces.kind)), rule.grace_days)
    since = traces.day - on[traces.subject]
    after, soon = (since > leeway).nonzero()[0], ((since > rule.grace_days) & (since <= leeway)).nonzero()[0]
    present = (presence.day > on[presence.subject] + rule.grace_days).nonzero()[0]
    conflict = np.zeros(count, np.bool_)
    conflict[traces.subject[after]] = True
    conflict[presence.subject[present]] = True

    used = after[table.use.take(traces.kind[after])]
    if len(used):
        used = used[traces.day[used] > known_on[traces.subject[used]] + leeway[used]]
        used = used[seen_on[traces.subject[used]] <= on[traces.subject[used]] + rule.grace_days]
    misuse = np.zeros(count, np.bool_)
    misuse[traces.subject[used]] = True

    revoked = (revoked_on > NEVER) & ~(confirmed & (on > revoked_on))
    code = _TIER_CODES.take(tier)
    code[late] = _LATE
    code[refuted] = _REFUTED
    code[void] = _VOID
    if len(after) or len(present):
        _tell_after(book, count, traces.take(after), presence.take(present), traces.take(used), sheet)
    _tell_times(count, traces.take(soon), ReasonCode.TRACE_SOON_AFTER_DEATH, sheet)
    _tell_records(records, code, np.where(late, records.available_on - records.day, 0), sheet)
    last_on = latest(count, *_rows(records, stands & (tier <= Role.DEATH_SUPPORTED)))
    differ = (confirmed & (last_on > on)).nonzero()[0]
    sheet.add(differ, ReasonCode.DEATH_DATES_DIFFER, on=on[differ], number=(last_on - on)[differ])
    if len(revocations):
        revocation = stamps(revocations.day, revocations.kind, revocations.department)
        tell_found(sheet, newest_stamp(count, revocations.subject, revocation), ReasonCode.DEATH_DECLARATION_REVOKED)
    return Deaths(on, confirmed, conflict, misuse, revoked)


def _tiers(book: RuleBook, count: int, records: Events, revoked_on: Int32, birth_on: Int32) -> tuple[Int32, Mask, Mask]:
    """What each record is worth (a Role of death), whether it is void, and whether it is late and alone."""
    table = book.kinds
    tier = records.role.copy()
    born_on = birth_on[records.subject]
    unborn = (born_on != 0) & (records.day < born_on)
    tier[unborn | ~sound(book, records)] = Role.DEATH_LEAD
    follows = table.follows_declaration.take(records.kind)
    revoked = revoked_on[records.subject]
    void = follows & (records.day <= revoked)
    repeats = follows & (revoked > NEVER) & (records.kind != words.EVIDENCE_KIND_DECLARED_DEAD)
    tier[repeats & (tier == Role.DEATH_CONFIRMED)] = Role.DEATH_SUPPORTED
    late = (tier == Role.DEATH_CONFIRMED) & ~void & (records.available_on != 0)
    late &= records.available_on - records.day > book.death.late_after_days
    if np.count_nonzero(late):
        bears = (tier <= Role.DEATH_SUPPORTED) & ~void
        sources = np.zeros(count, np.int32)
        np.bitwise_or.at(sources, records.subject[bears], np.left_shift(1, records.department[bears]).astype(np.int32))
        late &= np.bitwise_count(sources)[records.subject] < 2
        tier[late] = Role.DEATH_SUPPORTED
    return tier, void, late


def _near(book: RuleBook, records: Events, confirmed_on: Int32) -> Mask:
    """Which records could date a death that is confirmed on that day; all of those whose death is not."""
    certain_on = confirmed_on[records.subject]
    near: Mask = (certain_on == FAR) | (records.day >= certain_on - book.death.supported_within_days)
    return near


def _rows(records: Events, chosen: Mask) -> tuple[Index, Int32]:
    return records.subject[chosen], records.day[chosen]


def _earliest_of(count: int, records: Events, chosen: Mask) -> Int32:
    return earliest(count, *_rows(records, chosen))


def _tell_after(
    book: RuleBook, count: int, after: TraceRows, present: Events, used: TraceRows, sheet: ReasonSheet
) -> None:
    """What happened after the death: the newest trace and how many, the newest seen in person, the first misuse."""
    _tell_times(count, after, ReasonCode.TRACE_AFTER_DEATH, sheet)
    person = after.take((book.kinds.strength.take(after.cell) >= book.death.refuted_from).nonzero()[0])
    if len(person) or len(present):
        subject = np.concatenate((person.subject, present.subject))
        stamp = np.concatenate((person.stamp, stamps(present.day, present.kind, present.department)))
        tell_found(sheet, newest_stamp(count, subject, stamp), ReasonCode.PRESENT_AFTER_DEATH)
    if len(used):
        tell_found(sheet, oldest_stamp(count, used.subject, used.stamp), ReasonCode.MISUSE_AFTER_DEATH)


def _tell_times(count: int, rows: TraceRows, code: ReasonCode, sheet: ReasonSheet) -> None:
    """The newest of these traces of each person, and how many there are."""
    if not len(rows):
        return
    once = distinct(pack(rows.subject, rows.day, rows.kind, rows.department))
    times = np.bincount(rows.subject[once], minlength=count)
    tell_found(sheet, newest_stamp(count, rows.subject, rows.stamp), code, times)


def _tell_records(records: Events, code: Int32, number: Int32, sheet: ReasonSheet) -> None:
    """Every record, once, with what became of it."""
    rows = distinct(pack(records.subject, records.day, records.kind, records.department), code, number)
    sheet.add(
        records.subject[rows],
        code[rows],
        department=records.department[rows],
        kind=records.kind[rows],
        on=records.day[rows],
        number=number[rows],
    )
