"""Who may go where: every pair of standing and act, the once-only gate, and what counts when a later run differs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ConfigError, RefusedError
from gateway.rules import RULES_FILE
from gateway.rules.book import RuleBook
from gateway.rules.deciding import (
    ACT_SLOTS,
    NOT_ALLOWED,
    STATUS_SLOTS,
    STATUSES,
    Act,
    Decided,
    Source,
    Standing,
    already_certified,
    stands,
)
from gateway.rules.overpayment import MAX_FEN, withheld

TEXT = RULES_FILE.read_text("utf-8")
BOOK = RuleBook.parse(TEXT.encode(), "rules.yaml")
NAMES = {number: name for name, number in STATUSES.items()}
CERTIFIED, FACE, VISIT, SUSPECT, PROPOSED, STOPPED, RESTORED = range(1, 8)
CYCLE = BOOK.grading.cycle_days

SEEN = {
    "NONE": "CERTIFIED", "CERTIFIED": "CERTIFIED", "NEEDS_FACE": "CERTIFIED", "NEEDS_VISIT": "CERTIFIED",
    "SUSPECT": "CERTIFIED", "STOP_PROPOSED": "SUSPECT", "STOPPED": "STOPPED", "RESTORED": "CERTIFIED",
}  # fmt: skip
NOT_SEEN = {
    "NONE": "NEEDS_VISIT", "NEEDS_FACE": "NEEDS_VISIT", "NEEDS_VISIT": "SUSPECT", "SUSPECT": "SUSPECT",
    "STOP_PROPOSED": "STOP_PROPOSED", "RESTORED": "SUSPECT",
}  # fmt: skip
ALLOWED: dict[Act, dict[str, str]] = {
    Act.APPROVE_STOP: {"STOP_PROPOSED": "STOPPED"},
    Act.REJECT_STOP: {"STOP_PROPOSED": "SUSPECT"},
    Act.PROPOSE_STOP: {"SUSPECT": "STOP_PROPOSED", "RESTORED": "STOP_PROPOSED"},
    Act.RESTORE: {"STOPPED": "RESTORED"},
    Act.FACE_PASSED: SEEN,
    Act.VISIT_PASSED: SEEN,
    Act.STAFF_PASSED: SEEN,
    Act.FOUND_DEAD: {name: "STOPPED" if name == "STOPPED" else "STOP_PROPOSED" for name in STATUSES},
    Act.NOT_FOUND: NOT_SEEN,
    Act.REFUSED: NOT_SEEN,
}


@pytest.mark.parametrize(("act", "status"), list(itertools.product(Act, STATUSES)), ids=str)
def test_every_act_at_every_status_leads_where_the_table_of_the_field_says(act: Act, status: str) -> None:
    found = BOOK.transitions.after(act, STATUSES[status])
    assert NAMES.get(found, "refused") == ALLOWED[act].get(status, "refused")


def test_no_other_act_or_status_leads_anywhere() -> None:
    known = {int(act) for act in Act}
    for act, status in itertools.product(range(-1, ACT_SLOTS + 1), range(-1, STATUS_SLOTS + 1)):
        if act not in known or status not in NAMES:
            assert BOOK.transitions.after(act, status) == NOT_ALLOWED


def test_only_an_official_moves_somebody_to_stopped_or_restored() -> None:
    for act, (status, number) in itertools.product(Act, STATUSES.items()):
        target = BOOK.transitions.after(act, number)
        if target in (STOPPED, RESTORED) and target != number:
            assert BOOK.transitions.official[act], f"{act.name} from {status}"


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        (
            "{by: OFFICIAL, moves: {STOP_PROPOSED: STOPPED}}",
            "{by: VISITOR, moves: {STOP_PROPOSED: STOPPED}}",
            "APPROVE_STOP.moves.STOP_PROPOSED",
        ),
        (
            "{by: OFFICIAL, moves: {STOPPED: RESTORED}}",
            "{by: VISITOR, moves: {STOPPED: RESTORED}}",
            "RESTORE.moves.STOPPED",
        ),
        (
            "{by: OFFICIAL, moves: {STOPPED: RESTORED}}",
            "{by: OFFICIAL, moves: {STOPPED: NONE}}",
            "RESTORE.moves.STOPPED",
        ),
        (
            "{by: OFFICIAL, moves: {STOPPED: RESTORED}}",
            "{by: OFFICIAL, moves: {STOPPED: AWAY}}",
            "RESTORE.moves.STOPPED",
        ),
        ("{by: OFFICIAL, moves: {STOPPED: RESTORED}}", "{by: SOMEBODY, moves: {STOPPED: RESTORED}}", "RESTORE.by"),
        ("    REJECT_STOP: {by: OFFICIAL, moves: {STOP_PROPOSED: SUSPECT}}\n", "", "REJECT_STOP"),
        ("  second_person: true\n", "", "decisions.second_person"),
    ],
)
def test_a_table_by_which_others_stop_or_that_is_wrong_is_refused(old: str, new: str, field: str) -> None:
    assert TEXT.count(old) == 1
    with pytest.raises(ConfigError) as caught:
        RuleBook.parse(TEXT.replace(old, new).encode(), "own.yaml")
    assert caught.value.field.endswith(field)


def test_a_second_certification_in_the_cycle_is_one_whichever_came_first() -> None:
    certified = Standing(CERTIFIED, Source.FACE, 20_000)
    for on in (20_000, 20_000 + CYCLE - 1, 20_000 - CYCLE + 1):
        assert already_certified(certified, on, CYCLE)
    assert not already_certified(certified, 20_000 + CYCLE, CYCLE)
    for status in (0, FACE, VISIT, SUSPECT, PROPOSED, STOPPED, RESTORED):
        assert not already_certified(Standing(status), 20_000, CYCLE)


A, B = b"a" * 32, b"b" * 32


def now(proposed: int, decided: Standing, *, same: bool = False, later: int = 1) -> int:
    """How somebody stands after a run that proposes something `later` days after what was decided."""
    as_of_on = 20_000 + later
    run = Standing(proposed, Source.DATA_COMPARISON, as_of_on) if proposed == CERTIFIED else Standing(proposed)
    return stands(run, A if same else B, as_of_on, Decided(decided, 20_000, A), CYCLE).status


@pytest.mark.parametrize("proposed", range(6))
def test_without_a_decision_the_run_counts(proposed: int) -> None:
    assert stands(Standing(proposed), A, 20_000, None, CYCLE) == Standing(proposed)


@pytest.mark.parametrize("proposed", range(6))
def test_who_is_stopped_stays_so_whatever_a_run_proposes(proposed: int) -> None:
    assert now(proposed, Standing(STOPPED)) == STOPPED
    assert now(proposed, Standing(STOPPED), later=10 * CYCLE) == STOPPED


@pytest.mark.parametrize("decided", [FACE, VISIT, SUSPECT, PROPOSED, RESTORED])
@pytest.mark.parametrize("proposed", range(6))
def test_a_decision_holds_against_what_it_was_made_on_and_against_older_runs(proposed: int, decided: int) -> None:
    assert now(proposed, Standing(decided), same=True, later=100) == decided
    assert now(proposed, Standing(decided), later=-1) == decided


@pytest.mark.parametrize("decided", [FACE, VISIT, SUSPECT, PROPOSED, RESTORED])
@pytest.mark.parametrize("proposed", [SUSPECT, PROPOSED])
def test_a_new_doubt_or_reason_to_stop_reopens_what_was_decided(proposed: int, decided: int) -> None:
    assert now(proposed, Standing(decided)) == proposed
    assert now(proposed, Standing(CERTIFIED, Source.VISIT, 20_000)) == proposed


def test_who_was_seen_stays_certified_for_a_cycle_when_later_runs_see_less() -> None:
    seen = Standing(CERTIFIED, Source.VISIT, 20_000)
    for proposed in (0, CERTIFIED, FACE, VISIT):
        assert now(proposed, seen, later=CYCLE - 1) == CERTIFIED
    assert now(VISIT, seen, later=CYCLE) == VISIT
    assert now(VISIT, seen, same=True, later=CYCLE) == VISIT


def test_a_doubt_is_not_cleared_up_by_a_run_that_knows_little() -> None:
    for proposed in (0, FACE, VISIT):
        for decided in (SUSPECT, PROPOSED, VISIT):
            assert now(proposed, Standing(decided)) == decided
    for decided in (SUSPECT, PROPOSED, VISIT, RESTORED):
        assert now(CERTIFIED, Standing(decided)) == CERTIFIED
    assert now(0, Standing(RESTORED)) == RESTORED
    assert now(VISIT, Standing(RESTORED)) == VISIT


def day(text: str) -> np.ndarray:
    return np.array([int(np.datetime64(text, "D").astype(int))], np.int32)


@pytest.mark.parametrize(
    ("first", "resumes", "months"),
    [
        ("2026-01-01", "2026-04-30", 3),
        ("2025-12-31", "2026-01-01", 1),
        ("2026-04-01", "2026-04-30", 0),
        ("2026-05-01", "2026-04-01", 0),
    ],
)
def test_every_month_withheld_is_paid_back(first: str, resumes: str, months: int) -> None:
    found = withheld(day(first), day(resumes), np.array([123_456], np.int64))
    assert (found.months[0], found.gross[0], found.offset[0], found.net[0]) == (
        months,
        months * 123_456,
        0,
        months * 123_456,
    )


def test_nothing_is_paid_back_where_nothing_was_withheld_or_nobody_says_when() -> None:
    none = np.array([0], np.int32)
    for first, resumes in ((none, day("2026-04-01")), (day("2026-01-01"), none)):
        assert withheld(first, resumes, np.array([100], np.int64)).net[0] == 0
    with pytest.raises(RefusedError):
        withheld(day("2026-01-01"), day("2026-04-01"), np.array([MAX_FEN + 1], np.int64))
    with pytest.raises(RefusedError):
        withheld(day("2026-01-01"), none[:0], np.array([1], np.int64))


@given(st.lists(st.sampled_from(list(Act)), max_size=12), st.sampled_from(sorted(NAMES)))
def test_nobody_is_stopped_along_any_way_without_an_official(acts: list[Act], start: int) -> None:
    status = start
    for act in acts:
        after = BOOK.transitions.after(act, status)
        if after == NOT_ALLOWED:
            continue
        if after == STOPPED and status != STOPPED:
            assert act is Act.APPROVE_STOP
        status = after
