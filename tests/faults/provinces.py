"""Provinces whose gateways are reached through fault proxies: the directory lists the proxies' addresses.

Owns: the proxies before each answering member, and what an agency of the asking member gets through them. Refuses:
judging it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from bench.federation import NEIGHBOURS, Provinces, provinces, requests
from certs.keys import load_signing_seed
from gateway.channels import agency_channel
from gateway.config import load_agency
from gateway.errors import WuganError
from gateway.exchange.envelope import Proof, verify_proof
from gateway.exchange.keys import SigningKey, VerifyKey
from gateway.status import from_rpc_error
from tests.faults.proxy import FaultProxy
from wugan.agency.v1 import agency_pb2

CHECK = "/wugan.agency.v1.AgencyService/Check"
PAUSE_S = 0.3
"""Whoever comes round so much too late stood still, or the machine did."""


class HangsError(Exception):
    """A call was not over long after it had to be."""


class UnclearError(Exception):
    """A call ended with a status that is not one of ours: it says neither why nor what to do."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a call: an answer or a refusal, and after how many seconds."""

    seconds: float
    answer: agency_pb2.CheckResponse | None = None
    refusal: WuganError | None = None

    def of(self, member_id: str) -> agency_pb2.ProvinceAnswer:
        """One province's part of the answer."""
        assert self.answer is not None, f"refused: {self.refusal}"
        return next(each for each in self.answer.answers if each.member_id == member_id)


class Agency:
    """Asks as an agency does, and holds every call to ending in an answer or in a refusal of ours."""

    def __init__(self, call: Callable[..., Awaitable[bytes]]) -> None:
        self._call = call
        self._pauses: list[tuple[float, float]] = []

    @contextlib.asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """For the length of the block, look whether the machine stands still, and everybody's deadlines pass."""

        async def watch() -> None:
            loop = asyncio.get_running_loop()
            while True:
                began = loop.time()
                await asyncio.sleep(PAUSE_S / 10)
                if loop.time() - began > PAUSE_S:
                    self._pauses.append((began, loop.time()))

        watching = asyncio.ensure_future(watch())
        try:
            yield
        finally:
            watching.cancel()

    async def in_time(self, attempt: Callable[[], Awaitable[Outcome]]) -> Outcome:
        """What came of an attempt during which the machine did not stand still; made again where it did."""
        loop = asyncio.get_running_loop()
        for left in reversed(range(20)):
            began = loop.time()
            outcome = await attempt()
            if not left or all(ended <= began for _, ended in self._pauses):
                break
        return outcome

    async def ask(self, request: bytes, *, timeout_s: float | None = None, patience_s: float = 120.0) -> Outcome:
        """Ask; with no timeout of its own the gateway's default deadline holds, and no client hides that it does not.

        Raises:
            HangsError: nothing came for `patience_s` seconds.
            UnclearError: it ended with a status that is not one of ours.
        """
        began = time.perf_counter()  # the event loop's clock tells whole milliseconds
        try:
            async with asyncio.timeout(patience_s):
                answer = await self._call(request, timeout=timeout_s)
        except TimeoutError:
            raise HangsError(f"no end after {patience_s} s") from None
        except grpc.aio.AioRpcError as error:
            refusal = from_rpc_error(error)
            if refusal is None:
                raise UnclearError(f"{error.code()}: {error.details()}") from error
            return Outcome(time.perf_counter() - began, refusal=refusal)
        return Outcome(time.perf_counter() - began, answer=agency_pb2.CheckResponse.FromString(answer))


@dataclass(frozen=True, slots=True)
class Troubled:
    """The running federation, a proxy before each answering member, and an agency of the asking one."""

    running: Provinces
    proxies: list[FaultProxy]
    agency: Agency
    _turn: Iterator[int] = field(default_factory=itertools.count)

    def request(self, *positions: int) -> bytes:
        """A request to these answering members, or to all; about another person each time, so nothing is at hand."""
        regions = tuple(self.region(each) for each in positions or range(len(self.running.answering)))
        bodies = _requests(regions)
        return bodies[next(self._turn) % len(bodies)]

    def member_id(self, position: int) -> str:
        """The answering member of that place."""
        return self.running.answering[position].plan.member_id

    def region(self, position: int) -> int:
        """The region it serves."""
        return self.running.answering[position].plan.region

    async def heal(self) -> None:
        """End every trouble."""
        for proxy in self.proxies:
            await proxy.heal()

    def verify(self, answer: agency_pb2.ProvinceAnswer) -> None:
        """Return when a province signed its part.

        Raises:
            EnvelopeError: it did not.
        """
        member = next(each for each in self.running.answering if each.plan.member_id == answer.member_id)
        signing = SigningKey.from_seed(load_signing_seed(member.keys / "signing-1.key.pem"))
        shown = Proof(**{name: getattr(answer.proof, name) for name in Proof._fields})
        verify_proof(shown, VerifyKey.from_raw(signing.public_raw))


@functools.lru_cache(maxsize=32)
def _requests(regions: tuple[int, ...]) -> list[bytes]:
    return requests(*regions, fresh=True)


@contextlib.asynccontextmanager
async def troubled(folder: Path, answering: int, *, extra: str = "", replicas: int = 1) -> AsyncIterator[Troubled]:
    """Such a federation for the length of the block; without trouble at first.

    Args:
        folder: where; made.
        answering: how many members answer.
        extra: TOML appended to every gateway.toml.
        replicas: proxies before each answering member, one after the other in `proxies`; all lead to its one gateway,
            as several addresses of it.
    """
    async with contextlib.AsyncExitStack() as stack:
        members = [neighbour[0] for neighbour in NEIGHBOURS[:answering]]
        proxies = {
            member: [await stack.enter_async_context(FaultProxy(seed=each)) for each in range(replicas)]
            for member in members
        }
        listed = {member: [proxy.address for proxy in before] for member, before in proxies.items()}
        # In a thread: starting and stopping them block, and the proxies must go on meanwhile.
        federation = provinces(folder, answering, listed=listed, extra=extra)
        running = await asyncio.to_thread(federation.__enter__)
        stack.push_async_callback(asyncio.to_thread, federation.__exit__, None, None, None)
        for member in running.answering:
            for proxy in proxies[member.plan.member_id]:
                proxy.target = member.federation_address
        channel = agency_channel(load_agency(running.agency_config))
        stack.push_async_callback(channel.close)
        agency = Agency(channel.unary_unary(CHECK))
        await stack.enter_async_context(agency.watched())
        flat = [proxy for before in proxies.values() for proxy in before]
        yield Troubled(running, flat, agency)
