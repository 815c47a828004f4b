"""The kind `file`: drop folder, encodings, snapshots and increments, bad rows, and what stands on the disk."""

from __future__ import annotations

import asyncio
import codecs
import csv
import io
import os
import sqlite3
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.asked import normal
from adapters.build import build
from adapters.contract import Adapter, Holding
from adapters.errors import ManifestError, SourceDownError, SourceFaultError
from tests.unit.adapters.adapters_world import (
    ANNA,
    BO,
    CHEN,
    ENDING_IN_X,
    NOW_MS,
    ask,
    day,
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
identity: {column: 身份证号码, name: 姓名}
timeout_s: 20
records:
  - name: sentences
    files: {pattern: "xs_*", MODE}
    evidence: {column: 刑种, codes: {有期徒刑: SENTENCE, 减刑: COMMUTATION}}
    observed_on: {column: 生效日期, formats: ["%Y%m%d", iso]}
    strength: REAL_NAME
    source_reference: 案号
    only: {column: 状态, except_values: [撤销]}
"""
HEADER = ["身份证号码", "姓名", "刑种", "生效日期", "案号", "状态"]
SNAPSHOT, INCREMENT, KEYED = "mode: snapshot", "mode: increment", "mode: increment, key: [案号]"


def line(
    person: str, case: str = "（2026）1号", at: str = "20260301", kind: str = "有期徒刑", state: str = ""
) -> list[str]:
    return [person, "欧阳·某", kind, at, case, state]


class Drop:
    """The department's side: drops files, and moves the clock past their settling."""

    def __init__(self, folder: Path) -> None:
        self.root = folder
        self.folder = folder / "drop"
        self.folder.mkdir()
        self.now_ms = NOW_MS * 2  # files of today have rested for long

    def clock(self) -> int:
        self.now_ms += 1
        return self.now_ms

    def write(self, name: str, data: bytes) -> Path:
        path = self.folder / name
        hidden = self.folder / f".{name}.tmp"
        hidden.write_bytes(data)
        hidden.rename(path)
        return path

    def csv(self, name: str, *lines: Sequence[str], encoding: str = "utf-8", header: Sequence[str] = HEADER) -> Path:
        text = io.StringIO()
        csv.writer(text).writerows([header, *lines])
        return self.write(name, text.getvalue().encode(encoding))

    def adapter(self, mode: str = SNAPSHOT, old: str = "", new: str = "") -> Adapter:
        text = TEXT.replace("MODE", mode)
        assert old in text
        return build(manifest_in(self.root, text.replace(old, new) if old else text), self.root / "state", self.clock)

    def quarantined(self) -> list[list[str]]:
        found: list[list[str]] = []
        for path in sorted((self.root / "state" / "courts" / "quarantine").glob("*.csv")):
            assert path.stat().st_mode & 0o777 == 0o600
            found += list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines()))[1:]
        return found


@pytest.fixture
def drop(tmp_path: Path) -> Drop:
    return Drop(tmp_path)


@pytest.fixture
async def adapter(drop: Drop) -> AsyncIterator[Adapter]:
    """Over snapshots."""
    built = drop.adapter()
    yield built
    await built.close()


async def refreshed(adapter: Adapter, *people: str) -> list[tuple[int, str, str, str]]:
    """Evidence after the folder was looked at."""
    await adapter.check()
    return rows(await adapter.lookup(ask(*people)))


async def test_before_the_first_file_there_is_no_answer(drop: Drop, adapter: Adapter) -> None:
    with pytest.raises(SourceDownError, match="sentences"):
        await adapter.lookup(ask(ANNA))
    drop.csv("xs_1.csv")
    assert await refreshed(adapter, ANNA) == [], "a file without rows says that there are none"


async def test_the_first_lookup_waits_for_the_first_files(drop: Drop) -> None:
    drop.csv("xs_1.csv", line(ANNA))
    built = drop.adapter()
    assert len(rows(await built.lookup(ask(ANNA, BO)))) == 1
    await built.close()


async def test_nothing_is_wrong_with_files_that_nobody_looked_for_yet(drop: Drop) -> None:
    built = drop.adapter()
    assert isinstance(built, Holding)
    assert built.trouble is None
    with pytest.raises(SourceDownError):
        await built.check()
    assert built.trouble is not None
    await built.close()


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (b"", "utf-8"),
        (codecs.BOM_UTF8, "utf-8"),
        (b"", "gb18030"),
        (b"\x84\x31\x95\x33", "gb18030"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ],
)
async def test_encodings_are_told_apart(drop: Drop, adapter: Adapter, mark: bytes, encoding: str) -> None:
    rare = ["龘㐂𠮷", "𬱖", "买买提·吐尔逊"]
    text = (
        ",".join(HEADER)
        + "\r\n"
        + "".join(f"{number(i)},{name},有期徒刑,20260301,案{i},\r\n" for i, name in enumerate(rare))
    )
    drop.write("xs_1.csv", mark + text.encode(encoding))
    await adapter.check()
    answer = await adapter.lookup(ask(*(number(i) for i in range(len(rare)))))
    assert [name for _, _, name in holders(answer)] == rare
    assert rows(answer)[1] == (1, "SENTENCE", "2026-03-01", "案1")


async def test_a_workbook_with_dates_and_a_number_that_lost_its_digits(drop: Drop) -> None:
    import datetime as dt

    book = openpyxl.Workbook()
    book.active.title = "other"
    sheet = book.create_sheet("名单")
    sheet.append(["某省高级人民法院"])
    sheet.append(HEADER)
    sheet.append([ANNA, "安娜", "有期徒刑", dt.date(2026, 3, 1), "1", None])
    sheet.append([BO, "博", "有期徒刑", dt.datetime(2026, 3, 2, 23, 59), 2, None])  # noqa: DTZ001  as workbooks hold it
    sheet.append([int(CHEN.replace("X", "0")), "陈", "有期徒刑", dt.date(2026, 3, 3), "3", None])
    book.save(drop.folder / "xs_1.xlsx")
    built = drop.adapter(SNAPSHOT + ", sheet: 名单, header_row: 2, max_bad_share: 0.5")
    assert [row[2:] for row in await refreshed(built, ANNA, BO, CHEN)] == [("2026-03-01", "1"), ("2026-03-02", "2")]
    assert [(row[0], "as a number" in row[1]) for row in drop.quarantined()] == [("5", True)]
    await built.close()


async def test_a_later_snapshot_replaces_everything(drop: Drop, adapter: Adapter) -> None:
    drop.csv("xs_20260301.csv", line(ANNA), line(BO))
    assert len(await refreshed(adapter, ANNA, BO)) == 2
    drop.csv("xs_20260401.csv", line(BO, "2"))
    assert await refreshed(adapter, ANNA, BO) == [(1, "SENTENCE", "2026-03-01", "2")]
    drop.csv("xs_20260302.csv", line(CHEN))
    assert await refreshed(adapter, CHEN) == [], "a file of an earlier name is no news"
    (drop.folder / "xs_20260401.csv").unlink()
    assert len(await refreshed(adapter, BO)) == 1, "taking a file away takes nothing back"


async def test_increments_add_up_and_a_key_corrects(drop: Drop) -> None:
    built = drop.adapter(KEYED)
    drop.csv("xs_1.csv", line(ANNA, "案1"), line(BO, "案2"))
    drop.csv("xs_3.csv", line(ANNA, "案1", "20260303"), line(ANNA, "案3", kind="减刑"))
    assert [row[1:] for row in await refreshed(built, ANNA)] == [
        ("COMMUTATION", "2026-03-01", "案3"),
        ("SENTENCE", "2026-03-03", "案1"),
    ]
    drop.csv("xs_2.csv", line(ANNA, "案1", "20260302"), line(BO, "案2", state="撤销"))
    assert [row[2:] for row in await refreshed(built, ANNA, BO)] == [("2026-03-01", "案3"), ("2026-03-03", "案1")], (
        "a late file corrects earlier names, not later ones; a row that counts no longer is gone"
    )
    await built.close()


async def test_what_a_file_takes_back_stays_so_when_one_of_an_earlier_name_comes_late(drop: Drop) -> None:
    built = drop.adapter(KEYED)
    drop.csv("xs_2.csv", line(ANNA, "案1", state="撤销"), line(BO, "案2"))
    assert [row[0] for row in await refreshed(built, ANNA, BO)] == [1]
    drop.csv("xs_1.csv", line(ANNA, "案1"), line(BO, "案2"))
    assert [row[0] for row in await refreshed(built, ANNA, BO)] == [1]
    drop.csv("xs_3.csv", line(ANNA, "案1", "20260303"))
    assert [row[2] for row in await refreshed(built, ANNA)] == ["2026-03-03"], "a later name may bring it again"
    await built.close()


async def test_the_last_line_about_a_key_counts_within_a_file(drop: Drop) -> None:
    built = drop.adapter(KEYED)
    drop.csv("xs_1.csv", line(ANNA, "案1"))
    drop.csv("xs_2.csv", line(ANNA, "案1", state="撤销"), line(ANNA, "案1", "20260302"))
    assert [row[2] for row in await refreshed(built, ANNA)] == ["2026-03-02"]
    drop.csv("xs_3.csv", line(ANNA, "案1", "20260303"), line(ANNA, "案1", state="撤销"))
    assert await refreshed(built, ANNA) == []
    await built.close()


async def test_links_are_corrected_and_taken_back_by_their_key(drop: Drop) -> None:
    more = (
        "timeout_s: 20\nlinks: {files: {pattern: 'lk_*', mode: increment, key: [no]}, identity: {column: old},"
        " linked: new, only: {column: state, values: ['1']}}"
    )
    built = drop.adapter(KEYED, "timeout_s: 20", more)
    header = ["no", "old", "new", "state"]
    drop.csv("xs_1.csv", line(ANNA))
    drop.csv("lk_1.csv", ["a", CHEN, number(5), "0"], ["b", ANNA, BO, "1"], ["c", CHEN, number(6), "1"], header=header)

    async def linked() -> list[str]:
        await built.check()
        found = await built.lookup(ask(ANNA, BO, CHEN))
        return list(found.links.id_number)

    assert await linked() == [BO, ANNA, number(6)]
    drop.csv("lk_2.csv", ["b", ANNA, number(7), "1"], ["c", CHEN, number(6), "0"], header=header)
    assert await linked() == [number(7)], "from the other number, too, nothing of the old pair is left"
    await built.close()


async def test_a_file_that_changed_under_its_name_replaces_its_own_rows(drop: Drop) -> None:
    built = drop.adapter(INCREMENT)
    drop.csv("xs_1.csv", line(ANNA, "a"), line(ANNA, "b"))
    drop.csv("xs_2.csv", line(ANNA, "c"))
    assert [row[3] for row in await refreshed(built, ANNA)] == ["a", "b", "c"]
    drop.csv("xs_1.csv", line(ANNA, "d"))
    assert [row[3] for row in await refreshed(built, ANNA)] == ["c", "d"]
    await built.close()


async def test_half_written_files_are_left_alone(drop: Drop) -> None:
    built = drop.adapter(SNAPSHOT, "settle_s: 0", "settle_s: 60")
    path = drop.csv("xs_1.csv", line(ANNA))
    for name in ("xs_9.csv.tmp", "xs_9.csv.part", ".xs_9.csv", "~$xs_9.xlsx"):
        (drop.folder / name).write_text("half")
    (drop.folder / "xs_8.csv").mkdir()
    (drop.folder / "xs_7.csv").symlink_to(path)
    written_ms = path.stat().st_ctime_ns // 1_000_000
    os.utime(path, (0, 0))  # a copy that keeps old times
    drop.now_ms = written_ms + 30_000
    with pytest.raises(SourceDownError):
        await built.check()
    drop.now_ms = written_ms + 120_000
    assert len(await refreshed(built, ANNA)) == 1
    await built.close()


async def test_bad_rows_are_quarantined_with_number_and_reason(drop: Drop, adapter: Adapter) -> None:
    lines = [line(number(i), f"案{i}") for i in range(10, 200)]
    lines[3][3] = "20261301"
    lines[5][2] = "新刑种"
    lines[7] = lines[7][:4]
    lines[9][0] = ""
    lines[11][4] = f"案 {lines[11][0]}"
    drop.csv("xs_1.csv", *lines)
    await adapter.check()
    assert [(row[0], row[1].split(":")[0]) for row in sorted(drop.quarantined(), key=lambda row: int(row[0]))] == [
        ("5", "observed_on"),
        ("7", "evidence"),
        ("9", "wrong number of cells / 列数不符"),
        ("11", "no identity number / 缺少身份号码"),
        ("13", "source_reference"),
    ]
    with pytest.raises(SourceFaultError, match="observed_on"):
        await adapter.lookup(ask(number(13), number(14)))
    answer = await adapter.lookup(ask(number(14), number(9)))
    assert holders(answer) == [(0, number(14), "欧阳·某")]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "column named"),
        ("身份证号码,姓名\r\n".encode(), "column named: .*刑种"),
        ((",".join([*HEADER, "姓名"]) + "\r\n").encode(), "column named: '姓名'"),
        ((",".join(HEADER) + "\r\n" + "x,y\r\n" * 20).encode(), "bad rows"),
        ((",".join(HEADER) + f'\r\n{ANNA},"open,有期徒刑,20260301,1,\r\n' * 3).encode(), "unbalanced quotes"),
        ((",".join(HEADER) + "\r\n" + f'{ANNA},"' + "x" * 200_000 + "\r\n").encode(), "not proper CSV"),
        (b"\x00\xff\x00\xff" * 100, "column named"),
        (b"PK\x03\x04 not a zip", "column named"),
    ],
)
async def test_a_file_that_is_wrong_as_a_whole_is_rejected(
    drop: Drop, adapter: Adapter, data: bytes, says: str
) -> None:
    drop.csv("xs_1.csv", line(ANNA))
    assert len(await refreshed(adapter, ANNA)) == 1
    drop.write("xs_2.csv", data)
    with pytest.raises(SourceFaultError, match=says):
        await adapter.check()
    answer = await adapter.lookup(ask(ANNA))
    assert len(rows(answer)) == 1, "the snapshot before stays in force"
    (drop.folder / "xs_2.csv").unlink()
    await adapter.check()


async def test_a_broken_workbook_is_rejected(drop: Drop, adapter: Adapter) -> None:
    drop.write("xs_1.xlsx", b"PK\x03\x04 not a zip")
    with pytest.raises(SourceDownError, match="not a workbook"):
        await adapter.check()


async def test_a_rejected_increment_leaves_a_hole_and_so_no_answer(drop: Drop) -> None:
    built = drop.adapter(INCREMENT)
    drop.csv("xs_1.csv", line(ANNA))
    drop.write("xs_2.csv", b"nonsense")
    with pytest.raises(SourceFaultError, match=r"xs_2\.csv"):
        await built.check()
    with pytest.raises(SourceFaultError, match=r"xs_2\.csv"):
        await built.lookup(ask(ANNA))
    drop.csv("xs_2.csv", line(ANNA, "2"))
    assert len(await refreshed(built, ANNA)) == 2
    await built.close()


async def test_damaged_utf8_is_not_taken_for_another_encoding(drop: Drop, adapter: Adapter) -> None:
    lines = "".join(f"{number(i)},欧阳某某,有期徒刑,20260301,案{i},\r\n" for i in range(100))
    data = (",".join(HEADER) + "\r\n" + lines).encode()
    at = data.rindex("阳".encode())
    drop.write("xs_1.csv", data[:at] + b"\xff\xfe" + data[at + 3 :])
    await adapter.check()
    assert [row[0] for row in drop.quarantined()] == ["101"]
    assert holders(await adapter.lookup(ask(number(0)))) == [(0, number(0), "欧阳某某")]


async def test_lookups_read_the_index_and_survive_a_restart(drop: Drop) -> None:
    path = drop.csv("xs_1.csv", line(ANNA), line(ENDING_IN_X.lower(), "2"))
    built = drop.adapter()
    await built.check()
    await built.close()
    path.chmod(0)
    path.rename(drop.root / "elsewhere")
    built = drop.adapter()
    answer = await built.lookup(ask(ANNA, ENDING_IN_X, *[number(i) for i in range(300, 400)]))
    assert [row[3] for row in rows(answer)] == ["（2026）1号", "2"]
    await built.close()


async def test_nobody_can_be_read_from_the_state_folder(drop: Drop, adapter: Adapter) -> None:
    drop.csv("xs_1.csv", line(ANNA))
    await adapter.check()
    state = drop.root / "state" / "courts"
    stored = b"".join(path.read_bytes() for path in state.rglob("*") if path.is_file())
    for secret in (ANNA, ANNA[:14], "欧阳", "某"):
        assert secret.encode() not in stored
        assert secret.encode("utf-16-le") not in stored
    assert {path.name: path.stat().st_mode & 0o777 for path in state.iterdir() if path.name != "quarantine"} == {
        "index.db": 0o600,
        "index.db-wal": 0o600,
        "index.db-shm": 0o600,
        "index.key": 0o600,
    }
    assert state.stat().st_mode & 0o777 == 0o700


async def test_without_its_keys_the_index_is_built_anew(drop: Drop) -> None:
    drop.csv("xs_1.csv", line(ANNA))
    built = drop.adapter()
    await built.check()
    await built.close()
    (drop.root / "state" / "courts" / "index.key").unlink()
    built = drop.adapter()
    assert len(await refreshed(built, ANNA)) == 1
    await built.close()


async def test_a_changed_manifest_reads_its_files_anew(drop: Drop) -> None:
    drop.csv("xs_1.csv", line(ANNA))
    built = drop.adapter()
    await built.check()
    await built.close()
    built = drop.adapter(SNAPSHOT, "有期徒刑: SENTENCE", "有期徒刑: PAROLE")
    assert [row[1] for row in await refreshed(built, ANNA)] == ["PAROLE"]
    await built.close()


async def test_a_damaged_index_is_an_error_of_the_adapter(drop: Drop) -> None:
    state = drop.root / "state" / "courts"
    state.mkdir(parents=True)
    (state / "index.db").write_bytes(b"nonsense" * 1000)
    with pytest.raises(ManifestError, match="index"):
        drop.adapter()


async def test_rows_moved_to_another_person_do_not_open(drop: Drop, adapter: Adapter) -> None:
    drop.csv("xs_1.csv", line(ANNA), line(BO, "2"))
    await adapter.check()
    with sqlite3.connect(drop.root / "state" / "courts" / "index.db") as db:
        people = [row[0] for row in db.execute("SELECT person FROM rows")]
        db.execute("UPDATE rows SET person = ? WHERE person = ?", people)
    db.close()
    with pytest.raises(SourceDownError, match="index"):
        await adapter.lookup(ask(ANNA, BO))


async def test_a_missing_folder_is_down_and_an_unreachable_one_makes_completeness_unknown(drop: Drop) -> None:
    lag = "timeout_s: 20\ncomplete_until: {lag_days: 1}"
    built = drop.adapter(SNAPSHOT, "timeout_s: 20", lag)
    drop.csv("xs_1.csv", line(ANNA))
    await built.check()
    assert (await built.lookup(ask(ANNA))).complete_until_on > 0
    drop.folder.rename(drop.root / "gone")
    with pytest.raises(SourceDownError, match="folder"):
        await built.check()
    answer = await built.lookup(ask(ANNA))
    assert len(rows(answer)) == 1
    assert answer.complete_until_on == 0
    await built.close()


async def test_completeness_and_links_come_from_files(drop: Drop) -> None:
    more = (
        "timeout_s: 20\ncomplete_until: {date: {column: 生效日期, formats: ['%Y%m%d']}, of: sentences}\n"
        "links: {files: 'lk_*', identity: {column: old}, linked: new, since: {column: at}}"
    )
    built = drop.adapter(KEYED, "timeout_s: 20", more)
    drop.csv("xs_1.csv", line(ANNA), line(ANNA, "2", "20260401"))
    drop.csv("lk_1.csv", [BO, ANNA, "2020-01-01"], [CHEN, number(5), ""], header=["old", "new", "at"])
    await built.check()
    answer = await built.lookup(ask(ANNA, BO, CHEN))
    assert answer.complete_until_on == day("2026-04-01")
    assert list(answer.links.id_number) == [BO, ANNA, number(5)]
    assert answer.links.since_on.tolist() == [day("2020-01-01")] * 2 + [0]
    await built.close()


async def test_a_file_is_read_once_for_each_version(
    drop: Drop, adapter: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    from adapters import intake

    opened: list[str] = []
    real = intake.Table

    def counting(path: Path, *rest: object) -> object:
        opened.append(path.name)
        return real(path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(intake, "Table", counting)
    drop.csv("xs_1.csv", line(ANNA))
    for _ in range(3):
        await refreshed(adapter, ANNA)
    assert opened == ["xs_1.csv"]
    drop.csv("xs_1.csv", line(ANNA, "2"))
    await refreshed(adapter, ANNA)
    assert opened == ["xs_1.csv"] * 2


async def test_many_lookups_while_files_come_see_whole_files_only(drop: Drop) -> None:
    built = drop.adapter()
    people = [number(i) for i in range(100, 400)]
    drop.csv("xs_0.csv", *[line(person, "0") for person in people])
    await built.check()
    for version in range(1, 4):
        drop.csv(f"xs_{version}.csv", *[line(person, str(version)) for person in people])
        looking = asyncio.ensure_future(built.check())
        while True:
            seen = {row[3] for row in rows(await built.lookup(ask(*people)))}
            assert len(seen) == 1, f"rows of several snapshots at once: {seen}"
            if looking.done():
                break
        await looking
    await built.close()


_table = st.lists(st.lists(st.text(max_size=12), max_size=8), max_size=8)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=400), _table), st.booleans(), st.sampled_from(["utf-8", "gb18030", "utf-16"]))
def test_any_file_is_taken_quarantined_or_rejected_but_never_crashes(
    tmp_path_factory: pytest.TempPathFactory, content: bytes | list[list[str]], headed: bool, encoding: str
) -> None:
    drop = Drop(tmp_path_factory.mktemp("any"))
    start = (",".join(HEADER) + "\r\n").encode(encoding) if headed else b""
    if isinstance(content, list):
        text = io.StringIO()
        csv.writer(text).writerows(content)
        content = text.getvalue().encode(encoding, "replace")
    drop.write("xs_1.csv", start + content)

    async def run() -> None:
        built = drop.adapter()
        try:
            await built.check()
            await built.lookup(ask(ANNA))
        except (SourceDownError, SourceFaultError):
            pass
        finally:
            await built.close()

    asyncio.run(run())


@pytest.mark.parametrize("count", [29, 30, 31, 899, 901, 1_900])
async def test_many_people_are_found_by_set(drop: Drop, adapter: Adapter, count: int) -> None:
    numbers = [normal(f"3307025001{1 + serial // 900:02d}{serial % 900:03d}") for serial in range(count)]
    drop.csv(
        "xs_1.csv",
        *[line(each, f"R{at}") for at, each in enumerate(numbers) if at % 3],
        line(normal("330702510101001"), "other"),
    )
    await adapter.check()
    answer = await adapter.lookup(ask(*numbers))
    told = sorted((row, reference) for row, _, _, reference in rows(answer))
    assert told == [(at, f"R{at}") for at in range(count) if at % 3]
    assert len(holders(answer)) == len(told)


@pytest.mark.parametrize(
    "lacking", [("刑种", "evidence.column"), ("状态", "only.column"), ("身份证号码", "identity.column")]
)
async def test_a_file_without_a_column_is_rejected_by_its_name_and_what_wants_it(
    drop: Drop, lacking: tuple[str, str]
) -> None:
    column, setting = lacking
    built = drop.adapter(SNAPSHOT)
    at = HEADER.index(column)
    cells = line(ANNA)
    drop.csv("xs_1.csv", cells[:at] + cells[at + 1 :], header=HEADER[:at] + HEADER[at + 1 :])
    with pytest.raises(SourceDownError):
        await built.check()
    (told,) = drop.quarantined()
    assert f"not exactly one column named: {column!r} (wanted by {setting})" in str(told)
    assert f"下列列缺失或重复：{column!r}（清单 {setting} 所用）" in str(told)
    assert ANNA not in str(told)
    await built.close()


async def test_the_key_of_an_increment_is_named_as_such(drop: Drop) -> None:
    built = drop.adapter("mode: increment, key: [流水号, 案号]")
    drop.csv("xs_1.csv", line(ANNA))
    with pytest.raises(SourceDownError):
        await built.check()
    assert "'流水号' (wanted by files.key)" in str(drop.quarantined())
    await built.close()
