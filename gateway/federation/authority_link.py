"""Connections to the federation's authority, proven with own TLS certificate of the moment.

Owns: one session for all that a gateway asks of the authority, publications and enrolment alike, so that after a change
of the certificate there is one handshake and not one for each of them; and the TLS context that goes with it. While
connections are in use that a certificate of before opened, they go on being used, as long as it is one of ours that
partners are told of. Refuses: knowing what is asked.
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

CONNECTIONS: Final = 4
OPEN_S: Final = 10.0
"""Connections last asked over longer ago may be closed; opening others is for the certificate of the moment."""


class AuthorityLink:
    """The session. `close` it.

    Args:
        identity: gives own TLS identity of the moment; None while there is none.
        roots_pem: the federation root.
        former: whether an identity of before, by name, may be shown still (`rotation_rules.still_proves`); none, as a
            gateway has it (docs/adr/0016), unless given.
    """

    def __init__(
        self,
        identity: Callable[[], TlsIdentity | None],
        roots_pem: bytes,
        former: Callable[[str], bool] = lambda _name: False,
    ) -> None:
        self._identity = identity
        self._roots_pem = roots_pem
        self._former = former
        self._proving: tuple[str, ssl.SSLContext] | None = None
        self._newest = ""
        self._asked_at_s = 0.0
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
        """The same one until own TLS identity is another and what it opened is not to be used any more; None while
        there is none.

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
            self._newest = identity.name
            if self._proving is None or (self._proving[0] != identity.name and not self._may_go_on(self._proving[0])):
                made = await yielding(client_context, self._roots_pem, identity.key, identity.chain_pem)
                self._proving = identity.name, made
            self._asked_at_s = asyncio.get_running_loop().time()
            return self._proving[1]

    def give_up(self, context: ssl.SSLContext) -> bool:
        """What was asked with this context failed: whether it was of an identity of before, which is shown no more.

        Then the same may work with the one of the moment: the other may have been revoked meanwhile.
        """
        if self._proving is not None and self._proving[1] is context:
            if self._proving[0] == self._newest:
                return False
            self._proving = None
        return True

    def _may_go_on(self, name: str) -> bool:
        return asyncio.get_running_loop().time() < self._asked_at_s + OPEN_S and self._former(name)

    async def proving(self) -> ssl.SSLContext:
        """The same, where there must be one.

        Raises:
            CertsError: there is none, or it cannot be had.
        """
        context = await self.context()
        if context is None:
            raise RotationError("there is no TLS certificate yet; enrol first", "尚无 TLS 证书，请先登记")
        return context
