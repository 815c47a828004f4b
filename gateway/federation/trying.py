"""An envelope's way to a partner and back: to which gateway, sealed anew for each try, tried again, or hedged.

Owns: the time of each try, hedging, and telling the breakers how it went. Which failure is tried again is said by
`retrying`, which gateway is asked by `standing`. Refuses: judging answers beyond that they verify.

Hedging: a partner with several gateways is put the question a second time, at another one, when the first has not
answered in the time within which it usually does. Whichever answers first is believed; the other call is given up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Final, NamedTuple

import grpc

from gateway.clock import Clock
from gateway.errors import EnvelopeError
from gateway.exchange.envelope import Opened, Sealed, open_answer, seal
from gateway.exchange.keys import EncryptionKey, OwnKeys
from gateway.exchange.question import QUESTION_ID_BYTES
from gateway.exchange.randomness import RANDOMNESS
from gateway.federation.directory import DirectorySource, Gateway
from gateway.federation.lines import Lines
from gateway.federation.retrying import LEAST_TRY_S, Failed, Retrying, failed_by, faulty, left_alone
from gateway.federation.standing import Chosen, Standing, Standings
from gateway.observing import clocks, tracing
from gateway.resilience.breaker import Said
from gateway.sections.resilience import BreakerSettings, RetrySettings
from wugan.federation.v1 import envelope_pb2, exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

FIRST, RETRY, HEDGE = "first", "retry", "hedge"
_TIMER_S: Final = 0.005
"""A call that was cancelled so little before its time ran out would have been late."""
_ON_ITS_WAY_S: Final = 0.001
"""What a question that leaves gives to do is done so much later: what it is sent with is not kept from sending it."""
_SILENT: Final = 4.0
"""So many times longer than usual without an answer, and a connection may be dead; whoever waits for less knows
nothing of it, and would only have everybody else's questions wait for another."""


_ID_FOLLOWS: Final = exchange_pb2.Question(question_id=bytes(QUESTION_ID_BYTES)).SerializeToString().rstrip(b"\0")
"""Tag and length of a question's id."""
_END: Final = attrgetter("end")
_PAYLOAD: Final = attrgetter("payload")


class Told(NamedTuple):
    """How a try went, for metrics: whose gateway, which kind of try, its outcome ("OK" or a short name), seconds."""

    member: str
    address: str
    kind: str
    outcome: str
    time_s: float


class Asking:
    """A question on its way to a member.

    Args:
        question: it.
        left: called with each envelope that it left in, one for each try, while that is on its way.
        mark: where notices stood before it was asked; of one that is answered by another's asking, where they stood
            before that.
    """

    __slots__ = ("end", "left", "mark", "payload", "question", "sent")

    def __init__(self, question: exchange_pb2.Question, left: Callable[[Sealed], None], mark: int = 0) -> None:
        self.question = question
        self.left = left
        self.mark = mark
        self.sent: list[Sealed] = []
        """Every envelope that it left in."""
        self.payload = b""
        self.end = 0.0

    def left_s(self) -> float:
        """Seconds until the answer must be there."""
        return self.end - asyncio.get_running_loop().time()

    def leaves(self, sealed: Sealed) -> None:
        """It is in an envelope that left."""
        self.sent.append(sealed)
        self.left(sealed)

    def begin(self, question: bytes, end: float) -> None:
        """Make of the serialized question what is sent in every try of it: with an id, by which it counts once.

        Args:
            question: without an id.
            end: time of the event loop by which the answer must be there.
        """
        # Serialized messages one after another are one message: the question is not serialized a second time for it.
        self.payload = question + _ID_FOLLOWS + RANDOMNESS.take(QUESTION_ID_BYTES)
        # It says where it is traced too, which is no part of what makes two questions the same.
        if trace := tracing.carried():
            self.payload += exchange_pb2.Question(trace=trace).SerializeToString()
        self.end = end


class _Way:
    """What the tries for one envelope have in common."""

    __slots__ = ("askings", "elsewhere", "end", "member_id", "purpose", "standing", "tried", "tries")

    def __init__(self, member_id: str, purpose: int, askings: Sequence[Asking], standing: Standing) -> None:
        self.member_id = member_id
        self.purpose = purpose
        self.askings = askings
        self.standing = standing
        self.end: float = min(map(_END, askings))
        self.tried: set[str] = set()
        self.tries = 0
        self.elsewhere = False
        """It was let through to be tried elsewhere, and that is not over."""

    def left_s(self) -> float:
        """Seconds until the first of the askers stops waiting."""
        return self.end - asyncio.get_running_loop().time()

    def settle(self, *, failed: bool = False) -> None:
        """What it was let through for, if it was, is over."""
        if self.elsewhere:
            self.elsewhere = False
            self.standing.elsewhere.end(failed=failed)


class Tries:
    """Gets envelopes answered.

    Args:
        own: own keys as they are at the moment.
        directory: who is a partner, and where.
        lines: the channels.
        clock: dates envelopes.
        standings: how each partner is doing.
        retrying: runs further tries.
        retry: times of tries.
        breaker: what a late answer says.
        lifetime_ms: of an envelope.
    """

    def __init__(
        self,
        own: Callable[[], OwnKeys],
        directory: DirectorySource,
        lines: Lines,
        clock: Clock,
        standings: Standings,
        retrying: Retrying,
        retry: RetrySettings,
        breaker: BreakerSettings,
        lifetime_ms: int,
    ) -> None:
        self._own = own
        self._directory = directory
        self._lines = lines
        self._clock = clock
        self._standings = standings
        self._retrying = retrying
        self._most = retry.tries
        self._last_s = retry.last_try_ms / 1000
        self._fair_s = breaker.fair_ms / 1000
        self._lifetime_ms = lifetime_ms
        self.tell: Callable[[Told], None] | None = None
        """Told of every try."""

    async def ask(self, member_id: str, purpose: int, askings: Sequence[Asking]) -> Opened:
        """Ask in one envelope, again if need be; the verified answer.

        Raises:
            RefusedError: the member refused the envelope.
            PartnerError: it could not be reached in time, is left alone, or its answer does not verify.
            EnvelopeError: the directory has no key of the member, or the questions are too large.
            DirectoryError: the directory has expired.
        """
        standing = self._standings.of(member_id)
        count = len(askings)
        standing.retries.earn(count)
        way = _Way(member_id, purpose, askings, standing)
        outcome = await self._try(way)
        if isinstance(outcome, Failed):
            try:
                outcome = await self._retrying.go_on(
                    outcome,
                    lambda: self._again(way),
                    repeatable=True,
                    elsewhere=lambda: self._others(way),
                    left_s=way.left_s,
                    spend=lambda failed: self._spend(way, failed),
                )
            finally:
                way.settle()  # it was given up
        if isinstance(outcome, Failed):
            try:
                raise outcome.error
            finally:
                del outcome  # as in `Partners.ask`
        return outcome

    async def _spend(self, way: _Way, failed: Failed) -> bool:
        """Whether there is another try in the budgets.

        Where one gateway failed and there is another, one that is earned by answers comes first. Not where it is only
        busy: asking the other as well would make all of them busier.
        """
        count, standing = len(way.askings), way.standing
        if failed.row.said is Said.FAILED and self._others(way):
            way.elsewhere = await standing.elsewhere.enter(count, way.left_s() - LEAST_TRY_S)
            if way.elsewhere:
                return True
        return way.left_s() >= LEAST_TRY_S and standing.retries.spend(count)

    def _others(self, way: _Way) -> bool:
        return way.standing.others(self._gateways(way.member_id), way.tried)

    async def _again(self, way: _Way) -> Opened | Failed:
        """A further try."""
        outcome = await self._try(way)
        way.settle(failed=isinstance(outcome, Failed) and outcome.row.said is Said.FAILED)
        return outcome

    def _gateways(self, member_id: str) -> Sequence[Gateway]:
        return self._directory.current().member(member_id).gateways

    async def _try(self, way: _Way) -> Opened | Failed:
        """One try, with its hedge."""
        gateways = self._gateways(way.member_id)
        chosen = way.standing.choose(gateways, way.tried)
        if chosen is None:
            return left_alone(way.standing.retry_after_ms(gateways))
        kind = RETRY if way.tries else FIRST
        way.tries += 1
        way.tried.add(chosen.gateway.address)
        time_s = way.left_s()
        if way.tries < self._most and time_s >= 2 * self._last_s:
            time_s -= self._last_s
        usual_s = chosen.door.usual.value() if len(gateways) > 1 else None
        if usual_s is None or usual_s >= time_s:
            return await self._over(way, chosen, time_s, kind)
        return await self._hedged(way, gateways, chosen, time_s, usual_s, kind)

    async def _hedged(
        self, way: _Way, gateways: Sequence[Gateway], chosen: Chosen, time_s: float, usual_s: float, kind: str
    ) -> Opened | Failed:
        """A try, joined by another at a second gateway if the first takes longer than it usually does."""
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(self._over(way, chosen, time_s, kind))]
        try:
            await asyncio.wait(tasks, timeout=usual_s)
            second = None
            if not tasks[0].done() and way.standing.others(gateways, way.tried):
                if way.standing.hedges.spend(len(way.askings)):
                    second = way.standing.choose(gateways, way.tried, again=False)
                if second is not None:
                    way.tried.add(second.gateway.address)
                    tasks.append(loop.create_task(self._over(way, second, time_s - usual_s, HEDGE)))
            pending = set(tasks)
            while pending:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    outcome = task.result()
                    if not isinstance(outcome, Failed):
                        return outcome
            return tasks[0].result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _over(self, way: _Way, chosen: Chosen, time_s: float, kind: str) -> Opened | Failed:
        """Send the questions to a gateway, sealed in a new message; what came of it. The breaker is told."""
        loop = asyncio.get_running_loop()
        gateway, breaker = chosen.gateway, chosen.door.breaker
        began = loop.time()
        said, name = Said.NOTHING, "CANCELLED"
        try:
            with tracing.span("seal", partner=way.member_id, questions=len(way.askings)):
                now_ms = self._clock.now_ms()
                key = self._directory.current().encryption_key(way.member_id, now_ms)
                sealed = self._seal(way, key, now_ms)
            outcome = await self._exchanged(way, chosen, sealed, time_s, key, kind)
            if isinstance(outcome, Failed):
                said, name = outcome.row.said, outcome.name
                if said is Said.WELL:
                    way.standing.answered(len(way.askings))
                if outcome.error.reason == words.REFUSAL_REASON_DEADLINE_EXCEEDED:
                    usual_s = chosen.door.usual.value()
                    if time_s >= min(self._fair_s, self._fair_s if usual_s is None else _SILENT * usual_s):
                        self._lines.drop_silent(gateway.address, gateway.tls_name, began)
                    if time_s < self._fair_s:
                        said = Said.NOTHING
            else:
                said, name = Said.WELL, "OK"
                way.standing.answered(len(way.askings))
                chosen.door.usual.add(loop.time() - began)
        except asyncio.CancelledError:
            if loop.time() >= began + time_s - _TIMER_S and time_s >= self._fair_s:
                said, name = Said.FAILED, "DEADLINE_EXCEEDED"
            raise
        else:
            return outcome
        finally:
            breaker.settle(chosen.given, said, name)
            if self.tell is not None:
                self.tell(Told(way.member_id, gateway.address, kind, name, loop.time() - began))

    def _seal(self, way: _Way, key: EncryptionKey, now_ms: int) -> Sealed:
        return seal(
            self._own(),
            way.member_id,
            key,
            kind=envelope_pb2.MESSAGE_KIND_QUESTION,
            purpose=way.purpose,  # type: ignore[arg-type]  # sealing checks it
            payloads=list(map(_PAYLOAD, way.askings)),
            now_ms=now_ms,
            lifetime_ms=self._lifetime_ms,
        )

    async def _exchanged(
        self, way: _Way, chosen: Chosen, sealed: Sealed, time_s: float, key: EncryptionKey, kind: str
    ) -> Opened | Failed:
        """The verified answer to a sealed question, or why there is none."""
        gateway, member_id = chosen.gateway, way.member_id
        waiting = list(way.askings)

        def left() -> None:
            if waiting:
                key.prepare()  # for the next one, while the partner is at work
            while waiting:
                waiting.pop(0).leaves(sealed)

        try:
            with (
                tracing.span("exchange", partner=member_id, kind=kind, gateway=chosen.place),
                self._lines.use(gateway.address, gateway.tls_name) as stub,
            ):
                call = stub.Exchange(sealed.envelope, timeout=time_s)
                asyncio.get_running_loop().call_later(_ON_ITS_WAY_S, left)
                try:
                    envelope = await call
                finally:
                    left()
        except grpc.aio.AioRpcError as error:
            return failed_by(error)
        directory = self._directory.current()  # of this moment: whoever was taken out of it meanwhile is not believed
        try:
            with tracing.span("open", partner=member_id):
                now_ms = self._clock.now_ms()
                opened = open_answer(envelope, self._own(), directory, now_ms=now_ms, question=sealed)
        except EnvelopeError:
            return faulty()
        clocks.OFFSETS.seen(member_id, now_ms - opened.header.issued_at_ms)  # it is its sender: that was checked
        return opened
