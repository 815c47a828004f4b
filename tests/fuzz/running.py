"""Making malformed inputs from sound ones, and running them."""

from __future__ import annotations

import random
import resource
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.fuzz.targets import ALLOWED, NAMES, ROWS, Fuzzed
from tests.fuzz.workbooks import Workbooks, members

PIECES = (
    *(b"", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\x84\x31\x95\x33", b"\r", b"\n\n", b'"', b"'", b",", b"\t", b";"),
    *(b"{", b"}", b"[", b"]", b":", b"- ", b"&a", b"*a", b"!!python/object", b"null", b"NaN", b"1e400", b"-0"),
    *(
        b"<",
        b"</",
        b"/>",
        b"<!--",
        b"<![CDATA[",
        b"]]>",
        b"<!DOCTYPE a [<!ENTITY b 'c'>]>",
        b"&b;",
        b"&#0;",
        b"&#x110000;",
    ),
    *(b"9" * 30, b"9" * 5000, b"<a>" * 70, b"[" * 2000, b"xmlns:a=''", b"%", b"$ids"),
    *(b"\\ud800", b"\xf0\xa0\xae\xb7", b"\xed\xa0\x80", b"\xe2\x80\xae"),
    *(b"0000-00-00", b"99991231", b"2026-02-30", b"T25:61"),
)
SHARES = {
    "xml": 200,
    "json": 200,
    "csv": 90,
    "columns": 40,
    "jsonl": 70,
    "fixed": 50,
    "xlsx": 150,
    "manifest": 180,
    "sample": 20,
}
"""Of a thousand inputs."""


class Ran(NamedTuple):
    """What came of it: inputs by target, crashes (target, number, error), the slowest in seconds of processor
    time, peak memory, and how often a workbook asked for more memory than its reading process has."""

    inputs: dict[str, int]
    crashes: list[tuple[str, int, str]]
    slowest_s: float
    slowest: str
    peak_mib: int
    ended_by_bounds: int


def malformed(random_: random.Random, seeds: Sequence[bytes]) -> bytes:
    """One input."""
    data = bytearray(random_.choice(seeds))
    for _ in range(random_.choice((1, 1, 1, 2, 3, 5))):
        at = random_.randrange(len(data) + 1)
        to = min(len(data), at + random_.choice((0, 1, 1, 2, 8, 64, 512)))
        match random_.randrange(6):
            case 0:
                data[at:to] = random_.choice(PIECES)
            case 1:
                data[at:at] = random_.choice(PIECES)
            case 2:
                del data[at:to]
            case 3:
                data[at:at] = data[at:to] * random_.choice((1, 2, 50))
            case 4:
                data[at:to] = random_.randbytes(to - at)
            case _:
                other = random_.choice(seeds)
                data[at:] = other[random_.randrange(len(other) + 1) :]
    return bytes(data)


def run(folder: Path, inputs: int, seed: int) -> Ran:
    """Run so many inputs."""
    random_ = random.Random(seed)
    fuzzed = Fuzzed(folder, Path(__file__).resolve().parents[2] / "adapters" / "departments")
    workbooks = Workbooks(members(NAMES, ROWS))
    names, weights = list(SHARES), list(SHARES.values())
    counted = dict.fromkeys(names, 0)
    crashes: list[tuple[str, int, str]] = []
    slowest, which = 0.0, ""
    for number in range(inputs):
        (name,) = random_.choices(names, weights)
        if name == "xlsx":
            data = workbooks.make(random_, malformed)
        else:
            target, seeds = fuzzed.targets[name]
            data = malformed(random_, seeds)
        counted[name] += 1
        began, there = time.process_time(), 0.0
        try:
            if name == "xlsx":
                there = workbooks.read(data)
            else:
                target(data)
        except ALLOWED:
            pass
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            crashes.append((name, number, f"{type(error).__name__}: {error}"))
            (folder / f"crash-{name}-{number}").write_bytes(data)
        took = time.process_time() - began + there
        if took > slowest:
            slowest, which = took, f"{name} {number}"
    workbooks.close()
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) // 1024
    return Ran(counted, crashes, round(slowest, 3), which, peak, workbooks.ended)
