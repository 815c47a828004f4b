"""What a running gateway learns of its departments' data while it answers, and what its catalogue lacks."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from federation_world import SmallWorld, channel
from test_registry_live import wugan

from gateway.cli import main
from gateway.demo.asking import request_for
from gateway.demo.truth import Recipient
from tests.unit.registry.registry_world import database, manifest
from wugan.agency.v1 import agency_pb2_grpc

pytestmark = pytest.mark.integration

WAIT_S = 60.0


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WUGAN_LANG", "zh")


def shown(*words: str) -> Any:
    ran = CliRunner().invoke(main, [*words, "--json"])
    assert ran.exit_code == 0, ran.output
    return json.loads(ran.stdout.splitlines()[-1])


async def ask(world: SmallWorld, recipient: Recipient) -> None:
    payer = world.member(recipient.paying_province)
    async with channel(payer.agency, payer.tls_name, payer.credentials(recipient.unit)) as opened:
        request = request_for(recipient, evidence_limit=20)
        request.fresh = True
        await agency_pb2_grpc.AgencyServiceStub(opened).Check(request, timeout=60)


def test_a_card_used_after_a_death_becomes_a_finding_of_both_departments(world: SmallWorld, tmp_path: Path) -> None:
    recipient = world.recipient("died_card_used_after")
    answerer = next(one for one in world.members if one.region != recipient.paying_province)
    config = str(answerer.folder / "gateway.toml")
    asyncio.run(ask(world, recipient))
    end = time.monotonic() + WAIT_S
    told: list[dict[str, Any]] = []
    while not {one["adapter"] for one in told} >= {"health-insurance"}:
        assert time.monotonic() < end, f"no contradiction among {told}"
        told = [one for one in shown("quality", "findings", "--config", config) if one["finding"] == "CONTRADICTED"]
    assert len({one["adapter"] for one in told}) > 1, "the department of the death is told as well"
    page = tmp_path / "report.html"
    words = ["quality", "report", "--config", config, "--department", "HEALTH_INSURANCE", "--out", str(page)]
    assert CliRunner().invoke(main, words).exit_code == 0
    text = page.read_text("utf-8")
    assert "与其他部门矛盾" in text
    assert recipient.id_number[2:17] not in text
    for file in (answerer.folder / "state").glob("gateway.db*"):
        assert recipient.id_number[2:17].encode() not in file.read_bytes()


def test_the_catalogue_of_a_running_gateway_counts_the_other_members_and_names_provinces_without_one(
    world: SmallWorld,
) -> None:
    config = str(world.members[0].folder / "gateway.toml")
    ran = CliRunner().invoke(main, ["catalogue", "gaps", "--config", config, "--json"])
    assert ran.exit_code == 0, ran.output
    assert not ran.stderr, "the directory on the disk is read"
    gaps = json.loads(ran.stdout[ran.stdout.index("{") :])["gaps"]
    unserved = {row["region"][:6] for row in gaps if row["lack"] == "无成员服务"}
    assert len(unserved) == 31 - 2
    assert not {str(member.region) for member in world.members} & unserved


def test_a_registered_adapter_is_in_the_catalogue_as_long_as_it_is_live(world: SmallWorld, tmp_path: Path) -> None:
    member = world.members[0]
    config = str(member.folder / "gateway.toml")
    database(tmp_path, "civil.db")
    file = tmp_path / "city.yaml"
    file.write_bytes(manifest("1", adapter="city-cremations"))
    wugan(member, "register", str(file), by="wang")
    wugan(member, "approve", "city-cremations", by="li")

    def offered() -> bool:
        ran = CliRunner().invoke(main, ["catalogue", "show", "--config", config, "--region", "330000", "--json"])
        assert ran.exit_code == 0, ran.output
        return "city-cremations" in ran.stdout

    assert not offered(), "in shadow it counts for nothing"
    wugan(member, "promote", "city-cremations", "--untried", by="li")
    assert offered()
    wugan(member, "remove", "city-cremations", by="li")
    assert not offered()
