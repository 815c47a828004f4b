"""Founding a federation on this machine."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from gateway.demo.founding import MemberPlan, found


def test_a_federation_can_be_founded_in_the_last_instant_of_a_second(tmp_path: Path) -> None:
    now = dt.datetime.now(dt.UTC).replace(microsecond=999_700)
    plan = MemberPlan("11330000002482285J", "浙江省", "Zhejiang", 330000, units=(), manifests=())
    (member,) = found(tmp_path / "federation", [plan], now)
    assert member.config.is_file()
