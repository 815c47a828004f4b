"""Chunks of a run that goes on from another: of rows that are new, and of those whose time is over.

Owns: putting both together in order of the file, in chunks that are as full as they can be. Refuses: deciding what is
to be dealt with (`matching`), and asking. Everything here blocks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from gateway.errors import RefusedError
from gateway.roster.cutting import Found, nobody, put, sorts
from gateway.roster.fields import match
from gateway.roster.frames import REJECTED
from gateway.roster.ledger import ACCEPTED, UNSERVED, Before, Kept, Siblings
from gateway.roster.matching import ASK, CARRY, CHECK, NEW, Plan, changed_parts
from gateway.roster.origins import Origins
from gateway.roster.planning import Planner
from gateway.roster.records import Cells
from gateway.roster.run import RunFolder, Submitted
from gateway.roster.seen import Seen
from gateway.roster.validating import Sure, Validator

_UNEVEN: Final = "uneven"

Index = NDArray[np.int64]


def cut_changes(
    folder: RunFolder, run: Submitted, plan: Plan, before: Before, planner: Planner, siblings: Siblings
) -> Iterator[Found]:
    """Cut what is to be dealt with; every chunk is on the disk when it is told of, and `read` is after the last.

    Raises:
        RefusedError: the file is not one that may be asked about.
        StoreError: a part could not be read or written.
    """
    columns = match(plan.header, dict(run.columns))
    staying = np.flatnonzero((plan.what == CARRY) | (plan.what == ASK))
    sort = before.sort[plan.old[staying]]
    right = staying[(sort == ACCEPTED) | (sort == UNSERVED)]
    seen = Seen(before.key[plan.old[right]], plan.row[right].astype(np.int64))
    validator = Validator(plan.header, columns, run.benefit, seen)
    origins = Origins(before.places.sources, before.ledgers, siblings)
    cells = _NewCells(folder, plan)
    todo = np.flatnonzero(plan.what != CARRY)
    number = 0
    for start in range(0, len(todo), run.chunk_rows):
        at = todo[start : start + run.chunk_rows]
        what = plan.what[at]
        new, digest = cells.take(int((what == NEW).sum()))
        wrong, old_digest = _again(origins, before, plan, at[what == CHECK], columns)
        parts: list[pl.DataFrame] = []
        kept: list[Kept] = []
        rejected = pl.DataFrame(schema={"row": pl.Int64})
        if new.height or wrong.height:
            together = pl.concat([new, wrong]).with_columns(digest=pl.Series(np.concatenate((digest, old_digest))))
            sure, told = _checked(validator, together.sort("row"), plan.header)
            planned = planner.plan(sure.rows)
            parts.append(planned)
            kept.append(Kept(told.row, told.digest, sure.keys, sorts(sure, planned)))
            rejected = sure.rejected
        if (what == ASK).any():
            planned = planner.plan(_asked(origins, before, plan, at[what == ASK]))
            parts.append(planned)
            old = plan.old[at[what == ASK]]
            unserved = (planned["members"] == "").to_numpy()
            sort = np.where(unserved, UNSERVED, ACCEPTED).astype(np.uint8)
            kept.append(Kept(plan.row[at[what == ASK]], before.digest[old], before.key[old], sort))
        rows = pl.concat(parts).sort("row")
        yield put(folder, number, rows, rejected, _joined(kept))
        number += 1
    if not number:
        yield nobody(folder)
        number = 1
    last = int(plan.row[-1]) if len(plan.row) else 0
    folder.parts.write("read", json.dumps([number, last]).encode())


class _NewCells:
    """The cells of new rows, in order."""

    def __init__(self, folder: RunFolder, plan: Plan) -> None:
        self._width = len(plan.header)
        self._parts = changed_parts(folder, plan.changed)
        self._frame = self._none()
        self._digest = np.zeros(0, np.uint64)

    def take(self, count: int) -> tuple[pl.DataFrame, NDArray[np.uint64]]:
        """So many, with the digest of each."""
        while self._frame.height < count:
            frame, digest = next(self._parts)
            self._frame = pl.concat([self._frame, frame.select(self._frame.columns)])
            self._digest = np.concatenate((self._digest, digest))
        taken, digest = self._frame[:count], self._digest[:count]
        self._frame, self._digest = self._frame[count:], self._digest[count:]
        return taken, digest

    def _none(self) -> pl.DataFrame:
        return pl.DataFrame(schema=_schema(self._width))


def _schema(width: int) -> dict[str, pl.DataType]:
    return {**{str(at): pl.String() for at in range(width)}, "row": pl.Int64(), _UNEVEN: pl.Boolean()}


def _again(
    origins: Origins, before: Before, plan: Plan, at: Index, columns: dict[str, int]
) -> tuple[pl.DataFrame, NDArray[np.uint64]]:
    """The cells of rows that were wrong, out of what was told of them."""
    width = len(plan.header)
    old = plan.old[at]
    digest = before.digest[old]
    frames = [pl.DataFrame(schema=_schema(width))]
    if len(at):
        for part in origins.rejected(before.places.source[old], before.places.at[old], plan.row[at]):
            own = [name for name in part.columns if name not in REJECTED]
            try:
                theirs = match(own, {})
            except RefusedError:  # named by the agency: the same columns as now
                theirs = columns if len(own) == width else {}
            field_of = {place: field for field, place in columns.items()}
            cells = [
                (pl.col(own[theirs[field]]) if (field := field_of.get(place, "")) in theirs else pl.lit(""))
                .cast(pl.String)
                .alias(str(place))
                for place in range(width)
            ]
            chosen = part.unique("row", keep="first", maintain_order=True)
            frames.append(chosen.select(*cells, "row", pl.lit(value=False).alias(_UNEVEN)))
    found = pl.concat(frames).sort("row")
    order = np.searchsorted(plan.row[at], found["row"].to_numpy())
    return found, digest[order]


def _checked(validator: Validator, frame: pl.DataFrame, header: list[str]) -> tuple[Sure, Kept]:
    row = frame["row"].to_numpy()
    uneven = np.flatnonzero(frame[_UNEVEN].to_numpy())
    cells = Cells(row, frame.select([str(at) for at in range(len(header))]), uneven)
    sure = validator.check(cells)
    return sure, Kept(row.astype(np.int32), frame["digest"].to_numpy(), sure.keys, np.zeros(len(row), np.uint8))


def _asked(origins: Origins, before: Before, plan: Plan, at: Index) -> pl.DataFrame:
    """Rows that are asked about again, as they were cut."""
    old = plan.old[at]
    parts = origins.planned(before.places.source[old], before.places.at[old], plan.row[at])
    return pl.concat(parts).drop("members", "refusal").sort("row")


def _joined(parts: list[Kept]) -> Kept:
    """Several together, in order of the file."""
    columns = [np.concatenate([part[at] for part in parts]) for at in range(len(Kept._fields))]
    order = np.argsort(columns[0], kind="stable")
    row, digest, key, sort = (column[order] for column in columns)
    return Kept(row, digest, key, sort)
