"""Certificates for own keys from the federation's authority, or another EST server (RFC 7030).

Owns: which operation is used for which request. The first TLS certificate is asked for with a one-time token
(simpleenroll); everything after it with the TLS certificate held (simplereenroll), a signing certificate too.
Refuses: speaking EST itself (`certs.est_client`).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

import aiohttp
from cryptography import x509

from certs.errors import RotationError
from certs.est_client import EstClient
from certs.files import read_public
from certs.records import PROFILE_TLS
from certs.slot_journal import Kind
from certs.tls_context import client_context
from gateway.config import GatewaySettings
from gateway.federation.authority_link import AuthorityLink
from gateway.federation.issuer_watch import CaCertificates
from gateway.federation.live_keys import TlsIdentity
from gateway.sections.trust import EstSettings


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


@dataclass(frozen=True, slots=True)
class EstPlace:
    """An EST server. `close` it.

    Args:
        settings: where it is, what it must prove, and what its labels are.
        link: how it is reached with own TLS certificate.
        roots_pem: under which it proves its name.
        shared: whether the link is the authority's, and not closed here.
    """

    settings: EstSettings
    link: AuthorityLink
    roots_pem: bytes
    shared: bool = True

    @classmethod
    def of(
        cls,
        settings: GatewaySettings,
        identity: Callable[[], TlsIdentity | None],
        link: AuthorityLink,
        roots_pem: bytes,
    ) -> EstPlace:
        """The EST server in the settings, else the authority.

        Args:
            settings: of the gateway.
            identity: gives own TLS identity of the moment; None while there is none.
            link: to the authority.
            roots_pem: the federation root.

        Raises:
            CertsError: neither is configured, or the file of its roots cannot be read.
        """
        authority, est = settings.authority, settings.est
        if est is None:
            if authority is None:
                raise RotationError(
                    "no authority is configured; set authority.url", "未配置管理机构，请设置 authority.url"
                )
            at = EstSettings(url=authority.url, tls_name=authority.tls_name, tls_label=PROFILE_TLS)
            return cls(at, link, roots_pem)
        roots = roots_pem if est.roots is None else read_public(est.roots)
        return cls(est, AuthorityLink(identity, roots), roots, shared=False)

    async def close(self) -> None:
        """Close its connections."""
        if not self.shared:
            await self.link.close()

    def client(
        self,
        context: ssl.SSLContext,
        session: aiohttp.ClientSession | None = None,
        issuers: tuple[x509.Certificate, ...] = (),
    ) -> EstClient:
        """Speaks with it."""
        at = self.settings
        return EstClient(at.url, context, tls_name=at.tls_name, session=session, issuers=issuers)

    def label(self, kind: Kind) -> str:
        """What its paths call a kind of certificate."""
        return self.settings.tls_label if kind == PROFILE_TLS else self.settings.signing_label


class EstEnroller:
    """Enrols over EST (`certs.rotation.Enroller`).

    Args:
        place: the EST server.
        token: for the first TLS certificate.
    """

    def __init__(self, place: EstPlace, token: Token | None = None) -> None:
        self._place = place
        self._token = token
        self._renewing: tuple[ssl.SSLContext, EstClient] | None = None
        self._turn = asyncio.Lock()

    async def enrol(self, kind: Kind, csr_der: bytes) -> bytes:
        """The chain issued for a request.

        What is asked for with a certificate is asked for one after the other: each at once would want a connection of
        its own, whose handshake costs more than the waiting, here and at the authority.

        Raises:
            CertsError: the authority cannot be reached or refuses, or there is neither certificate nor token.
        """
        request, label = x509.load_der_x509_csr(csr_der), self._place.label(kind)
        async with self._turn:
            context = await self._place.link.context()
            if context is not None:
                return (await self._client(context).simplereenroll(request, label)).pem
        if self._token is None or kind != "tls":
            raise RotationError(
                "there is no TLS certificate yet; enrol with a one-time token: wugan certs enrol",
                "尚无 TLS 证书，请使用一次性令牌登记：wugan certs enrol",
            )
        async with self._place.client(client_context(self._place.roots_pem)) as est:
            return (await est.simpleenroll(request, self._token.token_id, self._token.secret, label)).pem

    def _client(self, context: ssl.SSLContext) -> EstClient:
        if self._renewing is None or self._renewing[0] is not context:
            issuers = () if self._renewing is None else self._renewing[1].issuers
            self._renewing = context, self._place.client(context, self._place.link.session, issuers)
        return self._renewing[1]


def ca_certificates(place: EstPlace) -> CaCertificates:
    """Asks the EST server for its CA certificates; no certificate of ours is needed.

    Where there is one, it goes over the connections that there are anyway.
    """
    context = client_context(place.roots_pem)

    async def ask() -> tuple[x509.Certificate, ...]:
        proving = await place.link.context()
        session = None if proving is None else place.link.session
        async with place.client(proving or context, session) as est:
            return await est.cacerts()

    return ask
