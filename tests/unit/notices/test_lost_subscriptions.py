"""Subscriptions that the asking side believed in force and the other side did not have any more: nobody is missed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from gateway.cli.audit_words import is_known
from gateway.errors import RefusedError
from gateway.exchange.envelope import Proof
from gateway.exchange.tokens import CHECK_BYTES, PairKey
from gateway.inquiry.harvest import SEQUENTIAL, Harvest
from gateway.inquiry.registering import read_change
from gateway.post.leaving import commit
from gateway.post.letters import Received, letter
from gateway.sections.inward import HarvestSettings
from gateway.store.alarms import Alarm
from gateway.store.inbox import UNDER_WAY
from gateway.store.subscriptions import ACTIVE, PENDING, REFUSED
from gateway.store.watches import Person, Registration
from tests.unit.inquiry.test_harvest import scan
from tests.unit.notices.notices_world import PENSION, Feed, Silent, World, death, findings_of, world
from tests.unit.notices.test_notice_service import called
from tests.unit.post.post_world import until
from tests.unit.rules.rules_world import row
from tests.unit.services.gateways_world import ANNA, BO, CHEN, NAMES, NEW_ANNA, UNIT, A, B, context, policy, terms
from tests.unit.store.store_world import cells
from wugan.adapter.v1 import vocabulary_pb2 as v
from wugan.agency.v1 import agency_pb2
from wugan.federation.v1 import delivery_pb2, notices_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

DECEASED = words.SURVIVAL_STATUS_DECEASED
VISIT = row("OUTPATIENT", 5, region=340100)
DAY_S = 86_400


async def lapse(w: World, days: float = 12.2, *, purged: bool = True) -> None:
    """A is away for so long."""
    w.clock.advance(days * DAY_S)
    while purged and await w.b.store.watches.purge(w.clock.now_ms()):
        pass


async def forget(w: World, *numbers: str, unit: str = UNIT) -> None:
    """B's database is an older one, without these subscriptions."""
    (group,) = [each for each in await w.b.store.watches.groups() if each.unit == unit]
    key = PairKey(group.key_id, group.secret)
    gone = [Person(key.token(number), b"", PENSION) for number in numbers]
    given = Registration(A.member_id, unit, group.key_id, group.secret, b"", gone, 0)
    await w.b.store.together([w.b.store.watches.registering(given)])


async def renew(w: World) -> int:
    """A renews what is to be renewed, and whatever follows from it happens."""
    renewed = await w.subscribing.renew()
    await w.delivered()
    await w.delivered()  # B's answer to what A asked because of its answer
    await w.settle()
    return renewed


def looks(department: Feed) -> int:
    return sum(1 for asked in department.asked if asked.traces_since_on < 1 << 30)


async def from_a(w: World) -> list[notices_pb2.SubscriptionChange]:
    """Every change that A sent."""
    sent = [each for at in range(len(w.a.wire.envelopes)) for each in w.a.sent(at)]
    kind = delivery_pb2.DELIVERY_KIND_SUBSCRIPTION
    return [notices_pb2.SubscriptionChange.FromString(each.body) for each in sent if each.kind == kind]


@pytest.mark.parametrize("purged", [True, False])
async def test_a_death_while_the_lease_had_lapsed_is_told_after_the_renewal(tmp_path: Path, purged: bool) -> None:
    civil = Feed({ANNA: [VISIT], BO: [VISIT]})
    async with world(tmp_path, civil, lease_days=12.0) as w:
        await w.subscribe(ANNA, BO)
        await lapse(w, purged=purged)
        civil.record(ANNA, VISIT, death())
        await w.settle()
        assert await w.told() == []
        w.clock.advance(DAY_S)
        assert await renew(w) == 2
        (told,) = await w.told()
        assert (told.id_number, findings_of(told).status[0]) == (ANNA, DECEASED)
        assert await w.b.store.changes.waiting() == (0, 0)
        assert {each.standing for each in await w.standing()} == {ACTIVE}
        # From here on it is a subscription like any other.
        civil.record(ANNA, VISIT)
        await w.settle()
        first, second = await w.told()
        assert first.kept.retracted
        assert second.kept.retracts_from == 1


async def test_an_ending_that_died_and_is_sent_again_takes_nobody_out_for_long_who_was_subscribed_for_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    civil = Feed({ANNA: [VISIT], BO: [VISIT]})
    async with world(tmp_path, civil, lease_days=30.0) as w:
        await w.subscribe(ANNA, BO)
        with monkeypatch.context() as refusing:
            refusing.setattr(w.registering, "check", _refuse)
            assert await w.subscribing.unsubscribe(UNIT, [(ANNA, PENSION)]) == 1
            await w.delivered()
        (dead,) = await w.a.store.post_office.dead_letters()
        w.clock.advance(1)
        await w.subscribe(ANNA)
        assert await w.a.store.post_office.retry_letter(dead, w.clock.now_ms())
        w.a.outbox.wake(B.member_id)
        await w.delivered()
        civil.record(ANNA, VISIT, death())
        await w.settle()
        assert await w.told() == [], "B took her out last"
        w.clock.advance(w.settings.renew_s)
        assert await renew(w) == 1, "only who was asked for since, and before the next renewal is due"
        assert await w.statuses() == [DECEASED]
        assert await renew(w) == 0


@pytest.mark.parametrize("again", [False, True])
async def test_a_subscribing_that_died_and_is_sent_again_does_not_outlive_what_ended_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    civil = Feed({ANNA: [VISIT], BO: [VISIT]})
    async with world(tmp_path, civil, lease_days=30.0) as w:
        with monkeypatch.context() as refusing:
            refusing.setattr(w.registering, "check", _refuse)
            await w.subscribe(ANNA, BO)
        (dead,) = await w.a.store.post_office.dead_letters()
        w.clock.advance(1)
        await w.subscribe(ANNA, unit="quzhou")
        assert await w.subscribing.unsubscribe(UNIT, [(ANNA, PENSION)]) == 1
        await w.delivered()
        if again:  # and subscribed for once more, which is not undone
            w.clock.advance(1)
            await w.subscribe(ANNA)
        w.clock.advance(1)
        assert await w.a.store.post_office.retry_letter(dead, w.clock.now_ms())
        w.a.outbox.wake(B.member_id)
        await w.delivered()
        groups = {each.unit: each for each in await w.b.store.watches.groups()}

        async def watched(unit: str, *numbers: str) -> int:
            key = PairKey(groups[unit].key_id, groups[unit].secret)
            found = await w.b.store.watches.find(map(key.token, numbers), w.clock.now_ms())
            return sum(each.group == groups[unit].number for each in found)

        assert await watched(UNIT, BO) == 1
        assert await watched(UNIT, ANNA) == again
        assert await watched("quzhou", ANNA) == 1
        ends = [each.event for each in await w.a.store.audit.events() if "ended" in each.event.decision]
        assert [(each.unit, each.subjects) for each in ends] == [(UNIT, 1)] * (1 if again else 2)
        assert all(is_known(each.decision) for each in ends)


async def test_a_subscribing_that_died_where_it_came_is_not_dealt_with_after_what_ended_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    civil = Feed({ANNA: [VISIT], BO: [VISIT]})
    async with world(tmp_path, civil, lease_days=30.0) as w:
        post = w.b.store.post_office
        with monkeypatch.context() as refusing:
            refusing.setattr(w.registering, "handle", _refuse_later)
            await w.subscribe(ANNA, BO)
        (dead,) = await post.dead_deliveries()
        w.clock.advance(1)
        await w.subscribing.unsubscribe(UNIT, [(ANNA, PENSION)])
        await w.delivered()
        assert not await post.retry_delivery(dead)
        assert await w.b.store.watches.groups() == []
        w.clock.advance(1.1 * DAY_S)
        assert await renew(w) == 1, "whoever is still subscribed for is asked for again"
        (group,) = await w.b.store.watches.groups()
        tokens = [PairKey(group.key_id, group.secret).token(each) for each in (ANNA, BO)]
        assert await w.b.store.watches.known(tokens, w.clock.now_ms()) == {tokens[1]}


@pytest.mark.parametrize("later", [False, True])
async def test_any_other_that_died_there_is_dealt_with_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, later: bool
) -> None:
    async with world(tmp_path, Feed({ANNA: [VISIT], BO: [VISIT]}), lease_days=30.0) as w:
        post = w.b.store.post_office
        if later:  # an ending, and a change after it
            await w.subscribe(ANNA)
        with monkeypatch.context() as refusing:
            refusing.setattr(w.registering, "handle", _refuse_later)
            if later:
                await w.subscribing.unsubscribe(UNIT, [(ANNA, PENSION)])
                await w.delivered()
            else:
                await w.subscribe(ANNA)
        if later:
            await w.subscribe(BO)
        (dead,) = await post.dead_deliveries()
        assert await post.retry_delivery(dead)
        assert not await post.retry_delivery(dead)
        w.b.inbox.wake(delivery_pb2.DELIVERY_KIND_SUBSCRIPTION)
        await w.delivered()
        (group,) = await w.b.store.watches.groups()
        tokens = [PairKey(group.key_id, group.secret).token(each) for each in (ANNA, BO)]
        assert await w.b.store.watches.known(tokens, w.clock.now_ms()) == {tokens[later]}


async def _refuse_later(*_: object) -> None:
    _refuse()


def _refuse(*_: object) -> None:
    raise RefusedError("not here", "不受理", reason=words.REFUSAL_REASON_ENVELOPE_UNSUPPORTED)


@pytest.mark.parametrize("purged", [True, False])
async def test_a_record_withdrawn_meanwhile_takes_back_what_was_told_before(tmp_path: Path, purged: bool) -> None:
    civil = Feed({ANNA: [VISIT], BO: [VISIT]})
    async with world(tmp_path, civil, lease_days=12.0) as w:
        await w.subscribe(ANNA, BO)
        for rows in ((VISIT, death()), (VISIT,), (VISIT, death(2))):
            civil.record(ANNA, *rows)
            await w.settle()
        assert [each.kept.retracted for each in await w.told()] == [True, False, False]
        await lapse(w, purged=purged)
        civil.record(ANNA, VISIT)
        await w.settle()
        await renew(w)
        *_, third, last = await w.told()
        assert third.kept.retracted, "the death stands unretracted for good"
        assert (last.kept.sequence, last.kept.retracts_from) == (4, 3)
        assert len(await w.told()) == 4


async def test_what_was_told_before_is_not_told_again(tmp_path: Path) -> None:
    civil = Feed({ANNA: [VISIT]})
    async with world(tmp_path, civil, lease_days=12.0) as w:
        await w.subscribe(ANNA)
        civil.record(ANNA, VISIT, death())
        await w.settle()
        for _ in range(2):
            await lapse(w)
            await renew(w)
        assert await w.statuses() == [DECEASED]
        civil.record(ANNA, VISIT, death(4))  # the day is corrected
        await w.settle()
        assert [(each.kept.sequence, each.kept.retracts_from) for each in await w.told()] == [(1, 0), (2, 1)]


async def test_of_a_subscription_that_was_ended_and_made_again_the_later_numbering_counts(tmp_path: Path) -> None:
    civil = Feed({ANNA: [VISIT]})
    async with world(tmp_path, civil, lease_days=12.0) as w:
        await w.subscribe(ANNA)
        for rows in ((VISIT, death()), (VISIT,), (VISIT, death(2))):
            civil.record(ANNA, *rows)
            await w.settle()
        w.clock.advance(60)
        await w.subscribing.unsubscribe(UNIT, [(ANNA, 0)])
        await w.subscribe(ANNA)
        civil.record(ANNA, VISIT, death(2))
        await w.settle()
        await lapse(w)
        civil.record(ANNA, VISIT)
        await w.settle()
        await renew(w)
        assert [(each.kept.sequence, each.kept.retracted) for each in await w.told()] == [
            (1, True),
            (2, False),
            (3, False),
            (1, True),
            (2, False),
        ]


async def test_one_of_whom_something_was_told_here_already_does_not_go_back_nor_does_anothers_go_on(
    tmp_path: Path,
) -> None:
    civil = Feed({ANNA: [VISIT], BO: [VISIT]})
    async with world(tmp_path, civil) as w:
        await w.subscribe(ANNA, BO)
        for rows in ((VISIT, death()), (VISIT,)):
            civil.record(ANNA, *rows)
            await w.settle()
        await w.subscribe(ANNA, BO, unit="another unit")
        key = PairKey(*await w.a.store.subscriptions.key(w.b.party.member_id, b"", b""))
        told = notices_pb2.ToldBefore(sequence=1, status=DECEASED, decided_on=20_000, gone_since=1)
        people = notices_pb2.SubscribedColumns(
            tokens=b"".join(key.tokens([ANNA, BO])), name_checks=b"c" * 32, benefit=[PENSION, PENSION]
        )
        change = notices_pb2.SubscriptionChange(
            context=w.context(),
            key=notices_pb2.SubscriptionKey(key_id=key.key_id, secret=key.secret),
            people=people,
            until_ms=w.clock.now_ms() + 9 * DAY_S * 1_000,
            look_at=[ANNA, BO],
            told=[told, told],
        )
        proof = Proof(b"", b"", b"", b"", b"", 0, 1, b"")
        purpose, now_ms = v.PURPOSE_CHANGE_MONITORING, w.clock.now_ms()
        kind = delivery_pb2.DELIVERY_KIND_SUBSCRIPTION
        handled = await w.registering.handle(
            Received(A.member_id, b"d" * 16, kind, purpose, now_ms, now_ms, change.SerializeToString(), proof, 0, 0)
        )
        await w.b.store.together(handled.effects)
        units = {group.number: group.unit for group in await w.b.store.watches.groups()}
        found = await w.b.store.watches.find(key.tokens([ANNA, BO]), now_ms)
        numbers = {ANNA: key.token(ANNA), BO: key.token(BO)}
        assert {
            (units[each.group], person): each.sequence
            for each in found
            for person, token in numbers.items()
            if token == each.token
        } == {(UNIT, ANNA): 2, (UNIT, BO): 1, ("another unit", ANNA): 0, ("another unit", BO): 0}


async def test_so_is_one_whom_a_restored_database_of_the_other_side_does_not_know(tmp_path: Path) -> None:
    civil = Feed({ANNA: [VISIT], BO: [VISIT]})
    async with world(tmp_path, civil, lease_days=20.0) as w:
        await w.subscribe(ANNA, BO)
        w.clock.advance(11 * DAY_S)
        await forget(w, ANNA)
        for person in (ANNA, BO):
            civil.record(person, VISIT, death())
        await w.settle()
        assert [each.id_number for each in await w.told()] == [BO]
        before = looks(civil)
        assert await renew(w) == 2
        assert sorted(each.id_number for each in await w.told()) == sorted([ANNA, BO])
        assert looks(civil) - before == 1, "somebody was looked at who was not lost"
        *_, asked = await from_a(w)
        assert list(asked.look_at) == [ANNA], "more numbers were named than had to be"


async def test_though_the_reply_that_says_so_is_late_and_it_was_asked_for_again(tmp_path: Path) -> None:
    civil = Feed({ANNA: [VISIT]})
    async with world(tmp_path, civil, lease_days=20.0) as w:
        await w.subscribe(ANNA)
        w.clock.advance(11 * DAY_S)
        await forget(w, ANNA)
        civil.record(ANNA, VISIT, death())
        await w.settle()
        door, w.a.wire.door = w.a.wire.door, None
        for _ in range(2):
            assert await w.subscribing.renew() == 1
            w.clock.advance(DAY_S + 60)
        w.a.wire.door = door
        await renew(w)
        assert await w.statuses() == [DECEASED]


async def test_a_unit_that_subscribes_again_by_itself_renews_just_so(tmp_path: Path) -> None:
    civil = Feed({ANNA: [VISIT]})
    async with world(tmp_path, civil, lease_days=12.0) as w:
        await w.subscribe(ANNA)
        await lapse(w)
        civil.record(ANNA, VISIT, death())
        await w.settle()
        await w.subscribe(ANNA)
        await w.delivered()
        await w.settle()
        assert await w.statuses() == [DECEASED]


async def test_so_is_what_happened_while_the_other_side_refused(tmp_path: Path) -> None:
    civil = Feed({ANNA: [VISIT]})
    async with world(tmp_path, civil, lease_days=12.0) as w:
        await w.subscribe(ANNA)
        w.allow(policy())
        w.clock.advance(3 * DAY_S)
        assert await renew(w) == 1
        assert [each.standing for each in await w.standing()] == [REFUSED]
        await lapse(w)
        civil.record(ANNA, VISIT, death())
        await w.settle()
        w.allow(policy(terms()))
        assert await renew(w) == 1
        assert await w.statuses() == [DECEASED]


async def test_nobody_is_looked_at_who_is_new_or_was_watched_all_the_time(tmp_path: Path) -> None:
    civil = Feed({ANNA: [VISIT, death()], BO: [VISIT, death()]})
    async with world(tmp_path, civil, lease_days=20.0) as w:
        await w.subscribe(ANNA)
        await w.settle()
        assert await w.told() == [], "subscribe first, then check"
        w.clock.advance(11 * DAY_S)
        assert await renew(w) == 1
        await w.subscribe(BO)  # new, at a time when another is known
        await w.subscribe(ANNA, unit="another unit")
        await w.delivered()
        await w.settle()
        assert looks(civil) == 0
        assert all(not each.look_at for each in await from_a(w))


async def test_who_is_looked_at_and_well_is_not_told_of_and_nothing_of_them_stays(tmp_path: Path) -> None:
    civil = Feed({ANNA: [VISIT]})
    async with world(tmp_path, civil, lease_days=12.0) as w:
        await w.subscribe(ANNA, CHEN)  # nobody of B knows CHEN
        await lapse(w)
        await renew(w)
        assert await w.told() == []
        assert await w.b.store.changes.waiting() == (0, 0)
        for cell in cells(w.b.store):
            raw = cell.encode() if isinstance(cell, str) else cell or b""
            assert ANNA.encode() not in raw
            assert NAMES[ANNA].encode() not in raw
        decisions = [event.decision for event in await w.recorded(w.b)]
        assert sum("nothing to tell" in each for each in decisions) == 2
        asked = [event for event in await w.recorded(w.a) if event.decision == "asked to look at people it had lost"]
        assert [(event.subjects, event.counterpart) for event in asked] == [(2, w.b.party.member_id)]


async def test_a_person_who_has_another_number_by_now_is_found(tmp_path: Path) -> None:
    links = {NEW_ANNA: ANNA, ANNA: NEW_ANNA}
    civil = Feed({NEW_ANNA: [VISIT], ANNA: []}, links=links)
    async with world(tmp_path, civil, lease_days=12.0) as w:
        await w.subscribe(ANNA)
        await lapse(w)
        civil.record(NEW_ANNA, VISIT, death())
        await w.settle()
        await renew(w)
        assert [(each.id_number, findings_of(each).status[0]) for each in await w.told()] == [(ANNA, DECEASED)]


async def test_the_look_waits_like_any_other_for_what_is_silent(tmp_path: Path) -> None:
    civil = Feed({ANNA: [VISIT]})
    police = Silent({ANNA: []}, department=v.DEPARTMENT_PUBLIC_SECURITY)
    async with world(tmp_path, civil, police, lease_days=12.0) as w:
        await w.subscribe(ANNA)
        await lapse(w)
        police.people = {ANNA: [row("HOUSEHOLD_CANCELLED_DEATH", 3, region=340100)]}
        police.down()
        await renew(w)
        assert await w.told() == []
        assert (await w.b.store.changes.waiting())[0] == 1
        police.up()
        await w.looked_again()
        assert await w.statuses() == [DECEASED]


async def test_the_look_is_asked_for_though_the_other_side_cannot_decide_just_then(tmp_path: Path) -> None:
    civil = Feed({ANNA: [VISIT]})
    async with world(tmp_path, civil, lease_days=12.0) as w:
        await w.subscribe(ANNA)
        await lapse(w)
        civil.record(ANNA, VISIT, death())
        await w.settle()
        handle, changes = w.registering.handle, 0

        async def unreadable_for_the_second(delivery: Any) -> Any:
            nonlocal changes
            changes += 1
            w.allow(None if changes == 2 else policy(terms()))
            return await handle(delivery)

        w.registering.handle = unreadable_for_the_second  # type: ignore[method-assign]
        await renew(w)
        assert changes == 2
        w.allow(policy(terms()))
        await w.looked_again()
        assert await w.statuses() == [DECEASED]


async def test_an_older_gateway_that_says_nothing_of_it_is_asked_where_the_lease_was_over(tmp_path: Path) -> None:
    civil = Feed({ANNA: [VISIT]})
    async with world(tmp_path, civil, lease_days=12.0) as w:

        async def silent(*_: object) -> list[bytes]:
            return []

        w.b.store.watches.unknown = silent  # type: ignore[method-assign]
        await w.subscribe(ANNA)
        await lapse(w)
        civil.record(ANNA, VISIT, death())
        await w.settle()
        await renew(w)
        assert await w.statuses() == [DECEASED]


async def test_a_gateway_that_says_of_the_look_too_that_it_knows_nobody_is_not_asked_again(tmp_path: Path) -> None:
    async with world(tmp_path, Feed({ANNA: [VISIT]}), lease_days=20.0) as w:

        async def nobody(given: Registration, *_: object) -> list[bytes]:
            return [person.token for person in given.people]

        w.b.store.watches.unknown = nobody  # type: ignore[method-assign]
        await w.subscribe(ANNA)
        w.clock.advance(11 * DAY_S)
        await renew(w)
        for _ in range(5):
            w.clock.advance(60)
            await renew(w)
        assert [len(each.look_at) for each in await from_a(w)] == [0, 0, 1]


async def test_meanwhile_the_list_does_not_say_that_the_other_side_watches(tmp_path: Path) -> None:
    async with world(tmp_path, Feed({ANNA: [VISIT]}), lease_days=12.0) as w:
        agency = w.agency()
        await w.subscribe(ANNA)

        async def listed() -> list[int]:
            response = await agency.ListSubscriptions(agency_pb2.ListSubscriptionsRequest(), called())
            return [each.standing for each in response.subscriptions]

        assert await listed() == [ACTIVE]
        await lapse(w)
        assert await listed() == [PENDING]
        await renew(w)
        assert await listed() == [ACTIVE]


def watching(alarms: list[Alarm], **changed: Any) -> Harvest:
    """Looks for harvesting; each alarm is noted, and numbered as it comes."""

    def noted(alarm: Alarm, numbered: Callable[[int], None]) -> None:
        alarms.append(alarm)
        numbered(len(alarms))

    return Harvest(HarvestSettings(**changed), noted)


async def names_to_be_looked_at(w: World, numbers: Sequence[str]) -> None:
    """A subscribes for these numbers as if B had lost them, so that B looks at whoever has them."""
    key = PairKey.fresh()
    pair = PairKey(*key)
    change = notices_pb2.SubscriptionChange(
        context=w.context(),
        key=notices_pb2.SubscriptionKey(key_id=key[0], secret=key[1]),
        people=notices_pb2.SubscribedColumns(
            tokens=b"".join(pair.tokens(numbers)),
            name_checks=bytes(CHECK_BYTES * len(numbers)),
            benefit=[PENSION] * len(numbers),
        ),
        until_ms=w.clock.now_ms() + DAY_S * 100_000,
        look_at=numbers,
    )
    now_ms = w.clock.now_ms()
    sent = letter(
        B.member_id,
        delivery_pb2.DELIVERY_KIND_SUBSCRIPTION,
        change.SerializeToString(),
        purpose=v.PURPOSE_CHANGE_MONITORING,
        now_ms=now_ms,
        expires_at_ms=now_ms + DAY_S * 1_000,
    )
    await commit(w.a.store, [w.a.outbox.effect(sent)])


async def test_going_through_numbers_that_are_to_be_looked_at_is_harvesting_and_waits(tmp_path: Path) -> None:
    alarms: list[Alarm] = []
    people = scan(30)
    dead = {person: [VISIT, death()] for person in people}
    civil = Feed(dead, names=dict.fromkeys(people, "无名"))
    async with world(tmp_path, civil, harvest=watching(alarms)) as w:
        await names_to_be_looked_at(w, people)
        await until(lambda: held_back(w), "B holds it back")
        await w.look()
        while await w.noticing.once():
            pass
        assert [(each.signal, each.member, each.unit) for each in alarms] == [(SEQUENTIAL, A.member_id, UNIT)]
        assert looks(civil) == 0, "whoever goes through the numbers there can be is told who of them is dead"
        events = [event for event in await w.recorded(w.b) if event.outcome]
        assert [(event.outcome, event.subjects) for event in events] == [(words.REFUSAL_REASON_QUOTA_EXCEEDED, 30)]
        assert all(is_known(event.decision) for event in events)
        # Nobody is lost: cleared, they are looked at.
        w.allow(policy(terms(), cleared=frozenset({1})))
        w.clock.advance(61)
        w.b.inbox.wake(delivery_pb2.DELIVERY_KIND_SUBSCRIPTION)
        await until(lambda: not_held_back(w), "B goes on with it")
        await w.settle()
        assert looks(civil) > 0
        assert len(alarms) == 1


async def test_while_an_alarm_stands_nobody_is_looked_at_for_that_unit(tmp_path: Path) -> None:
    watch = watching([])
    civil = Feed({ANNA: [VISIT, death()]})
    async with world(tmp_path, civil, harvest=watch) as w:
        watch.restore([Alarm(1, w.clock.now_ms(), A.member_id, UNIT, SEQUENTIAL, 30, 19)])
        assert watch.held_ms(A.member_id, UNIT, w.clock.now_ms()) == 0  # the one that is let through
        await names_to_be_looked_at(w, [ANNA])
        await until(lambda: held_back(w), "B holds it back")
        assert looks(civil) == 0
        w.clock.advance(61)
        w.b.inbox.wake(delivery_pb2.DELIVERY_KIND_SUBSCRIPTION)
        await until(lambda: not_held_back(w), "B goes on with it")
        await w.settle()
        assert looks(civil) == 1


@pytest.mark.parametrize(("step", "roster"), [(1, 60), (3, 0)])
async def test_a_lost_roster_that_the_grant_expects_is_looked_at_and_at_any_hour(
    tmp_path: Path, step: int, roster: int
) -> None:
    alarms: list[Alarm] = []
    people = scan(60, step=step)
    civil = Feed({person: [VISIT] for person in people}, names=dict.fromkeys(people, "无名"))
    async with world(tmp_path, civil, harvest=watching(alarms, odd_people=10)) as w:
        w.allow(policy(terms(roster=roster)))
        w.clock.advance(13 * 3600)  # one in the morning
        await names_to_be_looked_at(w, people)
        await w.delivered()
        await w.settle()
        assert not alarms
        assert looks(civil) > 0


async def held_back(w: World) -> bool:
    return (await w.b.store.inbox.counts()).get(UNDER_WAY) == 1


async def not_held_back(w: World) -> bool:
    return not await held_back(w)


def a_change(**changed: Any) -> bytes:
    key = PairKey(b"i" * 16, b"s" * 32)
    plain: dict[str, Any] = {
        "context": context(purpose=v.PURPOSE_CHANGE_MONITORING),
        "key": notices_pb2.SubscriptionKey(key_id=key.key_id, secret=key.secret),
        "people": notices_pb2.SubscribedColumns(
            tokens=b"".join(key.tokens([ANNA, BO])), name_checks=b"c" * 32, benefit=[PENSION, PENSION]
        ),
        "until_ms": 1 << 40,
        **changed,
    }
    return notices_pb2.SubscriptionChange(**plain).SerializeToString()


def test_what_was_told_before_fits_those_to_be_looked_at() -> None:
    def told(**changed: int) -> notices_pb2.ToldBefore:
        plain = {"sequence": 3, "status": DECEASED, "flags": 0, "decided_on": 20_000, "gone_since": 2, **changed}
        return notices_pb2.ToldBefore(**plain)  # type: ignore[arg-type]

    def read(*each: notices_pb2.ToldBefore) -> None:
        read_change(a_change(look_at=[ANNA, BO], told=each), v.PURPOSE_CHANGE_MONITORING)

    read(told(), notices_pb2.ToldBefore())
    for wrong in ({"sequence": -1}, {"gone_since": 4}, {"lasting_since": 4}, {"gone_since": -1}, {"status": 99}):
        with pytest.raises(RefusedError) as raised:
            read(told(), told(**wrong))
        assert raised.value.field == "told"
    with pytest.raises(RefusedError):
        read(told())
    with pytest.raises(RefusedError):
        read_change(a_change(told=[told(), told()]), v.PURPOSE_CHANGE_MONITORING)


def test_numbers_to_be_looked_at_are_those_of_the_tokens() -> None:
    assert list(read_change(a_change(look_at=[ANNA, BO]), v.PURPOSE_CHANGE_MONITORING).look_at) == [ANNA, BO]
    for wrong in ([ANNA], [BO, ANNA], [ANNA, CHEN], [ANNA, "x"], [ANNA, BO, CHEN]):
        with pytest.raises(RefusedError) as raised:
            read_change(a_change(look_at=wrong), v.PURPOSE_CHANGE_MONITORING)
        assert raised.value.field == "look_at"
        assert ANNA not in str(cast("object", raised.value))


async def test_a_reply_of_another_shape_is_refused(tmp_path: Path) -> None:
    async with world(tmp_path, Feed({})) as w:
        reply = notices_pb2.SubscriptionReply(answers_to=b"i" * 16, unknown=b"x" * 17)
        with pytest.raises(RefusedError):
            w.subscribing.check(w.b.party.member_id, v.PURPOSE_CHANGE_MONITORING, reply.SerializeToString(), 0)
