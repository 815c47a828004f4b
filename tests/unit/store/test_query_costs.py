"""What is looked up all the time costs no more, the more there is that it does not find."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from gateway.clock import FakeClock
from gateway.store.reusable import Changes, Reusable
from tests.unit.post.post_world import open_store, steps
from tests.unit.store.store_world import MEMBER, NOW_MS, answer

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
