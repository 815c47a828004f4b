"""A store for the tests of the services."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.store.engine import Store
from tests.unit.services.gateways_world import stored


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with stored(tmp_path) as opened:
        yield opened
