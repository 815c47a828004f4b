"""A gateway's store on PostgreSQL: servers that restart, hang or let nobody in, and one gateway at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from gateway.clock import FakeClock, SystemClock
from gateway.config import load_gateway
from gateway.errors import ConfigError, DirectoryError, EnvelopeError, StoreError
from gateway.exchange.replay import admit
from gateway.federation.directory import Directory
from gateway.observing import calls
from gateway.observing.health import Health, Level
from gateway.store import postgresql
from gateway.store.alarms import Alarm
from gateway.store.engine import Store
from gateway.store.holding import Holding
from gateway.store.migrations import NEWEST
from gateway.store.moving import move
from gateway.store.place import EMBEDDED, open_store
from gateway.store.postgresql import Limits, engine_of
from gateway.vitals.letters import LetterVitals
from gateway.vitals.storage import StorageVitals
from tests.configured import gateway_toml
from tests.faults.proxy import FaultProxy
from tests.faults.trouble import BLACK_HOLE, REFUSED
from tests.unit.store.store_world import EXPIRES_MS, MEMBER, NOW_MS, PERSON, Failing, answer, cells, event

pytestmark = pytest.mark.integration

KEY = b"k" * 32
OTHERS = "pid <> pg_backend_pid() AND datname = current_database()"


@pytest.fixture(scope="module")
def server(new_database: Callable[[], str]) -> Iterator[tuple[str, sa.Engine]]:
    """Address of a database in which a gateway was, and what its administrator works with."""
    address = new_database().replace("postgresql://", "postgresql+psycopg://")
    admin = sa.create_engine(address, isolation_level="AUTOCOMMIT")
    asyncio.run(Store.open(address, key=KEY, clock=FakeClock()).close())
    yield address, admin
    admin.dispose()


@pytest.fixture
def admin(server: tuple[str, sa.Engine]) -> Iterator[sa.Connection]:
    with server[1].connect() as connection:
        yield connection
        connection.exec_driver_sql("DELETE FROM audit_event")


@pytest.fixture
def address(server: tuple[str, sa.Engine], admin: sa.Connection) -> str:
    """A database without rows."""
    return server[0]


@asynccontextmanager
async def gateways(address: str, ended: list[StoreError] | None = None, **limits: float) -> AsyncIterator[Store]:
    """The store as a gateway opens it. In a thread, because the way to the server may lead through this event loop."""
    told: list[StoreError] = [] if ended is None else ended
    opened = await asyncio.to_thread(
        lambda: Store.open(
            address,
            key=KEY,
            clock=FakeClock(),
            limits=Limits(**limits),  # type: ignore[arg-type]
            replaced=told.append,
        )
    )
    async with opened:
        yield opened


async def refused(address: str) -> StoreError:
    """What a gateway is refused with that begins now."""
    with pytest.raises(StoreError) as caught:
        async with gateways(address):
            pass
    return caught.value


def break_connections(admin: sa.Connection) -> None:
    """As a server that is restarted does."""
    admin.exec_driver_sql(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {OTHERS}")


async def test_one_gateway_at_a_time_has_the_database_and_commands_write_beside_it(address: str) -> None:
    async with gateways(address) as first:
        error = await refused(address)
        assert error.retryable
        assert "another gateway" in error.en
        assert "另一网关" in error.zh
        with pytest.raises(StoreError):  # nothing was written that failed, and it is still the first one's
            await first._writer.submit(Failing(RuntimeError("bug")), None)
        assert (await refused(address)).retryable
        async with Store.open(address, key=KEY, clock=FakeClock()) as command:
            await command.audit.record(event())
        await first.audit.record(event())
        assert (await first.audit.verify_chain()).sequence == 2
    async with gateways(address) as next_one:
        assert (await next_one.audit.head()).sequence == 2


async def test_a_second_gateway_of_a_newer_version_leaves_the_tables_alone(address: str, admin: sa.Connection) -> None:
    async with gateways(address):
        admin.exec_driver_sql("UPDATE alembic_version SET version_num = '0012'")
        await refused(address)
        assert admin.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == "0012"
        admin.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{NEWEST}'")


async def test_a_database_of_a_newer_gateway_is_refused_for_good(address: str, admin: sa.Connection) -> None:
    async with gateways(address):
        pass
    admin.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    error = await refused(address)
    assert "9999" in error.en
    assert not error.retryable
    admin.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{NEWEST}'")
    async with gateways(address):  # what was refused has let go of the database
        pass


async def test_nobody_notices_that_the_server_was_restarted_and_the_database_stays_the_gateways(
    address: str, admin: sa.Connection
) -> None:
    ended: list[StoreError] = []
    async with gateways(address, ended) as store:
        for number in range(1, 4):
            assert (await store.audit.record(event())).sequence == number
            await asyncio.to_thread(break_connections, admin)
        await store.audit.record(event())
        assert (await refused(address)).retryable
        assert (await store.audit.verify_chain()).sequence == 4
    assert ended == []


async def test_who_lost_the_database_to_another_writes_no_more_and_is_told_to_end(
    address: str, admin: sa.Connection
) -> None:
    ended: list[StoreError] = []
    async with gateways(address, ended) as first:
        await first.audit.record(event())
        await asyncio.to_thread(break_connections, admin)
        async with gateways(address) as second:
            await second.audit.record(event())
            with pytest.raises(StoreError):
                await first.audit.record(event())
        with pytest.raises(StoreError):  # not even now: what it remembers is outdated
            await first.audit.record(event())
        assert (await first.audit.head()).sequence == 2
    assert [error.retryable for error in ended] == [True]


async def test_who_only_learns_of_the_other_when_it_has_gone_ends_as_well(address: str, admin: sa.Connection) -> None:
    ended: list[StoreError] = []
    async with gateways(address, ended) as first:
        await first.audit.record(event())
        await asyncio.to_thread(break_connections, admin)
        async with gateways(address):
            pass
        with pytest.raises(StoreError):
            await first.audit.record(event())
    assert "had this database" in ended[0].en


async def test_a_session_of_ones_own_that_the_server_still_holds_is_ended(address: str, admin: sa.Connection) -> None:
    async with gateways(address):
        pass
    engine, ended = engine_of(sa.make_url(address), Limits()), list[StoreError]()
    holding = Holding(engine, ended.append)
    holding.begin()
    holding.note()
    lingering = holding.connect()
    holder = holding.connect()
    assert holder.exec_driver_sql("SELECT 1").scalar() == 1
    with pytest.raises(sa.exc.OperationalError):
        lingering.exec_driver_sql("SELECT 1")
    assert ended == []
    for connection in (holder, lingering):
        connection.close()
    engine.dispose()


@pytest.fixture
async def proxy(address: str) -> AsyncIterator[FaultProxy]:
    """The way to the server; `over` says its address."""
    async with FaultProxy(f"{sa.make_url(address).query['host']}/.s.PGSQL.5432") as made:
        yield made


def over(proxy: FaultProxy, address: str, more: str = "sslmode=disable&gssencmode=disable") -> str:
    return f"postgresql+psycopg://postgres@{proxy.address}/{sa.make_url(address).database}?{more}"


async def test_while_the_server_is_away_writes_are_refused_and_then_it_goes_on(proxy: FaultProxy, address: str) -> None:
    ended: list[StoreError] = []
    async with gateways(over(proxy, address), ended) as store:
        await store.audit.record(event())
        await proxy.suffer(REFUSED)
        for _ in range(2):
            with pytest.raises(StoreError) as caught:
                await store.audit.record(event())
            assert caught.value.retryable
            assert "PostgreSQL" not in caught.value.en  # it is shown to whoever asked
        with pytest.raises(StoreError, match="connection refused"):
            await store.size()
        await proxy.heal()
        assert (await store.audit.record(event())).sequence == 2
        assert await store.size() > 0
    assert ended == []
    await proxy.suffer(REFUSED)
    error = await refused(over(proxy, address))
    assert error.retryable
    assert "connection refused" in error.en
    assert "连接被拒绝" in error.zh


async def test_a_server_that_says_nothing_any_more_is_told_of_on_the_health_page_as_what_it_is(
    proxy: FaultProxy, address: str, tmp_path: Path
) -> None:
    clock = FakeClock(NOW_MS)
    calls.use_clock(clock)

    def nobody() -> Directory:
        raise DirectoryError("none", "无")

    try:
        async with gateways(over(proxy, address)) as store:
            health = Health(MEMBER, clock)
            look = StorageVitals(tmp_path, None, lambda: 0, limit=100, free_bytes=0, size=store.size)
            health.register("store", look)
            health.register("letters", LetterVitals(store.outbox, store.inbox, SimpleNamespace(current=nobody)))  # type: ignore[arg-type]
            assert (await health.report()).level is Level.WELL
            async with proxy.suffering(BLACK_HOLE):
                clock.advance(20)
                held = [asyncio.ensure_future(store.audit.head()) for _ in range(64)]  # in every thread that is shared
                await health.report()
                clock.advance(20)
                told = {fact.about: fact for fact in (await health.report()).facts}
                assert told["store/away"].level is Level.FAILING
                assert "it has not answered for 20 seconds" in told["store/away"].en
                assert "已 20 秒没有应答" in told["store/away"].zh
                assert "restart the gateway" not in " ".join(fact.do_en for fact in told.values())
                assert not any("could not be read" in fact.en for fact in told.values())
                for each in held:
                    each.cancel()
            proxy.reset()
            async with asyncio.timeout(120):
                while (await health.report()).level is not Level.WELL:
                    clock.advance(20)
    finally:
        calls.use_clock(SystemClock())


async def test_a_server_that_says_nothing_any_more_holds_the_writer_for_a_bounded_time(
    proxy: FaultProxy, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient, frozen = postgresql._impatient, False

    def patient_afterwards(_longest_s: float) -> SimpleNamespace:
        """To make the way anew takes a busy server a while, and is not what is to be given up."""
        soon, late = impatient(1.0), impatient(60.0)

        def connect(*where: Any, **how: Any) -> Any:
            return (late if frozen else soon).connect(*where, **how)

        return SimpleNamespace(connect=connect)

    monkeypatch.setattr(postgresql, "_impatient", patient_afterwards)
    async with gateways(over(proxy, address)) as store:
        await store.audit.record(event())
        proxy.freeze()
        frozen = True
        # The way back is open again, so it is made anew at once: a session of its own is all that held the database.
        assert (await store.audit.record(event())).sequence == 2


async def test_an_embedded_store_is_moved_whole_and_left_behind(
    new_database: Callable[[], str], tmp_path: Path
) -> None:
    clock, state = FakeClock(), tmp_path / "state"
    async with Store.open(state / EMBEDDED, key=state / "store.key", clock=clock) as store:
        for number in range(3):
            await store.audit.record(event(case_reference=f"JH-{number}"))
        await store.answers.submit(answer(), [PERSON])
        await store.alarms.submit(Alarm(0, NOW_MS, MEMBER, "jinhua", "sequential", 2**40, 20))
        await admit(store.replay, MEMBER, b"m" * 16, EXPIRES_MS, NOW_MS)
        before = cells(store)
    config = tmp_path / "gateway.toml"
    config.write_text(f'{gateway_toml()}\n[store]\nurl_file = "store.url"\n', "utf-8")
    (tmp_path / "store.url").touch(0o600)
    (tmp_path / "store.url").write_text(new_database(), "utf-8")
    settings = load_gateway(config)
    moved = await asyncio.to_thread(move, settings, clock)
    assert moved.rows["audit_event"] == moved.head.sequence == 4
    assert moved.file.is_file()
    assert not (state / EMBEDDED).exists()
    async with open_store(settings, clock) as store:
        after = cells(store)
        assert all(cell in after for cell in before)
        with pytest.raises(EnvelopeError):
            await admit(store.replay, MEMBER, b"m" * 16, EXPIRES_MS, NOW_MS)
    moved.file.rename(state / EMBEDDED)
    with pytest.raises(ConfigError, match="holds a store already"):
        await asyncio.to_thread(move, settings, clock)
    assert (state / EMBEDDED).is_file()


async def test_every_session_has_its_limits_and_waits_for_the_disk(address: str, admin: sa.Connection) -> None:
    admin.exec_driver_sql(f"ALTER DATABASE {sa.make_url(address).database} SET synchronous_commit = off")
    async with gateways(address, statement_s=7) as store:
        with store._engine.connect() as connection:
            shown = [
                connection.exec_driver_sql(f"SHOW {name}").scalar()
                for name in ("statement_timeout", "idle_in_transaction_session_timeout", "synchronous_commit")
            ]
    assert shown == ["7s", "7s", "on"]


async def test_bringing_the_tables_up_to_date_may_take_longer_than_a_statement(
    address: str, admin: sa.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[object] = []

    def upgrade(engine: sa.Engine) -> None:
        with engine.connect() as connection:
            shown.append(connection.exec_driver_sql("SHOW statement_timeout").scalar())

    monkeypatch.setattr("gateway.store.engine.upgrade", upgrade)
    admin.exec_driver_sql("UPDATE alembic_version SET version_num = '0012'")
    async with gateways(address):
        admin.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{NEWEST}'")
    assert shown == ["1h"]


async def test_what_the_address_says_of_tls_counts(proxy: FaultProxy, address: str) -> None:
    error = await refused(over(proxy, address, "sslmode=require"))
    assert "no TLS" in error.en
    assert not error.retryable


async def test_a_wrong_password_and_a_user_without_rights_are_matters_for_somebody_to_correct(
    new_database: Callable[[], str], admin: sa.Connection
) -> None:
    address = new_database().replace("postgresql://", "postgresql+psycopg://")
    admin.exec_driver_sql("CREATE ROLE held_gateway LOGIN PASSWORD 'right'")
    rules = Path(str(admin.exec_driver_sql("SHOW hba_file").scalar()))
    before = rules.read_text("utf-8")
    theirs = sa.make_url(address).set(username="held_gateway", password="wrong")
    try:
        rules.write_text(f"local all held_gateway scram-sha-256\n{before}", "utf-8")
        admin.exec_driver_sql("SELECT pg_reload_conf()")
        error = await refused(theirs.render_as_string(hide_password=False))
        while "password refused" not in error.en:  # the server takes new rules up in its own time
            assert "may not do" in error.en
            error = await refused(theirs.render_as_string(hide_password=False))
        assert not error.retryable
        error = await refused(theirs.set(password="right").render_as_string(hide_password=False))
        assert "may not do" in error.en
        assert not error.retryable
        database = sa.make_url(address).database
        admin.exec_driver_sql(f"ALTER DATABASE {database} OWNER TO held_gateway")
        async with gateways(theirs.set(password="right").render_as_string(hide_password=False)) as store:
            await store.audit.record(event())
    finally:
        rules.write_text(before, "utf-8")
        admin.exec_driver_sql("SELECT pg_reload_conf()")
        admin.exec_driver_sql(f"DROP DATABASE {sa.make_url(address).database}")
        admin.exec_driver_sql("DROP ROLE held_gateway")
