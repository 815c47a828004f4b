"""The table of evidence kinds of the rule file, as dense arrays that a whole batch is looked up in.

Owns: what each kind of evidence is, from whom it counts and how well. Refuses: looking at people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.rules.reading import Section
from wugan.adapter.v1 import vocabulary_pb2 as words
from wugan.federation.v1 import vocabulary_pb2 as answer_words

KIND_SLOTS: Final = 256
STRENGTH_SLOTS: Final = 8
DEPARTMENT_SLOTS: Final = 16
"""Sizes of the tables: each at least one more than the largest number of the vocabulary. The last slot is never used by
the vocabulary, so that numbers out of range can be clipped into it."""

FIRST_EVENT: Final = 100
"""Kinds from here on are events (vocabulary.proto)."""

PENAL_KINDS: Final = frozenset(range(words.EVIDENCE_KIND_DETAINED, words.EVIDENCE_KIND_RETURNED_TO_PRISON + 1))


KNOWN_KINDS: Final = np.zeros(KIND_SLOTS, np.bool_)
"""Which kinds this version of the vocabulary has."""
KNOWN_KINDS[[number for number in words.EvidenceKind.values() if number]] = True
KNOWN_KINDS.flags.writeable = False


class RowClass:
    """What a row of evidence is. Plain numbers: an array compares five times slower with a member of an enum."""

    NOT_UNDERSTOOD: Final = 0
    IDLE: Final = 1
    """Understood, but too weak a sign of life for its kind: counts for nothing."""
    TRACE: Final = 2
    EVENT: Final = 3


class Role:
    """What an event does, in plain numbers for the same reason."""

    NONE: Final = 0
    DEATH_CONFIRMED: Final = 1
    DEATH_SUPPORTED: Final = 2
    DEATH_LEAD: Final = 3
    DEATH_REVOKED: Final = 4
    MISSING_DECLARED: Final = 5
    MISSING_REPORTED: Final = 6
    MISSING_REVOKED: Final = 7
    FOUND: Final = 8
    PENAL: Final = 9
    FLAG: Final = 10
    DIVORCE: Final = 11
    MOVED: Final = 12
    NOTE: Final = 13


def names(keys: Mapping[str, int], prefix: str) -> dict[str, int]:
    """The names of an enum without their prefix, to numbers; without UNSPECIFIED."""
    return {name.removeprefix(prefix): number for name, number in keys.items() if number}


KINDS: Final = names(dict(words.EvidenceKind.items()), "EVIDENCE_KIND_")
DEPARTMENTS: Final = names(dict(words.Department.items()), "DEPARTMENT_")
STRENGTHS: Final = names(dict(words.Strength.items()), "STRENGTH_")
FLAGS: Final = names(dict(answer_words.EntitlementFlag.items()), "ENTITLEMENT_FLAG_")
EVENT_FLAGS: Final = {
    name: FLAGS[name] for name in ("REMARRIED", "ADOPTED", "EMIGRATED", "RE_EMPLOYED", "DUPLICATE_BENEFIT")
}
"""Flags that a single event sets."""

_ROLES: Final[dict[str, int]] = {name.lower(): role for name, role in vars(Role).items() if name.isupper() and role}


@dataclass(frozen=True, slots=True)
class KindTable:
    """Arrays indexed by kind, by (kind, strength) or by (kind, strength, department); read-only.

    Args:
        row_class: RowClass by (kind * STRENGTH_SLOTS + strength) * DEPARTMENT_SLOTS + department.
        points: strength points x kind weight (percent), by kind * STRENGTH_SLOTS + strength; 0 for events.
        strength: effective Strength, by kind * STRENGTH_SLOTS + strength.
        valid_days: days for which a trace counts, by kind.
        uniform_validity: that is the cycle for every kind.
        lag_days: days by which a trace's date may trail the person's presence, by kind.
        use: whether a benefit or an account was used, by kind.
        presence: whether an event needs the person there, by kind.
        role: Role, by kind.
        originates: whether a department originates the kind, by (kind, department).
        follows_declaration: whether a revoked declaration of death takes the kind with it.
        flag: EntitlementFlag of role FLAG, by kind.
        look_back_days: for role FLAG, by kind; 0: no bound.
        death_departments: who originates a record that confirms or supports a death.
    """

    row_class: NDArray[np.uint8]
    points: NDArray[np.int32]
    strength: NDArray[np.uint8]
    valid_days: NDArray[np.int32]
    uniform_validity: bool
    lag_days: NDArray[np.int32]
    use: NDArray[np.bool_]
    presence: NDArray[np.bool_]
    role: NDArray[np.uint8]
    originates: NDArray[np.bool_]
    follows_declaration: NDArray[np.bool_]
    flag: NDArray[np.uint8]
    look_back_days: NDArray[np.int32]
    death_departments: frozenset[int]


def read_kinds(section: Section, strength_points: Mapping[int, int], cycle_days: int) -> KindTable:
    """The table.

    Args:
        section: `kinds` of the rule file.
        strength_points: points of each Strength.
        cycle_days: days of a certification cycle.

    Raises:
        ConfigError: a kind of the vocabulary is missing, or one of its settings is wrong.
    """
    by_strength = (KIND_SLOTS, STRENGTH_SLOTS)
    row_class = np.zeros((*by_strength, DEPARTMENT_SLOTS), np.uint8)
    points = np.zeros(by_strength, np.int32)
    strength = np.zeros(by_strength, np.uint8)
    valid_days = np.full(KIND_SLOTS, cycle_days, np.int32)
    lag_days = np.zeros(KIND_SLOTS, np.int32)
    use, presence, follows = (np.zeros(KIND_SLOTS, np.bool_) for _ in range(3))
    role, flag = np.zeros(KIND_SLOTS, np.uint8), np.zeros(KIND_SLOTS, np.uint8)
    originates = np.zeros((KIND_SLOTS, DEPARTMENT_SLOTS), np.bool_)
    look_back = np.zeros(KIND_SLOTS, np.int32)
    known_departments = list(DEPARTMENTS.values())
    for name, kind in KINDS.items():
        entry = section.section(name)
        originates[kind, list(entry.choices("departments", DEPARTMENTS))] = True
        if kind < FIRST_EVENT:
            usual = entry.choice("strength", STRENGTHS)
            highest = entry.choice("at_most", STRENGTHS)
            if usual > highest:
                raise entry.wrong("strength", "must not be above at_most", "不得高于 at_most")
            lowest = entry.choice("at_least", STRENGTHS, words.STRENGTH_WEAK)
            weight = entry.integer("weight", 0, 1000, 100)
            for given in (words.STRENGTH_UNSPECIFIED, *STRENGTHS.values()):
                counts = min(given or usual, highest)
                strength[kind, given] = counts
                points[kind, given] = strength_points[counts] * weight
                row_class[kind, given, known_departments] = RowClass.TRACE if counts >= lowest else RowClass.IDLE
            valid_days[kind] = entry.integer("valid_days", 1, cycle_days, cycle_days)
            lag_days[kind] = entry.integer("lag_days", 0, 366, 0)
            use[kind] = entry.boolean("use", default=False)
        else:
            role[kind] = entry.choice("role", _ROLES)
            if (role[kind] == Role.PENAL) != (kind in PENAL_KINDS):
                raise entry.wrong(
                    "role",
                    "penal is for the kinds from DETAINED to RETURNED_TO_PRISON, and for all of them",
                    "penal 用于且仅用于羁押至收监执行各种类",
                )
            known_strengths = [words.STRENGTH_UNSPECIFIED, *STRENGTHS.values()]
            strength[kind, known_strengths] = known_strengths
            row_class[np.ix_([kind], known_strengths, known_departments)] = RowClass.EVENT
            presence[kind] = entry.boolean("presence", default=False)
            follows[kind] = entry.boolean("follows_declaration", default=False)
            if role[kind] == Role.FLAG:
                flag[kind] = entry.choice("flag", EVENT_FLAGS)
                look_back[kind] = entry.integer("look_back_days", 1, 36_525, 0)
        entry.close()
    section.close()
    table = KindTable(
        row_class=row_class.reshape(-1),
        points=points.reshape(-1),
        strength=strength.reshape(-1),
        valid_days=valid_days,
        uniform_validity=bool((valid_days == cycle_days).all()),
        lag_days=lag_days,
        use=use,
        presence=presence,
        role=role,
        originates=originates,
        follows_declaration=follows,
        flag=flag,
        look_back_days=look_back,
        death_departments=frozenset(
            np.flatnonzero(
                originates[(role == Role.DEATH_CONFIRMED) | (role == Role.DEATH_SUPPORTED)].any(axis=0)
            ).tolist()
        ),
    )
    for column in (row_class, points, strength, valid_days, lag_days, use, presence, role, originates, follows, flag):
        column.flags.writeable = False
    return table
