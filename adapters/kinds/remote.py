"""The kind `remote`: a department that runs its own adapter, in whatever language, behind `AdapterService`.

Owns: asking it within the deadline, in parts no larger than it takes; learning what it offers and holding that against
what was agreed; turning whatever goes wrong into an error of the tree. Refuses: believing an answer (that is
`adapters.incoming`), opening connections (`adapters.line`), and asking again: the gateway decides that. What an adapter
says in its errors is not repeated: it is foreign text.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import secrets
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

import grpc
import structlog
from google.protobuf.message import DecodeError, Message

from adapters.batches import in_batches
from adapters.contract import MAX_CELL_BYTES, MAX_CURSOR_BYTES, Changed, Description, Faces, Found, Links, Lookup
from adapters.errors import AdapterError, SourceBusyError, SourceDownError, SourceFaultError
from adapters.faces import FACE_KIND
from adapters.incoming import AnswerLimits, Incoming
from adapters.kinds.common import too_late
from adapters.line import Held, Line, LineClosedError
from adapters.offered import description_of, disagreement
from adapters.outgoing import MAX_MESSAGE_BYTES, request
from adapters.wanted import only_wanted
from wugan.adapter.v1 import adapter_pb2

_SERVICE: Final = adapter_pb2.DESCRIPTOR.services_by_name["AdapterService"].full_name
_DOWN: Final = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.ABORTED,
    }
)
"""Statuses of a source that is not there, or not now."""
_TOO_LARGE: Final = "larger than max"
"""Of the library's own words for a message that it did not take in."""
_OTHER_NAME: Final = "Hostname Verification"
"""Of the library's own words for a certificate that does not prove the name asked for."""
_ASIDE_BYTES: Final = 16 << 10
"""Longer messages are read in a thread, so that nobody else waits for it."""

_SILENT_S: Final = 1.0
"""A call given up after so long without a word speaks against its connection."""

M = TypeVar("M", bound=Message)
R = TypeVar("R")

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RemoteLimits:
    """How long is waited for a remote adapter, and how much of it is taken.

    Args:
        timeout_s: for one lookup at most, if the question leaves more.
        max_batch: people in one lookup at most, if the adapter takes more.
        at_once: lookups at once; one more waits, within its deadline.
        answer: what one answer may have.
        describe_s: for Describe and Check.
        learn_every_s: how often it is asked what it offers.
    """

    timeout_s: float = 5.0
    max_batch: int = 10_000
    at_once: int = 4
    answer: AnswerLimits = field(default_factory=AnswerLimits)
    describe_s: float = 5.0
    learn_every_s: float = 60.0


class RemoteAdapter:
    """A remote adapter as the gateway sees it.

    Args:
        line: the connection to it.
        limits: of what it may take and send.
        agreed: what it is to offer; None: whatever it says, known once `learn` was called.
        name: for errors, before it is known what it calls itself.
    """

    def __init__(
        self, line: Line, limits: RemoteLimits | None = None, agreed: Description | None = None, name: str = "remote"
    ) -> None:
        self._line = line
        self._limits = limits or RemoteLimits()
        self._agreed = agreed
        self._name = agreed.adapter_id if agreed else name
        self._offered: Description | None = None
        self._believed = False
        self._learned_at = 0.0
        self._learning: asyncio.Task[Description] | None = None
        self._places = asyncio.Semaphore(self._limits.at_once)
        self._threads = ThreadPoolExecutor(2, f"adapter-{self._name}")

    @classmethod
    async def over(cls, channel: grpc.aio.Channel, limits: RemoteLimits | None = None) -> RemoteAdapter:
        """The adapter at the other end of a channel, as it describes itself. The channel is closed with it.

        Raises:
            AdapterError: it cannot be reached, or describes nonsense; the channel is closed then.
        """
        return await cls.learned(Line.over(channel), limits)

    @classmethod
    async def learned(cls, line: Line, limits: RemoteLimits | None, name: str = "remote") -> RemoteAdapter:
        """The same over a line, which is closed with it; `name` is for errors. Raises as `over`."""
        adapter = cls(line, limits, name=name)
        try:
            await adapter.learn()
        except BaseException:
            await adapter.close()
            raise
        return adapter

    @property
    def line(self) -> Line:
        """The connection to it."""
        return self._line

    @property
    def offered(self) -> Description | None:
        """What it said last that it offers; None: it never said."""
        return self._offered

    def describe(self) -> Description:
        """What was agreed, else what it said.

        Raises:
            SourceDownError: nothing was agreed, and it was not asked yet.
        """
        about = self._agreed or self._offered
        if about is None:
            raise SourceDownError(f"{self._name}: not asked yet what it offers", f"{self._name}：尚未获知其提供内容")
        return about

    async def learn(self) -> Description:
        """Ask what it offers, now.

        Raises:
            SourceDownError: it cannot be reached.
            SourceFaultError: it describes nonsense, or does not offer what was agreed.
        """
        answer = await self._ask("Describe", adapter_pb2.DescribeRequest(), adapter_pb2.DescribeResponse)
        offered = description_of(answer, self._name)
        if self._agreed is not None and (problem := disagreement(self._agreed, offered)) is not None:
            raise problem
        before, self._offered, self._name = self._offered, offered, offered.adapter_id
        self._believed, self._learned_at = True, asyncio.get_running_loop().time()
        if before is not None and before != offered:
            _log.info("adapter offers something else", adapter=offered.adapter_id)
        return offered

    async def lookup(self, question: Lookup) -> Found:
        """See `Adapter`."""
        end = asyncio.get_running_loop().time() + min(question.deadline_s, self._limits.timeout_s)
        try:
            async with asyncio.timeout_at(end), self._places:
                about = await self._about()
                size = min(about.max_batch, self._limits.max_batch)
                kinds = self._kinds(question, about)
                asked = replace(question, kinds=kinds) if kinds != question.kinds else question

                async def part(piece: Lookup) -> Found:
                    return await self._lookup(piece, about, end)

                found = await (part(asked) if len(asked.subjects) <= size else in_batches(part, asked, size))
        except TimeoutError:
            raise too_late(self._name) from None
        return self._agreed_of(found, question, about)

    async def check(self) -> None:
        """See `Adapter`: also whether it offers what was agreed."""
        await self.learn()
        answer = await self._ask("Check", adapter_pb2.CheckRequest(), adapter_pb2.CheckResponse)
        if not answer.ready:
            raise SourceDownError(
                f"{self._name}: says that its source is not reached; its own log has more",
                f"{self._name}：其自身报告数据源不可达，详见该接入程序日志",
            )

    async def changes(self, cursor: bytes, limit: int) -> Changed:
        """See `ChangeFeed`."""
        about = await self._about()
        if not about.changes:
            raise self._fault("does not tell of changes", "不提供变更")
        asked = adapter_pb2.ChangesRequest(cursor=cursor, limit=limit).SerializeToString()
        numbers: list[str] = []
        names: list[str] = []
        last: adapter_pb2.ChangesResponse | None = None
        seen = 0

        async def take(data: bytes) -> None:
            nonlocal last, seen
            last, seen = _read(data, adapter_pb2.ChangesResponse, self._name), seen + 1
            numbers.extend(last.people.held_id_number)
            names.extend(last.people.held_name)
            if seen > self._limits.answer.messages or max(len(numbers), len(names)) > limit:
                raise self._fault("told of more people than it was asked for", "返回的变更人数超出请求")

        await self._streamed("Changes", asked, self._limits.timeout_s, take)
        if last is None:
            raise self._fault("told nothing of changes, and no place to go on", "变更应答为空")
        if len(numbers) != len(names) or len(last.cursor) > MAX_CURSOR_BYTES or _long(numbers) or _long(names):
            raise self._fault("what it tells of changes does not fit the contract", "变更应答不符合接口约定")
        return Changed(numbers, names, last.cursor, last.more)

    async def close(self) -> None:
        """Close the connection; lookups under way fail."""
        if self._learning is not None:
            self._learning.cancel()
        await self._line.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _about(self) -> Description:
        """What it offers; asked again now and then, without making anybody wait who knows it already."""
        now = asyncio.get_running_loop().time()
        offered = self._offered if self._believed else None
        if offered is not None and now <= self._learned_at + self._limits.learn_every_s:
            return offered
        if self._learning is None:
            self._learning = asyncio.create_task(self.learn())
            self._learning.add_done_callback(self._learned)
        return await asyncio.shield(self._learning) if offered is None else offered

    def _learned(self, task: asyncio.Task[Description]) -> None:
        self._learning = None
        if not task.cancelled() and (error := task.exception()) is not None:
            self._believed = False  # nothing is asked of it until it says again what it offers
            _log.warning("adapter does not describe itself", adapter=self._name, error=type(error).__name__)

    def _kinds(self, question: Lookup, about: Description) -> tuple[int, ...]:
        """The kinds to ask for: of those wanted, what was agreed; empty: all that it has."""
        agreed = self._agreed.kinds if self._agreed is not None else about.kinds
        if about.kinds <= agreed:
            return question.kinds
        # Where nothing of what is wanted was agreed it is still asked whom it knows.
        return tuple(sorted(agreed.intersection(question.kinds) or agreed))

    def _agreed_of(self, found: Found, question: Lookup, about: Description) -> Found:
        """What was agreed of an answer, and nothing beyond."""
        if self._agreed is None:
            return found
        if not self._agreed.links and len(found.links.subject):
            found = replace(found, links=Links())
        if FACE_KIND not in self._agreed.kinds and len(found.faces):
            found = replace(found, faces=Faces())
        if about.kinds <= self._agreed.kinds:
            return found
        kinds = self._agreed.kinds.intersection(question.kinds or self._agreed.kinds)
        agreed = only_wanted(replace(question, kinds=tuple(kinds) or (0,)), found.evidence)
        return found if agreed is found.evidence else replace(found, evidence=agreed)

    async def _lookup(self, question: Lookup, about: Description, end: float) -> Found:
        loop = asyncio.get_running_loop()
        asked = await self._aside(
            len(question.subjects) * 64, functools.partial(request, question, secrets.token_bytes(16))
        )
        if len(asked) > MAX_MESSAGE_BYTES and len(question.subjects) > 1:

            async def half(piece: Lookup) -> Found:
                return await self._lookup(piece, about, end)

            return await in_batches(half, question, (len(question.subjects) + 1) // 2)
        incoming = Incoming(question, about, self._limits.answer)

        async def take(data: bytes) -> None:
            await self._aside(len(data), functools.partial(incoming.add, data))

        await self._streamed("Lookup", asked, end - loop.time(), take)
        return await self._aside(incoming.size, incoming.found)

    async def _aside(self, size: int, work: Callable[[], R]) -> R:
        """Do in a thread what takes milliseconds; what is small, here."""
        if size < _ASIDE_BYTES:
            return work()
        try:
            running = asyncio.get_running_loop().run_in_executor(self._threads, work)
        except RuntimeError as error:
            raise SourceDownError(f"{self._name}: is closed", f"{self._name}：已关闭") from error
        return await running

    async def _ask(self, call: str, asked: Message, answer: type[M]) -> M:
        """One message for one."""
        await self._line.vouched()
        with self._calling() as held:
            method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
            method = held.channel.unary_unary(f"/{_SERVICE}/{call}")  # bytes for bytes: nothing is set to translate
            data = await method(asked.SerializeToString(), timeout=self._limits.describe_s)
            held.heard()
        return _read(data, answer, self._name)

    async def _streamed(
        self, call: str, asked: bytes, seconds: float, take: Callable[[bytes], Awaitable[None]]
    ) -> None:
        """Take in what comes back, message by message: the next comes when one was dealt with."""
        await self._line.vouched()
        with self._calling() as held:
            method: grpc.aio.UnaryStreamMultiCallable[bytes, bytes]
            method = held.channel.unary_stream(f"/{_SERVICE}/{call}")
            stream = method(asked, timeout=max(0.0, seconds))
            try:
                async for data in stream:
                    held.heard()
                    await take(data)
            finally:
                stream.cancel()

    @contextlib.contextmanager
    def _calling(self) -> Iterator[Held]:
        """The channel for a call, whose errors are made those of the tree."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            with self._line.call() as held:
                yield held
        except grpc.aio.AioRpcError as error:
            if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
                self._line.drop_silent(began)
            elif error.code() == grpc.StatusCode.UNAVAILABLE:
                self._learned_at = float("-inf")  # it may come back as another version
            raise self._translated(error) from None
        except (grpc.aio.UsageError, LineClosedError) as error:
            raise SourceDownError(f"{self._name}: is closed", f"{self._name}：已关闭") from error
        except asyncio.CancelledError:
            if loop.time() - began > _SILENT_S:
                self._line.drop_silent(began)
            raise

    def _translated(self, error: grpc.aio.AioRpcError) -> AdapterError:
        code, name = error.code(), self._name
        if _TOO_LARGE in (error.details() or ""):
            return self._fault("sent a message larger than 4 MiB", "消息超过 4 MiB")
        if code == grpc.StatusCode.DEADLINE_EXCEEDED:
            return too_late(name)
        if code == grpc.StatusCode.UNAVAILABLE and _OTHER_NAME in (error.details() or ""):
            return SourceDownError(
                f"{name}: the certificate shown there does not prove the TLS name that was agreed",
                f"{name}：对方证书不能证明约定的域名（TLS 名称）",
            )
        if code == grpc.StatusCode.PERMISSION_DENIED:
            return self._fault(
                "does not let this caller in, only the one named when it was started (PERMISSION_DENIED)",
                "拒绝本调用方，只应答其启动时指定的调用方（PERMISSION_DENIED）",
            )
        if code in _DOWN:
            return (
                _busy(name)
                if code == grpc.StatusCode.RESOURCE_EXHAUSTED
                else SourceDownError(
                    f"{name}: cannot be reached, or its source cannot ({code.name}); try again later",
                    f"{name}：接入程序或其数据源不可达（{code.name}），请稍后重试",
                )
            )
        return self._fault(f"refuses the call or fails ({code.name})", f"拒绝调用或出错（{code.name}）")

    def _fault(self, en: str, zh: str) -> SourceFaultError:
        return SourceFaultError(f"{self._name}: {en}", f"{self._name}：{zh}")


def _busy(name: str) -> SourceBusyError:
    return SourceBusyError(
        f"{name}: has too much to do and refuses what is more (RESOURCE_EXHAUSTED); ask again shortly, or have "
        "`concurrency` in its manifest lowered",
        f"{name}：接入程序繁忙，拒绝更多并发（RESOURCE_EXHAUSTED），请稍后重试或调低清单中的 concurrency",
    )


def _read(data: bytes, kind: type[M], name: str) -> M:
    try:
        message = kind()
        message.ParseFromString(data)
    except DecodeError as error:
        raise SourceFaultError(
            f"{name}: sent what is no message of the contract", f"{name}：消息不符合接口约定"
        ) from error
    return message


def _long(cells: Sequence[str]) -> bool:
    return any(len(cell.encode()) > MAX_CELL_BYTES for cell in cells)
