"""Departments that were away for a moment are asked again; nobody is who was answered, and it always ends."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from running_world import B, C, World, findings, line, roster
from test_roster_runs import moved

from gateway.errors import PartnerError, StoreError, WuganError
from gateway.resilience.backoff import Backoff
from gateway.roster.lacking import MOST_TRIES, WAITS, Lacking, lacks
from gateway.roster.progress import Province
from gateway.roster.run import Ask
from gateway.roster.shelf import figures_from
from gateway.store.parts import PartFolder
from tests.unit.adapters.adapters_world import number
from wugan.adapter.v1 import vocabulary_pb2 as v
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

STRONG, WEAK = words.SURVIVAL_STATUS_ALIVE_STRONG, words.SURVIVAL_STATUS_ALIVE_WEAK
ASKS = [Ask(chunk, 0, "M") for chunk in range(6)]


def source(department: int, outcome: int) -> exchange_pb2.SourceReport:
    return exchange_pb2.SourceReport(adapter_id="a", department=department, outcome=outcome)  # type: ignore[arg-type]


def partly(question: exchange_pb2.Question, *away: int) -> exchange_pb2.Findings:
    """Answered without these departments."""
    sources = [source(v.DEPARTMENT_HEALTH, words.SOURCE_OUTCOME_ANSWERED)]
    sources += [source(each, words.SOURCE_OUTCOME_UNAVAILABLE) for each in away]
    found: exchange_pb2.Findings = findings(question, WEAK if away else STRONG, partial=bool(away), sources=sources)
    return found


AWAY = (v.DEPARTMENT_CIVIL_AFFAIRS,)
BOTH = (v.DEPARTMENT_CIVIL_AFFAIRS, v.DEPARTMENT_BANKS)


def test_what_cannot_be_read_about_some_people_is_not_waited_for() -> None:
    question = exchange_pb2.Question()
    answered = partly(question, *AWAY)
    answered.sources[1].outcome = words.SOURCE_OUTCOME_FAULTY
    assert lacks(answered) == 1
    answered.sources[1].unreadable_subject.append(0)
    assert lacks(answered) == 0
    answered.sources.append(source(v.DEPARTMENT_BANKS, words.SOURCE_OUTCOME_SILENT))
    assert lacks(answered) == 1, "another that was silent is"
    assert lacks(exchange_pb2.Findings(partial=True)) == 1


# the order of it


class Member:
    """A member of which departments are away until a time; time goes by as it is waited for."""

    def __init__(self, back_at: float, allowed_s: float) -> None:
        self.now, self.back_at = 0.0, back_at
        self.lacking = Lacking(allowed_s, lambda: self.now, lambda: 0.5)
        self.asked: list[tuple[float, Ask]] = []

    def to_the_end(self) -> list[Ask]:
        """Ask again until it ends; who stays without a whole answer."""
        while True:
            wait_s = self.lacking.wait_s(float("inf"))
            if wait_s is None:
                return self.lacking.end()
            if wait_s:
                self.now += wait_s
                continue
            for ask in self.lacking.take():
                self.asked.append((self.now, ask))
                if ask in self.lacking:
                    self.lacking.came(ask, int(self.now < self.back_at))


@settings(deadline=None)
@given(st.floats(0, 400), st.integers(1, 6), st.sampled_from([1.0, 30.0, 120.0, 600.0]))
def test_while_departments_are_away_one_question_is_asked_at_a_time_and_all_once_they_are_back(
    back_at: float, count: int, allowed_s: float
) -> None:
    member = Member(back_at, allowed_s)
    for ask in ASKS[:count]:
        assert member.lacking.add(ask, 1)
    left = member.to_the_end()
    times = [at for at, _ in member.asked]
    in_vain = [at for at in times if at < back_at]
    assert len(in_vain) == len(set(in_vain)), "several were asked at a time while departments were away"
    if any(at >= back_at for at in times):
        assert not left
        assert {ask for at, ask in member.asked if at >= back_at} == set(ASKS[:count])
    else:
        assert left == ASKS[:count]
        assert member.now <= allowed_s + 2 * WAITS.longest_s, "it goes on for longer than was allowed"
    tries = [ask for _, ask in member.asked]
    assert max((tries.count(ask) for ask in tries), default=0) <= MOST_TRIES
    assert (member.lacking.again, member.lacking.left) == (len(tries), len(left))


def test_waits_grow_while_it_is_in_vain() -> None:
    member = Member(float("inf"), 1_000.0)
    member.lacking.add(ASKS[0], 1)
    member.to_the_end()
    times = [at for at, _ in member.asked]
    waits = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert len(times) == MOST_TRIES
    assert waits == sorted(waits)
    assert waits[-1] == WAITS.longest_s * 0.75


def test_of_several_under_way_together_that_fail_one_counts() -> None:
    lacking = Lacking(100.0, lambda: 50.0, lambda: 0.0)
    for ask in ASKS:
        lacking.add(ask, 1)
    lacking.came(ASKS[0], 0)
    assert len(lacking.take()) == 5
    first = lacking.wait_s(1e9)
    for ask in ASKS[1:]:
        lacking.came(ask, 1)
        assert lacking.wait_s(1e9) == first or first is None or ask == ASKS[1]
    assert len(lacking.take()) == 1


def test_nothing_is_asked_again_without_time_for_it() -> None:
    none = Lacking(0.0, lambda: 0.0, lambda: 0.0)
    assert not none.add(ASKS[0], 1)
    assert (len(none), none.left) == (0, 1)
    little = Lacking(100.0, lambda: 0.0, lambda: 0.0)
    little.add(ASKS[0], 1)
    assert little.wait_s(0.5) is None
    assert little.wait_s(1e9) is not None


def test_the_answer_that_lacks_fewer_counts() -> None:
    lacking = Lacking(100.0, lambda: 0.0, lambda: 0.0)
    lacking.add(ASKS[0], 2)
    assert (lacking.fewer(ASKS[0], 2), lacking.fewer(ASKS[0], 1)) == (False, True)
    lacking.came(ASKS[0], 1)
    assert not lacking.fewer(ASKS[0], 1)
    lacking.came(ASKS[0], None)
    assert lacking.fewer(ASKS[0], 0)


def test_what_an_answer_lacks() -> None:
    question = exchange_pb2.Question()
    assert [lacks(partly(question, *away)) for away in ((), AWAY, BOTH)] == [0, 1, 2]
    assert lacks(exchange_pb2.Findings(partial=True)) == 1


# in runs


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.roster.lacking.WAITS", Backoff(first_s=0.001, longest_s=0.004, least=0.5))


@pytest.fixture
def world(tmp_path: Path, soon: None) -> World:
    return World(tmp_path, departments_s=1.0)


Said = Callable[[str, exchange_pb2.Question], exchange_pb2.Findings | WuganError]


def away_at(member: str, *asked: int, without: tuple[int, ...] = AWAY) -> Said:
    """Departments of a member are away at these of its questions, counted from 0."""
    seen = 0

    def reply(of: str, question: exchange_pb2.Question) -> exchange_pb2.Findings:
        nonlocal seen
        if of != member:
            return partly(question)
        seen += 1
        return partly(question, *(without if seen - 1 in asked else ()))

    return reply


def chunks_asked(world: World) -> list[str]:
    """First number of each question to B."""
    return [numbers[0] for member, numbers in world.members.asked if member == B.member_id]


async def test_a_department_that_was_away_for_a_moment_is_asked_again_and_only_where_it_is_missing(
    world: World,
) -> None:
    world.members.reply = away_at(B.member_id, 0, 2)
    data = roster(*(line(serial, f"{B.region};{C.region}" if serial < 5 else B.region) for serial in range(40)))
    async with world.running():
        kept = await world.done(data)
        people = (await world.tables(kept))["people"]
    assert people["status"].to_list() == [STRONG] * 40
    assert not people["partial"].any()
    first = [number(serial) for serial in (0, 10, 20, 30)]
    assert chunks_asked(world) == [*first, first[0], first[2]]
    assert [member for member, _ in world.members.asked].count(C.member_id) == 1
    assert kept.ended is not None
    _, provinces = figures_from(kept.ended.figures)
    assert provinces[B.member_id] == Province(4, 4, 0, 0, lacking=0, again=2)


async def test_what_stays_missing_is_told_for_every_row_and_of_the_province(world: World) -> None:
    world.members.reply = away_at(B.member_id, *range(100), without=BOTH)
    async with world.running():
        kept = await world.done(roster(*(line(serial) for serial in range(15))))
        people = (await world.tables(kept))["people"]
    silent = f"{B.member_id}/{v.DEPARTMENT_CIVIL_AFFAIRS};{B.member_id}/{v.DEPARTMENT_BANKS}"
    assert people["silent"].to_list() == [silent] * 15
    assert people["partial"].all()
    assert kept.ended is not None
    province = figures_from(kept.ended.figures)[1][B.member_id]
    assert (province.lacking, province.answered) == (2, 2)
    assert 0 < province.again <= 2 * MOST_TRIES
    assert len(chunks_asked(world)) == 2 + province.again


async def test_an_answer_that_lacks_fewer_counts_and_one_that_fails_takes_nothing_away(world: World) -> None:
    silent = PartnerError("away", "无法连接", reason=words.REFUSAL_REASON_PARTNER_UNAVAILABLE, retryable=True)
    said: list[Any] = [silent, AWAY, silent, BOTH]
    ever = BOTH

    def reply(_: str, question: exchange_pb2.Question) -> exchange_pb2.Findings | PartnerError:
        what = said.pop() if said else ever
        return what if isinstance(what, PartnerError) else partly(question, *what)

    world.members.reply = reply
    async with world.running():
        people = (await world.tables(await world.done(roster(line(1)))))["people"]
    assert people["silent"].to_list() == [f"{B.member_id}/{AWAY[0]}"]


async def test_moves_that_the_whole_answer_tells_of_are_followed(world: World) -> None:
    plain = away_at(B.member_id, 0)

    def reply(member: str, question: exchange_pb2.Question) -> exchange_pb2.Findings | WuganError:
        found = plain(member, question)
        whole = isinstance(found, exchange_pb2.Findings) and not found.partial
        return moved(question, C.region) if whole and member == B.member_id else found

    world.members.reply = reply
    async with world.running():
        await world.done(roster(line(1)))
    assert [member for member, _ in world.members.asked] == [B.member_id, B.member_id, C.member_id]


async def test_it_ends_at_the_deadline_with_what_there_is(world: World) -> None:
    def reply(_: str, question: exchange_pb2.Question) -> exchange_pb2.Findings:
        world.clock.advance(10.0)
        return partly(question, *AWAY)

    world.members.reply = reply
    async with world.running():
        kept = await world.done(roster(line(1)), deadline_s=5)
        people = (await world.tables(kept))["people"]
    assert people["partial"].to_list() == [True]
    assert len(world.members.asked) == 1


@pytest.mark.parametrize("back", [True, False])
async def test_wherever_a_run_is_broken_off_it_comes_to_the_same_and_nobody_is_asked_about_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, soon: None, back: bool
) -> None:
    """Every write fails in turn, as in a crash before it; the run begins again from what is on the disk."""
    data = roster(*(line(serial) for serial in range(25)))
    answered: set[str] = set()
    twice: list[str] = []

    def reply(_: str, question: exchange_pb2.Question) -> exchange_pb2.Findings:
        first = question.subjects.id_number[0]
        found = partly(question, *AWAY) if first == number(10) and not (back and first in seen) else partly(question)
        seen.add(first)
        return found

    whole, seen = World(tmp_path / "whole", reply, departments_s=0.02), set[str]()
    async with whole.running():
        wanted = (await whole.tables(await whole.done(data)))["people"]
    assert wanted["partial"].sum() == (0 if back else 10)
    world, seen = World(tmp_path / "cut", reply, departments_s=0.02), set()
    async with world.running():
        pass
    kept = await world.submit(data)
    write_part, remove_part = PartFolder.write, PartFolder.remove
    writes = fail_at = 0

    def failing(self: PartFolder, name: str, plaintext: bytes) -> int:
        nonlocal writes
        writes += 1
        if writes == fail_at:
            raise StoreError("no room", "空间不足", retryable=False)
        done = write_part(self, name, plaintext)
        if name.startswith("answer-"):
            twice.extend({name} & answered)
            answered.add(name)
        return done

    def failing_too(self: PartFolder, name: str) -> None:
        nonlocal writes
        writes += 1
        if writes == fail_at:
            raise StoreError("no room", "空间不足", retryable=False)
        remove_part(self, name)

    for attempt in range(1, 60):
        writes, fail_at = 0, attempt
        with monkeypatch.context() as patched:
            patched.setattr(PartFolder, "write", failing)
            patched.setattr(PartFolder, "remove", failing_too)
            try:
                await world.resumed(kept)
            except StoreError:
                world.pool.shutdown()  # a thread that was writing comes to its end, as none does after a crash
                world.pool = ThreadPoolExecutor(2)
                continue
        break
    else:
        pytest.fail("the run never came to its end")
    assert fail_at > 4
    assert not twice, "what was answered was asked again"
    async with world.running() as rosters:
        again = rosters.find(kept.submitted.unit, kept.submitted.run_id)
        await again.over.wait()
        assert (await world.tables(again))["people"].equals(wanted)
