"""What is looked up all the time costs no more, the more there is that it does not find."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from gateway.clock import FakeClock
from gateway.store.reader import Reader
from gateway.store.reusable import Changes, Reusable
from gateway.store.subscriptions import Putting, Replied, Subscribed, Subscriptions
from tests.unit.post.post_world import open_store, reading_steps, steps
from tests.unit.store.store_world import MEMBER, NOW_MS, answer, new_id

DAY_MS = 86_400_000


async def test_dropping_what_is_kept_of_one_person_does_not_look_through_all_that_is_kept_of_the_member(
    tmp_path: Path,
) -> None:
    numbers = [f"{serial:018d}" for serial in range(1_000)]
    async with open_store(tmp_path, FakeClock(NOW_MS)) as store:

        async def keep(some: list[str]) -> None:
            kept = [(number, answer()) for number in some]
            for number, one in kept:
                store.answers.submit(one, [number])
            until_ms = NOW_MS + DAY_MS
            rows = [
                Reusable(
                    number.encode().ljust(32, b"."), MEMBER, one.message_id, 0, NOW_MS, until_ms, 0, until_ms, b"d", 0
                )
                for number, one in kept
            ]
            await store.reusable.submit(Changes(rows, (), NOW_MS, 10_000))

        def drop(connection: sa.Connection) -> None:
            person = store.reusable.blind_index(numbers[0])
            assert len(store.reusable._dropping._drop(connection, MEMBER, [person])) == 1

        await keep(numbers[:50])
        few = steps(tmp_path, drop)
        await keep(numbers[50:])
        assert steps(tmp_path, drop) <= few + 1


async def test_whom_to_ask_for_again_is_found_without_looking_through_those_that_have_time(tmp_path: Path) -> None:
    async with open_store(tmp_path, FakeClock(NOW_MS)) as store:

        async def subscribe(first: int, count: int, lease_until_ms: int) -> None:
            people = [
                Subscribed(
                    "jinhua",
                    1,
                    MEMBER,
                    serial.to_bytes(16),
                    b"c" * 16,
                    NOW_MS + 300 * DAY_MS,
                    b"context",
                    f"{serial:018d}",
                    "name",
                )
                for serial in range(first, first + count)
            ]
            letter = new_id()
            await store.together([store.subscriptions.putting(Putting(people, letter, NOW_MS - 2 * DAY_MS))])
            await store.together([store.subscriptions.replying(Replied(MEMBER, letter, 0, lease_until_ms, 0))])

        async def look(reader: Reader) -> None:
            subscriptions = Subscriptions(store._writer, reader, store._keys)
            found = await subscriptions.to_renew(NOW_MS, NOW_MS + 7 * DAY_MS, NOW_MS - DAY_MS)
            assert {each.token for each in found} == {serial.to_bytes(16) for serial in range(5)}

        await subscribe(0, 5, NOW_MS + DAY_MS)
        await subscribe(5, 50, NOW_MS + 60 * DAY_MS)
        few = await reading_steps(tmp_path, look)
        await subscribe(55, 1_500, NOW_MS + 60 * DAY_MS)
        assert await reading_steps(tmp_path, look) <= few + 1
