"""`AdapterService` on top of any adapter: the calls, one by one.

Owns: who may call, how many at once, the deadline of the call, messages that leave as fast as they are taken, errors as
statuses. Refuses: any caller but the one that was named, and more than it was told to do at once: a queue here would
only make all late. A caller that gives up, or whose deadline passes, ends the work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import grpc
import structlog
from google.protobuf.message import DecodeError

from adapters.contract import Adapter, Changed, ChangeFeed
from adapters.errors import AdapterError, SourceDownError
from adapters.offered import message_of
from adapters.outgoing import MAX_MESSAGE_BYTES, messages
from adapters.serving.asked import RequestError, lookup_of
from wugan.adapter.v1 import adapter_pb2

SERVICE: Final = adapter_pb2.DESCRIPTOR.services_by_name["AdapterService"].full_name
MAX_CHANGES: Final = 5_000
"""People in one answer about changes at most, whatever is asked for."""
_DEFAULT_S: Final = 60.0
_ASIDE_ROWS: Final = 500
_END: Final = object()

Context = grpc.aio.ServicerContext[Any, Any]
MayCall = Callable[[Mapping[str, Iterable[bytes]]], bool]
"""Whether the peer of a TLS connection (`ServicerContext.auth_context`) may call."""

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ServingLimits:
    """How much is done at once.

    Args:
        at_once: lookups; one more is refused.
        longest_s: for one lookup, if the caller gives more or no deadline.
    """

    at_once: int = 32
    longest_s: float = 600.0


class Servicer:
    """See the module.

    Args:
        adapter: that answers.
        may_call: whether a peer may.
        limits: how much is done at once.
    """

    def __init__(self, adapter: Adapter, may_call: MayCall, limits: ServingLimits) -> None:
        self._adapter = adapter
        self._may_call = may_call
        self._limits = limits
        self._at_once = 0
        self._threads = ThreadPoolExecutor(2, "adapter-serving")
        self._draining = False
        self._calls: set[asyncio.Task[Any]] = set()

    @property
    def handlers(self) -> grpc.GenericRpcHandler:
        """The calls, by name; lookups and changes leave as the bytes they were made."""
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "Describe": grpc.unary_unary_rpc_method_handler(
                    self.describe, None, adapter_pb2.DescribeResponse.SerializeToString
                ),
                "Lookup": grpc.unary_stream_rpc_method_handler(self.lookup, None, None),
                "Changes": grpc.unary_stream_rpc_method_handler(self.changes, None, None),
                "Check": grpc.unary_unary_rpc_method_handler(
                    self.check, None, adapter_pb2.CheckResponse.SerializeToString
                ),
            },
        )

    async def describe(self, _request: bytes, context: Context) -> adapter_pb2.DescribeResponse:
        """What the adapter offers."""
        await self._admit(context)
        return message_of(self._adapter.describe())

    async def check(self, _request: bytes, context: Context) -> adapter_pb2.CheckResponse:
        """Whether it reaches its data now."""
        await self._admit(context)
        try:
            await self._adapter.check()
        except AdapterError as error:
            _log.warning("source is not well", adapter=self._name, error=error.en)
            return adapter_pb2.CheckResponse(ready=False, message=error.en)
        except Exception as error:  # noqa: BLE001  an adapter may be anybody's program
            await self._crashed("Check", error, context)
        return adapter_pb2.CheckResponse(ready=True)

    async def lookup(self, data: bytes, context: Context) -> None:
        """What is known about a batch of people."""
        await self._admit(context)
        if self._draining:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "this adapter is shutting down; ask again shortly")
        if self._at_once >= self._limits.at_once:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many lookups at once; ask again shortly")
        self._at_once += 1
        try:
            await self._answer(data, context)
        finally:
            self._at_once -= 1

    async def changes(self, data: bytes, context: Context) -> None:
        """Of whom the source has something new."""
        await self._admit(context)
        adapter = self._adapter
        if not isinstance(adapter, ChangeFeed) or not adapter.describe().changes:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "this adapter does not tell of changes")
        request = await self._parsed(data, adapter_pb2.ChangesRequest(), context)
        try:
            async with asyncio.timeout(self._seconds(context)):
                changed = await adapter.changes(request.cursor, min(request.limit, MAX_CHANGES))
        except Exception as error:  # noqa: BLE001  see `_failed`
            await self._failed("Changes", error, context)
        for message in _changes(changed, request.cursor):
            await context.write(message.SerializeToString())

    def drain(self) -> None:
        """Refuse new lookups from now on."""
        self._draining = True

    async def emptied(self) -> None:
        """Return once every call has been answered, and its answer is on its way; to be called after `drain`."""
        while self._calls:
            await asyncio.wait(self._calls)

    async def close(self) -> None:
        """Let go of the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    @property
    def _name(self) -> str:
        return self._adapter.describe().adapter_id

    async def _answer(self, data: bytes, context: Context) -> None:
        loop = asyncio.get_running_loop()
        began, seconds, about = loop.time(), self._seconds(context), self._adapter.describe()
        request = await self._parsed(data, adapter_pb2.LookupRequest(), context)
        people = len(request.subjects.id_number)
        outcome, rows = "CANCELLED", 0
        try:
            async with asyncio.timeout_at(began + seconds):
                question = await self._aside(people, lambda: lookup_of(request, seconds, about.max_batch))
                found = await self._adapter.lookup(question)
                rows = len(found.evidence) + len(found.holders.subject)
                stream = messages(found)
                while (message := await self._aside(rows, lambda: next(stream, _END))) is not _END:
                    await context.write(message)
            outcome = "OK"
        except RequestError as error:
            outcome = "INVALID"
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except Exception as error:  # noqa: BLE001  see `_failed`
            outcome = type(error).__name__
            await self._failed("Lookup", error, context)
        finally:
            ms = round((loop.time() - began) * 1000, 1)
            told = {"lookup": request.lookup_id[:16].hex(), "people": people, "rows": rows}
            _log.info("lookup", adapter=about.adapter_id, outcome=outcome, ms=ms, **told)

    async def _admit(self, context: Context) -> None:
        if not self._may_call(context.auth_context()):
            _log.warning("caller refused")
            await context.abort(
                grpc.StatusCode.PERMISSION_DENIED, "only the gateway that this adapter was told of may call it"
            )
        task = asyncio.current_task()  # the library sends what it gets in the same task
        if task is not None:
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)

    def _seconds(self, context: Context) -> float:
        left = context.time_remaining()
        return min(self._limits.longest_s, _DEFAULT_S if left is None else max(0.0, left))

    async def _aside(self, rows: int, work: Callable[[], Any]) -> Any:
        """Do in a thread what takes milliseconds; what is small, here."""
        return work() if rows < _ASIDE_ROWS else await asyncio.get_running_loop().run_in_executor(self._threads, work)

    @staticmethod
    async def _parsed(data: bytes, message: Any, context: Context) -> Any:
        try:
            message.ParseFromString(data)
        except DecodeError:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no message of the contract")
        return message

    async def _failed(self, call: str, error: Exception, context: Context) -> NoReturn:
        """What went wrong as a status, without any word of the data."""
        if isinstance(error, TimeoutError):
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "the source did not answer in time")
        if isinstance(error, SourceDownError):
            _log.warning("source is down", adapter=self._name, call=call, error=error.en)
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the source cannot be reached or did not answer in time")
        if isinstance(error, AdapterError):
            _log.warning("source is faulty", adapter=self._name, call=call, error=error.en)
            await context.abort(grpc.StatusCode.DATA_LOSS, "the source answers nonsense; the adapter's log says how")
        await self._crashed(call, error, context)

    async def _crashed(self, call: str, error: Exception, context: Context) -> NoReturn:
        # Without values and without the text of the error: both may hold what was being handled.
        _log.error("adapter crashed", adapter=self._name, call=call, error=type(error).__name__, where=_where(error))
        await context.abort(grpc.StatusCode.INTERNAL, "the adapter failed; its log says where")


def _changes(changed: Changed, before: bytes) -> Iterable[adapter_pb2.ChangesResponse]:
    """Changes as messages; only the last leads on, so that whoever loses one is told again."""
    whole = adapter_pb2.ChangesResponse(cursor=changed.cursor, people=changed.to_message(), more=changed.more)
    if whole.ByteSize() <= MAX_MESSAGE_BYTES:
        return [whole]
    middle = len(changed) // 2
    halves = (
        Changed(changed.id_number[:middle], changed.name[:middle], before, more=True),
        Changed(changed.id_number[middle:], changed.name[middle:], changed.cursor, changed.more),
    )
    return [message for half in halves for message in _changes(half, before)]


def _where(error: BaseException) -> str:
    """File and line of every frame, the innermost first."""
    frames = []
    trace = error.__traceback__
    while trace is not None:
        frames.append(f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}")
        trace = trace.tb_next
    return " < ".join(reversed(frames[-8:]))
