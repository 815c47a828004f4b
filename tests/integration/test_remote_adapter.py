"""Departments' own adapters over mutual TLS: as good as in this process, and a broken one harms only itself."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from remote_world import EXAMPLES, OTHER, Member, running, tls_name_of, wugan

from adapters import sdk, tls
from adapters.build import build
from adapters.contract import Adapter, Evidence, Found, Holders
from adapters.errors import SourceDownError, SourceFaultError
from adapters.incoming import AnswerLimits
from adapters.kinds.remote import RemoteAdapter, RemoteLimits
from adapters.manifest import load_manifest
from adapters.outgoing import messages
from certs.grpc_credentials import channel_credentials, channel_options
from certs.keys import load_private_key
from gateway.federation.answers import check_findings
from tests.faults.proxy import FaultProxy
from tests.faults.trouble import BLACK_HOLE
from tests.unit.adapters.adapters_world import ask, holders, rows
from tests.unit.rules.rules_world import row
from tests.unit.services.gateways_world import ANNA, NAMES, Register, findings_for, inquiry, question
from wugan.adapter.v1 import adapter_pb2
from wugan.adapter.v1 import vocabulary_pb2 as v
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

pytestmark = pytest.mark.integration

ANSWERED, SILENT = words.SOURCE_OUTCOME_ANSWERED, words.SOURCE_OUTCOME_SILENT
DOWN, FAULTY = words.SOURCE_OUTCOME_UNAVAILABLE, words.SOURCE_OUTCOME_FAULTY
BURIED = ("330702195001010017", "330702195001010025")


@pytest.fixture(scope="module")
def member(tmp_path_factory: pytest.TempPathFactory) -> Member:
    return Member(tmp_path_factory.mktemp("member"))


async def test_a_built_in_kind_is_served_next_to_its_data(member: Member, tmp_path: Path) -> None:
    manifest, ready = EXAMPLES / "burials" / "manifest.yaml", tmp_path / "ready"
    here = build(load_manifest(manifest), tmp_path / "state")
    numbers = sorted(
        {line.split(",")[1] for file in (EXAMPLES / "burials" / "drop").iterdir() for line in _lines(file)}
        - {"身份证号"}
    )
    asked = ask(*(number.upper() for number in numbers), deadline_s=30)
    serve = wugan("adapter", "serve", manifest, "--listen", "127.0.0.1:0", "--certs", member.department())
    async with running(*serve, "--state", tmp_path / "there", "--ready-file", ready, ready=ready) as (address, process):
        there = member.adapter(address, member.gateway())
        await there.check()
        expected, found = await here.lookup(asked), await there.lookup(asked)
        assert len(rows(expected)) > 2
        assert (rows(found), holders(found)) == (rows(expected), holders(expected))
        assert there.offered == here.describe()

        listed = await health(address, member.gateway())
        assert {name: state.status for name, state in listed.statuses.items()} == dict.fromkeys(
            ("", "wugan.adapter.v1.AdapterService", "grpc.health.v1.Health"), health_pb2.HealthCheckResponse.SERVING
        )

        for strangers in (member.gateway(OTHER, "other"), member.unit(), member.department("else", "else")):
            with pytest.raises(grpc.aio.AioRpcError) as told:
                await health(address, strangers)
            assert told.value.code() == grpc.StatusCode.PERMISSION_DENIED
            refused = member.adapter(address, strangers)
            with pytest.raises(SourceFaultError, match="PERMISSION_DENIED"):
                await refused.lookup(asked)
            await refused.close()
        elsewhere = Member(tmp_path / "elsewhere")
        unknown = member.adapter(address, elsewhere.gateway())
        with pytest.raises(SourceDownError):
            await unknown.lookup(asked)
        await unknown.close()
        for wrong in (tls_name_of("cremations"), "localhost"):
            elsewhere = member.adapter(address, member.gateway(), wrong)
            with pytest.raises(SourceDownError):
                await elsewhere.lookup(asked)
            await elsewhere.close()

        process.terminate()
        assert await process.wait() == 0
        assert not ready.exists()
        with pytest.raises(SourceDownError):
            await there.lookup(asked)
        await asyncio.gather(there.close(), here.close())


async def health(address: str, certs: Path) -> health_pb2.HealthListResponse:
    """The state of all services there, asked with these files."""
    shown = channel_credentials(
        load_private_key(certs / "key.pem"),
        (certs / "certificate.pem").read_bytes(),
        (certs / "roots.pem").read_bytes(),
    )
    async with grpc.aio.secure_channel(address, shown, channel_options(tls_name_of("burials"))) as opened:
        return await health_pb2_grpc.HealthStub(opened).List(health_pb2.HealthListRequest(), timeout=60)


def _lines(file: Path) -> list[str]:
    data = file.read_bytes()
    try:
        return data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        return data.decode("gb18030").splitlines()


STUCK = """
import asyncio, sys
from pathlib import Path
from adapters import sdk

class Stuck(sdk.RowAdapter):
    adapter_id, version, department, regions = "burials", "1", "CIVIL_AFFAIRS", (330700,)
    items = (sdk.Item("BURIAL", "REAL_NAME"),)

    async def rows(self, numbers):
        Path(sys.argv[4]).touch()
        await asyncio.sleep(3600)

sdk.serve(Stuck(), sys.argv[1], sys.argv[2], ready_file=sys.argv[3])
"""


async def test_an_adapter_killed_in_the_middle_is_down_and_found_again_when_it_is_back(
    member: Member, tmp_path: Path
) -> None:
    script, ready, reached = tmp_path / "stuck.py", tmp_path / "ready", tmp_path / "reached"
    script.write_text(STUCK, encoding="utf-8")
    command = (sys.executable, script, "127.0.0.1:0", member.department(), ready, reached)
    async with running(*command, ready=ready) as (address, process):
        adapter = member.adapter(address, member.gateway())
        asking = asyncio.create_task(findings_from(adapter, time_s=60))
        while not reached.exists():
            assert not asking.done()
            await asyncio.sleep(0.01)
        process.kill()
        findings = await asking
        assert findings.sources[0].outcome == DOWN
        only_the_other(findings)
    async with sdk.served(Knows(), address, member.department()):
        async with asyncio.timeout(60):
            while True:
                with contextlib.suppress(SourceDownError):
                    found = await adapter.lookup(ask(*BURIED))
                    break
                await asyncio.sleep(0.05)
        assert [number for _, number, _ in holders(found)] == list(BURIED)
        await adapter.close()


async def test_a_connection_that_went_dead_is_not_used_again(member: Member, tmp_path: Path) -> None:
    async with (
        sdk.served(Knows(), "127.0.0.1:0", member.department()) as address,
        FaultProxy(address) as proxy,
    ):
        adapter = member.adapter(proxy.address, member.gateway(), **{"timeout_s: 5": "timeout_s: 60"})
        await adapter.lookup(ask(ANNA, deadline_s=60))
        await proxy.suffer(BLACK_HOLE)
        with pytest.raises(SourceDownError, match="in time"):
            await adapter.lookup(ask(ANNA, deadline_s=1.2))
        await proxy.heal()
        assert len((await adapter.lookup(ask(ANNA, deadline_s=60))).evidence) == 1
        assert proxy.accepted == 2
        await adapter.close()


class Knows(sdk.RowAdapter):
    """Everybody was buried."""

    adapter_id, version, department, regions = "burials", "1", "CIVIL_AFFAIRS", (330700,)
    items = (sdk.Item("BURIAL", "REAL_NAME"),)

    def rows(self, numbers: Any) -> list[sdk.Row]:
        return [sdk.Row(number, NAMES.get(number, ""), "BURIAL", observed_on=20_000) for number in numbers]  # type: ignore[arg-type]


async def failing(lookup: Awaitable[object]) -> SourceFaultError | None:
    """What it failed with; None: it did not."""
    try:
        await lookup
    except SourceFaultError as error:
        return error
    return None


async def test_certificates_renewed_in_their_files_are_used_at_both_ends(
    member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "LOOK_EVERY_S", 0.01)
    department, gateway = member.department(folder="renewed"), member.gateway(folder="renewing")
    async with sdk.served(Knows(), "127.0.0.1:0", department) as address:
        adapter = member.adapter(address, gateway)
        await adapter.lookup(ask(ANNA))
        member.gateway(OTHER, "renewing")  # as another, so that it shows
        async with asyncio.timeout(60):
            while (refused := await failing(adapter.lookup(ask(ANNA)))) is None:
                await asyncio.sleep(0.01)
        assert "PERMISSION_DENIED" in refused.en
        await adapter.close()

        member.department("cremations", "renewed")
        async with asyncio.timeout(60):
            while True:
                other = member.adapter(address, member.gateway(), tls_name_of("cremations"))
                with contextlib.suppress(SourceDownError):
                    await other.lookup(ask(ANNA))
                    break
                await other.close()
                await asyncio.sleep(0.05)
        await other.close()


Answers = Callable[[bytes, grpc.aio.ServicerContext[Any, Any]], AsyncIterator[bytes]]


@contextlib.asynccontextmanager
async def foreign(answers: Answers, limits: RemoteLimits | None = None) -> AsyncIterator[RemoteAdapter]:
    """An adapter that is somebody's program, and answers lookups so."""

    async def describe(_data: bytes, _context: object) -> bytes:
        item = adapter_pb2.DataItem(kind=v.EVIDENCE_KIND_VACCINATION, strength=v.STRENGTH_REAL_NAME)
        return adapter_pb2.DescribeResponse(
            adapter_id="health",
            version="1",
            department=v.DEPARTMENT_HEALTH,
            regions=[340000],
            items=[item],
            max_batch=100,
        ).SerializeToString()

    server = grpc.aio.server()
    handlers = {
        "Describe": grpc.unary_unary_rpc_method_handler(describe),
        "Lookup": grpc.unary_stream_rpc_method_handler(answers),
    }
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("wugan.adapter.v1.AdapterService", handlers),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    adapter = await RemoteAdapter.over(grpc.aio.insecure_channel(f"127.0.0.1:{port}"), limits)
    try:
        yield adapter
    finally:
        await adapter.close()
        await server.stop(None)


async def findings_from(adapter: Adapter, time_s: float = 60.0) -> exchange_pb2.Findings:
    """Ask this department, and one that is well and knows Anna."""
    findings = await findings_for(inquiry(adapter, Register({ANNA: [row("OUTPATIENT", 5)]})), question(), time_s)
    check_findings(findings, 1)
    assert findings.sources[1].outcome == ANSWERED
    return findings


def only_the_other(findings: exchange_pb2.Findings) -> None:
    """The answer rests on the department that is well, and says that one is missing."""
    assert findings.partial
    assert list(findings.status) == [words.SURVIVAL_STATUS_ALIVE_MEDIUM]
    assert list(findings.evidence.department) == [v.DEPARTMENT_HEALTH_INSURANCE]


def vaccinated(number: str, subject: int = 0) -> list[bytes]:
    """That one person was vaccinated, on the wire."""
    one = np.ones(1, np.int32)
    evidence = Evidence(
        one * subject,
        one * v.EVIDENCE_KIND_VACCINATION,
        one * v.DEPARTMENT_HEALTH,
        one * 340100,
        one * 20_593,
        one * 20_594,
        one * v.STRENGTH_REAL_NAME,
        ["ref"],
        one * 0,
        one * 0,
        one * 0,
    )
    return list(messages(Found(Holders(one * subject, [number], [NAMES.get(number, "")]), evidence)))


async def lying(_data: bytes, _context: object) -> AsyncIterator[bytes]:
    for message in vaccinated("330702195001010084"):
        yield message


async def beyond(_data: bytes, _context: object) -> AsyncIterator[bytes]:
    for message in vaccinated(ANNA, 7):
        yield message


async def endless(_data: bytes, _context: object) -> AsyncIterator[bytes]:
    while True:
        yield b""


async def unfinished(_data: bytes, _context: object) -> AsyncIterator[bytes]:
    message = adapter_pb2.LookupResponse.FromString(vaccinated(ANNA)[0])
    message.last = False
    yield message.SerializeToString()


async def breaking_off(data: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[bytes]:
    async for message in unfinished(data, context):
        yield message
    await context.abort(grpc.StatusCode.UNAVAILABLE, f"person {ANNA}")


async def huge(_data: bytes, _context: object) -> AsyncIterator[bytes]:
    yield b"\x00" * (5 << 20)


async def flooding(_data: bytes, _context: object) -> AsyncIterator[bytes]:
    message = adapter_pb2.LookupResponse.FromString(vaccinated(ANNA)[0])
    message.last = False
    for column in ("subject", "held_id_number", "held_name"):
        held = getattr(message.holders, column)
        held.extend(list(held) * 20_000)
    data = message.SerializeToString()
    while True:
        yield data


async def crashing(_data: bytes, _context: object) -> AsyncIterator[bytes]:
    raise RuntimeError(ANNA)
    yield b""


async def nonsense(_data: bytes, _context: object) -> AsyncIterator[bytes]:
    yield b"<html>"


async def hanging(_data: bytes, _context: object) -> AsyncIterator[bytes]:
    yield b""
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("answers", "outcome"),
    [
        (lying, FAULTY),
        (beyond, FAULTY),
        (endless, FAULTY),
        (flooding, FAULTY),
        (huge, FAULTY),
        (nonsense, FAULTY),
        (crashing, FAULTY),
        (breaking_off, DOWN),
        (unfinished, DOWN),
    ],
)
async def test_a_broken_adapter_is_named_and_harms_nobody_else(answers: Answers, outcome: int) -> None:
    limits = RemoteLimits(answer=AnswerLimits(messages=500, payload=8 << 20, rows=100_000))
    async with foreign(answers, limits) as adapter:
        findings = await findings_from(adapter)
    assert findings.sources[0].outcome == outcome
    only_the_other(findings)


async def test_a_hanging_adapter_costs_no_more_than_the_time_there_is() -> None:
    ended = asyncio.Event()

    async def watched(data: bytes, context: object) -> AsyncIterator[bytes]:
        try:
            async for message in hanging(data, context):
                yield message
        finally:
            ended.set()

    async with foreign(watched) as adapter:
        findings = await findings_from(adapter, time_s=0.3)
        assert findings.sources[0].outcome in (SILENT, DOWN)
        only_the_other(findings)
        await asyncio.wait_for(ended.wait(), 60)


async def test_more_people_than_it_takes_are_asked_about_in_parts() -> None:
    sizes: list[int] = []

    async def counting(data: bytes, _context: object) -> AsyncIterator[bytes]:
        sizes.append(len(adapter_pb2.LookupRequest.FromString(data).subjects.id_number))
        for message in vaccinated(adapter_pb2.LookupRequest.FromString(data).subjects.id_number[1], 1):
            yield message

    async with foreign(counting) as adapter:
        people = [f"33070219500101{serial:04d}" for serial in range(250)]
        found = await adapter.lookup(ask(*people))
    assert sizes == [100, 100, 50]
    assert found.evidence.subject.tolist() == [1, 101, 201]
    assert holders(found) == [(at, people[at], "") for at in (1, 101, 201)]
