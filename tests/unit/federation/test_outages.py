"""A partner of several gateways of which some, or all, are gone: nobody is refused for want of tries while one of them
answers, and nothing is multiplied while none does.
"""

from __future__ import annotations

import asyncio
import enum
import itertools
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any, cast

import grpc
import pytest

from gateway.clock import FakeClock
from gateway.errors import RefusedError, WuganError
from gateway.federation.directory import Directory, Gateway
from gateway.federation.partners import TOGETHER_AT_MOST, Asking, Partners
from gateway.resilience.elsewhere import SAVED_AT_MOST
from gateway.sections.resilience import BreakerSettings, RetrySettings
from tests.instant_loop import run_instantly
from tests.unit.services.gateways_world import (
    NOW_MS,
    A,
    B,
    Call,
    Federation,
    Line,
    Listed,
    answering,
    findings,
    opened_at,
    question,
    rpc_error,
    status_of,
)
from wugan.federation.v1 import envelope_pb2, exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

NEVER = BreakerSettings(calls=10_000)
"""Nobody is left alone."""
BREAKERS = {"breakers": BreakerSettings(), "none": NEVER}
SAVED = 8
"""What the budgets of retries and of hedges hold at most; an envelope of more is paid for afterwards."""


class State(enum.Enum):
    WELL = enum.auto()
    REFUSING = enum.auto()
    UNAVAILABLE = enum.auto()
    BLACK_HOLE = enum.auto()


class LoopClock(FakeClock):
    """Goes with the event loop."""

    def now_ms(self) -> int:
        return NOW_MS + round(self.monotonic() * 1000)

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


class Replica:
    """One gateway of B, and how many questions reached it."""

    def __init__(self, federation: Federation, takes_s: float) -> None:
        self.federation = federation
        self.state = State.WELL
        self.takes_s = takes_s
        self.reached = 0

    async def __call__(self, envelope: envelope_pb2.Envelope, call: Call) -> envelope_pb2.Envelope:
        self.reached += len(opened_at(self.federation, B, envelope).payloads)
        if self.state is State.BLACK_HOLE:
            await asyncio.Event().wait()
        await asyncio.sleep(self.takes_s)
        if self.state is State.UNAVAILABLE:
            raise rpc_error(grpc.StatusCode.UNAVAILABLE)
        if self.state is State.REFUSING:
            raise status_of(RefusedError("no", "不", reason=words.REFUSAL_REASON_MEMBER_NOT_PERMITTED))
        return await answering(self.federation, B, _well)(envelope, call)


def _well(asked: exchange_pb2.Question) -> exchange_pb2.Answer:
    return exchange_pb2.Answer(context=asked.context, findings=findings(words.SURVIVAL_STATUS_ALIVE_STRONG))


@dataclass
class Replicas(Federation):
    """B has so many gateways."""

    count: int = 2
    takes_s: float = 0.02
    clock: FakeClock = field(default_factory=LoopClock)

    def __post_init__(self) -> None:
        self.replicas = [Replica(self, self.takes_s) for _ in range(self.count)]
        self._listed: Listed | None = None
        self._number = itertools.count()

    @property
    def directory(self) -> Listed:
        if self._listed is None:
            self._listed = Listed(*self.parties, clock=self.clock)
            whole = self._listed.current()
            gateways = tuple(Gateway(f"replica-{each}:7443", B.identity.tls_name) for each in range(self.count))
            entries = [
                replace(entry, gateways=gateways) if entry.member_id == B.member_id else entry
                for entry in (party.entry() for party in self.parties)
            ]
            self._listed._directory = Directory(
                whole.federation, 1, whole.issued_at_ms, whole.expires_at_ms, b"", tuple(entries)
            )
        return self._listed

    def channel(self, address: str, tls_name: str) -> grpc.aio.Channel:
        replica = self.replicas[int(address.removeprefix("replica-").removesuffix(":7443"))]
        return cast("grpc.aio.Channel", Line(A, replica))

    def become(self, *states: State) -> None:
        for replica, state in zip(self.replicas, states, strict=True):
            replica.state = state

    @property
    def reached(self) -> int:
        return sum(replica.reached for replica in self.replicas)

    async def ask(self, partners: Partners, count: int, at_once: int, timeout_s: float) -> Counter[str]:
        """How so many questions of different cases ended, asked so many at a time."""
        ends: Counter[str] = Counter()
        for first in range(0, count, at_once):
            together = range(min(at_once, count - first))
            ends.update(await asyncio.gather(*(self._end(partners, timeout_s) for _ in together)))
        return ends

    async def _end(self, partners: Partners, timeout_s: float) -> str:
        try:
            await partners.ask(B.member_id, self._asking(), timeout_s)
        except WuganError as error:
            return error.code
        return "OK"

    async def envelope(self, partners: Partners, count: int, timeout_s: float) -> str:
        """How so many questions ended that are asked in one envelope."""
        askings = [self._asking() for _ in range(count)]
        for asking in askings:
            asking.begin(asking.question.SerializeToString(), asyncio.get_running_loop().time() + timeout_s)
        try:
            await partners.tries.ask(B.member_id, askings[0].question.context.purpose, askings)
        except WuganError as error:
            return error.code
        return "OK"

    def _asking(self) -> Asking:
        return Asking(question(case_reference=f"JH-{next(self._number)}"), lambda _: None)


FAIR: dict[str, Any] = {"timeout_s": 2.5, "retry": RetrySettings()}
SHORT: dict[str, Any] = {"timeout_s": 0.6, "retry": RetrySettings(last_try_ms=200)}
"""A try has less than `fair_ms`: that it came too late tells the breaker nothing."""
OUTAGES = {
    "unavailable": (State.UNAVAILABLE, State.UNAVAILABLE, FAIR),
    "late": (State.BLACK_HOLE, State.BLACK_HOLE, FAIR),
    "late, with little time": (State.BLACK_HOLE, State.BLACK_HOLE, SHORT),
    "the first unavailable, the others late": (State.UNAVAILABLE, State.BLACK_HOLE, FAIR),
    "the first late, the others unavailable": (State.BLACK_HOLE, State.UNAVAILABLE, SHORT),
}


async def gone(outage: str, gateways: int, breaker: BreakerSettings) -> tuple[Replicas, Partners]:
    """All gateways of B, from now on, after times in which everything was saved that can be."""
    federation = Replicas(count=gateways)
    partners = federation.partners(retry=OUTAGES[outage][2]["retry"], breaker=breaker)
    assert set(await federation.ask(partners, 450, 50, 5.0)) == {"OK"}
    first, others, _ = OUTAGES[outage]
    federation.become(first, *[others] * (gateways - 1))
    return federation, partners


def most(count: int, envelope: int) -> float:
    """Of so many questions, in envelopes of so many at most, how many reach a partner of whom nothing is there."""
    return 1.10 * count + SAVED_AT_MOST + 2 * max(SAVED, envelope)


@pytest.mark.parametrize("gateways", [2, 3])
@pytest.mark.parametrize(
    ("count", "at_once", "breaker"),
    [(120, 1, "none"), (80, 20, "none"), (500, 20, "none"), (256, 256, "breakers"), (1_024, 256, "none")],
)
@pytest.mark.parametrize("outage", OUTAGES)
def test_while_no_gateway_answers_no_more_is_asked_than_1_10_times_and_what_was_saved(
    outage: str, count: int, at_once: int, breaker: str, gateways: int
) -> None:
    async def reached() -> int:
        federation, partners = await gone(outage, gateways, BREAKERS[breaker])
        before = federation.reached
        ends = await federation.ask(partners, count, at_once, OUTAGES[outage][2]["timeout_s"])
        assert "OK" not in ends
        assert ends.total() == count
        return federation.reached - before

    assert run_instantly(reached) <= most(count, min(at_once, TOGETHER_AT_MOST))


@pytest.mark.parametrize("outage", ["late", "late, with little time"])
def test_while_no_gateway_answers_no_more_is_hedged_than_was_saved(outage: str) -> None:
    async def hedged() -> int:
        federation, partners = await gone(outage, 2, NEVER)
        before = partners.standings.uses()[0].hedges
        await federation.ask(partners, 2_000, 20, OUTAGES[outage][2]["timeout_s"])
        return partners.standings.uses()[0].hedges - before

    assert 0 < run_instantly(hedged) <= 20


def test_who_waited_in_line_until_no_time_was_left_is_tried_no_more() -> None:
    async def tried_again() -> int:
        federation = Replicas()
        partners = federation.partners(retry=RetrySettings(hedge_share=0), breaker=NEVER)
        federation.become(State.BLACK_HOLE, State.BLACK_HOLE)
        await federation.ask(partners, 256, 256, 2.5)
        return partners.standings.uses()[0].retries

    assert 0 < run_instantly(tried_again) <= SAVED_AT_MOST


@pytest.mark.parametrize(("gateways", "at_once"), [(2, 256), (3, 256), (3, 4)])
def test_where_all_gateways_say_at_once_that_they_are_gone_nobody_waits(gateways: int, at_once: int) -> None:
    async def elapsed_s() -> float:
        federation, partners = await gone("unavailable", gateways, NEVER)
        for replica in federation.replicas:
            replica.takes_s = 0.0
        began = asyncio.get_running_loop().time()
        await federation.ask(partners, 256, at_once, 20.0)
        return asyncio.get_running_loop().time() - began

    assert run_instantly(elapsed_s) < 2.0


@pytest.mark.parametrize("breaker", BREAKERS)
@pytest.mark.parametrize("at_once", [1, 64, 256])
@pytest.mark.parametrize(("state", "takes_s"), [("unavailable", 0.02), ("late", 0.02), ("late", 0.15)])
@pytest.mark.parametrize("before", [0, 500])
def test_while_one_of_two_gateways_answers_nobody_is_refused(
    state: str, takes_s: float, at_once: int, before: int, breaker: str
) -> None:
    async def ends() -> Counter[str]:
        federation = Replicas(takes_s=takes_s)
        partners = federation.partners(breaker=BREAKERS[breaker])
        await federation.ask(partners, before, 64, 5.0)
        federation.become(OUTAGES[state][0], State.WELL)
        return await federation.ask(partners, 3 * at_once + 40, at_once, 2.5)

    assert set(run_instantly(ends)) == {"OK"}


def test_one_that_refuses_is_there_too() -> None:
    async def ends() -> Counter[str]:
        federation = Replicas()
        federation.become(State.UNAVAILABLE, State.REFUSING)
        return await federation.ask(federation.partners(breaker=NEVER), 512, 64, 2.5)

    assert set(run_instantly(ends)) == {"MEMBER_NOT_PERMITTED"}


def test_with_little_time_too() -> None:
    """A try that is too short says nothing to the breaker, so all of them are let down first, for as long as it is."""

    async def ends() -> Counter[str]:
        federation = Replicas()
        partners = federation.partners(retry=SHORT["retry"])
        federation.become(State.BLACK_HOLE, State.WELL)
        return await federation.ask(partners, 1_024, 256, SHORT["timeout_s"])

    assert set(run_instantly(ends)) == {"OK"}


@pytest.mark.parametrize("at_once", [1, 64])
def test_one_gateway_that_comes_back_after_all_were_gone_is_found_though_the_first_is_still_gone(at_once: int) -> None:
    async def ends() -> Counter[str]:
        federation, partners = await gone("unavailable", 2, NEVER)
        await federation.ask(partners, 200 if at_once == 1 else 1_000, at_once, 2.5)
        federation.become(State.UNAVAILABLE, State.WELL)
        await federation.ask(partners, 16 if at_once == 1 else 512, at_once, 2.5)
        return await federation.ask(partners, 256, at_once, 2.5)

    assert set(run_instantly(ends)) == {"OK"}


@pytest.mark.parametrize("when", ["tried", "about to be tried"])
def test_who_gives_up_while_others_wait_for_it_keeps_nobody_waiting(when: str) -> None:
    async def elapsed_s() -> float:
        about_to = asyncio.Event()

        async def sleep(_seconds: float) -> None:
            if when == "about to be tried" and not about_to.is_set():
                about_to.set()
                await asyncio.Event().wait()

        federation = Replicas()
        partners = federation.partners(breaker=NEVER, retry=RetrySettings(retry_share=0), sleep=sleep)
        federation.become(State.UNAVAILABLE, State.BLACK_HOLE)
        first = asyncio.ensure_future(federation.envelope(partners, 32, 60.0))
        await asyncio.sleep(1.0)
        assert (federation.replicas[1].reached, about_to.is_set()) == ((32, False) if when == "tried" else (0, True))
        others = asyncio.gather(*(federation.envelope(partners, 32, 60.0) for _ in range(2)))
        await asyncio.sleep(1.0)
        assert not others.done()
        first.cancel()
        began = asyncio.get_running_loop().time()
        assert await others == ["PARTNER_UNAVAILABLE"] * 2
        return asyncio.get_running_loop().time() - began

    assert run_instantly(elapsed_s) < 0.5


def test_a_full_envelope_may_be_tried_elsewhere() -> None:
    assert TOGETHER_AT_MOST <= SAVED_AT_MOST
