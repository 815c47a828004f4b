"""The once-only gate: one successful certification per person, benefit and cycle (一人只能认证成功一次).

    claimed = await gate.claim(Certified(unit, run, row, id_number, name, benefit, reference, certified_on))
    claimed.accepted        one bool a row
    claimed.place / kind    the rows that were refused, and why (DuplicateKind)

A whole roster is claimed by `gateway.once.claiming`. Owns: who is refused because of another agency, of another member,
or of another row, and the findings of that. Refuses: deciding for good: a refused row is a doubt that an official
settles; the certification in force stays.

Claims are made when a certification succeeded, in order of rows: of two in one roster the earlier one stands, however
often the run was interrupted. Retrospective runs (`--as-of`) claim nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gateway.clock import Clock, civil_day
from gateway.once.keyed import Certified, Keying
from gateway.rules.book import RuleBook
from gateway.rules.columns import Index, Int32, Mask
from gateway.store.claimed import Many, Packed
from gateway.store.duplicates import Elsewhere, Finding
from gateway.store.engine import Store
from gateway.store.jumps import Jumps
from gateway.store.once_tables import TAG_BYTES
from wugan.agency.v1 import duplicates_pb2

KEEP_MS: Final = 400 * 86_400_000
"""How long a finding is kept after it was found last."""
KEPT_DAYS: Final = 30
"""How long a claim is kept after its cycle."""


class Refused(NamedTuple):
    """A row that was refused.

    Args:
        place: in the columns that were claimed.
        kind: DuplicateKind.
        unit: the agency of this member that holds the certification in force; "" for another member.
        member: the other member; "" where it is this one.
        certified_on: day of the certification in force; 0 where another member has it.
    """

    place: int
    kind: int
    unit: str
    member: str
    certified_on: int


class DrawElsewhere(NamedTuple):
    """Tags of people who draw at another member, too, in order, and how and where each does."""

    tags: NDArray[np.bytes_]
    those: list[Elsewhere]


@dataclass(frozen=True, slots=True)
class Claimed:
    """What came of a claim: one mask, and columns of the rows that were refused, as in `Refused`."""

    accepted: Mask
    place: Index
    kind: NDArray[np.int8]
    unit: list[str]
    member: list[str]
    certified_on: Int32

    @staticmethod
    def of(count: int, refused: Sequence[Refused]) -> Claimed:
        """The columns of rows."""
        accepted = np.ones(count, np.bool_)
        place = np.array([each.place for each in refused], np.intp)
        accepted[place] = False
        return Claimed(
            accepted,
            place,
            np.array([each.kind for each in refused], np.int8),
            [each.unit for each in refused],
            [each.member for each in refused],
            np.array([each.certified_on for each in refused], np.int32),
        )


class Gate:
    """See the module.

    Args:
        book: says which benefits exclude each other, and how long a cycle is.
        store: where claims and findings are kept.
    """

    def __init__(self, book: RuleBook, store: Store, clock: Clock) -> None:
        self.keying = Keying(book, store)
        self._cycle_days = book.grading.cycle_days
        self._store = store
        self._clock = clock
        self._jumps = Jumps(clock)

    async def claim(self, certified: Certified) -> Claimed:
        """Claim certifications, all in one transaction; findings of those that were refused are kept.

        Raises:
            RefusedError: columns of different lengths.
            StoreError: nothing could be written, and nothing was claimed.
        """
        certified.check()
        linked, faces = self.keying.pairs(certified)
        refused = await self.claim_packed(certified.unit, certified.run, self.keying.pack(certified), linked, faces)
        await self.note(certified, refused)
        return Claimed.of(len(certified), refused)

    async def claim_packed(
        self,
        unit: str,
        run: bytes,
        packed: Packed,
        linked: Sequence[tuple[int, bytes]] = (),
        faces: Sequence[tuple[int, bytes]] = (),
    ) -> list[Refused]:
        """The same for columns without text; whoever has the text notes the findings.

        Raises:
            StoreError: nothing could be written, and nothing was claimed.
        """
        tags = packed["tag"].tolist()
        elsewhere = await self._store.duplicates.open_elsewhere(tags)
        refused = [
            Refused(place, elsewhere[tag].kind, "", elsewhere[tag].member, 0)
            for place, tag in enumerate(tags)
            if tag in elsewhere
        ]
        asked = np.ones(len(tags), np.bool_)
        asked[[each.place for each in refused]] = False
        places = asked.nonzero()[0].tolist()
        if places:
            place_of = {place: at for at, place in enumerate(places)}
            claims = self.keying.claims(
                unit,
                run,
                packed[places],
                [(place_of[place], tag) for place, tag in linked if asked[place]],
                [(place_of[place], tag) for place, tag in faces if asked[place]],
            )
            refused += [
                Refused(places[each.place], each.kind, each.unit, "", each.certified_on)
                for each in await self._store.certifications.claim(claims)
            ]
        return sorted(refused)

    async def elsewhere(self) -> DrawElsewhere:
        """Who is known to draw at another member, too: for claiming a roster."""
        found = await self._store.duplicates.all_elsewhere()
        tags = np.array(sorted(found), f"S{TAG_BYTES}")
        return DrawElsewhere(tags, [found[tag] for tag in sorted(found)])

    async def claim_drawers(
        self, unit: str, run: bytes, packed: Packed, drawers: tuple[int, int], elsewhere: DrawElsewhere
    ) -> list[Refused]:
        """Claim those of a roster that lie in some drawers (`gateway.store.claimed`), in order of tags and rows.

        Raises:
            StoreError: nothing could be written, and nothing was claimed.
        """
        tags = np.ascontiguousarray(packed["tag"]).view(f"S{TAG_BYTES}")
        known = np.isin(tags, elsewhere.tags) if len(elsewhere.tags) else np.zeros(len(tags), np.bool_)
        places = np.flatnonzero(known)
        those = [elsewhere.those[at] for at in np.searchsorted(elsewhere.tags, tags[places]).tolist()]
        refused = [
            Refused(place, each.kind, "", each.member, 0) for place, each in zip(places.tolist(), those, strict=True)
        ]
        asked = np.flatnonzero(~known)
        many = Many(unit, run, packed if len(asked) == len(packed) else packed[asked], self._cycle_days, *drawers)
        found = await self._store.certifications.claim_many(many)
        refused += [
            Refused(int(asked[place]), kind, other, "", since)
            for place, kind, other, since in zip(
                found.place.tolist(), found.kind.tolist(), found.unit, found.certified_on.tolist(), strict=True
            )
        ]
        return sorted(refused)

    async def claim_faces(self, unit: str, run: bytes, packed: Packed, drawers: tuple[int, int]) -> list[Refused]:
        """Claim the faces of a roster's people that lie in some drawers, in order of tags and rows: those of other
        people.

        Raises:
            StoreError: nothing could be written, and nothing was claimed.
        """
        many = Many(unit, run, packed, self._cycle_days, *drawers, faces=True)
        found = await self._store.certifications.claim_many(many)
        columns = found.place.tolist(), found.kind.tolist(), found.unit, found.certified_on.tolist()
        return [Refused(place, kind, other, "", since) for place, kind, other, since in zip(*columns, strict=True)]

    async def note(self, certified: Certified, refused: Sequence[Refused]) -> None:
        """Keep the findings of rows that were refused; places are those of `certified`.

        Raises:
            StoreError: nothing could be written.
        """
        if not refused:
            return
        places = [each.place for each in refused]
        tags = self.keying.tags([certified.id_number[place] for place in places], certified.benefit[places])
        now_ms = self._clock.now_ms()
        findings = []
        for each, tag in zip(refused, tags, strict=True):
            benefit = int(certified.benefit[each.place])
            body = duplicates_pb2.Duplicate(
                id_number=certified.id_number[each.place],
                name=certified.name[each.place],
                benefit=benefit,  # type: ignore[arg-type]  # a number of the contract
                reference=certified.reference[each.place],
                exclusion=self.keying.exclusion(benefit),
                other_unit=each.unit,
                other_certified_on=str(np.datetime64(each.certified_on, "D")) if each.certified_on else "",
            )
            told = body.SerializeToString()
            findings.append(Finding(tag, certified.unit, each.kind, each.member, now_ms, now_ms + KEEP_MS, told))
        await self._store.duplicates.note(findings)

    async def release(self, unit: str, id_number: str, benefit: int) -> int:
        """Give up what a unit holds of a person and class of benefits, so that another may certify; how much that was.

        Raises:
            StoreError: nothing could be written.
        """
        tags = self.keying.tags([id_number], np.array([benefit], np.int32))
        return await self._store.certifications.release(unit, tags)

    async def tidy(self) -> int:
        """Forget what is over for long; how many rows that were, to be called again while there are any.

        A claim that is forgotten too early lets somebody be certified twice: not by a clock that is not believed.
        """
        now_ms = self._jumps.at_least_ms()
        claims = await self._store.certifications.purge(civil_day(now_ms) - KEPT_DAYS)
        return claims + await self._store.duplicates.purge(now_ms)
