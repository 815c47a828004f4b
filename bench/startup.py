"""How long until one gateway takes calls, and how much memory it holds idle.

Figures: `ready_s` (from starting the process until its ready file is there, median) and `rss_mb` (resident set of the
answering gateway once idle, MB of 10^6 bytes).
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from bench.federation import start_gateway, two_provinces
from bench.report import Figures, table
from gateway.demo.processes import stop, wait_ready

RUNS = 5


def main() -> Figures:
    """Run, print a table, return the figures."""
    with tempfile.TemporaryDirectory() as scratch, two_provinces(Path(scratch)) as provinces:
        member = provinces.answering
        stop(provinces.processes)
        ready: list[float] = []
        resident: list[float] = []
        for _ in range(RUNS):
            began = time.perf_counter()
            process = start_gateway(member)
            wait_ready([(process, member.ready_file)])
            ready.append(time.perf_counter() - began)
            resident.append(_resident_mb(process.pid))
            stop([process])
    figures = {"ready_s": statistics.median(ready), "rss_mb": max(resident)}
    table(
        "startup",
        ("", "measured", "goal"),
        [
            ("ready, s", f"{figures['ready_s']:.2f}", "<= 2"),
            ("resident idle, MB", f"{figures['rss_mb']:.0f}", "<= 200"),
        ],
    )
    return figures


def _resident_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text("utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise ValueError("no VmRSS in /proc/pid/status")
