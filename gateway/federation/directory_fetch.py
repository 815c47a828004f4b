"""Where TUF metadata and the directory are fetched from: a folder, the authority over HTTPS, what it pushed, or what is
held already.

Owns: four fetchers for python-tuf, which bound every file by the length it is allowed, and the whole of a request by
time. Refuses: believing anything. Whatever goes wrong is a DownloadError of python-tuf, "not found" told apart.
"""

from __future__ import annotations

import asyncio
import os
import re
import ssl
import stat
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any, Final, TypeVar

import aiohttp
from tuf.api.exceptions import DownloadError, DownloadHTTPError, DownloadLengthMismatchError
from tuf.ngclient.fetcher import FetcherInterface

from gateway.errors import ConfigError
from gateway.federation.directory_pushed import Pushed

R = TypeVar("R")

CHUNK_BYTES: Final = 64 << 10
NOT_FOUND: Final = 404
CONNECT_S: Final = 5.0
READ_S: Final = 10.0
"""Longest silence within an answer."""
WHOLE_S: Final = 30.0
"""Longest time for one file, however it trickles."""

_ROOT: Final = re.compile(r"metadata/([1-9][0-9]{0,8})\.root\.json")


class FolderFetcher(FetcherInterface):
    """Reads a mirror in a folder; an address is a path."""

    def _fetch(self, url: str) -> Iterator[bytes]:
        try:
            # Not blocking: opening a named pipe would otherwise wait for a writer.
            descriptor = os.open(url, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise DownloadHTTPError(f"{url}: is not there", NOT_FOUND) from error
        except OSError as error:
            raise DownloadError(f"{url}: cannot be read ({error.strerror})") from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise DownloadError(f"{url}: is not a regular file")
        return self._chunks(descriptor)

    @staticmethod
    def _chunks(descriptor: int) -> Iterator[bytes]:
        with open(descriptor, "rb") as file:
            try:
                while chunk := file.read(CHUNK_BYTES):
                    yield chunk
            except OSError as error:
                raise DownloadError(f"reading failed ({error.strerror})") from error


class HttpsFetcher(FetcherInterface):
    """Fetches from the authority. Used in a thread; the network is served by the event loop, where time is bounded.

    Args:
        session: made by `https_session`.
        loop: where the session lives.
        tls_name: DNS name that the server must prove, wherever the address leads.
    """

    def __init__(self, session: aiohttp.ClientSession, loop: asyncio.AbstractEventLoop, tls_name: str) -> None:
        self._session = session
        self._loop = loop
        self._tls_name = tls_name

    def _fetch(self, url: str) -> Iterator[bytes]:
        chunks = self._get(url)
        first = self._in_loop(_next(chunks))
        return self._rest(first, chunks)

    def _rest(self, first: tuple[bytes, bool], chunks: AsyncIterator[bytes]) -> Iterator[bytes]:
        # Every turn in the event loop costs this thread and the loop a switch, and most files are one chunk.
        part, more = first
        try:
            yield part
            while more:
                part, more = self._in_loop(_next(chunks))
                yield part
        finally:
            if more:
                self._in_loop(chunks.aclose())  # type: ignore[attr-defined]  # an async generator

    async def _get(self, url: str) -> AsyncIterator[bytes]:
        timeout = aiohttp.ClientTimeout(total=WHOLE_S, connect=CONNECT_S, sock_read=READ_S)
        request = self._session.get(
            url,
            server_hostname=self._tls_name,
            allow_redirects=False,
            timeout=timeout,
            headers={"Accept-Encoding": "identity", "Cache-Control": "no-cache"},
        )
        try:
            async with request as response:
                if response.status != 200:
                    raise DownloadHTTPError(f"{url}: HTTP {response.status}", response.status)
                async for chunk in response.content.iter_chunked(CHUNK_BYTES):
                    yield chunk
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise DownloadError(f"{url}: {type(error).__name__}") from error

    def _in_loop(self, work: Coroutine[Any, Any, R]) -> R:
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result(WHOLE_S + CONNECT_S)
        except (TimeoutError, CancelledError, RuntimeError) as error:
            raise DownloadError(f"given up ({type(error).__name__})") from error


async def _next(chunks: AsyncIterator[bytes]) -> tuple[bytes, bool]:
    """About a chunk of what comes, less only at the end; and whether there may be more."""
    gathered = bytearray()
    async for chunk in chunks:
        gathered += chunk
        if len(gathered) >= CHUNK_BYTES:
            return bytes(gathered), True
    return bytes(gathered), False


class PushedFetcher(FetcherInterface):
    """Gives what was pushed where that is asked for, and else asks another fetcher.

    That a root above the newest one named is not there is taken from the push, as it is from an answer over HTTPS: both
    are said by whoever holds the authority's certificate. For one look only, or what is pushed no more would freeze.

    Args:
        pushed: what came.
        base: address of the repository.
        otherwise: whom to ask for what did not come.
    """

    def __init__(self, pushed: Pushed, base: str, otherwise: FetcherInterface) -> None:
        self._pushed = pushed
        self._base = f"{base.rstrip('/')}/"
        self._otherwise = otherwise

    def download_bytes(self, url: str, max_length: int) -> bytes:
        """As python-tuf's, but what is in memory already takes no way through a file."""
        path = url.removeprefix(self._base)
        data = self._pushed.files.get(path)
        if data is None:
            self._require_no_later_root(path)
            return super().download_bytes(url, max_length)
        if len(data) > max_length:
            raise DownloadLengthMismatchError(f"{url}: longer than {max_length} bytes")
        return data

    def _fetch(self, url: str) -> Iterator[bytes]:
        path = url.removeprefix(self._base)
        if (data := self._pushed.files.get(path)) is not None:
            return iter((data,))
        self._require_no_later_root(path)
        return self._otherwise.fetch(url)

    def _require_no_later_root(self, path: str) -> None:
        root, newest = _ROOT.fullmatch(path), self._pushed.newest_root
        if root is not None and newest is not None and int(root[1]) > newest:
            raise DownloadHTTPError(f"{path}: not there when the version was pushed", NOT_FOUND)


class HeldFetcher(FetcherInterface):
    """Gives nothing but the timestamp that is held: what was believed before is then judged anew, from the disk alone.

    Args:
        timestamp: the timestamp metadata; None where none are held.
    """

    def __init__(self, timestamp: bytes | None) -> None:
        self._timestamp = timestamp

    def _fetch(self, url: str) -> Iterator[bytes]:
        if self._timestamp is None or not url.endswith("/timestamp.json"):
            raise DownloadHTTPError("not held", NOT_FOUND)
        return iter((self._timestamp,))


def https_context(roots_pem: bytes, certificate: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    """A client's TLS: 1.3 only, the federation's roots and no others.

    Args:
        roots_pem: the federation's roots.
        certificate: files of the client's certificate chain and key, where it is to prove itself.

    Raises:
        ConfigError: one of these cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_verify_locations(cadata=roots_pem.decode("ascii"))
        if certificate is not None:
            context.load_cert_chain(*certificate)
    except (ssl.SSLError, OSError, ValueError) as error:
        raise ConfigError(
            "the federation's roots, or the certificate for the authority, cannot be used; check the files of [tls]",
            "联盟根证书或用于连接管理机构的证书无法使用，请检查 [tls] 所列文件",
            field="tls",
        ) from error
    return context


def https_session(context: ssl.SSLContext) -> aiohttp.ClientSession:
    """A session with the authority; no cookies, no proxies, no decompression."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context, limit=8),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    )
