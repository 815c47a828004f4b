"""One register as a database, as dropped files and as rows of an interface, for proving each of our own kinds."""

from __future__ import annotations

import contextlib
import csv
import io
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from adapters.build import system_clock
from adapters.conformance import Bounds, ManifestTarget, Outcome, Person, Report, Sample, conform
from tests.unit.adapters.adapters_world import ANNA, BO, CHEN, ENDING_IN_X, day, manifest_in, number
from wugan.adapter.v1 import vocabulary_pb2 as words

COLUMNS = ("seq", "id", "who", "type", "at", "had", "area", "ref", "begins", "ends")
DING, NOBODY, FORMER, EMIL = number(4), number(5), number(6), number(7)
RARE = "㐂𠮷·买买提"
ROWS: tuple[tuple[object, ...], ...] = (
    (1, ANNA, "欧阳安娜", "H", "2026-03-02T23:30:00+00:00", "2026-03-04", "330702", "h1", "", ""),
    (2, ANNA, "欧阳安娜", "H", "2026-03-05T08:00:00+08:00", "", "330702", "h2", "", ""),
    (3, ANNA, "欧阳安娜", "K", "2020-01-01T08:00:00+08:00", "", "330100", "k1", "2020-01-01", "2020-02-01"),
    (4, ANNA, "欧阳安娜", "D", "2026-05-01T00:30:00+08:00", "2026-05-02", "330702", "d1", "", ""),
    (5, BO, RARE, "H", "2026-04-01T12:00:00+08:00", "", "330702", "h3", "", ""),
    (6, ENDING_IN_X, "夏", "H", "2026-04-02T12:00:00+08:00", "", "", "h4", "", ""),
    (7, CHEN, "", "H", "2026-04-03T12:00:00+08:00", "", "330702", "h5", "", ""),
    (8, DING, "丁", "-", "2026-04-03T12:00:00+08:00", "", "330702", "x1", "", ""),
    (9, EMIL, "艾", "H", "2026-04-04T12:00:00+08:00", "", "330702", "h6", "", ""),
    (10, EMIL, "艾", "?", "2026-04-30T12:00:00+08:00", "", "330702", "d2", "", ""),
)
PAIRS = ((DING, FORMER),)
SAMPLE = Sample(
    (
        Person(ANNA, "欧阳安娜", 2, words.EVIDENCE_KIND_HOTEL_STAY, day("2026-03-03")),
        Person(BO, RARE.replace("·", "．"), 3),
        Person(ENDING_IN_X, "夏", 4),
        Person(CHEN, "", 5),
        Person(DING, "丁", 6),
    ),
    (Person(NOBODY, "无", 7),),
    (Person(EMIL, "艾", 8),),
)
BOUNDS = Bounds(people=400, grace_s=30)
TEXT = """\
manifest: 1
adapter_id: register
version: "1"
department: PUBLIC_SECURITY
regions: [330000]
max_batch: 400
timeout_s: 30
identity: {column: id, name: who, forms: [lower_x]}
"""
RECORDS = """\
    evidence: {column: type, codes: {H: HOTEL_STAY, D: HOUSEHOLD_CANCELLED_DEATH, K: DETAINED, "-": ignore}}
    observed_on: {column: at, formats: [iso]}
    available_on: {column: had, formats: [iso]}
    region: {column: area}
    strength: REAL_NAME
    source_reference: ref
    from_on: {column: begins, formats: [iso]}
    until_on: {column: ends, formats: [iso]}
"""
Stir = Callable[[], Awaitable[Sequence[str]]]


def another(seq: int) -> tuple[object, ...]:
    """A new row of somebody."""
    return (seq, BO, RARE, "H", "2026-06-01T12:00:00+08:00", "", "330702", f"n{seq}", "", "")


def table(folder: Path, url: str = "sqlite:///register.db") -> tuple[str, Stir]:
    """The manifest over a database, and a way to change it."""
    path = folder / "register.db"
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute(f"CREATE TABLE stays ({', '.join(COLUMNS)})")
        db.executemany(f"INSERT INTO stays VALUES ({', '.join('?' * len(COLUMNS))})", ROWS)
        db.execute("CREATE INDEX by_id ON stays (id)")
        db.execute("CREATE TABLE pairs (old, new)")
        db.executemany("INSERT INTO pairs VALUES (?, ?)", PAIRS)
    made = len(ROWS)

    async def stir() -> Sequence[str]:
        nonlocal made
        made += 1
        with contextlib.closing(sqlite3.connect(path)) as db, db:
            db.execute(f"INSERT INTO stays VALUES ({', '.join('?' * len(COLUMNS))})", another(made))
        return [BO]

    return table_text(url), stir


def table_text(url: str) -> str:
    changes = "    changes: {column: seq, key: ref, overlap: 2}\n"
    links = "links: {table: pairs, identity: {column: old}, linked: new}\n"
    source = f'kind: table\nsource: {{url: "{url}"}}\n'
    return TEXT + source + links + "records:\n  - name: stays\n    table: stays\n" + RECORDS + changes


def file(folder: Path) -> tuple[str, Stir]:
    """The manifest over dropped files, and a way to drop another."""
    drop = folder / "drop"
    drop.mkdir()
    made = len(ROWS)

    def write(name: str, header: Sequence[str], rows: Sequence[Sequence[object]], encoding: str = "gb18030") -> None:
        text = io.StringIO()
        csv.writer(text).writerows([header, *rows])
        (drop / f".{name}").write_bytes(text.getvalue().encode(encoding))
        (drop / f".{name}").rename(drop / name)

    write("stays_000.csv", COLUMNS, ROWS)
    write("pairs.csv", ("old", "new"), PAIRS, "utf-8-sig")

    async def stir() -> Sequence[str]:
        nonlocal made
        made += 1
        write(f"stays_{made:03d}.csv", COLUMNS, [another(made)])
        return [BO]

    source = "kind: file\nsource: {folder: drop, settle_s: 0, scan_every_s: 0}\n"
    links = "links: {files: pairs.csv, identity: {column: old}, linked: new}\n"
    files = '    files: {pattern: "stays_*.csv", mode: increment, key: [ref], max_bad_share: 0.2}\n    changes: true\n'
    return TEXT + source + links + "records:\n  - name: stays\n" + files + RECORDS, stir


async def report_on(folder: Path, text: str, stir: Stir, bounds: Bounds = BOUNDS) -> Report:
    """What the kit says of a manifest."""
    # Files have rested by the clock of a second later.
    target = ManifestTarget(manifest_in(folder, text), folder / "state", lambda: system_clock() + 1_000)
    return await conform(target, SAMPLE, bounds=bounds, stir=stir)


def not_passed(report: Report) -> dict[str, str]:
    """Cases that did not pass, and why."""
    return {result.case.id: result.says.en for result in report.results if result.outcome is not Outcome.PASSED}
