"""Sending what waits in the outbox: to every partner by itself, in order, at a rate it can bear, until it is received.

Owns: `Outbox.submit`, by which anything is left with a partner; one lane for each partner, so that one that is away
holds up nobody else; batches; what follows from a receipt or from its absence. Refuses: knowing what a letter holds,
and channels (a `Carrier` has them).

The rule. Of letters under the same order key the next is sent only when the one before was received, or given up. While
a partner cannot be reached, or does not take anything, the lane tries with one letter after a time that grows; that
time is kept in the store, so that a restart does not make it a hammer. A partner that could not be reached and is heard
of in the meantime is tried before that time. What a partner refuses by itself is tried again
by itself, or is dead: an operator sees it. When a whole envelope is refused for what is in it, its letters go one by
one, so that a bad one is found and the others are not held up. Where the partner may as well fail by itself, a letter
is blamed only while others are taken; else another one is tried next, after the time that grows.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import structlog

from gateway.clock import Clock
from gateway.errors import DirectoryError, StoreError, WuganError
from gateway.exchange.envelope import Opened, Sealed, open_receipt, seal
from gateway.exchange.keys import Keyring, OwnKeys
from gateway.log import Standstill, described
from gateway.observing import calls, metrics, tracing
from gateway.post import traces
from gateway.post.pace import Pace, pause_ms
from gateway.post.receipts import MAX_WAIT_MS, faulty, read_receipt
from gateway.resilience.backoff import Random, chance
from gateway.sections.lasting import OutboxSettings
from gateway.store.faults import overloaded
from gateway.store.jumps import STEP_MS, Jumps
from gateway.store.letters import Effect, Letter
from gateway.store.outbox import Again, Attempt, Dead, Due, OutboxTable, Trouble
from wugan.federation.v1 import delivery_pb2, envelope_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

_log = structlog.stdlib.get_logger(__name__)

BATCH_BYTES: Final = 1 << 20
"""Letters in one envelope are so long together at most, unless a single one is longer."""
COUNT_S: Final = 60.0
"""Seconds between looks how much waits altogether."""

_BY_ITSELF: Final = frozenset(
    {
        words.REFUSAL_REASON_INVALID_ARGUMENT,
        words.REFUSAL_REASON_ENVELOPE_MALFORMED,
        words.REFUSAL_REASON_TOO_LARGE,
        words.REFUSAL_REASON_PARTNER_FAULTY,
        words.REFUSAL_REASON_INTERNAL,
    }
)
"""Why an envelope may fail for what is in it; for all other reasons it is the partner that takes nothing."""
_OR_ALL: Final = frozenset({words.REFUSAL_REASON_PARTNER_FAULTY, words.REFUSAL_REASON_INTERNAL})
"""Of these, why all envelopes may fail: its disk is full, say, or its receipts do not verify."""
HEARD_S: Final = 30.0
"""Seconds between two attempts before their time: a partner may well answer questions and be reached by no delivery."""
_NOT_REACHED: Final = frozenset({words.REFUSAL_REASON_PARTNER_UNAVAILABLE, words.REFUSAL_REASON_DEADLINE_EXCEEDED})
_TOO_MUCH: Final = frozenset({words.REFUSAL_REASON_OVERLOADED, words.REFUSAL_REASON_DEADLINE_EXCEEDED})


class Carrier(Protocol):
    """Takes an envelope to a member's gateway."""

    async def deliver(self, member_id: str, envelope: envelope_pb2.Envelope, timeout_s: float) -> envelope_pb2.Envelope:
        """Its answer.

        Raises:
            WuganError: whatever kept it from being answered.
        """
        ...


class Outbox:
    """See the module.

    Args:
        own: gives own keys as they are at the moment.
        directory: gives the keys of the moment; raises DirectoryError once they have expired.
        lifetime_ms: life of an envelope; each attempt is sealed anew.
        drawn: for the jitter of the time between attempts.
    """

    def __init__(
        self,
        own: Callable[[], OwnKeys],
        directory: Callable[[], Keyring],
        table: OutboxTable,
        carrier: Carrier,
        clock: Clock,
        settings: OutboxSettings,
        *,
        lifetime_ms: int,
        drawn: Random = chance,
    ) -> None:
        self.own = own
        self.directory = directory
        self.table = table
        self.carrier = carrier
        self.clock = clock
        self.settings = settings
        self.lifetime_ms = lifetime_ms
        self.drawn = drawn
        self.waiting: dict[str, int] = {}
        """Letters that wait, by partner, as far as is known."""
        self._jumps = Jumps(clock, STEP_MS)
        self._lanes: dict[str, _Lane] = {}
        self._troubles: dict[str, Trouble] = {}
        """Partners that took nothing before a restart, until something waits for them."""
        self._running = False

    def submit(self, letter: Letter) -> asyncio.Future[int]:
        """Leave a letter with a partner; the future's result is its sequence, once it is on the disk.

        Raises:
            StoreError: the letter is malformed, or too much waits, for this partner or altogether.
        """
        effect = self.effect(letter)
        future = self.table.submit(letter)
        future.add_done_callback(lambda done: _then(done, effect.after))
        return future

    def effect(self, letter: Letter) -> Effect:
        """The same, to be committed with other writes.

        Raises:
            StoreError: as `submit`.
        """
        if self.waiting.get(letter.partner, 0) >= self.settings.max_waiting:
            raise overloaded()
        effect = self.table.effect(letter)
        self.waiting[letter.partner] = self.waiting.get(letter.partner, 0) + 1
        return effect._replace(after=functools.partial(self.wake, letter.partner))

    def wake(self, partner: str) -> None:
        """Something may be there to be sent."""
        lane = self._lanes.get(partner)
        if lane is not None:
            lane.woken.set()
        elif self._running:
            self._open(partner)

    def heard_of(self, partner: str) -> None:
        """A partner is there: it answered, or asked. What waits because it could not be reached is tried soon."""
        lane = self._lanes.get(partner)
        if lane is not None:
            lane.heard_of()

    async def sweep(self) -> int:
        """Give up what expired, by a time that is believed, and forget what was dead for long; how many expired.

        Raises:
            StoreError: it could not be read or written.
        """
        now_ms = self._jumps.at_least_ms()
        return await self.table.sweep(now_ms, now_ms - round(self.settings.keep_dead_days * 86_400_000))

    async def run(self) -> None:
        """Send until cancelled."""
        loop = asyncio.get_running_loop()
        counted_at = -COUNT_S
        standstill = Standstill()
        try:
            while True:
                try:
                    if not self._lanes:
                        self._troubles = await self.table.troubles()
                    self._running = True  # not before it is known whom to leave alone
                    if loop.time() - counted_at >= COUNT_S:
                        self.waiting = {each.partner: each.waiting for each in await self.table.backlog()}
                        counted_at = loop.time()
                    await self.sweep()
                    # Also what another process has put there: `wugan outbox retry`, another instance.
                    for partner in await self.table.partners():
                        if partner not in self._lanes:
                            self._open(partner)
                        self.wake(partner)
                    standstill.ends()
                except StoreError as error:
                    if standstill.begins():
                        _log.warning("outbox not read", fault=described(error))
                await asyncio.sleep(self.settings.poll_s)
        finally:
            self._running = False
            tasks = [lane.task for lane in self._lanes.values() if lane.task is not None]
            self._lanes.clear()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _open(self, partner: str) -> None:
        lane = self._lanes[partner] = _Lane(self, partner, self._troubles.pop(partner, None))
        # No part of the trace of whatever made the first letter.
        lane.task = asyncio.get_running_loop().create_task(lane.run(), context=tracing.apart())


class _Lane:
    """What goes to one partner."""

    def __init__(self, outbox: Outbox, partner: str, trouble: Trouble | None) -> None:
        self._outbox = outbox
        self._partner = partner
        self._trouble = trouble
        self._pace = Pace(outbox.settings.rate_per_s, outbox.settings.batch, outbox.clock.monotonic())
        self._one_by_one = 0
        self._took = trouble is None
        """Whether the partner took an envelope since one last failed that held a single letter."""
        self._suspects: set[int] = set()
        """Letters that failed by themselves since the partner last took anything."""
        self._heard_of = False
        self._heard_from_s = 0.0
        """Monotonic time from which hearing of the partner counts."""
        self._longest_ms = max(round(outbox.settings.retry_longest_s * 1000), MAX_WAIT_MS)
        self.woken = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    def heard_of(self) -> None:
        """The partner is there."""
        if self._trouble is not None and self._trouble.reason in _NOT_REACHED:
            self._heard_of = self._outbox.clock.monotonic() >= self._heard_from_s

    async def run(self) -> None:
        """Send whatever waits, whenever it may be sent."""
        poll_s = self._outbox.settings.poll_s
        standstill = Standstill()
        while True:
            self.woken.clear()
            try:
                wait_s = await self._once()
                standstill.ends()
            except StoreError as error:
                if standstill.begins():
                    _log.warning("outbox stands still", member=self._partner, fault=described(error))
                wait_s = poll_s
            except Exception as error:  # noqa: BLE001  a lane that ends would never be noticed
                _log.error("outbox lane failed", member=self._partner, error=type(error).__name__)
                wait_s = poll_s
            if wait_s is None:
                await self.woken.wait()
            elif wait_s > 0:
                await asyncio.sleep(min(wait_s, poll_s))

    async def _once(self) -> float | None:
        """Send one envelope; seconds until there may be something to do, None: not before `woken`."""
        outbox, settings, now_ms = self._outbox, self._outbox.settings, self._outbox.clock.now_ms()
        # A time to come that no pause can have meant is not believed: the clock was ahead when it was noted.
        wait_ms = 0 if self._trouble is None else self._trouble.next_try_ms - now_ms
        early = 0 < wait_ms <= self._longest_ms
        if early and not self._heard_of:
            return wait_ms / 1000
        room = self._pace.room(outbox.clock.monotonic())
        if room <= 0:
            return self._pace.wait_s()
        single = self._trouble is not None or self._one_by_one > 0
        most = 1 if single else min(room, settings.batch)
        due = self._chosen(
            await outbox.table.due(self._partner, now_ms, most + len(self._suspects), self._longest_ms), most
        )
        if not due:
            self._one_by_one = 0
            return None
        self._one_by_one = max(0, self._one_by_one - 1)
        if early:
            self._heard_from_s = outbox.clock.monotonic() + HEARD_S
        self._heard_of = False
        with traces.delivering(self._partner, [each.letter for each in due]) as span:
            attempt = await self._attempt(due)
            span.tell(received=len(attempt.received), again=len(attempt.again), dead=len(attempt.dead))
            with tracing.span("record"):
                await outbox.table.settle(attempt)
        for outcome, letters in (("RECEIVED", attempt.received), ("AGAIN", attempt.again), ("DEAD", attempt.dead)):
            if letters:
                metrics.OUTBOX_SENT.add(self._partner, outcome, by=len(letters))
        gone = len(attempt.received) + len(attempt.dead)
        outbox.waiting[self._partner] = max(0, outbox.waiting.get(self._partner, 0) - gone)
        self._trouble = attempt.trouble
        return 0.0

    def _chosen(self, due: Sequence[Due], most: int) -> list[Due]:
        """Those to send next; none that failed by itself while there are others, by which it is seen whose fault it is.

        When all that is due did, it is the first one's turn again.
        """
        others = [each for each in due if each.sequence not in self._suspects]
        if not others or len(self._suspects) > self._outbox.settings.batch:
            self._suspects.clear()
        return _together((others or due)[:most])

    async def _attempt(self, due: Sequence[Due]) -> Attempt:
        outbox = self._outbox
        try:
            with tracing.span("seal"):
                sealed = self._seal(due)
            with tracing.span("exchange"):
                answer = await outbox.carrier.deliver(self._partner, sealed.envelope, outbox.settings.timeout_s)
            with tracing.span("open"):
                opened = self._opened(sealed, answer)
            refusals = [read_receipt(payload, each.letter) for payload, each in zip(opened.payloads, due, strict=True)]
        except WuganError as error:
            return self._failed(due, error)
        calls.partner_took(self._partner)
        if self._trouble is not None:
            _log.info("deliveries go on", member=self._partner, failures=self._trouble.failures)
        self._pace.sent(len(due))
        self._took = True
        self._suspects.clear()
        return self._sorted_out(due, refusals)

    def _seal(self, due: Sequence[Due]) -> Sealed:
        outbox, now_ms = self._outbox, self._outbox.clock.now_ms()
        return seal(
            outbox.own(),
            self._partner,
            outbox.directory().encryption_key(self._partner, now_ms),
            kind=envelope_pb2.MESSAGE_KIND_DELIVERY,
            purpose=due[0].letter.purpose,  # type: ignore[arg-type]  # sealing checks it
            payloads=[_delivery(each) for each in due],
            now_ms=now_ms,
            lifetime_ms=outbox.lifetime_ms,
        )

    def _opened(self, sealed: Sealed, answer: envelope_pb2.Envelope) -> Opened:
        """The receipts, verified."""
        outbox = self._outbox
        try:
            return open_receipt(answer, outbox.own(), outbox.directory(), delivery=sealed, now_ms=outbox.clock.now_ms())
        except WuganError as error:
            raise faulty("does not open or verify") from error

    def _sorted_out(self, due: Sequence[Due], refusals: Sequence[WuganError | None]) -> Attempt:
        """What the partner said to each letter."""
        received: list[int] = []
        again: list[Again] = []
        dead: list[Dead] = []
        full: WuganError | None = None
        for each, refusal in zip(due, refusals, strict=True):
            if refusal is None:
                received.append(each.sequence)
            elif refusal.reason == words.REFUSAL_REASON_OVERLOADED:  # its inbox is full: that is no fault of the letter
                full = refusal
            else:
                self._refused(each, refusal, again, dead)
        trouble = None if full is None else self._troubled(full)
        return Attempt(self._partner, received, again, dead, trouble)

    def _refused(self, each: Due, refusal: WuganError, again: list[Again], dead: list[Dead]) -> None:
        settings, now_ms = self._outbox.settings, self._outbox.clock.now_ms()
        _log.warning("delivery refused", member=self._partner, delivery=each.letter.delivery_id.hex(), why=refusal.code)
        if not refusal.retryable or each.failures + 1 >= settings.max_failures:
            dead.append(Dead(each.sequence, refusal.reason, refusal.en))
        else:
            wait_ms = pause_ms(each.failures + 1, settings, self._outbox.drawn())
            pause = min(max(wait_ms, refusal.retry_after_ms), self._longest_ms)
            again.append(Again(each.sequence, now_ms + pause, refusal.reason))

    def _failed(self, due: Sequence[Due], error: WuganError) -> Attempt:
        """The envelope as a whole was not answered."""
        if error.reason in _TOO_MUCH:
            self._pace.too_much()
        if error.reason in _BY_ITSELF and not isinstance(error, (DirectoryError, StoreError)):
            if len(due) > 1:
                self._one_by_one = len(due)
                return Attempt(self._partner, trouble=self._trouble)
            took, self._took = self._took, False
            self._suspects.add(due[0].sequence)
            if not took and error.reason in _OR_ALL:
                return Attempt(self._partner, trouble=self._troubled(error))
            again: list[Again] = []
            dead: list[Dead] = []
            error.retryable = True  # whatever it says: the envelope was refused, and nothing said of the letter
            self._refused(due[0], error, again, dead)
            return Attempt(self._partner, again=again, dead=dead)
        return Attempt(self._partner, trouble=self._troubled(error))

    def _troubled(self, error: WuganError) -> Trouble:
        settings, now_ms = self._outbox.settings, self._outbox.clock.now_ms()
        failures = 1 if self._trouble is None else self._trouble.failures + 1
        since_ms = now_ms if self._trouble is None else self._trouble.failing_since_ms
        if self._trouble is None:
            _log.warning("deliveries wait", member=self._partner, why=error.code)
        wait_ms = pause_ms(failures, settings, self._outbox.drawn())
        pause = min(max(wait_ms, error.retry_after_ms), self._longest_ms)
        return Trouble(self._partner, since_ms, failures, now_ms + pause, int(error.reason))


def _together(due: Sequence[Due]) -> list[Due]:
    """The first letter, and those after it that may share its envelope: for the same purpose, and not too long."""
    taken: list[Due] = []
    size = 0
    for each in due:
        if each.letter.purpose != due[0].letter.purpose:
            continue
        size += len(each.letter.body)
        if taken and size > BATCH_BYTES:
            break
        taken.append(each)
    return taken


def _delivery(due: Due) -> bytes:
    letter = due.letter
    return delivery_pb2.Delivery(
        delivery_id=letter.delivery_id,
        sequence=due.sequence,
        order_key=letter.order_key,
        expires_at_ms=letter.expires_at_ms,
        kind=letter.kind,  # type: ignore[arg-type]  # a number of the contract
        body=letter.body,
    ).SerializeToString()


def _then(done: asyncio.Future[int], after: Callable[[], None] | None) -> None:
    if after is not None and not done.cancelled() and done.exception() is None:
        after()
