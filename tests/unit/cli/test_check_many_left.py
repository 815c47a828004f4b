"""`wugan check-many`, lines that are to be left: it is made sure that they are, or told what is known of it."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from gateway.cli import client, leaving
from gateway.cli.check_many import check_many
from gateway.errors import LostError, PartnerError, RefusedError, WuganError
from wugan.agency.v1 import agency_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

TICKET = bytes(range(16))
LATE = LostError("no answer in time", "未在时限内得到答复", reason=words.REFUSAL_REASON_DEADLINE_EXCEEDED)
BROKEN = LostError("the call ended early", "调用提前结束")
BUSY = RefusedError("busy", "繁忙", reason=words.REFUSAL_REASON_OVERLOADED, retryable=True, retry_after_ms=1)
WRONG = RefusedError("no such number", "号码有误", field="id_number")
AWAY = PartnerError("away", "无法连接")
LEFT = {"id_number": "110102194910010024", "name": "甲", "leave_open_s": 3600}

Run = Callable[..., tuple[int, dict[str, Any]]]


class Many:
    """Says to one question after another what a test wants, and answers then, or goes on with the last.

    Args:
        said: what comes of questions.
        answers: whether it answers in the end.
    """

    def __init__(self, *said: WuganError, answers: bool = False) -> None:
        self.said = list(said)
        self.answers = answers
        self.asked: list[agency_pb2.CheckRequest] = []

    async def check(self, request: agency_pb2.CheckRequest, _time_s: float) -> agency_pb2.CheckResponse:
        self.asked.append(agency_pb2.CheckRequest.FromString(request.SerializeToString()))
        if self.said:
            raise self.said.pop(0) if self.answers or len(self.said) > 1 else self.said[0]
        return agency_pb2.CheckResponse(late_ticket=TICKET)

    async def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    config, asking = tmp_path / "agency.toml", tmp_path / "lines.jsonl"
    config.write_text("")
    settings = SimpleNamespace(legal_basis="法", official="李", timeout_s=5.0)
    monkeypatch.setattr("gateway.config.load_agency", lambda _file: settings)
    monkeypatch.setattr(client, "opened", lambda _settings: contextlib.nullcontext())
    monkeypatch.setattr(leaving, "MAKE_SURE_S", 0.2)
    monkeypatch.setattr(leaving, "PAUSE_S", 0.01)

    def asked(many: Many, **line: Any) -> tuple[int, dict[str, Any]]:
        monkeypatch.setattr("gateway.many.client.ManyClient", lambda *_: many)
        asking.write_text(json.dumps(line), "utf-8")
        ended = CliRunner().invoke(check_many, ["--config", str(config), "--in", str(asking), "--case", "JH-7"])
        (told,) = map(json.loads, ended.output.splitlines())
        return ended.exit_code, told

    return asked


@pytest.mark.parametrize("errors", [(LATE,), (BROKEN,), (BUSY,), (LATE, BUSY, BUSY)])
def test_where_no_answer_comes_it_is_made_sure_that_the_question_is_left(
    run: Run, errors: tuple[WuganError, ...]
) -> None:
    many = Many(*errors, answers=True)
    code, told = run(many, **LEFT)
    assert code == 0, told
    assert told["answer"]["late_ticket"] == base64.b64encode(TICKET).decode()
    assert "left" not in told
    first, *again = many.asked
    assert len(again) == len(errors)
    assert not first.only_leave
    for each in again:
        assert each.only_leave
        each.only_leave = False
        assert each == first, "word for word, so that it is found"


@pytest.mark.parametrize(
    ("errors", "left", "code"),
    [
        ((WRONG,), "no", 1),
        ((BUSY,), "no", 3),
        ((AWAY,), "no", 3),
        ((LATE,), "unknown", 3),
        ((BROKEN,), "unknown", 3),
        ((LATE, BUSY), "unknown", 3),
        ((LATE, WRONG), "unknown", 1),
    ],
)
def test_otherwise_it_is_told_whether_it_was(run: Run, errors: tuple[WuganError, ...], left: str, code: int) -> None:
    ended, told = run(Many(*errors), **LEFT)
    assert (ended, told["left"]) == (code, left)
    assert told["error"]["reason"] == errors[-1].code


def test_what_is_not_to_be_left_is_not_asked_again(run: Run) -> None:
    many = Many(LATE, answers=True)
    code, told = run(many, **{**LEFT, "leave_open_s": 0})
    assert (code, len(many.asked)) == (3, 1)
    assert "left" not in told


def test_nor_is_what_was_refused_for_good(run: Run) -> None:
    many = Many(WRONG, answers=True)
    assert run(many, **LEFT)[0] == 1
    assert len(many.asked) == 1
