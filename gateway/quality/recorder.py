"""A bounded sample of the gateway's own traffic, counted aside and added to the store every now and then.

Owns: what is taken along of a question (references to columns that are there anyway), how much at most, and when it is
counted. Refuses: holding up a question. Noting one is an append; what does not fit into the sample is passed over, and
whatever goes wrong in counting or writing is logged and lost, never told to who asks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from adapters.contract import Description, Found, Lookup
from gateway.aside import Aside
from gateway.clock import Clock, civil_day
from gateway.errors import WuganError
from gateway.quality.counters import to_bytes
from gateway.quality.measuring import Answers, Measured, measure
from gateway.rules.book import RuleBook
from gateway.store.quality import Counted, Quality, Shown

MAX_ROWS: Final = 100_000
"""Rows of evidence in a sample; a part of a roster that would go beyond is passed over."""

_log = structlog.stdlib.get_logger(__name__)


class Recorder:
    """See the module.

    Args:
        book: the rules.
        quality: where it is added up.
        clock: tells the day.
        aside: where it is counted.
        sample: questions in a sample at most.
        every_s: seconds between two samples.
        differ_days: days by which two departments' days of death may lie apart.
    """

    def __init__(
        self,
        book: RuleBook,
        quality: Quality,
        clock: Clock,
        aside: Aside,
        *,
        sample: int,
        every_s: float,
        differ_days: int,
    ) -> None:
        self._book, self._quality, self._clock, self._aside = book, quality, clock, aside
        self._sample, self._every_s, self._differ_days = sample, every_s, differ_days
        self._pending: list[Answers] = []
        self._room = MAX_ROWS

    def note(self, question: Lookup, sources: Sequence[Description], outcomes: Sequence[Found | int]) -> None:
        """Take a question into the sample, if there is room."""
        pending = self._pending
        if len(pending) >= self._sample:
            return  # the usual case of a busy gateway: a comparison
        rows = 0
        for outcome in outcomes:
            if not isinstance(outcome, int):
                rows += len(outcome.evidence)
        if rows <= self._room:
            self._room -= rows
            pending.append(Answers(question, sources, outcomes))

    async def run(self) -> None:
        """Count and write every now and then; what is left when this ends is written too."""
        try:
            while True:
                await asyncio.sleep(self._every_s)
                await self.flush()
        finally:
            await self.flush()

    async def flush(self) -> None:
        """Count and write what was noted since the last time."""
        if not self._pending:
            return
        pending, self._pending, self._room = self._pending, [], MAX_ROWS
        try:
            today = civil_day(self._clock.now_ms())
            measured = await self._aside.do(measure, pending, self._book, today, self._differ_days)
            await self._quality.add(*kept(measured))
        except WuganError as error:
            _log.warning("quality not written", reason=error.en)
        except Exception as error:  # noqa: BLE001  the quality of data is worth no answer
            _log.error("quality not counted", error=type(error).__name__)


def kept(measured: Measured) -> tuple[list[Counted], list[Shown]]:
    """What a look came to, as it is kept."""
    counted = [
        Counted(key.month, key.adapter, key.department, key.kind, key.region, to_bytes(counts))
        for key, counts in measured.counts.items()
    ]
    shown = [
        Shown(one.key.month, one.key.adapter, one.key.kind, one.key.region, one.defect, one.text)
        for one in measured.examples
    ]
    return counted, shown
