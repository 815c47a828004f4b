"""Health and reflection, answered to those only whom the directory lets in, and ended when it does not any more.

Owns: handing each call of the library's servicers to the desk. Refuses: what they answer, which is the library's.
"""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import Any, cast

from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from adapters.listed_health import ListedHealth
from gateway.services.serving import Context, Desk


class AttendedHealth(ListedHealth):
    """grpc.health.v1.Health."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Context) -> health_pb2.HealthCheckResponse:
        """The state of one service."""
        check = super().Check
        return await self._desk.attend(context, lambda _: check(request, context))

    async def List(self, request: Any, context: Context) -> Any:
        """The state of every service."""
        listed = super().List
        return await self._desk.attend(context, lambda _: listed(request, context))

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: Context) -> None:
        """The state of one service, and every change of it."""
        watch = super().Watch
        await self._desk.attend(context, lambda _: watch(request, context))


class AttendedReflection(reflection.aio.ReflectionServicer):
    """grpc.reflection.v1alpha.ServerReflection."""

    def __init__(self, names: tuple[str, ...], desk: Desk) -> None:
        super().__init__(names)
        self._desk = desk

    async def ServerReflectionInfo(  # type: ignore[override]  # the library's is a generator; gRPC takes both
        self, request_iterator: AsyncIterable[reflection_pb2.ServerReflectionRequest], context: Context
    ) -> None:
        """What is served here."""
        answers = cast(
            "AsyncIterable[reflection_pb2.ServerReflectionResponse]",
            super().ServerReflectionInfo(request_iterator, context),
        )

        async def answer() -> None:
            async for each in answers:
                await context.write(each)

        await self._desk.attend(context, lambda _: answer())
