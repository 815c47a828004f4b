"""How far a run is: what is told while it goes on, and kept of it when it has ended.

Owns: the figures. Refuses: making them.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from gateway.errors import WuganError
from gateway.roster.run import Ask


@dataclass(slots=True)
class Standing:
    """How far a run is with one member."""

    due: deque[Ask] = field(default_factory=deque)
    under_way: set[Ask] = field(default_factory=set)
    questions: int = 0
    answered: int = 0
    refused: int = 0
    given_up: int = 0
    failures: int = 0
    error: WuganError | None = None
    next_try_ms: int = 0


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
