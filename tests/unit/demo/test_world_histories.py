from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.demo import calendar
from gateway.demo.cases import ALIVE, CASES, DECEASED, SMALLEST_COMPLETE_WORLD
from gateway.demo.world import World, build_world
from wugan.adapter.v1 import vocabulary_pb2 as words

AS_OF = 20_780
FIRST_EVENT = 100
CONFIRMS_DEATH = [
    words.EVIDENCE_KIND_HOUSEHOLD_CANCELLED_DEATH,
    words.EVIDENCE_KIND_DEATH_CERTIFICATE,
    words.EVIDENCE_KIND_CREMATION,
    words.EVIDENCE_KIND_DECLARED_DEAD,
]
OUTLIVES = {"died_card_used_after", "died_unreported_burial"}


def kinds_of(world: World, label: str) -> set[int]:
    rows = np.isin(world.events.person, world.people.of(label))
    return set(world.events.kind[rows].tolist())


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), provinces=st.integers(2, 6), as_of=st.integers(0, 3_000))
def test_no_record_is_younger_than_the_day_or_older_than_its_event(seed: int, provinces: int, as_of: int) -> None:
    events = build_world(seed, provinces, SMALLEST_COMPLETE_WORLD, AS_OF + as_of).events
    assert (events.available_on <= AS_OF + as_of).all()
    assert (events.available_on >= events.observed_on).all()
    assert (events.observed_on > 0).all()


def test_a_record_stands_with_the_province_where_it_happened(town: World) -> None:
    codes = np.array([province.code for province in town.provinces])
    assert (codes[town.events.province] == town.events.region // 10_000 * 10_000).all()


def test_every_kind_of_evidence_occurs(town: World) -> None:
    known = {number for number in words.EvidenceKind.values() if number}
    assert set(town.events.kind.tolist()) == known


def test_the_dead_leave_no_traces_but_where_that_is_the_case(town: World) -> None:
    events, people = town.events, town.people
    died_on = people.died_on[events.person]
    after = (died_on > 0) & (events.kind < FIRST_EVENT) & (events.observed_on >= died_on)
    assert {CASES[case].label for case in people.case[events.person[after]].tolist()} == OUTLIVES


def test_who_has_died_is_dead_and_who_has_not_is_alive(town: World) -> None:
    for recipient in town.recipients():
        assert bool(recipient.died_on) != recipient.alive, recipient.case
        assert recipient.alive == recipient.about.alive


def test_no_living_person_may_rightly_be_called_deceased() -> None:
    for case in CASES:
        assert not (case.alive and DECEASED in case.right), case.label
        assert case.expected == case.right[0]


def test_no_living_persons_history_looks_like_an_undisputed_death(town: World) -> None:
    """Whoever lives and stands in a register of deaths has left a later trace, or the declaration is revoked."""
    events, people = town.events, town.people
    said_dead = np.isin(events.kind, CONFIRMS_DEATH) & (people.died_on[events.person] == 0)
    assert said_dead.any()
    for person, day in zip(events.person[said_dead].tolist(), events.observed_on[said_dead].tolist(), strict=True):
        own = events.person == person
        later = own & (events.observed_on > day + 1) & (events.kind < FIRST_EVENT)
        revoked = own & (events.kind == words.EVIDENCE_KIND_DEATH_DECLARATION_REVOKED)
        assert later.any() or revoked.any()


def test_what_cannot_be_known_is_said_wherever_the_truth_is_not_among_the_answers() -> None:
    for case in CASES:
        told = {"DECEASED", "DECEASED_SUSPECTED", "CONFLICT"} if not case.alive else {*ALIVE, "CONFLICT", "REFUSED"}
        if case.expected not in told:
            assert case.cannot_know_en or case.label == "unknown_person", case.label
        assert bool(case.cannot_know_en) == bool(case.cannot_know_zh)


def test_nobody_knows_an_unknown_person(town: World) -> None:
    unknown = town.people.of("unknown_person")
    assert unknown.size
    assert not np.isin(town.events.person, unknown).any()
    assert not np.isin(town.registers.person, unknown).any()


def test_a_late_record_reaches_its_department_months_after_another(town: World) -> None:
    events = town.events
    for person in town.people.of("died_recorded_late").tolist():
        mine = (events.person == person) & np.isin(events.kind, CONFIRMS_DEATH)
        assert np.ptp(events.available_on[mine]) > 100


def test_a_death_that_nobody_has_yet_is_in_no_system(town: World) -> None:
    assert not kinds_of(town, "died_not_yet_known") & set(range(FIRST_EVENT, 120))


def test_a_hidden_death_shows_only_monthly_withdrawals(town: World) -> None:
    assert kinds_of(town, "died_unreported_burial") == {words.EVIDENCE_KIND_SELF_SERVICE_WITHDRAWAL}
    events = town.events
    for person in town.people.of("died_unreported_burial").tolist():
        days = np.sort(events.observed_on[events.person == person])
        assert days.size >= 12
        assert np.diff(days).max() <= 31


def test_a_month_end_death_is_on_the_last_day(town: World) -> None:
    for person in town.people.of("died_month_end").tolist():
        assert calendar.to_date(int(town.people.died_on[person]) + 1).day == 1


def test_remarriage_is_registered_in_another_province_than_the_one_that_pays(town: World) -> None:
    rows = np.flatnonzero(town.events.kind == words.EVIDENCE_KIND_MARRIAGE)
    assert rows.size
    assert (town.events.province[rows] != town.people.pay[town.events.person[rows]]).all()


def test_a_commutation_moves_the_end_and_a_revoked_parole_ends_in_prison(town: World) -> None:
    assert kinds_of(town, "sentence_commuted") >= {words.EVIDENCE_KIND_SENTENCE, words.EVIDENCE_KIND_COMMUTATION}
    assert kinds_of(town, "parole_revoked") >= {words.EVIDENCE_KIND_PAROLE, words.EVIDENCE_KIND_RETURNED_TO_PRISON}
    assert words.EVIDENCE_KIND_PAROLE not in kinds_of(town, "parole_not_supplied")


def test_movers_are_seen_before_in_one_province_and_after_in_another(town: World) -> None:
    events, people = town.events, town.people
    for person in people.of("moved_within_cycle").tolist():
        moved = (events.person == person) & np.isin(
            events.kind, [words.EVIDENCE_KIND_HOUSEHOLD_MOVED, words.EVIDENCE_KIND_RESIDENCE_MOVED]
        )
        assert events.detail[moved].tolist() == [people.home[person]]
        assert events.province[moved].tolist() == [people.earlier_province[person]]
        assert people.roster_region[person] == people.earlier_home[person]
    assert not people.roster_region[people.of("residence_unknown")].any()


def test_changed_numbers_are_known_to_the_police_of_the_new_home(town: World) -> None:
    changes, people = town.changes, town.people
    assert set(changes.person.tolist()) == set(people.other_number)
    assert (changes.province == people.home_province[changes.person]).all()


def test_two_people_of_one_number_are_registered_in_both_places(town: World) -> None:
    registers, people = town.registers, town.people
    for person in people.of("number_shared").tolist():
        places = set(registers.province[registers.person == person].tolist())
        assert places == {int(people.home_province[person]), int(people.home_province[people.partner[person]])}


WELL_SEEN = sorted(case.label for case in CASES if case.expected == "ALIVE_STRONG" and case.alive)


@pytest.mark.parametrize("label", WELL_SEEN)
def test_who_is_well_seen_has_left_recent_traces_with_two_departments(town: World, label: str) -> None:
    events = town.events
    for person in town.people.of(label).tolist():
        recent = (events.person == person) & (events.observed_on > AS_OF - 90) & (events.kind < FIRST_EVENT)
        assert len(set(events.kind[recent].tolist())) >= 2


def test_days_and_dates_agree() -> None:
    days = np.arange(-30_000, 60_000, 7, dtype=np.int32)
    year, month, day = calendar.parts(days)
    assert (calendar.from_parts(year, month, day) == days).all()
    for index in range(0, days.size, 997):
        assert calendar.to_date(int(days[index])) == dt.date(int(year[index]), int(month[index]), int(day[index]))
    assert calendar.years_before(calendar.to_day(dt.date(2028, 2, 29)), 1) == calendar.to_day(dt.date(2027, 2, 28))
