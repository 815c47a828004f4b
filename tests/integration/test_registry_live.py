"""A running gateway whose departments come, change and go, by the commands an administrator uses; nobody notices."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from federation_world import Member, SmallWorld, question_about
from test_two_provinces import answer_to, living_in_second

from gateway.cli.adapter import adapter
from tests.unit.registry.registry_world import manifest
from wugan.federation.v1 import vocabulary_pb2 as words

pytestmark = pytest.mark.integration


def wugan(member: Member, *arguments: str, by: str = "") -> Any:
    """What a command tells, as JSON; in a thread of its own, for it has an event loop of its own."""
    signed = ["--why", "test", "--as", by, "--key", str(member.folder / "people" / f"{by}.pem")] if by else []
    config = ["--config", str(member.folder / "gateway.toml")]
    ran = CliRunner().invoke(adapter, [*arguments, *config, *signed, "--json"])
    assert ran.exit_code == 0, ran.output
    return json.loads(ran.output)


async def taken_up(member: Member, name: str, *, in_use: bool) -> None:
    """Return when the running gateway asks an adapter, or does so no longer."""
    async with asyncio.timeout(20):
        while True:
            listed = await asyncio.to_thread(wugan, member, "list")
            if any(each["adapter"] == name and each["in_use"] for each in listed) == in_use:
                return
            await asyncio.sleep(0.02)


async def test_departments_come_and_go_while_questions_are_answered(world: SmallWorld, tmp_path: Path) -> None:
    member, person = world.members[1], living_in_second(world)
    with sqlite3.connect(tmp_path / "late.db") as connection:
        connection.execute("CREATE TABLE cremation (id_no TEXT, full_name TEXT, cremated TEXT, reg_no TEXT)")
    connection.close()
    stop = asyncio.Event()
    outcomes: dict[str, set[int]] = {}

    async def load() -> int:
        count = 0
        while not stop.is_set():
            answer = await answer_to(world, question_about(person))
            assert not answer.HasField("refusal")
            assert answer.findings.status[0] == words.SURVIVAL_STATUS_ALIVE_STRONG
            for source in answer.findings.sources:
                outcomes.setdefault(source.adapter_id, set()).add(source.outcome)
            count += 1
        return count

    asking = asyncio.create_task(load())
    try:
        for cycle in range(3):
            file = tmp_path / "late.yaml"
            file.write_bytes(manifest(str(cycle), adapter="late-registry", database="late.db"))
            told = await asyncio.to_thread(wugan, member, "register", str(file), by="wang")
            assert told["state"] == "proposed"
            await asyncio.to_thread(wugan, member, "approve", "late-registry", by="li")
            await asyncio.to_thread(wugan, member, "promote", "late-registry", "--untried", by="li")
            await taken_up(member, "late-registry", in_use=True)
            await asyncio.to_thread(wugan, member, "suspend", "late-registry", by="sun")
            await taken_up(member, "late-registry", in_use=False)
            await asyncio.to_thread(wugan, member, "remove", "late-registry", by="li")
    finally:
        stop.set()
    assert await asking > 0
    assert outcomes.pop("late-registry", {words.SOURCE_OUTCOME_ANSWERED}) == {words.SOURCE_OUTCOME_ANSWERED}
    assert outcomes
    assert all(each == {words.SOURCE_OUTCOME_ANSWERED} for each in outcomes.values()), outcomes
    history = (await asyncio.to_thread(wugan, member, "show", "late-registry"))["history"]
    assert [each["what"] for each in history] == ["propose", "approve", "promote", "suspend", "remove"] * 3
