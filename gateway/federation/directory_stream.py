"""The authority's push stream: told within a moment that there is a newer directory, and given its files.

Owns: reading server-sent events (WHATWG HTML, section 9.2) of two kinds, connecting anew with growing waits. Refuses:
believing them: an event only makes the gateway look sooner, its number is not taken for anything else, and files are
handed on unread. Files that are too many bytes are dropped, and the stream goes on.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

import aiohttp
import structlog
from tenacity import AsyncRetrying, retry_if_exception_type, wait_random_exponential

from gateway.federation.directory_pushed import EVENT, MAX_EVENT_BYTES, MAX_LINE_BYTES

SILENCE_S: Final = 45.0
"""Longest silence on the stream: the authority says something every 15 s, so it or the way to it is gone."""

LONGEST_WAIT_S: Final = 30.0

_log = structlog.stdlib.get_logger(__name__)


class _BrokenError(Exception):
    """The stream ended, however it did."""


@dataclass(frozen=True, slots=True)
class Announced:
    """A version told, and the data of the event with its files; empty where none came."""

    version: int
    files: bytes = b""


class DirectoryStream:
    """The stream of directory versions.

    Args:
        session: made by `directory_fetch.https_session`.
        url: of the stream, ".../directory/events".
        tls_name: DNS name that the server must prove.
        files: hand them on; not where the directory comes from elsewhere.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str, tls_name: str, *, files: bool = True) -> None:
        self._session = session
        self._url = url
        self._tls_name = tls_name
        self._files = files

    async def follow(self, announced: Callable[[Announced], None]) -> None:
        """Call `announced` with every version told, that of the moment first; connects anew and never returns."""
        while True:
            connected = False
            waiting = wait_random_exponential(multiplier=0.1, max=LONGEST_WAIT_S)
            async for attempt in AsyncRetrying(retry=retry_if_exception_type(_BrokenError), wait=waiting):
                with attempt:
                    try:
                        async for told in self._told():
                            connected = True
                            announced(told)
                    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                        _log.debug("directory stream broken", error=type(error).__name__)
                    if not connected:
                        raise _BrokenError
            # It worked before it broke: begin with short waits again.

    async def _told(self) -> AsyncIterator[Announced]:
        timeout = aiohttp.ClientTimeout(total=None, connect=5.0, sock_read=SILENCE_S)
        headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
        async with self._session.get(
            self._url, server_hostname=self._tls_name, allow_redirects=False, timeout=timeout, headers=headers
        ) as response:
            response.raise_for_status()
            files, event = b"", _Event()
            while line := await response.content.readline():
                if len(line) > MAX_LINE_BYTES:
                    raise ValueError("a line that is too long")
                if line.strip(b"\r\n"):
                    event.take(line)
                    continue
                if event.kind == EVENT.encode():
                    files = event.data() if self._files else b""
                elif (version := _version(event.data())) is not None:
                    yield Announced(version, files)
                    files = b""
                event = _Event()


class _Event:
    """An event that is being read."""

    def __init__(self) -> None:
        self.kind = b""
        self._lines: list[bytes] = []
        self._bytes = 0

    def take(self, line: bytes) -> None:
        """A line of it."""
        self._bytes += len(line)
        name, _, value = line.rstrip(b"\r\n").partition(b":")
        if name == b"event":
            self.kind = value.strip()
        elif name == b"data":
            self._lines.append(value.removeprefix(b" "))
        if self._bytes > MAX_EVENT_BYTES:
            self._lines.clear()

    def data(self) -> bytes:
        """What it says; empty where it is too long."""
        return b"\n".join(self._lines)


def _version(data: bytes) -> int | None:
    """The version that an event names, None where it names none."""
    with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
        version = json.loads(data)["version"]
        if type(version) is int and version > 0:
            return version
    return None
