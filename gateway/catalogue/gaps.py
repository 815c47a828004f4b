"""What the benefits need and nobody offers, per region.

Owns: the rule what a gap is. Refuses: guessing. An offer is for the regions it names; a member's freshness is not
known.

    MISSING  nobody offers the item for the region
    PARTIAL  it is offered for parts of the region only
    LATE     it is offered, later than it is wanted
    GRADE    too few departments offer traces for anybody to be certified by data alone
    UNSERVED no member of the federation serves the province

An item that several departments originate (a declaration of death) is missing only where none of them offers it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from gateway.catalogue.basis import Terms
from gateway.catalogue.needs import Group, Level, Need, departments_of
from gateway.catalogue.offers import NOT_TOLD, Offer
from gateway.rules.book import RuleBook
from gateway.rules.kinds import STRENGTH_SLOTS
from gateway.wording import Word
from wugan.adapter.v1 import vocabulary_pb2 as words


class Lack(IntEnum):
    """What is wrong; see the module."""

    UNSERVED = 1
    GRADE = 2
    MISSING = 3
    PARTIAL = 4
    LATE = 5


LACKS: Final = {
    Lack.UNSERVED: Word("无成员服务", "served by no member"),
    Lack.GRADE: Word("轨迹不足，无法数据认证", "too few traces to certify by data"),
    Lack.MISSING: Word("无人提供", "offered by nobody"),
    Lack.PARTIAL: Word("仅部分地区提供", "offered in parts only"),
    Lack.LATE: Word("时效不足", "later than wanted"),
}


@dataclass(frozen=True, slots=True)
class Gap:
    """One gap.

    Args:
        region: GB/T 2260 code.
        lack: what is wrong.
        level: the highest level at which a benefit needs it.
        kind: EvidenceKind, 0: not one item.
        departments: who could offer it.
        benefits: BenefitTypes that need it.
        parts: regions inside for which it is offered.
        offered_days, wanted_days: where it is late.
    """

    region: int
    lack: Lack
    level: Level
    kind: int
    departments: tuple[int, ...]
    benefits: tuple[int, ...]
    parts: tuple[int, ...] = ()
    offered_days: int = 0
    wanted_days: int = 0


def gaps_of(
    book: RuleBook,
    terms: Terms,
    needs: Sequence[Need],
    offers: Sequence[Offer],
    regions: Iterable[int],
    *,
    least: Level = Level.IMPORTANT,
    unserved: Iterable[int] = (),
) -> list[Gap]:
    """Every gap, the most urgent first within a region.

    Args:
        book: the rules.
        terms: how fresh things should be.
        needs: from `needs_of`; may be those of a few benefits or departments.
        offers: of everybody.
        regions: to look at.
        least: needs below this level are left out.
        unserved: provinces that no member serves.
    """
    benefits = tuple(sorted({need.benefit for need in needs}))
    found = [Gap(region, Lack.UNSERVED, Level.ESSENTIAL, 0, (), benefits) for region in unserved]
    by_kind: dict[int, list[Need]] = {}
    for need in needs:
        by_kind.setdefault(need.kind, []).append(need)
    for region in regions:
        graded = _grade(book, needs, offers, region)
        found += [graded] if graded is not None else []
        for kind, wanted in by_kind.items():
            found += _item(book, terms, kind, wanted, offers, region)
    kept = [gap for gap in found if gap.level >= least]
    return sorted(kept, key=lambda gap: (gap.region, -gap.level, gap.lack, gap.kind))


def _item(
    book: RuleBook, terms: Terms, kind: int, wanted: Sequence[Need], offers: Sequence[Offer], region: int
) -> list[Gap]:
    """Gaps of one item in one region; benefits for which it differs are told apart."""
    groups: dict[tuple[Lack, tuple[int, ...], int], list[Need]] = {}
    possible = departments_of(book, kind)
    for need in wanted:
        able = [
            offer
            for offer in offers
            if offer.kind == kind and offer.department in possible and offer.serves(need.benefit)
        ]
        whole = [offer for offer in able if offer.covers(region)]
        if whole:
            told = [offer.freshness_days for offer in whole if offer.freshness_days != NOT_TOLD]
            quickest = min(told, default=0)
            if len(told) == len(whole) and quickest > terms.wanted_days(need):
                groups.setdefault((Lack.LATE, (), quickest), []).append(need)
            continue
        parts = tuple(sorted({part for offer in able for part in offer.parts(region)}))
        groups.setdefault((Lack.PARTIAL if parts else Lack.MISSING, parts, 0), []).append(need)
    return [
        Gap(
            region,
            lack,
            max(need.level for need in given),
            kind,
            tuple(dict.fromkeys(need.department for need in given)),
            tuple(dict.fromkeys(need.benefit for need in given)),
            parts,
            days,
            terms.wanted_days(given[0]) if lack is Lack.LATE else 0,
        )
        for (lack, parts, days), given in groups.items()
    ]


def _grade(book: RuleBook, needs: Sequence[Need], offers: Sequence[Offer], region: int) -> Gap | None:
    """Whether the traces offered can ever make somebody strong, by the thresholds of the rules."""
    traces = [need for need in needs if need.group is Group.TRACE]
    if not traces:
        return None
    kinds = {need.kind for need in traces}
    anchors = {need.kind for need in traces if need.level >= Level.IMPORTANT}
    lacking = []
    for benefit in dict.fromkeys(need.benefit for need in traces):
        able = [offer for offer in offers if offer.kind in kinds and offer.covers(region) and offer.serves(benefit)]
        departments = {int(book.grading.source[offer.department]) for offer in able}
        anchored = any(_anchors(book, offer) for offer in able if offer.kind in anchors)
        if len(departments) < book.grading.strong_departments or not anchored:
            lacking.append(benefit)
    if not lacking:
        return None
    could = tuple(sorted({need.department for need in traces}))
    return Gap(region, Lack.GRADE, Level.ESSENTIAL, 0, could, tuple(lacking))


def _anchors(book: RuleBook, offer: Offer) -> bool:
    """Whether what is offered may be of the strength that a grade of strong rests on. A strength not told may be."""
    strength = offer.strength or words.STRENGTH_IN_PERSON
    return int(book.kinds.strength[offer.kind * STRENGTH_SLOTS + strength]) >= book.grading.strong_anchor_strength
