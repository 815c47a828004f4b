"""The rule of registered adapters: what may follow on what, by whom, and what never comes back."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.access import people
from gateway.access.acts import Statement
from gateway.access.adapters import (
    DEPARTMENT,
    HOST,
    LIVE,
    PROPOSED,
    REMOVED,
    SHADOW,
    STATES,
    STEPS,
    SUSPENDED,
    Adapters,
    Version,
    gone_for_good,
)
from gateway.errors import PolicyError
from tests.unit.access.access_world import office

ACTS = (
    people.PROPOSE_ADAPTER,
    people.APPROVE_ADAPTER,
    people.PROMOTE_ADAPTER,
    people.SUSPEND_ADAPTER,
    people.RESUME_ADAPTER,
    people.REMOVE_ADAPTER,
)


def digest(serial: int) -> str:
    return serial.to_bytes(32).hex()


def act(number: int, name: str, serial: int = 1, by: str = "li", **changed: Any) -> Statement:
    body: dict[str, Any] = {"adapter": "health", "digest": digest(serial), "why": "test", **changed}
    if name == people.PROPOSE_ADAPTER:
        body = {"version": str(serial), "kind": "table", "folder": "/etc/wugan", "origin": HOST, **body}
    return Statement(name, number, body, by, "11340000002482285R", number)


def done(*acts: str, serial: int = 1) -> Adapters:
    """What these acts add up to; proposed by one, everything else done by another."""
    adapters = Adapters()
    for number, name in enumerate(acts, 1):
        adapters.apply(act(number, name, serial, by="wang" if name == people.PROPOSE_ADAPTER else "li"))
    return adapters


def only(adapters: Adapters) -> Version:
    (version,) = adapters
    return version


LEADING_TO = {
    PROPOSED: ACTS[:1],
    SHADOW: ACTS[:2],
    LIVE: ACTS[:3],
    SUSPENDED: ACTS[:4],
    REMOVED: (ACTS[0], people.REMOVE_ADAPTER),
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", ACTS)
def test_what_stands_in_the_table_is_done_and_nothing_else(state: str, name: str) -> None:
    adapters = done(*LEADING_TO[state])
    assert only(adapters).state == state
    before = only(adapters)
    if (state, name) in STEPS:
        adapters.apply(act(9, name))
        assert only(adapters).state == (STEPS[state, name] or LIVE)
        assert (only(adapters).changed_by, only(adapters).number) == ("li", 9)
    else:
        with pytest.raises(PolicyError) as caught:
            adapters.apply(act(9, name))
        assert caught.value.zh
        assert only(adapters) == before


@pytest.mark.parametrize("state", [SHADOW, LIVE])
def test_what_was_suspended_goes_back_to_where_it_was(state: str) -> None:
    adapters = done(*LEADING_TO[state], people.SUSPEND_ADAPTER)
    assert (only(adapters).state, only(adapters).before) == (SUSPENDED, state)
    adapters.apply(act(9, people.RESUME_ADAPTER))
    assert (only(adapters).state, only(adapters).before) == (state, "")


def test_nobody_approves_what_they_proposed() -> None:
    adapters = Adapters()
    adapters.apply(act(1, people.PROPOSE_ADAPTER, by="zhao"))
    with pytest.raises(PolicyError, match="another person"):
        adapters.apply(act(2, people.APPROVE_ADAPTER, by="zhao"))
    adapters.apply(act(2, people.APPROVE_ADAPTER, by="li"))


def test_a_version_of_the_department_is_first_heard_of_when_it_is_approved() -> None:
    adapters = Adapters()
    origin = {"origin": DEPARTMENT, "version": "1", "kind": "remote", "folder": ""}
    with pytest.raises(PolicyError):
        adapters.apply(act(1, people.APPROVE_ADAPTER))
    adapters.apply(act(1, people.APPROVE_ADAPTER, **origin))
    assert (only(adapters).state, only(adapters).origin, only(adapters).proposed_by) == (SHADOW, DEPARTMENT, "")
    with pytest.raises(PolicyError):
        adapters.apply(act(2, people.PROPOSE_ADAPTER, 2, **origin))  # no person proposes for a department


def test_a_version_replaces_the_one_in_its_place_and_no_other() -> None:
    adapters = done(*LEADING_TO[LIVE])
    adapters.apply(act(4, people.PROPOSE_ADAPTER, 2, by="wang"))
    adapters.apply(act(5, people.APPROVE_ADAPTER, 2))
    assert [each.state for each in adapters] == [LIVE, SHADOW]
    adapters.apply(act(6, people.SUSPEND_ADAPTER, 1))
    adapters.apply(act(7, people.PROMOTE_ADAPTER, 2))
    assert [each.state for each in adapters] == [REMOVED, LIVE], "a suspended one does not come back beside it"
    assert "replaced by 2" in adapters.of("health")[0].why


@pytest.mark.parametrize(
    "changed",
    [
        {"adapter": "../etc"},
        {"adapter": 7},
        {"digest": "ab"},
        {"digest": None},
        {"why": " "},
        {"why": "x" * 401},
        {"why": "a\u202eb"},
        {"origin": "elsewhere"},
        {"version": ""},
        {"folder": "a\n"},
    ],
)
def test_an_act_out_of_form_changes_nothing(changed: dict[str, Any]) -> None:
    adapters = Adapters()
    with pytest.raises(PolicyError):
        adapters.apply(act(1, people.PROPOSE_ADAPTER, **changed))
    assert not list(adapters)


@given(st.lists(st.tuples(st.sampled_from(ACTS), st.integers(1, 3), st.sampled_from(["wang", "li"])), max_size=40))
def test_whatever_is_done_one_version_at_most_is_live_and_one_in_shadow(acts: list[tuple[str, int, str]]) -> None:
    adapters = Adapters()
    gone: set[bytes] = set()
    for number, (name, serial, by) in enumerate(acts, 1):
        try:
            adapters.apply(act(number, name, serial, by))
        except PolicyError:
            continue
        held = Counter(each.before or each.state for each in adapters)
        assert held[LIVE] <= 1
        assert held[SHADOW] <= 1
        removed = {each.digest for each in adapters if each.state == REMOVED}
        assert gone <= removed, "what was removed came back"
        gone = removed
        for each in adapters:
            assert not each.approved_by or each.approved_by != each.proposed_by


async def test_roles_are_separated_here_too_and_everything_is_in_the_audit_trail(tmp_path: Path) -> None:
    async with office(tmp_path) as desk:
        body = dict(act(1, people.PROPOSE_ADAPTER).body)
        for by in ("li", "sun"):
            with pytest.raises(PolicyError, match="may not"):
                await desk.act(by, people.PROPOSE_ADAPTER, body)
        await desk.act("wang", people.PROPOSE_ADAPTER, body)
        for by in ("wang", "sun"):
            with pytest.raises(PolicyError, match="may not"):
                await desk.act(by, people.APPROVE_ADAPTER, body)
        await desk.act("li", people.APPROVE_ADAPTER, body)
        with pytest.raises(PolicyError, match="may not"):
            await desk.act("sun", people.PROMOTE_ADAPTER, body)
        await desk.act("sun", people.SUSPEND_ADAPTER, body)
        store = desk.administration._store
        events = [each.event for each in await store.audit.events()]
        assert [event.decision.partition(";")[0] for event in events[1:]] == [
            "adapter.propose",
            "adapter.approve",
            "adapter.suspend",
        ]


COURTS, BANKS = 3, 8


def gone(adapters: Adapters, departments: dict[int, int]) -> frozenset[int]:
    """Who is gone, of versions by number whose departments are known."""
    return gone_for_good((each, departments.get(int.from_bytes(each.digest), 0)) for each in adapters)


@pytest.mark.parametrize("state", [PROPOSED, SHADOW, LIVE, SUSPENDED])
def test_a_department_is_gone_for_good_only_by_an_act_that_says_so(state: str) -> None:
    merely, for_good = done(*LEADING_TO[state]), done(*LEADING_TO[state])
    assert gone(merely, {1: COURTS}) == frozenset()
    merely.apply(act(9, people.REMOVE_ADAPTER))
    assert gone(merely, {1: COURTS}) == frozenset(), "removed to be replaced, perhaps"
    for_good.apply(act(9, people.REMOVE_ADAPTER, for_good=True))
    assert gone(for_good, {1: COURTS}) == {COURTS}
    assert gone(for_good, {}) == frozenset(), "nobody knows whose it was"


@pytest.mark.parametrize("state", [PROPOSED, SHADOW, LIVE, SUSPENDED])
def test_no_department_is_gone_of_which_there_is_another_version(state: str) -> None:
    """Under another name, or of which it is not known whose it is."""
    adapters = done(*LEADING_TO[LIVE])
    adapters.apply(act(4, people.REMOVE_ADAPTER, for_good=True))
    for number, name in enumerate(LEADING_TO[state], 5):
        by = "wang" if name == people.PROPOSE_ADAPTER else "li"
        adapters.apply(act(number, name, 2, by=by, adapter="courts-2"))
    assert gone(adapters, {1: COURTS, 2: BANKS}) == {COURTS}
    assert gone(adapters, {1: COURTS, 2: COURTS}) == frozenset()
    assert gone(adapters, {1: COURTS}) == frozenset()
    adapters.apply(act(20, people.REMOVE_ADAPTER, 2, adapter="courts-2"))
    assert gone(adapters, {1: COURTS, 2: COURTS}) == frozenset(), "it came back, and went without a word"
    assert gone(adapters, {1: COURTS}) == frozenset()
    assert gone(adapters, {1: COURTS, 2: BANKS}) == {COURTS}


@pytest.mark.parametrize("state", [PROPOSED, SHADOW, LIVE, SUSPENDED])
def test_nor_one_that_had_another_version_before(state: str) -> None:
    adapters = done(*LEADING_TO[LIVE])
    for number, name in enumerate(LEADING_TO[state], 4):
        by = "wang" if name == people.PROPOSE_ADAPTER else "li"
        adapters.apply(act(number, name, 2, by=by, adapter="courts-2"))
    adapters.apply(act(20, people.REMOVE_ADAPTER, for_good=True))
    assert gone(adapters, {1: COURTS, 2: COURTS}) == frozenset()
    adapters.apply(act(21, people.REMOVE_ADAPTER, 2, adapter="courts-2", for_good=True))
    assert gone(adapters, {1: COURTS, 2: COURTS}) == {COURTS}


def test_what_was_removed_before_does_not_keep_a_department() -> None:
    adapters = done(*LEADING_TO[LIVE])
    for number, name in enumerate(LEADING_TO[LIVE], 4):
        adapters.apply(act(number, name, 2, by="wang" if name == people.PROPOSE_ADAPTER else "li"))
    adapters.apply(act(7, people.REMOVE_ADAPTER, 2, for_good=True))
    assert gone(adapters, {2: COURTS}) == {COURTS}


@pytest.mark.parametrize(("name", "said"), [(people.SUSPEND_ADAPTER, True), (people.REMOVE_ADAPTER, "yes")])
def test_for_good_is_said_of_a_removal_alone_and_plainly(name: str, said: Any) -> None:
    adapters = done(*LEADING_TO[LIVE])
    with pytest.raises(PolicyError) as caught:
        adapters.apply(act(9, name, for_good=said))
    assert caught.value.field == "for_good"
    assert only(adapters).state == LIVE
