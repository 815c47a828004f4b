"""The durable replay guard: the contract of every guard, and what only one on disk can do."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.clock import FakeClock
from gateway.errors import EnvelopeError
from gateway.exchange.replay import ReplayGuard, admit
from gateway.pacing import LONGEST_S
from gateway.store import replay, writer
from gateway.store.engine import Store
from tests.mutants import without
from tests.unit.exchange.replay_contract import ReplayGuardContract
from tests.unit.store.conftest import OpenStore
from tests.unit.store.store_world import EXPIRES_MS, MEMBER, NOW_MS, event, new_id, refused

REPOSITORY = Path(__file__).parents[3]

ADMITS_UNTIL_KILLED = """
import asyncio, sys
from pathlib import Path
from gateway.clock import FakeClock
from gateway.exchange.replay import admit
from gateway.log import configure
from gateway.store.engine import Store
from tests.mutants import without

async def main(state, member, expires_ms, now_ms):
    configure("ERROR")  # standard output is for the acknowledgements
    store = Store.open(state / "wugan.db", key=state / "store.key", clock=FakeClock())
    async def one_after_another(lane):
        for count in range(1_000_000):
            message_id = (lane << 64 | count).to_bytes(16)
            await admit(store.replay, member, message_id, expires_ms, now_ms)
            print(message_id.hex(), flush=True)
    await asyncio.gather(*(one_after_another(lane) for lane in range(16)))

asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
"""


def on_disk(state: Path, message_id: bytes) -> bool:
    """Whether another connection finds a message in the table."""
    with contextlib.closing(sqlite3.connect(state / "wugan.db")) as other:
        return other.execute("SELECT 1 FROM replay_guard WHERE message_id = ?", (message_id,)).fetchone() is not None


class TestDurableReplayGuard(ReplayGuardContract):
    @pytest.fixture
    def guard(self, store: Store) -> ReplayGuard:
        return store.replay


class TestDurableReplayGuardWithoutItsMemory(ReplayGuardContract):
    """The table alone must decide the same: memory only saves the asking."""

    @pytest.fixture
    def guard(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> ReplayGuard:
        monkeypatch.setattr(replay.DurableReplayGuard, "_remember", lambda _self, _key: None)
        return store.replay


async def test_a_message_is_refused_after_a_restart(open_store: OpenStore) -> None:
    accepted = [new_id() for _ in range(100)]
    async with open_store() as store:
        await asyncio.gather(*(admit(store.replay, MEMBER, one, EXPIRES_MS, NOW_MS) for one in accepted))
    async with open_store() as store:
        for one in accepted:
            with refused("ENVELOPE_REPLAYED"):
                await admit(store.replay, MEMBER, one, EXPIRES_MS, NOW_MS)


async def test_without_the_table_it_would_be_accepted_after_a_restart_and_without_memory_too_at_once(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What memory and table refuse is refused by nothing else: each is taken away, and then the replay succeeds."""
    message = new_id()
    mutant = without(replay, [("new and payload[2] >= self.forgotten_ms", "payload[2] >= self.forgotten_ms")])
    monkeypatch.setattr(replay._Admissions, "apply", mutant._Admissions.apply)
    async with open_store() as store:
        await admit(store.replay, MEMBER, message, EXPIRES_MS, NOW_MS)
        with refused("ENVELOPE_REPLAYED"):
            await admit(store.replay, MEMBER, message, EXPIRES_MS, NOW_MS)
    async with open_store() as store:
        await admit(store.replay, MEMBER, message, EXPIRES_MS, NOW_MS)
        monkeypatch.setattr(replay.DurableReplayGuard, "_remember", lambda _self, _key: None)
        store.replay._recent.clear()
        await admit(store.replay, MEMBER, message, EXPIRES_MS, NOW_MS)
        await admit(store.replay, MEMBER, message, EXPIRES_MS, NOW_MS)


async def test_among_new_messages_written_together_only_the_replayed_ones_are_refused(open_store: OpenStore) -> None:
    messages = [new_id() for _ in range(150)]
    seen = messages[::7]
    async with open_store() as store:
        for one in seen:
            await admit(store.replay, MEMBER, one, EXPIRES_MS, NOW_MS)
    async with open_store() as store:
        outcomes = await asyncio.gather(
            *(admit(store.replay, MEMBER, one, EXPIRES_MS, NOW_MS) for one in messages), return_exceptions=True
        )
    refusals = {one for one, outcome in zip(messages, outcomes, strict=True) if outcome is not None}
    assert refusals == set(seen)
    assert all(isinstance(one, EnvelopeError) for one in outcomes if one is not None)


async def test_whatever_was_acknowledged_before_kill_9_is_refused_afterwards(
    state: Path, open_store: OpenStore
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", ADMITS_UNTIL_KILLED, str(state), MEMBER, str(EXPIRES_MS), str(NOW_MS)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'proto'}"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(300)]
    process.send_signal(signal.SIGKILL)
    lines += process.stdout.read().splitlines(keepends=True)
    process.stdout.close()
    process.wait()
    acknowledged = [bytes.fromhex(line) for line in lines if line.endswith("\n")]
    assert len(acknowledged) >= 300
    async with open_store() as store:
        for message_id in acknowledged:
            with refused("ENVELOPE_REPLAYED"):
                await admit(store.replay, MEMBER, message_id, EXPIRES_MS, NOW_MS)


async def test_a_replay_is_refused_from_memory_without_a_write(store: Store) -> None:
    message_id = new_id()
    await admit(store.replay, MEMBER, message_id, EXPIRES_MS, NOW_MS)
    await store.close()  # from here on every write is refused as SHUTTING_DOWN
    with refused("ENVELOPE_REPLAYED"):
        await admit(store.replay, MEMBER, message_id, EXPIRES_MS, NOW_MS)
    with refused("SHUTTING_DOWN"):
        await admit(store.replay, MEMBER, new_id(), EXPIRES_MS, NOW_MS)


async def test_a_message_that_could_not_be_written_down_may_be_tried_again(store: Store, state: Path) -> None:
    message_id = new_id()
    blocker = sqlite3.connect(state / "wugan.db", isolation_level=None)
    blocker.execute("ALTER TABLE replay_guard RENAME TO elsewhere")
    with refused("INTERNAL"):
        await admit(store.replay, MEMBER, message_id, EXPIRES_MS, NOW_MS)
    blocker.execute("ALTER TABLE elsewhere RENAME TO replay_guard")
    blocker.close()
    await admit(store.replay, MEMBER, message_id, EXPIRES_MS, NOW_MS)
    with refused("ENVELOPE_REPLAYED"):
        await admit(store.replay, MEMBER, message_id, EXPIRES_MS, NOW_MS)


async def test_a_message_that_could_not_be_written_down_may_be_tried_again_whoever_gave_up_first(
    store: Store, state: Path
) -> None:
    message_id = new_id()
    blocker = sqlite3.connect(state / "wugan.db", isolation_level=None)
    blocker.execute("ALTER TABLE replay_guard RENAME TO elsewhere")
    store.replay.claim(MEMBER, message_id, EXPIRES_MS, NOW_MS).submit()
    with refused("INTERNAL"):  # the record that is written with it fails first, and nobody asks after the message
        await store.audit.record(event())
    blocker.execute("ALTER TABLE elsewhere RENAME TO replay_guard")
    blocker.close()
    await admit(store.replay, MEMBER, message_id, EXPIRES_MS, NOW_MS)


async def test_a_claim_that_nothing_follows_is_written_by_itself_after_20_ms_and_not_accepted_before(
    store: Store, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    due: list[tuple[float, Callable[[], None]]] = []
    handle = loop.call_later(0, int)
    monkeypatch.setattr(loop, "call_later", lambda *told: [due.append(told), handle][-1])
    monkeypatch.setattr(writer, "when_idle", None)  # what is submitted next looks for an idle round
    message_id = new_id()
    held = store.replay.claim(MEMBER, message_id, EXPIRES_MS, NOW_MS)
    held.submit()
    accepted = asyncio.create_task(held.accepted())
    for _ in range(20):
        await asyncio.sleep(0)
    assert not accepted.done()
    assert not on_disk(state, message_id)
    ((delay_s, act),) = due
    assert delay_s == LONGEST_S
    act()
    await accepted
    assert on_disk(state, message_id)


async def test_a_claim_goes_to_the_disk_with_the_record_that_follows_it(
    store: Store, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    message_id = new_id()
    held = store.replay.claim(MEMBER, message_id, EXPIRES_MS, NOW_MS)
    held.submit()
    await store.audit.record(event())
    assert on_disk(state, message_id)
    monkeypatch.setattr(store.replay, "write", None)  # it is not written twice
    await held.accepted()


async def test_messages_are_forgotten_only_after_their_time_and_twice_the_skew(store: Store, state: Path) -> None:
    for _ in range(10):
        await admit(store.replay, MEMBER, new_id(), EXPIRES_MS, NOW_MS)

    async def go_on_at(now_ms: int) -> int:
        for _ in range(replay.PURGE_EVERY):
            await admit(store.replay, MEMBER, new_id(), now_ms + 86_400_000, now_ms)
        with sqlite3.connect(state / "wugan.db") as reader:
            found: int = reader.execute(
                "SELECT count(*) FROM replay_guard WHERE expires_at_ms = ?", [EXPIRES_MS]
            ).fetchone()[0]
        reader.close()
        return found

    assert await go_on_at(EXPIRES_MS + replay.KEEP_MS) == 10
    assert await go_on_at(EXPIRES_MS + replay.KEEP_MS + 1) == 0


async def test_what_was_forgotten_stays_refused_when_the_clock_is_set_back_over_a_restart(
    open_store: OpenStore,
) -> None:
    message_id = new_id()
    later_ms = EXPIRES_MS + replay.KEEP_MS + 60_000
    async with open_store() as store:
        await admit(store.replay, MEMBER, message_id, EXPIRES_MS, NOW_MS)
        for _ in range(replay.PURGE_EVERY):
            await admit(store.replay, MEMBER, new_id(), later_ms, later_ms)
    async with open_store() as store:
        with refused("ENVELOPE_EXPIRED"):
            await admit(store.replay, MEMBER, message_id, EXPIRES_MS, NOW_MS)


YEAR_MS = 365 * 86_400_000


async def ahead_for_a_minute(store: Store) -> list[bytes]:
    """The clocks of this gateway and of those that ask it are a year ahead: what they sent was accepted."""
    accepted = [new_id() for _ in range(3 * replay.PURGE_EVERY)]
    for at, one in enumerate(accepted):
        now_ms = NOW_MS + YEAR_MS + at * 60_000 // len(accepted)
        await admit(store.replay, MEMBER, one, now_ms + 180_000, now_ms)
    return accepted


class Jumping(FakeClock):
    """A clock whose wall time can be set to whatever."""

    ahead_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.ahead_ms


@pytest.mark.parametrize("restarted", [False, True])
async def test_after_a_minute_with_a_clock_a_year_ahead_all_is_well_again_and_nothing_is_accepted_twice(
    open_store: OpenStore, restarted: bool
) -> None:
    before = [new_id() for _ in range(replay.PURGE_EVERY)]
    store = open_store()
    for one in before:
        await admit(store.replay, MEMBER, one, EXPIRES_MS, NOW_MS)
    ahead = await ahead_for_a_minute(store)
    if restarted:
        await store.close()
        store = open_store()
    now_ms = NOW_MS + 60_000
    for at in range(10):
        await admit(store.replay, MEMBER, new_id(), EXPIRES_MS + 60_000 + at, now_ms + at)
    for one in before:
        with pytest.raises(EnvelopeError):
            await admit(store.replay, MEMBER, one, EXPIRES_MS, now_ms)
    for one in ahead:  # also not in a year
        with pytest.raises(EnvelopeError):
            await admit(store.replay, MEMBER, one, NOW_MS + YEAR_MS + 180_000, NOW_MS + YEAR_MS)
    await store.close()


async def test_nothing_is_forgotten_by_a_clock_that_jumped_ahead_until_it_has_stayed_there(
    state: Path,
) -> None:
    clock = Jumping(NOW_MS)

    def rows() -> int:
        with sqlite3.connect(state / "wugan.db") as reader:
            found: int = reader.execute("SELECT count(*) FROM replay_guard").fetchone()[0]
        reader.close()
        return found

    async def go_on(hours: int) -> None:
        for _ in range(hours):
            clock.advance(3_600)
            for _ in range(replay.PURGE_EVERY):
                now_ms = clock.now_ms()
                await admit(store.replay, MEMBER, new_id(), now_ms + 180_000, now_ms)

    async with Store.open(state / "wugan.db", key=state / "store.key", clock=clock) as store:
        await go_on(3)
        assert rows() == replay.PURGE_EVERY, "those of the last hour"
        clock.ahead_ms = YEAR_MS
        await go_on(20)
        assert rows() == 21 * replay.PURGE_EVERY
        assert store.replay.closed_until_ms < NOW_MS + 86_400_000
        await go_on(40)
        assert rows() < 5 * replay.PURGE_EVERY


@pytest.mark.parametrize(("sender", "message_id"), [(MEMBER, b"short"), (MEMBER * 2, bytes(16)), ("", bytes(16))])
async def test_an_id_or_a_sender_of_a_wrong_length_is_refused(store: Store, sender: str, message_id: bytes) -> None:
    with refused("ENVELOPE_MALFORMED"):
        await admit(store.replay, sender, message_id, EXPIRES_MS, NOW_MS)


async def test_a_caller_that_gives_up_has_used_the_message_up(store: Store) -> None:
    message_id = new_id()
    waiting = asyncio.create_task(admit(store.replay, MEMBER, message_id, EXPIRES_MS, NOW_MS))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    with refused("ENVELOPE_REPLAYED"):
        await admit(store.replay, MEMBER, message_id, EXPIRES_MS, NOW_MS)


async def test_two_gateways_on_one_database_accept_a_message_once(
    open_store: OpenStore, clock: FakeClock, state: Path
) -> None:
    messages = [new_id() for _ in range(40)]
    async with open_store() as one, open_store() as other:
        outcomes = await asyncio.gather(
            *(
                admit(guard, MEMBER, message, EXPIRES_MS, NOW_MS)
                for message in messages
                for guard in (one.replay, other.replay)
            ),
            return_exceptions=True,
        )
    assert outcomes.count(None) == len(messages)
    assert {error.code for error in outcomes if isinstance(error, EnvelopeError)} == {"ENVELOPE_REPLAYED"}
