"""Columns of text that hold no Python string for each row until one is looked at.

Owns: the lazy column, and taking and joining columns of either sort. Refuses: missing values; a text is "" where there
is none. Polars is imported by whoever makes such a column, so that a gateway that never answers many at once does
without.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import polars as pl


class Texts(Sequence[str]):
    """A column of texts backed by a polars series.

    Args:
        series: of the type String, without nulls.
    """

    __slots__ = ("series",)

    def __init__(self, series: pl.Series) -> None:
        self.series = series

    def __len__(self) -> int:
        return len(self.series)

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> Texts: ...
    def __getitem__(self, at: int | slice) -> str | Texts:
        if isinstance(at, slice):
            return Texts(self.series[at])
        text: str = self.series[at]
        return text

    def __iter__(self) -> Iterator[str]:
        return iter(self.tolist())

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Texts):
            return len(self) == len(other) and bool((self.series == other.series).all())
        return isinstance(other, Sequence) and not isinstance(other, str) and self.tolist() == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{len(self)} texts>"  # never what they say: they are numbers and names

    def take(self, rows: NDArray[np.integer[Any]]) -> Texts:
        """The texts of some rows, in that order."""
        return Texts(self.series.gather(rows))

    def tolist(self) -> list[str]:
        """All of them as Python strings."""
        texts: list[str] = self.series.to_list()
        return texts

    @staticmethod
    def blank(rows: int) -> Texts:
        """So many empty texts."""
        import polars as pl

        return Texts(pl.repeat("", rows, dtype=pl.String, eager=True))


def series_of(column: Sequence[str]) -> pl.Series:
    """A column as a series.

    Raises:
        UnicodeEncodeError: a text is no valid Unicode: half a surrogate pair, as careless JSON may have.
    """
    if isinstance(column, Texts):
        return column.series
    import polars as pl

    return pl.Series(column if isinstance(column, list) else list(column), dtype=pl.String)


def taken(column: Sequence[str], rows: NDArray[np.integer[Any]]) -> Sequence[str]:
    """The texts of some rows of a column of either sort."""
    return column.take(rows) if isinstance(column, Texts) else [column[row] for row in rows.tolist()]


def joined(parts: Sequence[Sequence[str]]) -> Sequence[str]:
    """Columns one after another; lazy when all of them are."""
    if len(parts) == 1:
        return parts[0]
    if parts and all(isinstance(part, Texts) for part in parts):
        import polars as pl

        return Texts(pl.concat([part.series for part in parts if isinstance(part, Texts)]))
    return [text for part in parts for text in part]
