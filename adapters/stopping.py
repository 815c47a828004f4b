"""How a gRPC server stops: once nobody waits for anything, whatever its peers say or do not say.

Owns: the order of it, for gateways and for adapters that are served. Refuses: knowing what is in flight; whoever serves
tells when that is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

import grpc

FAREWELL_S: Final = 0.5
"""What peers that nobody serves any more get to take the last answer off the wire and to hang up."""


async def stop_when(
    server: grpc.aio.Server, over: Coroutine[Any, Any, None], within_s: float, *, farewell_s: float = FAREWELL_S
) -> None:
    """Stop a server once what is in flight is over.

    The library's own grace waits for connections, not for calls: each peer must say that it has heard of the end, and
    one that is frozen, or died without a word, says nothing.

    Args:
        server: takes no new connections from now on.
        over: returns when nobody waits for anything.
        within_s: what is in flight then is cancelled.
        farewell_s: what peers get after that to hang up by themselves.
    """
    stopping = asyncio.ensure_future(server.stop(within_s))
    waiting = asyncio.ensure_future(over)
    try:
        await asyncio.wait({stopping, waiting}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({stopping}, timeout=farewell_s)
    finally:
        for each in (stopping, waiting):
            each.cancel()
        await asyncio.gather(stopping, waiting, return_exceptions=True)
        await server.stop(None)
