"""Group commit: what waits is written together, everyone hears the outcome, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from gateway.clock import FakeClock
from gateway.errors import StoreError
from gateway.exchange.replay import admit
from gateway.pacing import LONGEST_S
from gateway.store.engine import Store
from gateway.store.rows import Transaction
from gateway.store.writer import HERE_IN_A_ROW, Writer
from tests.unit.store.store_world import EXPIRES_MS, MEMBER, NOW_MS, Brief, Failing, Held, event, new_id, refused

LIMIT = 100
THREAD = "store-writer"


@pytest.fixture
async def writer(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Writer]:
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'any.db'}")
    made = Writer(engine, clock, limit=LIMIT)
    yield made
    await made.close()
    engine.dispose()


async def busy(writer: Writer) -> Held:
    """A writer that is in the middle of a transaction."""
    held = Held()
    writer.submit(held, 0)
    await asyncio.to_thread(held.started.wait)
    return held


async def test_what_waits_while_a_transaction_is_under_way_goes_into_the_next_one(writer: Writer) -> None:
    held = await busy(writer)
    waiting = [writer.submit(held, number) for number in range(1, 51)]
    assert writer.waiting == 51
    held.go.set()
    assert await asyncio.gather(*waiting) == list(range(1, 51))
    assert held.batches == [1, 50]


async def test_a_busy_event_loop_gathers_operations_for_a_bounded_time(writer: Writer, clock: FakeClock) -> None:
    held = Held()
    held.go.set()
    waiting = []
    for number in range(20):
        waiting.append(writer.submit(held, number))
        clock.advance(0.75 * LONGEST_S)  # the loop had other work for so long
        await asyncio.sleep(0)  # and begins its next round
        if not writer._gathered:
            break
    await asyncio.gather(*waiting)
    assert held.batches == [2]


async def test_an_idle_event_loop_commits_after_one_round(writer: Writer) -> None:
    held = Held()
    held.go.set()
    for number in range(3):
        assert await writer.submit(held, number) == number
    assert held.batches == [1, 1, 1]


async def test_what_nobody_waits_for_is_written_with_what_comes_next(tmp_path: Path, clock: FakeClock) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'any.db'}")
    writer = Writer(engine, clock, limit=LIMIT, alone=lambda: True)
    held = Held()
    held.go.set()
    behind = [writer.submit(held, number, behind=True) for number in range(2)]
    assert await writer.submit(held, 2) == 2
    assert [future.result() for future in behind] == [0, 1]
    assert held.batches == [3]
    await writer.close()


async def test_what_nobody_waits_for_is_written_by_itself_after_a_while(writer: Writer) -> None:
    held = Held()
    held.go.set()
    assert await writer.submit(held, 1, behind=True) == 1
    assert await writer.submit(held, 2, behind=True) == 2
    assert held.batches == [1, 1]


async def test_what_nobody_waits_for_is_written_when_the_store_closes(tmp_path: Path, clock: FakeClock) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'any.db'}")
    writer = Writer(engine, clock, limit=LIMIT)
    held = Held()
    held.go.set()
    behind = writer.submit(held, 1, behind=True)
    await writer.close()
    assert await behind == 1


async def test_a_call_that_is_alone_waits_for_no_others(tmp_path: Path, clock: FakeClock) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'any.db'}")
    writer = Writer(engine, clock, limit=LIMIT, alone=lambda: True)
    held = Held()
    waiting = writer.submit(held, 1)
    await asyncio.to_thread(held.started.wait)  # being written although the loop has not come round since
    held.go.set()
    assert await waiting == 1
    await writer.close()
    engine.dispose()


@pytest.fixture
async def lonely(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Writer]:
    """The writer of a gateway with one call under way."""
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'any.db'}")
    made = Writer(engine, clock, limit=LIMIT, alone=lambda: True)
    yield made
    await made.close()
    engine.dispose()


async def test_what_is_brief_is_written_at_once_in_the_event_loop_of_a_call_that_is_alone(lonely: Writer) -> None:
    kind = Brief()
    behind = lonely.submit(kind, 1, behind=True)
    written = lonely.submit(kind, 2)
    assert written.done()
    assert [await behind, await written] == [1, 2]
    assert kind.threads == ["MainThread"]
    assert lonely.waiting == 0


async def test_among_several_calls_the_thread_writes_what_is_brief(writer: Writer) -> None:
    kind = Brief()
    assert await asyncio.gather(*(writer.submit(kind, number) for number in range(3))) == [0, 1, 2]
    assert kind.threads == [THREAD]


async def test_what_is_not_brief_or_does_not_say_so_is_written_by_the_thread_with_all_that_waits(
    lonely: Writer,
) -> None:
    kind, held = Brief(), Held()
    held.go.set()
    behind = lonely.submit(held, 1, behind=True)
    assert await lonely.submit(kind, 2) == 2
    assert await behind == 1
    kind.brief_now = False
    assert await lonely.submit(kind, 3) == 3
    assert kind.threads == [THREAD, THREAD]


async def test_while_the_thread_writes_nobody_else_does(lonely: Writer) -> None:
    held, kind = await busy(lonely), Brief()
    waiting = lonely.submit(kind, 1)
    assert not waiting.done()
    held.go.set()
    assert await waiting == 1
    assert kind.threads == [THREAD]


async def test_now_and_then_the_thread_writes_and_shortens_the_log_of_writes(lonely: Writer) -> None:
    kind = Brief()
    for number in range(HERE_IN_A_ROW + 2):
        assert await lonely.submit(kind, number) == number
    assert kind.threads == ["MainThread"] * HERE_IN_A_ROW + [THREAD] + ["MainThread"]


async def test_after_a_slow_commit_the_thread_writes_for_a_hundred_times_as_long(
    lonely: Writer, clock: FakeClock
) -> None:
    kind = Brief()
    kind.during = lambda: clock.advance(0.5)
    assert await lonely.submit(kind, 0) == 0
    kind.during = lambda: None
    clock.advance(49.9)
    assert await lonely.submit(kind, 1) == 1
    clock.advance(0.2)
    assert await lonely.submit(kind, 2) == 2
    assert kind.threads == ["MainThread", THREAD, "MainThread"]


async def test_the_event_loop_does_not_wait_for_a_locked_database(lonely: Writer, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "any.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    kind = Brief()
    waiting = lonely.submit(kind, 1)
    assert not waiting.done()
    assert kind.threads == []
    other.execute("COMMIT")
    other.close()
    assert await waiting == 1
    assert await lonely.submit(kind, 2) == 2
    assert kind.threads == [THREAD, "MainThread"]


async def test_a_write_that_fails_in_the_event_loop_fails_as_in_the_thread_and_the_next_succeeds(
    lonely: Writer,
) -> None:
    kind = Brief()
    kind.error = sqlite3.OperationalError("disk full")
    with pytest.raises(StoreError):
        await lonely.submit(kind, 1)
    kind.error = None
    assert await lonely.submit(kind, 2) == 2
    assert kind.threads == ["MainThread", "MainThread"]


class Disk:
    """What COMMIT is in these tests: who waits for the disk, until it goes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.threads: list[str] = []
        self.go = threading.Event()
        self.error: Exception | None = None
        commit = Transaction.commit

        def waits(transaction: Transaction) -> None:
            self.threads.append(threading.current_thread().name)
            if threading.current_thread() is not threading.main_thread():
                self.go.wait()
            if self.error is not None:
                raise self.error
            commit(transaction)

        monkeypatch.setattr(Transaction, "commit", waits)


async def test_where_the_caller_has_more_to_do_the_thread_waits_for_the_disk(
    lonely: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, disk = Brief(), Disk(monkeypatch)
    behind = lonely.submit(kind, 1, behind=True)
    written = lonely.submit(kind, 2, meanwhile=True)
    assert kind.threads == ["MainThread"]
    assert not written.done()
    assert lonely.waiting == 2
    next_one = lonely.submit(kind, 3, meanwhile=True)  # not into the transaction that is being committed
    assert kind.threads == ["MainThread"]
    disk.go.set()
    assert [await behind, await written, await next_one] == [1, 2, 3]
    assert kind.threads == ["MainThread", THREAD]
    assert disk.threads == [THREAD, THREAD]
    assert await lonely.submit(kind, 4) == 4
    assert disk.threads[2:] == ["MainThread"]


async def test_where_the_disk_is_quick_the_event_loop_waits_for_it_itself(
    lonely: Writer, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, commit = [], Transaction.commit
    takes = 0.0005

    def waits(transaction: Transaction) -> None:
        disk.append(threading.current_thread().name)
        clock.advance(takes)
        commit(transaction)

    monkeypatch.setattr(Transaction, "commit", waits)

    async def written(count: int) -> list[str]:
        disk.clear()
        for number in range(count):
            assert await lonely.submit(Brief(), number, meanwhile=True) == number
        return list(disk)

    first = await written(20)
    assert first[0] == THREAD, "it is not known yet"
    assert first == sorted(first, reverse=True), "once it is known it stays so"
    assert first[-1] == "MainThread"
    takes = 0.003
    slower = await written(20)
    assert slower[0] == "MainThread"
    assert slower[-10:] == [THREAD] * 10
    takes = 0.0005
    assert (await written(40))[-1] == "MainThread"


async def test_who_asks_is_given_what_the_thread_has_written_at_once_and_once(
    lonely: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    written = lonely.submit(Brief(), 1, meanwhile=True)
    lonely.wake()
    assert not written.done()
    disk.go.set()
    while lonely.waiting:  # the loop is not let go on: it would be told by itself
        os.sched_yield()
    assert not written.done()
    lonely.wake()
    assert written.result() == 1
    await asyncio.sleep(0)
    assert await lonely.submit(Brief(), 2, meanwhile=True) == 2


async def test_who_asks_in_one_event_loop_takes_nothing_from_another(
    lonely: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    written = lonely.submit(Brief(), 1, meanwhile=True)

    async def elsewhere() -> None:
        lonely.wake()

    disk.go.set()
    while lonely.waiting:
        os.sched_yield()
    other = threading.Thread(target=asyncio.run, args=(elsewhere(),))
    other.start()
    other.join()
    assert not written.done()
    assert await written == 1


async def test_a_commit_that_fails_while_the_caller_does_something_else_fails_and_the_next_succeeds(
    lonely: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, disk = Brief(), Disk(monkeypatch)
    disk.go.set()
    disk.error = sqlite3.OperationalError("disk full")
    with pytest.raises(StoreError):
        await lonely.submit(kind, 1, meanwhile=True)
    disk.error = None
    assert await lonely.submit(kind, 2, meanwhile=True) == 2
    assert kind.threads == ["MainThread", "MainThread"]


async def test_what_fails_before_the_thread_would_wait_for_the_disk_fails(lonely: Writer) -> None:
    kind = Brief()
    kind.error = sqlite3.OperationalError("disk full")
    with pytest.raises(StoreError):
        await lonely.submit(kind, 1, meanwhile=True)
    kind.error = None
    assert await lonely.submit(kind, 2, meanwhile=True) == 2


async def test_closing_waits_for_the_disk(tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'any.db'}")
    writer = Writer(engine, clock, limit=LIMIT, alone=lambda: True)
    disk = Disk(monkeypatch)
    written = writer.submit(Brief(), 1, meanwhile=True)
    closing = asyncio.create_task(writer.close())
    await asyncio.sleep(0)
    assert not written.done()
    disk.go.set()
    await closing
    assert await written == 1
    engine.dispose()


async def test_what_the_event_loop_and_the_thread_write_in_turn_is_one_chain(tmp_path: Path, clock: FakeClock) -> None:
    alone = False
    store = Store.open(tmp_path / "wugan.db", key=b"k" * 32, clock=clock, alone=lambda: alone)
    heads = []
    for number in range(20):
        alone = number % 3 != 0
        heads.append((await store.audit.submit(event(), meanwhile=number % 2 != 0)).sequence)
    assert heads == list(range(1, 21))
    assert (await store.audit.verify_chain()).sequence == 20
    await store.close()


async def test_a_writer_serves_the_next_event_loop_when_the_first_has_ended(writer: Writer) -> None:
    held = Held()
    held.go.set()

    async def submit_and_leave() -> None:
        writer.submit(held, 1)

    def run_two_loops() -> int:
        asyncio.run(submit_and_leave())
        return asyncio.run(asyncio.wait_for(_submitted(writer, held), 10))

    assert await asyncio.to_thread(run_two_loops) == 2


async def _submitted(writer: Writer, held: Held) -> int:
    return await writer.submit(held, 2)


async def test_when_too_much_waits_more_is_refused_at_once_and_may_be_tried_again(writer: Writer) -> None:
    held = await busy(writer)
    waiting = [writer.submit(held, number) for number in range(LIMIT - 1)]
    with pytest.raises(StoreError) as caught:
        writer.submit(held, 0)
    assert caught.value.code == "OVERLOADED"
    assert caught.value.retryable
    assert caught.value.retry_after_ms > 0
    held.go.set()
    await asyncio.gather(*waiting)
    assert await writer.submit(held, 7) == 7


@pytest.mark.parametrize("error", [sqlite3.OperationalError("disk full"), StoreError("a", "b"), RuntimeError("bug")])
async def test_when_a_transaction_fails_everyone_in_it_hears_and_the_writer_goes_on(
    writer: Writer, error: Exception
) -> None:
    held = await busy(writer)
    outcomes = [writer.submit(held, 1), writer.submit(Failing(error), None), writer.submit(held, 2)]
    held.go.set()
    failures = await asyncio.gather(*outcomes, return_exceptions=True)
    assert [type(failure) for failure in failures] == [StoreError] * 3
    assert len({id(failure) for failure in failures}) == 3
    assert all("disk full" not in str(failure) and "bug" not in str(failure) for failure in failures)
    assert await writer.submit(held, 3) == 3


async def test_closing_writes_what_waits_and_refuses_what_comes_later(writer: Writer) -> None:
    held = await busy(writer)
    waiting = [writer.submit(held, number) for number in range(10)]
    held.go.set()
    await writer.close()
    assert [await one for one in waiting] == list(range(10))
    with refused("SHUTTING_DOWN"):
        writer.submit(held, 0)
    await writer.close()


async def test_a_caller_that_gives_up_harms_nobody(writer: Writer) -> None:
    held = await busy(writer)
    given_up, patient = writer.submit(held, 1), writer.submit(held, 2)
    given_up.cancel()
    held.go.set()
    assert await patient == 2
    assert given_up.cancelled()


async def test_a_failed_transaction_leaves_nothing_behind(store: Store, state: Path) -> None:
    """Admission and event wait together; the event's table is gone, so neither is written."""
    changed = sqlite3.connect(state / "wugan.db", isolation_level=None)
    changed.execute("ALTER TABLE audit_event RENAME TO elsewhere")
    held = await busy(store._writer)
    message_id = new_id()
    admission = asyncio.create_task(admit(store.replay, MEMBER, message_id, EXPIRES_MS, NOW_MS))
    await asyncio.sleep(0)
    recording = store.audit.submit(event())
    held.go.set()
    with refused("INTERNAL"):
        await admission
    with refused("INTERNAL"):
        await recording
    assert changed.execute("SELECT count(*) FROM replay_guard").fetchone() == (0,)
    changed.execute("ALTER TABLE elsewhere RENAME TO audit_event")
    changed.close()
    await store.audit.record(event())
    await admit(store.replay, MEMBER, message_id, EXPIRES_MS, NOW_MS)


async def test_a_database_locked_for_too_long_is_an_error_that_may_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.store.engine._PRAGMAS", ("PRAGMA journal_mode=WAL", "PRAGMA busy_timeout=1"))
    async with Store.open(tmp_path / "wugan.db", key=b"k" * 32, clock=FakeClock()) as store:
        other = sqlite3.connect(tmp_path / "wugan.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError) as caught:
            await store.audit.record(event())
        assert caught.value.retryable
        other.execute("ROLLBACK")
        other.close()
        assert (await store.audit.record(event())).sequence == 1


@pytest.mark.usefixtures("store")
def test_bytes_are_bytes_to_the_database_without_an_error_being_made_of_it() -> None:
    value = b"a tag"
    assert sqlite3.adapt(value) is value, "the driver looks for another form of each: gateway/store/rows.py says none"
