"""What each benefit needs to know, from which department: read off the rules, so that it never differs from them.

Owns: benefit × department × kind, how much each matters and over which period it is looked at. Refuses: opinions of its
own. A kind is needed because a rule uses it; how much it matters follows from what the rule does with it:

    ESSENTIAL  ends or suspends the benefit, confirms a death, or takes a declared death back
    IMPORTANT  brings a doubt that an official looks at, supports a death, tells of a disappearance; or a trace that
               can carry a grade of strong
    USEFUL     is told and changes nothing, or is a weaker trace, or a lead
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from adapters.manifest.usual import USUAL_KINDS
from gateway.rules.book import BENEFITS, Effect, RuleBook
from gateway.rules.kinds import DEPARTMENTS, FIRST_EVENT, FLAGS, KINDS, STRENGTH_SLOTS, Role
from gateway.wording import Word
from wugan.adapter.v1 import vocabulary_pb2 as words


class Level(IntEnum):
    """How much an item matters for a benefit."""

    USEFUL = 1
    IMPORTANT = 2
    ESSENTIAL = 3


LEVELS: Final = {
    Level.ESSENTIAL: Word("必需", "essential"),
    Level.IMPORTANT: Word("重要", "important"),
    Level.USEFUL: Word("可选", "useful"),
}


class Group(IntEnum):
    """What sort of fact an item is; the catalogue sorts and sets freshness by it."""

    DEATH = 1
    MISSING = 2
    PENAL = 3
    FAMILY = 4
    STANDING = 5
    TRACE = 6


GROUPS: Final = {
    Group.DEATH: Word("死亡", "death"),
    Group.MISSING: Word("失踪", "disappearance"),
    Group.PENAL: Word("刑罚执行", "sentences"),
    Group.FAMILY: Word("婚姻收养", "family"),
    Group.STANDING: Word("待遇与去向", "standing"),
    Group.TRACE: Word("活动轨迹", "traces"),
}

_BY_ROLE: Final = {
    Role.DEATH_CONFIRMED: (Group.DEATH, Level.ESSENTIAL),
    Role.DEATH_SUPPORTED: (Group.DEATH, Level.IMPORTANT),
    Role.DEATH_LEAD: (Group.DEATH, Level.USEFUL),
    Role.DEATH_REVOKED: (Group.DEATH, Level.ESSENTIAL),
    Role.MISSING_DECLARED: (Group.MISSING, Level.IMPORTANT),
    Role.MISSING_REPORTED: (Group.MISSING, Level.IMPORTANT),
    Role.MISSING_REVOKED: (Group.MISSING, Level.IMPORTANT),
    Role.FOUND: (Group.MISSING, Level.IMPORTANT),
    Role.NOTE: (Group.STANDING, Level.USEFUL),
}
"""What does not depend on the benefit: death ends all, and a disappearance puts all in doubt."""

_BY_EFFECT: Final = {
    Effect.ENDS: Level.ESSENTIAL,
    Effect.SUSPENDS: Level.ESSENTIAL,
    Effect.REVIEW: Level.IMPORTANT,
    Effect.NOTE: Level.USEFUL,
}
_PENAL_FLAGS: Final[dict[int, tuple[str, ...]]] = {
    words.EVIDENCE_KIND_DETAINED: ("DETAINED",),
    words.EVIDENCE_KIND_PAROLE: ("PAROLED", "IMPRISONED"),
    words.EVIDENCE_KIND_MEDICAL_RELEASE: ("MEDICAL_RELEASE", "IMPRISONED"),
}
"""Which flags a penal kind sets or takes back; the others tell of imprisonment."""
_FAMILY: Final = frozenset({words.EVIDENCE_KIND_MARRIAGE, words.EVIDENCE_KIND_DIVORCE, words.EVIDENCE_KIND_ADOPTION})


@dataclass(frozen=True, slots=True)
class Need:
    """One line of the catalogue.

    Args:
        benefit: BenefitType.
        department: Department that originates the item; another may offer it where the rules count it from there too.
        kind: EvidenceKind.
        level: how much it matters.
        group: what sort of fact it is.
        flag: EntitlementFlag by which it matters, 0: by the person being alive or not.
        period_days: how far back it is looked at, days; 0: without bound.
    """

    benefit: int
    department: int
    kind: int
    level: Level
    group: Group
    flag: int
    period_days: int


def needs_of(book: RuleBook) -> tuple[Need, ...]:
    """Every need of these rules, in order of benefit, group, department and kind."""
    found = [need for benefit in BENEFITS.values() for kind in KINDS.values() for need in _of(book, benefit, kind)]
    return tuple(sorted(found, key=lambda need: (need.benefit, need.group, need.department, need.kind)))


def departments_of(book: RuleBook, kind: int) -> tuple[int, ...]:
    """Who originates a kind; where the rules name nobody, who usually has it."""
    found = tuple(number for number in DEPARTMENTS.values() if book.kinds.originates[kind, number])
    return found or tuple(number for number in DEPARTMENTS.values() if kind in USUAL_KINDS[number])


def _of(book: RuleBook, benefit: int, kind: int) -> Iterator[Need]:
    judged = _trace(book, kind) if kind < FIRST_EVENT else _event(book, benefit, kind)
    if judged is None:
        return
    group, level, flag, period = judged
    for department in departments_of(book, kind):
        yield Need(benefit, department, kind, level, group, flag, period)


def _trace(book: RuleBook, kind: int) -> tuple[Group, Level, int, int]:
    # The best a row of this kind can be, whatever it says of itself.
    best = int(book.kinds.strength.reshape(-1, STRENGTH_SLOTS)[kind].max())
    level = Level.IMPORTANT if best >= book.grading.strong_anchor_strength else Level.USEFUL
    return Group.TRACE, level, 0, int(book.kinds.valid_days[kind])


def _event(book: RuleBook, benefit: int, kind: int) -> tuple[Group, Level, int, int] | None:
    role = int(book.kinds.role[kind])
    if role in _BY_ROLE:
        return *_BY_ROLE[role], 0, 0
    if role == Role.PENAL:
        names = _PENAL_FLAGS.get(kind, ("IMPRISONED",))
        return _strongest(book, benefit, [FLAGS[name] for name in names], Group.PENAL, 0)
    group = Group.FAMILY if kind in _FAMILY else Group.STANDING
    if role == Role.FLAG:
        return _strongest(book, benefit, [int(book.kinds.flag[kind])], group, int(book.kinds.look_back_days[kind]))
    if role == Role.MOVED:
        return _strongest(book, benefit, [FLAGS["MOVED"]], group, 0)
    # A divorce is told beside the remarriage it does not undo.
    remarried = FLAGS["REMARRIED"]
    return (group, Level.USEFUL, remarried, 0) if book.effects[benefit, remarried] else None


def _strongest(
    book: RuleBook, benefit: int, flags: list[int], group: Group, period: int
) -> tuple[Group, Level, int, int] | None:
    effect, flag = max((int(book.effects[benefit, flag]), -place, flag) for place, flag in enumerate(flags))[::2]
    return (group, _BY_EFFECT[effect], flag, period) if effect else None
