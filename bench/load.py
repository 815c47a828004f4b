"""Calls at a fixed rate, whether or not those before have been answered (open loop), and what became of each; or so
many at a time (closed loop).

Owns: sending them, and times counted from the moment at which a call was due, so that whatever holds calls up is seen
in all that it held up. Refuses: repeating what failed.
"""

from __future__ import annotations

import asyncio
import collections
import itertools
import math
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import grpc

from wugan.agency.v1 import agency_pb2

Call = Callable[[bytes], Awaitable[bytes]]
Ask = Callable[[bytes], Awaitable[object]]
"""The same where nobody looks at the answer."""
Check: TypeAlias = "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]"
"""A call as gRPC makes it, with its options."""


@dataclass(slots=True)
class Outcome:
    """What became of calls.

    Args:
        times: seconds from when a call was due to its answer, of those that were answered.
        failures: why calls failed → how many.
    """

    times: list[float] = field(default_factory=list)
    failures: collections.Counter[str] = field(default_factory=collections.Counter)

    @property
    def calls(self) -> int:
        """Calls made."""
        return len(self.times) + self.failed

    @property
    def failed(self) -> int:
        """Calls that failed."""
        return self.failures.total()

    def add(self, other: Outcome) -> None:
        """Count another one's calls too."""
        self.times += other.times
        self.failures += other.failures

    def quantile_ms(self, share: float) -> float:
        """The time within which a share of the calls was answered, milliseconds; a failed call never was."""
        at = math.ceil(share * self.calls) - 1
        return sorted(self.times)[at] * 1000 if 0 <= at < len(self.times) else math.inf


async def at_rate(call: Call, bodies: Iterator[bytes], per_s: float, seconds: float) -> Outcome:
    """Make calls for so long; returns when the last one has been answered.

    Args:
        call: makes one.
        bodies: what is sent, one after the other.
        per_s: calls a second.
        seconds: how long.
    """
    outcome = Outcome()
    loop = asyncio.get_running_loop()

    async def one(due: float, body: bytes) -> None:
        try:
            answer = await call(body)
        except grpc.aio.AioRpcError as error:
            outcome.failures[f"{error.code().name}: {error.details()}"] += 1
            return
        taken = time.perf_counter() - due
        if said := _wrong(answer):
            outcome.failures[said] += 1
        else:
            outcome.times.append(taken)

    tasks = set()
    began = time.perf_counter()
    for number in range(round(per_s * seconds)):
        due = began + number / per_s
        early = due - time.perf_counter()
        if early > 0:
            await asyncio.sleep(early)
        task = loop.create_task(one(due, next(bodies)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    while tasks:
        await asyncio.wait(tasks)
    return outcome


async def throughput(call: Ask, bodies: Sequence[bytes], concurrency: int, seconds: float) -> float:
    """Calls a second with so many at a time: the next when one was answered (closed loop)."""
    done = 0
    source = itertools.cycle(bodies)
    until = time.perf_counter() + seconds

    async def worker() -> None:
        nonlocal done
        while time.perf_counter() < until:
            await call(next(source))
            done += 1

    began = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(concurrency)))
    return done / (time.perf_counter() - began)


def _wrong(answer: bytes) -> str:
    """What is wrong with an agency's answer, "" if nothing is."""
    response = agency_pb2.CheckResponse.FromString(answer)
    return "" if response.status and response.answers else "an answer without status"
