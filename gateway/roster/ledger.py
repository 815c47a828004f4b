"""What a live run keeps of rows, so that the next one touches those only that changed.

Owns: the ledger of a run (what it knows of every row that it dealt with itself) and its places (which run's ledger
speaks for each row of its file), as arrays and as parts of its folder. A run that goes on from another writes what it
dealt with and no more; for the rest its places point to where that was. Refuses: deciding what changed (`matching`).

    ledger    for each row dealt with here: number, digest, person, how it stands, until when that holds
    places    for each row of the file: whose ledger, and where in it; what a later run must know of this one
    pieces    of delimited text: the file's pieces, and how it is read
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from gateway.roster.packing import pack, unpack
from gateway.roster.pieces import Pieces
from gateway.roster.run import RunFolder, not_live

ACCEPTED, REJECTED, AGAIN, UNSERVED = range(4)
"""How a row stands: asked about; wrong; wrong because it stands in the file already; nobody may be asked about it."""
LEDGER: Final = "ledger"
PLACES: Final = "places"
PIECES: Final = "pieces"
_COLUMNS: Final[dict[str, str]] = {"row": "<i4", "digest": "<u8", "key": "<i8", "sort": "<u1", "holds_until": "<i4"}

Index = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Ledger:
    """Rows that a run dealt with, in order of its file.

    Args:
        row: number of each in its file.
        digest: of its cells (`digests`).
        key: of person and benefit (`validating`); 0 for one that is wrong.
        sort: how it stands.
        holds_until: last civil day on which it is not asked about again though nothing changed.
        starts: place of the first row of each chunk of the run.
    """

    row: NDArray[np.int32]
    digest: NDArray[np.uint64]
    key: Index
    sort: NDArray[np.uint8]
    holds_until: NDArray[np.int32]
    starts: NDArray[np.int32]

    def to_bytes(self) -> bytes:
        """For a part."""
        columns = [np.ascontiguousarray(getattr(self, name)) for name in (*_COLUMNS, "starts")]
        names = [*_COLUMNS, "starts"]
        return pack({name: column.view(np.uint8).data for name, column in zip(names, columns, strict=True)})

    @classmethod
    def from_bytes(cls, data: bytes) -> Ledger:
        """The reverse."""
        blobs = unpack(data)
        columns = {name: np.frombuffer(blobs[name], form) for name, form in _COLUMNS.items()}
        return cls(**columns, starts=np.frombuffer(blobs["starts"], "<i4"))

    def chunks_of(self, at: Index) -> Index:
        """In which chunk of the run the rows at some places are."""
        found: Index = np.searchsorted(self.starts, at, side="right") - 1
        return found


class Kept(NamedTuple):
    """What is kept of a chunk's rows when it is cut; the ledger without the days."""

    row: NDArray[np.int32]
    digest: NDArray[np.uint64]
    key: Index
    sort: NDArray[np.uint8]

    def to_bytes(self) -> bytes:
        """For a chunk's part."""
        return pack({name: np.ascontiguousarray(getattr(self, name)).tobytes() for name in self._fields})

    @classmethod
    def from_bytes(cls, data: bytes) -> Kept:
        """The reverse."""
        blobs = unpack(data)
        columns: Any = [np.frombuffer(blobs[name], _COLUMNS[name]) for name in cls._fields]
        return cls(*columns)

    def within(self, first: int, last: int) -> Kept:
        """Those of some row numbers."""
        part = slice(*np.searchsorted(self.row, [first, last + 1]).tolist())
        return Kept(self.row[part], self.digest[part], self.key[part], self.sort[part])


NOBODY: Final = Kept(np.zeros(0, np.int32), np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros(0, np.uint8))


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Which run's ledger speaks for each row of a file, in its order.

    Args:
        sources: names of the runs' folders.
        row: number of each row.
        source: position in `sources`.
        at: place in that run's ledger.
        about: what a later run must know: `Continuing` as plain values.
    """

    sources: list[str]
    row: NDArray[np.int32]
    source: NDArray[np.uint16]
    at: NDArray[np.int32]
    about: dict[str, Any]

    def to_bytes(self) -> bytes:
        """For a part. Rows that follow each other in the same ledger are told together."""
        count = len(self.row)
        new = np.ones(count, np.bool_)
        if count:
            new[1:] = (np.diff(self.row) != 1) | (np.diff(self.at) != 1) | (self.source[1:] != self.source[:-1])
        first = np.flatnonzero(new)
        return pack(
            {
                "about": json.dumps({"sources": self.sources, **self.about}).encode(),
                "row": self.row[first].astype("<i4").tobytes(),
                "source": self.source[first].astype("<u2").tobytes(),
                "at": self.at[first].astype("<i4").tobytes(),
                "count": np.diff(first, append=count).astype("<i4").tobytes(),
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Places:
        """The reverse."""
        blobs = unpack(data)
        about = json.loads(blobs["about"])
        count = np.frombuffer(blobs["count"], "<i4").astype(np.int64)
        within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)

        def spread(name: str, form: str, step: Index | int) -> Any:
            return (np.repeat(np.frombuffer(blobs[name], form), count) + step).astype(form)

        return cls(
            about.pop("sources"), spread("row", "<i4", within), spread("source", "<u2", 0), spread("at", "<i4", within),
            about,
        )  # fmt: skip


class Way(NamedTuple):
    """How a file of delimited text is read, and its pieces.

    Args:
        header: names of its columns.
        delimiter, encoding: see `reading.Table`.
        pieces: of it.
    """

    header: list[str]
    delimiter: str
    encoding: str
    pieces: Pieces

    def to_bytes(self) -> bytes:
        """For a part."""
        return pack(
            {
                "about": json.dumps([self.header, self.delimiter, self.encoding], ensure_ascii=False).encode(),
                "digests": self.pieces.digests,
                "sizes": self.pieces.sizes.astype("<i8").tobytes(),
                "records": self.pieces.records.astype("<i8").tobytes(),
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Way:
        """The reverse."""
        blobs = unpack(data)
        header, delimiter, encoding = json.loads(blobs["about"])
        sizes, records = (np.frombuffer(blobs[name], "<i8") for name in ("sizes", "records"))
        return cls(header, delimiter, encoding, Pieces(blobs["digests"], sizes, records))


@dataclass(frozen=True, slots=True, eq=False)
class Before:
    """A run that is gone on from: for every row of its file what the ledgers say, wherever they stand.

    Args:
        folder: of the run.
        places: of its rows.
        ledgers: of the runs that its places name, in that order.
        digest, key, sort, holds_until: of each row of its file.
        way: how its file is read; None: it was no delimited text, or cannot be cut.
    """

    folder: RunFolder
    places: Places
    ledgers: list[Ledger]
    digest: NDArray[np.uint64]
    key: Index
    sort: NDArray[np.uint8]
    holds_until: NDArray[np.int32]
    way: Way | None


Siblings = Callable[[str], RunFolder]
"""Name of a run's folder → the folder."""


def before_of(folder: RunFolder, siblings: Siblings) -> Before:
    """A run that is gone on from.

    Raises:
        RefusedError: it is no live run, or not done.
        StoreError: it cannot be read.
    """
    if not folder.parts.has(PLACES):
        raise not_live()
    places = Places.from_bytes(folder.parts.read(PLACES))
    ledgers = [Ledger.from_bytes(siblings(name).parts.read(LEDGER)) for name in places.sources]
    return Before(folder, places, ledgers, way=way_of(folder), **_spoken_for(places, ledgers))


def _spoken_for(places: Places, ledgers: list[Ledger]) -> dict[str, Any]:
    """For every row what its ledger says. Nearly all are the first run's: these are taken at once, then the rest."""
    names = [name for name in _COLUMNS if name != "row"]
    if not ledgers:
        return {name: np.empty(0, _COLUMNS[name]) for name in names}
    sizes = np.bincount(places.source, minlength=len(ledgers))
    most = int(sizes.argmax())
    at = places.at if len(ledgers) == 1 else np.where(places.source == most, places.at, 0)
    columns = {name: getattr(ledgers[most], name).take(at) for name in names}
    others = np.flatnonzero(places.source != most) if len(ledgers) > 1 else np.zeros(0, np.int64)
    for source in np.unique(places.source[others]).tolist():
        mine = others[places.source[others] == source]
        for name, column in columns.items():
            column[mine] = getattr(ledgers[source], name)[places.at[mine]]
    return columns


def way_of(folder: RunFolder) -> Way | None:
    """How the file of a run is read, where that was put down."""
    return Way.from_bytes(folder.parts.read(PIECES)) if folder.parts.has(PIECES) else None


def digests(frame: pl.DataFrame, columns: Mapping[str, int], secret: bytes) -> NDArray[np.uint64]:
    """What stands for the cells of each row: of the columns that have a field, wherever these stand in the file.

    64 bits under a secret of the roster, from the hash of polars: another version of it may give others, and then rows
    are taken for changed once that are not.

    Args:
        frame: cells as text, columns named by position.
        columns: field → position.
        secret: of the roster.
    """
    total = np.zeros(frame.height, np.uint64)
    for field, at in columns.items():
        cells = frame[str(at)]
        seed = int.from_bytes(hashlib.blake2b(field.encode(), key=secret, digest_size=8).digest())
        hashed = cells.hash(seed).to_numpy()
        empty = (cells == "").to_numpy()
        total += np.where(empty, np.uint64(0), hashed)
    return total
