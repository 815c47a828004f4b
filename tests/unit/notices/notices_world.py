"""A pays, B watches: two sites joined by real outboxes and inboxes, B's departments written out in the test.

A department tells of whom it has something new when the test says so. Nothing is looked at by itself: `World.settle`
goes on until there is nothing left to do.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from adapters.contract import Changed, ChangeFeed, Lookup
from adapters.errors import SourceDownError
from gateway.access.policy import Policy
from gateway.clock import FakeClock
from gateway.federation.noticed import Noticed, Told
from gateway.federation.subscribing import Subscribing, Wanted
from gateway.inquiry.access import Access
from gateway.inquiry.answering import Inquiry
from gateway.inquiry.asking import Departments
from gateway.inquiry.following import Following
from gateway.inquiry.harvest import Harvest
from gateway.inquiry.noticing import Noticing
from gateway.inquiry.quotas import Quotas
from gateway.inquiry.registering import AT_ONCE, Registering
from gateway.sections.lasting import NoticesSettings
from gateway.services.agency import AgencyServicer
from gateway.services.notices import NoticeService
from gateway.services.serving import Desk
from gateway.store.audit import AuditEvent
from gateway.store.inbox import UNDER_WAY, WAITING
from gateway.store.subscriptions import Subscribed
from tests.unit.post.post_world import DAY_MS, Site, two_sites, until
from tests.unit.rules.rules_world import BOOK, Row, row
from tests.unit.services.gateways_world import (
    ANHUI,
    ANNA,
    FEDERATION,
    NAMES,
    NOW_MS,
    UNIT,
    A,
    B,
    Register,
    context,
    digest_of,
    policy,
    terms,
)
from wugan.adapter.v1 import vocabulary_pb2 as v
from wugan.federation.v1 import delivery_pb2, exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

PENSION = words.BENEFIT_TYPE_EMPLOYEE_PENSION
DEPENDANT = words.BENEFIT_TYPE_WORK_DEATH_DEPENDANT
HEFEI = 340100


class Feed(Register):
    """A department that tells of whom it has something new."""

    def __init__(self, people: Mapping[str, Sequence[Row]], *, named: bool = True, **more: Any) -> None:
        super().__init__(people, **{"department": v.DEPARTMENT_CIVIL_AFFAIRS, **more})
        self.people: dict[str, Sequence[Row]] = dict(people)
        self.about = replace(self.about, changes=True)
        self.named = named
        self.changed: list[str] = []
        self.read_at: list[bytes] = []

    def record(self, number: str, *rows: Row) -> None:
        """Have these rows about a person from now on, and tell that something changed."""
        self.people[number] = rows
        self.changed.append(number)

    def forget(self, number: str) -> None:
        """Take back every record about a person, and tell."""
        del self.people[number]
        self.changed.append(number)

    async def changes(self, cursor: bytes, limit: int) -> Changed:
        self.read_at.append(cursor)
        if self.error is not None:
            raise self.error
        if not cursor:
            return Changed([], [], str(len(self.changed)).encode())
        start = int(cursor)
        numbers = self.changed[start : start + limit]
        names = [self.names[number] if self.named else "" for number in numbers]
        end = start + len(numbers)
        return Changed(numbers, names, str(end).encode(), more=end < len(self.changed))


class Silent(Register):
    """A department that can be made unreachable."""

    async def lookup(self, question: Lookup) -> Any:
        return await super().lookup(question)

    def down(self) -> None:
        self.error = SourceDownError("down", "不可用")

    def up(self) -> None:
        self.error = None


def death(days_ago: int = 3) -> Row:
    return row("CREMATION", days_ago, region=HEFEI)


def settings(**changed: Any) -> NoticesSettings:
    plain: dict[str, Any] = {"poll_s": 0.05, "ask_s": 5.0, **changed}
    return NoticesSettings(**plain)


class World:
    """Both sides, joined."""

    def __init__(
        self,
        a: Site,
        b: Site,
        clock: FakeClock,
        departments: Sequence[Register],
        harvest: Harvest | None = None,
        **changed: Any,
    ) -> None:
        self.a, self.b, self.clock = a, b, clock
        self.settings = settings(**changed)
        self.feeds = [each for each in departments if isinstance(each, Feed)]
        self.departments = Departments(departments, BOOK.names_match, clock)
        self.access = Access(clock, Quotas(b.store.usage), policy(terms()), digest=digest_of, harvest=harvest)
        self.cached: list[tuple[str, bytes]] = []
        self.gone: frozenset[int] = frozenset()
        """B's departments that administrators removed for good."""
        deliver_ms = 30 * DAY_MS
        self.subscribing = Subscribing(
            A.member_id, BOOK, a.directory, a.store, a.outbox, clock, self.settings, deliver_ms=deliver_ms
        )
        self.noticed = Noticed(
            a.store,
            clock,
            keep_ms=400 * DAY_MS,
            invalidate=lambda who, people: self.cached.extend((who, p) for p in people),
        )
        monitoring = self.access.unwatched()
        inquiry = Inquiry(BOOK, self.departments, monitoring, clock, max_subjects=1000, max_evidence=100)
        self.noticing = Noticing(
            BOOK,
            self.departments,
            inquiry,
            b.directory.current,
            b.store,
            b.outbox,
            clock,
            self.settings,
            deliver_ms=deliver_ms,
            gone=lambda: self.gone,
        )
        self.registering = Registering(
            self.access,
            b.store.watches,
            b.store.changes,
            b.store.audit,
            b.outbox,
            clock,
            self.settings,
            lambda: [source.about.department for source in self.departments.feeds],
            self.noticing.wake,
        )
        self.following = Following(
            self.departments, b.store.watches, b.store.changes, clock, self.settings, self.noticing.wake
        )
        a.inbox.register(delivery_pb2.DELIVERY_KIND_SUBSCRIPTION_REPLY, self.subscribing)
        a.inbox.register(delivery_pb2.DELIVERY_KIND_NOTICE, self.noticed)
        b.inbox.register(delivery_pb2.DELIVERY_KIND_SUBSCRIPTION, self.registering, workers=AT_ONCE)

    def agency(self) -> AgencyServicer:
        """What A's units call, but for checks."""
        desk = Desk(self.clock, self.a.directory.current, federation=FEDERATION, limit=8)
        store, directory = self.a.store, self.a.directory
        service = NoticeService(self.subscribing, self.noticed, store.subscriptions, pseudonym, directory, self.clock)
        nothing = cast("Any", None)
        return AgencyServicer(desk, nothing, BOOK, directory, A.member_id, nothing, service, nothing)

    def allow(self, allowed: Policy | None) -> None:
        self.access.use(allowed)

    async def subscribe(
        self, *numbers: str, unit: str = UNIT, benefit: int = PENSION, days: int = 365, name: str = ""
    ) -> int:
        """A unit of A subscribes for people under their own names, and B has heard of it."""
        people = [Wanted(number, name or NAMES.get(number, "无名"), benefit, (ANHUI,)) for number in numbers]
        made, refused = await self.subscribing.subscribe(
            self.context(unit), people, self.clock.now_ms() + days * DAY_MS
        )
        assert not refused
        await self.delivered()
        return made

    @staticmethod
    def context(unit: str = UNIT) -> exchange_pb2.Context:
        return context(purpose=v.PURPOSE_CHANGE_MONITORING, unit=unit)

    async def look(self) -> None:
        """B looks at every department that tells of changes, for as long as it has more."""
        for source in self.departments.feeds:
            while await self.following.look(source.about, cast(ChangeFeed, source.adapter)):
                pass

    async def settle(self) -> None:
        """B looks, sees what there is to tell, and it is delivered."""
        await self.look()
        while await self.noticing.once():
            pass
        await self.delivered()

    async def looked_again(self) -> None:
        """Time passes until whoever was put off was seen to; a department that failed is left alone for a while."""
        for _ in range(10):
            if not (await self.b.store.changes.waiting())[0]:
                return
            self.clock.advance(30)
            await self.settle()
        raise AssertionError("somebody is still put off")

    async def delivered(self) -> None:
        """Everything left with either side was dealt with."""

        async def done() -> bool:
            # In the order in which anything goes round, so that nothing slips past: A asks, B replies or tells.
            for site, other in ((self.a, self.b), (self.b, self.a)):
                if await site.waiting():
                    return False
                counts = await other.store.inbox.counts()
                if counts.get(WAITING) or counts.get(UNDER_WAY):
                    return False
            return True

        await until(done, "everything is delivered")

    async def told(self, unit: str = UNIT, after: int = 0) -> list[Told]:
        """What a unit of A is told."""
        return [each async for each in self.noticed.watch(unit, after, only_present=True)]

    async def statuses(self, unit: str = UNIT) -> list[int]:
        return [findings_of(each).status[0] for each in await self.told(unit)]

    async def standing(self, unit: str = UNIT) -> list[Subscribed]:
        return await self.a.store.subscriptions.page(unit, None, 100)

    async def recorded(self, site: Site) -> list[AuditEvent]:
        return [recorded.event for recorded in await site.store.audit.events()]


def pseudonym(unit: str, official: str) -> bytes:
    """What stands for an official in these tests."""
    return f"{unit}/{official}".encode().ljust(16, b".")[:32]


def findings_of(told: Told) -> exchange_pb2.Findings:
    answer = told.checked.results[0].answer
    assert answer is not None
    return answer.findings


@contextlib.asynccontextmanager
async def world(
    folder: Path, *departments: Register, clock: FakeClock | None = None, **changed: Any
) -> AsyncIterator[World]:
    """Two sites with outbox and inbox at work; B has these departments and has begun to follow them."""
    clock = clock or FakeClock(NOW_MS)
    async with two_sites(folder, clock) as (a, b):
        made = World(a, b, clock, departments, **changed)
        async with a.running(), b.running():
            await made.look()
            yield made


__all__ = ["ANNA", "B", "Feed", "Silent", "World", "death", "findings_of", "world"]
