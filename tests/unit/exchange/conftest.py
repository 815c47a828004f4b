"""Fixtures for the tests of the envelope."""

from __future__ import annotations

import pytest

from tests.unit.exchange.exchange_world import World


@pytest.fixture(scope="session")
def world() -> World:
    return World()
