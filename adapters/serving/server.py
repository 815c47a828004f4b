"""A gRPC server for one adapter: its address, limits and health, and how it stops.

Owns: starting, telling when ready, draining. Refuses: knowing where the adapter's data comes from, and any way in but
mTLS: whoever starts it hands in what the port shows and who may call.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import SERVICE_NAME

from adapters.contract import Adapter
from adapters.errors import AdapterError
from adapters.listed_health import ListedHealth
from adapters.outgoing import MAX_MESSAGE_BYTES
from adapters.serving.servicer import SERVICE, MayCall, Servicer, ServingLimits
from adapters.stopping import stop_when

DRAIN_S: Final = 10.0
"""How long lookups under way have when the server stops."""

_log = structlog.stdlib.get_logger(__name__)


class _Health(ListedHealth):
    """The health service for the one who may call; see gRPC's health checking protocol."""

    def __init__(self, may_call: MayCall) -> None:
        super().__init__()
        self._may_call = may_call

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802  gRPC's name
        await self._admit(context)
        return await super().Check(request, context)

    async def List(self, request: Any, context: Any) -> Any:  # noqa: N802  gRPC's name
        await self._admit(context)
        return await super().List(request, context)

    async def Watch(self, request: Any, context: Any) -> None:  # noqa: N802  gRPC's name
        await self._admit(context)
        await super().Watch(request, context)

    async def _admit(self, context: Any) -> None:
        if not self._may_call(context.auth_context()):
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "only the gateway may call")


class AdapterServer:
    """One adapter on one address.

    Args:
        adapter: that answers; it is closed by whoever made it.
        credentials: of the port.
        may_call: whether a peer may call.
        limits: how much is done at once.
    """

    def __init__(
        self,
        adapter: Adapter,
        credentials: grpc.ServerCredentials,
        may_call: MayCall,
        limits: ServingLimits | None = None,
    ) -> None:
        limits = limits or ServingLimits()
        self._credentials = credentials
        self._servicer = Servicer(adapter, may_call, limits)
        self._health = _Health(may_call)
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
                ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
                ("grpc.max_metadata_size", 16 << 10),
                ("grpc.so_reuseport", 0),
                ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ],
            # The servicer refuses first, with a reason; this is the wall behind it.
            maximum_concurrent_rpcs=limits.at_once * 2 + 16,
        )
        self._server.add_generic_rpc_handlers((self._servicer.handlers,))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)

    async def start(self, address: str) -> str:
        """Bind and serve; the address bound.

        Raises:
            AdapterError: the address cannot be bound.
        """
        try:
            port = self._server.add_secure_port(address, self._credentials)
        except RuntimeError as error:
            raise AdapterError(
                f"cannot listen on {address}; is the port taken?", f"无法监听 {address}，端口可能已被占用"
            ) from error
        await self._server.start()
        await self._set_health(serving=True)
        return f"{address.rpartition(':')[0]}:{port}"

    async def stop(self, drain_s: float = DRAIN_S) -> None:
        """Refuse new lookups, let those under way end within the time, then close: at once when there are none."""
        await self._set_health(serving=False)
        self._servicer.drain()
        await stop_when(self._server, self._servicer.emptied(), drain_s)
        await asyncio.shield(self._servicer.close())

    async def _set_health(self, *, serving: bool) -> None:
        states = health_pb2.HealthCheckResponse
        status = states.SERVING if serving else states.NOT_SERVING
        for name in ("", SERVICE, SERVICE_NAME):
            await self._health.set(name, status)
