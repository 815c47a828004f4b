"""Runs in one process: the gateway's own code from the file to the results, with members that a test answers for."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from gateway.clock import FakeClock
from gateway.errors import StoreError, WuganError
from gateway.exchange.envelope import Proof
from gateway.federation.answers import PartnerAnswer
from gateway.federation.streams import Chunk, ChunkOutcome
from gateway.once.gate import Gate
from gateway.roster.around import Around, Bounds, Subscribes
from gateway.roster.frames import FACES, KEPT, TABLES, from_arrow
from gateway.roster.packing import unpack
from gateway.roster.pieces import Step
from gateway.roster.rosters import Rosters
from gateway.roster.run import DONE
from gateway.roster.running import Running
from gateway.roster.shelf import Kept
from gateway.sections.lasting import RosterSettings
from gateway.store.keys import StoreKeys
from gateway.store.parts import PartFolder, Parts
from tests.unit.adapters.adapters_world import number
from tests.unit.rules.rules_world import BOOK
from tests.unit.services.gateways_world import NOW_MS, Listed, Party
from wugan.adapter.v1 import vocabulary_pb2 as v
from wugan.agency.v1 import roster_pb2
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

A, B, C = (Party(region) for region in (110000, 330000, 340000))
UNIT = "110100"
DAY_MS = 86_400_000
TODAY = NOW_MS // DAY_MS
HEADER = "证件号码,姓名,险种,居住地,月待遇,最近发放月份,个人账户余额\n"

Reply = Callable[[str, exchange_pb2.Question], exchange_pb2.Findings | WuganError]


def roster(*rows: str) -> bytes:
    """A file of these rows."""
    return (HEADER + "".join(row + "\n" for row in rows)).encode()


def line(serial: int, region: int | str = B.region, more: str = "") -> str:
    """A row about somebody who lives there."""
    return f"{number(serial)},某人,企业职工基本养老保险,{region},{more or '3500.00,2026-05,0'}"


def findings(question: exchange_pb2.Question, status: int = words.SURVIVAL_STATUS_ALIVE_STRONG, **more: Any) -> Any:
    """The same about everybody who is asked about."""
    count = len(question.subjects.id_number)
    plain: dict[str, Any] = {
        "status": [status] * count,
        "flags": [0] * count,
        "decided_on": [0] * count,
        "last_trace_on": [question.as_of_on - 3] * count,
        "valid_until_on": [question.as_of_on + 30] * count,
        "as_of_on": question.as_of_on,
        **more,
    }
    return exchange_pb2.Findings(**plain)


class Members:
    """Asks no gateway but a function; notes who was asked about."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.asked: list[tuple[str, list[str]]] = []

    async def ask(
        self, member_id: str, chunks: AsyncIterator[Chunk], *, chunk_s: float
    ) -> AsyncGenerator[ChunkOutcome, None]:
        async for chunk in chunks:
            question = chunk.question
            self.asked.append((member_id, list(question.subjects.id_number)))
            said = self.reply(member_id, question)
            if isinstance(said, WuganError):
                yield ChunkOutcome(chunk.number, error=said)
                continue
            answer = exchange_pb2.Answer(findings=said).SerializeToString()
            proof = Proof(b"header", bytes(32), b"signature", answer, b"salt", 0, 1, b"")
            yield ChunkOutcome(chunk.number, PartnerAnswer(member_id, said, os.urandom(16), proof))


class News:
    """Of whom notices came."""

    def __init__(self) -> None:
        self.people: list[str] = []

    async def since(self, unit: str, number: int) -> tuple[list[str], int]:
        assert unit == UNIT
        return (self.people[number:] if number >= 0 else []), len(self.people)


class World:
    """A gateway's runs; members answer what `reply` says."""

    def __init__(self, folder: Path, reply: Reply = lambda _, question: findings(question), **settings: Any) -> None:
        self.clock = FakeClock(NOW_MS)
        self.members = Members(reply)
        self.news = News()
        self.parties: tuple[Party, ...] = (A, B, C)
        self.settings = RosterSettings(**{"chunk_rows": 10, "departments_s": 0.0, **settings})
        self.parts = Parts(folder / "rosters", StoreKeys(b"k" * 32))
        self.pool = ThreadPoolExecutor(2)
        self.gate: Gate | None = None
        self.as_of_on = 0
        self.subscribes: Subscribes | None = None
        self.scratch = folder / "once"
        self.rosters = self.opened()

    def opened(self) -> Rosters:
        """The runs as a gateway that starts builds them."""
        given = self.settings
        around = Around(
            member_id=A.member_id,
            asks=self.members,
            news=self.news,
            directory=Listed(*self.parties, clock=self.clock),
            book=BOOK,
            clock=self.clock,
            pool=self.pool,
            bounds=Bounds(given.max_bytes, given.max_whole_bytes, given.max_rows),
            max_members=10,
            departments_s=given.departments_s,
            chunk_s=5.0,
            follow_moves=True,
            drawn=lambda: 0.0,
            gate=self.gate,
            scratch=self.scratch,
            subscribes=self.subscribes,
        )
        return Rosters(self.parts, around, given, lambda unit, official: b"p" * 32)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Rosters]:
        """The runs go on for the length of the block, from where they are."""
        self.rosters = self.opened()
        await self.rosters.open()
        task = asyncio.create_task(self.rosters.run())
        try:
            yield self.rosters
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def resumed(self, kept: Kept) -> None:
        """Run a run once, to its end or the failure, as a gateway would after a start."""
        rosters = self.opened()
        await rosters.open()
        again = rosters.find(UNIT, kept.submitted.run_id)
        await Running(again.submitted, again.folder, rosters._around, again.tell).go()

    async def resumed_after_each_write(self, kept: Kept, monkeypatch: pytest.MonkeyPatch, most: int) -> int:
        """Resume a run again and again, each time with one more write before the disk is full; how many it took."""
        write, writes, fail_at = PartFolder.write, 0, 0

        def failing(folder: PartFolder, name: str, plaintext: bytes) -> int:
            nonlocal writes
            writes += 1
            if writes == fail_at:
                raise StoreError("no room", "空间不足", retryable=False)
            return write(folder, name, plaintext)

        for attempt in range(1, most):
            writes, fail_at = 0, attempt
            with monkeypatch.context() as patched:
                patched.setattr(PartFolder, "write", failing)
                try:
                    await self.resumed(kept)
                except StoreError:
                    continue
            return attempt
        pytest.fail("the run never came to its end")

    async def submit(self, data: bytes, *, made_of: Sequence[Step] = (), **changed: Any) -> Kept:
        """Hand in a file."""
        plain: dict[str, Any] = {
            "run_id": os.urandom(16),
            "file_name": "roster.csv",
            "size": len(data),
            "sha256": hashlib.sha256(data).digest(),
            "purpose": v.PURPOSE_CERTIFICATION,
            "legal_basis": "社会保险法 第七十四条",
            "case_reference": "R-1",
            "official": "王",
            "evidence_limit": 5,
            **changed,
        }

        async def pieces() -> AsyncIterator[bytes | list[Step]]:
            if made_of:
                yield list(made_of)
            for start in range(0, len(data), 1 << 20):
                yield data[start : start + (1 << 20)]

        kept, _ = await self.rosters.submit(UNIT, roster_pb2.RosterHeader(**plain), self.as_of_on, pieces())
        return kept

    async def done(self, data: bytes, **changed: Any) -> Kept:
        """Hand in a file, and wait for the end."""
        kept = await self.submit(data, **changed)
        await kept.over.wait()
        assert kept.state == DONE, kept.ended
        return kept

    async def tables(self, kept: Kept, *, only_changed: bool = False) -> dict[str, pl.DataFrame]:
        """The results of a run."""
        held: dict[str, list[pl.DataFrame]] = {name: [] for name in KEPT}
        async for _, _, packed in self.rosters.results(kept, 0, only_changed=only_changed):
            for name, blob in unpack(packed).items():
                held[name].append(from_arrow(blob))
        return {
            name: pl.concat(parts, how="diagonal")
            if parts
            else pl.DataFrame(schema=FACES if name == "faces" else dict(TABLES[name][1]))
            for name, parts in held.items()
        }

    def asked(self) -> dict[str, list[str]]:
        """Who was asked about at which member; forgotten then."""
        found: dict[str, list[str]] = {}
        for member, numbers in self.members.asked:
            found.setdefault(member, []).extend(numbers)
        self.members.asked.clear()
        return found
