"""The authority's HTTPS service: the TUF repository, the push stream, and what members' gateways tell it.

    GET  /tuf/metadata/…, /tuf/targets/…   the repository; for everybody
    GET  /directory/events                 the push stream (`gateway.authority.event_streams`); for everybody
    POST /directory/keys                   KeyPublication → PublicationReceipt; a member's gateway, by its certificate
    POST /directory/seen                   DirectorySeen → SeenReport; likewise
    GET  /directory/seen                   SeenReport; likewise

Owns: HTTP, coalescing publications that arrive together into one version, noticing what a command published. Refuses:
a member's publications beyond its allowance; telling those who listen; and judging and writing: the office does, in a
thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeVar

import structlog
from aiohttp import web
from google.protobuf.message import DecodeError, Message

from certs.errors import CertsError
from gateway.authority.allowance import Allowances
from gateway.authority.event_streams import EventStreams
from gateway.authority.marks import mark_of
from gateway.authority.mirror import Mirror
from gateway.authority.office import Office
from gateway.authority.peer import client
from gateway.authority.refusals import Refusal, Refusals
from gateway.clock import Clock
from gateway.errors import AccessError, DirectoryError, RefusedError, StoreError, WuganError
from wugan.federation.v1 import authority_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

M = TypeVar("M", bound=Message)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

PROTOBUF: Final = "application/x-protobuf"
MAX_BODY_BYTES: Final = 1 << 20
MAX_WAITING: Final = 4096
"""Publications that wait for their version at most; one more is refused."""
TOGETHER_S: Final = 0.2
"""How long publications are gathered for one version."""
WATCH_S: Final = 0.05
"""How often the timestamp is looked at: commands publish too, from other processes."""
FLUSH_S: Final = 0.5
UPKEEP_S: Final = 60.0
ENDINGS_S: Final = 86_400.0

_METADATA: Final = r"{name:(?:[1-9][0-9]*\.(?:root|targets|snapshot)|timestamp)\.json}"
_TARGET: Final = r"{name:[0-9a-f]{64}\.directory\.pb}"
_STATUS: Final = {
    words.REFUSAL_REASON_STRANGER: 403,
    words.REFUSAL_REASON_PEER_MISMATCH: 403,
    words.REFUSAL_REASON_INVALID_ARGUMENT: 400,
    words.REFUSAL_REASON_DIRECTORY_EXPIRED: 400,
    words.REFUSAL_REASON_QUOTA_EXCEEDED: 429,
    words.REFUSAL_REASON_OVERLOADED: 503,
    words.REFUSAL_REASON_INTERNAL: 503,
}
_MEMBER: Final = web.RequestKey("member", str)
"""Where a request keeps whose certificate was shown, for the log."""
_WHY: Final = web.RequestKey("why", str)
"""Where it keeps why it is refused, for the log, where the code does not say it."""
_log = structlog.stdlib.get_logger(__name__)


class DirectoryService:
    """The directory's part of the authority's service; use it as `async with`.

    Args:
        office: does the work.
        clock: tells when a version was seen.
    """

    def __init__(self, office: Office, clock: Clock) -> None:
        self._office = office
        self._clock = clock
        self._federation = office.settings.federation
        self._tuf = office.folder / "tuf"
        self._mirror = Mirror()
        self._events = EventStreams(self._tuf)
        self._waiting: list[tuple[authority_pb2.KeyPublication, asyncio.Future[int]]] = []
        self._arrived = asyncio.Event()
        self._seen: dict[str, tuple[int, int]] = {}
        self._allowances = Allowances(clock)
        self._told_s: dict[str, float] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> DirectoryService:
        """Put in order what a crash left, and begin to watch."""
        await asyncio.to_thread(self._office.upkeep)
        self._events.version = await asyncio.to_thread(self._office.version)
        for work in (self._watch, self._publish, self._keep_up, self._keep_seen):
            self._tasks.append(asyncio.create_task(work()))
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Stop."""
        self.close_streams()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, self._events.ended(), return_exceptions=True)
        for _, waiting in self._waiting:
            waiting.cancel()
        await self._flush()

    def close_streams(self) -> None:
        """End every push stream, so that the server can stop."""
        self._events.close()

    def add_to(self, app: web.Application) -> None:
        """Serve these paths in an application."""
        refusals = Refusals(self._clock)
        app.add_routes(
            [
                web.get(f"/tuf/metadata/{_METADATA}", self._metadata),
                web.get(f"/tuf/targets/{_TARGET}", self._target),
                web.get("/directory/events", self._events.serve),
                web.post("/directory/keys", _answering(refusals, self._keys)),
                web.post("/directory/seen", _answering(refusals, self._report_seen)),
                web.get("/directory/seen", _answering(refusals, self._tell_seen)),
            ]
        )

    # the repository

    async def _metadata(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        kept = "no-cache" if name == "timestamp.json" else "public, max-age=31536000, immutable"
        return await self._mirror.response(self._tuf / "metadata" / name, "application/json", kept)

    async def _target(self, request: web.Request) -> web.StreamResponse:
        path = self._tuf / "targets" / request.match_info["name"]
        return await self._mirror.response(path, PROTOBUF, "public, max-age=31536000, immutable")

    async def _watch(self) -> None:
        """Notice a new timestamp, whoever wrote it."""
        timestamp, known = str(self._tuf / "metadata" / "timestamp.json"), None
        while True:
            mark = mark_of(timestamp)
            if mark not in (known, None):
                before = self._events.version
                version = await asyncio.to_thread(self._office.version)
                if self._events.version != before:
                    continue  # a member published meanwhile: what was looked up may be the version before that
                known = mark
                if version and version != before:
                    self._events.announce(version)
            await asyncio.sleep(WATCH_S)

    # what members tell

    async def _keys(self, request: web.Request) -> Message:
        publication = await _body(request, authority_pb2.KeyPublication)
        member_id = await self._peer(request)
        if publication.member_id != member_id:
            raise AccessError(
                "a gateway publishes the keys of its own member only",
                "网关只能发布本成员的密钥",
                reason=words.REFUSAL_REASON_PEER_MISMATCH,
                field="member_id",
            )
        if wait_s := self._allowances.wait_s(member_id):
            raise RefusedError(
                "this member published too often; publish again later, all keys in one publication",
                "本成员发布过于频繁，请稍后再发布，并将全部密钥合并为一次发布",
                reason=words.REFUSAL_REASON_QUOTA_EXCEEDED,
                retryable=True,
                retry_after_ms=math.ceil(wait_s * 1000),
            )
        if len(self._waiting) >= MAX_WAITING or self._events.closed:
            raise RefusedError(
                "too many publications at once; try again shortly",
                "发布请求过多，请稍后重试",
                reason=words.REFUSAL_REASON_OVERLOADED,
                retryable=True,
                retry_after_ms=1000,
            )
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((publication, answer))
        self._arrived.set()
        return authority_pb2.PublicationReceipt(directory_version=await answer)

    async def _publish(self) -> None:
        while True:
            await self._arrived.wait()
            await asyncio.sleep(TOGETHER_S)
            self._arrived.clear()
            batch, self._waiting = self._waiting, []
            try:
                results = await asyncio.to_thread(self._office.take, [publication for publication, _ in batch])
            except WuganError as error:
                results = [error] * len(batch)
            except CertsError as error:
                results = [StoreError(error.en, error.zh)] * len(batch)
            except Exception as error:  # noqa: BLE001  whatever it was, those who wait are told, and the next are served
                _log.error("publication failed", error=type(error).__name__)
                results = [_out_of_order()] * len(batch)
            # At once, not when the timestamp is looked at next.
            newest = max((result for result in results if isinstance(result, int)), default=0)
            if newest > self._events.version:
                self._events.announce(newest)
            for (_, waiting), result in zip(batch, results, strict=True):
                if waiting.done():
                    continue
                if isinstance(result, WuganError):
                    waiting.set_exception(result)
                else:
                    waiting.set_result(result)

    async def _report_seen(self, request: web.Request) -> Message:
        version = (await _body(request, authority_pb2.DirectorySeen)).version
        member_id, certificate = self._client(request)
        found = await asyncio.to_thread(self._with_seen, member_id, certificate, version)
        if found is None:
            error = _not_published()
            request[_WHY] = error.en
            raise error
        report, self._seen[member_id] = found
        return report

    def _with_seen(
        self, member_id: str, certificate: bytes, version: int
    ) -> tuple[authority_pb2.SeenReport, tuple[int, int]] | None:
        """In a thread, in one piece: who works with which version once this member works with that one, and since when
        it does; None where there is no such version yet.
        """
        self._office.require_peer(member_id, certificate)
        if version < 1:
            raise RefusedError("there is no such directory version", "没有该版本的成员目录", field="version")
        if version > self._events.version and version > self._office.version():
            return None
        seen = version, self._clock.now_ms()
        return self._office.report({**self._seen, member_id: seen}), seen

    async def _tell_seen(self, request: web.Request) -> Message:
        return await asyncio.to_thread(self._told, *self._client(request))

    def _told(self, member_id: str, certificate: bytes) -> authority_pb2.SeenReport:
        """In a thread."""
        self._office.require_peer(member_id, certificate)
        return self._office.report(dict(self._seen))

    def _client(self, request: web.Request) -> tuple[str, bytes]:
        """Which member's gateway asks, and its certificate; whether it still counts is not said by that."""
        identity, certificate = client(request, self._federation)
        request[_MEMBER] = identity.member_id
        return identity.member_id, certificate

    async def _peer(self, request: web.Request) -> str:
        member_id, certificate = self._client(request)
        await asyncio.to_thread(self._office.require_peer, member_id, certificate)
        return member_id

    async def _keep_seen(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_S)
            await self._flush()

    async def _flush(self) -> None:
        """Write down who has seen what; what cannot be written now is written later."""
        seen = dict(self._seen)
        if not seen:
            return
        try:
            await asyncio.to_thread(self._office.mark_seen, seen)
        except StoreError as error:
            _log.error("versions seen not written", error=error.code)
            return
        for member_id, what in seen.items():
            if self._seen.get(member_id) == what:
                del self._seen[member_id]

    async def _keep_up(self) -> None:
        """Renew metadata in time."""
        life_s = self._office.settings.life.lives().timestamp.total_seconds()
        while True:
            await self._tell_endings()
            await asyncio.sleep(min(UPKEEP_S, life_s / 8))
            try:
                await asyncio.to_thread(self._office.upkeep)
            except WuganError as error:
                _log.error("metadata not renewed", error=error.code, reason=error.en)
            except Exception as error:  # noqa: BLE001  tried again in a minute
                _log.error("metadata not renewed", error=type(error).__name__)

    async def _tell_endings(self) -> None:
        """Say once a day what only people can see to."""
        now_s = self._clock.monotonic()
        try:
            found = await asyncio.to_thread(self._office.endings)
        except WuganError:
            return  # told of by whoever needs it
        except Exception as error:  # noqa: BLE001  metadata are renewed all the same
            _log.error("not known what needs an administrator", error=type(error).__name__)
            return
        told = {each.en: self._told_s.get(each.en) for each in found}
        for each in found:
            before_s = told[each.en]
            if before_s is None or now_s >= before_s + ENDINGS_S:
                told[each.en] = now_s
                (_log.error if each.over else _log.warning)("needs an administrator", reason=each.en)
        self._told_s = {en: at_s for en, at_s in told.items() if at_s is not None}


@contextlib.asynccontextmanager
async def authority_app(
    office: Office,
    clock: Clock,
    parts: Mapping[str, web.Application] | None = None,
    routes: Sequence[web.RouteDef] = (),
) -> AsyncIterator[web.Application]:
    """The whole service as an application, for the length of the block.

    Args:
        office: of the directory.
        clock: dates what members tell.
        parts: what is served beside the directory, by path (`certs.est_server.est_app` at "/.well-known/est").
        routes: likewise, with paths of their own (`certs.revocation_server.revocation_routes`).
    """
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    async with DirectoryService(office, clock) as service:
        service.add_to(app)
        for path, part in (parts or {}).items():
            app.add_subapp(path, part)
        app.add_routes(routes)

        async def close_streams(_: web.Application) -> None:
            service.close_streams()

        app.on_shutdown.append(close_streams)
        yield app


def _answering(refusals: Refusals, work: Callable[[web.Request], Awaitable[Message]]) -> Handler:
    """A handler whose answer is a message, and whose errors are problem details (RFC 9457) in both languages."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            answer = await work(request)
        except WuganError as error:
            # Of a refusal the member is told why. What is out of order here names files of this machine: that is the
            # administrator's business, and goes into the log.
            told, why = (
                (error, request.get(_WHY, ""))
                if isinstance(error, RefusedError | DirectoryError)
                else (_out_of_order(), error.en)
            )
            status = _STATUS.get(told.reason, 500)
            refusals.note(Refusal(request.path, told.code, status, request.get(_MEMBER, ""), why))
            problem = {"title": told.code, "status": status, "detail": told.en, "detail_zh": told.zh}
            later = {"Retry-After": str(math.ceil(told.retry_after_ms / 1000))} if told.retry_after_ms else None
            return web.json_response(problem, status=status, content_type="application/problem+json", headers=later)
        return web.Response(body=answer.SerializeToString(), content_type=PROTOBUF)

    return handle


def _not_published() -> RefusedError:
    return RefusedError(
        "this authority has published no directory as new as that: if its folder was restored from a backup, publish "
        "above what gateways hold (`wugan authority publish --above`); if not, somebody else signs with its keys",
        "本机构尚未发布如此新的成员目录：若其目录恢复自备份，请以高于各网关所持版本的版本号发布"
        "（`wugan authority publish --above`）；否则说明有人冒用其密钥签署",
        field="version",
    )


def _out_of_order() -> StoreError:
    return StoreError(
        "the authority is out of order; it was logged there. Try again later",
        "管理机构暂时故障，已记录日志，请稍后重试",
    )


async def _body(request: web.Request, kind: type[M]) -> M:
    if request.content_type != PROTOBUF:
        raise RefusedError(f"the body must be {PROTOBUF}", f"请求体类型应为 {PROTOBUF}", field="Content-Type")
    try:
        return kind.FromString(await request.read())
    except DecodeError as error:
        raise RefusedError(f"the body is not a {kind.DESCRIPTOR.name}", "请求体格式有误") from error
