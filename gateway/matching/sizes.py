"""How many rows a column has: small ones first, and nobody can count people by it.

Owns: the sizes of the columns of a round, padding included. Refuses: knowing who is in them.

The first columns are small and double: a side that is handed everybody's number sees that before much was answered. The
last one of a round is filled up with rows of nobody to a power of two.
"""

from __future__ import annotations

from typing import Final, NamedTuple

FIRST: Final = 256
LEAST: Final = 64


class Size(NamedTuple):
    """A column: so many people, and so many rows altogether."""

    people: int
    rows: int


def sizes(people: int, before: int, longest: int) -> list[Size]:
    """The columns for so many people.

    Args:
        people: how many.
        before: columns of the session that there are already.
        longest: rows of a column at most, a power of two.
    """
    found: list[Size] = []
    while people:
        most = min(longest, FIRST << min(before + len(found), 40))
        here = min(people, most)
        found.append(Size(here, min(most, max(min(LEAST, longest), 1 << (here - 1).bit_length()))))
        people -= here
    if not before and not found:
        found.append(Size(0, min(LEAST, longest)))
    return found
