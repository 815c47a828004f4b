"""The push stream of the authority: server-sent events that tell gateways of each new directory version.

    GET  /directory/events                 each new directory version, and its files; for everybody

Owns: who listens, the version told of last, the files put together once for all, and letting go who takes nothing.
Refuses: knowing when there is a new version (`gateway.authority.service` announces it), and the form of the files
(`gateway.authority.pushing`).
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Final

from aiohttp import web

from gateway.authority.pushing import files_event

MAX_STREAMS: Final = 16_384
HEARTBEAT_S: Final = 15.0
PATIENCE_S: Final = 30.0
"""Longest time in which a listener takes a piece; one that does not is cut off and has to connect anew."""
PIECE_BYTES: Final = 64 << 10
"""Of an event handed over at once: no more than about that is waiting in memory for each who is slow."""


class EventStreams:
    """All who listen; of one event loop.

    Args:
        tuf: folder of the repository, from which the files are read.

    Attributes:
        version: the directory version announced last; 0: none yet.
        closed: whether streams are ended, and no more are begun.
    """

    def __init__(self, tuf: Path) -> None:
        self.version = 0
        self.closed = False
        self._tuf = tuf
        self._turn = asyncio.Event()
        self._files: tuple[int, asyncio.Task[bytes]] | None = None
        self._streams = 0

    def announce(self, version: int) -> None:
        """Tell everybody of a version; one that is slow misses those that are replaced meanwhile."""
        self.version = version
        self._turn.set()
        self._turn = asyncio.Event()

    def close(self) -> None:
        """End every stream, once it has told of the version announced last, so that the server can stop."""
        self.closed = True
        self.announce(self.version)

    async def ended(self) -> None:
        """Wait for what threads still do."""
        if self._files is not None:
            await asyncio.gather(self._files[1], return_exceptions=True)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer one who listens, for as long as it does; 503 where too many do."""
        if self._streams >= MAX_STREAMS or self.closed:
            return web.Response(status=503, headers={"Retry-After": "5"})
        stream = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        )
        self._streams += 1
        try:
            await stream.prepare(request)
            await self.tell(stream)
        except ConnectionResetError:
            pass  # whoever listened is gone
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()  # or what it did not take would be waited for here
        finally:
            self._streams -= 1
        return stream

    async def tell(self, stream: web.StreamResponse) -> None:
        """Tell of the newest version, again and again, until the streams are closed.

        Raises:
            ConnectionResetError: nobody listens any more.
            TimeoutError: the listener does not take what it is told.
        """
        told = 0
        while True:
            turn, closing = self._turn, self.closed
            if told != self.version:
                version = self.version
                # Not with the first: most who connect hold the version in force already.
                files = await self._files_of(version) if told else b""
                told = version
                data = json.dumps({"version": told})
                await _write(stream, files + f"id: {told}\nevent: version\ndata: {data}\n\n".encode())
            if closing:  # of the moment at which the version was looked at: what came since is told first
                return
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await turn.wait()
            except TimeoutError:
                await _write(stream, b": still here\n\n")

    async def _files_of(self, version: int) -> bytes:
        """The event with a version's files, made once for all who listen; empty where there is none to send."""
        if self._files is None or self._files[0] != version:
            self._files = version, asyncio.create_task(asyncio.to_thread(files_event, self._tuf, version))
        return await asyncio.shield(self._files[1])  # one that leaves while it is made takes it from nobody


async def _write(stream: web.StreamResponse, data: bytes) -> None:
    """Raises TimeoutError for a listener that does not take it."""
    for at in range(0, len(data), PIECE_BYTES):
        async with asyncio.timeout(PATIENCE_S):
            await stream.write(data[at : at + PIECE_BYTES])
