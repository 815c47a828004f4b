"""A department's PostgreSQL behind a fault proxy: whatever is wrong on the way, a lookup ends by its deadline, is whole
or says that the source is down, and finds the source again when the trouble is over."""

from __future__ import annotations

import asyncio
import functools
import os
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psycopg
import pytest

from adapters.build import build
from adapters.contract import Adapter, Found
from adapters.database import Database
from adapters.errors import SourceDownError
from adapters.kinds.table import COLUMNS_FROM
from tests.faults.proxy import FaultProxy
from tests.faults.trouble import BLACK_HOLE, HALF_OPEN_BACK, TROUBLES, Fault, Trouble
from tests.unit.adapters.adapters_world import ANNA, ask, manifest_in, now_ms, number, rows

pytestmark = pytest.mark.integration

THREADS = 2
MANIFEST = f"""\
manifest: 1
adapter_id: health-insurance
version: 1
department: HEALTH_INSURANCE
regions: [330000]
kind: table
source: {{url: "postgresql+psycopg://postgres:@ADDRESS/DATABASE?gssencmode=disable&sslmode=disable"}}
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
DEADLINE_S, GRACE_S = 0.5, 60.0


@pytest.fixture(scope="module")
def database(new_database: Callable[[], str]) -> tuple[str, str]:
    """The socket of a PostgreSQL server of our own, and the name of a database there."""
    with psycopg.connect(new_database(), autocommit=True) as made:
        made.execute("CREATE TABLE visit (id text PRIMARY KEY, who text, at date, ref text)")
        made.execute("INSERT INTO visit VALUES (%s, '安娜', '2026-03-01', 'V1')", [ANNA])
        sockets = made.execute("SHOW unix_socket_directories").fetchone()
        port = made.execute("SHOW port").fetchone()
        assert sockets is not None
        assert port is not None
        return f"{sockets[0]}/.s.PGSQL.{port[0]}", made.info.dbname


@pytest.fixture
async def proxy(database: tuple[str, str]) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(database[0]) as made:
        yield made


@pytest.fixture
async def adapter(proxy: FaultProxy, database: tuple[str, str], tmp_path: Path) -> AsyncIterator[Adapter]:
    text = MANIFEST.replace("ADDRESS", proxy.address).replace("DATABASE", database[1])
    built = build(manifest_in(tmp_path, text), tmp_path, now_ms)
    await until_well(built)
    yield built
    await proxy.heal()
    proxy.reset()
    async with asyncio.timeout(120):
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
    async with asyncio.timeout(120):
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
    while proxy.connections < THREADS:  # every thread has one
        await asyncio.gather(*(answered(adapter) for _ in range(3 * THREADS)))
    await proxy.suffer(HALF_OPEN_BACK)
    assert await asyncio.gather(*(answered(adapter) for _ in range(3 * THREADS))) == [None] * (3 * THREADS)
    proxy.freeze()
    await proxy.heal()
    await until_well(adapter)


async def test_many_people_whose_lookups_died_without_a_word_keep_nobody_else_waiting(
    adapter: Adapter, proxy: FaultProxy
) -> None:
    many = [ANNA, *(number(serial) for serial in range(2 * COLUMNS_FROM))]

    async def large() -> bool:
        try:
            return len(rows(await adapter.lookup(ask(*many, deadline_s=5.0)))) > 0
        except SourceDownError:
            return False

    async with asyncio.timeout(120):
        while proxy.connections < 2 * THREADS:  # every thread has those that it uses
            await asyncio.gather(*(each() for each in (large, functools.partial(answered, adapter)) * THREADS))
    await proxy.suffer(HALF_OPEN_BACK)
    for _ in range(3):  # each may leave one more thread waiting
        assert not any(await asyncio.gather(*(large() for _ in range(2 * THREADS))))
    proxy.freeze()
    await proxy.heal()
    await until_well(adapter)


async def test_it_can_be_closed_while_its_database_is_a_black_hole(adapter: Adapter, proxy: FaultProxy) -> None:
    await proxy.suffer(BLACK_HOLE)
    assert await asyncio.gather(*(answered(adapter) for _ in range(THREADS))) == [None] * THREADS
    async with asyncio.timeout(120):
        await adapter.close()


async def test_a_server_that_lost_its_power_in_mid_statement_is_noticed_by_the_kernel(
    proxy: FaultProxy, database: tuple[str, str], tmp_path: Path
) -> None:
    url = f"postgresql+psycopg://postgres:@{proxy.address}/{database[1]}?gssencmode=disable&sslmode=disable"
    opened = Database(url, folder=tmp_path, schema=None, chunk=None, timeout_s=1)

    def waited_s() -> int:
        tell = opened._connection().driver_connection.fileno
        with socket.socket(fileno=os.dup(tell())) as end:
            assert end.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            idle, every, times = socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT
            told = [end.getsockopt(socket.IPPROTO_TCP, option) for option in (idle, every, times)]
        return told[0] + told[1] * told[2]

    assert await asyncio.to_thread(waited_s) < 60
    await asyncio.to_thread(opened.close)
