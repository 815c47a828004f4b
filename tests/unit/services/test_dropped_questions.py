"""A left question that an operator drops before it is delivered: whoever left it is told so."""

from __future__ import annotations

from gateway.store.audit import AuditEvent
from gateway.store.engine import Store
from gateway.store.outbox import Attempt, Dead
from tests.unit.post.post_world import DAY_MS
from tests.unit.services.gateways_world import NOW_MS, A, Call, Federation, request
from wugan.agency.v1 import agency_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

RECORD = AuditEvent(
    at_ms=NOW_MS,
    direction="act",
    counterpart="",
    unit="login:operator",
    official=b"",
    purpose=0,
    legal_basis="",
    case_reference="",
    message_id=b"m" * 16,
    digest=b"",
    subjects=0,
    outcome=0,
    decision="outbox: dropped",
)


class Watching(Call):
    """A stream as a servicer writes to it."""

    def __init__(self) -> None:
        super().__init__(A.unit(), 5.0)
        self.told: list[agency_pb2.WatchLateResponse] = []

    async def write(self, message: agency_pb2.WatchLateResponse) -> None:
        self.told.append(message)


class World:
    """A, which left a question that waits in the outbox."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.agency = Federation().agency(store)

    async def leave(self) -> bytes:
        """The delivery id of the letter."""
        asked = request(leave_open_s=7 * DAY_MS // 1000, only_leave=True)
        await self.agency.Check(asked, Call(A.unit(), 5.0).as_context())
        (left,) = await self.store.post_office.letters()
        return left.delivery_id

    async def dies(self) -> None:
        (member,) = await self.store.outbox.partners()
        (due,) = await self.store.outbox.due(member, NOW_MS, 1)
        dead = Dead(due.sequence, words.REFUSAL_REASON_TOO_LARGE, "")
        await self.store.outbox.settle(Attempt(member, dead=[dead]))

    async def states(self) -> list[int]:
        listed = await self.agency.ListLate(agency_pb2.ListLateRequest(), Call(A.unit(), 5.0).as_context())
        return [province.state for check in listed.checks for province in check.provinces]

    async def told(self) -> list[agency_pb2.WatchLateResponse]:
        call = Watching()
        await self.agency.WatchLate(agency_pb2.WatchLateRequest(only_present=True), call.as_context())
        return call.told


async def test_what_waits_is_not_dropped_unless_its_member_has_left(store: Store) -> None:
    world = World(store)
    left = await world.leave()
    assert not await store.post_office.drop_letter(left, RECORD)
    assert await world.states() == [agency_pb2.LATE_STATE_OPEN]
    assert [each.event.decision for each in await store.audit.events()] == ["left"]


async def test_whoever_left_a_question_is_told_that_it_was_dropped(store: Store) -> None:
    for dead in (False, True):
        world = World(store)
        before = len(await world.told())
        left = await world.leave()
        if dead:
            await world.dies()
        assert await store.post_office.drop_letter(left, RECORD, waiting=not dead)
        assert await store.post_office.letters() == []
        assert (await world.states())[0] == agency_pb2.LATE_STATE_LAPSED
        told = (await world.told())[before:]
        (answer,) = told[0].response.answers
        assert len(told) == 1
        assert not answer.HasField("pending_until")
        assert "dropped" in answer.message_en
        assert "删除" in answer.message_zh
        assert answer.refusal == words.REFUSAL_REASON_DELIVERY_EXPIRED
        assert not await store.post_office.drop_letter(left, RECORD, waiting=True), "once"
