"""The kind `file` and rows that cannot be used: whose row it was is not told that nothing is known about him."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from adapters import blocks, intake_columns
from adapters.contract import Adapter, Lookup, Subjects
from adapters.errors import SourceFaultError
from tests.unit.adapters.adapters_world import ANNA, BO, CHEN, ENDING_IN_X, ask, holders, number, rows
from tests.unit.adapters.test_file_adapter import HEADER, INCREMENT, KEYED, SNAPSHOT, Drop, line, refreshed

SKIP = ("    source_reference: 案号\n", "    source_reference: 案号\n    bad_rows: skip\n")
MANY = [line(number(serial), f"案{serial}") for serial in range(100, 160)]
UNDATED = line(ANNA, at="20261399")


@pytest.fixture(params=["small", "large"])
def size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """By rows into the database, or by columns into a segment."""
    monkeypatch.setattr(intake_columns, "LARGE_BYTES", 0 if request.param == "large" else 1 << 30)
    monkeypatch.setattr(intake_columns, "LARGE_INCREMENT_BYTES", 0 if request.param == "large" else 1 << 30)
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 900)
    return str(request.param)


async def refused(adapter: Adapter, *people: str) -> str:
    with pytest.raises(SourceFaultError) as caught:
        await adapter.lookup(ask(*people))
    assert not any(each in f"{caught.value.en}{caught.value.zh}" for each in people)
    return caught.value.en


@pytest.mark.parametrize("mode", [SNAPSHOT, INCREMENT])
async def test_whose_row_cannot_be_mapped_is_not_answered_about(tmp_path: Path, size: str, mode: str) -> None:
    drop = Drop(tmp_path)
    built = drop.adapter(mode)
    drop.csv("xs_1.csv", *MANY, UNDATED)
    await built.check()
    assert (drop.root / "state" / "courts" / "segments").is_dir() == (size == "large")
    assert "observed_on: does not read as a date" in await refused(built, ANNA)
    assert "'sentences'" in await refused(built, number(100), ANNA)
    many = [number(serial) for serial in range(100, 160)]
    await refused(built, *many, ANNA)
    assert len(rows(await built.lookup(ask(*many, BO)))) == 60, "all others are answered about"
    await built.close()
    built = drop.adapter(mode)
    await refused(built, ANNA)  # after a restart as well
    await built.close()


async def test_others_are_answered_about_where_that_is_wanted(
    tmp_path: Path, size: str, capsys: pytest.CaptureFixture[str]
) -> None:
    drop = Drop(tmp_path)
    built = drop.adapter(f"{SNAPSHOT}, max_bad_share: 0.5")
    drop.csv("xs_1.csv", *MANY, UNDATED, line(BO), line(BO, "2", at="x"))
    await built.check()
    many = [number(serial) for serial in range(100, 160)]
    capsys.readouterr()
    for people in ([ANNA, CHEN, BO, many[0], ANNA], [ANNA, CHEN, BO, *many, ANNA]):
        found = await built.lookup(ask(*people, takes_unreadable=True))
        assert found.unreadable.tolist() == [0, 2, len(people) - 1], "of a row that reads nothing is told, too"
        assert len(rows(found)) == len(people) - 4
        assert {0, 2, len(people) - 1}.isdisjoint(found.holders.subject.tolist())
        said = capsys.readouterr().out
        assert "rows unreadable" in said
        assert "people=2" in said
        assert "observed_on: does not read as a date" in said
        assert not any(each in said for each in people)
    alias = Lookup(Subjects([CHEN, many[0]], ["某"] * 2, [0], [ANNA]), takes_unreadable=True)
    assert (await built.lookup(alias)).unreadable.tolist() == [0]
    assert (await built.lookup(ask(CHEN, *many, takes_unreadable=True))).unreadable.tolist() == []
    await built.close()


async def test_where_bad_rows_are_skipped_they_are_only_counted(tmp_path: Path, size: str) -> None:
    drop = Drop(tmp_path)
    built = drop.adapter(SNAPSHOT, *SKIP)
    drop.csv("xs_1.csv", *MANY, UNDATED)
    await built.check()
    assert holders(await built.lookup(ask(ANNA))) == []
    assert len(drop.quarantined()) == 1
    await built.close()
    built = drop.adapter(SNAPSHOT)
    await built.check()
    await refused(built, ANNA)  # the manifest changed its mind: the file was read again
    await built.close()


async def test_a_trace_that_cannot_be_mapped_takes_no_department_from_everybody(tmp_path: Path, size: str) -> None:
    drop = Drop(tmp_path)
    traces = "evidence: {column: 刑种, codes: {有期徒刑: RAIL_TRAVEL, 减刑: AIR_TRAVEL}}"
    built = drop.adapter(SNAPSHOT, "evidence: {column: 刑种, codes: {有期徒刑: SENTENCE, 减刑: COMMUTATION}}", traces)
    drop.csv("xs_1.csv", *MANY, UNDATED)
    await built.check()
    assert holders(await built.lookup(ask(ANNA))) == []
    assert len(rows(await built.lookup(ask(number(100), ANNA)))) == 1
    assert len(drop.quarantined()) == 1
    await built.close()


async def test_a_row_with_too_many_cells_is_of_everybody_whose_number_it_holds(tmp_path: Path, size: str) -> None:
    drop = Drop(tmp_path)
    built = drop.adapter(f"{SNAPSHOT}, max_bad_share: 0.1")
    drop.csv("xs_1.csv", *MANY, ["乱", *line(ANNA, state="备注")], line(BO)[:4], ["x", "y"], ["", "某"])
    await built.check()
    assert "wrong number of cells" in await refused(built, ANNA)
    await refused(built, BO)
    assert len(drop.quarantined()) == 4
    assert holders(await built.lookup(ask(CHEN))) == []
    await built.close()


async def test_a_mended_file_is_answered_from_again(tmp_path: Path, size: str) -> None:
    drop = Drop(tmp_path)
    built = drop.adapter(INCREMENT)
    drop.csv("xs_1.csv", *MANY, UNDATED)
    await built.check()
    await refused(built, ANNA)
    drop.csv("xs_2.csv", line(ANNA, "2"))
    await built.check()
    await refused(built, ANNA)  # what the row said is still not known
    drop.csv("xs_1.csv", *MANY, line(ANNA))
    assert [row[3] for row in await refreshed(built, ANNA)] == ["2", "（2026）1号"]
    await built.close()


async def test_the_next_snapshot_settles_it(tmp_path: Path, size: str) -> None:
    drop = Drop(tmp_path)
    built = drop.adapter(SNAPSHOT)
    drop.csv("xs_1.csv", *MANY, UNDATED)
    await built.check()
    await refused(built, ANNA)
    drop.csv("xs_2.csv", *MANY)
    assert await refreshed(built, ANNA) == []
    drop.csv("xs_3.csv", *MANY, *[line(ANNA, at="x")] * 30)
    with pytest.raises(SourceFaultError, match="30 bad rows"):
        await built.check()
    assert rows(await built.lookup(ask(ANNA))) == [], "a rejected file says nothing"
    await built.close()


async def test_of_rows_with_the_same_key_the_last_counts_good_or_bad(tmp_path: Path) -> None:
    drop = Drop(tmp_path)
    built = drop.adapter(f"{KEYED}, max_bad_share: 1")
    bad, good = line(ANNA, at="x"), line(ANNA)
    drop.csv("xs_2.csv", bad, good)
    assert len(await refreshed(built, ANNA)) == 1
    drop.csv("xs_3.csv", good, bad)
    await built.check()
    await refused(built, ANNA)
    drop.csv("xs_1.csv", good)
    await built.check()
    await refused(built, ANNA)  # an older file that comes late mends nothing
    drop.csv("xs_4.csv", line(BO, "另案", at="x"), good)
    assert len(await refreshed(built, ANNA)) == 1
    await refused(built, BO)
    drop.csv("xs_3b.csv", bad)
    assert len(await refreshed(built, ANNA)) == 1, "nor does it spoil what a later one mended"
    drop.csv("xs_5.csv", line(BO, "另案", state="撤销"))
    assert await refreshed(built, BO) == [], "taken back: it counts no longer, whatever it said"
    await built.close()


async def test_a_row_without_a_number_can_be_told_of_nobody(tmp_path: Path, size: str) -> None:
    drop = Drop(tmp_path)
    built = drop.adapter(SNAPSHOT)
    drop.csv("xs_1.csv", *MANY, line("", at="x"), line("3.30703E+17", at="x"))
    await built.check()
    assert len(drop.quarantined()) == 2
    assert len(rows(await built.lookup(ask(number(100))))) == 1
    await built.close()


async def test_nobody_can_be_read_from_what_was_put_aside(tmp_path: Path) -> None:
    drop = Drop(tmp_path)
    built = drop.adapter(SNAPSHOT)
    drop.csv("xs_1.csv", *MANY, UNDATED)
    await built.check()
    state = drop.root / "state" / "courts"
    stored = b"".join(path.read_bytes() for path in state.glob("index*"))
    assert ANNA.encode() not in stored
    assert ANNA[:14].encode() not in stored
    await built.close()


@pytest.mark.parametrize("there", [True, False])
async def test_what_an_earlier_version_took_in_is_read_again(tmp_path: Path, there: bool) -> None:
    drop = Drop(tmp_path)
    built = drop.adapter(INCREMENT)
    path = drop.csv("xs_1.csv", *MANY, UNDATED)
    await built.check()
    await built.close()
    with sqlite3.connect(drop.root / "state" / "courts" / "index.db") as connection:
        connection.execute("DROP TABLE aside")
    connection.close()
    if not there:
        path.unlink()
    built = drop.adapter(INCREMENT)
    assert len(await refreshed(built, number(100))) == 1, "a file that went away brings no trouble"
    if there:
        await refused(built, ANNA)
    await built.close()


async def test_the_check_tries_a_row_that_was_used(tmp_path: Path) -> None:
    drop = Drop(tmp_path)
    built = drop.adapter(SNAPSHOT)
    drop.csv("xs_1.csv", UNDATED, *MANY)
    await built.check()
    assert await built.any_number() == number(100)  # type: ignore[attr-defined]
    await built.close()


@pytest.mark.parametrize("mode", ["jsonl", "fixed"])
async def test_a_line_that_cannot_be_cut_into_cells_is_of_everybody_whose_number_it_holds(
    tmp_path: Path, mode: str
) -> None:
    drop = Drop(tmp_path)
    many = [line(number(serial), str(serial)) for serial in range(100, 140)]
    if mode == "jsonl":
        told = [json.dumps(dict(zip(HEADER, cells, strict=True)), ensure_ascii=False) for cells in many]
        told.append(json.dumps({"身份证号码": ANNA, "姓名": ["甲", "乙"]}, ensure_ascii=False))
        told.append(f'{{"身份证号码": "{ENDING_IN_X.lower()}", "姓名": ')
        settings = f"{SNAPSHOT}, format: jsonl, max_bad_share: 0.1"
    else:
        widths = [18, 6, 12, 8, 3, 1]
        told = ["".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) for cells in many]
        told += [f"{person}{'20260301' * 3}" for person in (ANNA, ENDING_IN_X)]
        columns = ", ".join(f"{{column: {name}, width: {width}}}" for name, width in zip(HEADER, widths, strict=True))
        layout = f"{{unit: characters, columns: [{columns}]}}"
        settings = f"{SNAPSHOT}, format: fixed, layout: {layout}, max_bad_share: 0.1"
    drop.write("xs_1", ("\n".join(told) + "\n").encode())
    built = drop.adapter(settings)
    await built.check()
    assert len(drop.quarantined()) == 2
    await refused(built, ANNA)
    await refused(built, ENDING_IN_X)
    assert len(rows(await built.lookup(ask(BO, *(cells[0] for cells in many))))) == 40
    await built.close()
