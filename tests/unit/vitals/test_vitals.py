"""What a gateway says of its own state: the directory, keys, disk, database, partners, departments, clocks, alarms."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from adapters import retries
from adapters.contract import Description
from certs.errors import TokenError
from certs.slot_journal import Generation
from gateway.clock import FakeClock, SystemClock
from gateway.errors import HandshakeError, PartnerError, RefusedError, StoreError
from gateway.federation.own_standing import Objection
from gateway.federation.standing import DoorState, Standings
from gateway.federation.trying import Told
from gateway.inquiry.asking import Departments
from gateway.observing import calls, clocks, metrics
from gateway.observing.health import HealthFact, Level
from gateway.observing.instruments import value_of
from gateway.resilience.backoff import Outage
from gateway.resilience.breaker import Said, State
from gateway.sections.resilience import BreakerSettings, RetrySettings
from gateway.vitals.peers import AlarmVitals, DepartmentVitals, PartnerVitals
from gateway.vitals.standing import count_try, shown
from gateway.vitals.storage import StorageVitals
from gateway.vitals.trust import DAY_MS, DirectoryVitals, KeyVitals
from gateway.vitals.wording import size_of, span_of
from tests.unit.services.gateways_world import NOW_MS, A, B, C, Listed
from wugan.adapter.v1 import vocabulary_pb2 as adapter_words
from wugan.federation.v1 import vocabulary_pb2 as words


@dataclass
class World:
    """A clock, and a directory of three members."""

    clock: FakeClock = field(default_factory=lambda: FakeClock(NOW_MS))

    def __post_init__(self) -> None:
        self.directory = Listed(A, B, C, clock=self.clock)

    async def partners(self) -> list[HealthFact]:
        return list(await PartnerVitals(self.directory, 2.0)(self.clock.now_ms()))

    def ask(self, partner: str, error: Exception | None = None, seconds: float = 0.1) -> None:
        if error is None:
            with calls.to_partner(partner):
                self.clock.advance(seconds)
            return
        with pytest.raises(type(error)), calls.to_partner(partner):
            raise error


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    calls.use_clock(made.clock)
    for memory in (calls.PARTNERS, calls.DEPARTMENTS, clocks.OFFSETS):
        memory.clear()
    yield made
    for memory in (calls.PARTNERS, calls.DEPARTMENTS, clocks.OFFSETS):
        memory.clear()
    calls.use_clock(SystemClock())


def gone() -> PartnerError:
    return PartnerError("e", "z")


def levels(facts: list[HealthFact]) -> dict[str, Level]:
    return {fact.about: fact.level for fact in facts}


# partners


async def test_a_partner_that_failed_three_times_is_told_of_with_since_when_and_why(world: World) -> None:
    world.ask(B.member_id)
    began = world.clock.now_ms()
    for _ in range(3):
        world.ask(C.member_id, gone())
        world.clock.advance(60)
    (fact,) = await world.partners()
    assert (fact.about, fact.level) == (f"partner/{C.member_id}", Level.ATTENTION)
    assert "3 minutes" in fact.en
    assert "cannot be reached" in fact.en
    assert "3 分钟" in fact.zh
    assert fact.since_ms == began
    assert fact.do_zh


async def test_a_partner_that_took_a_delivery_since_is_not_said_to_be_away(world: World) -> None:
    for _ in range(3):
        world.ask(C.member_id, gone())
    calls.partner_took(C.member_id)
    assert levels(await world.partners()) == {"partners": Level.WELL}


async def test_a_partner_that_takes_no_deliveries_is_not_among_those_that_answer(world: World) -> None:
    away = {B.member_id}
    vitals = PartnerVitals(world.directory, 2.0, undelivered=lambda: away)
    world.ask(B.member_id)
    assert list(await vitals(NOW_MS)) == []
    world.ask(C.member_id)
    (fact,) = await vitals(NOW_MS)
    assert fact.en == "All partners asked lately answer: 1."


@pytest.mark.parametrize("reason", [words.REFUSAL_REASON_INTERNAL, words.REFUSAL_REASON_SHUTTING_DOWN])
async def test_whatever_a_partner_fails_for_is_said_in_words(
    world: World, reason: words.RefusalReason.ValueType
) -> None:
    for _ in range(3):
        world.ask(B.member_id, RefusedError("rejected", "已拒绝", reason=reason))
    told = {fact.about: fact for fact in await world.partners()}[f"partner/{B.member_id}"]
    name = words.RefusalReason.Name(reason).removeprefix("REFUSAL_REASON_")
    assert name not in told.en
    assert name not in told.zh


async def test_two_failures_are_not_worth_telling(world: World) -> None:
    for _ in range(2):
        world.ask(C.member_id, gone())
    assert levels(await world.partners()) == {"partners": Level.WELL}


async def test_when_no_partner_answers_it_is_probably_oneself(world: World) -> None:
    for partner in (B, C):
        for _ in range(3):
            world.ask(partner.member_id, gone())
    assert levels(await world.partners())["partners"] is Level.FAILING


@pytest.mark.parametrize("reason", sorted(calls.BETWEEN_GATEWAYS))
async def test_a_partner_that_accepts_none_of_our_messages_does_not_count_as_one_that_answers(
    world: World, reason: words.RefusalReason.ValueType
) -> None:
    for _ in range(3):
        world.ask(B.member_id, RefusedError("rejected", "已拒绝", reason=reason))
    told = {fact.about: fact for fact in await world.partners()}[f"partner/{B.member_id}"]
    assert told.level is Level.ATTENTION
    assert "last: " not in told.en, "a reason without words"
    assert told.do_zh


async def test_of_a_partner_with_whom_no_tls_comes_about_it_is_said_what_to_compare(world: World) -> None:
    for _ in range(3):
        world.ask(B.member_id, HandshakeError("no", "不"))
    (fact,) = await world.partners()
    assert "no TLS connection" in fact.en
    assert "TLS" in fact.zh
    assert "certs status" in fact.do_zh


async def test_a_slow_partner_is_told_of(world: World) -> None:
    for _ in range(10):
        world.ask(B.member_id, seconds=3.0)
    (fact,) = await world.partners()
    assert "slow" in fact.en


async def test_of_a_slow_partner_with_several_gateways_it_is_told_how_long_each_takes(world: World) -> None:
    for _ in range(10):
        world.ask(B.member_id, seconds=3.0)
    doors = [
        DoorState(B.member_id, B.address, State.CLOSED, None, 3.1),
        DoorState(B.member_id, "127.0.0.1:2", State.CLOSED, None, 0.02),
        DoorState(B.member_id, "127.0.0.1:3", State.CLOSED, None, None),
    ]
    (fact,) = await PartnerVitals(world.directory, 2.0, lambda: doors)(NOW_MS)
    assert f"{B.address} 3.10 s, 127.0.0.1:2 0.02 s, 127.0.0.1:3 not known yet" in fact.en
    assert f"{B.address} 3.10 秒，127.0.0.1:2 0.02 秒，127.0.0.1:3 尚不清楚" in fact.zh
    assert "directory" in fact.do_en
    assert "目录" in fact.do_zh


async def test_who_is_no_member_any_more_is_not_told_of(world: World) -> None:
    for _ in range(5):
        world.ask("11110000000000000X", gone())
    assert await world.partners() == []


async def test_the_figures_of_who_is_no_member_any_more_go_with_it(world: World) -> None:
    for _ in range(5):
        world.ask(B.member_id, gone())
        clocks.OFFSETS.seen(B.member_id, 10)
    world.clock.advance(60)
    await world.partners()
    shown_of_b = metrics.PARTNER_FAILING, metrics.PARTNER_CLOCK
    assert all((B.member_id,) in figure.values() for figure in shown_of_b)
    world.directory = Listed(A, C, clock=world.clock)
    await world.partners()
    assert not any((B.member_id,) in figure.values() for figure in shown_of_b), "it would be failing for ever"


async def test_a_gateway_left_alone_is_told_of_with_its_next_try(world: World) -> None:
    outage = Outage(NOW_MS - 60_000, 3, 30_000, NOW_MS + 30_000, "PARTNER_UNAVAILABLE")
    doors = [DoorState(B.member_id, B.address, State.OPEN, outage, None)]
    (fact,) = await PartnerVitals(world.directory, 2.0, lambda: doors)(NOW_MS)
    assert fact.about == f"left-alone/{B.member_id}/{B.address}"
    assert "12:00:30" in fact.en
    assert fact.since_ms == outage.since_ms


async def test_a_gateway_whose_next_try_is_due_is_not_said_to_be_left_alone_still(world: World) -> None:
    outage = Outage(NOW_MS - 60_000, 3, 30_000, NOW_MS - 1, "PARTNER_UNAVAILABLE")
    doors = [DoorState(B.member_id, B.address, State.OPEN, outage, None)]
    (fact,) = await PartnerVitals(world.directory, 2.0, lambda: doors)(NOW_MS)
    assert "the next question tries it again" in fact.en
    assert "下一次查询时再次尝试" in fact.zh


async def test_a_gateway_that_is_being_tried_is_not_said_to_keep_failing_nor_to_wait_for_the_next_question(
    world: World,
) -> None:
    outage = Outage(NOW_MS - 60_000, 3, 30_000, NOW_MS - 1, "PARTNER_UNAVAILABLE")
    doors = [DoorState(B.member_id, B.address, State.HALF_OPEN, outage, None)]
    (fact,) = await PartnerVitals(world.directory, 2.0, lambda: doors)(NOW_MS)
    assert "keeps failing" not in fact.en
    assert "the next question" not in fact.en
    assert "kept failing" in fact.en
    assert "being tried again" in fact.en
    assert "此前持续异常" in fact.zh
    assert "下一次查询" not in fact.zh
    assert "正在试探" in fact.zh


async def test_when_every_partner_is_left_alone_it_is_probably_oneself(world: World) -> None:
    outage = Outage(NOW_MS - 60_000, 3, 30_000, NOW_MS + 30_000, "PARTNER_UNAVAILABLE")
    doors = [DoorState(party.member_id, party.address, State.OPEN, outage, None) for party in (B, C)]
    assert levels(list(await PartnerVitals(world.directory, 2.0, lambda: doors)(NOW_MS)))["partners"] is Level.FAILING
    doors.append(DoorState(C.member_id, "other:1", State.CLOSED, None, None))
    assert "partners" not in levels(list(await PartnerVitals(world.directory, 2.0, lambda: doors)(NOW_MS)))


@pytest.mark.parametrize("answered", [True, False])
async def test_who_answered_since_or_may_be_asked_again_is_not_among_all_that_fail(
    world: World, *, answered: bool
) -> None:
    outage = Outage(NOW_MS - 60_000, 3, 30_000, NOW_MS + (30_000 if answered else -1), "PARTNER_UNAVAILABLE")
    doors = [DoorState(party.member_id, party.address, State.HALF_OPEN, outage, None) for party in (B, C)]
    if answered:
        world.ask(C.member_id)
    told = levels(list(await PartnerVitals(world.directory, 2.0, lambda: doors)(NOW_MS)))
    assert "partners" not in told
    assert len(told) == 2, "each is told of all the same"


async def test_a_deadline_too_short_to_be_fair_says_nothing_of_a_partner(world: World) -> None:
    late = PartnerError("e", "z", reason=words.REFUSAL_REASON_DEADLINE_EXCEEDED)
    for _ in range(3):
        with pytest.raises(PartnerError), calls.to_partner(B.member_id, fair=False):
            raise late
    assert await world.partners() == []


def test_breakers_and_places_are_shown_and_further_tries_counted(world: World) -> None:
    standings = Standings(RetrySettings(), BreakerSettings(calls=1, error_rate=0.5), world.clock)
    standing = standings.of(B.member_id)
    for address in ("one:1", "two:1"):
        breaker = standing.door(address).breaker
        given = breaker.admit()
        assert given is not None
        breaker.settle(given, Said.FAILED, "PARTNER_UNAVAILABLE")
    departments = Departments([], lambda _one, _other: True)
    standing.bulkhead.take()
    with shown(standings, departments):
        assert value_of("wugan_partner_breaker", partner=B.member_id) == 2
        assert value_of("wugan_partner_in_use", partner=B.member_id) == 1
        standing.door("three:1")
        assert value_of("wugan_partner_breaker", partner=B.member_id) == 0, "one gateway is let through"
        tried = value_of("wugan_department_retries_total", department="health")
        retries.again("health")
    retries.again("health")  # nobody counts any more
    assert value_of("wugan_department_retries_total", department="health") == tried + 1
    before = value_of("wugan_partner_retries_total", partner=B.member_id)
    for kind in ("first", "retry", "hedge"):
        count_try(Told(B.member_id, "one:1", kind, "OK", 0.1))
    assert value_of("wugan_partner_retries_total", partner=B.member_id) == before + 1


# clocks


async def test_a_clock_that_differs_from_one_partners_is_told_of_and_from_several_is_ones_own(world: World) -> None:
    for _ in range(5):
        clocks.OFFSETS.seen(B.member_id, 30_000)
    assert levels(await world.partners()) == {f"clock/{B.member_id}": Level.ATTENTION}
    for _ in range(5):
        clocks.OFFSETS.seen(C.member_id, 31_000)
    (fact,) = await world.partners()
    assert fact.about == "clock"
    assert "probably this one" in fact.en


async def test_messages_that_waited_do_not_make_clocks_differ(world: World) -> None:
    for offset_ms in (40_000, 55_000, 20, 38_000):
        clocks.OFFSETS.seen(B.member_id, offset_ms)
    assert await world.partners() == []


async def test_an_old_difference_is_forgotten(world: World) -> None:
    for _ in range(clocks.WINDOW):
        clocks.OFFSETS.seen(B.member_id, -60_000)
    assert "behind" in (await world.partners())[0].en
    for _ in range(2 * clocks.WINDOW):
        clocks.OFFSETS.seen(B.member_id, 10)
    assert await world.partners() == []


async def test_envelopes_refused_as_expired_are_clocks_minutes_apart(world: World) -> None:
    for _ in range(3):
        clocks.OFFSETS.refused(B.member_id)
    assert levels(await world.partners()) == {"clock/refused": Level.FAILING}
    clocks.OFFSETS.seen(B.member_id, 0)
    assert await world.partners() == []


# departments


async def test_the_figures_of_a_department_that_is_not_asked_any_more_go_with_it(world: World) -> None:
    there = [description("one"), description("two")]
    vitals = DepartmentVitals(lambda: there, 2.0)
    lookups("one", ["UNAVAILABLE"] * 3)
    world.clock.advance(60)
    await vitals(NOW_MS)
    assert metrics.DEPARTMENT_FAILING.values()[("one",)] == 60
    del there[0]
    await vitals(NOW_MS)
    assert ("one",) not in metrics.DEPARTMENT_FAILING.values(), "it would be failing for ever"


def description(name: str) -> Description:
    return Description(name, "1", adapter_words.DEPARTMENT_CIVIL_AFFAIRS, (330000,), ())


def lookups(name: str, outcomes: list[str]) -> None:
    for outcome in outcomes:
        with calls.to_department(name, 1.0) as call:
            call.outcome = outcome


async def test_departments_are_told_of_by_name_and_together_when_all_fail(world: World) -> None:
    vitals = DepartmentVitals(lambda: [description("one"), description("two")], 2.0)
    assert levels(list(await vitals(NOW_MS))) == {"departments": Level.WELL}
    lookups("one", ["UNAVAILABLE"] * 3)
    lookups("two", ["ANSWERED"])
    (fact,) = await vitals(NOW_MS)
    assert (fact.about, fact.level) == ("department/one", Level.ATTENTION)
    assert "民政（one）" in fact.zh
    lookups("one", ["OVERLOADED"] * 3)
    (fact,) = await vitals(NOW_MS)
    assert "too much to do" in fact.en
    assert "繁忙" in fact.zh
    lookups("two", ["SILENT"] * 3)
    assert levels(list(await vitals(NOW_MS)))["departments"] is Level.FAILING


# directory


async def test_the_directory_is_well_then_close_to_its_end_then_over(world: World) -> None:
    vitals = DirectoryVitals(world.directory, 6 * 3600)
    (fact,) = await vitals(world.clock.now_ms())
    assert fact.level is Level.WELL
    world.clock.advance(30 * 86_400 - 3600)
    (fact,) = await vitals(world.clock.now_ms())
    assert fact.level is Level.ATTENTION
    assert "60 minutes" in fact.en
    world.clock.advance(3601)
    (fact,) = await vitals(world.clock.now_ms())
    assert fact.level is Level.FAILING
    assert fact.since_ms == NOW_MS + 30 * DAY_MS


# keys


def slots(left_ms: int, left_in_token: tuple[Generation, ...] = ()) -> Any:
    """Own keys of which the TLS key has so long to live, of 100 days."""

    def current(kind: str) -> SimpleNamespace:
        left = left_ms if kind == "tls" else 90 * DAY_MS
        return SimpleNamespace(not_before_ms=NOW_MS + left - 100 * DAY_MS, not_after_ms=NOW_MS + left)

    return SimpleNamespace(journal=SimpleNamespace(current=current, left_in_token=lambda: left_in_token))


@pytest.mark.parametrize(
    ("left_days", "told"),
    [
        (50, {"keys": Level.WELL}),
        (14, {"key/tls": Level.ATTENTION}),
        (-1, {"key/tls": Level.FAILING}),
    ],
)
async def test_a_key_that_should_have_been_renewed_is_told_of(left_days: int, told: dict[str, Level]) -> None:
    for renewed in (True, False):
        assert levels(list(await KeyVitals(slots(left_days * DAY_MS), renewed=renewed)(NOW_MS))) == told


async def test_a_key_in_use_that_partners_refuse_is_failing() -> None:
    refused = (Objection("tls", "tls-1", "it was revoked", "已吊销", ("have it readmitted", "请重新准入")),)
    facts = await KeyVitals(slots(50 * DAY_MS), renewed=True, refused=lambda: refused)(NOW_MS)
    assert levels(list(facts)) == {"key/refused/tls": Level.FAILING}
    assert "revoked" in facts[0].en
    assert "已吊销" in facts[0].zh


async def test_a_token_that_does_not_sign_is_failing() -> None:
    lost = TokenError("token 'wugan' did not sign", "密码设备 'wugan' 无法签名")
    facts = list(await KeyVitals(slots(50 * DAY_MS), renewed=True, unsigned=lambda: lost)(NOW_MS))
    assert levels(facts) == {"key/unsigned": Level.FAILING}
    assert lost.en in facts[0].en
    assert lost.zh in facts[0].zh


async def test_a_key_that_a_token_did_not_let_go_is_told() -> None:
    kept = Generation(kind="signing", number=2, state="destroyed", label="wugan-signing-2-ab", made_at_ms=0)
    facts = list(await KeyVitals(slots(50 * DAY_MS, (kept,)), renewed=True)(NOW_MS))
    assert levels(facts) == {"key/token": Level.ATTENTION}
    assert "signing-2" in facts[0].en
    assert "signing-2" in facts[0].zh


# storage


async def nothing() -> int:
    return 0


def storage(folder: Path, *, waiting: int = 0, free_bytes: int = 0) -> StorageVitals:
    database = folder / "gateway.db"
    return StorageVitals(folder, database, lambda: waiting, limit=100, free_bytes=free_bytes, size=nothing)


async def test_a_disk_is_told_of_when_it_is_nearly_full(tmp_path: Path) -> None:
    assert levels(list(await storage(tmp_path)(NOW_MS))) == {"store": Level.WELL}
    free = shutil.disk_usage(tmp_path).free
    assert levels(list(await storage(tmp_path, free_bytes=2 * free)(NOW_MS))) == {"disk": Level.ATTENTION}
    assert levels(list(await storage(tmp_path, free_bytes=100 * free)(NOW_MS))) == {"disk": Level.FAILING}


async def test_a_crowded_writer_is_told_of(tmp_path: Path) -> None:
    assert levels(list(await storage(tmp_path, waiting=60)(NOW_MS))) == {"store/queue": Level.ATTENTION}


async def test_a_database_that_cannot_be_written_is_told_of_until_it_can(tmp_path: Path, world: World) -> None:
    calls.store_wrote(calls.now(), 3, failed=True)
    (fact,) = await storage(tmp_path)(world.clock.now_ms())
    assert (fact.about, fact.level) == ("store/writing", Level.FAILING)
    calls.store_wrote(calls.now(), 3, failed=False)
    assert levels(list(await storage(tmp_path)(world.clock.now_ms()))) == {"store": Level.WELL}


async def test_a_database_on_a_server_that_is_away_is_told_of_with_the_reason(tmp_path: Path) -> None:
    away: list[StoreError] = [StoreError("PostgreSQL is not there (connection refused)", "PostgreSQL 无法连接")]

    async def size() -> int:
        if away:
            raise away[0]
        return 7 << 20

    look = StorageVitals(tmp_path, None, lambda: 0, limit=100, free_bytes=0, size=size)
    (fact,) = await look(NOW_MS)
    assert (fact.about, fact.level) == ("store/away", Level.FAILING)
    assert "connection refused" in fact.en
    assert "无法连接" in fact.zh
    away.clear()
    assert levels(list(await look(NOW_MS))) == {"store": Level.WELL}


async def test_a_door_that_is_closed_because_a_clock_was_ahead_is_told_of_in_words(tmp_path: Path) -> None:
    async def nothing() -> int:
        return 0

    until = [NOW_MS + 60_000]
    look = StorageVitals(
        tmp_path, None, lambda: 0, limit=100, free_bytes=0, size=nothing, closed_until=lambda: until[0]
    )
    assert levels(list(await look(NOW_MS))) == {"store": Level.WELL}
    until[0] = NOW_MS + 40 * 86_400_000
    (fact,) = await look(NOW_MS)
    assert (fact.about, fact.level) == ("store/closed", Level.FAILING)
    assert "40 days" in fact.en
    assert "40 天" in fact.zh
    assert fact.do_en
    assert fact.do_zh


# alarms


async def test_alarms_are_told_of_by_the_members_name_as_long_as_they_stand(world: World) -> None:
    standing: dict[str, list[str]] = {B.member_id: ["sequential"]}
    vitals = AlarmVitals(lambda: standing, world.directory)
    (fact,) = await vitals(NOW_MS)
    assert fact.level is Level.ATTENTION
    assert "某省 340000" in fact.zh
    assert "numbers in sequence" in fact.en, "what raised it is told in words"
    assert "号码连续" in fact.zh
    assert "安全审计员" in fact.do_zh
    standing.clear()
    assert list(await vitals(NOW_MS)) == []


# words


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-5, ("0 seconds", "0 秒")),
        (1, ("1 second", "1 秒")),
        (119, ("119 seconds", "119 秒")),
        (90 * 60, ("90 minutes", "90 分钟")),
        (47 * 3600, ("47 hours", "47 小时")),
        (48 * 3600, ("2 days", "2 天")),
    ],
)
def test_lengths_of_time_are_said_in_the_largest_unit_that_fits_twice(seconds: float, said: tuple[str, str]) -> None:
    assert span_of(seconds) == said


def test_sizes_are_said_with_their_unit() -> None:
    assert [size_of(count) for count in (5, 2048, 3 << 29)] == ["5 B", "2.0 KiB", "1.5 GiB"]


def test_every_reason_a_partner_fails_for_is_a_word_of_the_contract_but_that_no_tls_comes_about() -> None:
    from gateway.vitals.peers import _PARTNER

    known = {name.removeprefix("REFUSAL_REASON_") for name in words.RefusalReason.DESCRIPTOR.values_by_name}
    assert set(_PARTNER) <= known | {calls.NO_TLS}
