"""Acts on the disk: chained, in the audit trail, noticed by a running gateway, and refused when they were touched."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.access import people
from gateway.access.policy import Policy
from gateway.clock import FakeClock
from gateway.errors import PolicyError, StoreError, WuganError
from gateway.inquiry.administering import BLIND_S, PolicyWatch
from gateway.store import acts as kept
from gateway.store.alarms import Alarm
from gateway.store.engine import Store
from tests.unit.access.access_world import ASKER, NOW_MS, Office, administration, office


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Office]:
    async with office(tmp_path) as opened:
        yield opened


def store_in(folder: Path) -> Store:
    return Store.open(folder / "gateway.db", key=folder / "store.key", clock=FakeClock(NOW_MS))


class Gateway:
    """What a running gateway sees of the policy."""

    def __init__(self, store: Store, clock: FakeClock) -> None:
        self.taken: list[Policy | None] = []
        self.watch = PolicyWatch(administration(store, clock), self.taken.append, clock, 0.5)


async def test_every_act_is_in_the_audit_trail_with_its_signature(desk: Office, tmp_path: Path) -> None:
    number = await desk.grant()
    await desk.act("sun", people.WITHDRAW_GRANT, {"grant": number, "why": "end"})
    async with store_in(tmp_path) as store:
        acts, _ = await store.acts.read()
        recorded = await store.audit.events()
        await store.audit.verify_chain()
    assert [each.event.unit for each in recorded] == ["wang", "li", "sun"]
    for act, each in zip(acts, recorded, strict=True):
        assert each.event.direction == "act"
        assert act.signature.hex() in each.event.decision
        assert each.event.official.hex() == desk.administration.ledger.people[each.event.unit].key_id


async def test_an_act_that_is_refused_leaves_no_trace(desk: Office, tmp_path: Path) -> None:
    with pytest.raises(PolicyError):
        await desk.grant("sun")
    async with store_in(tmp_path) as store:
        assert len((await store.acts.read())[0]) == len(await store.audit.events()) == 1


async def test_of_two_who_change_the_policy_at_once_one_is_told_to_look_again(desk: Office, tmp_path: Path) -> None:
    async with store_in(tmp_path) as store:
        other = Office(administration(store, FakeClock(NOW_MS)))
        outcomes = await asyncio.gather(desk.grant(), other.grant(by="zhao"), return_exceptions=True)
        errors = [each for each in outcomes if isinstance(each, BaseException)]
        assert len(errors) <= 1  # none, where the one was quicker
        assert all(isinstance(error, PolicyError) and error.retryable for error in errors)
        await desk.administration.refresh()
        await other.administration.refresh()
        assert len(desk.administration.ledger.grants) == len(other.administration.ledger.grants) == 2 - len(errors)


async def test_a_running_gateway_takes_a_changed_policy_at_its_next_look(desk: Office, tmp_path: Path) -> None:
    async with store_in(tmp_path) as store:
        gateway = Gateway(store, FakeClock(NOW_MS))
        await gateway.watch.look(first=True)
        await gateway.watch.look()
        assert [policy.version for policy in gateway.taken if policy] == [1]
        number = await desk.grant()
        await gateway.watch.look()
        await desk.act("li", people.WITHDRAW_GRANT, {"grant": number, "why": "end"})
        await gateway.watch.look()
        assert [policy.version for policy in gateway.taken if policy] == [1, 2, 3]


async def test_a_gateway_that_cannot_look_allows_nothing_after_some_seconds(desk: Office, tmp_path: Path) -> None:
    clock = FakeClock(NOW_MS)
    store = store_in(tmp_path)
    gateway = Gateway(store, clock)
    await gateway.watch.look(first=True)
    with sqlite3.connect(tmp_path / "gateway.db") as connection:
        connection.execute("ALTER TABLE store_meta RENAME TO hidden")
    clock.advance(BLIND_S)
    await gateway.watch.look()
    assert len(gateway.taken) == 1
    clock.advance(0.1)
    await gateway.watch.look()
    assert gateway.taken[-1] is None
    with sqlite3.connect(tmp_path / "gateway.db") as connection:
        connection.execute("ALTER TABLE hidden RENAME TO store_meta")
    await gateway.watch.look()
    assert gateway.taken[-1] is not None
    await store.close()


TOUCHED = {
    "a statement changed": "UPDATE access_act SET statement = "
    "CAST(REPLACE(CAST(statement AS TEXT), '1000', '9000') AS BLOB)",
    "an act taken out": "DELETE FROM access_act WHERE number = 2",
    "the last act cut off": "DELETE FROM access_act WHERE number = 3",
    "all acts removed": "DELETE FROM access_act",
    "an act put in": "INSERT INTO access_act SELECT 4, statement, signature, mac FROM access_act WHERE number = 2",
    "the mark set back": "UPDATE store_meta SET value = "
    "CAST(x'0000000000000002' || (SELECT mac FROM access_act WHERE number = 2) AS BLOB) WHERE name = 'access_head'",
}


@pytest.mark.parametrize("how", TOUCHED)
async def test_a_record_that_was_touched_allows_nothing(desk: Office, tmp_path: Path, how: str) -> None:
    number = await desk.grant()
    await desk.act("li", people.WITHDRAW_GRANT, {"grant": number, "why": "end"})
    with sqlite3.connect(tmp_path / "gateway.db") as connection:
        connection.execute(TOUCHED[how])
    async with store_in(tmp_path) as store:
        with pytest.raises(WuganError) as caught:
            await administration(store, FakeClock(NOW_MS)).refresh()
        assert not caught.value.retryable
        gateway = Gateway(store, FakeClock(NOW_MS))
        await gateway.watch.look(first=True)
        assert gateway.taken == [None]


async def test_whatever_goes_wrong_with_the_policy_nothing_is_allowed_and_the_watch_goes_on(
    desk: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with store_in(tmp_path) as store:
        gateway = Gateway(store, FakeClock(NOW_MS))
        with monkeypatch.context() as broken:
            broken.setattr("gateway.inquiry.administering.Policy.of", lambda _ledger: 1 / 0)
            await gateway.watch.look(first=True)
        await gateway.watch.look()
    assert gateway.taken[0] is None
    assert gateway.taken[1] is not None
    assert desk.administration.ledger.number == 1


async def test_removing_acts_and_mark_alike_leaves_a_gateway_without_grants(desk: Office, tmp_path: Path) -> None:
    await desk.grant()
    with sqlite3.connect(tmp_path / "gateway.db") as connection:
        connection.execute("DELETE FROM access_act")
        connection.execute("DELETE FROM store_meta WHERE name = 'access_head'")
    async with store_in(tmp_path) as store:
        opened = administration(store, FakeClock(NOW_MS))
        await opened.refresh()
        assert not opened.ledger.grants


async def test_acts_of_another_gateway_are_not_this_ones(desk: Office, tmp_path: Path) -> None:
    await desk.grant()
    async with store_in(tmp_path) as store:
        with pytest.raises(PolicyError, match="another gateway"):
            await administration(store, FakeClock(NOW_MS), "11330000002482285J").refresh()


async def test_an_act_too_large_or_unsigned_is_not_kept(desk: Office, tmp_path: Path) -> None:
    with pytest.raises(PolicyError):
        await desk.act("wang", people.ADD_PERSON, {"application": "x" * 40_000, "role": "audit"})
    async with store_in(tmp_path) as store:
        acts, _ = await store.acts.read()
        recorded = (await store.audit.events())[0].event
        with pytest.raises(StoreError):
            await store.acts.append(acts[0]._replace(number=2, signature=b""), recorded)


async def test_an_alarm_is_not_cleared_before_it_was_raised(desk: Office, tmp_path: Path) -> None:
    clearing = {"alarm": 1, "why": "a slip of the pen"}
    with pytest.raises(PolicyError) as caught:
        await desk.act("sun", people.CLEAR_ALARM, clearing)
    assert caught.value.field == "alarm"
    async with store_in(tmp_path) as store:
        assert await store.alarms.submit(Alarm(0, NOW_MS, ASKER, "jinhua", "sequential", 25, 20)) == 1
    assert not desk.administration.ledger.cleared
    await desk.act("sun", people.CLEAR_ALARM, clearing)
    assert desk.administration.ledger.cleared == {1}


async def test_a_record_of_any_length_is_read_whole(
    desk: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = [await desk.grant() for _ in range(6)]
    monkeypatch.setattr(kept, "READ_AT_ONCE", 3)
    async with store_in(tmp_path) as store:
        opened = administration(store, FakeClock(NOW_MS))
        await opened.refresh()
        assert list(opened.ledger.grants) == numbers
