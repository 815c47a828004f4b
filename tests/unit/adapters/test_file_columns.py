"""Large files go into the index by columns: the same answers as row by row, whatever is in them."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters import blocks, intake_columns
from adapters.build import build
from adapters.contract import Adapter, Lookup, Subjects
from adapters.errors import SourceDownError, SourceFaultError
from adapters.segments import COLUMNS, Segment, SegmentBrokenError, SegmentWriter
from adapters.tags import Tags
from tests.unit.adapters.adapters_world import (
    ANNA,
    BO,
    CHEN,
    ENDING_IN_X,
    NOW_MS,
    ask,
    holders,
    manifest_in,
    number,
    rows,
)

TEXT = """\
manifest: 1
adapter_id: courts
version: 1
department: COURTS
regions: [330000]
kind: file
source: {folder: drop, settle_s: 0, scan_every_s: 0}
identity: {column: id, name: name}
timeout_s: 20
complete_until: {date: {column: at, formats: ["%Y%m%d", iso]}, of: sentences}
records:
  - name: sentences
    files: {pattern: "xs_*", mode: MODE, max_bad_share: 1}
    evidence: {column: kind, codes: {"1": SENTENCE, "2": COMMUTATION, "9": ignore}}
    observed_on: {column: at, formats: ["%Y%m%d", iso]}
    strength: {column: how, codes: {a: REAL_NAME}, otherwise: WEAK}
    region: {column: area, otherwise: 330000}
    detail: {column: penalty}
    from_on: {column: at, formats: ["%Y%m%d", iso]}
    source_reference: ref
    only: {column: state, except_values: [x]}
"""
HEAD = "id,name,kind,at,how,area,penalty,ref,state"
OTHERS = [number(serial) for serial in range(100, 120)]
EVERYBODY = [ANNA, BO, CHEN, ENDING_IN_X, "H1234567", *OTHERS]


class Both:
    """The same folder taken in row by row and by columns."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.drop = root / "drop"
        self.drop.mkdir()
        self.now_ms = NOW_MS * 2

    def clock(self) -> int:
        self.now_ms += 1
        return self.now_ms

    def adapter(self, state: str = "columns", mode: str = "snapshot") -> Adapter:
        return build(manifest_in(self.root, TEXT.replace("MODE", mode)), self.root / state, self.clock)

    def write(self, name: str, *lines: str, encoding: str = "utf-8") -> None:
        (self.drop / name).write_bytes("\r\n".join([HEAD, *lines, ""]).encode(encoding))

    def quarantined(self, state: str) -> list[tuple[str, str]]:
        """Row, reason and cells."""
        found: list[tuple[str, str]] = []
        for path in sorted((self.root / state / "courts" / "quarantine").glob("*.csv")):
            found += [tuple(line.split(",", 1)) for line in path.read_text("utf-8-sig").splitlines()[1:]]  # type: ignore[misc]
        return found


@pytest.fixture
def both(tmp_path: Path) -> Both:
    return Both(tmp_path)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_columns, "LARGE_BYTES", 0)
    monkeypatch.setattr(intake_columns, "LARGE_INCREMENT_BYTES", 0)
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 200)


@pytest.fixture
async def adapter(both: Both) -> AsyncIterator[Adapter]:
    built = both.adapter()
    yield built
    await built.close()


def segments(root: Path) -> list[Path]:
    return sorted((root / "columns" / "courts" / "segments").glob("*"))


async def told(adapter: Adapter) -> tuple[object, ...]:
    """All that is known of everybody, asked one by one and together but for those of whom a row could not be used."""
    one: list[object] = []
    whole = []
    for who in EVERYBODY:
        try:
            found = await adapter.lookup(ask(who))
        except SourceFaultError:
            one.append("a row of his could not be used")
            continue
        whole.append(who)
        one.append((holders(found), rows(found), found.evidence.region.tolist(), found.evidence.strength.tolist()))
    found = await adapter.lookup(Lookup(Subjects(whole, ["安娜"] * len(whole)), deadline_s=5))
    of_all = sorted(
        zip(
            *(getattr(found.evidence, name).tolist() for name in ("subject", *COLUMNS)),
            found.evidence.source_reference,
            strict=False,
        )
    )
    return one, holders(found), of_all, found.complete_until_on


PEOPLE = st.sampled_from(
    [ANNA, f" {BO} ", BO.lower(), CHEN, ENDING_IN_X.lower(), "h1234567", "", "9" * 70, CHEN[:6] + CHEN[8:17]]
)
LINES = st.tuples(
    PEOPLE,
    st.sampled_from(["安娜", " 博 ", "欧阳·某", "", "𬱖", "x" * 300, '"引,号"', "a\rb"]),
    st.sampled_from(["1", "2", "9", "7", ""]),
    st.sampled_from(["20260301", "2026-02-28", "", "20261399"]),
    st.sampled_from(["a", "b", ""]),
    st.sampled_from(["330702", "", "330702001000", "1"]),
    st.sampled_from(["1", "2", "", "99"]),
    st.sampled_from(["r1", "", "（2026）1号", ANNA, "y" * 300]),
    st.sampled_from(["", "x", "y,", "z,more"]),
).map(",".join)


@given(
    st.lists(st.one_of(LINES, LINES, LINES, st.sampled_from(["", ",,,,,,,,", "short", "�"])), max_size=25),
    st.booleans(),
)
@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_by_columns_is_as_row_by_row(tmp_path_factory: pytest.TempPathFactory, lines: list[str], chinese: bool) -> None:
    import asyncio

    both = Both(tmp_path_factory.mktemp("both"))
    both.write("xs_1.csv", *lines, encoding="gb18030" if chinese else "utf-8")

    async def run(state: str) -> object:
        adapter = both.adapter(state)
        try:
            await adapter.check()
            return await told(adapter)
        except SourceDownError as error:
            return error.en
        finally:
            await adapter.close()

    by_columns = asyncio.run(run("columns"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intake_columns, "LARGE_BYTES", 1 << 40)
        by_rows = asyncio.run(run("rows"))
    assert by_columns == by_rows
    assert sorted(both.quarantined("columns")) == sorted(both.quarantined("rows"))
    assert not (both.root / "rows" / "courts" / "segments").exists()


def line(person: str, at: str = "20260301", ref: str = "r", name: str = "安娜") -> str:
    return f"{person},{name},1,{at},a,330702,1,{ref},"


async def test_nobody_stands_in_clear_on_the_disk(both: Both, adapter: Adapter) -> None:
    both.write("xs_1.csv", *[line(who, name=f"欧阳安娜{at}") for at, who in enumerate(EVERYBODY)])
    await adapter.check()
    assert len(segments(both.root)) == 1
    for path in (both.root / "columns").rglob("*"):
        assert path.is_dir() or path.stat().st_mode & 0o077 == 0
        data = path.read_bytes() if path.is_file() else b""
        assert ANNA.encode() not in data
        assert "欧阳".encode() not in data
        assert int(ANNA[:17]).to_bytes(8, "little") not in data


async def test_a_later_snapshot_replaces_and_its_segment_alone_stays(both: Both, adapter: Adapter) -> None:
    both.write("xs_1.csv", line(ANNA), line(BO))
    await adapter.check()
    both.write("xs_2.csv", line(BO, "20260402"))
    await adapter.check()
    assert [row[2] for row in rows(await adapter.lookup(ask(ANNA, BO)))] == ["2026-04-02"]
    assert len(segments(both.root)) == 1
    (both.drop / "xs_3.csv").write_text("no columns at all")
    with pytest.raises(SourceFaultError, match="rejected"):
        await adapter.check()
    assert [row[2] for row in rows(await adapter.lookup(ask(ANNA, BO)))] == ["2026-04-02"]


async def test_increments_add_up_and_a_mended_one_replaces_itself(both: Both) -> None:
    adapter = both.adapter(mode="increment")
    both.write("xs_1.csv", line(ANNA, "20260301"))
    both.write("xs_2.csv", line(ANNA, "20260302"), line(BO, "20260302"))
    await adapter.check()
    both.write("xs_1.csv", line(ANNA, "20260225"), line(CHEN, "20260225"))
    await adapter.check()
    found = await adapter.lookup(ask(ANNA, BO, CHEN))
    assert [(row[0], row[2]) for row in rows(found)] == [
        (0, "2026-02-25"),
        (0, "2026-03-02"),
        (1, "2026-03-02"),
        (2, "2026-02-25"),
    ]
    assert len(segments(both.root)) == 2
    await adapter.close()


async def test_beyond_so_many_segments_files_go_in_row_by_row(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.intake.MAX_SEGMENTS", 2)
    adapter = both.adapter(mode="increment")
    for at, who in enumerate((ANNA, BO, CHEN)):
        both.write(f"xs_{at}.csv", line(who))
    await adapter.check()
    assert len(segments(both.root)) == 2
    assert [row[0] for row in rows(await adapter.lookup(ask(ANNA, BO, CHEN)))] == [0, 1, 2]
    await adapter.close()


async def test_it_stays_over_a_restart_and_what_is_damaged_is_read_again(both: Both, adapter: Adapter) -> None:
    both.write("xs_1.csv", line(ANNA), line(BO, name=""))
    await adapter.check()
    await adapter.close()
    before = segments(both.root)
    again = both.adapter()
    assert len(rows(await again.lookup(ask(ANNA, BO)))) == 2
    await again.close()
    assert segments(both.root) == before
    path = before[0] / "names"
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
    (before[0].parent / "left-behind").mkdir()
    mended = both.adapter()
    await mended.check()
    assert holders(await mended.lookup(ask(ANNA))) == [(0, ANNA, "安娜")]
    assert len(segments(both.root)) == 1
    assert segments(both.root) != before
    await mended.close()


async def test_a_file_that_is_rejected_leaves_no_segment(both: Both) -> None:
    both.write("xs_1.csv", line(ANNA), line(BO, at="nonsense"))
    text = TEXT.replace("MODE", "snapshot").replace("max_bad_share: 1", "max_bad_share: 0.1")
    adapter = build(manifest_in(both.root, text), both.root / "columns", both.clock)
    with pytest.raises(SourceDownError, match="1 bad rows of 2"):
        await adapter.check()
    assert segments(both.root) == []
    with sqlite3.connect(both.root / "columns" / "courts" / "index.db") as db:
        assert db.execute("SELECT COUNT(*) FROM segments").fetchone() == (0,)
    await adapter.close()


def test_tags_of_a_column_are_those_of_single_numbers() -> None:
    tags = Tags(b"secret")
    numbers = [*EVERYBODY, "", "1" * 17 + "x", "１" * 18, "123", ANNA[:17] + "0"]
    assert np.array_equal(tags.of(numbers), tags.of_column(pl.Series(numbers)))
    assert len({tuple(tag) for tag in tags.of(numbers).tolist()}) == len(set(numbers))
    assert not np.array_equal(tags.of([ANNA]), Tags(b"another").of([ANNA]))


@given(
    st.lists(
        st.tuples(
            st.integers(0, 40),
            st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
            st.integers(0, 2**31 - 1),
        ),
        max_size=200,
    ),
    st.integers(1, 50),
)
@settings(max_examples=50, deadline=None)
def test_a_segment_gives_back_what_was_added(
    tmp_path_factory: pytest.TempPathFactory, told: list[tuple[int, str, int]], step: int
) -> None:
    folder = tmp_path_factory.mktemp("segment") / "one"
    writer = SegmentWriter(folder, b"secret" * 5)
    for start in range(0, len(told), step):
        piece = told[start : start + step]
        values = np.array([value for _, _, value in piece], np.int32)
        columns = {name: values if name == "kind" else np.full(len(piece), 7, np.int32) for name in COLUMNS}
        texts = pl.Series([text for _, text, _ in piece], dtype=pl.String)
        writer.add(pl.Series([number(each) for each, _, _ in piece], dtype=pl.String), texts, columns, texts)
    writer.finish()
    segment = Segment(folder, b"secret" * 5)
    asked = [number(each) for each in range(60)]
    whose, places = segment.find(Tags(b"secret" * 5).of(asked))
    found = list(
        zip(
            whose.tolist(),
            segment.names(places),
            segment.references(places),
            segment.column("kind", places).tolist(),
            strict=True,
        )
    )
    # In the order of those asked about, and of each in the order in which they were added.
    assert found == [(who, text, text, value) for who, text, value in sorted(told, key=lambda each: each[0])]
    assert (segment.column("region", places) == 7).all()
    assert sorted(path.name for path in folder.iterdir() if path.name.startswith("aside")) == []
    with pytest.raises(SegmentBrokenError):
        Segment(folder, b"others" * 5)
