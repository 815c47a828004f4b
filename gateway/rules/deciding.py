"""What officials, visitors and face checks may do to a recipient's standing (认证状态), and what stands after it.

Owns: the acts, which status each may take to which (the rule file's `decisions`), the gate "certified only once in a
cycle" (一人只能认证成功一次), and what counts when a later run proposes something else. Refuses: proposing
(certification.py), money (overpayment.py), and a rule file by which anybody but an official stops or restores.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, unique
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.rules.kinds import names
from gateway.rules.reading import Section
from wugan.federation.v1 import vocabulary_pb2 as words

STATUS_SLOTS: Final = 16
ACT_SLOTS: Final = 32
NOT_ALLOWED: Final = -1


@unique
class Act(IntEnum):
    """What somebody does about a recipient. The numbers are kept in records: never reuse or renumber one."""

    APPROVE_STOP = 1
    REJECT_STOP = 2
    PROPOSE_STOP = 3
    RESTORE = 4
    FACE_PASSED = 10
    VISIT_PASSED = 11
    STAFF_PASSED = 12
    FOUND_DEAD = 20
    NOT_FOUND = 21
    REFUSED = 22


@unique
class Source(IntEnum):
    """By what somebody is certified (认证来源)."""

    NONE = 0
    DATA_COMPARISON = 1
    FACE = 2
    VISIT = 3
    STAFF = 4


PASSED: Final = {Act.FACE_PASSED: Source.FACE, Act.VISIT_PASSED: Source.VISIT, Act.STAFF_PASSED: Source.STAFF}
"""Acts that certify, where they may."""

_NONE: Final = "NONE"
STATUSES: Final = {_NONE: 0, **names(dict(words.CertificationStatus.items()), "CERTIFICATION_STATUS_")}
"""Every standing, "NONE" for a recipient about whom nothing is proposed."""
_BY: Final = {"OFFICIAL": 1, "VISITOR": 2}
_OFFICIALS_ALONE: Final = (words.CERTIFICATION_STATUS_STOPPED, words.CERTIFICATION_STATUS_RESTORED)


@dataclass(frozen=True, slots=True, eq=False)
class Transitions:
    """Which act takes which standing where.

    Args:
        to: CertificationStatus by (act, status); NOT_ALLOWED where the act is refused.
        official: by act, whether it is an official's alone.
        second_person: whether who approves a stop must not be who brought the proposal about.
    """

    to: NDArray[np.int8]
    official: NDArray[np.bool_]
    second_person: bool

    def after(self, act: int, status: int) -> int:
        """Where an act leads from a status; NOT_ALLOWED, also for numbers that are none."""
        if not (0 <= act < ACT_SLOTS and 0 <= status < STATUS_SLOTS):
            return NOT_ALLOWED
        return int(self.to[act, status])


@dataclass(frozen=True, slots=True)
class Standing:
    """How a recipient stands.

    Args:
        status: CertificationStatus, 0: nothing is proposed.
        source: by what certified, NONE where not.
        certified_on: when, civil day; 0 where not.
    """

    status: int
    source: Source = Source.NONE
    certified_on: int = 0


@dataclass(frozen=True, slots=True)
class Decided:
    """The last thing that was decided about a recipient.

    Args:
        standing: after it.
        on: day of it.
        ground: what the run had found then, as an opaque mark: the same finding has the same mark.
    """

    standing: Standing
    on: int
    ground: bytes


def read_transitions(section: Section) -> Transitions:
    """The table, from `decisions` of the rule file.

    Raises:
        ConfigError: an act is missing, a name is unknown, or an act that is not an official's stops or restores.
    """
    second_person = section.boolean("second_person")
    acts = section.section("acts")
    to = np.full((ACT_SLOTS, STATUS_SLOTS), NOT_ALLOWED, np.int8)
    official = np.zeros(ACT_SLOTS, np.bool_)
    for act in Act:
        entry = acts.section(act.name)
        official[act] = entry.choice("by", _BY) == _BY["OFFICIAL"]
        moves = entry.section("moves")
        for name in moves:
            status = moves.one_of(name, name, STATUSES)
            target = moves.choice(name, STATUSES)
            if not target:
                raise moves.wrong(name, "no act leads back to NONE", "不得变为 NONE")
            if target != status and target in _OFFICIALS_ALONE and not official[act]:
                raise moves.wrong(name, "only an official stops or restores", "停发与恢复只能由经办人员决定")
            to[act, status] = target
        entry.close()
    acts.close()
    section.close()
    to.flags.writeable = official.flags.writeable = False
    return Transitions(to, official, second_person)


def already_certified(standing: Standing, on: int, cycle_days: int) -> bool:
    """Whether a certification on a day would be a second one in the cycle of an earlier one."""
    certified = standing.status == words.CERTIFICATION_STATUS_CERTIFIED
    return certified and abs(on - standing.certified_on) < cycle_days


def stands(proposed: Standing, ground: bytes, as_of_on: int, decided: Decided | None, cycle_days: int) -> Standing:
    """How a recipient stands, by the newest run and by what was decided.

    A decision holds against every run that found what it was decided on (same ground), and against older runs. A run
    that finds something new reopens it where that is a doubt or a reason to stop; certifies where nothing worse was
    decided; otherwise the decision goes on holding. STOPPED ends by a decision only. A certification lasts a cycle.

    Args:
        proposed: by the newest run.
        ground: mark of what it found.
        as_of_on: its day.
        decided: the last decision, None: nothing was decided.
        cycle_days: of the rule file.
    """
    if decided is None:
        return proposed
    own = decided.standing
    certified = own.status == words.CERTIFICATION_STATUS_CERTIFIED
    if certified and as_of_on - own.certified_on >= cycle_days:
        return proposed
    holds = own.status == words.CERTIFICATION_STATUS_STOPPED or decided.ground == ground or decided.on > as_of_on
    doubts = proposed.status in (words.CERTIFICATION_STATUS_STOP_PROPOSED, words.CERTIFICATION_STATUS_SUSPECT)
    certifies = proposed.status == words.CERTIFICATION_STATUS_CERTIFIED and not certified
    restored = own.status == words.CERTIFICATION_STATUS_RESTORED and proposed.status != 0
    return proposed if not holds and (doubts or certifies or restored) else own
