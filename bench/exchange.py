"""Sealed single-question exchanges, agency → A → B → one in-process table adapter, beside a bare two-hop mTLS echo.

Both run as real processes in the same call on the same cores, in alternating rounds; the client is the same code, sends
prepared bytes and parses nothing. Figures: `throughput_ratio` (exchanges per second at concurrency 64, ours over the
echo's) and `p50_ratio` (median time at concurrency 1, ours over the echo's).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import shutil
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import uvloop

from bench.federation import TwoProvinces, requests, two_provinces
from bench.report import Figures, table
from certs.grpc_credentials import channel_options
from gateway.channels import agency_channel, agency_credentials
from gateway.config import load_agency
from gateway.demo.processes import Started, start, stop, stopped_on_failure, wait_ready
from gateway.exchange import frame
from gateway.exchange.suites import SUITE_1
from wugan.agency.v1 import agency_pb2

CONCURRENCY = 64
ROUNDS = 5
ROUND_S = 3.0
SINGLES = 400

Call = Callable[[bytes], Awaitable[bytes]]


def main() -> Figures:
    """Run, print a table, return the figures."""
    with tempfile.TemporaryDirectory() as scratch, two_provinces(Path(scratch)) as provinces:
        return uvloop.run(_measure(Path(scratch), provinces))


async def _measure(scratch: Path, provinces: TwoProvinces) -> Figures:
    import grpc

    settings = load_agency(provinces.agency_config)
    real_channel = agency_channel(settings)
    real: Call = real_channel.unary_unary("/wugan.agency.v1.AgencyService/Check")
    bodies = requests()
    answer = await real(bodies[0])
    with _echo(scratch, provinces, answer, len(bodies[0])) as (address, name):
        echo_channel = grpc.aio.secure_channel(address, agency_credentials(settings), options=channel_options(name))
        echo: Call = echo_channel.unary_unary("/bench.Echo/Call")
        for call in (real, echo):
            await _throughput(call, bodies, 1.0)
        rates: dict[str, list[float]] = {"real": [], "echo": []}
        medians: dict[str, list[float]] = {"real": [], "echo": []}
        for _ in range(ROUNDS):
            for label, call in (("real", real), ("echo", echo)):
                rates[label].append(await _throughput(call, bodies, ROUND_S))
                medians[label].append(await _median(call, bodies))
        await echo_channel.close()
    await real_channel.close()
    figures = {
        "throughput_ratio": statistics.median(a / b for a, b in zip(rates["real"], rates["echo"], strict=True)),
        "p50_ratio": statistics.median(a / b for a, b in zip(medians["real"], medians["echo"], strict=True)),
        "exchanges_per_s": statistics.median(rates["real"]),
        "echoes_per_s": statistics.median(rates["echo"]),
        "p50_ms": statistics.median(medians["real"]) * 1000,
        "echo_p50_ms": statistics.median(medians["echo"]) * 1000,
    }
    table(
        "exchange",
        ("", "ours", "bare echo", "ratio", "goal"),
        [
            (
                f"calls/s, concurrency {CONCURRENCY}",
                f"{figures['exchanges_per_s']:.0f}",
                f"{figures['echoes_per_s']:.0f}",
                f"{figures['throughput_ratio']:.2f}",
                ">= 0.35",
            ),
            (
                "p50 ms, concurrency 1",
                f"{figures['p50_ms']:.2f}",
                f"{figures['echo_p50_ms']:.2f}",
                f"{figures['p50_ratio']:.2f}",
                "<= 4",
            ),
        ],
    )
    return figures


@contextlib.contextmanager
def _echo(scratch: Path, provinces: TwoProvinces, answer: bytes, request_bytes: int) -> Iterator[tuple[str, str]]:
    """The baseline's two hops, with the message sizes of the real exchange; address and TLS name of the first."""
    name = load_agency(provinces.agency_config).gateway_name
    proof = agency_pb2.CheckResponse.FromString(answer).answers[0].proof
    question_bytes = len(proof.header) + _sealed_bytes(request_bytes)
    answer_bytes = len(proof.header) + _sealed_bytes(len(proof.payload))
    tls = ["--tls", str(_tls_files(scratch, provinces))]
    ready = [scratch / "echo-back.json", scratch / "echo-front.json"]
    processes: list[Started] = []
    with stopped_on_failure(processes):
        back = ["bench.baselines.echo", *tls, "--ready", str(ready[0]), "--answer-bytes", str(answer_bytes)]
        processes.append(start("echo back", back, scratch / "echo-back.log"))
        address = wait_ready([(processes[0], ready[0])])[0]["address"]
        onward = ["--next", address, "--next-name", name, "--next-bytes", str(question_bytes)]
        front = ["bench.baselines.echo", *tls, "--ready", str(ready[1]), "--answer-bytes", str(len(answer)), *onward]
        processes.append(start("echo front", front, scratch / "echo-front.log"))
        address = wait_ready([(processes[1], ready[1])])[0]["address"]
    try:
        yield address, name
    finally:
        stop(processes)


def _tls_files(scratch: Path, provinces: TwoProvinces) -> Path:
    """The asking gateway's certificate, key and roots, under the names that the baseline reads."""
    folder = scratch / "echo-tls"
    folder.mkdir(mode=0o700)
    shutil.copy(provinces.asking.keys / "tls-1.key.pem", folder / "key.pem")
    shutil.copy(provinces.asking.keys / "tls-1.chain.pem", folder / "certificate.pem")
    shutil.copy(provinces.asking.folder / "roots.pem", folder / "roots.pem")
    return folder


def _sealed_bytes(payload_bytes: int) -> int:
    return SUITE_1.overhead_bytes + frame.frame_bytes(SUITE_1.signature_bytes, 1, payload_bytes)


async def _throughput(call: Call, bodies: list[bytes], seconds: float) -> float:
    """Calls a second at the bench's concurrency."""
    done = 0
    source = itertools.cycle(bodies)
    until = time.perf_counter() + seconds

    async def worker() -> None:
        nonlocal done
        while time.perf_counter() < until:
            await call(next(source))
            done += 1

    began = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(CONCURRENCY)))
    return done / (time.perf_counter() - began)


async def _median(call: Call, bodies: list[bytes]) -> float:
    """Median seconds of a call when there is no other."""
    times = []
    for body in bodies[:SINGLES]:
        began = time.perf_counter()
        await call(body)
        times.append(time.perf_counter() - began)
    return statistics.median(times)
