"""Asks a whole roster over streams, as a gateway does: `python -m bench.memory_asker --config F --member M --people N`.

Owns: opening what asking takes with a gateway's own settings, keys and store, and counting what came back. Prints one
JSON object: recipients, seconds, processor seconds, and how many were answered how.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import resource
import time
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import numpy as np
import uvloop

from bench.memory import name_of, numbers
from certs.grpc_credentials import channel_options
from gateway import app
from gateway.app.opening import load_keys, open_directory
from gateway.app.working import open_partners
from gateway.clock import SystemClock
from gateway.config import GatewaySettings, load_gateway
from gateway.federation.lines import channel_limits
from gateway.federation.streams import Chunk, Streams
from gateway.store.engine import Store
from gateway.store.place import open_store
from wugan.adapter.v1 import columns_pb2
from wugan.adapter.v1 import vocabulary_pb2 as adapter_words
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

CHUNK_S = 120.0
EVIDENCE = 5
ROUNDS = 3


class Roster:
    """Chunks made one after another, as they would be from columns of a file."""

    def __init__(self, people: int, chunk: int) -> None:
        self._numbers = numbers(people)
        self._names = [name_of(serial) for serial in range(people)]
        self._chunk = chunk

    async def chunks(self) -> AsyncIterator[Chunk]:
        """All of them."""
        for number, start in enumerate(range(0, len(self._numbers), self._chunk)):
            end = start + self._chunk
            some = self._numbers[start:end]
            yield Chunk(
                number,
                exchange_pb2.Question(
                    context=exchange_pb2.Context(
                        unit="110100",
                        official_pseudonym=b"p" * 32,
                        purpose=adapter_words.PURPOSE_CERTIFICATION,
                        legal_basis="社会保险法 第七十四条",
                        case_reference="BENCH-1",
                    ),
                    subjects=columns_pb2.SubjectColumns(id_number=some, name=self._names[start:end]),
                    benefit=[words.BENEFIT_TYPE_EMPLOYEE_PENSION] * len(some),
                    region=[330700] * len(some),
                    evidence_limit=EVIDENCE,
                    evidence_only_where_not_alive=True,
                ),
            )


@contextlib.asynccontextmanager
async def streams_of(settings: GatewaySettings) -> AsyncIterator[tuple[Streams, Store]]:
    """What a gateway asks rosters with, and its store, without the rest of it."""
    clock = SystemClock()
    async with contextlib.AsyncExitStack() as stack:
        slots, live, roots = await load_keys(settings)
        stack.callback(slots.close)
        directory, _ = await open_directory(stack, settings, clock, roots)
        store = await stack.enter_async_context(open_store(settings, clock))
        limits = channel_limits(settings.server.max_message_bytes, settings.federation.keepalive_s)

        def channel(address: str, tls_name: str) -> grpc.aio.Channel:
            options = [*channel_options(tls_name), *limits]
            return grpc.aio.secure_channel(address, live.channel_credentials(), options=options)

        partners = await stack.enter_async_context(
            open_partners(settings, live, directory, channel, store, clock, lambda: 0.0)
        )
        yield Streams(partners, store.audit, clock, window=settings.roster.window), store


async def _ask(settings: GatewaySettings, member: str, people: int, chunk: int) -> list[dict[str, float]]:
    roster = Roster(people, chunk)
    async with streams_of(settings) as (streams, _):
        app._settle_interpreter()
        return [await _round(streams, member, roster) for _ in range(ROUNDS)]


async def _round(streams: Streams, member: str, roster: Roster) -> dict[str, float]:
    began, used = time.perf_counter(), _cpu_s()
    counted: collections.Counter[int] = collections.Counter()
    async for outcome in streams.ask(member, roster.chunks(), chunk_s=CHUNK_S):
        if outcome.answer is None:
            raise RuntimeError(f"chunk {outcome.number}: {outcome.error}")
        statuses = np.fromiter(outcome.answer.findings.status, np.int32)
        counted.update(dict(enumerate(np.bincount(statuses).tolist())))
    return {
        "recipients": sum(counted.values()),
        "dead": counted[words.SURVIVAL_STATUS_DECEASED],
        "seconds": time.perf_counter() - began,
        "cpu_s": _cpu_s() - used,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Ask, and say what came of it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--member", required=True)
    parser.add_argument("--people", type=int, required=True)
    parser.add_argument("--chunk", type=int, default=5_000)
    given = parser.parse_args()
    settings = load_gateway(given.config)
    print(json.dumps(uvloop.run(_ask(settings, given.member, given.people, given.chunk))))


if __name__ == "__main__":
    main()
