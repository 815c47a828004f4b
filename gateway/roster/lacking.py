"""Answers that lack departments: of which the rest is asked for again, when, and when no more.

Owns: the order of it, for one member and run. A department that was away for a moment left its mark on every question
that was answered meanwhile. When the member has nothing else to be asked, one of these questions is asked again after a
wait that grows with every time it is in vain; once one comes back whole, all others are asked again, too. It ends when
the waits are used up, when the run has no time left, or when a question was asked so often that its people would be
counted anew. Refuses: asking (`running`), keeping answers (`run`), and what is in them.

A question whose answer comes back whole is done with; of several answers that lack something the one that lacks fewer
departments counts, of equals the earlier one. One from which departments are missing about some people only, because
rows of theirs cannot be read, lacks nothing in this sense.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.resilience.backoff import Backoff, Random
from gateway.roster.run import Ask
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

WAITS: Final = Backoff(first_s=4.0, longest_s=60.0, least=0.5)
MOST_TRIES: Final = 7
"""A question is asked again at most so often; within ten minutes its people then count once."""


def missing_from(findings: exchange_pb2.Findings) -> list[exchange_pb2.SourceReport]:
    """The departments that are missing from an answer, be it about everybody or about some people."""
    return [source for source in findings.sources if source.outcome != words.SOURCE_OUTCOME_ANSWERED]


def lacks(findings: exchange_pb2.Findings) -> int:
    """How many departments are missing from an answer about everybody.

    Of whom a department cannot read a row it cannot read it a minute later either: such a row must be mended first.
    """
    if not findings.partial:
        return 0
    missing = missing_from(findings)
    if not missing:
        return 1
    return sum(not source.unreadable_subject for source in missing)


def incomplete(findings: exchange_pb2.Findings, people: int) -> NDArray[np.bool_]:
    """About whom of so many people a department is missing from an answer."""
    if not findings.partial:
        return np.zeros(people, np.bool_)
    missing = missing_from(findings)
    if not missing or any(not source.unreadable_subject for source in missing):
        return np.ones(people, np.bool_)
    found = np.zeros(people, np.bool_)
    for source in missing:
        found[np.array(source.unreadable_subject, np.int64)] = True
    return found


class Lacking:
    """See the module.

    Args:
        allowed_s: seconds that may be waited in all; 0: nothing is asked again.
        now: seconds that only go forward.
        drawn: the chance that jitters waits.
    """

    def __init__(self, allowed_s: float, now: Callable[[], float], drawn: Random) -> None:
        self._allowed_s = allowed_s
        self._now = now
        self._drawn = drawn
        self._lack: dict[Ask, int] = {}
        self._tries: dict[Ask, int] = {}
        self._whole = False
        """One came back whole, so that all others are asked again, too."""
        self._failures = 0
        self._waited_s = 0.0
        self._due_at = 0.0
        self.left = 0
        """Questions that were given up."""
        self.again = 0
        """How often one was asked again."""

    def __contains__(self, ask: Ask) -> bool:
        return ask in self._lack

    def __len__(self) -> int:
        return len(self._lack)

    def add(self, ask: Ask, lack: int) -> bool:
        """An answer lacks departments; whether it will be asked for again."""
        if self._allowed_s <= 0:
            self.left += 1
            return False
        self._lack[ask] = lack
        self._tries[ask] = 0
        self._due_at = max(self._due_at, self._now() + WAITS.wait_s(1, self._drawn()))
        return True

    def fewer(self, ask: Ask, lack: int) -> bool:
        """Whether an answer that lacks so much is better than the one there is."""
        return lack < self._lack[ask]

    def came(self, ask: Ask, lack: int | None) -> bool:
        """What came of asking again: how much is missing now; None: there was no answer. Whether it is done with."""
        if lack == 0:
            del self._lack[ask]
            self._whole, self._failures = True, 0
            return True
        if lack is not None:
            self._lack[ask] = min(lack, self._lack[ask])
        self._whole = False
        now = self._now()
        if now >= self._due_at:  # of several that were under way together one counts
            self._failures += 1
            wait_s = WAITS.wait_s(self._failures + 1, self._drawn())
            self._waited_s += wait_s
            self._due_at = now + wait_s
        return False

    def wait_s(self, left_s: float) -> float | None:
        """Seconds until the next is to be asked; None: no more is, for the time is up.

        Args:
            left_s: of the run.
        """
        wait_s = max(0.0, self._due_at - self._now())
        if not self._next() or left_s <= wait_s or self._waited_s > self._allowed_s:
            return None
        return wait_s

    def take(self) -> list[Ask]:
        """What is to be asked now."""
        asks = self._next()
        for ask in asks:
            self._tries[ask] += 1
        self.again += len(asks)
        return asks

    def end(self) -> list[Ask]:
        """What is asked no more: their answers stay as they are."""
        asks = sorted(self._lack)
        self._lack.clear()
        self.left += len(asks)
        return asks

    def _next(self) -> list[Ask]:
        able = sorted(ask for ask in self._lack if self._tries[ask] < MOST_TRIES)
        return able if self._whole else sorted(able, key=lambda ask: self._tries[ask])[:1]
