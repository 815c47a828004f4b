"""Subscriptions, changed people and notices at rest: once each, in order, and nothing in clear."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from gateway.errors import StoreError
from gateway.exchange.tokens import PairKey
from gateway.store.changes import ChangedPerson, Later, Taken
from gateway.store.engine import Store
from gateway.store.letters import Effect
from gateway.store.notice_tables import watch_group, watch_terms
from gateway.store.notices import KeptNotice
from gateway.store.subscriptions import ACTIVE, REFUSED, Putting, Replied, Subscribed
from gateway.store.watches import Advance, Person, Registration, Watched
from tests.unit.store.store_world import MEMBER, NEIGHBOUR, NOW_MS, OTHER_MEMBER, PERSON, cells, event, new_id

DAY_MS = 86_400_000
KEY = PairKey(b"i" * 16, b"k" * 32)
UNTIL_MS = NOW_MS + 30 * DAY_MS


def registration(*numbers: str, **changed: Any) -> Registration:
    people = [Person(KEY.token(number), b"c" * 16, 1) for number in numbers]
    plain = Registration(MEMBER, "jinhua", KEY.key_id, KEY.secret, b"context", people, UNTIL_MS)
    return plain._replace(**changed)


async def register(store: Store, *registrations: Registration) -> None:
    for each in registrations:
        await store.together([store.watches.registering(each)])


async def found(store: Store, *numbers: str, now_ms: int = NOW_MS) -> list[Watched]:
    return await store.watches.find([KEY.token(number) for number in numbers], now_ms)


class Counting:
    """An effect that counts how often it happened."""

    def __init__(self) -> None:
        self.times = 0

    def apply(self, _transaction: Any, payloads: Sequence[None]) -> list[None]:
        self.times += len(payloads)
        return [None] * len(payloads)


async def test_subscriptions_go_in_once_and_out_again(store: Store) -> None:
    await register(store, registration(PERSON, NEIGHBOUR), registration(PERSON), registration(PERSON, PERSON))
    assert await store.watches.count(MEMBER) == 2
    assert await store.watches.known([KEY.token(PERSON), b"x" * 16], NOW_MS) == {KEY.token(PERSON)}
    await register(store, registration(PERSON, until_ms=0))
    assert await store.watches.count(MEMBER) == 1
    assert await found(store, PERSON) == []
    assert len(await found(store, PERSON, NEIGHBOUR)) == 1


async def test_units_benefits_and_members_are_kept_apart(store: Store) -> None:
    other = [Person(KEY.token(PERSON), b"c" * 16, 2)]
    await register(
        store,
        registration(PERSON),
        registration(PERSON, unit="hangzhou"),
        registration(people=other),
        registration(PERSON, member=OTHER_MEMBER),
    )
    assert len(await found(store, PERSON)) == 4
    assert (await store.watches.count(MEMBER), await store.watches.count(OTHER_MEMBER)) == (3, 1)
    assert {(group.member, group.unit) for group in await store.watches.groups()} == {
        (MEMBER, "jinhua"),
        (MEMBER, "hangzhou"),
        (OTHER_MEMBER, "jinhua"),
    }


async def test_more_than_fit_in_one_statement(store: Store) -> None:
    numbers = [f"{serial:018d}" for serial in range(1201)]
    await register(store, registration(*numbers), registration(*numbers))
    assert await store.watches.count(MEMBER) == 1201
    assert len(await store.watches.known([KEY.token(number) for number in numbers], NOW_MS)) == 1201
    await register(store, registration(*numbers, until_ms=0))
    assert await store.watches.count(MEMBER) == 0
    assert await store.watches.groups() == []


async def test_of_two_that_go_on_from_the_same_place_one_does_and_its_effects_happen_once(store: Store) -> None:
    await register(store, registration(PERSON))
    (watched,) = await found(store, PERSON)
    counting = Counting()
    steps = [Advance(watched, 1, told, [Effect(counting, None)]) for told in (b"one", b"two")]
    await store.together([store.watches.advancing(step) for step in steps])
    assert counting.times == 1
    (after,) = await found(store, PERSON)
    assert (after.sequence, after.told) == (1, b"one")


async def test_renewing_keeps_what_was_told_and_takes_the_new_terms(store: Store) -> None:
    await register(store, registration(PERSON))
    (watched,) = await found(store, PERSON)
    await store.together([store.watches.advancing(Advance(watched, 1, b"told"))])
    await register(store, registration(PERSON, context=b"another", until_ms=UNTIL_MS + DAY_MS))
    (after,) = await found(store, PERSON)
    assert (after.sequence, after.told, after.context) == (1, b"told", b"another")


async def test_what_is_over_does_not_count_and_is_purged(store: Store) -> None:
    await register(store, registration(PERSON), registration(NEIGHBOUR, until_ms=UNTIL_MS + DAY_MS))
    assert len(await found(store, PERSON, NEIGHBOUR, now_ms=UNTIL_MS + 1)) == 1
    assert await store.watches.purge(UNTIL_MS + 1) == 1
    assert await store.watches.purge(UNTIL_MS + 1) == 0
    assert await store.watches.count(MEMBER) == 1


def left(store: Store) -> tuple[int, int]:
    """How many terms and groups there are."""
    with store._engine.connect() as connection:
        terms, groups = (
            connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            for table in (watch_terms, watch_group)
        )
    return terms, groups


async def test_terms_and_groups_go_with_the_last_subscription_that_has_them(store: Store) -> None:
    await register(store, registration(PERSON, NEIGHBOUR), registration(PERSON, unit="hangzhou", context=b"another"))
    for at in range(20):  # renewed for another reason each time
        await register(store, registration(PERSON, context=b"reason %d" % at))
    assert left(store) == (3, 2)
    assert {each.context for each in await found(store, PERSON)} == {b"reason 19", b"another"}
    await register(store, registration(PERSON, until_ms=0))
    assert left(store) == (2, 2)
    await store.watches.purge(UNTIL_MS + 1)
    assert left(store) == (0, 0)


async def test_nothing_is_kept_of_whoever_unsubscribes_and_never_subscribed(store: Store) -> None:
    for at in range(20):
        await register(store, registration(PERSON, key_id=at.to_bytes(16), until_ms=0))
    assert left(store) == (0, 0)


async def test_a_group_that_comes_after_one_that_is_gone_has_its_own_key(store: Store) -> None:
    await register(store, registration(PERSON))
    assert [group.secret for group in await store.watches.groups()] == [KEY.secret]
    await register(store, registration(PERSON, until_ms=0), registration(PERSON, secret=b"s" * 32, unit="hangzhou"))
    assert [(group.unit, group.secret) for group in await store.watches.groups()] == [("hangzhou", b"s" * 32)]


async def test_reading_on_and_whom_it_brought_are_one_commit(store: Store) -> None:
    assert await store.changes.cursor("civil") == b""
    people = [ChangedPerson(PERSON, "某人", (NEIGHBOUR,), "civil", whole=False)]
    await store.changes.take(Taken("civil", b"cursor", people, NOW_MS))
    assert await store.changes.cursor("civil") == b"cursor"
    (due,) = await store.changes.due(NOW_MS, 10)
    assert due.person == people[0]
    await store.together([store.changes.settling([Later(due.number, NOW_MS + 5)])])
    assert await store.changes.due(NOW_MS, 10) == []
    (again,) = await store.changes.due(NOW_MS + 5, 10)
    assert again.tries == 1
    await store.together([store.changes.settling([Later(due.number, NOW_MS + DAY_MS)])])
    assert await store.changes.due(NOW_MS, 10) == []
    (astray,) = await store.changes.due(NOW_MS - 1, 10)
    assert astray.number == due.number, "put off while the clock was ahead"
    await store.changes.take(Taken("civil", b"cursor 2", people, NOW_MS + 6))
    (newer,) = await store.changes.due(NOW_MS + 6, 10)
    assert newer.number > due.number
    await store.together([store.changes.settling([newer.number])])
    assert await store.changes.waiting() == (0, 0)


def subscribed(number: str = PERSON, **changed: Any) -> Subscribed:
    plain = Subscribed("jinhua", 1, MEMBER, KEY.token(number), b"n" * 16, UNTIL_MS, b"con\x00text", number, "张·三")
    return plain._replace(**changed)


async def test_the_key_for_a_member_is_made_once(store: Store) -> None:
    first = await store.subscriptions.key(MEMBER, b"a" * 16, b"s" * 32)
    assert await store.subscriptions.key(MEMBER, b"b" * 16, b"t" * 32) == first == (b"a" * 16, b"s" * 32)
    assert (await store.subscriptions.key(OTHER_MEMBER, b"b" * 16, b"t" * 32))[1] == b"t" * 32


async def test_a_subscription_is_found_by_person_by_token_and_by_unit_only(store: Store) -> None:
    await store.together([store.subscriptions.putting(Putting([subscribed()], new_id(), NOW_MS))])
    (kept,) = await store.subscriptions.find("jinhua", PERSON, 0)
    assert (kept.id_number, kept.name, kept.context) == (PERSON, "张·三", b"con\x00text")
    assert await store.subscriptions.find("jinhua", PERSON, 2) == []
    assert await store.subscriptions.find("hangzhou", PERSON, 0) == []
    assert await store.subscriptions.by_token(MEMBER, KEY.token(PERSON), "jinhua", 1) == kept
    assert await store.subscriptions.by_token(OTHER_MEMBER, KEY.token(PERSON), "jinhua", 1) is None
    assert await store.subscriptions.by_token(MEMBER, KEY.token(PERSON), "hangzhou", 1) is None


async def test_only_the_reply_to_the_last_letter_counts(store: Store) -> None:
    old, new = new_id(), new_id()
    for letter in (old, new):
        await store.together([store.subscriptions.putting(Putting([subscribed()], letter, NOW_MS))])
    replies = [Replied(MEMBER, new, 0, UNTIL_MS, 6), Replied(MEMBER, old, 4, 0, 0), Replied(OTHER_MEMBER, new, 4, 0, 0)]
    for reply in replies:
        await store.together([store.subscriptions.replying(reply)])
    (kept,) = await store.subscriptions.find("jinhua", PERSON, 1)
    assert (kept.standing, kept.reason, kept.monitored) == (ACTIVE, 0, 6)


async def test_what_must_be_renewed_is_found(store: Store) -> None:
    letter = new_id()
    people = [subscribed(), subscribed(NEIGHBOUR, until_ms=NOW_MS + 1)]
    await store.together([store.subscriptions.putting(Putting(people, letter, NOW_MS))])
    assert await store.subscriptions.to_renew(NOW_MS, NOW_MS + DAY_MS, NOW_MS) == []
    later = NOW_MS + 2 * DAY_MS
    renewed = await store.subscriptions.to_renew(later, later + DAY_MS, later - DAY_MS)
    assert [each.id_number for each in renewed] == [PERSON]
    await store.together([store.subscriptions.replying(Replied(MEMBER, letter, 0, UNTIL_MS, 0))])
    assert await store.subscriptions.to_renew(later, later + DAY_MS, later - DAY_MS) == []
    await store.together([store.subscriptions.replying(Replied(MEMBER, letter, 6, 0, 0))])
    (refused,) = await store.subscriptions.to_renew(later, later + DAY_MS, later - DAY_MS)
    assert refused.standing == REFUSED
    ahead = await store.subscriptions.to_renew(NOW_MS - 2 * DAY_MS, NOW_MS, NOW_MS - 3 * DAY_MS)
    assert PERSON in {each.id_number for each in ahead}, "asked for while the clock was ahead"
    assert await store.subscriptions.purge(later) == 1


async def test_pages_of_subscriptions_leave_nobody_out(store: Store) -> None:
    numbers = [f"{serial:018d}" for serial in range(25)]
    await store.together(
        [store.subscriptions.putting(Putting([subscribed(each) for each in numbers], new_id(), NOW_MS))]
    )
    seen: list[str] = []
    after = None
    while page := await store.subscriptions.page("jinhua", after, 7):
        seen += [each.id_number for each in page]
        last = page[-1]
        after = (last.blind_index, last.benefit, last.member)
    assert sorted(seen) == numbers
    assert await store.subscriptions.page("hangzhou", None, 7) == []


def notice(sequence: int, retracts_from: int = 0, **changed: Any) -> KeptNotice:
    plain = KeptNotice("jinhua", MEMBER, 1, b"b" * 16, sequence, retracts_from, NOW_MS, UNTIL_MS, b"body")
    return plain._replace(**changed)


async def test_notices_are_told_in_order_and_those_taken_back_are_marked(store: Store) -> None:
    kept = [notice(1), notice(2), notice(3, 2), notice(1, unit="hangzhou"), notice(1, blind_index=b"c" * 16)]
    for each in kept:
        await store.together([store.notices.keeping(each)])
    told = await store.notices.after("jinhua", 0)
    assert [(each.sequence, each.retracted, each.retracts_from) for each in told] == [
        (1, False, 0),
        (2, True, 0),
        (3, False, 2),
        (1, False, 0),
    ]
    assert [each.body for each in told] == [b"body"] * 4
    assert [each.number for each in told] == sorted(each.number for each in told)
    assert await store.notices.after("jinhua", told[1].number) == told[2:]
    assert await store.notices.purge(UNTIL_MS + 1) == 5


async def test_nothing_stands_in_clear(store: Store) -> None:
    await register(store, registration(PERSON))
    await store.subscriptions.key(MEMBER, KEY.key_id, KEY.secret)
    await store.together(
        [
            store.subscriptions.putting(Putting([subscribed()], new_id(), NOW_MS)),
            store.notices.keeping(notice(1, body=PERSON.encode())),
            store.audit.effect(event()),
        ]
    )
    await store.changes.take(Taken("civil", PERSON.encode(), [ChangedPerson(PERSON, "张三", (), "civil")], NOW_MS))
    for cell in cells(store):
        raw = cell.encode() if isinstance(cell, str) else cell or b""
        assert PERSON.encode() not in raw
        assert "张".encode() not in raw
        assert KEY.secret not in raw


async def test_a_row_that_was_exchanged_for_another_does_not_open(store: Store) -> None:
    await register(store, registration(PERSON, NEIGHBOUR))
    for each in await found(store, PERSON, NEIGHBOUR):
        await store.together([store.watches.advancing(Advance(each, 1, b"told"))])
    with store._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE watch SET told = (SELECT told FROM watch ORDER BY token DESC LIMIT 1)")
    with pytest.raises(StoreError):
        await found(store, PERSON, NEIGHBOUR)


def test_no_description_shows_a_secret_or_a_person() -> None:
    shown = repr([subscribed(), notice(1), ChangedPerson(PERSON, "张三", (), "civil")])
    assert PERSON not in shown
    assert "张" not in shown
