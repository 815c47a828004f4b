"""The authority's log: a gateway that is refused again and again is told of at first, and then now and then."""

from __future__ import annotations

from structlog.testing import capture_logs

from gateway.authority.refusals import AGAIN_S, MAX_KINDS, Refusal, Refusals
from gateway.clock import FakeClock

REVOKED = Refusal("/directory/seen", "STRANGER", 403, "11330000002482285J")


def test_a_refusal_that_comes_every_second_is_logged_once_and_then_with_its_number() -> None:
    clock = FakeClock()
    refusals = Refusals(clock)
    with capture_logs() as logs:
        for _ in range(round(2 * AGAIN_S) + 1):
            refusals.note(REVOKED)
            clock.advance(1)
    assert [each["times"] for each in logs] == [1, AGAIN_S, AGAIN_S]
    assert {each["member"] for each in logs} == {REVOKED.member}


def test_another_member_and_another_reason_are_told_at_once() -> None:
    refusals = Refusals(FakeClock())
    with capture_logs() as logs:
        for each in (REVOKED, REVOKED._replace(member=""), REVOKED._replace(code="INVALID"), REVOKED):
            refusals.note(each)
    assert len(logs) == 3


def test_strangers_without_number_neither_fill_the_memory_nor_the_log() -> None:
    clock = FakeClock()
    refusals = Refusals(clock)
    with capture_logs() as logs:
        for number in range(2 * MAX_KINDS):
            refusals.note(REVOKED._replace(member=str(number)))
    assert len(logs) == MAX_KINDS + 1
    clock.advance(AGAIN_S)
    with capture_logs() as logs:
        refusals.note(REVOKED)
    assert logs[0]["times"] == MAX_KINDS - 1, "what was only counted is told before it is forgotten"
    assert logs[-1]["member"] == REVOKED.member
