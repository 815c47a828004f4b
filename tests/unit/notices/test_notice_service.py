"""Subscriptions and notices as a unit calls them: its own only, bounded, page by page, and as they come."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from certs.identity import Identity
from gateway.services.agency import AgencyServicer
from tests.unit.notices.notices_world import PENSION, Feed, World, death, world
from tests.unit.services.gateways_world import ANHUI, ANNA, BO, CHEN, NAMES, A, AbortedError, B, Call
from wugan.agency.v1 import agency_pb2
from wugan.federation.v1 import vocabulary_pb2 as words


class Stream(Call):
    """A call that is written to."""

    def __init__(self, peer: Identity) -> None:
        super().__init__(peer)
        self.written: asyncio.Queue[agency_pb2.WatchNoticesResponse] = asyncio.Queue()

    async def write(self, message: agency_pb2.WatchNoticesResponse) -> None:
        await self.written.put(message)


def called(unit: str = "jinhua") -> Any:
    return Call(A.unit(unit)).as_context()


def request(*numbers: str, **changed: Any) -> agency_pb2.SubscribeRequest:
    people = [
        agency_pb2.WatchedPerson(id_number=number, name=NAMES.get(number, "无名"), benefit=PENSION, regions=[ANHUI])
        for number in numbers
    ]
    plain: dict[str, Any] = {
        "people": people,
        "legal_basis": "社会保险法 第七十四条",
        "case_reference": "JH-1",
        "official": "official 1",
        **changed,
    }
    return agency_pb2.SubscribeRequest(**plain)


async def subscribed(w: World, agency: AgencyServicer, *numbers: str, unit: str = "jinhua") -> None:
    response = await agency.Subscribe(request(*numbers), called(unit))
    assert response.accepted == len(numbers)
    await w.delivered()


async def test_a_unit_subscribes_is_told_and_ends_it(tmp_path: Path) -> None:
    civil = Feed({ANNA: []})
    async with world(tmp_path, civil) as w:
        agency = w.agency()
        await subscribed(w, agency, ANNA)
        civil.record(ANNA, death())
        await w.settle()
        stream = Stream(A.unit())
        await agency.WatchNotices(agency_pb2.WatchNoticesRequest(only_present=True), stream.as_context())
        notice = stream.written.get_nowait()
        assert stream.written.empty()
        assert (notice.id_number, notice.name, notice.member_id) == (ANNA, NAMES[ANNA], B.member_id)
        assert (notice.sequence, notice.retracts_from, notice.case_reference) == (1, 0, "JH-1")
        assert notice.result.status == words.SURVIVAL_STATUS_DECEASED
        assert notice.result.proposal == words.CERTIFICATION_STATUS_STOP_PROPOSED
        assert notice.result.answers[0].member_name_zh
        assert notice.result.reasons
        ending = agency_pb2.UnsubscribeRequest(people=[agency_pb2.WatchedPerson(id_number=ANNA)])
        assert (await agency.Unsubscribe(ending, called())).ended == 1
        assert (await agency.Unsubscribe(ending, called())).ended == 0


async def test_who_watches_is_told_as_it_comes_and_goes_on_from_a_cursor(tmp_path: Path) -> None:
    civil = Feed({ANNA: [], BO: []})
    async with world(tmp_path, civil) as w:
        agency = w.agency()
        await subscribed(w, agency, ANNA, BO)
        stream = Stream(A.unit())
        watching = asyncio.ensure_future(agency.WatchNotices(agency_pb2.WatchNoticesRequest(), stream.as_context()))
        civil.record(ANNA, death())
        await w.settle()
        first = await asyncio.wait_for(stream.written.get(), 20)
        civil.record(BO, death())
        await w.settle()
        assert (await asyncio.wait_for(stream.written.get(), 20)).id_number == BO
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        again = Stream(A.unit())
        later = agency_pb2.WatchNoticesRequest(after=first.cursor, only_present=True)
        await agency.WatchNotices(later, again.as_context())
        assert [again.written.get_nowait().id_number, again.written.empty()] == [BO, True]


async def test_a_stopping_gateway_ends_the_streams_with_a_reason(tmp_path: Path) -> None:
    async with world(tmp_path, Feed({})) as w:
        agency = w.agency()
        stream = Stream(A.unit())
        watching = asyncio.ensure_future(agency.WatchNotices(agency_pb2.WatchNoticesRequest(), stream.as_context()))
        agency.notices.close()
        with pytest.raises(AbortedError):
            await asyncio.wait_for(watching, 20)


async def test_a_unit_sees_neither_the_subscriptions_nor_the_notices_of_another(tmp_path: Path) -> None:
    civil = Feed({ANNA: []})
    async with world(tmp_path, civil) as w:
        agency = w.agency()
        await subscribed(w, agency, ANNA)
        civil.record(ANNA, death())
        await w.settle()
        listed = await agency.ListSubscriptions(agency_pb2.ListSubscriptionsRequest(), called("hangzhou"))
        assert not listed.subscriptions
        ending = agency_pb2.UnsubscribeRequest(people=[agency_pb2.WatchedPerson(id_number=ANNA)])
        assert (await agency.Unsubscribe(ending, called("hangzhou"))).ended == 0
        stream = Stream(A.unit("hangzhou"))
        await agency.WatchNotices(agency_pb2.WatchNoticesRequest(only_present=True), stream.as_context())
        assert stream.written.empty()


async def test_subscriptions_are_listed_page_by_page_and_say_how_they_stand(tmp_path: Path) -> None:
    async with world(tmp_path, Feed({})) as w:
        agency = w.agency()
        await subscribed(w, agency, ANNA, BO, CHEN)
        seen: list[str] = []
        page = agency_pb2.ListSubscriptionsRequest(limit=2)
        while True:
            answer = await agency.ListSubscriptions(page, called())
            seen += [each.id_number for each in answer.subscriptions]
            for each in answer.subscriptions:
                assert each.standing == agency_pb2.SUBSCRIPTION_STANDING_ACTIVE
                assert [int(number) for number in each.monitored] == [w.feeds[0].about.department]
                assert each.until.ToMilliseconds() > w.clock.now_ms()
                assert (each.member_name_zh, each.member_name_en) == (f"某省 {ANHUI}", f"province {ANHUI}")
            if not answer.next:
                break
            page.after = answer.next
        assert sorted(seen) == sorted([ANNA, BO, CHEN])


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"people": []}, "people"),
        ({"people": [agency_pb2.WatchedPerson()] * 1001}, "people"),
        ({"days": 401}, "days"),
        ({"official": " "}, "official"),
        ({"legal_basis": ""}, "legal_basis"),
    ],
)
async def test_a_request_out_of_bounds_is_refused(tmp_path: Path, changed: dict[str, Any], field: str) -> None:
    async with world(tmp_path, Feed({})) as w:
        with pytest.raises(AbortedError) as caught:
            await w.agency().Subscribe(request(ANNA, **changed), called())
        assert field in caught.value.details + str(caught.value.trailing)


async def test_a_person_that_cannot_be_understood_is_refused_by_row(tmp_path: Path) -> None:
    async with world(tmp_path, Feed({})) as w:
        response = await w.agency().Subscribe(request("110101190001010000", ANNA), called())
        assert response.accepted == 1
        (refused,) = response.refused
        assert (refused.row, refused.reason) == (0, words.REFUSAL_REASON_INVALID_ID_NUMBER)
        assert refused.message_zh
        assert "110101190001010000" not in refused.message_en


@pytest.mark.parametrize("after", [b"x", bytes(36), b"\xff" * 36])
async def test_a_place_that_is_none_is_refused(tmp_path: Path, after: bytes) -> None:
    async with world(tmp_path, Feed({})) as w:
        request = agency_pb2.ListSubscriptionsRequest(after=after)
        if after == bytes(36):
            assert not (await w.agency().ListSubscriptions(request, called())).subscriptions
            return
        with pytest.raises(AbortedError):
            await w.agency().ListSubscriptions(request, called())


async def test_another_members_certificate_gets_nothing(tmp_path: Path) -> None:
    async with world(tmp_path, Feed({})) as w:
        for peer in (B.unit(), A.identity):
            with pytest.raises(AbortedError):
                await w.agency().Subscribe(request(ANNA), Call(peer).as_context())
