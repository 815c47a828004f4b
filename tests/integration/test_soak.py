"""Two real gateways, killed again and again while questions are left between them: a short `make soak`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.soak import Plan, run

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.mark.timeout(1200)
def test_nothing_is_lost_done_twice_or_out_of_order_under_kill_9(tmp_path: Path) -> None:
    plan = Plan(kills=4, questions=200, seed=4)
    found = run(tmp_path, plan)
    assert (found.lost, found.duplicated, found.reordered) == (0, 0, 0), found
    assert (found.kills, found.delivered) == (plan.kills, plan.questions)
