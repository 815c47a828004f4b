"""Three real gateways: one links an old number to a new one, another holds the death under the new one."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import functools
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from gateway.app import gateway
from gateway.clock import SystemClock
from gateway.config import load_gateway
from gateway.demo.founding import FoundedMember, MemberPlan, found
from tests.unit.adapters.adapters_world import number
from wugan.federation.v1 import vocabulary_pb2 as words

pytestmark = [pytest.mark.integration, pytest.mark.slow]

UNIT = "110100"
ASKING = ("111100000000212234", "北京市", "Beijing", 110000)
LINKING = ("11330000002482285J", "浙江省", "Zhejiang", 330000)
KNOWING = ("113400000029860855", "安徽省", "Anhui", 340000)
CHANGED, NEW, OTHER = number(1), number(11), number(2)
NAMES = {CHANGED: "安娜", NEW: "安娜", OTHER: "陈波"}
SETTINGS = """
[access.harvest]
odd_people = 1000000000
unknown_people = 1000000000
"""
MANIFEST = """\
manifest: 1
adapter_id: department
version: 1
department: DEPARTMENT
regions: [REGION]
kind: table
source: {url: "sqlite:///DATABASE"}
identity: {column: number, name: name}
records:
  - name: rows
    table: seen
    evidence: EVIDENCE
    observed_on: {column: at, formats: [iso]}
    strength: REAL_NAME
    source_reference: reference
"""
LINKS = """\
links:
  table: id_change
  identity: {column: old_no}
  linked: new_no
"""


@dataclass
class Provinces:
    """A asks; B links numbers and sees people, C knows of a death."""

    asking: FoundedMember
    b: FoundedMember
    c: FoundedMember

    async def wugan(self, *arguments: str) -> Any:
        """What a command says in JSON."""
        config = str(self.asking.agency_config(UNIT))
        command = [sys.executable, "-m", "gateway.cli", *arguments, "--config", config, "--json"]
        run = functools.partial(
            subprocess.run, capture_output=True, text=True, timeout=120, check=False, env={**os.environ}
        )
        done = await asyncio.to_thread(run, command)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


def department(folder: Path, region: int, seen: dict[str, dt.date], evidence: str, *, name: str, links: str) -> Path:
    """A department's table, and the manifest that reads it."""
    database = folder / f"{region}.db"
    with contextlib.closing(sqlite3.connect(database)) as made:
        made.execute("create table seen (number text, name text, at text, reference text)")
        made.execute("create table id_change (old_no text, new_no text)")
        made.execute("insert into id_change values (?, ?)", (CHANGED, NEW))
        rows = [(each, NAMES[each], on.isoformat(), "R-1") for each, on in seen.items()]
        made.executemany("insert into seen values (?, ?, ?, ?)", rows)
        made.commit()
    text = MANIFEST + links
    words_ = {"DEPARTMENT": name, "REGION": str(region), "DATABASE": str(database), "EVIDENCE": evidence}
    for word, value in words_.items():
        text = text.replace(word, value)
    manifest = folder / f"{region}.yaml"
    manifest.write_text(text, "utf-8")
    return manifest


@pytest.fixture
async def provinces(tmp_path: Path) -> Provinces:
    today = dt.datetime.now(dt.UTC).date()
    seen = {CHANGED: today - dt.timedelta(days=60), OTHER: today - dt.timedelta(days=60)}
    sees = department(tmp_path, 330000, seen, "OUTPATIENT", name="HEALTH_INSURANCE", links=LINKS)
    died = {NEW: today - dt.timedelta(days=40)}
    knows = department(tmp_path, 340000, died, "DEATH_CERTIFICATE", name="HEALTH", links="")
    plans = [
        MemberPlan(*ASKING, units=((UNIT, "test"),), manifests=()),
        MemberPlan(*LINKING, units=(), manifests=(sees,)),
        MemberPlan(*KNOWING, units=(), manifests=(knows,)),
    ]
    founding = functools.partial(found, extra=SETTINGS, log_level="ERROR")
    return Provinces(*await asyncio.to_thread(founding, tmp_path / "federation", plans, dt.datetime.now(dt.UTC)))


@contextlib.asynccontextmanager
async def running(*members: FoundedMember) -> AsyncIterator[None]:
    async with contextlib.AsyncExitStack() as stack:
        for member in members:
            await stack.enter_async_context(gateway(load_gateway(member.config), SystemClock()))
        yield


def asked_at(member: FoundedMember) -> list[int]:
    """How many people each question of the roster was about that came there."""
    database = load_gateway(member.config).state_dir / "gateway.db"
    query = (
        "select max(subjects) from audit_event where direction = 1 and case_reference like 'ROSTER-%'"
        " group by message_id order by min(sequence)"
    )
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return [subjects for (subjects,) in connection.execute(query).fetchall()]


async def test_a_roster_finds_a_death_under_a_number_that_another_province_links_as_a_check_does(
    provinces: Provinces, tmp_path: Path
) -> None:
    file = tmp_path / "roster.csv"
    rows = "".join(
        f"{each},{NAMES[each]},企业职工基本养老保险,浙江省;安徽省,3500.00,2026-10\n" for each in (CHANGED, OTHER)
    )
    file.write_text("证件号码,姓名,险种,居住地,月待遇,最近发放月份\n" + rows, "utf-8")
    person = ["--id", CHANGED, "--name", NAMES[CHANGED], "--benefit", "EMPLOYEE_PENSION", "--purpose", "CERTIFICATION"]
    case = ["--official", "test", "--basis", "社会保险法 第七十四条", "--region", "330000", "--insured", "340000"]
    async with running(provinces.asking, provinces.b, provinces.c):
        alone = await provinces.wugan("check", *person, *case)
        out = tmp_path / "results"
        run = ["roster", "run", str(file), "--out", str(out), "--tables"]
        await provinces.wugan(*run)
        people = pl.read_parquet(out / "tables" / "people.parquet")
        assert people["id_number"].to_list() == [CHANGED, OTHER]
        assert people["status"].to_list()[0] == words.SURVIVAL_STATUS_DECEASED
        assert words.SurvivalStatus.Name(people["status"][0]) == alone["status"]
        assert words.CertificationStatus.Name(people["certification"][0]) == alone["proposal"]
        assert people["status"].to_list()[1] == words.SURVIVAL_STATUS_ALIVE_MEDIUM
        assert people["partial"].to_list() == [False, False]
        assert asked_at(provinces.b) == [2]
        assert asked_at(provinces.c) == [2, 1]  # everybody, and once more whom the other province links
        await provinces.wugan(*run)
    async with running(provinces.asking, provinces.b, provinces.c):  # and after a restart
        await provinces.wugan(*run)
        assert (asked_at(provinces.b), asked_at(provinces.c)) == ([2], [2, 1])
