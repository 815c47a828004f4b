"""The results of a run that goes on from others, brought together: what it asked itself, and what it took over.

Owns: the same tables in the same order as those of a run that asked everybody, numbered as the newest file has the
rows. Refuses: changing what was found: a row that was taken over says what was known when it was asked about. Blocks.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from gateway.roster.frames import KEPT, to_arrow
from gateway.roster.ledger import LEDGER, PLACES, Ledger, Places, Siblings
from gateway.roster.origins import Origins
from gateway.roster.packing import pack
from gateway.roster.run import RunFolder

_BITS: Final = 32


class Gathering:
    """The results of a live run, chunk by chunk.

    Args:
        folder: of the run.
        chunk_rows: rows of a chunk.
        siblings: name of a run's folder → the folder.

    Raises:
        StoreError: they cannot be read.
    """

    def __init__(self, folder: RunFolder, chunk_rows: int, siblings: Siblings) -> None:
        self._places = places = Places.from_bytes(folder.parts.read(PLACES))
        ledgers = [Ledger.from_bytes(siblings(name).parts.read(LEDGER)) for name in places.sources]
        self._origins = Origins(places.sources, ledgers, siblings)
        self._rows = chunk_rows
        chunk = np.zeros(len(places.row), np.int64)
        for source, ledger in enumerate(ledgers):
            mine = np.flatnonzero(places.source == source)
            chunk[mine] = (source << _BITS) + ledger.chunks_of(places.at[mine].astype(np.int64))
        found, first = np.unique(chunk, return_index=True)
        self._first = dict(zip(found.tolist(), first.tolist(), strict=True))

    @property
    def chunks(self) -> int:
        """How many there are."""
        return max(1, -(-len(self._places.row) // self._rows))

    def packed(self, number: int) -> bytes:
        """The tables of a chunk."""
        start = number * self._rows
        within = slice(start, start + self._rows)
        places = self._places
        parts: dict[str, list[pl.DataFrame]] = {}
        for (source, chunk), tables in self._origins.results(
            places.source[within], places.at[within], places.row[within]
        ):
            if not start <= self._first[(source << _BITS) + chunk] < start + self._rows:
                tables.pop("messages", None)  # told with the first of its rows
            for name, table in tables.items():
                parts.setdefault(name, []).append(table)
        blobs = {}
        for name in KEPT:
            if name in parts:
                whole = pl.concat(parts[name], how="diagonal")
                if "row" in whole.columns:
                    whole = whole.sort("row", maintain_order=True)
                elif name == "reason_texts":
                    whole = whole.unique(["member", "code"], keep="last").sort("member", "code")
                if whole.height:
                    blobs[name] = to_arrow(whole)
        return pack(blobs)
