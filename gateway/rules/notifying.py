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
    told custody by a judgment      no penal record found any more             yes        since it was first told
    told                            anything else                              yes        nothing

Which facts are lasting, and which records outlast what they order, is in the rule file.

That what was told holds no more, or less of it, is believed only where everybody answered on whose word it stood: a
department that was suspended or taken out of use since is none of those asked, and its silence no correction. Whom an
administrator removed for good, by an act that says so, is waited for no longer.

Owns: this comparison. Refuses: time, and knowing whom it is about.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from gateway.rules.book import RuleBook
from gateway.rules.kinds import FIRST_EVENT, PENAL_KINDS
from gateway.rules.penal import PENAL_BITS
from gateway.rules.reasons import PENAL_CODES, ReasonCode
from wugan.adapter.v1 import vocabulary_pb2 as kinds
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

_LAYOUT: Final = struct.Struct(">BBIiqqqqI")
_VERSION: Final = 2
_LAYOUT_1: Final = struct.Struct(">BBIiqqq")
"""Without `judged_since` and `grounds`: what a gateway of before kept."""
_ALIVE: Final = words.SURVIVAL_STATUS_ALIVE_STRONG
_LIVING: Final = frozenset(
    {words.SURVIVAL_STATUS_ALIVE_STRONG, words.SURVIVAL_STATUS_ALIVE_MEDIUM, words.SURVIVAL_STATUS_ALIVE_WEAK}
)
_QUIET: Final = frozenset({_ALIVE, words.SURVIVAL_STATUS_UNKNOWN})
_ANOTHER_NAME: Final = 1 << words.ENTITLEMENT_FLAG_IDENTITY_CONFLICT
_CUSTODY_KINDS: Final = PENAL_KINDS - {kinds.EVIDENCE_KIND_DETAINED}
_CUSTODY_CODES: Final = PENAL_CODES - {ReasonCode.DETAINED}
"""Detention comes before the judgment and needs none: it says nothing of one."""
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
        judged_since: the same of custody, parole and temporary release that a judgment on record stood behind.
        grounds: bits 1 << Department of those on whose word it stands, 0: not known.
    """

    status: int
    flags: int
    decided_on: int
    sequence: int
    gone_since: int = 0
    lasting_since: int = 0
    judged_since: int = 0
    grounds: int = 0

    def packed(self) -> bytes:
        """As bytes."""
        return _LAYOUT.pack(_VERSION, *self)

    @staticmethod
    def unpacked(data: bytes) -> Told:
        """From `packed`.

        Raises:
            ValueError: it was not made by this version.
        """
        for version, layout in ((_VERSION, _LAYOUT), (1, _LAYOUT_1)):
            if len(data) == layout.size and data[0] == version:
                return Told(*layout.unpack(data)[1:])
        raise ValueError("not what a notice told")


_NOTHING: Final = Told(0, 0, 0, 0)


class Finding(NamedTuple):
    """What was found about one person, as the purpose lets it be told.

    Args:
        status: SurvivalStatus.
        flags: bits 1 << EntitlementFlag.
        decided_on: civil day, 0: none.
        records: kinds of the penal rows that are told, those of detention apart.
        custody: whether a row or a reason tells of more than detention.
        grounds: bits 1 << Department of those whose events it rests on; where records contradict each other, of all of
            whom the reasons tell.
        heard: bits 1 << Department of those that answered.
    """

    status: int
    flags: int
    decided_on: int
    records: frozenset[int] = frozenset()
    custody: bool = False
    grounds: int = 0
    heard: int = 0


def finding_of(findings: exchange_pb2.Findings) -> Finding:
    """The first subject's row of findings, who was not refused."""
    evidence, reasons = findings.evidence, findings.reasons
    rows = zip(evidence.subject, evidence.kind, evidence.department, strict=True)
    events = [(kind, department) for who, kind, department in rows if not who and kind >= FIRST_EVENT]
    told = zip(reasons.subject, reasons.code, reasons.department, strict=True)
    why = [(code, department) for who, code, department in told if not who]
    records = _CUSTODY_KINDS.intersection(kind for kind, _ in events)
    contradicting = findings.status[0] == words.SURVIVAL_STATUS_CONFLICT or findings.flags[0] & _ANOTHER_NAME
    grounds = heard = 0
    for _, department in (*events, *(why if contradicting else ())):
        if department:
            grounds |= 1 << department
    for source in findings.sources:
        if source.outcome == words.SOURCE_OUTCOME_ANSWERED:
            heard |= 1 << source.department
    return Finding(
        findings.status[0],
        findings.flags[0],
        findings.decided_on[0],
        records,
        bool(records) or not _CUSTODY_CODES.isdisjoint(code for code, _ in why),
        grounds,
        heard,
    )


class Change(NamedTuple):
    """What is to be told now.

    Args:
        told: what the notice tells.
        retracts_from: from which earlier notice on all are taken back; 0: none is.
        adds: it only adds to what was told, so that a department that is silent could not make it untrue.
        unheard: bits 1 << Department of those on whose word the last notice stood and who did not answer.
    """

    told: Told
    retracts_from: int
    adds: bool
    unheard: int = 0

    def sure(self, *, whole: bool, gone: int = 0) -> bool:
        """Whether it may be told of an answer that is `whole`, or not: nobody's silence could make it untrue.

        Args:
            whole: whether everybody who was asked answered.
            gone: bits 1 << Department of those that were removed for good: theirs is no silence.
        """
        return self.adds or (whole and not self.unheard & ~gone)


def compare(book: RuleBook, before: Told | None, finding: Finding) -> Change | None:
    """What there is to tell of a finding after what was told before; None: nothing.

    Args:
        book: the rules.
        before: what the last notice told; None: there was none.
        finding: what is found now.
    """
    status, flags, decided_on = finding[:3]
    if status in _LIVING:
        status, decided_on = _ALIVE, 0
    nothing = status in _QUIET and not flags
    if before is None:
        if nothing:
            return None
        before = _NOTHING
    elif (before.status, before.flags, before.decided_on) == (status, flags, decided_on):
        return None
    gone = before.status in _CERTAINTY and _taken_back(before, status, decided_on)
    lasting = bool(before.flags & ~flags & book.lasting_flags)
    judged = bool(before.judged_since) and not finding.custody
    runs = (before.gone_since, gone), (before.lasting_since, lasting), (before.judged_since, judged)
    back = [since for since, over in runs if over]
    sequence = before.sequence + 1
    on_record = before.judged_since or not finding.records.isdisjoint(book.lasting_records)
    told = Told(
        status,
        flags,
        decided_on,
        sequence,
        _since(before.gone_since, sequence, goes_on=status in _CERTAINTY, anew=gone),
        _since(before.lasting_since, sequence, goes_on=bool(flags & book.lasting_flags), anew=lasting),
        _since(before.judged_since, sequence, goes_on=bool(flags & PENAL_BITS and on_record), anew=judged),
        0 if nothing else finding.grounds | (0 if back else before.grounds),
    )
    adds = not back and not before.flags & ~flags and _rises(before.status, status) and told[:2] != (_ALIVE, 0)
    return Change(told, min(back, default=0), adds, before.grounds & ~finding.heard)


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
