"""Whether the numbers that stand in a department's table are found again when they are asked for, and why not.

Owns: a sample of a record set's numbers as they stand there, asking for them by the manifest's forms, and the forms in
which the others stand. A number that is written in another way than it is asked for is not known, without an error.
Refuses: changing how numbers are asked for: the manifest, or a view of the department's, does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Final

from adapters.asked import normal, spellings
from adapters.database import Database, DatabaseError, Statement, Work
from adapters.manifest.fields import WIDEST_NUMBER
from adapters.values import text_of

SAMPLED: Final = 50
"""Distinct numbers of a record set that are tried."""
ROWS_READ: Final = 500
_FEWEST_DIGITS: Final = 5
"""In the number of any document: travel permits and passports have seven or more, names and codes hardly any."""


class Standing(StrEnum):
    """How a number stands in a source, beside 18 characters of text with an upper-case X."""

    NO_TEXT = "not_text"
    BLANKS = "trailing_blanks"
    FIFTEEN = "legacy_15"
    SMALL_X = "lower_x"
    WIDE = "full_width"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Unfound:
    """Numbers of a record set that would not be found.

    Args:
        standing: how they stand there.
        forms: what to put into the manifest, so that they are; empty: only a view of the department's helps.
        count: how many of the sample.
    """

    standing: tuple[Standing, ...]
    forms: tuple[str, ...]
    count: int


@dataclass(frozen=True, slots=True)
class FoundAgain:
    """What became of a record set's sample.

    Args:
        records: the record set, or "links".
        sampled: distinct numbers that were tried.
        numbers: those among them that can be the number of a document at all; none where the manifest names another
            column, whose values are found again just as well.
        unfound: those among them that were not found, by how they stand there; the most first.
    """

    records: str
    sampled: int
    numbers: int
    unfound: tuple[Unfound, ...]


def found_again(database: Database, name: str, statement: Statement, forms: Sequence[str], work: Work) -> FoundAgain:
    """Read a few numbers of a record set and ask for each as a lookup does: one statement each.

    Args:
        database: where it is.
        name: of the record set.
        statement: of its lookups.
        forms: in which numbers are asked for.
        work: in which this is done.

    Raises:
        DatabaseError: the database failed, or the work was cancelled.
    """
    cells = (row[0] for row in database.some(statement, ROWS_READ, work))
    there = list(islice(dict.fromkeys(cell for cell in cells if text_of(cell)), SAMPLED))
    numbers = dict.fromkeys(map(normal, there))
    asked = [spelling for number in numbers for spelling in spellings(number, forms)]
    at = statement.columns.index(statement.by)
    try:
        found = {_mark(row[at]) for row in database.rows(statement, asked, work)}
    except DatabaseError as error:
        # Some databases do not compare a number with a text at all: that is the same, and is told in the same way.
        if error.down or statement.integers or all(isinstance(cell, str) for cell in there):
            raise
        found = set()
    missed = Counter(standing_of(cell, forms) for cell in there if _mark(cell) not in found)
    told = (Unfound(standing, wanted, count) for (standing, wanted), count in missed.most_common())
    return FoundAgain(name, len(there), sum(map(_can_be_of_a_document, there)), tuple(told))


def standing_of(cell: object, forms: Sequence[str] = ()) -> tuple[tuple[Standing, ...], tuple[str, ...]]:
    """How a number stands in a source, and the forms by which it is found; none where it cannot be by any.

    Args:
        cell: as the driver returned it.
        forms: by which it was not found.
    """
    number = normal(cell)
    text = cell if isinstance(cell, str) else text_of(cell)
    bare = text.rstrip(" ")
    standing: list[Standing] = []
    wanted: list[str] = []
    helped = True
    if not isinstance(cell, str):
        standing.append(Standing.NO_TEXT)
        wanted.append("integer")
        helped = text.isascii() and text.isdigit() and not isinstance(cell, (bytes, float))
    if bare != text:
        standing.append(Standing.BLANKS)
        wanted.append(f"padded_{len(text)}")
        helped = len(text) <= WIDEST_NUMBER
    if bare != number:
        if len(bare) == 15 and bare.isascii() and bare.isdigit():
            standing.append(Standing.FIFTEEN)
            wanted.append("legacy_15")
        elif len(number) == 18 and number.endswith("X") and bare == number.lower():
            standing.append(Standing.SMALL_X)
            wanted.append("lower_x")
        else:
            wide = any("\uff10" <= char <= "\uff5a" for char in bare)
            standing.append(Standing.WIDE if wide else Standing.OTHER)
            helped = False
    if not standing or set(wanted) <= set(forms):
        return (*standing, Standing.OTHER) if Standing.OTHER not in standing else tuple(standing), ()
    return tuple(standing), tuple(wanted) if helped else ()


def _can_be_of_a_document(cell: object) -> bool:
    return sum(char.isdecimal() for char in text_of(cell)) >= _FEWEST_DIGITS


def _mark(cell: object) -> object:
    """A value as it stands in the table: as a text it is another than as a number."""
    return (type(cell).__name__, str(cell))
