"""The end of a live run: what the next one must know of it is put down.

Owns: the parts `ledger` and `places`, and until when a row holds though nothing changes: as long as its answer may be
relied on; not at all where there is none or a part of it is missing; 30 days where nothing could be asked, so that no
run is needed longer than that for what it refused. Refuses: results. Blocks.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from gateway.roster.cutting import kept_of
from gateway.roster.frames import from_arrow
from gateway.roster.ledger import ACCEPTED, LEDGER, PLACES, Before, Ledger, Places
from gateway.roster.matching import CARRY, Plan
from gateway.roster.packing import unpack
from gateway.roster.run import RunFolder, Submitted, result_part

LOOKED_AT_AGAIN_DAYS: Final = 30


def settle(
    folder: RunFolder,
    run: Submitted,
    chunks: int,
    rows: int,
    plan: Plan | None,
    before: Before | None,
    about: dict[str, Any],
) -> list[str]:
    """Put down the ledger and the places of a run whose results are all there; names of the folders that it rests on.

    Args:
        folder: of the run.
        run: what was submitted.
        chunks: how many it has.
        rows: how many rows these have.
        plan: what was to be done, where it goes on from another.
        before: that one.
        about: what the next run must know.

    Raises:
        StoreError: a part could not be read or written.
    """
    row, packed = _ledger(folder, run, chunks, rows)
    folder.parts.write(LEDGER, packed)
    del packed
    places = _places(folder, row, plan, before, about)
    folder.parts.write(PLACES, places.to_bytes())
    return places.sources


def _ledger(folder: RunFolder, run: Submitted, chunks: int, rows: int) -> tuple[NDArray[np.int32], bytes]:
    """The numbers of the rows that the run dealt with, and its ledger, packed. Of a million rows it is 25 MB: each
    column is there once, and no more than one copy of all.
    """
    row, digest, key, sort, holds_until = (np.zeros(rows, form) for form in ("<i4", "<u8", "<i8", "<u1", "<i4"))
    holds_until[:] = run.as_of_on + LOOKED_AT_AGAIN_DAYS
    starts = np.zeros(chunks, "<i4")
    end = 0
    for number in range(chunks):
        kept = kept_of(folder, number)
        starts[number], here = end, slice(end, end + len(kept.row))
        row[here], digest[here], key[here], sort[here] = kept
        accepted = end + np.flatnonzero(kept.sort == ACCEPTED)
        if len(accepted):
            holds_until[accepted] = _held(folder, number)
        end = here.stop
    if end != rows:
        raise ValueError(f"{rows} rows were counted, and {end} are there")
    return row, Ledger(row, digest, key, sort, holds_until, starts).to_bytes()


def _held(folder: RunFolder, number: int) -> np.ndarray[Any, np.dtype[np.int32]]:
    """Until when the answers about a chunk's people may be relied on."""
    people = from_arrow(
        unpack(folder.parts.read(result_part(number)))["people"], ["status", "partial", "valid_until_on", "members"]
    ).filter(pl.col("members") != "")
    whole = (people["status"] != 0) & ~people["partial"]
    until = people.select(pl.when(whole).then("valid_until_on").otherwise(0)).to_series()
    held: np.ndarray[Any, np.dtype[np.int32]] = until.cast(pl.Int32).to_numpy()
    return held


def _places(
    folder: RunFolder, row: NDArray[np.int32], plan: Plan | None, before: Before | None, about: dict[str, Any]
) -> Places:
    name = folder.parts.name
    if plan is None or before is None:
        at = np.arange(len(row), dtype=np.int32)
        return Places([name], row, np.zeros(len(at), np.uint16), at, about)
    there = before.places
    carried = plan.what == CARRY
    old = plan.old[carried]
    source, at = np.zeros(len(plan.row), np.int64), np.zeros(len(plan.row), np.int32)
    source[carried], at[carried] = there.source[old], there.at[old]
    used = np.flatnonzero(np.bincount(source[carried], minlength=1)).tolist() if carried.any() else []
    renamed = np.zeros(len(there.sources) + 1, np.int64)
    renamed[used] = np.arange(len(used))
    source = renamed[source]
    source[~carried] = len(used)
    at[~carried] = np.arange(int((~carried).sum()))
    sources = [there.sources[position] for position in used] + ([name] if not carried.all() else [])
    return Places(sources, plan.row, source.astype(np.uint16), at, about)
