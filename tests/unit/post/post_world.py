"""Two members that leave things with one another: real keys and stores, joined by a line that a test can cut.

Time stands still unless a test moves it, and nothing runs by itself but the tasks of outbox and inbox.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from gateway.clock import FakeClock
from gateway.errors import PartnerError, WuganError
from gateway.exchange.envelope import open_delivery
from gateway.post.door import Door
from gateway.post.inbox import Inbox
from gateway.post.letters import Handled, Received, letter
from gateway.post.outbox import Outbox
from gateway.sections.lasting import OutboxSettings
from gateway.store.engine import Store
from gateway.store.letters import Effect, Letter
from gateway.store.reader import Reader
from tests.unit.services.gateways_world import NOW_MS, A, B, Listed, Party
from wugan.adapter.v1 import vocabulary_pb2 as v
from wugan.federation.v1 import delivery_pb2, envelope_pb2

NOTICE = delivery_pb2.DELIVERY_KIND_NOTICE
DAY_MS = 86_400_000
WAIT_S = 20.0


def settings(**changed: Any) -> OutboxSettings:
    plain: dict[str, Any] = {"rate_per_s": 100_000.0, "poll_s": 0.02, "retry_first_s": 1.0, **changed}
    return OutboxSettings(**plain)


class Jumping(FakeClock):
    """A clock whose wall time can be set to whatever."""

    ahead_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.ahead_ms


class Noting:
    """Notes the bodies it is handed, in order; says and does what a test tells it to."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.seen: list[Received] = []
        self.refuse: Callable[[bytes], None] = lambda _body: None
        self.outcome: Callable[[Received], Handled] = lambda _delivery: Handled()
        self.before: Callable[[Received], Any] | None = None

    def check(self, _sender: str, _purpose: int, body: bytes, _now_ms: int) -> None:
        self.refuse(body)

    async def handle(self, delivery: Received) -> Handled:
        if self.before is not None:
            await self.before(delivery)
        self.seen.append(delivery)
        outcome = self.outcome(delivery)
        self.bodies.append(delivery.body)
        return outcome


class Wire:
    """Carries envelopes to the other site's door, if it is up; remembers what it carried."""

    def __init__(self) -> None:
        self.door: Door | None = None
        self.sender: Party = A
        self.error: WuganError | None = None
        self.lose_answers = 0
        self.envelopes: list[envelope_pb2.Envelope] = []

    async def deliver(
        self, _member_id: str, envelope: envelope_pb2.Envelope, _timeout_s: float
    ) -> envelope_pb2.Envelope:
        self.envelopes.append(envelope)
        if self.error is not None:
            raise self.error
        if self.door is None:
            raise away()
        answer = await self.door.receive(envelope, self.sender.identity)
        if self.lose_answers:
            self.lose_answers -= 1
            raise away()
        return answer


def away(**changed: Any) -> PartnerError:
    return PartnerError("nobody there", "无人应答", **changed)


class Site:
    """One member: its store, outbox, inbox and door."""

    parties: tuple[Party, ...] = (A, B)
    """Who is in the directory."""

    def __init__(self, party: Party, other: Party, store: Store, clock: FakeClock, **changed: Any) -> None:
        self.party, self.other, self.store, self.clock = party, other, store, clock
        self.directory = Listed(*self.parties, clock=clock)
        self.wire = Wire()
        self.wire.sender = party
        self.settings = settings(**changed)
        self.outbox = Outbox(
            lambda: party.own,
            self.directory.current,
            store.outbox,
            self.wire,
            clock,
            self.settings,
            lifetime_ms=60_000,
            drawn=random.Random(1).random,
        )
        self.inbox = Inbox(store.inbox, clock, self.settings, random.Random(1).random)
        self.noting = Noting()
        self.inbox.register(NOTICE, self.noting)
        self.door = Door(
            lambda: party.own,
            self.directory.current,
            store.inbox,
            self.inbox,
            clock,
            lifetime_ms=60_000,
            longest_ms=60 * DAY_MS,
        )

    def letter(self, body: bytes = b"news", **changed: Any) -> Letter:
        now_ms = self.clock.now_ms()
        options: dict[str, Any] = {
            "purpose": v.PURPOSE_CHANGE_MONITORING,
            "now_ms": now_ms,
            "expires_at_ms": now_ms + 7 * DAY_MS,
            **changed,
        }
        kind = options.pop("kind", NOTICE)
        return letter(self.other.member_id, kind, body, **options)

    async def leave(self, *bodies: bytes, **changed: Any) -> list[Letter]:
        """Letters in the outbox, on the disk."""
        letters = [self.letter(body, **changed) for body in bodies]
        for sent in [self.outbox.submit(each) for each in letters]:
            await sent
        return letters

    def sent(self, at: int = -1) -> list[delivery_pb2.Delivery]:
        """What an envelope that this site sent holds, opened with the other's keys."""
        envelope = self.wire.envelopes[at]
        issued_ms = envelope_pb2.Header.FromString(envelope.header).issued_at_ms
        opened = open_delivery(envelope, self.other.own, self.directory.current(), now_ms=issued_ms)
        return [delivery_pb2.Delivery.FromString(payload) for payload in opened.payloads]

    async def waiting(self) -> int:
        return sum(each.waiting for each in await self.store.outbox.backlog())

    @contextlib.asynccontextmanager
    async def running(self, *parts: str) -> AsyncIterator[None]:
        """Outbox and inbox at work, or those named."""
        tasks = [asyncio.create_task(getattr(self, part).run()) for part in parts or ("outbox", "inbox")]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def two_sites(folder: Path, clock: FakeClock | None = None, **changed: Any) -> AsyncIterator[tuple[Site, Site]]:
    """A and B, each at the other end of the other's wire."""
    clock = clock or FakeClock(NOW_MS)
    async with open_store(folder / "a", clock) as first, open_store(folder / "b", clock) as second:
        a, b = Site(A, B, first, clock, **changed), Site(B, A, second, clock, **changed)
        a.wire.door, b.wire.door = b.door, a.door
        yield a, b


def open_store(folder: Path, clock: FakeClock) -> Store:
    return Store.open(folder / "gateway.db", key=folder / "store.key", clock=clock)


async def until(condition: Callable[[], Any], what: str = "it happens") -> None:
    """Wait until a condition holds; awaits it where it is asynchronous."""
    async with asyncio.timeout(WAIT_S):
        while True:
            held = condition()
            if asyncio.iscoroutine(held):
                held = await held
            if held:
                return
            await asyncio.sleep(0.005)


def effect(apply: Callable[..., Any], payload: Any = None) -> Effect:
    """A write of the test's own."""

    class _Own:
        def apply(self, transaction: Any, payloads: Any) -> list[Any]:
            return [apply(transaction, each) for each in payloads]

    return Effect(_Own(), payload)


def steps(folder: Path, work: Callable[[sa.Connection], object]) -> int:
    """How many steps of SQLite's machine something takes in the store of a folder, in hundreds."""
    engine, counted = _counting(folder)
    with engine.connect() as connection:
        work(connection)
    engine.dispose()
    return counted.total()


async def reading_steps(folder: Path, work: Callable[[Reader], Awaitable[object]]) -> int:
    """The same of something that reads by a reader of its own."""
    engine, counted = _counting(folder)
    reader = Reader(engine)
    await work(reader)
    reader.close()
    engine.dispose()
    return counted.total()


def _counting(folder: Path) -> tuple[sa.Engine, Counter[str]]:
    engine, counted = sa.create_engine(f"sqlite:///{folder / 'gateway.db'}"), Counter[str]()

    def watch(driver: Any, _entry: object) -> None:
        driver.set_progress_handler(lambda: counted.update(["hundred"]), 100)

    sa.event.listen(engine, "connect", watch)
    return engine, counted
