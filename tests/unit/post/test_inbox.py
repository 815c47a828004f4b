"""The inbox: accepted once, dealt with once and in order, its outcome on the disk in the same commit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from certs.identity import Identity
from gateway.clock import FakeClock
from gateway.errors import DirectoryError, EnvelopeError, RefusedError, WuganError
from gateway.exchange.envelope import open_receipt, seal, verify_proof
from gateway.exchange.keys import VerifyKey
from gateway.post.letters import Handled, Received
from gateway.store.faults import overloaded
from gateway.store.inbox import (
    ACCEPTED,
    DEAD,
    DONE,
    DUPLICATE,
    EXPIRED,
    FULL,
    SUPERSEDED,
    UNDER_WAY,
    WAITING,
    Arrival,
    Finish,
    InboxTable,
    _due,
)
from gateway.store.jumps import SETTLE_S
from gateway.store.post_tables import inbox
from gateway.store.reader import Reader
from gateway.store.rows import Transaction
from tests.unit.post.post_world import (
    DAY_MS,
    NOTICE,
    Jumping,
    Site,
    effect,
    open_store,
    reading_steps,
    steps,
    two_sites,
    until,
)
from tests.unit.services.gateways_world import NOW_MS, A, B
from wugan.adapter.v1 import vocabulary_pb2 as v
from wugan.federation.v1 import delivery_pb2, envelope_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

KEY = b"k" * 16


@pytest.fixture
async def sites(tmp_path: Path) -> AsyncIterator[tuple[Site, Site]]:
    async with two_sites(tmp_path) as both:
        yield both


def arrival(number: int, **changed: Any) -> Arrival:
    plain = Arrival(
        A.member_id, number.to_bytes(16), number, b"", NOTICE, 2, NOW_MS, NOW_MS + DAY_MS, b"content %d" % number
    )
    return plain._replace(**changed)


def delivery(body: bytes = b"news", **changed: Any) -> delivery_pb2.Delivery:
    plain: dict[str, Any] = {
        "delivery_id": bytes.fromhex("01a1ee565e0074be9dff9ef5ae75f422"),
        "sequence": 7,
        "expires_at_ms": NOW_MS + DAY_MS,
        "kind": NOTICE,
        "body": body,
        **changed,
    }
    return delivery_pb2.Delivery(**plain)


async def hand_over(site: Site, *payloads: bytes, peer: Identity | None = None) -> list[delivery_pb2.Receipt]:
    """A's envelope at B's door, and the receipts in what comes back."""
    sealed = seal(
        A.own,
        B.member_id,
        B.encryption,
        kind=envelope_pb2.MESSAGE_KIND_DELIVERY,
        purpose=v.PURPOSE_CHANGE_MONITORING,
        payloads=payloads,
        now_ms=site.clock.now_ms(),
        lifetime_ms=60_000,
    )
    answer = await site.door.receive(sealed.envelope, peer or A.identity)
    opened = open_receipt(answer, A.own, site.directory.current(), delivery=sealed, now_ms=site.clock.now_ms())
    return [delivery_pb2.Receipt.FromString(payload) for payload in opened.payloads]


# the table


async def test_looking_for_what_is_due_costs_no_more_the_more_waits_or_was_dealt_with(tmp_path: Path) -> None:
    people, rounds, left = 20, 40, 3
    clock = FakeClock(NOW_MS)
    async with open_store(tmp_path, clock) as store:
        arrivals = [
            arrival(person + people * each, order_key=bytes([person]) * 16)
            for each in range(rounds)
            for person in range(people)
        ]

        def look(connection: sa.Connection) -> None:
            assert len(_due(connection, NOTICE, NOW_MS, people)) == people

        await store.inbox.accept(arrivals[: 2 * people])
        few = steps(tmp_path, look)
        await store.inbox.accept(arrivals[2 * people :])
        many_wait = steps(tmp_path, look)
        done = [store.inbox.finish(Finish(each.sender, each.delivery_id, DONE)) for each in arrivals[: -left * people]]
        assert all(await asyncio.gather(*done))
        many_done = steps(tmp_path, look)
        due = await store.inbox.due(NOTICE, NOW_MS, people)
        first = arrivals[-left * people : (1 - left) * people]
        assert [held.delivery_id for held in due] == [each.delivery_id for each in first]
    assert many_wait < 2 * few
    assert many_done < 2 * few


async def test_accepting_costs_no_more_the_more_came_before_about_the_same_person(tmp_path: Path) -> None:
    async with open_store(tmp_path, FakeClock(NOW_MS)) as store:
        next_one = arrival(10_000, order_key=KEY)

        def look(connection: sa.Connection) -> None:
            assert store.inbox._accept.apply(Transaction(connection), [[next_one]]) == [[ACCEPTED]]

        async def accept(first: int, count: int) -> None:
            await store.inbox.accept([arrival(number, order_key=KEY) for number in range(first, first + count)])

        await accept(1, 20)
        few = steps(tmp_path, look)
        await accept(21, 2_000)
        assert steps(tmp_path, look) <= few + 1
        late = [arrival(30_000, sequence=number, order_key=KEY) for number in (7, 2_020, 2_021)]
        again = [each._replace(delivery_id=number.to_bytes(16)) for number, each in enumerate(late, 30_000)]
        assert await store.inbox.accept(again) == [SUPERSEDED, ACCEPTED, ACCEPTED]


async def test_what_finds_no_room_is_not_counted_again_for_each(tmp_path: Path) -> None:
    async with open_store(tmp_path, FakeClock(NOW_MS)) as store:
        store.inbox.limit(500)
        await store.inbox.accept([arrival(number) for number in range(1, 500)])

        def look(count: int) -> int:
            arrivals = [arrival(number) for number in range(1_000, 1_000 + count)]

            def accept(connection: sa.Connection) -> None:
                store.inbox._accept._room.clear()
                (results,) = store.inbox._accept.apply(Transaction(connection), [arrivals])
                assert results == [ACCEPTED, *[FULL] * (count - 1)]

            return steps(tmp_path, accept)

        assert look(60) < 2 * look(2)


async def test_how_many_wait_is_counted_without_those_that_are_done(tmp_path: Path) -> None:
    async with open_store(tmp_path, FakeClock(NOW_MS)) as store:

        async def done(first: int, count: int) -> None:
            arrivals = [arrival(number) for number in range(first, first + count)]
            await store.inbox.accept(arrivals)
            await asyncio.gather(
                *(store.inbox.finish(Finish(each.sender, each.delivery_id, DONE)) for each in arrivals)
            )

        async def look(reader: Reader) -> None:
            assert await InboxTable(store._writer, reader, store._keys).counts() == {WAITING: 2, DEAD: 1}

        await store.inbox.accept([arrival(1), arrival(2), arrival(3)])
        await store.inbox.finish(Finish(A.member_id, arrival(3).delivery_id, DEAD))
        await done(10, 20)
        few = await reading_steps(tmp_path, look)
        await done(100, 1_500)
        assert await reading_steps(tmp_path, look) <= few + 1


async def test_a_delivery_is_accepted_once_also_within_one_envelope_and_after_a_restart(tmp_path: Path) -> None:
    clock = FakeClock(NOW_MS)
    async with open_store(tmp_path, clock) as store:
        assert await store.inbox.accept([arrival(1), arrival(1), arrival(2)]) == [ACCEPTED, DUPLICATE, ACCEPTED]
    async with open_store(tmp_path, clock) as store:
        assert await store.inbox.accept([arrival(2), arrival(3)]) == [DUPLICATE, ACCEPTED]


async def test_another_members_delivery_with_the_same_id_is_another_one(sites: tuple[Site, Site]) -> None:
    _, b = sites
    assert await b.store.inbox.accept([arrival(1)]) == [ACCEPTED]
    assert await b.store.inbox.accept([arrival(1, sender=B.member_id)]) == [ACCEPTED]


async def test_one_that_was_overtaken_under_its_order_key_is_refused(sites: tuple[Site, Site]) -> None:
    _, b = sites
    assert await b.store.inbox.accept([arrival(2, order_key=KEY)]) == [ACCEPTED]
    assert await b.store.inbox.accept([arrival(1, order_key=KEY)]) == [SUPERSEDED]
    assert await b.store.inbox.accept([arrival(3, order_key=b"o" * 16), arrival(4)]) == [ACCEPTED, ACCEPTED]


async def test_one_that_is_known_is_a_duplicate_even_after_its_time(sites: tuple[Site, Site]) -> None:
    _, b = sites
    assert await b.store.inbox.accept([arrival(1)]) == [ACCEPTED]
    late = NOW_MS + 2 * DAY_MS
    assert await b.store.inbox.accept([arrival(1, at_ms=late), arrival(2, at_ms=late)]) == [DUPLICATE, EXPIRED]


async def test_ids_are_forgotten_a_month_after_their_time_and_not_before(sites: tuple[Site, Site]) -> None:
    _, b = sites
    await b.store.inbox.accept([arrival(1)])
    await b.store.inbox.finish(Finish(A.member_id, (1).to_bytes(16), DONE))
    assert await b.store.inbox.sweep(NOW_MS + 30 * DAY_MS) == 0
    assert await b.store.inbox.sweep(NOW_MS + 32 * DAY_MS) == 1


async def test_one_that_is_sent_once_more_with_a_later_time_is_remembered_for_longer(sites: tuple[Site, Site]) -> None:
    _, b = sites
    await b.store.inbox.accept([arrival(1)])
    await b.store.inbox.accept([arrival(1, expires_at_ms=NOW_MS + 20 * DAY_MS)])
    await b.store.inbox.finish(Finish(A.member_id, (1).to_bytes(16), DONE))
    assert await b.store.inbox.sweep(NOW_MS + 49 * DAY_MS) == 0


async def test_a_clock_that_is_ahead_for_a_moment_makes_nothing_be_executed_twice(tmp_path: Path) -> None:
    clock = Jumping(NOW_MS)
    async with two_sites(tmp_path, clock) as (a, b):
        a.wire.lose_answers = 1
        async with a.running("outbox"), b.running("inbox"):
            await a.leave(b"news")
            await until(lambda: b.noting.bodies)
        clock.advance(SETTLE_S)
        assert await b.inbox.sweep() == 0
        clock.ahead_ms = 365 * DAY_MS
        assert await b.inbox.sweep() == 0
        clock.ahead_ms = 0
        async with a.running("outbox"), b.running("inbox"):
            await until(lambda: _later(a) and _none_waits(a))
        assert b.noting.bodies == [b"news"], "its receipt was lost, and it was sent once more"
        clock.advance(38 * 86_400)
        assert await b.inbox.sweep() == 1


async def _none_waits(site: Site) -> bool:
    return await site.waiting() == 0


async def test_a_gateway_that_starts_while_the_clock_is_ahead_forgets_nothing_before_it_is_set_right(
    tmp_path: Path,
) -> None:
    clock = Jumping(NOW_MS)
    clock.ahead_ms = 365 * DAY_MS
    async with two_sites(tmp_path, clock) as (_, b):
        await b.store.inbox.accept([arrival(1)])
        await b.store.inbox.finish(Finish(A.member_id, (1).to_bytes(16), DONE))
        clock.advance(SETTLE_S - 1)
        assert await b.inbox.sweep() == 0
        clock.ahead_ms = 0
        clock.advance(2)
        assert await b.inbox.sweep() == 0
        assert await b.store.inbox.accept([arrival(1)]) == [DUPLICATE]


async def test_what_fails_for_now_is_not_given_up_by_a_clock_that_is_ahead_for_a_moment(tmp_path: Path) -> None:
    clock = Jumping(NOW_MS)

    def fail(_delivery: Received) -> Handled:
        if len(b.noting.seen) > 1:
            return Handled()
        raise WuganError("not now", "稍后", retryable=True)

    async with two_sites(tmp_path, clock) as (a, b):
        clock.advance(SETTLE_S)
        await b.inbox.sweep()
        b.noting.outcome = fail
        await _accepted(a)
        clock.ahead_ms = 10 * DAY_MS
        async with b.running("inbox"):
            await until(lambda: len(b.noting.seen) == 1)
            clock.ahead_ms = 0
            await until(lambda: _later(b) and b.noting.bodies)


async def _accepted(site: Site) -> None:
    """Something that the other site has in its inbox."""
    await site.leave(b"news")
    async with site.running("outbox"):
        await until(lambda: _none_waits(site))


def _later(site: Site) -> bool:
    site.clock.advance(1)
    return True


async def test_a_dead_delivery_is_kept_for_a_month_from_when_it_died(tmp_path: Path) -> None:
    """As where the gateway was away for long: it waited, and its time was over for longer than anything is kept."""
    clock = FakeClock(NOW_MS)

    def fail(_delivery: Received) -> Handled:
        raise WuganError("not ever", "不可", retryable=False)

    async with two_sites(tmp_path, clock) as (a, b):
        b.noting.outcome = fail
        await _accepted(a)
        clock.advance(100 * 86_400)
        async with b.running("inbox"):
            await until(lambda: b.store.post_office.deliveries(state=DEAD))
        clock.advance(29 * 86_400)
        assert await b.inbox.sweep() == 0
        assert await b.store.post_office.deliveries(state=DEAD)
        clock.advance(2 * 86_400)
        assert await b.inbox.sweep() == 1


async def test_what_was_dealt_with_keeps_its_id_and_loses_its_content(sites: tuple[Site, Site]) -> None:
    _, b = sites
    await b.store.inbox.accept([arrival(1)])
    await b.store.inbox.finish(Finish(A.member_id, (1).to_bytes(16), DONE))
    with b.store._engine.connect() as connection:
        assert connection.execute(sa.select(inbox.c.state, inbox.c.content)).one() == (DONE, b"")


@pytest.mark.parametrize("state", [DONE, UNDER_WAY])
async def test_a_delivery_is_finished_once_and_its_effects_happen_once(sites: tuple[Site, Site], state: int) -> None:
    """Two that are at it at the same time, as gateways on one database may be."""
    _, b = sites
    await b.store.inbox.accept([arrival(1)])
    happened: list[int] = []
    finish = Finish(A.member_id, (1).to_bytes(16), state, [effect(lambda *_: happened.append(1))], 1, NOW_MS)
    assert [await b.store.inbox.finish(finish), await b.store.inbox.finish(finish)] == [True, False]
    assert happened == [1]
    goes_on = finish._replace(attempts=1)
    assert await b.store.inbox.finish(goes_on) == (state == UNDER_WAY)


async def test_when_an_effect_cannot_be_written_the_delivery_is_not_finished(sites: tuple[Site, Site]) -> None:
    _, b = sites
    await b.store.inbox.accept([arrival(1)])

    def fail(*_: object) -> None:
        raise OSError("disk full")

    with pytest.raises(WuganError):
        await b.store.inbox.finish(Finish(A.member_id, (1).to_bytes(16), DONE, [effect(fail)]))
    assert [held.delivery_id for held in await b.store.inbox.due(NOTICE, NOW_MS, 10)] == [(1).to_bytes(16)]


async def test_those_behind_wait_for_one_that_is_not_handled_yet_and_not_for_one_that_goes_on(
    sites: tuple[Site, Site],
) -> None:
    _, b = sites
    await b.store.inbox.accept([arrival(1, order_key=KEY), arrival(2, order_key=KEY)])
    assert len(await b.store.inbox.due(NOTICE, NOW_MS, 10)) == 1
    await b.store.inbox.finish(Finish(A.member_id, (1).to_bytes(16), UNDER_WAY, next_try_ms=NOW_MS + 1000))
    assert [held.delivery_id for held in await b.store.inbox.due(NOTICE, NOW_MS, 10)] == [(2).to_bytes(16)]
    assert len(await b.store.inbox.due(NOTICE, NOW_MS + 1000, 10)) == 2


async def test_neither_what_begins_nor_what_goes_on_waits_for_ever_for_the_other(sites: tuple[Site, Site]) -> None:
    _, b = sites
    table = b.store.inbox
    await table.accept([arrival(1), arrival(2)])
    await table.finish(Finish(A.member_id, (1).to_bytes(16), UNDER_WAY, next_try_ms=NOW_MS + 100))
    await table.finish(Finish(A.member_id, (2).to_bytes(16), UNDER_WAY, next_try_ms=NOW_MS + 300))
    await table.accept([arrival(number, at_ms=NOW_MS + 200) for number in range(3, 9)])
    due = await table.due(NOTICE, NOW_MS + 400, 10)
    assert [int.from_bytes(held.delivery_id) for held in due] == [1, 3, 4, 5, 6, 7, 8, 2]
    assert [int.from_bytes(held.delivery_id) for held in await table.due(NOTICE, NOW_MS + 400, 1)] == [1]
    await table.finish(Finish(A.member_id, (1).to_bytes(16), UNDER_WAY, next_try_ms=NOW_MS + 900, attempts=1))
    assert [int.from_bytes(held.delivery_id) for held in await table.due(NOTICE, NOW_MS + 400, 1)] == [3]


async def test_what_was_accepted_while_the_clock_was_ahead_is_as_new_as_what_comes_now(
    sites: tuple[Site, Site],
) -> None:
    _, b = sites
    table = b.store.inbox
    year_ms = 365 * DAY_MS
    await table.accept([arrival(1, at_ms=NOW_MS + year_ms, expires_at_ms=NOW_MS + 2 * year_ms)])
    await table.accept([arrival(2, at_ms=NOW_MS)])
    assert [int.from_bytes(held.delivery_id) for held in await table.due(NOTICE, NOW_MS, 10)] == [1, 2]


async def test_content_at_rest_shows_nothing(sites: tuple[Site, Site]) -> None:
    _, b = sites
    await b.store.inbox.accept([arrival(1, content=b"about 330702195001011234")])
    with b.store._engine.connect() as connection:
        (content,) = connection.execute(sa.select(inbox.c.content)).one()
    assert b"330702" not in bytes(content)


# the door


async def test_a_receipt_says_of_each_delivery_what_became_of_it(sites: tuple[Site, Site]) -> None:
    _, b = sites
    good = delivery().SerializeToString()
    bad = delivery(delivery_id=b"short").SerializeToString()
    first = await hand_over(b, good, bad, b"\xff no delivery")
    assert [each.status for each in first] == [1, 3, 3]
    assert first[0].delivery_id == delivery().delivery_id
    assert (await hand_over(b, good))[0].status == delivery_pb2.RECEIPT_STATUS_DUPLICATE


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"delivery_id": b""}, "INVALID_ARGUMENT"),
        ({"sequence": 0}, "INVALID_ARGUMENT"),
        ({"order_key": b"short"}, "INVALID_ARGUMENT"),
        ({"expires_at_ms": NOW_MS}, "DELIVERY_EXPIRED"),
        ({"expires_at_ms": NOW_MS + 61 * DAY_MS}, "INVALID_ARGUMENT"),
        ({"kind": 99}, "ENVELOPE_UNSUPPORTED"),
        ({"kind": delivery_pb2.DELIVERY_KIND_QUESTION}, "ENVELOPE_UNSUPPORTED"),
        ({"body": bytes((4 << 20) + 1)}, "TOO_LARGE"),
    ],
    ids=["no id", "no sequence", "short key", "expired", "too long a life", "unknown kind", "no handler", "too large"],
)
async def test_a_delivery_that_is_wrong_is_refused_for_good(
    sites: tuple[Site, Site], changed: dict[str, Any], code: str
) -> None:
    _, b = sites
    (receipt,) = await hand_over(b, delivery(**changed).SerializeToString())
    assert receipt.status == delivery_pb2.RECEIPT_STATUS_REFUSED
    assert words.RefusalReason.Name(receipt.refusal.reason) == f"REFUSAL_REASON_{code}"
    assert not receipt.refusal.retryable
    assert receipt.refusal.message_zh
    assert not await b.store.post_office.deliveries()


async def test_what_the_handler_refuses_is_not_accepted(sites: tuple[Site, Site]) -> None:
    _, b = sites

    def refuse(_body: bytes) -> None:
        raise RefusedError("not this", "不受理", reason=words.REFUSAL_REASON_NOT_SERVED)

    b.noting.refuse = refuse
    (receipt,) = await hand_over(b, delivery().SerializeToString())
    assert receipt.refusal.reason == words.REFUSAL_REASON_NOT_SERVED
    assert not await b.store.post_office.deliveries()


async def test_an_agency_or_another_member_may_not_hand_over_a_members_envelope(sites: tuple[Site, Site]) -> None:
    _, b = sites
    for peer in (A.unit(), B.identity):
        with pytest.raises(EnvelopeError) as caught:
            await hand_over(b, delivery().SerializeToString(), peer=peer)
        assert caught.value.code == "PEER_MISMATCH"


async def test_a_question_is_no_delivery(sites: tuple[Site, Site]) -> None:
    _, b = sites
    sealed = seal(
        A.own,
        B.member_id,
        B.encryption,
        kind=envelope_pb2.MESSAGE_KIND_QUESTION,
        purpose=v.PURPOSE_AUDIT,
        payloads=[delivery().SerializeToString()],
        now_ms=NOW_MS,
        lifetime_ms=60_000,
    )
    with pytest.raises(EnvelopeError) as caught:
        await b.door.receive(sealed.envelope, A.identity)
    assert caught.value.code == "ENVELOPE_UNSUPPORTED"


# dealing with deliveries


async def test_a_handler_is_given_the_delivery_with_its_proof(sites: tuple[Site, Site]) -> None:
    a, b = sites
    async with a.running(), b.running():
        (sent,) = await a.leave(b"news", order_key=KEY)
        await until(lambda: bool(b.noting.seen))
    (seen,) = b.noting.seen
    assert (seen.sender, seen.delivery_id, seen.kind, seen.body) == (A.member_id, sent.delivery_id, NOTICE, b"news")
    assert verify_proof(seen.proof, VerifyKey.from_raw(A.signing.public_raw)).sender == A.member_id
    assert delivery_pb2.Delivery.FromString(seen.proof.payload).body == b"news"


async def test_a_handler_that_fails_is_called_again_later_and_those_behind_wait(sites: tuple[Site, Site]) -> None:
    _, b = sites
    failures = [WuganError("not now", "暂不", retryable=True), ZeroDivisionError()]

    def outcome(delivery: Received) -> Handled:
        if failures and delivery.body == b"1":
            raise failures.pop()
        return Handled()

    b.noting.outcome = outcome
    async with b.running("inbox"):
        await hand_over(
            b,
            delivery(b"1", order_key=KEY).SerializeToString(),
            delivery(b"2", order_key=KEY, sequence=8, delivery_id=arrival_id(8)).SerializeToString(),
        )
        await until(lambda: _passes(b) and len(b.noting.bodies) == 2)
    assert b.noting.bodies == [b"1", b"2"]
    assert not failures


def arrival_id(number: int) -> bytes:
    return delivery().delivery_id[:15] + bytes([number])


def _passes(site: Site) -> bool:
    site.clock.advance(1)
    return True


async def test_what_fails_for_good_or_too_often_is_dead_and_can_be_retried_or_dropped(tmp_path: Path) -> None:
    async with two_sites(tmp_path, max_failures=2) as (_, b):
        hopeless = {b"bad": False, b"flaky": True}

        def outcome(delivery: Received) -> Handled:
            if delivery.body in hopeless:
                raise WuganError("no", "否", retryable=hopeless[delivery.body])
            return Handled()

        b.noting.outcome = outcome
        async with b.running("inbox"):
            await hand_over(
                b,
                delivery(b"bad").SerializeToString(),
                delivery(b"flaky", delivery_id=arrival_id(9)).SerializeToString(),
            )
            await until(lambda: _passes(b) and _dead(b, 2))
            hopeless.clear()
            assert await b.store.post_office.retry_delivery(arrival_id(9))
            await until(lambda: b.noting.bodies == [b"flaky"])
            assert not await b.store.post_office.retry_delivery(arrival_id(9))
        (dead,) = await b.store.post_office.deliveries()
        assert (dead.state, dead.note) == (DEAD, "no")


@pytest.mark.parametrize("error", [DirectoryError("expired", "已过期"), overloaded()], ids=["directory", "store"])
async def test_what_fails_because_of_this_gateway_is_not_given_up_before_its_time(
    tmp_path: Path, error: WuganError
) -> None:
    async with two_sites(tmp_path, max_failures=2) as (_, b):
        failing = 5

        def outcome(_delivery: Received) -> Handled:
            nonlocal failing
            if failing:
                failing -= 1
                raise error
            return Handled()

        b.noting.outcome = outcome
        async with b.running("inbox"):
            await hand_over(b, delivery().SerializeToString())
            await until(lambda: _passes(b) and _done(b))
        assert b.noting.bodies, "it was given up"


async def _dead(site: Site, wanted: int) -> bool:
    return len(await site.store.post_office.deliveries(state=DEAD)) == wanted


async def test_a_delivery_whose_handler_was_killed_is_dealt_with_after_the_restart(tmp_path: Path) -> None:
    async with two_sites(tmp_path) as (_, b):
        begun = asyncio.Event()

        async def hang(_delivery: Received) -> None:
            begun.set()
            await asyncio.Event().wait()

        b.noting.before = hang
        async with b.running("inbox"):
            await hand_over(b, delivery().SerializeToString())
            await begun.wait()
        again = Site(B, A, b.store, b.clock)
        async with again.running("inbox"):
            await until(lambda: again.noting.bodies == [b"news"])
        assert not b.noting.bodies


async def test_a_slow_kind_holds_up_no_other(sites: tuple[Site, Site]) -> None:
    _, b = sites

    class Slow:
        def check(self, *_: object) -> None:
            return None

        async def handle(self, _delivery: Received) -> Handled:
            await asyncio.Event().wait()
            return Handled()

    b.inbox.register(delivery_pb2.DELIVERY_KIND_QUESTION, Slow(), workers=1)  # type: ignore[arg-type]
    async with b.running("inbox"):
        slow = delivery(kind=delivery_pb2.DELIVERY_KIND_QUESTION, delivery_id=arrival_id(1))
        await hand_over(b, slow.SerializeToString(), delivery().SerializeToString())
        await until(lambda: b.noting.bodies == [b"news"])


async def test_no_more_are_dealt_with_at_once_than_there_are_workers(tmp_path: Path) -> None:
    async with two_sites(tmp_path, workers=2) as (_, b):
        now, most, go = 0, 0, asyncio.Event()

        async def count(_delivery: Received) -> None:
            nonlocal now, most
            now += 1
            most = max(most, now)
            await go.wait()
            now -= 1

        b.noting.before = count
        async with b.running("inbox"):
            await hand_over(b, *(delivery(delivery_id=arrival_id(n)).SerializeToString() for n in range(8)))
            await until(lambda: now == 2)
            go.set()
            await until(lambda: len(b.noting.bodies) == 8)
        assert most == 2


async def test_a_handler_that_goes_on_keeps_its_progress(sites: tuple[Site, Site]) -> None:
    _, b = sites

    def outcome(delivery: Received) -> Handled:
        if delivery.progress < 3:
            return Handled(again_at_ms=b.clock.now_ms() + 1000, progress=delivery.progress + 1)
        return Handled()

    b.noting.outcome = outcome
    async with b.running("inbox"):
        await hand_over(b, delivery().SerializeToString())
        await until(lambda: _passes(b) and _done(b))
    assert [(each.progress, each.attempts) for each in b.noting.seen] == [(0, 0), (1, 1), (2, 2), (3, 3)]


async def test_what_was_put_off_while_the_clock_was_ahead_is_dealt_with_once_it_is_right(tmp_path: Path) -> None:
    clock = FakeClock(NOW_MS + 2 * DAY_MS)

    def put_off(delivery: Received) -> Handled:
        if delivery.body == b"fails":
            raise WuganError("not now", "暂不", retryable=True)
        return Handled(again_at_ms=clock.now_ms() + 1000)

    async with two_sites(tmp_path, clock) as (_, b):
        b.noting.outcome = put_off
        until_ms = NOW_MS + 5 * DAY_MS
        first = delivery(b"fails", expires_at_ms=until_ms)
        second = delivery(b"goes on", expires_at_ms=until_ms, sequence=8, delivery_id=arrival_id(8))
        async with b.running("inbox"):
            await hand_over(b, first.SerializeToString(), second.SerializeToString())
            await until(lambda: _tried(b, 2))
    async with two_sites(tmp_path, FakeClock(NOW_MS)) as (_, b), b.running("inbox"):
        await until(lambda: _done(b))


async def _tried(site: Site, wanted: int) -> bool:
    return sum(each.next_try_ms > site.clock.now_ms() for each in await site.store.post_office.deliveries()) == wanted


async def _done(site: Site) -> bool:
    return not await site.store.post_office.deliveries()
