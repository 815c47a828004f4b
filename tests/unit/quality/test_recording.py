"""From the gateway's own traffic into the store, and from there to a terminal."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from adapters.contract import Description, Found, Lookup
from gateway.aside import Aside
from gateway.cli import main
from gateway.clock import FakeClock, SystemClock
from gateway.inquiry.asking import Departments
from gateway.quality.counters import C, from_bytes
from gateway.quality.recorder import MAX_ROWS, Recorder
from gateway.store.engine import Store
from gateway.store.quality import EXAMPLES, Counted, Shown
from tests.configured import gateway_toml
from tests.unit.quality.quality_world import BOOK, CREMATION, TODAY, about, found, lookup, row
from wugan.adapter.v1 import vocabulary_pb2 as words

CIVIL = about(words.DEPARTMENT_CIVIL_AFFAIRS, CREMATION)
CLOCK = FakeClock(TODAY * 86_400_000)


class Fixed:
    """A department that always says the same."""

    def __init__(self, answer: Found) -> None:
        self.answer = answer

    def describe(self) -> Description:
        return CIVIL

    async def lookup(self, question: Lookup) -> Found:
        return self.answer

    async def check(self) -> None:
        return

    async def close(self) -> None:
        return


def recorder(store: Store, aside: Aside, sample: int = 100) -> Recorder:
    return Recorder(BOOK, store.quality, CLOCK, aside, sample=sample, every_s=3600, differ_days=15)


async def test_what_departments_answer_is_counted_and_added_up(tmp_path: Path) -> None:
    aside = Aside()
    departments = Departments([Fixed(found(CIVIL, [row(0, CREMATION, TODAY - 9, TODAY - 10)]))], BOOK.names_match)
    async with Store.open(tmp_path / "gateway.db", key=bytes(32), clock=CLOCK) as store:
        recording = recorder(store, aside)
        departments.noted = recording.note
        for _ in range(3):
            await departments.ask(lookup(2))
        await recording.flush()
        await departments.ask(lookup(2))
        await recording.flush()
        await recording.flush()
        rows = await store.quality.read(202611, 202611)
        source, item = (from_bytes(one.counts) for one in rows)
        assert [source[place] for place in (C.LOOKUPS, C.ASKED, C.KNOWN)] == [4, 8, 4]
        assert [item[place] for place in (C.ROWS, C.INVALID)] == [4, 4]
        examples = await store.quality.examples(202611)
        assert [one.defect for one in examples] == [C.BEFORE_EVENT], "the same row is one example"
    aside.close()


async def test_what_goes_beyond_the_sample_is_passed_over(tmp_path: Path) -> None:
    aside = Aside()
    async with Store.open(tmp_path / "gateway.db", key=bytes(32), clock=CLOCK) as store:
        recording = recorder(store, aside, sample=2)
        answer = found(CIVIL, [row(0, CREMATION, TODAY - 9)])
        for _ in range(5):
            recording.note(lookup(1), [CIVIL], [answer])
        await recording.flush()
        large = found(CIVIL, [row(0, CREMATION, TODAY - 9)] * (MAX_ROWS + 1))
        recording.note(lookup(1), [CIVIL], [large])
        recording.note(lookup(1), [CIVIL], [answer])
        await recording.flush()
        rows = await store.quality.read(0, 999999)
        assert [int(from_bytes(one.counts)[C.ROWS]) for one in rows if one.kind] == [3]
    aside.close()


async def test_a_store_that_fails_harms_no_question(tmp_path: Path) -> None:
    aside = Aside()
    store = Store.open(tmp_path / "gateway.db", key=bytes(32), clock=CLOCK)
    recording = recorder(store, aside)
    recording.note(lookup(1), [CIVIL], [found(CIVIL, [row(0, CREMATION, TODAY - 9)])])
    await store.close()
    await recording.flush()
    recording.note(lookup(1), [CIVIL], [found(CIVIL, [])])
    await recording.flush()
    aside.close()


async def test_a_running_recorder_writes_what_is_left_when_it_ends(tmp_path: Path) -> None:
    aside = Aside()
    async with Store.open(tmp_path / "gateway.db", key=bytes(32), clock=CLOCK) as store:
        recording = recorder(store, aside)
        running = asyncio.create_task(recording.run())
        await asyncio.sleep(0)
        recording.note(lookup(1), [CIVIL], [found(CIVIL, [row(0, CREMATION, TODAY - 9)])])
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert len(await store.quality.read(0, 999999)) == 2
    aside.close()


async def test_the_store_adds_keeps_a_few_examples_and_lets_old_months_go(tmp_path: Path) -> None:
    def one(month: int, *numbers: int) -> Counted:
        return Counted(month, "a", 2, CREMATION, 330700, b"".join(number.to_bytes(8, "little") for number in numbers))

    async with Store.open(tmp_path / "gateway.db", key=bytes(32), clock=CLOCK) as store:
        await store.quality.add([one(202401, 1), one(202611, 1, 2), one(202611, 10)], [])
        await store.quality.add([one(202612, 5)], [Shown(202612, "a", 0, 0, 20, f"example {at}") for at in range(9)])
        assert [(row.month, row.counts) for row in await store.quality.read(202401, 202611)] == [
            (202401, (1).to_bytes(8, "little")),
            (202611, (11).to_bytes(8, "little") + (2).to_bytes(8, "little")),
        ]
        assert len(await store.quality.examples(202612)) == EXAMPLES
        await store.quality.add([one(202702, 1)], [])
        assert [row.month for row in await store.quality.read(0, 999999)] == [202611, 202612, 202702]


# commands


def last(ran: Result) -> Any:
    """The JSON of a command; what stands before it is the log, which here nobody set up."""
    return json.loads(ran.stdout.splitlines()[-1])


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A gateway whose departments answered badly this month, and a file of its department's."""
    monkeypatch.setenv("WUGAN_LANG", "zh")
    monkeypatch.setattr("gateway.log.configure", lambda *_: None)
    path = tmp_path / "gateway.toml"
    path.write_text(gateway_toml(), "utf-8")
    clock = SystemClock()

    async def fill() -> None:
        aside = Aside()
        async with Store.open(
            tmp_path / "state" / "gateway.db", key=tmp_path / "state" / "store.key", clock=clock
        ) as store:
            recording = Recorder(BOOK, store.quality, clock, aside, sample=100, every_s=3600, differ_days=15)
            for at in range(40):
                recording.note(lookup(1), [CIVIL], [found(CIVIL, [row(0, CREMATION, 20_000 + at, 19_000)])])
            await recording.flush()
        aside.close()

    asyncio.run(fill())
    return path


def test_a_month_is_shown_judged_and_reported(config: Path, tmp_path: Path) -> None:
    run = CliRunner().invoke
    told = run(main, ["quality", "show", "--config", str(config)])
    assert told.exit_code == 0, told.output
    assert "火化" in told.output
    findings = run(main, ["quality", "findings", "--config", str(config), "--strict"])
    assert findings.exit_code == 1
    assert "[严重] civil_affairs · 火化: 日期或区划不合理 40/40" in findings.output
    out = tmp_path / "report.html"
    page = ["quality", "report", "--config", str(config), "--department", "CIVIL_AFFAIRS", "--out", str(out)]
    assert run(main, page).exit_code == 0
    assert "民政" in out.read_text("utf-8")
    listed = run(main, ["quality", "findings", "--config", str(config), "--department", "BANKS", "--json"])
    assert last(listed) == []
    earlier = run(main, ["quality", "show", "--config", str(config), "--month", "2001-01", "--json"])
    assert last(earlier)["items"] == []


@pytest.mark.parametrize("wrong", [["show", "--month", "2026-13"], ["sample"], ["sample", "--keep"]], ids=str)
def test_wrong_usage_is_told(config: Path, wrong: list[str]) -> None:
    more = ["--config", str(config)] if wrong[0] == "show" else []
    assert CliRunner().invoke(main, ["quality", *wrong, *more]).exit_code == 2


def test_without_a_database_nothing_is_shown_and_none_is_made(config: Path, tmp_path: Path) -> None:
    (tmp_path / "state" / "gateway.db").unlink()
    assert CliRunner().invoke(main, ["quality", "show", "--config", str(config)]).exit_code == 3
    assert not (tmp_path / "state" / "gateway.db").exists()


def test_a_source_is_sampled_by_its_own_numbers(config: Path, tmp_path: Path) -> None:
    from tests.unit.quality.quality_world import number

    drop = tmp_path / "drop"
    drop.mkdir()
    lines = [f"{number(at)},R{at:08d},2026-0{at % 9 + 1}-01,2026-0{at % 9 + 1}-{5 + at % 20:02d}" for at in range(60)]
    (drop / "a.csv").write_text(
        "\n".join(["id,ref,day,there", *lines, "12345,R1,2026-01-01,2026-01-02", f"{number(1)},R2,never,"]) + "\n",
        "utf-8",
    )
    manifest = tmp_path / "m.yaml"
    manifest.write_text(
        "manifest: 1\nadapter_id: burials\nversion: '1'\ndepartment: CIVIL_AFFAIRS\nregions: [330700]\nkind: file\n"
        "source: {folder: drop, settle_s: 0}\nidentity: {column: id}\nrecords:\n"
        "  - {name: b, files: '*.csv', evidence: BURIAL, observed_on: day, available_on: there, strength: REAL_NAME,\n"
        "     source_reference: ref, freshness_days: 10}\n",
        "utf-8",
    )
    config.write_text(gateway_toml().replace("[server]", f'inquiry.adapters = ["{manifest}"]\n[server]'), "utf-8")
    run = CliRunner().invoke(main, ["quality", "sample", str(manifest), "--json"])
    assert run.exit_code == 0, run.output
    told = last(run)
    (item,) = told["items"]
    assert (item["kind"], item["rows"]) == ("burial", 59), (
        "but for whose row could not be used: he is not answered about"
    )
    assert {one["finding"] for one in told["findings"]} == {"ILL_FORMED", "LATE", "REJECTED"}
    kept = CliRunner().invoke(main, ["quality", "sample", "--config", str(config), "--keep"])
    assert kept.exit_code == 0, kept.output
    shown = CliRunner().invoke(main, ["quality", "show", "--config", str(config), "--department", "burials", "--json"])
    assert [one["kind"] for one in last(shown)["items"]] == ["burial"]
