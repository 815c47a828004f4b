"""Opening a store: private files, the right key, the right schema, and clear words when something is wrong."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from gateway.clock import FakeClock
from gateway.errors import StoreError
from gateway.store import migrations
from gateway.store.changes import Overdue
from gateway.store.engine import Store
from gateway.store.keys import StoreKeys, load_or_create_key
from gateway.store.tables import metadata
from tests.unit.store.conftest import OpenStore
from tests.unit.store.store_world import PERSON, event

REPOSITORY = Path(__file__).parents[3]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_folder_database_and_key_are_private(store: Store, state: Path) -> None:
    await store.audit.record(event())
    assert mode(state) == 0o700
    assert {path.name: mode(path) for path in state.iterdir()} == {
        "wugan.db": 0o600,
        "wugan.db-wal": 0o600,
        "wugan.db-shm": 0o600,
        "store.key": 0o600,
    }
    assert len((state / "store.key").read_bytes()) == 32


async def test_a_database_that_others_could_read_is_made_private(open_store: OpenStore, state: Path) -> None:
    await open_store().close()
    (state / "wugan.db").chmod(0o644)
    await open_store().close()
    assert mode(state / "wugan.db") == 0o600


async def test_every_connection_is_durable(store: Store) -> None:
    for engine in (store._engine, store._writer._aside._engine):
        with engine.connect() as connection:
            found = {
                name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
            }
        assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 5000}


async def test_gateways_that_start_together_make_one_store_with_one_key(open_store: OpenStore) -> None:
    stores = await asyncio.gather(*(asyncio.to_thread(open_store) for _ in range(4)))
    await asyncio.gather(*(one.audit.record(event()) for one in stores))
    assert (await stores[0].audit.verify_chain()).sequence == 4
    assert len({one.pseudonym_key for one in stores}) == 1
    for one in stores:
        await one.close()


async def test_another_that_is_setting_the_database_up_is_waited_for(
    open_store: OpenStore, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state.mkdir(mode=0o700)
    (state / "wugan.db").touch(mode=0o600)
    other = sqlite3.connect(state / "wugan.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    waited = []

    def goes_on(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            other.execute("ROLLBACK")

    monkeypatch.setattr("gateway.store.engine.time.sleep", goes_on)
    await open_store().close()
    assert len(waited) == 3
    other.close()


def refuses(open_store: OpenStore, words: str) -> None:
    with pytest.raises(StoreError, match=words) as caught:
        open_store()
    assert not caught.value.retryable
    assert caught.value.zh


async def test_a_lost_key_is_not_replaced_by_a_new_one(open_store: OpenStore, state: Path) -> None:
    await open_store().close()
    (state / "store.key").unlink()
    refuses(open_store, "missing")
    assert not (state / "store.key").exists()


async def test_another_stores_key_is_refused(open_store: OpenStore, state: Path) -> None:
    await open_store().close()
    (state / "store.key").write_bytes(b"x" * 32)
    refuses(open_store, "not the one")


async def test_a_key_file_that_others_may_read_is_refused(open_store: OpenStore, state: Path) -> None:
    await open_store().close()
    (state / "store.key").chmod(0o640)
    refuses(open_store, "0640")


async def test_a_key_file_of_another_user_is_refused(
    open_store: OpenStore, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await open_store().close()
    if os.geteuid() == 0:
        os.chown(state / "store.key", 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: (state / "store.key").stat().st_uid + 1)
    with pytest.raises(StoreError, match="belongs to another user; run: chown") as caught:
        open_store()
    assert "属于其他用户" in caught.value.zh


async def test_a_pipe_in_place_of_the_key_is_refused_and_not_waited_for(open_store: OpenStore, state: Path) -> None:
    await open_store().close()
    (state / "store.key").unlink()
    os.mkfifo(state / "store.key", 0o600)
    with pytest.raises(StoreError, match="is not a regular file"):
        open_store()


@pytest.mark.parametrize("key", [b"", b"x" * 31, b"x" * 33])
async def test_a_key_of_a_wrong_length_is_refused(open_store: OpenStore, state: Path, key: bytes) -> None:
    await open_store().close()
    (state / "store.key").write_bytes(key)
    refuses(open_store, "instead of 32")


async def test_a_database_of_a_newer_gateway_is_refused(open_store: OpenStore, state: Path) -> None:
    await open_store().close()
    with sqlite3.connect(state / "wugan.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    refuses(open_store, "9999")


@pytest.mark.parametrize(
    "where", ["sqlite://", "sqlite:///:memory:", "mysql+nothing://x/y", "nonsense://", "postgresql+none://x"]
)
def test_an_address_that_cannot_be_used_is_refused(where: str) -> None:
    with pytest.raises(StoreError, match="address"):
        Store.open(where, key=b"k" * 32, clock=FakeClock())


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database " * 100)
    with pytest.raises(StoreError):
        Store.open(path, key=b"k" * 32, clock=FakeClock())
    assert path.read_text() == "not a database " * 100


def test_a_path_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be used"):
        Store.open(tmp_path / "file" / "wugan.db", key=b"k" * 32, clock=FakeClock())


def test_a_key_file_that_appears_in_between_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "store.key"
    made = load_or_create_key(path, may_create=True)
    assert load_or_create_key(path, may_create=True) == made
    assert [one.name for one in tmp_path.iterdir()] == ["store.key"]


def test_sub_keys_differ_by_use_and_by_store() -> None:
    keys, others = StoreKeys(b"k" * 32), StoreKeys(b"l" * 32)
    made = [keys.check_value, keys.pseudonym_key, keys.audit_mac(b""), keys.blind_index("")]
    assert len(set(made)) == 4
    assert keys.blind_index(PERSON) == StoreKeys(b"k" * 32).blind_index(PERSON) != others.blind_index(PERSON)
    assert keys.encrypt(b"body", b"row") != keys.encrypt(b"body", b"row")
    assert keys.decrypt(keys.encrypt(b"body", b"row"), b"row") == b"body"
    with pytest.raises(StoreError):
        others.decrypt(keys.encrypt(b"body", b"row"), b"row")
    with pytest.raises(StoreError):
        keys.decrypt(keys.encrypt(b"body", b"row"), b"another row")


async def test_a_new_store_is_as_one_that_went_through_all_versions(store: Store, tmp_path: Path) -> None:
    migrated = sa.create_engine(f"sqlite:///{tmp_path / 'migrated.db'}")
    with migrated.begin() as connection:
        migrations._migrate(connection)
        assert migrations.current(connection) == migrations.NEWEST
        assert compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata) == []
    assert _normalised(store._engine) == _normalised(migrated)
    assert _rows(migrated) == _rows(store._engine) - {"store_meta"} == {"alembic_version"}
    migrated.dispose()


async def test_a_store_of_the_first_version_goes_through_the_others(open_store: OpenStore, state: Path) -> None:
    state.mkdir(mode=0o700)
    first = sa.create_engine(f"sqlite:///{state / 'wugan.db'}")
    with first.begin() as connection:
        migrations._migrate(connection, migrations._KNOWN[0])
    first.dispose()
    store, fresh = open_store(), sa.create_engine(f"sqlite:///{state / 'fresh.db'}")
    await store.audit.record(event())
    with fresh.begin() as connection:
        migrations._make(connection)
    assert _normalised(store._engine) == _normalised(fresh)
    fresh.dispose()
    await store.close()


async def test_changed_people_who_waited_before_an_upgrade_wait_after_it(open_store: OpenStore, state: Path) -> None:
    state.mkdir(mode=0o700)
    before = sa.create_engine(f"sqlite:///{state / 'wugan.db'}")
    with before.begin() as connection:
        migrations._migrate(connection, "0015")
        connection.exec_driver_sql("INSERT INTO change_due VALUES (7, x'01', 1000, 2000, 3, x'00')")
    before.dispose()
    store = open_store()
    assert await store.changes.waiting() == (1, 1000)
    assert await store.changes.overdue(1001) == [Overdue(0, (), 1, 1000)]
    await store.close()


async def test_terms_and_groups_that_an_earlier_version_left_behind_are_gone(
    open_store: OpenStore, state: Path
) -> None:
    state.mkdir(mode=0o700)
    before = sa.create_engine(f"sqlite:///{state / 'wugan.db'}")
    with before.begin() as connection:
        migrations._migrate(connection, "0013")
        for rows in (
            "watch_group VALUES (1, 'm', x'01', 'u', x'00', 1), (2, 'm', x'02', 'u', x'00', 0)",
            "watch_terms VALUES (1, 1, x'01', x'00'), (2, 2, x'02', x'00'), (3, 1, x'03', x'00')",
            "watch VALUES (x'01', 1, 1, x'00', 1, 1, 0, NULL)",
        ):
            connection.exec_driver_sql(f"INSERT INTO {rows}")
    before.dispose()
    store = open_store()
    with store._engine.connect() as connection:
        for table in ("watch_group", "watch_terms"):
            assert connection.exec_driver_sql(f"SELECT number FROM {table}").scalars().all() == [1], table
    await store.close()


def _normalised(engine: sa.Engine) -> dict[str, set[str]]:
    """Every table's and index's parts, in no order: also what Alembic does not compare, such as WITHOUT ROWID."""
    with engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").all()
    return {name: {part.strip(" \t,") for part in sql.replace("(", "(\n").splitlines()} for name, sql in rows}


def _rows(engine: sa.Engine) -> set[str]:
    """The tables that are not empty."""
    with engine.connect() as connection:
        names = sa.inspect(connection).get_table_names()
        return {name for name in names if connection.exec_driver_sql(f"SELECT 1 FROM {name} LIMIT 1").first()}


def test_the_newest_version_is_the_one_the_code_works_with() -> None:
    scripts = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert scripts.get_heads() == [migrations.NEWEST]
    assert {script.revision for script in scripts.walk_revisions()} == set(migrations._KNOWN)


def test_neither_the_first_nor_an_ordinary_start_loads_alembic(state: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from gateway.clock import FakeClock;"
        "from gateway.store.engine import Store;"
        "start = lambda: Store.open("
        f"Path({str(state / 'wugan.db')!r}), key=Path({str(state / 'store.key')!r}), clock=FakeClock());"
        "start(); start();"
        "assert 'alembic' not in sys.modules"
    )
    subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, env={"PYTHONPATH": ".:proto"}, check=True, timeout=300
    )
