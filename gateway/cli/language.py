"""Chinese or English, by the user's locale.

Owns: which of two texts a person reads, and that a text of another party does nothing but be read. Refuses: holding
texts itself: each stands where it is used, both languages side by side, so that neither is forgotten.
"""

from __future__ import annotations

import os


def chinese() -> bool:
    """Whether the first of WUGAN_LANG, LC_ALL, LC_MESSAGES and LANG that is set begins with zh."""
    for name in ("WUGAN_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        value = os.environ.get(name, "")
        if value:
            return value.lower().startswith("zh")
    return False


def say(en: str, zh: str) -> str:
    """The text in the user's language."""
    return zh if chinese() else en


def plain(text: str) -> str:
    """A text of another party without what steers a terminal: escapes, line ends, marks that turn the direction."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "�" for c in text)
