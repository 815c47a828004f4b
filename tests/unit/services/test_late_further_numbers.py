"""Numbers that provinces link to a person, and checks that are left open: what is left asks under them, and nobody is
certified later where somebody was not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.post.post_world import until
from tests.unit.rules.rules_world import TODAY, civil, row
from tests.unit.services.gateways_world import ANHUI, ANNA, FUJIAN, NEW_ANNA, B, C, Party, answering, findings
from tests.unit.services.test_late_answers import World, world_in
from wugan.adapter.v1 import columns_pb2
from wugan.agency.v1 import agency_pb2
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

STRONG, SUSPECTED = words.SURVIVAL_STATUS_ALIVE_STRONG, words.SURVIVAL_STATUS_DECEASED_SUSPECTED
CERTIFIED, NEEDS_FACE = words.CERTIFICATION_STATUS_CERTIFIED, words.CERTIFICATION_STATUS_NEEDS_FACE
BOTH = [ANHUI, FUJIAN]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with world_in(tmp_path) as made:
        yield made


def alive(world: World, party: Party, *linked: str, refuses: bool = False, **more: Any) -> None:
    """A province that answers now: alive, and linking numbers; one that refuses is asked under no further ones."""

    def says(asked: exchange_pb2.Question) -> exchange_pb2.Answer:
        answer = exchange_pb2.Answer(context=asked.context)
        if refuses and asked.subjects.alias_id_number:
            answer.refusal.reason = words.REFUSAL_REASON_QUOTA_EXCEEDED
            answer.refusal.message_en, answer.refusal.message_zh = "enough for today", "今日额度已满"
            return answer
        zeros = [0] * len(linked)
        links = columns_pb2.LinkColumns(subject=zeros, id_number=linked, since_on=zeros)
        found = findings(STRONG, last_trace_on=[civil(60)], valid_until_on=[civil(TODAY)], links=links, **more)
        answer.findings.CopyFrom(found)
        return answer

    world.federation.at(party, answering(world.federation, party, says))


def lacking(response: agency_pb2.CheckResponse) -> list[str]:
    return [answer.member_id for answer in response.answers if answer.linked_unasked]


async def test_a_question_that_is_left_asks_under_the_numbers_that_others_linked_by_then(world: World) -> None:
    alive(world, C, NEW_ANNA)
    world.insurance.people = {NEW_ANNA: (row("DEATH_CERTIFICATE", 30),)}
    world.banks.people = {}
    now = await world.check(regions=BOTH)
    async with world.running():
        await until(lambda: world.told_of(1))
    later = await world.fetch(now.late_ticket)
    assert (later.status, later.partial, lacking(later)) == (SUSPECTED, False, [])


async def test_nobody_is_certified_on_what_was_not_asked_under_a_number_that_comes_late(world: World) -> None:
    alive(world, C)
    world.insurance.links = {ANNA: NEW_ANNA}
    now = await world.check(regions=BOTH)
    assert (now.proposal, lacking(now)) == (CERTIFIED, [])
    async with world.running():
        await until(lambda: world.told_of(1))
    later = await world.fetch(now.late_ticket)
    assert later.answers[0].late
    assert (later.status, later.proposal, later.partial) == (STRONG, NEEDS_FACE, True)
    assert lacking(later) == [C.member_id]
    assert later.linked_id_numbers == [NEW_ANNA]
    assert later.answers[1].message_zh
    assert later.answers[1].message_en


async def test_what_lacked_when_it_was_left_lacks_later(world: World) -> None:
    silent = exchange_pb2.SourceReport(adapter_id="banks", outcome=words.SOURCE_OUTCOME_SILENT)
    alive(world, B, NEW_ANNA, sources=[silent], partial=True)
    alive(world, C, refuses=True)
    now = await world.check(regions=BOTH)
    assert (now.proposal, lacking(now)) == (NEEDS_FACE, [C.member_id])
    assert now.answers[1].message_en == "enough for today"
    assert [answer.HasField("pending_until") for answer in now.answers] == [True, False]
    later = await world.fetch(now.late_ticket)
    assert (later.proposal, lacking(later)) == (NEEDS_FACE, [C.member_id])
    assert later.answers[1].message_zh == "今日额度已满"


async def test_who_had_no_time_for_the_numbers_is_left_the_question_with_them(world: World) -> None:
    alive(world, C, NEW_ANNA)
    alive(world, B)
    first = world.federation.handlers[B.address]
    calls = 0

    async def once(envelope: Any, call: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise TimeoutError
        return await first(envelope, call)

    world.federation.at(B, once)
    world.insurance.people = {NEW_ANNA: (row("DEATH_CERTIFICATE", 30),)}
    world.banks.people = {}
    now = await world.check(regions=BOTH)
    assert (now.proposal, lacking(now)) == (NEEDS_FACE, [B.member_id])
    async with world.running():
        await until(lambda: world.told_of(1))
    later = await world.fetch(now.late_ticket)
    assert (later.status, lacking(later)) == (SUSPECTED, [])
