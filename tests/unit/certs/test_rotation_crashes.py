"""kill -9 at every step of a rotation: whoever starts again has keys, goes on, and leaves nothing lying about."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("story", "at_least"),
    [
        ("rotate", 55),
        ("change_of_mind", 50),
        ("put_back", 60),
        ("half_refused", 60),
        ("half_refused_and_given_up", 40),
    ],
)
def test_a_member_killed_at_any_step_goes_on(tmp_path: Path, story: str, at_least: int) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.unit.certs.rotation_crashes", str(tmp_path), story],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT / 'proto'}:{ROOT}"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    told = json.loads(ran.stdout)
    assert told["failures"] == []
    assert told["crashes"] >= at_least, "the story has fewer steps than it had"
