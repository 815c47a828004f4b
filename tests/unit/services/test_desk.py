"""The desk: who is let in, how many at once, and what is said of what goes wrong."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from certs.identity import Identity
from gateway.errors import DirectoryError, RefusedError, WuganError
from gateway.federation.directory import Directory
from gateway.federation.presented import presented
from gateway.observing.instruments import value_of
from gateway.services.serving import Desk
from gateway.status import from_rpc_error
from tests.unit.services.gateways_world import (
    FEDERATION,
    NOW_MS,
    A,
    AbortedError,
    B,
    Call,
    FakeClock,
    Listed,
    Party,
    certificate_of,
)
from wugan.federation.v1 import vocabulary_pb2 as words

Work = Callable[[Identity], Awaitable[str]]


@pytest.fixture
def desk() -> Desk:
    clock = FakeClock(NOW_MS)
    return Desk(clock, Listed(A, B, clock=clock).current, federation=FEDERATION, limit=2)


async def well(_peer: Identity) -> str:
    return "done"


async def serve(desk: Desk, work: Work = well, call: Call | None = None) -> str:
    return await desk.serve("Check", (call or Call(A.unit())).as_context(), work)


async def refusal(desk: Desk, work: Work = well, call: Call | None = None) -> tuple[grpc.StatusCode, WuganError]:
    with pytest.raises(AbortedError) as caught:
        await serve(desk, work, call)
    arrived = from_rpc_error(caught.value.as_client_sees_it())
    assert arrived is not None
    assert arrived.en
    assert arrived.zh
    return caught.value.code, arrived


class Held:
    """Work that waits until it is let go."""

    def __init__(self) -> None:
        self.begun = 0
        self.go = asyncio.Event()

    async def __call__(self, _peer: Identity) -> str:
        self.begun += 1
        await self.go.wait()
        return "done"


async def test_the_work_gets_the_peer_that_the_handshake_proved(desk: Desk) -> None:
    seen: list[Identity] = []

    async def work(peer: Identity) -> str:
        seen.append(peer)
        return "done"

    assert await serve(desk, work) == "done"
    assert seen == [A.unit()]
    assert desk.in_flight == 0


async def test_one_call_too_many_is_refused_at_once_with_a_time_to_wait(desk: Desk) -> None:
    held = Held()
    calls = [asyncio.ensure_future(serve(desk, held)) for _ in range(2)]
    await asyncio.sleep(0)
    assert held.begun == desk.in_flight == 2
    code, error = await refusal(desk)
    assert (code, error.code) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
    assert error.retryable
    assert error.retry_after_ms > 0
    held.go.set()
    assert await asyncio.gather(*calls) == ["done", "done"]
    assert await serve(desk) == "done"


async def test_calls_that_wait_for_long_are_in_flight_but_keep_nobody_busy() -> None:
    clock = FakeClock(NOW_MS)
    desk = Desk(clock, Listed(A, B, clock=clock).current, federation=FEDERATION, limit=3)
    held = Held()
    calls = [asyncio.ensure_future(serve(desk, held)) for _ in range(2)]
    await asyncio.sleep(0)
    assert (desk.in_flight, desk.busy_with) == (2, 2)
    clock.advance(1.0)
    assert (desk.in_flight, desk.busy_with) == (2, 0)
    calls.append(asyncio.ensure_future(serve(desk, held)))
    await asyncio.sleep(0)
    assert (desk.in_flight, desk.busy_with) == (3, 1)
    held.go.set()
    await asyncio.gather(*calls)
    assert (desk.in_flight, desk.busy_with) == (0, 0)


async def test_refused_calls_do_not_use_up_the_places_of_others(desk: Desk) -> None:
    for _ in range(5):
        await refusal(desk, call=Call("spiffe://nonsense"))
    assert desk.in_flight == 0
    assert await serve(desk) == "done"


async def test_while_draining_calls_in_flight_end_and_new_ones_are_refused(desk: Desk) -> None:
    held = Held()
    running = asyncio.ensure_future(serve(desk, held))
    await asyncio.sleep(0)
    desk.drain()
    code, error = await refusal(desk)
    assert (code, error.code, error.retryable) == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN", True)
    held.go.set()
    assert await running == "done"


@pytest.mark.parametrize(
    "call",
    [
        Call(Identity.gateway("elsewhere.example", B.member_id)),
        Call("spiffe://test.wugan.internal/member/nobody/gateway"),
        Call("https://test.wugan.internal"),
        Call(A.unit(), tls=b"TLSv1.2"),
    ],
    ids=["another federation", "no member id", "no SPIFFE id", "TLS 1.2"],
)
async def test_a_stranger_is_refused_before_any_work(desk: Desk, call: Call) -> None:
    held = Held()
    code, error = await refusal(desk, held, call)
    assert (code, error.code, error.retryable) == (grpc.StatusCode.UNAUTHENTICATED, "STRANGER", False)
    assert held.begun == 0


async def test_an_error_of_ours_arrives_with_its_reason_and_field(desk: Desk) -> None:
    async def refuse(_peer: Identity) -> str:
        raise RefusedError("no", "不", reason=words.REFUSAL_REASON_UNKNOWN_BENEFIT, field="benefit")

    code, error = await refusal(desk, refuse)
    assert (code, error.code, error.field) == (grpc.StatusCode.INVALID_ARGUMENT, "UNKNOWN_BENEFIT", "benefit")


async def test_any_other_error_is_internal_and_its_text_is_neither_told_nor_logged(desk: Desk) -> None:
    async def crash(_peer: Identity) -> str:
        raise KeyError("330702195001010011 张三")

    with capture_logs() as logs:
        code, error = await refusal(desk, crash)
    assert (code, error.code, error.retryable) == (grpc.StatusCode.INTERNAL, "INTERNAL", True)
    assert "330702" not in str(logs) + error.en + error.zh
    failed = next(log for log in logs if log["event"] == "call failed")
    assert failed["error"] == "KeyError"
    assert "test_desk.py" in failed["where"]
    assert desk.in_flight == 0


async def test_a_cancelled_call_frees_its_place_and_stays_cancelled(desk: Desk) -> None:
    held = Held()
    running = asyncio.ensure_future(serve(desk, held))
    await asyncio.sleep(0)
    running.cancel()
    with capture_logs() as logs, pytest.raises(asyncio.CancelledError):
        await running
    assert desk.in_flight == 0
    assert [log["outcome"] for log in logs] == ["CANCELLED"]


async def test_every_call_leaves_one_line_with_its_outcome(desk: Desk) -> None:
    with capture_logs() as logs:
        await serve(desk)
        await refusal(desk, call=Call("nobody"))
        await asyncio.sleep(0)  # a line is written once the answer is on its way
    assert [(log["call"], log["outcome"]) for log in logs] == [("Check", "OK"), ("Check", "STRANGER")]


def test_a_call_s_line_tells_its_time_in_hundredths_of_a_millisecond(desk: Desk) -> None:
    with capture_logs() as logs:
        for seconds in (0.0, 0.001234, 0.001236, 2.5):
            desk.account("Check", "OK", seconds)
    assert [log["ms"] for log in logs] == [0.0, 1.23, 1.24, 2500.0]


async def test_a_stream_that_is_not_let_in_or_is_ended_says_why_in_its_line() -> None:
    clock = FakeClock(NOW_MS)
    directory = Listed(A, B, clock=clock).current()
    desk = Desk(clock, lambda: directory, federation=FEDERATION, limit=2)
    begun = asyncio.Event()

    async def stream(_peer: Identity) -> None:
        begun.set()
        await asyncio.Event().wait()

    async def held(call: Call) -> None:
        with pytest.raises(AbortedError):
            await desk.hold("ExchangeStream", call.as_context(), stream, at_once=2)

    with capture_logs() as logs:
        await held(Call("nobody"))
        ended = asyncio.ensure_future(held(Call(B.identity)))
        await begun.wait()
        directory = Listed(A, clock=clock).current()
        desk.recheck()
        await ended
    assert [log["outcome"] for log in logs if log["event"] == "call"] == ["STRANGER", "STRANGER"]


# overload


class Late:
    """A desk in a process whose every turn takes as long as the test says; and calls it holds."""

    def __init__(self, turn_s: float) -> None:
        self.clock = FakeClock(NOW_MS)
        self.turn_s = turn_s
        directory = Listed(A, B, clock=self.clock).current
        self.desk = Desk(self.clock, directory, federation=FEDERATION, limit=1_000, shed_s=0.1)
        self.held = Held()

    async def call(self) -> str:
        """One call and one turn: done, held, or the name of the refusal."""
        task = asyncio.ensure_future(serve(self.desk, self.held))
        await asyncio.sleep(0)
        self.clock.advance(self.turn_s)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if not task.done():
            return "held"
        with pytest.raises(AbortedError) as caught:
            await task
        arrived = from_rpc_error(caught.value.as_client_sees_it())
        assert arrived is not None
        assert arrived.retryable
        assert arrived.retry_after_ms > 0
        assert caught.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        return arrived.code


async def test_a_process_that_does_not_get_through_its_work_takes_on_no_more_until_it_does() -> None:
    late = Late(0.12)
    outcomes = [await late.call() for _ in range(30)]
    assert outcomes[:16] == ["held"] * 16
    assert outcomes[20:] == ["OVERLOADED"] * 10
    late.turn_s = 0.001
    await late.call()
    assert await late.call() == "held"


async def test_calls_that_wait_for_others_are_no_overload_however_many() -> None:
    late = Late(0.001)
    assert [await late.call() for _ in range(500)] == ["held"] * 500


async def test_few_calls_are_taken_on_however_slow_it_goes() -> None:
    late = Late(5.0)
    assert [await late.call() for _ in range(16)] == ["held"] * 16


# revocation and listing


def directory_with(clock: FakeClock, *parties: Party, **changed: Any) -> Directory:
    return replace(Listed(*parties, clock=clock).current(), **changed)


class Changing:
    """A directory that another one follows."""

    def __init__(self) -> None:
        self.clock = FakeClock(NOW_MS)
        self.now: Directory | WuganError = directory_with(self.clock, A, B)
        self.desk = Desk(self.clock, self.current, federation=FEDERATION, limit=2)

    def current(self) -> Directory:
        if isinstance(self.now, WuganError):
            raise self.now
        return self.now

    def revoke(self, uri: str) -> None:
        shown = presented(ssl.PEM_cert_to_DER_cert(certificate_of(uri).decode()))
        self.now = directory_with(self.clock, A, B, revoked={shown.serial: frozenset({b""})})

    def remove(self, party: Party) -> None:
        self.now = directory_with(self.clock, *(each for each in (A, B) if each is not party))

    def expire(self) -> None:
        self.now = DirectoryError("expired", "已过期")


@pytest.fixture
def changing() -> Changing:
    return Changing()


@pytest.mark.parametrize("peer", [A.identity, A.unit(), Identity(FEDERATION, A.member_id, "department", "banks")])
async def test_a_revoked_certificate_is_refused_at_the_next_call(changing: Changing, peer: Identity) -> None:
    assert await serve(changing.desk, call=Call(peer)) == "done"
    changing.revoke(peer.uri)
    code, error = await refusal(changing.desk, call=Call(peer))
    assert (code, error.code) == (grpc.StatusCode.UNAUTHENTICATED, "STRANGER")
    assert await serve(changing.desk, call=Call(B.unit())) == "done"


async def test_whoever_is_no_member_any_more_is_refused_at_the_next_call(changing: Changing) -> None:
    changing.remove(B)
    for peer in (B.identity, B.unit()):
        error = (await refusal(changing.desk, call=Call(peer)))[1]
        assert error.code == "STRANGER"
        assert "taken out; ask the federation's administrator" in error.en


async def test_a_gateway_with_an_unlisted_certificate_is_refused_and_its_units_are_not(changing: Changing) -> None:
    shown = presented(ssl.PEM_cert_to_DER_cert(certificate_of(A.identity.uri).decode()))
    for listed, welcome in ((b"another", False), (shown.fingerprint, True)):
        entry = replace(A.entry(), tls_certificates=frozenset({listed}))
        changing.now = directory_with(changing.clock, members=(entry, B.entry()))
        if welcome:
            assert await serve(changing.desk, call=Call(A.identity)) == "done"
        else:
            assert (await refusal(changing.desk, call=Call(A.identity)))[1].code == "STRANGER"
        assert await serve(changing.desk, call=Call(A.unit())) == "done"


async def test_without_a_directory_in_force_nobody_is_served(changing: Changing) -> None:
    changing.expire()
    code, error = await refusal(changing.desk)
    assert (code, error.code) == (grpc.StatusCode.FAILED_PRECONDITION, "DIRECTORY_EXPIRED")


async def test_the_authority_itself_is_no_caller(changing: Changing) -> None:
    assert (await refusal(changing.desk, call=Call(Identity.authority(FEDERATION))))[1].code == "STRANGER"


@pytest.mark.parametrize("change", ["revoke", "remove", "expire"])
async def test_what_was_worked_out_for_a_peer_that_was_revoked_meanwhile_is_not_given(
    changing: Changing, change: str
) -> None:
    held = Held()
    running = asyncio.ensure_future(serve(changing.desk, held, Call(A.unit())))
    await asyncio.sleep(0)
    assert held.begun == 1
    change_it(changing, change)
    held.go.set()
    with pytest.raises(AbortedError):
        await running


def change_it(changing: Changing, change: str) -> None:
    match change:
        case "revoke":
            changing.revoke(A.unit().uri)
        case "remove":
            changing.remove(A)
        case _:
            changing.expire()


@pytest.mark.parametrize("change", ["revoke", "remove", "expire"])
async def test_an_open_stream_ends_as_soon_as_its_peer_is_not_welcome(changing: Changing, change: str) -> None:
    held, others = Held(), Held()
    open_call = asyncio.ensure_future(changing.desk.attend(Call(A.unit()).as_context(), held))
    other = asyncio.ensure_future(changing.desk.attend(Call(B.unit()).as_context(), others))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert held.begun == others.begun == 1
    change_it(changing, change)
    changing.desk.recheck()
    with pytest.raises(AbortedError) as caught:
        await open_call
    assert caught.value.code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.FAILED_PRECONDITION)
    if change == "expire":
        with pytest.raises(AbortedError):
            await other
    else:
        assert not other.done()
        others.go.set()
        assert await other == "done"


async def test_an_open_stream_whose_client_goes_is_cancelled_and_forgotten(changing: Changing) -> None:
    held = Held()
    open_call = asyncio.ensure_future(changing.desk.attend(Call(A.unit()).as_context(), held))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    open_call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await open_call
    changing.remove(A)
    changing.desk.recheck()
    assert changing.desk.in_flight == 0


async def test_open_streams_take_no_places_of_calls(changing: Changing) -> None:
    streams = [asyncio.ensure_future(changing.desk.attend(Call(A.unit()).as_context(), Held())) for _ in range(5)]
    await asyncio.sleep(0)
    assert changing.desk.in_flight == 0
    assert await serve(changing.desk) == "done"
    for stream in streams:
        stream.cancel()
    await asyncio.gather(*streams, return_exceptions=True)


async def test_calls_of_one_name_that_are_held_open_take_no_room_from_those_of_another(changing: Changing) -> None:
    desk = changing.desk

    def held(call: str) -> asyncio.Task[None]:
        return asyncio.ensure_future(desk.hold(call, Call(A.unit()).as_context(), Held(), at_once=4))

    many = [held("CheckMany") for _ in range(2)]
    stream = held("ExchangeStream")
    await asyncio.sleep(0.01)
    assert not any(each.done() for each in (*many, stream))
    with pytest.raises(AbortedError):
        await desk.hold("CheckMany", Call(A.unit()).as_context(), Held(), at_once=4)
    for each in (*many, stream):
        each.cancel()
    await asyncio.gather(*many, stream, return_exceptions=True)


async def take(desk: Desk, work: Work = well, *, party: Party = A, time_s: float | None = None) -> str:
    return await desk.take("Check", desk.caller(Call(party.unit()).as_context()), time_s, work)


async def test_one_of_many_is_admitted_and_accounted_for_as_a_call_of_its_own(desk: Desk) -> None:
    started, go = asyncio.Event(), asyncio.Event()

    async def slow(_peer: Identity) -> str:
        started.set()
        await go.wait()
        return "late"

    def accounted() -> list[float]:
        return [value_of("wugan_calls_total", call="Check", outcome=each) for each in ("OVERLOADED", "OK")]

    before = accounted()
    running = [asyncio.create_task(take(desk, slow)) for _ in range(2)]
    await started.wait()
    assert desk.in_flight == 2
    with pytest.raises(RefusedError, match="too many calls") as caught:
        await take(desk)
    assert caught.value.retryable
    go.set()
    assert await asyncio.gather(*running) == ["late", "late"]
    await asyncio.sleep(0)
    assert desk.in_flight == 0
    assert accounted() == [before[0] + 1, before[1] + 2]


async def test_one_of_many_is_refused_once_the_desk_drains(desk: Desk) -> None:
    desk.drain()
    with pytest.raises(RefusedError, match="shutting down"):
        await take(desk)


async def test_what_breaks_in_one_of_many_is_told_without_what_it_was(desk: Desk) -> None:
    async def broken(_peer: Identity) -> str:
        raise ValueError("110101199003070011")

    with capture_logs() as logs, pytest.raises(WuganError) as caught:
        await take(desk, broken)
    assert caught.value.code == "INTERNAL"
    assert "1101" not in str(logs) + caught.value.en + caught.value.zh


async def test_one_of_many_is_judged_by_the_directory_of_the_moment_before_and_after_its_work() -> None:
    clock = FakeClock(NOW_MS)
    directories = [Listed(A, B, clock=clock).current(), Listed(B, clock=clock).current()]
    now = 0
    desk = Desk(clock, lambda: directories[now], federation=FEDERATION, limit=2)
    done = []

    async def work(_peer: Identity) -> str:
        nonlocal now
        done.append(True)
        now = 1
        return "for nobody"

    with pytest.raises(RefusedError):
        await take(desk, work)
    assert done == [True], "it was let in, and is not any more"
    with pytest.raises(RefusedError):
        await take(desk, work)
    assert done == [True]
