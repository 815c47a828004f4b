"""The layout of lines of fixed width: names and widths, in bytes as mainframes count, or in characters.

Owns: where each column stands in a line. Refuses: reading lines (`adapters.lines`).
"""

from __future__ import annotations

import functools
from typing import Literal

from pydantic import Field, model_validator

from adapters.manifest.fields import Column
from adapters.manifest.vocabulary import Settings, problem

_MOST_WIDTH = 10_000


class LayoutColumn(Settings):
    """One column of a line.

    Args:
        column: its name; without one the width is passed over.
        width: in the layout's unit.
    """

    column: Column | None = None
    width: int = Field(ge=1, le=_MOST_WIDTH)


class Layout(Settings):
    """How a line is cut.

    Args:
        columns: from the first to the last.
        unit: of the widths. A Chinese character is two bytes in GB 18030, or four; three in UTF-8, or four.
        skip_lines: lines at the top that are no rows.
    """

    columns: tuple[LayoutColumn, ...] = Field(min_length=1, max_length=500)
    unit: Literal["bytes", "characters"] = "bytes"
    skip_lines: int = Field(0, ge=0, le=100)

    @model_validator(mode="after")
    def _complete(self) -> Layout:
        names = self.names
        if len(set(names)) != len(names):
            raise problem("a column stands there twice", "列名重复")
        return self

    @property
    def names(self) -> list[str]:
        """Of the columns, in order."""
        return [each.column for each in self.columns if each.column is not None]

    @functools.cached_property
    def places(self) -> list[tuple[int, int]]:
        """Start and end of each named column."""
        found, at = [], 0
        for each in self.columns:
            if each.column is not None:
                found.append((at, at + each.width))
            at += each.width
        return found

    @functools.cached_property
    def width(self) -> int:
        """Of a whole line."""
        return sum(each.width for each in self.columns)

    @functools.cached_property
    def least(self) -> int:
        """Of a line whose last column had its blanks cut off."""
        return self.width - self.columns[-1].width
