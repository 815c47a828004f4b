"""What the authority's HTTP handlers share: bounded bodies, bounded work, the TLS peer, and refusals in plain words.

Owns: these. Refuses: a body that is too large, too slow or compressed, and more work at once than was agreed.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

from aiohttp import web

BODY_TIMEOUT_S: Final = 10.0

P = ParamSpec("P")
T = TypeVar("T")


class Workers:
    """Runs blocking work in threads, a bounded number of pieces at once; more is told to come back."""

    def __init__(self, running: int = 4, waiting: int = 64) -> None:
        self._slots = asyncio.Semaphore(running)
        self._limit = running + waiting
        self._taken = 0

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of `work`.

        Raises:
            HTTPServiceUnavailable: too much is waiting already; says when to come back.
        """
        if self._taken >= self._limit:
            raise web.HTTPServiceUnavailable(text="busy\n繁忙，请稍后重试\n", headers={"Retry-After": "1"})
        self._taken += 1
        try:
            async with self._slots:
                return await asyncio.to_thread(work, *args, **kwargs)
        finally:
            self._taken -= 1


async def bounded_body(request: web.Request, limit: int) -> bytes:
    """The whole body, at most `limit` bytes; the application's own limit may be another.

    Raises:
        HTTPRequestEntityTooLarge: it is larger.
        HTTPRequestTimeout: it does not come.
        HTTPUnsupportedMediaType: it is compressed.
    """
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise web.HTTPUnsupportedMediaType(text="send the body as it is, not compressed\n请求体不得压缩\n")
    if (request.content_length or 0) > limit:
        raise _too_large(limit, request.content_length or 0)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > limit:
                    raise _too_large(limit, len(body))
    except TimeoutError as error:
        raise web.HTTPRequestTimeout(text="the body did not come in time\n请求体未按时到达\n") from error
    return bytes(body)


def tls_peer(request: web.Request) -> bytes | None:
    """The client's certificate, DER; None without TLS or without one.

    The TLS handshake has verified its chain, and that the client has its key; not that it has not expired
    (`certs.tls_context`).
    """
    transport = request.transport
    connection = transport.get_extra_info("ssl_object") if transport is not None else None
    if not isinstance(connection, ssl.SSLObject) or connection.context.verify_mode == ssl.CERT_NONE:
        return None
    return connection.getpeercert(binary_form=True)


def _too_large(limit: int, size: int) -> web.HTTPRequestEntityTooLarge:
    return web.HTTPRequestEntityTooLarge(limit, size, text=f"at most {limit} bytes\n至多 {limit} 字节\n")
