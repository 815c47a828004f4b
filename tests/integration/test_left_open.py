"""A sleeping province, as an agency meets it on the command line: asked once, answered when the province is back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.federation import TwoProvinces, people, start_gateway, two_provinces
from gateway.demo.processes import stop, wait_ready

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SETTINGS = "\n[outbox]\nretry_longest_s = 0.5\npoll_s = 0.2\n"
WAIT_S = 60


@pytest.fixture(scope="module")
def provinces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoProvinces]:
    with two_provinces(tmp_path_factory.mktemp("left"), extra=SETTINGS) as both:
        yield both


def wugan(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gateway.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "WUGAN_LANG": "zh"},
    )


def told(*arguments: str) -> Any:
    done = wugan(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()] if "watch" in arguments else json.loads(done.stdout)


def ask(provinces: TwoProvinces, *more: str) -> list[str]:
    number, name = people()[0]
    about = ["--id", number, "--name", name, "--benefit", "EMPLOYEE_PENSION", "--purpose", "CERTIFICATION"]
    where = ["--region", "330700", "--config", str(provinces.agency_config), "--timeout", "5"]
    return ["check", *about, *where, "--official", "test", "--basis", "社会保险法 第七十四条", *more]


def test_a_sleeping_province_answers_when_it_wakes_and_its_agency_need_not_ask_again(provinces: TwoProvinces) -> None:
    agency, gateway = ["--config", str(provinces.agency_config)], ["--config", str(provinces.asking.config)]
    stop([provinces.processes[1]])
    assert wugan(*ask(provinces)).returncode == 3
    left = told(*ask(provinces, "--leave", "1d"))
    assert left["answers"][0]["refusal"] == "REFUSAL_REASON_PARTNER_UNAVAILABLE"
    (check,) = told("late", "list", *agency, "--open")
    assert list(check["provinces"].values()) == ["open"]
    (waiting,) = told("outbox", "list", *gateway)
    assert (waiting["kind"], waiting["state"]) == ("question", "waiting")
    assert "member_failing_since" in told("outbox", "show", waiting["delivery"], *gateway)

    provinces.answering.ready_file.unlink(missing_ok=True)
    provinces.processes[1] = start_gateway(provinces.answering)
    wait_ready([(provinces.processes[1], provinces.answering.ready_file)])
    until = time.monotonic() + WAIT_S
    while not (came := told("late", "watch", *agency, "--once")):
        assert time.monotonic() < until, "no late answer; see the logs of both gateways"
    assert came[0]["status"].startswith("SURVIVAL_STATUS_ALIVE")
    assert told("late", "show", check["ticket"], *agency)["answers"][0]["late"]
    assert told("late", "watch", *agency, "--once", "--after", str(came[0]["cursor"])) == []
    assert told("late", "list", *agency, "--open") == []
    assert told("outbox", "list", *gateway) == []
    assert told("inbox", "list", "--config", str(provinces.answering.config)) == []


def test_a_person_reads_that_it_was_left_and_how_to_look_at_it(provinces: TwoProvinces) -> None:
    shown = wugan(*ask(provinces, "--leave", "12h", "--leave-only")).stdout
    assert "尚无答复" in shown
    assert "wugan late show" in shown.replace("\n", "")


@pytest.mark.parametrize("time_text", ["7", "d", "x7d", "99999d", "7w"])
def test_a_time_that_cannot_be_read_is_wrong_usage(provinces: TwoProvinces, time_text: str) -> None:
    assert wugan(*ask(provinces, "--leave", time_text)).returncode == 2


def test_no_log_of_either_gateway_holds_a_number_or_a_name(provinces: TwoProvinces) -> None:
    number, name = people()[0]
    for process in provinces.processes:
        log = Path(process.log).read_text("utf-8")
        assert number not in log
        assert name not in log
