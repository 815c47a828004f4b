"""Who draws, as the rosters say that were run: for comparing with other members.

Owns: which runs count: of every roster of an agency (it is known by the name of its file) the newest that is done, not
those of a past day. Refuses: judging who should draw: whoever stands in the roster does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import numpy as np

from gateway.clock import civil_day
from gateway.matching.roll import Drawing
from gateway.roster.rosters import Rosters
from gateway.roster.shelf import Kept

_COLUMNS: Final = ["row", "id_number", "name", "benefit", "reference"]


class DrawnByRosters:
    """See the module; as `gateway.matching.roll.Drawn`."""

    def __init__(self, rosters: Rosters) -> None:
        self._rosters = rosters

    async def parts(self) -> AsyncIterator[Drawing]:
        """Everybody in these rosters, chunk by chunk.

        Raises:
            StoreError: a roster cannot be read.
        """
        for kept in newest(self._rosters.done()):
            async for _, _, packed in self._rosters.results(kept, 0):
                yield await asyncio.to_thread(_drawing, kept.submitted.unit, packed)


def newest(done: list[Kept]) -> list[Kept]:
    """Of each roster the newest run."""
    found: dict[tuple[str, str], Kept] = {}
    for kept in sorted(done, key=lambda each: each.submitted.submitted_at_ms):
        submitted = kept.submitted
        if submitted.as_of_on >= civil_day(submitted.submitted_at_ms):
            found[submitted.unit, submitted.file_name] = kept
    return list(found.values())


def _drawing(unit: str, packed: bytes) -> Drawing:
    from gateway.roster.frames import from_arrow
    from gateway.roster.packing import unpack

    blobs = unpack(packed)
    people = from_arrow(blobs["people"], _COLUMNS)
    faces: list[tuple[int, bytes]] = []
    if "faces" in blobs:
        there = people.select("row").with_row_index("place")
        shown = from_arrow(blobs["faces"]).join(there, on="row", how="inner", maintain_order="left")
        faces = shown.select("place", "token").rows()
    return Drawing(
        unit,
        people["id_number"].to_list(),
        people["name"].to_list(),
        people["benefit"].to_numpy().astype(np.int32),
        people["reference"].to_list(),
        faces,
    )
