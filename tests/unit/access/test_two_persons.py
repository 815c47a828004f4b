"""What one person may grant alone stays small, however many grants it is cut into."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.access import people
from gateway.access.policy import Policy
from gateway.clock import FakeClock
from gateway.errors import AccessError
from gateway.inquiry.access import Access
from gateway.inquiry.quotas import Quotas
from tests.unit.access.access_world import ASKER, NOW_MS, THRESHOLDS, Office, body, office
from tests.unit.services.gateways_world import question
from wugan.adapter.v1 import vocabulary_pb2 as v

MOST = THRESHOLDS.people_a_day


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Office]:
    async with office(tmp_path) as opened:
        yield opened


def asking(desk: Office) -> Access:
    return Access(FakeClock(NOW_MS), Quotas(desk.administration._store.usage), Policy.of(desk.administration.ledger))


async def allowed(access: Access, count: int) -> bool:
    """Whether so many people may be asked about, the disk asked too."""
    decision = access.authorise(ASKER, question(*["1"] * count, purpose=v.PURPOSE_CERTIFICATION))
    with contextlib.suppress(AccessError):
        await access.settle(decision)
    return decision.refused is None and not decision.taking.refused


async def test_a_large_grant_is_not_to_be_had_by_one_person_in_several_small_ones(desk: Office) -> None:
    for purposes in (["CERTIFICATION"], ["CERTIFICATION", "CHANGE_MONITORING"], ["CERTIFICATION"]):
        await desk.grant(purposes=purposes)
    access = asking(desk)
    assert [await allowed(access, count) for count in (MOST - 1, 2, 1, 1)] == [True, False, True, False]
    again = asking(desk)  # remembers nothing
    assert [await allowed(again, 1) for _ in range(4)] == [False] * 4


async def test_nor_by_withdrawing_one_that_is_used_up_and_making_another(desk: Office) -> None:
    first = await desk.grant()
    assert await allowed(asking(desk), MOST)
    await desk.act("li", people.WITHDRAW_GRANT, {"grant": first, "why": "used up"})
    await desk.grant(by="zhao")
    assert not await allowed(asking(desk), 1)


async def test_grants_that_somebody_else_approved_have_room_of_their_own(desk: Office) -> None:
    await desk.grant()
    approved = [await desk.grant(), await desk.grant(quotas={**body()["quotas"], "day": 2 * MOST})]
    for number in approved:
        await desk.act("zhao", people.APPROVE_GRANT, {"grant": number})
    access = asking(desk)
    assert [await allowed(access, MOST) for _ in range(5)] == [True] * 4 + [False]
