"""Whether something changed about a person that those who pay them must hear, and what earlier notices it takes back.

What is compared is what a notice tells: the status, the flags that the benefit depends on, and the day that decided.
How well somebody is known to be alive does not count: a visit to a doctor is nobody's news, and months without one are
not news either until the next check. So alive is alive, strong or weak.

    before                          now                                        told       takes back
    nothing told                    alive or unknown, no flags                 no
    nothing told                    anything else                              yes
    told                            the same                                   no
    told a death or disappearance   alive, unknown; less certain; another day  yes        since it was first told
    told a lasting fact             the fact found no more                     yes        since it was first told
    told                            anything else                              yes        nothing

Which facts are lasting is in the rule file. Owns: this comparison. Refuses: time, and knowing whom it is about.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from gateway.rules.book import RuleBook
from wugan.federation.v1 import vocabulary_pb2 as words

_LAYOUT: Final = struct.Struct(">BBIiqqq")
_VERSION: Final = 1
_ALIVE: Final = words.SURVIVAL_STATUS_ALIVE_STRONG
_LIVING: Final = frozenset(
    {words.SURVIVAL_STATUS_ALIVE_STRONG, words.SURVIVAL_STATUS_ALIVE_MEDIUM, words.SURVIVAL_STATUS_ALIVE_WEAK}
)
_QUIET: Final = frozenset({_ALIVE, words.SURVIVAL_STATUS_UNKNOWN})
_CERTAINTY: Final[dict[int, int]] = {
    words.SURVIVAL_STATUS_MISSING: 1,
    words.SURVIVAL_STATUS_DECEASED_SUSPECTED: 2,
    words.SURVIVAL_STATUS_DECEASED: 3,
}


class Told(NamedTuple):
    """What a notice told, and what of it still stands.

    Args:
        status: SurvivalStatus; one of the living for all of them.
        flags: bits 1 << EntitlementFlag.
        decided_on: civil day that decided, 0: none.
        sequence: number of the notice.
        gone_since: number of the first notice of an unbroken run that told of a death or disappearance; 0: none.
        lasting_since: the same of lasting facts.
    """

    status: int
    flags: int
    decided_on: int
    sequence: int
    gone_since: int = 0
    lasting_since: int = 0

    def packed(self) -> bytes:
        """As bytes."""
        return _LAYOUT.pack(_VERSION, *self)

    @staticmethod
    def unpacked(data: bytes) -> Told:
        """From `packed`.

        Raises:
            ValueError: it was not made by this version.
        """
        if len(data) != _LAYOUT.size or data[0] != _VERSION:
            raise ValueError("not what a notice told")
        return Told(*_LAYOUT.unpack(data)[1:])


_NOTHING: Final = Told(0, 0, 0, 0)


class Change(NamedTuple):
    """What is to be told now.

    Args:
        told: what the notice tells.
        retracts_from: from which earlier notice on all are taken back; 0: none is.
        adds: it only adds to what was told, so that a department that is silent could not make it untrue.
    """

    told: Told
    retracts_from: int
    adds: bool


def compare(book: RuleBook, before: Told | None, status: int, flags: int, decided_on: int) -> Change | None:
    """What there is to tell of a finding after what was told before; None: nothing.

    Args:
        book: the rules.
        before: what the last notice told; None: there was none.
        status: of the finding, as the purpose lets it be told; so are the two others.
        flags: bits 1 << EntitlementFlag.
        decided_on: civil day, 0: none.
    """
    if status in _LIVING:
        status, decided_on = _ALIVE, 0
    if before is None:
        if status in _QUIET and not flags:
            return None
        before = _NOTHING
    elif (before.status, before.flags, before.decided_on) == (status, flags, decided_on):
        return None
    gone = before.status in _CERTAINTY and _taken_back(before, status, decided_on)
    lasting = bool(before.flags & ~flags & book.lasting_flags)
    back = [since for since, over in ((before.gone_since, gone), (before.lasting_since, lasting)) if over]
    sequence = before.sequence + 1
    told = Told(
        status,
        flags,
        decided_on,
        sequence,
        _since(before.gone_since, sequence, goes_on=status in _CERTAINTY, anew=gone),
        _since(before.lasting_since, sequence, goes_on=bool(flags & book.lasting_flags), anew=lasting),
    )
    adds = not back and not before.flags & ~flags and _rises(before.status, status) and told[:2] != (_ALIVE, 0)
    return Change(told, min(back, default=0), adds)


def _rises(before: int, now: int) -> bool:
    """Whether a status tells no less than the one before: one that more evidence leads to."""
    if before == now or before in _QUIET or not before or now == words.SURVIVAL_STATUS_CONFLICT:
        return True
    return before in _CERTAINTY and now in _CERTAINTY and _CERTAINTY[now] > _CERTAINTY[before]


def _since(before: int, sequence: int, *, goes_on: bool, anew: bool) -> int:
    """Number of the first notice of a run: of the one before, or this one if none goes on or it begins anew."""
    if not goes_on:
        return 0
    return sequence if anew or not before else before


def _taken_back(before: Told, status: int, decided_on: int) -> bool:
    """Whether a death or disappearance that was told does not hold as it was told."""
    if status in _QUIET:
        return True
    now = _CERTAINTY.get(status)
    if now is None:  # in dispute is not withdrawn
        return False
    return now < _CERTAINTY[before.status] or (status == before.status and decided_on != before.decided_on)
