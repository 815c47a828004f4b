"""A store of its own for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.clock import FakeClock
from gateway.once.gate import Gate
from gateway.store.engine import Store
from tests.unit.rules.rules_world import BOOK


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def store(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Store]:
    async with Store.open(tmp_path / "wugan.db", key=tmp_path / "store.key", clock=clock) as opened:
        yield opened


@pytest.fixture
def gate(store: Store, clock: FakeClock) -> Gate:
    return Gate(BOOK, store, clock)
