"""The repository's files as they are served: read once, and kept in memory while they stay as they are.

Owns: telling by its number, size and time whether a file is still the one that was read. Every gateway fetches the same
five files within moments of a publication; reading each of them anew, in threads, would be most of what that costs.
Refuses: writing, and files that are not there.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from pathlib import Path
from typing import Final

from aiohttp import web

from certs.errors import CertsError
from certs.files import read_public
from gateway.authority.marks import Mark, mark
from gateway.authority.repository import MAX_TARGET_BYTES

KEPT: Final = 16
"""Files kept: those of the newest versions, and the timestamp."""


class Mirror:
    """Files of a folder tree, for HTTP. For one event loop."""

    def __init__(self) -> None:
        self._held: OrderedDict[Path, tuple[Mark, bytes]] = OrderedDict()

    async def response(self, path: Path, kind: str, kept: str) -> web.Response:
        """A file.

        Args:
            path: where it is.
            kind: its media type.
            kept: how long caches may keep it.

        Raises:
            HTTPNotFound: it is not there.
        """
        try:
            body = await self._read(path)
        except (CertsError, OSError) as error:
            raise web.HTTPNotFound from error
        return web.Response(body=body, headers={"Content-Type": kind, "Cache-Control": kept})

    async def _read(self, path: Path) -> bytes:
        found = mark(path)
        held = self._held.get(path)
        if held is None or held[0] != found:
            # The mark before the bytes: what is written in between is read again next time.
            held = found, await asyncio.to_thread(read_public, path, limit=MAX_TARGET_BYTES)
            self._held[path] = held
            while len(self._held) > KEPT:
                self._held.popitem(last=False)
        self._held.move_to_end(path)
        return held[1]
