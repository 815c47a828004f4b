"""A stream to a member that knows none: each message by a call of its own, seen from this side as one stream.

`FederationService.Exchange` takes the same envelopes and gives the same answers as a stream does; what it does not have
is flow control, which the window of whoever sends makes up for. So a partner of another version, or another program
that implements the calls that answer alone, is asked about rosters all the same, a chunk a call.

Owns: how such calls look like one stream: answers as they come, and at the first failure no further message, the rest
answered, and then that status. Refuses: deciding when it is needed (`stream_run`), and trying again.
"""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from wugan.federation.v1 import envelope_pb2

_LEAST_S = 1.0


class UnaryStream:
    """As the client's end of `ExchangeStream`.

    Args:
        stub: of the member's gateway.
    """

    def __init__(self, stub: Any) -> None:
        self._stub = stub
        self._calls: dict[asyncio.Task[envelope_pb2.Envelope], int] = {}
        self._failed: dict[int, grpc.aio.AioRpcError] = {}
        self._written = 0
        self._ended = False
        self._cancelled = False
        self._changed = asyncio.Event()

    async def initial_metadata(self) -> None:
        """There is nothing to wait for: each call opens for itself."""

    def done(self) -> bool:
        """Whether it was cancelled."""
        return self._cancelled

    def cancel(self) -> bool:
        """Give everything up; whoever reads is cancelled."""
        self._cancelled = True
        for call in self._calls:
            call.cancel()
        self._changed.set()
        return True

    async def write(self, envelope: envelope_pb2.Envelope) -> None:
        """Have a message on its way.

        Raises:
            asyncio.InvalidStateError: it was cancelled, or a message failed.
        """
        if self._cancelled or self._failed:
            raise asyncio.InvalidStateError("nothing more goes over this stream")
        task = asyncio.ensure_future(self._exchanged(envelope))
        self._calls[task] = self._written
        self._written += 1
        task.add_done_callback(lambda _: self._changed.set())
        self._changed.set()

    async def done_writing(self) -> None:
        """There are no more messages."""
        self._ended = True
        self._changed.set()

    async def read(self) -> Any:
        """The next answer; EOF once there are no more.

        Raises:
            AioRpcError: that of the first message that failed, once all others have come to their end.
            asyncio.CancelledError: it was cancelled.
        """
        while not self._cancelled:
            for call in [call for call in self._calls if call.done()]:
                place = self._calls.pop(call)
                error = None if call.cancelled() else call.exception()
                if error is None and not call.cancelled():
                    return call.result()
                if isinstance(error, grpc.aio.AioRpcError):
                    self._failed[place] = error
                elif error is not None:
                    raise error
            if not self._calls:
                if self._failed:
                    raise self._failed[min(self._failed)]
                if self._ended:
                    return grpc.aio.EOF
            self._changed.clear()
            await self._changed.wait()
        raise asyncio.CancelledError

    async def _exchanged(self, envelope: envelope_pb2.Envelope) -> envelope_pb2.Envelope:
        """The time of a call is the life of its envelope, as over a stream."""
        try:
            header = envelope_pb2.Header.FromString(envelope.header)
            life_s = (header.expires_at_ms - header.issued_at_ms) / 1000
        except DecodeError:
            life_s = _LEAST_S
        answer: envelope_pb2.Envelope = await self._stub.Exchange(envelope, timeout=max(life_s, _LEAST_S))
        return answer
