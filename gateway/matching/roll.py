"""Who of this member's people draws: read from wherever rosters are kept, a batch at a time.

Owns: `Drawn`, what this package asks of rosters; tags of all who draw, and of the faces under which they were checked;
points of those that are to be sent, and the text of those who were found, by reading once more. Refuses: holding
numbers, names or faces: tags and points are all that stays, for half an hour, so that several members are served by one
reading.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from gateway.clock import Clock
from gateway.matching.blinding import POINT_BYTES, points_of, text_of, text_of_face
from gateway.matching.columns import Rows, joined, rows_of, within
from gateway.once.keyed import Keying
from gateway.rules.columns import Int32

HOLD_S: Final = 1_800.0
Points = NDArray[np.void]


class Drawing(NamedTuple):
    """Some people of one agency who draw: parallel columns, as in `Certified`; numbers are normalised."""

    unit: str
    id_number: Sequence[str]
    name: Sequence[str]
    benefit: Int32
    reference: Sequence[str]
    faces: Sequence[tuple[int, bytes]] = ()
    """(place, token) of the faces by which these people were certified."""

    def __repr__(self) -> str:
        """Nothing of the people, whoever logs it."""
        return f"<Drawing at {self.unit}: {len(self.benefit)}>"


class Drawn(Protocol):
    """Where rosters are kept."""

    def parts(self) -> AsyncIterator[Drawing]:
        """Everybody who draws at the moment, in batches of bounded length; somebody may come more than once.

        Raises:
            StoreError: they cannot be read.
        """
        ...


class Protected(Protocol):
    """People about whom nobody is told; as `gateway.inquiry.narrowing.Narrowing`."""

    @property
    def protects(self) -> bool:
        """Whether anybody is protected."""
        ...

    def all_protected(self, numbers: Sequence[str]) -> list[int]:
        """Places of the protected ones among numbers."""
        ...


class Person(NamedTuple):
    """Somebody as an agency has them; `by_face`: found by their face alone, not by their number."""

    tag: bytes
    unit: str
    id_number: str
    name: str
    benefit: int
    reference: str
    by_face: bool = False

    def __repr__(self) -> str:
        """Nothing of the person, whoever logs it."""
        return f"<Person of {self.unit}>"


class _Held(NamedTuple):
    at_s: float
    tags: Rows
    points: Points


class Roll:
    """See the module.

    Args:
        drawn: where rosters are kept.
        keying: makes tags.
        protected: tells about whom nobody is told at the moment.
    """

    def __init__(self, drawn: Drawn, keying: Keying, clock: Clock, protected: Callable[[], Protected]) -> None:
        self._drawn = drawn
        self._keying = keying
        self._clock = clock
        self._protected = protected
        self._held: _Held | None = None

    async def look(self, benefits: frozenset[int], of_faces: frozenset[int] = frozenset()) -> Rows:
        """Tags of everybody who draws one of these benefits, and of the faces of those who draw one of those, in order,
        each once; without protected people.

        Raises:
            StoreError: rosters cannot be read.
        """
        allowed, shown = (np.array(sorted(each), np.int32) for each in (benefits, of_faces))
        found = [await asyncio.to_thread(self._tags, part, allowed, shown) async for part in self._drawn.parts()]
        return await asyncio.to_thread(lambda: np.unique(joined(found)))

    async def points(self, tags: Rows) -> tuple[Rows, Points]:
        """Those of these people and faces, given in order, who are still there, in order, and their points.

        Raises:
            StoreError: rosters cannot be read.
        """
        points, made = np.zeros(len(tags), f"V{POINT_BYTES}"), np.zeros(len(tags), np.bool_)
        held = self._held
        if held is not None and len(held.tags) and self._clock.monotonic() - held.at_s < HOLD_S:
            known = within(tags, held.tags)
            points[known] = held.points[np.searchsorted(held.tags, tags[known])]
            made |= known
        if not made.all():
            async for part in self._drawn.parts():
                await asyncio.to_thread(self._make, part, tags, points, made)
        tags, points = tags[made], points[made]
        self._held = _Held(self._clock.monotonic(), tags, points)
        return tags, points

    async def find(self, tags: Rows) -> list[Person]:
        """These people, and those of these faces, as their agencies have them; of one agency, the first row.

        Raises:
            StoreError: rosters cannot be read.
        """
        found: dict[tuple[bytes, str], Person] = {}
        if len(tags):
            async for part in self._drawn.parts():
                for person in await asyncio.to_thread(self._those, part, tags):
                    known = found.get((person.tag, person.unit))
                    if known is None or (known.by_face and not person.by_face):
                        found[person.tag, person.unit] = person
        return list(found.values())

    def forget_old(self) -> None:
        """Let go of what was held for long."""
        if self._held is not None and self._clock.monotonic() - self._held.at_s >= HOLD_S:
            self._held = None

    def _tags(self, part: Drawing, allowed: Int32, shown: Int32) -> Rows:
        tags = rows_of(b"".join(self._keying.tags(part.id_number, part.benefit)))
        free = np.ones(len(tags), np.bool_)
        narrowing = self._protected()
        if narrowing.protects:
            free[narrowing.all_protected(part.id_number)] = False
        people = tags[free & np.isin(part.benefit, allowed)]
        place, faces = self._faces(part)
        return joined([people, faces[(free & np.isin(part.benefit, shown))[place]]])

    def _faces(self, part: Drawing) -> tuple[NDArray[np.int64], Rows]:
        """Whose the faces of some people are, and their tags."""
        place = np.array([at for at, _ in part.faces], np.int64)
        tags = self._keying.face_tags([token for _, token in part.faces], part.benefit[place])
        return place, rows_of(b"".join(tags))

    def _make(self, part: Drawing, wanted: Rows, points: Points, made: NDArray[np.bool_]) -> None:
        """Fill in the points of those who are wanted and not made yet."""
        people = len(part.id_number)
        place, faces = self._faces(part)
        tags = joined([rows_of(b"".join(self._keying.tags(part.id_number, part.benefit))), faces])
        rows = within(tags, wanted).nonzero()[0]
        places, first = np.unique(np.searchsorted(wanted, tags[rows]), return_index=True)
        new = ~made[places]
        places, rows = places[new], rows[first[new]]
        of_face = rows >= people
        whose = rows.copy()
        whose[of_face] = place[rows[of_face] - people]
        benefits = part.benefit[whose].tolist()
        classes = {benefit: self._keying.exclusion(benefit) for benefit in set(benefits)}
        texts = [
            text_of(classes[each], part.id_number[row])
            if row < people
            else text_of_face(classes[each], part.faces[row - people][1])
            for row, each in zip(rows.tolist(), benefits, strict=True)
        ]
        points[places] = np.frombuffer(points_of(texts), f"V{POINT_BYTES}")
        made[places] = True

    def _those(self, part: Drawing, wanted: Rows) -> list[Person]:
        tags = self._keying.tags(part.id_number, part.benefit)
        place, faces = self._faces(part)
        by_number = within(rows_of(b"".join(tags)), wanted)
        by_face = np.zeros(len(tags), np.bool_)
        by_face[place[within(faces, wanted)]] = True
        return [
            Person(
                tags[at],
                part.unit,
                part.id_number[at],
                part.name[at],
                int(part.benefit[at]),
                part.reference[at],
                by_face=not by_number[at],
            )
            for at in (by_number | by_face).nonzero()[0].tolist()
        ]
