"""Asking the departments: every adapter at once, within the deadline, and what came back made into one set of columns.

Owns: the deadline of each lookup, batches no larger than an adapter takes, and the two-step asking by linked numbers.
Refuses: grading, and to let one adapter harm another: whatever an adapter raises, it alone is reported.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import structlog
from numpy.typing import NDArray

from adapters.contract import Adapter, Description, Evidence, Found, Lookup, Subjects
from adapters.errors import AdapterError, SourceDownError
from gateway.inquiry.gathering import Gathered, Gathering, NamesMatch
from gateway.inquiry.narrowing import EVERYBODY, Narrowing
from wugan.federation.v1 import vocabulary_pb2 as words

_log = structlog.stdlib.get_logger(__name__)


class Departments:
    """The adapters of one gateway, asked together."""

    def __init__(self, adapters: Sequence[Adapter], names_match: NamesMatch) -> None:
        self._adapters = list(adapters)
        self._descriptions: list[Description] = [adapter.describe() for adapter in adapters]
        self._names_match = names_match

    def __len__(self) -> int:
        return len(self._adapters)

    @property
    def descriptions(self) -> Sequence[Description]:
        """What each adapter offers."""
        return self._descriptions

    def serve(self, regions: tuple[int, ...]) -> bool:
        """Whether there is anybody to ask about people of these regions; empty: of all."""
        narrowing = Narrowing(regions) if regions else EVERYBODY
        return any(narrowing.asks(about) for about in self._descriptions)

    async def check(self) -> list[tuple[str, AdapterError | None]]:
        """Whether each adapter reaches its source: id and error, None where it is well."""

        async def one(adapter: Adapter) -> AdapterError | None:
            try:
                await adapter.check()
            except AdapterError as error:
                return error
            return None

        errors = await asyncio.gather(*(one(adapter) for adapter in self._adapters))
        return [(about.adapter_id, error) for about, error in zip(self._descriptions, errors, strict=True)]

    async def close(self) -> None:
        """Close every adapter, whatever the others do."""
        await asyncio.gather(*(adapter.close() for adapter in self._adapters), return_exceptions=True)

    async def ask(self, question: Lookup, narrowing: Narrowing = EVERYBODY) -> Gathered:
        """Ask every adapter about the people of the question; return by its deadline with what is there.

        Adapters that `narrowing` leaves out are not asked, and are in no report.

        Numbers that a source links to a person are asked of every adapter in a second step within the same deadline, so
        that a person is answered for once, under all of the numbers.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + question.deadline_s
        asked = [at for at, about in enumerate(self._descriptions) if narrowing.asks(about)]
        first = await self._round(question, asked, end)
        descriptions = [self._descriptions[at] for at in asked]
        gathering = Gathering(question.subjects, descriptions, self._names_match, narrowing)
        for position, outcome in enumerate(first):
            gathering.add(position, outcome)
        further = gathering.further()
        if further is not None:
            second = await self._round(replace(question, subjects=further), asked, end)
            for position, outcome in enumerate(second):
                gathering.add(position, outcome)
        return gathering.result()

    async def _round(self, question: Lookup, asked: Sequence[int], end: float) -> list[Found | int]:
        """One lookup in each adapter asked: what it found, or the outcome that says why not."""
        loop = asyncio.get_running_loop()
        left = end - loop.time()
        if left <= 0:
            return [words.SOURCE_OUTCOME_SILENT] * len(asked)
        question = replace(question, deadline_s=left)
        if len(asked) == 1:  # spares a task for each of the many single lookups
            try:
                async with asyncio.timeout_at(end):
                    return [await self._one(asked[0], question)]
            except TimeoutError:
                return [words.SOURCE_OUTCOME_SILENT]
        tasks = [loop.create_task(self._one(i, question)) for i in asked]
        try:
            if tasks:
                await asyncio.wait(tasks, timeout=left)
            return [task.result() if task.done() else words.SOURCE_OUTCOME_SILENT for task in tasks]
        finally:
            for task in tasks:
                task.cancel()

    async def _one(self, position: int, question: Lookup) -> Found | int:
        about = self._descriptions[position]
        adapter = self._adapters[position]
        try:
            if len(question.subjects) <= about.max_batch:
                return await adapter.lookup(question)
            return await _in_batches(adapter, question, about.max_batch)
        except SourceDownError as error:
            _log.warning("source unavailable", adapter=about.adapter_id, error=type(error).__name__)
            return words.SOURCE_OUTCOME_UNAVAILABLE
        except AdapterError as error:
            _log.warning("source faulty", adapter=about.adapter_id, error=type(error).__name__)
            return words.SOURCE_OUTCOME_FAULTY
        except Exception as error:  # noqa: BLE001  an adapter is foreign code: whatever it raises harms only itself
            _log.error("source crashed", adapter=about.adapter_id, error=type(error).__name__)
            return words.SOURCE_OUTCOME_FAULTY


async def _in_batches(adapter: Adapter, question: Lookup, size: int) -> Found:
    """A lookup larger than the adapter takes, cut into batches asked one after another."""
    evidence: list[Evidence] = []
    holders: list[tuple[NDArray[np.int32], Sequence[str], Sequence[str]]] = []
    links: list[tuple[NDArray[np.int32], Sequence[str], NDArray[np.int32]]] = []
    complete: list[int] = []
    subjects = question.subjects
    aliases = list(zip(subjects.alias_subject, subjects.alias_id_number, strict=True))
    for start in range(0, len(subjects), size):
        inside = [(row - start, number) for row, number in aliases if start <= row < start + size]
        part = Subjects(
            subjects.id_number[start : start + size],
            subjects.name[start : start + size],
            [row for row, _ in inside],
            [number for _, number in inside],
        )
        found = await adapter.lookup(replace(question, subjects=part))
        evidence.append(replace(found.evidence, subject=found.evidence.subject + np.int32(start)))
        holders.append((found.holders.subject + np.int32(start), found.holders.held_id_number, found.holders.held_name))
        links.append((found.links.subject + np.int32(start), found.links.id_number, found.links.since_on))
        complete.append(found.complete_until_on)
    return Found(
        holders=type(found.holders)(
            np.concatenate([part[0] for part in holders]),
            [number for part in holders for number in part[1]],
            [name for part in holders for name in part[2]],
        ),
        evidence=Evidence.concatenate(evidence),
        links=type(found.links)(
            np.concatenate([part[0] for part in links]),
            [number for part in links for number in part[1]],
            np.concatenate([part[2] for part in links]),
        ),
        complete_until_on=min(complete),
    )
