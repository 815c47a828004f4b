"""The authority's push stream: told within a moment that there is a newer directory.

Owns: reading server-sent events (WHATWG HTML, section 9.2) of one kind, connecting anew with growing waits. Refuses:
believing them: an event only makes the gateway look sooner, and its number is not taken for anything else.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Final

import aiohttp
import structlog
from tenacity import AsyncRetrying, retry_if_exception_type, wait_random_exponential

MAX_LINE_BYTES: Final = 4096
SILENCE_S: Final = 45.0
"""Longest silence on the stream: the authority says something every 15 s, so it or the way to it is gone."""

LONGEST_WAIT_S: Final = 30.0

_log = structlog.stdlib.get_logger(__name__)


class _BrokenError(Exception):
    """The stream ended, however it did."""


class DirectoryStream:
    """The stream of directory versions.

    Args:
        session: made by `directory_fetch.https_session`.
        url: of the stream, ".../directory/events".
        tls_name: DNS name that the server must prove.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str, tls_name: str) -> None:
        self._session = session
        self._url = url
        self._tls_name = tls_name

    async def follow(self, announced: Callable[[int], None]) -> None:
        """Call `announced` with every version told, that of the moment first; connects anew and never returns."""
        while True:
            connected = False
            waiting = wait_random_exponential(multiplier=0.1, max=LONGEST_WAIT_S)
            async for attempt in AsyncRetrying(retry=retry_if_exception_type(_BrokenError), wait=waiting):
                with attempt:
                    try:
                        async for version in self._versions():
                            connected = True
                            announced(version)
                    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                        _log.debug("directory stream broken", error=type(error).__name__)
                    if not connected:
                        raise _BrokenError
            # It worked before it broke: begin with short waits again.

    async def _versions(self) -> AsyncIterator[int]:
        timeout = aiohttp.ClientTimeout(total=None, connect=5.0, sock_read=SILENCE_S)
        headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
        async with self._session.get(
            self._url, server_hostname=self._tls_name, allow_redirects=False, timeout=timeout, headers=headers
        ) as response:
            response.raise_for_status()
            while line := await response.content.readline():
                if len(line) > MAX_LINE_BYTES:
                    raise ValueError("a line that is too long")
                if line.startswith(b"data:"):
                    version = _version(line[5:])
                    if version is not None:
                        yield version


def _version(data: bytes) -> int | None:
    """The version that an event names, None where it names none."""
    with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
        version = json.loads(data)["version"]
        if type(version) is int and version > 0:
            return version
    return None
