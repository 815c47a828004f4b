"""The numbers a lookup asks about: in which spellings a source is asked, and whose row an answer belongs to.

Owns: spellings of resident numbers, and the refusal of someone else's record. Refuses: judging whether a number is
valid; the gateway did.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from adapters.contract import Subjects
from adapters.errors import SourceFaultError
from adapters.manifest.fields import padded_to
from adapters.texts import series_of
from adapters.values import text_of

if TYPE_CHECKING:
    import polars as pl

Int32 = NDArray[np.int32]

_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECK = "10X98765432"
"""Weights and check characters of ISO 7064 MOD 11-2 as GB 11643-1999 uses them."""
_MAKING = threading.Lock()
"""Columns are made once, by the first of several threads; one lock for all, because most questions need none."""
BLANKS = "".join(chr(point) for point in range(0x3001) if chr(point).isspace())
"""What `str.strip` takes away."""
_TIDY = str.maketrans(
    {
        **{chr(ord(char) + 0xFEE0): char for char in "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"},
        **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff", ""),
    }
)
"""Full-width digits and letters, and characters that nobody sees."""
_MARKED = re.compile(r"""['`‘’]([0-9A-Z]+)|="([0-9A-Z]+)\"""")
"""How exports mark a number as a text, so that a workbook does not shorten it."""


def normal(value: object) -> str:
    """A number as the contract writes it: upper case, half-width, without blanks, 15-digit resident numbers made 18.

    The same as the gateway makes of a number that is asked about (GB 11643).
    """
    number = text_of(value).upper()
    if not (number.isascii() and number.isalnum()):
        number = "".join(number.translate(_TIDY).split())
        if (marked := _MARKED.fullmatch(number)) is not None:
            number = marked[1] or marked[2]
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
    for width in filter(None, map(padded_to, forms)):
        written += [spelling.ljust(width) for spelling in written if len(spelling) < width and spelling[-1:] != " "]
    return written


class Asked:
    """The distinct numbers of a question.

    Args:
        subjects: the people asked about.

    Attributes:
        numbers: distinct numbers, aliases included; a position in it stands for a person until `rows` gives the rows.
        rows: for each number the rows of the question; None where position and row are the same.
    """

    __slots__ = ("_columns", "_name", "_names", "_positions", "_series", "_spread", "numbers", "rows")

    def __init__(self, subjects: Subjects) -> None:
        self.rows: list[list[int]] | None
        numbers = subjects.id_number
        self._positions: dict[str, int] = dict(zip(numbers, count()))
        if len(self._positions) == len(numbers) and not subjects.alias_subject:
            self.numbers: Sequence[str] = numbers
            self.rows = None
        else:
            by_number = subjects.rows_by_number()
            self.numbers = list(by_number)
            self.rows = list(by_number.values())
            self._positions = {number: position for position, number in enumerate(self.numbers)}
        # Not the subjects themselves, whose memo holds this: it would all wait for the collector of cycles.
        self._name = subjects.name
        self._series: pl.Series | None = None
        self._names: pl.Series | None = None
        self._columns: dict[tuple[str, ...], _Spelt] = {}
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
            return list(map(positions.__getitem__, values))  # type: ignore[arg-type]
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
            names = series_of(self._name)
            if self.rows is not None:
                names = names.gather([rows[0] for rows in self.rows])
            self._names = names.str.strip_chars(BLANKS)
        return self._names

    def column(self, forms: Sequence[str]) -> pl.Series:
        """The same as `values`, as a column."""
        return self._spelt(tuple(forms)).values

    def find_column(self, values: pl.Series, forms: Sequence[str], source: str) -> Int32:
        """The same as `find`, for a column of texts.

        Raises:
            SourceFaultError: see `find`.
        """
        spelt = self._spelt(tuple(forms))
        found = spelt.look_up(values)
        missed = np.flatnonzero(found < 0)
        if len(missed):
            # Blanks around a number, as CHAR columns have them, without a Python string for each.
            found[missed] = spelt.look_up(values.gather(missed).str.strip_chars())
            missed = missed[found[missed] < 0]
        if len(missed):
            import polars as pl

            others = values.gather(missed).alias("number")
            distinct = others.unique()
            known = pl.DataFrame([distinct, pl.Series("position", self.find(distinct.to_list(), source), pl.Int32)])
            rest = others.to_frame().join(known, on="number", how="left", maintain_order="left", nulls_equal=True)
            found[missed] = rest["position"].to_numpy()
        return found

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

    def _spelt(self, forms: tuple[str, ...]) -> _Spelt:
        with _MAKING:
            made = self._columns.get(forms)
            if made is None:
                made = self._columns[forms] = self._spell(forms)
            return made

    def _spell(self, forms: tuple[str, ...]) -> _Spelt:
        import polars as pl

        numbers = self.series
        values = [numbers]
        spelt, position = numbers, np.arange(len(numbers), dtype=np.int32)
        if "lower_x" in forms:
            ending = np.flatnonzero(((numbers.str.len_chars() == 18) & numbers.str.ends_with("X")).to_numpy())
            lower = numbers.gather(ending).str.to_lowercase()
            values.append(lower)
            # In lower case a number with other letters is nobody's: only what `normal` would bring back counts.
            plain = lower.str.contains(r"^\d{17}x$") & ~lower.is_in(
                numbers.filter(numbers.str.ends_with("x")).implode()
            )
            spelt = pl.concat([numbers, lower.filter(plain)])
            position = np.concatenate([position, position[ending[plain.to_numpy()]]])
        if "legacy_15" in forms:
            old = numbers.filter((numbers.str.len_chars() == 18) & (numbers.str.slice(6, 2) == "19"))
            # Found again by `normal`, which tells whose they are by the check digit.
            values.append(old.str.slice(0, 6) + old.str.slice(8, 9))
        bare = list(values)
        for width in filter(None, map(padded_to, forms)):
            # Found again without their blanks.
            values += [each.filter(each.str.len_chars() < width).str.pad_end(width) for each in bare]
        return _Spelt(values[0] if len(values) == 1 else pl.concat(values), pl.Enum(spelt), position)


class _Spelt:
    """Numbers as a source may hold them.

    Args:
        values: what to ask for.
        known: the spellings that need no second look, as a type whose values are looked up by hashing.
        position: of each of these.
    """

    __slots__ = ("_known", "_position", "values")

    def __init__(self, values: pl.Series, known: pl.Enum, position: Int32) -> None:
        self.values = values
        self._known = known
        self._position = position

    def look_up(self, values: pl.Series) -> Int32:
        """The position of each value, -1 where it is none of the known spellings."""
        import polars as pl

        place = values.cast(self._known, strict=False).to_physical().cast(pl.UInt32)
        if not place.null_count():
            whole: Int32 = self._position[place.to_numpy()]
            return whole
        found = np.full(len(values), -1, np.int32)
        hit = np.flatnonzero(place.is_not_null().to_numpy())
        found[hit] = self._position[place.drop_nulls().to_numpy()]
        return found
