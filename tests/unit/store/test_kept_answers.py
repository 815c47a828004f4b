"""Signed answers: kept encrypted, found by number, produced as they came, deleted when their time is over."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from gateway.clock import FakeClock
from gateway.store.answers import PURGE_EVERY, RETENTION_MS
from gateway.store.engine import Store
from gateway.store.jumps import SETTLE_S
from tests.unit.store.conftest import OpenStore
from tests.unit.store.store_world import MEMBER, NEIGHBOUR, NOW_MS, OTHER_MEMBER, PERSON, answer, new_id, refused


async def test_an_answer_is_produced_as_it_came(open_store: OpenStore) -> None:
    kept = answer(payload=bytes(range(256)) * 5)
    async with open_store() as store:
        await store.answers.keep(kept, [PERSON])
    async with open_store() as store:
        assert await store.answers.produce(kept.member, kept.message_id) == kept
        assert await store.answers.produce(kept.member, new_id()) is None
        assert await store.answers.produce(OTHER_MEMBER, kept.message_id) is None


async def test_answers_are_found_by_each_persons_number_newest_first(store: Store) -> None:
    older = answer(at_ms=NOW_MS)
    newer = answer(at_ms=NOW_MS + 5, member=OTHER_MEMBER)
    await store.answers.keep(newer, [PERSON, NEIGHBOUR])
    await store.answers.keep(older, [PERSON])
    assert [one.message_id for one in await store.answers.find(PERSON)] == [newer.message_id, older.message_id]
    assert [one.message_id for one in await store.answers.find(PERSON, limit=1)] == [newer.message_id]
    found = await store.answers.find(NEIGHBOUR)
    assert [(one.member, one.at_ms, one.retain_until_ms) for one in found] == [
        (OTHER_MEMBER, NOW_MS + 5, NOW_MS + 5 + RETENTION_MS)
    ]
    assert await store.answers.find("110101199001011237") == []


async def test_keeping_the_same_answer_again_changes_nothing(store: Store) -> None:
    kept = answer()
    await asyncio.gather(*(store.answers.keep(kept, [PERSON]) for _ in range(5)))
    await store.answers.keep(kept._replace(payload=b"another"), [NEIGHBOUR])
    assert await store.answers.produce(kept.member, kept.message_id) == kept
    assert len(await store.answers.find(PERSON)) == 1
    assert await store.answers.find(NEIGHBOUR) == []


async def test_nothing_on_the_disk_tells_whom_an_answer_is_about(store: Store, state: Path) -> None:
    await store.answers.keep(answer(payload=f"{PERSON} 张三".encode()), [PERSON])
    await store.close()
    kept = b"".join(path.read_bytes() for path in state.iterdir())
    assert PERSON.encode() not in kept
    assert "张三".encode() not in kept


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE kept_answer SET body = substr(body, 1, length(body) - 1) || x'00'",
        "UPDATE kept_answer SET body = x'01'",
        "UPDATE kept_answer SET body = x'02' || substr(body, 2)",
    ],
)
async def test_a_changed_answer_is_not_produced(store: Store, state: Path, statement: str) -> None:
    kept = answer()
    await store.answers.keep(kept, [PERSON])
    with sqlite3.connect(state / "wugan.db") as connection:
        connection.execute(statement)
    connection.close()
    with refused("INTERNAL"):
        await store.answers.produce(kept.member, kept.message_id)


async def test_a_body_moved_to_another_row_is_not_produced(store: Store, state: Path) -> None:
    one, other = answer(), answer()
    await store.answers.keep(one, [PERSON])
    await store.answers.keep(other, [PERSON])
    with sqlite3.connect(state / "wugan.db") as connection:
        connection.execute(
            "UPDATE kept_answer SET body = (SELECT body FROM kept_answer WHERE message_id = ?)", [one.message_id]
        )
    connection.close()
    assert await store.answers.produce(MEMBER, one.message_id) == one
    with refused("INTERNAL"):
        await store.answers.produce(MEMBER, other.message_id)


async def test_answers_are_deleted_when_their_time_is_over_and_not_before(
    store: Store, state: Path, clock: FakeClock
) -> None:
    clock.advance(SETTLE_S)
    over, lasting = answer(at_ms=clock.now_ms()), answer(at_ms=clock.now_ms())
    await store.answers.keep(over, [PERSON], retain_ms=1000)
    await store.answers.keep(lasting, [PERSON], retain_ms=1001)
    clock.advance(1.001)
    later = [answer(at_ms=clock.now_ms()) for _ in range(PURGE_EVERY)]
    await asyncio.gather(*(store.answers.keep(one, [NEIGHBOUR]) for one in later))
    assert await store.answers.produce(MEMBER, over.message_id) is None
    assert [one.message_id for one in await store.answers.find(PERSON)] == [lasting.message_id]
    with sqlite3.connect(state / "wugan.db") as connection:
        left = connection.execute("SELECT count(*) FROM kept_answer_subject").fetchone()[0]
    connection.close()
    assert left == 1 + PURGE_EVERY


async def test_none_is_deleted_because_a_clock_is_ahead_for_a_moment(store: Store, clock: FakeClock) -> None:
    clock.advance(SETTLE_S)
    kept = answer(at_ms=clock.now_ms())
    await store.answers.keep(kept, [PERSON])
    ahead_ms = clock.now_ms() + 2 * RETENTION_MS
    await asyncio.gather(*(store.answers.keep(answer(at_ms=ahead_ms), [NEIGHBOUR]) for _ in range(PURGE_EVERY)))
    assert await store.answers.produce(MEMBER, kept.message_id) == kept


async def test_an_answer_about_many_people_is_found_by_each(store: Store) -> None:
    numbers = [f"33070219500101{serial:04d}" for serial in range(2500)]
    kept = answer()
    await store.answers.keep(kept, numbers)
    for number in numbers[::500]:
        assert [one.message_id for one in await store.answers.find(number)] == [kept.message_id]


@pytest.mark.parametrize(
    "malformed",
    [
        {"message_id": b"short"},
        {"question_digest": b""},
        {"signature": b"s" * 65536},
        {"member": "M" * 19},
        {"header": b"h" * 5000},
    ],
)
async def test_a_malformed_answer_is_refused(store: Store, malformed: dict[str, object]) -> None:
    with refused("INTERNAL"):
        await store.answers.keep(answer(**malformed), [PERSON])
