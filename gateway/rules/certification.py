"""What is proposed for a finding (认证状态), and the first month without entitlement.

Owns: certified, face, visit, suspect, stop proposed; "effective from the month after the event". Refuses: STOPPED and
RESTORED, which only an official decides, and payments (overpayment.py).

First match:

    suspected, missing, in conflict                  SUSPECT, verified within 30 days: nothing is stopped on a doubt
    deceased                                         STOP_PROPOSED from the month after the death
    a fact that ends or suspends this benefit        STOP_PROPOSED from the month after it
    a fact that an official must look at             SUSPECT; so is one that may be of before the benefit began, because
                                                     its day or the start of the benefit is not known, and a child's
                                                     benefit that goes on long after the age (incapacity for work?)
    otherwise                                        as the rule file says for the status
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.rules.book import BENEFIT_SLOTS, FLAG_SLOTS, STATUS_SLOTS, Effect, RuleBook
from gateway.rules.columns import FAR, Int32, month_start, next_month_start, same_length
from gateway.rules.kinds import FLAGS
from gateway.rules.reasons import ReasonCode, Reasons
from wugan.federation.v1 import vocabulary_pb2 as words

_FLAG_OF_CODE: Final = np.zeros(256, np.uint8)
for _name in ReasonCode.__members__:
    if _name in FLAGS:
        _FLAG_OF_CODE[ReasonCode[_name]] = FLAGS[_name]
_FLAG_OF_CODE.flags.writeable = False

_NO_MONTH: Final = np.int32(0)
_AGED_OUT: Final = words.ENTITLEMENT_FLAG_AGED_OUT


@dataclass(frozen=True, slots=True)
class Proposals:
    """One row for each subject.

    Args:
        status: CertificationStatus; 0 where there is no finding.
        effective_on: first day of the first month without entitlement, 0: none.
        verify_by_on: for a SUSPECT, the last day for verifying; 0 otherwise.
    """

    status: Int32
    effective_on: Int32
    verify_by_on: Int32


class FlagDays:
    """The day of each fact of a batch's people, gathered from the reasons of any number of answers.

    The reasons of an answer name the day of every fact; that is where the asking side has it from. Rows of another
    version's codes, or about no subject, are left out.

    Args:
        book: the asking side's rules.
        since_on: first day of the benefit of each, 0: not known.
    """

    def __init__(self, book: RuleBook, since_on: Int32) -> None:
        self._before_start = book.before_start
        self._since_on = since_on
        self._days = np.full((len(since_on), FLAG_SLOTS), FAR, np.int32)
        self._before = self._days.copy()

    def hear(self, reasons: Reasons, at: NDArray[np.int64] | None = None, of: NDArray[np.int64] | None = None) -> None:
        """Take in an answer's reasons.

        Args:
            reasons: of the answer.
            at: where in the batch those stand whom it is about; None: in its order.
            of: the places of those of whom it counts; None: of all.
        """
        count = len(self._since_on) if at is None else len(at)
        subject, flag, on = days_told(count, reasons)
        place = subject if at is None else at[subject]
        if of is not None and at is not None and len(of) != len(at):
            counts = np.isin(place, of)
            place, flag, on = place[counts], flag[counts], on[counts]
        before = self._before_start[flag] & (on < self._since_on[place])
        for days, rows in ((self._days, ~before), (self._before, before)):
            np.minimum.at(days, (place[rows], flag[rows]), on[rows])

    def result(self) -> Int32:
        """The earliest day of each flag that counts, else the earliest of before the benefit began (a first marriage
        hides no second one): an array of (subject, EntitlementFlag), 0 where none is told.
        """
        days = np.where(self._days == FAR, self._before, self._days)
        days[days == FAR] = 0
        return days


def flag_days(book: RuleBook, reasons: Reasons, since_on: Int32) -> Int32:
    """The same of one answer."""
    days = FlagDays(book, since_on)
    days.hear(reasons)
    return days.result()


def days_told(subjects: int, reasons: Reasons) -> tuple[NDArray[np.intp], NDArray[np.uint8], Int32]:
    """The same in three columns, subject, flag and day: every day that is told, in any order."""
    code = np.minimum(reasons.code.view(np.uint32), len(_FLAG_OF_CODE) - 1)
    flag = _FLAG_OF_CODE.take(code)
    told = (flag > 0) & (reasons.on != 0) & (reasons.subject.view(np.uint32) < subjects)
    return reasons.subject[told].astype(np.intp), flag[told], reasons.on[told]


def propose(
    book: RuleBook,
    *,
    benefit: Int32,
    status: Int32,
    flags: NDArray[np.uint32],
    decided_on: Int32,
    flag_on: Int32,
    as_of_on: int,
    entitled_since_on: Int32 | None = None,
) -> Proposals:
    """Propose what to do.

    Args:
        book: the asking side's rules.
        benefit: BenefitType of each subject.
        status: SurvivalStatus of each.
        flags: bits of each.
        decided_on: day of the death that decided a status.
        flag_on: see `flag_days`.
        as_of_on: the day of the answer.
        entitled_since_on: first day of the benefit where the agency knows it, 0 where not: facts of before that the
            agency looked at when it granted the benefit (`before_start` of the rule file) do not count, and no month
            before that day's is one without entitlement. Where it does not know it, or such a fact has no day, an
            official looks first (`start_unknown`).

    Raises:
        RefusedError: columns of different lengths.
    """
    count = len(status)
    same_length(count, benefit=benefit, flags=flags, decided_on=decided_on, flag_on=flag_on)
    since = np.zeros(count, np.int32) if entitled_since_on is None else entitled_since_on
    same_length(count, entitled_since_on=since)
    event_on, stops, review = _facts(book, benefit, flags, flag_on, since, as_of_on)

    known = np.minimum(status.view(np.uint32), STATUS_SLOTS - 1)
    proposal = book.proposals.take(known)
    doubtful = proposal == words.CERTIFICATION_STATUS_SUSPECT
    dead = proposal == words.CERTIFICATION_STATUS_STOP_PROPOSED
    settled = (proposal != 0) & ~doubtful & ~dead
    proposal = np.where(settled & stops, words.CERTIFICATION_STATUS_STOP_PROPOSED, proposal)
    proposal = np.where(settled & ~stops & review, words.CERTIFICATION_STATUS_SUSPECT, proposal).astype(np.int32)

    event_on = np.where(dead & (decided_on != 0), np.minimum(event_on, decided_on), event_on)
    stopping = (proposal == words.CERTIFICATION_STATUS_STOP_PROPOSED) & (event_on < FAR)
    effective = np.full(count, _NO_MONTH)
    effective[stopping] = next_month_start(event_on[stopping].astype(np.int32))
    begun = stopping & (since != 0)
    effective[begun] = np.maximum(effective[begun], month_start(since[begun]))
    suspect = proposal == words.CERTIFICATION_STATUS_SUSPECT
    verify_by = np.where(suspect, np.int32(as_of_on + book.verify_within_days), np.int32(0))
    return Proposals(proposal, effective, verify_by)


def _facts(
    book: RuleBook, benefit: Int32, flags: NDArray[np.uint32], flag_on: Int32, since: Int32, as_of_on: int
) -> tuple[Int32, NDArray[np.bool_], NDArray[np.bool_]]:
    """Of each subject the day of the first fact that ends the benefit, FAR for none, whether there is one, and whether
    there is one that an official must look at. Few have any, so that few rows are looked at.
    """
    count = len(flags)
    event_on = np.full(count, FAR, np.int32)
    stops, review = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
    at = np.flatnonzero(flags)
    if not len(at):
        return event_on, stops, review
    told_on = flag_on[at]
    before = book.before_start & (told_on != 0) & (told_on < since[at, None])
    effect = np.where(before, np.uint8(Effect.NONE), _effects(book, benefit[at], flags[at]))
    doubtful = _doubtful(book, told_on, since[at])
    doubtful[:, _AGED_OUT] = (told_on[:, _AGED_OUT] != 0) & (
        as_of_on - told_on[:, _AGED_OUT] > (book.aged_out_until_age - book.aged_out_age) * 365.25
    )
    effect = np.where(doubtful, np.minimum(effect, np.uint8(Effect.REVIEW)), effect)
    ends = effect >= Effect.SUSPENDS
    event_on[at] = np.where(ends & (told_on != 0), told_on, FAR).min(axis=1)
    stops[at], review[at] = ends.any(axis=1), (effect == Effect.REVIEW).any(axis=1)
    return event_on, stops, review


def _effects(book: RuleBook, benefit: Int32, flags: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """What their facts do to the benefits, by (subject, EntitlementFlag)."""
    effects = book.effects.take(_benefit_slot(benefit), axis=0)
    set_bits = (flags[:, None] >> np.arange(FLAG_SLOTS, dtype=np.uint32)) & 1 == 1
    return np.where(set_bits, effects, np.uint8(Effect.NONE))


def _benefit_slot(benefit: Int32) -> NDArray[np.uint32]:
    """Where a benefit stands in the rule book's tables; those that it does not know share the last place."""
    return np.minimum(benefit.view(np.uint32), np.uint32(BENEFIT_SLOTS - 1))


def _doubtful(book: RuleBook, told_on: Int32, since_on: Int32) -> NDArray[np.bool_]:
    """Of which facts nobody can tell whether they are of before the benefit began, by (subject, EntitlementFlag)."""
    unknown: NDArray[np.bool_] = book.start_unknown & ((since_on[:, None] == 0) | (told_on == 0))
    return unknown


def start_unknown(book: RuleBook, benefit: Int32, flags: NDArray[np.uint32], since_on: Int32) -> NDArray[np.bool_]:
    """Who has a fact that would end the benefit, were it known since when it is paid: they are to be asked about again.

    Args:
        book: the asking side's rules.
        benefit: BenefitType of each subject.
        flags: bits of each.
        since_on: first day of the benefit of each, 0: not known.
    """
    unknown = np.zeros(len(flags), np.bool_)
    at = np.flatnonzero((flags != 0) & (since_on == 0))
    unknown[at] = (book.start_unknown & (_effects(book, benefit[at], flags[at]) >= Effect.SUSPENDS)).any(axis=1)
    return unknown


def start_not_used(book: RuleBook, benefit: Int32, since_on: Int32, as_of_on: int) -> NDArray[np.bool_]:
    """Of whom it may leave out what counts not to go by the start of the benefit: it is known, and was before the
    look-back began.
    """
    look_back = book.start_look_back_days.take(_benefit_slot(benefit))
    unused: NDArray[np.bool_] = (since_on != 0) & (look_back > 0) & (as_of_on - since_on > look_back)
    return unused


def month_text(effective_on: int) -> str:
    """A month as "YYYY-MM", "" for 0."""
    return str(np.datetime64(effective_on, "D").astype("M8[M]")) if effective_on else ""
