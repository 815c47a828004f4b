"""AgencyService with answers that are given again: the same message with its age, recorded, nobody else's; streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from certs.identity import Identity
from gateway.clock import FakeClock
from gateway.exchange.envelope import verify_proof
from gateway.exchange.keys import VerifyKey
from gateway.federation.answer_cache import AnswerCache
from gateway.federation.kept import CacheOptions
from gateway.observing import metrics
from gateway.services.agency import AgencyServicer
from gateway.services.finished import FinishedAnswers
from gateway.services.serving import Desk
from gateway.status import from_rpc_error
from gateway.store.engine import Store
from tests.unit.federation.cache_world import Changing
from tests.unit.rules.rules_world import BOOK, row
from tests.unit.services.gateways_world import (
    ANHUI,
    ANNA,
    BO,
    FEDERATION,
    FUJIAN,
    NO_ROSTERS,
    NOW_MS,
    A,
    AbortedError,
    B,
    C,
    Call,
    Federation,
    Register,
    gateway_of,
    proof_in,
    request,
    serving,
    stored,
)
from wugan.adapter.v1 import vocabulary_pb2 as v
from wugan.agency.v1 import agency_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

HOUR_S = 3600


class Gateway:
    """A's agency side, B and C behind it; what goes to B is counted."""

    def __init__(self, store: Store, clock: FakeClock, *, response_bytes: int = 1 << 20, stale: bool = False) -> None:
        self.store = store
        self.clock = clock
        self.federation = Federation(clock=clock)
        self.directory = Changing(A, B, C, clock=clock)
        self.register = Register({ANNA: (row("OUTPATIENT", 5),), BO: (row("OUTPATIENT", 5),)})
        self.federation.at(B, serving(gateway_of(self.federation, B, store, self.register)))
        options = CacheOptions(100, 1 << 20, stale_if_unreachable=stale, flush_s=0.01)
        self.cache = AnswerCache(store.reusable, store.answers, self.directory, clock, options)
        checks = self.federation.checks(store, cache=self.cache)
        self.finished = FinishedAnswers(self.cache, checks.again, checks.questions, clock, response_bytes)
        desk = Desk(clock, self.directory.current, federation=FEDERATION, limit=8)
        late = self.federation.late(store)
        notices = self.federation.notices(store, checks)
        self.agency = AgencyServicer(
            desk, checks, BOOK, self.directory, A.member_id, late, notices, NO_ROSTERS, self.finished
        )

    async def check(self, peer: Identity | None = None, **changed: Any) -> agency_pb2.CheckResponse:
        plain = {"purpose": v.PURPOSE_CERTIFICATION, **changed}
        response = await self.agency.Check(request(**plain), Call(peer or A.unit(), 5.0).as_context())
        for _ in range(3):  # rounds in which what was answered is taken
            await asyncio.sleep(0)
        return response

    async def times(self, count: int, **changed: Any) -> agency_pb2.CheckResponse:
        """Ask so many times: anew, from the members' answers, then from whole responses."""
        response = agency_pb2.CheckResponse()
        for _ in range(count):
            response = await self.check(**changed)
        return response

    @property
    def asked(self) -> int:
        """How often B's department was asked."""
        return len(self.register.asked)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW_MS)


@pytest.fixture
async def gateway(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Gateway]:
    async with stored(tmp_path, clock) as store:
        made = Gateway(store, clock)
        await made.cache.open()
        yield made
        await made.cache.close()


def same(one: agency_pb2.CheckResponse, other: agency_pb2.CheckResponse) -> bool:
    """Whether two responses say the same but for when, and whether it was said before."""
    bare = []
    for response in (one, other):
        copy = agency_pb2.CheckResponse()
        copy.CopyFrom(response)
        for field in ("made_at", "age_ms", "from_cache"):
            copy.ClearField(field)
        for province in copy.answers:
            province.ClearField("from_cache")
        bare.append(copy)
    return bare[0] == bare[1]


@pytest.mark.parametrize("count", [2, 3, 4])
async def test_the_same_is_said_again_with_its_age_and_nobody_is_asked(gateway: Gateway, count: int) -> None:
    first = await gateway.check()
    gateway.clock.advance(60)
    again = await gateway.times(count - 1)
    assert gateway.asked == 1
    assert (first.from_cache, again.from_cache) == (False, True)
    assert again.answers[0].from_cache
    assert same(first, again)
    assert again.age_ms == 60_000
    assert again.made_at.ToMilliseconds() == gateway.clock.now_ms()
    assert again.answers[0].made_at == first.answers[0].made_at


async def test_the_age_grows_with_the_time(gateway: Gateway) -> None:
    await gateway.times(3)
    for _ in range(3):
        gateway.clock.advance(10)
        response = await gateway.check()
        assert response.age_ms == gateway.clock.now_ms() - NOW_MS


@pytest.mark.parametrize("count", [1, 2, 3])
async def test_the_proof_verifies_every_time(gateway: Gateway, count: int) -> None:
    proof = (await gateway.times(count)).answers[0].proof
    assert verify_proof(proof_in(proof), VerifyKey.from_raw(B.signing.public_raw)).sender == B.member_id


async def test_every_time_is_recorded_with_official_and_case(gateway: Gateway) -> None:
    for name in ("one", "two", "three", "four"):
        await gateway.check(case_reference=name, official=name)
    recorded = [each.event for each in await gateway.store.audit.events()]
    told = [each for each in recorded if each.direction in ("out", "again")]
    assert [(each.direction, each.case_reference) for each in told] == [
        ("out", "one"),
        ("again", "two"),
        ("again", "three"),
        ("again", "four"),
    ]
    assert len({each.official for each in told}) == 4
    assert {each.digest for each in told} == {b""}
    await gateway.store.audit.verify_chain()


@pytest.mark.parametrize(
    "other",
    [
        {"id_number": BO, "name": "鲍博"},
        {"name": "安妮"},
        {"legal_basis": "社会保险法 第七十五条"},
        {"evidence_limit": 19},
        {"benefit": words.BENEFIT_TYPE_WORK_INJURY},
        {"purpose": v.PURPOSE_AUDIT},
        {"peer": A.unit("yiwu")},
        {"fresh": True},
    ],
    ids=lambda other: next(iter(other)),
)
async def test_whatever_else_is_asked_is_asked(gateway: Gateway, other: dict[str, Any]) -> None:
    await gateway.times(3)
    asked = gateway.asked
    assert not (await gateway.check(**other)).from_cache
    assert gateway.asked == asked + 1


async def test_a_case_that_is_not_in_order_is_refused_all_the_same(gateway: Gateway) -> None:
    await gateway.times(3)
    for wrong in ({"case_reference": " "}, {"case_reference": "a\nb"}, {"official": ""}, {"official": "x" * 101}):
        with pytest.raises(AbortedError) as caught:
            await gateway.check(**wrong)
        error = from_rpc_error(caught.value.as_client_sees_it())
        assert error is not None
        assert error.code == "INVALID_ARGUMENT"


@pytest.mark.parametrize("count", [1, 2, 3])
async def test_a_notice_ends_it_wherever_it_lies(gateway: Gateway, count: int) -> None:
    await gateway.times(count)
    await gateway.cache.invalidate(B.member_id, [gateway.cache.index_of(ANNA)])
    assert not (await gateway.check()).from_cache


async def test_what_is_said_against_somebody_ends_whole_responses_of_other_members_too(gateway: Gateway) -> None:
    gateway.federation.at(C, serving(gateway_of(gateway.federation, C, gateway.store, gateway.register)))
    for person in ({}, {"id_number": BO, "name": "鲍博"}):
        assert (await gateway.times(3, regions=[FUJIAN], **person)).from_cache
        assert (await gateway.times(3, peer=A.unit("yiwu"), **person)).from_cache
    assert gateway.finished.size > 0
    gateway.register.people[ANNA] = (row("CREMATION", 3, region=340100),)
    dead = await gateway.check(purpose=v.PURPOSE_DISPUTE_REVIEW)
    assert dead.status not in (words.SURVIVAL_STATUS_ALIVE_WEAK, words.SURVIVAL_STATUS_ALIVE_MEDIUM)
    for person in ({}, {"id_number": BO, "name": "鲍博"}):
        again = await gateway.check(regions=[FUJIAN], **person)
        yiwu = await gateway.check(peer=A.unit("yiwu"), **person)
        assert (again.from_cache, yiwu.from_cache) == ((True, True) if person else (False, False))


async def test_what_is_given_again_is_counted_for_each_member_whose_answer_it_is(gateway: Gateway) -> None:
    gateway.federation.at(C, serving(gateway_of(gateway.federation, C, gateway.store, gateway.register)))

    def counted() -> list[float]:
        shown = {labels: series[0] for labels, series in metrics.CACHE._series.all()}
        return [shown.get((party.member_id, what), 0) for party in (B, C) for what in ("ASKED", "GIVEN")]

    before = counted()
    await gateway.times(4, regions=[ANHUI, FUJIAN])
    await gateway.times(3)
    assert [now - then for now, then in zip(counted(), before, strict=True)] == [1, 6, 1, 3]
    await gateway.check(regions=[ANHUI, FUJIAN])
    await gateway.cache.invalidate(C.member_id, [gateway.cache.index_of(ANNA)])
    before = counted()
    await gateway.check(regions=[ANHUI, FUJIAN])
    assert [now - then for now, then in zip(counted(), before, strict=True)] == [0, 1, 1, 0], "each once"


@pytest.mark.parametrize("count", [1, 2, 3])
async def test_its_time_ends_it_wherever_it_lies(gateway: Gateway, count: int) -> None:
    await gateway.times(count)
    gateway.clock.advance(24 * HOUR_S)
    assert not (await gateway.check()).from_cache


@pytest.mark.parametrize("count", [1, 2, 3])
async def test_another_directory_ends_it_wherever_it_lies(gateway: Gateway, count: int) -> None:
    await gateway.times(count)
    gateway.directory.replace(A, B, C)
    assert not (await gateway.check()).from_cache


async def test_a_unit_that_is_not_let_in_any_more_gets_nothing_again(gateway: Gateway) -> None:
    await gateway.times(3)
    gateway.directory.replace(B, C)
    with pytest.raises(AbortedError) as caught:
        await gateway.check()
    assert caught.value.code == grpc.StatusCode.UNAUTHENTICATED


async def test_nothing_is_given_again_that_cannot_be_recorded(gateway: Gateway) -> None:
    await gateway.times(3)
    await gateway.store._writer.close()
    with pytest.raises(AbortedError):
        await gateway.check()


async def test_a_dispute_is_asked_anew_every_time(gateway: Gateway) -> None:
    await gateway.times(3, purpose=v.PURPOSE_DISPUTE_REVIEW)
    assert gateway.asked == 3


async def test_an_answer_with_one_province_missing_is_not_held_as_a_whole(gateway: Gateway) -> None:
    for _ in range(3):
        response = await gateway.check(regions=[ANHUI, FUJIAN])
        assert response.partial
        assert [answer.refusal for answer in response.answers] == [0, words.REFUSAL_REASON_PARTNER_UNAVAILABLE]
    assert gateway.finished.size == 0
    assert response.answers[0].from_cache


async def test_whole_responses_are_held_within_their_bound(tmp_path: Path, clock: FakeClock) -> None:
    async with stored(tmp_path, clock) as store:
        small = Gateway(store, clock, response_bytes=5_000)
        for _ in range(3):
            for limit in range(20):
                await small.check(evidence_limit=limit)
            assert small.finished.size <= 5_000
        assert small.finished.size > 0
        await small.cache.close()


async def test_an_outdated_answer_says_so_with_its_age_and_why(tmp_path: Path, clock: FakeClock) -> None:
    async with stored(tmp_path, clock) as store:
        gateway = Gateway(store, clock, stale=True)
        first = await gateway.check()
        gateway.clock.advance(30 * HOUR_S)
        gateway.federation.handlers.clear()
        for line in gateway.federation.lines:
            line._handler = _down
        shown = await gateway.check()
        (answer,) = shown.answers
        assert (shown.stale, shown.from_cache, shown.partial, answer.stale, answer.refusal) == (
            True,
            True,
            True,
            True,
            0,
        )
        assert (shown.status, shown.age_ms) == (first.status, 30 * HOUR_S * 1000)
        assert answer.message_zh
        assert answer.proof == first.answers[0].proof
        assert gateway.finished.size == 0
        await gateway.cache.close()


async def _down(*_: object) -> Any:
    raise grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata())


class Listening(Call):
    """A call whose messages a test reads."""

    def __init__(self, peer: Identity) -> None:
        super().__init__(peer, 5.0)
        self.written: list[agency_pb2.CheckStreamResponse] = []
        self.first = asyncio.Event()

    async def write(self, message: agency_pb2.CheckStreamResponse) -> None:
        self.written.append(message)
        self.first.set()


async def follow(gateway: Gateway, listening: Listening, **changed: Any) -> list[agency_pb2.CheckStreamResponse]:
    asked = request(**{"purpose": v.PURPOSE_CERTIFICATION, **changed})
    await gateway.agency.CheckStream(agency_pb2.CheckStreamRequest(check=asked), listening.as_context())
    return listening.written


async def test_a_stream_tells_what_is_known_and_who_is_awaited(gateway: Gateway) -> None:
    go = asyncio.Event()

    async def wait(envelope: Any, call: Call) -> Any:
        await go.wait()
        return await serving(gateway_of(gateway.federation, C, gateway.store, gateway.register))(envelope, call)

    gateway.federation.at(C, wait)
    listening = Listening(A.unit())
    following = asyncio.ensure_future(follow(gateway, listening, regions=[ANHUI, FUJIAN]))
    await asyncio.wait_for(listening.first.wait(), 5)
    go.set()
    first, last = await following
    assert (list(first.awaited), first.final, len(first.known.answers)) == ([C.member_id], False, 1)
    (awaited,) = first.awaited_members
    assert (awaited.member_id, awaited.name_zh, awaited.name_en) == (C.member_id, "某省 350000", "province 350000")
    assert not last.awaited_members
    assert (list(last.awaited), last.final, len(last.known.answers)) == ([], True, 2)
    assert first.known.status == last.known.status == words.SURVIVAL_STATUS_ALIVE_MEDIUM


async def test_a_stream_to_one_province_is_one_final_message(gateway: Gateway) -> None:
    (only,) = await follow(gateway, Listening(A.unit()))
    assert only.final
    assert same(only.known, await gateway.check(fresh=True)) is False, "proofs differ"
    assert only.known.status == words.SURVIVAL_STATUS_ALIVE_MEDIUM


async def test_a_stream_is_refused_to_whom_a_check_is(gateway: Gateway) -> None:
    with pytest.raises(AbortedError) as caught:
        await follow(gateway, Listening(B.unit()))
    assert caught.value.code == grpc.StatusCode.UNAUTHENTICATED


async def test_a_stream_ends_before_the_next_message_for_whom_is_let_in_no_more(gateway: Gateway) -> None:
    go = asyncio.Event()

    async def wait(envelope: Any, call: Call) -> Any:
        await go.wait()
        return await serving(gateway_of(gateway.federation, C, gateway.store, gateway.register))(envelope, call)

    gateway.federation.at(C, wait)
    listening = Listening(A.unit())
    following = asyncio.ensure_future(follow(gateway, listening, regions=[ANHUI, FUJIAN]))
    await asyncio.wait_for(listening.first.wait(), 5)
    gateway.directory.replace(B, C)
    go.set()
    with pytest.raises(AbortedError):
        await following
    assert len(listening.written) == 1
