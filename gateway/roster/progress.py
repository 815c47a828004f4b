"""How far a run is: what is told while it goes on, and kept of it when it has ended.

Owns: the figures. Refuses: making them.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from gateway.clock import Clock
from gateway.errors import WuganError
from gateway.roster.lacking import Lacking
from gateway.roster.run import Ask
from wugan.federation.v1 import vocabulary_pb2 as words

_RATE_S: Final = 20.0
"""Seconds over which the rate is told."""


class Province(NamedTuple):
    """How far a run is, or came, with one member: what is kept of it.

    Args:
        questions: chunks to be asked about.
        answered, refused, given_up: of these.
        held_back: how often it had the run wait because too many people were asked about.
        held_back_ms: for how long in all.
        held_zh, held_en: what it said of that last.
        lacking: questions whose answers lack departments.
        again: how often a question was asked again because of that.
    """

    questions: int = 0
    answered: int = 0
    refused: int = 0
    given_up: int = 0
    held_back: int = 0
    held_back_ms: int = 0
    held_zh: str = ""
    held_en: str = ""
    lacking: int = 0
    again: int = 0


@dataclass(slots=True)
class Standing:
    """How far a run is with one member."""

    lacking: Lacking
    again_ms: int = 0
    """When departments that did not answer are asked again; 0: they are not waited for."""
    due: deque[Ask] = field(default_factory=deque)
    under_way: set[Ask] = field(default_factory=set)
    questions: int = 0
    answered: int = 0
    refused: int = 0
    given_up: int = 0
    failures: int = 0
    error: WuganError | None = None
    next_try_ms: int = 0
    held_back: int = 0
    held_back_ms: int = 0
    held: WuganError | None = None
    """What it said last when it had the run wait because of too many people."""

    def waits(self, wait_s: float) -> None:
        """It is waited for; if because of too many people, whoever runs the roster is told, also afterwards."""
        if self.error is not None and self.error.reason == words.REFUSAL_REASON_QUOTA_EXCEEDED:
            self.held_back += 1
            self.held_back_ms += round(wait_s * 1000)
            self.held = self.error

    @property
    def province(self) -> Province:
        """What is kept of it."""
        zh, en = ("", "") if self.held is None else (self.held.zh, self.held.en)
        counts = self.questions, self.answered, self.refused, self.given_up
        lacking = len(self.lacking) + self.lacking.left, self.lacking.again
        return Province(*counts, self.held_back, self.held_back_ms, zh, en, *lacking)


class Pace:
    """People answered, and how fast of late.

    Args:
        clock: tells how time goes.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._paces: deque[tuple[float, int]] = deque()

    def add(self, people: int) -> None:
        """So many were answered."""
        self._paces.append((self._clock.monotonic(), people))

    def rate(self) -> float:
        """People answered a second, of late; 0: not known."""
        now = self._clock.monotonic()
        while self._paces and self._paces[0][0] < now - _RATE_S:
            self._paces.popleft()
        if len(self._paces) < 2 or now <= self._paces[0][0]:
            return 0.0
        return sum(people for _, people in list(self._paces)[1:]) / (now - self._paces[0][0])


@dataclass(slots=True)
class Figures:
    """How far a run is, in numbers of rows, people and chunks."""

    rows_read: int = 0
    rows_rejected: int = 0
    rows: int = 0
    rows_done: int = 0
    rows_carried: int = 0
    asked: int = 0
    answered: int = 0
    chunks: int = 0
    chunks_done: int = 0
    reading: bool = True
    subscribed: int = 0
