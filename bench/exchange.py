"""Sealed single-question exchanges, agency → A → B → one in-process table adapter, beside a bare two-hop mTLS echo; and
answers that A gives again, beside a bare one-hop echo.

All run as real processes in the same call on the same cores, in alternating rounds; the client sends prepared bytes.
Figures: `throughput_ratio` (exchanges per second at concurrency 64, a call for each, ours over the echo's), `p50_ratio`
(median time at concurrency 1, ours over the echo's), `coalesced_ratio` (as the first at concurrency 256, what is asked
together travelling together all the way: over one call, by `gateway.many.client`, which parses the answers; the echo
has a call for each) and `cache_ratio` (answers given again per second at concurrency 64, over one call, over the
one-hop echo's; every request has another case reference than the one before about that person).
`coalesced_calls_ratio` and `cache_calls_ratio` are the same with a call for each question. Exchanges are asked for with
`fresh`.
"""

from __future__ import annotations

import contextlib
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import uvloop

from bench.federation import TwoProvinces, requests, two_provinces
from bench.load import Ask, Call, Check, throughput
from bench.report import Figures, table
from certs.grpc_credentials import channel_options
from gateway.channels import agency_channel, agency_credentials
from gateway.clock import SystemClock
from gateway.config import load_agency
from gateway.demo.processes import Started, start, stop, stopped_on_failure, wait_ready
from gateway.exchange import frame
from gateway.exchange.suites import SUITE_1
from gateway.many.client import ManyClient
from wugan.agency.v1 import agency_pb2

CONCURRENCY = 64
MANY = 256
KEPT_PEOPLE = 200
CASES = 5
ROUNDS = 5
PATIENT_S = 60.0
"""No question waits for so long."""
ROUND_S = 3.0
SINGLES = 400
TURN = 25


def main() -> Figures:
    """Run, print a table, return the figures."""
    with tempfile.TemporaryDirectory() as scratch, two_provinces(Path(scratch)) as provinces:
        return uvloop.run(_measure(Path(scratch), provinces))


async def _measure(scratch: Path, provinces: TwoProvinces) -> Figures:
    import grpc

    settings = load_agency(provinces.agency_config)
    real_channel = agency_channel(settings)
    real: Check = real_channel.unary_unary("/wugan.agency.v1.AgencyService/Check")
    many = ManyClient(real_channel, SystemClock())

    async def together(body: bytes) -> object:
        return await many.check(body, PATIENT_S)

    bodies = requests(fresh=True)
    answer = await real(bodies[0])
    kept, kept_answer = await _kept(real)
    with _echo(scratch, provinces, answer, len(bodies[0]), kept_answer) as (addresses, name):
        options = channel_options(name)
        channels = [grpc.aio.secure_channel(each, agency_credentials(settings), options=options) for each in addresses]
        echo: Check = channels[0].unary_unary("/bench.Echo/Call")
        near: Check = channels[1].unary_unary("/bench.Echo/Call")
        measured: dict[str, list[float]] = {}
        warm: list[tuple[Ask, list[bytes]]] = [
            (real, bodies),
            (echo, bodies),
            (together, bodies),
            (real, kept),
            (near, kept),
        ]
        for call, sent in warm:
            await throughput(call, sent, CONCURRENCY, 1.0)
        measuring: list[tuple[str, Ask, list[bytes], int]] = [
            ("exchanges", real, bodies, CONCURRENCY),
            ("echoes", echo, bodies, CONCURRENCY),
            ("together", together, bodies, MANY),
            ("many echoes", echo, bodies, MANY),
            ("many exchanges", real, bodies, MANY),
            ("given again together", together, kept, CONCURRENCY),
            ("near echoes", near, kept, CONCURRENCY),
            ("given again", real, kept, CONCURRENCY),
        ]
        for _ in range(ROUNDS):
            for label, call, sent, concurrency in measuring:
                measured.setdefault(label, []).append(await throughput(call, sent, concurrency, ROUND_S))
            singles: list[tuple[str, Ask, list[bytes]]] = [
                ("p50", real, bodies),
                ("echo p50", echo, bodies),
                ("again p50", real, kept),
            ]
            for label, median in (await _medians(singles)).items():
                measured.setdefault(label, []).append(median)
        for channel in channels:
            await channel.close()
    await many.close()
    await real_channel.close()
    return _figures(measured)


def _figures(measured: dict[str, list[float]]) -> Figures:
    """Medians of the rounds, and of the ratios within each; printed as a table."""

    def ratio(ours: str, theirs: str) -> float:
        return statistics.median(a / b for a, b in zip(measured[ours], measured[theirs], strict=True))

    middle = {label: statistics.median(values) for label, values in measured.items()}
    figures = {
        "throughput_ratio": ratio("exchanges", "echoes"),
        "p50_ratio": ratio("p50", "echo p50"),
        "coalesced_ratio": ratio("together", "many echoes"),
        "cache_ratio": ratio("given again together", "near echoes"),
        "coalesced_calls_ratio": ratio("many exchanges", "many echoes"),
        "cache_calls_ratio": ratio("given again", "near echoes"),
        "exchanges_per_s": middle["exchanges"],
        "echoes_per_s": middle["echoes"],
        "p50_ms": middle["p50"] * 1000,
        "echo_p50_ms": middle["echo p50"] * 1000,
        "coalesced_per_s": middle["together"],
        "given_again_per_s": middle["given again together"],
        "near_echoes_per_s": middle["near echoes"],
        "again_p50_ms": middle["again p50"] * 1000,
    }

    def row(what: str, ours: str, theirs: str, ratio: str, goal: str, *, ms: bool = False) -> tuple[str, ...]:
        shown = [f"{middle[label] * 1000:.2f}" if ms else f"{middle[label]:.0f}" for label in (ours, theirs)]
        return (what, *shown, f"{figures[ratio]:.2f}", goal)

    table(
        "exchange",
        ("", "ours", "bare echo", "ratio", "goal"),
        [
            row(f"calls/s, concurrency {CONCURRENCY}", "exchanges", "echoes", "throughput_ratio", ">= 0.35"),
            row("p50 ms, concurrency 1", "p50", "echo p50", "p50_ratio", "<= 4", ms=True),
            row(f"questions/s over one call, {MANY} at a time", "together", "many echoes", "coalesced_ratio", ">= 0.8"),
            row(
                f"the same, a call each, {MANY} at a time", "many exchanges", "many echoes", "coalesced_calls_ratio", ""
            ),
            row("given again/s over one call", "given again together", "near echoes", "cache_ratio", ">= 0.8"),
            row("the same, a call each", "given again", "near echoes", "cache_calls_ratio", ""),
        ],
    )
    return figures


async def _kept(real: Call) -> tuple[list[bytes], bytes]:
    """Requests, each of another case, whose answers are given again, and such an answer."""
    answer = b""
    for turn in range(2):
        for body in requests(case=f"WARM-{turn}")[:KEPT_PEOPLE]:
            answer = await real(body)
    if not agency_pb2.CheckResponse.FromString(answer).from_cache:
        raise RuntimeError("the answers are not given again; is the cache enabled?")
    return [body for case in range(CASES) for body in requests(case=f"CASE-{case}")[:KEPT_PEOPLE]], answer


@contextlib.contextmanager
def _echo(
    scratch: Path, provinces: TwoProvinces, answer: bytes, request_bytes: int, kept_answer: bytes
) -> Iterator[tuple[tuple[str, str], str]]:
    """Baselines, messages as large as the real ones: addresses of the first of two hops, and of one; their TLS name."""
    name = load_agency(provinces.agency_config).gateway_name
    proof = agency_pb2.CheckResponse.FromString(answer).answers[0].proof
    question_bytes = len(proof.header) + _sealed_bytes(request_bytes)
    answer_bytes = len(proof.header) + _sealed_bytes(len(proof.payload))
    tls = _tls_files(scratch, provinces)
    processes: list[Started] = []

    def hop(label: str, answer_bytes: int, *onward: str) -> str:
        ready = scratch / f"echo-{label}.json"
        command = ["bench.baselines.echo", "--tls", str(tls), "--ready", str(ready)]
        command += ["--answer-bytes", str(answer_bytes), *onward]
        processes.append(start(f"echo {label}", command, scratch / f"echo-{label}.log"))
        return str(wait_ready([(processes[-1], ready)])[0]["address"])

    with stopped_on_failure(processes):
        back = hop("back", answer_bytes)
        onward = ["--next", back, "--next-name", name, "--next-bytes", str(question_bytes)]
        addresses = hop("front", len(answer), *onward), hop("near", len(kept_answer))
    try:
        yield addresses, name
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


async def _medians(kinds: Sequence[tuple[str, Ask, list[bytes]]]) -> dict[str, float]:
    """Median seconds of a call when there is no other, for each kind.

    They take turns after a few calls, so that they share whatever else the machine does: a second later it may be half
    as fast.
    """
    times: dict[str, list[float]] = {label: [] for label, _, _ in kinds}
    for first in range(0, SINGLES, TURN):
        for label, call, sent in kinds:
            for body in sent[first : first + TURN]:
                began = time.perf_counter()
                await call(body)
                times[label].append(time.perf_counter() - began)
    return {label: statistics.median(taken) for label, taken in times.items()}
