"""Two real gateways, killed again and again while questions are left between them: a short `make soak`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.needs import lacking
from tests.soak.disk import built
from tests.soak.soak import Plan, run

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.mark.timeout(1200)
def test_nothing_is_lost_done_twice_or_out_of_order_under_kill_9(tmp_path: Path) -> None:
    plan = Plan(kills=4, questions=200, seed=4)
    found = run(tmp_path, plan)
    assert (found.lost, found.duplicated, found.reordered) == (0, 0, 0), found
    assert (found.kills, found.delivered) == (plan.kills, plan.questions)


@pytest.mark.timeout(1200)
def test_nothing_is_lost_done_twice_or_out_of_order_when_the_power_is_cut(tmp_path: Path) -> None:
    if built(tmp_path) is None:
        lacking("a C compiler on Linux is needed to simulate a power cut")
    plan = Plan(kills=4, questions=150, seed=2, power=True)
    found = run(tmp_path, plan)
    assert (found.lost, found.duplicated, found.reordered) == (0, 0, 0), found
    assert (found.kills, found.delivered) == (plan.kills, plan.questions)


@pytest.mark.timeout(1200)
def test_gateways_that_do_not_sync_would_lose_something(tmp_path: Path) -> None:
    if built(tmp_path) is None:
        lacking("a C compiler on Linux is needed to simulate a power cut")
    plan = Plan(kills=3, questions=60, seed=3, power=True, module="tests.soak.careless", patience_s=2.0)
    assert run(tmp_path, plan).lost
