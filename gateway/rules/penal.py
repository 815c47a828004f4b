"""Sentences, imprisonment and what moves them: where a convict is on the day asked about.

Owns (DOMAIN section 5, number 10):
  * Custody begins with a custodial sentence, an imprisonment or a return to prison, and when a temporary release for
    medical treatment runs out. It ends with release, parole, temporary release, or with the term.
  * The term lasts as long as the longest of the current sentences and imprisonments says: a further sentence never ends
    one that is being served. Only commutation, release and parole shorten; an imprisonment told again with an end from
    before the commutation does not undo it. The last day of the term is still a day in prison. A term of no end (life)
    runs until something ends it.
  * Time inside is told since the present term began: one that was over by then does not count, told release or not.
  * Public surveillance and a suspended sentence are not custody. A sentence of unknown kind is told, and no more.
  * Detention is the time before the sentence: a judgment, an imprisonment or a release ends it.
Refuses: what any of it does to a benefit; and guessing, for parole and commutation come late.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.rules.changes import Flags, bit
from gateway.rules.columns import FAR, NEVER, Index, Int32, Mask, distinct, earliest, latest, pack
from gateway.rules.events import Events
from gateway.rules.reasons import ReasonCode, ReasonSheet
from wugan.adapter.v1 import vocabulary_pb2 as words
from wugan.federation.v1 import vocabulary_pb2 as answer_words

_DETAINED: Final = words.EVIDENCE_KIND_DETAINED
_SENTENCE: Final = words.EVIDENCE_KIND_SENTENCE
_IMPRISONED: Final = words.EVIDENCE_KIND_IMPRISONED
_COMMUTATION: Final = words.EVIDENCE_KIND_COMMUTATION
_PAROLE: Final = words.EVIDENCE_KIND_PAROLE
_RELEASE: Final = words.EVIDENCE_KIND_RELEASE
_MEDICAL_RELEASE: Final = words.EVIDENCE_KIND_MEDICAL_RELEASE
_RETURNED: Final = words.EVIDENCE_KIND_RETURNED_TO_PRISON

_NOT_STATED, _CUSTODIAL, _AT_LARGE = 0, 1, 2
_PENALTIES: Final = np.zeros(16, np.int8)
"""What a PenaltyKind means for where its convict is; the last slot is for numbers out of range."""
_PENALTIES[
    [
        words.PENALTY_KIND_FIXED_TERM,
        words.PENALTY_KIND_LIFE,
        words.PENALTY_KIND_DEATH,
        words.PENALTY_KIND_DEATH_SUSPENDED,
        words.PENALTY_KIND_CRIMINAL_DETENTION,
    ]
] = _CUSTODIAL
_PENALTIES[[words.PENALTY_KIND_PUBLIC_SURVEILLANCE, words.PENALTY_KIND_SUSPENDED_SENTENCE]] = _AT_LARGE
_PENALTIES.flags.writeable = False
_END_BITS: Final = 31
_PERSON_BITS: Final = 32
"""Room for a day from NEVER to FAR."""


PENAL_BITS: Final = (
    bit(answer_words.ENTITLEMENT_FLAG_IMPRISONED)
    | bit(answer_words.ENTITLEMENT_FLAG_PAROLED)
    | bit(answer_words.ENTITLEMENT_FLAG_MEDICAL_RELEASE)
    | bit(answer_words.ENTITLEMENT_FLAG_DETAINED)
)
"""The facts that penal events set."""


@dataclass(frozen=True, slots=True)
class _Row:
    """The penal rows of a batch, people renumbered from 0; `start` is the first day of what the row says."""

    who: Index
    kind: Int32
    day: Int32
    start: Int32
    until: Int32
    sentence: Mask
    penalty: NDArray[np.int8]


def judge_sentences(events: Events, relevant: Flags, flags: Flags, as_of_on: int, sheet: ReasonSheet) -> Int32 | None:
    """Set IMPRISONED, PAROLED, MEDICAL_RELEASE and DETAINED, as far as the benefit depends on them, and tell why.

    Args:
        events: the penal events.
        relevant: flags that each subject's benefit depends on.
        flags: bits of each subject, added to.
        as_of_on: the day asked about.
        sheet: where the reasons go.

    Returns:
        The last day before the next change known, by subject, FAR: none; None: nobody is concerned.
    """
    concerned = relevant[events.subject] & PENAL_BITS != 0
    if np.count_nonzero(concerned) != len(concerned):
        events = events.take(concerned)
    if not len(events):
        return None
    place = np.zeros(len(relevant), np.intp)
    place[events.subject] = 1
    people = place.nonzero()[0]
    place[people] = np.arange(len(people))
    who = place[events.subject]
    start = np.where(events.from_on != 0, events.from_on, events.day)
    penalty = _PENALTIES.take(np.minimum(events.detail.view(np.uint32), len(_PENALTIES) - 1))
    rows = _Row(who, events.kind, events.day, start, events.until_on, events.kind == _SENTENCE, penalty)
    return _Convicts(rows, people, as_of_on).judge(relevant, flags, sheet)


class _Convicts:
    """The people who have penal rows, one element each in every array."""

    def __init__(self, rows: _Row, people: Index, as_of_on: int) -> None:
        self._rows, self._people, self._today = rows, people, as_of_on
        self._count = len(people)
        self._begun = rows.start <= as_of_on
        self._custodial = rows.sentence & (rows.penalty == _CUSTODIAL)
        self._taken_in = (rows.kind == _IMPRISONED) | (rows.kind == _RETURNED)
        self._released = self._latest(rows.kind == _RELEASE)
        self._paroled = self._latest(rows.kind == _PAROLE)

    def judge(self, relevant: Flags, flags: Flags, sheet: ReasonSheet) -> Int32:
        rows, today, count = self._rows, self._today, self._count
        released, paroled = self._released, self._paroled
        begins, begin_day = self._custody()
        custody_on = latest(count, rows.who[begins], begin_day[begins])
        until, moved, last_day = self._term()
        serving = (custody_on > released) & (today <= until)
        open_term = today <= until

        medical = (rows.kind == _MEDICAL_RELEASE) & self._begun
        medical &= (rows.until == 0) | (today <= rows.until)
        medical_on = latest(count, rows.who[medical], rows.start[medical])
        medical_end = self._end_of(medical)
        on_parole = (paroled >= custody_on) & (paroled > released) & (paroled > NEVER) & open_term
        outside = (medical_on >= custody_on) & (medical_on > released) & (medical_on > NEVER) & open_term
        outside &= medical_on > np.where(on_parole, paroled, NEVER)
        on_parole &= ~outside
        inside = serving & ~on_parole & ~outside

        floor = released
        for out in (paroled, self._latest(rows.kind == _MEDICAL_RELEASE)):
            floor = np.maximum(floor, np.where(out < custody_on, out, NEVER))
        floor = np.maximum(floor, self._in_again_on(begins, begin_day, last_day) - 1)
        current = begins & (begin_day > floor[rows.who])
        inside_on = earliest(count, rows.who[current], begin_day[current])
        inside_on = np.where(inside_on == FAR, custody_on, inside_on)

        detained_on, detained_until = self._detained(custody_on)
        held = (detained_on < FAR) & ~inside
        told = _Told(self._people, relevant, flags, sheet)
        told.flag(inside, answer_words.ENTITLEMENT_FLAG_IMPRISONED, ReasonCode.IMPRISONED, inside_on)
        told.flag(outside, answer_words.ENTITLEMENT_FLAG_MEDICAL_RELEASE, ReasonCode.MEDICAL_RELEASE, medical_on)
        told.flag(on_parole, answer_words.ENTITLEMENT_FLAG_PAROLED, ReasonCode.PAROLED, paroled)
        told.flag(held, answer_words.ENTITLEMENT_FLAG_DETAINED, ReasonCode.DETAINED, detained_on)
        told.note(moved & open_term & (inside | outside | on_parole) & (until < FAR), ReasonCode.TERM_MOVED, until)
        told.note((custody_on > released) & ~open_term, ReasonCode.TERM_ENDED, until)
        told.note((released > NEVER) & (custody_on <= released), ReasonCode.RELEASED, released)
        self._tell_sentences(sheet)

        change = np.where(inside | outside | on_parole, until, FAR)
        change = np.where(outside, np.minimum(change, medical_end), change)
        change = np.where(held, detained_until, change)
        upcoming = rows.start > today
        np.minimum.at(change, rows.who[upcoming], rows.start[upcoming] - 1)
        by_subject = np.full(len(relevant), FAR, np.int32)
        by_subject[self._people] = change
        return by_subject

    def _latest(self, chosen: Mask) -> Int32:
        chosen = chosen & self._begun
        return latest(self._count, self._rows.who[chosen], self._rows.start[chosen])

    def _custody(self) -> tuple[Mask, Int32]:
        """Which rows begin a time in prison, and when."""
        rows, today = self._rows, self._today
        begins = (self._custodial | self._taken_in) & self._begun
        # A temporary release that ran out puts its convict back, unless parole or release came meanwhile.
        expired = (rows.kind == _MEDICAL_RELEASE) & (rows.until != 0) & (rows.until < today)
        for out in (self._paroled[rows.who], self._released[rows.who]):
            expired &= (out < rows.start) | (out > rows.until)
        return begins | expired, np.where(expired, rows.until + 1, rows.start)

    def _term(self) -> tuple[Int32, Mask, Int32]:
        """The last day of the current term, FAR where it has no end or none is known, and whether it was commuted; of
        each row the last day of what it states, NEVER where it states none.
        """
        rows, count = self._rows, self._count
        end = np.where(rows.until == 0, FAR, np.minimum(np.maximum(rows.until, 0), FAR)).astype(np.int32)
        current = self._begun & (rows.start > self._released[rows.who])
        stated = current & (self._custodial | (self._taken_in & (rows.until != 0)))
        commuted = (rows.kind == _COMMUTATION) & (rows.until != 0) & (rows.day > self._released[rows.who])
        commuted_on = latest(count, rows.who[commuted], rows.day[commuted])
        newest = commuted & (rows.day == commuted_on[rows.who])
        commuted_to = latest(count, rows.who[newest], end[newest])

        # Several punishments are combined (刑法 第六十九条、第七十一条): of all that was stated the longest counts. A
        # commutation stands for all that was stated up to its day; what is stated afterwards can only prolong.
        since = rows.day > commuted_on[rows.who]
        counts = stated & since
        if np.count_nonzero(newest):
            counts &= ~self._restated((stated | commuted) & ~since, end, commuted_to)
        shorter = stated & ~counts & (rows.start <= commuted_to[rows.who])
        last_day = np.where(stated, np.where(shorter, np.minimum(end, commuted_to[rows.who]), end), np.int32(NEVER))
        until = np.maximum(latest(count, rows.who[counts], end[counts]), commuted_to)
        until[self._unexplained(current & since, stated)] = FAR
        moved = (commuted_to > NEVER) & (until == commuted_to)
        return np.where(until == NEVER, np.int32(FAR), until), moved, last_day

    def _in_again_on(self, begins: Mask, begin_day: Int32, last_day: Int32) -> Int32:
        """The first day of the newest time in prison that began when the term before it was over, NEVER where there is
        none: courts tell of sentences, and not every release is told. Time outside must not be taken for time inside.
        """
        at = np.flatnonzero(begins & (begin_day > self._released[self._rows.who]))
        # Whatever began on one day in one order: what is known to last longest first.
        at = at[np.lexsort((-last_day[at], begin_day[at], self._rows.who[at]))]
        who, day, last = self._rows.who[at], begin_day[at], last_day[at]
        # What states no end is a part of the term that runs by then; where none does, nobody knows when it ended.
        open_end = np.where(_so_far(who, last) >= day, day, np.int32(FAR))
        so_far = _so_far(who, np.where(last == NEVER, open_end, last))
        again = np.zeros(len(at), np.bool_)
        again[1:] = (who[1:] == who[:-1]) & (day[1:] - 1 > so_far[:-1])
        return latest(self._count, who[again], day[again])

    def _restated(self, before: Mask, end: Int32, commuted_to: Int32) -> Mask:
        """Imprisonments whose end is one of those stated `before` the commutation: told again, and no news.

        One that begins after the commuted term is none of them: somebody who was out has been taken in.
        """
        rows = self._rows
        key = (rows.who.astype(np.int64) << _END_BITS) | end
        again: Mask = (rows.kind == _IMPRISONED) & (rows.start <= commuted_to[rows.who])
        return again & np.isin(key, key[before])

    def _unexplained(self, current: Mask, stated: Mask) -> Mask:
        """Who was a prisoner before the first sentence known, until nobody knows when: its end says nothing of that."""
        rows, count = self._rows, self._count
        found = np.zeros(count, np.bool_)
        open_end = current & ((self._taken_in & (rows.until == 0)) | (rows.kind == _MEDICAL_RELEASE))
        if not np.count_nonzero(open_end):
            return found
        sentence = stated & self._custodial
        first = earliest(count, rows.who[sentence], rows.start[sentence])
        before = rows.start < first[rows.who]
        known = stated & before
        # By the day it was recorded, not by its first: that is often the first of the detention before the sentence.
        found[rows.who[open_end & (rows.day < first[rows.who])]] = True
        found[rows.who[known]] = False
        found[first == FAR] = False
        return found

    def _end_of(self, chosen: Mask) -> Int32:
        rows = self._rows
        end = np.where(rows.until == 0, FAR, rows.until).astype(np.int32)
        return earliest(self._count, rows.who[chosen], end[chosen])

    def _detained(self, custody_on: Int32) -> tuple[Int32, Int32]:
        """Since when somebody is held, FAR: not, and the last day of it, as far as it is known."""
        rows = self._rows
        held = (rows.kind == _DETAINED) & self._begun
        if not np.count_nonzero(held):
            never = np.full(self._count, FAR, np.int32)
            return never, never
        over = latest(self._count, rows.who[rows.sentence], rows.day[rows.sentence])
        over = np.maximum(np.maximum(over, self._released), custody_on)
        held &= ((rows.until == 0) | (self._today <= rows.until)) & (rows.start > over[rows.who])
        return earliest(self._count, rows.who[held], rows.start[held]), self._end_of(held)

    def _tell_sentences(self, sheet: ReasonSheet) -> None:
        """Sentences that put nobody into prison while they run, and those of unknown kind."""
        rows = self._rows
        other = rows.sentence & self._begun & (rows.penalty != _CUSTODIAL)
        other &= (rows.until == 0) | (self._today <= rows.until)
        if not np.count_nonzero(other):
            return
        for penalty, code in (
            (_AT_LARGE, ReasonCode.NOT_IN_PRISON),
            (_NOT_STATED, ReasonCode.PENALTY_NOT_STATED),
        ):
            chosen = other & (rows.penalty == penalty)
            who, start = rows.who[chosen], rows.start[chosen]
            once = distinct(pack(who, start, np.zeros_like(who), np.zeros_like(who)))
            sheet.add(self._people[who[once]], code, on=start[once])


def _so_far(who: Index, day: Int32) -> Int32:
    """The latest day of each row and those of the same person before it; rows in ascending order of people."""
    whose = who.astype(np.int64) << _PERSON_BITS
    found: Int32 = (np.maximum.accumulate(whose + (day.astype(np.int64) - NEVER)) - whose + NEVER).astype(np.int32)
    return found


@dataclass(frozen=True, slots=True)
class _Told:
    """Where findings about convicts go."""

    people: Index
    relevant: Flags
    flags: Flags
    sheet: ReasonSheet

    def flag(self, chosen: Mask, flag: int, code: ReasonCode, on: Int32) -> None:
        if not np.count_nonzero(chosen):
            return
        chosen = chosen & (self.relevant[self.people] & bit(flag) != 0)
        self.flags[self.people[chosen]] |= bit(flag)
        self.note(chosen, code, on)

    def note(self, chosen: Mask, code: ReasonCode, on: Int32) -> None:
        if np.count_nonzero(chosen):
            self.sheet.add(self.people[chosen], code, on=on[chosen])
