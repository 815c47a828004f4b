"""The desk: who is let in, how many at once, and what is said of what goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import grpc
import pytest
from structlog.testing import capture_logs

from certs.identity import Identity
from gateway.errors import RefusedError, WuganError
from gateway.services.serving import Desk
from gateway.status import from_rpc_error
from tests.unit.services.gateways_world import FEDERATION, NOW_MS, A, AbortedError, B, Call, FakeClock, Listed
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
    assert [(log["call"], log["outcome"]) for log in logs] == [("Check", "OK"), ("Check", "STRANGER")]
