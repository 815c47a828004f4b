"""gRPC's health service with `List`, which the library's servicer leaves out.

Owns: telling of all services at once. Refuses: deciding who may ask; whoever serves it does.
"""

from __future__ import annotations

from typing import Any

from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio


class ListedHealth(aio.HealthServicer):
    """grpc.health.v1.Health."""

    def __init__(self) -> None:
        super().__init__()
        self._states: dict[str, int] = {}

    async def set(self, service: str, status: int) -> None:
        """The state of one service from now on."""
        self._states[service] = status
        await super().set(service, status)

    async def List(self, _request: Any, _context: Any) -> Any:  # noqa: N802  gRPC's name
        """The state of every service."""
        each = health_pb2.HealthCheckResponse
        states = {name: each(status=status) for name, status in self._states.items()}
        return health_pb2.HealthListResponse(statuses=states)  # type: ignore[attr-defined]  # stubs of before `List`
