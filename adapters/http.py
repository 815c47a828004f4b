"""One HTTP request to a department's interface, and its answer within bounds, JSON or XML.

Owns: TLS and credentials (a token is fetched, a signature made anew for every try), retries within the deadline, which
failures mean "down" and which "faulty", and the size and type of what is read. Refuses: redirects, cookies, proxies
from the environment, unverified TLS, and telling any of an answer's content in an error.

| what happened | means |
|---|---|
| no or a broken connection, 429, 502, 503, 504, busy code | tried again while tries, time and budget last, then down |
| 429, 503 with a time to come back (Retry-After) | down |
| other 5xx, certificate not trusted | down |
| 401 with a token of OAuth 2.0 | once more with another token, then faulty |
| 401, 403, redirects, other 4xx, wrong type, too large, not JSON or XML, result code not ok | faulty |
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, cast

import aiohttp
from tenacity import AsyncRetrying, RetryCallState, wait_random_exponential
from yarl import URL

from adapters import retries, xml_answers
from adapters.budget import Budget
from adapters.errors import SourceDownError, SourceFaultError
from adapters.manifest.document import Place
from adapters.manifest.model import ApiManifest
from adapters.manifest.secret import SecretMissingError, require_private
from adapters.manifest.sources import Result
from adapters.oauth2 import TokenDownError, TokenRefusedError, Tokens
from adapters.paths import Json, field_of
from adapters.signing import Signer
from adapters.values import text_of
from certs.private_files import opened
from certs.system_words import cut_off

_AGAIN = frozenset({429, 502, 503, 504})
RETRY_SHARE: Final = 0.1
"""Further tries at most, as a share of requests: an interface that is all gone is asked 1.10 times for each."""
_FIRST_RETRIES: Final = 4.0
"""Further tries before any request was counted, so that the very first ones get over a passing trouble."""
_INLINE_BYTES = 256 * 1024
"""A larger answer is parsed in a thread, so that other questions are not kept waiting."""
_HALF = re.compile("[\ud800-\udfff]")
"""Half of a surrogate pair; JSON may write one as an escape (RFC 8259, 8.2)."""
_HTTP_NOT_FOUND = 404
_HTTP_OK = 200
_HTTP_UNAUTHORISED = 401


class _AgainError(SourceDownError):
    """Down, and worth another try at once."""


class _UnauthorisedError(SourceFaultError):
    """The token is not taken; another may be."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request, filled in.

    Args:
        method, url: of it.
        body: JSON, or a text that is sent as it stands; None for a GET.
        not_found_is_nobody: whether 404 means that nobody was found.
        headers: of this request alone.
    """

    method: str
    url: URL
    body: object = None
    not_found_is_nobody: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """A parsed answer; `nobody` when the interface says that it found nobody. `next_link` from the Link header, `date`
    as that header stands.
    """

    body: Json
    nobody: bool = False
    next_link: str = ""
    date: str = ""


class Client:
    """The HTTP client of one interface.

    Args:
        manifest: of kind `api`.
        now_ms: Unix time in milliseconds.

    Raises:
        ManifestError: a secret or a certificate is missing or wrong.
    """

    def __init__(self, manifest: ApiManifest, now_ms: Callable[[], int]) -> None:
        self._manifest = manifest
        self._source = manifest.source
        self._headers = {"Accept": ", ".join(self._source.content_types)}
        for name, value in self._source.headers.items():
            text = manifest.reveal(value, ("source", "headers", name))
            if not (text.isprintable() and name.isascii() and name.isprintable()):
                raise manifest.error(("source", "headers", name), "is not a header", "不是有效的请求头")
            self._headers[name] = text
        self._tls = self._context()
        self._signer = self._make_signer(now_ms)
        self._tokens = self._make_tokens(now_ms)
        self._session: aiohttp.ClientSession | None = None
        self._closed = False
        self._places = asyncio.Semaphore(manifest.concurrency)
        self._budget = Budget(RETRY_SHARE, reserve=_FIRST_RETRIES)

    async def fetch(self, request: Request) -> Answer:
        """The answer to a request. Call it within a deadline: it has none of its own.

        Raises:
            SourceDownError: see the table above.
            SourceFaultError: see the table above.
        """
        self._budget.earn()
        attempts = AsyncRetrying(wait=wait_random_exponential(multiplier=0.05, max=1.0), retry=self._again)
        async for attempt in attempts:
            with attempt:
                async with self._places:
                    return await self._once(request)
        raise self._down("no try left", "已无可用的重试次数")

    def _again(self, state: RetryCallState) -> bool:
        """Whether another try follows one that failed; it is taken out of the budget."""
        failed = state.outcome is not None and isinstance(state.outcome.exception(), _AgainError)
        further = failed and state.attempt_number <= self._source.retries and self._budget.spend()
        if further:
            retries.again(self._manifest.adapter_id)
        return further

    async def close(self) -> None:
        """Close its connections."""
        self._closed = True
        if self._session is not None:
            await self._session.close()

    async def _once(self, request: Request) -> Answer:
        if self._closed:
            raise self._down("is closed", "连接已关闭")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._manifest.concurrency, ssl=self._tls),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(total=self._manifest.timeout_s),
                raise_for_status=False,
            )
        session, token = self._session, ""
        if self._tokens is not None:
            token = await self._token(session)
            try:
                return await self._send(session, request, token)
            except _UnauthorisedError:
                token = await self._token(session, instead_of=token)
                retries.again(self._manifest.adapter_id)
        return await self._send(session, request, token)

    async def _token(self, session: aiohttp.ClientSession, instead_of: str = "") -> str:
        assert self._tokens is not None  # noqa: S101  asked by the only caller
        try:
            return await self._tokens.token(session, instead_of=instead_of)
        except TokenDownError as error:
            raise _AgainError(*self._texts(error.en, error.zh)) from error
        except TokenRefusedError as error:
            raise self._fault(error.en, error.zh) from error

    async def _send(self, session: aiohttp.ClientSession, request: Request, token: str) -> Answer:
        data, headers = self._written(request)
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if self._signer is not None:
            headers |= self._signer.headers(request.method, request.url, data or b"")
        try:
            async with session.request(
                request.method, request.url, data=data, headers=headers, allow_redirects=False
            ) as response:
                if response.status == _HTTP_NOT_FOUND and request.not_found_is_nobody:
                    return Answer(None, nobody=True)
                self._check_status(response.status, response.headers.get("Retry-After", "0"))
                if response.content_type not in self._source.content_types:
                    raise self._fault(
                        f"an answer is not {self._source.content_types[0]}", f"应答不是 {self._source.content_types[0]}"
                    )
                answer = await self._read(response)
                charset = response.charset
                following = response.links.get("next")
                next_link = str(following["url"]) if following else ""
                date = response.headers.get("Date", "")
        except aiohttp.ClientSSLError as error:
            raise self._down(
                "its TLS certificate is not trusted, or ours is not", "对方 TLS 证书不受信任，或本方证书不被接受"
            ) from error
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, ConnectionError) as error:
            raise _AgainError(
                *self._texts(f"no connection ({cut_off(error).en})", f"连接失败：{cut_off(error).zh}")
            ) from error
        except TimeoutError as error:
            raise self._down("no answer in time", "未在时限内应答") from error
        except (aiohttp.ClientError, ValueError, LookupError) as error:
            raise self._fault(f"not proper HTTP ({type(error).__name__})", "不是正确的 HTTP 应答") from error
        if len(answer) <= _INLINE_BYTES:
            body = self._parsed(answer, charset)
        else:
            body = await asyncio.to_thread(self._parsed, answer, charset)
        return self._judge(body, next_link, date)

    def _written(self, request: Request) -> tuple[bytes | None, dict[str, str]]:
        """The body in bytes, because they may be signed, and headers of this try."""
        headers = dict(request.headers)
        if request.body is None:
            return None, headers
        if self._source.format == "xml":
            headers.setdefault("Content-Type", f"{self._source.content_types[0]}; charset=utf-8")
            return str(request.body).encode("utf-8", "replace"), headers
        headers.setdefault("Content-Type", "application/json")
        return json.dumps(request.body).encode(), headers

    def _parsed(self, data: bytes, charset: str | None) -> Json:
        """The answer as a tree; what is embedded in it as a text is the answer, where the settings say so."""
        body = self._tree(data, charset, xml=self._source.format == "xml")
        if self._source.embedded is None:
            return body
        text = field_of(body, self._source.embedded)
        if not isinstance(text, str):
            raise self._fault("no text stands where `embedded` says", "embedded 所指处没有文本")
        return self._tree(text.encode(), "utf-8", xml=text.lstrip().startswith("<"))

    def _tree(self, data: bytes, charset: str | None, *, xml: bool) -> Json:
        if not xml:
            body = _parse(data)
            if isinstance(body, _NotJson):
                raise self._fault("an answer is not JSON", "应答不是 JSON")
            return body
        try:
            return xml_answers.parse(data, charset)
        except xml_answers.NotXmlError as error:
            raise self._fault(f"an answer is not XML that is read ({error})", "应答不是可读取的 XML") from error

    def _check_status(self, status: int, later: str) -> None:
        if status == _HTTP_OK:
            return
        if status == _HTTP_UNAUTHORISED and self._tokens is not None:
            raise _UnauthorisedError(*self._texts(f"HTTP status {status}", f"HTTP 状态 {status}"))
        if status in _AGAIN and later.strip() == "0":  # named in seconds, or by a date: either is for later lookups
            raise _AgainError(*self._texts(f"HTTP status {status}", f"HTTP 状态 {status}"))
        if status >= 500 or status in _AGAIN:
            raise self._down(f"HTTP status {status}", f"HTTP 状态 {status}")
        raise self._fault(f"HTTP status {status}", f"HTTP 状态 {status}")

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        limit = self._source.max_response_bytes
        parts: list[bytes] = []
        size = 0
        async for part in response.content.iter_chunked(65_536):
            size += len(part)
            if size > limit:
                raise self._fault(f"an answer is larger than {limit} bytes", f"应答超过 {limit} 字节")
            parts.append(part)
        return b"".join(parts)

    def _judge(self, body: Json, next_link: str, date: str) -> Answer:
        result: Result | None = self._source.result
        if result is None:
            return Answer(body, next_link=next_link, date=date)
        code = text_of(field_of(body, result.field))
        if code in result.ok:
            return Answer(body, next_link=next_link, date=date)
        if code in result.nobody:
            return Answer(None, nobody=True, date=date)
        if code in result.busy:
            raise _AgainError(*self._texts("busy, by its result code", "结果码表示繁忙"))
        raise self._fault("its result code is not one of success", "结果码不表示成功")

    def _make_signer(self, now_ms: Callable[[], int]) -> Signer | None:
        settings, place = self._source.signing, ("source", "signing")
        if settings is None:
            return None
        identity, token = (
            self._header_text(self._manifest.reveal(value, (*place, name)), (*place, name))
            for name, value in (("id", settings.id), ("token", settings.token))
        )
        try:
            return Signer(settings, identity, token, now_ms)
        except ValueError as error:
            en, zh = "this machine's OpenSSL has no such method", "本机 OpenSSL 不支持该算法"
            raise self._manifest.error((*place, "method"), en, zh) from error

    def _make_tokens(self, now_ms: Callable[[], int]) -> Tokens | None:
        settings, place = self._source.oauth2, ("source", "oauth2")
        if settings is None:
            return None
        client_id = self._manifest.reveal(settings.client_id, (*place, "client_id"))
        secret = self._manifest.reveal(settings.client_secret, (*place, "client_secret"))
        return Tokens(settings, client_id, secret, now_ms)

    def _header_text(self, text: str, place: Place) -> str:
        if not text.isprintable():
            raise self._manifest.error(place, "cannot stand in a header", "不能用于请求头")
        return text

    def _context(self) -> ssl.SSLContext | bool:
        source = self._source
        if not source.base_url.startswith("https:"):
            return True
        folder = self._manifest.folder
        try:
            context = ssl.create_default_context(cafile=None if source.ca is None else str(folder / source.ca))
        except (OSError, ssl.SSLError) as error:
            raise self._manifest.error(
                ("source", "ca"), "cannot be read as PEM certificates", "无法读取为 PEM 证书"
            ) from error
        own = source.client_certificate
        if own is not None:
            place = ("source", "client_certificate")
            secret = "" if own.passphrase is None else self._manifest.reveal(own.passphrase, (*place, "passphrase"))
            try:
                with open(opened(folder / own.key), "rb") as stream:  # noqa: PTH123 - a descriptor, not a path
                    require_private(stream.fileno())
                # A callable: with a plain string OpenSSL would ask at the terminal when it is empty.
                context.load_cert_chain(folder / own.certificate, folder / own.key, lambda: secret)
            except SecretMissingError as error:
                raise self._manifest.error((*place, "key"), error.en, error.zh) from error
            except (OSError, ssl.SSLError, ValueError) as error:
                raise self._manifest.error(
                    place,
                    "certificate, key and passphrase do not fit or are unreadable",
                    "证书、私钥、口令不匹配或不可读",
                ) from error
        return context

    def _texts(self, en: str, zh: str) -> tuple[str, str]:
        name = self._manifest.adapter_id
        return f"{name}: {en}", f"{name}：接口未正常应答（{zh}）"

    def _down(self, en: str, zh: str) -> SourceDownError:
        return SourceDownError(*self._texts(en, zh))

    def _fault(self, en: str, zh: str) -> SourceFaultError:
        return SourceFaultError(*self._texts(en, zh))


class _NotJson:
    """What is not JSON."""


def _no_constant(_: str) -> float:
    raise ValueError("NaN and Infinity are not JSON")


def _parse(data: bytes) -> Json | _NotJson:
    try:
        text = data.decode("utf-8-sig")
        body = cast("Json", json.loads(text, parse_constant=_no_constant))
        return _whole(body) if "\\ud" in text or "\\uD" in text else body
    except (ValueError, RecursionError):
        return _NotJson()


def _whole(value: Json) -> Json:
    """A tree in which halves of surrogate pairs, which no other text can hold, are marked as what does not decode."""
    if isinstance(value, str):
        return _HALF.sub("\ufffd", value)
    if isinstance(value, list):
        return [_whole(inside) for inside in value]
    if isinstance(value, dict):
        return {_HALF.sub("\ufffd", key): _whole(inside) for key, inside in value.items()}
    return value


def filled(template: object, places: Mapping[str, object], separator: str) -> object:
    """A request template with its places filled in.

    A text that is nothing but a place becomes its value, a list included; inside a longer text values are written out.
    """
    if isinstance(template, str):
        if template in places:
            return places[template]
        for place, value in places.items():
            if place in template:
                template = template.replace(place, _written(value, separator))
        return template
    if isinstance(template, dict):
        return {key: filled(value, places, separator) for key, value in template.items()}
    if isinstance(template, list):
        return [filled(value, places, separator) for value in template]
    return template


def _written(value: object, separator: str) -> str:
    if isinstance(value, list):
        return separator.join(str(item) for item in value)
    return "" if value is None else str(value)


def same_origin(base: URL, link: str) -> URL | None:
    """A next page's address, made absolute; None if it leads to another place than the interface itself."""
    try:
        url = base.join(URL(link))
        return url if url.origin() == base.origin() else None
    except ValueError:
        return None
