"""To which of a member's gateways deliveries go."""

from __future__ import annotations

from dataclasses import replace

import grpc
import pytest

from gateway.errors import PartnerError, RefusedError, WuganError
from gateway.federation.carrier import DeliveryCarrier
from gateway.federation.directory import Directory, Gateway
from tests.unit.services.gateways_world import NOW_MS, A, B, Call, FakeClock, Line, Listed, rpc_error, status_of
from wugan.federation.v1 import envelope_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

FIRST, SECOND = B.address, "gateway-2:7443"
TAKEN = envelope_pb2.Envelope(header=b"receipt")


class Twofold(Listed):
    """A directory in which B has two gateways."""

    def current(self) -> Directory:
        directory = super().current()
        entry = directory.member(B.member_id)
        gateways = (*entry.gateways, Gateway(SECOND, B.identity.tls_name))
        return replace(directory, members=(directory.member(A.member_id), replace(entry, gateways=gateways)))


class World:
    """Where deliveries went, and who is away or refuses."""

    def __init__(self) -> None:
        self.went: list[str] = []
        self.wrong: dict[str, grpc.StatusCode | WuganError] = {}
        directory = Twofold(A, B, clock=FakeClock(NOW_MS))
        self.carrier = DeliveryCarrier(directory, lambda address, _name: Line(A, self.at(address)))  # type: ignore[arg-type,return-value]

    def at(self, address: str):  # type: ignore[no-untyped-def]
        async def take(_envelope: envelope_pb2.Envelope, _call: Call) -> envelope_pb2.Envelope:
            self.went.append(address)
            match self.wrong.get(address):
                case None:
                    return TAKEN
                case WuganError() as error:
                    raise status_of(error)
                case code:
                    raise rpc_error(code)

        return take

    async def deliver(self) -> envelope_pb2.Envelope:
        return await self.carrier.deliver(B.member_id, envelope_pb2.Envelope(), 5.0)


async def test_deliveries_go_to_the_first_gateway_that_the_directory_lists() -> None:
    world = World()
    for _ in range(3):
        assert await world.deliver() == TAKEN
    assert world.went == [FIRST] * 3


@pytest.mark.parametrize(
    "wrong",
    [
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        RefusedError("stops", "停机", reason=words.REFUSAL_REASON_SHUTTING_DOWN, retryable=True),
    ],
)
async def test_letters_do_not_wait_for_one_gateway_that_is_away_while_another_is_there(
    wrong: grpc.StatusCode | WuganError,
) -> None:
    world = World()
    world.wrong[FIRST] = wrong
    with pytest.raises((PartnerError, RefusedError)):
        await world.deliver()
    assert await world.deliver() == TAKEN
    assert await world.deliver() == TAKEN
    world.wrong = {SECOND: grpc.StatusCode.UNAVAILABLE}
    with pytest.raises(PartnerError):
        await world.deliver()
    assert await world.deliver() == TAKEN
    assert world.went == [FIRST, SECOND, SECOND, SECOND, FIRST]


async def test_what_the_member_refuses_it_refuses_everywhere() -> None:
    world = World()
    world.wrong[FIRST] = RefusedError("no", "不", reason=words.REFUSAL_REASON_MEMBER_NOT_PERMITTED)
    for _ in range(2):
        with pytest.raises(RefusedError):
            await world.deliver()
    assert world.went == [FIRST, FIRST]
