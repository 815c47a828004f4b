"""The gateways of `wugan demo up` renew their keys and tell of their health on command, as real ones do."""

from __future__ import annotations

import json
from pathlib import Path

import grpc
import pytest
from federation_world import Member, SmallWorld, channel
from test_rotation_live import wugan

from certs.slot_files import read_journal
from certs.slot_journal import KINDS
from gateway.demo.asking import request_for
from wugan.agency.v1 import agency_pb2_grpc

pytestmark = pytest.mark.integration


def current(member: Member) -> dict[str, int]:
    """Number of the current key of each kind."""
    journal = read_journal(member.folder / "state" / "keys")
    return {kind: each.number for kind in KINDS if (each := journal.current(kind)) is not None}


async def certs(config: Path, *arguments: str) -> object:
    code, out, err = await wugan("certs", *arguments, "--config", str(config), "--json")
    assert code == 0, err
    return json.loads(out)


async def answered(world: SmallWorld) -> bool:
    recipient = world.recipient()
    member = world.member(recipient.paying_province)
    async with channel(member.agency, member.tls_name, member.credentials(recipient.unit)) as opened:
        try:
            response = await agency_pb2_grpc.AgencyServiceStub(opened).Check(request_for(recipient), timeout=60)
        except grpc.aio.AioRpcError:
            return False
        return bool(response.status) and not response.partial


async def test_a_demo_gateway_renews_all_its_keys_on_command_and_puts_the_old_ones_back(world: SmallWorld) -> None:
    answering = world.member(world.recipient().lives_in)
    config, before = answering.folder / "gateway.toml", current(answering)
    assert await answered(world)
    told = await certs(config, "rotate", "--wait", "60")
    try:
        assert told == {"state": "activated", "kinds": list(KINDS)}
        assert current(answering) == {kind: number + 1 for kind, number in before.items()}
        assert await answered(world)
    finally:  # the other tests of this federation know the keys it was founded with
        await certs(config, "rollback")
    assert current(answering) == before
    assert await answered(world)


async def test_a_demo_gateway_says_in_words_how_it_is(world: SmallWorld) -> None:
    config = world.member(world.recipient().lives_in).folder / "gateway.toml"
    code, out, err = await wugan("gateway", "health", "--config", str(config), "--json")
    assert code in (0, 1, 2), err  # by now other tests of this federation may have troubled it
    told = json.loads(out)
    assert {each["about"] for each in told["facts"]} >= {"departments", "directory", "keys"}
    assert all(each["en"] and each["zh"] for each in told["facts"])
