"""How late departments tell of what ends a benefit, and what that cost.

Owns: days between an event and when it became available, by department and item; and the months that were paid while
it was not: from the first month without entitlement to the month in which it became available, both included, as far as
was paid. A department's cost is what its lateness would have cost alone; what it did cost is in the last row, in which
of each person only the first record counts. Refuses: records without an exact day, and judging who is to blame.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from gateway.roster.results.frames import civil
from gateway.rules.kinds import FIRST_EVENT
from wugan.federation.v1 import vocabulary_pb2 as words

LATENESS: Final[dict[str, pl.DataType]] = {
    "department": pl.Int32(),
    "kind": pl.Int32(),
    "records": pl.Int64(),
    "median_days": pl.Int64(),
    "p90_days": pl.Int64(),
    "longest_days": pl.Int64(),
    "months": pl.Int64(),
    "cost_fen": pl.Int64(),
}
"""department and kind 0: the first record of each person, whoever it is from."""
_STOP: Final = words.CERTIFICATION_STATUS_STOP_PROPOSED


class Lateness:
    """Looks at evidence chunk by chunk; holds a row for each record of an event."""

    def __init__(self) -> None:
        self._held: list[pl.DataFrame] = []

    def add(self, people: pl.DataFrame, evidence: pl.DataFrame) -> None:
        """Look at the evidence of a chunk."""
        records = (
            evidence.filter(
                (pl.col("kind") >= FIRST_EVENT)
                & (pl.col("observed_on") > 0)
                & (pl.col("available_on") >= pl.col("observed_on"))
            )
            .sort("row", "department", "kind", "available_on")
            .unique(["row", "department", "kind"], keep="first", maintain_order=True)
        )
        if not records.height:
            return
        stops = (pl.col("certification") == _STOP) & (pl.col("effective_on") != 0) & (pl.col("last_paid_on") != 0)
        paid = people.filter(stops).select("row", "effective_on", "last_paid_on", "monthly_fen")
        months = (month_number("until") - month_number("effective_on") + 1).clip(lower_bound=0).fill_null(0)
        self._held.append(
            records.join(paid, on="row", how="left", maintain_order="left")
            .with_columns(until=pl.min_horizontal("available_on", "last_paid_on"))
            .with_columns(months=months)
            .select(
                "row",
                "available_on",
                pl.col("department", "kind").cast(pl.Int32),
                days=(pl.col("available_on") - pl.col("observed_on")).cast(pl.Int64),
                months=pl.col("months").cast(pl.Int64),
                cost_fen=pl.col("months").cast(pl.Int64) * pl.col("monthly_fen").fill_null(0),
            )
        )

    def frame(self) -> pl.DataFrame:
        """What it came to, columns as in `LATENESS`; without rows where there was no record."""
        if not self._held:
            return pl.DataFrame(schema=dict(LATENESS))
        records = pl.concat(self._held)
        first = records.sort("row", "available_on", "days").unique("row", keep="first", maintain_order=True)
        whole = first.with_columns(department=pl.lit(0, pl.Int32), kind=pl.lit(0, pl.Int32))
        return pl.concat([_summed(records), _summed(whole)]).cast(dict(LATENESS))  # type: ignore[arg-type]


def _summed(records: pl.DataFrame) -> pl.DataFrame:
    days = pl.col("days")
    return (
        records.group_by("department", "kind")
        .agg(
            records=pl.len(),
            median_days=days.quantile(0.5, "nearest"),
            p90_days=days.quantile(0.9, "nearest"),
            longest_days=days.max(),
            months=pl.col("months").sum(),
            cost_fen=pl.col("cost_fen").sum(),
        )
        .sort("department", "kind")
    )


def month_number(column: str) -> pl.Expr:
    """A civil day as a number of months."""
    day = civil(column)
    return day.dt.year() * 12 + day.dt.month().cast(pl.Int32)
