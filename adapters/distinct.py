"""A column of many rows as its distinct values, so that each is read once and the rows are looked up by number.

Owns: numbering the values of a column, remembering texts between blocks, and the civil days of dates that a database
returns as such. Refuses: what a value means; the readers of `adapters.values` say so, here as for single rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from adapters.arrow import Kind
from adapters.values import BAD, FIRST_DAY, LAST_DAY, DateReader, Reader

if TYPE_CHECKING:
    import polars as pl

Int32 = NDArray[np.int32]

_REMEMBERED = 8_192
_SPAN = 1 << 16
_DAY_US = 86_400_000_000
_SHANGHAI_US = 8 * 3_600_000_000
_SINCE_US = 694_224_000_000_000
"""From 1992-01-01 UTC on Shanghai is eight hours ahead, summer and winter."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Distinct:
    """The rows of one column as numbers of distinct values.

    Args:
        index: for each row the number of its value.
        values: the values as a driver returns them, None included.
        tables: what readers made of these values, where that is remembered.
    """

    __slots__ = ("index", "tables", "values")

    def __init__(
        self,
        index: NDArray[np.integer[Any]],
        values: Sequence[object],
        tables: dict[Reader, Int32] | None = None,
    ) -> None:
        self.index = index
        self.values = values
        self.tables = {} if tables is None else tables

    def read(self, reader: Reader) -> Int32:
        """What a reader makes of every row."""
        table = self.tables.get(reader)
        if table is None:
            table = self.tables[reader] = np.array(reader.column(self.values), np.int32)
        read: Int32 = table[self.index]
        return read


class Codes:
    """Numbers the values of a column of texts, and remembers them: a code is looked at once, not once a block."""

    def __init__(self) -> None:
        # Replaced as a whole: several threads read.
        self._kept: tuple[list[str], dict[Reader, Int32]] = ([], {})

    def distinct(self, column: pl.Series) -> Distinct:
        """The column's rows by the numbers of their texts."""
        import polars as pl

        known, tables = self._kept
        numbers = column.cast(pl.Enum(known), strict=False).to_physical().cast(pl.UInt32)
        if numbers.null_count() > column.null_count():
            others = column.filter(numbers.is_null() & column.is_not_null()).unique().to_list()
            if len(known) + len(others) > _REMEMBERED:
                known, others = [], column.drop_nulls().unique().to_list()
            known, tables = known + others, {}
            numbers = column.cast(pl.Enum(known)).to_physical().cast(pl.UInt32)
            if len(known) <= _REMEMBERED:
                self._kept = known, tables
        if numbers.null_count():
            numbers = numbers.fill_null(len(known))
        return Distinct(numbers.to_numpy(), [*known, None], tables)


def distinct(column: pl.Series, kind: Kind, codes: Codes) -> Distinct:
    """A column's rows by the numbers of their values.

    Args:
        column: as it came.
        kind: its type in the database.
        codes: what is remembered of this column.
    """
    if kind == "text":
        return codes.distinct(column)
    if kind == "numeric":  # comes as text
        found = codes.distinct(column)
        return Distinct(found.index, [_decimal(value) for value in found.values])
    if kind == "bool":
        import polars as pl

        return Distinct(column.cast(pl.Int8).fill_null(2).to_numpy(), (False, True, None))
    return _by_value(column)


def _by_value(column: pl.Series) -> Distinct:
    """Numbers by what they are. Whole numbers close together, as codes are, need no sorting."""
    import polars as pl

    least, most = column.min(), column.max()
    if isinstance(least, int) and isinstance(most, int) and most - least < _SPAN:
        shifted = (column.cast(pl.Int64) - least).fill_null(most - least + 1).to_numpy()
        seen = np.flatnonzero(np.bincount(shifted, minlength=most - least + 2))
        number = np.zeros(most - least + 2, np.intp)
        number[seen] = np.arange(len(seen))
        values = [None if value > most - least else value + least for value in seen.tolist()]
        return Distinct(number[shifted], values)
    unique = column.unique()
    place = pl.DataFrame({"value": unique, "number": pl.int_range(len(unique), eager=True)})
    numbers = column.to_frame("value").join(place, on="value", how="left", maintain_order="left", nulls_equal=True)
    return Distinct(numbers["number"].to_numpy(), unique.to_list())


def _decimal(value: object) -> object:
    try:
        return None if value is None else Decimal(str(value))
    except InvalidOperation:
        return value


def days(column: pl.Series, kind: Kind, reader: DateReader, codes: Codes) -> Int32:
    """A column of dates, of whatever type, as civil days in Asia/Shanghai; as the reader reads each single one."""
    if kind == "date":
        return _told(_physical(column), column, reader)
    if kind == "timestamp" and reader.in_shanghai:
        return _told(_physical(column) // _DAY_US, column, reader)
    if kind == "timestamptz":
        moment = _physical(column)
        day = _told((moment + _SHANGHAI_US) // _DAY_US, column, reader)
        early = moment < _SINCE_US
        if column.null_count():
            early &= column.is_not_null().to_numpy()
        if early.any():
            day[early] = [reader.read(_moment(us)) for us in moment[early].tolist()]
        return day
    return distinct(column, kind, codes).read(reader)


def _physical(column: pl.Series) -> NDArray[np.int64]:
    import polars as pl

    numbers = column.cast(pl.Int64)
    return (numbers.fill_null(0) if numbers.null_count() else numbers).to_numpy()


def _moment(us: int) -> object:
    try:
        return _EPOCH + timedelta(microseconds=us)
    except OverflowError:
        return "out of range"  # what no reader reads


def _told(day: NDArray[np.int64], column: pl.Series, reader: DateReader) -> Int32:
    """Days as they are told: none where there is none, or where the day means none; `BAD` out of range."""
    told: Int32 = day.astype(np.int32)
    if len(day) and (day.min() < FIRST_DAY or day.max() > LAST_DAY):
        told[(day < FIRST_DAY) | (day > LAST_DAY)] = BAD
    for empty in reader.empty_days:
        told[day == empty] = 0
    if column.null_count():
        told[column.is_null().to_numpy()] = 0
    return told
