"""A whole province's roster: two gateways as processes, four departments in PostgreSQL, beside their raw joins.

An agency of A hands in a CSV file of a million recipients who live in B, whose four departments hold ten million traces
in real PostgreSQL. The figure `recipients_per_s` is end to end at the agency's interface: from the file on the agency's
disk (its digest, SubmitRoster, WatchRoster to the end, FetchResult drained) to all result tables as frames in the
client's hands. Writing work lists, workbooks and the page for the head of office is the command's; the same roster is
therefore run once more as `wugan roster run`, files and Python's start included: `files_per_s`.

`time_over_joins` holds that time against the joins of all four departments as a person types them in ADBC: the same
people, the same columns, two connections at once, rows read into Arrow and left there. They are timed before and after
the roster, and the quicker time counts. Memory is the kernel's high-water mark of each gateway, of one run in fresh
processes: `peak_mb`, the larger at full size, and `peak_growth`, that over the same of a fifth of the people, of the
gateway where it grows most. `rerun_share`: one row in a thousand is given another amount, and the live roster is run
again; its time over the first run's. `protocol_per_s` is that of bench/roster_protocol.py.

`BENCH_PEOPLE=50000` makes everything smaller; goals are for the full size.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from bench import roster_protocol
from bench.databases import Databases, databases, joined_by_hand, people
from bench.federation import TwoProvinces, two_provinces
from bench.report import Figures, table
from gateway.channels import agency_channel
from gateway.cli.roster_client import Client, digest_of, new_id
from gateway.config import load_agency
from gateway.roster.frames import TABLES, from_arrow
from gateway.roster.pieces import Step
from wugan.adapter.v1 import vocabulary_pb2 as adapter_words
from wugan.agency.v1 import agency_pb2_grpc, roster_pb2

PEOPLE = int(os.environ.get("BENCH_PEOPLE", "1000000"))
FEWER = PEOPLE // 5
CHANGED_EVERY = 1_000
JOIN_BATCH = 10_000
JOIN_WORKERS = 2
NOBODY_HARVESTS = "unknown_people = 1000000000\nsequential_people = 10000\n"
"""Behind the table [access.harvest]: these people's numbers follow each other, and that is no harvesting here."""
LIVE = importlib.util.find_spec("gateway.cli.roster_naming") is not None
_AMOUNT = "月待遇"
_NAME_OF = {number: name for name, (number, _) in TABLES.items()}


@dataclass(slots=True)
class Ran:
    """One run, from the file to the tables in the client's hands.

    Args:
        seconds: of all of it.
        handed_in_s: of those, until the gateway had the file.
        done_s: until the gateway had all results.
        rows: rows of each table that came.
    """

    seconds: float = 0.0
    handed_in_s: float = 0.0
    done_s: float = 0.0
    rows: Counter[str] = field(default_factory=Counter)


def main() -> Figures:
    """Run, print tables, return the figures."""
    today = datetime.now(UTC).date()
    with tempfile.TemporaryDirectory() as scratch, databases(PEOPLE, today) as server:
        folder = Path(scratch)
        everyone = recipients()
        numbers = everyone["证件号码"].to_list()
        whole, part = folder / "roster.csv", folder / "fewer.csv"
        everyone.write_csv(whole)
        everyone.head(FEWER).write_csv(part)
        joins_s = [joined_by_hand(server, numbers, JOIN_BATCH, JOIN_WORKERS)]
        with _federation(folder / "fewer", server) as running:
            _run(running, part, folder / "out-fewer", FEWER)
            peaks_fewer = _peaks(running)
        with _federation(folder / "whole", server) as running:
            idle = _used(running)
            ran = _run(running, whole, folder / "out-whole", PEOPLE)
            peaks, used = _peaks(running), [now - before for now, before in zip(_used(running), idle, strict=True)]
            rerun_s = _rerun(running, everyone, whole, folder / "out-whole") if LIVE else None
            files_s = _command(running, whole, folder / "out-files")
        joins_s.append(joined_by_hand(server, numbers, JOIN_BATCH, JOIN_WORKERS))
    figures = {
        "recipients_per_s": PEOPLE / ran.seconds,
        "time_over_joins": ran.seconds / min(joins_s),
        "joins_per_s": PEOPLE / min(joins_s),
        "peak_mb": max(peaks),
        "peak_mb_a": peaks[0],
        "peak_mb_b": peaks[1],
        "peak_growth": max(large / small for large, small in zip(peaks, peaks_fewer, strict=True)),
        "files_per_s": PEOPLE / files_s,
        "cpu_us_a": used[0] / PEOPLE * 1e6,
        "cpu_us_b": used[1] / PEOPLE * 1e6,
    }
    if rerun_s is not None:
        figures["rerun_share"] = rerun_s / ran.seconds
    _show(figures, ran, joins_s, peaks_fewer, files_s, rerun_s)
    figures["protocol_per_s"] = roster_protocol.main()["protocol_per_s"]
    return figures


def recipients() -> pl.DataFrame:
    """The roster: everybody whom the departments know, and some whom only some of them do."""
    known = people(PEOPLE)
    n = pl.col("n")
    return known.select(
        pl.format("P{}", n).alias("人员编号"),
        pl.col("id").alias("证件号码"),
        pl.col("name").alias("姓名"),
        pl.lit("企业职工基本养老保险").alias("险种"),
        (330100 + n % 9 * 100).cast(pl.String).alias("居住地"),
        pl.format("{}.{}0", 2_000 + n % 4_000, n % 10).alias(_AMOUNT),
        pl.lit("2026-10").alias("最近发放月份"),
        pl.format("网格{}", n // 300).alias("网格"),
    )


@contextmanager
def _federation(folder: Path, server: Databases) -> Iterator[TwoProvinces]:
    """Fresh gateways, whose B has the four departments."""
    folder.mkdir()
    manifests = server.manifests_in(folder)
    with two_provinces(folder / "provinces", extra=NOBODY_HARVESTS, manifests=manifests) as running:
        yield running


def _run(running: TwoProvinces, file: Path, out: Path, expected: int, *, anew: bool = True) -> Ran:
    """Run a roster by the agency's interface; with `anew`, everybody must be in the result."""
    out.mkdir(exist_ok=True)
    ran = asyncio.run(_asked(running, file, out))
    if ran.rows["people"] != expected:
        raise AssertionError(f"{ran.rows['people']} people in the results, {expected} expected")
    if anew and not ran.rows["evidence"]:
        raise AssertionError("no evidence of any death: the departments were not asked")
    return ran


async def _asked(running: TwoProvinces, file: Path, out: Path) -> Ran:
    ran = Ran()
    began = time.perf_counter()
    header = roster_pb2.RosterHeader(
        file_name=file.name,
        purpose=adapter_words.PURPOSE_CERTIFICATION,
        legal_basis="社会保险法 第七十四条",
        official="bench",
        evidence_limit=10,
    )
    more: dict[str, Any] = {}
    going = None
    if LIVE:
        from gateway.cli.roster_naming import named

        header.live = True
        going = named(header, out, file, "ROSTER-BENCH", anew=False)
        made_of: tuple[Sequence[Step], ...] = (going.handed.made_of,)
        more["only_changed"] = bool(header.continues)
    else:
        size, sha256 = digest_of(file)
        header.run_id, header.case_reference = bytes.fromhex(new_id()), "ROSTER-BENCH"
        header.size, header.sha256 = size, sha256
        made_of = ()
    async with agency_channel(load_agency(running.agency_config)) as channel:
        client = Client(agency_pb2_grpc.AgencyServiceStub(channel), 0, print)
        refused = await client.submit(header, file, lambda _: None, *made_of)
        if LIVE and refused is not None:
            raise AssertionError(f"the live roster does not go on: {refused}")
        ran.handed_in_s = time.perf_counter() - began
        told = [run async for run in client.watch(header.run_id)]
        if told[-1].state != roster_pb2.ROSTER_STATE_DONE:
            raise AssertionError(f"the roster failed: {told[-1].message_en}")
        ran.done_s = time.perf_counter() - began
        async for tables in client.results(header.run_id, lambda *_: None, **more):
            for number, pieces in tables.items():
                ran.rows[_NAME_OF[number]] += sum(from_arrow(piece).height for piece in pieces)
    if going is not None:
        going.written(out)
    ran.seconds = time.perf_counter() - began
    return ran


def _rerun(running: TwoProvinces, everyone: pl.DataFrame, file: Path, out: Path) -> float:
    """Seconds for the same roster once more, after one row in a thousand has got another amount."""
    changed = pl.int_range(pl.len()) % CHANGED_EVERY == CHANGED_EVERY // 2
    amounts = pl.when(changed).then(pl.lit("9999.00")).otherwise(pl.col(_AMOUNT)).alias(_AMOUNT)
    everyone.with_columns(amounts).write_csv(file)
    return _run(running, file, out, everyone.select(changed.sum()).item(), anew=False).seconds


def _command(running: TwoProvinces, file: Path, out: Path) -> float:
    """Seconds of `wugan roster run` for a file, until its results are written."""
    command = [sys.executable, "-m", "gateway.cli", "roster", "run", str(file), "--out", str(out)]
    began = time.perf_counter()
    subprocess.run([*command, "--config", str(running.agency_config)], check=True, capture_output=True)
    return time.perf_counter() - began


def _show(
    figures: Figures,
    ran: Ran,
    joins_s: list[float],
    peaks_fewer: list[float],
    files_s: float,
    rerun_s: float | None,
) -> None:
    share = "not measured: this build has no live rosters" if rerun_s is None else f"{figures['rerun_share']:.3f}"
    table(
        f"roster ({PEOPLE} people, four departments in PostgreSQL)",
        ("", "measured", "goal"),
        [
            ("recipients a second, end to end", f"{figures['recipients_per_s']:.0f}", ">= 30,000"),
            ("seconds over those of the raw joins", f"{figures['time_over_joins']:.2f}", "<= 2.5"),
            ("peak memory, asking, MB", f"{figures['peak_mb_a']:.0f}", "<= 600"),
            ("peak memory, answering, MB", f"{figures['peak_mb_b']:.0f}", "<= 600"),
            (f"the larger growth from {FEWER} people", f"{figures['peak_growth']:.3f}", "<= 1.10"),
            ("live roster again, 0.1 % changed, share of the first run's time", share, "<= 0.02"),
            ("recipients a second of the command, files written", f"{figures['files_per_s']:.0f}", ""),
            ("recipients a second of the raw joins", f"{figures['joins_per_s']:.0f}", ""),
            ("processor time for each, asking, µs", f"{figures['cpu_us_a']:.1f}", ""),
            ("processor time for each, answering, µs", f"{figures['cpu_us_b']:.1f}", ""),
        ],
    )
    table(
        "seconds",
        ("", "s"),
        [
            ("file handed in", f"{ran.handed_in_s:.2f}"),
            ("results at the gateway", f"{ran.done_s:.2f}"),
            ("results fetched: end to end", f"{ran.seconds:.2f}"),
            ("the command, files written", f"{files_s:.2f}"),
            ("the live roster again", "" if rerun_s is None else f"{rerun_s:.2f}"),
            ("raw joins, before and after", " ".join(f"{each:.2f}" for each in joins_s)),
            ("(peaks of fewer, MB)", " ".join(f"{each:.0f}" for each in peaks_fewer)),
        ],
    )


def _peaks(running: TwoProvinces) -> list[float]:
    return [roster_protocol.peak_mb(each) for each in running.processes]


def _used(running: TwoProvinces) -> list[float]:
    return [roster_protocol.cpu_s(each) for each in running.processes]
