"""What earlier runs of a live roster have of its rows: as they were put down, as they were wrong, as they came out.

Owns: finding rows by their places in ledgers, and holding the last few parts that were opened. Refuses: deciding which
rows are wanted. Everything here blocks.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from gateway.roster.frames import from_arrow
from gateway.roster.ledger import Ledger, Siblings
from gateway.roster.packing import unpack
from gateway.roster.run import chunk_part, result_part

HELD: Final = 12
"""Parts that are kept open: one large run's, and the small ones of the nights since."""

Index = NDArray[np.int64]


class Origins:
    """Rows of runs by their places.

    Args:
        sources: names of the runs' folders.
        ledgers: of each.
        siblings: names → folders.
    """

    def __init__(self, sources: list[str], ledgers: list[Ledger], siblings: Siblings) -> None:
        self._sources = sources
        self._ledgers = ledgers
        self._siblings = siblings
        self._held: OrderedDict[tuple[int, str], dict[str, bytes]] = OrderedDict()

    def planned(self, source: NDArray[np.uint16], at: NDArray[np.int32], row: NDArray[np.int32]) -> list[pl.DataFrame]:
        """Rows that could be asked about, with new numbers, as they were cut; in no order."""
        return [
            _renumbered(from_arrow(blobs["rows"]), numbers)
            for _, blobs, numbers in self._opened(chunk_part, source, at, row)
        ]

    def rejected(self, source: NDArray[np.uint16], at: NDArray[np.int32], row: NDArray[np.int32]) -> list[pl.DataFrame]:
        """Rows that were wrong, with new numbers, one for each problem; in no order."""
        return [
            _renumbered(from_arrow(blobs["rejected"]), numbers)
            for _, blobs, numbers in self._opened(chunk_part, source, at, row)
            if "rejected" in blobs
        ]

    def results(
        self, source: NDArray[np.uint16], at: NDArray[np.int32], row: NDArray[np.int32]
    ) -> Iterator[tuple[tuple[int, int], dict[str, pl.DataFrame]]]:
        """For each chunk of a run (source, number) that has some of the rows: its tables, with these rows alone."""
        for chunk, blobs, numbers in self._opened(result_part, source, at, row):
            tables = {name: from_arrow(blob) for name, blob in blobs.items()}
            yield (
                chunk,
                {
                    name: _renumbered(table, numbers) if "row" in table.columns else table
                    for name, table in tables.items()
                },
            )

    def _opened(
        self, named: Callable[[int], str], source: NDArray[np.uint16], at: NDArray[np.int32], row: NDArray[np.int32]
    ) -> Iterator[tuple[tuple[int, int], dict[str, bytes], pl.DataFrame]]:
        for position in np.unique(source).tolist():
            ledger = self._ledgers[position]
            mine = np.flatnonzero(source == position)
            chunks = ledger.chunks_of(at[mine].astype(np.int64))
            for number in np.unique(chunks).tolist():
                chosen = mine[chunks == number]
                numbers = pl.DataFrame({"row": ledger.row[at[chosen]].astype(np.int64), "new": row[chosen]})
                yield (position, number), self._open(position, named(number)), numbers

    def _open(self, source: int, name: str) -> dict[str, bytes]:
        key = source, name
        known = self._held.get(key)
        if known is None:
            known = self._held[key] = unpack(self._siblings(self._sources[source]).parts.read(name))
            while len(self._held) > HELD:
                self._held.popitem(last=False)
        else:
            self._held.move_to_end(key)
        return known


def _renumbered(table: pl.DataFrame, numbers: pl.DataFrame) -> pl.DataFrame:
    """The rows that have new numbers, under these."""
    columns = table.columns
    joined = table.join(numbers.cast({"row": table.schema["row"], "new": table.schema["row"]}), on="row", how="inner")
    return joined.with_columns(row=pl.col("new")).select(columns)
