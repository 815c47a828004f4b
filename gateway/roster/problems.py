"""What is wrong with rows of a roster: which rows, in which column, in both languages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

Index = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Problems:
    """What is wrong, by position in the batch.

    Args:
        count: rows in the batch.
        told: what the file calls a field's column.
    """

    def __init__(self, count: int, told: Callable[[str], str]) -> None:
        self.rows: Mask = np.zeros(count, np.bool_)
        self._told = told
        self._found: list[tuple[Any, str, Any, Any]] = []

    def add(self, at: Index, field: str, zh: str, en: str) -> None:
        """The same about several rows."""
        if len(at):
            self.add_each(at, field, [(zh, en)] * len(at))

    def add_where(self, wrong: Mask, field: str, zh: str, en: str) -> None:
        """The same, of rows that are marked."""
        if wrong.any():
            self.add(np.flatnonzero(wrong), field, zh, en)

    def add_each(self, at: Index, field: str, texts: Sequence[tuple[str, str]]) -> None:
        """About several rows, each with its own text."""
        if len(at):
            self.rows[at] = True
            name = self._told(field) if field else ""
            self._found += [(place, name, zh, en) for place, (zh, en) in zip(at.tolist(), texts, strict=True)]

    def frame(self) -> pl.DataFrame:
        """All of it, in order of the rows."""
        schema = {"at": pl.Int64, "column": pl.String, "reason_zh": pl.String, "reason_en": pl.String}
        return pl.DataFrame(self._found, schema=schema, orient="row").sort("at", maintain_order=True)
