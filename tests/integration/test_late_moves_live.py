"""Real gateways: a province that slept says that the person moved, and the province of the destination answers too."""

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

import pytest

from gateway.app import gateway
from gateway.clock import SystemClock
from gateway.config import load_gateway
from gateway.demo.founding import FoundedMember, MemberPlan, found
from tests.unit.adapters.adapters_world import number

pytestmark = [pytest.mark.integration, pytest.mark.slow]

UNIT = "110100"
ASKING = ("111100000000212234", "北京市", "Beijing", 110000)
LEFT_BEHIND = ("11330000002482285J", "浙江省", "Zhejiang", 330000)
MOVED_TO = ("113400000029860855", "安徽省", "Anhui", 340000)
PERSON, NAME = number(1), "安娜"
SETTINGS = """
[access.harvest]
odd_people = 1000000000

[outbox]
retry_first_s = 0.1
retry_longest_s = 0.2
poll_s = 0.1
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
WAIT_S = 60


@dataclass
class Provinces:
    """A asks; B, which the person left, and C answer from one department each."""

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
        if "watch" in arguments:
            return [json.loads(line) for line in done.stdout.splitlines()]
        return json.loads(done.stdout)

    async def came(self, count: int) -> list[Any]:
        async with asyncio.timeout(WAIT_S):
            while len(told := await self.wugan("late", "watch", "--once")) < count:
                pass
        return list(told)


@contextlib.asynccontextmanager
async def running(*members: FoundedMember) -> AsyncIterator[None]:
    async with contextlib.AsyncExitStack() as stack:
        for member in members:
            await stack.enter_async_context(gateway(load_gateway(member.config), SystemClock()))
        yield


@pytest.fixture
async def provinces(tmp_path: Path) -> Provinces:
    on = (dt.datetime.now(dt.UTC) - dt.timedelta(days=20)).date()
    plans = [MemberPlan(*ASKING, units=((UNIT, "test"),), manifests=())]
    for member, department, evidence, detail in (
        (LEFT_BEHIND, "PUBLIC_SECURITY", "RESIDENCE_MOVED", "340104"),
        (MOVED_TO, "HEALTH_INSURANCE", "OUTPATIENT", ""),
    ):
        region = str(member[-1])
        database = tmp_path / f"{region}.db"
        with contextlib.closing(sqlite3.connect(database)) as made:
            made.execute("create table seen (number text, name text, at text, reference text, went text)")
            made.execute("insert into seen values (?, ?, ?, 'R-1', ?)", (PERSON, NAME, on.isoformat(), detail))
            made.commit()
        text = MANIFEST + ("    detail: {column: went}\n" if detail else "")
        words = {"DEPARTMENT": department, "REGION": region, "DATABASE": str(database), "EVIDENCE": evidence}
        for word, value in words.items():
            text = text.replace(word, value)
        manifest = tmp_path / f"{region}.yaml"
        manifest.write_text(text, "utf-8")
        plans.append(MemberPlan(*member, units=(), manifests=(manifest,)))
    founding = functools.partial(found, extra=SETTINGS, log_level="ERROR")
    return Provinces(*await asyncio.to_thread(founding, tmp_path / "federation", plans, dt.datetime.now(dt.UTC)))


async def test_a_late_answer_that_names_another_province_brings_that_provinces_answer_too(
    provinces: Provinces,
) -> None:
    person = ["--id", PERSON, "--name", NAME, "--benefit", "EMPLOYEE_PENSION", "--purpose", "CERTIFICATION"]
    case = ["--official", "test", "--basis", "社会保险法 第七十四条", "--region", "330000", "--timeout", "30"]
    async with running(provinces.asking):
        left = await provinces.wugan("check", *person, *case, "--leave", "1d")
        assert [each["member_id"] for each in left["answers"]] == [LEFT_BEHIND[0]]
        async with running(provinces.b):
            (first,) = await provinces.came(1)
        assert [each["member_id"] for each in first["answers"]] == [LEFT_BEHIND[0], MOVED_TO[0]]
        assert "ENTITLEMENT_FLAG_MOVED" in first["flags"]
        assert first["answers"][1]["followed"]
        assert first["answers"][1]["member_name_zh"] == MOVED_TO[1]
        (check,) = await provinces.wugan("late", "list", "--open")
        assert check["provinces"] == {LEFT_BEHIND[0]: "answered", MOVED_TO[0]: "open"}
    async with running(provinces.asking, provinces.c):  # and after a restart
        told = await provinces.came(2)
        whole = await provinces.wugan("late", "show", check["ticket"])
        assert await provinces.wugan("late", "list", "--open") == []
    assert len(told) == 2
    assert [(each["late"], each.get("followed", False)) for each in whole["answers"]] == [(True, False), (True, True)]
    assert {each["member_id"] for each in whole["evidence"]} == {LEFT_BEHIND[0], MOVED_TO[0]}
