"""One table as CSV and as XLSX, from rows that pass by in batches.

Owns: how a CSV is made safe to open: a byte order mark, so that Chinese is read as such; cells that a spreadsheet would
run as a formula get an apostrophe. Refuses: which rows stand where.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import polars as pl

from gateway.roster.results.headings import Heading, Shown
from gateway.roster.results.sheets import yuan
from gateway.wording import Language

BATCH: Final = 20_000
"""Rows held at a time."""

RUNS: Final = r"^[\s\x00-\x1f]*[=+\-@＝＋－＠|%\t\r\n]"
"""Beginnings of a cell that one spreadsheet or another takes for something to run, behind blanks and controls too."""


def harmless(text: pl.Expr) -> pl.Expr:
    """Text that no spreadsheet runs: where it begins like a formula, an apostrophe stands before it."""
    return pl.when(text.str.contains(RUNS)).then(pl.concat_str(pl.lit("'"), text)).otherwise(text)


def write_csv(rows: pl.LazyFrame, columns: Sequence[Heading], path: Path, language: Language) -> None:
    """Write rows as CSV: UTF-8 with a byte order mark, lines ended as RFC 4180 has it."""
    present = set(rows.collect_schema().names())
    shown = [_shown(column, column.name in present).alias(column.text(language)) for column in columns]
    rows.select(shown).sink_csv(path, include_bom=True, line_terminator="\r\n", engine="streaming")


def batches(rows: pl.LazyFrame, columns: Sequence[Heading]) -> Iterator[pl.DataFrame]:
    """Rows in order, some at a time, with the columns of a sheet that they have."""
    present = rows.collect_schema().names()
    wanted = [column.name for column in columns if column.name in present]
    yield from rows.select(wanted).collect_batches(chunk_size=BATCH, maintain_order=True, engine="streaming")


def _shown(column: Heading, there: bool) -> pl.Expr:
    value = pl.col(column.name)
    if not there:
        return pl.lit("")
    if column.shown is Shown.MONEY:
        return yuan(value)
    if column.shown is Shown.MONTH:
        return value.dt.to_string("%Y-%m")
    if column.shown is Shown.DAY:
        return value.dt.to_string("%Y-%m-%d")
    if column.shown is Shown.TEXT:
        return pl.when(value != "").then(harmless(value))
    return value
