"""Who offers which item, where, how it comes and how fresh: from manifests, descriptions and the directory.

Owns: offers of one shape whatever they were read from. Refuses: asking a source, and believing an offer: whether what
is offered arrives is for the quality of the data to tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final

from adapters.contract import Description
from adapters.errors import AdapterError
from adapters.manifest import ApiManifest, FileManifest, Manifest, TableManifest, load_manifest
from gateway.catalogue.needs import departments_of
from gateway.errors import ConfigError
from gateway.federation.directory import Member
from gateway.federation.regions import enclosing, lies_within
from gateway.rules.book import RuleBook
from gateway.rules.kinds import KINDS
from gateway.wording import Word

MAX_MANIFESTS: Final = 1_000
NOT_TOLD: Final = -1
"""Freshness that nobody agreed on."""


class Delivery(IntEnum):
    """How an item comes: the three ways in which departments share data, another program, or another member."""

    INTERFACE = 1
    TABLE = 2
    FILE = 3
    REMOTE = 4
    MEMBER = 5


DELIVERIES: Final = {
    Delivery.INTERFACE: Word("接口", "interface"),
    Delivery.TABLE: Word("库表", "database table"),
    Delivery.FILE: Word("文件", "files"),
    Delivery.REMOTE: Word("部门自建适配程序", "adapter of the department"),
    Delivery.MEMBER: Word("联盟成员", "member of the federation"),
}
_KINDS: Final = {"api": Delivery.INTERFACE, "table": Delivery.TABLE, "file": Delivery.FILE}


@dataclass(frozen=True, slots=True)
class Offer:
    """One item that somebody offers.

    Args:
        by: adapter id, or member id.
        title: what people call the item, both "" where nobody named it.
        department: whose data it is.
        kind: EvidenceKind.
        regions: GB/T 2260 codes for which it is offered.
        strength: Strength it usually has, 0: not told.
        freshness_days: agreed days from the event until it is there, or `NOT_TOLD`.
        delivery: how it comes.
        changes: whether what is new is told without being asked.
        benefits: BenefitTypes for which alone it is offered; empty: all.
    """

    by: str
    title: Word
    department: int
    kind: int
    regions: tuple[int, ...]
    strength: int
    freshness_days: int
    delivery: Delivery
    changes: bool
    benefits: frozenset[int] = frozenset()

    def serves(self, benefit: int) -> bool:
        """Whether it may be had for a benefit."""
        return not self.benefits or benefit in self.benefits

    def covers(self, region: int) -> bool:
        """Whether it is offered for the whole of a region."""
        return any(place in self.regions for place in enclosing(region))

    def parts(self, region: int) -> tuple[int, ...]:
        """The parts of a region for which it is offered."""
        return tuple(place for place in self.regions if place != region and lies_within(place, region))


def of_manifest(manifest: Manifest) -> list[Offer]:
    """What a manifest offers: an item for each kind of each record set, a kind only once."""
    about = manifest.description()
    if not isinstance(manifest, (TableManifest, ApiManifest, FileManifest)):
        return of_description(about)  # one that maps no rows here tells no more than the adapter itself
    found: dict[int, Offer] = {}
    items = {item.kind: item for item in about.items}
    for records in manifest.records:
        for kind in records.evidence.kinds():
            if kind in found:
                continue
            title = Word(records.title.zh, records.title.en) if records.title else Word("", "")
            changes = manifest.monitored and (manifest.kind == "api" or bool(getattr(records, "changes", None)))
            delivery = _KINDS.get(manifest.kind, Delivery.REMOTE)
            item = items[kind]
            found[kind] = Offer(
                about.adapter_id,
                title,
                about.department,
                kind,
                about.regions,
                item.strength,
                item.freshness_days,
                delivery,
                changes,
            )
    return list(found.values())


def of_description(about: Description, delivery: Delivery = Delivery.REMOTE) -> list[Offer]:
    """What an adapter says of itself."""
    return [
        Offer(
            about.adapter_id,
            Word("", ""),
            about.department,
            item.kind,
            about.regions,
            item.strength,
            item.freshness_days,
            delivery,
            about.changes or about.pushes,
        )
        for item in about.items
    ]


def of_member(member: Member, book: RuleBook) -> list[Offer]:
    """What another member says in the directory: kinds and departments, not which department has which kind.

    A kind is taken as that of each department listed that originates it. A member that lists departments and no kinds
    offers what these departments originate; one that lists neither tells nothing.
    """
    departments = set(member.offer.departments)
    found = []
    listed: set[int] = set(member.offer.kinds) or (set(KINDS.values()) if departments else set())
    for kind in sorted(listed & set(KINDS.values())):
        originators = departments_of(book, kind)
        for department in [one for one in originators if one in departments or not departments]:
            found.append(
                Offer(
                    member.member_id,
                    Word(member.name_zh, member.name_en),
                    department,
                    kind,
                    tuple(sorted(member.regions)),
                    0,
                    NOT_TOLD,
                    Delivery.MEMBER,
                    False,
                    frozenset(member.offer.benefits),
                )
            )
    return found


def manifests_in(paths: Sequence[Path]) -> list[Manifest]:
    """The manifests named, and those (`*.yaml`, `*.yml`) in folders named.

    Raises:
        ConfigError: one cannot be read, or there are too many.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += sorted(found for found in path.iterdir() if found.suffix in {".yaml", ".yml"})
        else:
            files.append(path)
    if len(files) > MAX_MANIFESTS:
        raise ConfigError(
            f"{len(files)} manifests are too many (at most {MAX_MANIFESTS})",
            f"清单过多（{len(files)} 份，上限 {MAX_MANIFESTS} 份）",
        )
    loaded = []
    for path in files:
        try:
            loaded.append(load_manifest(path))
        except AdapterError as error:
            raise ConfigError(error.en, error.zh, field=str(path)) from error
    return loaded


def provinces_of(offers: Iterable[Offer]) -> tuple[int, ...]:
    """The provinces of everything that is offered."""
    return tuple(sorted({region // 10_000 * 10_000 for offer in offers for region in offer.regions}))
