"""What every call of every service goes through: who calls, how many at once, errors as statuses, one log line.

Owns: `Desk`, which a servicer hands each call to. A peer is judged by the directory of the moment, at every call and
not only at its handshake, and again when another directory comes into force: then what it holds open is ended, and what
was worked out for it meanwhile is not given. What is too much is refused at once with a time to come back, so that what
was taken on keeps its time. Refuses: knowing what a call is about.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import grpc
import structlog
from google.protobuf.message import Message

from certs.errors import CertsError
from certs.grpc_credentials import peer_certificate, peer_identity
from certs.identity import Identity
from gateway.clock import Clock
from gateway.errors import RefusedError, WuganError
from gateway.federation.directory import Directory
from gateway.observing import metrics, refusals
from gateway.pacing import Lately
from gateway.resilience.backlog import Backlog
from gateway.resilience.backoff import chance
from gateway.resilience.overload import Overload
from gateway.services.own_calls import OwnCalls
from gateway.status import abort
from wugan.federation.v1 import vocabulary_pb2 as words

FEW = 16
"""So many calls are taken on however long turns are: what is slow then is not their number."""

_AGAIN_MS = 200
"""Whoever is refused may come back after so long at least, and twice as long at most."""

R = TypeVar("R")
Context = grpc.aio.ServicerContext[Any, Any]

_log = structlog.stdlib.get_logger(__name__)


class Caller(NamedTuple):
    """Who calls, by the TLS handshake, and the certificate (DER) that it showed there."""

    identity: Identity
    certificate: bytes

    def require_welcome(self, directory: Directory) -> None:
        """Return when a directory lets it in.

        Raises:
            RefusedError: as `Directory.require_welcome`.
        """
        directory.require_welcome(self.identity, self.certificate)


class _Taken:
    """A call while it is worked on: counted among those in flight, and accounted for when that is over."""

    __slots__ = ("_clock", "_desk", "_span", "began", "call", "outcome")

    def __init__(self, desk: Desk, clock: Clock, call: str) -> None:
        self._desk = desk
        self._clock = clock
        self.call = call
        self.outcome = "OK"

    def __enter__(self) -> _Taken:
        self.began = self._clock.monotonic()
        self._span = self._desk.begun(self.began)
        return self

    def __exit__(self, *_error: object) -> None:
        self._desk.ended(self._span)
        elapsed_s = self._clock.monotonic() - self.began
        # Once the answer is on its way: the caller need not wait for the line.
        asyncio.get_running_loop().call_soon(self._desk.account, self.call, self.outcome, elapsed_s)


@dataclass(slots=True, eq=False)
class _Open:
    """A call that is held open, and why it is being ended."""

    caller: Caller
    task: asyncio.Future[Any]
    refusal: WuganError | None = None


class Desk:
    """Admits calls, bounded in number, and turns whatever goes wrong in them into a status that says what to do.

    Args:
        directory: the one in force; raises DirectoryError once it has expired.
        federation: trust domain that a peer's identity must belong to.
        limit: calls in flight at most; one more is refused at once, because a queue here would only make all late.
        shed_s: new calls are refused while every turn of the work takes longer than that, or calls wait longer before
            they are taken up, and longer than their callers can spare; 0: never.
    """

    def __init__(
        self, clock: Clock, directory: Callable[[], Directory], *, federation: str, limit: int, shed_s: float = 0.0
    ) -> None:
        self._clock = clock
        self._directory = directory
        self._federation = federation
        self._limit = limit
        self._in_flight = 0
        self._lately = Lately()
        self._overload = Overload(shed_s)
        self._backlog = Backlog(shed_s)
        self.own_calls = OwnCalls(clock, self._backlog)
        """By which it learns how long calls wait before they come here; somebody has to say how they are made."""
        self._looking = False
        self.refusals = refusals.Refusals(clock)
        """What was refused because there is too much to do; for the health page."""
        self._held: dict[str, Counter[str]] = {}  # of each call that is held open, by member
        self.draining = asyncio.Event()
        """Set once new calls are refused; what is held open then comes to an end by itself."""
        self._open: set[_Open] = set()
        self._leaving: set[asyncio.Task[Any]] = set()
        self._empty = asyncio.Event()
        self._lines = _log.bind()  # with its level, which `_log` looks up anew for each line

    @property
    def in_flight(self) -> int:
        """Calls being worked on."""
        return self._in_flight

    @property
    def room(self) -> int:
        """Of the calls in flight that there may be, how many may be for one caller who waits until there is room."""
        return max(1, self._limit // 2)

    @property
    def busy_with(self) -> int:
        """Of the calls being worked on those that began lately; the others wait for somebody, and not for us."""
        return self._lately.count(self._clock.monotonic())

    @property
    def calls_wait_s(self) -> float:
        """How long calls wait before they come here, seconds; 0 where that is not looked after."""
        return self.own_calls.wait_s

    def drain(self) -> None:
        """Refuse new calls from now on."""
        self.draining.set()
        self._look_whether_empty()

    async def emptied(self) -> None:
        """Return once nobody waits for anything any more; to be called after `drain`.

        That is: what was taken on has been answered, and the answers are on their way. Calls that never end by
        themselves (health, reflection) are not waited for.
        """
        await self._empty.wait()

    def _leaves(self) -> None:
        """A call has been dealt with, but for what the library still has to send in the same task."""
        task = asyncio.current_task()
        if task is not None:
            self._leaving.add(task)
            task.add_done_callback(self._left)

    def _left(self, task: asyncio.Task[Any]) -> None:
        self._leaving.discard(task)
        self._look_whether_empty()

    def _look_whether_empty(self) -> None:
        if not (self._in_flight or self._leaving or any(held.total() for held in self._held.values())):
            self._empty.set()

    async def serve(self, call: str, context: Context, work: Callable[[Identity], Awaitable[R]]) -> R:
        """Do the work of one call for the peer that the TLS handshake proved."""

        def let_in() -> tuple[Caller, float | None]:
            return self.caller(context), context.time_remaining()

        with _Taken(self, self._clock, call) as taken:
            try:
                return await self._worked(taken, let_in, work)
            except WuganError as error:
                await abort(context, error)

    async def take(
        self, call: str, caller: Caller, time_s: float | None, work: Callable[[Identity], Awaitable[R]]
    ) -> R:
        """The same for one of many that come over a call that is held open, as a call of its own.

        Args:
            call: as which it is accounted for.
            caller: of the call that it came over.
            time_s: that there is for it; None: any.
            work: does it.

        Raises:
            WuganError: whatever goes wrong, to be told as this one's status.
        """

        def let_in() -> tuple[Caller, float | None]:
            if self.sheds():  # it came by no door
                raise self._overloaded()
            return caller, time_s

        with _Taken(self, self._clock, call) as taken:
            return await self._worked(taken, let_in, work)

    async def _worked(
        self,
        taken: _Taken,
        let_in: Callable[[], tuple[Caller, float | None]],
        work: Callable[[Identity], Awaitable[R]],
    ) -> R:
        """The work's result, if it may be done, for a caller that is let in before and after; how it ended is noted.

        Args:
            taken: the call.
            let_in: who calls, and the time that there is; asked where there is not too much to do.
            work: does it.

        Raises:
            WuganError: whatever goes wrong.
        """
        try:
            if self.draining.is_set() or self._in_flight > self._limit or self._too_much(taken.began):
                raise self._overloaded()
            caller, time_s = let_in()
            directory = self._directory()
            caller.require_welcome(directory)
            self._backlog.came(time_s)
            result = await work(caller.identity)
            if self._directory() is not directory:
                caller.require_welcome(self._directory())
        except WuganError as error:
            taken.outcome = error.code
            raise
        except asyncio.CancelledError:
            taken.outcome = "CANCELLED"
            raise
        except Exception as error:  # the last line: nothing of ours crashes a call without a status
            taken.outcome = "INTERNAL"
            raise _internal(taken.call, error) from error
        return result

    def begun(self, now: float) -> int:
        """One more is being worked on; what to give to `ended`."""
        self._in_flight += 1
        return self._lately.begin(now)

    def ended(self, span: int) -> None:
        """It has been dealt with."""
        self._in_flight -= 1
        self._lately.end(span)
        if self.draining.is_set():
            self._leaves()

    def account(self, call: str, outcome: str, seconds: float) -> None:
        """Count a call that has been dealt with, and leave its line."""
        metrics.CALLS.add(call, outcome)
        metrics.CALL_SECONDS.observe(seconds, call)
        # Hundredths by integers: `round` goes by way of decimal digits, whose code is met cold at every call.
        self._lines.info("call", call=call, outcome=outcome, ms=int(seconds * 100_000 + 0.5) / 100)

    def sheds(self) -> bool:
        """Whether a call that has just come is to be refused at the door, because calls wait too long before it."""
        if self.draining.is_set():
            return False
        now = self._clock.monotonic()
        self.own_calls.look(now, many=self._in_flight >= FEW)
        # However few are under way here: those that count are the ones that wait to be taken up.
        return self._backlog.at(now)

    def _too_much(self, now: float) -> bool:
        """Whether this process gets through its work too slowly to take on more; looks at it once a turn."""
        if not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_soon(self._came_round, now)
        return self._in_flight > FEW and self._overload.at(now)

    def _came_round(self, since: float) -> None:
        self._looking = False
        now = self._clock.monotonic()
        self._overload.saw(now, now - since)

    async def serve_each(self, call: str, context: Context, work: Callable[[Identity], AsyncIterator[Message]]) -> None:
        """The same for a call that is answered bit by bit: whoever is not welcome any more gets no further one."""

        async def write_all(peer: Identity) -> None:
            directory = self._directory()
            async for each in work(peer):
                if self._directory() is not directory:
                    directory = self._directory()
                    self.caller(context).require_welcome(directory)
                await context.write(each)

        await self.serve(call, context, write_all)

    async def attend(
        self,
        context: Context,
        work: Callable[[Identity], Awaitable[R]],
        *,
        refused: Callable[[str], object] = lambda _code: None,
    ) -> R:
        """Do the work of a call that may stay open: it is ended as soon as its peer is not welcome any more.

        Such calls (health, reflection) are neither counted among those in flight nor refused while draining.

        Args:
            context: of the call.
            work: does it.
            refused: is told why it was not let in, or ended.
        """
        opened: _Open | None = None
        try:
            caller = self.caller(context)
            caller.require_welcome(self._directory())
            task = asyncio.ensure_future(work(caller.identity))
            opened = _Open(caller, task)
            self._open.add(opened)
            return await task
        except WuganError as error:
            refused(error.code)
            await abort(context, error)
        except asyncio.CancelledError:
            if opened is None or opened.refusal is None:
                raise
            refused(opened.refusal.code)
            _log.info("call ended", outcome=opened.refusal.code)
            await abort(context, opened.refusal)
        finally:
            if opened is not None:
                self._open.discard(opened)

    async def hold(
        self, call: str, context: Context, work: Callable[[Identity], Awaitable[object]], *, at_once: int
    ) -> None:
        """The same for a call that works as long as it is open: accounted for, and refused while draining.

        It is not counted among those in flight and not shed when there is too much to do: it works at its own pace,
        behind single calls.

        Args:
            call: its name.
            context: of it.
            work: does it; ends by itself when `draining` is set.
            at_once: calls of this name held open at once at most, half of them by one member; one more is refused.
        """
        began = self._clock.monotonic()
        outcome = "CANCELLED"

        async def accounted(peer: Identity) -> None:
            nonlocal outcome
            held = self._held.setdefault(call, Counter())
            full = held[peer.member_id] >= max(1, at_once // 2) or held.total() >= at_once
            if self.draining.is_set() or full:
                raise self._overloaded(refusals.STREAMS)
            held[peer.member_id] += 1
            try:
                await work(peer)
                outcome = "OK"
            except WuganError:
                raise
            except Exception as error:
                raise _internal(call, error) from error
            finally:
                held[peer.member_id] -= 1

        def refused(code: str) -> None:
            nonlocal outcome
            outcome = code

        try:
            await self.attend(context, accounted, refused=refused)
        finally:
            if self.draining.is_set():
                self._leaves()
            self.account(call, outcome, self._clock.monotonic() - began)

    def recheck(self) -> None:
        """End what is held open by peers that the directory in force does not let in; call it when that changes."""
        for opened in list(self._open):
            try:
                opened.caller.require_welcome(self._directory())
            except WuganError as error:
                opened.refusal = error
                opened.task.cancel()

    def caller(self, context: Context) -> Caller:
        """Who calls, by the TLS handshake.

        Raises:
            RefusedError: STRANGER; its certificate is none of this federation.
        """
        authentication = context.auth_context()
        try:
            peer, certificate = peer_identity(authentication), peer_certificate(authentication)
        except CertsError as error:
            raise RefusedError(error.en, error.zh, reason=words.REFUSAL_REASON_STRANGER) from error
        if peer.federation != self._federation:
            raise RefusedError(
                "the certificate belongs to another federation; use one of this federation",
                "证书属于其他联盟，请使用本联盟签发的证书",
                reason=words.REFUSAL_REASON_STRANGER,
            )
        return Caller(peer, certificate)

    def _overloaded(self, what: str = refusals.CALLS) -> WuganError:
        """What one is told that is refused now; it is noted, unless the gateway only stops."""
        if self.draining.is_set():
            return shutting_down()
        self.refusals.add(what)
        return overloaded()


def overloaded() -> WuganError:
    """What is said while there is too much to do; not all are told the same time, or they would come back together."""
    return RefusedError(
        "too many calls at once; ask again shortly",
        "并发请求过多，请稍后重试",
        reason=words.REFUSAL_REASON_OVERLOADED,
        retryable=True,
        retry_after_ms=_AGAIN_MS + round(chance() * _AGAIN_MS),
    )


def shutting_down() -> WuganError:
    """What is said of a gateway that stops."""
    return RefusedError(
        "this gateway is shutting down; ask another replica or again shortly",
        "本网关正在停机，请改用其他副本或稍后重试",
        reason=words.REFUSAL_REASON_SHUTTING_DOWN,
        retryable=True,
    )


def _internal(call: str, error: Exception) -> WuganError:
    """What is said of something that went wrong and is no error of ours; it is logged without values."""
    _log.error("call failed", call=call, error=type(error).__name__, where=_where(error))
    return WuganError(
        "something went wrong here; it was logged. Ask again later",
        "本网关内部出错，已记录日志，请稍后重试",
        retryable=True,
    )


def traceparent(context: Context) -> str:
    """The W3C traceparent that came with a call; "" for none."""
    for name, value in context.invocation_metadata() or ():
        if name == "traceparent" and isinstance(value, str):
            return value
    return ""


def _where(error: BaseException) -> str:
    """File and line of every frame, without values: a traceback's text may hold what was being handled."""
    frames = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append(f"{code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}:{code.co_name}")
        trace = trace.tb_next
    return " < ".join(reversed(frames[-12:]))
