"""The loops that renew keys in a running gateway: they answer commands, tell the authority, and do not end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from certs import slot_requests
from certs.errors import RotationError, SlotError
from certs.rotation import Event
from certs.slot_journal import Kind
from certs.slot_requests import Request
from certs.slots import KeySlots
from gateway.clock import FakeClock
from gateway.federation import renewal
from gateway.federation.renewal import Renewal, after_refusals_s, policy_of
from gateway.sections.trust import RotationSettings
from tests.unit.services.gateways_world import NOW_MS, A, B, Listed


class Rotator:
    """What the loops need of one; crashes and refuses when told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, tuple[Kind, ...], bool]] = []
        self.crashes = 0
        self.runs = 0
        self.refusal: Exception | None = None
        self.ran = asyncio.Event()

    async def run(self, _poll_s: float, _pace_s: float) -> None:
        self.runs += 1
        if self.crashes:
            self.crashes -= 1
            raise ZeroDivisionError
        self.ran.set()
        await asyncio.Event().wait()

    async def rotate(self, kinds: Sequence[Kind], _reason: str, *, urgent: bool) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.asked.append(("rotate", tuple(kinds), urgent))

    async def roll_back(self, kinds: Sequence[Kind]) -> tuple[Kind, ...]:
        self.asked.append(("roll_back", tuple(kinds), False))
        return ("tls",)


class Client:
    """What the loops need of the authority."""

    def __init__(self) -> None:
        self.told: list[int] = []
        self.failures = 0
        self.heard = asyncio.Event()

    async def report_seen(self, version: int) -> dict[str, int]:
        if self.failures:
            self.failures -= 1
            raise RotationError("the authority cannot be reached", "无法连接签发机构")
        self.told.append(version)
        self.heard.set()
        return {}


@pytest_asyncio.fixture
async def slots(tmp_path: Path) -> AsyncIterator[KeySlots]:
    with KeySlots.open(tmp_path / "keys") as opened:
        yield opened


def loops(slots: KeySlots, clock: FakeClock, rotator: Rotator | None, client: Client | None = None) -> Renewal:
    directory = Listed(A, B, clock=clock)
    return Renewal(slots, cast(Any, rotator), cast(Any, client), directory, clock, poll_s=0.001)


async def asked(slots: KeySlots, clock: FakeClock, rotator: Rotator | None, request: Request) -> slot_requests.Answer:
    name = slot_requests.ask(slots.folder, request)
    running = asyncio.create_task(loops(slots, clock, rotator).run())
    async with asyncio.timeout(10):
        while (answer := slot_requests.answer_of(slots.folder, name)) is None:
            await asyncio.sleep(0.001)
    running.cancel()
    return answer


async def test_a_command_is_taken_up_and_answered(slots: KeySlots) -> None:
    clock, rotator = FakeClock(NOW_MS), Rotator()
    request = Request(action="rotate", kinds=("signing",), urgent=True, asked_at_ms=clock.now_ms())
    assert (await asked(slots, clock, rotator, request)).done
    assert rotator.asked == [("rotate", ("signing",), True)]
    back = await asked(slots, clock, rotator, Request(action="roll_back", asked_at_ms=clock.now_ms()))
    assert back.kinds == ("tls",)


async def test_a_refusal_reaches_who_asked_in_both_languages(slots: KeySlots) -> None:
    clock, rotator = FakeClock(NOW_MS), Rotator()
    rotator.refusal = SlotError("a rotation is under way", "轮换正在进行")
    answer = await asked(slots, clock, rotator, Request(action="rotate", asked_at_ms=clock.now_ms()))
    assert (answer.done, answer.en, answer.zh) == (False, "a rotation is under way", "轮换正在进行")


async def test_without_an_authority_a_command_is_told_so(slots: KeySlots) -> None:
    clock = FakeClock(NOW_MS)
    answer = await asked(slots, clock, None, Request(action="rotate", asked_at_ms=clock.now_ms()))
    assert not answer.done
    assert "authority.url" in answer.en


async def test_a_crash_of_one_loop_does_not_end_the_renewal_of_keys(
    slots: KeySlots, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewal, "AFTER_CRASH_S", 0.0)
    rotator = Rotator()
    rotator.crashes = 2
    running = asyncio.create_task(loops(slots, FakeClock(NOW_MS), rotator).run())
    await asyncio.wait_for(rotator.ran.wait(), 10)
    assert rotator.runs == 3
    running.cancel()


async def test_the_authority_is_told_of_a_directory_once(slots: KeySlots) -> None:
    client = Client()
    renewing = loops(slots, FakeClock(NOW_MS), None, client)
    for _ in range(3):
        await renewing.report()
    assert client.told == [1]


async def test_an_authority_that_forgot_what_it_was_told_is_told_again_of_the_same_directory(slots: KeySlots) -> None:
    client, clock = Client(), FakeClock(NOW_MS)
    renewing = loops(slots, clock, None, client)
    for _ in range(3):
        await renewing.report()
        clock.advance(renewal.TELL_AGAIN_S)
    assert client.told == [1, 1, 1]


async def test_an_authority_that_did_not_hear_is_told_again(slots: KeySlots) -> None:
    client = Client()
    client.failures = 1
    renewing = loops(slots, FakeClock(NOW_MS), None, client)
    with pytest.raises(RotationError):
        await renewing.report()
    await renewing.report()
    assert client.told == [1]


async def test_a_gateway_that_is_refused_asks_less_and_less_often_until_the_directory_changes(
    slots: KeySlots, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [after_refusals_s(0.001, times) for times in (0, 1, 3, 100)] == [0.001, 2.0, 8.0, 60.0]
    monkeypatch.setattr(renewal, "LONGEST_REFUSED_S", 3600.0)
    client = Client()
    client.failures = 1
    renewing = loops(slots, FakeClock(NOW_MS), None, client)
    running = asyncio.create_task(renewing.run())
    async with asyncio.timeout(10):
        while client.failures:
            await asyncio.sleep(0)
        renewing.wake()
        await client.heard.wait()
    running.cancel()


def test_the_policy_is_that_of_the_settings() -> None:
    policy = policy_of(RotationSettings(retire_after_s=1.5, seen_timeout_s=2.0, encryption_days=1.0, automatic=False))
    assert (policy.retire_after_ms, policy.seen_timeout_ms, policy.encryption_life_ms) == (1500, 2000, 86_400_000)
    assert policy.automatic is False
    assert policy.at_life == pytest.approx(2 / 3, abs=1e-3)


def test_the_log_names_the_kinds_of_keys() -> None:
    with capture_logs() as logged:
        renewal.log_event(Event("keys activated", ("tls", "signing")))
    assert logged[0]["kinds"] == "tls, signing"  # a list would be logged as its type
