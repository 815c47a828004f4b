"""A roster's file cut into chunks: read, made sure of, routed, and put down as parts.

Owns: the part `chunk-…`, and that a chunk which is there already is left as it is: whom its people were to be asked
about at does not change because the run goes on under another directory. Refuses: asking. Everything here blocks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from gateway.roster.around import Bounds
from gateway.roster.asking import members_of
from gateway.roster.fields import match
from gateway.roster.frames import from_arrow, to_arrow
from gateway.roster.ledger import ACCEPTED, AGAIN, NOBODY, REJECTED, UNSERVED, Kept, digests
from gateway.roster.matching import put_way
from gateway.roster.packing import pack, unpack
from gateway.roster.planning import Planner
from gateway.roster.reading import open_table
from gateway.roster.run import RunFolder, Submitted, chunk_part
from gateway.roster.validating import ROWS, Sure, Validator

READ_AT_ONCE: Final = 25_000
"""Rows read at once, or one chunk if that is more: many small steps cost more than a few large ones."""
PLANNED: Final[dict[str, pl.DataType]] = {**ROWS, "members": pl.String(), "refusal": pl.Int16()}


class About(NamedTuple):
    """What is known of a chunk without looking at its rows.

    Args:
        number: of the chunk.
        rows: people who may be asked about.
        refused: rows of the file that are wrong.
        members: member → people to be asked about there.
    """

    number: int
    rows: int
    refused: int
    members: dict[str, int]


class Cut(NamedTuple):
    """A chunk's rows as they were put down."""

    rows: pl.DataFrame
    rejected: pl.DataFrame


Found = tuple[About, Cut | None]
"""What is known of a chunk, and its rows where it was cut just now."""


def cut(folder: RunFolder, run: Submitted, planner: Planner, bounds: Bounds) -> Iterator[Found]:
    """Cut the file of a run; every chunk is on the disk when it is told of, and `read` is after the last.

    Raises:
        RefusedError: the file cannot be read, or is not one that may be asked about.
        StoreError: a part could not be read or written.
    """
    size = run.chunk_rows
    at_once = max(1, READ_AT_ONCE // size) * size
    table = open_table(folder.blocks, run.size, run.form, run.sheet, bounds, at_once)
    columns = match(table.header, dict(run.columns))
    validator = Validator(table.header, columns, run.benefit)
    number = last_row = rows = 0
    for cells in table.batches:
        sure = validator.check(cells)
        planned = planner.plan(sure.rows)
        rows += len(cells.row)
        kept = None
        if run.live:
            digest = digests(cells.frame, columns, run.secret)
            kept = Kept(cells.row.astype(np.int32), digest, sure.keys, sorts(sure, planned))
        for start in range(0, len(cells.row), size):
            first, last = int(cells.row[start]), int(cells.row[min(start + size, len(cells.row)) - 1])
            within = pl.col("row").is_between(first, last)
            part = None if kept is None else kept.within(first, last)
            yield put(folder, number, planned.filter(within), sure.rejected.filter(within), part)
            number += 1
            last_row = last
    if not number:
        yield nobody(folder)
        number = 1
    if run.live:
        put_way(folder, table, rows)
    folder.parts.write("read", json.dumps([number, last_row]).encode())


def nobody(folder: RunFolder) -> Found:
    """Put down a chunk of nobody: every run has one at least."""
    rows, rejected = pl.DataFrame(schema=dict(PLANNED)), pl.DataFrame(schema={"row": pl.Int64})
    return put(folder, 0, rows, rejected, NOBODY)


def put(folder: RunFolder, number: int, rows: pl.DataFrame, rejected: pl.DataFrame, kept: Kept | None) -> Found:
    """Put down a chunk, unless it is there already; what is known of it, and its rows unless it was.

    Args:
        folder: of the run.
        number: of the chunk.
        rows: planned.
        rejected: wrong ones.
        kept: what a live run keeps of both.
    """
    if folder.parts.has(chunk_part(number)):
        return about(folder, number), None
    known = About(number, rows.height, rejected["row"].n_unique(), members_of(rows))
    blobs = {"about": json.dumps(known).encode(), "rows": to_arrow(rows)}
    if rejected.height:
        blobs["rejected"] = to_arrow(rejected)
    if kept is not None:
        blobs["kept"] = kept.to_bytes()
    folder.parts.write(chunk_part(number), pack(blobs))
    return known, Cut(rows, rejected)


def sorts(sure: Sure, planned: pl.DataFrame) -> NDArray[np.uint8]:
    """How each row stands, as the ledger has it."""
    found = np.where(sure.again, AGAIN, REJECTED).astype(np.uint8)
    found[sure.fine] = np.where((planned["members"] == "").to_numpy(), UNSERVED, ACCEPTED)
    return found


def kept_of(folder: RunFolder, number: int) -> Kept:
    """What a live run keeps of a chunk's rows."""
    return Kept.from_bytes(unpack(folder.parts.read(chunk_part(number)))["kept"])


def about(folder: RunFolder, number: int) -> About:
    """What is known of a chunk that was cut."""
    return About(*json.loads(unpack(folder.parts.read(chunk_part(number)))["about"]))


def rows_of(folder: RunFolder, number: int) -> Cut:
    """The rows of a chunk that was cut."""
    blobs = unpack(folder.parts.read(chunk_part(number)))
    rejected = from_arrow(blobs["rejected"]) if "rejected" in blobs else pl.DataFrame(schema={"row": pl.Int64})
    return Cut(from_arrow(blobs["rows"]), rejected)
