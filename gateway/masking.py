"""Numbers, names and references as they may be shown: enough to find the row again, not enough to tell who it is.

Owns: how much of each shows. Refuses: logs, where nothing of them stands at all (`gateway.log`).
"""

from __future__ import annotations


def masked_number(number: str) -> str:
    """A number with all but its province and last character hidden."""
    return number[:2] + "*" * max(0, len(number) - 3) + number[-1:] if len(number) > 3 else "*" * len(number)


def masked_name(name: str) -> str:
    """A name of which the first character shows."""
    return name[:1] + "*" * (len(name) - 1) if len(name) > 1 else "*" * len(name)


def masked_reference(reference: str) -> str:
    """A reference with its middle hidden: at least half of it, and all of a short one."""
    shown = min(4, len(reference) // 4)
    if not reference:
        return ""
    return reference[:shown] + "*" * (len(reference) - 2 * shown) + reference[len(reference) - shown :]
