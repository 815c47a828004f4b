"""Partners that are slow, absent or half there: what a question costs, whom it waits for, and who is left in peace."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import grpc
import pytest

from gateway import coalescing
from gateway.clock import FakeClock
from gateway.errors import PartnerError, RefusedError, WuganError
from gateway.exchange.envelope import Sealed
from gateway.exchange.question import QUESTION_ID_BYTES
from gateway.federation.directory import Directory, Gateway
from gateway.federation.partners import Asking, PartnerAnswer, Partners
from gateway.federation.trying import Told
from gateway.observing import tracing
from gateway.observing.trace_file import TraceFile
from gateway.observing.tracer import SdkTracer
from gateway.resilience.breaker import State
from gateway.resilience.elsewhere import SAVED_AT_MOST
from gateway.sections.resilience import BreakerSettings, RetrySettings
from tests.unit.services.gateways_world import (
    ANNA,
    BO,
    A,
    B,
    C,
    Call,
    Federation,
    Handler,
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

STRONG = words.SURVIVAL_STATUS_ALIVE_STRONG
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
SHORT = RetrySettings(last_try_ms=150, first_wait_ms=1)
QUICK = BreakerSettings(calls=4, fair_ms=10, open_s=4.0)
SLOW_S = 1.5
"""How long a gateway takes that is slow, by the federation's clock."""


def well(asked: exchange_pb2.Question) -> exchange_pb2.Answer:
    return exchange_pb2.Answer(context=asked.context, findings=findings(STRONG))


class Scripted:
    """A gateway of B that does with one call after another what the test says; afterwards it is well."""

    def __init__(self, federation: Federation, *script: grpc.StatusCode | WuganError | str) -> None:
        self.federation = federation
        self.script = list(script)
        self.messages: list[bytes] = []
        self.questions: list[exchange_pb2.Question] = []
        self.times: list[float | None] = []
        self.hanging = 0
        self.given_up = 0
        self.go = asyncio.Event()

    async def __call__(self, envelope: envelope_pb2.Envelope, call: Call) -> envelope_pb2.Envelope:
        opened = opened_at(self.federation, B, envelope)
        self.messages.append(opened.header.message_id)
        self.questions += [exchange_pb2.Question.FromString(payload) for payload in opened.payloads]
        self.times.append(call.time_remaining())
        step = self.script.pop(0) if self.script else "well"
        await asyncio.sleep(0)  # as long as it is on its way, others may come
        if step == "hang":
            await self.hang()
        if step == "slow":
            self.federation.clock.advance(SLOW_S)
        if isinstance(step, grpc.StatusCode):
            raise rpc_error(step)
        if isinstance(step, WuganError):
            raise status_of(step)
        return await answering(self.federation, B, well)(envelope, call)

    async def hang(self) -> None:
        self.hanging += 1
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        finally:
            self.hanging -= 1

    @property
    def calls(self) -> int:
        return len(self.messages)


def scripted(*script: grpc.StatusCode | WuganError | str) -> tuple[Federation, Scripted]:
    federation = Federation()
    made = Scripted(federation, *script)
    federation.at(B, made)
    return federation, made


def to_ask(asked: exchange_pb2.Question) -> Asking:
    """A question whose leaving nobody records."""
    return Asking(asked, lambda _: None)


async def ask(partners: Partners, *numbers: str, timeout_s: float = 5.0, at: str = B.member_id) -> PartnerAnswer:
    return await partners.ask(at, to_ask(question(*numbers)), timeout_s)


async def outcome(partners: Partners, *numbers: str, **more: Any) -> str:
    try:
        await ask(partners, *numbers, **more)
    except WuganError as error:
        return error.code
    return "OK"


async def until(condition: Any) -> None:
    for _ in range(2_000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("did not come about within seconds")


# tried again


async def test_a_lost_question_is_asked_again_in_a_new_message_and_is_still_the_same_question() -> None:
    federation, b = scripted(UNAVAILABLE, UNAVAILABLE)
    assert (await ask(federation.partners(retry=RetrySettings(retry_share=1.0)))).findings.status == [STRONG]
    assert len(set(b.messages)) == 3
    assert len({each.SerializeToString() for each in b.questions}) == 1
    assert len(b.questions[0].question_id) == 16
    assert len(federation.slept) == 2


async def test_two_questions_about_the_same_person_are_not_the_same_question() -> None:
    federation, b = scripted()
    partners = federation.partners()
    await ask(partners)
    await ask(partners)
    assert len({each.question_id for each in b.questions}) == 2


@pytest.mark.parametrize("trace", [b"", b"t" * 25])
async def test_a_question_is_sent_in_the_bytes_that_protobuf_makes_of_it(
    trace: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "carried", lambda: trace)
    asked = exchange_pb2.Question.FromString(question().SerializeToString())
    asking = to_ask(asked)
    asking.begin(asked.SerializeToString(), 1.0)
    sent = exchange_pb2.Question.FromString(asking.payload)
    assert len(sent.question_id) == QUESTION_ID_BYTES
    more = exchange_pb2.Question(question_id=sent.question_id, trace=trace)
    assert asking.payload == asked.SerializeToString() + more.SerializeToString()
    asked.MergeFrom(more)
    assert sent == asked


async def test_the_question_as_it_was_asked_is_not_changed_by_sending_it() -> None:
    federation, _ = scripted()
    asked = question()
    before = asked.SerializeToString()
    await federation.partners().ask(B.member_id, to_ask(asked), 5.0)
    assert asked.SerializeToString() == before


async def test_every_message_that_left_is_told_and_the_answer_names_its_own() -> None:
    federation, b = scripted(UNAVAILABLE)
    left: list[Sealed] = []
    answer = await federation.partners().ask(B.member_id, Asking(question(), left.append), 5.0)
    assert [each.message_id for each in left] == b.messages
    assert answer.proof.question_digest == left[1].digest


async def test_a_try_leaves_time_for_one_more_and_the_last_one_has_all_that_is_left() -> None:
    federation, b = scripted("hang")
    partners = federation.partners(retry=SHORT)
    await ask(partners, timeout_s=0.4)
    first, second = b.times
    assert first is not None
    assert second is not None
    assert first <= 0.25
    assert second <= 0.4 - first


async def test_a_question_with_little_time_is_tried_once() -> None:
    federation, b = scripted("hang")
    assert await outcome(federation.partners(), timeout_s=0.05) == "DEADLINE_EXCEEDED"
    assert b.calls == 1


async def test_after_a_silence_the_next_try_goes_over_a_new_channel() -> None:
    federation, _ = scripted("hang")
    partners = federation.partners(retry=SHORT, breaker=BreakerSettings(fair_ms=200))
    await ask(partners, timeout_s=0.4)
    await asyncio.sleep(0)
    assert [line.closed for line in federation.lines] == [True, False]


async def test_a_slow_answer_among_others_that_come_changes_no_channel() -> None:
    federation, b = scripted("hang")
    partners = federation.partners()
    slow = asyncio.ensure_future(outcome(partners, timeout_s=0.1))
    await until(lambda: b.hanging)
    await ask(partners, BO)
    assert await slow == "DEADLINE_EXCEEDED"
    await ask(partners)
    assert len(federation.lines) == 1


async def test_what_the_partner_decided_is_not_asked_again() -> None:
    refusal = RefusedError("no", "不", reason=words.REFUSAL_REASON_MEMBER_NOT_PERMITTED)
    federation, b = scripted(refusal)
    assert await outcome(federation.partners()) == "MEMBER_NOT_PERMITTED"
    assert b.calls == 1


async def test_a_partner_that_is_all_gone_is_asked_no_more_than_eleven_times_for_ten_questions() -> None:
    federation, b = scripted(*[UNAVAILABLE] * 2_000)
    partners = federation.partners(breaker=BreakerSettings(calls=10_000))  # the breaker aside: it would ask still less
    for _ in range(500):
        assert await outcome(partners) == "PARTNER_UNAVAILABLE"
    assert 500 < b.calls <= 550


# left alone


async def test_a_partner_that_keeps_failing_is_left_alone_and_says_when_to_come_back() -> None:
    federation, b = scripted(*[UNAVAILABLE] * 100)
    partners = federation.partners(breaker=QUICK, retry=RetrySettings(retry_share=0))
    for _ in range(4):
        await outcome(partners)
    with pytest.raises(PartnerError) as caught:
        await ask(partners)
    assert (caught.value.code, caught.value.retryable) == ("PARTNER_UNAVAILABLE", True)
    assert 2_000 <= caught.value.retry_after_ms <= 4_000
    assert b.calls == 4


async def test_nobody_stands_in_line_for_a_partner_that_is_left_alone() -> None:
    federation, _ = scripted(*[UNAVAILABLE] * 100)
    partners = federation.partners(breaker=QUICK.model_copy(update={"at_once": 1}), retry=RetrySettings(retry_share=0))
    for _ in range(4):
        await outcome(partners)
    assert partners.standings.of(B.member_id).bulkhead.take() is not None
    assert await asyncio.wait_for(outcome(partners, timeout_s=60.0), 5.0) == "PARTNER_UNAVAILABLE"


async def test_a_partner_that_comes_back_is_found_by_a_few_and_then_asked_by_all() -> None:
    federation, b = scripted(*[UNAVAILABLE] * 4)
    partners = federation.partners(breaker=QUICK, retry=RetrySettings(retry_share=0))
    for _ in range(4):
        await outcome(partners)
    federation.clock.advance(4.0)
    assert [await outcome(partners) for _ in range(2)] == ["OK", "OK"]
    assert partners.standings.doors()[0].state is State.CLOSED
    assert b.calls == 6


SLUGGISH = QUICK.model_copy(update={"slow_ms": 1_000})


async def test_a_partner_that_answers_but_takes_too_long_is_left_alone_until_it_is_quick_again() -> None:
    federation, b = scripted(*["slow"] * 5)
    partners = federation.partners(breaker=SLUGGISH)
    assert [await outcome(partners) for _ in range(5)] == ["OK"] * 4 + ["PARTNER_UNAVAILABLE"]
    (door,) = partners.standings.doors()
    assert door.state is State.OPEN
    assert door.outage is not None
    assert (door.outage.reason, b.calls) == ("SLOW", 4)
    federation.clock.advance(4.0)
    assert [await outcome(partners) for _ in range(2)] == ["OK", "PARTNER_UNAVAILABLE"], "a slow probe opens it again"
    federation.clock.advance(8.0)
    assert [await outcome(partners) for _ in range(3)] == ["OK"] * 3
    assert (partners.standings.doors()[0].state, b.calls) == (State.CLOSED, 8)


async def test_a_partner_of_whom_some_answers_take_long_is_not_left_alone() -> None:
    federation, b = scripted(*["slow", "well"] * 10)
    partners = federation.partners(breaker=SLUGGISH)
    assert [await outcome(partners) for _ in range(20)] == ["OK"] * 20
    assert b.calls == 20


async def test_of_two_gateways_the_slow_one_is_left_alone_and_the_other_asked() -> None:
    federation, one, two = two_doors(*["slow"] * 10)
    partners = federation.partners(breaker=SLUGGISH)
    assert [await outcome(partners) for _ in range(10)] == ["OK"] * 10
    assert (one.calls, two.calls) == (4, 6)


async def test_a_partner_that_refuses_everything_is_not_left_alone() -> None:
    refusal = RefusedError("no", "不", reason=words.REFUSAL_REASON_MEMBER_NOT_PERMITTED)
    federation, b = scripted(*[refusal] * 50)
    partners = federation.partners(breaker=QUICK)
    for _ in range(50):
        await outcome(partners)
    assert b.calls == 50


async def test_an_agency_that_gives_no_time_does_not_make_a_partner_look_dead() -> None:
    federation, _ = scripted(*["hang"] * 20)
    partners = federation.partners(breaker=BreakerSettings(calls=4, fair_ms=500))
    for _ in range(20):
        await outcome(partners, timeout_s=0.005)
    assert partners.standings.doors()[0].state is State.CLOSED
    assert len(federation.lines) == 1, "a connection given up for each"


async def test_questions_that_were_given_up_say_nothing_of_the_partner() -> None:
    federation, b = scripted(*["hang"] * 10)
    partners = federation.partners(breaker=QUICK)
    for _ in range(10):
        task = asyncio.ensure_future(ask(partners))
        await until(lambda: b.hanging)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert b.given_up == 10
    assert partners.standings.doors()[0].state is State.CLOSED


async def test_answers_that_do_not_verify_leave_a_partner_alone() -> None:
    federation = Federation()
    calls = []

    async def mirror(envelope: envelope_pb2.Envelope, _call: Call) -> envelope_pb2.Envelope:
        calls.append(envelope)
        return envelope

    federation.at(B, mirror)
    partners = federation.partners(breaker=QUICK)
    assert [await outcome(partners) for _ in range(5)] == ["PARTNER_FAULTY"] * 4 + ["PARTNER_UNAVAILABLE"]
    assert len(calls) == 4


# bulkheads


async def test_one_partner_that_never_answers_takes_its_own_places_and_nobody_elses() -> None:
    federation, b = scripted(*["hang"] * 1_000)
    federation.at(C, answering(federation, C, well))
    partners = federation.partners(breaker=BreakerSettings(at_once=20, waiting=5))
    numbers = [(ANNA,) * (1 + at) for at in range(40)]
    stuck = [asyncio.ensure_future(outcome(partners, *each)) for each in numbers]
    await until(lambda: b.hanging)
    assert await asyncio.gather(*(outcome(partners, at=C.member_id) for _ in range(50))) == ["OK"] * 50
    use = {each.member: each for each in partners.standings.uses()}
    assert (use[B.member_id].in_use, use[B.member_id].in_line, use[B.member_id].shed) == (20, 5, 15)
    assert sum(task.done() for task in stuck) == 15
    for task in stuck:
        task.cancel()
    outcomes = await asyncio.gather(*stuck, return_exceptions=True)
    assert [each for each in outcomes if isinstance(each, str)] == ["OVERLOADED"] * 15
    assert partners.standings.of(B.member_id).bulkhead.in_use == 0


async def test_more_than_may_wait_for_a_partner_are_refused_at_once_with_a_time_to_come_back() -> None:
    federation, b = scripted("hang", "hang")
    partners = federation.partners(breaker=BreakerSettings(at_once=1, waiting=1))
    held = asyncio.ensure_future(ask(partners, ANNA))
    await until(lambda: b.hanging)
    waiting = asyncio.ensure_future(ask(partners, BO))
    await asyncio.sleep(0)
    with pytest.raises(PartnerError) as caught:
        await asyncio.wait_for(ask(partners, ANNA, BO), 1.0)
    assert (caught.value.code, caught.value.retryable) == ("OVERLOADED", True)
    assert caught.value.retry_after_ms > 0
    b.go.set()
    await asyncio.gather(held, waiting)
    assert partners.standings.uses()[0].in_use == 0


# several gateways


@dataclass
class TwoDoors(Federation):
    """B has a second gateway."""

    second: Handler | None = None
    addresses: list[str] = field(default_factory=list)

    @property
    def directory(self) -> Listed:
        listed = Listed(*self.parties, clock=self.clock)
        entries = {party.member_id: party.entry() for party in self.parties}
        other = Gateway("gateway-2:7443", B.identity.tls_name)
        entries[B.member_id] = replace(entries[B.member_id], gateways=(*entries[B.member_id].gateways, other))
        whole = listed.current()
        listed._directory = Directory(
            whole.federation, 1, whole.issued_at_ms, whole.expires_at_ms, b"", tuple(entries.values())
        )
        return listed

    def channel(self, address: str, tls_name: str) -> grpc.aio.Channel:
        self.addresses.append(address)
        if address == "gateway-2:7443":
            assert self.second is not None
            self.lines.append(Line(A, self.second))
            return cast("grpc.aio.Channel", self.lines[-1])
        return super().channel(address, tls_name)


def two_doors(*first: grpc.StatusCode | WuganError | str, second: tuple[Any, ...] = ()) -> tuple[Any, Any, Any]:
    federation = TwoDoors()
    one, two = Scripted(federation, *first), Scripted(federation, *second)
    federation.at(B, one)
    federation.second = two
    return federation, one, two


async def test_when_one_gateway_is_gone_the_other_is_asked_at_once() -> None:
    federation, one, two = two_doors(UNAVAILABLE)
    await ask(federation.partners())
    assert (one.calls, two.calls, federation.slept) == (1, 1, [0.0])


async def test_a_gateway_that_is_left_alone_does_not_hide_the_other() -> None:
    federation, one, two = two_doors(*[UNAVAILABLE] * 100)
    partners = federation.partners(breaker=QUICK, retry=RetrySettings(retry_share=1.0))
    for _ in range(10):
        assert await outcome(partners) == "OK"
    assert (one.calls, two.calls) == (4, 10)


async def together(partners: Partners, count: int, timeout_s: float = 5.0) -> str:
    """So many questions in one envelope; how it ended."""
    askings = [to_ask(question(case_reference=f"JH-{number}")) for number in range(count)]
    for asking in askings:
        asking.begin(asking.question.SerializeToString(), asyncio.get_running_loop().time() + timeout_s)
    try:
        await partners.tries.ask(B.member_id, askings[0].question.context.purpose, askings)
    except WuganError as error:
        return error.code
    return "OK"


NEVER = BreakerSettings(calls=10_000)
"""Nobody is left alone."""


async def test_a_gateway_that_died_costs_nobody_an_answer_where_another_is_well_however_busy_it_was() -> None:
    federation, one, two = two_doors(*[UNAVAILABLE] * 100)
    partners = federation.partners(breaker=NEVER)
    assert [await together(partners, 32) for _ in range(100)] == ["OK"] * 100
    assert (one.calls, two.calls) == (100, 100)


async def test_while_both_gateways_are_gone_no_more_is_asked_than_the_budget_allows() -> None:
    federation, one, two = two_doors(*[UNAVAILABLE] * 1_000, second=(UNAVAILABLE,) * 1_000)
    partners = federation.partners(breaker=NEVER)
    for _ in range(400):
        assert await together(partners, 4) == "PARTNER_UNAVAILABLE"
    assert one.calls + two.calls <= 400 * 1.08 + 2 + SAVED_AT_MOST / 4


async def test_a_gateway_that_is_only_busy_has_its_questions_put_to_another_within_the_budget() -> None:
    busy = RefusedError("busy", "忙", reason=words.REFUSAL_REASON_OVERLOADED)
    federation, _, two = two_doors(*[busy] * 100)
    partners = federation.partners()
    for _ in range(100):
        await outcome(partners)
    assert 0 < two.calls <= 9


async def test_an_envelope_of_many_questions_is_tried_again_too_and_paid_for_afterwards() -> None:
    federation, b = scripted()
    partners = federation.partners()
    assert [await together(partners, 32) for _ in range(4)] == ["OK"] * 4
    b.script = [UNAVAILABLE]
    assert await together(partners, 32) == "OK"
    b.script = [UNAVAILABLE]
    assert await together(partners, 32) == "PARTNER_UNAVAILABLE", "the one before is not paid for yet"


async def test_an_envelope_of_many_questions_is_hedged_too() -> None:
    federation, one, two = two_doors()
    partners = federation.partners()
    assert [await together(partners, 20) for _ in range(20)] == ["OK"] * 20
    one.script = ["hang"]
    assert await together(partners, 20) == "OK"
    assert two.calls == 1
    assert partners.standings.uses()[0].hedges == 20


async def warmed(partners: Partners, count: int) -> None:
    """So many questions, each answered at once."""
    for _ in range(count):
        await ask(partners)


async def test_a_question_that_takes_longer_than_usual_is_put_to_the_second_gateway_and_the_first_answer_counts() -> (
    None
):
    federation, one, two = two_doors()
    partners = federation.partners()
    told: list[Told] = []
    partners.tries.tell = told.append
    await warmed(partners, 50)
    assert two.calls == 0
    one.script = ["hang"]
    left: list[Sealed] = []
    answer = await partners.ask(B.member_id, Asking(question(), left.append), 5.0)
    digests = {each.message_id: each.digest for each in left}
    assert digests.keys() == {one.messages[-1], two.messages[0]}
    assert answer.proof.question_digest == digests[two.messages[0]]
    assert one.questions[-1] == two.questions[0]
    assert one.given_up == 1
    assert sorted((each.kind, each.outcome) for each in told[-2:]) == [("first", "CANCELLED"), ("hedge", "OK")]


async def test_a_trace_tells_which_try_went_to_which_gateway(tmp_path: Path) -> None:
    federation, one, _ = two_doors()
    partners = federation.partners()
    await warmed(partners, 50)
    one.script = ["hang"]
    file = tmp_path / "spans.jsonl"
    tracer = SdkTracer(A.member_id, [TraceFile(file, 1 << 20)], FakeClock(), sample=1.0, followed_a_second=1)
    tracing.use(tracer)
    try:
        with tracing.begin("check"):
            await ask(partners)
    finally:
        tracing.use(None)
        tracer.close()
    spans = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    told = {(each["attributes"]["kind"], each["attributes"]["gateway"]) for each in spans if each["name"] == "exchange"}
    assert told == {("first", 1), ("hedge", 2)}


async def test_hedges_are_two_in_a_hundred_at_most() -> None:
    federation, one, two = two_doors()
    partners = federation.partners()
    await warmed(partners, 50)
    one.script = ["hang"] * 100
    await outcome(partners, timeout_s=30.0)
    for _ in range(4):
        await outcome(partners, timeout_s=0.1)
    assert partners.standings.uses()[0].hedges == 1
    assert two.calls <= 1 + partners.standings.uses()[0].retries


async def test_where_there_is_one_gateway_nothing_is_hedged() -> None:
    federation, b = scripted()
    partners = federation.partners()
    await warmed(partners, 100)
    b.script = ["hang"]
    assert await outcome(partners, timeout_s=0.05) == "DEADLINE_EXCEEDED"
    assert b.calls == 101


async def test_when_both_fail_the_failure_is_told() -> None:
    federation, one, _ = two_doors(second=(UNAVAILABLE,) * 10)
    partners = federation.partners()
    await warmed(partners, 50)
    one.script = ["hang"]
    assert await outcome(partners, timeout_s=0.1) == "DEADLINE_EXCEEDED"


# the same question at the same time


async def test_the_same_question_asked_at_the_same_time_leaves_once() -> None:
    federation, b = scripted()
    partners = federation.partners()
    left: list[list[Sealed]] = [[] for _ in range(20)]
    askings = [Asking(question(), each.append) for each in left]
    answers = await asyncio.gather(*(partners.ask(B.member_id, asking, 5.0) for asking in askings))
    assert len(b.questions) == 1
    assert len({answer.message_id for answer in answers}) == 1
    assert [[sealed.message_id for sealed in each] for each in left] == [b.messages] * 20


@pytest.mark.parametrize(
    "changed",
    [{"official_pseudonym": b"q" * 32}, {"case_reference": "another"}, {"legal_basis": "other"}, {"unit": "other"}],
)
async def test_what_another_official_or_case_asks_is_another_question(changed: dict[str, Any]) -> None:
    federation, b = scripted()
    partners = federation.partners()
    asked = [question(), question(**changed)]
    await asyncio.gather(*(partners.ask(B.member_id, to_ask(each), 5.0) for each in asked))
    assert len(b.questions) == 2


async def test_who_asks_the_same_and_gives_up_takes_it_away_from_nobody() -> None:
    federation, b = scripted("hang")
    partners = federation.partners()
    first, second = (asyncio.ensure_future(ask(partners)) for _ in range(2))
    await until(lambda: b.hanging)
    first.cancel()
    assert (await second).findings.status == [STRONG]


async def test_who_asks_the_same_with_less_time_does_not_wait_longer_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coalescing, "ALIKE", 1e9)  # so that times may differ by more than a tenth
    federation, b = scripted("hang")
    partners = federation.partners()
    patient = asyncio.ensure_future(ask(partners, timeout_s=60.0))
    await until(lambda: b.hanging)
    assert await asyncio.wait_for(outcome(partners, timeout_s=0.05), 5.0) == "DEADLINE_EXCEEDED"
    b.go.set()
    assert (await patient).findings.status == [STRONG]
    assert b.calls == 1


async def test_who_asks_the_same_later_is_not_cut_short_with_whom_was_first() -> None:
    federation, b = scripted("hang")
    partners = federation.partners()
    first = asyncio.ensure_future(ask(partners, timeout_s=60.0))
    await until(lambda: b.hanging)
    federation.clock.advance(30.0)
    assert (await ask(partners, timeout_s=60.0)).findings.status == [STRONG]
    assert b.calls == 2
    b.go.set()
    await first


async def test_a_failure_is_told_to_all_who_asked_the_same() -> None:
    federation, b = scripted(RefusedError("no", "不", reason=words.REFUSAL_REASON_MEMBER_NOT_PERMITTED))
    partners = federation.partners()
    assert await asyncio.gather(*(outcome(partners) for _ in range(3))) == ["MEMBER_NOT_PERMITTED"] * 3
    assert b.calls == 1


async def test_a_question_that_is_alone_waits_for_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def gathers(*_: Any) -> None:
        raise AssertionError("at low load there is no window")

    monkeypatch.setattr(coalescing, "when_idle", gathers)
    federation, b = scripted()
    partners = federation.partners()
    for _ in range(3):
        await ask(partners)
    assert b.calls == 3


async def test_a_question_to_one_member_does_not_wait_because_another_member_is_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def gathers(*_: Any) -> None:
        raise AssertionError("nobody else asks this member")

    monkeypatch.setattr(coalescing, "when_idle", gathers)
    federation, b = scripted("hang")
    federation.at(C, answering(federation, C, well))
    partners = federation.partners()
    silent = asyncio.ensure_future(ask(partners))
    await until(lambda: b.hanging)
    for _ in range(3):
        await ask(partners, at=C.member_id)
    silent.cancel()
    await asyncio.gather(silent, return_exceptions=True)
    assert not partners._under_way


# the deadline


@pytest.mark.parametrize("count", [1, 40])
async def test_nobody_waits_longer_than_there_is_time_whatever_a_partner_does(count: int) -> None:
    federation, b = scripted(*["hang"] * 200)
    partners = federation.partners(retry=SHORT)
    numbers = [(ANNA,) * (1 + at % 7) for at in range(count)]
    began = asyncio.get_running_loop().time()
    outcomes = await asyncio.gather(*(outcome(partners, *each, timeout_s=0.4) for each in numbers))
    assert set(outcomes) == {"DEADLINE_EXCEEDED"}
    assert asyncio.get_running_loop().time() - began < 5.0, "not a bound on speed: it hangs"
    await until(lambda: not b.hanging)
