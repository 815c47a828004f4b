"""What is known of partners that fail outlives a restart, and costs no call a write."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.clock import FakeClock
from gateway.errors import WuganError
from gateway.federation.partner_memory import PartnerMemory
from gateway.federation.partners import Asking, Partners
from gateway.resilience.breaker import State
from gateway.sections.resilience import BreakerSettings, RetrySettings
from gateway.store.engine import Store
from gateway.store.partner_state import PartnerState
from tests.unit.services.gateways_world import (
    NOW_MS,
    A,
    B,
    C,
    Call,
    Federation,
    Listed,
    answering,
    findings,
    question,
    stored,
)
from wugan.federation.v1 import envelope_pb2, exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

QUICK = BreakerSettings(calls=4, open_s=4.0)


def partners_of(federation: Federation) -> Partners:
    return federation.partners(breaker=QUICK, retry=RetrySettings(retry_share=0), drawn=lambda: 0.0)


async def outcome(partners: Partners) -> str:
    try:
        await partners.ask(B.member_id, Asking(question(), lambda _: None), 5.0)
    except WuganError as error:
        return error.code
    return "OK"


class Counting:
    """The store's states, and how often they are written."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.written = 0

    def submit(self, *args: Any) -> asyncio.Future[None]:
        self.written += 1
        return self.store.partners.submit(*args)

    async def read(self) -> list[PartnerState]:
        return await self.store.partners.read()


async def failed_until_left_alone(partners: Partners) -> None:
    for _ in range(4):
        await outcome(partners)
    assert partners.standings.doors()[0].state is State.OPEN


async def test_after_a_restart_a_partner_that_failed_is_still_left_alone_and_then_tried(tmp_path: Path) -> None:
    federation = Federation()
    async with stored(tmp_path) as store:
        partners = partners_of(federation)
        memory = PartnerMemory(partners.standings, store.partners, federation.directory)
        await failed_until_left_alone(partners)
        await memory.write()
    calls = []

    async def well(envelope: envelope_pb2.Envelope, call: Call) -> envelope_pb2.Envelope:
        calls.append(envelope)
        reply = answering(
            federation,
            B,
            lambda asked: exchange_pb2.Answer(
                context=asked.context, findings=findings(words.SURVIVAL_STATUS_ALIVE_STRONG)
            ),
        )
        return await reply(envelope, call)

    federation.at(B, well)
    async with stored(tmp_path) as store:
        (kept,) = await store.partners.read()
        assert kept == PartnerState(B.member_id, B.address, NOW_MS, 1, 2_000, NOW_MS + 2_000, "PARTNER_UNAVAILABLE")
        partners = partners_of(federation)
        memory = PartnerMemory(partners.standings, store.partners, federation.directory)
        await memory.restore()
        assert await outcome(partners) == "PARTNER_UNAVAILABLE"
        assert not calls
        federation.clock.advance(2.0)
        assert [await outcome(partners) for _ in range(2)] == ["OK", "OK"]
        await memory.write()
        assert await store.partners.read() == []


async def test_calls_cost_no_write_and_many_changes_one(tmp_path: Path) -> None:
    federation = Federation()
    async with stored(tmp_path) as store:
        counting = Counting(store)
        partners = partners_of(federation)
        memory = PartnerMemory(partners.standings, counting, federation.directory, pause_s=0.0)  # type: ignore[arg-type]
        running = asyncio.create_task(memory.run())
        await failed_until_left_alone(partners)
        for _ in range(200):
            await outcome(partners)
        await until(lambda: counting.written)
        assert counting.written == 1
        running.cancel()
        await memory.write()
        assert counting.written == 1


async def test_a_partner_that_left_the_federation_is_forgotten(tmp_path: Path) -> None:
    federation = Federation()
    async with stored(tmp_path) as store:
        partners = partners_of(federation)
        source = federation.directory
        memory = PartnerMemory(partners.standings, store.partners, source)
        await failed_until_left_alone(partners)
        await memory.write()
        source._directory = Listed(A, C, clock=federation.clock).current()
        memory.follow()
        await memory.write()
        assert await store.partners.read() == []
        assert partners.standings.doors() == []


async def test_nobody_is_forgotten_because_the_directory_expired(tmp_path: Path) -> None:
    federation = Federation()
    async with stored(tmp_path) as store:
        partners = partners_of(federation)
        memory = PartnerMemory(partners.standings, store.partners, federation.directory)
        await failed_until_left_alone(partners)
        federation.clock.advance(31 * 86_400)
        memory.follow()
        assert len(partners.standings.doors()) == 1


async def test_what_could_not_be_written_is_written_later_and_stops_nothing(tmp_path: Path) -> None:
    federation = Federation()
    async with stored(tmp_path) as store:
        partners = partners_of(federation)
        closed = Store.open(tmp_path / "other.db", key=tmp_path / "other.key", clock=FakeClock())
        await closed.close()
        memory = PartnerMemory(partners.standings, closed.partners, federation.directory)
        await failed_until_left_alone(partners)
        with capture_logs() as logs:
            await memory.write()
        assert [each["event"] for each in logs] == ["state of partners not written"]
        memory._states = store.partners
        await memory.write()
        assert len(await store.partners.read()) == 1


async def test_states_of_one_gateway_replace_each_other_and_bounds_hold(tmp_path: Path) -> None:
    async with stored(tmp_path) as store:
        first = PartnerState(B.member_id, B.address, 1, 1, 1, 1, "UNAVAILABLE")
        second = first._replace(failures=2**40, interval_ms=2**40, reason="R" * 100)
        store.partners.submit([first], [])
        await store.partners.submit([second], [])
        assert await store.partners.read() == [
            second._replace(failures=2**31 - 1, interval_ms=2**31 - 1, reason="R" * 40)
        ]
        await store.partners.submit([], [(B.member_id, B.address), (C.member_id, C.address)])
        assert await store.partners.read() == []


async def test_the_log_says_who_is_left_alone_and_who_is_well_again() -> None:
    federation = Federation()
    partners = partners_of(federation)
    PartnerMemory(partners.standings, None, federation.directory)  # type: ignore[arg-type]
    with capture_logs() as logs:
        await failed_until_left_alone(partners)
    assert [(each["event"], each["member"]) for each in logs] == [("partner left alone", B.member_id)]


async def until(condition: Callable[[], object]) -> None:
    for _ in range(2_000):
        if condition():
            return
        await asyncio.sleep(0.001)
    pytest.fail("did not come about within seconds")
