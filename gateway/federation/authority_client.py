"""What this gateway tells the federation's authority, and asks it: its keys, and who works with which directory.

Owns: the messages of proto/wugan/federation/v1/authority.proto over HTTPS with own TLS certificate; and `Partnership`,
which says whether every other member works with a directory. Refuses: redirects, answers that are too large or too
late, and an authority that does not prove its name under the federation root. Failures are `RotationError`s, which a
rotation survives; what may pass is tried again a few times before.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from typing import Final, TypeVar

import aiohttp
from google.protobuf.message import DecodeError, Message
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from certs.errors import CertsError, RotationError
from certs.rotation import KeySet, Seen
from certs.system_words import cut_off
from gateway.errors import WuganError
from gateway.exchange.keys import key_id
from gateway.federation.authority_link import AuthorityLink
from gateway.federation.directory import DirectorySource
from gateway.federation.directory_build import signing_key
from gateway.sections.trust import AuthoritySettings
from wugan.federation.v1 import authority_pb2, directory_pb2, envelope_pb2

PROTOBUF: Final = "application/x-protobuf"
MAX_ANSWER_BYTES: Final = 1 << 20
TIMEOUT_S: Final = 10.0
"""For each try as a whole."""
TRIES: Final = 3

M = TypeVar("M", bound=Message)
_SPREAD: Final = wait_random_exponential(multiplier=0.2, max=2.0)


LONGEST_PAUSE_S: Final = 5.0
"""Before another try, whatever the authority asks for: whoever waits longer begins anew."""


class LaterError(RotationError):
    """It may work when tried again; `after_s`: not before, seconds."""

    def __init__(self, en: str, zh: str, *, after_s: float = 0.0) -> None:
        super().__init__(en, zh)
        self.after_s = after_s


class AuthorityClient:
    """The authority as one member sees it.

    Args:
        settings: where it is and what it must prove.
        member_id: who asks.
        link: how it is reached.
    """

    def __init__(self, settings: AuthoritySettings, member_id: str, link: AuthorityLink) -> None:
        self._url = settings.url.rstrip("/")
        self._tls_name = settings.tls_name
        self._member_id = member_id
        self._link = link
        self._telling: tuple[int, asyncio.Task[Mapping[str, int]]] | None = None

    async def publish(self, keys: KeySet) -> int:
        """The first directory version that lists exactly these keys (`certs.rotation.Publisher`).

        Raises:
            CertsError: the authority cannot be reached, or refuses.
        """
        receipt = await self._ask(
            "POST", "/directory/keys", publication(self._member_id, keys), authority_pb2.PublicationReceipt()
        )
        if receipt.directory_version < 1:
            raise _faulty()
        return receipt.directory_version

    async def report_seen(self, version: int) -> Mapping[str, int]:
        """Say with which version of the directory this gateway works; every member's, as the authority knows it.

        Whoever says the same while it is being said waits for that: a new directory wakes several that would, and
        where it brought another TLS certificate each of them would need a connection of its own.

        Raises:
            CertsError: as `publish`.
        """
        telling = self._telling
        if telling is None or telling[0] != version or telling[1].done():
            telling = self._telling = version, asyncio.create_task(self._report(version))
            telling[1].add_done_callback(_noticed)
        # Whoever gives up waiting takes nothing from the others.
        return await asyncio.shield(telling[1])

    async def _report(self, version: int) -> Mapping[str, int]:
        told = authority_pb2.DirectorySeen(version=version)
        return _versions(await self._ask("POST", "/directory/seen", told, authority_pb2.SeenReport()))

    async def seen(self) -> Mapping[str, int]:
        """With which version every member's gateway works, as the authority knows it.

        Raises:
            CertsError: as `publish`.
        """
        return _versions(await self._ask("GET", "/directory/seen", None, authority_pb2.SeenReport()))

    async def _ask(self, method: str, path: str, body: Message | None, answer: M) -> M:
        retrying = AsyncRetrying(
            stop=stop_after_attempt(TRIES),
            wait=_pause_s,
            retry=retry_if_exception_type(LaterError),
            reraise=True,
        )
        raw: bytes = await retrying(self._once, method, path, None if body is None else body.SerializeToString())
        try:
            answer.ParseFromString(raw)
        except DecodeError as error:
            raise _faulty() from error
        return answer

    async def _once(self, method: str, path: str, body: bytes | None) -> bytes:
        context = await self._link.proving()
        headers = {"Accept": PROTOBUF} if body is None else {"Accept": PROTOBUF, "Content-Type": PROTOBUF}
        try:
            async with (
                asyncio.timeout(TIMEOUT_S),
                self._link.session.request(
                    method,
                    self._url + path,
                    data=body,
                    headers=headers,
                    allow_redirects=False,
                    ssl=context,
                    server_hostname=self._tls_name,
                ) as response,
            ):
                return await _content(response)
        except aiohttp.ClientSSLError as error:
            raise RotationError(
                "no TLS connection to the authority: its certificate or ours is refused; compare root and name",
                "无法与管理机构建立 TLS 连接：其证书或本方证书被拒绝，请核对根证书与名称",
            ) from error
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise LaterError(
                f"the authority cannot be reached ({type(error).__name__}); check authority.url and the network",
                f"无法连接管理机构（{cut_off(error).zh}），请检查 authority.url 与网络",
            ) from error


class Partnership:
    """Whether every other member of the directory works with a version of it (`certs.rotation.Witness`).

    Args:
        client: the authority.
        directory: the directory in force.
        member_id: who asks.
    """

    def __init__(self, client: AuthorityClient, directory: DirectorySource, member_id: str) -> None:
        self._client = client
        self._directory = directory
        self._member_id = member_id
        self._latest_end_ms = 0
        self._asked = 0
        self._older_end_ms = 0
        directory.subscribe(self._note)

    async def seen(self, version: int) -> Seen:
        """Whether all work with this version, or a later one.

        A partner that takes nothing newer refuses everything once the timestamp expires that it fetched last. No
        timestamp was signed for an older version after this one was published, and they all live equally long: so when
        this version is first held here, with a timestamp signed after that, every older one expires before it, and
        before the latest end held so far, should lives have been shortened meanwhile. That moment is kept: later
        timestamps of this version say nothing about the older ones. After a restart it is later than need be.

        Raises:
            CertsError: the authority or the directory does not tell.
        """
        try:
            if self._directory.current().version < version:
                await self._directory.refresh(version)  # the push stream may have led there first
            held = self._directory.current()
        except WuganError as error:
            raise RotationError(error.en, error.zh) from error
        report = await self._client.report_seen(held.version)
        if held.version < version:
            return Seen(everywhere=False)
        if self._asked != version:
            self._note()
            self._asked, self._older_end_ms = version, self._latest_end_ms
        # Who has no signing key listed, because it was revoked or has not enrolled yet, exchanges messages with nobody:
        # it tells nothing, and must not hold up everybody else's keys until the older directories expire.
        others = (member.member_id for member in held.others(self._member_id) if member.signing_keys)
        return Seen(all(report.get(member, 0) >= version for member in others), self._older_end_ms)

    def _note(self) -> None:
        with contextlib.suppress(WuganError):  # it has expired: then its end was noted before
            self._latest_end_ms = max(self._latest_end_ms, self._directory.current().expires_at_ms)


class Reports:
    """The same by the authority's word alone, for a command that runs where no gateway has the directory."""

    def __init__(self, client: AuthorityClient, member_id: str) -> None:
        self._client = client
        self._member_id = member_id

    async def seen(self, version: int) -> Seen:
        """Whether all work with this version, or a later one. Raises CertsError."""
        report = await self._client.seen()
        return Seen(all(at >= version for member, at in report.items() if member != self._member_id))


def publication(member_id: str, keys: KeySet) -> authority_pb2.KeyPublication:
    """The message in which a member tells its keys.

    Raises:
        RotationError: a signing certificate is none.
    """
    try:
        signing = [signing_key(entry.certificate, entry.intermediates) for entry in keys.signing]
    except WuganError as error:
        raise RotationError(error.en, error.zh) from error
    encryption = [
        directory_pb2.EncryptionKey(
            key_id=key_id(entry.public_key),
            suite=envelope_pb2.SUITE_XWING_ED25519,
            public_key=entry.public_key,
            not_before_ms=entry.not_before_ms,
            not_after_ms=entry.not_after_ms,
        )
        for entry in keys.encryption
    ]
    return authority_pb2.KeyPublication(
        member_id=member_id,
        sequence=keys.sequence,
        tls_certificates=keys.tls_certificates,
        signing_keys=signing,
        encryption_keys=encryption,
    )


def _pause_s(state: RetryCallState) -> float:
    """What the authority asks for, and more by chance: members that were refused together do not come back together."""
    error = state.outcome.exception() if state.outcome is not None else None
    return _SPREAD(state) + min(getattr(error, "after_s", 0.0), LONGEST_PAUSE_S)


def _after_s(text: str) -> float:
    """Of a header Retry-After; a date in it is not looked at, the authority sends none."""
    return float(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0.0


def _noticed(told: asyncio.Task[Mapping[str, int]]) -> None:
    """Look at how it ended, which nobody may have waited for."""
    if not told.cancelled():
        told.exception()


def _versions(report: authority_pb2.SeenReport) -> dict[str, int]:
    return {member.member_id: member.version for member in report.members}


async def _content(response: aiohttp.ClientResponse) -> bytes:
    if response.status in (429, 502, 503, 504):
        raise LaterError(
            f"the authority is busy or starting (status {response.status}); tried again later",
            f"管理机构繁忙或正在启动（状态 {response.status}），稍后重试",
            after_s=_after_s(response.headers.get("Retry-After", "")),
        )
    if response.status != 200:
        en, zh = reasons(await _bounded(response))
        raise RotationError(
            f"the authority refused (status {response.status}): {en}",
            f"管理机构拒绝了请求（状态 {response.status}）：{zh}",
        )
    if response.content_type != PROTOBUF:
        raise _faulty()
    return await _bounded(response)


def reasons(body: bytes) -> tuple[str, str]:
    """Why, from problem details (RFC 9457), in both languages."""
    try:
        told = json.loads(body)
        en, zh = _printable(told["detail"]), _printable(told["detail_zh"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return "it does not say why; its log does", "未说明原因，见其日志"
    return en, zh


def _printable(text: object) -> str:
    return "".join(c if c.isprintable() else " " for c in str(text)[:500])


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    if (response.content_length or 0) > MAX_ANSWER_BYTES:
        raise _faulty()
    parts = bytearray()
    async for part in response.content.iter_chunked(64 << 10):
        parts += part
        if len(parts) > MAX_ANSWER_BYTES:
            raise _faulty()
    return bytes(parts)


def _faulty() -> CertsError:
    return RotationError(
        "the authority's answer is not one; check authority.url, and the versions of both",
        "管理机构的答复无效，请检查 authority.url 与双方版本",
    )
