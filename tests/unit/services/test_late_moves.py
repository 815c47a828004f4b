"""A late answer that says where the person moved: the question is left with whom it leads to, and nobody asks again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.clock import FakeClock
from gateway.errors import DirectoryError, StoreError
from gateway.federation.directory import Directory
from gateway.federation.late import LateChecks
from gateway.federation.late_moves import Moves
from gateway.observing import tracing
from gateway.post import traces
from gateway.post.door import Door
from gateway.post.inbox import _received
from gateway.post.letters import Handled, Received, delivery_digest
from gateway.services.agency import AgencyServicer
from gateway.services.serving import Desk
from gateway.store import outbox
from gateway.store.letters import Letter
from gateway.store.outbox import Due
from gateway.store.rows import Transaction
from tests.unit.federation.test_fan_out import HUBEI, STRONG, WEAK, D, moved
from tests.unit.observing.traced_world import TracedWorld, ways
from tests.unit.post.post_world import DAY_MS, Jumping, Site, Wire, open_store, until
from tests.unit.rules.rules_world import BOOK
from tests.unit.services.gateways_world import (
    ANHUI,
    ANNA,
    FEDERATION,
    FUJIAN,
    NO_ROSTERS,
    NOW_MS,
    ZHEJIANG,
    A,
    B,
    C,
    Call,
    Federation,
    Listed,
    Party,
    answering,
    findings,
    request,
)
from tests.unit.services.test_late_answers import ANSWER, DAY_S, QUESTION, Watching
from wugan.agency.v1 import agency_pb2
from wugan.federation.v1 import delivery_pb2, envelope_pb2, exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

PARTIES = (A, B, C, D)
NOBODYS = 460000
OPEN, PARTIAL, ANSWERED, LAPSED = (
    agency_pb2.LATE_STATE_OPEN,
    agency_pb2.LATE_STATE_PARTIAL,
    agency_pb2.LATE_STATE_ANSWERED,
    agency_pb2.LATE_STATE_LAPSED,
)


class Switch(Wire):
    """Carries envelopes to the doors of several members; who is not among them is away."""

    def __init__(self, sender: Party) -> None:
        super().__init__()
        self.sender = sender
        self.doors: dict[str, Door] = {}

    async def deliver(self, member_id: str, envelope: envelope_pb2.Envelope, timeout_s: float) -> envelope_pb2.Envelope:
        self.door = self.doors.get(member_id)
        return await super().deliver(member_id, envelope, timeout_s)


class Member(Site):
    """A site in a federation of four."""

    parties = PARTIES

    def __init__(self, party: Party, folder: Path, clock: FakeClock) -> None:
        super().__init__(party, A, open_store(folder / str(party.region), clock), clock)
        self.switch = Switch(party)
        self.outbox.carrier = self.switch


class Province(Member):
    """One that is asked; it answers what a test says, when a test says so."""

    def __init__(self, party: Party, folder: Path, clock: FakeClock) -> None:
        super().__init__(party, folder, clock)
        self.asked: list[Received] = []
        self.inbox.register(QUESTION, self)

    def check(self, _sender: str, _purpose: int, _body: bytes, _now_ms: int) -> None:
        return None

    async def handle(self, delivery: Received) -> Handled:
        self.asked.append(delivery)
        return Handled()

    async def says(self, said: exchange_pb2.Findings, *, final: bool = True) -> None:
        """A late answer to the last question, once it is here."""
        await until(lambda: self.asked)
        asked = self.asked[-1]
        late = delivery_pb2.LateAnswer(
            answers_to=asked.delivery_id,
            question_digest=delivery_digest(asked.delivery_id, asked.body),
            answer=exchange_pb2.Answer(context=exchange_pb2.Question.FromString(asked.body).context, findings=said),
            final=final,
        )
        body = late.SerializeToString()
        await self.leave(body, kind=ANSWER, purpose=asked.purpose, order_key=asked.delivery_id)


class World:
    """A, which asks and can be started anew; and B, C and D."""

    def __init__(self, folder: Path, **changed: Any) -> None:
        self.folder, self.changed = folder, changed
        self.clock = Jumping(NOW_MS)
        self.federation = Federation(self.clock, parties=PARTIES)
        self.b, self.c, self.d = (Province(party, folder, self.clock) for party in (B, C, D))
        self.start()

    def start(self) -> None:
        """A, from what is on the disk."""
        self.a = Member(A, self.folder, self.clock)
        for province in (self.b, self.c, self.d):
            self.a.switch.doors[province.party.member_id] = province.door
            province.switch.doors[A.member_id] = self.a.door
        store, options = self.a.store, {"most": 10, "follow": True, **self.changed}
        self.moves = Moves(A.member_id, Listed(*PARTIES, clock=self.clock), options["most"])
        moves = self.moves if options["follow"] else None
        late = LateChecks(store, self.a.outbox, self.clock, longest_ms=30 * DAY_MS, poll_s=0.02, moves=moves)
        self.a.inbox.register(ANSWER, late)
        desk = Desk(self.clock, self.federation.directory.current, federation=FEDERATION, limit=8)
        checks = self.federation.checks(store)
        notices, directory = self.federation.notices(store, checks), self.federation.directory
        self.agency = AgencyServicer(desk, checks, BOOK, directory, A.member_id, late, notices, NO_ROSTERS)
        self.late = late

    async def restart(self) -> None:
        await self.a.store.close()
        self.start()

    async def check(self, *regions: int, **changed: Any) -> agency_pb2.CheckResponse:
        asked = request(regions=regions or [ANHUI], **{"leave_open_s": 7 * DAY_S, "only_leave": True, **changed})
        return await self.agency.Check(asked, Call(A.unit(), 5.0).as_context())

    async def fetch(self, ticket: bytes) -> agency_pb2.CheckResponse:
        asked = agency_pb2.FetchLateRequest(ticket=ticket)
        return (await self.agency.FetchLate(asked, Call(A.unit(), 5.0).as_context())).response

    async def told(self, after: int = 0) -> list[agency_pb2.WatchLateResponse]:
        call = Watching(A.unit())
        asked = agency_pb2.WatchLateRequest(after=after, only_present=True)
        await self.agency.WatchLate(asked, call.as_context())
        return call.told

    async def told_of(self, count: int) -> bool:
        return len(await self.told()) >= count

    async def states(self, *, only_open: bool = False) -> dict[str, int]:
        asked = agency_pb2.ListLateRequest(only_open=only_open)
        listed = await self.agency.ListLate(asked, Call(A.unit(), 5.0).as_context())
        provinces = [province for check in listed.checks for province in check.provinces]
        assert all(each.name_zh.startswith("某省") and each.name_en.startswith("province") for each in provinces)
        states = {each.member_id: each.state for each in provinces}
        assert len(states) == len(provinces), "nobody is asked twice"
        return states

    async def on_the_way(self) -> list[Due]:
        """What A has left with C and D and not delivered."""
        table = self.a.store.outbox
        return [due for party in (C, D) for due in await table.due(party.member_id, self.clock.now_ms(), 10)]

    @contextlib.asynccontextmanager
    async def running(self, *parts: str) -> AsyncIterator[None]:
        """All at work; of A the parts that are named."""
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(self.a.running(*parts))
            for province in (self.b, self.c, self.d):
                await stack.enter_async_context(province.running())
            yield

    async def close(self) -> None:
        for site in (self.a, self.b, self.c, self.d):
            await site.store.close()


@contextlib.asynccontextmanager
async def world_in(folder: Path, **changed: Any) -> AsyncIterator[World]:
    world = World(folder, **changed)
    try:
        yield world
    finally:
        await world.close()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with world_in(tmp_path) as made:
        yield made


@pytest.fixture
def traced(tmp_path: Path) -> Iterator[TracedWorld]:
    made = TracedWorld(tmp_path / "spans.jsonl")
    yield made
    tracing.use(None)
    traces._made_in.clear()


def members(response: agency_pb2.CheckResponse) -> list[str]:
    return [answer.member_id for answer in response.answers]


def followed(response: agency_pb2.CheckResponse) -> list[str]:
    return [answer.member_id for answer in response.answers if answer.followed]


def pending(response: agency_pb2.CheckResponse) -> list[str]:
    return [answer.member_id for answer in response.answers if answer.HasField("pending_until")]


async def test_a_late_answer_that_tells_of_a_move_has_the_question_left_where_it_leads(world: World) -> None:
    left = await world.check()
    async with world.running():
        world.clock.advance(DAY_S)
        await world.b.says(moved(FUJIAN))
        await until(lambda: world.told_of(1))
        between = await world.fetch(left.late_ticket)
        assert members(between) == [B.member_id, C.member_id]
        assert followed(between) == pending(between) == [C.member_id]
        assert (between.status, between.partial) == (WEAK, True)
        (of_c,) = between.answers[1:]
        assert (of_c.member_name_zh, of_c.member_name_en) == ("某省 350000", "province 350000")
        assert of_c.message_en.startswith("not asked yet; the question was left with this province")
        assert of_c.pending_until.ToMilliseconds() == NOW_MS + 7 * DAY_MS, "what remains of the ticket's time"
        assert await world.states(only_open=True) == {B.member_id: ANSWERED, C.member_id: OPEN}
        await world.c.says(findings(STRONG))
        await until(lambda: world.told_of(2))
    whole = await world.fetch(left.late_ticket)
    assert [(each.status, each.late, each.followed) for each in whole.answers] == [
        (WEAK, True, False),
        (STRONG, True, True),
    ]
    assert (whole.status, whole.partial, pending(whole)) == (STRONG, False, [])
    assert await world.states() == {B.member_id: ANSWERED, C.member_id: ANSWERED}
    assert await world.states(only_open=True) == {}


async def test_who_watches_is_told_of_whom_it_is_left_with_together_with_the_answer_that_led_there(
    world: World,
) -> None:
    left = await world.check()
    async with world.running():
        await world.b.says(findings(WEAK), final=False)
        await until(lambda: world.told_of(1))
        await world.b.says(moved(FUJIAN))
        await until(lambda: world.told_of(2))
        now = await world.told()
        await world.c.says(findings(STRONG))
        await until(lambda: world.told_of(3))
    told = await world.told()
    assert [each.member_id for each in told] == [B.member_id, B.member_id, C.member_id], "nothing came of C before"
    assert [members(each.response) for each in told] == [[B.member_id], *[[B.member_id, C.member_id]] * 2]
    assert pending(now[1].response) == [C.member_id]
    assert now[1].response.status == told[1].response.status == WEAK
    assert now[0] == told[0]
    assert await world.told(after=told[1].cursor) == told[2:]
    assert await world.fetch(left.late_ticket) == told[2].response


async def test_what_is_left_with_the_other_is_the_same_question_for_what_remains_of_the_time(world: World) -> None:
    await world.check()
    async with world.running():
        world.clock.advance(DAY_S)
        await world.b.says(moved(FUJIAN))
        await until(lambda: world.c.asked)
    (of_b,), (of_c,) = world.b.asked, world.c.asked
    assert of_c.body == of_b.body
    assert of_c.delivery_id != of_b.delivery_id
    assert (of_c.kind, of_c.purpose) == (of_b.kind, of_b.purpose)
    assert of_c.expires_at_ms == of_b.expires_at_ms == NOW_MS + 7 * DAY_MS


async def test_it_is_recorded_as_other_questions_that_are_left(world: World) -> None:
    await world.check()
    async with world.running():
        await world.b.says(moved(FUJIAN))
        await world.c.says(findings(STRONG))
        await until(lambda: world.told_of(2))
    recorded = await world.a.store.audit.events()
    assert [(each.event.counterpart, each.event.decision, each.event.outcome) for each in recorded] == [
        (B.member_id, "left", 0),
        (B.member_id, "late answer", 0),
        (C.member_id, "left", 0),
        (C.member_id, "late answer", 0),
    ]
    of_c = recorded[2].event
    (asked,) = world.c.asked
    assert of_c.message_id == asked.delivery_id
    assert world.a.store.audit.matches(recorded[2], delivery_digest(asked.delivery_id, asked.body))
    assert (of_c.unit, of_c.case_reference, of_c.official) == (
        recorded[0].event.unit,
        "JH-2026-17",
        recorded[0].event.official,
    )
    await world.a.store.audit.verify_chain()


async def test_a_second_move_is_shown_and_not_followed(world: World) -> None:
    left = await world.check()
    async with world.running():
        await world.b.says(moved(FUJIAN))
        await world.c.says(moved(HUBEI))
        await until(lambda: world.told_of(2))
    whole = await world.fetch(left.late_ticket)
    assert members(whole) == [B.member_id, C.member_id]
    assert words.ENTITLEMENT_FLAG_MOVED in whole.flags
    assert await world.on_the_way() == []


async def test_who_was_asked_now_because_of_a_move_and_answers_late_is_not_followed_again(world: World) -> None:
    def says(asked: exchange_pb2.Question) -> exchange_pb2.Answer:
        return exchange_pb2.Answer(context=asked.context, findings=moved(FUJIAN))

    world.federation.at(B, answering(world.federation, B, says))
    now = await world.check(only_leave=False)
    assert followed(now) == pending(now) == [C.member_id]
    async with world.running():
        await world.c.says(moved(HUBEI))
        await until(lambda: world.told_of(1))
    whole = await world.fetch(now.late_ticket)
    assert members(whole) == [B.member_id, C.member_id]
    assert followed(whole) == [C.member_id], "that it was asked because of a move is still said"
    assert await world.on_the_way() == []


async def test_it_goes_on_after_a_restart_and_asks_once(world: World) -> None:
    left = await world.check()
    async with world.running():
        await until(lambda: world.b.asked)
        await world.b.says(moved(FUJIAN))
        del world.a.switch.doors[C.member_id]
        await until(lambda: world.told_of(1))
    before = await world.fetch(left.late_ticket)
    assert not world.c.asked
    await world.restart()
    assert await world.fetch(left.late_ticket) == before
    world.clock.advance(400)
    async with world.running():
        await world.c.says(findings(STRONG))
        await until(lambda: world.told_of(2))
    assert len(world.c.asked) == 1
    assert (await world.fetch(left.late_ticket)).status == STRONG


async def test_the_answer_and_what_it_leads_to_are_one_commit(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    broken, writes = True, outbox._Post.apply

    def fails(kind: outbox._Post, transaction: Transaction, letters: Sequence[Letter]) -> list[int]:
        if broken and C.member_id in [letter.partner for letter in letters]:
            raise StoreError("disk full", "磁盘已满")
        return writes(kind, transaction, letters)

    left = await world.check()
    monkeypatch.setattr(outbox._Post, "apply", fails)
    async with world.running():
        await world.b.says(moved(FUJIAN))
        await until(lambda: _handed_over(world))
        await asyncio.sleep(0.1)  # it is tried again and again
        assert await world.told() == []
        assert await world.states() == {B.member_id: OPEN}
        assert len(await world.a.store.audit.events()) == 1
        broken = False
        await world.c.says(findings(STRONG))
        await until(lambda: world.told_of(2))
    assert [len(each.asked) for each in (world.b, world.c)] == [1, 1]
    assert (await world.fetch(left.late_ticket)).status == STRONG


async def _handed_over(world: World) -> bool:
    return bool(world.b.asked) and not await world.b.waiting()


async def test_the_same_answer_twice_asks_once(world: World) -> None:
    left = await world.check()
    async with world.running():
        for final in (False, False, True, True):
            await world.b.says(moved(FUJIAN), final=final)
        await until(lambda: world.told_of(3))
        await until(lambda: world.c.asked)
        await world.c.says(findings(STRONG))
        await until(lambda: world.told_of(4))
        await world.b.says(moved(FUJIAN))
        await until(lambda: _all_recorded(world, 8))
    assert len(world.c.asked) == 1
    assert await world.on_the_way() == []
    assert members(await world.fetch(left.late_ticket)) == [B.member_id, C.member_id]
    decisions = [each.event.decision for each in await world.a.store.audit.events()]
    assert decisions.count("left") == 2


async def _all_recorded(world: World, count: int) -> bool:
    return len(await world.a.store.audit.events()) >= count


async def test_what_comes_after_the_last_answer_leads_nowhere(world: World) -> None:
    await world.check()
    async with world.running():
        await world.b.says(findings(WEAK))
        await until(lambda: world.told_of(1))
        await world.b.says(moved(FUJIAN))
        await until(lambda: _all_recorded(world, 3))
    assert await world.states() == {B.member_id: ANSWERED}
    assert await world.on_the_way() == []
    assert not world.c.asked


@pytest.mark.parametrize("first", [moved(FUJIAN), findings(WEAK)], ids=["told at once", "told at last"])
async def test_a_partial_answer_and_then_a_better_one_ask_the_other_once(
    world: World, first: exchange_pb2.Findings
) -> None:
    left = await world.check()
    async with world.running():
        await world.b.says(first, final=False)
        await until(lambda: world.told_of(1))
        told = FUJIAN if first.flags[0] else 0
        assert await world.states() == {B.member_id: PARTIAL} | ({C.member_id: OPEN} if told else {})
        await world.b.says(moved(FUJIAN, STRONG))
        await until(lambda: world.told_of(2))
        await world.c.says(findings(STRONG))
        await until(lambda: world.told_of(3))
    assert len(world.c.asked) == 1
    whole = await world.fetch(left.late_ticket)
    assert [each.status for each in whole.answers] == [STRONG, STRONG]
    assert followed(whole) == [C.member_id]


async def test_two_that_tell_of_a_move_to_the_same_place_at_once_ask_it_once(world: World) -> None:
    await world.check(ANHUI, HUBEI)
    async with world.running("outbox"):
        for province in (world.b, world.d):
            await province.says(moved(FUJIAN))
        await until(lambda: _handed_over(world))
        await until(lambda: _none_waits(world.d))
    handled = [await world.late.handle(each) for each in await _held(world)]  # each before the other is on the disk
    await world.a.store.together([each for one in handled for each in one.effects])
    assert len(handled) == 2
    assert await world.a.waiting() == 1
    assert await world.states() == {B.member_id: ANSWERED, C.member_id: OPEN, D.member_id: ANSWERED}


async def _none_waits(site: Site) -> bool:
    return not await site.waiting()


async def _held(world: World) -> Sequence[Received]:
    """Late answers in A's inbox, as a handler is given them."""
    return [_received(held) for held in await world.a.store.inbox.due(ANSWER, world.clock.now_ms(), 10)]


@pytest.mark.parametrize("where", [ZHEJIANG, NOBODYS, 999999, ANHUI], ids=["own", "nobody's", "none", "its own"])
async def test_a_move_that_leads_to_nobody_else_is_shown_and_asks_nobody(world: World, where: int) -> None:
    left = await world.check()
    async with world.running():
        await world.b.says(moved(where))
        await until(lambda: world.told_of(1))
    whole = await world.fetch(left.late_ticket)
    assert members(whole) == [B.member_id]
    assert words.ENTITLEMENT_FLAG_MOVED in whole.flags
    assert await world.states() == {B.member_id: ANSWERED}
    assert [each.event.decision for each in await world.a.store.audit.events()] == ["left", "late answer"]


async def test_a_move_to_whom_the_check_asked_already_asks_nobody(world: World) -> None:
    def says(asked: exchange_pb2.Question) -> exchange_pb2.Answer:
        return exchange_pb2.Answer(context=asked.context, findings=findings(STRONG))

    world.federation.at(C, answering(world.federation, C, says))
    await world.check(ANHUI, FUJIAN, only_leave=False)
    async with world.running():
        await world.b.says(moved(FUJIAN))
        await until(lambda: world.told_of(1))
    assert await world.states() == {B.member_id: ANSWERED}
    assert await world.on_the_way() == []


async def test_once_the_time_of_the_ticket_is_over_nobody_more_is_asked(world: World) -> None:
    left = await world.check()
    async with world.running():
        await until(lambda: world.b.asked)
        world.clock.advance(7 * DAY_S)
        await world.b.says(moved(FUJIAN))
        await until(lambda: world.told_of(1))
    whole = await world.fetch(left.late_ticket)
    assert (members(whole), whole.status) == ([B.member_id], WEAK)
    assert await world.on_the_way() == []


async def test_a_clock_that_is_ahead_for_a_moment_does_not_end_it(world: World) -> None:
    left = await world.check()
    async with world.running():
        await until(lambda: world.b.asked)
        world.clock.ahead_ms = 8 * DAY_MS
        await world.b.says(moved(FUJIAN))
        await until(lambda: world.told_of(1))
        world.clock.ahead_ms = 0
        await world.c.says(findings(STRONG))
        await until(lambda: world.told_of(2))
    assert (await world.fetch(left.late_ticket)).status == STRONG


@pytest.mark.parametrize(
    ("changed", "asked"),
    [({"follow": False}, 0), ({"most": 2}, 0), ({"most": 3}, 1)],
    ids=["set not to", "no room", "room"],
)
async def test_a_move_is_followed_within_the_settings(tmp_path: Path, changed: dict[str, Any], asked: int) -> None:
    def says(asked: exchange_pb2.Question) -> exchange_pb2.Answer:
        return exchange_pb2.Answer(context=asked.context, findings=findings(STRONG))

    async with world_in(tmp_path, **changed) as world:
        world.federation.at(D, answering(world.federation, D, says))
        await world.check(ANHUI, HUBEI, only_leave=False)  # D has answered, and counts
        async with world.running():
            await world.b.says(moved(FUJIAN))
            await until(lambda: world.told_of(1))
            await until(lambda: len(world.c.asked) == asked)
        assert await world.states() == {B.member_id: ANSWERED} | ({C.member_id: OPEN} if asked else {})


async def test_a_province_that_it_led_to_may_lapse_like_any_other(world: World) -> None:
    left = await world.check()
    del world.a.switch.doors[C.member_id]
    async with world.running():
        await world.b.says(moved(FUJIAN))
        await until(lambda: world.told_of(1))
    world.clock.advance(7 * DAY_S + 601)
    lapsing = asyncio.create_task(world.late.run())
    await until(lambda: world.told_of(2))
    lapsing.cancel()
    whole = await world.fetch(left.late_ticket)
    assert whole.answers[1].refusal == words.REFUSAL_REASON_DELIVERY_EXPIRED
    assert followed(whole) == [C.member_id]
    assert await world.states() == {B.member_id: ANSWERED, C.member_id: LAPSED}


async def test_however_much_waits_for_the_other_the_answer_is_taken_and_followed(world: World) -> None:
    await world.check()
    async with world.running():
        await until(lambda: world.b.asked)
    async with world.running("inbox"):  # what waits is counted by the outbox, which is not at work
        world.a.outbox.waiting[C.member_id] = world.a.settings.max_waiting
        await world.b.says(moved(FUJIAN))
        await until(lambda: world.told_of(1))
    assert len(await world.on_the_way()) == 1


async def test_it_is_still_named_when_it_has_left_the_federation(world: World) -> None:
    left = await world.check()
    async with world.running():
        await world.b.says(moved(FUJIAN))
        await until(lambda: world.told_of(1))
    world.federation.parties = (A, B)
    await world.restart()
    assert (await world.fetch(left.late_ticket)).answers[1].member_name_zh == "某省 350000"
    assert await world.states() == {B.member_id: ANSWERED, C.member_id: OPEN}


async def test_an_answer_waits_for_a_directory_that_can_be_believed_and_is_followed_then(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = []

    def expired(source: object) -> Directory:
        looked.append(source)
        raise DirectoryError("the directory has expired", "目录已过期")

    left = await world.check()
    monkeypatch.setattr(world.moves.directory, "current", lambda: expired(world))
    async with world.running():
        await world.b.says(moved(FUJIAN))
        await until(lambda: looked)
        assert await world.told() == []
        monkeypatch.undo()
        world.clock.advance(400)
        await world.c.says(findings(STRONG))
        await until(lambda: world.told_of(2))
    assert (await world.fetch(left.late_ticket)).status == STRONG


async def test_what_it_leads_to_is_a_part_of_its_trace(world: World, traced: TracedWorld) -> None:
    def led() -> list[list[Any]]:
        return [way for way in ways(traced.written()) if [each["name"] for each in way[-2:]] == ["take", "deliver"]]

    await world.check()
    async with world.running():
        await world.b.says(moved(FUJIAN))
        await world.c.says(findings(STRONG))
        await until(lambda: world.told_of(2))
        await until(led)
    (way,) = led()
    assert [each["name"] for each in way] == ["check", "leave", "take", "deliver"]
    assert way[-1]["attributes"]["partner"] == C.member_id


async def test_nothing_that_is_stored_names_the_person(world: World) -> None:
    await world.check()
    async with world.running():
        await world.b.says(moved(FUJIAN))
        await until(lambda: world.told_of(1))
    await world.a.store.close()
    kept = (world.folder / str(A.region) / "gateway.db").read_bytes()
    world.a.store = open_store(world.folder / str(A.region), world.clock)
    assert ANNA.encode() not in kept
