"""Numbers that one member links to people of a roster: the others are asked under these, too, and nobody is certified
where they were not."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from running_world import TODAY, UNIT, B, C, World, findings, line, roster

from gateway.errors import PartnerError, RefusedError, WuganError
from gateway.exchange.question import MAX_ALIASES
from gateway.federation.kept import MAX_LINKED
from gateway.roster.results.reasons import sentences
from tests.unit.adapters.adapters_world import number
from tests.unit.services.gateways_world import Party
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

STRONG, UNKNOWN = words.SURVIVAL_STATUS_ALIVE_STRONG, words.SURVIVAL_STATUS_UNKNOWN
DECEASED = words.SURVIVAL_STATUS_DECEASED
CERTIFIED, NEEDS_FACE = words.CERTIFICATION_STATUS_CERTIFIED, words.CERTIFICATION_STATUS_NEEDS_FACE
STOP = words.CERTIFICATION_STATUS_STOP_PROPOSED
LINKED = 1 << words.ENTITLEMENT_FLAG_IDENTITY_LINKED
BOTH = f"{B.region};{C.region}"
D = Party(420000)
OLD, NEW = number(1), number(101)
REFUSED = RefusedError("no grant", "未获授权", reason=words.REFUSAL_REASON_MEMBER_NOT_PERMITTED)


class Provinces:
    """Members that link numbers and know deaths; notes under which numbers they were asked about whom."""

    def __init__(
        self,
        links: Mapping[Party, Mapping[str, Sequence[str]]] | None = None,
        dead: Mapping[Party, Sequence[str]] | None = None,
    ) -> None:
        given = {B: {OLD: [NEW]}} if links is None else links
        self.links = {member.member_id: told for member, told in given.items()}
        gone = {C: [NEW]} if dead is None else dead
        self.dead = {member.member_id: set(numbers) for member, numbers in gone.items()}
        self.asked: list[tuple[str, list[tuple[str, ...]]]] = []
        self.more: dict[str, dict[str, Any]] = {}
        """By member: what else it says."""
        self.refusing: set[str] = set()
        """Members that refuse questions with further numbers."""
        self.silent: set[str] = set()
        """Members whose answers to these lack a department."""
        self.moved: dict[str, int] = {}
        """By number: where B says that the person moved."""
        self.seen_on = TODAY - 50

    def __call__(self, member: str, question: exchange_pb2.Question) -> exchange_pb2.Findings | WuganError:
        further = further_of(question)
        people = [(each, *further.get(at, ())) for at, each in enumerate(question.subjects.id_number)]
        self.asked.append((member, people))
        if further and member in self.refusing:
            return REFUSED
        gone = [bool(self.dead.get(member, set()) & set(each)) for each in people]
        told = findings(question)
        told.status[:] = [DECEASED if dead else STRONG for dead in gone]
        told.decided_on[:] = [TODAY - 40 if dead else 0 for dead in gone]
        told.last_trace_on[:] = [self.seen_on] * len(people)
        told.partial = bool(further) and member in self.silent
        links = self.links.get(member, {})
        for at, each in enumerate(people):
            for other in links.get(each[0], ()):
                told.links.subject.append(at)
                told.links.id_number.append(other)
                told.links.since_on.append(0)
                told.flags[at] |= LINKED
        for at, each in enumerate(people):
            if each[0] in self.moved and member == B.member_id:
                _move(told, at, self.moved[each[0]])
        told.MergeFrom(exchange_pb2.Findings(**self.more.get(member, {})))
        return told

    def asked_of(self, member: Party) -> list[list[tuple[str, ...]]]:
        return [people for who, people in self.asked if who == member.member_id]


def _move(told: exchange_pb2.Findings, at: int, to: int) -> None:
    told.flags[at] |= 1 << words.ENTITLEMENT_FLAG_MOVED
    told.reasons.subject.append(at)
    told.reasons.code.append(67)
    for column in (told.reasons.department, told.reasons.kind, told.reasons.on):
        column.append(0)
    told.reasons.number.append(to)
    if not told.reason_texts:
        told.reason_texts.add(code=67, name="MOVED", zh="迁", en="moved")


def further_of(question: exchange_pb2.Question) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for at, other in zip(question.subjects.alias_subject, question.subjects.alias_id_number, strict=True):
        found.setdefault(at, []).append(other)
    return found


async def run(tmp_path: Path, provinces: Provinces, *rows: str, **settings: Any) -> dict[str, Any]:
    world = World(tmp_path, provinces, **settings)
    world.parties = (*world.parties, D)
    async with world.running():
        return await world.tables(await world.done(roster(*rows)))


def not_certified(tables: dict[str, Any], silent: str = C.member_id) -> None:
    """The first row is not certified for the numbers, and it is said why; nothing else changes."""
    people, reasons = tables["people"], tables["reasons"]
    assert people["status"][0] == STRONG
    assert (people["certification"][0], people["partial"][0], people["silent"][0]) == (NEEDS_FACE, True, silent)
    first = reasons.filter(reasons["row"] == people["row"][0]).row(0, named=True)
    assert (first["member"], first["name"]) == ("", "NOT_ASKED_UNDER_LINKED_NUMBERS")
    for language, words_ in (("zh", "关联号码"), ("en", "not certified")):
        told = dict(sentences(reasons, tables["reason_texts"], language).rows())
        assert words_ in told[people["row"][0]]
        assert words_ not in told.get(people["row"][-1], "")


async def test_nobody_is_certified_who_was_not_asked_about_under_a_number_that_another_links(tmp_path: Path) -> None:
    provinces = Provinces()
    provinces.refusing = {C.member_id}
    tables = await run(tmp_path, provinces, line(1, BOTH), line(2, BOTH), line(3))
    not_certified(tables)
    assert tables["people"]["certification"].to_list()[1:] == [CERTIFIED] * 2
    assert tables["people"]["partial"].to_list()[1:] == [False] * 2
    assert tables["reasons"].filter(tables["reasons"]["name"] == "NOT_ASKED_UNDER_LINKED_NUMBERS").height == 1


async def test_a_death_under_a_number_that_only_another_member_links_is_found(tmp_path: Path) -> None:
    provinces = Provinces()
    tables = await run(tmp_path, provinces, line(2, BOTH), line(1, BOTH), line(3, C.region), line(4))
    people = tables["people"]
    assert people["status"].to_list() == [STRONG, DECEASED, STRONG, STRONG]
    assert people["certification"].to_list() == [CERTIFIED, STOP, CERTIFIED, CERTIFIED]
    assert people["partial"].to_list() == [False] * 4
    assert people["silent"].to_list() == [""] * 4
    assert people["members"][1] == f"{B.member_id};{C.member_id}"
    assert provinces.asked_of(B) == [[(number(2),), (OLD,), (number(4),)]]
    assert provinces.asked_of(C) == [[(number(2),), (OLD,), (number(3),)], [(OLD, NEW)]]
    assert tables["messages"]["member"].to_list() == [B.member_id, C.member_id, C.member_id]


async def test_where_nobody_is_linked_nobody_is_asked_twice(tmp_path: Path) -> None:
    for at, links in enumerate(({}, {B: {number(9): [NEW]}}, {B: {OLD: [NEW]}, C: {OLD: [NEW]}}, {B: {OLD: [OLD]}})):
        provinces = Provinces(links, {})
        tables = await run(tmp_path / str(at), provinces, line(1, BOTH), line(2, BOTH))
        assert tables["people"]["certification"].to_list() == [CERTIFIED] * 2
        assert [len(provinces.asked_of(member)) for member in (B, C)] == [1, 1]


async def test_a_number_that_the_file_has_is_asked_at_once_and_not_again(tmp_path: Path) -> None:
    provinces = Provinces()
    world = World(tmp_path, provinces)
    file = f"证件号码,姓名,险种,居住地,曾用号码\n{OLD},某人,企业职工基本养老保险,{BOTH},{NEW}\n".encode()
    async with world.running():
        tables = await world.tables(await world.done(file))
    assert provinces.asked_of(C) == [[(OLD, NEW)]]
    assert tables["people"]["status"].to_list() == [DECEASED]


async def test_each_member_is_asked_under_what_it_does_not_tell_itself(tmp_path: Path) -> None:
    one, two = number(102), number(103)
    provinces = Provinces({B: {OLD: [NEW, one]}, C: {OLD: [one, two]}}, {})
    tables = await run(tmp_path, provinces, line(1, f"{BOTH};{D.region}"))
    assert provinces.asked_of(B)[1:] == [[(OLD, two)]]
    assert provinces.asked_of(C)[1:] == [[(OLD, NEW)]]
    assert provinces.asked_of(D)[1:] == [[(OLD, *sorted((NEW, one, two)))]]
    assert tables["people"]["certification"].to_list() == [CERTIFIED]


async def test_nobody_is_certified_where_a_second_answer_links_what_others_were_not_asked_under(tmp_path: Path) -> None:
    provinces = Provinces()
    provinces.dead = {}

    def later(member: str, question: exchange_pb2.Question) -> exchange_pb2.Findings | WuganError:
        told = provinces(member, question)
        if further_of(question) and isinstance(told, exchange_pb2.Findings):
            told.links.subject.append(0)
            told.links.id_number.append(number(104))
            told.links.since_on.append(0)
        return told

    world = World(tmp_path, later)
    async with world.running():
        tables = await world.tables(await world.done(roster(line(1, BOTH), line(2, BOTH))))
    assert [len(provinces.asked_of(member)) for member in (B, C)] == [1, 2]
    not_certified(tables, B.member_id)


@pytest.mark.parametrize(
    ("told", "asked", "certified"),
    [
        ([number(each) for each in range(101, 101 + MAX_ALIASES)], MAX_ALIASES, True),
        ([number(each) for each in range(101, 102 + MAX_ALIASES)], MAX_ALIASES, False),
        ([OLD] * MAX_LINKED + [NEW], 0, False),
        (["X", "330702195001011230", " "], 0, True),
    ],
    ids=["as many as there is room for", "more", "more than are looked at", "no numbers"],
)
async def test_links_are_bounded_and_who_lacks_some_is_not_certified(
    tmp_path: Path, told: list[str], asked: int, certified: bool
) -> None:
    provinces = Provinces({B: {OLD: told}}, {})
    tables = await run(tmp_path, provinces, line(1, BOTH), line(2, BOTH))
    assert [len(each) - 1 for (each,) in provinces.asked_of(C)[1:]] == ([asked] if asked else [])
    if certified:
        assert tables["people"]["certification"].to_list() == [CERTIFIED] * 2
    else:
        not_certified(tables)


async def test_nothing_of_an_answer_in_identity_conflict_is_asked_of_others(tmp_path: Path) -> None:
    conflict = 1 << words.ENTITLEMENT_FLAG_IDENTITY_CONFLICT

    def reply(member: str, question: exchange_pb2.Question) -> exchange_pb2.Findings | WuganError:
        told = provinces(member, question)
        if member == B.member_id and isinstance(told, exchange_pb2.Findings):
            told.status[0], told.flags[0] = words.SURVIVAL_STATUS_CONFLICT, conflict
        return told

    provinces = Provinces()
    world = World(tmp_path, reply)
    async with world.running():
        tables = await world.tables(await world.done(roster(line(1, BOTH))))
    assert len(provinces.asked_of(C)) == 1
    assert tables["people"]["flags"].to_list() == [conflict]


async def test_whoever_moved_is_asked_about_under_the_numbers_at_once(tmp_path: Path) -> None:
    provinces = Provinces()
    provinces.moved = {OLD: C.region, number(2): C.region}
    tables = await run(tmp_path, provinces, line(1), line(2), line(3))
    assert provinces.asked_of(C) == [[(OLD, NEW), (number(2),)]]
    assert tables["people"]["status"].to_list() == [DECEASED, STRONG, STRONG]


async def test_what_the_province_of_the_destination_links_is_asked_of_the_one_that_was_left(tmp_path: Path) -> None:
    provinces = Provinces({C: {OLD: [NEW]}}, {B: [NEW]})
    provinces.moved = {OLD: C.region}
    tables = await run(tmp_path, provinces, line(1), line(2))
    assert provinces.asked_of(B) == [[(OLD,), (number(2),)], [(OLD, NEW)]]
    assert provinces.asked_of(C) == [[(OLD,)]]
    assert tables["people"]["status"].to_list() == [DECEASED, STRONG]


async def test_the_second_answer_takes_the_place_of_the_first(tmp_path: Path) -> None:
    """Also what it says of reasons and evidence: nothing of the first is left."""
    provinces = Provinces({B: {OLD: [NEW]}}, {})

    def reply(member: str, question: exchange_pb2.Question) -> exchange_pb2.Findings | WuganError:
        told = provinces(member, question)
        assert isinstance(told, exchange_pb2.Findings)
        if member == C.member_id:
            count = len(told.status)
            told.reasons.subject.extend(range(count))
            told.reasons.code.extend([60] * count)
            told.reasons.on.extend([TODAY - (20 if further_of(question) else 30)] * count)
            for column in (told.reasons.department, told.reasons.kind, told.reasons.number):
                column.extend([0] * count)
            told.reason_texts.add(code=60, name="REMARRIED", zh="再婚", en="remarried")
            told.evidence.subject.append(0)
            for name in ("kind", "department", "region", "available_on", "strength", "detail", "from_on", "until_on"):
                getattr(told.evidence, name).append(1)
            told.evidence.source_reference.append("second" if further_of(question) else "first")
            told.evidence.observed_on.append(TODAY)
            told.flags[0] |= 0 if further_of(question) else 1 << words.ENTITLEMENT_FLAG_REMARRIED
            told.valid_until_on[0] = TODAY + (10 if further_of(question) else 5)
        return told

    world = World(tmp_path, reply)
    async with world.running():
        tables = await world.tables(await world.done(roster(line(1, BOTH), line(2, BOTH))))
    one = tables["people"].row(0, named=True)
    assert (one["flags"], one["valid_until_on"]) == (LINKED, TODAY + 10)
    reasons = tables["reasons"].filter(tables["reasons"]["row"] == one["row"])
    assert reasons["on"].to_list() == [TODAY - 20]
    assert tables["evidence"].filter(tables["evidence"]["row"] == one["row"])["source_reference"].to_list() == [
        "second"
    ]
    assert tables["reasons"].filter(tables["reasons"]["row"] != one["row"])["on"].to_list() == [TODAY - 30]


async def test_a_second_answer_that_lacks_departments_hides_nothing_of_the_first(tmp_path: Path) -> None:
    """The department that is silent now may be the one that knew."""
    provinces = Provinces(dead={C: [OLD]})
    provinces.silent = {C.member_id}

    def reply(member: str, question: exchange_pb2.Question) -> exchange_pb2.Findings | WuganError:
        provinces.dead = {} if further_of(question) else {C.member_id: {OLD}}
        return provinces(member, question)

    world = World(tmp_path, reply)
    async with world.running():
        tables = await world.tables(await world.done(roster(line(1, BOTH))))
    assert tables["people"]["status"].to_list() == [DECEASED]
    assert tables["people"]["partial"].to_list() == [True]


async def test_one_whom_the_second_answer_refuses_is_not_certified(tmp_path: Path) -> None:
    provinces = Provinces({B: {OLD: [NEW], number(2): [number(102)]}}, {})

    def reply(member: str, question: exchange_pb2.Question) -> exchange_pb2.Findings | WuganError:
        told = provinces(member, question)
        if further_of(question) and isinstance(told, exchange_pb2.Findings):
            told.status[0] = told.flags[0] = 0
            told.refused.subject.append(0)
            told.refused.reason.append(words.REFUSAL_REASON_QUOTA_EXCEEDED)
        return told

    world = World(tmp_path, reply)
    async with world.running():
        tables = await world.tables(await world.done(roster(line(1, BOTH), line(2, BOTH))))
    not_certified(tables)
    assert tables["people"]["certification"].to_list() == [NEEDS_FACE, CERTIFIED]


async def test_a_live_roster_asks_again_who_was_not_asked_about_under_all_numbers(tmp_path: Path) -> None:
    provinces = Provinces()
    provinces.refusing = {C.member_id}
    world = World(tmp_path, provinces)
    data = roster(line(1, BOTH), line(2, BOTH))
    async with world.running():
        first = await world.done(data, live=True)
        provinces.refusing.clear()
        provinces.asked.clear()
        later = await world.done(data, live=True, continues=first.submitted.run_id)
        tables = await world.tables(later)
    assert provinces.asked_of(C) == [[(OLD,)], [(OLD, NEW)]]
    assert tables["people"]["status"].to_list() == [DECEASED, STRONG]


async def test_nobody_is_asked_twice_because_of_a_restart(tmp_path: Path) -> None:
    provinces = Provinces()
    away = PartnerError("away", "无法连接", reason=words.REFUSAL_REASON_PARTNER_UNAVAILABLE, retryable=True)

    def reply(member: str, question: exchange_pb2.Question) -> exchange_pb2.Findings | WuganError:
        told = provinces(member, question)
        return away if further_of(question) else told

    world = World(tmp_path, reply)
    async with world.running():
        kept = await world.submit(roster(line(1, BOTH), line(2, BOTH)))
        while [(OLD, NEW)] not in provinces.asked_of(C):
            await kept.changed.wait()
    ids: list[bytes] = []

    def back(member: str, question: exchange_pb2.Question) -> exchange_pb2.Findings | WuganError:
        ids.append(question.question_id)
        return provinces(member, question)

    provinces.asked.clear()
    world.members.reply = back
    async with world.running() as rosters:
        again = rosters.find(UNIT, kept.submitted.run_id)
        await again.over.wait()
        tables = await world.tables(again)
    assert provinces.asked == [(C.member_id, [(OLD, NEW)])]
    assert tables["people"]["status"].to_list() == [DECEASED, STRONG]


async def test_results_are_the_same_wherever_a_run_was_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every write fails in turn; the run begins again from what is on the disk."""
    links = {number(serial): [number(100 + serial)] for serial in range(1, 26, 4)}
    dead = [number(101), number(109)]
    data = roster(*(line(serial, BOTH if serial % 3 else B.region) for serial in range(1, 26)))

    def provinces() -> Provinces:
        made = Provinces({B: links}, {C: dead})
        made.moved = {number(9): C.region, number(12): C.region}
        return made

    whole = World(tmp_path / "whole", provinces())
    async with whole.running():
        wanted = await whole.tables(await whole.done(data))
    cut = provinces()
    world = World(tmp_path / "cut", cut)
    async with world.running():
        pass
    kept = await world.submit(data)
    fail_at = await world.resumed_after_each_write(kept, monkeypatch, 60)
    questions = [(member, tuple(people)) for member, people in cut.asked]
    assert len(questions) - len(set(questions)) <= fail_at
    async with world.running() as rosters:
        again = rosters.find(UNIT, kept.submitted.run_id)
        await again.over.wait()
        found = await world.tables(again)
    assert wanted["people"]["status"].to_list().count(DECEASED) == 2
    for name, table in wanted.items():
        if name != "messages":
            assert table.equals(found[name]), name


async def test_what_is_put_down_of_links_counts_whatever_is_thought_of_them_now(tmp_path: Path) -> None:
    """It may have been asked already, and a question's id stands for what was in it."""
    provinces = Provinces()
    world = World(tmp_path, provinces)
    async with world.running():
        pass
    kept = await world.submit(roster(line(1, BOTH), line(2, BOTH)))
    other = number(105)
    kept.folder.parts.write("links-000000", json.dumps({C.member_id: [[0, other]]}).encode())
    await world.resumed(kept)
    assert provinces.asked_of(C)[1:] == [[(OLD, other)]]
    async with world.running() as rosters:
        again = rosters.find(UNIT, kept.submitted.run_id)
        await again.over.wait()
        not_certified(await world.tables(again))


async def test_what_an_earlier_version_put_down_of_moves_is_read(tmp_path: Path) -> None:
    provinces = Provinces({}, {})
    provinces.moved = {OLD: C.region}
    world = World(tmp_path, provinces)
    async with world.running():
        pass
    kept = await world.submit(roster(line(1), line(2)))
    kept.folder.parts.write("moves-000000", json.dumps({C.member_id: [0]}).encode())
    await world.resumed(kept)
    assert provinces.asked_of(C) == [[(OLD,)]]
