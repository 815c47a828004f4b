"""Calls that are refused because there is too much to do: at the door, before anything of them is read.

Refusing has to be cheap, or a process that is offered several times what it gets through does nothing else. So of such
a call neither the message nor the certificate is looked at; nothing is told by it but that there is much to do.

Owns: which calls are refused so, and how. Refuses: deciding when (`Desk.sheds`).
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final

import grpc
import structlog
from google.protobuf.descriptor import ServiceDescriptor
from grpc_status import rpc_status

from gateway.observing import metrics, refusals
from gateway.services.serving import Context, Desk, overloaded
from gateway.status import to_status

TELL_S: Final = 1.0
"""They are told of in the log so often: a line for each would cost more than refusing it."""

_STATUSES: Final = 64

_log = structlog.stdlib.get_logger(__name__)


class Shedding(grpc.GenericRpcHandler):
    """Answers calls in place of whatever else does, while the desk sheds.

    Args:
        desk: says when.
        services: whose calls, those with one message each way.
    """

    def __init__(self, desk: Desk, services: Iterable[ServiceDescriptor]) -> None:
        self._desk = desk
        self._calls = {
            f"/{service.full_name}/{method.name}": method.name
            for service in services
            for method in service.methods
            if not (method.client_streaming or method.server_streaming)
        }
        # Several, with different times to come back, made once: a refusal has to be cheap.
        self._statuses = itertools.cycle([rpc_status.to_status(to_status(overloaded())) for _ in range(_STATUSES)])
        # As a stream, of which the library reads nothing unless it is asked for; the caller sees no difference.
        self._handler: grpc.RpcMethodHandler[Any, Any] = grpc.stream_stream_rpc_method_handler(self._refuse)
        self._refused = 0

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        """What refuses a call; None: it is let through."""
        call = self._calls.get(handler_call_details.method)
        if call is None or not self._desk.sheds():
            return None
        metrics.CALLS.add(call, "OVERLOADED")
        self._desk.refusals.add(refusals.CALLS)
        self._refused += 1
        if self._refused == 1:
            asyncio.get_running_loop().call_later(TELL_S, self._tell)
        return self._handler

    async def _refuse(self, _requests: AsyncIterator[bytes], context: Context) -> None:
        status = next(self._statuses)
        await context.abort(status.code, status.details, status.trailing_metadata)

    def _tell(self) -> None:
        _log.warning("calls refused, there is too much to do", calls=self._refused)
        self._refused = 0
