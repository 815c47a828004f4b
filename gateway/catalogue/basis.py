"""catalogue.yaml, read once and checked: the law behind each item, and how fresh it should be.

Owns: what the settings are called, their bounds, and the errors for wrong ones. Refuses: which items are needed; that
follows from the rules (`needs.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.catalogue.needs import Group, Level, Need
from gateway.rules.book import BENEFITS
from gateway.rules.kinds import FLAGS, KINDS
from gateway.rules.reading import Section
from gateway.wording import Word

MAX_DAYS = 3660


@dataclass(frozen=True, slots=True)
class Terms:
    """What stands in catalogue.yaml.

    Args:
        version: the file's own.
        sources: every law or rule, in the file's order.
        always, by_kind, by_effect: positions in `sources`; by_effect by (benefit, flag).
        wanted_by_group, wanted_by_kind: days from the event until the item should be there.
    """

    version: str
    sources: tuple[Word, ...]
    always: tuple[int, ...]
    by_kind: Mapping[int, tuple[int, ...]]
    by_effect: Mapping[tuple[int, int], tuple[int, ...]]
    wanted_by_group: Mapping[Group, int]
    wanted_by_kind: Mapping[int, int]

    @staticmethod
    def parse(data: bytes, origin: str) -> Terms:
        """Read a file.

        Args:
            data: its bytes, UTF-8 YAML.
            origin: what to call it in messages.

        Raises:
            ConfigError: it is not YAML, or a setting is unknown, missing, repeated or out of range.
        """
        root = Section.parse(data, origin)
        version = root.text("version", 64)
        listed = root.section("sources")
        names: dict[str, int] = {}
        sources: list[Word] = []
        for name in listed:
            entry = listed.section(name)
            names[name] = len(sources)
            sources.append(Word(entry.text("zh"), entry.text("en")))
            entry.close()
        always = root.choices("always", names)
        kinds = root.section("kinds")
        by_kind = {kinds.one_of(name, name, KINDS): kinds.choices(name, names) for name in kinds}
        benefits = root.section("benefits")
        by_effect: dict[tuple[int, int], tuple[int, ...]] = {}
        for benefit, number in BENEFITS.items():
            section = benefits.section(benefit)
            for name in section:
                by_effect[number, section.one_of(name, name, FLAGS)] = section.choices(name, names)
        benefits.close()
        wanted = root.section("wanted_days")
        groups, single = wanted.section("groups"), wanted.section("kinds")
        by_group = {group: groups.integer(group.name, 0, MAX_DAYS) for group in Group}
        wanted_by_kind = {single.one_of(name, name, KINDS): single.integer(name, 0, MAX_DAYS) for name in single}
        for section in (groups, wanted, root):
            section.close()
        return Terms(version, tuple(sources), always, by_kind, by_effect, by_group, wanted_by_kind)

    def basis(self, need: Need) -> tuple[Word, ...]:
        """The sources behind a need: those of its effect and kind first, then what stands behind every item."""
        own = (*self.by_effect.get((need.benefit, need.flag), ()), *self.by_kind.get(need.kind, ()))
        return tuple(self.sources[at] for at in dict.fromkeys((*own, *self.always)))

    def local(self, need: Need) -> bool:
        """Whether the item ends or suspends the benefit by a rule that the province itself has to name."""
        return need.level == Level.ESSENTIAL and bool(need.flag) and not self.by_effect.get((need.benefit, need.flag))

    def wanted_days(self, need: Need) -> int:
        """Days from the event until the item should be there."""
        return self.wanted_by_kind.get(need.kind, self.wanted_by_group[need.group])
