"""Comparing names as registers write them (生僻字、异体字、少数民族姓名间隔号).

Owns: the key that two spellings of one name share. Refuses: changing a name that is stored or sent, and judging whether
two different names are one person: names are only ever compared under one and the same number.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

_DOTS: Final = "·•・‧．.･∙⋅●・᛫˙•‧。｡、ㆍ⸱ꞏ∘◦⦁"
"""Between the parts of a name, as registers and input methods write the middle dot. Some have a compatibility form that
is no dot any more (˙ becomes a blank and a combining mark): they are dropped before unifying as well as after."""
_JOINTS: Final = "-‐‑‒–—−－'‘’＇ʼ"
"""Hyphens and apostrophes of Latin names: travel documents leave them out of the line that machines read."""
_BLANK_LIKE: Final = "\u200b\u200c\u200d\u2060\ufeff\u00ad"

# GB 18030-2000 put 14 ideographs and radicals into the private use area; GB 18030-2005 and -2022 give them their own
# code points. Registers and fonts still carry both.
_GB18030_PRIVATE_USE: Final = {
    "\ue816": "\U00020087",
    "\ue817": "\U00020089",
    "\ue818": "\U000200cc",
    "\ue81e": "\u9fb4",
    "\ue826": "\u9fb5",
    "\ue82b": "\u9fb6",
    "\ue82c": "\u9fb7",
    "\ue831": "\U000215d7",
    "\ue832": "\u9fb8",
    "\ue83b": "\U0002298f",
    "\ue843": "\u9fb9",
    "\ue854": "\u9fba",
    "\ue855": "\U000241fe",
    "\ue864": "\u9fbb",
}
_MOST_PASSES: Final = 5
"""Taking a character away may bring two others together that have a common form; names settle in one pass or two."""
_VARIATION_SELECTORS: Final = (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))


def fold_variants(variants: Mapping[str, str]) -> Mapping[int, str]:
    """A translation table of single characters, with what is always folded: dots and the like, private use, variation
    selectors.
    """
    table: dict[int, str] = dict.fromkeys(_VARIATION_SELECTORS, "")
    table.update({ord(character): "" for character in _DOTS + _JOINTS + _BLANK_LIKE})
    table.update({ord(private): standard for private, standard in _GB18030_PRIVATE_USE.items()})
    table.update({ord(character): target for character, target in variants.items()})
    return MappingProxyType(table)


_PLAIN: Final = fold_variants({})
_ASCII: Final = {ord(character): "" for character in _DOTS + _JOINTS if character.isascii()}


def name_key(name: str, variants: Mapping[int, str] = _PLAIN) -> str:
    """What a name is compared by.

    Compatibility forms are unified (NFKC: full-width letters, CJK compatibility ideographs), blanks, dots between the
    parts of a name, hyphens, apostrophes and variation selectors dropped, private-use forms of GB 18030-2000 and
    variant characters replaced, Latin letters case-folded.

    Args:
        name: as a register has it.
        variants: table made by `fold_variants`.
    """
    if name.isascii():
        return "".join(name.translate(_ASCII).split()).casefold()
    key = name
    for _ in range(_MOST_PASSES):
        unified = unicodedata.normalize("NFKC", key.translate(variants))
        folded = "".join(unified.translate(variants).split()).casefold()
        if folded == key:
            break
        key = folded
    return key
