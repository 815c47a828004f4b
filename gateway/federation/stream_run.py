"""One roster's chunks on their way to one member: over a stream, and over the next one where that is lost.

Owns: which chunk leaves when, the time of each try, matching answers to chunks, sending again what a lost stream left
without an answer, and telling the breakers. Which failure is followed by another try is said by `retrying`, which
gateway is asked by `standing`. Refuses: the record of what left, and judging answers beyond that they fit.

A chunk is sent again in a new envelope, under the same question id. There is no budget for that as there is for single
questions: a stream that fails is opened again after waits that double, and no more leaves than fits its window.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import Any, Final

import grpc

from gateway.errors import EnvelopeError, WuganError
from gateway.exchange.header import LIMITS
from gateway.federation.answers import PartnerAnswer
from gateway.federation.directory import Gateway
from gateway.federation.lines import Line
from gateway.federation.retrying import Again, Failed, failed_by, faulty, late, left_alone, row_of, unreachable
from gateway.federation.stream_parts import TRY_SHARE, Outward, Over, Way, answers_to, open_chunk, seal_chunk
from gateway.federation.stream_unary import UnaryStream
from gateway.federation.trying import FIRST, RETRY, Told
from gateway.observing import clocks, metrics
from gateway.resilience.breaker import Pass, Said
from wugan.federation.v1 import envelope_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

MOST_TRIES: Final = 8
"""Messages that a chunk leaves in at most; asked yet more often its people would be counted again."""
TURN_S: Final = 30.0
"""A stream takes no more after that long, and another is opened: over the channel, and under the certificate, of then.
Shorter than the time for which a server lets calls go on over a connection that has become too old."""
CONNECT_S: Final = 10.0
LEAST_TRY_S: Final = 0.05
"""A try with less time than that is not begun."""
LOOK_S: Final = 1.0
"""Between looks whether a partner that is left alone may be asked again, at most."""


class StreamRun:
    """See the module.

    Args:
        outward: what asking takes.
        member_id: who is asked.
        window: chunks on their way at once.
    """

    def __init__(self, outward: Outward, member_id: str, window: int) -> None:
        self._outward = outward
        self._member_id = member_id
        self._window = window
        self._standing = outward.standings.of(member_id)
        self._loop = asyncio.get_running_loop()
        self._under_way: dict[Way, None] = {}
        """Chunks without an outcome, in the order in which they came."""
        self._waiting: deque[Way] = deque()
        self._sent: dict[bytes, Way] = {}
        """What left over the stream that is open and is not answered, by message id, in the order of sending."""
        self._landed: deque[Way] = deque()
        self._undelivered = 0
        self._all = False
        self._failure: BaseException | None = None
        self._changed = asyncio.Event()
        self._tried: set[str] = set()
        self._failures = 0
        self._why: WuganError | None = None
        """Why the last stream failed, or nobody is asked."""
        self._call: Any = None
        self._unary = False
        """The member knows no streams."""
        self._broken: Failed | None = None
        """Why this side gave up the stream that is open."""

    async def room(self) -> None:
        """Return when there is room for another chunk."""
        while len(self._under_way) >= self._window or self._undelivered >= self._window:
            await self._change()

    def add(self, way: Way) -> None:
        """Have a chunk asked."""
        self._under_way[way] = None
        self._waiting.append(way)
        way.at(way.end, self._expire)
        self._changed.set()

    def no_more(self, failure: BaseException | None = None) -> None:
        """No further chunk will come; `failure`: because of this, which is told."""
        self._all, self._failure = True, self._failure or failure
        self._changed.set()

    async def landed(self) -> Way | None:
        """The next chunk with an outcome; None: there are no more.

        Raises:
            Exception: as was given to `no_more`.
        """
        while not self._landed:
            if self._failure is not None:
                raise self._failure
            if self._all and not self._under_way:
                return None
            await self._change()
        return self._landed.popleft()

    def taken(self) -> None:
        """The outcome of a landed chunk is being handed on."""
        self._undelivered -= 1
        self._changed.set()

    def give_up(self, error: WuganError) -> list[Way]:
        """End every chunk without an outcome with this one; those that were not handed on."""
        for way in list(self._under_way):
            self._land(way, error)
        return list(self._landed)

    async def drive(self) -> None:
        """Get chunks answered for as long as there are any."""
        try:
            while True:
                while not self._waiting:
                    await self._change()
                wait_s = await self._stream()
                if wait_s > 0:
                    await self._outward.sleep(wait_s)
        except Exception as error:  # noqa: BLE001  whoever asks is told
            self.no_more(error)

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _land(self, way: Way, outcome: PartnerAnswer | WuganError) -> None:
        if way not in self._under_way:
            return
        del self._under_way[way]
        way.outcome = outcome
        way.rest()
        if way.span is not None:
            people = len(way.question.subjects.id_number)
            error = outcome if isinstance(outcome, WuganError) else None
            way.span.end(error, partner=self._member_id, people=people, tries=len(way.sent))
        self._landed.append(way)
        self._undelivered += 1
        self._changed.set()

    def _expire(self, way: Way) -> None:
        """A chunk has no time left."""
        if way in self._waiting:
            self._waiting.remove(way)
            self._land(way, self._why or late())
        else:
            self._give_up_stream(way)
            self._land(way, late())

    def _overdue(self, way: Way) -> None:
        """A try was not answered within its time."""
        way.at(way.end, self._expire)
        self._give_up_stream(way)

    def _give_up_stream(self, way: Way) -> None:
        """Whatever did not answer a chunk in its time is not believed to answer any other."""
        if way.sent and self._sent.get(way.sent[-1].message_id) is way and self._call is not None:
            self._broken = Failed(late(), row_of("DEADLINE_EXCEEDED", ""))
            self._call.cancel()

    async def _stream(self) -> float:
        """Open a stream and see it to its end; how long to wait before the next."""
        try:
            gateways = self._gateways()
        except WuganError as error:
            return self._refused(error)
        chosen = self._standing.choose(gateways, self._tried)
        if chosen is None:
            self._why = left_alone(self._standing.retry_after_ms(gateways)).error
            return max(min(self._why.retry_after_ms / 1000, LOOK_S), LEAST_TRY_S)
        self._broken, over = None, Over(chosen, self._loop.time())
        try:
            with self._outward.lines.hold(chosen.gateway.address, chosen.gateway.tls_name) as line:
                failed = await self._over(over, line)
        except BaseException:  # whoever asks gave up; a probe that is not settled would never be made again
            self._settle_all(over, Said.NOTHING, "CANCELLED")
            raise
        return self._after(over, failed)

    async def _over(self, over: Over, line: Line) -> Failed | None:
        """Send and receive over one stream until it ends; how it failed."""
        call = self._call = UnaryStream(line.stub) if self._unary else line.stub.ExchangeStream()
        unknown = False
        tasks: list[asyncio.Task[None]] = []
        try:
            async with asyncio.timeout(CONNECT_S):
                await call.initial_metadata()
            if call.done():
                await call.read()  # raises what it ended with
            over.open = True
            receiving = asyncio.ensure_future(self._receive(over, line, call))
            tasks = [receiving, asyncio.ensure_future(self._send(over, line, call))]
            await receiving
        except grpc.aio.AioRpcError as error:
            unknown = error.code() is grpc.StatusCode.UNIMPLEMENTED and not self._unary and not over.answers
            self._broken = None if unknown else self._broken or failed_by(error)
        except TimeoutError:
            self._broken = Failed(late(), row_of("DEADLINE_EXCEEDED", ""))
        except asyncio.CancelledError:
            here = asyncio.current_task()
            if self._broken is None or (here is not None and here.cancelling()):
                tasks += over.opening
                raise
        finally:
            call.cancel()
            self._call = None
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, *over.opening, return_exceptions=True)
        if unknown:  # the member knows no streams: what was to go over this one goes by calls of its own
            self._unary, over.open = True, False
            self._send_again(over)
            return await self._over(over, line)
        return self._broken

    def _send_again(self, over: Over) -> None:
        """Nothing that was sent over a stream that is not known was read."""
        for way in reversed(list(self._sent.values())):
            way.sent.pop()
            if way.given is not None:
                self._settle(over, way.given, Said.NOTHING, "UNIMPLEMENTED")
                way.given = None
                over.tries.pop(way, None)
            self._waiting.appendleft(way)
            way.at(way.end, self._expire)
        self._sent.clear()

    def _after(self, over: Over, failed: Failed | None) -> float:
        """Have what was lost sent again, or give up what must be; how long to wait before the next stream."""
        unanswered = list(self._sent.values())
        self._sent.clear()
        if failed is None and (unanswered or not over.ended):
            failed = Failed(unreachable(), row_of("UNAVAILABLE", ""))
        said, name = (Said.NOTHING, "") if failed is None else (failed.row.said, failed.name)
        self._settle_all(over, said, name)
        if failed is None:
            return 0.0  # all that was sent is answered
        gateway = over.chosen.gateway
        self._why = failed.error
        self._tried.add(gateway.address)
        if failed.error.reason == words.REFUSAL_REASON_DEADLINE_EXCEEDED:
            self._outward.lines.drop_silent(gateway.address, gateway.tls_name, over.began)
        if not self._may_follow(failed):
            if not over.open:
                return self._refused(failed.error)
            if unanswered:
                self._land(unanswered.pop(0), failed.error)  # it is the first without an answer that ends a stream
        for way in [way for way in self._under_way if way not in self._waiting][::-1]:
            if len(way.sent) >= MOST_TRIES:
                self._land(way, failed.error)
            else:
                self._waiting.appendleft(way)
                way.at(way.end, self._expire)
        self._failures = 1 if over.answers else self._failures + 1
        return max(self._wait_s(), failed.error.retry_after_ms / 1000)

    def _may_follow(self, failed: Failed) -> bool:
        """Whether what was lost may be sent again."""
        follows = failed.row.repeatable
        if follows is Again.ELSEWHERE:
            return self._standing.others(self._listed(), self._tried)
        return follows is Again.YES

    def _refused(self, error: WuganError) -> float:
        """Nothing that waits can be asked."""
        self._failures += 1
        while self._waiting:
            self._land(self._waiting.popleft(), error)
        return self._wait_s()

    def _wait_s(self) -> float:
        return self._outward.backoff.wait_s(self._failures, self._outward.drawn())

    async def _send(self, over: Over, line: Line, call: Any) -> None:
        """Send chunks until the stream is to end."""
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # whoever reads is told
            while True:
                way = await self._next(over, line)
                if way is None:
                    over.ended = True
                    await call.done_writing()
                    return
                envelope = await self._sealed(over, way)
                if envelope is not None:
                    await call.write(envelope)

    async def _next(self, over: Over, line: Line) -> Way | None:
        """The chunk to send next, with a pass of the breaker; None: none, over this stream."""
        while not self._all or self._under_way:
            now = self._loop.time()
            if line.leaving or now - over.began > TURN_S or over.chosen.gateway not in self._listed():
                return None
            way = next((way for way in self._waiting if way.not_before <= now), None)
            if way is not None:
                way.given, over.given = over.given or over.chosen.door.breaker.admit(), None
                if way.given is None:
                    return None
                over.tries[way] = None
                self._waiting.remove(way)
                return way
            if self._waiting:
                self._loop.call_at(min(way.not_before for way in self._waiting), self._changed.set)
            await self._change()
        return None

    async def _sealed(self, over: Over, way: Way) -> envelope_pb2.Envelope | None:
        """A chunk under seal, from now on expected to be answered; None: it has an outcome."""
        way.began = self._loop.time()
        left_s = way.end - way.began
        life_s = min(left_s * TRY_SHARE, LIMITS.max_lifetime_ms / 1000)
        try:
            sealed = await self._outward.aside.do(
                seal_chunk, self._outward, self._member_id, way, max(1, round(life_s * 1000))
            )
        except WuganError as error:
            self._end_try(over, way, Said.NOTHING, error.code)
            self._land(way, error)
            return None
        if way not in self._under_way:  # its time ran out meanwhile
            self._end_try(over, way, Said.NOTHING, "CANCELLED")
            return None
        way.sent.append(sealed)
        self._sent[sealed.message_id] = way
        way.at(way.began + life_s + (left_s - life_s) / 2, self._overdue)
        return sealed.envelope

    async def _receive(self, over: Over, line: Line, call: Any) -> None:
        """Take in answers until the stream ends.

        Raises:
            AioRpcError: it ended with a status.
        """
        while (envelope := await call.read()) is not grpc.aio.EOF:
            line.heard_at = self._loop.time()
            way = self._sent.pop(answers_to(envelope), None)
            if way is None:  # nobody asked for it: nothing of this stream is believed any more
                self._broken = faulty()
                call.cancel()
                return
            way.at(way.end, self._expire)
            task = asyncio.ensure_future(self._open(over, way, envelope))
            over.opening.add(task)
            task.add_done_callback(over.opening.discard)

    async def _open(self, over: Over, way: Way, envelope: envelope_pb2.Envelope) -> None:
        """Open and verify the answer to a chunk: it is its outcome, or what is wrong with it."""
        out = self._outward
        now_ms = out.clock.now_ms()
        try:
            keyring = out.directory.current()  # of this moment: who was taken out of it is not believed
            opened, outcome = await out.aside.do(
                open_chunk, envelope, out.own(), keyring, way.sent[-1], way.question, now_ms
            )
        except WuganError as error:
            failed = faulty() if isinstance(error, EnvelopeError) else Failed(error, row_of("FAILED_PRECONDITION", ""))
            self._end_try(over, way, failed.row.said, failed.name)
            self._land(way, failed.error)
            return
        over.answers += 1
        self._failures = 0
        self._tried.clear()
        clocks.OFFSETS.seen(opened.header.sender, now_ms - opened.header.issued_at_ms)
        self._end_try(over, way, Said.WELL, "OK")
        if not isinstance(outcome, WuganError) or not self._asked_later(way, outcome):
            self._land(way, outcome)

    def _asked_later(self, way: Way, refusal: WuganError) -> bool:
        """Whether a chunk that is refused for now will be asked again within its time."""
        again = self._loop.time() + max(refusal.retry_after_ms / 1000, LEAST_TRY_S)
        if not refusal.retryable or again >= way.end - LEAST_TRY_S or len(way.sent) >= MOST_TRIES:
            return False
        if way in self._under_way:
            self._why, way.not_before = refusal, again
            self._waiting.append(way)
            self._changed.set()
        return True

    def _end_try(self, over: Over, way: Way, said: Said, name: str) -> None:
        """A try came to an end."""
        if way.given is not None:
            self._settle(over, way.given, said, name)
            way.given = None
            over.tries.pop(way, None)
        metrics.PARTNER_CALLS.add(self._member_id, name)
        metrics.PARTNER_QUESTIONS.add(self._member_id, by=1)
        kind, time_s = FIRST if len(way.sent) <= 1 else RETRY, self._loop.time() - way.began
        self._outward.tell(Told(self._member_id, over.chosen.gateway.address, kind, name, time_s))

    def _settle_all(self, over: Over, said: Said, name: str) -> None:
        """Every pass that is still out goes back; a stream that is lost is one failure, however much was under way."""
        if over.given is not None:
            given, over.given = over.given, None
            self._settle(over, given, said, name)
        for way in list(over.tries):
            self._end_try(over, way, said, name)
            said = Said.NOTHING

    def _settle(self, over: Over, given: Pass, said: Said, name: str) -> None:
        # Taken as begun just now: a chunk takes its time, and is not slow by that.
        over.chosen.door.breaker.settle(given._replace(at=self._outward.clock.monotonic()), said, name)

    def _gateways(self) -> tuple[Gateway, ...]:
        return tuple(self._outward.directory.current().member(self._member_id).gateways)

    def _listed(self) -> tuple[Gateway, ...]:
        """The member's gateways; none where it is not one, or nothing is known any more."""
        try:
            return self._gateways()
        except WuganError:
            return ()
