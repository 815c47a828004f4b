"""Several members' findings about the same people made into one. Conflicts are shown, never averaged.

Owns the rule, first match:

    some member: number held under another name           CONFLICT, flag IDENTITY_CONFLICT and nothing else
    some member: CONFLICT                                 CONFLICT
    a death here, a later trace there                     CONFLICT (MEMBERS_DISAGREE), unless it is excused there
    a death here, its declaration revoked there           CONFLICT (REVOKED_ELSEWHERE)
    some member: DECEASED                                 DECEASED on the earliest day of these
    some member: DECEASED_SUSPECTED                       DECEASED_SUSPECTED on the earliest day of these
    missing here, strong or medium with a later trace     CONFLICT (MEMBERS_DISAGREE)
    some member: MISSING                                  MISSING since the earliest day of these
    some member alive                                     the strongest; weak here and there stays weak
    some member: UNKNOWN                                  UNKNOWN
    nobody answered                                       no status

A strong or medium member that does not disclose its newest trace has one that may be later: it disagrees with a death
elsewhere. Flags are those of all members together, the newest trace is the newest of all, and the answer may be relied
on until the first of the members that know the person changes. UNKNOWN yields to everything but silence.

Refuses: evidence; departments of different provinces are not added up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.errors import RefusedError
from gateway.rules.book import RuleBook
from gateway.rules.columns import FAR, Int32, Mask
from gateway.rules.reasons import ReasonCode, Reasons, ReasonSheet
from wugan.federation.v1 import vocabulary_pb2 as words

_STRONG: Final = words.SURVIVAL_STATUS_ALIVE_STRONG
_MEDIUM: Final = words.SURVIVAL_STATUS_ALIVE_MEDIUM
_WEAK: Final = words.SURVIVAL_STATUS_ALIVE_WEAK
_DECEASED: Final = words.SURVIVAL_STATUS_DECEASED
_SUSPECTED: Final = words.SURVIVAL_STATUS_DECEASED_SUSPECTED
_MISSING: Final = words.SURVIVAL_STATUS_MISSING
_CONFLICT: Final = words.SURVIVAL_STATUS_CONFLICT
_UNKNOWN: Final = words.SURVIVAL_STATUS_UNKNOWN
_NO_ANSWER: Final = words.SURVIVAL_STATUS_UNSPECIFIED
_IDENTITY: Final = np.uint32(1 << words.ENTITLEMENT_FLAG_IDENTITY_CONFLICT)
_REVOKED: Final = np.uint32(1 << words.ENTITLEMENT_FLAG_DEATH_DECLARATION_REVOKED)


@dataclass(frozen=True, slots=True)
class Merged:
    """One row for each subject; columns as in `grading.Grades`.

    Args:
        partial: whether some member did not answer about this subject.
        reasons: only what the merging itself found; the members' own reasons stand beside it.
    """

    status: Int32
    flags: NDArray[np.uint32]
    decided_on: Int32
    last_trace_on: Int32
    valid_until_on: Int32
    partial: Mask
    reasons: Reasons


def merge(
    book: RuleBook,
    *,
    status: Int32,
    flags: NDArray[np.uint32],
    decided_on: Int32,
    last_trace_on: Int32,
    valid_until_on: Int32,
    partial: Mask | None = None,
) -> Merged:
    """Merge findings. All arguments are arrays of (member, subject).

    Args:
        book: the asking side's rules, for the days of grace after a death.
        status: SurvivalStatus; 0 where a member refused or could not be asked.
        flags: bits.
        decided_on: day of the event that decided a status.
        last_trace_on: newest trace, 0: none or not disclosed.
        valid_until_on: last day to rely on.
        partial: whether a member's own answer was partial.

    Raises:
        RefusedError: arrays of different shapes.
    """
    given = (flags, decided_on, last_trace_on, valid_until_on, *(() if partial is None else (partial,)))
    if status.ndim != 2 or any(column.shape != status.shape for column in given):
        raise RefusedError("findings to merge must be of one shape", "待合并的答复形状不一致", field="findings")
    answered = status != _NO_ANSWER
    flags = np.where(answered, flags, np.uint32(0))
    sheet = ReasonSheet()
    grace = book.death.grace_days

    dead, suspected, missing = status == _DECEASED, status == _SUSPECTED, status == _MISSING
    dead_on, suspected_on = _first(decided_on, dead), _first(decided_on, suspected)
    missing_on = _first(decided_on, missing)
    any_dead, any_suspected, any_missing = dead.any(axis=0), suspected.any(axis=0), missing.any(axis=0)
    death = any_dead | any_suspected
    death_on = np.where(any_dead, dead_on, suspected_on)

    well = (status == _STRONG) | (status == _MEDIUM)
    traced = np.where(answered, last_trace_on, 0)
    hidden = well & (last_trace_on == 0)
    # The member whose record decides has weighed its own traces already.
    decides = (dead | suspected) & (decided_on <= death_on)
    # So has one that has the death a little later, the cremation after it, of what came after that: such a trace trails
    # the person (`lag_days`), or it would be in conflict. It must not trail the earlier death by more than any may.
    trails = (dead | suspected) & (traced > decided_on + grace) & (traced <= death_on + book.kinds.lag_days.max())
    disagree = death & ((~decides & ~trails & (traced > death_on + grace)) | hidden).any(axis=0)
    revoked = death & ((flags & _REVOKED != 0) & ~dead & ~suspected).any(axis=0)
    seen = (well & (traced > missing_on + grace) | hidden).any(axis=0)
    unsettled = any_missing & ~death & seen

    result = _alive(status)
    since = np.zeros(status.shape[1], np.int32)
    conflicts = status == _CONFLICT
    identity = (flags & _IDENTITY != 0).any(axis=0)
    for chosen, outcome, on in (
        (any_missing, _MISSING, missing_on),
        (unsettled, _CONFLICT, missing_on),
        (any_suspected, _SUSPECTED, suspected_on),
        (any_dead, _DECEASED, dead_on),
        (disagree | revoked, _CONFLICT, death_on),
        (conflicts.any(axis=0), _CONFLICT, _first(decided_on, conflicts & (decided_on != 0))),
        (identity, _CONFLICT, np.zeros_like(since)),
    ):
        result[chosen] = outcome
        since[chosen] = on[chosen]
    since[since == FAR] = 0

    found = np.flatnonzero((disagree | unsettled) & ~identity)
    sheet.add(found, ReasonCode.MEMBERS_DISAGREE, on=np.where(death, death_on, missing_on)[found])
    found = np.flatnonzero(revoked & ~identity)
    sheet.add(found, ReasonCode.REVOKED_ELSEWHERE, on=death_on[found])
    return Merged(
        status=result,
        flags=np.where(identity, _IDENTITY, np.bitwise_or.reduce(flags, axis=0)).astype(np.uint32),
        decided_on=since,
        last_trace_on=np.where(identity, 0, np.where(answered, last_trace_on, 0).max(axis=0, initial=0)).astype(
            np.int32
        ),
        valid_until_on=_valid_until(valid_until_on, answered, answered & (status != _UNKNOWN)),
        partial=(~answered if partial is None else ~answered | partial).any(axis=0),
        reasons=sheet.finish(),
    )


def _first(on: Int32, chosen: Mask) -> Int32:
    first: Int32 = np.where(chosen, on, FAR).min(axis=0, initial=FAR).astype(np.int32)
    return first


def _alive(status: Int32) -> Int32:
    """The strongest of the living, else UNKNOWN, else nothing: in the numbers of the contract stronger is lower."""
    living = (status == _STRONG) | (status == _MEDIUM) | (status == _WEAK)
    best = np.where(living, status, FAR).min(axis=0, initial=FAR)
    unknown = (status == _UNKNOWN).any(axis=0)
    return np.where(best < FAR, best, np.where(unknown, _UNKNOWN, _NO_ANSWER)).astype(np.int32)


def _valid_until(until: Int32, answered: Mask, knows: Mask) -> Int32:
    """The first day that any member that knows the person gave; of those that do not know where nobody does."""
    by_knowing = np.where(knows, until, FAR).min(axis=0, initial=FAR)
    by_any = np.where(answered, until, FAR).min(axis=0, initial=FAR)
    found = np.where(by_knowing < FAR, by_knowing, by_any)
    return np.where(found < FAR, found, 0).astype(np.int32)
