"""The claim of a whole roster, in bounded memory.

    async with Claiming(gate, unit, run, folder) as claiming:
        await claiming.add(certified)                  chunk by chunk, in order of rows
        async for refused in claiming.finish(people):  (rows, Claimed) of each part that was claimed
            ...

Owns: the order in which a roster is claimed. Tags are as good as random numbers: claimed chunk by chunk, each chunk
would touch every page of the table. So they are put aside by their first bits and claimed in the order of tags: those
of a large roster in columns (`gateway.store.claimed`), some drawers in a transaction: first the faces by which people
were certified, then the people, without those whose face is another's. Those with linked numbers, a few, are claimed as
they come and so before the others. Refuses: text on the disk: what is put aside are keyed tags.

However often it is done again, the same run refuses the same rows, if it is handed the same rows in the same order and
nobody else claimed meanwhile.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from gateway.once.gate import Gate, Refused
from gateway.once.keyed import Certified, in_order
from gateway.store.claimed import DRAWERS as BLOCKS
from gateway.store.claimed import PACKED, Packed

DRAWERS: Final = 64
AT_ONCE: Final = 5_000
"""Claims of a small roster in one transaction."""
MANY_FROM: Final = 20_000
"""Rows from which on a roster is claimed in columns."""
_IN_ONE: Final = BLOCKS // DRAWERS
_PEOPLE, _FACES = "people", "faces"

People = Callable[[NDArray[np.int64]], Certified]
"""Rows → these people, in this order, with their text."""


class Claiming:
    """See the module.

    Args:
        gate: where it is claimed.
        unit: the agency.
        run: 16 bytes, the same in every try of one run.
        folder: private; something temporary is put there.
    """

    def __init__(self, gate: Gate, unit: str, run: bytes, folder: Path) -> None:
        self._gate = gate
        self._unit = unit
        self._run = run
        self._drawers = tempfile.TemporaryDirectory(prefix="claims-", dir=folder)
        self._refused: list[tuple[int, Refused]] = []
        self._held: list[Packed] = []
        self._faces: list[Packed] = []
        """What is not put aside: nothing, once the roster is known to be a large one."""
        self._rows = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self._drawers.cleanup)

    async def add(self, certified: Certified) -> None:
        """The next rows, those with linked numbers among them; `unit` and `run` are those of the claiming.

        Raises:
            RefusedError: columns of different lengths.
            StoreError: those with links could not be claimed.
        """
        certified.check()
        packed = await asyncio.to_thread(self._gate.keying.pack, certified)
        special = sorted({place for place, _ in certified.linked})
        place = np.array([place for place, token in certified.faces if token], np.int64)
        faces = self._gate.keying.faces(packed, place, [token for _, token in certified.faces if token])
        if special:
            linked, shown = self._gate.keying.pairs(certified)
            at = {place: position for position, place in enumerate(special)}
            refused = await self._gate.claim_packed(
                self._unit,
                self._run,
                packed[special],
                [(at[place], tag) for place, tag in linked],
                [(at[place], tag) for place, tag in shown if place in at],
            )
            self._refused += [(int(certified.row[special[each.place]]), each) for each in refused]
            packed, faces = np.delete(packed, special), faces[~np.isin(place, special)]
        await self.add_packed(packed, faces)

    async def add_packed(self, packed: Packed, faces: Packed | None = None) -> None:
        """The next rows, as `Keying.packed` makes them, none with further numbers; faces as `Keying.faces` does."""
        self._rows += len(packed)
        self._held.append(packed)
        if faces is not None and len(faces):
            self._faces.append(faces)
        if self._rows >= MANY_FROM:
            together, self._held = np.concatenate(self._held), []
            await asyncio.to_thread(self._put_aside, together, _PEOPLE)
            if self._faces:
                shown, self._faces = np.concatenate(self._faces), []
                await asyncio.to_thread(self._put_aside, shown, _FACES)

    async def finish(self, people: People) -> AsyncIterator[list[tuple[int, Refused]]]:
        """Claim everything; the rows that were refused, part by part, their findings kept.

        Args:
            people: gives the text of a few rows.

        Raises:
            StoreError: some of it could not be claimed; do it all again.
        """
        if self._refused:
            yield await self._noted(self._refused, people)
        if self._rows >= MANY_FROM:
            others_face = await self._claim_faces()
            if others_face:
                yield await self._noted([*others_face.items()], people)
            out = np.array(list(others_face), np.int64)
            elsewhere = await self._gate.elsewhere()
            for drawer in range(DRAWERS):
                part = await asyncio.to_thread(self._take, drawer, _PEOPLE)
                if len(out):
                    part = part[~np.isin(part["row"], out)]
                if not len(part):
                    continue
                within = drawer * _IN_ONE, (drawer + 1) * _IN_ONE - 1
                refused = await self._gate.claim_drawers(self._unit, self._run, part, within, elsewhere)
                if refused:
                    rows = part["row"]
                    yield await self._noted([(int(rows[each.place]), each) for each in refused], people)
            return
        packed = np.concatenate([np.zeros(0, PACKED), *self._held])
        packed = packed[in_order(packed)]
        shown = np.concatenate([np.zeros(0, PACKED), *self._faces])
        faces: dict[int, list[bytes]] = {}
        for row, tag in zip(shown["row"].tolist(), shown["tag"].tolist(), strict=True):
            faces.setdefault(row, []).append(tag)
        seen = np.isin(packed["row"], shown["row"])
        packed = np.concatenate([packed[seen][np.argsort(packed["row"][seen])], packed[~seen]])
        for start in range(0, len(packed), AT_ONCE):
            part = packed[start : start + AT_ONCE]
            pairs = [(at, tag) for at, row in enumerate(part["row"].tolist()) for tag in faces.get(row, ())]
            refused = await self._gate.claim_packed(self._unit, self._run, part, faces=pairs)
            if refused:
                rows = part["row"]
                yield await self._noted([(int(rows[each.place]), each) for each in refused], people)

    async def _claim_faces(self) -> dict[int, Refused]:
        """Claim the faces; the rows whose face is another person's. A face is held also by who is refused afterwards:
        it is theirs.
        """
        found: dict[int, Refused] = {}
        for drawer in range(DRAWERS):
            part = await asyncio.to_thread(self._take, drawer, _FACES)
            if len(part):
                within = drawer * _IN_ONE, (drawer + 1) * _IN_ONE - 1
                for each in await self._gate.claim_faces(self._unit, self._run, part, within):
                    found.setdefault(int(part["row"][each.place]), each)
        return dict(sorted(found.items()))

    async def _noted(self, refused: list[tuple[int, Refused]], people: People) -> list[tuple[int, Refused]]:
        refused.sort()
        rows = np.array([row for row, _ in refused], np.int64)
        certified = await asyncio.to_thread(people, rows)
        findings = [each._replace(place=place) for place, (_, each) in enumerate(refused)]
        await self._gate.note(certified, findings)
        return refused

    def _put_aside(self, packed: Packed, kind: str) -> None:
        drawer = np.frombuffer(packed["tag"].tobytes(), np.uint8)[::16] // (256 // DRAWERS)
        order = np.argsort(drawer, kind="stable")
        ends = np.searchsorted(drawer[order], np.arange(DRAWERS + 1))
        sorted_rows = packed[order]
        for number in range(DRAWERS):
            part = sorted_rows[ends[number] : ends[number + 1]]
            if len(part):
                with self._drawer(number, kind).open("ab") as file:
                    file.write(part.tobytes())

    def _take(self, number: int, kind: str) -> Packed:
        path = self._drawer(number, kind)
        if not path.exists():
            return np.zeros(0, PACKED)
        packed = np.fromfile(path, PACKED)
        return packed[in_order(packed)]

    def _drawer(self, number: int, kind: str) -> Path:
        return Path(self._drawers.name) / f"{kind}-{number:02d}"
