"""A small world that holds every case, made once."""

from __future__ import annotations

import pytest

from gateway.demo.cases import SMALLEST_COMPLETE_WORLD
from gateway.demo.world import World, build_world

AS_OF = 20_780
"""2026-11-23."""


@pytest.fixture(scope="session")
def small_world() -> World:
    return build_world(seed=12, provinces=3, people=SMALLEST_COMPLETE_WORLD, as_of_on=AS_OF)


@pytest.fixture(scope="session")
def town() -> World:
    """Enough people for every case to occur several times."""
    return build_world(seed=11, provinces=[330000, 420000, 110000, 510000], people=6_000, as_of_on=AS_OF)
