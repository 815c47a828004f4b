"""The written table of what is tried again, and the run through it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import RefusedError
from gateway.federation.retrying import (
    ANY,
    LEAST_TRY_S,
    TABLE,
    Again,
    Failed,
    Retrying,
    failed_by,
    faulty,
    left_alone,
    row_of,
)
from gateway.observing import calls
from gateway.resilience.breaker import Said
from gateway.sections.resilience import RetrySettings
from tests.unit.services.gateways_world import rpc_error, status_of
from wugan.federation.v1 import vocabulary_pb2 as words

DOCUMENT = Path(__file__).parents[3] / "docs" / "partners.md"
UNAVAILABLE = failed_by(rpc_error(grpc.StatusCode.UNAVAILABLE))


def refused(reason: int, **more: Any) -> Failed:
    return failed_by(status_of(RefusedError("no", "不", reason=words.RefusalReason.ValueType(reason), **more)))


def test_the_document_shows_the_table_as_it_is() -> None:
    text = DOCUMENT.read_text("utf-8")
    shown = re.findall(r"^\| (\S+|any other) \| ([^|]+?) \| (\w+) \| (\w+) \| (\w+) \| (\w+) \|", text, re.M)
    names = {"": "none of ours", ANY: ANY}
    expected = [
        (
            status,
            names.get(reason, reason),
            row.dealt_with,
            row.repeatable.value,
            row.once.value,
            row.said.value,
        )
        for (status, reason), row in TABLE.items()
    ]
    assert shown == expected


WHERE = "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: "


@pytest.mark.parametrize(
    ("of_the_library", "name"),
    [
        ("Tls handshake failed (TSI_PROTOCOL_FAILURE): SSL_ERROR_SSL: CERTIFICATE_VERIFY_FAILED", "NO_TLS"),
        ("Custom verification check failed with error: UNAUTHENTICATED: Hostname Verification Check failed.", "NO_TLS"),
        ("Failed to connect to remote host: Connection refused", "PARTNER_UNAVAILABLE"),
    ],
)
def test_that_somebody_answers_with_whom_no_tls_comes_about_is_told_apart(of_the_library: str, name: str) -> None:
    failed = failed_by(
        grpc.aio.AioRpcError(
            grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), WHERE + of_the_library
        )
    )
    assert failed.name == name
    assert failed.error.reason == words.REFUSAL_REASON_PARTNER_UNAVAILABLE
    assert ("TLS" in failed.error.zh) == (name == "NO_TLS")
    assert (calls.failure_of(failed.error), failed.row) == (name, UNAVAILABLE.row)


def test_what_may_have_been_dealt_with_is_never_repeated_where_that_does_harm() -> None:
    for key, row in TABLE.items():
        assert row.dealt_with == "no" or row.once is Again.NO, key


def test_a_refusal_says_that_the_partner_is_well() -> None:
    for reason in words.RefusalReason.values():
        row = refused(reason or words.REFUSAL_REASON_INVALID_ARGUMENT).row
        if row.said is not Said.WELL:
            assert words.RefusalReason.Name(reason).removeprefix("REFUSAL_REASON_") in {
                "SHUTTING_DOWN",
                "OVERLOADED",
                "INTERNAL",
                "DIRECTORY_EXPIRED",
            }


@pytest.mark.parametrize("reason", ["QUOTA_EXCEEDED", "PURPOSE_NOT_PERMITTED", "ENVELOPE_EXPIRED", "STRANGER"])
def test_what_was_decided_is_not_asked_again(reason: str) -> None:
    row = refused(words.RefusalReason.Value(f"REFUSAL_REASON_{reason}"), retryable=True, retry_after_ms=1).row
    assert (row.repeatable, row.once) == (Again.NO, Again.NO)


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_every_status_has_a_row(code: grpc.StatusCode) -> None:
    assert failed_by(rpc_error(code)).row is row_of(code.name, "")


class Run:
    """Tries as they come out, the time they take, and what is left of it."""

    def __init__(self, *outcomes: str | Failed, left_s: float = 5.0, **settings: Any) -> None:
        self.outcomes = list(outcomes)
        self.left_s = left_s
        self.tried = 0
        self.slept: list[float] = []
        self.budget = 100
        self.other = False
        self.repeatable = True
        self.drawn = 0.5
        self.settings = RetrySettings(**settings)

    async def attempt(self) -> str | Failed:
        self.tried += 1
        return self.outcomes.pop(0)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.left_s -= seconds

    async def spend(self, _failed: Failed) -> bool:
        self.budget -= 1
        return self.budget >= 0

    async def go_on(self, first: Failed = UNAVAILABLE) -> str | Failed:
        retrying = Retrying(self.settings, self.sleep, lambda: self.drawn)
        return await retrying.go_on(
            first,
            self.attempt,
            repeatable=self.repeatable,
            elsewhere=lambda: self.other,
            left_s=lambda: self.left_s,
            spend=self.spend,
        )


async def test_a_lost_call_is_tried_again_after_a_wait() -> None:
    run = Run("answer")
    assert await run.go_on() == "answer"
    assert run.slept == [0.025]


async def test_tries_are_bounded_and_waits_grow() -> None:
    run = Run(UNAVAILABLE, UNAVAILABLE, UNAVAILABLE, tries=4)
    run.drawn = 0.999_999
    assert await run.go_on() is UNAVAILABLE
    assert run.tried == 3
    assert run.slept == pytest.approx([0.05, 0.1, 0.2], rel=0.01)


async def test_where_being_dealt_with_twice_does_harm_a_lost_call_is_not_repeated_but_one_turned_away_is() -> None:
    run = Run("answer")
    run.repeatable = False
    assert await run.go_on() is UNAVAILABLE
    assert run.tried == 0
    assert await run.go_on(refused(words.REFUSAL_REASON_SHUTTING_DOWN)) == "answer"


async def test_without_budget_there_is_no_further_try() -> None:
    run = Run("answer")
    run.budget = 0
    assert await run.go_on() is UNAVAILABLE
    assert (run.tried, run.slept) == (0, [])


async def test_the_time_that_the_partner_names_is_waited_if_there_is_so_much_and_not_by_all_just_as_long() -> None:
    busy = refused(words.REFUSAL_REASON_OVERLOADED, retryable=True, retry_after_ms=700)
    waited = []
    for drawn in (0.0, 0.5, 0.9):
        run = Run("answer", first_wait_ms=100)
        run.drawn = drawn
        assert await run.go_on(busy) == "answer"
        waited += run.slept
    assert waited == pytest.approx([0.7, 0.75, 0.79])
    run = Run("answer", left_s=0.7)
    assert await run.go_on(busy) is busy
    assert run.slept == []


async def test_another_gateway_is_tried_at_once() -> None:
    run = Run("answer")
    run.other = True
    assert await run.go_on(refused(words.REFUSAL_REASON_OVERLOADED, retryable=True, retry_after_ms=9_000)) == "answer"
    assert run.slept == [0.0]


async def test_what_only_another_gateway_can_mend_is_tried_there_or_not_at_all() -> None:
    expired = refused(words.REFUSAL_REASON_DIRECTORY_EXPIRED)
    run = Run("answer")
    assert await run.go_on(expired) is expired
    run.other = True
    assert await run.go_on(expired) == "answer"


@pytest.mark.parametrize("failed", [faulty, lambda: left_alone(100)])
async def test_an_answer_that_does_not_verify_and_a_partner_left_alone_are_no_reason_to_try(
    failed: Callable[[], Failed],
) -> None:
    first = failed()
    assert await Run("answer").go_on(first) is first


async def test_what_a_try_raises_is_passed_on() -> None:
    class Breaking(Run):
        async def attempt(self) -> str:
            raise RefusedError("no such member", "无此成员")

    with pytest.raises(RefusedError):
        await Breaking().go_on()


@given(st.floats(0, 20), st.floats(0, 1, exclude_max=True), st.integers(1, 10), st.integers(0, 60_000))
def test_nothing_is_begun_that_there_is_no_time_for(left_s: float, drawn: float, tries: int, after_ms: int) -> None:
    import asyncio

    busy = refused(words.REFUSAL_REASON_OVERLOADED, retryable=True, retry_after_ms=after_ms)
    run = Run(*[busy] * 10, left_s=left_s, tries=tries)
    run.drawn = drawn
    asyncio.run(run.go_on(busy))
    assert run.tried < max(tries, 1)
    assert sum(run.slept) <= max(0.0, left_s - LEAST_TRY_S) + 1e-6
    assert run.budget >= 100 - run.tried
