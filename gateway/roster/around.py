"""What all runs of a gateway have in common. Loads nothing that works on rows.

Owns: the shape of it. Refuses: building it, which is the composition root's.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gateway.clock import Clock
from gateway.errors import RefusedError
from gateway.federation.directory import DirectorySource
from gateway.federation.streams import Chunk, ChunkOutcome
from gateway.federation.subscribing import Wanted
from gateway.once.gate import Gate
from gateway.resilience.backoff import Random, chance
from gateway.rules.book import RuleBook
from wugan.federation.v1 import exchange_pb2


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a file may have: bytes, bytes of a workbook or Parquet file, rows."""

    max_bytes: int
    max_whole_bytes: int
    max_rows: int


class Asks(Protocol):
    """Who asks members about chunks; see `gateway.federation.streams.Streams`."""

    def ask(
        self, member_id: str, chunks: AsyncIterator[Chunk], *, chunk_s: float
    ) -> AsyncGenerator[ChunkOutcome, None]:
        """The outcome of every chunk, as they come."""
        ...


class News(Protocol):
    """Of whom notices came; see `gateway.store.notices`."""

    async def since(self, unit: str, number: int) -> tuple[list[str], int]:
        """Numbers of the people of whom notices came to a unit after one, and the number of the last notice.

        Args:
            unit: whose.
            number: of the last notice that was looked at; negative: the numbers of people are not wanted.

        Raises:
            StoreError: they cannot be read.
        """
        ...


class Subscribes(Protocol):
    """Who subscribes to notices; see `gateway.federation.subscribing.Subscribing`."""

    async def subscribe(
        self, context: exchange_pb2.Context, people: Sequence[Wanted], until_ms: int
    ) -> tuple[int, list[tuple[int, RefusedError]]]:
        """Subscribe for people, or renew; how many subscriptions that makes, and which were refused."""
        ...


@dataclass(frozen=True, slots=True)
class Around:
    """What runs have in common.

    Args:
        member_id: this member's.
        asks: asks other members.
        news: of whom notices came.
        directory: names them.
        book: the rules of this side.
        clock: tells the time.
        pool: where what blocks is done.
        bounds: of files.
        max_members: asked about one person at most.
        chunk_s: seconds for one question, with all tries.
        departments_s: seconds for which departments that did not answer are waited for, of each member.
        follow_moves: whether people are asked about where an answer says that they moved.
        drawn: the chance that jitters waits.
        gate: where certifications are claimed; None: nowhere.
        scratch: a private folder, for what is put aside meanwhile.
        subscribes: subscribes to notices; None: nobody does.
    """

    member_id: str
    asks: Asks
    news: News
    directory: DirectorySource
    book: RuleBook
    clock: Clock
    pool: Executor
    bounds: Bounds
    max_members: int
    chunk_s: float
    departments_s: float
    follow_moves: bool
    drawn: Random = chance
    gate: Gate | None = None
    scratch: Path | None = None
    subscribes: Subscribes | None = None


def make_scratch(folder: Path) -> Path:
    """A private folder for what is put aside while a roster is claimed; what a crash left in it is removed."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in folder.glob("claims-*"):
        shutil.rmtree(left, ignore_errors=True)
    return folder
