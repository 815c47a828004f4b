"""`wugan check --since`: the start of a benefit goes into the question, and stands in the answer that is shown."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from gateway.cli import client
from gateway.cli.check import check
from gateway.cli.check_many import question_in
from gateway.cli.report import show
from wugan.agency.v1 import agency_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

LINE = ["--id", "110102194910010024", "--name", "甲", "--benefit", "WORK_DEATH_DEPENDANT", "--purpose", "CERTIFICATION"]


@pytest.mark.parametrize(
    ("more", "since"), [(["--since", "2015-03-01"], "2015-03-01"), ([], ""), (["--since", ""], "")]
)
def test_the_start_goes_into_the_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: list[str], since: str
) -> None:
    asked: list[agency_pb2.CheckRequest] = []

    async def answered(request: agency_pb2.CheckRequest, **_: Any) -> agency_pb2.CheckResponse:
        asked.append(request)
        return agency_pb2.CheckResponse(benefit_since=request.benefit_since)

    async def with_gateway(_settings: Any, work: Any, **_: Any) -> None:
        await work(SimpleNamespace(Check=answered))

    settings = SimpleNamespace(legal_basis="法", official="李", timeout_s=5.0)
    monkeypatch.setattr(client, "with_gateway", with_gateway)
    monkeypatch.setattr("gateway.config.load_agency", lambda _file: settings)
    config = tmp_path / "agency.toml"
    config.write_text("")
    ended = CliRunner().invoke(check, ["--config", str(config), *LINE, *more, "--json"])
    assert ended.exit_code == 0, ended.output
    assert [each.benefit_since for each in asked] == [since]
    assert f'"benefit_since": "{since}"' in ended.output


def test_a_line_of_many_has_it_too() -> None:
    request, _ = question_in(b'{"benefit_since": "2015-03-01"}', {})
    assert request.benefit_since == "2015-03-01"


def test_the_answer_shown_says_by_which_start_it_was_judged() -> None:
    def shown(since: str) -> str:
        console = Console(width=100, record=True)
        show(console, agency_pb2.CheckResponse(status=words.SURVIVAL_STATUS_ALIVE_STRONG, benefit_since=since))
        return console.export_text()

    assert "2015-03-01" in shown("2015-03-01")
    assert "since" not in shown("")
    assert "待遇开始" not in shown("")
