"""Findings as a unit calls for them: its own only, page by page, settled by somebody for a reason."""

from __future__ import annotations

from typing import Any, cast

import grpc
import numpy as np
import pytest

from gateway.errors import WuganError
from gateway.once.gate import Gate
from gateway.once.keyed import Certified
from gateway.services.agency import AgencyServicer
from gateway.services.duplicates import DuplicateService
from gateway.services.serving import Desk
from gateway.status import from_rpc_error
from gateway.store.duplicates import Finding
from gateway.store.engine import Store
from tests.unit.rules.rules_world import BOOK, TODAY, civil
from tests.unit.services.gateways_world import ANNA, BO, CHEN, FEDERATION, NAMES, A, AbortedError, B, Call, Federation
from wugan.agency.v1 import duplicates_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

PENSION = words.BENEFIT_TYPE_EMPLOYEE_PENSION
ELSEWHERE = words.DUPLICATE_KIND_OTHER_MEMBER


def certified(unit: str, *numbers: str) -> Certified:
    count = len(numbers)
    return Certified(
        unit,
        unit.encode().ljust(16, b"."),
        np.arange(1, count + 1, dtype=np.int64),
        numbers,
        [NAMES[number] for number in numbers],
        np.full(count, PENSION, np.int32),
        [""] * count,
        np.full(count, civil(TODAY), np.int32),
    )


class Office:
    """A's agencies, what they call, and the gate behind it."""

    def __init__(self, store: Store) -> None:
        federation = Federation()
        desk = Desk(federation.clock, federation.directory.current, federation=FEDERATION, limit=8)
        self.gate = Gate(BOOK, store, federation.clock)
        service = DuplicateService(store.duplicates, self.gate, federation.directory, federation.clock)
        nothing = cast("Any", None)
        self.calls = AgencyServicer(
            desk, nothing, BOOK, federation.directory, A.member_id, nothing, nothing, nothing, duplicates=service
        )
        self.store, self.clock = store, federation.clock

    async def certified(self, unit: str, *numbers: str) -> None:
        await self.gate.claim(certified(unit, *numbers))

    async def list(self, unit: str, **request: Any) -> duplicates_pb2.ListDuplicatesResponse:
        asked = duplicates_pb2.ListDuplicatesRequest(**request)
        return await self.calls.ListDuplicates(asked, Call(A.unit(unit)).as_context())

    async def settle(self, unit: str, number: int, **request: Any) -> duplicates_pb2.SettleDuplicateResponse:
        plain: dict[str, Any] = {"official": "李四", "reason": "已转出", **request}
        asked = duplicates_pb2.SettleDuplicateRequest(number=number, **plain)
        return await self.calls.SettleDuplicate(asked, Call(A.unit(unit)).as_context())

    async def refusal(self, unit: str, number: int, **request: Any) -> tuple[grpc.StatusCode, WuganError]:
        with pytest.raises(AbortedError) as caught:
            await self.settle(unit, number, **request)
        arrived = from_rpc_error(caught.value.as_client_sees_it())
        assert arrived is not None
        return caught.value.code, arrived


@pytest.fixture
def office(store: Store) -> Office:
    return Office(store)


async def test_a_finding_says_with_whom_it_collides_and_since_when(office: Office) -> None:
    await office.certified("jinhua", ANNA)
    await office.certified("ningbo", BO, ANNA)
    assert not (await office.list("jinhua")).duplicates, "the one that stands has no finding"
    (found,) = (await office.list("ningbo")).duplicates
    assert (found.id_number, found.name, found.benefit) == (ANNA, NAMES[ANNA], PENSION)
    assert (found.kind, found.other_unit) == (words.DUPLICATE_KIND_OTHER_UNIT, "jinhua")
    assert (found.other_certified_on, found.exclusion) == ("2026-05-27", "OLD_AGE")
    assert found.first_found.ToMilliseconds() == found.last_found.ToMilliseconds() == office.clock.now_ms()
    assert not found.HasField("settled")


async def test_the_other_member_is_named(office: Office) -> None:
    tag = office.gate.keying.tags([ANNA], np.array([PENSION], np.int32))[0]
    body = duplicates_pb2.Duplicate(id_number=ANNA, benefit=PENSION).SerializeToString()
    now_ms = office.clock.now_ms()
    await office.store.duplicates.note([Finding(tag, "jinhua", ELSEWHERE, B.member_id, now_ms, now_ms + 1, body)])
    (found,) = (await office.list("jinhua")).duplicates
    assert (found.member_id, found.member_name_zh) == (B.member_id, B.entry().name_zh)


async def test_pages_leave_out_nobody(office: Office) -> None:
    await office.certified("jinhua", ANNA, BO, CHEN)
    await office.certified("ningbo", ANNA, BO, CHEN)
    seen: list[str] = []
    more, after = True, 0
    while more:
        page = await office.list("ningbo", after=after, limit=2)
        seen += [each.id_number for each in page.duplicates]
        more, after = page.more, page.duplicates[-1].number
    assert seen == [ANNA, BO, CHEN]


async def test_settled_it_is_shown_only_when_asked_for(office: Office) -> None:
    await office.certified("jinhua", ANNA)
    await office.certified("ningbo", ANNA)
    (found,) = (await office.list("ningbo")).duplicates
    settled = (await office.settle("ningbo", found.number)).duplicate
    assert (settled.number, settled.official, settled.reason) == (found.number, "李四", "已转出")
    assert settled.settled.ToMilliseconds() == office.clock.now_ms()
    assert not (await office.list("ningbo")).duplicates
    assert list((await office.list("ningbo", settled=True)).duplicates) == [settled]


async def test_given_up_the_other_agency_may_certify(office: Office) -> None:
    await office.certified("jinhua", ANNA)
    await office.certified("ningbo", ANNA)
    tag = office.gate.keying.tags([ANNA], np.array([PENSION], np.int32))[0]
    now_ms = office.clock.now_ms()
    body = duplicates_pb2.Duplicate(id_number=ANNA, benefit=PENSION).SerializeToString()
    await office.store.duplicates.note([Finding(tag, "jinhua", ELSEWHERE, B.member_id, now_ms, now_ms + 1, body)])
    (own,) = (await office.list("jinhua")).duplicates
    await office.settle("jinhua", own.number, release=True)
    assert (await office.gate.claim(certified("ningbo", ANNA))).accepted.all()


async def test_what_is_another_agencys_cannot_be_settled(office: Office) -> None:
    await office.certified("jinhua", ANNA)
    await office.certified("ningbo", ANNA)
    (found,) = (await office.list("ningbo")).duplicates
    code, error = await office.refusal("jinhua", found.number)
    assert (code, error.field) == (grpc.StatusCode.INVALID_ARGUMENT, "number")
    assert (await office.list("ningbo")).duplicates, "it is open still"


@pytest.mark.parametrize(("field", "text"), [("official", " "), ("reason", ""), ("reason", "多" * 501)])
async def test_somebody_decides_for_a_reason(office: Office, field: str, text: str) -> None:
    await office.certified("jinhua", ANNA)
    await office.certified("ningbo", ANNA)
    (found,) = (await office.list("ningbo")).duplicates
    _, error = await office.refusal("ningbo", found.number, **{field: text})
    assert error.field == field
    assert (await office.list("ningbo")).duplicates, "it is open still"
