"""Several provinces' findings made into one; DOMAIN section 5, numbers 5, 6, 11 and 12."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rules_world import BOOK, as_date, civil, flag_bits, flag_names, status_name

from gateway.errors import RefusedError
from gateway.rules.merge import merge
from gateway.rules.reasons import ReasonCode
from wugan.federation.v1 import vocabulary_pb2 as words


def member(status, *flags, decided=None, seen=None, until=-7):
    value = words.SurvivalStatus.Value("SURVIVAL_STATUS_" + status)
    return value, flag_bits(*flags), civil(decided), civil(seen), civil(until) if value else 0


def merged(*members, partial=None):
    columns = list(zip(*members, strict=True)) or [()] * 5

    def column(at, kind=np.int32):
        return np.array(columns[at], kind).reshape(len(members), 1)

    return merge(
        BOOK,
        status=column(0),
        flags=column(1, np.uint32),
        decided_on=column(2),
        last_trace_on=column(3),
        valid_until_on=column(4),
        partial=partial,
    )


STRONG = member("ALIVE_STRONG", seen="2026-05-20", until=-30)
MEDIUM = member("ALIVE_MEDIUM", seen="2026-04-20")
WEAK = member("ALIVE_WEAK", seen="2026-01-05")
TRACELESS = member("ALIVE_WEAK")
DEAD = member("DECEASED", decided="2026-02-01", seen="2026-01-10")
DEAD_LATER = member("DECEASED", decided="2026-03-01")
SUSPECTED = member("DECEASED_SUSPECTED", decided="2026-01-01")
MISSING = member("MISSING", decided="2026-02-10")
CONFLICT = member("CONFLICT", "MISUSE_AFTER_DEATH", decided="2025-12-01")
IDENTITY = member("CONFLICT", "IDENTITY_CONFLICT")
UNKNOWN = member("UNKNOWN", until=-1)
SILENT = member("UNSPECIFIED", until=None)
REVOKED = member("ALIVE_WEAK", "DEATH_DECLARATION_REVOKED", seen="2026-01-05")


@pytest.mark.parametrize(
    ("members", "status", "decided", "reasons"),
    [
        ([STRONG], "ALIVE_STRONG", "", set()),
        ([WEAK, STRONG, MEDIUM], "ALIVE_STRONG", "", set()),
        ([WEAK, WEAK], "ALIVE_WEAK", "", set()),
        ([UNKNOWN, WEAK], "ALIVE_WEAK", "", set()),
        ([UNKNOWN, DEAD], "DECEASED", "2026-02-01", set()),
        ([UNKNOWN, UNKNOWN], "UNKNOWN", "", set()),
        ([UNKNOWN, SILENT], "UNKNOWN", "", set()),
        ([SILENT], "UNSPECIFIED", "", set()),
        ([], "UNSPECIFIED", "", set()),
        ([DEAD, WEAK], "DECEASED", "2026-02-01", set()),
        ([DEAD, TRACELESS], "DECEASED", "2026-02-01", set()),
        ([DEAD, DEAD_LATER], "DECEASED", "2026-02-01", set()),
        ([DEAD, SUSPECTED], "DECEASED", "2026-02-01", set()),
        ([DEAD, MISSING], "DECEASED", "2026-02-01", set()),
        ([DEAD, STRONG], "CONFLICT", "2026-02-01", {"MEMBERS_DISAGREE"}),
        ([DEAD, member("ALIVE_WEAK", seen="2026-02-02")], "DECEASED", "2026-02-01", set()),
        ([DEAD, member("ALIVE_WEAK", seen="2026-02-03")], "CONFLICT", "2026-02-01", {"MEMBERS_DISAGREE"}),
        (
            [DEAD, member("MISSING", decided="2026-01-05", seen="2026-03-01")],
            "CONFLICT",
            "2026-02-01",
            {"MEMBERS_DISAGREE"},
        ),
        ([DEAD, member("ALIVE_MEDIUM")], "CONFLICT", "2026-02-01", {"MEMBERS_DISAGREE"}),
        (
            [DEAD, member("DECEASED", decided="2026-04-20", seen="2026-04-01")],
            "CONFLICT",
            "2026-02-01",
            {"MEMBERS_DISAGREE"},
        ),
        # cremated there two days later, and the stay in hospital settled after that, as it is excused there
        ([DEAD, member("DECEASED", decided="2026-02-03", seen="2026-02-20")], "DECEASED", "2026-02-01", set()),
        (
            [DEAD, member("DECEASED_SUSPECTED", decided="2026-02-03", seen="2026-03-04")],
            "DECEASED",
            "2026-02-01",
            set(),
        ),
        *[
            (
                [DEAD, member("DECEASED", decided="2026-02-05", seen=seen)],
                "CONFLICT",
                "2026-02-01",
                {"MEMBERS_DISAGREE"},
            )
            # before the death there, so that nothing there excused it; later than any record may trail
            for seen in ("2026-02-03", "2026-02-06", "2026-03-05")
        ],
        ([DEAD, REVOKED], "CONFLICT", "2026-02-01", {"REVOKED_ELSEWHERE"}),
        ([SUSPECTED, MEDIUM], "CONFLICT", "2026-01-01", {"MEMBERS_DISAGREE"}),
        ([SUSPECTED, TRACELESS], "DECEASED_SUSPECTED", "2026-01-01", set()),
        ([SUSPECTED, MISSING], "DECEASED_SUSPECTED", "2026-01-01", set()),
        ([MISSING, WEAK], "MISSING", "2026-02-10", set()),
        ([MISSING, member("ALIVE_WEAK", seen="2026-05-01")], "MISSING", "2026-02-10", set()),
        ([MISSING, STRONG], "CONFLICT", "2026-02-10", {"MEMBERS_DISAGREE"}),
        ([MISSING, member("ALIVE_MEDIUM", seen="2026-02-11")], "MISSING", "2026-02-10", set()),
        ([MISSING, member("ALIVE_MEDIUM", seen="2026-02-12")], "CONFLICT", "2026-02-10", {"MEMBERS_DISAGREE"}),
        (
            [DEAD, member("MISSING", decided="2026-01-05"), member("ALIVE_MEDIUM", seen="2026-01-20")],
            "DECEASED",
            "2026-02-01",
            set(),
        ),
        ([CONFLICT, STRONG], "CONFLICT", "2025-12-01", set()),
        ([IDENTITY, STRONG], "CONFLICT", "", set()),
        ([IDENTITY, DEAD, STRONG], "CONFLICT", "", set()),
    ],
)
def test_the_table_of_merging(members, status, decided, reasons):
    for order in itertools.islice(itertools.permutations(members), 6):
        found = merged(*order)
        assert status_name(found.status[0]) == status
        assert as_date(found.decided_on[0]) == decided
        assert {reason[0].name for reason in found.reasons.of(0)} == reasons


def test_case_11_flags_of_all_members_stand_together():
    found = merged(member("ALIVE_STRONG", "IDENTITY_LINKED", seen=3), member("ALIVE_WEAK", "REMARRIED"), UNKNOWN)
    assert flag_names(found.flags[0]) == {"IDENTITY_LINKED", "REMARRIED"}


def test_an_identity_conflict_anywhere_leaves_nothing_else():
    found = merged(IDENTITY, member("ALIVE_STRONG", "REMARRIED", seen=3))
    assert flag_names(found.flags[0]) == {"IDENTITY_CONFLICT"}
    assert found.last_trace_on[0] == 0


def test_the_newest_trace_and_the_first_change_of_those_who_know_the_person():
    found = merged(STRONG, WEAK, UNKNOWN, SILENT)
    assert as_date(found.last_trace_on[0]) == "2026-05-20"
    assert as_date(found.valid_until_on[0]) == "2026-06-03"
    assert as_date(merged(UNKNOWN).valid_until_on[0]) == "2026-05-28"
    assert merged(SILENT).valid_until_on[0] == 0


def test_a_silent_member_or_a_partial_answer_makes_the_whole_partial():
    assert not merged(STRONG, UNKNOWN).partial[0]
    assert merged(STRONG, SILENT).partial[0]
    assert merged(STRONG, UNKNOWN, partial=np.array([[False], [True]])).partial[0]
    assert merged(STRONG, SILENT, partial=np.array([[False], [False]])).partial[0]
    assert not merged(STRONG, UNKNOWN, partial=np.array([[False], [False]])).partial[0]


def test_findings_of_different_shapes_are_refused():
    zeros = np.zeros((1, 2), np.int32)
    with pytest.raises(RefusedError):
        merge(
            BOOK,
            status=zeros,
            flags=np.zeros((2, 2), np.uint32),
            decided_on=zeros,
            last_trace_on=zeros,
            valid_until_on=zeros,
        )


MEMBERS = [
    STRONG,
    MEDIUM,
    WEAK,
    TRACELESS,
    DEAD,
    DEAD_LATER,
    SUSPECTED,
    MISSING,
    CONFLICT,
    IDENTITY,
    UNKNOWN,
    SILENT,
    REVOKED,
]


@given(
    st.lists(st.lists(st.sampled_from(MEMBERS), min_size=3, max_size=3), min_size=1, max_size=8),
    st.permutations([0, 1, 2]),
)
@settings(max_examples=100, deadline=None)
def test_a_batch_is_each_person_alone_and_the_order_of_members_never_matters(people, order):
    cells = np.array(people, np.int64).transpose(1, 0, 2)

    def together(order):
        return merge(
            BOOK,
            status=cells[order, :, 0].astype(np.int32),
            flags=cells[order, :, 1].astype(np.uint32),
            decided_on=cells[order, :, 2].astype(np.int32),
            last_trace_on=cells[order, :, 3].astype(np.int32),
            valid_until_on=cells[order, :, 4].astype(np.int32),
        )

    first, second = together([0, 1, 2]), together(order)
    for i, person in enumerate(people):
        alone = merged(*person)
        for name in ("status", "flags", "decided_on", "last_trace_on", "valid_until_on", "partial"):
            assert getattr(first, name)[i] == getattr(second, name)[i] == getattr(alone, name)[0]
        assert first.reasons.of(i) == second.reasons.of(i) == alone.reasons.of(0)


@given(st.lists(st.sampled_from(MEMBERS), min_size=1, max_size=5))
@settings(max_examples=150, deadline=None)
def test_nobody_seen_after_a_death_is_called_deceased(members):
    found = merged(*members)
    if status_name(found.status[0]) == "DECEASED":
        for _, flags, decided, seen, _ in members:
            excused_there = decided and decided < seen <= found.decided_on[0] + BOOK.kinds.lag_days.max()
            assert (
                seen <= found.decided_on[0] + BOOK.death.grace_days or decided == found.decided_on[0] or excused_there
            )
            assert not flags & flag_bits("IDENTITY_CONFLICT", "DEATH_DECLARATION_REVOKED")


LONGEST_LAG = int(BOOK.kinds.lag_days.max())


def judged(members):
    """Status, deciding day and reasons, one member at a time, as docs/rules.md tells it."""
    spoken = [(status_name(status), flag_names(flags), on, seen) for status, flags, on, seen, _ in members if status]
    grace = BOOK.death.grace_days

    def days(name):
        return [on for status, _, on, _ in spoken if status == name]

    if any("IDENTITY_CONFLICT" in flags for _, flags, _, _ in spoken):
        return "CONFLICT", 0, set()
    why = set()
    deaths = days("DECEASED") or days("DECEASED_SUSPECTED")
    gone = deaths or days("MISSING")
    if gone:
        first = min(gone)
        for status, flags, on, seen in spoken:
            well = status in {"ALIVE_STRONG", "ALIVE_MEDIUM"}
            lies_there = status.startswith("DECEASED")
            own = lies_there and (on <= first or on + grace < seen <= first + LONGEST_LAG)
            if (well and not seen) or (seen > first + grace and (well or (deaths and not own))):
                why.add("MEMBERS_DISAGREE")
            if deaths and "DEATH_DECLARATION_REVOKED" in flags and not status.startswith("DECEASED"):
                why.add("REVOKED_ELSEWHERE")
    statuses = {status for status, _, _, _ in spoken}
    if "CONFLICT" in statuses:
        return "CONFLICT", min([on for on in days("CONFLICT") if on], default=0), why
    if why:
        return "CONFLICT", min(gone), why
    order = ["DECEASED", "DECEASED_SUSPECTED", "MISSING", "ALIVE_STRONG", "ALIVE_MEDIUM", "ALIVE_WEAK", "UNKNOWN"]
    outcome = next((name for name in order if name in statuses), "UNSPECIFIED")
    return outcome, min(gone, default=0), why


some_day = st.integers(0, 5)
any_member = st.builds(
    lambda status, flags, decided, seen: member(
        status, *flags, decided=None if status.startswith(("ALIVE", "UN")) else decided, seen=seen
    ),
    st.sampled_from([status_name(number) for number in words.SurvivalStatus.values()]),
    st.sampled_from([[]] * 4 + [["DEATH_DECLARATION_REVOKED"], ["REMARRIED"], ["IDENTITY_CONFLICT"]]),
    some_day,
    st.one_of(st.none(), some_day),
)


@given(st.lists(any_member, max_size=5))
@settings(max_examples=250, deadline=None)
def test_columns_come_to_what_the_rules_say_of_each_member(members):
    members = [(status, flags if status else 0, *rest) for status, flags, *rest in members]
    found = merged(*members)
    status, decided, why = judged(members)
    assert status_name(found.status[0]) == status
    assert int(found.decided_on[0]) == decided
    assert {reason[0].name for reason in found.reasons.of(0)} == why


@given(any_member.filter(lambda each: each[0] and not each[1] & flag_bits("IDENTITY_CONFLICT")))
@settings(max_examples=60, deadline=None)
def test_one_members_answer_is_its_own_merge(one):
    found = merged(one)
    columns = (found.status, found.flags, found.decided_on, found.last_trace_on, found.valid_until_on)
    assert tuple(int(column[0]) for column in columns) == one
    assert not len(found.reasons)


def test_merging_tells_only_reasons_of_its_own():
    assert {reason[0] for reason in merged(DEAD, STRONG).reasons.of(0)} == {ReasonCode.MEMBERS_DISAGREE}
