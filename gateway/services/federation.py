"""FederationService: takes a sealed message, has it dealt with, gives back the sealed answer. No rule lives here."""

from __future__ import annotations

from collections.abc import AsyncIterator

from gateway.inquiry.exchange import Exchange
from gateway.post.door import Door
from gateway.services.serving import Context, Desk
from wugan.federation.v1 import envelope_pb2, exchange_pb2_grpc


class FederationServicer(exchange_pb2_grpc.FederationServiceServicer):
    """What the other members' gateways call."""

    def __init__(self, desk: Desk, exchange: Exchange, door: Door) -> None:
        self._desk = desk
        self._exchange = exchange
        self._door = door

    async def Exchange(self, request: envelope_pb2.Envelope, context: Context) -> envelope_pb2.Envelope:
        """One batch, answered now."""
        return await self._desk.serve(
            "Exchange", context, lambda peer: self._exchange.answer(request, peer, context.time_remaining())
        )

    async def ExchangeStream(
        self, request_iterator: AsyncIterator[envelope_pb2.Envelope], context: Context
    ) -> AsyncIterator[envelope_pb2.Envelope]:
        """Many batches, each answered as soon as it can be."""
        async for request in request_iterator:
            yield await self.Exchange(request, context)

    async def Deliver(self, request: envelope_pb2.Envelope, context: Context) -> envelope_pb2.Envelope:
        """Something left for later, receipted."""
        return await self._desk.serve("Deliver", context, lambda peer: self._door.receive(request, peer))
