"""A gRPC server whose certificate changes while it serves.

Owns: server credentials that take another certificate from the next handshake on, one for each port. Refuses: handing
gRPC a configuration when nothing changed, and letting it free the old one while a handshake may still read it.

gRPC asks a callback at every new connection whether there is another configuration. Answering with one replaces the
port's handshaker factory and frees the old one, which a handshake that begins at the same moment may be about to use:
a crash (grpc#36693). It is rare if the callback answers None unless something changed, but not impossible. A handshake
under way holds its factory, though. So before a change we begin one ourselves, over loopback, and do not go on with it
until every handshake that could have seen the old factory is long under way, too.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import functools
import ssl
from collections.abc import Callable
from typing import Final

import grpc
from cryptography.hazmat.primitives import serialization

from certs.keys import PrivateKey
from certs.tls13 import require_tls13

HOLD_S: Final = 5.0
"""How long the old factory is kept; it is needed for microseconds."""
_PATIENCE_S: Final = 5.0
_ANY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104  compared, not bound


class ServerCertificate:
    """The certificate of one port.

    Args:
        key: the private key of the first certificate of `chain_pem`.
        chain_pem: the server's certificate, then the issuing CA's.
        roots_pem: the federation root; clients must prove a certificate under it.
        begun: called for each connection that begins a handshake, whatever becomes of it, by any thread: the core's
            own lines about them are not to be read by anybody (`core_log`).

    Raises:
        CertsError: gRPC was loaded too early to be held to TLS 1.3.
    """

    def __init__(
        self, key: PrivateKey, chain_pem: bytes, roots_pem: bytes, *, begun: Callable[[], None] | None = None
    ) -> None:
        require_tls13()
        self._begun = begun
        self._roots_pem = roots_pem
        self._pending: collections.deque[grpc.ServerCertificateConfiguration] = collections.deque()
        self._changing = asyncio.Lock()
        self._held: set[asyncio.Task[None]] = set()
        self.credentials: Final = grpc.dynamic_ssl_server_credentials(
            self._configuration(key, chain_pem),
            self._fetch,  # type: ignore[arg-type]  # None is allowed; the stubs do not know
            require_client_authentication=True,
        )

    async def replace(self, key: PrivateKey, chain_pem: bytes, address: str) -> None:
        """Show another certificate from now on; when this returns, every new connection sees it.

        Where this machine cannot reach the port itself, it is the next connection that brings the change about.

        Args:
            key: the private key of the first certificate of `chain_pem`.
            chain_pem: the server's certificate, then the issuing CA's.
            address: "host:port" that the port was bound to.
        """
        configuration = self._configuration(key, chain_pem)
        host, _, port = address.rpartition(":")
        host = host.strip("[]")
        place = _ANY_ADDRESS.get(host, host), int(port)
        async with self._changing:
            guard = await _begun_handshake(*place)
            self._pending.clear()
            self._pending.append(configuration)
            with contextlib.suppress(OSError, TimeoutError):  # then whoever connects next takes it
                async with asyncio.timeout(_PATIENCE_S):
                    while self._pending:
                        _, knock = await asyncio.open_connection(*place)
                        knock.close()
                        await asyncio.sleep(0.001)
            if guard is not None:
                task = asyncio.create_task(_let_go(guard))
                self._held.add(task)
                task.add_done_callback(self._held.discard)

    async def close(self) -> None:
        """Let go of what is held; for when the server has stopped."""
        for task in self._held:
            task.cancel()
        await asyncio.gather(*self._held, return_exceptions=True)

    def _fetch(self) -> grpc.ServerCertificateConfiguration | None:
        # Called by threads of gRPC, several at once: taking from a deque is atomic.
        if self._begun is not None:
            self._begun()
        try:
            return self._pending.popleft()
        except IndexError:
            return None

    def _configuration(self, key: PrivateKey, chain_pem: bytes) -> grpc.ServerCertificateConfiguration:
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return grpc.ssl_server_certificate_configuration([(pem, chain_pem)], root_certificates=self._roots_pem)


async def _begun_handshake(host: str, port: int) -> asyncio.StreamWriter | None:
    """A connection to ourselves whose handshake has begun and stays where it is; None where there can be none."""
    outgoing = ssl.MemoryBIO()
    tls = _beginning().wrap_bio(ssl.MemoryBIO(), outgoing)
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    try:
        async with asyncio.timeout(_PATIENCE_S):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(outgoing.read())
            await reader.readexactly(1)  # its ServerHello: the handshaker is there
            return writer
    except (OSError, EOFError, TimeoutError):
        return None


@functools.cache
def _beginning() -> ssl.SSLContext:
    """For such handshakes, which go no further."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nothing is read or written over it
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["h2"])
    return context


async def _let_go(guard: asyncio.StreamWriter) -> None:
    try:
        await asyncio.sleep(HOLD_S)
    finally:
        guard.close()
