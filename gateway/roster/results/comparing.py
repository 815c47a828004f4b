"""Two results of one roster side by side: what was known as of a past day, and what is known now.

Owns: who moved from which proposal to which, and what was paid to those of whom it is known only now that they were not
entitled any more: from the first month without entitlement to the month of the past day, as far as was paid. People are
matched by number and benefit. Refuses: results of different rosters; those who stand in one of both only are counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from gateway.errors import RefusedError
from gateway.roster.results.lateness import month_number
from gateway.roster.results.writing import RESULTS
from wugan.federation.v1 import vocabulary_pb2 as words

_STOP: Final = words.CERTIFICATION_STATUS_STOP_PROPOSED
_KEY: Final = ("id_number", "benefit")
_COLUMNS: Final = (*_KEY, "certification", "effective_on", "monthly_fen", "last_paid_on")


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """What came of it.

    Args:
        moves: then, now (CertificationStatus), people; in order.
        only_then: people who stand in the earlier results only.
        only_now: in the later only.
        unknown_then: people proposed for stopping now, not then, whose entitlement had ended by the past day.
        months: paid to them up to that day's month.
        cost_fen: how much that was.
    """

    moves: pl.DataFrame
    only_then: int
    only_now: int
    unknown_then: int
    months: int
    cost_fen: int


def compare(then: Path, then_on: int, now: Path) -> Compared:
    """Compare the results in two folders.

    Args:
        then: those as of a past day.
        then_on: that day, a civil day.
        now: later ones.

    Raises:
        RefusedError: a folder has no results.
    """
    earlier, later = (_read(folder) for folder in (then, now))
    both = later.join(earlier.select(*_KEY, then="certification"), on=_KEY, how="inner")
    moves = both.group_by("then", now="certification").agg(people=pl.len()).sort("then", "now")
    late = both.filter(
        (pl.col("certification") == _STOP)
        & (pl.col("then") != _STOP)
        & pl.col("effective_on").is_between(1, then_on)
        & (pl.col("last_paid_on") != 0)
    ).with_columns(until=pl.min_horizontal(pl.lit(then_on, pl.Int32), "last_paid_on"))
    months = (month_number("until") - month_number("effective_on") + 1).clip(lower_bound=0).fill_null(0)
    sums = late.select(months.alias("months"), "monthly_fen").select(
        pl.col("months").sum(), cost=(pl.col("months") * pl.col("monthly_fen")).sum()
    )
    total, cost = sums.row(0)
    return Compared(
        moves, earlier.height - both.height, later.height - both.height, late.height, int(total or 0), int(cost or 0)
    )


def _read(folder: Path) -> pl.DataFrame:
    path = folder / RESULTS
    if not path.exists():
        raise RefusedError(f"{folder} has no results", f"{folder} 中没有结果", field="folder")
    found = pl.read_parquet(path, columns=list(_COLUMNS))
    return found.unique(_KEY, keep="first", maintain_order=True)
