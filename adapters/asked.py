"""The numbers a lookup asks about: in which spellings a source is asked, and whose row an answer belongs to.

Owns: spellings of resident numbers, and the refusal of someone else's record. Refuses: judging whether a number is
valid; the gateway did.
"""

from __future__ import annotations

from collections.abc import Sequence

from adapters.contract import Subjects
from adapters.errors import SourceFaultError
from adapters.values import text_of

_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECK = "10X98765432"
"""Weights and check characters of ISO 7064 MOD 11-2 as GB 11643-1999 uses them."""


def normal(value: object) -> str:
    """A number as the contract writes it: trimmed, upper case, 15-digit resident numbers made 18 (GB 11643)."""
    number = text_of(value).upper()
    if len(number) == 15 and number.isascii() and number.isdigit():
        body = f"{number[:6]}19{number[6:]}"
        return body + _CHECK[sum(int(digit) * weight for digit, weight in zip(body, _WEIGHTS, strict=True)) % 11]
    return number


def spellings(number: str, forms: Sequence[str]) -> list[str]:
    """The number, and the other ways in which a source may hold it."""
    written = [number]
    if len(number) == 18:
        if "lower_x" in forms and number.endswith("X"):
            written.append(number.lower())
        if "legacy_15" in forms and number[6:8] == "19":
            written.append(number[:6] + number[8:17])
    return written


class Asked:
    """The distinct numbers of a question.

    Args:
        subjects: the people asked about.

    Attributes:
        numbers: distinct numbers, aliases included; a position in it stands for a person until `rows` gives the rows.
        rows: for each number the rows of the question; None where position and row are the same.
    """

    __slots__ = ("_positions", "numbers", "rows")

    def __init__(self, subjects: Subjects) -> None:
        self.rows: list[list[int]] | None
        numbers = subjects.id_number
        self._positions: dict[str, int] = {number: row for row, number in enumerate(numbers)}
        if len(self._positions) == len(numbers) and not subjects.alias_subject:
            self.numbers: Sequence[str] = numbers
            self.rows = None
        else:
            by_number = subjects.rows_by_number()
            self.numbers = list(by_number)
            self.rows = list(by_number.values())
            self._positions = {number: position for position, number in enumerate(self.numbers)}

    def values(self, forms: Sequence[str]) -> list[str]:
        """What to ask a source that holds numbers in these forms."""
        if not forms:
            return list(self.numbers)
        return [spelling for number in self.numbers for spelling in spellings(number, forms)]

    def position(self, value: object) -> int | None:
        """Whose number a source's value is; None: nobody's who was asked about."""
        known = self._positions.get(value) if isinstance(value, str) else None
        return self._positions.get(normal(value)) if known is None else known

    def find(self, values: Sequence[object], source: str) -> list[int]:
        """Whose numbers a column of a source's answer holds.

        Args:
            values: the identity column.
            source: name of the record set, for the error.

        Raises:
            SourceFaultError: one is of somebody who was not asked about. Nothing of the answer may be used.
        """
        positions = self._positions
        try:
            return [positions[value] for value in values]  # type: ignore[index]
        except (KeyError, TypeError):
            pass
        found: list[int] = []
        for value in values:
            position = self.position(value)
            if position is None:
                raise SourceFaultError(
                    f"record set {source!r} returned the record of somebody who was not asked about; nothing was used",
                    f"记录集 {source!r} 返回了未查询人员的记录，整个结果未予采用",
                )
            found.append(position)
        return found
