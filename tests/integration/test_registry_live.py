"""A running gateway whose departments come, change and go, by commands of administrators and of departments."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from federation_world import Member, SmallWorld, channel, question_about
from test_two_provinces import answer_to, living_in_second

from adapters import sdk
from certs import keys
from certs.authority import Authority
from certs.identity import ROLE_DEPARTMENT, Identity
from gateway.cli.adapter import adapter
from gateway.demo.truth import Recipient
from tests.unit.registry.registry_world import manifest
from wugan.adapter.v1 import vocabulary_pb2 as v
from wugan.agency.v1 import agency_pb2, agency_pb2_grpc
from wugan.federation.v1 import vocabulary_pb2 as words

pytestmark = pytest.mark.integration


def typed(member: Member, *arguments: str, by: str = "") -> Result:
    """A command; in a thread of its own, for it has an event loop of its own."""
    signed = ["--why", "test", "--as", by, "--key", str(member.folder / "people" / f"{by}.pem")] if by else []
    config = ["--config", str(member.folder / "gateway.toml")]
    return CliRunner(env={"WUGAN_LANG": "en"}).invoke(adapter, [*arguments, *config, *signed, "--json"])


def wugan(member: Member, *arguments: str, by: str = "") -> Any:
    """What a command tells, as JSON."""
    ran = typed(member, *arguments, by=by)
    assert ran.exit_code == 0, ran.output
    return json.loads(ran.output)


async def taken_up(member: Member, name: str, *, in_use: bool) -> None:
    """Return when the running gateway asks an adapter, or does so no longer."""
    async with asyncio.timeout(60):
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
            for_good = ["--for-good"] if cycle == 2 else []
            await asyncio.to_thread(wugan, member, "remove", "late-registry", *for_good, by="li")
    finally:
        stop.set()
    assert await asking > 0
    assert outcomes.pop("late-registry", {words.SOURCE_OUTCOME_ANSWERED}) == {words.SOURCE_OUTCOME_ANSWERED}
    assert outcomes
    assert all(each == {words.SOURCE_OUTCOME_ANSWERED} for each in outcomes.values()), outcomes
    history = (await asyncio.to_thread(wugan, member, "show", "late-registry"))["history"]
    acts = ["propose", "approve", "promote", "suspend", "remove"] * 3
    assert [each["what"] for each in history] == [*acts[:-1], "remove for good"]
    again = await asyncio.to_thread(typed, member, "remove", "late-registry", "--for-good", by="li")
    assert again.exit_code == 1
    assert "register its manifest with a higher version" in json.loads(again.stdout)["error"]["message"]


REMOTE = """\
manifest: 1
adapter_id: mountain-burials
version: "{version}"
department: CIVIL_AFFAIRS
regions: [{region}]
kind: remote
source: {{address: "{address}", tls_name: {tls_name}}}
offers:
  items: [{{evidence: BURIAL, strength: REAL_NAME, freshness_days: 30}}]
  pushes: true
"""


class Burials(sdk.RowAdapter):
    """A department's own program: somebody is buried, whoever it is."""

    adapter_id, version, department, regions = "mountain-burials", "1", "CIVIL_AFFAIRS", (110000,)
    items = (sdk.Item("BURIAL", "REAL_NAME", freshness_days=30),)

    def __init__(self, number: str, name: str, region: int) -> None:
        self.regions = (region,)
        self._number, self._name = number, name

    async def rows(self, numbers: Sequence[str]) -> list[sdk.Row]:
        """One grave."""
        buried = dt.date(2026, 10, 1)
        return [sdk.Row(each, self._name, "BURIAL", buried) for each in numbers if each == self._number]


def enrolled(world: SmallWorld, member: Member, folder: Path, name: str = "mountain-burials") -> Path:
    """The files that `wugan certs enrol-unit` makes for a department's adapter."""
    key = keys.generate_tls_key()
    authority = Authority.load(world.demo.folder / "federation" / "authority")
    issued = authority.issue_department_tls(member.member_id, name, key.public_key(), now=dt.datetime.now(dt.UTC))
    folder.mkdir()
    keys.store_private_key(folder / "key.pem", key)
    (folder / "certificate.pem").write_bytes(issued.pem)
    (folder / "roots.pem").write_bytes((member.folder / "roots.pem").read_bytes())
    return folder


async def by_department(member: Member, certs: Path, *arguments: str, why: str = "test", code: int = 0) -> Any:
    reason = ["--why", why] if why else []
    where = ["--gateway", member.agency, "--certs", str(certs), "--json"]
    ran = await asyncio.to_thread(
        CliRunner(env={"WUGAN_LANG": "en"}).invoke, adapter, ["self", *arguments, *where, *reason]
    )
    assert ran.exit_code == code, ran.output
    return json.loads(ran.output) if not code else ran.output


def approve_without_a_digest(member: Member) -> str:
    """What it says."""
    signed = ["--why", "test", "--as", "li", "--key", str(member.folder / "people" / "li.pem")]
    arguments = ["approve", "mountain-burials", "--config", str(member.folder / "gateway.toml"), *signed]
    ran = CliRunner(env={"WUGAN_LANG": "en"}).invoke(adapter, arguments)
    assert ran.exit_code == 2
    return ran.output


async def told_of(world: SmallWorld, person: Recipient, certs: Path, folder: Path) -> None:
    """The agency that pays subscribes, the department pushes, and the agency is told."""
    payer, member = world.member(person.paying_province), world.members[1]
    benefit = words.BenefitType.Value(f"BENEFIT_TYPE_{person.benefit}")
    watched = agency_pb2.WatchedPerson(
        id_number=person.present_number, name=person.name, benefit=benefit, regions=[member.region]
    )
    request = agency_pb2.SubscribeRequest(
        people=[watched], legal_basis="社会保险法 第七十四条", case_reference="TEST-2", official="zhou"
    )
    listing = agency_pb2.ListSubscriptionsRequest()
    pushed = folder / "pushed.csv"
    pushed.write_text(f"{person.present_number},{person.name}\n", "utf-8")
    async with channel(payer.agency, payer.tls_name, payer.credentials(person.unit)) as opened:
        stub = agency_pb2_grpc.AgencyServiceStub(opened)
        assert (await stub.Subscribe(request, timeout=60)).accepted == 1
        async with asyncio.timeout(60):
            while not any(
                each.standing == agency_pb2.SUBSCRIPTION_STANDING_ACTIVE
                for each in (await stub.ListSubscriptions(listing, timeout=60)).subscriptions
            ):
                await asyncio.sleep(0.05)
            assert await by_department(member, certs, "push", str(pushed), why="") == {"people": 1}
            async for notice in stub.WatchNotices(agency_pb2.WatchNoticesRequest()):
                if notice.id_number == person.present_number:
                    assert {each.kind for each in notice.result.evidence} >= {v.EVIDENCE_KIND_BURIAL}
                    return


async def test_a_department_registers_its_own_adapter_and_takes_it_back(world: SmallWorld, tmp_path: Path) -> None:
    member, person = world.members[1], living_in_second(world)
    certs = enrolled(world, member, tmp_path / "certs")
    tls_name = Identity("demo.wugan.internal", member.member_id, ROLE_DEPARTMENT, "mountain-burials").tls_name
    file = tmp_path / "mountain-burials.yaml"
    own = Burials(person.present_number, person.name, member.region)

    async def outcome() -> int | None:
        answer = await answer_to(world, question_about(person))
        return {each.adapter_id: each.outcome for each in answer.findings.sources}.get("mountain-burials")

    async with sdk.served(own, "127.0.0.1:0", certs) as address:
        text = REMOTE.format(version=1, region=member.region, address=address, tls_name=tls_name)
        file.write_text(text, "utf-8")
        told = await by_department(member, certs, "register", str(file))
        assert told["state"] == "proposed"
        assert (await by_department(member, certs, "register", str(file)))["digest"] == told["digest"]
        assert await outcome() is None
        assert "is live" in (await by_department(member, certs, "push", why="", code=1))

        unsaid = await asyncio.to_thread(approve_without_a_digest, member)
        assert told["digest"][:16] in unsaid, "what is approved is what was looked at"
        await asyncio.to_thread(wugan, member, "approve", "mountain-burials", "--digest", told["digest"][:16], by="li")
        await taken_up(member, "mountain-burials", in_use=True)
        assert await outcome() is None, "in shadow it takes part in no answer"
        await asyncio.to_thread(wugan, member, "promote", "mountain-burials", "--untried", by="li")
        async with asyncio.timeout(60):
            while await outcome() != words.SOURCE_OUTCOME_ANSWERED:
                await asyncio.sleep(0.02)
        assert await by_department(member, certs, "push", why="") == {"people": 0}
        await told_of(world, person, certs, tmp_path)

        await by_department(member, certs, "suspend", why="the database is moved")
        assert await outcome() is None, "at once, with the answer to the department's call"
        (listed,) = await by_department(member, certs, "list", why="")
        assert (listed["state"], listed["why"]) == ("suspended", "the database is moved")
        await by_department(member, certs, "resume")
        assert await outcome() == words.SOURCE_OUTCOME_ANSWERED

        await by_department(member, certs, "withdraw", told["digest"][:10])
        assert await outcome() is None
        assert "version" in (await by_department(member, certs, "register", str(file), code=1))


async def test_a_department_reaches_nothing_of_others_and_nothing_of_the_host(
    world: SmallWorld, tmp_path: Path
) -> None:
    member = world.members[1]
    certs = enrolled(world, member, tmp_path / "certs", "forest-burials")
    tls_name = Identity("demo.wugan.internal", member.member_id, ROLE_DEPARTMENT, "forest-burials").tls_name
    good = REMOTE.format(version=1, region=member.region, address="127.0.0.1:9", tls_name=tls_name)
    good = good.replace("mountain-burials", "forest-burials", 1)
    table = manifest(adapter="forest-burials").decode()
    files = "client_certificate: {certificate: /etc/hostname, key: /etc/shadow}, ca: /etc/passwd"
    for wrong, said in (
        (good.replace("forest-burials", "mountain-burials", 1), "forest-burials"),
        (table, "kind table"),
        (good.replace("source: {", f"source: {{{files}, "), "client_certificate"),
        (good.replace(tls_name, "elsewhere.example"), "tls_name"),
        (good.replace("manifest: 1", "manifest: 2"), "format 1"),
        ("", "mapping"),
    ):
        assert wrong != good
        file = tmp_path / "wrong.yaml"
        file.write_text(wrong, "utf-8")
        assert said in await by_department(member, certs, "register", str(file), code=1)
    unit = member.folder / "units" / member.units[0] / "tls"
    (tmp_path / "good.yaml").write_text(good, "utf-8")
    assert "department" in await by_department(member, unit, "register", str(tmp_path / "good.yaml"), code=1)
    other = enrolled(world, world.members[0], tmp_path / "other", "forest-burials")
    elsewhere = await by_department(member, other, "register", str(tmp_path / "good.yaml"), code=3)
    assert "UNAVAILABLE" in elsewhere, "the gateway of another member proves another name"
    assert all(each["adapter"] != "forest-burials" for each in await asyncio.to_thread(wugan, member, "list"))
