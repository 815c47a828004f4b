"""Asking a department's database about ten thousand people at once, against the same join typed by hand in ADBC.

The adapter is built from a manifest, as for any department: it reads every record set, compares whose each row is, and
maps codes, dates and places to evidence. By hand, the same columns of the same tables are read for the same people into
Arrow, in the three ways that come to mind, and nothing is done with them. All take turns on one PostgreSQL server; a
figure is the median over the rounds.

The same adapter is asked a third time where a department runs it: another process serves the manifest over mutual TLS
(`wugan adapter serve`), and is asked from here as a gateway asks, with every check of its answers.

Figures: `table_ratio` (ids a second of ours over those of the quickest by hand; goal at least 0.7), `table_ids_per_s`,
`table_client_us` and `hand_client_us`, processor time of this process for one id; `remote_ratio` (time of a lookup by
the remote adapter over that of the one in this process; goal at most 1.5) and `remote_client_us`.

A dropped file of five million rows is taken in and asked about (`bench/files.py`): `file_index_s`, `file_index_mb`,
`file_ids_per_s`.

In the end adapters come and go in a gateway that answers (`bench/cycles.py`): `cycles_failed`, goal 0.

`BENCH_PEOPLE=100000` makes the database smaller.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from adapters.build import build
from adapters.contract import Adapter, Lookup, Subjects
from adapters.manifest import load_manifest
from bench import cycles, files
from bench.databases import DEPARTMENTS, ByHand, Databases, databases, people
from bench.department import department
from bench.report import Figures, table

PEOPLE = int(os.environ.get("BENCH_PEOPLE", "1000000"))
BATCH = 10_000
ROUNDS = 21
WARM_UP_ROUNDS = 2

_DEPARTMENT = DEPARTMENTS[0]


def main() -> Figures:
    """Run, print a table, return the figures."""
    with (
        databases(PEOPLE, datetime.now(UTC).date(), (_DEPARTMENT,)) as server,
        tempfile.TemporaryDirectory() as scratch,
    ):
        figures = asyncio.run(_measure(server, Path(scratch)))
    return {**figures, **files.measure(), **cycles.measure()}


async def _measure(server: Databases, scratch: Path) -> Figures:
    path = scratch / "manifest.yaml"
    path.touch(mode=0o600)
    path.write_text(server.manifest(_DEPARTMENT), encoding="utf-8")
    adapter = build(load_manifest(path), scratch)
    hand = ByHand(server.reader, (_DEPARTMENT,))
    async with department(path, scratch) as remote:
        figures = await _turns(adapter, remote, hand)
    await adapter.close()
    hand.close()
    return figures


async def _turns(adapter: Adapter, remote: Adapter, hand: ByHand) -> Figures:
    known = people(PEOPLE)
    ways: dict[str, Callable[[list[str]], list[pl.DataFrame]]] = {
        "array": hand.array,
        "literal": hand.literal,
        "temporary table": hand.temporary,
    }
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ("ours", "remote", *ways)}
    for number in range(WARM_UP_ROUNDS + ROUNDS):
        chosen = known[np.random.default_rng(number).choice(PEOPLE, BATCH, replace=False)]
        numbers, names = chosen["id"].to_list(), chosen["name"].to_list()
        began, used = time.perf_counter(), time.process_time()
        found = await adapter.lookup(Lookup(Subjects(numbers, names), deadline_s=60))
        spent = {"ours": (time.perf_counter() - began, time.process_time() - used)}
        began, used = time.perf_counter(), time.process_time()
        apart = await remote.lookup(Lookup(Subjects(numbers, names), deadline_s=60))
        spent["remote"] = (time.perf_counter() - began, time.process_time() - used)
        if len(apart.evidence) != len(found.evidence) or len(apart.holders.subject) != BATCH:
            raise AssertionError("the remote adapter does not bring what the one in this process brings")
        rows = 0
        for name, way in ways.items():
            began, used = time.perf_counter(), time.process_time()
            read = way(numbers)
            spent[name] = (time.perf_counter() - began, time.process_time() - used)
            rows = len(read[1].filter(pl.col("vali_flag") == "1")) + len(read[2])
        if len(found.evidence) != rows or len(found.holders.subject) != BATCH:
            raise AssertionError("ours does not bring what the joins by hand bring")
        if number >= WARM_UP_ROUNDS:
            for name, times in spent.items():
                taken[name].append(times)
    wall = {name: statistics.median(each for each, _ in times) for name, times in taken.items()}
    client = {name: statistics.median(each for _, each in times) / BATCH * 1e6 for name, times in taken.items()}
    quickest = min(ways, key=lambda name: wall[name])
    figures = {
        "table_ratio": statistics.median(
            hand_s / ours_s for (ours_s, _), (hand_s, _) in zip(taken["ours"], taken[quickest], strict=True)
        ),
        "table_ids_per_s": BATCH / wall["ours"],
        "table_client_us": client["ours"],
        "hand_client_us": client[quickest],
        "remote_ratio": statistics.median(
            remote_s / ours_s for (remote_s, _), (ours_s, _) in zip(taken["remote"], taken["ours"], strict=True)
        ),
        "remote_client_us": client["remote"],
    }
    goals = {
        "ours": (f"{figures['table_ratio']:.2f}", ">= 0.7"),
        "remote": (f"{figures['remote_ratio']:.2f}", "<= 1.5"),
    }
    table(
        f"adapters ({PEOPLE} people, {BATCH} asked about at once)",
        ("", "µs an id", "of these processor time here", "ids/s", "ratio", "goal"),
        [
            (
                name if name in goals else f"by hand, {name}",
                f"{seconds / BATCH * 1e6:.2f}",
                f"{client[name]:.2f}",
                f"{BATCH / seconds:.0f}",
                *goals.get(name, ("", "")),
            )
            for name, seconds in wall.items()
        ],
    )
    return figures
