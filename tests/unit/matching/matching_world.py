"""Two members that compare their rosters: joined by real outboxes and inboxes, their people written out in the test."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gateway.access.policy import Policy
from gateway.clock import FakeClock
from gateway.inquiry.access import Access
from gateway.inquiry.harvest import Harvest
from gateway.inquiry.narrowing import Narrowing
from gateway.inquiry.quotas import Quotas
from gateway.matching.blinding import terms_digest
from gateway.matching.findings import Findings
from gateway.matching.matching import Matching
from gateway.matching.roll import Drawing, Roll
from gateway.matching.rounds import Rounds
from gateway.matching.session import DONE, Session
from gateway.once.gate import Gate
from gateway.sections.inward import HarvestSettings
from gateway.sections.lasting import DuplicatesSettings
from gateway.store.alarms import Alarm
from gateway.store.inbox import UNDER_WAY, WAITING
from tests.unit.post.post_world import Site, two_sites, until
from tests.unit.rules.rules_world import BOOK
from tests.unit.services.gateways_world import NOW_MS, digest_of, policy, terms
from wugan.agency.v1 import duplicates_pb2
from wugan.federation.v1 import delivery_pb2, matching_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

PENSION = words.BENEFIT_TYPE_EMPLOYEE_PENSION
RESIDENT = words.BENEFIT_TYPE_RESIDENT_PENSION
INJURY = words.BENEFIT_TYPE_WORK_INJURY
TERMS = terms_digest([("OLD_AGE", [PENSION, RESIDENT])])


def people(serials: Iterable[int]) -> list[str]:
    """Numbers of made-up people."""
    return [f"33070219{50 + serial // 10_000:02d}{serial % 10_000:04d}123X" for serial in serials]


def drawing(
    numbers: Sequence[str],
    *,
    unit: str = "jinhua",
    benefit: int = PENSION,
    faces: Sequence[tuple[int, bytes]] = (),
) -> Drawing:
    count = len(numbers)
    names = [f"某{number[-6:]}" for number in numbers]
    references = [f"R-{number[-8:]}" for number in numbers]
    return Drawing(unit, list(numbers), names, np.full(count, benefit, np.int32), references, faces)


class Rosters:
    """Who draws, as a test says."""

    def __init__(self, *parts: Drawing) -> None:
        self.kept = list(parts)
        self.read = 0

    async def parts(self) -> AsyncIterator[Drawing]:
        self.read += 1
        for part in self.kept:
            yield part


class Side:
    """One member: its people, what it allows, and what it finds."""

    def __init__(self, site: Site, clock: FakeClock, folder: Path, rosters: Rosters, **changed: Any) -> None:
        self.site, self.clock, self.folder, self.rosters = site, clock, folder, rosters
        self.store = site.store
        self.alarms: list[Alarm] = []
        self.harvest = Harvest(HarvestSettings(), lambda alarm, _numbered: self.alarms.append(alarm))
        self.access = Access(clock, Quotas(site.store.usage), policy(terms()), digest=digest_of, harvest=self.harvest)
        self.gate = Gate(BOOK, site.store, clock)
        self.settings = DuplicatesSettings(**{"matching": True, "column_people": 64, **changed})
        self.terms = TERMS
        self.matching = self.started()
        site.inbox.register(delivery_pb2.DELIVERY_KIND_MATCHING, self, workers=1)

    def started(self) -> Matching:
        """As a gateway makes it when it starts."""
        roll = Roll(self.rosters, self.gate.keying, self.clock, self._narrowing)
        return Matching(
            self.site.party.member_id,
            self.store,
            self.site.outbox,
            self.access,
            Rounds(self.terms, roll, self.store.parts(self.folder), self.access, self.settings),
            Findings(self.store.duplicates, self.gate.keying, roll),
            self.clock,
            self.settings,
            b"o" * 32,
        )

    def restart(self) -> None:
        """Nothing is left of it but what is on the disk."""
        self.matching = self.started()

    def check(self, *given: Any) -> None:
        self.matching.check(*given)

    async def handle(self, delivery: Any) -> Any:
        return await self.matching.handle(delivery)

    def allow(self, allowed: Policy) -> None:
        self.access.use(allowed)

    async def found(self, unit: str = "jinhua", *, by_face: bool = False) -> list[str]:
        """Numbers of those whom an agency is shown as drawing at the other member, too; under another number."""
        kept = await self.store.duplicates.list(unit, 0, 1000, settled=False)
        kind = words.DUPLICATE_KIND_OTHER_FACE if by_face else words.DUPLICATE_KIND_OTHER_MEMBER
        assert {each.member for each in kept} <= {self.site.other.member_id}
        those = [duplicates_pb2.Duplicate.FromString(each.body) for each in kept if each.kind == kind]
        return sorted(each.id_number for each in those)

    async def session(self) -> Session:
        session = await self.matching.session(self.site.other.member_id)
        assert session is not None
        return session

    async def said(self) -> list[str]:
        """What the record of processing says was decided, without what was said of letters."""
        return [each.event.decision for each in await self.store.audit.events()]

    def _narrowing(self) -> Narrowing:
        return self.access.narrowing(terms().scope)


class World:
    """Both, joined."""

    def __init__(self, a: Side, b: Side, clock: FakeClock) -> None:
        self.a, self.b, self.clock = a, b, clock

    async def match(self) -> None:
        """A begins, and goes on with B until neither has anything to say."""
        assert await self.a.matching.begin(self.b.site.party.member_id)
        await self.quiet()

    async def quiet(self) -> None:
        async def done() -> bool:
            sent = self._sent()
            for side, other in ((self.a, self.b), (self.b, self.a), (self.a, self.b)):
                if await side.site.waiting():
                    return False
                counts = await other.store.inbox.counts()
                if counts.get(WAITING) or counts.get(UNDER_WAY):
                    return False
            return sent == self._sent()  # else what they say went past us, from one look to the next

        await until(done, "neither has anything to say")

    def _sent(self) -> int:
        """Envelopes that either sent so far."""
        return sum(len(side.site.wire.envelopes) for side in (self.a, self.b))

    async def settled(self) -> None:
        """Nothing is on its way; what was put off may be."""

        async def done() -> bool:
            for side in (self.a, self.b):
                counts = await side.store.inbox.counts()
                if await side.site.waiting() or counts.get(WAITING):
                    return False
            return True

        for _ in range(3):
            await until(done, "nothing is on its way")
            await asyncio.sleep(0.05)

    async def both_done(self) -> bool:
        return all([(await side.session()).state == DONE for side in (self.a, self.b)])

    def steps(self) -> list[matching_pb2.MatchingStep]:
        """What went over the wires."""
        sent = [
            delivery
            for side in (self.a, self.b)
            for at in range(len(side.site.wire.envelopes))
            for delivery in side.site.sent(at)
        ]
        assert {each.kind for each in sent} <= {delivery_pb2.DELIVERY_KIND_MATCHING}
        return [matching_pb2.MatchingStep.FromString(each.body) for each in sent]


@contextlib.asynccontextmanager
async def world(folder: Path, of_a: Rosters, of_b: Rosters, **changed: Any) -> AsyncIterator[World]:
    """A pays these, B pays those."""
    clock = FakeClock(NOW_MS)
    async with two_sites(folder, clock) as (a, b):
        sides = [
            Side(site, clock, folder / name / "matching", rosters, **changed)
            for site, name, rosters in ((a, "a", of_a), (b, "b", of_b))
        ]
        async with a.running(), b.running():
            yield World(sides[0], sides[1], clock)
    shutil.rmtree(folder / "a", ignore_errors=True)
