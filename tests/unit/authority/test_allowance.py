"""How often a member may publish."""

from __future__ import annotations

from gateway.authority import allowance
from gateway.authority.allowance import Allowances
from gateway.clock import FakeClock


def test_a_burst_is_taken_and_then_one_at_a_time() -> None:
    clock = FakeClock()
    made = Allowances(clock, 2.0, 3)
    assert [made.wait_s("m") for _ in range(4)] == [0, 0, 0, 0.5]
    clock.advance(0.5)
    assert [made.wait_s("m") for _ in range(2)] == [0, 0.5]
    clock.advance(60)
    assert [made.wait_s("m") for _ in range(4)] == [0, 0, 0, 0.5]


def test_what_was_refused_is_not_counted() -> None:
    clock = FakeClock()
    made = Allowances(clock, 2.0, 1)
    assert made.wait_s("m") == 0
    assert [made.wait_s("m") for _ in range(10)] == [0.5] * 10


def test_one_members_publications_are_not_anothers() -> None:
    made = Allowances(FakeClock(), 2.0, 1)
    assert [made.wait_s(member) for member in ("m", "m", "n")] == [0, 0.5, 0]


def test_keys_of_all_kinds_renewed_every_second_are_never_too_often() -> None:
    clock = FakeClock()
    made = Allowances(clock)
    for _ in range(600):
        assert [made.wait_s("m") for _ in range(2)] == [0, 0]
        clock.advance(1.0)


def test_of_those_whose_bucket_is_full_again_nothing_is_kept() -> None:
    clock = FakeClock()
    made = Allowances(clock)
    for at in range(10 * allowance._KEPT):
        made.wait_s(f"m{at}")
        clock.advance(0.01)
    assert len(made._full_at) <= allowance._KEPT
