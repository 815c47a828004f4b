"""The same store on a real PostgreSQL server: same tables, same code above, same promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from gateway.clock import FakeClock
from gateway.errors import EnvelopeError, StoreError
from gateway.exchange.replay import ReplayGuard, admit
from gateway.once.gate import Gate
from gateway.store import migrations, replay, reusable
from gateway.store.acts import ActRow
from gateway.store.alarms import Alarm
from gateway.store.answers import PURGE_EVERY
from gateway.store.audit import RETENTION_MS
from gateway.store.ended import EVERY_MEMBER
from gateway.store.engine import Store
from gateway.store.inbox import DEAD, Arrival, Finish
from gateway.store.jumps import SETTLE_S
from gateway.store.late import Came, Left, More
from gateway.store.letters import Letter
from gateway.store.outbox import Attempt, Dead, Trouble
from gateway.store.quality import Counted, Shown
from gateway.store.reusable import Changes, Reusable
from gateway.store.rows import Transaction
from gateway.store.tables import metadata
from gateway.store.usage import DAY, Take
from tests.unit.exchange.replay_contract import ReplayGuardContract
from tests.unit.once import test_once_gate as once
from tests.unit.rules.rules_world import BOOK
from tests.unit.store import test_notice_stores as notice_stores
from tests.unit.store.store_world import (
    DIGEST,
    EXPIRES_MS,
    HOSTILE,
    MEMBER,
    NEIGHBOUR,
    NOW_MS,
    PERSON,
    answer,
    cells,
    event,
    new_id,
    refused,
)

pytestmark = pytest.mark.integration

KEY = b"k" * 32

OpenStore = Callable[[], Store]


@pytest.fixture(scope="module")
def database(new_database: Callable[[], str]) -> str:
    """Its address."""
    return new_database().replace("postgresql://", "postgresql+psycopg://")


@pytest.fixture
def url(database: str) -> str:
    """A database emptied for each test, that does not wait for the disk by default."""
    admin = sa.create_engine(database, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql("DROP SCHEMA public CASCADE")
        connection.exec_driver_sql("CREATE SCHEMA public")
        name = connection.exec_driver_sql("SELECT current_database()").scalar()
        connection.exec_driver_sql(f"ALTER DATABASE {name} SET synchronous_commit = off")
    admin.dispose()
    return database


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def open_store(url: str, clock: FakeClock) -> OpenStore:
    return lambda: Store.open(url, key=KEY, clock=clock)


@pytest.fixture
async def store(open_store: OpenStore) -> AsyncIterator[Store]:
    async with open_store() as opened:
        yield opened


class TestReplayGuardOnPostgresql(ReplayGuardContract):
    @pytest.fixture
    def guard(self, store: Store) -> ReplayGuard:
        return store.replay


class TestReplayGuardOnPostgresqlWithoutItsMemory(ReplayGuardContract):
    @pytest.fixture
    def guard(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> ReplayGuard:
        monkeypatch.setattr(replay.DurableReplayGuard, "_remember", lambda _self, _key: None)
        return store.replay


async def test_replicas_accept_a_message_once_and_make_one_chain(open_store: OpenStore) -> None:
    messages = [new_id() for _ in range(40)]
    async with open_store() as one, open_store() as other:
        outcomes = await asyncio.gather(
            *(admit(each.replay, MEMBER, message, EXPIRES_MS, NOW_MS) for message in messages for each in (one, other)),
            return_exceptions=True,
        )
        assert outcomes.count(None) == len(messages)
        assert {error.code for error in outcomes if isinstance(error, EnvelopeError)} == {"ENVELOPE_REPLAYED"}
        await asyncio.gather(*(each.audit.record(event()) for _ in range(40) for each in (one, other)))
        assert (await other.audit.verify_chain()).sequence == 80


async def test_what_was_accepted_is_refused_after_a_restart(open_store: OpenStore) -> None:
    messages = [new_id() for _ in range(70)]
    async with open_store() as store:
        await asyncio.gather(*(admit(store.replay, MEMBER, one, EXPIRES_MS, NOW_MS) for one in messages[::3]))
    async with open_store() as store:
        outcomes = await asyncio.gather(
            *(admit(store.replay, MEMBER, one, EXPIRES_MS, NOW_MS) for one in messages), return_exceptions=True
        )
    assert {one for one, outcome in zip(messages, outcomes, strict=True) if outcome is not None} == set(messages[::3])


async def test_forgotten_messages_stay_refused(open_store: OpenStore) -> None:
    message_id = new_id()
    later_ms = EXPIRES_MS + replay.KEEP_MS + 1
    async with open_store() as store:
        await admit(store.replay, MEMBER, message_id, EXPIRES_MS, NOW_MS)
        await asyncio.gather(
            *(admit(store.replay, MEMBER, new_id(), later_ms, later_ms) for _ in range(replay.PURGE_EVERY))
        )
    async with open_store() as store:
        with store._engine.connect() as connection:
            left = connection.exec_driver_sql("SELECT count(*) FROM replay_guard").scalar()
        assert left == replay.PURGE_EVERY
        with refused("ENVELOPE_EXPIRED"):
            await admit(store.replay, MEMBER, message_id, EXPIRES_MS, NOW_MS)


async def test_the_trail_shows_changes_and_outlives_the_deletion_of_old_rows(store: Store, clock: FakeClock) -> None:
    odd = event(unit="\x00" + "长" * 500, purpose=2**31 - 1)
    for one in (event(), odd, event(), event(at_ms=NOW_MS + 10)):
        noted = await store.audit.record(one)
    assert await store.audit.verify_chain([noted]) == noted
    clock.advance(RETENTION_MS / 1000 + 1)
    assert await store.audit.forget(NOW_MS + 5) == 3
    assert await store.audit.verify_chain([noted]) == noted
    with store._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE audit_event SET subjects = 2")
    with pytest.raises(StoreError) as caught:
        await store.audit.verify_chain()
    assert caught.value.field == "audit_event.4"


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_recording_what_a_hostile_member_sends_never_fails_and_stays_small(
    store: Store, hostile: dict[str, object]
) -> None:
    await asyncio.gather(*(store.audit.record(one) for one in (event(), event(**hostile), event())))
    assert (await store.audit.verify_chain()).sequence == 3
    assert max(map(len, cells(store))) <= 512 + 16


async def test_no_column_holds_the_digest_of_a_question(store: Store) -> None:
    await store.audit.record(event())
    await store.answers.keep(answer(), [PERSON])
    found = cells(store)
    assert found.count(MEMBER) == 3, "not all tables were written to: this test sees too little"
    assert not [cell for cell in found if isinstance(cell, bytes) and DIGEST in cell]
    recorded = (await store.audit.events())[0]
    assert store.audit.matches(recorded, DIGEST)
    assert not store.audit.matches(recorded, bytes(32))


async def test_answers_are_kept_found_produced_and_deleted(store: Store, clock: FakeClock) -> None:
    clock.advance(SETTLE_S)
    kept, over = answer(), answer()
    await asyncio.gather(store.answers.keep(kept, [PERSON]), store.answers.keep(kept, [PERSON]))
    await store.answers.keep(kept, [PERSON])  # by itself: whoever asked the same may be told a moment later
    await store.disclosures.submit([])
    await store.answers.keep(over, [PERSON], retain_ms=1)
    assert await store.answers.produce(MEMBER, kept.message_id) == kept
    assert len(await store.answers.find(PERSON)) == 2
    later = [answer(at_ms=NOW_MS + 10) for _ in range(PURGE_EVERY)]
    await asyncio.gather(*(store.answers.keep(one, [NEIGHBOUR]) for one in later))
    assert [one.message_id for one in await store.answers.find(PERSON)] == [kept.message_id]


class CutOff:
    """A write whose connection is lost when all is written but the commit."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def apply(self, transaction: Transaction, payloads: Sequence[None]) -> list[None]:
        process = transaction.connection.execute(sa.select(sa.func.pg_backend_pid())).scalar()
        with self._engine.connect() as other:
            other.execute(sa.select(sa.func.pg_terminate_backend(process, 5_000)))
        return list(payloads)


async def test_a_connection_lost_before_the_commit_is_made_again_and_one_lost_in_it_fails_what_is_under_way(
    store: Store,
) -> None:
    await store.audit.record(event())
    with store._engine.connect() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
            "AND datname = current_database()"
        )
    assert (await store.audit.record(event())).sequence == 2
    with pytest.raises(StoreError) as caught:
        await store._writer.submit(CutOff(store._engine), None)
    assert caught.value.retryable
    assert (await store.audit.record(event())).sequence == 3


async def test_commits_are_durable_whatever_the_servers_default(store: Store) -> None:
    with store._writer._aside._engine.connect() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"


async def test_a_new_store_is_as_one_that_went_through_all_versions(url: str, open_store: OpenStore) -> None:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        migrations._migrate(connection)
    with engine.begin() as connection:
        assert migrations.current(connection) == migrations.NEWEST
        assert compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata) == []
        migrated = _schema(connection)
        connection.exec_driver_sql("DROP SCHEMA public CASCADE")
        connection.exec_driver_sql("CREATE SCHEMA public")
    async with open_store():
        with engine.connect() as connection:
            made = _schema(connection)
    engine.dispose()
    assert made == migrated
    assert {kind for kind, *_ in made} == {"column", "constraint", "index"}


def _schema(connection: sa.Connection) -> set[tuple[object, ...]]:
    """Columns in no order, constraints and indexes, as the server itself tells them."""
    return {
        tuple(row)
        for query in (
            "SELECT 'column', table_name, column_name, data_type, character_maximum_length, is_nullable, column_default"
            " FROM information_schema.columns WHERE table_schema = 'public'",
            "SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid)"
            " FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n'",
            "SELECT 'index', tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
        )
        for row in connection.exec_driver_sql(query)
    }


async def test_gateways_that_start_together_make_one_store(open_store: OpenStore) -> None:
    stores = await asyncio.gather(*(asyncio.to_thread(open_store) for _ in range(4)))
    for one in stores:
        await one.audit.record(event())
    assert (await stores[0].audit.verify_chain()).sequence == 4
    for one in stores:
        await one.close()


async def test_acts_are_kept_chained_and_one_at_a_time(store: Store, open_store: OpenStore) -> None:
    other = open_store()
    try:
        act = ActRow(1, b"{}", b"s" * 64)
        kept = await asyncio.gather(*(each.acts.append(act, event(direction="act")) for each in (store, other)))
        assert sorted(kept) == [False, True]
        assert await store.acts.append(act._replace(number=2), event(direction="act"))
        acts, head = await other.acts.read()
        assert [each.number for each in acts] == [1, 2]
        assert not await store.acts.changed(head)
        assert (await store.audit.verify_chain()).sequence == 2
        with store._writer._aside._engine.begin() as connection:
            connection.exec_driver_sql("DELETE FROM access_act WHERE number = 2")
        with pytest.raises(StoreError, match="broken"):
            await other.acts.read()
    finally:
        await other.close()


async def test_people_are_counted_exactly_by_gateways_that_share_the_database(
    store: Store, open_store: OpenStore
) -> None:
    other = open_store()
    try:
        take = Take(store.usage.tag(b"g1"), DAY, 20_000, 3, 10)
        taken = await asyncio.gather(*(each.usage.submit([take]) for each in (store, other) for _ in range(4)))
        assert [each.granted for each in taken].count(True) == 3
        assert await other.usage.used(take.tag, DAY, 20_000) == 9
        assert (await store.usage.submit([take._replace(at=20_001)])).used == (3,)
        assert not (await store.usage.submit([take._replace(people=9)])).granted  # a day does not open anew
    finally:
        await other.close()


async def test_rows_of_answers_to_be_given_again_are_written_touched_dropped_and_purged(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = answer()
    await store.answers.keep(kept, [PERSON])
    until = NOW_MS + 1000
    one, two, over = (
        Reusable(bytes([n]) * 32, MEMBER, kept.message_id, 0, NOW_MS, until, 0, until, b"d" * 40, NOW_MS)
        for n in range(3)
    )
    over = over._replace(until_ms=NOW_MS)
    await store.reusable.submit(Changes([one, two, over], [(two.key, NOW_MS + 5)], NOW_MS, 10))
    assert await store.reusable.find(one.key) == one
    assert await store.reusable.keys(NOW_MS, 10) == [two.key, one.key]
    newer = one._replace(directory=b"e" * 40)
    await store.reusable.submit(Changes([newer], [], NOW_MS, 10))
    assert await store.reusable.find(one.key) == newer
    monkeypatch.setattr(reusable, "PURGE_EVERY", 1)
    assert await store.reusable.submit(Changes([one], [], NOW_MS, 1)) == [over.key, one.key]
    index = store.reusable.blind_index(PERSON)
    for whose in (MEMBER, EVERY_MEMBER):
        await store.reusable.submit(Changes([two], [], NOW_MS, 10))
        assert await store.reusable.drop(whose, [index]) == [two.key]
    told = (await store.ended.after(0))[0]
    assert [row[1:] for row in told] == [(MEMBER, index), (EVERY_MEMBER, index)]  # for other gateways
    assert all(store.ended.is_own(row.number) for row in told)
    content = store.audit.content(event(direction="again"))
    await asyncio.gather(*(store.disclosures.submit([content]) for _ in range(5)))
    assert (await store.audit.verify_chain()).sequence == 5


async def test_alarms_get_their_numbers_and_audit_events(store: Store) -> None:
    alarm = Alarm(0, NOW_MS, MEMBER, "jinhua", "sequential", 2**40, 20)
    assert [await store.alarms.submit(alarm) for _ in range(2)] == [1, 2]
    assert [each.number for each in await store.alarms.read()] == [1, 2]
    assert [each.event.direction for each in await store.audit.events()] == ["alarm", "alarm"]


def arrival(number: int) -> Arrival:
    until_ms = NOW_MS + 86_400_000
    return Arrival(MEMBER, number.to_bytes(16), number, b"k" * 16, 3, 2, NOW_MS, until_ms, b"content")


def letter_to(number: int, order_key: bytes = b"") -> Letter:
    return Letter(MEMBER, 3, 2, b"body", NOW_MS + 86_400_000, order_key, number.to_bytes(16), NOW_MS)


async def test_replicas_accept_a_delivery_once_and_one_of_them_finishes_it(open_store: OpenStore) -> None:
    async with open_store() as one, open_store() as other:
        results = await asyncio.gather(*(each.inbox.accept([arrival(1)]) for each in (one, other) for _ in range(4)))
        assert sorted(result[0] for result in results) == [1, 2, 2, 2, 2, 2, 2, 2]
        (held,) = await other.inbox.due(3, NOW_MS, 10)
        assert held.content == b"content"
        finishes = [
            each.inbox.finish(Finish(MEMBER, held.delivery_id, 3, [each.outbox.effect(letter_to(number))]))
            for number, each in enumerate((one, other), 10)
        ]
        assert sorted(await asyncio.gather(*finishes)) == [False, True]
        assert len(await one.outbox.due(MEMBER, NOW_MS, 10)) == 1
        assert await one.inbox.accept([arrival(1), arrival(2)]) == [2, 1]


async def test_letters_are_numbered_once_sent_in_order_and_swept(open_store: OpenStore) -> None:
    async with open_store() as one, open_store() as other:
        sent = (one.outbox.submit(letter_to(number, b"k" * 16)) for number in range(1, 9))
        numbers = await asyncio.gather(*sent, other.outbox.submit(letter_to(20)))
        assert len(set(numbers)) == 9
        due = await other.outbox.due(MEMBER, NOW_MS, 10)
        assert [int.from_bytes(each.letter.delivery_id) for each in due if each.letter.order_key] == [1]
        trouble = Trouble(MEMBER, NOW_MS, 1, NOW_MS + 1000, 20)
        await one.outbox.settle(Attempt(MEMBER, [due[0].sequence], trouble=trouble))
        assert await other.outbox.troubles() == {MEMBER: trouble}
        assert await one.outbox.sweep(NOW_MS + 86_400_000, 0) == 8
        assert [each.dead for each in await other.outbox.backlog()] == [8]
        assert await other.post_office.retry_letter((3).to_bytes(16), NOW_MS + 86_400_000)
        assert await other.post_office.drop_letter((4).to_bytes(16), event(direction="act"))
        assert {each.state for each in await one.post_office.letters()} == {1, 2}
        await one.outbox.sweep(NOW_MS, NOW_MS + 86_400_000 - 1)
        assert [each.dead for each in await other.outbox.backlog()] == [6], "they died later than their time was over"
        await one.outbox.sweep(NOW_MS, NOW_MS + 86_400_000)
        assert [each.dead for each in await other.outbox.backlog()] == [0]


async def test_whatever_a_member_says_in_refusing_a_letter_or_a_handler_in_failing_is_written_down(
    store: Store,
) -> None:
    sequence = await store.outbox.submit(letter_to(1))
    await store.inbox.accept([arrival(1)])
    note = f"\x00{PERSON}\x1b[2J" + "长" * 500
    await store.outbox.settle(Attempt(MEMBER, dead=[Dead(sequence, 1, note)]))
    await store.inbox.finish(Finish(MEMBER, arrival(1).delivery_id, DEAD, reason=1, note=note))
    (sent,), (came,) = await store.post_office.letters(), await store.post_office.deliveries()
    assert sent.note == came.note
    assert sent.note.isprintable()
    assert PERSON not in sent.note


async def test_a_check_is_left_noted_and_forgotten(store: Store) -> None:
    left = Left(b"t" * 16, "jinhua", NOW_MS, NOW_MS + 1000, b"asked", {b"q" * 16: MEMBER})
    await store.together([store.late.leaving(left), store.outbox.effect(letter_to(1)), store.audit.effect(event())])
    assert await store.late.note(Came(b"q" * 16, 3, NOW_MS, b"proof"))
    assert not await store.late.note(Came(b"q" * 16, 4, NOW_MS, b""))
    ((came, check, so_far),) = await store.late.events("jinhua", 0, 10)
    assert (came.ticket, came.body) == (left.ticket, b"proof")
    assert check == await store.late.check(left.ticket, "jinhua")
    assert so_far == [came] == await store.late.events_of(left.ticket)
    assert await store.late.check(left.ticket, "ningbo") is None
    found = await store.late.check(left.ticket, "jinhua")
    assert found is not None
    assert found[0] == left
    await store.late.sweep(NOW_MS + 40 * 86_400_000)
    assert await store.late.check(left.ticket, "jinhua") is None


async def test_of_answers_that_lead_to_the_same_member_at_once_one_leaves_the_check_with_it(
    open_store: OpenStore,
) -> None:
    async with open_store() as one, open_store() as other:
        ids = [number.to_bytes(16) for number in range(1, 9)]
        left = Left(b"t" * 16, "jinhua", NOW_MS, NOW_MS + 1000, b"asked", {each: each.hex()[:18] for each in ids})
        await one.together([one.late.leaving(left)])
        answers = []
        for number, each in enumerate(ids):
            store, sent = (one, other)[number % 2], letter_to(100 + number)
            effects = [store.outbox.effect(sent), store.audit.effect(event())]
            more = More(sent.delivery_id, MEMBER, b"how it is shown", effects)
            answers.append(store.late.note(Came(each, 3, NOW_MS, b"proof", [more], most=9)))
        assert await asyncio.gather(*answers) == [True] * 8
        found = await one.late.check(left.ticket, "jinhua")
        assert found is not None
        assert [each.state for each in found[1] if each.member == MEMBER] == [1]
        assert [each.waiting for each in await one.outbox.backlog()] == [1]
        assert len(await one.audit.events()) == 1
        came = await one.late.events_of(left.ticket)
        assert sorted(each.state for each in came) == [1, *[3] * 8]
        assert [each.event.state for each in await one.late.events("jinhua", 0, 50)] == [3] * 8


@pytest.mark.parametrize(
    "promise",
    [
        notice_stores.test_subscriptions_go_in_once_and_out_again,
        notice_stores.test_units_benefits_and_members_are_kept_apart,
        notice_stores.test_of_two_that_go_on_from_the_same_place_one_does_and_its_effects_happen_once,
        notice_stores.test_what_is_over_does_not_count_and_is_purged,
        notice_stores.test_terms_and_groups_go_with_the_last_subscription_that_has_them,
        notice_stores.test_nothing_is_kept_of_whoever_unsubscribes_and_never_subscribed,
        notice_stores.test_a_group_that_comes_after_one_that_is_gone_has_its_own_key,
        notice_stores.test_reading_on_and_whom_it_brought_are_one_commit,
        notice_stores.test_only_the_reply_to_the_last_letter_counts,
        notice_stores.test_pages_of_subscriptions_leave_nobody_out,
        notice_stores.test_notices_are_told_in_order_and_those_taken_back_are_marked,
    ],
)
async def test_subscriptions_and_notices_keep_their_promises(
    store: Store, promise: Callable[[Store], Awaitable[None]]
) -> None:
    await promise(store)


@pytest.mark.parametrize(
    "promise",
    [
        once.test_a_person_is_certified_once_and_again_by_the_same_registration,
        once.test_another_agency_is_refused_and_told_which,
        once.test_who_draws_in_another_province_is_refused_until_that_is_settled,
    ],
)
async def test_the_gate_keeps_its_promises(
    store: Store, clock: FakeClock, promise: Callable[[Gate, Store], Awaitable[None]]
) -> None:
    await promise(Gate(BOOK, store, clock), store)


async def test_a_finding_is_there_once_reopened_and_forgotten(store: Store, clock: FakeClock) -> None:
    gate = Gate(BOOK, store, clock)
    await once.test_a_finding_is_there_once_however_often_it_is_found(gate, store, clock)
    await once.test_what_is_over_for_long_is_forgotten(gate, store, clock)


async def test_of_replicas_that_claim_one_person_at_once_one_is_let_through(
    open_store: OpenStore, clock: FakeClock
) -> None:
    async with open_store() as one, open_store() as other:
        gates = [Gate(BOOK, each, clock) for each in (one, other)]
        claims = [once.certified((once.ANNA,), unit=unit) for unit in ("330700", "330100")]
        claimed = await asyncio.gather(*(gate.claim(each) for gate, each in zip(gates, claims, strict=True)))
        assert sorted(bool(each.accepted.all()) for each in claimed) == [False, True]


async def test_replicas_add_up_the_quality_of_one_month(open_store: OpenStore) -> None:
    row = Counted(202611, "civil-affairs", 2, 102, 330700, (3).to_bytes(8, "little"))
    example = Shown(202611, "civil-affairs", 102, 330700, 20, "33***************1")
    async with open_store() as one, open_store() as other:
        await asyncio.gather(*(store.quality.add([row], [example]) for store in (one, other) for _ in range(5)))
        assert [kept.counts for kept in await other.quality.read(202611, 202611)] == [(30).to_bytes(8, "little")]
        assert await one.quality.examples(202611) == [example]
        await one.quality.add([], [example._replace(region=330100, text="\x00A*****\x1b")])
        assert [each.text for each in await one.quality.examples(202611)] == ["\ufffdA*****\ufffd", example.text]
