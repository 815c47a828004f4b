"""FederationService: takes a sealed message, has it dealt with, gives back the sealed answer. No rule lives here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from certs.identity import Identity
from gateway.inquiry.exchange import Exchange
from gateway.post.door import Door
from gateway.sections.inward import InquirySettings
from gateway.services.serving import Context, Desk, shutting_down
from gateway.services.streaming import Stream
from wugan.federation.v1 import envelope_pb2, exchange_pb2_grpc


class FederationServicer(exchange_pb2_grpc.FederationServiceServicer):
    """What the other members' gateways call.

    Args:
        desk: what every call goes through.
        exchange: answers questions.
        door: takes what is left.
        limits: how many streams there may be, and how much of each is in hand.
        heard: is told who asked or left something that was accepted.
    """

    def __init__(
        self,
        desk: Desk,
        exchange: Exchange,
        door: Door,
        limits: InquirySettings | None = None,
        heard: Callable[[Identity], None] = lambda _partner: None,
    ) -> None:
        self._limits = limits or InquirySettings()
        self._heard = heard
        self._desk = desk
        self._exchange = exchange
        self._door = door

    async def Exchange(self, request: envelope_pb2.Envelope, context: Context) -> envelope_pb2.Envelope:
        """One batch, answered now."""

        async def work(peer: Identity) -> envelope_pb2.Envelope:
            answer = await self._exchange.answer(request, peer, context.time_remaining())
            self._heard(peer)
            return answer

        return await self._desk.serve("Exchange", context, work)

    async def ExchangeStream(  # type: ignore[override]  # as a coroutine that writes; gRPC takes both
        self, request_iterator: AsyncIterator[envelope_pb2.Envelope], context: Context
    ) -> None:
        """Many batches, each answered as soon as it can be."""
        desk = self._desk

        async def work(peer: Identity) -> None:
            await context.send_initial_metadata(())  # the asker may send: nothing is sealed for who is not let in
            stream = Stream(
                request_iterator,
                lambda envelope: self._exchange.answer_batch(envelope, peer),
                context.write,
                window=self._limits.stream_window,
            )
            await stream.run(desk.draining, shutting_down)

        await desk.hold("ExchangeStream", context, work, at_once=self._limits.streams)

    async def Deliver(self, request: envelope_pb2.Envelope, context: Context) -> envelope_pb2.Envelope:
        """Something left for later, receipted."""

        async def work(peer: Identity) -> envelope_pb2.Envelope:
            receipt = await self._door.receive(request, peer)
            self._heard(peer)
            return receipt

        return await self._desk.serve("Deliver", context, work)
