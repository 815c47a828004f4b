"""A department that drops a file of five million rows: taking it in, and looking people up in what was taken in.

The adapter is built from a manifest, as for any department, in a process of its own, so that its memory is its alone.
It reads a CSV file (number, name, code, day, place, reference), and is then asked about batches of ten thousand people,
four of five of whom are in it. What comes back is held against the file.

Figures: `file_index_s` (until the dropped file is taken in; goal at most 60), `file_index_mb` (most memory
that process ever had; goal at most 500) and `file_ids_per_s` (people looked up a second; goal at least 200,000).

`BENCH_FILE_ROWS=500000` makes the file smaller.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from bench.report import Figures, table

ROWS = int(os.environ.get("BENCH_FILE_ROWS", "5000000"))
BATCH = 10_000
ROUNDS = 31
WARM_UP_ROUNDS = 3
_WEIGHTS = np.array([7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2])

MANIFEST = """\
manifest: 1
adapter_id: settlements
version: 1
department: HEALTH_INSURANCE
regions: [330000]
kind: file
source: {folder: drop, settle_s: 0, scan_every_s: 3600}
identity: {column: cert_no, name: name}
timeout_s: 600
records:
  - name: settlements
    files: "settl_*.csv"
    evidence: {column: type, codes: {"11": OUTPATIENT, "21": INPATIENT, "41": PHARMACY}}
    observed_on: {column: at, formats: ["%Y%m%d"]}
    available_on: {column: stored, formats: ["%Y-%m-%d %H:%M:%S"]}
    region: {column: area}
    strength: REAL_NAME
    source_reference: ref
"""


def numbers(serials: np.ndarray) -> pl.Series:
    """Well-formed resident numbers: people of one county born over sixty years, a thousand a day at most."""
    days = np.datetime64("1930-01-01") + (serials // 999).astype("timedelta64[D]")
    text = pl.Series(days).dt.strftime("330702%Y%m%d") + pl.Series(serials % 999 + 1).cast(pl.String).str.zfill(3)
    digits = np.frombuffer("".join(text.to_list()).encode(), np.uint8).reshape(-1, 17) - ord("0")
    checks = np.array(list("10X98765432"))[(digits @ _WEIGHTS) % 11]
    return text + pl.Series(checks)


def write(path: Path, rows: int) -> None:
    """The file, in the order of its references; a person has one row or two."""
    random = np.random.default_rng(1)
    people = max(1, rows * 4 // 5)
    serials = np.concatenate([np.arange(people), random.integers(0, people, rows - people)])
    random.shuffle(serials)
    names = np.array(
        [first + second for first in "张王李赵陈杨黄周吴徐" for second in ("伟", "秀英", "建国", "桂兰", "阿布都·热")]
    )
    days = np.datetime64("2025-11-01") + random.integers(0, 380, rows).astype("timedelta64[D]")
    with path.open("wb") as stream:
        for start in range(0, rows, 500_000):
            piece = slice(start, min(rows, start + 500_000))
            pl.DataFrame(
                {
                    "cert_no": numbers(serials[piece]),
                    "name": names[serials[piece] % len(names)],
                    "type": np.array(["11", "21", "41"])[serials[piece] % 3],
                    "at": pl.Series(days[piece]).dt.strftime("%Y%m%d"),
                    "stored": pl.Series(days[piece] + np.timedelta64(1, "D")).dt.strftime("%Y-%m-%d 03:15:00"),
                    "area": np.array(["330702", "330703", "330781"])[serials[piece] % 3],
                    "ref": pl.Series(np.arange(piece.start, piece.stop)).cast(pl.String).str.zfill(12),
                }
            ).write_csv(stream, include_header=start == 0)


def measure() -> Figures:
    """Run both, print a table, return the figures."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "drop").mkdir()
        (folder / "manifest.yaml").write_text(MANIFEST, encoding="utf-8")
        write(folder / "drop" / "settl_1.csv", ROWS)
        size = (folder / "drop" / "settl_1.csv").stat().st_size
        command = [sys.executable, "-m", "bench.files", str(folder)]
        ran = subprocess.run(command, check=True, capture_output=True, text=True)
    figures: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
    table(
        f"a dropped file ({ROWS} rows, {size / 1e6:.0f} MB; {BATCH} asked about at once)",
        ("", "here", "goal", "of these processor time"),
        [
            ("taken in, s", f"{figures['file_index_s']:.1f}", "<= 60", f"{figures['file_index_cpu_s']:.1f}"),
            ("most memory, MB", f"{figures['file_index_mb']:.0f}", "<= 500", ""),
            ("index on the disk, MB", f"{figures['file_disk_mb']:.0f}", "", ""),
            ("ids/s", f"{figures['file_ids_per_s']:.0f}", ">= 200000", f"{figures['file_client_us']:.2f} µs an id"),
        ],
    )
    return figures


def _most_mb() -> float:
    """Most memory of this process since it began its program; getrusage would count its parent's from before that."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


async def _measured(folder: Path) -> Figures:
    from adapters.build import build
    from adapters.contract import Lookup, Subjects
    from adapters.manifest import load_manifest

    began, used = time.perf_counter(), time.process_time()
    adapter = build(load_manifest(folder / "manifest.yaml"), folder / "state")
    await adapter.check()
    index_s, index_cpu_s = time.perf_counter() - began, time.process_time() - used
    index_mb = _most_mb()
    times: list[tuple[float, float]] = []
    people = max(1, ROWS * 4 // 5)
    for number in range(WARM_UP_ROUNDS + ROUNDS):
        random = np.random.default_rng(number)
        serials = random.choice(people * 5 // 4, min(BATCH, people), replace=False)
        asked = Subjects(numbers(serials).to_list(), ["张伟"] * len(serials))
        began, used = time.perf_counter(), time.process_time()
        found = await adapter.lookup(Lookup(asked, deadline_s=60))
        spent = time.perf_counter() - began, time.process_time() - used
        if len(found.holders.subject) != int((serials < people).sum()) or len(found.evidence) < len(
            found.holders.subject
        ):
            raise AssertionError("not everybody who is in the file was found")
        if number >= WARM_UP_ROUNDS:
            times.append(spent)
    await adapter.close()
    disk = sum(path.stat().st_size for path in (folder / "state").rglob("*") if path.is_file())
    return {
        "file_index_s": index_s,
        "file_index_cpu_s": index_cpu_s,
        "file_index_mb": index_mb,
        "file_disk_mb": disk / 1e6,
        "file_ids_per_s": BATCH / statistics.median(wall for wall, _ in times),
        "file_client_us": statistics.median(cpu for _, cpu in times) / BATCH * 1e6,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_measured(Path(sys.argv[1])))))
