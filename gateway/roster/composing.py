"""A file that was handed in as pieces of the one before and what is new, so that a million rows need not travel again.

Owns: making sure that it is the file the client has (the digests of its pieces come to the header's), and the part
`composition`. Refuses: putting the bytes together: nobody needs those that were there before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from gateway.errors import RefusedError
from gateway.roster.ledger import way_of
from gateway.roster.packing import pack, unpack
from gateway.roster.pieces import DIGEST_BYTES, Index, Pieces, Step, pieces_of
from gateway.roster.run import RunFolder, Submitted, not_live

COMPOSITION: Final = "composition"


def compose(folder: RunFolder, run: Submitted, before: RunFolder, made_of: Sequence[Step]) -> None:
    """Put down of which pieces a file is made, whose new parts lie in the folder one behind the other.

    Args:
        folder: of the run.
        run: what was submitted.
        before: of the run whose file has the pieces that were copied.
        made_of: how the file is made.

    Raises:
        RefusedError: what came is not the file of the header, or there is no such run to go on from.
        StoreError: a part could not be read or written.
    """
    way = way_of(before)
    if way is None:
        raise not_live()
    theirs = way.pieces
    own = pieces_of(folder.blocks(), header=False) or Pieces(b"", np.zeros(0, np.int64), np.zeros(0, np.int64))
    ends = np.concatenate((np.zeros(1, np.int64), np.cumsum(own.sizes)))
    place = 0
    parts: list[Index] = []
    for step in made_of:
        if step.copied:
            if step.start + step.amount > len(theirs):
                raise _wrong()
            parts.append(np.arange(step.start, step.start + step.amount))
            continue
        first, last = np.searchsorted(ends, [place, place + step.amount]).tolist()
        place += step.amount
        if last >= len(ends) or ends[last] != place:
            raise _wrong()
        parts.append(-1 - np.arange(first, last))
    found = np.concatenate([np.zeros(0, np.int64), *parts])
    copied = found >= 0
    if not len(found) or found[0] != 0 or place != ends[-1] or len(np.unique(found)) != len(found):
        raise _wrong()
    digests = np.empty((len(found), DIGEST_BYTES), np.uint8)
    sizes, records = np.empty(len(found), np.int64), np.empty(len(found), np.int64)
    for chosen, source, at in ((copied, theirs, found[copied]), (~copied, own, -1 - found[~copied])):
        digests[chosen] = np.frombuffer(source.digests, np.uint8).reshape(-1, DIGEST_BYTES)[at]
        sizes[chosen], records[chosen] = source.sizes[at], source.records[at]
    pieces = Pieces(digests.tobytes(), sizes, records)
    if int(sizes.sum()) != run.size or pieces.root != run.sha256:
        raise _wrong()
    found[~copied] = -1
    blobs = {name: column.astype("<i8").tobytes() for name, column in
             (("sizes", sizes), ("records", records), ("found", found))}  # fmt: skip
    folder.parts.write(COMPOSITION, pack({"digests": pieces.digests, **blobs}))


def composition_of(folder: RunFolder) -> tuple[Pieces, Index] | None:
    """The pieces of a run's file, and which of the one before each is, -1 none; None: the file came whole."""
    if not folder.parts.has(COMPOSITION):
        return None
    blobs = unpack(folder.parts.read(COMPOSITION))
    sizes, records, found = (np.frombuffer(blobs[name], "<i8") for name in ("sizes", "records", "found"))
    return Pieces(blobs["digests"], sizes, records), found


def _wrong() -> RefusedError:
    return RefusedError(
        "continues: what was handed in is not the file, made of pieces of the one before; submit it whole",
        "continues：提交的内容与上次名册无法拼成所述文件，请提交完整文件",
        field="continues",
    )
