"""The numbers a lookup asks about: in which spellings a source is asked, and whose row an answer belongs to.

Owns: spellings of resident numbers, and the refusal of someone else's record. Refuses: judging whether a number is
valid; the gateway did.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from adapters.contract import Subjects
from adapters.errors import SourceFaultError
from adapters.texts import series_of
from adapters.values import text_of

if TYPE_CHECKING:
    import polars as pl

Int32 = NDArray[np.int32]

_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECK = "10X98765432"
"""Weights and check characters of ISO 7064 MOD 11-2 as GB 11643-1999 uses them."""
_BLANKS = "".join(chr(point) for point in range(0x3001) if chr(point).isspace())
"""What `str.strip` takes away."""


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

    __slots__ = ("_columns", "_names", "_positions", "_series", "_spread", "_subjects", "numbers", "rows")

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
        self._subjects = subjects
        self._series: pl.Series | None = None
        self._names: pl.Series | None = None
        self._columns: dict[tuple[str, ...], tuple[pl.Series, pl.DataFrame]] = {}
        self._spread: tuple[Int32, Int32, Int32] | None = None

    @classmethod
    def of(cls, subjects: Subjects) -> Asked:
        """The numbers of these people; made once, however many adapters are asked about them."""
        asked = subjects.memo.get("asked")
        if not isinstance(asked, cls):
            asked = subjects.memo["asked"] = cls(subjects)
        return asked

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

    @property
    def series(self) -> pl.Series:
        """The numbers as a column."""
        if self._series is None:
            self._series = series_of(self.numbers)
        return self._series

    @property
    def trimmed_names(self) -> pl.Series:
        """The name asked with each number, if with several rows that of the first, without blanks around it."""
        if self._names is None:
            names = series_of(self._subjects.name)
            if self.rows is not None:
                names = names.gather([rows[0] for rows in self.rows])
            self._names = names.str.strip_chars(_BLANKS)
        return self._names

    def column(self, forms: Sequence[str]) -> pl.Series:
        """The same as `values`, as a column."""
        return self._column(tuple(forms))[0]

    def find_column(self, values: pl.Series, forms: Sequence[str], source: str) -> Int32:
        """The same as `find`, for a column of texts.

        Raises:
            SourceFaultError: see `find`.
        """
        found = self._look_up(values, forms)
        missed = found.is_null()
        if missed.any():
            # Blanks around a number, as CHAR columns have them, without a Python string for each.
            stripped = self._look_up(values.str.strip_chars(), forms)
            found = found.fill_null(stripped)
            missed = found.is_null()
        if missed.any():
            import polars as pl

            others = values.filter(missed).unique().to_list()
            known = pl.DataFrame({"number": others, "position": pl.Series(self.find(others, source), dtype=pl.Int32)})
            rest = values.to_frame("number").join(
                known, on="number", how="left", maintain_order="left", nulls_equal=True
            )
            found = found.fill_null(rest["position"])
        return found.to_numpy()

    def spread(self, positions: Int32) -> tuple[Int32, NDArray[np.intp] | None]:
        """Rows of the question for positions, and which of them each came from; None: one each, in the same order."""
        if self.rows is None:
            return positions, None
        if self._spread is None:
            counts = np.array([len(rows) for rows in self.rows], np.int32)
            starts = np.cumsum(counts, dtype=np.int32) - counts
            self._spread = counts, starts, np.array([row for rows in self.rows for row in rows], np.int32)
        counts, starts, rows = self._spread
        times = counts[positions]
        source = np.repeat(np.arange(len(positions)), times)
        # Within each position its rows one after another: a running number less where the position's began.
        within = np.arange(len(source)) - np.repeat(np.cumsum(times) - times, times)
        return rows[starts[positions][source] + within], source

    def _look_up(self, values: pl.Series, forms: Sequence[str]) -> pl.Series:
        known = self._column(tuple(forms))[1]
        return values.to_frame("number").join(known, on="number", how="left", maintain_order="left")["position"]

    def _column(self, forms: tuple[str, ...]) -> tuple[pl.Series, pl.DataFrame]:
        """What to ask a source for, and the spellings that need no second look, with their positions."""
        made = self._columns.get(forms)
        if made is None:
            made = self._columns[forms] = self._spell(forms)
        return made

    def _spell(self, forms: tuple[str, ...]) -> tuple[pl.Series, pl.DataFrame]:
        import polars as pl

        numbers = self.series.alias("number")
        position = pl.int_range(len(numbers), dtype=pl.Int32, eager=True).rename("position")
        known = pl.DataFrame([numbers, position])
        values = [numbers]
        resident = numbers.str.len_chars() == 18
        if "lower_x" in forms:
            ending = known.filter(resident & numbers.str.ends_with("X"))
            # `lower` of a number with other letters is nobody's: only what `normal` would bring back counts.
            lower = ending.with_columns(pl.col("number").str.to_lowercase())
            plain = ending["number"].str.contains(r"^\d{17}X$")
            known = pl.concat([known, lower.filter(plain)])
            values.append(lower["number"])
        if "legacy_15" in forms:
            old = numbers.filter(resident & (numbers.str.slice(6, 2) == "19"))
            # Found again by `normal`, which tells whose they are by the check digit.
            values.append(old.str.slice(0, 6) + old.str.slice(8, 9))
        return (values[0], known) if len(values) == 1 else (pl.concat(values), known.unique("number", keep="first"))
