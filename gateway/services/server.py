"""The gRPC server: its addresses, limits, health and reflection, and how it stops.

Owns: starting, telling when ready, draining. Refuses: knowing what the services do.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from adapters.stopping import stop_when
from certs.keys import PrivateKey
from certs.server_certificate import ServerCertificate
from gateway.channels import FLOW
from gateway.errors import ConfigError
from gateway.services.agency import AgencyServicer
from gateway.services.attended import AttendedHealth, AttendedReflection
from gateway.services.own_calls import OwnSocket
from gateway.services.serving import Desk
from gateway.services.shedding import Shedding
from gateway.services.unreadable import WALL, Readable
from wugan.adapter.v1 import registry_pb2, registry_pb2_grpc
from wugan.agency.v1 import agency_pb2
from wugan.federation.v1 import exchange_pb2, exchange_pb2_grpc

_log = structlog.stdlib.get_logger(__name__)

_FEDERATION = exchange_pb2.DESCRIPTOR.services_by_name["FederationService"]
_AGENCY = agency_pb2.DESCRIPTOR.services_by_name["AgencyService"]
_REGISTRY = registry_pb2.DESCRIPTOR.services_by_name["AdapterRegistryService"]
FEDERATION_SERVICE, AGENCY_SERVICE, REGISTRY_SERVICE = (each.full_name for each in (_FEDERATION, _AGENCY, _REGISTRY))


class _Handlers:
    """Collects what answers calls, to be found by the names of the calls alone.

    What the generated code registers besides is left out: the library waits for such calls method by method, and with
    each call that comes it sets out anew to wait for every one of them, which costs more than a look into a dictionary.
    """

    def __init__(self) -> None:
        self.all: list[grpc.GenericRpcHandler] = []

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """More of them; of two for one call, the first answers."""
        self.all += handlers

    def add_registered_method_handlers(self, *_method_by_method: object) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Limits of the server; bytes and seconds."""

    max_message_bytes: int
    max_concurrent_calls: int
    drain_s: float
    connection_age_s: float


class Server:
    """One gRPC server on two addresses: for the other gateways, and for this member's agencies.

    Args:
        certificate: makes what a port shows; called once for each.
        desk: what every call goes through.
        federation: answers other gateways.
        agency: answers this member's agencies.
        options: limits.
        registry: answers this member's departments.
    """

    def __init__(
        self,
        certificate: Callable[[], ServerCertificate],
        desk: Desk,
        federation: exchange_pb2_grpc.FederationServiceServicer,
        agency: AgencyServicer,
        options: ServerOptions,
        registry: registry_pb2_grpc.AdapterRegistryServiceServicer | None = None,
    ) -> None:
        self._desk = desk
        self._options = options
        self._certificate = certificate
        self._ports: dict[str, ServerCertificate] = {}
        self._own = OwnSocket()
        self._health = AttendedHealth(desk)
        handlers = _Handlers()
        register = cast("grpc.aio.Server", handlers)
        exchange_pb2_grpc.add_FederationServiceServicer_to_server(federation, register)
        agency.register(register)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, register)
        names: tuple[str, ...] = (FEDERATION_SERVICE, AGENCY_SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        if registry is not None:
            registry_pb2_grpc.add_AdapterRegistryServiceServicer_to_server(registry, register)
            names = (*names, REGISTRY_SERVICE)
        self._names = ("", *names)
        answering = AttendedReflection(names, desk)
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(answering, register)  # type: ignore[no-untyped-call]
        self._server = grpc.aio.server(
            handlers=[
                Shedding(desk, (_FEDERATION, _AGENCY, _REGISTRY)),
                *(Readable(each, desk, options.max_message_bytes) for each in handlers.all),
            ],
            options=[
                ("grpc.max_receive_message_length", options.max_message_bytes * WALL),
                ("grpc.max_send_message_length", options.max_message_bytes),
                ("grpc.max_connection_age_ms", round(options.connection_age_s * 1000)),
                ("grpc.max_connection_age_grace_ms", 60_000),
                ("grpc.max_metadata_size", 16 << 10),
                ("grpc.so_reuseport", 0),
                # A length oracle on sealed payloads, and of no use on ciphertext.
                ("grpc.default_compression_algorithm", 0),
                *FLOW,
                ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ],
            # The desk refuses first, with a reason; this is the wall behind it.
            maximum_concurrent_rpcs=options.max_concurrent_calls * 2,
        )

    async def start(self, federation: str, agency: str) -> dict[str, str]:
        """Bind and serve; the addresses bound, by name.

        Raises:
            ConfigError: an address cannot be bound.
        """
        bound: dict[str, str] = {}
        for name, address in (("federation", federation), ("agency", agency)):
            # One for each port: gRPC changes a port's certificate when that port's credentials say so.
            certificate = self._certificate()
            try:
                port = self._server.add_secure_port(address, certificate.credentials)
            except RuntimeError as error:
                raise ConfigError(
                    f"server.{name}: cannot listen on {address}; is the port taken, or the address elsewhere?",
                    f"server.{name}：无法监听 {address}，端口可能已被占用，或该地址不属于本机",
                    field=f"server.{name}",
                ) from error
            bound[name] = f"{address.rpartition(':')[0]}:{port}"
            self._ports[bound[name]] = certificate
        heard = self._own.listen(self._server)
        await self._server.start()
        if heard:
            self._desk.own_calls.begin(self._own.call)
        await self._set_health(serving=True)
        return bound

    async def renew(self, key: PrivateKey, chain_pem: bytes) -> None:
        """Show another certificate to every client that connects from now on; connections that are there stay."""
        await asyncio.gather(
            *(certificate.replace(key, chain_pem, address) for address, certificate in self._ports.items())
        )

    async def stop(self) -> None:
        """Refuse new calls, let those in flight end within the drain time, then close: at once when there are none."""
        await self._set_health(serving=False)
        self._desk.drain()
        _log.info("draining", in_flight=self._desk.in_flight)
        await self._desk.own_calls.end()
        await stop_when(self._server, self._desk.emptied(), self._options.drain_s)
        await self._own.close()
        for certificate in self._ports.values():
            await certificate.close()

    async def _set_health(self, *, serving: bool) -> None:
        states = health_pb2.HealthCheckResponse
        status = states.SERVING if serving else states.NOT_SERVING
        for name in self._names:
            await self._health.set(name, status)


@contextlib.asynccontextmanager
async def serving(
    server: Server, federation: str, agency: str, ready_file: Path | None, beside: Mapping[str, str] | None = None
) -> AsyncIterator[dict[str, str]]:
    """Serve for the length of the block; the ready file exists exactly as long as calls are taken.

    It holds the addresses bound, and those that are bound `beside`, by name.
    """
    bound = {**await server.start(federation, agency), **(beside or {})}
    if ready_file is not None:
        await asyncio.to_thread(_write_ready, ready_file, bound)
    try:
        yield bound
    finally:
        if ready_file is not None:
            await asyncio.to_thread(ready_file.unlink, missing_ok=True)
        await server.stop()


def _write_ready(path: Path, bound: dict[str, str]) -> None:
    scratch = path.with_suffix(path.suffix + ".part")
    scratch.write_text(json.dumps({**bound, "pid": os.getpid()}), "utf-8")
    scratch.replace(path)
