"""Any adapter as a service, and the gateway's side of it: deadlines, bounds, changes, errors without their texts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import date
from types import SimpleNamespace
from typing import cast

import grpc
import pytest
from remote_world import Member
from structlog.testing import capture_logs

from adapters import sdk
from adapters.build import build
from adapters.contract import Changed, Description, Found, Lookup
from adapters.errors import AdapterError, SourceBusyError, SourceDownError, SourceFaultError
from adapters.kinds.remote import RemoteAdapter, RemoteLimits
from adapters.line import Line
from adapters.manifest import load_manifest
from adapters.serving.servicer import Servicer, ServingLimits
from certs.grpc_credentials import channel_credentials
from certs.keys import load_private_key
from gateway.app.opening import OwnChannels
from gateway.clock import SystemClock
from gateway.federation.directory import Directory
from gateway.federation.live_keys import LiveKeys
from gateway.federation.shown import Shown
from gateway.inquiry.asking import Departments
from gateway.sections.resilience import DepartmentBreakerSettings
from tests.unit.adapters.adapters_world import ANNA, BO, ask, number
from wugan.adapter.v1 import adapter_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

pytestmark = pytest.mark.integration

SECRET = "SECRET-OF-THE-DEPARTMENT"


class Department(sdk.RowAdapter):
    """Does what it is told to; tells what it was asked."""

    adapter_id, version, department, regions = "burials", "1", "CIVIL_AFFAIRS", (330700,)
    items = (sdk.Item("BURIAL", "REAL_NAME"),)

    def __init__(self, does: Callable[[], Awaitable[object]] | None = None) -> None:
        self.does = does
        self.asked: list[Lookup] = []
        self.cancelled = asyncio.Event()
        self.told = Changed([ANNA, BO], ["安", "博"], b"place", more=True)
        self.about: Description | None = None

    def describe(self) -> Description:
        return self.about or super().describe()

    async def rows(self, numbers: Sequence[str]) -> list[sdk.Row]:
        return [sdk.Row(each, "安", "BURIAL", date(2026, 2, 14)) for each in numbers if each == ANNA]

    async def lookup(self, question: Lookup) -> Found:
        self.asked.append(question)
        try:
            if self.does is not None:
                await self.does()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return await super().lookup(question)

    async def check(self) -> None:
        if self.does is not None:
            await self.does()

    async def changes(self, cursor: bytes, limit: int) -> Changed:
        if cursor == b"nonsense":
            raise SourceFaultError(SECRET, SECRET)
        return self.told


def failing(error: Exception) -> Callable[[], Awaitable[object]]:
    async def fail() -> None:
        raise error

    return fail


async def forever() -> None:
    await asyncio.Event().wait()


@contextlib.asynccontextmanager
async def served(
    department: Department, limits: ServingLimits | None = None, agreed: Description | None = None, **asking: float
) -> AsyncIterator[tuple[RemoteAdapter, Servicer]]:
    """The department behind a real server, and as its gateway has it."""
    servicer = Servicer(department, lambda _: True, limits or ServingLimits())
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((servicer.handlers,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    line = Line(lambda: grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
    adapter = RemoteAdapter(line, RemoteLimits(**asking), agreed)  # type: ignore[arg-type]
    try:
        yield adapter, servicer
    finally:
        await adapter.close()
        await server.stop(None)
        await servicer.close()


async def test_the_deadline_goes_along_and_the_work_ends_with_it() -> None:
    department = Department(forever)
    async with served(department) as (adapter, _):
        while not department.asked:  # again, where the machine stood still until it was over
            with pytest.raises(SourceDownError, match="in time"):
                await adapter.lookup(ask(ANNA, deadline_s=0.3))
        await asyncio.wait_for(department.cancelled.wait(), 60)
    assert 0 < department.asked[0].deadline_s <= 0.3


async def test_who_gives_up_ends_the_work() -> None:
    department = Department(forever)
    async with served(department) as (adapter, _):
        asking = asyncio.create_task(adapter.lookup(ask(ANNA, deadline_s=60)))
        while not department.asked:
            await asyncio.sleep(0.005)
        asking.cancel()
        await asyncio.wait_for(department.cancelled.wait(), 60)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (SourceDownError(SECRET, SECRET), SourceDownError),
        (SourceFaultError(SECRET, SECRET), SourceFaultError),
        (AdapterError(SECRET, SECRET), SourceFaultError),
        (RuntimeError(SECRET + ANNA), SourceFaultError),
    ],
)
async def test_what_goes_wrong_arrives_as_what_it_is_and_without_its_text(
    error: Exception, kind: type[AdapterError]
) -> None:
    async with served(Department(failing(error))) as (adapter, _):
        with capture_logs() as logs, pytest.raises(kind) as caught:
            await adapter.lookup(ask(ANNA))
    assert SECRET not in caught.value.en + caught.value.zh
    assert ANNA not in str(logs)


async def test_a_source_that_is_not_reached_is_told_when_it_is_asked_for() -> None:
    async with served(Department(failing(SourceDownError(SECRET, SECRET)))) as (adapter, _):
        with pytest.raises(SourceDownError) as caught:
            await adapter.check()
    assert SECRET not in caught.value.en
    async with served(Department()) as (adapter, _):
        await adapter.check()


async def test_more_than_it_takes_at_once_is_refused_and_asked_later_here() -> None:
    going = asyncio.Event()

    async def wait() -> None:
        await going.wait()

    department = Department(wait)
    async with served(department, ServingLimits(at_once=2), at_once=8) as (adapter, _):
        asking = [asyncio.create_task(adapter.lookup(ask(ANNA, deadline_s=60))) for _ in range(2)]
        while len(department.asked) < 2:
            await asyncio.sleep(0.005)
        with pytest.raises(SourceBusyError, match="too much to do"):
            await adapter.lookup(ask(ANNA))
        going.set()
        await asyncio.gather(*asking)
    department = Department(wait)
    async with served(department, ServingLimits(at_once=2), at_once=2) as (adapter, _):
        await asyncio.gather(*(adapter.lookup(ask(ANNA)) for _ in range(5)))
    assert len(department.asked) == 5


async def test_a_department_that_refuses_what_is_too_much_is_not_left_alone() -> None:
    going = asyncio.Event()
    department = Department(going.wait)
    async with served(department, ServingLimits(at_once=2), at_once=8) as (adapter, _):
        await adapter.learn()
        departments = Departments([adapter], str.__eq__, SystemClock(), DepartmentBreakerSettings(calls=4, open_s=60.0))
        taken_on = [asyncio.ensure_future(departments.ask(ask(ANNA, deadline_s=60))) for _ in range(2)]
        while len(department.asked) < 2:
            await asyncio.sleep(0.005)
        refused = await asyncio.gather(*(departments.ask(ask(ANNA, deadline_s=60)) for _ in range(6)))
        assert {each.reports[0].outcome for each in refused} == {words.SOURCE_OUTCOME_UNAVAILABLE}
        going.set()
        answered = [*await asyncio.gather(*taken_on), await departments.ask(ask(ANNA, deadline_s=60))]
        assert {each.reports[0].outcome for each in answered} == {words.SOURCE_OUTCOME_ANSWERED}
        assert departments.states()[0].outage is None


async def test_while_it_stops_nothing_new_is_taken_on() -> None:
    async with served(Department()) as (adapter, servicer):
        await adapter.lookup(ask(ANNA))
        servicer.drain()
        with pytest.raises(SourceDownError):
            await adapter.lookup(ask(ANNA))


async def test_it_is_empty_once_what_it_had_taken_on_has_been_answered() -> None:
    going = asyncio.Event()
    department = Department(going.wait)
    async with served(department) as (adapter, servicer):
        asking = asyncio.create_task(adapter.lookup(ask(ANNA, deadline_s=60)))
        while not department.asked:
            await asyncio.sleep(0.005)
        servicer.drain()
        emptied = asyncio.create_task(servicer.emptied())
        await asyncio.sleep(0)
        assert not emptied.done()
        going.set()
        assert len((await asking).evidence) == 1
        await asyncio.wait_for(emptied, 60)


async def test_changes_arrive_with_the_place_to_go_on() -> None:
    department = Department()
    async with served(department) as (adapter, _):
        assert await adapter.changes(b"", 10) == department.told
        with pytest.raises(SourceFaultError, match="more people"):
            await adapter.changes(b"", 1)
        with pytest.raises(SourceFaultError) as caught:
            await adapter.changes(b"nonsense", 10)
        assert SECRET not in caught.value.en
        people = [f"33070219500101{serial:04d}" for serial in range(5_000)]
        department.told = Changed(people, ["长" * 85] * 5_000, b"far", more=False)
        assert await adapter.changes(b"", 5_000) == department.told
        department.told = Changed([ANNA], ["安"], b"x" * 16_385)
        with pytest.raises(SourceFaultError, match="does not fit"):
            await adapter.changes(b"", 10)
        department.about = replace(department.describe(), changes=False)
    async with served(department) as (adapter, _):
        with pytest.raises(SourceFaultError, match="does not tell of changes"):
            await adapter.changes(b"", 10)


async def test_what_it_offers_is_asked_again_and_held_against_what_was_agreed() -> None:
    department = Department()
    agreed = department.describe()
    async with served(department, agreed=agreed, learn_every_s=0) as (adapter, _):
        await adapter.lookup(ask(ANNA))
        department.about = replace(agreed, version="2", max_batch=3)
        while adapter.offered != department.about:
            await adapter.lookup(ask(ANNA))
        department.asked.clear()
        await adapter.lookup(ask(*map(number, range(8))))
        assert [len(asked.subjects) for asked in department.asked] == [3, 3, 2]
        assert adapter.describe() == agreed
        department.about = replace(agreed, items=())
        with pytest.raises(SourceFaultError, match="does not offer what was agreed: BURIAL"):
            await asyncio.gather(*[adapter.lookup(ask(BO)) for _ in range(50)])


async def test_only_what_was_agreed_is_asked_for() -> None:
    department = Department()
    agreed = department.describe()
    department.about = replace(agreed, items=(*agreed.items, replace(agreed.items[0], kind=102)), links=True)
    async with served(department, agreed=agreed) as (adapter, _):
        await adapter.lookup(ask(ANNA))
        await adapter.lookup(ask(ANNA, kinds=(102, 103)))
        nothing = await adapter.lookup(ask(ANNA, kinds=(102,)))
    assert [asked.kinds for asked in department.asked] == [(103,), (103,), (103,)]
    assert len(nothing.holders.subject) == 1
    assert not len(nothing.evidence)


async def test_a_batch_larger_than_it_takes_is_refused_there() -> None:
    async with served(Department()) as (adapter, _):
        request = adapter_pb2.LookupRequest()
        request.subjects.id_number.extend([ANNA] * 10_001)
        request.subjects.name.extend([""] * 10_001)
        with adapter.line.call() as held, pytest.raises(grpc.aio.AioRpcError) as caught:
            await _all(held.channel, request.SerializeToString())
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert ANNA not in (caught.value.details() or "")


async def _all(channel: grpc.aio.Channel, data: bytes) -> list[bytes]:
    call: grpc.aio.UnaryStreamMultiCallable[bytes, bytes]
    call = channel.unary_stream("/wugan.adapter.v1.AdapterService/Lookup")
    return [message async for message in call(data, timeout=60)]


async def test_a_closed_adapter_is_down() -> None:
    async with served(Department()) as (adapter, _):
        await adapter.lookup(ask(ANNA))
        await adapter.close()
        with pytest.raises(SourceDownError):
            await adapter.lookup(ask(ANNA))


async def test_a_gateway_calls_with_its_own_certificate_of_the_moment(tmp_path_factory: pytest.TempPathFactory) -> None:
    member = Member(tmp_path_factory.mktemp("member"))

    def identity(name: str, *who: str) -> None:
        files = member.gateway(*who)
        key, chain = load_private_key(files / "key.pem"), (files / "certificate.pem").read_bytes()
        live.channel_credentials = lambda: channel_credentials(key, chain, member.authority.root_pem)
        live.tls = lambda: SimpleNamespace(name=name)

    live = SimpleNamespace()
    directory = cast(Directory, SimpleNamespace(require_believed=lambda _: None))
    shown = Shown(lambda: directory, member.authority.root_pem, SystemClock())
    identity("tls-1")
    async with sdk.served(Department(), "127.0.0.1:0", member.department()) as address:
        await member.adapter(address, member.gateway()).close()
        path = member.folder / "remote.yaml"
        lines = path.read_text("utf-8").splitlines()
        path.write_text("\n".join(line for line in lines if "roots.pem" not in line and "key.pem" not in line), "utf-8")
        adapter = build(load_manifest(path), member.folder, channels=OwnChannels(cast(LiveKeys, live), shown))
        await adapter.lookup(ask(ANNA))
        identity("tls-2", "12330000002482285F", "other")
        with pytest.raises(SourceFaultError, match="PERMISSION_DENIED"):
            await adapter.lookup(ask(ANNA))
        identity("tls-3")
        await adapter.lookup(ask(ANNA))
        await adapter.close()
