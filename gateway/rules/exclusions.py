"""Which benefits exclude each other (不得重复领取): the classes of the rule file.

Owns: reading them, and the class of each benefit. Refuses: a benefit in two classes, because a claim for it would have
to stand in both, and deciding about anybody.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.rules.reading import Section

NAME_CHARS: Final = 40
_NAME: Final = re.compile(rf"[A-Z][A-Z0-9_]{{0,{NAME_CHARS - 1}}}")


class Exclusions:
    """The class of every benefit. A benefit that stands in no class of the rule file has one of its own name.

    Args:
        names: of the classes; a class is known by its place here.
        by_benefit: class by BenefitType; 0, the class without a name, where there is no such benefit.
    """

    def __init__(self, names: tuple[str, ...], by_benefit: NDArray[np.int64]) -> None:
        by_benefit.flags.writeable = False
        self.names = names
        self.by_benefit = by_benefit

    def of(self, benefit: NDArray[np.int32]) -> NDArray[np.int64]:
        """The class of each benefit."""
        return self.by_benefit.take(np.minimum(benefit.view(np.uint32), len(self.by_benefit) - 1))

    def classes(self) -> dict[str, list[int]]:
        """Name of each class → its benefits."""
        return {
            name: (self.by_benefit == number).nonzero()[0].tolist() for number, name in enumerate(self.names) if name
        }


def read_exclusions(section: Section, benefits: Mapping[str, int], slots: int) -> Exclusions:
    """The classes.

    Args:
        section: `exclusions` of the rule file.
        benefits: name of every benefit → its number, all below `slots` - 1.
        slots: length of the table by benefit.

    Raises:
        ConfigError: a class or benefit is misnamed, or a benefit stands in two classes.
    """
    names = [""]
    by_benefit = np.zeros(slots, np.int64)
    for name in section:
        if not _NAME.fullmatch(name) or name in benefits:
            raise section.wrong(
                name,
                f"name a class in capitals, at most {NAME_CHARS}, and not like a benefit",
                f"类别名应为大写字母，至多 {NAME_CHARS} 个字符，且不得与险种同名",
            )
        for benefit in section.choices(name, benefits):
            if by_benefit[benefit]:
                raise section.wrong(name, "holds a benefit that stands in a class already", "其中的险种已归入某一类别")
            by_benefit[benefit] = len(names)
        names.append(name)
    section.close()
    for benefit_name, benefit in benefits.items():
        if not by_benefit[benefit]:
            by_benefit[benefit] = len(names)
            names.append(benefit_name)
    return Exclusions(tuple(names), by_benefit)
