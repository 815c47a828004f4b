"""A power cut: all that was reported as done is there afterwards, although every write that was not synced is lost.

kill -9 does not test this, because the operating system keeps what a killed process wrote. `tests/soak/only_synced.c`
keeps aside what a disk would have.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from gateway.clock import SystemClock
from gateway.store.engine import Store
from gateway.store.inbox import DONE
from gateway.store.post_tables import inbox, outbox
from tests.needs import lacking
from tests.soak.disk import Disk, built

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that remembers what was synced; skips where there is no C compiler or no LD_PRELOAD."""
    library = built(tmp_path_factory.mktemp("shim"))
    if library is None:
        lacking("a C compiler on Linux is needed to simulate a power cut")
    return library


def cut_off(shim: Path, folder: Path, after: int, how: str = "careful") -> tuple[Path, dict[str, set[int]]]:
    """What the disk holds after a child was cut off, and what the child had reported as done, by word."""
    state = folder / "state"
    state.mkdir(mode=0o700)
    disk = Disk(shim, state, folder / "disk")
    disk.begin()
    environment = {**os.environ, **disk.environment, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'proto'}"}
    command = [sys.executable, "-m", "tests.soak.power_cut", str(state), how]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, cwd=ROOT) as child:
        assert child.stdout is not None
        lines: list[bytes] = []
        with contextlib.suppress(StopIteration):
            while len([line for line in lines if line.split()[0] in _WORDS]) < after:
                lines.append(next(child.stdout))
        child.send_signal(signal.SIGKILL)
        lines += child.stdout.read().splitlines()  # said before it was killed
    promised: dict[str, set[int]] = {word.decode(): set() for word in _WORDS}
    for line in lines:
        word, _, number = line.partition(b" ")
        if word in _WORDS and number.strip().isdigit():
            promised[word.decode()].add(int(number))
    disk.cut()
    return state, promised


_WORDS = (b"accepted", b"submitted", b"finished")


async def lost(disk: Path, promised: dict[str, set[int]]) -> set[str]:
    """What was promised and is not there."""
    if not (disk / "gateway.db").exists():
        return {"everything"}
    store = Store.open(disk / "gateway.db", key=disk / "store.key", clock=SystemClock())
    with store._engine.connect() as connection:
        rows = connection.execute(sa.select(inbox.c.delivery_id, inbox.c.state)).all()
        accepted = {int.from_bytes(row[0]): row[1] for row in rows}
        letters = {int.from_bytes(row[0]) for row in connection.execute(sa.select(outbox.c.delivery_id))}
    await store.close()
    missing = {f"accepted {number}" for number in promised["accepted"] if number not in accepted}
    missing |= {f"submitted {number}" for number in promised["submitted"] if number not in letters}
    missing |= {f"finished {number}" for number in promised["finished"] if accepted.get(number) != DONE}
    # Whether promised or not: dealt with and answered, or neither.
    for number, state in accepted.items():
        if (state == DONE) != (2 * number + 1 in letters):
            missing.add(f"half of {number}")
    return missing


@pytest.mark.parametrize("round_", range(3))
async def test_all_that_was_receipted_taken_or_finished_survives_a_power_cut(
    shim: Path, tmp_path: Path, round_: int
) -> None:
    disk, promised = cut_off(shim, tmp_path, after=random.Random(round_).randrange(20, 150))
    assert promised["finished"]
    assert await lost(disk, promised) == set()


async def test_a_store_that_does_not_sync_would_lose_something(shim: Path, tmp_path: Path) -> None:
    disk, promised = cut_off(shim, tmp_path, after=60, how="careless")
    assert await lost(disk, promised)
