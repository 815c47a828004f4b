"""How long after `revoke` a partner's gateway still accepts calls, over connections that are open and in use.

Two gateways and their authority as real processes. Every try takes back one certificate that is in use: in turn that of
an agency, which asks its own gateway A, and one of a member's gateway, which this bench plays, and which asks B. Calls
go on without a pause over the open connection, and a health stream is held open (the member's at A); while all this
happens another agency asks A, which asks B, and must not notice anything. A try ends when every call is refused; its
time is from the beginning of the act to the answer of the last call that was accepted, or the end of the stream, if
that was later. The act is what `wugan authority revoke` does, in a process of its own, without the time that Python
takes to start; a few tries at the end are done by the command itself, and with that time.

Figures: `p99_s` (goal at most 1) and `max_s` (goal at most 5) of 100 tries, `p50_s`, `tries`, `command_max_s` (by the
command, start of Python included), `others_failed` (calls of the other agency that failed, goal 0). With
BENCH_TRIES=10 in the environment there are 10 tries.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import uvloop
from grpc_health.v1 import health_pb2, health_pb2_grpc

from bench.asker import Asker
from bench.federation import TwoProvinces, requests, two_provinces
from bench.load import Check, Outcome, at_rate
from bench.report import Figures, table
from certs.grpc_credentials import channel_options
from gateway.authority.office import Office
from gateway.channels import agency_channel
from gateway.clock import SystemClock
from gateway.config import load_agency
from gateway.demo.founding import FoundedMember
from gateway.status import from_rpc_error
from wugan.agency.v1 import agency_pb2, agency_pb2_grpc
from wugan.federation.v1 import exchange_pb2_grpc

TRIES = int(os.environ.get("BENCH_TRIES", "100"))
BY_COMMAND = min(TRIES, 6)
OTHER = "110100"
OTHERS_PER_S = 50.0
CALLERS = 2
REFUSALS = 3
"""A caller believes that it is out after so many refusals in a row."""
PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True)
class Target:
    """A certificate in use.

    Args:
        certificate: its file, PEM.
        call: makes one call; raises where it is refused.
        watch: holds a stream open; raises when that is ended.
    """

    certificate: Path
    call: Callable[[], Awaitable[None]]
    watch: Callable[[], Awaitable[None]]


def main() -> Figures:
    """Run, print a table, return the figures."""
    count = TRIES + BY_COMMAND
    units = [OTHER, *(f"{110101 + number}" for number in range((count + 1) // 2))]
    with (
        tempfile.TemporaryDirectory() as scratch,
        two_provinces(Path(scratch), units=units, authority=True) as provinces,
    ):
        return uvloop.run(_measure(provinces, Path(scratch), units[1:]))


async def _measure(provinces: TwoProvinces, scratch: Path, units: Sequence[str]) -> Figures:
    asker = await asyncio.to_thread(Asker.admitted, provinces)
    certificates = await asyncio.to_thread(asker.certificates, scratch, len(units))
    targets: list[contextlib.AbstractAsyncContextManager[Target]] = []
    for unit, certificate in zip(units, certificates, strict=True):
        targets += [_agency(provinces.asking, unit), _gateway(provinces, asker, certificate)]
    acts, others = _Acts(provinces.authority), _Others(provinces.asking)
    async with acts, others:
        times = [await _try(target, acts.revoke) for target in targets[:TRIES]]
        by_command = [await _try(target, acts.command) for target in targets[TRIES : TRIES + BY_COMMAND]]
    figures = {
        "p99_s": _quantile(times, 0.99),
        "max_s": max(times),
        "p50_s": statistics.median(times),
        "tries": float(len(times)),
        "command_max_s": max(by_command),
        "others_failed": float(others.outcome.failed),
    }
    rows = [
        (name, *(f"{of(each):.3f}" for each in (times[::2], times[1::2])), goal)
        for name, of, goal in (
            ("p50, s", statistics.median, ""),
            ("p99, s", lambda each: _quantile(each, 0.99), "<= 1"),
            ("longest, s", max, "<= 5"),
        )
    ]
    rows.append(("by command, longest, s", *(f"{max(each):.3f}" for each in (by_command[::2], by_command[1::2])), ""))
    table(f"revocation ({len(times)} tries)", ("", "agency", "gateway", "goal"), rows)
    print(f"  another agency meanwhile: {others.outcome.calls} calls, {others.outcome.failed} failed")
    for why, number in others.outcome.failures.most_common(5):
        print(f"    {number} × {why}")
    return figures


async def _try(
    target: contextlib.AbstractAsyncContextManager[Target], revoke: Callable[[Path], Awaitable[float]]
) -> float:
    """Seconds from the beginning of the act until the last call was accepted and the stream ended."""
    async with target as one, asyncio.timeout(PATIENCE_S):
        await one.call()
        stream = asyncio.create_task(_until_ended(one.watch))
        callers = [asyncio.create_task(_until_refused(one.call)) for _ in range(CALLERS)]
        await one.call()
        began = await revoke(one.certificate)
        return max(await asyncio.gather(stream, *callers)) - began


async def _until_refused(call: Callable[[], Awaitable[None]]) -> float:
    """When the last call was accepted."""
    accepted, refused = time.monotonic(), 0
    while refused < REFUSALS:
        try:
            await call()
        except grpc.aio.AioRpcError as error:
            _require_stranger(error)
            refused += 1
        else:
            accepted, refused = time.monotonic(), 0
    return accepted


async def _until_ended(watch: Callable[[], Awaitable[None]]) -> float:
    """When the stream was ended."""
    try:
        await watch()
    except grpc.aio.AioRpcError as error:
        _require_stranger(error)
    return time.monotonic()


def _require_stranger(error: grpc.aio.AioRpcError) -> None:
    """A call that fails for another reason would measure something else."""
    ours = from_rpc_error(error)
    if ours is None or ours.code != "STRANGER":
        raise AssertionError(f"{error.code().name}: {error.details()}") from error


@contextlib.asynccontextmanager
async def _agency(member: FoundedMember, unit: str) -> AsyncIterator[Target]:
    """An agency at its own gateway."""
    settings = load_agency(member.agency_config(unit))
    channel = agency_channel(settings)
    stub = agency_pb2_grpc.AgencyServiceStub(channel)
    bodies = itertools.cycle(map(agency_pb2.CheckRequest.FromString, requests(fresh=True)[:100]))

    async def call() -> None:
        response = await stub.Check(next(bodies), timeout=PATIENCE_S)
        if not response.status:
            raise AssertionError("an answer without status")

    try:
        yield Target(settings.tls.certificate, call, lambda: _watch(channel))
    finally:
        await channel.close()


@contextlib.asynccontextmanager
async def _gateway(provinces: TwoProvinces, asker: Asker, certificate: Path) -> AsyncIterator[Target]:
    """A member's gateway at its partners': it asks B, and has a stream open at A."""
    a, b = (
        grpc.aio.secure_channel(
            member.federation_address,
            asker.credentials(certificate),
            options=channel_options(asker.tls_name(member)),
        )
        for member in (provinces.asking, provinces.answering)
    )
    stub = exchange_pb2_grpc.FederationServiceStub(b)

    async def call() -> None:
        sealed = asker.question()
        asker.require_answered(sealed, await stub.Exchange(sealed.envelope, timeout=PATIENCE_S))

    try:
        yield Target(certificate, call, lambda: _watch(a))
    finally:
        await a.close()
        await b.close()


async def _watch(channel: grpc.aio.Channel) -> None:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    async for _ in stub.Watch(health_pb2.HealthCheckRequest()):
        pass


class _Acts:
    """Takes certificates back; both ways answer with the time at which it began."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))

    async def __aenter__(self) -> None:
        # Started, and its modules loaded.
        await asyncio.get_running_loop().run_in_executor(self._pool, time.monotonic)

    async def __aexit__(self, *_error: object) -> None:
        self._pool.shutdown()

    async def revoke(self, certificate: Path) -> float:
        """By the office, in a process of its own."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, _revoke, self._home, certificate)

    async def command(self, certificate: Path) -> float:
        """By the command."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, _command, self._home, certificate)


def _command(home: Path, certificate: Path) -> float:
    began = time.monotonic()
    command = ("authority", "revoke", "--dir", str(home), "--certificate", str(certificate))
    subprocess.run([sys.executable, "-m", "gateway.cli", *command], stdout=subprocess.DEVNULL, check=True)
    return began


def _revoke(home: Path, certificate: Path) -> float:
    """As the command does."""
    began = time.monotonic()
    office = Office(home, SystemClock())
    try:
        office.revoke_pem(certificate.read_bytes(), reason=1)
    finally:
        office.close()
    return began


class _Others:
    """Another agency, which asks all the while."""

    def __init__(self, member: FoundedMember) -> None:
        self._settings = load_agency(member.agency_config(OTHER))
        self.outcome = Outcome()

    async def __aenter__(self) -> None:
        self._channel = agency_channel(self._settings)
        self._task = asyncio.create_task(self._ask())

    async def __aexit__(self, *_error: object) -> None:
        self._going_on = False
        await self._task
        await self._channel.close()

    async def _ask(self) -> None:
        self._going_on = True
        check: Check = self._channel.unary_unary("/wugan.agency.v1.AgencyService/Check")
        bodies = itertools.cycle(requests(fresh=True))
        while self._going_on:
            self.outcome.add(await at_rate(lambda body: check(body, timeout=PATIENCE_S), bodies, OTHERS_PER_S, 0.5))


def _quantile(times: Sequence[float], share: float) -> float:
    return sorted(times)[math.ceil(share * len(times)) - 1]
