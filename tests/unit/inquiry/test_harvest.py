"""Harvesting: a scan is seen in whatever order it comes, an ordinary roster is not; an alarm stands until cleared."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stdnum.cn import ric

from gateway.app.opening import keep_alarm
from gateway.clock import FakeClock
from gateway.errors import AccessError
from gateway.exchange.replay import admit
from gateway.inquiry import harvest, sequences
from gateway.inquiry.access import Access
from gateway.inquiry.harvest import MANY, ODD_HOURS, ROSTER, SEQUENTIAL, UNKNOWN, Harvest
from gateway.inquiry.quotas import Quotas
from gateway.sections.inward import HarvestSettings
from gateway.store.alarms import Alarm
from tests.unit.rules.rules_world import row
from tests.unit.services.gateways_world import (
    NOW_MS,
    UNIT,
    A,
    B,
    Register,
    findings_for,
    inquiry,
    policy,
    question,
    stored,
    terms,
)

SETTINGS = HarvestSettings()
HOUR_MS = 3_600_000
PLACES = (330702, 330703, 341221)
NIGHT_MS = NOW_MS + 13 * HOUR_MS  # one in the morning


def number(place: int, born: str, order: int) -> str:
    body = f"{place}{born}{order:03d}"
    return body + ric.calc_check_digit(body + "0")


class Watched(Harvest):
    """A harvest watch whose alarms are at hand."""

    def __init__(self, **changed: Any) -> None:
        self.alarms: list[Alarm] = []
        super().__init__(HarvestSettings(**changed), self._note_alarm)

    def _note_alarm(self, alarm: Alarm, numbered: Any) -> None:
        self.alarms.append(alarm)
        numbered(len(self.alarms))

    def asks(
        self,
        numbers: Sequence[str],
        *,
        size: int = 1,
        roster: int = 0,
        now_ms: int = NOW_MS,
        unit: str = UNIT,
        streamed: bool = False,
        grant: str = "g1",
    ) -> bool:
        """The member asks about these people, so many a question; whether that raised an alarm."""
        parts = [numbers[at : at + size] for at in range(0, len(numbers), size)]
        expected = {"streamed": streamed, "grant": grant}
        return sum(self.look(A.member_id, unit, roster, part, now_ms, **expected) for part in parts) > 0

    @property
    def signals(self) -> list[str]:
        return [alarm.signal for alarm in self.alarms]


def scan(count: int, start: int = 0, step: int = 1, born: str = "19500412", place: int = 330702) -> list[str]:
    return [number(place, born, order) for order in range(start, start + count * step, step)]


sizes = st.sampled_from([1, 3, MANY, 1000])


@st.composite
def rosters(draw: st.DrawFn) -> list[str]:
    """People of a few places and birthdays: fewer than would make up a sequence share one."""
    people = []
    for day in draw(st.lists(st.integers(1, 28), unique=True, min_size=1, max_size=12)):
        place = draw(st.sampled_from(PLACES))
        orders = draw(st.sets(st.integers(0, 999), max_size=SETTINGS.sequential_people - 1))
        people += [number(place, f"195004{day:02d}", order) for order in sorted(orders)]
    return draw(st.permutations(people))


@given(rosters(), sizes)
@settings(max_examples=150, deadline=None)
def test_an_ordinary_roster_in_any_order_raises_no_alarm(roster: list[str], size: int) -> None:
    watched = Watched()
    for _ in range(3):  # asked again, as after a failure
        assert not watched.asks(roster, size=size, roster=len(roster))
    assert not watched.alarms


@given(
    rosters(),
    st.integers(SETTINGS.sequential_people, 60),
    st.integers(0, 800),
    st.sampled_from([1, 2]),
    st.randoms(use_true_random=False),
    sizes,
)
@settings(max_examples=150, deadline=None)
def test_a_scan_raises_one_however_it_is_shuffled_and_hidden_among_others(
    roster: list[str], count: int, start: int, step: int, shuffle: random.Random, size: int
) -> None:
    people = [*roster, *scan(count, start, step, born="19490101")]
    shuffle.shuffle(people)
    watched = Watched()
    assert watched.asks(people, size=size)
    assert watched.signals == [SEQUENTIAL]


def test_a_roster_of_a_whole_county_raises_no_alarm() -> None:
    """60,000 recipients; some seventeen share a birthday, with order codes as offices gave them out."""
    chance = random.Random(7)
    people = set()
    while len(people) < 60_000:
        born = f"{chance.randint(1941, 1950)}{chance.randint(1, 12):02d}{chance.randint(1, 28):02d}"
        people.add(number(330702, born, min(999, int(chance.expovariate(1 / 150)))))
    listed = list(people)
    chance.shuffle(listed)
    assert not Watched().asks(listed, size=3000, roster=60_000)
    assert not Watched().asks(listed, size=3000, roster=60_000, streamed=True)


def test_a_scan_is_seen_across_questions_and_windows_that_touch_but_not_across_days() -> None:
    people = scan(SETTINGS.sequential_people)
    watched = Watched()
    assert not watched.asks(people[:10])
    assert watched.asks(people[10:], now_ms=NOW_MS + HOUR_MS)
    slow = Watched()
    assert not slow.asks(people[:10])
    assert not slow.asks(people[10:], now_ms=NOW_MS + 24 * HOUR_MS)


@pytest.mark.parametrize("size", [1, MANY])
def test_what_was_allowed_is_less_than_what_raised_the_alarm(size: int) -> None:
    watched = Watched()
    assert watched.asks(scan(SETTINGS.sequential_people + 100), size=size)
    (alarm,) = watched.alarms
    assert (alarm.signal, alarm.allowed) == (SEQUENTIAL, SETTINGS.sequential_people - 1)
    assert alarm.seen > alarm.allowed


def test_members_are_watched_each_for_itself() -> None:
    watched = Watched()
    people = scan(SETTINGS.sequential_people)
    assert not watched.asks(people[:10])
    assert not watched.look(B.member_id, UNIT, 0, people[10:], NOW_MS)


@pytest.mark.parametrize("size", [1, MANY])
def test_numbers_of_other_documents_are_left_out_of_the_sequence(size: int) -> None:
    watched = Watched()
    assert not watched.asks([f"H{at:08d}" for at in range(200)], size=size)
    assert not watched.asks([f"ABC{at:012d}" for at in range(200)], size=size)
    assert not watched.asks([f"９30702195004{at:06d}" for at in range(200)], size=size)


def test_few_and_many_are_read_alike() -> None:
    people = [*scan(70), *scan(3), "H12345678", "33070219500412００1X", "ABCDEFGHIJKLMNOPQR", "330702195004120" + "/:0"]
    pairs = harvest._split(people)
    found, resident = sequences.read(people)
    assert resident == len(pairs)
    one_by_one = {prefix * 1000 + bit.bit_length() - 1 for prefix, bit in pairs}
    assert found.tolist() == sorted(one_by_one)


@given(
    st.lists(st.sampled_from([f"{place}1950040{day}" for place in PLACES for day in (1, 2)]), min_size=1, max_size=4),
    st.lists(st.integers(0, 120), min_size=1, max_size=400),
    st.lists(st.sampled_from([1, 2, 5, MANY, MANY + 30, 200]), min_size=1, max_size=6),
    st.integers(0, 2),
)
@settings(max_examples=150, deadline=None)
def test_it_makes_no_difference_how_people_are_put_into_questions(
    prefixes: list[str], orders: list[int], sizes: list[int], windows: int
) -> None:
    people = [
        number(int(each[:6]), each[6:], order)
        for at, order in enumerate(orders)
        for each in [prefixes[at % len(prefixes)]]
    ]
    alone, mixed = Watched(), Watched()
    at, turn = 0, 0
    while at < len(people):
        some = people[at : at + sizes[turn % len(sizes)]]
        now_ms = NOW_MS + turn * windows * HOUR_MS // 3
        raised = [alone.look(A.member_id, UNIT, 0, [one], now_ms) for one in some]
        assert mixed.look(A.member_id, UNIT, 0, some, now_ms) == any(raised)
        assert mixed._members[A.member_id].day_people == alone._members[A.member_id].day_people
        at, turn = at + len(some), turn + 1
    assert mixed.signals == alone.signals


@given(st.sets(st.integers(1000, 10**17 - 1), max_size=3000), st.integers(1, 900))
@settings(max_examples=40, deadline=None)
def test_the_set_of_what_was_seen_is_a_set(numbers: set[int], size: int) -> None:
    seen, told, column = sequences.Seen(), 0, np.array(sorted(numbers), np.int64)
    for at in range(0, len(column), size):
        told += int(seen.add(column[max(0, at - 7) : at + size]).sum())
    assert told == seen.count == len(numbers)
    assert seen.holds(column).all()
    others = np.setdiff1d(column + 1, column)
    assert not seen.holds(others).any()
    under = {}
    for each in numbers:
        under[each // 1000] = under.get(each // 1000, 0) + 1
    if len(column):
        assert (seen.under(column) >= [under[each // 1000] for each in column.tolist()]).all()
        prefix = int(column[0]) // 1000
        assert seen.orders(prefix) == sum(1 << each % 1000 for each in numbers if each // 1000 == prefix)


@pytest.mark.parametrize(("length", "step"), [(20, 1), (20, 2), (3, 1), (33, 2), (1000, 1)])
def test_a_run_is_found_where_there_is_one_and_nowhere_else(length: int, step: int) -> None:
    run = sum(1 << at * step for at in range(length))
    for shift in (0, 7, 400):
        assert harvest._has_run(run << shift, length, step)
        assert not harvest._has_run((run << shift) & ~(1 << shift + (length // 2) * step), length, step)


# the other signs


def people_of(count: int) -> Iterator[str]:
    for at in range(count):
        yield number(PLACES[at % 3], f"19{40 + at % 30}{1 + at % 12:02d}{1 + at % 28:02d}", at * 7 % 1000)


def test_far_more_people_than_the_roster_has_are_an_alarm_the_same_ones_again_are_not() -> None:
    people = list(dict.fromkeys(people_of(160)))
    watched = Watched()
    for _ in range(4):
        assert not watched.asks(people[:150], roster=100, size=50)
    assert watched.asks(people[150:], roster=100)
    (alarm,) = watched.alarms
    assert (alarm.signal, alarm.allowed, alarm.member, alarm.unit) == (ROSTER, 150, A.member_id, UNIT)


@pytest.mark.parametrize("other", [{"unit": "another"}, {}])
def test_each_grant_expects_its_own_roster_whatever_was_asked_under_others(other: dict[str, Any]) -> None:
    people = list(dict.fromkeys(people_of(300)))
    watched = Watched()
    assert not watched.asks(people[:200], roster=200, size=50, streamed=True)
    assert not watched.asks(people[200:220], roster=20, grant="g2", **other), "a roster under g1 is none under g2"
    assert not watched.asks(people[220:230], roster=20, grant="g2", **other)
    assert watched.asks(people[230:231], roster=20, grant="g2", **other)
    (alarm,) = watched.alarms
    assert (alarm.signal, alarm.seen, alarm.allowed) == (ROSTER, 31, 30)


def test_a_new_day_begins_a_new_count() -> None:
    people = list(dict.fromkeys(people_of(160)))
    watched = Watched()
    assert not watched.asks(people[:100], roster=80)
    assert not watched.asks(people[100:], roster=80, now_ms=NOW_MS + 24 * HOUR_MS)


@pytest.mark.parametrize(("hour", "odd"), [(22, False), (23, True), (0, True), (4, True), (5, False), (12, False)])
def test_many_people_in_odd_hours_are_an_alarm(hour: int, odd: bool) -> None:
    watched = Watched(odd_people=50)
    now_ms = NOW_MS + (hour - 12) * HOUR_MS
    assert watched.asks(list(people_of(60)), now_ms=now_ms) is odd
    assert watched.signals == ([ODD_HOURS] if odd else [])


def test_a_roster_that_the_grant_expects_may_be_run_at_night_and_no_more_than_it() -> None:
    people = list(dict.fromkeys(people_of(200)))
    watched = Watched(odd_people=50)
    assert not watched.asks(people[:100], roster=100, size=25, now_ms=NIGHT_MS)
    assert watched.asks(people, roster=100, now_ms=NIGHT_MS)
    assert watched.signals == [ROSTER]


@pytest.mark.parametrize("size", [3, MANY, 1000])
def test_a_stream_of_a_roster_that_the_grant_expects_may_hold_numbers_that_follow_each_other(size: int) -> None:
    people = scan(400)
    watched = Watched()
    assert not watched.asks(people, size=size, roster=400, streamed=True)
    assert not watched.asks(people, size=size, roster=400, streamed=True)  # the next night
    assert not watched.alarms


@pytest.mark.parametrize("size", [3, MANY])
def test_a_stream_beyond_what_the_grant_expects_is_an_alarm_whatever_its_numbers(size: int) -> None:
    watched = Watched()
    assert watched.asks(scan(400), size=size, roster=200, streamed=True)
    assert watched.signals == [ROSTER]


@pytest.mark.parametrize(("roster", "streamed"), [(0, True), (400, False)])
def test_without_a_roster_in_the_grant_or_without_a_stream_a_scan_is_one(roster: int, streamed: bool) -> None:
    watched = Watched()
    assert watched.asks(scan(400), size=MANY, roster=roster, streamed=streamed)
    assert watched.signals == [SEQUENTIAL]


def test_asking_about_some_of_a_roster_alone_makes_no_sequence_with_the_rest_of_it() -> None:
    people = scan(400)
    watched = Watched()
    watched.asks(people, size=MANY, roster=400, streamed=True)
    assert not watched.asks(people[:100], roster=400)
    assert watched.asks(scan(SETTINGS.sequential_people, 500), roster=10_000)
    assert watched.signals == [SEQUENTIAL]


def test_whom_nobody_knows_is_counted_in_a_roster_that_is_expected_too() -> None:
    watched = Watched(unknown_people=10)
    assert not watched.asks(scan(400), size=MANY, roster=400, streamed=True)
    watched.answered(A.member_id, UNIT, 400, 300, NOW_MS)
    assert watched.signals == [UNKNOWN]


def test_without_odd_hours_there_are_none() -> None:
    assert not Watched(odd_people=1, odd_from_hour=3, odd_until_hour=3).asks(list(people_of(9)), now_ms=NIGHT_MS)


def test_a_large_share_of_unknown_people_is_an_alarm_once_there_are_enough() -> None:
    watched = Watched(unknown_people=100)
    watched.answered(A.member_id, UNIT, 99, 99, NOW_MS)
    assert not watched.alarms
    watched.answered(B.member_id, UNIT, 200, 100, NOW_MS)
    assert not watched.alarms
    watched.answered(A.member_id, UNIT, 1, 0, NOW_MS)
    assert watched.signals == [UNKNOWN]


# waits


def test_while_an_alarm_stands_questions_wait_ever_longer() -> None:
    watched = Watched()
    watched.asks(scan(25))
    now_ms, waits = NOW_MS, []
    for _ in range(8):
        held_ms = watched.held_ms(A.member_id, UNIT, now_ms)
        waits.append(held_ms // 1000)
        now_ms += held_ms
        assert watched.held_ms(A.member_id, UNIT, now_ms) == 0
        assert watched.held_ms(A.member_id, UNIT, now_ms) > 0
    assert waits == [60, 120, 240, 480, 960, 1920, 3600, 3600]


def test_other_units_go_on_until_a_second_one_has_an_alarm() -> None:
    watched = Watched()
    watched.asks(scan(25), unit="jinhua")
    assert watched.held_ms(A.member_id, "hangzhou", NOW_MS) == 0
    assert watched.held_ms(B.member_id, "jinhua", NOW_MS) == 0
    watched.asks(scan(25, born="19510101"), unit="wenzhou")
    assert watched.held_ms(A.member_id, "hangzhou", NOW_MS) > 0


def test_one_alarm_of_a_kind_stands_at_a_time_and_clearing_it_begins_anew() -> None:
    watched = Watched()
    assert watched.asks(scan(25))
    assert not watched.asks(scan(25, 100))
    assert len(watched.alarms) == 1
    watched.clear({1})
    assert watched.held_ms(A.member_id, UNIT, NOW_MS) == 0
    assert not watched.asks(scan(19, 200))
    assert watched.asks(scan(25, 300))


def test_alarms_stand_after_a_restart_but_for_those_cleared() -> None:
    alarms = [Alarm(at, NOW_MS, A.member_id, unit, SEQUENTIAL, 25, 20) for at, unit in ((1, "jinhua"), (2, "wenzhou"))]
    again = Watched()
    again.clear({1})
    again.restore(alarms)
    assert again.held_ms(A.member_id, "jinhua", NOW_MS) == 0
    assert (again.held_ms(A.member_id, "wenzhou", NOW_MS), again.held_ms(A.member_id, "wenzhou", NOW_MS)) == (0, 60_000)


def test_memory_for_large_questions_is_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harvest, "MAX_MANY", 500)
    watched = Watched()
    for year in range(1900, 2000):
        people = [number(330702, f"{year}{month:02d}{day:02d}", 1) for month in range(1, 13) for day in range(1, 29)]
        watched.look(A.member_id if year % 2 else B.member_id, UNIT, 0, people, NOW_MS)
        held = sum(each.now.seen.count + each.before.seen.count for each in watched._members.values())
        assert held == watched._many <= 500


def test_memory_is_bounded_whatever_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harvest, "MAX_PREFIXES", 500)
    watched = Watched()
    for year in range(1900, 2000):
        people = [number(330702, f"{year}{month:02d}{day:02d}", 1) for month in range(1, 13) for day in range(1, 29)]
        for each in range(0, len(people), MANY - 1):
            watched.look(A.member_id if year % 2 else B.member_id, UNIT, 0, people[each : each + MANY - 1], NOW_MS)
        held = sum(len(each.now.orders) + len(each.before.orders) for each in watched._members.values())
        assert held == watched._prefixes <= 500


# in the gateway


async def test_an_alarm_refuses_the_question_is_on_the_record_and_is_cleared_by_an_act(tmp_path: Path) -> None:
    clock = FakeClock(NOW_MS)
    async with stored(tmp_path, clock) as store:
        watch = Harvest(SETTINGS, lambda alarm, numbered: keep_alarm(store, alarm, numbered))
        access = Access(clock, Quotas(None), policy(terms()), harvest=watch)
        department = Register({})
        side = inquiry(department, access=access, clock=clock)
        people = scan(25)
        asked = question(*people)
        with pytest.raises(AccessError) as caught:
            await findings_for(side, asked, sender=A.member_id)
        assert (caught.value.code, caught.value.retry_after_ms) == ("QUOTA_EXCEEDED", 60_000)
        assert not department.asked
        with pytest.raises(AccessError):
            await findings_for(side, question(), sender=A.member_id)
        await findings_for(side, question(), sender=B.member_id)
        (alarm,) = await _alarms(store)
        (event,) = [each.event for each in await store.audit.events() if each.event.direction == "alarm"]
        assert (alarm.number, alarm.member, alarm.unit, alarm.signal) == (1, A.member_id, UNIT, SEQUENTIAL)
        assert event.counterpart == A.member_id
        assert "sequential" in event.decision
        assert not any(person[:14] in event.decision for person in people)
        access.use(policy(terms(), cleared=frozenset({1})))
        await findings_for(side, question(), sender=A.member_id)


async def _alarms(store: Any) -> list[Alarm]:
    await admit(store.replay, A.member_id, bytes(16), NOW_MS + 1000, NOW_MS)  # what was written before is on the disk
    return await store.alarms.read()


async def test_people_said_to_live_here_whom_nobody_knows_are_counted(tmp_path: Path) -> None:
    watched = Watched(unknown_people=10)
    access = Access(FakeClock(NOW_MS), Quotas(None), policy(terms()), harvest=watched)
    people = list(dict.fromkeys(people_of(12)))
    side = inquiry(Register({people[0]: [row("OUTPATIENT", 5)]}, names=dict.fromkeys(people, "无名")), access=access)
    asked = question(*people)
    await findings_for(side, asked, sender=A.member_id)
    assert not watched.alarms
    asked.region.extend([340000] * len(people))
    await findings_for(side, asked, sender=A.member_id)
    assert watched.signals == [UNKNOWN]
    assert watched.alarms[0].seen == len(people) - 1


@pytest.mark.parametrize("at_once", [1, 8])
async def test_a_scan_under_further_numbers_of_a_known_person_is_one(at_once: int) -> None:
    watched = Watched()
    access = Access(FakeClock(NOW_MS), Quotas(None), policy(terms()), harvest=watched)
    side = inquiry(Register({}), access=access)
    people = scan(2 * SETTINGS.sequential_people)

    async def scanned() -> None:
        for at in range(0, len(people), at_once):
            some = people[at : at + at_once]
            asked = question()
            asked.subjects.alias_subject.extend([0] * len(some))
            asked.subjects.alias_id_number.extend(some)
            await findings_for(side, asked, sender=A.member_id)

    with pytest.raises(AccessError):
        await scanned()
    assert watched.signals == [SEQUENTIAL]
