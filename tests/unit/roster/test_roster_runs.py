"""Runs: who is asked where, what is made of the answers, and that a run goes on where it was."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running_world import TODAY, UNIT, A, B, C, World, findings, line, roster

from gateway.errors import AccessError, PartnerError, RefusedError
from gateway.resilience.backoff import Backoff
from gateway.roster import rosters
from gateway.roster.progress import Province
from gateway.roster.run import FAILED
from gateway.roster.shelf import figures_from
from gateway.store.jumps import SETTLE_S, Jumps
from tests.unit.adapters.adapters_world import number
from tests.unit.post.post_world import Jumping
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

STRONG, WEAK = words.SURVIVAL_STATUS_ALIVE_STRONG, words.SURVIVAL_STATUS_ALIVE_WEAK
DECEASED, UNKNOWN = words.SURVIVAL_STATUS_DECEASED, words.SURVIVAL_STATUS_UNKNOWN


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_each_is_asked_about_where_the_file_says(world: World) -> None:
    async with world.running():
        await world.done(roster(line(1), line(2, C.region), line(3, f"{B.region};{C.region}"), line(4, "")))
    assert world.asked() == {
        B.member_id: [number(1), number(3), number(4)],
        C.member_id: [number(2), number(3), number(4)],
    }


async def test_people_at_home_are_told_and_nobody_is_asked_unless_wanted(world: World) -> None:
    data = roster(line(1, A.region), line(2))
    async with world.running():
        people = (await world.tables(await world.done(data)))["people"]
        assert people["refusal"].to_list() == [words.REFUSAL_REASON_NOT_SERVED, 0]
        assert world.asked() == {B.member_id: [number(2)]}
        wanted = (await world.tables(await world.done(data, ask_about_home=True)))["people"]
        assert wanted["refusal"].to_list() == [0, 0]
    assert world.asked()[C.member_id] == [number(1)]


async def test_the_answers_of_several_provinces_are_merged(world: World) -> None:
    def reply(member: str, question: exchange_pb2.Question) -> exchange_pb2.Findings:
        return findings(question, DECEASED, decided_on=[TODAY - 100]) if member == C.member_id else findings(question)

    world.members.reply = reply
    async with world.running():
        tables = await world.tables(await world.done(roster(line(1, f"{B.region};{C.region}"))))
    assert tables["people"]["status"].to_list() == [words.SURVIVAL_STATUS_CONFLICT]
    assert tables["people"]["members"].to_list() == [f"{B.member_id};{C.member_id}"]
    assert "MEMBERS_DISAGREE" in tables["reasons"]["name"].to_list()
    assert tables["messages"]["member"].to_list() == [B.member_id, C.member_id]


async def test_what_was_paid_too_much_follows_from_death_and_last_payment(world: World) -> None:
    died_on = int(np.datetime64("2026-01-31").astype(int))
    world.members.reply = lambda _, question: findings(question, DECEASED, decided_on=[died_on])
    async with world.running():
        tables = await world.tables(await world.done(roster(line(1, more="3500.50,2026-05,100.25"))))
    person = tables["people"].row(0, named=True)
    assert (person["overpaid_months"], person["overpaid_gross_fen"]) == (4, 4 * 350_050)
    assert (person["overpaid_offset_fen"], person["overpaid_net_fen"]) == (10_025, 4 * 350_050 - 10_025)
    assert person["certification"] == words.CERTIFICATION_STATUS_STOP_PROPOSED


def moved(question: exchange_pb2.Question, to: int) -> exchange_pb2.Findings:
    """Everybody moved."""
    made = findings(question, WEAK, flags=[1 << words.ENTITLEMENT_FLAG_MOVED] * len(question.subjects.id_number))
    for subject in range(len(made.status)):
        made.reasons.subject.append(subject)
        made.reasons.code.append(1)
        for name in ("department", "kind", "on"):
            getattr(made.reasons, name).append(0)
        made.reasons.number.append(to)
    made.reason_texts.add(code=1, name="MOVED", zh="迁", en="moved")
    return made


async def test_whoever_moved_is_asked_about_where_they_went(world: World) -> None:
    def reply(member: str, question: exchange_pb2.Question) -> exchange_pb2.Findings:
        return moved(question, C.region) if member == B.member_id else findings(question)

    world.members.reply = reply
    async with world.running():
        tables = await world.tables(await world.done(roster(line(1), line(2, C.region), line(3))))
    assert world.asked() == {B.member_id: [number(1), number(3)], C.member_id: [number(2), number(1), number(3)]}
    assert tables["people"]["status"].to_list() == [STRONG] * 3
    assert tables["people"]["members"].to_list() == [
        f"{B.member_id};{C.member_id}", C.member_id, f"{B.member_id};{C.member_id}"
    ]  # fmt: skip
    flags = tables["people"]["flags"].to_list()
    assert [bool(each >> words.ENTITLEMENT_FLAG_MOVED & 1) for each in flags] == [True, False, True]


async def test_a_move_to_where_one_was_asked_already_or_that_nobody_serves_asks_nobody(world: World) -> None:
    for to in (B.region, A.region, 650000):
        world.members.reply = lambda _, question, to=to: moved(question, to)
        async with world.running():
            await world.done(roster(line(1)))
        assert world.asked() == {B.member_id: [number(1)]}


async def test_moved_people_are_not_asked_about_twice_after_a_restart(world: World) -> None:
    silent = PartnerError("away", "无法连接", reason=words.REFUSAL_REASON_PARTNER_UNAVAILABLE, retryable=True)

    def reply(member: str, question: exchange_pb2.Question) -> exchange_pb2.Findings | PartnerError:
        return moved(question, C.region) if member == B.member_id else silent

    world.members.reply = reply
    async with world.running():
        kept = await world.submit(roster(line(1)))
        while C.member_id not in dict(world.members.asked):
            await kept.changed.wait()
    world.members.asked.clear()
    world.members.reply = lambda _, question: findings(question)
    async with world.running() as rosters:
        again = rosters.find(UNIT, kept.submitted.run_id)
        await again.over.wait()
        assert world.asked() == {C.member_id: [number(1)]}
        tables = await world.tables(again)
    assert tables["messages"]["member"].to_list() == [B.member_id, C.member_id]


async def test_a_refusal_for_good_is_told_and_not_asked_again(world: World) -> None:
    refused = RefusedError("no grant", "未获授权", reason=words.REFUSAL_REASON_MEMBER_NOT_PERMITTED)
    world.members.reply = lambda member, question: refused if member == C.member_id else findings(question)
    async with world.running():
        kept = await world.done(roster(line(1, C.region), line(2, f"{B.region};{C.region}")))
        people = (await world.tables(kept))["people"]
    assert people["status"].to_list() == [0, STRONG]
    assert people["refusal"].to_list() == [words.REFUSAL_REASON_MEMBER_NOT_PERMITTED, 0]
    assert people["silent"].to_list() == [C.member_id, C.member_id]
    assert people["partial"].to_list() == [True, True]
    assert [member for member, _ in world.members.asked].count(C.member_id) == 1


async def test_results_are_the_same_wherever_a_run_was_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every write fails in turn, as in a crash before it; the run begins again from what is on the disk."""
    data = roster(*(line(serial, f"{B.region};{C.region}" if serial % 3 else B.region) for serial in range(1, 26)))

    def reply(member: str, question: exchange_pb2.Question) -> exchange_pb2.Findings:
        return moved(question, C.region) if member == B.member_id else findings(question)

    whole = World(tmp_path / "whole", reply)
    async with whole.running():
        wanted = await whole.tables(await whole.done(data))
    world = World(tmp_path / "cut", reply)
    async with world.running():
        pass
    kept = await world.submit(data)
    fail_at = await world.resumed_after_each_write(kept, monkeypatch, 60)
    assert fail_at > 5
    questions = [(member, tuple(numbers)) for member, numbers in world.members.asked]
    # A question whose answer could not be written is asked again, no other.
    assert len(questions) - len(set(questions)) <= fail_at
    async with world.running() as rosters:
        again = rosters.find(UNIT, kept.submitted.run_id)
        await again.over.wait()
        found = await world.tables(again)
    for name, table in wanted.items():
        if name != "messages":
            assert table.equals(found[name]), name


async def test_a_file_that_is_no_roster_ends_in_words(world: World) -> None:
    async with world.running():
        kept = await world.submit("姓名,险种\n某人,工伤\n".encode())
        await kept.over.wait()
    assert kept.state == FAILED
    assert kept.ended is not None
    assert "id_number" in kept.ended.en
    assert "证件号码" in kept.ended.zh


async def test_what_was_cut_off_on_the_way_leaves_nothing(world: World, tmp_path: Path) -> None:
    async with world.running():
        for changed in ({"size": 10}, {"size": 999}, {"sha256": bytes(32)}):
            with pytest.raises(RefusedError):
                await world.submit(roster(line(1)), **changed)
        assert world.parts.folders() == []
        assert world.rosters.list(UNIT, 10) == []


async def test_a_province_that_holds_a_roster_back_is_told_of_meanwhile_and_in_the_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.roster.running.BACKOFF", Backoff(first_s=0.001, longest_s=0.001, least=0.5))
    throttled = AccessError(
        "too many", "人数过多", reason=words.REFUSAL_REASON_QUOTA_EXCEEDED, retryable=True, retry_after_ms=40
    )
    silent = PartnerError("away", "无法连接", reason=words.REFUSAL_REASON_PARTNER_UNAVAILABLE, retryable=True)
    said: list[AccessError | PartnerError] = [throttled, silent, throttled]
    world.members.reply = lambda _, question: said.pop() if said else findings(question)
    meanwhile = []
    async with world.running():
        kept = await world.submit(roster(line(1)))
        while kept.ended is None:
            if kept.running is not None:
                meanwhile += [standing.province for standing in kept.running.standings.values()]
            await kept.changed.wait()
    assert any(province.held_back == 1 and province.answered == 0 for province in meanwhile)
    _, provinces = figures_from(kept.ended.figures)
    assert provinces == {B.member_id: Province(1, 1, 0, 0, 2, 80, "人数过多", "too many")}


def test_what_an_earlier_version_kept_of_a_province_is_read() -> None:
    _, provinces = figures_from({"provinces": {B.member_id: [3, 2, 1, 0]}})
    assert provinces == {B.member_id: Province(3, 2, 1, 0)}


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"run_id": b"short"}, "run_id"),
        ({"sha256": b"short"}, "sha256"),
        ({"official": " "}, "official"),
        ({"benefit": 99}, "benefit"),
        ({"evidence_limit": 101}, "evidence_limit"),
        ({"format": 9}, "format"),
        ({"continues": b"x" * 16}, "continues"),
        ({"size": 1 << 40}, "size"),
        ({"legal_basis": ""}, "legal_basis"),
    ],
)
async def test_a_wrong_header_is_refused_and_says_what(world: World, changed: dict[str, Any], field: str) -> None:
    with pytest.raises(RefusedError) as refused:
        await world.submit(roster(line(1)), **changed)
    assert field in (refused.value.field or "")


async def test_a_unit_sees_its_own_runs_only(world: World) -> None:
    async with world.running() as rosters:
        kept = await world.done(roster(line(1)))
        assert rosters.find(UNIT, kept.submitted.run_id) is kept
        with pytest.raises(RefusedError):
            rosters.find("110200", kept.submitted.run_id)
        assert rosters.list("110200", 10) == []


async def test_a_run_is_forgotten_when_its_time_is_over(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rosters, "_TIDY_S", 0.001)
    async with world.running():
        await world.done(roster(line(1)))
    world.clock.advance(91 * 86_400)
    async with world.running() as running:
        world.clock.advance(SETTLE_S)
        for _ in range(1_000):
            if not running.list(UNIT, 10):
                break
            await asyncio.sleep(0.001)
        assert running.list(UNIT, 10) == []
    assert world.parts.folders() == []


async def test_no_run_is_forgotten_because_a_clock_is_ahead_for_a_moment(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rosters, "_TIDY_S", 0.001)
    world.clock = clock = Jumping(world.clock.now_ms())
    looks = 0
    at_least_ms = Jumps.at_least_ms

    def looked(self: Jumps) -> int:
        nonlocal looks
        looks += 1
        return at_least_ms(self)

    monkeypatch.setattr(Jumps, "at_least_ms", looked)
    async with world.running() as running:
        await world.done(roster(line(1)))
        clock.advance(SETTLE_S)
        clock.ahead_ms = 365 * 86_400_000
        before = looks
        for _ in range(1_000):
            if looks > before + 3:
                break
            await asyncio.sleep(0.001)
        assert looks > before + 3
        assert len(running.list(UNIT, 10)) == 1
