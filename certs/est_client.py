"""An EST client (RFC 7030, RFC 8951) for any EST server, ours or another's.

Owns: the four operations, finding the new certificate's chain, and what the server's status means. Refuses: redirects,
answers that are too large or too late, a certificate for another key than was asked for, and talking to a server that
the TLS context does not believe: the federation root is an explicit trust anchor (section 4.1.1), never learnt from it.
"""

from __future__ import annotations

import asyncio
import email.utils
import functools
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

import aiohttp
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from certs import est_wire
from certs.errors import EstError, EstLaterError
from certs.holders import certificate_pem
from certs.system_words import cut_off
from certs.yielding import yielding

WELL_KNOWN: Final = "/.well-known/est"
MAX_RETRY_AFTER_S: Final = 86_400.0
_DEFAULT_RETRY_AFTER_S: Final = 60.0
_MAX_REASON_BYTES: Final = 1_000


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A new certificate.

    Args:
        chain: it, then its issuer, and so on up to, but without, the root.
    """

    chain: tuple[x509.Certificate, ...]

    @property
    def certificate(self) -> x509.Certificate:
        """The certificate for the key of the request."""
        return self.chain[0]

    @property
    def pem(self) -> bytes:
        """What a TLS server or client presents."""
        return b"".join(certificate_pem(certificate) for certificate in self.chain)


class EstClient:
    """One EST server as seen by one holder. Use it as an asynchronous context manager, or `close` it."""

    def __init__(
        self,
        url: str,
        context: ssl.SSLContext,
        *,
        tls_name: str | None = None,
        timeout_s: float = 30.0,
        session: aiohttp.ClientSession | None = None,
        issuers: tuple[x509.Certificate, ...] = (),
    ) -> None:
        """Does not connect yet.

        Args:
            url: "https://host:port", with whatever path stands before "/.well-known/est".
            context: whom to believe; for `simplereenroll` with the certificate to be renewed (`certs.tls_context`).
            tls_name: the name that the server must prove, if it is not the host of `url`.
            timeout_s: for each operation as a whole.
            session: whose connections are used, and which is not closed here; without it there is one of its own.
            issuers: CA certificates that the server gave before; it is asked for them where none of these fits.

        Raises:
            EstError: the address is not HTTPS.
        """
        if not url.startswith("https://"):
            raise EstError("an EST server's address begins with https://", "EST 服务地址须以 https:// 开头")
        self._base = url.rstrip("/") + WELL_KNOWN
        self._context = context
        self._tls_name = tls_name
        self._timeout_s = timeout_s
        self._session = session
        self._shared = session is not None
        self._issuers = issuers

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close its connections."""
        if self._session is not None and not self._shared:
            await self._session.close()
            self._session = None

    @property
    def issuers(self) -> tuple[x509.Certificate, ...]:
        """The CA certificates that it goes by at the moment. They are no trust anchors."""
        return self._issuers

    async def cacerts(self, label: str = "") -> tuple[x509.Certificate, ...]:
        """The CA certificates as the server gives them. They are no trust anchors.

        Raises:
            EstError: the server cannot be reached, refuses, or its answer cannot be used.
        """
        # In a thread, as below: reading certificates takes a while, and calls may be waiting for this event loop.
        return await yielding(_given, await self._ask("GET", label, "cacerts"))

    async def csrattrs(self, label: str = "") -> tuple[str, ...]:
        """The object identifiers of what a request should be made with; none if the server has no wishes.

        Raises:
            EstError: as `cacerts`.
        """
        try:
            body = await self._ask("GET", label, "csrattrs")
        except EstError as error:
            if error.status == 404:
                return ()
            raise
        return est_wire.parse_csr_attributes(body) if body else ()

    async def simpleenroll(
        self, request: x509.CertificateSigningRequest, token_id: str, secret: str, label: str = ""
    ) -> Enrolled:
        """Enrol with a one-time token, or whatever user name and password the server takes.

        Args:
            request: the certification request.
            token_id: the token's id.
            secret: its secret.
            label: which kind of certificate, "" for the server's default.

        Raises:
            EstLaterError: the server wants to be asked again later, with the same request.
            EstError: as `cacerts`.
        """
        headers = {"Authorization": est_wire.basic(token_id, secret)}
        return await self._enrol("simpleenroll", request, label, headers)

    async def simplereenroll(self, request: x509.CertificateSigningRequest, label: str = "") -> Enrolled:
        """Renew, with the certificate of the TLS context as proof.

        Raises:
            EstLaterError: the server wants to be asked again later, with the same request.
            EstError: as `cacerts`.
        """
        return await self._enrol("simplereenroll", request, label, {})

    async def _enrol(
        self, operation: str, request: x509.CertificateSigningRequest, label: str, headers: dict[str, str]
    ) -> Enrolled:
        body = est_wire.request_body(request)
        headers = {**headers, "Content-Type": est_wire.PKCS10, **est_wire.TRANSFER_ENCODING}
        answer, key = await self._ask("POST", label, operation, body, headers), request.public_key()
        # In a thread: finding issuers means verifying signatures, and calls may be waiting for this event loop.
        chain = await yielding(_answered, answer, self._issuers, key)
        if len(chain) == 1:
            # The standard wants the new certificate alone. Its issuer may be newer than our last look, so look again.
            self._issuers = await self.cacerts(label)
            chain = await yielding(_ordered, chain, self._issuers, key)
        return Enrolled(chain)

    async def _ask(
        self, method: str, label: str, operation: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> bytes:
        path = f"/{label}/{operation}" if label else f"/{operation}"
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=4),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                headers={"Accept-Encoding": "identity"},
            )
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._session.request(
                    method,
                    self._base + path,
                    data=body or None,
                    headers=headers,
                    allow_redirects=False,
                    ssl=self._context,
                    server_hostname=self._tls_name,
                ) as response,
            ):
                return await _content(response)
        except TimeoutError as error:
            raise EstError(
                f"the EST server did not answer within {self._timeout_s:g} s",
                f"EST 服务在 {self._timeout_s:g} 秒内未应答",
                retryable=True,
            ) from error
        except aiohttp.ClientSSLError as error:
            raise EstError(
                "no TLS connection to the EST server: its certificate or ours is refused; compare root and name",
                "无法与 EST 服务建立 TLS 连接：其证书或本方证书被拒绝，请核对根证书与名称",
            ) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise EstError(
                f"the EST server cannot be reached ({type(error).__name__}); check the address and the network",
                f"无法连接 EST 服务（{cut_off(error).zh}），请检查地址与网络",
                retryable=True,
            ) from error


@functools.lru_cache(maxsize=1)
def _given(body: bytes) -> tuple[x509.Certificate, ...]:
    """The CA certificates that a server gives: the same each time but once in years, so those of last time are kept."""
    return est_wire.parse_certs_only(body)


def _answered(
    body: bytes, issuers: tuple[x509.Certificate, ...], key: CertificatePublicKeyTypes
) -> tuple[x509.Certificate, ...]:
    """The chain that a server answers."""
    return _ordered(est_wire.parse_certs_only(body), issuers, key)


def _ordered(
    answered: tuple[x509.Certificate, ...], issuers: tuple[x509.Certificate, ...], key: CertificatePublicKeyTypes
) -> tuple[x509.Certificate, ...]:
    """The chain of an answer; with the issuers known where it holds the certificate alone."""
    chain = est_wire.order_chain(answered, key)
    return est_wire.order_chain((chain[0], *issuers), key) if len(chain) == 1 and issuers else chain


async def _content(response: aiohttp.ClientResponse) -> bytes:
    if response.status in (200, 204):
        return await _read(response, est_wire.MAX_ANSWER_BYTES)
    if response.status in (202, 429, 503):
        raise EstLaterError(_retry_after_s(response.headers), response.status)
    en, zh = reasons((await _read(response, _MAX_REASON_BYTES, whole=False)).decode("utf-8", "replace"))
    raise EstError(
        f"the EST server refuses with status {response.status}: {en or 'no reason given'}",
        f"EST 服务拒绝请求，状态码 {response.status}：{zh or '未说明原因'}",
        status=response.status,
        retryable=response.status >= 500,
    )


def reasons(text: str) -> tuple[str, str]:
    """A server's reason in English and in Chinese; ours gives a line of each, another's is taken for both."""
    lines = ["".join(c if c.isprintable() else " " for c in line).strip() for line in text.splitlines()]
    en, zh = (" ".join(line for line in lines if line.isascii() is plain) for plain in (True, False))
    return en.strip() or zh.strip(), zh.strip() or en.strip()


async def _read(response: aiohttp.ClientResponse, limit: int, *, whole: bool = True) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limit:
            if not whole:
                return bytes(body[:limit])
            raise EstError(f"the EST server's answer is larger than {limit} bytes", f"EST 服务的应答超过 {limit} 字节")
    return bytes(body)


def _retry_after_s(headers: Mapping[str, str]) -> float:
    """Seconds, or the time from the answer's date until another (RFC 9110 section 10.2.3); at most a day."""
    value = headers.get("Retry-After", "")
    if value.isascii() and value.isdigit():
        return min(float(value[:9]), MAX_RETRY_AFTER_S)
    try:
        wait = _unix(value) - _unix(headers.get("Date", ""))
    except (ValueError, OverflowError):
        return _DEFAULT_RETRY_AFTER_S
    return min(max(wait, 1.0), MAX_RETRY_AFTER_S)


def _unix(date: str) -> float:
    return email.utils.parsedate_to_datetime(date).timestamp()
