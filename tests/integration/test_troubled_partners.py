"""Real gateways behind fault proxies: whatever is wrong on the way, an agency gets what is known or a clear refusal by
the deadline, and everything once the trouble is over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.faults.provinces import Outcome, Troubled, troubled
from tests.faults.trouble import (
    BLACK_HOLE,
    CALM,
    CORRUPTION,
    DRIP,
    HALF_OPEN_BACK,
    REFUSED,
    RESET,
    TROUBLES,
    Fault,
    Trouble,
)
from wugan.federation.v1 import vocabulary_pb2 as words

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

DEADLINE_S = 1.5
PATIENT_S = 30.0
"""For those whose answers are not to depend on how busy the machine is."""
GRACE_S = 60.0
"""Far more than an answer may be late, far less than a hang: this machine may have other things to do. The bench
measures how late they are."""
SETTINGS = f"""
[federation]
deadline_ms = {DEADLINE_S * 1000:.0f}
[federation.breaker]
open_s = 0.2
longest_open_s = 0.5
"""
"""Partners are tried again soon, because the tests wait for it."""
HARMLESS = ("latency", "loss")
"""Troubles under which an answer may be whole."""
TOLD = {
    words.REFUSAL_REASON_PARTNER_UNAVAILABLE,
    words.REFUSAL_REASON_DEADLINE_EXCEEDED,
    words.REFUSAL_REASON_OVERLOADED,
}
"""What may be said of a partner that is not heard of."""
IN_TROUBLE, WELL = 0, 1
"""Two of the three members that answer."""


def name_of(trouble: Trouble) -> str:
    """As the list of troubles has it."""
    return next(name for name, each in TROUBLES.items() if each == trouble)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Troubled]:
    async with troubled(tmp_path_factory.mktemp("troubled") / "world", 3, extra=SETTINGS) as made:
        yield made
        logs = "".join(path.read_text("utf-8") for path in made.running.asking.folder.parent.glob("*/gateway.log"))
        assert "call failed" not in logs, "something that nobody foresaw went wrong in a gateway"
        assert "Traceback" not in logs
        assert "never retrieved" not in logs


@pytest_asyncio.fixture(loop_scope="module")
async def world(running: Troubled) -> AsyncIterator[Troubled]:
    """Well at first, and at the end: what one test leaves behind is no trouble of the next."""
    await until_whole(running)
    yield running
    await running.heal()


async def taken_on(world: Troubled) -> Outcome:
    """Ask all of them; again where the gateway, on a busy machine, says that it has too much to do."""
    while True:
        outcome = await ask(world, timeout_s=PATIENT_S)
        if outcome.refusal is None or outcome.refusal.reason != words.REFUSAL_REASON_OVERLOADED:
            return outcome


async def until_whole(world: Troubled) -> Outcome:
    """Ask all of them until all of them answer."""
    async with asyncio.timeout(60):
        while (outcome := await ask(world)).answer is None or outcome.answer.partial:
            await asyncio.sleep(0.05)
    return outcome


async def ask(world: Troubled, *positions: int, timeout_s: float | None = None) -> Outcome:
    """Ask these members, or all of them, and hold what comes to what must always be so."""
    outcome = await world.agency.ask(world.request(*positions), timeout_s=timeout_s)
    assert outcome.seconds < (timeout_s or DEADLINE_S) + GRACE_S, "it came far too late"
    if outcome.answer is not None:
        for part in outcome.answer.answers:
            if part.refusal:
                assert part.refusal in TOLD
                assert part.message_zh
                assert part.message_en
            else:
                world.verify(part)
        assert outcome.answer.partial == any(part.refusal for part in outcome.answer.answers)
    else:
        assert outcome.refusal is not None
        assert outcome.refusal.reason in TOLD
        assert outcome.refusal.retryable
        assert outcome.refusal.zh
        assert outcome.refusal.en
    return outcome


@pytest.mark.parametrize("name", TROUBLES)
async def test_whatever_is_wrong_with_one_of_several_the_others_answers_come_signed_and_in_time(
    world: Troubled, name: str
) -> None:
    async with world.proxies[IN_TROUBLE].suffering(TROUBLES[name]):
        for _ in range(3):
            outcome = await world.agency.in_time(lambda: ask(world))
            parts = [outcome.of(world.member_id(each)) for each in range(3)]
            assert [bool(part.refusal) for part in parts[1:]] == [False, False], "trouble with one harmed another"
            assert parts[IN_TROUBLE].refusal or name in HARMLESS
    assert not (await until_whole(world)).of(world.member_id(IN_TROUBLE)).refusal


@pytest.mark.parametrize("name", TROUBLES)
async def test_whatever_is_wrong_with_the_only_one_it_is_said_in_time_what_to_do(world: Troubled, name: str) -> None:
    async with world.proxies[IN_TROUBLE].suffering(TROUBLES[name]):
        for _ in range(3):
            outcome = await ask(world, IN_TROUBLE)
            assert outcome.refusal is not None or name in HARMLESS


@pytest.mark.parametrize("trouble", [BLACK_HOLE, HALF_OPEN_BACK, DRIP, CORRUPTION, RESET], ids=name_of)
async def test_trouble_that_begins_while_the_answer_is_on_its_way_is_survived_too(
    world: Troubled, trouble: Trouble
) -> None:
    proxy = world.proxies[IN_TROUBLE]
    held_back = Trouble(down=Fault(latency_s=0.2))

    async def attempt() -> Outcome:
        await proxy.heal()
        await until_whole(world)
        await proxy.suffer(held_back)
        sent = proxy.passed_up
        asked = asyncio.ensure_future(ask(world))
        await proxy.until(lambda: proxy.passed_up > sent)
        await proxy.suffer(trouble)
        return await asked

    outcome = await world.agency.in_time(attempt)
    assert [bool(outcome.of(world.member_id(each)).refusal) for each in (1, 2)] == [False, False]


async def test_trouble_that_ends_before_the_deadline_is_no_trouble(world: Troubled) -> None:
    proxy = world.proxies[IN_TROUBLE]

    async def attempt() -> Outcome:
        await proxy.heal()
        await until_whole(world)
        await proxy.suffer(Trouble(down=Fault(dead=True)))
        sent = proxy.passed_up
        asked = asyncio.ensure_future(ask(world))
        await proxy.until(lambda: proxy.passed_up > sent)
        await proxy.heal()
        return await asked

    outcome = await world.agency.in_time(attempt)
    assert outcome.answer is not None
    assert not outcome.answer.partial, "the answer was there in time and was not used"


async def test_a_partner_that_vanished_without_a_word_and_came_back_is_found_again(world: Troubled) -> None:
    """Its old connection stays open and silent for good: nobody ever says that it is dead."""
    proxy = world.proxies[IN_TROUBLE]
    proxy.freeze()
    before = proxy.accepted
    assert (await ask(world)).of(world.member_id(IN_TROUBLE)).refusal
    assert not (await until_whole(world)).of(world.member_id(IN_TROUBLE)).refusal
    assert proxy.accepted > before


async def test_hundreds_of_questions_into_a_black_hole_take_nothing_from_those_to_others(world: Troubled) -> None:
    """More of them than the gateway takes calls at once, so that nothing shared can be used up by them unnoticed."""
    async with world.proxies[IN_TROUBLE].suffering(BLACK_HOLE):
        lost = [asyncio.ensure_future(ask(world, IN_TROUBLE)) for _ in range(700)]
        # Patiently, and not each of them: a busy machine may be late, and shed a few. A full desk refuses all.
        asked = [await world.agency.ask(world.request(WELL), timeout_s=PATIENT_S) for _ in range(20)]
        refused = [outcome.refusal for outcome in asked if outcome.answer is None]
        assert len(refused) < 10, f"refused because another partner is silent: {refused[0]}"
        await asyncio.gather(*lost)


async def test_all_of_them_gone_is_a_refusal_and_all_of_them_back_is_an_answer(world: Troubled) -> None:
    for trouble in (BLACK_HOLE, REFUSED, RESET):
        for proxy in world.proxies:
            await proxy.suffer(trouble)
        for outcome in await asyncio.gather(*(ask(world) for _ in range(20))):
            assert outcome.refusal is not None
        await world.heal()
        assert (await until_whole(world)).answer is not None


async def test_a_partner_that_comes_and_goes_leaves_nothing_hanging(world: Troubled) -> None:
    proxy = world.proxies[IN_TROUBLE]
    over = asyncio.Event()

    async def flapping() -> None:
        while not over.is_set():
            for trouble in (RESET, CALM, BLACK_HOLE, CALM, CORRUPTION, CALM, REFUSED, CALM):
                await proxy.suffer(trouble)
                await proxy.change(0.02)

    task = asyncio.ensure_future(flapping())
    for _ in range(10):
        for outcome in await asyncio.gather(*(taken_on(world) for _ in range(20))):
            assert outcome.answer is not None, "two of three were well"
    over.set()
    await task


async def test_an_agency_that_gives_up_leaves_nothing_behind(world: Troubled) -> None:
    proxy = world.proxies[IN_TROUBLE]
    async with proxy.suffering(BLACK_HOLE):
        for _ in range(50):
            asked = asyncio.ensure_future(ask(world))
            await proxy.change(0.01)
            asked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked
    assert (await until_whole(world)).answer is not None
