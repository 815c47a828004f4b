"""`docs/operations/access.md` as somebody would follow it, and what a running gateway makes of it."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from federation_world import Member, SmallWorld, question_about
from test_two_provinces import living_in_second, seal_question, send

from gateway.clock import SystemClock
from gateway.exchange.envelope import open_answer
from gateway.store.alarms import Alarm
from gateway.store.engine import Store
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "operations" / "access.md"
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.M | re.S)
ENDS_WITH = re.compile(r"# ends with (\d)\s*$")
WUGAN = Path(sys.executable).with_name("wugan")
ENVIRONMENT = {**os.environ, "PATH": f"{WUGAN.parent}:{os.environ['PATH']}", "WUGAN_LANG": "en"}


def later() -> str:
    return (dt.date.today() + dt.timedelta(days=300)).isoformat()  # noqa: DTZ011  any day to come will do


def shell(command: str, folder: Path, language: str = "en") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={**ENVIRONMENT, "WUGAN_LANG": language},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def commands() -> list[str]:
    """The page's commands; its dates as far ahead as they were when it was written."""
    text = re.sub(r"--until \d{4}-\d\d-\d\d", f"--until {later()}", PAGE.read_text("utf-8"))
    return [line for block in BLOCK.findall(text) for line in block.splitlines() if line.strip()]


async def with_an_alarm(folder: Path) -> None:
    """A store as of a gateway that raised one alarm."""
    state = folder / "state"
    async with Store.open(state / "gateway.db", key=state / "store.key", clock=SystemClock()) as store:
        await store.alarms.submit(Alarm(0, 1, "111100000000212234", "jinhua", "sequential", 25, 20))


@pytest.mark.slow
@pytest.mark.timeout(1800)  # some twenty-five processes, one after another
async def test_the_commands_of_the_page_do_what_it_says_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_bytes((ROOT / "examples" / "gateway.toml").read_bytes())
    await with_an_alarm(tmp_path)
    listed = commands()
    assert len(listed) > 20
    for at, command in enumerate(listed):
        expected = ENDS_WITH.search(command)
        ran = await asyncio.to_thread(shell, command, tmp_path, ("en", "zh")[at % 2])
        assert ran.returncode == (int(expected[1]) if expected else 0), f"{command}\n{ran.stdout}{ran.stderr}"
        if ran.returncode:
            assert ran.stdout or ran.stderr, command
        assert "Traceback" not in ran.stderr
    state = tmp_path / "state"
    async with Store.open(state / "gateway.db", key=state / "store.key", clock=SystemClock()) as store:
        await store.audit.verify_chain()
        acts = [each.event for each in await store.audit.events() if each.event.direction == "act"]
        assert [event.unit for event in acts] == ["wang", "wang", "li", "li", "li", "qian", "sun", "qian", "zhao"] + [
            "sun"
        ] * 2
        everything = "".join(event.decision + event.unit for event in acts)
        assert "330702" not in everything


async def outcome(world: SmallWorld) -> str:
    """What a question to the second province meets: "" where it is answered, else the reason."""
    sealed = seal_question(world, question_about(living_in_second(world)).SerializeToString())
    envelope = await send(world, sealed.envelope)
    now_ms = SystemClock().now_ms()
    opened = open_answer(envelope, world.members[0].own, world.directory, question=sealed, now_ms=now_ms)
    answer = exchange_pb2.Answer.FromString(opened.payloads[0])
    return words.RefusalReason.Name(answer.refusal.reason) if answer.HasField("refusal") else ""


async def until(world: SmallWorld, wanted: str) -> None:
    """Ask until the answer is the one wanted."""
    async with asyncio.timeout(60):
        while await outcome(world) != wanted:
            await asyncio.sleep(0.05)


async def access(member: Member, *arguments: str) -> str:
    command = " ".join(["wugan", "access", *arguments, "--config", "gateway.toml"])
    ran = await asyncio.to_thread(shell, command, member.folder)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


async def test_a_withdrawn_grant_is_refused_by_the_running_gateway_without_a_restart(world: SmallWorld) -> None:
    answering = world.members[1]
    assert await outcome(world) == ""
    try:
        await access(answering, "withdraw", "g2", "--why", "test", "--as", "sun", "--key", "people/sun.pem")
        await until(world, "REFUSAL_REASON_MEMBER_NOT_PERMITTED")
    finally:
        granted = await access(
            answering,
            *("grant", "--member", "'*'", "--purpose", "CERTIFICATION", "--purpose", "CHANGE_MONITORING"),
            *("--purpose", "OVERPAYMENT_RECOVERY", "--purpose", "DISPUTE_REVIEW", "--benefit", "'*'"),
            *("--evidence", "'*'", "--region", "'*'", "--per-day", "0", "--until", later(), "--why", "test"),
            *("--as", "li", "--key", "people/li.pem"),
        )
        name = granted.split()[0]
        assert await outcome(world) == "REFUSAL_REASON_MEMBER_NOT_PERMITTED"
        await access(answering, "approve", name, "--as", "zhao", "--key", "people/zhao.pem")
        await until(world, "")
