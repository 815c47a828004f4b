"""A question that reaches this side twice is answered twice and counted once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.access.terms import Quotas
from gateway.clock import FakeClock
from gateway.errors import WuganError
from gateway.inquiry import counted
from gateway.inquiry.access import Access
from gateway.inquiry.counted import AGAIN_AT_MOST, KEEP_MS, CountedQuestions
from gateway.inquiry.harvest import Harvest
from gateway.sections.inward import HarvestSettings
from tests.unit.adapters.adapters_world import number
from tests.unit.rules.rules_world import row
from tests.unit.services.gateways_world import (
    ANNA,
    BO,
    NOW_MS,
    A,
    B,
    Register,
    access_of,
    findings_for,
    inquiry,
    question,
    stored,
    terms,
)
from wugan.federation.v1 import exchange_pb2

ID, OTHER = b"i" * 16, b"o" * 16


def asked(*numbers: str, question_id: bytes = ID, **changed: Any) -> exchange_pb2.Question:
    made = question(*numbers, **changed)
    made.question_id = question_id
    return made


def limited(people: int, clock: FakeClock | None = None, **more: Any) -> Access:
    return access_of(terms(quotas=Quotas(day=people)), clock=clock, **more)


def allowed(access: Access, made: exchange_pb2.Question, member: str = A.member_id) -> bool:
    return access.authorise(member, made).refused is None


def test_the_same_question_again_is_allowed_and_not_counted() -> None:
    access = limited(1)
    assert allowed(access, asked())
    decision = access.authorise(A.member_id, asked())
    assert decision.refused is None
    assert decision.again
    assert "counted before" in decision.explanation
    assert not allowed(access, asked(question_id=OTHER))


@pytest.mark.parametrize(
    "changed",
    [
        {"numbers": (BO,)},
        {"question_id": b""},
        {"question_id": OTHER},
        {"case_reference": "other"},
        {"official_pseudonym": b"x" * 32},
    ],
)
def test_whatever_differs_is_counted(changed: dict[str, Any]) -> None:
    access = limited(1)
    assert allowed(access, asked())
    assert not allowed(access, asked(*changed.pop("numbers", ()), **changed))


def test_whether_and_where_a_question_is_traced_makes_no_other_of_it() -> None:
    access = limited(1)
    first, second = bytes(range(25)), bytes(range(1, 26))
    traced = asked()
    traced.trace = first
    assert allowed(access, traced)
    assert traced.trace == first, "it is not changed by being looked at"
    assert allowed(access, asked()), "asked again after a restart, it may not be traced any more"
    traced.trace = second
    assert allowed(access, traced)
    assert not allowed(access, asked(question_id=OTHER))


def test_another_members_id_is_not_mistaken_for_ones_own() -> None:
    access = limited(1)
    assert allowed(access, asked())
    assert not access.authorise(B.member_id, asked()).again
    assert access.authorise(A.member_id, asked()).again


def test_after_the_time_it_counts_again() -> None:
    clock = FakeClock(NOW_MS)
    access = limited(1, clock)
    assert allowed(access, asked())
    clock.advance(KEEP_MS / 1000)
    assert allowed(access, asked())
    clock.advance(1)
    assert not allowed(access, asked())


def test_asked_very_often_it_is_no_accident_and_counts() -> None:
    access = limited(1)
    assert [allowed(access, asked()) for _ in range(AGAIN_AT_MOST + 2)] == [True] * (AGAIN_AT_MOST + 1) + [False]


def test_a_question_that_was_refused_was_not_counted_and_is_judged_anew() -> None:
    access = limited(1)
    assert allowed(access, asked())
    assert not allowed(access, asked(question_id=OTHER))
    assert not allowed(access, asked(question_id=OTHER))


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counted, "MOST", 10)
    made = CountedQuestions()
    for at in range(50):
        made.remember(bytes([at]) * 32, "g1", access_of(terms()).authorise(A.member_id, question()).taking, NOW_MS)
    assert len(made._counted) == 10
    assert made.known(bytes([0]) * 32, "g1", NOW_MS) is None
    assert made.known(bytes([49]) * 32, "g1", NOW_MS) is not None


async def test_both_are_answered_and_the_disk_counts_one(tmp_path: Path) -> None:
    async with stored(tmp_path) as store:
        side = inquiry(Register({ANNA: [row("OUTPATIENT", 5)]}), access=limited(1, store=store))
        first = await findings_for(side, asked(), sender=A.member_id)
        second = await findings_for(side, asked(), sender=A.member_id)
        assert first.status == second.status
        with pytest.raises(WuganError) as caught:
            await findings_for(side, asked(question_id=OTHER), sender=A.member_id)
        assert caught.value.code == "QUOTA_EXCEEDED"


async def test_where_there_was_no_room_on_the_disk_the_second_is_refused_like_the_first(tmp_path: Path) -> None:
    department = Register({ANNA: [row("OUTPATIENT", 5)]})
    async with stored(tmp_path) as store:
        await findings_for(inquiry(department, access=limited(1, store=store)), asked(), sender=A.member_id)
        after_restart = inquiry(department, access=limited(1, store=store))
        for _ in range(2):
            with pytest.raises(WuganError) as caught:
                await findings_for(after_restart, asked(question_id=OTHER), sender=A.member_id)
            assert caught.value.code == "QUOTA_EXCEEDED"


def test_asking_again_does_not_look_like_harvesting() -> None:
    harvest = Harvest(HarvestSettings(odd_from_hour=0, odd_until_hour=23, odd_people=3))
    plain = access_of(terms())
    access = Access(FakeClock(NOW_MS), plain._quotas, plain.policy, harvest=harvest)
    people = [number(at) for at in range(3)]
    for _ in range(4):
        made = asked(*people)
        decision = access.authorise(A.member_id, made)
        access.watch(A.member_id, made.context.unit, decision, people)
        assert decision.refused is None


@pytest.mark.parametrize("wrong", [b"x", b"x" * 15, b"x" * 17, b"x" * 1000])
async def test_an_id_of_another_length_is_refused(wrong: bytes) -> None:
    with pytest.raises(WuganError) as caught:
        await findings_for(inquiry(Register({})), asked(question_id=wrong))
    assert (caught.value.code, "question_id" in caught.value.field) == ("INVALID_ARGUMENT", True)
