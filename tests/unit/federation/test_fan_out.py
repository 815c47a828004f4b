"""Asking several members at once: told as they answer, over by the deadline, following a move once, given again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.clock import FakeClock
from gateway.errors import PartnerError, StoreError
from gateway.federation.answer_cache import AnswerCache
from gateway.federation.check import Checks
from gateway.federation.checked import Checked
from gateway.federation.kept import CacheOptions
from gateway.federation.questions import Recipient
from gateway.federation.routing import Places
from gateway.store.engine import Store
from tests.unit.federation.test_check import Asked, case, events
from tests.unit.federation.test_check import recipient as of_residence
from tests.unit.services.gateways_world import (
    ANHUI,
    ANNA,
    FUJIAN,
    NOW_MS,
    A,
    B,
    C,
    Call,
    Party,
    findings,
    opened_at,
    sealed_answer,
    stored,
)
from wugan.federation.v1 import envelope_pb2, exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

STRONG, WEAK, UNKNOWN = (
    words.SURVIVAL_STATUS_ALIVE_STRONG,
    words.SURVIVAL_STATUS_ALIVE_WEAK,
    words.SURVIVAL_STATUS_UNKNOWN,
)
HUBEI = 420000
D = Party(HUBEI)
HOUR_MS = 3_600_000


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW_MS)


@pytest.fixture
async def store(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Store]:
    async with stored(tmp_path, clock) as opened:
        yield opened


@pytest.fixture
def federation(clock: FakeClock) -> Asked:
    made = Asked(A, B, C, D)
    made.clock = clock
    for party in (B, C, D):
        made.answers(party, WEAK)
    return made


@pytest.fixture
async def cache(store: Store, federation: Asked) -> AsyncIterator[AnswerCache]:
    options = CacheOptions(100, 1 << 20, stale_if_unreachable=True, flush_s=0.01)
    made = AnswerCache(store.reusable, store.answers, federation.directory, federation.clock, options)
    await made.open()
    yield made
    await made.close()


def recipient(*regions: int, **changed: Any) -> Recipient:
    return of_residence(regions=regions, **changed)


async def check(checks: Checks, about: Recipient, left_s: float = 5.0, **why: Any) -> Checked:
    checked = await checks.check(about, case(**why), left_s)
    await checked.recorded()
    return checked


def members(checked: Checked) -> list[str]:
    return [result.member_id for result in checked.results]


def moved(to: int, status: int = WEAK) -> exchange_pb2.Findings:
    made = findings(status, flags=[1 << words.ENTITLEMENT_FLAG_MOVED])
    reasons = made.reasons
    for column in (reasons.subject, reasons.department, reasons.kind, reasons.on):
        column.append(0)  # type: ignore[attr-defined]
    reasons.code.append(1)
    reasons.number.append(to)
    made.reason_texts.add(code=1, name="MOVED", zh="迁", en="moved")
    return made


def when_told(federation: Asked, party: Party, go: asyncio.Event) -> None:
    """Let a member answer when the test says so."""

    async def wait(envelope: envelope_pb2.Envelope, _call: Call) -> envelope_pb2.Envelope:
        await go.wait()
        opened = opened_at(federation, party, envelope)
        asked = exchange_pb2.Question.FromString(opened.payloads[0])
        answer = exchange_pb2.Answer(context=asked.context, findings=findings(STRONG))
        return sealed_answer(federation, party, opened, answer.SerializeToString())

    federation.at(party, wait)


def stubborn(federation: Asked, party: Party) -> asyncio.Event:
    """A member whose call neither answers nor ends when it is told to; returns what ends it."""
    end = asyncio.Event()

    async def hang(_envelope: envelope_pb2.Envelope, _call: Call) -> envelope_pb2.Envelope:
        while not end.is_set():
            try:
                await end.wait()
            except asyncio.CancelledError:
                continue
        raise AssertionError

    federation.at(party, hang)
    return end


async def test_what_is_known_is_told_as_the_members_answer(federation: Asked, store: Store) -> None:
    go = asyncio.Event()
    when_told(federation, C, go)
    told: list[Checked] = []
    async for checked in federation.checks(store).follow(recipient(ANHUI, FUJIAN), case(), 5.0):
        told.append(checked)
        go.set()
    assert [members(each) for each in told] == [[B.member_id], [B.member_id, C.member_id]]
    assert [each.awaited for each in told] == [(C.member_id,), ()]


async def test_members_stay_in_the_order_of_routing_whoever_is_first(federation: Asked, store: Store) -> None:
    go = asyncio.Event()
    when_told(federation, B, go)
    told = []
    async for checked in federation.checks(store).follow(recipient(ANHUI, FUJIAN), case(), 5.0):
        told.append(members(checked))
        go.set()
    assert told == [[C.member_id], [B.member_id, C.member_id]]


async def test_a_failure_alone_is_not_told_before_the_end(federation: Asked, store: Store) -> None:
    federation.fails(B)
    go = asyncio.Event()
    when_told(federation, C, go)
    told = []
    following = federation.checks(store).follow(recipient(ANHUI, FUJIAN), case(), 5.0)
    next_one = asyncio.ensure_future(anext(following))
    async with asyncio.timeout(5):
        while not await events(store):
            await asyncio.sleep(0)
    assert not next_one.done()
    go.set()
    told.append(await next_one)
    told += [each async for each in following]
    assert [(members(each), each.awaited) for each in told] == [([B.member_id, C.member_id], ())]


async def test_when_nobody_answers_following_ends_with_the_error(federation: Asked, store: Store) -> None:
    for party in (B, C):
        federation.fails(party)
    with pytest.raises(PartnerError):
        await anext(federation.checks(store).follow(recipient(ANHUI, FUJIAN), case(), 5.0))


async def test_who_stops_listening_ends_the_asking(federation: Asked, store: Store) -> None:
    given_up = asyncio.Event()

    async def hang(_envelope: envelope_pb2.Envelope, _call: Call) -> envelope_pb2.Envelope:
        try:
            await asyncio.Event().wait()
        finally:
            given_up.set()
        raise AssertionError

    federation.at(C, hang)
    following = federation.checks(store).follow(recipient(ANHUI, FUJIAN), case(), 5.0)
    await anext(following)
    await following.aclose()
    await asyncio.wait_for(given_up.wait(), 5)


async def test_a_member_that_does_not_even_end_its_call_keeps_nobody_waiting(federation: Asked, store: Store) -> None:
    end = stubborn(federation, C)
    checked = await check(federation.checks(store), recipient(ANHUI, FUJIAN), left_s=0.1)
    end.set()
    answered = {result.member_id: result.error.code if result.error else "" for result in checked.results}
    assert answered == {B.member_id: "", C.member_id: "DEADLINE_EXCEEDED"}


async def test_a_move_is_followed_once_to_the_member_that_serves_its_end(federation: Asked, store: Store) -> None:
    federation.answers(B, findings=moved(FUJIAN))
    federation.answers(C, findings=moved(HUBEI))
    checked = await check(federation.checks(store), recipient(ANHUI))
    assert members(checked) == [B.member_id, C.member_id]
    assert [result.followed for result in checked.results] == [False, True]
    assert D.member_id not in federation.questions, "a second move is not followed"


async def test_both_ends_of_two_moves_are_asked_when_both_origins_were(federation: Asked, store: Store) -> None:
    federation.answers(B, findings=moved(HUBEI))
    federation.answers(C, findings=moved(HUBEI))
    checked = await check(federation.checks(store), recipient(ANHUI, FUJIAN))
    assert members(checked) == [B.member_id, C.member_id, D.member_id]


async def test_a_move_to_whom_was_asked_already_asks_nobody_twice(federation: Asked, store: Store) -> None:
    federation.answers(B, findings=moved(FUJIAN))
    checked = await check(federation.checks(store), recipient(ANHUI, FUJIAN))
    assert members(checked) == [B.member_id, C.member_id]
    assert len(await events(store)) == 2


@pytest.mark.parametrize("options", [{"follow_moves": False}, {"max_members": 1}], ids=["set not to", "too many"])
async def test_a_move_is_not_followed_against_the_settings(
    federation: Asked, store: Store, options: dict[str, Any]
) -> None:
    federation.answers(B, findings=moved(FUJIAN))
    assert members(await check(federation.checks(store, **options), recipient(ANHUI))) == [B.member_id]


async def test_while_a_move_is_followed_the_member_that_told_of_it_is_heard(federation: Asked, store: Store) -> None:
    federation.answers(B, findings=moved(FUJIAN))
    go = asyncio.Event()
    when_told(federation, C, go)
    told = []
    async for checked in federation.checks(store).follow(recipient(ANHUI), case(), 5.0):
        told.append((members(checked), checked.awaited))
        go.set()
    assert told == [([B.member_id], (C.member_id,)), ([B.member_id, C.member_id], ())]


def allowing(
    federation: Asked, party: Party, status: int = STRONG, *, for_ms: int = HOUR_MS, stale_ms: int = 0, on: int = 0
) -> exchange_pb2.Findings:
    """Let a member answer what may be given again; what is returned can be changed later."""
    made = findings(status)
    now_ms = federation.clock.now_ms()
    made.made_at_ms = now_ms
    made.as_of_on = on or made.as_of_on
    made.cacheable_until_ms = now_ms + for_ms
    made.stale_until_ms = made.cacheable_until_ms + stale_ms if stale_ms else 0
    federation.answers(party, findings=made)
    return made


async def again(federation: Asked, checks: Checks, about: Recipient, **why: Any) -> Checked:
    """Ask once more, whoever might be asked being forgotten."""
    federation.questions.clear()
    for _ in range(3):  # rounds in which what was answered is taken
        await asyncio.sleep(0)
    return await check(checks, about, **why)


async def test_what_was_answered_is_given_again_and_nobody_is_asked(
    federation: Asked, store: Store, cache: AnswerCache
) -> None:
    allowing(federation, B)
    checks = federation.checks(store, cache=cache)
    first = await check(checks, recipient(ANHUI))
    second = await again(federation, checks, recipient(ANHUI), case_reference="JH-2", official="wang")
    assert not federation.questions
    assert second.results[0].held is not None
    assert first.results[0].answer is not None
    assert second.results[0].answer == first.results[0].answer


async def test_looking_for_an_earlier_answer_is_part_of_the_time_for_one(
    federation: Asked, store: Store, cache: AnswerCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = federation.checks(store, cache=cache)
    given: list[float] = []
    ask = checks._partners.ask

    async def slow(*_: Any) -> None:
        await asyncio.sleep(0.1)

    async def noted(member_id: str, asking: Any, timeout_s: float) -> Any:
        given.append(timeout_s)
        return await ask(member_id, asking, timeout_s)

    monkeypatch.setattr(cache, "find", slow)
    monkeypatch.setattr(checks._partners, "ask", noted)
    await checks.check(recipient(ANHUI), case(), 5.0)
    assert max(given) < 4.9


async def test_giving_it_again_is_recorded_with_who_got_it_and_which_answer_it_was(
    federation: Asked, store: Store, cache: AnswerCache
) -> None:
    allowing(federation, B)
    checks = federation.checks(store, cache=cache)
    await check(checks, recipient(ANHUI))
    given = await again(federation, checks, recipient(ANHUI), case_reference="JH-2", official="wang")
    asked, told = await events(store)
    answer = given.results[0].answer
    assert answer is not None
    assert (told.direction, told.counterpart, told.unit, told.case_reference, told.outcome) == (
        "again",
        B.member_id,
        "jinhua",
        "JH-2",
        0,
    )
    assert told.message_id == answer.message_id
    assert told.official not in (asked.official, b"")
    recorded = (await store.audit.events())[1]
    assert store.audit.matches(recorded, answer.proof.question_digest)
    assert await store.answers.produce(B.member_id, told.message_id, answer.proof.position) is not None


async def test_an_answer_that_cannot_be_recorded_is_not_given(
    federation: Asked, store: Store, cache: AnswerCache
) -> None:
    allowing(federation, B)
    checks = federation.checks(store, cache=cache)
    await check(checks, recipient(ANHUI))
    for _ in range(3):
        await asyncio.sleep(0)
    await store._writer.close()
    given = await checks.check(recipient(ANHUI), case(), 5.0)
    with pytest.raises(StoreError):
        await given.recorded()


async def test_an_answer_on_its_way_when_a_notice_came_is_given_again_to_nobody_whoever_waits_for_it(
    federation: Asked, store: Store, cache: AnswerCache
) -> None:
    allowing(federation, B)
    answer, asked, go = federation.handlers[B.address], asyncio.Event(), asyncio.Event()

    async def wait(envelope: envelope_pb2.Envelope, call: Call) -> envelope_pb2.Envelope:
        asked.set()
        await go.wait()
        return await answer(envelope, call)

    federation.at(B, wait)
    checks = federation.checks(store, cache=cache)
    first = asyncio.ensure_future(check(checks, recipient(ANHUI)))
    await asked.wait()
    await cache.invalidate(B.member_id, [cache.index_of(ANNA)])
    second = asyncio.ensure_future(check(checks, recipient(ANHUI)))
    for _ in range(10):
        await asyncio.sleep(0)
    go.set()
    await asyncio.gather(first, second)
    third = await again(federation, checks, recipient(ANHUI))
    assert third.results[0].held is None, "it may have been made before the change that the notice tells of"


async def test_with_an_answer_against_somebody_is_kept_that_everybodys_earlier_ones_went(
    federation: Asked, store: Store, cache: AnswerCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if this gateway was killed before its cache was told."""
    allowing(federation, B)
    allowing(federation, C)
    checks = federation.checks(store, cache=cache)
    await check(checks, recipient(FUJIAN))
    assert (await again(federation, checks, recipient(FUJIAN))).results[0].held is not None
    cache._flush()
    await asyncio.gather(*cache._writes)
    allowing(federation, B, words.SURVIVAL_STATUS_DECEASED)
    monkeypatch.setattr(cache, "put", lambda *_: None)
    await check(checks, recipient(ANHUI))
    await store.together([])
    assert await store.reusable.keys(federation.clock.now_ms(), 10) == []


async def test_two_members_that_contradict_each_other_are_not_both_given_again(
    federation: Asked, store: Store, cache: AnswerCache
) -> None:
    said = allowing(federation, B, words.SURVIVAL_STATUS_DECEASED)
    allowing(federation, C)
    checks = federation.checks(store, cache=cache)
    await check(checks, recipient(ANHUI, FUJIAN))
    for _ in range(3):
        await again(federation, checks, recipient(ANHUI, FUJIAN))
        assert list(federation.questions) == [C.member_id], "as long as another says the opposite"
    said.status[0] = STRONG
    await again(federation, checks, recipient(ANHUI), fresh=True)
    for asked in ([C.member_id], []):
        await again(federation, checks, recipient(ANHUI, FUJIAN))
        assert list(federation.questions) == asked


async def test_with_fresh_everybody_is_asked_and_the_new_answer_takes_the_old_ones_place(
    federation: Asked, store: Store, cache: AnswerCache
) -> None:
    allowing(federation, B)
    checks = federation.checks(store, cache=cache)
    first = await check(checks, recipient(ANHUI))
    second = await again(federation, checks, recipient(ANHUI), fresh=True)
    assert list(federation.questions) == [B.member_id]
    third = await again(federation, checks, recipient(ANHUI))
    assert third.results[0].answer == second.results[0].answer != first.results[0].answer


async def test_of_several_members_those_are_asked_whose_answer_is_not_there(
    federation: Asked, store: Store, cache: AnswerCache
) -> None:
    allowing(federation, B)
    checks = federation.checks(store, cache=cache)
    await check(checks, recipient(ANHUI, FUJIAN))
    mixed = await again(federation, checks, recipient(ANHUI, FUJIAN))
    assert list(federation.questions) == [C.member_id]
    assert [result.held is not None for result in mixed.results] == [True, False]


async def test_a_refusal_is_not_given_again(federation: Asked, store: Store, cache: AnswerCache) -> None:
    federation.refuses(B, words.REFUSAL_REASON_MEMBER_NOT_PERMITTED)
    checks = federation.checks(store, cache=cache)
    for _ in range(2):
        federation.questions.clear()
        with pytest.raises(Exception, match="no"):
            await check(checks, recipient(ANHUI))
        assert federation.questions


async def test_the_day_of_an_answer_given_again_is_its_own(federation: Asked, store: Store, cache: AnswerCache) -> None:
    allowing(federation, B, for_ms=24 * HOUR_MS)
    checks = federation.checks(store, cache=cache)
    first = await check(checks, recipient(ANHUI))
    federation.clock.advance(23 * 3600)
    assert (await again(federation, checks, recipient(ANHUI))).as_of_on == first.as_of_on


@pytest.mark.parametrize("fails", [True, False], ids=["unreachable", "refusing"])
async def test_an_outdated_answer_is_shown_only_while_its_author_cannot_be_reached(
    federation: Asked, store: Store, cache: AnswerCache, fails: bool
) -> None:
    allowing(federation, B, stale_ms=HOUR_MS)
    checks = federation.checks(store, cache=cache)
    await check(checks, recipient(ANHUI))
    for _ in range(3):
        await asyncio.sleep(0)
    federation.clock.advance(3601)
    if fails:
        federation.fails(B)
        federation.lines.clear()
        checks = federation.checks(store, cache=cache)
        shown = (await check(checks, recipient(ANHUI))).results[0]
        assert shown.outdated
        assert shown.error is not None
        assert shown.error.code == "PARTNER_UNAVAILABLE"
        with pytest.raises(PartnerError):
            await check(checks, recipient(ANHUI), fresh=True)
    else:
        federation.refuses(B, words.REFUSAL_REASON_MEMBER_NOT_PERMITTED)
        checks = federation.checks(store, cache=cache)
        with pytest.raises(Exception, match="no"):
            await check(checks, recipient(ANHUI))


async def test_an_answer_is_found_by_linked_numbers_too(federation: Asked, store: Store) -> None:
    made = findings(STRONG)
    made.links.subject.append(0)
    made.links.id_number.append("110101199001011237")
    made.links.since_on.append(0)
    federation.answers(B, findings=made)
    await check(federation.checks(store), recipient(ANHUI))
    assert [kept.member for kept in await store.answers.find("110101199001011237")] == [B.member_id]


def test_the_places_of_a_recipient_are_all_there_is_to_route_by() -> None:
    about = recipient(ANHUI)
    assert about.places == Places(residence=(ANHUI,))
    assert about.id_number == ANNA
