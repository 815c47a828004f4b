"""One small federation for all integration tests of a process, as `wugan demo up` starts it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from federation_world import SmallWorld

from gateway.demo import launch


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallWorld]:
    """Two provinces, all departments, one person at least of nearly every case."""
    folder = tmp_path_factory.mktemp("federation") / "demo"
    demo = launch.up(folder, provinces=2, people=150, seed=11)
    try:
        yield SmallWorld(demo)
    finally:
        launch.down(folder)
