"""The files of a run, written from what the gateway gives out chunk by chunk.

Owns: handing chunks to `gateway.roster.results`, and the tables as they came, for programs. Refuses: what is in a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

import polars as pl

from gateway.cli.language import chinese
from gateway.roster.frames import TABLES, ChunkFrames, empty, from_arrow
from gateway.roster.results.writing import Options, Written, write
from gateway.services.days import civil_day_of
from gateway.wording import Word
from wugan.agency.v1 import roster_pb2

RAW: Final = "tables"


def write_files(
    chunks: Iterable[dict[int, list[bytes]]],
    out: Path,
    run: roster_pb2.RosterRun,
    members: Mapping[str, tuple[str, str]],
    *,
    raw: bool,
) -> Written:
    """Write all files of a run.

    Args:
        chunks: of each its tables (RosterTable → Arrow files).
        out: the folder.
        run: as it ended.
        members: names of members in Chinese and English.
        raw: also write the tables as they came, in Parquet.

    Raises:
        RefusedError: what came does not fit.
        StoreError: another command writes there now.
    """
    options = Options(
        as_of_on=civil_day_of(run.as_of),
        language="zh" if chinese() else "en",
        title=run.file_name,
        members={member: Word(*names) for member, names in members.items()},
    )
    frames: Iterator[dict[str, pl.DataFrame]] = map(_frames_of, chunks)
    if raw:
        frames = _put_raw(frames, out / RAW)
    return write((ChunkFrames(number, **tables) for number, tables in enumerate(frames)), out, options)


def _frames_of(tables: dict[int, list[bytes]]) -> dict[str, pl.DataFrame]:
    """The tables of a chunk by name."""
    return {
        name: pl.concat([from_arrow(piece) for piece in tables[number]]) if number in tables else empty(name)
        for name, (number, _) in TABLES.items()
    }


def _put_raw(chunks: Iterable[dict[str, pl.DataFrame]], folder: Path) -> Iterator[dict[str, pl.DataFrame]]:
    """The same chunks; their tables are written when all have passed."""
    held: dict[str, list[pl.DataFrame]] = {name: [] for name in TABLES}
    for tables in chunks:
        for name, table in tables.items():
            held[name].append(table)
        yield tables
    folder.mkdir(mode=0o700, exist_ok=True)
    for name, parts in held.items():
        path = folder / f"{name}.parquet"
        path.touch(mode=0o600)
        path.chmod(0o600)
        pl.concat(parts, how="diagonal").write_parquet(path)
