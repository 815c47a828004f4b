"""Certificates for own keys from the federation's authority, by EST (RFC 7030).

Owns: which operation is used for which request. The first TLS certificate is asked for with a one-time token
(simpleenroll); everything after it with the TLS certificate held (simplereenroll), a signing certificate too.
Refuses: speaking EST itself (`certs.est_client`).
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field

import aiohttp
from cryptography import x509

from certs.errors import RotationError
from certs.est_client import EstClient
from certs.slot_journal import Kind
from certs.tls_context import client_context
from gateway.federation.authority_link import AuthorityLink
from gateway.federation.issuer_watch import CaCertificates
from gateway.sections.trust import AuthoritySettings


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
    """Enrols over EST (`certs.rotation.Enroller`).

    Args:
        authority: where the EST server is and what it must prove.
        link: how it is reached with own TLS certificate.
        roots_pem: the federation root.
        token: for the first TLS certificate.
    """

    def __init__(
        self, authority: AuthoritySettings, link: AuthorityLink, roots_pem: bytes, token: Token | None = None
    ) -> None:
        self._authority = authority
        self._link = link
        self._roots_pem = roots_pem
        self._token = token
        self._renewing: tuple[ssl.SSLContext, EstClient] | None = None

    async def enrol(self, kind: Kind, csr_der: bytes) -> bytes:
        """The chain issued for a request.

        Raises:
            CertsError: the authority cannot be reached or refuses, or there is neither certificate nor token.
        """
        request = x509.load_der_x509_csr(csr_der)
        context = await self._link.context()
        if context is not None:
            if self._renewing is None or self._renewing[0] is not context:
                issuers = () if self._renewing is None else self._renewing[1].issuers
                self._renewing = context, self._client(context, self._link.session, issuers)
            return (await self._renewing[1].simplereenroll(request, kind)).pem
        if self._token is None or kind != "tls":
            raise RotationError(
                "there is no TLS certificate yet; enrol with a one-time token: wugan certs enrol",
                "尚无 TLS 证书，请使用一次性令牌登记：wugan certs enrol",
            )
        async with self._client(client_context(self._roots_pem)) as est:
            return (await est.simpleenroll(request, self._token.token_id, self._token.secret, kind)).pem

    def _client(
        self,
        context: ssl.SSLContext,
        session: aiohttp.ClientSession | None = None,
        issuers: tuple[x509.Certificate, ...] = (),
    ) -> EstClient:
        authority = self._authority
        return EstClient(authority.url, context, tls_name=authority.tls_name, session=session, issuers=issuers)


def ca_certificates(authority: AuthoritySettings, link: AuthorityLink, roots_pem: bytes) -> CaCertificates:
    """Asks the authority's EST server for its CA certificates; no certificate of ours is needed.

    Where there is one, it goes over the connections that there are anyway.
    """
    context = client_context(roots_pem)

    async def ask() -> tuple[x509.Certificate, ...]:
        proving = await link.context()
        session = None if proving is None else link.session
        async with EstClient(authority.url, proving or context, tls_name=authority.tls_name, session=session) as est:
            return await est.cacerts()

    return ask
