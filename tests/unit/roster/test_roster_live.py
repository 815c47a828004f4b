"""Live runs: what they take over, whom they ask again, and that it comes to what a whole run would have found."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from running_world import A, B, C, World, findings, line, roster

from gateway.errors import RefusedError
from gateway.exchange.question import MAX_NUMBER
from gateway.roster.ledger import Places
from gateway.roster.matching import Plan
from gateway.roster.pieces import matched, pieces_of, steps
from gateway.roster.run import CANCELLED
from gateway.roster.shelf import Kept
from tests.unit.adapters.adapters_world import number
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

UNKNOWN = words.SURVIVAL_STATUS_UNKNOWN
NAMES = [str(serial) for serial in range(1, 40)]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def first(world: World, data: bytes, **changed: Any) -> Kept:
    kept = await world.done(data, live=True, **changed)
    world.asked()
    return kept


async def after(world: World, before: Kept, data: bytes, **changed: Any) -> Kept:
    return await world.done(data, continues=before.submitted.run_id, **changed)


async def only_new(world: World, before: Kept, old: bytes, new: bytes) -> Kept:
    """Hand in what is new of a file."""
    theirs, ours = pieces_of([old]), pieces_of([new])
    assert theirs is not None
    assert ours is not None
    made_of = steps(ours.sizes, matched(ours, theirs))
    own = b"".join(new[step.start : step.start + step.amount] for step in made_of if not step.copied)
    assert len(own) < len(new)
    return await world.done(own, made_of=made_of, size=len(new), sha256=ours.root, continues=before.submitted.run_id)


def lines(*serials: int) -> list[str]:
    return [line(serial) for serial in serials]


async def test_nobody_is_asked_where_nothing_changed(world: World) -> None:
    data = roster(*lines(*range(1, 31)))
    async with world.running():
        one = await first(world, data)
        two = await after(world, one, data)
        three = await only_new(world, two, data, data)
        assert world.asked() == {}
        assert (await world.tables(three))["people"].equals((await world.tables(one))["people"])
        assert (await world.tables(three, only_changed=True))["people"].height == 0


async def test_a_row_that_changed_is_asked_about_and_no_other(world: World) -> None:
    rows = lines(*range(1, 31))
    old, rows[7] = roster(*rows), line(8, more="4000.00,2026-05,0")
    async with world.running():
        one = await first(world, old)
        two = await only_new(world, one, old, roster(*rows))
        assert world.asked() == {B.member_id: [number(8)]}
        tables = await world.tables(two)
    assert tables["people"]["row"].to_list() == list(range(1, 31))
    assert tables["people"]["monthly_fen"][7] == 400_000
    chunks = tables["people"]["chunk"].to_list()
    assert chunks[7] == 3
    assert set(chunks) == {0, 1, 2, 3} == set(tables["messages"]["chunk"].to_list())


async def test_whoever_may_not_be_relied_on_any_more_is_asked_about_again(world: World) -> None:
    def reply(_: str, question: exchange_pb2.Question) -> exchange_pb2.Findings:
        made = findings(question)
        for at, who in enumerate(question.subjects.id_number):
            made.valid_until_on[at] = question.as_of_on + (0 if who == number(2) else 20)
        return made

    world.members.reply = reply
    data = roster(*lines(1, 2, 3))
    async with world.running():
        one = await first(world, data)
        one = await after(world, one, data)
        assert world.asked() == {}
        world.clock.advance(86_400)
        two = await after(world, one, data)
        assert world.asked() == {B.member_id: [number(2)]}
        world.clock.advance(19 * 86_400)
        three = await after(world, two, data)
        assert world.asked() == {B.member_id: [number(2)]}
        world.clock.advance(86_400)
        await after(world, three, data)
        assert world.asked() == {B.member_id: [number(1), number(2), number(3)]}


async def test_people_of_whom_notices_came_are_asked_about_again(world: World) -> None:
    data = roster(*lines(1, 2, 3))
    world.news.people = [number(1)]  # before the first run: that has asked
    async with world.running():
        one = await first(world, data)
        world.news.people += [number(3), number(9), "A" * MAX_NUMBER]
        two = await after(world, one, data)
        assert world.asked() == {B.member_id: [number(3)]}
        await after(world, two, data)
        assert world.asked() == {}


async def test_incomplete_answers_are_asked_for_again(world: World) -> None:
    refused = RefusedError("no", "否", reason=words.REFUSAL_REASON_MEMBER_NOT_PERMITTED)
    world.members.reply = lambda member, question: refused if member == C.member_id else findings(question)
    data = roster(line(1), line(2, f"{B.region};{C.region}"), line(3, C.region))
    async with world.running():
        one = await first(world, data)
        world.members.reply = lambda _, question: findings(question)
        two = await after(world, one, data)
        assert world.asked() == {B.member_id: [number(2)], C.member_id: [number(2), number(3)]}
        assert (await world.tables(two))["people"]["partial"].to_list() == [False] * 3


async def test_places_that_get_a_province_are_asked_about(world: World) -> None:
    world.parties = (A, B)
    data = roster(line(1), line(2, C.region))
    async with world.running():
        one = await first(world, data)
        two = await after(world, one, data)
        assert world.asked() == {}
    world.parties = (A, B, C)
    async with world.running():
        await after(world, two, data)
        assert world.asked() == {C.member_id: [number(2)]}


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.lists(st.tuples(st.integers(1, 14), st.integers(0, 3)), max_size=16), min_size=2, max_size=4),
    st.booleans(),
)
def test_it_comes_to_what_a_whole_run_finds(nights: list[list[tuple[int, int]]], whole: bool) -> None:
    """Any rows, twice the same people and wrong ones among them, on any nights."""
    asyncio.run(_nights(nights, whole=whole))


def _row(serial: int, kind: int) -> str:
    if kind == 3:
        return line(serial).replace(number(serial), number(serial)[:-1] + "?")
    return line(serial, (B.region, C.region, 990000)[kind], f"{kind}00.00,2026-05,0")


async def _nights(nights: list[list[tuple[int, int]]], *, whole: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), chunk_rows=3)
        async with world.running():
            before: Kept | None = None
            old = b""
            for night in nights:
                data = roster(*(_row(*each) for each in night))
                if before is None or whole:
                    continued = {"continues": before.submitted.run_id} if before is not None else {"live": True}
                    kept = await world.done(data, **continued)
                else:
                    theirs = pieces_of([old])
                    ours = pieces_of([data])
                    assert theirs is not None
                    assert ours is not None
                    made_of = steps(ours.sizes, matched(ours, theirs))
                    own = b"".join(data[step.start : step.start + step.amount] for step in made_of if not step.copied)
                    continued = {"continues": before.submitted.run_id, "size": len(data), "sha256": ours.root}
                    kept = await world.done(own, made_of=made_of, **continued)
                before, old = kept, data
                found = await world.tables(kept)
                wanted = await world.tables(await world.done(data))
                _same(found, wanted)


def _same(found: dict[str, pl.DataFrame], wanted: dict[str, pl.DataFrame]) -> None:
    """The same rows are answered and wrong, with the same results; who stands twice may be either of both."""
    people = [tables["people"].drop("chunk") for tables in (found, wanted)]
    ours, theirs = (set(each.drop("row").iter_rows()) for each in people)
    by_person = [{(row[0], row[2]) for row in each} for each in (ours, theirs)]
    assert by_person[0] == by_person[1]
    assert people[0].height == people[1].height
    rows = [set(tables["people"]["row"]) | set(tables["rejected"]["row"]) for tables in (found, wanted)]
    assert rows[0] == rows[1]
    assert found["people"]["row"].is_sorted()
    assert found["rejected"]["row"].n_unique() == wanted["rejected"]["row"].n_unique()


@pytest.mark.parametrize("changed", [{"purpose": 2}, {"benefit": 1}, {"ask_about_home": True}, {"as_of": ""}])
async def test_another_question_does_not_go_on_from_it(world: World, changed: dict[str, Any]) -> None:
    data = roster(*lines(1))
    async with world.running():
        one = await first(world, data)
        if changed == {"as_of": ""}:
            await after(world, one, data)
            return
        with pytest.raises(RefusedError) as refused:
            await after(world, one, data, **changed)
        assert refused.value.field == "continues"


async def test_what_is_not_live_or_not_there_cannot_be_gone_on_from(world: World) -> None:
    data = roster(*lines(1))
    async with world.running():
        for before in ((await world.done(data)).submitted.run_id, b"x" * 16):
            with pytest.raises(RefusedError) as refused:
                await world.submit(data, continues=before)
            assert refused.value.field == "continues"


async def test_a_composition_that_does_not_come_to_the_file_is_refused(world: World) -> None:
    rows = lines(*range(1, 200))
    old, new = roster(*rows), roster(*rows[:50], *rows[60:])
    async with world.running():
        one = await first(world, old)
        theirs, ours = pieces_of([old]), pieces_of([new])
        assert theirs is not None
        assert ours is not None
        made_of = steps(ours.sizes, matched(ours, theirs))
        own = b"".join(new[step.start : step.start + step.amount] for step in made_of if not step.copied)
        wanted: dict[str, Any] = {"continues": one.submitted.run_id, "size": len(new), "sha256": ours.root}
        for wrong in (
            {"sha256": bytes(32)},
            {"size": len(new) + 1},
            {"made_of": made_of[1:]},
            {"made_of": [*made_of, made_of[0]]},
            {"made_of": [made_of[0]._replace(amount=10_000), *made_of[1:]]},
            {"continues": b""},
        ):
            with pytest.raises(RefusedError) as refused:
                await world.submit(own, **{"made_of": made_of, **wanted, **wrong})
            assert refused.value.field in ("continues", "data")
        assert len(world.parts.folders()) == 1
        assert (await world.done(own, made_of=made_of, **wanted)).ended is not None


async def test_runs_that_others_rest_on_are_kept(world: World) -> None:
    data = roster(*lines(1, 2))
    async with world.running() as rosters:
        one = await first(world, data)
        two = await after(world, one, roster(*lines(1, 2, 3)))
        with pytest.raises(RefusedError):
            await rosters.cancel("110100", one.submitted.run_id, delete=True)
        await rosters.cancel("110100", two.submitted.run_id, delete=True)
        await rosters.cancel("110100", one.submitted.run_id, delete=True)
    assert world.parts.folders() == []


async def test_a_live_run_that_was_cancelled_is_not_gone_on_from(world: World) -> None:
    data = roster(*lines(1))
    async with world.running() as rosters:
        one = await first(world, data)
        two = await world.submit(roster(*lines(2)), continues=one.submitted.run_id)
        await rosters.cancel("110100", two.submitted.run_id, delete=False)
        if two.ended is not None and two.ended.state == CANCELLED:
            with pytest.raises(RefusedError):
                await after(world, two, data)
        await after(world, one, data)


RUNS = st.lists(st.tuples(st.integers(1, 5), st.booleans(), st.integers(0, 3)), max_size=12)


@given(RUNS)
def test_places_come_back_as_they_were(runs: list[tuple[int, bool, int]]) -> None:
    count = sum(length for length, _, _ in runs)
    source = np.concatenate([np.zeros(0), *(np.full(length, which) for length, _, which in runs)]).astype(np.uint16)
    at = np.arange(count, dtype=np.int32)
    at += np.concatenate([np.zeros(0), *(np.full(length, 7 * jump) for length, jump, _ in runs)]).astype(np.int32)
    row = np.cumsum(np.ones(count) + np.arange(count) % 3).astype(np.int32)
    places = Places(["a", "b", "c", "d"], row, source, at, {"notices": 3})
    back = Places.from_bytes(places.to_bytes())
    assert (back.sources, back.about) == (places.sources, places.about)
    for name in ("row", "source", "at"):
        assert getattr(back, name).tolist() == getattr(places, name).tolist()


@given(st.lists(st.tuples(st.integers(-1, 30), st.integers(0, 3)), max_size=40))
def test_plans_come_back_as_they_were(rows: list[tuple[int, int]]) -> None:
    old = np.array([each for each, _ in rows], np.int32)
    what = np.array([each for _, each in rows], np.uint8)
    plan = Plan(np.arange(1, len(rows) + 1, dtype=np.int32), old, what, ["a"], 2, {"notices": 1})
    back = Plan.from_bytes(plan.to_bytes())
    assert (back.header, back.changed, back.about) == (plan.header, plan.changed, plan.about)
    for name in ("row", "old", "what"):
        assert getattr(back, name).tolist() == getattr(plan, name).tolist()
