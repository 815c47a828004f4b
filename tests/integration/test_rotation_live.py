"""Keys of both provinces are renewed while questions are asked, by themselves, by command, and after a restart."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from office_world import TwoProvinces, two_provinces

from bench.federation import requests
from certs.slot_files import read_journal
from certs.slot_journal import KINDS, Journal, Kind
from gateway import app
from gateway.channels import agency_channel
from gateway.clock import SystemClock
from gateway.config import load_agency, load_gateway
from gateway.demo.founding import FoundedMember
from gateway.federation import renewal
from wugan.agency.v1 import agency_pb2, agency_pb2_grpc
from wugan.federation.v1 import vocabulary_pb2 as words

pytestmark = pytest.mark.integration


@pytest.fixture
def provinces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TwoProvinces:
    made = two_provinces(tmp_path)
    made.listen_in(monkeypatch)
    return made


def journal(member: FoundedMember) -> Journal:
    return read_journal(member.keys)


def numbers(member: FoundedMember) -> dict[str, int]:
    """Number of the current generation of each kind."""
    found = {kind: journal(member).current(kind) for kind in KINDS}
    return {kind: each.number if each else 0 for kind, each in found.items()}


async def wugan(*arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway.cli", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "WUGAN_LANG": "en"},
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def certs(member: FoundedMember, command: str, *arguments: str) -> Any:
    code, out, err = await wugan("certs", command, "--config", str(member.config), *arguments, "--json")
    assert code == 0, err
    return json.loads(out)


class Asking:
    """An agency that asks without a pause; every refusal is remembered."""

    def __init__(self, provinces: TwoProvinces) -> None:
        self._provinces = provinces
        self._bodies = requests(fresh=True)
        self._stop = asyncio.Event()
        self.answered = 0
        self.failed: list[str] = []

    async def __aenter__(self) -> Asking:
        settings = load_agency(self._provinces.asking.agency_config("110100"))
        self._channel = agency_channel(settings)
        self._stub = agency_pb2_grpc.AgencyServiceStub(self._channel)
        self._tasks = [asyncio.create_task(self._ask(offset)) for offset in range(4)]
        return self

    async def _ask(self, offset: int) -> None:
        at = offset
        while not self._stop.is_set():
            await self.once(self._bodies[at % len(self._bodies)])
            at += 4

    async def once(self, body: bytes) -> None:
        try:
            response = await self._stub.Check(agency_pb2.CheckRequest.FromString(body), timeout=60)
        except grpc.aio.AioRpcError as error:
            self.failed.append(f"{error.code()}: {error.details()}")
        else:
            assert response.status != words.SURVIVAL_STATUS_UNSPECIFIED
            self.answered += 1

    async def __aexit__(self, *_error: object) -> None:
        self._stop.set()
        await asyncio.gather(*self._tasks)
        await self._channel.close()


async def until_current(members: Sequence[FoundedMember], kinds: Sequence[Kind], number: int) -> None:
    async with asyncio.timeout(60):
        while not all(numbers(member)[kind] >= number for member in members for kind in kinds):
            await asyncio.sleep(0.02)


async def test_both_provinces_renew_everything_under_load_and_no_question_is_lost(provinces: TwoProvinces) -> None:
    both = (provinces.asking, provinces.answering)
    async with provinces.running(), Asking(provinces) as asking:
        for number in (2, 3, 4):
            for member in both:
                await certs(member, "rotate", "--wait", "50")
            await until_current(both, KINDS, number)
    assert asking.failed == []
    assert asking.answered > 20
    presented = {der for member_id, der in provinces.peers if member_id == provinces.asking.plan.member_id}
    assert len(presented) >= 3, "the authority never saw a new certificate"


async def test_keys_in_use_are_those_that_the_partner_is_shown(provinces: TwoProvinces) -> None:
    async with provinces.running():
        code, _, err = await wugan("certs", "rotate", "--config", str(provinces.answering.config), "--wait", "50")
        assert code == 0, err
        entry = await asyncio.to_thread(provinces.entry, provinces.answering)
        current = {kind: journal(provinces.answering).current(kind) for kind in KINDS}
        assert current["signing"] is not None
        assert current["encryption"] is not None
        assert current["signing"].key_id in {key.key_id for key in entry.signing_keys}
        newest = max(entry.encryption_keys, key=lambda key: key.not_before_ms)
        assert newest.key_id == current["encryption"].key_id
        async with Asking(provinces) as asking:
            while asking.answered < 5:
                await asyncio.sleep(0.01)
        assert asking.failed == []
        async with asyncio.timeout(60):
            while len([each for each in journal(provinces.answering).generations if each.state == "destroyed"]) < 3:
                await asyncio.sleep(0.05)
            # The journal says so first: whoever is killed in between finds in it what is left to be removed.
            while len(list(provinces.answering.keys.glob("*.pem"))) > 5:
                await asyncio.sleep(0.05)
    assert sorted(path.name for path in provinces.answering.keys.glob("*.pem")) == [
        "encryption-2.key.pem",
        "signing-2.chain.pem",
        "signing-2.key.pem",
        "tls-2.chain.pem",
        "tls-2.key.pem",
    ]


async def test_a_rotation_survives_a_restart_of_the_gateway(provinces: TwoProvinces) -> None:
    provinces.refuse = True
    async with provinces.running():
        await certs(provinces.asking, "rotate", "--kind", "signing")
        async with asyncio.timeout(60):
            while not list(journal(provinces.asking).of("signing", "next")):
                await asyncio.sleep(0.02)
    assert numbers(provinces.asking)["signing"] == 1
    provinces.refuse = False
    async with provinces.running(), Asking(provinces) as asking:
        await until_current([provinces.asking], ["signing"], 2)
    assert asking.failed == []


async def test_a_command_puts_back_what_a_rotation_changed(provinces: TwoProvinces) -> None:
    provinces.keep_old_keys(600.0)
    async with provinces.running(), Asking(provinces) as asking:
        await certs(provinces.answering, "rotate", "--kind", "encryption", "--wait", "50")
        assert numbers(provinces.answering)["encryption"] == 2
        await certs(provinces.answering, "rollback", "--kind", "encryption")
        assert numbers(provinces.answering)["encryption"] == 1
        before = asking.answered
        while asking.answered < before + 20 and not asking.failed:
            await asyncio.sleep(0.01)
    assert asking.failed == []


async def test_an_authority_that_was_killed_before_it_wrote_down_who_has_a_directory_is_told_again(
    provinces: TwoProvinces, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the keys that wait for everybody to have that directory would wait for the next one."""
    monkeypatch.setattr(renewal, "TELL_AGAIN_S", 0.5)
    members = provinces.asking, provinces.answering

    async def until_known() -> None:
        async with asyncio.timeout(60):
            while not all([await asyncio.to_thread(works_with, provinces, each) for each in members]):
                await asyncio.sleep(0.05)

    async with contextlib.AsyncExitStack() as gateways:
        async with provinces.authority():
            for member in members:
                await gateways.enter_async_context(app.gateway(load_gateway(member.config), SystemClock()))
            await until_known()
        with contextlib.closing(sqlite3.connect(provinces.home / "members.db")) as record, record:
            record.execute("delete from seen")
        async with provinces.authority():
            await until_known()


def take_back(provinces: TwoProvinces, member: FoundedMember, kind: Kind) -> int:
    """Revoke the first key of a kind; the directory that says so."""
    with provinces.office() as office:
        if kind == "tls":
            return int(office.revoke_pem((member.keys / "tls-1.chain.pem").read_bytes(), reason=4).version)
        [first] = [each for each in journal(member).generations if each.name == f"{kind}-1"]
        return int(office.revoke_key(first.key_id, reason=1))


def works_with(provinces: TwoProvinces, member: FoundedMember) -> int:
    """The directory that a member's gateway works with."""
    with provinces.office() as office:
        return next(int(m.version) for m in office.seen().members if m.member_id == member.plan.member_id)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_key_that_was_revoked_is_not_put_back(provinces: TwoProvinces, kind: Kind) -> None:
    """With a revoked TLS certificate a gateway could not even publish that it wants the other one again."""
    provinces.keep_old_keys(600.0)
    member = provinces.answering
    back = "certs", "rollback", "--config", str(member.config), "--kind", kind
    async with provinces.running(), Asking(provinces) as asking:
        await certs(member, "rotate", "--kind", kind, "--wait", "50")
        version = await asyncio.to_thread(take_back, provinces, member, kind)
        async with asyncio.timeout(60):
            while await asyncio.to_thread(works_with, provinces, member) < version:
                await asyncio.sleep(0.05)
        code, _, err = await wugan(*back)
        assert (code, numbers(member)[kind]) == (1, 2)
        assert f"{kind}-1 is not put back, since partners refuse it" in err
        before = asking.answered
        while asking.answered < before + 20 and not asking.failed:
            await asyncio.sleep(0.01)
    assert asking.failed == []
    code, _, err = await wugan(*back)
    assert (code, numbers(member)[kind]) == (1, 2), "no more where no gateway runs"
    assert "is not put back" in err


async def test_status_tells_of_keys_and_of_what_is_under_way(provinces: TwoProvinces) -> None:
    about = await certs(provinces.asking, "status")
    assert about["ok"]
    assert {each["state"] for each in about["keys"]} == {"current"}
    assert about["rotation"] is None
    assert all(each["renewed_from"] < each["valid_until"] for each in about["keys"])
    code, out, _ = await wugan("certs", "status", "--config", str(provinces.asking.config))
    assert code == 0
    assert "tls-1" in out
    assert "PRIVATE" not in out


async def test_status_of_a_gateway_without_keys_is_a_failure(provinces: TwoProvinces, tmp_path: Path) -> None:
    text = provinces.asking.config.read_text("utf-8").replace("[keys]", "")
    config = provinces.asking.config.with_name("other.toml")
    config.write_text(text.replace('state_dir = "state"', 'state_dir = "nothing"'), "utf-8")
    code, out, _ = await wugan("certs", "status", "--config", str(config), "--json")
    assert code == 1
    assert json.loads(out)["ok"] is False


async def test_a_second_rotation_is_refused_with_a_reason(provinces: TwoProvinces) -> None:
    provinces.refuse = True
    async with provinces.running():
        await certs(provinces.asking, "rotate", "--kind", "tls")
        code, _, err = await wugan("certs", "rotate", "--config", str(provinces.asking.config), "--kind", "signing")
        assert code == 1
        assert "under way" in err
        await certs(provinces.asking, "rollback")
        assert journal(provinces.asking).rotation is None


async def test_two_gateways_do_not_share_a_folder_of_keys(provinces: TwoProvinces) -> None:
    async with provinces.running():
        code, _, err = await wugan("gateway", "run", "--config", str(provinces.asking.config))
    assert code == 3, "a supervisor tries again: the other one may be on its way out"
    assert "another process uses these keys" in err


async def test_a_new_issuing_ca_is_noticed_and_certificates_move_to_it_by_themselves(tmp_path: Path) -> None:
    provinces = two_provinces(tmp_path, "issuer_poll_s = 0.1\njitter = 0.0\n")
    both = (provinces.asking, provinces.answering)

    def roll() -> None:
        with provinces.office() as office:
            office.authority.issuing.roll(now=office.now())

    async with provinces.running(), Asking(provinces) as asking:
        await asyncio.to_thread(roll)
        await until_current(both, ("tls", "signing"), 2)
        async with asyncio.timeout(60):
            while any(journal(member).rotation for member in both):
                await asyncio.sleep(0.02)
        before = asking.answered
        while asking.answered < before + 10 and not asking.failed:
            await asyncio.sleep(0.01)
    assert asking.failed == []
    with provinces.office() as office:
        newest = office.authority.issuing.current
        for member in both:
            assert numbers(member) == {"tls": 2, "signing": 2, "encryption": 1}, "once each, and nothing without need"
            for kind in ("tls", "signing"):
                leaf = x509.load_pem_x509_certificate((member.keys / f"{kind}-2.chain.pem").read_bytes())
                leaf.verify_directly_issued_by(newest.certificate)
