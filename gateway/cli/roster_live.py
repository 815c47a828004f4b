"""A live roster at the agency's end: what the folder of results remembers of the file, and what of a new one is sent.

Owns: the file `pieces-…` in the folder of results, and comparing a new file with it. Refuses: calls (`roster_client`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from gateway.cli.roster_client import digest_of
from gateway.roster.formats import CSV, told
from gateway.roster.pieces import DIGEST_BYTES, Pieces, Step, matched, pieces_of, steps

BLOCK: Final = 1 << 19


class Handed(NamedTuple):
    """A file as it is handed in.

    Args:
        size: in bytes.
        sha256: what the header says: of the file, or of its pieces' digests where pieces are copied.
        pieces: of the file, to be remembered; None: it has none.
        made_of: how it is made of the one before; empty: it is sent whole.
    """

    size: int
    sha256: bytes
    pieces: Pieces | None
    made_of: Sequence[Step]


def handed(path: Path, folder: Path, before: str) -> Handed:
    """How a file is handed in.

    Args:
        path: of the file.
        folder: of results.
        before: id of the run that is gone on from; "": none.
    """
    pieces = _pieces(path)
    known = _remembered(folder, before) if before and pieces is not None else None
    if pieces is None or known is None:
        return Handed(*digest_of(path), pieces, ())
    found = matched(pieces, known)
    if found[0] < 0:
        return Handed(*digest_of(path), pieces, ())
    return Handed(int(pieces.sizes.sum()), pieces.root, pieces, steps(pieces.sizes, found))


def whole(path: Path, handed_in: Handed) -> Handed:
    """The same, sent whole."""
    return Handed(*digest_of(path), handed_in.pieces, ())


def remember_pieces(folder: Path, run_id: str, pieces: Pieces | None) -> None:
    """Remember the pieces of a run's file, and forget those of others but the one before."""
    if pieces is None:
        return
    target = _file(folder, run_id)
    scratch = folder / f".{target.name}.part"
    handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(pieces.digests)
    scratch.replace(target)


def forget_pieces(folder: Path, but: str) -> None:
    """Forget the pieces of all runs but one."""
    for path in folder.glob(".pieces-*"):
        if path != _file(folder, but):
            path.unlink(missing_ok=True)


def _remembered(folder: Path, run_id: str) -> Pieces | None:
    try:
        digests = _file(folder, run_id).read_bytes()
    except OSError:
        return None
    if not digests or len(digests) % DIGEST_BYTES:
        return None
    unknown = np.zeros(len(digests) // DIGEST_BYTES, np.int64)
    return Pieces(digests, unknown, unknown)


def _pieces(path: Path) -> Pieces | None:
    with path.open("rb") as file:
        start = file.read(16)
        if told(start) != CSV:
            return None
        file.seek(0)

        def blocks() -> Iterator[bytes]:
            while data := file.read(BLOCK):
                yield data

        return pieces_of(blocks())


def _file(folder: Path, run_id: str) -> Path:
    return folder / f".pieces-{run_id}"
