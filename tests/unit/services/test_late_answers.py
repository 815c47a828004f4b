"""A check that is left open: asked once, answered when the other province can, told to the unit that left it alone."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
import sqlalchemy as sa

from adapters.errors import SourceDownError
from certs.identity import Identity
from gateway.access.terms import Quotas
from gateway.clock import FakeClock
from gateway.errors import RefusedError, WuganError
from gateway.exchange.envelope import verify_proof
from gateway.exchange.keys import VerifyKey
from gateway.federation.late import LateChecks
from gateway.inquiry.deferred import DeferredQuestions
from gateway.observing import tracing
from gateway.post import traces
from gateway.post.letters import delivery_digest
from gateway.services.agency import AgencyServicer
from gateway.services.serving import Desk
from gateway.status import from_rpc_error
from gateway.store.ended import EVERY_MEMBER
from gateway.store.inbox import DEAD
from gateway.store.jumps import SETTLE_S
from gateway.store.reader import Reader
from tests.unit.federation.cache_world import CacheWorld, asked_about
from tests.unit.observing.traced_world import TracedWorld, ways
from tests.unit.post.post_world import DAY_MS, Jumping, Site, away, two_sites, until
from tests.unit.rules.rules_world import BOOK, row
from tests.unit.services.gateways_world import (
    ANHUI,
    ANNA,
    BO,
    FEDERATION,
    FUJIAN,
    NAMES,
    NO_ROSTERS,
    NOW_MS,
    A,
    AbortedError,
    B,
    C,
    Call,
    Federation,
    Register,
    access_of,
    answering,
    findings,
    gateway_of,
    inquiry,
    proof_in,
    question,
    request,
    serving,
    terms,
)
from wugan.adapter.v1 import vocabulary_pb2 as v
from wugan.agency.v1 import agency_pb2
from wugan.federation.v1 import delivery_pb2, exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

DAY_S = 86_400
STRONG, WEAK = words.SURVIVAL_STATUS_ALIVE_STRONG, words.SURVIVAL_STATUS_ALIVE_WEAK
QUESTION, ANSWER = delivery_pb2.DELIVERY_KIND_QUESTION, delivery_pb2.DELIVERY_KIND_ANSWER


class Watching(Call):
    """A stream as a servicer writes to it."""

    def __init__(self, peer: Identity) -> None:
        super().__init__(peer)
        self.told: list[agency_pb2.WatchLateResponse] = []

    async def write(self, message: agency_pb2.WatchLateResponse) -> None:
        self.told.append(message)


@dataclass
class World:
    """A, which asks, and B, which answers late, with departments that a test can silence."""

    a: Site
    b: Site
    agency: AgencyServicer
    federation: Federation
    insurance: Register
    banks: Register
    questions: DeferredQuestions
    peer: Identity = field(default_factory=A.unit)

    async def check(self, **changed: Any) -> agency_pb2.CheckResponse:
        asked = request(**{"leave_open_s": 7 * DAY_S, **changed})
        return await self.agency.Check(asked, Call(self.peer, 5.0).as_context())

    async def fetch(self, ticket: bytes, peer: Identity | None = None) -> agency_pb2.CheckResponse:
        asked = agency_pb2.FetchLateRequest(ticket=ticket)
        return (await self.agency.FetchLate(asked, Call(peer or self.peer, 5.0).as_context())).response

    async def told(self, after: int = 0, peer: Identity | None = None) -> list[agency_pb2.WatchLateResponse]:
        call = Watching(peer or self.peer)
        asked = agency_pb2.WatchLateRequest(after=after, only_present=True)
        await self.agency.WatchLate(asked, call.as_context())
        return call.told

    async def states(self) -> list[int]:
        asked = agency_pb2.ListLateRequest()
        listed = await self.agency.ListLate(asked, Call(self.peer, 5.0).as_context())
        provinces = [province for check in listed.checks for province in check.provinces]
        assert all(each.name_zh.startswith("某省") and each.name_en.startswith("province") for each in provinces)
        return [each.state for each in provinces]

    def passes(self) -> bool:
        """Twenty seconds go by."""
        self.a.clock.advance(20)
        return True

    async def told_of(self, count: int) -> bool:
        return len(await self.told()) >= count

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with self.a.running(), self.b.running():
            yield


@contextlib.asynccontextmanager
async def world_in(folder: Path, **changed: Any) -> AsyncIterator[World]:
    clock: FakeClock = changed.pop("clock", None) or FakeClock(NOW_MS)
    access = changed.pop("access", None)
    async with two_sites(folder, clock, question_patience_s=0.2, **changed) as (a, b):
        insurance = Register({ANNA: (row("OUTPATIENT", 5),), BO: (row("OUTPATIENT", 9),)})
        banks = Register({ANNA: (row("TELLER_WITHDRAWAL", 7),)}, department=v.DEPARTMENT_BANKS)
        answering_side = inquiry(insurance, banks, clock=clock, access=access)
        questions = DeferredQuestions(
            answering_side, b.directory.current, b.outbox, b.store.audit, clock, b.settings, max_subjects=100
        )
        b.inbox.register(QUESTION, questions)
        late = LateChecks(a.store, a.outbox, clock, longest_ms=30 * DAY_MS, poll_s=0.02)
        a.inbox.register(ANSWER, late)
        federation = Federation(clock)
        desk = Desk(clock, federation.directory.current, federation=FEDERATION, limit=8)
        checks = federation.checks(a.store)
        notices = federation.notices(a.store, checks)
        agency = AgencyServicer(desk, checks, BOOK, federation.directory, A.member_id, late, notices, NO_ROSTERS)
        yield World(a, b, agency, federation, insurance, banks, questions)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with world_in(tmp_path) as made:
        yield made


@contextlib.contextmanager
def refused(code: str) -> Iterator[None]:
    with pytest.raises(AbortedError) as caught:
        yield
    arrived = from_rpc_error(caught.value.as_client_sees_it())
    assert arrived is not None
    assert arrived.code == code


async def test_a_question_to_a_province_that_cannot_be_reached_is_left_and_answered_later(world: World) -> None:
    world.a.wire.door = None
    left = await world.check()
    assert (left.status, left.partial, left.proposal) == (0, True, 0)
    assert left.answers[0].refusal == words.REFUSAL_REASON_PARTNER_UNAVAILABLE
    assert left.answers[0].pending_until.ToMilliseconds() == NOW_MS + 7 * DAY_MS
    for each in (left, await world.fetch(left.late_ticket)):
        said = each.answers[0].message_en, each.answers[0].message_zh
        assert said == ("gateway could not be reached", "对方网关无法连接"), "no advice to ask again"
    assert await world.states() == [agency_pb2.LATE_STATE_OPEN]
    async with world.running():
        await until(world.a.store.outbox.troubles)
        world.a.wire.door = world.b.door
        world.a.clock.advance(400)
        await until(lambda: world.told_of(1))
    (told,) = await world.told()
    assert (told.ticket, told.member_id) == (left.late_ticket, B.member_id)
    assert (told.id_number, told.name, told.case_reference) == (ANNA, NAMES[ANNA], "JH-2026-17")
    assert told.response.status == STRONG
    assert told.response.answers[0].late
    assert not told.response.answers[0].HasField("pending_until")
    assert len(told.response.evidence) == 2
    assert await world.fetch(left.late_ticket) == told.response
    assert await world.states() == [agency_pb2.LATE_STATE_ANSWERED]


async def test_the_proof_of_a_late_answer_verifies_names_its_question_and_is_kept(world: World) -> None:
    left = await world.check(only_leave=True)
    async with world.running():
        await until(lambda: world.told_of(1))
    proof = (await world.fetch(left.late_ticket)).answers[0].proof
    assert verify_proof(proof_in(proof), VerifyKey.from_raw(B.signing.public_raw)).sender == B.member_id
    late = delivery_pb2.LateAnswer.FromString(delivery_pb2.Delivery.FromString(proof.payload).body)
    (question,) = world.a.sent()
    assert late.answers_to == question.delivery_id
    assert late.question_digest == delivery_digest(question.delivery_id, question.body)
    (kept,) = await world.a.store.answers.find(ANNA)
    signed = await world.a.store.answers.produce(kept.member, kept.message_id, kept.position)
    assert signed is not None
    assert signed.payload == proof.payload


@pytest.mark.parametrize("dead", [False, True])
async def test_a_late_answer_ends_what_its_author_said_of_the_person_and_one_against_them_what_everybody_did(
    world: World, dead: bool
) -> None:
    if dead:
        world.insurance.people = {ANNA: (row("CREMATION", 3, region=340100),)}
    ended: list[tuple[str, Sequence[bytes]]] = []
    answered: list[tuple[str, bytes]] = []
    late = world.agency.late._late
    late._invalidate = lambda member, people: ended.append((member, people))
    late._answered = lambda member, findings: answered.append((member, findings.rules_digest))
    await world.check(only_leave=True)
    async with world.running():
        await until(lambda: world.told_of(1))
        await until(lambda: asyncio.sleep(0, bool(ended and answered)))  # after the commit that tells
    ((member, people),) = ended
    assert member == (EVERY_MEMBER if dead else B.member_id)
    assert world.a.store.reusable.blind_index(ANNA) in people
    assert answered == [(B.member_id, BOOK.digest)]


@pytest.mark.parametrize("dead", [False, True])
async def test_a_gateway_killed_before_its_cache_heard_of_a_late_answer_gives_no_earlier_one_again(
    world: World, dead: bool
) -> None:
    cached = CacheWorld(world.a.store, world.a.clock)
    for party, person in itertools.product((B, C), (ANNA, BO)):
        await cached.take(asked_about(person), party, rules_digest=BOOK.digest)
    await cached.restart()
    if dead:
        world.insurance.people = {ANNA: (row("CREMATION", 3, region=340100),)}
    await world.check(only_leave=True)
    async with world.running():  # nobody tells the cache, as if this was killed right after the commit
        await until(lambda: world.told_of(1))
    cached.cache = cached.again()
    await cached.cache.open()
    assert await cached.found(asked_about(ANNA)) is None
    assert (await cached.found(asked_about(ANNA), C) is None) == dead
    assert await cached.found(asked_about(BO)) is not None
    assert await cached.found(asked_about(BO), C) is not None


async def test_what_is_only_left_asks_nobody_now(world: World) -> None:
    left = await world.check(only_leave=True)
    assert not world.federation.lines
    assert left.late_ticket
    assert left.answers[0].HasField("pending_until")
    for each in (left, await world.fetch(left.late_ticket)):
        assert each.answers[0].message_en.startswith("not asked yet")
        assert each.answers[0].message_zh == "尚未询问，已留置该省"


async def test_where_every_province_answers_in_full_nothing_is_left(world: World) -> None:
    world.federation.at(B, serving(gateway_of(world.federation, B, world.b.store, world.insurance, world.banks)))
    answered = await world.check()
    assert answered.status == STRONG
    assert not answered.late_ticket
    assert await world.a.waiting() == 0


async def test_a_partial_answer_is_given_now_and_completed_when_the_silent_department_answers(world: World) -> None:
    world.banks.error = SourceDownError("down", "停机")
    world.federation.at(B, serving(gateway_of(world.federation, B, world.b.store, world.insurance, world.banks)))
    now = await world.check()
    assert now.partial
    assert now.status not in (0, STRONG)
    assert now.answers[0].HasField("pending_until")
    world.banks.error = None
    async with world.running():
        await until(lambda: world.told_of(1))
    later = await world.fetch(now.late_ticket)
    assert (later.status, later.partial) == (STRONG, False)


async def test_a_gap_is_told_at_once_and_filled_when_it_can_be(world: World) -> None:
    world.banks.error = SourceDownError("down", "停机")
    left = await world.check(only_leave=True)
    async with world.running():
        await until(lambda: world.told_of(1))
        first = await world.fetch(left.late_ticket)
        assert first.partial
        assert first.answers[0].HasField("pending_until")
        assert await world.states() == [agency_pb2.LATE_STATE_PARTIAL]
        for _ in range(3):  # it is asked again and again, and nobody is told the same again
            asked = len(world.banks.asked)
            await until(lambda before=asked: world.passes() and len(world.banks.asked) > before)
        assert len(await world.told()) == 1
        world.banks.error = None
        await until(lambda: world.passes() and world.told_of(2))
    assert (await world.fetch(left.late_ticket)).status == STRONG
    first, second = await world.told()
    assert (first.response.partial, second.response.partial) == (True, False)
    assert second.cursor > first.cursor
    assert await world.told(after=first.cursor) == [second]


async def test_when_its_time_is_over_a_gap_stays_and_the_answer_is_the_last(world: World) -> None:
    world.banks.error = SourceDownError("down", "停机")
    left = await world.check(only_leave=True, leave_open_s=200)
    async with world.running():
        await until(lambda: world.told_of(1))
        await until(lambda: world.passes() and world.told_of(2))
    last = await world.fetch(left.late_ticket)
    assert last.partial
    assert not last.answers[0].HasField("pending_until")
    assert await world.states() == [agency_pb2.LATE_STATE_ANSWERED]


async def test_people_are_counted_once_however_often_departments_are_asked(tmp_path: Path) -> None:
    access = access_of(terms(quotas=Quotas(day=1)), clock=FakeClock(NOW_MS))
    async with world_in(tmp_path, access=access) as world:
        world.banks.error = SourceDownError("down", "停机")
        left = await world.check(only_leave=True)
        async with world.running():
            await until(lambda: world.told_of(1))
            world.banks.error = None
            await until(lambda: world.passes() and world.told_of(2))
        assert (await world.fetch(left.late_ticket)).status == STRONG


async def test_a_question_that_has_to_wait_for_room_is_on_the_record_with_the_decision(tmp_path: Path) -> None:
    clock = FakeClock(NOW_MS)
    access = access_of(terms(quotas=Quotas(minute=1)), clock=clock)
    taken = access.authorise(A.member_id, question(BO))
    assert taken.refused is None
    async with world_in(tmp_path, access=access, clock=clock) as world:
        await world.check(only_leave=True)
        async with world.running():
            await until(lambda: _recorded(world, "quota minute"))
            await until(lambda: world.passes() and world.told_of(1))
        events = [each.event for each in await world.b.store.audit.events() if each.event.direction == "in"]
    waited, answered = events[0], events[-1]
    assert (waited.outcome, waited.subjects) == (words.REFUSAL_REASON_QUOTA_EXCEEDED, 1)
    assert waited.decision.endswith("[g1: quota minute has no room for 1 people; policy 0]")
    assert (answered.outcome, answered.message_id) == (0, waited.message_id)


async def _recorded(world: World, what: str) -> bool:
    return any(what in each.event.decision for each in await world.b.store.audit.events())


async def test_a_question_that_is_not_allowed_is_refused_late_and_signed(tmp_path: Path) -> None:
    async with world_in(tmp_path, access=access_of(clock=FakeClock(NOW_MS))) as world:
        left = await world.check(only_leave=True)
        async with world.running():
            await until(lambda: world.told_of(1))
        response = await world.fetch(left.late_ticket)
    assert response.status == 0
    assert response.answers[0].refusal == words.REFUSAL_REASON_MEMBER_NOT_PERMITTED
    assert not world.insurance.asked


async def test_a_question_that_was_never_delivered_lapses_and_the_unit_is_told(world: World) -> None:
    world.a.wire.door = None
    left = await world.check(only_leave=True, leave_open_s=60)
    world.a.clock.advance(60 + 601)
    lapsing = asyncio.create_task(world.agency.late._late.run())
    await until(lambda: world.told_of(1))
    lapsing.cancel()
    response = await world.fetch(left.late_ticket)
    assert response.answers[0].refusal == words.REFUSAL_REASON_DELIVERY_EXPIRED
    assert await world.states() == [agency_pb2.LATE_STATE_LAPSED]


async def test_a_clock_that_is_ahead_for_a_moment_lets_nothing_lapse_and_forgets_no_ticket(tmp_path: Path) -> None:
    clock = Jumping(NOW_MS)
    async with world_in(tmp_path, clock=clock) as world:
        world.a.wire.door = None
        left = await world.check(only_leave=True, leave_open_s=3_600)
        clock.advance(SETTLE_S)
        late = world.agency.late._late
        await late.sweep()
        clock.ahead_ms = 365 * DAY_MS
        await late.sweep()
        clock.ahead_ms = 0
        await late.sweep()
        assert await world.states() == [agency_pb2.LATE_STATE_OPEN]
        world.a.wire.door = world.b.door
        async with world.running():
            await until(lambda: world.told_of(1))
        assert (await world.fetch(left.late_ticket)).status == STRONG


async def test_the_other_provinces_answers_stay_in_the_merge(world: World) -> None:
    def says(asked: exchange_pb2.Question) -> exchange_pb2.Answer:
        return exchange_pb2.Answer(context=asked.context, findings=findings(WEAK))

    world.federation.at(C, answering(world.federation, C, says))
    now = await world.check(regions=[ANHUI, FUJIAN])
    assert now.status == WEAK
    assert [answer.HasField("pending_until") for answer in now.answers] == [True, False]
    async with world.running():
        await until(lambda: world.told_of(1))
    later = await world.fetch(now.late_ticket)
    assert later.status == STRONG
    assert [answer.status for answer in later.answers] == [STRONG, WEAK]
    assert [answer.late for answer in later.answers] == [True, False]


async def test_a_unit_sees_its_own_checks_only(world: World) -> None:
    left = await world.check(only_leave=True)
    other = A.unit("ningbo")
    async with world.running():
        await until(lambda: world.told_of(1))
    assert await world.told(peer=other) == []
    with refused("INVALID_ARGUMENT"):
        await world.fetch(left.late_ticket, peer=other)
    world.peer = other
    assert await world.states() == []


@pytest.mark.parametrize("peer", [A.identity, B.unit()], ids=["a gateway", "another member's unit"])
async def test_only_units_of_this_member_may_ask(world: World, peer: Identity) -> None:
    with refused("PEER_MISMATCH"):
        await world.told(peer=peer)
    with refused("PEER_MISMATCH"):
        await world.fetch(b"t" * 16, peer=peer)


@pytest.mark.parametrize("seconds", [31 * DAY_S, 0], ids=["too long", "not at all"])
async def test_the_time_has_a_bound(world: World, seconds: int) -> None:
    with refused("INVALID_ARGUMENT"):
        await world.check(leave_open_s=seconds, only_leave=True)


async def test_what_cannot_be_better_later_is_not_left(world: World) -> None:
    def refuses(asked: exchange_pb2.Question) -> exchange_pb2.Answer:
        refusal = exchange_pb2.Refusal(reason=words.REFUSAL_REASON_MEMBER_NOT_PERMITTED, message_en="no")
        return exchange_pb2.Answer(context=asked.context, refusal=refusal)

    world.federation.at(B, answering(world.federation, B, refuses))
    with refused("MEMBER_NOT_PERMITTED"):
        await world.check()
    assert await world.a.waiting() == 0


async def test_questions_about_one_person_are_dealt_with_in_order(world: World) -> None:
    for number in range(5):
        await world.check(only_leave=True, case_reference=f"case {number}")
        await world.check(only_leave=True, case_reference="other", id_number=BO, name=NAMES[BO])
    async with world.running():
        await until(lambda: world.told_of(10))
    cases = [recorded.event.case_reference for recorded in await world.b.store.audit.events()]
    assert [case for case in cases if case != "other"] == [f"case {number}" for number in range(5)]


async def test_order_keys_tell_nothing_and_differ_between_partners(world: World) -> None:
    keys = {world.a.store.order_key(member, number) for member in (B.member_id, C.member_id) for number in (ANNA, BO)}
    assert len(keys) == 4
    assert {len(key) for key in keys} == {16}


async def test_both_sides_record_what_was_left_and_what_came_of_it(world: World) -> None:
    await world.check(only_leave=True)
    async with world.running():
        await until(lambda: world.told_of(1))
    (question,) = world.a.sent()
    asked = [recorded.event for recorded in await world.a.store.audit.events()]
    assert [(event.direction, event.decision) for event in asked] == [("out", "left"), ("out", "late answer")]
    (answered,) = await world.b.store.audit.events()
    assert answered.event.message_id == question.delivery_id
    assert world.b.store.audit.matches(answered, delivery_digest(question.delivery_id, question.body))


async def hand_in(world: World, answer: delivery_pb2.LateAnswer) -> None:
    """A late answer of B's own making."""
    letter = world.b.letter(answer.SerializeToString(), kind=ANSWER, purpose=v.PURPOSE_DISPUTE_REVIEW)
    await world.b.outbox.submit(letter)
    async with world.running():
        await until(lambda: _emptied(world.b))
        await until(lambda: _dealt_with(world.a))


async def _emptied(site: Site) -> bool:
    return not await site.waiting()


async def _dealt_with(site: Site) -> bool:
    return all(each.state == DEAD for each in await site.store.post_office.deliveries())


def strong() -> exchange_pb2.Answer:
    return exchange_pb2.Answer(findings=findings(STRONG))


async def test_an_answer_to_a_question_that_was_never_left_is_let_go(world: World) -> None:
    await hand_in(world, delivery_pb2.LateAnswer(answers_to=b"q" * 16, question_digest=b"d" * 32, answer=strong()))
    assert await world.told() == []
    assert await world.a.store.post_office.deliveries() == []


async def test_an_answer_to_another_question_or_of_another_content_is_not_used(world: World) -> None:
    world.a.wire.error = away()
    await world.check(only_leave=True)
    (due,) = await world.a.store.outbox.due(B.member_id, NOW_MS, 10)
    for digest in (b"d" * 32, delivery_digest(due.letter.delivery_id, due.letter.body)):
        late = delivery_pb2.LateAnswer(answers_to=due.letter.delivery_id, question_digest=digest, answer=strong())
        await hand_in(world, late)
    dead = await world.a.store.post_office.deliveries(state=DEAD)
    assert [each.reason for each in dead] == [words.REFUSAL_REASON_PARTNER_FAULTY] * 2
    assert await world.told() == []


async def test_what_is_no_late_answer_is_refused_at_the_door(world: World) -> None:
    late = world.agency.late._late
    for body in (b"\xff", b"", delivery_pb2.LateAnswer(answers_to=b"q" * 16).SerializeToString()):
        with pytest.raises(RefusedError):
            late.check(B.member_id, 1, body, NOW_MS)


async def test_a_watcher_is_told_while_it_waits_and_ended_when_the_gateway_stops(world: World) -> None:
    call = Watching(A.unit())
    watching = asyncio.create_task(world.agency.WatchLate(agency_pb2.WatchLateRequest(), call.as_context()))
    async with world.running():
        await world.check(only_leave=True)
        await until(lambda: len(call.told) == 1)
    world.agency.late.close()
    with pytest.raises(AbortedError) as caught:
        await watching
    assert caught.value.code == grpc.StatusCode.UNAVAILABLE


async def test_however_much_there_is_to_tell_it_is_read_in_one_visit(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.running():
        for _ in range(6):
            await world.check(only_leave=True)
        await until(lambda: world.told_of(6))
    visits, run = [], Reader.run

    async def counted(reader: Reader, read: Callable[[sa.Connection], Any]) -> Any:
        visits.append(read)
        return await run(reader, read)

    monkeypatch.setattr(Reader, "run", counted)
    told = await world.told()
    assert [each.response.status for each in told] == [STRONG] * 6
    assert len(visits) == 2, "one finds them, and one that there are no more"


def test_an_error_of_the_tree_is_what_is_left_on() -> None:
    assert isinstance(away(), WuganError)


# traces


@pytest.fixture
def traced(tmp_path: Path) -> Iterator[TracedWorld]:
    made = TracedWorld(tmp_path / "spans.jsonl")
    yield made
    tracing.use(None)
    traces._made_in.clear()


LEFT_TRACE = {
    ("check",),
    ("check", "leave"),
    ("check", "leave", "deliver"),
    ("check", "leave", "deliver", "seal"),
    ("check", "leave", "deliver", "exchange"),
    ("check", "leave", "deliver", "open"),
    ("check", "leave", "deliver", "record"),
    ("check", "leave", "handle"),
    ("check", "leave", "handle", "lookup"),
    ("check", "leave", "handle", "grade"),
    ("check", "leave", "handle", "record"),
    ("check", "leave", "handle", "deliver"),
    ("check", "leave", "handle", "deliver", "seal"),
    ("check", "leave", "handle", "deliver", "exchange"),
    ("check", "leave", "handle", "deliver", "open"),
    ("check", "leave", "handle", "deliver", "record"),
    ("check", "leave", "take"),
}


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_left_question_its_deliveries_and_its_late_answer_are_one_trace(
    world: World, traced: TracedWorld, restarted: bool
) -> None:
    await world.check(only_leave=True)
    if restarted:
        traces._made_in.clear()
    async with world.running():
        await until(lambda: world.told_of(1))
        await until(lambda: _none_waits(world))
    spans = traced.written()
    assert len({span["trace"] for span in spans}) == 1
    assert {tuple(span["name"] for span in way) for way in ways(spans)} == LEFT_TRACE
    (handle,) = [span for span in spans if span["name"] == "handle"]
    assert handle["attributes"] == {"partner": A.member_id, "kind": "QUESTION", "outcome": "DONE", "attempt": 1}
    first, _ = sorted((span for span in spans if span["name"] == "deliver"), key=lambda span: span["start_ns"])
    assert first["attributes"] == {"partner": B.member_id, "letters": 1, "received": 1, "again": 0, "dead": 0}
    text = traced.path.read_text("utf-8")
    assert not any(word in text for word in (ANNA, NAMES[ANNA], "JH-2026-17"))


async def _none_waits(world: World) -> bool:
    return not await world.a.waiting() and not await world.b.waiting()


async def test_an_attempt_that_failed_is_a_part_of_the_trace_with_the_reason(world: World, traced: TracedWorld) -> None:
    world.a.wire.door = None
    await world.check(only_leave=True)
    async with world.running():
        await until(world.a.store.outbox.troubles)
    spans = traced.written()
    assert {span["error"] for span in spans if span["name"] == "exchange"} == {"PARTNER_UNAVAILABLE"}
    (attempt,) = [span for span in spans if span["name"] == "deliver"]
    assert attempt["attributes"] == {"partner": B.member_id, "letters": 1, "received": 0, "again": 0, "dead": 0}


async def test_what_is_not_sampled_carries_nothing_with_it_when_it_is_left(world: World, tmp_path: Path) -> None:
    made = TracedWorld(tmp_path / "spans.jsonl", sample=0.5)
    try:
        await world.check(only_leave=True)
        async with world.running():
            await until(lambda: world.told_of(1))
        (sent,) = world.a.sent()
        assert exchange_pb2.Question.FromString(sent.body).trace == b""
        assert made.written() == []
    finally:
        tracing.use(None)
