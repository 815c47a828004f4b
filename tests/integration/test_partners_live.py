"""Real gateways whose partners hang, are gone and come back: what askers see, and what goes on without them."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import functools
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from aiohttp import web
from federation_world import channel, credentials

from gateway.app import gateway
from gateway.clock import SystemClock
from gateway.config import load_agency, load_gateway
from gateway.demo.founding import FoundedMember, MemberPlan, found
from gateway.status import from_rpc_error
from gateway.store.engine import Store
from gateway.store.partner_state import PartnerState
from tests.faults.proxy import FaultProxy
from tests.faults.trouble import DEAD, REFUSED, Trouble
from tests.unit.adapters.adapters_world import number
from wugan.adapter.v1 import vocabulary_pb2 as adapter_words
from wugan.agency.v1 import agency_pb2, agency_pb2_grpc
from wugan.federation.v1 import vocabulary_pb2 as words

pytestmark = pytest.mark.integration

UNIT = "110100"
ASKING = ("111100000000212234", "北京市", "Beijing", 110000)
HANGING = ("11330000002482285J", "浙江省", "Zhejiang", 330000)
WELL = ("113400000029860855", "安徽省", "Anhui", 340000)
SETTINGS = """
[access.harvest]
odd_people = 1000000000

[federation.retry]
last_try_ms = 200

[federation.breaker]
calls = 3
open_s = 30.0

[inquiry.breaker]
calls = 3
open_s = 60.0
"""
"""Whoever fails is left alone for longer than the test takes."""
MANIFEST = """\
manifest: 1
adapter_id: health
version: 1
department: HEALTH
regions: [REGION]
kind: api
source: {base_url: BASE, retries: 1}
identity: {column: idCard, name: name}
timeout_s: 30
records:
  - name: visits
    endpoint: {path: /visits, ids_per_request: 10, body: {ids: $ids}, rows: list}
    evidence: {column: type, codes: {REG: MEDICAL_REGISTRATION}}
    observed_on: {column: at, formats: [iso]}
    strength: REAL_NAME
    source_reference: ref
"""


@dataclass
class Department:
    """An interface that answers that it knows nobody, or hangs; and who asks it just now."""

    hangs: bool = False
    asked: int = 0
    under_way: int = 0
    given_up: int = 0
    base: str = ""

    async def handle(self, _request: web.Request) -> web.StreamResponse:
        self.asked += 1
        self.under_way += 1
        try:
            if self.hangs:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        finally:
            self.under_way -= 1
        return web.json_response({"list": []})


@contextlib.asynccontextmanager
async def department() -> AsyncIterator[Department]:
    made = Department()
    app = web.Application()
    app.router.add_post("/visits", made.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield made
    finally:
        await runner.cleanup()


@dataclass
class Provinces:
    """A asks; B and C answer, each from one department."""

    asking: FoundedMember
    b: FoundedMember
    c: FoundedMember
    of_b: Department
    of_c: Department
    manifest_of_b: Path

    def department_of_b_is_given(self, seconds: float) -> None:
        """Have B's adapter wait so long at most; before B runs."""
        text = self.manifest_of_b.read_text("utf-8")
        self.manifest_of_b.write_text(text.replace("timeout_s: 30", f"timeout_s: {seconds}"), "utf-8")

    async def check(self, *regions: int, timeout: float = 60.0, person: int = 1) -> agency_pb2.CheckResponse:
        async with self.agency() as stub:
            return await stub.Check(request(*regions, person=person), timeout=timeout)

    async def outcome(self, *regions: int, timeout: float = 60.0) -> str:
        try:
            await self.check(*regions, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            found = from_rpc_error(error)
            return error.code().name if found is None else found.code
        return "OK"

    @contextlib.asynccontextmanager
    async def agency(self) -> AsyncIterator[agency_pb2_grpc.AgencyServiceAsyncStub]:
        config = self.asking.agency_config(UNIT)
        settings = load_agency(config)
        shown = credentials(config.parent / "tls")
        async with channel(self.asking.agency_address, settings.gateway_name, shown) as opened:
            yield agency_pb2_grpc.AgencyServiceStub(opened)


def request(*regions: int, person: int = 1) -> agency_pb2.CheckRequest:
    return agency_pb2.CheckRequest(
        id_number=number(person),
        name="安娜",
        benefit=words.BENEFIT_TYPE_EMPLOYEE_PENSION,
        purpose=adapter_words.PURPOSE_CERTIFICATION,
        regions=regions,
        legal_basis="社会保险法 第七十四条",
        case_reference="TEST-1",
        official="test",
        fresh=True,
    )


@contextlib.asynccontextmanager
async def running(member: FoundedMember) -> AsyncIterator[None]:
    """A member's gateway, as it runs."""
    async with gateway(load_gateway(member.config), SystemClock()):
        yield


@pytest.fixture
async def provinces(tmp_path: Path) -> AsyncIterator[Provinces]:
    async with founded(tmp_path) as made:
        yield made


@contextlib.asynccontextmanager
async def founded(
    tmp_path: Path, listed: Mapping[str, Sequence[str]] | None = None, extra: str = ""
) -> AsyncIterator[Provinces]:
    """The three of them, none of which runs yet; `listed` as in `found`."""
    async with department() as of_b, department() as of_c:
        manifests = []
        for made, region in ((of_b, 330000), (of_c, 340000)):
            path = tmp_path / f"health-{region}.yaml"
            path.write_text(MANIFEST.replace("BASE", made.base).replace("REGION", str(region)), "utf-8")
            manifests.append((path,))
        plans = [
            MemberPlan(*ASKING, units=((UNIT, "test"),), manifests=()),
            MemberPlan(*HANGING, units=(), manifests=manifests[0]),
            MemberPlan(*WELL, units=(), manifests=manifests[1]),
        ]
        members = await asyncio.to_thread(
            functools.partial(found, extra=SETTINGS + extra, log_level="ERROR", listed=listed),
            *(tmp_path / "federation", plans, dt.datetime.now(dt.UTC)),
        )
        yield Provinces(*members, of_b, of_c, manifests[0][0])


@contextlib.asynccontextmanager
async def black_hole(address: str) -> AsyncIterator[None]:
    """Something that takes connections at an address and never says a word."""
    held: list[asyncio.StreamWriter] = []

    async def take(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)

    host, _, port = address.rpartition(":")
    server = await asyncio.start_server(take, host, int(port))
    try:
        yield
    finally:
        server.close()
        for writer in held:
            writer.transport.abort()
        await server.wait_closed()


async def until(condition: Callable[[], object], what: str) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)
    assert condition(), what


async def test_when_the_agency_gives_up_the_query_in_the_other_provinces_department_is_given_up(
    provinces: Provinces,
) -> None:
    provinces.of_b.hangs = True
    async with running(provinces.asking), running(provinces.b), provinces.agency() as stub:
        call = stub.Check(request(330000), timeout=30.0)
        await until(lambda: provinces.of_b.under_way, "the department was never asked")
        call.cancel()
        await until(lambda: provinces.of_b.given_up == 1, "the department's query goes on though nobody waits")
        assert provinces.of_b.under_way == 0


async def test_of_two_who_ask_the_same_one_may_give_up_and_the_other_is_answered(provinces: Provinces) -> None:
    provinces.of_b.hangs = True
    provinces.department_of_b_is_given(2.0)
    async with running(provinces.asking), running(provinces.b), provinces.agency() as stub:
        first, second = (stub.Check(request(330000), timeout=20.0) for _ in range(2))
        await until(lambda: provinces.of_b.under_way, "the department was never asked")
        await asyncio.sleep(0.05)
        assert provinces.of_b.under_way == 1, "the same question was asked twice"
        first.cancel()
        response = await second
        assert response.partial, "the department does not answer, so the answer must say so"


async def test_a_partner_of_two_addresses_answers_when_one_of_them_is_slow_or_dead(tmp_path: Path) -> None:
    async with FaultProxy() as first, FaultProxy() as second:
        listed = {HANGING[0]: (first.address, second.address)}
        async with (
            founded(tmp_path, listed, "\n[federation]\ndeadline_ms = 30000\n") as made,
            running(made.asking),
            running(made.b),
            made.agency() as stub,
        ):
            first.target = second.target = made.b.federation_address
            for person in range(50):  # earn a hedge, and show how long it usually takes
                await stub.Check(request(330000, person=17 * person + 1))
            before = second.passed_up  # not nothing, where the machine stood still: then one was hedged already
            await first.suffer(Trouble(down=DEAD))
            assert not (await stub.Check(request(330000, person=999))).partial
            assert second.passed_up > before
            await first.suffer(REFUSED)
            asked = (stub.Check(request(330000, person=17 * person + 1)) for person in range(40))
            assert [each.partial for each in await asyncio.gather(*asked)] == [False] * 40


async def test_a_department_that_never_answers_is_waited_for_a_few_times_and_then_not_at_all(
    provinces: Provinces,
) -> None:
    provinces.of_b.hangs = True
    provinces.department_of_b_is_given(0.3)
    async with running(provinces.asking), running(provinces.b):
        for person in range(1, 4):
            response = await provinces.check(330000, timeout=30.0, person=person)
            assert response.partial
        asked = provinces.of_b.asked
        assert asked == 3
        response = await provinces.check(330000, timeout=30.0, person=4)
        assert [each.outcome for each in response.sources] == [words.SOURCE_OUTCOME_UNAVAILABLE]
        assert response.answers[0].proof.signature
        assert provinces.of_b.asked == asked


async def test_a_black_holed_partner_is_left_alone_also_after_a_restart_and_found_again_when_it_is_back(
    provinces: Provinces,
) -> None:
    async with running(provinces.c):
        async with black_hole(provinces.b.federation_address), running(provinces.asking):
            seen = [await provinces.outcome(330000, timeout=1.0) for _ in range(3)]
            assert set(seen) <= {"DEADLINE_EXCEEDED", "PARTNER_UNAVAILABLE"}
            assert await provinces.outcome(330000, timeout=60.0) == "PARTNER_UNAVAILABLE"
            response = await provinces.check(timeout=60.0)
            assert response.partial
            answered = {each.member_id: each.refusal for each in response.answers}
            assert answered[HANGING[0]] == words.REFUSAL_REASON_PARTNER_UNAVAILABLE
            assert not answered[WELL[0]]
        (kept,) = await states(provinces)
        assert kept.member == HANGING[0]
        await hold_for_a_minute(provinces, kept)
        async with running(provinces.asking), running(provinces.b):
            assert await provinces.outcome(330000) == "PARTNER_UNAVAILABLE", "forgotten over the restart"
            assert await provinces.outcome(340000) == "OK"
        await hold_for_a_minute(provinces, kept._replace(next_try_ms=0))
        async with running(provinces.b), running(provinces.asking):
            async with asyncio.timeout(60):
                while await provinces.outcome(330000) != "OK":
                    await asyncio.sleep(0.05)
                while await provinces.outcome(330000) != "OK":
                    await asyncio.sleep(0.05)
        assert await states(provinces) == []


async def states(provinces: Provinces) -> list[PartnerState]:
    """What the asking gateway, which is not running, has kept."""
    folder = provinces.asking.folder / "state"
    async with Store.open(folder / "gateway.db", key=folder / "store.key", clock=SystemClock()) as store:
        return await store.partners.read()


async def hold_for_a_minute(provinces: Provinces, kept: PartnerState) -> None:
    """Put the next try off, so that the test need not hurry; or, where it is 0, leave it at now."""
    folder = provinces.asking.folder / "state"
    async with Store.open(folder / "gateway.db", key=folder / "store.key", clock=SystemClock()) as store:
        next_try_ms = SystemClock().now_ms() + 60_000 if kept.next_try_ms else 0
        await store.partners.submit([kept._replace(next_try_ms=next_try_ms)], [])
