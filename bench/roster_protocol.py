"""What a roster costs in the protocol alone: two gateways as processes, the departments of the one answer from memory.

Chunks of 5,000 recipients go over `ExchangeStream`: made, sealed, sent, opened, authorised, recorded, asked of four
departments, graded, minimised, sealed, sent, opened, checked, recorded. Figures: `protocol_per_s` (recipients a second,
the median of some rounds), `cpu_us_a` and `cpu_us_b` (processor time for each recipient in the asking and in the
answering gateway, departments in memory included) and the peak memory of both.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.federation import ANSWERING, ANY_HOUR, ASKING, UNIT
from bench.report import Figures, table
from gateway.demo.founding import FoundedMember, MemberPlan, found
from gateway.demo.processes import Started, start, stop, stopped_on_failure, wait_ready

PEOPLE = int(os.environ.get("BENCH_PEOPLE", "200000"))
CHUNK = 5_000


def main() -> Figures:
    """Run, print a table, return the figures."""
    with tempfile.TemporaryDirectory() as scratch, two_gateways(Path(scratch), PEOPLE) as (asking, _, process):
        used = cpu_s(process)
        rounds = _asked(asking)
        answered_cpu_s = cpu_s(process) - used
        peak_b_mb = peak_mb(process)
    whole = sum(each["recipients"] for each in rounds)
    figures = {
        "protocol_per_s": statistics.median(each["recipients"] / each["seconds"] for each in rounds),
        "cpu_us_a": sum(each["cpu_s"] for each in rounds) / whole * 1e6,
        "cpu_us_b": answered_cpu_s / whole * 1e6,
        "peak_mb_a": rounds[-1]["peak_mb"],
        "peak_mb_b": peak_b_mb,
    }
    table(
        "roster, protocol alone",
        ("", "measured", "goal"),
        [
            ("recipients a second", f"{figures['protocol_per_s']:.0f}", ">= 200,000"),
            ("processor time for each, asking, µs", f"{figures['cpu_us_a']:.2f}", ""),
            ("processor time for each, answering, µs", f"{figures['cpu_us_b']:.2f}", ""),
            ("peak memory, asking, MB", f"{figures['peak_mb_a']:.0f}", "<= 600"),
            ("peak memory, answering, MB", f"{figures['peak_mb_b']:.0f}", "<= 600"),
        ],
    )
    return figures


@contextlib.contextmanager
def two_gateways(
    folder: Path, people: int, *, listed: str = "", extra: str = ""
) -> Iterator[tuple[FoundedMember, FoundedMember, Started]]:
    """A member that may ask, and one whose gateway runs; its departments answer from memory.

    Args:
        folder: where; made.
        people: whom they know.
        listed: address that the directory says its gateway has; without it, the one at which it listens.
        extra: TOML appended to both gateway.toml.
    """
    plans = [
        MemberPlan(*ASKING, units=((UNIT, "bench"),), manifests=()),
        MemberPlan(*ANSWERING, units=(), manifests=()),
    ]
    asking, answering = found(
        folder / "federation",
        plans,
        dt.datetime.now(dt.UTC),
        extra=ANY_HOUR + extra,
        log_level="WARNING",
        listed={ANSWERING[0]: [listed]} if listed else None,
    )
    process = start_from_memory(answering, people)
    try:
        yield asking, answering, process
    finally:
        stop([process])


def start_from_memory(member: FoundedMember, people: int) -> Started:
    """Start the gateway of a member whose departments answer from memory, and wait until it is ready."""
    command = ["bench.memory_gateway", "--config", str(member.config), "--people", str(people)]
    process = start(f"gateway {member.plan.name_en}", command, member.folder / "gateway.log")
    with stopped_on_failure([process]):
        wait_ready([(process, member.ready_file)])
    return process


def _asked(asking: FoundedMember) -> list[dict[str, float]]:
    command = [sys.executable, "-m", "bench.memory_asker", "--config", str(asking.config), "--member", ANSWERING[0]]
    command += ["--people", str(PEOPLE), "--chunk", str(CHUNK)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    rounds: list[dict[str, float]] = json.loads(done.stdout.splitlines()[-1])
    return rounds


def cpu_s(process: Started) -> float:
    """Processor seconds that a process has used."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_mb(process: Started) -> float:
    """The most memory that a process has had, in MiB."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024
