"""Asking the departments: every adapter at once, within the deadline, and what came back made into one set of columns.

Owns: the deadline of each lookup, batches no larger than an adapter takes, asking again by linked numbers, and
leaving alone for a while an adapter that keeps failing. Refuses: grading, deciding which adapters there are
(`enlisting` does, while questions are under way), and to let one adapter harm another: whatever an adapter raises, it
alone is reported, and each has places of its own for what waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
import structlog

from adapters.batches import in_batches
from adapters.contract import Adapter, ChangeFeed, Description, Found, Holding, Lookup
from adapters.errors import AdapterError, SourceBusyError, SourceDownError
from gateway.clock import Clock, SystemClock
from gateway.inquiry.gathering import Gathered, Gathering, NamesMatch
from gateway.inquiry.narrowing import EVERYBODY, Narrowing
from gateway.inquiry.sources import Hand, Source, Sources
from gateway.observing import calls, metrics, tracing
from gateway.resilience.backoff import Outage
from gateway.resilience.breaker import Said, State
from gateway.sections.resilience import DepartmentBreakerSettings
from gateway.within import within
from wugan.federation.v1 import vocabulary_pb2 as words

_log = structlog.stdlib.get_logger(__name__)


MAX_ROUNDS: Final = 4
"""Times that the departments are asked for one question at most, so that numbers over three changes one after another
are followed. A number is changed where it was wrong or issued twice: once, seldom twice. More is for people to look at,
and each round may last as long as the slowest department."""
JUDGED_AT_MOST: Final = 64
"""A lookup about more people may take its time: that it came too late says nothing."""
UNREADABLE_AT_MOST: Final = 16
"""People in one lookup of whom an adapter may be unable to read a row. Where there are more of them, and more than of
whom it can, it is faulty: then not some rows are bad, but the manifest or the source is."""
_TIMER_S: Final = 0.005
"""What ends so little before the deadline ended because of it."""

Beside = Callable[[Hand, Lookup, Gathering, Narrowing], None]
"""(hand, question, what the live sources brought, whom it is about) → nothing: sources in shadow are asked beside."""


class SourceState(NamedTuple):
    """How a department's adapter does, for people and metrics; `outage`: since when it fails, None: it does well."""

    adapter_id: str
    department: int
    state: State
    outage: Outage | None
    in_use: int
    in_line: int
    shed: int


class Departments:
    """The adapters of one gateway, asked together.

    Args:
        adapters: of this member's departments.
        names_match: whether two names may be one person's.
        clock: measures how an adapter does.
        breaker: when one is left alone, and how many may wait for it.
    """

    def __init__(
        self,
        adapters: Sequence[Adapter],
        names_match: NamesMatch,
        clock: Clock | None = None,
        breaker: DepartmentBreakerSettings | None = None,
    ) -> None:
        settings = breaker or DepartmentBreakerSettings()
        self._fair_s = settings.fair_ms / 1000
        self.sources = Sources(clock or SystemClock(), settings)
        """Which adapters are asked at the moment."""
        self.sources.use([self.sources.source(adapter) for adapter in adapters])
        self.names_match = names_match
        self.beside: Beside | None = None
        """Told of every question that was asked: asks sources in shadow beside, and returns at once."""
        self.tell: Callable[[str, int, float], None] | None = None
        """Told of every lookup: adapter, SourceOutcome, seconds; those that were not made included."""
        self.noted: Callable[[Lookup, Sequence[Description], Sequence[Found | int]], None] | None = None
        """Told what each source asked said to a question, unjudged; must return at once."""

    def __len__(self) -> int:
        return len(self.sources.hand.live)

    def states(self) -> list[SourceState]:
        """How each adapter does."""
        return [
            SourceState(
                source.about.adapter_id,
                source.about.department,
                source.breaker.state,
                source.breaker.outage,
                source.bulkhead.in_use,
                source.bulkhead.in_line,
                source.bulkhead.shed,
            )
            for source in self.sources.hand.live
        ]

    @property
    def troubles(self) -> dict[str, AdapterError]:
        """What is wrong with what adapters hold that answer from what they took in, by adapter."""
        held = [(each.about.adapter_id, each.adapter) for each in self.sources.hand.live]
        told = {name: adapter.trouble for name, adapter in held if isinstance(adapter, Holding)}
        return {name: trouble for name, trouble in told.items() if trouble is not None}

    @property
    def descriptions(self) -> Sequence[Description]:
        """What each adapter offers."""
        return self.sources.hand.descriptions

    def serve(self, regions: tuple[int, ...]) -> bool:
        """Whether there is anybody to ask about people of these regions; empty: of all."""
        if not regions:
            return bool(self.sources.hand.live)
        narrowing = Narrowing(regions)
        return any(narrowing.asks(about) for about in self.descriptions)

    async def check(self) -> list[tuple[str, AdapterError | None]]:
        """Whether each adapter reaches its source: id and error, None where it is well."""

        async def one(adapter: Adapter) -> AdapterError | None:
            try:
                await adapter.check()
            except AdapterError as error:
                return error
            return None

        with self.sources.hand as hand:
            errors = await asyncio.gather(*(one(source.adapter) for source in hand.live))
            return [(about.adapter_id, error) for about, error in zip(hand.descriptions, errors, strict=True)]

    async def close(self) -> None:
        """Close every adapter, whatever the others do."""
        await self.sources.close()

    async def ask(self, question: Lookup, narrowing: Narrowing = EVERYBODY) -> Gathered:
        """Ask every adapter about the people of the question; return by its deadline with what is there.

        Adapters that `narrowing` leaves out are not asked, and are in no report.

        Numbers that a source links to a person are asked of every adapter in a further round within the same deadline,
        and so are those that come to light in it, so that a person is answered for once, under all of the numbers.
        `Gathered.unasked` says who has numbers that could not be asked, for want of rounds or time.
        """
        end = asyncio.get_running_loop().time() + question.deadline_s
        with self.sources.hand as hand:
            asked: Sequence[Source] = hand.live
            descriptions = hand.descriptions
            if narrowing.regions:
                asked = [source for source in asked if narrowing.asks(source.about)]
                descriptions = [source.about for source in asked]
            gathering = Gathering(question.subjects, descriptions, self.names_match, narrowing)
            if gathering.subjects is not question.subjects:
                question = replace(question, subjects=gathering.subjects)
            first = await self._round(question, asked, end)
            if self.noted is not None:
                self.noted(question, descriptions, first)
            for position, outcome in enumerate(first):
                gathering.add(position, outcome)
            if hand.shadow and self.beside is not None:
                self.beside(hand, question, gathering, narrowing)
            for _ in range(1, MAX_ROUNDS):
                further = gathering.further()
                if further is None:
                    break
                left_s = end - asyncio.get_running_loop().time()
                outcomes = await self._round(replace(question, subjects=further, deadline_s=left_s), asked, end)
                for position, outcome in enumerate(outcomes):
                    gathering.add(position, outcome)
            return gathering.result()

    @property
    def feeds(self) -> list[Source]:
        """Those of the moment that tell of whom they have something new; hold one in a block of it."""
        live = self.sources.hand.live
        return [source for source in live if source.about.changes and isinstance(source.adapter, ChangeFeed)]

    async def look(
        self, question: Lookup, asked: Callable[[Description], bool] = lambda _: True
    ) -> list[tuple[Description, Found | int]]:
        """What some adapters say by themselves, unjudged: what each found, or the outcome that says why not."""
        end = asyncio.get_running_loop().time() + question.deadline_s
        with self.sources.hand as hand:
            chosen = [source for source in hand.live if asked(source.about)]
            outcomes = await self._round(question, chosen, end)
            return [(source.about, outcome) for source, outcome in zip(chosen, outcomes, strict=True)]

    async def _round(self, question: Lookup, asked: Sequence[Source], end: float) -> list[Found | int]:
        """One lookup in each adapter asked: what it found, or the outcome that says why not.

        Args:
            question: has the time that is left until the end.
            asked: the sources.
            end: by the event loop's clock.
        """
        if question.deadline_s <= 0:
            return [words.SOURCE_OUTCOME_SILENT] * len(asked)
        if len(asked) == 1:  # spares a task for each of the many single lookups
            try:
                return [await within(end, self._one(asked[0], question, end))]
            except TimeoutError:
                return [words.SOURCE_OUTCOME_SILENT]
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(self._one(source, question, end)) for source in asked]
        try:
            if tasks:
                await asyncio.wait(tasks, timeout=question.deadline_s)
            return [task.result() if task.done() else words.SOURCE_OUTCOME_SILENT for task in tasks]
        finally:
            for task in tasks:
                task.cancel()

    async def _one(self, source: Source, question: Lookup, end: float) -> Found | int:
        """A lookup in one adapter, if it is not left alone and has a place: what it found, or why nothing."""
        loop = asyncio.get_running_loop()
        began, outcome = loop.time(), words.SOURCE_OUTCOME_SILENT
        bulkhead = source.bulkhead
        try:
            with source:
                if source.breaker.refuses:
                    metrics.DEPARTMENT_SHED.add(source.about.adapter_id, calls.LEFT_ALONE)
                    outcome = words.SOURCE_OUTCOME_UNAVAILABLE
                    return outcome
                taken = bulkhead.take()
                if taken is None:
                    taken = await bulkhead.enter(end - loop.time())
                if taken is None:
                    metrics.DEPARTMENT_SHED.add(source.about.adapter_id, calls.OVERLOADED)
                    outcome = words.SOURCE_OUTCOME_UNAVAILABLE
                    return outcome
                try:
                    found = await self._judged(source, question, end)
                finally:
                    bulkhead.leave(taken)
            outcome = found if isinstance(found, int) else words.SOURCE_OUTCOME_ANSWERED  # type: ignore[assignment]
            return found
        finally:
            if self.tell is not None:
                self.tell(source.about.adapter_id, outcome, loop.time() - began)

    async def _judged(self, source: Source, question: Lookup, end: float) -> Found | int:
        """Look up, and tell the breaker how it went."""
        loop = asyncio.get_running_loop()
        given = source.breaker.admit()
        if given is None:
            metrics.DEPARTMENT_SHED.add(source.about.adapter_id, calls.LEFT_ALONE)
            return words.SOURCE_OUTCOME_UNAVAILABLE
        # A short deadline, which the asker sets, or many people must not make others see a source as failing.
        left, people = end - loop.time(), len(question.subjects.id_number)
        fair = left >= self._fair_s and people <= JUDGED_AT_MOST
        said, why = Said.NOTHING, ""
        try:
            name = source.about.adapter_id
            with (
                tracing.span("lookup", department=name, people=people) as span,
                calls.to_department(name, left, fair=fair) as call,
            ):
                outcome, why = await looked_up(source, question)
                call.outcome = why or calls.ANSWERED
                span.tell(outcome=call.outcome)
            if not why:
                said = Said.WELL
            elif why == calls.OVERLOADED:
                said = Said.NOTHING
            elif outcome != words.SOURCE_OUTCOME_UNAVAILABLE or fair or loop.time() < end - _TIMER_S:
                said = Said.FAILED
        except asyncio.CancelledError:
            if fair and loop.time() >= end - _TIMER_S:
                said, why = Said.FAILED, "DEADLINE_EXCEEDED"
            raise
        else:
            return outcome
        finally:
            source.breaker.settle(given, said, why)


async def looked_up(source: Source, question: Lookup) -> tuple[Found | int, str]:
    """What an adapter found, or the outcome that says why nothing; and a short name of what went wrong, else ""."""
    about, adapter = source.about, source.adapter
    try:
        if len(question.subjects.id_number) <= about.max_batch:
            found = await adapter.lookup(question)
        else:
            found = await in_batches(adapter.lookup, question, about.max_batch)
        return _readable(source, question, found) if len(found.unreadable) else (found, "")
    except SourceBusyError as error:
        _log.warning("source unavailable", adapter=about.adapter_id, error=type(error).__name__)
        return words.SOURCE_OUTCOME_UNAVAILABLE, calls.OVERLOADED
    except SourceDownError as error:
        _log.warning("source unavailable", adapter=about.adapter_id, error=type(error).__name__)
        return words.SOURCE_OUTCOME_UNAVAILABLE, "UNAVAILABLE"
    except AdapterError as error:
        _log.warning("source faulty", adapter=about.adapter_id, error=type(error).__name__)
        return words.SOURCE_OUTCOME_FAULTY, "FAULTY"
    except Exception as error:  # noqa: BLE001  an adapter is foreign code: whatever it raises harms only itself
        _log.error("source crashed", adapter=about.adapter_id, error=type(error).__name__)
        return words.SOURCE_OUTCOME_FAULTY, "CRASHED"


def _readable(source: Source, question: Lookup, found: Found) -> tuple[Found | int, str]:
    """An answer with what its rows that cannot be read come to: a few are those of a few people, many are a fault."""
    unreadable, people = len(found.unreadable), len(question.subjects)
    if unreadable > UNREADABLE_AT_MOST and unreadable > len(np.unique(found.holders.subject)):
        name = source.about.adapter_id
        _log.warning("source faulty", adapter=name, error="most rows cannot be read", people=unreadable)
        return words.SOURCE_OUTCOME_FAULTY, "FAULTY"
    return found, "FAULTY" if people == unreadable else ""
