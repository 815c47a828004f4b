"""Connections to the federation's authority, proven with own TLS certificate of the moment.

Owns: one session for all that a gateway asks of the authority, publications and enrolment alike, so that after a change
of the certificate there is one handshake and not one for each of them; and the TLS context that goes with it. Refuses:
knowing what is asked.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Final

import aiohttp

from certs.errors import RotationError
from certs.tls_context import client_context
from certs.yielding import yielding
from gateway.errors import WuganError
from gateway.federation.live_keys import TlsIdentity

CONNECTIONS: Final = 1
"""At a time: whoever comes while another is asking waits for some milliseconds. A handshake takes longer, and costs
both ends more than the question."""


class AuthorityLink:
    """The session. `close` it.

    Args:
        identity: gives own TLS identity of the moment; None while there is none.
        roots_pem: the federation root.
    """

    def __init__(self, identity: Callable[[], TlsIdentity | None], roots_pem: bytes) -> None:
        self._identity = identity
        self._roots_pem = roots_pem
        self._proving: tuple[str, ssl.SSLContext] | None = None
        self._changing = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close its connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """For requests, each with the context of `context`. Whoever uses it does not close it."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                headers={"Accept-Encoding": "identity"},
            )
        return self._session

    async def context(self) -> ssl.SSLContext | None:
        """The same one until own TLS identity is another; None while there is none.

        Raises:
            CertsError: the identity cannot be had.
        """
        async with self._changing:
            try:
                identity = self._identity()
            except WuganError as error:
                raise RotationError(error.en, error.zh) from error
            if identity is None:
                return None
            if self._proving is None or self._proving[0] != identity.name:
                made = await yielding(client_context, self._roots_pem, identity.key, identity.chain_pem)
                self._proving = identity.name, made
            return self._proving[1]

    async def proving(self) -> ssl.SSLContext:
        """The same, where there must be one.

        Raises:
            CertsError: there is none, or it cannot be had.
        """
        context = await self.context()
        if context is None:
            raise RotationError("there is no TLS certificate yet; enrol first", "尚无 TLS 证书，请先登记")
        return context
