"""A roster as it would have been answered on a past day, and what became of its people since."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from federation_world import SmallWorld

from gateway.demo.agency_files import as_file, by_agency
from gateway.demo.truth import read_truth
from wugan.federation.v1 import vocabulary_pb2 as words

pytestmark = pytest.mark.integration
SINCE_DAYS = 200


def wugan(*arguments: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-m", "gateway.cli", *arguments],
        env={**os.environ, "WUGAN_LANG": "en"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_what_was_not_known_then_is_told_by_comparing_with_now(world: SmallWorld, tmp_path: Path) -> None:
    everybody = [each for each in read_truth(world.demo.truth) if each.across]
    agency, recipients = max(by_agency(everybody), key=lambda each: sum(one.death_known for one in each[1]))
    (tmp_path / "roster.csv").write_bytes(as_file(recipients))
    then_on = dt.date(1970, 1, 1) + dt.timedelta(days=world.demo.as_of_on - SINCE_DAYS)
    run = (
        "roster",
        "run",
        str(tmp_path / "roster.csv"),
        "--config",
        str(world.demo.agency_config(*agency)),
        "--tables",
    )
    then, now = tmp_path / "then", tmp_path / "now"
    wugan(*run, "--out", str(then), "--as-of", str(then_on))
    wugan(*run, "--out", str(now))

    results = [pl.read_parquet(folder / "tables" / "people.parquet") for folder in (then, now)]
    both = results[0].join(results[1], on="row", suffix="_now")
    stop = words.CERTIFICATION_STATUS_STOP_PROPOSED
    since = both.filter((pl.col("certification") != stop) & (pl.col("certification_now") == stop))
    assert since.height, "nobody of this agency died or lost the benefit within these days"
    died = [recipients[row - 1] for row in both.filter(pl.col("certification") == stop)["row"].to_list()]
    assert all(not one.died_on or one.died_on <= str(then_on) for one in died), "known before it happened"

    found = json.loads(wugan("roster", "compare", str(then), str(now), "--json"))
    assert sum(each["people"] for each in found["moves"]) == both.height
    assert found["only_then"] == found["only_now"] == 0
    assert found["unknown_then"] >= 0
    moved = {(each["then"], each["now"]): each["people"] for each in found["moves"]}
    assert sum(count for (was, became), count in moved.items() if was != stop and became == stop) == since.height
    assert "not known then" in wugan("roster", "compare", str(then), str(now))
