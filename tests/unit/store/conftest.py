"""A store of its own for each test, in a folder of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from gateway.clock import FakeClock
from gateway.store.engine import Store

OpenStore = Callable[[], Store]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The folder of the database and its key."""
    return tmp_path / "state"


@pytest.fixture
def open_store(state: Path, clock: FakeClock) -> OpenStore:
    """Opens the store of this test; again after it was closed, like a restarted gateway."""
    return lambda: Store.open(state / "wugan.db", key=state / "store.key", clock=clock)


@pytest.fixture
async def store(open_store: OpenStore) -> AsyncIterator[Store]:
    async with open_store() as opened:
        yield opened
