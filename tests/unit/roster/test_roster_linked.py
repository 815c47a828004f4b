"""Numbers that one member links to people of a roster: the others are asked under these, too, and nobody is certified
where they were not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from running_world import TODAY, B, C, Members, World, findings, line, roster

from gateway.errors import RefusedError, WuganError
from gateway.federation.kept import MAX_LINKED
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
        self.dead = {member.member_id: set(numbers) for member, numbers in (dead or {C: [NEW]}).items()}
        self.asked: list[tuple[str, list[tuple[str, ...]]]] = []
        self.more: dict[str, dict[str, Any]] = {}
        """By member: what else it says."""
        self.refusing: set[str] = set()
        """Members that refuse questions with further numbers."""

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
        told.last_trace_on[:] = [TODAY - 50] * len(people)
        links = self.links.get(member, {})
        for at, each in enumerate(people):
            for other in links.get(each[0], ()):
                told.links.subject.append(at)
                told.links.id_number.append(other)
                told.links.since_on.append(0)
                told.flags[at] |= LINKED
        told.MergeFrom(exchange_pb2.Findings(**self.more.get(member, {})))
        return told

    def asked_of(self, member: Party) -> list[list[tuple[str, ...]]]:
        return [people for who, people in self.asked if who == member.member_id]


def further_of(question: exchange_pb2.Question) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for at, other in zip(question.subjects.alias_subject, question.subjects.alias_id_number, strict=True):
        found.setdefault(at, []).append(other)
    return found


async def run(tmp_path: Path, provinces: Provinces, *rows: str, **settings: Any) -> dict[str, Any]:
    world = World(tmp_path, provinces, **settings)
    async with world.running():
        return await world.tables(await world.done(roster(*rows)))


def not_certified(tables: dict[str, Any], silent: str = C.member_id) -> None:
    """The first row is not certified for the numbers, and it is said why; nothing else changes."""
    people, reasons = tables["people"], tables["reasons"]
    assert people["status"][0] == STRONG
    assert (people["certification"][0], people["partial"][0], people["silent"][0]) == (NEEDS_FACE, True, silent)
    first = reasons.filter(reasons["row"] == people["row"][0]).row(0, named=True)
    assert (first["member"], first["name"]) == ("", "NOT_ASKED_UNDER_LINKED_NUMBERS")
    texts = tables["reason_texts"].filter(tables["reason_texts"]["name"] == first["name"])
    assert texts.height == 1
    assert "关联号码" in texts["zh"][0]
    assert "not certified" in texts["en"][0]


async def test_nobody_is_certified_who_was_not_asked_about_under_a_number_that_another_links(tmp_path: Path) -> None:
    provinces = Provinces()
    provinces.refusing = {C.member_id}
    tables = await run(tmp_path, provinces, line(1, BOTH), line(2, BOTH), line(3))
    not_certified(tables)
    assert tables["people"]["certification"].to_list()[1:] == [CERTIFIED] * 2
    assert tables["people"]["partial"].to_list()[1:] == [False] * 2
    assert tables["reasons"].filter(tables["reasons"]["name"] == "NOT_ASKED_UNDER_LINKED_NUMBERS").height == 1
