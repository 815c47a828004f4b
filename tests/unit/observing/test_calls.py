"""Calls to partners and departments: what is counted, and what is called a failure of the other side."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from gateway.clock import FakeClock, SystemClock
from gateway.errors import DirectoryError, EnvelopeError, PartnerError, RefusedError, WuganError
from gateway.observing import calls
from gateway.observing.instruments import value_of
from gateway.observing.pulse import ENOUGH, MOST, Pulse, Pulses
from wugan.federation.v1 import vocabulary_pb2 as words

PARTNER, DEPARTMENT = "11340000002482285X", "civil-affairs"


@pytest.fixture(autouse=True)
def clock() -> Iterator[FakeClock]:
    fake = FakeClock()
    calls.use_clock(fake)
    calls.PARTNERS.clear()
    calls.DEPARTMENTS.clear()
    yield fake
    calls.use_clock(SystemClock())


def partner_calls(outcome: str) -> float:
    return value_of("wugan_partner_calls_total", partner=PARTNER, outcome=outcome)


def ask(error: BaseException | None = None) -> None:
    """A call that ends well, or with an error, which stays the caller's."""
    if error is None:
        with calls.to_partner(PARTNER, questions=3):
            return
    with pytest.raises(type(error)), calls.to_partner(PARTNER, questions=3):
        raise error


def refusal(reason: words.RefusalReason.ValueType) -> RefusedError:
    return RefusedError("e", "z", reason=reason)


def test_a_call_is_counted_timed_and_remembered(clock: FakeClock) -> None:
    before = partner_calls("OK"), value_of("wugan_partner_questions_total", partner=PARTNER)
    with calls.to_partner(PARTNER, questions=3):
        clock.advance(0.5)
    assert partner_calls("OK") == before[0] + 1
    assert value_of("wugan_partner_questions_total", partner=PARTNER) == before[1] + 3
    assert value_of("wugan_partner_seconds_sum", partner=PARTNER) >= 0.5
    assert calls.PARTNERS.of(PARTNER).failing_since is None


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PartnerError("e", "z"), "PARTNER_UNAVAILABLE"),
        (PartnerError("e", "z", reason=words.REFUSAL_REASON_DEADLINE_EXCEEDED), "DEADLINE_EXCEEDED"),
        (PartnerError("e", "z", reason=words.REFUSAL_REASON_PARTNER_FAULTY), "PARTNER_FAULTY"),
        (refusal(words.REFUSAL_REASON_OVERLOADED), "OVERLOADED"),
        (refusal(words.REFUSAL_REASON_INTERNAL), "INTERNAL"),
    ],
)
def test_silence_nonsense_and_overload_are_failures_of_the_partner(error: WuganError, code: str) -> None:
    before = partner_calls(code)
    ask(error)
    assert partner_calls(code) == before + 1
    pulse = calls.PARTNERS.of(PARTNER)
    assert (pulse.failures, pulse.reason) == (1, code)


def test_a_refusal_is_an_answer() -> None:
    ask(PartnerError("e", "z"))
    ask(refusal(words.REFUSAL_REASON_PURPOSE_NOT_PERMITTED))
    assert calls.PARTNERS.of(PARTNER).failures == 0


@pytest.mark.parametrize(
    "error", [DirectoryError("e", "z"), EnvelopeError("e", "z"), asyncio.CancelledError(), RuntimeError()]
)
def test_what_never_got_there_says_nothing_of_the_partner(error: BaseException) -> None:
    ask(PartnerError("e", "z"))
    ask(error)
    assert calls.PARTNERS.of(PARTNER).failures == 1


def test_failing_is_since_the_first_failure_and_over_with_the_first_success(clock: FakeClock) -> None:
    began = clock.monotonic()
    for _ in range(3):
        ask(PartnerError("e", "z"))
        clock.advance(10)
    pulse = calls.PARTNERS.of(PARTNER)
    assert (pulse.failing_since, pulse.failures) == (began, 3)
    ask()
    assert (pulse.failing_since, pulse.failures, pulse.reason) == (None, 0, "")


@pytest.mark.parametrize(("after_s", "outcome"), [(2.0, "SILENT"), (0.3, "CANCELLED")])
def test_a_lookup_ended_at_its_deadline_was_silent_and_one_ended_before_was_given_up(
    clock: FakeClock, after_s: float, outcome: str
) -> None:
    before = value_of("wugan_department_calls_total", department=DEPARTMENT, outcome=outcome)

    def lookup() -> None:
        with calls.to_department(DEPARTMENT, within_s=2.0):
            clock.advance(after_s)
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        lookup()
    assert value_of("wugan_department_calls_total", department=DEPARTMENT, outcome=outcome) == before + 1
    assert calls.DEPARTMENTS.of(DEPARTMENT).failures == (outcome == "SILENT")


def test_an_outcome_that_is_no_exception_counts_as_well() -> None:
    with calls.to_department(DEPARTMENT, 1.0) as call:
        call.outcome = "FAULTY"
    assert calls.DEPARTMENTS.of(DEPARTMENT).reason == "FAULTY"


def test_a_median_is_told_once_there_are_enough_times() -> None:
    pulse = Pulse()
    for at in range(ENOUGH - 1):
        pulse.record(at, 3.0)
    assert pulse.median() == 0
    pulse.record(9, 3.0)
    assert pulse.median() == 3.0


def test_pulses_are_bounded_in_number() -> None:
    pulses = Pulses()
    for at in range(MOST + 10):
        pulses.of(f"p{at}").record(at, 1.0)
    assert len(pulses.all()) == MOST
