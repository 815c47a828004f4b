"""What is news about a person, and which notices it takes back."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rules.notifying import Change, Finding, Told, compare
from tests.unit.rules.rules_world import BOOK
from wugan.adapter.v1 import vocabulary_pb2 as kinds
from wugan.federation.v1 import vocabulary_pb2 as words

STRONG, MEDIUM, WEAK = 1, 2, 3
DEAD, SUSPECTED = words.SURVIVAL_STATUS_DECEASED, words.SURVIVAL_STATUS_DECEASED_SUSPECTED
MISSING, CONFLICT, UNKNOWN = (
    words.SURVIVAL_STATUS_MISSING,
    words.SURVIVAL_STATUS_CONFLICT,
    words.SURVIVAL_STATUS_UNKNOWN,
)
REMARRIED = 1 << words.ENTITLEMENT_FLAG_REMARRIED
PRISON = 1 << words.ENTITLEMENT_FLAG_IMPRISONED
DAY = 20_000

Found = tuple[int, int, int] | Finding


def history(*findings: Found) -> list[Change | None]:
    """What is told of findings one after another."""
    told: Told | None = None
    changes: list[Change | None] = []
    for finding in findings:
        change = compare(BOOK, told, Finding(*finding))
        changes.append(change)
        told = told if change is None else change.told
    return changes


def backs(*findings: Found) -> list[int | None]:
    """From which notice on each one takes back; None: it is not told."""
    return [None if change is None else change.retracts_from for change in history(*findings)]


@pytest.mark.parametrize("status", [STRONG, MEDIUM, WEAK, UNKNOWN])
def test_somebody_alive_or_unknown_is_no_news(status: int) -> None:
    assert history((status, 0, 0)) == [None]


@pytest.mark.parametrize(
    "finding", [(DEAD, 0, DAY), (SUSPECTED, 0, DAY), (MISSING, 0, DAY), (CONFLICT, 0, DAY), (WEAK, PRISON, 0)]
)
def test_everything_else_is_news_once(finding: Found) -> None:
    first, second = history(finding, finding)
    assert first is not None
    assert (first.told.sequence, first.retracts_from) == (1, 0)
    assert second is None


def test_how_well_somebody_is_known_to_be_alive_is_no_news() -> None:
    assert backs((STRONG, REMARRIED, 0), (WEAK, REMARRIED, 0), (MEDIUM, REMARRIED, 0)) == [0, None, None]


def test_a_death_that_is_confirmed_takes_nothing_back() -> None:
    assert backs((SUSPECTED, 0, DAY), (DEAD, 0, DAY - 1)) == [0, 0]


@pytest.mark.parametrize(
    "now", [(STRONG, 0, 0), (UNKNOWN, 0, 0), (SUSPECTED, 0, DAY), (DEAD, 0, DAY + 3), (MISSING, 0, DAY)]
)
def test_a_death_that_does_not_hold_as_it_was_told_is_taken_back(now: Found) -> None:
    assert backs((DEAD, 0, DAY), now) == [0, 1]


def test_all_notices_of_a_death_are_taken_back_and_only_these() -> None:
    assert backs((STRONG, PRISON, 0), (SUSPECTED, PRISON, DAY), (DEAD, PRISON, DAY), (STRONG, PRISON, 0)) == [
        0,
        0,
        0,
        2,
    ]


def test_a_dispute_is_not_a_withdrawal_and_its_end_may_be() -> None:
    assert backs((DEAD, 0, DAY), (CONFLICT, 0, DAY), (STRONG, 0, 0)) == [0, 0, 0]


def test_a_release_leaves_the_notice_of_the_prison_true() -> None:
    assert backs((STRONG, PRISON, 0), (STRONG, 0, 0)) == [0, 0]


SENTENCE, TAKEN_IN = kinds.EVIDENCE_KIND_SENTENCE, kinds.EVIDENCE_KIND_IMPRISONED
COURTS, JUSTICE = 1 << kinds.DEPARTMENT_COURTS, 1 << kinds.DEPARTMENT_JUSTICE
PAROLED, DETAINED = 1 << words.ENTITLEMENT_FLAG_PAROLED, 1 << words.ENTITLEMENT_FLAG_DETAINED


def custody(flags: int, *records: int, status: int = STRONG, told: bool = True) -> Finding:
    """Somebody about whom there are these penal records, or reasons that tell of more than detention."""
    return Finding(status, flags, 0, frozenset(records), told)


def test_custody_whose_judgment_is_withdrawn_is_taken_back() -> None:
    """改判无罪, or entered under somebody else's number: it was never to be told."""
    assert backs(custody(PRISON, SENTENCE, TAKEN_IN), custody(0, told=False)) == [0, 1]


def test_so_are_all_notices_of_it_and_only_these() -> None:
    remarried = custody(REMARRIED, told=False)
    taken_in = custody(PRISON | REMARRIED, SENTENCE)
    paroled = custody(PAROLED | REMARRIED, SENTENCE, kinds.EVIDENCE_KIND_PAROLE)
    assert backs(remarried, taken_in, paroled, remarried) == [0, 0, 0, 2]


def test_detention_alone_says_nothing_of_a_judgment() -> None:
    """Back in detention, to be tried anew: the first judgment does not hold."""
    assert backs(custody(PRISON, SENTENCE), custody(DETAINED, told=False)) == [0, 1]


@pytest.mark.parametrize("left", [SENTENCE, TAKEN_IN, kinds.EVIDENCE_KIND_RELEASE])
def test_custody_that_was_served_stays_true(left: int) -> None:
    assert backs(custody(PRISON, SENTENCE, TAKEN_IN), custody(0, left)) == [0, 0]


def test_so_does_custody_of_whose_end_a_reason_tells() -> None:
    assert backs(custody(PRISON, SENTENCE), custody(0, told=True)) == [0, 0]


def test_a_register_of_those_there_now_has_nobody_who_left() -> None:
    """No judgment was ever seen: whoever is gone from the list was let out, as far as anybody knows."""
    assert backs(custody(PRISON, TAKEN_IN), custody(0, told=False)) == [0, 0]
    assert backs(custody(DETAINED, told=False), custody(0, told=False)) == [0, 0]


def test_what_was_served_is_not_taken_back_with_a_later_judgment() -> None:
    first, second = custody(PRISON, SENTENCE), custody(PRISON, SENTENCE, TAKEN_IN)
    assert backs(first, custody(0, SENTENCE), second, custody(0, told=False)) == [0, 0, 0, 3]


def test_nothing_is_taken_back_while_somebody_is_not_asked_on_whose_word_it_stands() -> None:
    imprisoned = Finding(STRONG, PRISON, 0, frozenset({SENTENCE}), True, grounds=COURTS, heard=COURTS | JUSTICE)
    after = Finding(STRONG, 0, 0, grounds=0, heard=JUSTICE)
    _, withheld = history(imprisoned, after)
    assert withheld is not None
    assert withheld.unheard == COURTS
    assert not withheld.sure(whole=True)
    _, believed = history(imprisoned, after._replace(heard=COURTS))
    assert believed is not None
    assert believed.sure(whole=True)
    assert not believed.sure(whole=False)


def test_whoever_was_removed_for_good_is_not_waited_for_but_every_other_is() -> None:
    imprisoned = Finding(STRONG, PRISON, 0, frozenset({SENTENCE}), True, grounds=COURTS | JUSTICE, heard=COURTS)
    _, change = history(imprisoned, Finding(STRONG, 0, 0))
    assert change is not None
    assert change.unheard == COURTS | JUSTICE
    assert [change.sure(whole=True, gone=gone) for gone in (0, COURTS, JUSTICE, COURTS | JUSTICE)] == [
        *[False, False, False],
        True,
    ]
    assert not change.sure(whole=False, gone=COURTS | JUSTICE)


def test_bad_news_does_not_wait_for_whom_an_earlier_notice_stands_on() -> None:
    imprisoned = Finding(STRONG, PRISON, 0, frozenset({SENTENCE}), True, grounds=COURTS, heard=COURTS | JUSTICE)
    dead = Finding(DEAD, PRISON, DAY, frozenset({TAKEN_IN}), True, grounds=JUSTICE, heard=JUSTICE)
    _, change = history(imprisoned, dead)
    assert change is not None
    assert change.sure(whole=False)
    assert change.told.grounds == COURTS | JUSTICE


def test_what_stands_no_more_stands_on_nobody() -> None:
    dead = Finding(DEAD, 0, DAY, grounds=COURTS, heard=COURTS)
    change = history(dead, Finding(STRONG, 0, 0, heard=COURTS))[1]
    assert change is not None
    assert (change.retracts_from, change.told.grounds) == (1, 0)


def test_what_an_earlier_version_kept_is_read() -> None:
    told = Told(DEAD, PRISON, DAY, 7, 3, 2)
    earlier = struct.pack(">BBIiqqq", 1, *told[:6])
    assert Told.unpacked(earlier) == told


def test_a_remarriage_that_is_found_no_more_is_taken_back() -> None:
    assert backs((STRONG, REMARRIED, 0), (STRONG, REMARRIED | PRISON, 0), (STRONG, PRISON, 0)) == [0, 0, 1]


def test_taking_back_a_death_leaves_the_remarriage_told() -> None:
    remarried = (STRONG, REMARRIED, 0)
    assert backs(remarried, (DEAD, REMARRIED, DAY), remarried, (STRONG, 0, 0)) == [0, 0, 2, 1]


def test_what_was_taken_back_is_not_taken_back_again() -> None:
    assert backs((DEAD, 0, DAY), (STRONG, 0, 0), (DEAD, 0, DAY + 9), (STRONG, 0, 0)) == [0, 1, 0, 3]


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ((STRONG, PRISON | REMARRIED, 0), (STRONG, REMARRIED, 0)),
        ((STRONG, PRISON, 0), (STRONG, 0, 0)),
        ((DEAD, 0, DAY), (STRONG, 0, 0)),
        ((DEAD, 0, DAY), (SUSPECTED, 0, DAY)),
        ((CONFLICT, 0, DAY), (DEAD, 0, DAY)),
    ],
)
def test_what_a_silent_department_may_have_made_untrue_does_not_only_add(before: Found, now: Found) -> None:
    change = history(before, now)[1]
    assert change is not None
    assert not change.adds


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ((STRONG, PRISON, 0), (WEAK, PRISON | REMARRIED, 0)),
        ((STRONG, PRISON, 0), (DEAD, PRISON, DAY)),
        ((SUSPECTED, 0, DAY), (DEAD, 0, DAY)),
        ((DEAD, 0, DAY), (CONFLICT, 0, DAY)),
    ],
)
def test_more_of_the_same_only_adds(before: Found, now: Found) -> None:
    change = history(before, now)[1]
    assert change is not None
    assert change.adds


findings = st.tuples(
    st.integers(1, 8),
    st.lists(st.integers(1, 15), max_size=3).map(lambda bits: sum({1 << bit for bit in bits})),
    st.integers(0, DAY),
)


@given(st.lists(findings, max_size=8))
def test_notices_are_numbered_without_gaps_and_take_back_only_what_came_before(sequence: list[Found]) -> None:
    told = [change for change in history(*sequence) if change is not None]
    assert [change.told.sequence for change in told] == list(range(1, len(told) + 1))
    assert all(0 <= change.retracts_from < change.told.sequence for change in told)
    assert all(Told.unpacked(change.told.packed()) == change.told for change in told)


@given(findings, findings)
def test_the_same_finding_is_never_told_twice(one: Found, other: Found) -> None:
    assert history(one, other, other)[2] is None


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x02" + bytes(33), bytes(34)])
def test_what_is_no_record_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not what"):
        Told.unpacked(data)
