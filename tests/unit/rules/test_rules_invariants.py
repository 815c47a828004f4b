"""What always holds, whatever the evidence; DOMAIN section 5, number 14."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rules_world import BOOK, TODAY, civil, evidence, findings, flag_names, graded, graded_batch, row

from gateway.errors import RefusedError
from gateway.rules.grading import grade
from gateway.rules.kinds import FIRST_EVENT, FLAGS, KINDS, STRENGTHS
from wugan.adapter.v1 import vocabulary_pb2 as words
from wugan.federation.v1 import vocabulary_pb2 as answer_words

TRACES = sorted(name for name, number in KINDS.items() if number < FIRST_EVENT)
EVENTS = sorted(set(KINDS) - set(TRACES))
CONFIRMING = {"HOUSEHOLD_CANCELLED_DEATH", "DEATH_CERTIFICATE", "CREMATION", "DECLARED_DEAD"}
BENEFITS = [number for number in answer_words.BenefitType.values() if number]

days = st.integers(-5, 420)
traces = st.builds(
    lambda kind, ago, lag, strength: row(kind, ago, known=ago - lag, strength=strength),
    st.sampled_from(TRACES),
    days,
    st.integers(0, 40),
    st.sampled_from(["", *STRENGTHS]),
)
events = st.builds(
    lambda kind, ago, lag, strength, detail, region, span: row(
        kind,
        ago,
        known=None if ago is None else ago - lag,
        strength=strength,
        detail=detail,
        region=region,
        since=TODAY.replace(year=2024) if span else None,
        until=TODAY.replace(year=2024 + span) if span else None,
    ),
    st.sampled_from(EVENTS),
    st.one_of(days, st.none()),
    st.integers(0, 600),
    st.sampled_from(["", "LEAD", "REAL_NAME", "IN_PERSON"]),
    st.sampled_from([0, 1, 2, 7, 510100, 330100]),
    st.sampled_from([0, 330700, 510100]),
    st.integers(0, 4),
)
people = st.lists(st.one_of(traces, events), max_size=8)


@given(people, st.randoms(use_true_random=False), st.sampled_from(BENEFITS))
@settings(max_examples=120, deadline=None)
def test_neither_the_order_of_rows_nor_a_repeated_row_ever_matters(rows, random, benefit):
    shuffled = [*rows, *random.sample(rows, len(rows) // 2)]
    random.shuffle(shuffled)
    assert graded(*shuffled, benefit=benefit, born="2008-06-01") == graded(*rows, benefit=benefit, born="2008-06-01")


@given(
    st.lists(st.tuples(people, st.sampled_from(BENEFITS), st.booleans(), st.booleans(), st.booleans()), max_size=6),
    st.booleans(),
)
@settings(max_examples=80, deadline=None)
def test_case_14_a_batch_is_each_person_alone(batch, partial):
    columns = list(zip(*batch, strict=True)) or [()] * 5
    silent = [words.DEPARTMENT_HEALTH, words.DEPARTMENT_BANKS] if partial else []
    together = findings(
        graded_batch(
            columns[0],
            benefit=columns[1],
            known=columns[2],
            identity_conflict=columns[3],
            linked=columns[4],
            born="2008-06-01",
            partial=partial,
            silent=silent,
        )
    )
    for (rows, benefit, known, conflict, linked), found in zip(batch, together, strict=True):
        alone = graded(
            *rows,
            benefit=benefit,
            known=known,
            identity_conflict=conflict,
            linked=linked,
            born="2008-06-01",
            partial=partial,
            silent=silent,
        )
        assert found == alone


@given(
    st.lists(st.tuples(people, st.booleans(), st.sets(st.sampled_from([1, 5, 7]))), min_size=1, max_size=5),
    st.sampled_from([(), (7,), (3,)]),
)
@settings(max_examples=150, deadline=None)
def test_a_department_silent_about_some_is_silent_to_them_and_not_to_others(batch, silent):
    """Also where another, or the same, did not answer about anybody."""
    rows, known, lacks = zip(*batch, strict=True)
    about = {department: [department in each for each in lacks] for department in (1, 5, 7)}
    together = findings(
        graded_batch(rows, known=known, partial=bool(silent), silent=silent, silent_about=about, born="2008-06-01")
    )
    for person, knows, lack, found in zip(rows, known, lacks, together, strict=True):
        missing = sorted({*silent, *lack})
        assert found == graded(*person, known=knows, partial=bool(missing), silent=missing, born="2008-06-01")


@given(people, traces)
@settings(max_examples=200, deadline=None)
def test_adding_a_trace_never_lowers_a_grade_without_a_conflict(rows, trace):
    alive = ["ALIVE_WEAK", "ALIVE_MEDIUM", "ALIVE_STRONG"]
    before, after = graded(*rows).status, graded(*rows, trace).status
    if before in alive:
        assert after in alive
        assert alive.index(after) >= alive.index(before)
    elif before == "DECEASED":
        assert after in {"DECEASED", "CONFLICT"}
    else:
        assert after != "DECEASED"


@given(people)
@settings(max_examples=200, deadline=None)
def test_nobody_is_called_deceased_without_a_confirming_record_or_when_seen_afterwards(rows):
    found = graded(*rows)
    if found.status != "DECEASED":
        return
    visible = [r for r in rows if r.observed <= civil(0) and r.available <= civil(0)]
    assert any(r.kind in CONFIRMING and r.strength != "LEAD" for r in visible)
    for r in visible:
        if r.kind in {"FACE_CHECK", "HOME_VISIT", "FOUND", "DEATH_DECLARATION_REVOKED"} and r.strength in {
            "",
            "IN_PERSON",
        }:
            assert r.observed <= civil(found.decided) + 1


@given(people, st.integers(1, 400))
@settings(max_examples=100, deadline=None)
def test_an_answer_about_a_past_day_uses_only_what_was_known_then(rows, ago):
    known = [r for r in rows if r.observed <= civil(ago) and r.available <= civil(ago)]
    then, now = graded(*rows, as_of=ago), graded(*known, as_of=ago)
    assert (then.status, then.flags, then.decided, then.last_trace) == (
        now.status,
        now.flags,
        now.decided,
        now.last_trace,
    )
    assert then.codes - {"DATED_IN_FUTURE"} == now.codes


@given(people, st.sampled_from([0, *BENEFITS, 31, 99, -1]))
@settings(max_examples=100, deadline=None)
def test_an_answer_carries_only_flags_that_its_benefit_depends_on(rows, benefit):
    flags = graded(*rows, benefit=benefit, born="2008-05-01", linked=True).flags
    relevant = flag_names(BOOK.relevant_flags[benefit if 0 <= benefit < 8 else 0])
    assert flags <= relevant
    if benefit not in BENEFITS:
        assert flags <= {"IDENTITY_LINKED", "MISUSE_AFTER_DEATH", "DEATH_DECLARATION_REVOKED"}


@given(people)
@settings(max_examples=100, deadline=None)
def test_every_finding_has_a_reason_and_an_end(rows):
    found = graded(*rows)
    assert found.reasons
    assert bool(found.decided) is (not found.status.startswith("ALIVE"))
    assert found.valid_until


def test_every_flag_has_a_benefit_or_is_always_told():
    told = 0
    for bits in BOOK.relevant_flags.tolist():
        told |= bits
    assert flag_names(told) == set(FLAGS)


def test_case_14_nobody_and_nothing_are_graded_too():
    assert findings(graded_batch([])) == []
    assert [found.status for found in findings(graded_batch([[], []]))] == ["ALIVE_WEAK", "ALIVE_WEAK"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"known": np.ones(2, np.bool_)}, "known"),
        ({"benefit": np.ones(0, np.int32)}, "benefit"),
        ({"as_of_on": 0}, "as_of_on"),
        ({"subjects": -1}, "subjects"),
        ({"evidence": evidence([row("CREMATION", 5).of(1)])}, "evidence.subject"),
        ({"evidence": evidence([row("CREMATION", 5).of(-1)])}, "evidence.subject"),
    ],
)
def test_columns_that_do_not_fit_are_refused(change, field):
    one = np.ones(1, np.bool_)
    arguments = {
        "subjects": 1,
        "evidence": evidence([row("CREMATION", 5)]),
        "known": one,
        "identity_conflict": ~one,
        "linked": ~one,
        "benefit": np.ones(1, np.int32),
        "birth_on": np.zeros(1, np.int32),
        "as_of_on": civil(0),
    }
    with pytest.raises(RefusedError) as caught:
        grade(BOOK, **{**arguments, **change})
    assert caught.value.field == field
