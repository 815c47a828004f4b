"""Certificates for own keys from the federation's authority, by EST (RFC 7030).

Owns: which operation is used for which request. The first TLS certificate is asked for with a one-time token
(simpleenroll); everything after it with the TLS certificate held (simplereenroll), a signing certificate too.
Refuses: speaking EST itself (`certs.est_client`).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from typing import Protocol

from cryptography import x509

from certs.errors import RotationError
from certs.est_client import EstClient
from certs.slot_journal import Kind
from certs.tls_context import client_context
from gateway.config import AuthoritySettings, GatewaySettings
from gateway.federation.issuer_watch import CaCertificates
from gateway.federation.live_keys import LiveKeys, TlsIdentity


class Enrolled(Protocol):
    """What came back."""

    @property
    def pem(self) -> bytes:
        """The certificate, then its issuer."""
        ...


class EstOperations(Protocol):
    """The two operations that issue; `certs.est_client.EstClient` has them."""

    async def simpleenroll(
        self, request: x509.CertificateSigningRequest, token_id: str, secret: str, label: str = ""
    ) -> Enrolled:
        """Enrol with a one-time token. Raises CertsError."""
        ...

    async def simplereenroll(self, request: x509.CertificateSigningRequest, label: str = "") -> Enrolled:
        """Enrol with the TLS certificate of the connection. Raises CertsError."""
        ...


Connect = Callable[[ssl.SSLContext], AbstractAsyncContextManager[EstOperations]]


@dataclass(frozen=True, slots=True)
class Token:
    """A one-time token as the authority's administrator hands it out."""

    token_id: str
    secret: str = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Token:
        """From "id:secret".

        Raises:
            RotationError: it is not that.
        """
        token_id, colon, secret = text.strip().partition(":")
        if not colon or not token_id or not secret or len(text) > 512 or not text.isascii():
            raise RotationError(
                'not a one-time token; it is written "id:secret"', "不是有效的一次性令牌，格式应为“标识:密钥”"
            )
        return cls(token_id, secret)


class EstEnroller:
    """Enrols over EST (`certs.rotation.Enroller`). `close` it.

    A renewal asks for a TLS and a signing certificate one after the other, so the connection is kept for as long as
    the identity that it proves is the one held.

    Args:
        connect: makes a client of the authority's EST server for a TLS context.
        identity: gives own TLS identity; None while there is none.
        roots_pem: the federation root.
        token: for the first TLS certificate.
    """

    def __init__(
        self,
        connect: Connect,
        identity: Callable[[], TlsIdentity | None],
        roots_pem: bytes,
        token: Token | None = None,
    ) -> None:
        self._connect = connect
        self._identity = identity
        self._roots_pem = roots_pem
        self._token = token
        self._kept: tuple[str, EstOperations] | None = None
        self._closing = AsyncExitStack()

    async def close(self) -> None:
        """Close its connections."""
        self._kept = None
        await self._closing.aclose()

    async def enrol(self, kind: Kind, csr_der: bytes) -> bytes:
        """The chain issued for a request.

        Raises:
            CertsError: the authority cannot be reached or refuses, or there is neither certificate nor token.
        """
        request = x509.load_der_x509_csr(csr_der)
        held = self._identity()
        if held is not None:
            return (await (await self._renewing(held)).simplereenroll(request, kind)).pem
        if self._token is None or kind != "tls":
            raise RotationError(
                "there is no TLS certificate yet; enrol with a one-time token: wugan certs enrol",
                "尚无 TLS 证书，请使用一次性令牌登记：wugan certs enrol",
            )
        async with self._connect(client_context(self._roots_pem)) as est:
            return (await est.simpleenroll(request, self._token.token_id, self._token.secret, kind)).pem

    async def _renewing(self, held: TlsIdentity) -> EstOperations:
        """A client that proves the identity held."""
        if self._kept is None or self._kept[0] != held.name:
            await self.close()
            context = await asyncio.to_thread(client_context, self._roots_pem, held.key, held.chain_pem)
            self._kept = held.name, await self._closing.enter_async_context(self._connect(context))
        return self._kept[1]


def est_at(authority: AuthoritySettings) -> Connect:
    """Clients of the authority's EST server."""

    def connect(context: ssl.SSLContext) -> AbstractAsyncContextManager[EstOperations]:
        return EstClient(authority.url, context, tls_name=authority.tls_name)

    return connect


def ca_certificates(authority: AuthoritySettings, roots_pem: bytes) -> CaCertificates:
    """Asks the authority's EST server for its CA certificates; no certificate of ours is needed."""
    context = client_context(roots_pem)

    async def ask() -> tuple[x509.Certificate, ...]:
        async with EstClient(authority.url, context, tls_name=authority.tls_name) as est:
            return await est.cacerts()

    return ask


def renewing_enroller(settings: GatewaySettings, live: LiveKeys, roots_pem: bytes) -> EstEnroller:
    """For a running gateway.

    Raises:
        RotationError: no authority is configured.
    """
    if settings.authority is None:
        raise RotationError("no authority is configured (authority.url)", "未配置管理机构 authority.url")
    return EstEnroller(est_at(settings.authority), live.tls, roots_pem)
