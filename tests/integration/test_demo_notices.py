"""From what a clerk enters into a demo department's own system to a notice in the province that pays, and back.

The departments are the demo's: an interface over HTTP, a database, dropped workbooks, each behind the adapter of the
manifest it comes with. The two gateways' parts that make notices are joined as in `notices_world`.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, cast

import aiohttp
import openpyxl
import pytest

from adapters.build import build
from adapters.contract import ChangeFeed
from adapters.manifest import load_manifest
from gateway.demo.calendar import to_date
from gateway.demo.processes import start, stop, wait_ready
from gateway.demo.systems import SystemsConfig, materialise, write_manifests
from gateway.demo.truth import Recipient
from gateway.demo.world import World as DemoWorld
from gateway.demo.world import build_world
from tests.unit.notices.notices_world import World, findings_of, world
from tests.unit.rules.rules_world import TODAY, civil
from tests.unit.services.gateways_world import ANHUI, ZHEJIANG
from wugan.federation.v1 import vocabulary_pb2 as words

pytestmark = pytest.mark.integration

AS_OF = civil(TODAY)
FOLLOWED = ("public-security", "civil-affairs", "courts", "justice")
LIVING = {words.SURVIVAL_STATUS_ALIVE_STRONG, words.SURVIVAL_STATUS_ALIVE_MEDIUM, words.SURVIVAL_STATUS_ALIVE_WEAK}
IMPRISONED, PAROLED = words.ENTITLEMENT_FLAG_IMPRISONED, words.ENTITLEMENT_FLAG_PAROLED


@dataclass
class Province:
    """One province's departments, and the hands of those who work there."""

    world: DemoWorld
    config: SystemsConfig
    endpoints: dict[str, str]
    manifests: dict[str, Path]
    ahead_ms: int = 0

    def __post_init__(self) -> None:
        plain = (each for each in self.world.recipients() if each.case == "active" and each.lives_in == ANHUI)
        self._living = iter(list({each.id_number: each for each in plain}.values()))

    def now_ms(self) -> int:
        """The adapters' clock: files are looked for every half minute."""
        return int(time.time() * 1000) + self.ahead_ms

    def file(self, *parts: str) -> Path:
        return self.config.folder.joinpath(*parts)

    def living(self) -> Recipient:
        """Somebody who lives here and of whom there is nothing to tell; each time another."""
        return next(self._living)

    def enter(self, *path: str, sql: str, values: Sequence[object] = ()) -> None:
        """Write into a department's database, as its own program does."""
        with contextlib.closing(sqlite3.connect(self.file(*path))) as database, database:
            database.execute(sql, values)

    def export(self, pattern: str, change: Callable[[Any], object]) -> None:
        """Write the courts' workbook anew after something was changed in it."""
        (path,) = self.file("courts", "drop").glob(pattern)
        book = openpyxl.load_workbook(path)
        change(book["明细"])
        fresh = path.with_name(f".{path.name}.part")
        book.save(fresh)
        fresh.replace(path)
        self.ahead_ms += 60_000


@pytest.fixture(scope="module")
def province(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Province]:
    folder = tmp_path_factory.mktemp("province")
    made = build_world(seed=9, provinces=[ZHEJIANG, ANHUI], people=300, as_of_on=AS_OF)
    config = materialise(made, ANHUI, folder / "systems", postgres=False)
    process = start("departments", ("gateway.demo.systems", "--config", str(config.path)), folder / "log")
    try:
        endpoints = wait_ready([(process, config.ready_file)])[0]
        manifests = {path.stem: path for path in write_manifests(made.province(ANHUI), config, endpoints)}
        yield Province(made, config, endpoints, manifests)
    finally:
        stop([process])


@pytest.fixture
async def joined(province: Province, tmp_path: Path) -> AsyncIterator[World]:
    built = [build(load_manifest(path), tmp_path / "adapters", province.now_ms) for path in province.manifests.values()]
    try:
        async with world(tmp_path / "sites", *cast("list[Any]", built), ask_s=30.0) as w:
            yield w
    finally:
        await asyncio.gather(*(adapter.close() for adapter in built))


def day(days_ago: int) -> date:
    return to_date(AS_OF) - timedelta(days=days_ago)


async def subscribed(w: World, province: Province) -> Recipient:
    somebody = province.living()
    await w.subscribe(somebody.id_number, name=somebody.name)
    return somebody


async def newest(w: World, told_before: int) -> tuple[int, set[int], int]:
    """Status, flags and what is taken back of the one notice that came; whoever changed is told once."""
    await w.settle()
    told = await w.told()
    assert len(told) == told_before + 1
    found = findings_of(told[-1])
    flags = {number for number in words.EntitlementFlag.values() if number and found.flags[0] >> number & 1}
    return found.status[0], flags, told[-1].kept.retracts_from


async def test_the_departments_whose_records_alarm_say_that_they_tell_of_changes(joined: World) -> None:
    assert {source.about.adapter_id for source in joined.departments.feeds} == set(FOLLOWED)


async def test_a_cancellation_at_public_security_is_told_and_taken_back(joined: World, province: Province) -> None:
    somebody = await subscribed(joined, province)
    police = ("public-security", "gazk.db")
    row = ("BD9999999999", somebody.id_number, somebody.name, "11", f"{day(0):%Y%m%d}", f"{day(0):%Y%m%d}090000")
    entered = "INSERT INTO hkbd VALUES (?, ?, ?, ?, ?, ?, '340100', '', '', '')"
    province.enter(*police, sql=entered, values=row)
    status, _, _ = await newest(joined, 0)
    assert status == words.SURVIVAL_STATUS_DECEASED
    province.enter(*police, sql="DELETE FROM hkbd WHERE bh = ?", values=row[:1])
    status, _, taken_back = await newest(joined, 1)
    assert status in LIVING
    assert taken_back == 1


async def test_a_correction_of_whose_cancellation_it_is_tells_both(joined: World, province: Province) -> None:
    """The wrong person was cancelled: the number in the row is corrected."""
    first, second = await subscribed(joined, province), await subscribed(joined, province)
    police = ("public-security", "gazk.db")
    row = ("BD9999999998", first.id_number, first.name, "11", f"{day(0):%Y%m%d}", f"{day(0):%Y%m%d}090000")
    province.enter(*police, sql="INSERT INTO hkbd VALUES (?, ?, ?, ?, ?, ?, '340100', '', '', '')", values=row)
    await newest(joined, 0)
    corrected = "UPDATE hkbd SET sfzh = ?, xm = ? WHERE bh = ?"
    province.enter(*police, sql=corrected, values=(second.id_number, second.name, row[0]))
    await joined.settle()
    told = await joined.told()
    assert {(each.id_number, findings_of(each).status[0] in LIVING) for each in told[1:]} == {
        (first.id_number, True),
        (second.id_number, False),
    }
    province.enter(*police, sql="DELETE FROM hkbd WHERE bh = ?", values=row[:1])


async def test_a_sentence_in_the_courts_workbook_is_told(joined: World, province: Province) -> None:
    somebody = await subscribed(joined, province)
    dates = day(20), "有期徒刑", day(20), day(-700)
    row = ["（2026）刑初99999号", somebody.name, somebody.id_number, *dates, 340100, day(1)]
    province.export("刑事判决_*.xlsx", lambda sheet: sheet.append(row))
    _, flags, _ = await newest(joined, 0)
    assert flags == {IMPRISONED}
    province.export("刑事判决_*.xlsx", lambda sheet: sheet.delete_rows(sheet.max_row))
    _, flags, _ = await newest(joined, 1)
    assert not flags


async def test_a_declaration_of_death_and_its_revocation_are_told(joined: World, province: Province) -> None:
    somebody = await subscribed(joined, province)
    for at, (matter, days_ago) in enumerate((("宣告死亡", 0), ("撤销死亡宣告", 0))):
        row = [f"（2026）民特9999{at}号", somebody.name, somebody.id_number, day(days_ago), matter, 340100, day(0)]
        province.export("特别程序_*.xlsx", lambda sheet, row=row: sheet.append(row))  # type: ignore[misc]
        status, _, taken_back = await newest(joined, at)
        assert (status in LIVING, taken_back) == (at == 1, at)


async def test_prison_and_parole_are_told_and_a_cancelled_row_is_too(joined: World, province: Province) -> None:
    somebody = await subscribed(joined, province)
    prison = ("justice", "jygl.db")

    def enter(reference: str, code: str, days_ago: int, from_on: str) -> None:
        dates = f"{day(days_ago):%Y.%m.%d}", from_on, f"{day(-700):%Y.%m.%d}", f"{day(0):%Y.%m.%d}"
        province.enter(
            *prison,
            sql="INSERT INTO zf_bdqk (lsh, zjhm, xm, bdlb, bdrq, qr, zr, cjrq) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            values=(reference, somebody.id_number, somebody.name, code, *dates),
        )

    enter("JY99999", "SJ", 100, f"{day(100):%Y.%m.%d}")
    assert (await newest(joined, 0))[1] == {IMPRISONED}
    enter("JY99998", "JS", 2, f"{day(2):%Y.%m.%d}")
    assert (await newest(joined, 1))[1] == {PAROLED}
    province.enter(*prison, sql="UPDATE zf_bdqk SET zfbz = '1' WHERE lsh = 'JY99998'")
    assert (await newest(joined, 2))[1] == {IMPRISONED}


async def test_the_departments_tell_of_everybody_page_by_page_and_of_nobody_from_before(
    joined: World, province: Province
) -> None:
    """What the demo began with is no news, and no page leaves anybody out."""
    feeds = {each.about.adapter_id: cast("ChangeFeed", each.adapter) for each in joined.departments.feeds}
    cursors = {name: (await feeds[name].changes(b"", 2)).cursor for name in ("public-security", "justice")}
    people = sorted({province.living().id_number for _ in range(5)})
    for place, number in enumerate(people):
        province.enter(
            "public-security",
            "gazk.db",
            sql="INSERT INTO hmbg VALUES (?, ?, ?, '某', '20260526')",
            values=(f"HM9{place}", number, people[place - 1]),
        )
        province.enter(
            "justice",
            "jygl.db",
            sql="INSERT INTO zf_bdqk (lsh, zjhm, xm, bdlb, zfbz) VALUES (?, ?, '某', 'SF', '1')",
            values=(f"JY8{place}", number),
        )
    for name, cursor in cursors.items():
        told: set[str] = set()
        at, more = cursor, True
        while more:
            changed = await feeds[name].changes(at, 2)
            told |= set(changed.id_number)
            at, more = changed.cursor, changed.more
        assert sorted(told) == people, name
    province.enter("public-security", "gazk.db", sql="DELETE FROM hmbg WHERE bh LIKE 'HM9%'")


@pytest.mark.parametrize("body", [{"xh": -1}, {"xh": "x"}, {}, {"xh": 0, "pageSize": 100_000}, {"xh": None}])
async def test_the_journal_is_told_from_a_place_in_it_only(province: Province, body: dict[str, object]) -> None:
    credential = province.file("secrets", "public-security").read_text("utf-8")
    url = province.endpoints["public-security"] + "/rkgl/v1/bdqd"
    async with aiohttp.ClientSession(headers={"X-Api-Key": credential}) as session:
        async with session.post(url, json=body) as answer:
            assert (await answer.json())["code"] == "91"
        async with session.post(url, json={"xh": 0}, headers={"X-Api-Key": "guess"}) as answer:
            assert (await answer.json())["code"] == "90"
