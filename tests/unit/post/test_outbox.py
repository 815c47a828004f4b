"""The outbox: everything gets there once, in order where order matters, and nothing is lost while nobody is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.clock import FakeClock
from gateway.errors import EnvelopeError, PartnerError, RefusedError, StoreError, WuganError
from gateway.post.outbox import HEARD_S
from gateway.store import outbox
from gateway.store.jumps import HOLD_S, SETTLE_S
from gateway.store.outbox import (
    DEAD,
    SWEEP_AT_MOST,
    WAITING,
    Again,
    Attempt,
    Dead,
    OutboxTable,
    _distinct_partners,
    _due,
)
from gateway.store.reader import Reader
from tests.unit.post.post_world import (
    DAY_MS,
    Jumping,
    Site,
    away,
    open_store,
    reading_steps,
    steps,
    two_sites,
    until,
)
from tests.unit.services.gateways_world import NOW_MS, A, B
from wugan.adapter.v1 import vocabulary_pb2 as v
from wugan.federation.v1 import vocabulary_pb2 as words

KEY, OTHER_KEY = b"k" * 16, b"o" * 16


@pytest.fixture
async def sites(tmp_path: Path) -> AsyncIterator[tuple[Site, Site]]:
    async with two_sites(tmp_path) as both:
        yield both


async def test_what_is_left_is_delivered_and_leaves_the_outbox(sites: tuple[Site, Site]) -> None:
    a, b = sites
    async with a.running(), b.running():
        await a.leave(b"one", b"two", b"three")
        await until(lambda: len(b.noting.bodies) == 3)
        await until(lambda: _none_waits(a))
    assert sorted(b.noting.bodies) == [b"one", b"three", b"two"]
    assert await a.store.post_office.letters() == []


async def _none_waits(site: Site) -> bool:
    return await site.waiting() == 0


async def test_letters_that_wait_share_an_envelope(sites: tuple[Site, Site]) -> None:
    a, b = sites
    await a.leave(*(b"%d" % n for n in range(10)))
    async with a.running(), b.running():
        await until(lambda: len(b.noting.bodies) == 10)
    assert len(a.wire.envelopes) == 1


async def test_letters_for_different_purposes_do_not_share_one(sites: tuple[Site, Site]) -> None:
    a, b = sites
    await a.leave(b"one", purpose=v.PURPOSE_AUDIT)
    await a.leave(b"two", purpose=v.PURPOSE_CERTIFICATION)
    async with a.running(), b.running():
        await until(lambda: len(b.noting.seen) == 2)
    assert {each.body: each.purpose for each in b.noting.seen} == {
        b"one": v.PURPOSE_AUDIT,
        b"two": v.PURPOSE_CERTIFICATION,
    }


async def test_under_one_order_key_the_next_is_sent_after_the_receipt_of_the_one_before(
    sites: tuple[Site, Site],
) -> None:
    a, b = sites
    await a.leave(b"1", b"2", b"3", order_key=KEY)
    await a.leave(b"other", order_key=OTHER_KEY)
    async with a.running(), b.running():
        await until(lambda: len(b.noting.bodies) == 4)
    assert [[each.body for each in a.sent(n)] for n in range(3)] == [[b"1", b"other"], [b"2"], [b"3"]]
    assert [body for body in b.noting.bodies if body != b"other"] == [b"1", b"2", b"3"]


async def test_a_receipt_that_is_lost_costs_a_second_delivery_and_no_second_execution(
    sites: tuple[Site, Site],
) -> None:
    a, b = sites
    a.wire.lose_answers = 1
    async with a.running(), b.running():
        (sent,) = await a.leave(b"once")
        await until(lambda: len(a.wire.envelopes) == 1)
        await until(lambda: bool(b.noting.bodies))
        a.clock.advance(60)
        await until(lambda: _none_waits(a))
    assert len(a.wire.envelopes) == 2
    assert {each.delivery_id for n in range(2) for each in a.sent(n)} == {sent.delivery_id}
    assert b.noting.bodies == [b"once"]


async def test_a_partner_that_is_away_for_a_week_gets_everything_on_return_in_order(tmp_path: Path) -> None:
    clock = FakeClock(NOW_MS)
    async with two_sites(tmp_path, clock, retry_longest_s=300.0) as (a, b):
        a.wire.door = None
        async with a.running(), b.running():
            bodies = [b"%03d" % n for n in range(100)]
            await a.leave(*bodies, order_key=KEY, expires_at_ms=NOW_MS + 8 * DAY_MS)
            for _ in range(7 * 24):
                clock.advance(3600)
                await asyncio.sleep(0)
            await until(lambda: bool(a.wire.envelopes))
            assert not b.noting.bodies
            a.wire.door = b.door
            clock.advance(301)
            await until(lambda: _passes(clock) and len(b.noting.bodies) == 100)
    assert b.noting.bodies == bodies


async def test_a_partner_that_is_heard_of_gets_what_waits_before_the_time_of_the_next_attempt(tmp_path: Path) -> None:
    clock = FakeClock(NOW_MS)
    async with two_sites(tmp_path, clock) as (a, b):
        a.wire.door = None
        await a.leave(b"1", b"2")
        async with a.running("outbox"), b.running("inbox"):
            await until(a.store.outbox.troubles)
            a.wire.door = b.door
            await asyncio.sleep(0.1)
            assert len(a.wire.envelopes) == 1, "its time has not come"
            a.outbox.heard_of(B.member_id)
            await until(lambda: sorted(b.noting.bodies) == [b"1", b"2"])
            assert not await a.store.outbox.troubles()


async def test_one_that_is_there_and_cannot_be_reached_all_the_same_is_not_tried_at_every_sign_of_life(
    tmp_path: Path,
) -> None:
    clock = FakeClock(NOW_MS)
    async with two_sites(tmp_path, clock, retry_first_s=3_600.0, retry_longest_s=3_600.0) as (a, _):
        a.wire.door = None
        a.outbox.drawn = lambda: 0.999  # the next attempt is an hour away
        await a.leave(b"1")
        async with a.running("outbox"):
            await until(lambda: _failures(a, 1))
            for failures in (2, 3):
                await until(lambda wanted=failures: _tried(a, wanted))
                await until(lambda wanted=failures: _failures(a, wanted))
                for _ in range(20):
                    a.outbox.heard_of(B.member_id)
                    await asyncio.sleep(0.01)
                assert len(a.wire.envelopes) == failures
                clock.advance(HEARD_S)


async def test_a_partner_whose_inbox_is_full_is_left_alone_for_as_long_as_it_said(tmp_path: Path) -> None:
    clock = FakeClock(NOW_MS)
    async with two_sites(tmp_path, clock) as (a, b):
        a.wire.error = RefusedError(
            "full", "已满", reason=words.REFUSAL_REASON_OVERLOADED, retryable=True, retry_after_ms=60_000
        )
        await a.leave(b"1")
        async with a.running("outbox"), b.running("inbox"):
            await until(a.store.outbox.troubles)
            a.wire.error = None
            for _ in range(20):
                a.outbox.heard_of(B.member_id)
                clock.advance(2)
                await asyncio.sleep(0.01)
            assert len(a.wire.envelopes) == 1
            clock.advance(400)
            await until(lambda: b.noting.bodies == [b"1"])


def _tried(site: Site, wanted: int) -> bool:
    """Whether so many envelopes left; the other side is heard of meanwhile."""
    site.outbox.heard_of(B.member_id)
    return len(site.wire.envelopes) == wanted


def _passes(clock: FakeClock) -> bool:
    """A second goes by: what may go to a partner in a second has a bound."""
    clock.advance(1)
    return True


async def test_while_a_partner_is_away_one_letter_is_tried_and_the_pause_grows_and_outlives_a_restart(
    tmp_path: Path,
) -> None:
    clock = FakeClock(NOW_MS)
    async with two_sites(tmp_path, clock) as (a, _):
        a.wire.door = None
        await a.leave(b"1", b"2", b"3")
        async with a.running("outbox"):
            await until(a.store.outbox.troubles)
            for tries in range(2, 6):
                clock.advance(400)
                await until(lambda wanted=tries: len(a.wire.envelopes) == wanted)
                await until(lambda wanted=tries: _failures(a, wanted))
        assert [len(a.sent(n)) for n in range(5)] == [3, 1, 1, 1, 1]
        (trouble,) = (await a.store.outbox.troubles()).values()
        assert (trouble.failing_since_ms, trouble.failures) == (NOW_MS, 5)
        assert trouble.next_try_ms > clock.now_ms()
        again = Site(A, B, a.store, clock)
        again.wire.door = None
        async with again.running("outbox"):
            await until(lambda: bool(again.outbox._lanes))
            await asyncio.sleep(0.1)
            assert not again.wire.envelopes, "tried before its time, which was on the disk"
            clock.advance(400)
            await until(lambda: len(again.wire.envelopes) == 1)
            await until(lambda: _failures(again, 6))


@pytest.mark.parametrize("step", ["troubles", "backlog", "partners"])
async def test_what_is_left_while_a_restarted_gateway_begins_does_not_try_a_partner_before_its_time(
    sites: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    a, _ = sites
    a.wire.door = None
    await a.leave(b"1")
    async with a.running("outbox"):
        await until(a.store.outbox.troubles)
    again = Site(A, B, a.store, a.clock)
    again.wire.door = None
    read, looking, go = getattr(a.store.outbox, step), asyncio.Event(), asyncio.Event()

    async def slowly() -> Any:
        looking.set()
        await go.wait()
        return await read()

    monkeypatch.setattr(a.store.outbox, step, slowly)
    async with again.running("outbox"):
        await looking.wait()
        await again.leave(b"2")
        for _ in range(20):  # a lane that was opened would have tried by now
            await a.store.outbox.troubles() if step != "troubles" else await a.store.outbox.partners()
        go.set()
        await until(lambda: bool(again.outbox._lanes))
        for _ in range(20):
            await a.store.outbox.partners()
    assert not again.wire.envelopes


async def _failures(site: Site, wanted: int) -> bool:
    return [each.failures for each in (await site.store.outbox.troubles()).values()] == [wanted]


async def test_what_was_put_off_while_the_clock_was_ahead_goes_once_it_is_right(tmp_path: Path) -> None:
    async with two_sites(tmp_path, FakeClock(NOW_MS + 2 * DAY_MS)) as (a, b):
        b.noting.refuse = _not_now
        async with a.running("outbox"):
            await a.leave(b"refused for now")
            await until(lambda: _put_off(a))
            a.wire.door = None
            await a.leave(b"not taken")
            await until(a.store.outbox.troubles)
    async with two_sites(tmp_path, FakeClock(NOW_MS)) as (a, b), a.running("outbox"), b.running("inbox"):
        await until(lambda: len(b.noting.bodies) == 2)


def _not_now(_body: bytes) -> None:
    raise RefusedError("not now", "暂不", retryable=True)


async def _put_off(site: Site) -> bool:
    return any(each.failures for each in await site.store.post_office.letters())


async def test_the_partners_own_time_to_wait_is_kept(sites: tuple[Site, Site]) -> None:
    a, _ = sites
    a.wire.error = RefusedError(
        "busy", "忙", reason=words.REFUSAL_REASON_OVERLOADED, retryable=True, retry_after_ms=77_000
    )
    async with a.running("outbox"):
        await a.leave(b"1")
        await until(a.store.outbox.troubles)
    (trouble,) = (await a.store.outbox.troubles()).values()
    assert trouble.next_try_ms >= NOW_MS + 77_000


async def test_what_expires_before_it_was_received_is_a_dead_letter(sites: tuple[Site, Site]) -> None:
    a, _ = sites
    a.wire.door = None
    async with a.running("outbox"):
        (late,) = await a.leave(b"late", expires_at_ms=NOW_MS + 1000)
        a.clock.advance(SETTLE_S)
        await until(lambda: a.store.post_office.letters(state=DEAD))
    (dead,) = await a.store.post_office.letters()
    assert (dead.delivery_id, dead.reason) == (late.delivery_id, words.REFUSAL_REASON_DELIVERY_EXPIRED)


YEAR_MS = 365 * DAY_MS


@pytest.fixture
async def jumping(tmp_path: Path) -> AsyncIterator[tuple[Site, Jumping]]:
    """A site whose gateway has run for a while, with a partner that is away."""
    clock = Jumping(NOW_MS)
    async with two_sites(tmp_path, clock) as (a, _):
        clock.advance(SETTLE_S)
        await a.outbox.sweep()
        yield a, clock


@pytest.mark.parametrize("ahead_ms", [YEAR_MS, DAY_MS, 120_000])
async def test_a_clock_that_is_ahead_for_a_moment_kills_no_letter(jumping: tuple[Site, Jumping], ahead_ms: int) -> None:
    a, clock = jumping
    await a.leave(*[b"news"] * 50, expires_at_ms=clock.now_ms() + min(ahead_ms // 2, 7 * DAY_MS))
    clock.ahead_ms = ahead_ms
    for _ in range(3):
        clock.advance(0.2)
        assert await a.outbox.sweep() == 0
    clock.ahead_ms = 0
    assert await a.outbox.sweep() == 0
    async with a.running("outbox"):
        await until(lambda: _none_waits(a))
    assert await a.store.post_office.letters() == []
    assert len([each for at in range(len(a.wire.envelopes)) for each in a.sent(at)]) == 50


async def test_the_loop_itself_kills_nothing_by_a_clock_that_is_ahead(
    jumping: tuple[Site, Jumping], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, clock = jumping
    a.wire.door = None
    swept: list[int] = []
    sweep = a.store.outbox.sweep

    async def seen(now_ms: int, dead_before_ms: int) -> int:
        swept.append(clock.ahead_ms)
        return await sweep(now_ms, dead_before_ms)

    monkeypatch.setattr(a.store.outbox, "sweep", seen)
    await a.leave(*[b"news"] * 3)
    async with a.running("outbox"):
        clock.ahead_ms = YEAR_MS
        await until(lambda: swept.count(YEAR_MS) > 2)
        clock.ahead_ms = 0
        await until(lambda: swept[-1] == 0)
    assert await a.waiting() == 3


async def test_what_expires_while_the_clock_is_not_believed_dies_by_the_time_that_passed(
    jumping: tuple[Site, Jumping],
) -> None:
    a, clock = jumping
    await a.leave(b"short", expires_at_ms=clock.now_ms() + 3_600_000)
    await a.leave(b"long")
    clock.ahead_ms = YEAR_MS
    assert await a.outbox.sweep() == 0
    clock.advance(3_600)
    assert await a.outbox.sweep() == 1
    assert await _dead(a) == 1
    clock.advance(HOLD_S)
    assert await a.outbox.sweep() == 1, "it stayed there for so long that it is believed"
    clock.ahead_ms = 0
    await a.outbox.sweep()
    (dead,) = await a.store.post_office.letters(state=DEAD)
    assert await a.store.post_office.retry_letter(dead.delivery_id, clock.now_ms()), "and if it was wrong after all"


async def test_a_gateway_that_starts_while_the_clock_is_ahead_kills_nothing_before_it_is_set_right(
    jumping: tuple[Site, Jumping],
) -> None:
    a, clock = jumping
    await a.leave(b"news")
    clock.ahead_ms = YEAR_MS
    again = Site(A, B, a.store, clock)
    clock.advance(SETTLE_S - 1)
    assert await again.outbox.sweep() == 0
    clock.ahead_ms = 0
    clock.advance(2)
    assert await again.outbox.sweep() == 0
    assert await a.waiting() == 1


async def test_a_dead_letter_is_kept_for_so_long_from_when_it_was_seen_to_be_over(
    jumping: tuple[Site, Jumping],
) -> None:
    """As where the gateway was away, or its clock behind, for longer than dead letters are kept."""
    a, clock = jumping
    await a.leave(b"news")
    clock.advance(400 * 86_400)
    assert await a.outbox.sweep() == 1
    clock.advance(89 * 86_400)
    await a.outbox.sweep()
    assert await _dead(a) == 1
    clock.advance(2 * 86_400)
    await a.outbox.sweep()
    assert await _dead(a) == 0


async def test_one_that_was_refused_is_kept_for_so_long_from_when_its_time_was_over(
    jumping: tuple[Site, Jumping],
) -> None:
    a, clock = jumping
    sequence = await a.outbox.submit(a.letter())
    ahead = Again(sequence, NOW_MS + YEAR_MS, 1)  # put off while the clock was ahead
    await a.store.outbox.settle(Attempt(B.member_id, again=[ahead]))
    await a.store.outbox.settle(Attempt(B.member_id, dead=[Dead(sequence, 1, "")]))
    clock.advance(96 * 86_400)
    await a.outbox.sweep()
    assert await _dead(a) == 1
    clock.advance(2 * 86_400)
    await a.outbox.sweep()
    assert await _dead(a) == 0


async def test_looking_for_what_was_dead_for_long_costs_no_more_the_more_died_late(tmp_path: Path) -> None:
    async with open_store(tmp_path, FakeClock(NOW_MS)) as store:
        site = Site(A, B, store, FakeClock(NOW_MS))

        async def look() -> int:
            async def reading(reader: Reader) -> None:
                assert await OutboxTable(store._writer, reader, store._keys).sweep(late_ms, late_ms - 90 * DAY_MS) == 0

            return await reading_steps(tmp_path, reading)

        async def die(count: int) -> None:
            await asyncio.gather(*(site.outbox.submit(site.letter()) for _ in range(count)))
            while await store.outbox.sweep(late_ms, 0):
                pass

        late_ms = NOW_MS + 200 * DAY_MS
        await die(SWEEP_AT_MOST)
        few = await look()
        await die(4 * SWEEP_AT_MOST)
        assert await look() < 1.5 * few


async def test_what_is_refused_for_good_is_a_dead_letter_and_holds_up_nobody(sites: tuple[Site, Site]) -> None:
    a, b = sites

    def refuse(body: bytes) -> None:
        if body == b"bad":
            raise RefusedError("not\x00 like this", "格式不符")

    b.noting.refuse = refuse
    async with a.running(), b.running():
        await a.leave(b"bad", b"good", order_key=KEY)
        await until(lambda: b.noting.bodies == [b"good"])
        await until(lambda: _none_waits(a))
    (dead,) = await a.store.post_office.letters()
    assert (dead.state, dead.reason, dead.note) == (DEAD, words.REFUSAL_REASON_INVALID_ARGUMENT, "not\ufffd like this")


async def test_what_is_refused_for_now_is_tried_again_and_dead_after_too_many_failures(tmp_path: Path) -> None:
    async with two_sites(tmp_path, max_failures=3) as (a, b):

        def refuse(_body: bytes) -> None:
            raise RefusedError("not yet", "稍后", reason=words.REFUSAL_REASON_INTERNAL, retryable=True)

        b.noting.refuse = refuse
        async with a.running(), b.running():
            await a.leave(b"1")
            await until(lambda: _passes(a.clock) and a.store.post_office.letters(state=DEAD))
        assert len(a.wire.envelopes) == 3


@pytest.mark.parametrize("was_away", [False, True])
async def test_an_envelope_refused_for_what_is_in_it_is_taken_apart_and_the_good_letters_arrive(
    tmp_path: Path, was_away: bool
) -> None:
    async with two_sites(tmp_path, max_failures=1) as (a, b):
        receive = b.door.receive

        async def choke(envelope: object, peer: object) -> object:
            if any(each.body == b"poison" for each in a.sent()):
                raise RefusedError("crash", "故障", reason=words.REFUSAL_REASON_INTERNAL)
            return await receive(envelope, peer)  # type: ignore[arg-type]

        b.door.receive = choke  # type: ignore[assignment, method-assign]
        await a.leave(*(b"poison", b"1", b"2") if was_away else (b"1", b"poison", b"2"))
        a.wire.error = away() if was_away else None
        async with a.running(), b.running():
            if was_away:
                await until(a.store.outbox.troubles)
                a.wire.error = None
            await until(lambda: _passes(a.clock) and len(b.noting.bodies) == 2)
            await until(lambda: _passes(a.clock) and a.store.post_office.letters(state=DEAD))
        assert sorted(b.noting.bodies) == [b"1", b"2"]


@pytest.mark.parametrize(
    ("count", "error"),
    [
        (1, RefusedError("disk full", "磁盘已满", reason=words.REFUSAL_REASON_INTERNAL, retryable=True)),
        (5, PartnerError("no receipt", "回执有误", reason=words.REFUSAL_REASON_PARTNER_FAULTY, retryable=False)),
    ],
    ids=["its store fails", "its receipts do not verify"],
)
async def test_a_partner_that_fails_whatever_it_is_sent_makes_the_sender_wait_and_kills_nothing(
    tmp_path: Path, error: WuganError, count: int
) -> None:
    async with two_sites(tmp_path, max_failures=2, retry_longest_s=1.0) as (a, b):
        async with a.running(), b.running():
            await a.leave(b"before")
            await until(lambda: _none_waits(a))
            a.wire.error = error
            await a.leave(*(b"%d" % n for n in range(count)))
            await until(lambda: _passes(a.clock) and _failing(a, 5))
            tries = len(a.wire.envelopes)
            a.wire.error = None
            await until(lambda: _passes(a.clock) and len(b.noting.bodies) == 1 + count)
        assert not await _dead(a)
    assert tries <= 1 + 5 + 3, "it was not left alone"


async def _failing(site: Site, times: int) -> bool:
    return any(each.failures >= times for each in (await site.store.outbox.troubles()).values())


async def test_a_full_inbox_makes_the_sender_wait_and_kills_nothing(tmp_path: Path) -> None:
    async with two_sites(tmp_path, inbox_max_waiting=2) as (a, b):
        await a.leave(*(b"%d" % n for n in range(5)))
        async with a.running():
            await until(a.store.outbox.troubles)
            async with b.running():
                await until(lambda: _passes(a.clock) and len(b.noting.bodies) == 5)
        assert not await _dead(a)


async def _dead(site: Site) -> int:
    return len(await site.store.post_office.letters(state=DEAD))


async def test_a_retried_dead_letter_keeps_its_id_and_is_delivered(sites: tuple[Site, Site]) -> None:
    a, b = sites
    a.wire.door = None
    async with a.running(), b.running():
        (late,) = await a.leave(b"late", expires_at_ms=NOW_MS + 1000)
        a.clock.advance(SETTLE_S)
        await until(lambda: a.store.post_office.letters(state=DEAD))
        a.wire.door = b.door
        assert await a.store.post_office.retry_letter(late.delivery_id, a.clock.now_ms())
        a.clock.advance(0.5)
        await until(lambda: b.noting.bodies == [b"late"])
    assert a.sent()[0].delivery_id == late.delivery_id


async def test_a_dead_letter_has_as_long_as_it_had_the_first_time_however_often_it_is_retried(
    sites: tuple[Site, Site],
) -> None:
    a, _ = sites
    post, now_ms = a.store.post_office, NOW_MS
    (late,) = await a.leave(b"late", expires_at_ms=NOW_MS + 7 * DAY_MS)
    for _ in range(3):
        now_ms += 10 * DAY_MS
        await a.store.outbox.sweep(now_ms, 0)
        assert await post.retry_letter(late.delivery_id, now_ms)
        (listed,) = await post.letters()
        assert listed.expires_at_ms == now_ms + 7 * DAY_MS
    assert listed.made_at_ms == NOW_MS


async def test_a_letter_that_was_retried_waits_from_then_on(sites: tuple[Site, Site]) -> None:
    a, _ = sites
    (late,) = await a.leave(b"late", expires_at_ms=NOW_MS + 1000)
    await a.store.outbox.sweep(NOW_MS + 2000, 0)
    assert await a.store.post_office.retry_letter(late.delivery_id, NOW_MS + DAY_MS)
    (backlog,) = await a.store.outbox.backlog()
    assert backlog.oldest_ms == NOW_MS + DAY_MS, "while it was dead, no partner kept it waiting"


async def test_a_dead_letter_is_not_retried_once_the_other_side_may_have_forgotten_it(
    sites: tuple[Site, Site],
) -> None:
    a, _ = sites
    (late,) = await a.leave(b"late", expires_at_ms=NOW_MS + 1000)
    await a.store.outbox.sweep(NOW_MS + 2000, 0)
    assert not await a.store.post_office.retry_letter(late.delivery_id, NOW_MS + 30 * DAY_MS)
    assert not await a.store.post_office.retry_letter(b"\0" * 16, NOW_MS)


async def test_looking_for_what_is_due_costs_no_more_the_more_waits(tmp_path: Path) -> None:
    def look(connection: sa.Connection) -> None:
        assert len(_due(connection, B.member_id, NOW_MS, 20)) == 20

    async with open_store(tmp_path, FakeClock(NOW_MS)) as store:
        site = Site(A, B, store, FakeClock(NOW_MS))
        await site.leave(*[b"news"] * 20)
        few = steps(tmp_path, look)
        await site.leave(*[b"news"] * 600)
        assert steps(tmp_path, look) < 2 * few


async def test_nor_does_it_the_more_waits_about_the_same_few_people(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each the first letter only is due, and those behind it are not looked through every time."""

    def look(connection: sa.Connection) -> None:
        assert [row.order_key for row in _due(connection, B.member_id, NOW_MS, 20)] == [KEY, OTHER_KEY]

    monkeypatch.setattr(outbox, "LOOKED_THROUGH", 256)
    async with open_store(tmp_path, FakeClock(NOW_MS)) as store:
        site = Site(A, B, store, FakeClock(NOW_MS))

        async def leave(times: int) -> None:
            letters = [site.letter(order_key=key) for _ in range(times) for key in (KEY, OTHER_KEY)]
            await asyncio.gather(*map(site.outbox.submit, letters))

        await leave(150)
        few = steps(tmp_path, look)
        await leave(1_500)
        assert steps(tmp_path, look) < 2 * few


async def test_what_is_due_is_found_behind_any_number_that_are_put_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "LOOKED_THROUGH", 64)
    async with open_store(tmp_path, FakeClock(NOW_MS)) as store:
        site = Site(A, B, store, FakeClock(NOW_MS))
        letters = [site.letter(order_key=KEY), *(site.letter() for _ in range(200))]
        numbers = await asyncio.gather(*map(site.outbox.submit, letters))
        await store.outbox.settle(Attempt(B.member_id, again=[Again(number, NOW_MS + 1, 1) for number in numbers]))
        behind, free = await asyncio.gather(*map(site.outbox.submit, (site.letter(order_key=KEY), site.letter())))
        assert [each.sequence for each in await store.outbox.due(B.member_id, NOW_MS, 10)] == [free]
        due = await store.outbox.due(B.member_id, NOW_MS + 1, 210)
        assert [each.sequence for each in due] == [*numbers, free]
        await store.outbox.settle(Attempt(B.member_id, received=numbers))
        assert [each.sequence for each in await store.outbox.due(B.member_id, NOW_MS, 10)] == [behind, free]


async def test_for_whom_anything_waits_is_found_without_looking_through_it(tmp_path: Path) -> None:
    async with open_store(tmp_path, FakeClock(NOW_MS)) as store:
        site = Site(A, B, store, FakeClock(NOW_MS))

        def look(connection: sa.Connection) -> None:
            assert _distinct_partners(connection, WAITING) == [B.member_id]
            assert _distinct_partners(connection, DEAD) == []

        await site.leave(*[b"news"] * 20)
        few = steps(tmp_path, look)
        await site.leave(*[b"news"] * 2_000)
        assert steps(tmp_path, look) <= few + 1


async def test_no_more_is_taken_for_a_partner_than_may_wait(tmp_path: Path) -> None:
    async with two_sites(tmp_path, max_waiting=2) as (a, _):
        await a.leave(b"1", b"2")
        with pytest.raises(StoreError) as caught:
            a.outbox.submit(a.letter(b"3"))
    assert caught.value.code == "OVERLOADED"


async def test_numbers_grow_over_a_restart_with_the_clock_set_back_and_after_everything_was_delivered(
    tmp_path: Path,
) -> None:
    clock = FakeClock(NOW_MS)
    async with open_store(tmp_path, clock) as store:
        first = await Site(A, B, store, clock).outbox.submit(Site(A, B, store, clock).letter())
        await store.outbox.settle(_received(first))
    early = FakeClock(NOW_MS - DAY_MS)
    async with open_store(tmp_path, early) as store:
        site = Site(A, B, store, early)
        assert await site.outbox.submit(site.letter()) > first


def _received(sequence: int) -> object:
    from gateway.store.outbox import Attempt

    return Attempt(B.member_id, [sequence])


async def test_bodies_are_encrypted_and_bound_to_their_letter(sites: tuple[Site, Site]) -> None:
    a, _ = sites
    await a.leave(b"about 330702195001011234")
    with a.store._engine.connect() as connection:
        (body,) = connection.exec_driver_sql("SELECT body FROM outbox").one()
    assert b"330702195001011234" not in body
    (due,) = await a.store.outbox.due(B.member_id, NOW_MS, 10)
    assert due.letter.body == b"about 330702195001011234"
    assert "330702" not in repr(due.letter)


async def test_a_partner_that_is_in_the_directory_no_more_is_waited_for(sites: tuple[Site, Site]) -> None:
    a, _ = sites
    a.wire.error = EnvelopeError("no such member", "无此成员", reason=words.REFUSAL_REASON_STRANGER)
    async with a.running("outbox"):
        await a.leave(b"1")
        await until(a.store.outbox.troubles)
    assert [each.state for each in await a.store.post_office.letters()] == [WAITING]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    keys=st.lists(st.sampled_from([b"", KEY, OTHER_KEY]), min_size=1, max_size=12),
    losses=st.integers(0, 4),
)
async def test_whatever_is_lost_on_the_way_everything_is_executed_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, keys: list[bytes], losses: int
) -> None:
    async with two_sites(tmp_path_factory.mktemp("post")) as (a, b):
        a.wire.lose_answers = losses
        for number, key in enumerate(keys):
            await a.leave(b"%02d" % number, order_key=key)
        async with a.running(), b.running():
            while await a.waiting() or len(b.noting.bodies) < len(keys):
                a.clock.advance(10)
                await asyncio.sleep(0.005)
        assert sorted(b.noting.bodies) == [b"%02d" % number for number in range(len(keys))]
        for key in (KEY, OTHER_KEY):
            mine = [b"%02d" % number for number, each in enumerate(keys) if each == key]
            assert [body for body in b.noting.bodies if body in mine] == mine


def test_away_is_what_a_partner_that_cannot_be_reached_raises() -> None:
    assert away().retryable
