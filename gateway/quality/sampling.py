"""The quality of departments' data from a sample: numbers of their own sources, looked up as the gateway would.

Owns: batches, asking every department about everybody (so that what contradicts itself is seen), and what a sample
counts besides. Refuses: building adapters, and keeping anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from adapters.contract import Adapter, Found, Lookup, Subjects
from adapters.errors import AdapterError, SourceDownError
from adapters.numbers import PuttingAside, Rejecting
from gateway.quality.counters import C, Key, empty
from gateway.quality.measuring import Answers, Measured, measure, month_of
from gateway.rules.book import RuleBook
from wugan.federation.v1 import vocabulary_pb2 as words

BATCH = 1_000
DEADLINE_S = 60.0


class Sampled(NamedTuple):
    """One department in a sample: cells read from its source, and how many of them hold no number; 0: none was read."""

    adapter: Adapter
    read: int
    ill_formed: int


async def sample(
    sources: Sequence[Sampled], numbers: Sequence[str], book: RuleBook, today: int, differ_days: int
) -> Measured:
    """Look up people in every department and count.

    Args:
        sources: the departments.
        numbers: of people whom some of them should know.
        book: the rules.
        today: civil day.
        differ_days: see `measure`.
    """
    abouts = [source.adapter.describe() for source in sources]
    size = max(1, min([BATCH, *(about.max_batch for about in abouts)]))
    answers: list[Answers] = []
    # A lookup with one of them in it is refused as a whole; they are counted as rejected rows below.
    aside: set[str] = set()
    for source in sources:
        if isinstance(source.adapter, PuttingAside):
            aside.update(await source.adapter.put_aside(numbers))
    numbers = [number for number in numbers if number not in aside]
    for start in range(0, len(numbers), size):
        part = list(numbers[start : start + size])
        question = Lookup(Subjects(part, [""] * len(part)), deadline_s=DEADLINE_S)
        outcomes = await asyncio.gather(*(_asked(source.adapter, question) for source in sources))
        answers.append(Answers(question, abouts, outcomes))
    measured = measure(answers, book, today, differ_days)
    for source, about in zip(sources, abouts, strict=True):
        key = Key(month_of(today), about.adapter_id, about.department, 0, 0)
        counts = measured.counts.setdefault(key, empty())
        counts[C.NUMBERS] += source.read
        counts[C.ILL_FORMED] += source.ill_formed
        if isinstance(source.adapter, Rejecting):
            rows, bad = await source.adapter.taken_in()
            counts[C.TAKEN_IN] += rows
            counts[C.REJECTED] += bad
    return measured


async def _asked(adapter: Adapter, question: Lookup) -> Found | int:
    try:
        return await adapter.lookup(question)
    except SourceDownError:
        return words.SOURCE_OUTCOME_UNAVAILABLE
    except AdapterError:
        return words.SOURCE_OUTCOME_FAULTY
