"""A stand-in for a member's gateway that is up and answers nothing: it counts how often each question is put to it.

Owns: the member's name on TLS and its keys, so that what arrives can be opened. Refuses: answering.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
from collections import Counter
from collections.abc import AsyncIterator

import grpc

from bench.federation import Provinces
from certs.keys import load_signing_seed, load_xwing_seed
from gateway.clock import SystemClock
from gateway.demo.founding import FoundedMember
from gateway.exchange.envelope import open_question
from gateway.exchange.keys import DecryptionKey, EncryptionKey, OwnKeys, SigningKey, VerifyKey
from wugan.federation.v1 import envelope_pb2, exchange_pb2


class Manner(enum.Enum):
    """How it does not answer."""

    UNAVAILABLE = "says at once that it is unavailable"
    SILENT = "says nothing"


class StandIn:
    """Takes a member's calls, opens and counts what is in them."""

    def __init__(self, running: Provinces, member: FoundedMember) -> None:
        self.manner = Manner.UNAVAILABLE
        self.asked: Counter[str] = Counter()
        """How often each question was put, by the number of the person it is about."""
        self.address = ""
        self._own = own_keys(member)
        self._asker = own_keys(running.asking)
        self._member = member
        self._clock = SystemClock()

    def verify_key(self, member_id: str, key_id: str, at_ms: int) -> VerifyKey:
        """The asker's: nobody else asks here."""
        return VerifyKey.from_raw(self._asker.signing.public_raw)

    def encryption_key(self, member_id: str, at_ms: int) -> EncryptionKey:
        """Nothing is sealed here."""
        raise NotImplementedError

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Take calls at `address`, for the length of the block."""
        server = grpc.aio.server()
        handler: grpc.RpcMethodHandler[envelope_pb2.Envelope, bytes] = grpc.unary_unary_rpc_method_handler(
            self._exchange, request_deserializer=envelope_pb2.Envelope.FromString
        )
        service = "wugan.federation.v1.FederationService"
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Exchange": handler}),))
        keys = self._member.keys
        pair = ((keys / "tls-1.key.pem").read_bytes(), (keys / "tls-1.chain.pem").read_bytes())
        roots = (self._member.folder / "roots.pem").read_bytes()
        port = server.add_secure_port(
            "127.0.0.1:0", grpc.ssl_server_credentials([pair], roots, require_client_auth=True)
        )
        self.address = f"127.0.0.1:{port}"
        await server.start()
        try:
            yield
        finally:
            await server.stop(None)

    async def _exchange(self, envelope: envelope_pb2.Envelope, context: grpc.aio.ServicerContext) -> bytes:  # type: ignore[type-arg]
        opened = open_question(envelope, self._own, self, now_ms=self._clock.now_ms())
        for payload in opened.payloads:
            self.asked.update(exchange_pb2.Question.FromString(payload).subjects.id_number)
        if self.manner is Manner.SILENT:
            await asyncio.Event().wait()
        await context.abort(grpc.StatusCode.UNAVAILABLE, "out of order")
        raise AssertionError


def own_keys(member: FoundedMember) -> OwnKeys:
    """What the member's gateway held when the federation was founded."""
    return OwnKeys.of(
        member.plan.member_id,
        SigningKey.from_seed(load_signing_seed(member.keys / "signing-1.key.pem")),
        DecryptionKey.from_seed(load_xwing_seed(member.keys / "encryption-1.key.pem")),
    )
