"""What changed between two files of a live roster, and who is to be asked about again though nothing did.

Owns: finding each row of the new file in the one before: by pieces where the file's bytes are the same, by digests of
rows where they are not; whose time is over; and the parts `changed-…` (cells of rows that are new) and `plan` (what is
to be done with each row), which are the same after a restart. Costs follow the pieces that changed, but for a few
passes over columns of numbers. Refuses: validating and asking. Everything here blocks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from gateway.errors import RefusedError
from gateway.federation.directory import Directory
from gateway.roster.around import Bounds
from gateway.roster.composing import composition_of
from gateway.roster.fields import match
from gateway.roster.formats import CSV, told
from gateway.roster.frames import from_arrow, to_arrow
from gateway.roster.ledger import ACCEPTED, AGAIN, PIECES, UNSERVED, Before, Way, digests
from gateway.roster.packing import pack, unpack
from gateway.roster.pieces import Pieces, matched, pieces_of, steps
from gateway.roster.reading import Table, open_table, rows_of_text
from gateway.roster.records import Cells
from gateway.roster.run import RunFolder, Submitted
from gateway.roster.validating import BENEFITS

CARRY, ASK, CHECK, NEW = range(4)
"""What to do with a row: take over what there is; ask again; validate again what was wrong; deal with it as new."""
PLAN: Final = "plan"
CHANGED_AT_ONCE: Final = 20_000
READ_AT_ONCE: Final = 25_000

Index = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What is to be done with each row of a file.

    Args:
        row: number of each.
        old: place of each in the file before; -1: it is new.
        what: CARRY, ASK, CHECK or NEW.
        header: names of the file's columns.
        changed: number of parts `changed-…`.
        about: what the next run must know beside (`Places.about`).
    """

    row: NDArray[np.int32]
    old: NDArray[np.int32]
    what: NDArray[np.uint8]
    header: list[str]
    changed: int
    about: dict[str, Any]

    def to_bytes(self) -> bytes:
        """For a part. Rows that follow each other in both files are told together."""
        count = len(self.row)
        new = np.ones(count, np.bool_)
        if count:
            were = self.old[:-1] >= 0
            steady = np.where(were, np.diff(self.old) == 1, self.old[1:] < 0)
            new[1:] = (np.diff(self.row) != 1) | ~steady | (self.what[1:] != self.what[:-1])
        first = np.flatnonzero(new)
        about = {"header": self.header, "changed": self.changed, "about": self.about}
        return pack(
            {
                "about": json.dumps(about, ensure_ascii=False).encode(),
                "row": self.row[first].astype("<i4").tobytes(),
                "old": self.old[first].astype("<i4").tobytes(),
                "what": self.what[first].tobytes(),
                "count": np.diff(first, append=count).astype("<i4").tobytes(),
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Plan:
        """The reverse."""
        blobs = unpack(data)
        count = np.frombuffer(blobs["count"], "<i4").astype(np.int64)
        within = (np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)).astype(np.int32)
        row = np.repeat(np.frombuffer(blobs["row"], "<i4"), count) + within
        old = np.repeat(np.frombuffer(blobs["old"], "<i4"), count)
        what = np.repeat(np.frombuffer(blobs["what"], np.uint8), count)
        return cls(row, np.where(old < 0, old, old + within), what, **json.loads(blobs["about"]))


def plan(
    folder: RunFolder,
    run: Submitted,
    before: Before,
    bounds: Bounds,
    directory: Directory,
    noticed: Sequence[int],
    notices: int,
) -> Plan:
    """What is to be done with each row of a run's file; put down, and the same again once it was.

    Args:
        folder: of the run.
        run: what was submitted.
        before: the run that it goes on from.
        bounds: of files.
        directory: of this moment.
        noticed: keys of people (`validating.key_of`) of whom notices came.
        notices: number of the last notice that was looked at.

    Raises:
        RefusedError: the file cannot be read.
        StoreError: a part could not be read or written.
    """
    if folder.parts.has(PLAN):
        return Plan.from_bytes(folder.parts.read(PLAN))
    secret = bytes.fromhex(before.places.about["secret"])
    finding = _Finding(folder, run, before, secret)
    way, found = finding.same_bytes(bounds)
    if way is None or found is None:
        row, old, header = finding.by_rows(bounds)
    else:
        row, old, header = finding.by_pieces(way, found, bounds)
    serving = serving_of(directory)
    what = _what(run, before, old, noticed, serving != before.places.about["serving"])
    about = {**before.places.about, "serving": serving, "notices": notices}
    made = Plan(row.astype(np.int32), old.astype(np.int32), what, header, finding.changed, about)
    folder.parts.write(PLAN, made.to_bytes())
    return made


def serving_of(directory: Directory) -> str:
    """What changes when a region is served by another member."""
    regions = [[member.member_id, sorted(member.regions)] for member in directory.members]
    return hashlib.sha256(json.dumps(sorted(regions)).encode()).hexdigest()


def changed_parts(folder: RunFolder, number: int) -> Iterator[tuple[pl.DataFrame, NDArray[np.uint64]]]:
    """The cells of new rows, with `row`, and the digest of each, in order of the file."""
    for at in range(number):
        blobs = unpack(folder.parts.read(f"changed-{at:06d}"))
        yield from_arrow(blobs["cells"]), np.frombuffer(blobs["digest"], "<u8")


def _what(run: Submitted, before: Before, old: Index, noticed: Sequence[int], moved: bool) -> NDArray[np.uint8]:
    """What to do with each row."""
    there = np.flatnonzero(old >= 0)
    at = old[there]
    sort = before.sort[at]
    due = before.holds_until[at] < run.as_of_on
    if moved:
        due |= sort == UNSERVED
    if noticed:
        due |= np.isin(before.key[at] // BENEFITS, np.array(noticed, np.int64))
    if (sort == AGAIN).any():  # whoever stood there first may have gone
        due |= (sort == AGAIN) & ~np.isin(before.key[at], before.key[at[sort == ACCEPTED]])
    right = (sort == ACCEPTED) | (sort == UNSERVED)
    what = np.full(len(old), NEW, np.uint8)
    what[there] = np.where(due, np.where(right, ASK, CHECK), CARRY)
    return what


class _Finding:
    """Finds the rows of a file in the one before."""

    def __init__(self, folder: RunFolder, run: Submitted, before: Before, secret: bytes) -> None:
        self._folder = folder
        self._run = run
        self._before = before
        self._secret = secret
        self._held: list[pl.DataFrame] = []
        self._held_digests: list[NDArray[np.uint64]] = []
        self.changed = 0

    def same_bytes(self, bounds: Bounds) -> tuple[Way | None, Index | None]:
        """How the file is read and which of its pieces are those of the one before; None: pieces tell nothing."""
        folder, way = self._folder, self._before.way
        if way is None:
            return None, None
        given = composition_of(folder)
        if given is not None:
            pieces, found = given
        elif (self._run.form or told(next(folder.blocks(), b""))) != CSV:
            return None, None
        else:
            cut = pieces_of(folder.blocks())
            if cut is None:
                return None, None
            pieces, found = cut, matched(cut, way.pieces)
        if not len(found) or found[0] < 0:
            return None, None
        if int(pieces.records.sum()) - 1 > bounds.max_rows:
            raise RefusedError(f"more than {bounds.max_rows} rows", f"行数超过 {bounds.max_rows}", field="data")
        return way._replace(pieces=pieces), found

    def by_pieces(self, way: Way, found: Index, bounds: Bounds) -> tuple[Index, Index, list[str]]:
        """Rows by the pieces in which they stand; those of other pieces one by one."""
        pieces, theirs = way.pieces, self._before.way
        if theirs is None:
            raise ValueError("pieces without those before")
        count = int(pieces.records.sum()) - 1
        old = np.full(count, -1, np.int64)
        first = _first_rows(pieces)
        same = np.flatnonzero(found > 0)
        lengths = pieces.records[same]
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        there = np.repeat(_first_rows(theirs.pieces)[found[same]], lengths) + within
        old[np.repeat(first[same], lengths) + within] = there
        free = np.ones(len(self._before.digest), np.bool_)
        free[there] = False
        finder = _Finder(self._before.digest, np.flatnonzero(free))
        wanted = np.flatnonzero(old < 0)
        columns = match(way.header, dict(self._run.columns))
        done = 0
        whole = composition_of(self._folder) is None
        text = self._own_text(pieces, found) if whole else self._folder.blocks()
        for cells in rows_of_text(text, way.encoding, way.delimiter, len(way.header), READ_AT_ONCE):
            at = wanted[done : done + len(cells.row)]
            if len(at) < len(cells.row):
                break
            done += len(at)
            old[at] = self._found(cells._replace(row=at + 1), columns, finder)
        if done != len(wanted):
            raise RefusedError(
                "continues: the file cannot be told from the one before; submit it whole",
                "continues：无法与上次名册比对，请提交完整文件",
                field="continues",
            )
        self._flush()
        self._folder.parts.write(PIECES, way.to_bytes())
        return np.arange(1, count + 1), old, way.header

    def by_rows(self, bounds: Bounds) -> tuple[Index, Index, list[str]]:
        """All rows one by one."""
        run, folder = self._run, self._folder
        table = open_table(folder.blocks, run.size, run.form, run.sheet, bounds, READ_AT_ONCE)
        columns = match(table.header, dict(run.columns))
        finder = _Finder(self._before.digest, np.arange(len(self._before.digest)))
        rows: list[Index] = []
        old: list[Index] = []
        for cells in table.batches:
            rows.append(cells.row)
            old.append(self._found(cells, columns, finder))
        self._flush()
        put_way(folder, table, sum(len(each) for each in rows))
        nothing = np.zeros(0, np.int64)
        return np.concatenate([nothing, *rows]), np.concatenate([nothing, *old]), table.header

    def _own_text(self, pieces: Pieces, found: Index) -> Iterator[bytes]:
        """The bytes of a whole file that are not those of the one before."""
        wanted = iter(
            [(step.start, step.start + step.amount) for step in steps(pieces.sizes, found) if not step.copied]
        )
        start, end = next(wanted, (0, 0))
        place = 0
        for block in self._folder.blocks():
            while end > start and start < place + len(block):
                upto = min(end, place + len(block))
                yield block[start - place : upto - place]
                start = upto
                if start == end:
                    start, end = next(wanted, (0, 0))
            place += len(block)

    def _found(self, cells: Cells, columns: dict[str, int], finder: _Finder) -> Index:
        """Where the rows stood before; the cells of those that did not are kept."""
        found = digests(cells.frame, columns, self._secret)
        old = finder.find(found)
        old[cells.uneven] = -1
        new = np.flatnonzero(old < 0)
        if len(new):
            marks = np.zeros(len(cells.row), np.bool_)
            marks[cells.uneven] = True
            frame = cells.frame[new].with_columns(row=pl.Series(cells.row[new]), uneven=pl.Series(marks[new]))
            self._held.append(frame)
            self._held_digests.append(found[new])
            if sum(each.height for each in self._held) >= CHANGED_AT_ONCE:
                self._flush()
        return old

    def _flush(self) -> None:
        if self._held:
            digest = np.concatenate(self._held_digests).astype("<u8").tobytes()
            blobs = {"cells": to_arrow(pl.concat(self._held)), "digest": digest}
            self._folder.parts.write(f"changed-{self.changed:06d}", pack(blobs))
            self.changed += 1
            self._held, self._held_digests = [], []


class _Finder:
    """Rows of the file before by their digests; each is found once."""

    def __init__(self, digest: NDArray[np.uint64], places: Index) -> None:
        found = digest[places]
        order = np.argsort(found, kind="stable")
        self._digest, self._place = found[order], places[order]
        self._taken = np.zeros(len(order), np.bool_)

    def find(self, digest: NDArray[np.uint64]) -> Index:
        """Where each stood; -1: nowhere."""
        old = np.full(len(digest), -1, np.int64)
        if not len(self._digest):
            return old
        at = np.searchsorted(self._digest, digest)
        inside = np.minimum(at, len(self._digest) - 1)
        fits = np.flatnonzero((self._digest[inside] == digest) & ~self._taken[inside])
        held, first = np.unique(inside[fits], return_index=True)
        self._taken[held] = True
        old[fits[first]] = self._place[held]
        return old


def _first_rows(pieces: Pieces) -> Index:
    """Place of the first row of each piece; the header is no row."""
    return np.cumsum(pieces.records) - pieces.records - 1


def put_way(folder: RunFolder, table: Table, rows: int) -> None:
    """Put down how a file was read and its pieces, where it has any and they agree with the rows."""
    if table.decoding is None:
        return
    pieces = pieces_of(folder.blocks())
    if pieces is not None and int(pieces.records.sum()) - 1 == rows:
        way = Way(list(table.header), table.delimiter, table.decoding.encoding, pieces)
        folder.parts.write(PIECES, way.to_bytes())
