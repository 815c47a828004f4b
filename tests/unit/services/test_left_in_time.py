"""A check that is to be left is left although its caller's time is over, and asked again it is the same one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any, cast

import grpc
import pytest

from certs.identity import Identity
from gateway.errors import StoreError
from gateway.federation.check import LEAVING_S
from gateway.federation.checked import Checked
from gateway.services import carrying
from gateway.services.agency import AgencyServicer
from gateway.store.engine import Store
from tests.unit.post.post_world import DAY_MS, until
from tests.unit.services.gateways_world import (
    ANHUI,
    FUJIAN,
    A,
    AbortedError,
    B,
    C,
    Call,
    Federation,
    answering,
    findings,
    request,
    rpc_error,
)
from wugan.agency.v1 import agency_pb2
from wugan.federation.v1 import envelope_pb2, exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

WEEK_S = 7 * DAY_MS // 1000


def alive(asked: exchange_pb2.Question) -> exchange_pb2.Answer:
    return exchange_pb2.Answer(context=asked.context, findings=findings(words.SURVIVAL_STATUS_ALIVE_STRONG))


class Slow:
    """A store whose commits that leave something wait until a test lets them go, or fail."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached = asyncio.Event()
        self.go = asyncio.Event()
        self.fails = False
        self._write = store.together
        monkeypatch.setattr(store, "together", self._together)

    async def _together(self, effects: Any) -> None:
        self.reached.set()
        await self.go.wait()
        if self.fails:
            raise StoreError("not written", "未写入", retryable=True)
        await self._write(effects)


class World:
    """A, an agency of it, and provinces that nobody reaches unless a test puts somebody there."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.federation = Federation()
        self.agency: AgencyServicer = self.federation.agency(store)
        self.hung = asyncio.Event()
        self.given_s: list[float] = []

    async def hang(self, _envelope: envelope_pb2.Envelope, call: Call) -> envelope_pb2.Envelope:
        self.given_s.append(call.time_remaining() or 0.0)
        self.hung.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def check(self, time_s: float | None = 5.0, *, peer: Identity | None = None, **changed: Any) -> Any:
        asked = request(**{"leave_open_s": WEEK_S, **changed})
        return await self.agency.Check(asked, Call(peer or A.unit(), time_s).as_context())

    async def left(self, peer: Identity | None = None) -> list[bytes]:
        listed = await self.agency.ListLate(agency_pb2.ListLateRequest(), Call(peer or A.unit(), 5.0).as_context())
        return [each.ticket for each in listed.checks]

    async def letters(self) -> int:
        return sum(each.waiting for each in await self.store.outbox.backlog())

    async def some_left(self) -> bool:
        return bool(await self.left())


@pytest.fixture
async def world(store: Store) -> World:
    return World(store)


@contextlib.contextmanager
def deadline_passes() -> Iterator[None]:
    """What the library does with a call whose time is over: its handler is cancelled."""
    with pytest.raises(asyncio.CancelledError):
        yield


async def gone(asking: asyncio.Future[Any]) -> None:
    asking.cancel()
    with deadline_passes():
        await asking


async def test_what_is_being_left_when_the_time_is_over_is_left_and_found_by_asking_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(world.store, monkeypatch)
    asking = asyncio.ensure_future(world.check())
    await slow.reached.wait()
    await gone(asking)
    assert not await world.left()
    again = asyncio.ensure_future(world.check(only_leave=True))  # while it is under way
    await asyncio.sleep(0)
    slow.go.set()
    (ticket,) = {(await again).late_ticket, (await world.check()).late_ticket}
    assert await world.left() == [ticket]
    assert await world.letters() == 1


async def test_nobody_need_ask_again_for_it_to_be_left(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(world.store, monkeypatch)
    asking = asyncio.ensure_future(world.check())
    await slow.reached.wait()
    await gone(asking)
    finishing = asyncio.ensure_future(world.agency.carrying.finish())  # the gateway stops
    await asyncio.sleep(0)
    assert not finishing.done()
    slow.go.set()
    await finishing
    assert len(await world.left()) == 1


async def test_a_caller_whose_time_is_over_before_the_others_were_asked_in_full_has_it_left(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks, busy = world.agency._checks, asyncio.Event()
    check = checks.check

    async def late(*given: Any, **named: Any) -> Checked:  # the machine does not come round
        await busy.wait()
        return await check(*given, **named)

    monkeypatch.setattr(checks, "check", late)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await world.check(0.2)
    busy.set()
    await until(world.some_left)


async def test_a_caller_who_gives_it_up_before_has_it_not_left(world: World) -> None:
    world.federation.at(B, world.hang)
    asking = asyncio.ensure_future(world.check(60.0))
    await world.hung.wait()
    await gone(asking)
    await world.agency.carrying.finish()
    assert not await world.left()
    again = await world.check(only_leave=True)
    assert await world.left() == [again.late_ticket]


async def test_whoever_waits_for_the_same_is_not_given_up_with_another(world: World) -> None:
    world.federation.at(B, world.hang)
    first = asyncio.ensure_future(world.check(0.4))
    await world.hung.wait()
    second = asyncio.ensure_future(world.check(60.0))
    await asyncio.sleep(0)
    await gone(first)
    assert (await second).late_ticket


@pytest.mark.parametrize("time_s", [0.4, 2.0, 4.0])
async def test_time_for_leaving_is_set_aside_of_a_question_that_may_be_left(world: World, time_s: float) -> None:
    world.federation.at(B, world.hang)
    for leave in (0, WEEK_S):
        asking = asyncio.ensure_future(world.check(time_s, leave_open_s=leave, case_reference=f"JH-{leave}"))
        await world.hung.wait()
        world.hung.clear()
        asking.cancel()
        await asyncio.wait([asking])
    plain_s, left_s = world.given_s
    assert plain_s - left_s > 0.8 * min(LEAVING_S, plain_s / 4)


async def test_where_there_is_no_time_to_ask_anybody_it_is_left_all_the_same(world: World) -> None:
    left = await world.check(0.01)
    assert await world.left() == [left.late_ticket]
    assert left.answers[0].message_en.startswith("not asked yet")
    assert not world.federation.lines
    with pytest.raises(AbortedError):
        await world.check(0.01, leave_open_s=0)


async def test_an_answer_that_may_have_come_too_late_is_given_again_whole(world: World) -> None:
    world.federation.at(B, answering(world.federation, B, alive))
    first = await world.check(0.9)
    assert not first.late_ticket
    world.federation.handlers.clear()
    assert await world.check(only_leave=True) == first
    assert not await world.left()


async def test_what_is_another_question_or_anothers_is_another_check(world: World) -> None:
    peer = A.unit("quzhou")
    tickets = {
        (await world.check(0.9)).late_ticket,
        (await world.check(0.9, case_reference="JH-2026-18")).late_ticket,
        (await world.check(0.9, official="another")).late_ticket,
        (await world.check(0.9, peer=peer)).late_ticket,
    }
    assert len(tickets) == 4
    assert len(await world.left(peer)) == 1


async def test_an_answer_that_arrived_or_is_long_past_is_not_given_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = await world.check(60.0), await world.check(60.0)
    assert first.late_ticket != second.late_ticket
    monkeypatch.setattr(carrying, "HELD_S", 0.0)
    third, fourth = await world.check(0.9), await world.check(0.9)
    assert third.late_ticket != fourth.late_ticket


async def test_what_could_not_be_left_is_left_when_it_is_asked_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(world.store, monkeypatch)
    slow.fails = True
    asking = asyncio.ensure_future(world.check())
    await slow.reached.wait()
    await gone(asking)
    slow.go.set()
    await world.agency.carrying.finish()
    assert not await world.left()
    slow.fails = False
    left = await world.check(only_leave=True)
    assert await world.left() == [left.late_ticket]


async def test_a_followed_check_is_left_although_its_caller_is_gone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.federation.at(B, answering(world.federation, B, alive))
    first = asyncio.Event()

    async def away_then(_envelope: envelope_pb2.Envelope, _call: Call) -> envelope_pb2.Envelope:
        await first.wait()
        raise rpc_error(grpc.StatusCode.UNAVAILABLE)

    world.federation.at(C, away_then)
    slow = Slow(world.store, monkeypatch)
    told: list[agency_pb2.CheckStreamResponse] = []

    class Following(Call):
        async def write(self, message: agency_pb2.CheckStreamResponse) -> None:
            told.append(message)
            first.set()

    def follow() -> asyncio.Future[None]:
        asked = request(leave_open_s=WEEK_S, regions=[ANHUI, FUJIAN])
        context = cast("grpc.aio.ServicerContext[Any, Any]", Following(A.unit(), 5.0))
        return asyncio.ensure_future(world.agency.CheckStream(agency_pb2.CheckStreamRequest(check=asked), context))

    asking = follow()
    await slow.reached.wait()
    await gone(asking)
    assert [(each.final, list(each.awaited)) for each in told] == [(False, [C.member_id])]
    slow.go.set()
    await until(world.some_left)
    told.clear()
    await follow()
    assert [each.final for each in told] == [True]
    assert await world.left() == [told[0].known.late_ticket]
    assert told[0].known.status != words.SURVIVAL_STATUS_UNSPECIFIED


async def test_an_answer_too_large_to_be_given_is_not_left(store: Store) -> None:
    world = World(store)
    world.agency = world.federation.agency(store, most_bytes=300)
    with pytest.raises(AbortedError):
        await world.check()
    assert not await world.left()
