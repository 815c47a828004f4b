"""What could not be told stays until it can be, for as long as the subscription is in force, and the operator knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.access.terms import Quotas
from gateway.errors import StoreError
from gateway.inquiry.holdups import HoldUp
from gateway.observing import metrics
from gateway.observing.health import HealthFact, Level
from gateway.store.changes import Overdue
from gateway.vitals.changes import ChangeVitals
from tests.unit.notices.notices_world import Feed, Silent, World, death, findings_of, settings, world
from tests.unit.post.post_world import DAY_MS
from tests.unit.rules.rules_world import row
from tests.unit.services.gateways_world import ANNA, BO, CHEN, NEW_ANNA, A, Listed, policy, terms
from wugan.adapter.v1 import vocabulary_pb2 as v
from wugan.federation.v1 import vocabulary_pb2 as words

DECEASED = words.SURVIVAL_STATUS_DECEASED
VISIT = row("OUTPATIENT", 5, region=340100)
DAY_S = 86_400


def a_bank() -> Silent:
    """A department that does not know which numbers belong together."""
    made = Silent({}, department=v.DEPARTMENT_BANKS)
    made.about = replace(made.about, links=False)
    return made


async def pass_days(w: World, days: int) -> None:
    """So many days pass; each of them is looked several times for what is due."""
    for _ in range(days * 4):
        w.clock.advance(DAY_S / 4 + 1)
        await w.settle()


def looks(department: Feed) -> int:
    """How often it was asked for evidence; not how often for linked numbers, which is without traces."""
    return sum(1 for asked in department.asked if asked.traces_since_on < 1 << 30)


async def facts(w: World) -> Sequence[HealthFact]:
    vitals = ChangeVitals(w.b.store.changes, Listed(A, clock=w.clock), overdue_days=w.settings.overdue_days)
    return await vitals(w.clock.now_ms())


async def test_a_death_is_told_once_the_policy_can_be_read_again_however_late(tmp_path: Path) -> None:
    civil = Feed({ANNA: [VISIT]})
    async with world(tmp_path, civil) as w:
        await w.subscribe(ANNA)
        w.allow(None)
        civil.record(ANNA, VISIT, death())
        await w.settle()
        await pass_days(w, 8)
        assert await w.told() == []
        w.allow(policy(terms()))
        await pass_days(w, 1)
        assert await w.statuses() == [DECEASED]
        assert await w.b.store.changes.waiting() == (0, 0)


async def test_a_correction_is_told_once_the_silent_department_answers_again_however_late(tmp_path: Path) -> None:
    civil, bank = Feed({ANNA: [VISIT]}), a_bank()
    async with world(tmp_path, civil, bank) as w:
        await w.subscribe(ANNA)
        civil.record(ANNA, VISIT, death())
        await w.settle()
        bank.down()
        civil.record(ANNA, VISIT)
        await w.settle()
        await pass_days(w, 8)
        assert len(await w.told()) == 1
        bank.up()
        await pass_days(w, 1)
        first, second = await w.told()
        assert first.kept.retracted, "the death stands unretracted for good"
        assert second.kept.retracts_from == 1


async def test_a_death_in_a_gap_between_two_grants_is_told_once_there_is_one_again(tmp_path: Path) -> None:
    civil = Feed({ANNA: [VISIT]})
    async with world(tmp_path, civil) as w:
        await w.subscribe(ANNA)
        w.allow(policy())
        civil.record(ANNA, VISIT, death())
        await w.settle()
        assert await w.told() == []
        w.allow(policy(terms()))
        await pass_days(w, 1)
        assert await w.statuses() == [DECEASED]


async def test_nor_is_it_lost_while_no_department_may_be_asked(tmp_path: Path) -> None:
    civil = Feed({ANNA: [VISIT]})
    async with world(tmp_path, civil) as w:
        await w.subscribe(ANNA)
        civil.record(ANNA, VISIT, death())
        await w.look()
        source = w.departments.sources.source(civil)
        w.departments.sources.use([])
        await w.noticing.once()
        w.departments.sources.use([source])
        await pass_days(w, 1)
        assert await w.statuses() == [DECEASED]


async def test_what_is_overdue_is_looked_at_once_a_day_and_goes_with_the_subscription(tmp_path: Path) -> None:
    civil, bank = Feed({ANNA: [VISIT]}), a_bank()
    async with world(tmp_path, civil, bank, overdue_days=1.0, lease_days=20.0) as w:
        await w.subscribe(ANNA)
        bank.down()
        civil.record(ANNA, VISIT)
        await w.settle()
        await pass_days(w, 4)
        before = looks(civil)
        for _ in range(3 * 48):
            w.clock.advance(1_800)
            await w.settle()
        assert looks(civil) - before == 3
        civil.record(ANNA, VISIT)  # something new of the same person is looked at quickly again, and is as overdue
        for _ in range(4):
            await w.settle()
            w.clock.advance(10)
        assert looks(civil) - before == 3 + 4
        assert len(await facts(w)) == 1
        w.clock.advance(20 * DAY_S)
        await w.settle()
        assert await w.b.store.changes.waiting() == (0, 0)
        assert await facts(w) == []


async def test_the_operator_is_told_of_how_many_of_whom_since_when_and_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    civil, bank = Feed({ANNA: [VISIT], BO: [VISIT]}), a_bank()

    def full(*_: object) -> None:
        raise StoreError("too much waits", "待发过多")

    async with world(tmp_path, civil, bank) as w:
        await w.subscribe(ANNA, BO)
        since_ms = w.clock.now_ms()
        bank.down()
        civil.record(ANNA, VISIT)
        await w.settle()
        monkeypatch.setattr(w.b.outbox, "effect", full)
        civil.record(BO, VISIT, death())
        await w.look()
        while await w.noticing.once():
            pass
        assert await facts(w) == []
        assert metrics.CHANGES_OVERDUE.values()[()] == 0
        for _ in range(8):
            w.clock.advance(DAY_S)
            while await w.noticing.once():
                pass
        (fact,) = await facts(w)
        assert (fact.about, fact.level, fact.since_ms) == ("changes/overdue", Level.ATTENTION, since_ms)
        assert fact.en.startswith(
            "Something changed about 2 people whom 1 member pays (province 330000), and could not be told for more "
            "than 7 days, the first for 8 days: "
        )
        assert "2 人（由 1 个成员支付：" in fact.zh
        assert "departments do not answer (1)" in fact.en
        assert "too much waits to be sent to the member (1)" in fact.en
        assert "部门未答复（1 人）" in fact.zh
        assert "发往该成员的待发消息过多（1 人）" in fact.zh
        assert ANNA not in repr(fact)
        assert metrics.CHANGES_OVERDUE.values()[()] == 2
        assert {(each.why, each.members, each.people) for each in await overdue(w)} == {
            (HoldUp.DEPARTMENTS, (A.member_id,), 1),
            (HoldUp.OUTBOX, (A.member_id,), 1),
        }


async def overdue(w: World) -> list[Overdue]:
    return await w.b.store.changes.overdue(w.clock.now_ms())


async def why(w: World) -> set[int]:
    return {each.why for each in await overdue(w)}


async def test_why_it_could_not_be_told_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    civil = Feed({ANNA: [VISIT], BO: [VISIT]})
    async with world(tmp_path, civil) as w:
        await w.subscribe(ANNA)

        async def looked() -> set[int]:
            civil.record(ANNA, VISIT, death())
            await w.look()
            w.clock.advance(1)
            assert await why(w) == {0}, "not looked at yet"
            await w.noticing.once()
            return await why(w)

        w.allow(None)
        assert await looked() == {HoldUp.POLICY}
        w.allow(policy())
        assert await looked() == {HoldUp.GRANT}
        w.allow(policy(terms(quotas=Quotas(day=1))))
        civil.record(ANNA, VISIT)
        await w.settle()
        assert await looked() == {HoldUp.QUOTA}
        w.allow(policy(terms()))
        with monkeypatch.context() as patched:
            patched.setattr(w.noticing, "_judge", lambda *_: 1 / 0)
            assert await looked() == {HoldUp.FAULT}
        monkeypatch.setattr(w.noticing, "_directory", Listed(w.b.party, clock=w.clock).current)
        assert await looked() == {HoldUp.DIRECTORY}


async def test_people_of_whom_it_is_not_known_whether_anybody_pays_them_are_told_of_as_such(tmp_path: Path) -> None:
    civil = Feed({NEW_ANNA: [VISIT]})
    police = Silent({NEW_ANNA: []}, department=v.DEPARTMENT_PUBLIC_SECURITY, links={NEW_ANNA: ANNA, ANNA: NEW_ANNA})
    async with world(tmp_path, civil, police) as w:
        await w.subscribe(ANNA)
        police.down()
        civil.record(NEW_ANNA, VISIT, death())
        await w.settle()
        await pass_days(w, 8)
        (fact,) = await facts(w)
        assert "1 person of whom it is not known yet whether any member pays them" in fact.en
        assert "尚不知是否有成员为其支付" in fact.zh
        assert "which numbers belong together" in fact.en
        assert "关联" in fact.zh
        police.up()
        await pass_days(w, 1)
        assert [findings_of(each).status[0] for each in await w.told()] == [DECEASED]
        assert await facts(w) == []


async def test_who_changes_again_and_again_is_overdue_since_the_first_time(tmp_path: Path) -> None:
    civil, bank = Feed({ANNA: [VISIT], CHEN: [VISIT]}), a_bank()
    async with world(tmp_path, civil, bank) as w:
        await w.subscribe(ANNA)
        bank.down()
        since_ms = w.clock.now_ms()
        for _ in range(3):
            civil.record(ANNA, VISIT)
            await w.settle()
            await pass_days(w, 3)
        (one,) = await overdue(w)
        assert one.since_ms == since_ms
        assert w.clock.now_ms() - since_ms > 9 * DAY_MS


def test_the_setting_is_known_by_its_former_name_too() -> None:
    assert settings(give_up_days=3.0).overdue_days == settings(overdue_days=3.0).overdue_days == 3.0


async def test_the_table_is_not_counted_at_every_look_and_a_database_that_is_silent_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path, Feed({})) as w:
        vitals = ChangeVitals(w.b.store.changes, Listed(A, clock=w.clock), overdue_days=7.0)
        now_ms = w.clock.now_ms()
        assert await vitals(now_ms) == []

        async def away(_before_ms: int) -> list[Overdue]:
            raise StoreError("away", "不可用")

        monkeypatch.setattr(w.b.store.changes, "overdue", away)
        assert await vitals(now_ms + 1_000) == []
        (fact,) = await vitals(now_ms + 60_000)
        assert (fact.about, fact.level) == ("changes", Level.ATTENTION)
