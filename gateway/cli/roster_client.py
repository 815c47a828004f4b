"""A roster handed to the agency's gateway, followed and fetched: what `wugan roster run` does behind its options.

Owns: the client's end of the calls, going on after the gateway was away, and `run.json` in the folder of results, by
which a command that was killed finds its run again. Refuses: showing anything (`roster_show`), and writing results
(`gateway.roster.results`).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import grpc

from certs.system_words import cause
from gateway.cli import EXIT_FAULTY, EXIT_USAGE
from gateway.cli.client import fail, fail_with
from gateway.cli.language import say
from gateway.errors import RefusedError
from gateway.resilience.backoff import Backoff, chance
from gateway.roster.pieces import Step
from gateway.status import from_rpc_error
from wugan.agency.v1 import agency_pb2_grpc, roster_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

if TYPE_CHECKING:
    Stub = agency_pb2_grpc.AgencyServiceAsyncStub

STATE_FILE: Final = "run.json"
PIECE: Final = 1 << 19
"""Bytes of the file in one message."""
_STEPS: Final = 50_000
"""Steps in one message."""
_BACKOFF: Final = Backoff(first_s=0.5, longest_s=15.0, least=0.5)
_AWAY: Final = frozenset(
    {
        words.REFUSAL_REASON_OVERLOADED,
        words.REFUSAL_REASON_SHUTTING_DOWN,
        words.REFUSAL_REASON_DIRECTORY_EXPIRED,
    }
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Remembered:
    """What the folder of results remembers of its run.

    Args:
        run_id: in hexadecimal.
        sha256: of the file, in hexadecimal.
        asked: what was asked about it: all that makes another run of it.
        case_reference: of the run.
        continues: id of the run that it goes on from; "": none.
        written: whether its results are written.
        members: names of members by id, in Chinese and English.
    """

    run_id: str
    sha256: str
    asked: dict[str, Any]
    case_reference: str
    continues: str = ""
    written: bool = False
    members: dict[str, tuple[str, str]] = field(default_factory=dict)


def digest_of(path: Path) -> tuple[int, bytes]:
    """Size and SHA-256 of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return file.tell(), digest.digest()


def make_folder(folder: Path) -> None:
    """Make the folder of results, for this user alone."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        fail(say(f"{folder}: {cause(error).en}", f"{folder}：无法创建（{cause(error).zh}）"), EXIT_USAGE)


def remembered(folder: Path) -> Remembered | None:
    """What a folder remembers; None where nothing was asked for it yet."""
    try:
        data = json.loads((folder / STATE_FILE).read_text("utf-8"))
        return Remembered(**data)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError):
        fail(
            say(
                f"{folder / STATE_FILE} cannot be read; use another folder",
                f"{folder / STATE_FILE} 无法读取，请使用其他目录",
            ),
            EXIT_USAGE,
        )


def remember(folder: Path, what: Remembered) -> None:
    """Remember it, on the disk when this returns."""
    scratch = folder / f".{STATE_FILE}.part"
    handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(asdict(what), file, ensure_ascii=False, indent=1)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(folder / STATE_FILE)


def new_id() -> str:
    """A new run's id."""
    return secrets.token_hex(16)


class Client:
    """Calls about one run, repeated while the gateway is away.

    Args:
        stub: of the gateway.
        patience_s: how long it may be away.
        away: told that it is, and why.
    """

    def __init__(self, stub: Stub, patience_s: float, away: Callable[[str], None]) -> None:
        self._stub = stub
        self._patience_s = patience_s
        self._away = away

    async def stands(self, run_id: bytes) -> roster_pb2.RosterRun | None:
        """How a run stands; None where the gateway does not know it."""

        async def ask() -> roster_pb2.RosterRun | None:
            request = roster_pb2.WatchRosterRequest(run_id=run_id, only_present=True)
            try:
                async for told in self._stub.WatchRoster(request):
                    return told.run
            except grpc.aio.AioRpcError as error:
                ours = from_rpc_error(error)
                if ours is None or ours.field != "run_id":
                    raise
            return None

        return await self._patiently(ask)

    async def submit(
        self, header: roster_pb2.RosterHeader, path: Path, sent: Callable[[int], None], made_of: Sequence[Step] = ()
    ) -> RefusedError | None:
        """Hand in a file; why the gateway cannot go on from the run before, where that is so.

        Args:
            header: of the roster.
            path: of the file.
            sent: told how many bytes went out.
            made_of: how the file is made of the one before; empty: it is sent whole.
        """

        async def requests() -> AsyncIterator[roster_pb2.SubmitRosterRequest]:
            yield roster_pb2.SubmitRosterRequest(header=header)
            for composition in _compositions(made_of):
                yield roster_pb2.SubmitRosterRequest(composition=composition)
            done = 0
            for data in _own_data(path, made_of):
                yield roster_pb2.SubmitRosterRequest(data=data)
                done += len(data)
                sent(done)

        async def ask() -> RefusedError | None:
            try:
                await self._stub.SubmitRoster(requests())
            except grpc.aio.AioRpcError as error:
                ours = from_rpc_error(error)
                if ours is None or ours.field != "continues":
                    raise
                return RefusedError(ours.en, ours.zh, field=ours.field)
            return None

        return await self._patiently(ask)

    async def watch(self, run_id: bytes) -> AsyncIterator[roster_pb2.RosterRun]:
        """How a run stands, again and again, until it has ended."""
        last: roster_pb2.RosterRun | None = None
        call: Any = None

        async def more() -> roster_pb2.RosterRun | None:
            nonlocal call
            try:
                if call is None:
                    call = aiter(self._stub.WatchRoster(roster_pb2.WatchRosterRequest(run_id=run_id)))
                told = await anext(call, None)
            except grpc.aio.AioRpcError:
                call = None
                raise
            return None if told is None else told.run

        while last is None or last.state in (roster_pb2.ROSTER_STATE_WAITING, roster_pb2.ROSTER_STATE_RUNNING):
            last = await self._patiently(more)
            if last is None:  # the stream ended before the run did
                call = None
                await asyncio.sleep(1)
            else:
                yield last

    async def results(
        self, run_id: bytes, got: Callable[[int, int], None], *, only_changed: bool
    ) -> AsyncIterator[dict[int, list[bytes]]]:
        """For each chunk its tables (RosterTable → Arrow files); `got` is told (chunk, chunks)."""
        wanted, chunks = 0, 1
        ended = False
        call: Any = None

        async def more() -> dict[int, list[bytes]] | None:
            nonlocal call, chunks, ended
            tables: dict[int, list[bytes]] = {}
            try:
                if call is None:
                    request = roster_pb2.FetchResultRequest(run_id=run_id, from_chunk=wanted, only_changed=only_changed)
                    call = aiter(self._stub.FetchResult(request))
                async for message in call:
                    chunks = message.chunks
                    if message.chunk != wanted:
                        fail(say("the gateway gave results out of order", "网关返回的结果顺序有误"), EXIT_FAULTY)
                    if message.table:
                        tables.setdefault(message.table, []).append(message.arrow)
                    if message.last_of_chunk:
                        return tables
            except grpc.aio.AioRpcError:
                call = None
                raise
            call, ended = None, True
            return None

        while wanted < chunks and not ended:
            tables = await self._patiently(more)
            if tables is not None:
                wanted += 1
                got(wanted, chunks)
                yield tables

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask, again while the gateway is away and patience lasts."""
        loop = asyncio.get_running_loop()
        since: float | None = None
        failures = 0
        while True:
            try:
                return await ask()
            except grpc.aio.AioRpcError as error:
                ours = from_rpc_error(error)
                lost = error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
                if ours is None and not lost:
                    raise
                if ours is not None and ours.reason not in _AWAY:
                    fail_with(ours)
                since = loop.time() if since is None else since
                failures += 1
                wait_s = _BACKOFF.wait_s(failures, chance())
                if loop.time() + wait_s - since > self._patience_s:
                    raise
                self._away(
                    say(ours.en, ours.zh)
                    if ours is not None
                    else say("the gateway cannot be reached; trying again", "无法连接网关，正在重试")
                )
                await asyncio.sleep(wait_s)


def _compositions(made_of: Sequence[Step]) -> Iterator[roster_pb2.RosterComposition]:
    """The steps in messages."""
    for start in range(0, len(made_of), _STEPS):
        composition = roster_pb2.RosterComposition()
        for step in made_of[start : start + _STEPS]:
            composition.first.append(step.start if step.copied else 0)
            composition.count.append(step.amount if step.copied else 0)
            composition.own_bytes.append(0 if step.copied else step.amount)
        yield composition


def _own_data(path: Path, made_of: Sequence[Step]) -> Iterator[bytes]:
    """What of a file is sent, in messages."""
    with path.open("rb") as file:
        if not made_of:
            while data := file.read(PIECE):
                yield data
            return
        waiting = bytearray()
        for step in made_of:
            if not step.copied:
                file.seek(step.start)
                waiting += file.read(step.amount)
            while len(waiting) >= PIECE:
                yield bytes(waiting[:PIECE])
                del waiting[:PIECE]
        if waiting:
            yield bytes(waiting)


def pulled(chunks: AsyncIterator[T], loop: asyncio.AbstractEventLoop) -> Iterator[T]:
    """The same for a thread other than the loop's: each is fetched when it is asked for."""

    async def one() -> T | None:
        return await anext(chunks, None)

    while (each := asyncio.run_coroutine_threadsafe(one(), loop).result()) is not None:
        yield each
