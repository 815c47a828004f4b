"""Trying adapters beside the live ones: asked a share of the questions, compared, counted, and believed in nothing.

Owns: which questions a source in shadow gets, a bound on how many at once and about how many people, holding what it
says against what the live ones said, and the tally of it. Refuses: holding up a question (it is asked when the live
ones have answered, beside the event loop's next work), telling anybody what it said, and keeping anything of a person:
a tally is counts.

What is compared: rows of evidence by person, kind and day. A row that a live source gave as well agrees. One of a kind
that some live source offers, which no live source gave, is beyond; one that a live source of the same department gave
and it did not is missing. Where a live source of its department did not answer, nothing is compared.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final

import structlog

from adapters.contract import Evidence, Found, Lookup, Subjects
from gateway.clock import Clock
from gateway.errors import StoreError
from gateway.inquiry.asking import Departments, looked_up
from gateway.inquiry.gathering import Gathering
from gateway.inquiry.narrowing import Narrowing
from gateway.inquiry.sources import Hand, Source
from gateway.log import described
from gateway.resilience.breaker import Said
from gateway.sections.inward import ShadowSettings
from gateway.store.adapters import Adapters, Tally
from wugan.federation.v1 import vocabulary_pb2 as words

FLUSH_S: Final = 2.0
"""Seconds between writes of tallies."""

_log = structlog.stdlib.get_logger(__name__)

_OUTCOMES: Final[dict[int, Tally]] = {
    words.SOURCE_OUTCOME_SILENT: Tally(asked=1, silent=1),
    words.SOURCE_OUTCOME_UNAVAILABLE: Tally(asked=1, unavailable=1),
    words.SOURCE_OUTCOME_FAULTY: Tally(asked=1, faulty=1),
}

Row = tuple[int, int, int]
"""Person, kind, day."""


class Shadowing:
    """See the module. Give it to `Departments.beside`.

    Args:
        departments: whose sources in shadow are tried.
        store: where tallies are added up.
        clock: measures.
        settings: the share, and the bounds.
    """

    def __init__(self, departments: Departments, store: Adapters, clock: Clock, settings: ShadowSettings) -> None:
        self._names_match = departments.names_match
        self._store = store
        self._clock = clock
        self._settings = settings
        self._credit: dict[str, float] = {}
        self._trying: dict[Source, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._tallies: dict[tuple[str, bytes], Tally] = {}

    def __call__(self, hand: Hand, question: Lookup, gathering: Gathering, narrowing: Narrowing) -> None:
        """Try the hand's sources in shadow on this question, if it is their turn; returns at once."""
        chosen = [source for source in hand.shadow if narrowing.asks(source.about) and self._turn(source)]
        if not chosen:
            return
        asked = replace(question, subjects=_first(question.subjects, self._settings.people))
        live, failed = gathering.so_far()
        offered = frozenset().union(*(about.kinds for about in hand.descriptions))
        for source in chosen:
            self._trying[source] = self._trying.get(source, 0) + 1
            source.__enter__()  # from now on, and not from when the task begins: it must not be closed before
            task = asyncio.get_running_loop().create_task(self._try(source, asked, live, failed, offered))
            self._tasks.add(task)

            def done(task: asyncio.Task[None], source: Source = source) -> None:
                self._tasks.discard(task)
                self._trying[source] -= 1
                if not self._trying[source]:
                    del self._trying[source]
                source.leave()

            task.add_done_callback(done)

    async def run(self) -> None:
        """Write tallies from time to time, until cancelled; then once more."""
        try:
            while True:
                await asyncio.sleep(FLUSH_S)
                await self.flush()
        finally:
            for task in self._tasks:
                task.cancel()

    async def tried(self) -> None:
        """Return when what is being tried now is done, and written."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.flush()

    async def flush(self) -> None:
        """Write the tallies; what cannot be written is kept for the next time."""
        tallies, self._tallies = self._tallies, {}
        try:
            for key, tally in tallies.items():
                await self._store.tally(*key, tally)
        except StoreError as error:
            _log.warning("trials not written", fault=described(error))

    def _turn(self, source: Source) -> bool:
        """Whether this question is one of the share, and there is room; no chance in it, so that a test can tell."""
        if self._trying.get(source, 0) >= self._settings.at_once or source.breaker.refuses:
            return False
        key = f"{source.about.adapter_id}/{source.digest.hex()}"
        credit = self._credit.get(key, 1.0 - self._settings.share) + self._settings.share
        if credit < 1.0 - 1e-9:
            self._credit[key] = credit
            return False
        self._credit[key] = credit - 1.0
        while len(self._credit) > 1_000:
            del self._credit[next(iter(self._credit))]
        return True

    async def _try(
        self, source: Source, question: Lookup, live: Evidence, failed: frozenset[int], offered: frozenset[int]
    ) -> None:
        given = source.breaker.admit()
        if given is None:
            return
        began, said, why = self._clock.monotonic(), Said.NOTHING, ""
        outcome: Found | int = words.SOURCE_OUTCOME_SILENT
        try:
            async with asyncio.timeout(question.deadline_s):
                outcome, why = await looked_up(source, question)
            said = Said.FAILED if why else Said.WELL
        except TimeoutError:
            said, why = Said.FAILED, "DEADLINE_EXCEEDED"
        finally:
            source.breaker.settle(given, said, why)
        took_ms = round((self._clock.monotonic() - began) * 1000)
        self._count(source, self._judged(source, question, outcome, live, failed, offered, took_ms))

    def _judged(
        self,
        source: Source,
        question: Lookup,
        outcome: Found | int,
        live: Evidence,
        failed: frozenset[int],
        offered: frozenset[int],
        took_ms: int,
    ) -> Tally:
        """What one answer adds to the tally: it is held to the same rule as a live one, which `Gathering` is."""
        if not isinstance(outcome, int):
            gathering = Gathering(question.subjects, [source.about], self._names_match)
            gathering.add(0, outcome)
            report = gathering.result().reports[0].outcome
            if report == words.SOURCE_OUTCOME_ANSWERED:
                people, about = len(question.subjects), source.about
                tally = Tally(
                    asked=1,
                    answered=1,
                    people=people,
                    known=len(set(outcome.holders.subject.tolist())),
                    rows=len(outcome.evidence),
                    took_ms=took_ms,
                    longest_ms=took_ms,
                )
                if about.department in failed:
                    return tally
                mine = _rows(outcome.evidence, people)
                theirs = _rows(live, people)
                of_mine = _rows(live, people, about.department)
                return tally._replace(
                    agreed=len(mine & theirs),
                    missing=len({row for row in of_mine if row[1] in about.kinds} - mine),
                    beyond=len({row for row in mine if row[1] in offered} - theirs),
                )
            outcome = report
        return _OUTCOMES.get(outcome, Tally(asked=1, faulty=1))._replace(people=len(question.subjects))

    def _count(self, source: Source, tally: Tally) -> None:
        key = source.about.adapter_id, source.digest
        self._tallies[key] = self._tallies.get(key, Tally()) + tally


def _first(subjects: Subjects, most: int) -> Subjects:
    """The first people of a question, with their other numbers."""
    if len(subjects) <= most:
        return subjects
    inside = [
        (row, number)
        for row, number in zip(subjects.alias_subject, subjects.alias_id_number, strict=True)
        if row < most
    ]
    return Subjects(
        subjects.id_number[:most],
        subjects.name[:most],
        [row for row, _ in inside],
        [number for _, number in inside],
    )


def _rows(evidence: Evidence, people: int, department: int = 0) -> set[Row]:
    """Rows of the first people, of one department or of all."""
    wanted = evidence.subject < people
    if department:
        wanted = wanted & (evidence.department == department)
    columns = (evidence.subject[wanted], evidence.kind[wanted], evidence.observed_on[wanted])
    return set(zip(*(column.tolist() for column in columns), strict=True))
