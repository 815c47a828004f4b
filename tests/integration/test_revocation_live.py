"""Revoked by a command in another process: the next call on the open connection is refused, open streams end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import pytest
from federation_world import Member, SmallWorld, channel, ours
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from gateway.demo import launch
from gateway.demo.asking import request_for
from wugan.agency.v1 import agency_pb2, agency_pb2_grpc

pytestmark = pytest.mark.integration

SOON_S = 60.0
"""Far more than it takes; how fast it is, `bench` measures."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[SmallWorld]:
    with running(tmp_path / "demo") as made:
        yield made


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallWorld]:
    """For tests after which everybody in it goes on."""
    with running(tmp_path_factory.mktemp("lasting") / "demo") as made:
        yield made


@contextlib.contextmanager
def running(folder: Path) -> Iterator[SmallWorld]:
    demo = launch.up(folder, provinces=2, people=60, seed=7)
    try:
        yield SmallWorld(demo)
    finally:
        launch.down(folder)


async def authority(world: SmallWorld, *arguments: str) -> None:
    home = world.demo.folder / "federation" / "authority"
    command = [sys.executable, "-m", "gateway.cli", "authority", *arguments, "--dir", str(home), "--json"]
    ran = await asyncio.to_thread(
        subprocess.run, command, env={**os.environ, "WUGAN_LANG": "en"}, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr


@contextlib.asynccontextmanager
async def agency(member: Member, unit: str) -> AsyncIterator[grpc.aio.Channel]:
    async with channel(member.agency, member.tls_name, member.credentials(unit)) as opened:
        yield opened


async def until_refused(stub: agency_pb2_grpc.AgencyServiceAsyncStub, request: agency_pb2.CheckRequest) -> str:
    """The code of the refusal, once there is one."""
    async with asyncio.timeout(SOON_S):
        while True:
            try:
                await stub.Check(request, timeout=60)
            except grpc.aio.AioRpcError as error:
                return ours(error).code


async def test_an_agency_revoked_by_its_certificate_is_out_on_its_open_connection(world: SmallWorld) -> None:
    recipient = world.recipient()
    member = world.member(recipient.paying_province)
    other = next(unit for unit in member.units if unit != recipient.unit)
    async with agency(member, recipient.unit) as opened, agency(member, other) as another:
        stub = agency_pb2_grpc.AgencyServiceStub(opened)
        assert (await stub.Check(request_for(recipient), timeout=60)).status
        watch = health_pb2_grpc.HealthStub(opened).Watch(health_pb2.HealthCheckRequest())
        listing = reflection_pb2_grpc.ServerReflectionStub(opened).ServerReflectionInfo()
        others = health_pb2_grpc.HealthStub(another).Watch(health_pb2.HealthCheckRequest())
        await listing.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        for stream in (watch, listing, others):
            await stream.read()

        certificate = member.folder / "units" / recipient.unit / "tls" / "certificate.pem"
        await authority(world, "revoke", "--certificate", str(certificate), "--reason", "key-compromise")

        for stream in (watch, listing):
            async with asyncio.timeout(SOON_S):
                with pytest.raises(grpc.aio.AioRpcError) as ended:
                    await stream.read()
            assert ended.value.code() == grpc.StatusCode.UNAUTHENTICATED
            assert ours(ended.value).code == "STRANGER"
        assert await until_refused(stub, request_for(recipient)) == "STRANGER"
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await health_pb2_grpc.HealthStub(opened).Check(health_pb2.HealthCheckRequest(), timeout=60)
        assert ours(refused.value).code == "STRANGER"
        assert opened.get_state() == grpc.ChannelConnectivity.READY, "the connection itself stayed open all the while"
        assert not others.done()
        others.cancel()


async def test_a_revoked_member_is_neither_answered_nor_asked(world: SmallWorld) -> None:
    recipient = world.recipient()
    asking, answering = world.member(recipient.paying_province), world.member(recipient.lives_in)
    async with agency(asking, recipient.unit) as opened:
        stub = agency_pb2_grpc.AgencyServiceStub(opened)
        assert (await stub.Check(request_for(recipient), timeout=60)).status
        await authority(world, "revoke", "--member", answering.member_id)
        # A call that was under way is refused in its own way, whichever gateway had the new directory first.
        assert await until_refused(stub, request_for(recipient)) in ("PARTNER_FAULTY", "STRANGER", "UNKNOWN_REGION")
        async with asyncio.timeout(SOON_S):
            while await until_refused(stub, request_for(recipient)) != "UNKNOWN_REGION":
                pass
    async with channel(asking.federation, asking.tls_name, answering.credentials()) as late:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health_pb2_grpc.HealthStub(late).Check(health_pb2.HealthCheckRequest(), timeout=60)
        assert ours(caught.value).code == "STRANGER"


async def test_a_gateway_with_another_certificate_than_those_listed_is_refused(lasting: SmallWorld) -> None:
    """A valid certificate of the right member, but not one the directory lists: say, of a key stolen long ago."""
    import datetime as dt

    from certs import keys
    from certs.authority import Authority
    from certs.files import PUBLIC, write_file

    one, two = lasting.members
    issuing = Authority.load(lasting.demo.folder / "federation" / "authority")
    key = keys.generate_tls_key()
    issued = issuing.issue_gateway_tls(two.member_id, key.public_key(), now=dt.datetime.now(dt.UTC))
    stolen = two.folder / "units" / "stolen" / "tls"
    stolen.mkdir(parents=True)
    keys.store_private_key(stolen / "key.pem", key)
    write_file(stolen / "certificate.pem", issued.pem, mode=PUBLIC, replace=False)
    write_file(stolen / "roots.pem", issuing.root_pem, mode=PUBLIC, replace=False)
    for credentials, welcome in ((two.credentials(), True), (two.credentials("stolen"), False)):
        async with channel(one.federation, one.tls_name, credentials) as opened:
            check = health_pb2_grpc.HealthStub(opened).Check(health_pb2.HealthCheckRequest(), timeout=60)
            if welcome:
                assert (await check).status == health_pb2.HealthCheckResponse.SERVING
            else:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await check
                assert ours(caught.value).code == "STRANGER"


async def test_an_agency_made_with_a_stolen_issuing_key_is_out_on_its_open_connection(lasting: SmallWorld) -> None:
    import datetime as dt

    from certs import keys, profiles
    from certs.files import PUBLIC, write_file
    from certs.holders import certificate_pem
    from certs.identity import Identity
    from gateway.authority.office import Office
    from gateway.clock import SystemClock

    recipient = lasting.recipient()
    member = lasting.member(recipient.paying_province)
    with contextlib.closing(Office(lasting.demo.folder / "federation" / "authority", SystemClock())) as office:
        (stolen,) = office.authority.issuing.all
        roots = office.authority.root_pem
        await asyncio.to_thread(office.roll_issuing, None, None)
    key = keys.generate_tls_key()
    identity = Identity(stolen.issuer.federation, member.member_id, "unit", recipient.unit)
    leaf = profiles.tls_certificate(stolen.issuer, key.public_key(), identity, dt.datetime.now(dt.UTC))
    thief = member.folder / "units" / "thief" / "tls"
    thief.mkdir(parents=True)
    keys.store_private_key(thief / "key.pem", key)
    chain = certificate_pem(leaf) + certificate_pem(stolen.certificate)
    write_file(thief / "certificate.pem", chain, mode=PUBLIC, replace=False)
    write_file(thief / "roots.pem", roots, mode=PUBLIC, replace=False)
    async with agency(member, "thief") as opened, agency(member, recipient.unit) as honest:
        stub = agency_pb2_grpc.AgencyServiceStub(opened)
        assert (await stub.Check(request_for(recipient), timeout=60)).status, (
            "until the CA is taken back he is believed"
        )
        await authority(lasting, "revoke", "--issuing", stolen.name)
        assert await until_refused(stub, request_for(recipient)) == "STRANGER"
        assert opened.get_state() == grpc.ChannelConnectivity.READY
        again = agency_pb2_grpc.AgencyServiceStub(honest)
        assert (await again.Check(request_for(recipient), timeout=60)).status, "what it really issued goes on"


async def test_the_federation_goes_on_while_the_authority_is_gone(world: SmallWorld) -> None:
    from gateway.demo.processes import stop

    recipient = world.recipient()
    member = world.member(recipient.paying_province)
    gone = next(process for process in world.demo.processes if process.name == "authority")
    async with agency(member, recipient.unit) as opened:
        stub = agency_pb2_grpc.AgencyServiceStub(opened)
        assert await asyncio.to_thread(stop, [gone]) == []
        assert (await stub.Check(request_for(recipient), timeout=60)).status
