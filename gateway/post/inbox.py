"""Dealing with what others left here: each delivery by the handler of its kind, in order, its outcome committed once.

Owns: `Inbox.register`; a lane for each kind, so that questions which wait for departments hold up no answers and no
notices; how many are dealt with at once; trying again what failed, and giving it up. Refuses: knowing what a delivery
holds, and receiving (`door`).

The rule. Under the same order key of a sender the next delivery is handed over only when the one before was handled or
given up. What a handler says came of it is written in the same commit that marks the delivery as handled: after a crash
it either has happened, or is done again from the start.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

import structlog
from google.protobuf.message import DecodeError

from gateway.clock import Clock
from gateway.errors import DirectoryError, StoreError, WuganError
from gateway.exchange.envelope import Proof
from gateway.log import Standstill, described
from gateway.observing import metrics, tracing
from gateway.post import traces
from gateway.post.letters import Handled, Handler, Received
from gateway.post.pace import pause_ms
from gateway.resilience.backoff import Random, chance
from gateway.sections.lasting import OutboxSettings
from gateway.store.inbox import DEAD, DONE, UNDER_WAY, Finish, Held, InboxTable
from gateway.store.jumps import STEP_MS, Jumps
from gateway.store.letters import LONGEST_OFF_MS
from wugan.agency.v1 import agency_pb2
from wugan.federation.v1 import delivery_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

_log = structlog.stdlib.get_logger(__name__)

_OUTCOMES: Final = {DONE: "DONE", DEAD: "DEAD"}
SWEEP_S: Final = 60.0
_Key = tuple[str, bytes]


_FEW: Final = 4
"""Less than a fourth of the places are few to look for more work for."""
_GATHER_S: Final = 0.02


@dataclass(slots=True, eq=False)
class _Lane:
    kind: int
    handler: Handler
    workers: int
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    running: dict[_Key, asyncio.Task[None]] = field(default_factory=dict)


class Inbox:
    """See the module."""

    def __init__(self, table: InboxTable, clock: Clock, settings: OutboxSettings, drawn: Random = chance) -> None:
        table.limit(settings.inbox_max_waiting)
        self._table = table
        self._clock = clock
        self._settings = settings
        self._drawn = drawn
        self._jumps = Jumps(clock, STEP_MS)
        self._lanes: dict[int, _Lane] = {}

    def register(
        self, kind: delivery_pb2.DeliveryKind.ValueType, handler: Handler, *, workers: int | None = None
    ) -> None:
        """Have deliveries of a kind dealt with by a handler; before `run`.

        Args:
            kind: kinds without a handler are not accepted.
            handler: deals with them.
            workers: how many at once; None: as the settings say.
        """
        self._lanes[kind] = _Lane(kind, handler, workers or self._settings.workers)

    def handler(self, kind: int) -> Handler | None:
        """Who deals with a kind; None: nobody."""
        lane = self._lanes.get(kind)
        return None if lane is None else lane.handler

    def wake(self, kind: int) -> None:
        """Something of this kind was accepted."""
        lane = self._lanes.get(kind)
        if lane is not None:
            lane.woken.set()

    async def run(self) -> None:
        """Deal with deliveries until cancelled."""
        tasks = [asyncio.create_task(self._serve(lane)) for lane in self._lanes.values()]
        tasks.append(asyncio.create_task(self._forget()))
        try:
            await asyncio.gather(*tasks)
        finally:
            for lane in self._lanes.values():
                tasks += lane.running.values()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, lane: _Lane) -> None:
        standstill = Standstill()
        while True:
            lane.woken.clear()
            try:
                if 0 < lane.workers - len(lane.running) < lane.workers // _FEW:
                    await asyncio.sleep(_GATHER_S)  # others end as well: looking costs the same for one as for all
                free = lane.workers - len(lane.running)
                for held in await self._table.due(lane.kind, self._clock.now_ms(), free, list(lane.running)):
                    self._start(lane, held)
                standstill.ends()
            except StoreError as error:
                if standstill.begins():
                    _log.warning("inbox not read", fault=described(error))
            try:
                async with asyncio.timeout(self._settings.poll_s):
                    await lane.woken.wait()
            except TimeoutError:  # what is due by its time, and what another process has put there
                pass

    def _start(self, lane: _Lane, held: Held) -> None:
        key = held.sender, held.delivery_id
        task = asyncio.get_running_loop().create_task(self._deal_with(lane, held))
        lane.running[key] = task

        def ended(_task: asyncio.Task[None]) -> None:
            del lane.running[key]
            lane.woken.set()

        task.add_done_callback(ended)

    async def _deal_with(self, lane: _Lane, held: Held) -> None:
        try:
            with traces.handling(held.sender, held.kind, lambda: _received(held).body) as span:
                finish = await self._handled(lane, held)
                outcome = _OUTCOMES.get(finish.state, "OPEN")
                span.tell(outcome=outcome, attempt=held.attempts + 1)
                metrics.INBOX_DONE.add(traces.name_of(lane.kind), outcome)
                with tracing.span("record"):
                    finished = await self._table.finish(finish)
            if finished:
                for effect in finish.effects:
                    if effect.after is not None:
                        effect.after()
        except StoreError as error:  # it is as if nothing had been done; it is done again, but not at once
            _log.warning("delivery not finished", delivery=held.delivery_id.hex(), fault=described(error))
            await asyncio.sleep(self._settings.poll_s)

    async def _handled(self, lane: _Lane, held: Held) -> Finish:
        """What came of handing a delivery to its handler."""
        try:
            handled = await lane.handler.handle(_received(held))
        except WuganError as error:
            return self._failure(held, error)
        except Exception as error:  # noqa: BLE001  a handler that fails harms its own delivery only
            _log.error("delivery crashed", delivery=held.delivery_id.hex(), error=type(error).__name__)
            return self._failure(held, WuganError("handling it failed", "处理失败", retryable=True))
        return _finish(held, handled, self._clock.now_ms() + LONGEST_OFF_MS)

    def _failure(self, held: Held, error: WuganError) -> Finish:
        settings, now_ms = self._settings, self._clock.now_ms()
        passing = error.retryable or isinstance(error, DirectoryError)  # a directory comes back
        # What fails everything here, for hours perhaps, is no fault of this delivery.
        too_often = held.failures + 1 >= settings.max_failures and not isinstance(error, (DirectoryError, StoreError))
        if not passing or too_often or self._jumps.at_least_ms() >= held.expires_at_ms:
            _log.error("delivery given up", delivery=held.delivery_id.hex(), member=held.sender, why=error.code)
            return Finish(
                held.sender,
                held.delivery_id,
                DEAD,
                next_try_ms=now_ms,
                reason=error.reason,
                note=error.en,
                attempts=held.attempts,
            )
        _log.warning("delivery failed", delivery=held.delivery_id.hex(), member=held.sender, why=error.code)
        wait_ms = pause_ms(held.failures + 1, settings, self._drawn())
        return Finish(
            held.sender,
            held.delivery_id,
            held.state,
            next_try_ms=now_ms + min(max(wait_ms, error.retry_after_ms), LONGEST_OFF_MS),
            reason=error.reason or words.REFUSAL_REASON_INTERNAL,
            note=error.en,
            attempts=held.attempts,
        )

    async def sweep(self) -> int:
        """Forget what cannot come any more, by a time that is believed; how many those were.

        Raises:
            StoreError: it could not be written.
        """
        return await self._table.sweep(self._jumps.at_least_ms())

    async def _forget(self) -> None:
        while True:
            try:
                await self.sweep()
            except StoreError as error:
                _log.warning("inbox not swept", fault=described(error))
            await asyncio.sleep(SWEEP_S)


def keep(proof: Proof) -> bytes:
    """What is kept of a delivery: the part of the message that it came in, with its proof."""
    return agency_pb2.Proof(**proof._asdict()).SerializeToString()


def kept_proof(content: bytes) -> Proof:
    """The proof that `keep` kept."""
    kept = agency_pb2.Proof.FromString(content)
    return Proof(**{name: getattr(kept, name) for name in Proof._fields})


def _received(held: Held) -> Received:
    try:
        proof = kept_proof(held.content)
        body = delivery_pb2.Delivery.FromString(proof.payload).body
    except DecodeError as error:  # it was parsed when it was accepted
        raise WuganError("what was kept of it cannot be read", "所存内容无法读取", retryable=False) from error
    return Received(
        held.sender,
        held.delivery_id,
        held.kind,
        held.purpose,
        held.accepted_at_ms,
        held.expires_at_ms,
        body,
        proof,
        held.progress,
        held.attempts,
    )


def _finish(held: Held, handled: Handled, latest_ms: int) -> Finish:
    return Finish(
        held.sender,
        held.delivery_id,
        UNDER_WAY if handled.again_at_ms else DONE,
        handled.effects,
        handled.progress,
        min(handled.again_at_ms, latest_ms),
        attempts=held.attempts,
    )
