"""`wugan check --leave`: whoever asks for it has it left in the end, or is told what is the case."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from click.testing import CliRunner, Result

from gateway.cli import client, leaving
from gateway.cli.check import check
from gateway.errors import PartnerError, RefusedError
from tests.unit.services.gateways_world import rpc_error, status_of
from wugan.agency.v1 import agency_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

LINE = ["--id", "110102194910010024", "--name", "甲", "--benefit", "EMPLOYEE_PENSION", "--purpose", "CERTIFICATION"]
TICKET = bytes(range(16))
TOLD = base64.b64encode(TICKET).decode()
NOT_LEFT, UNKNOWN = "查询未留置", "查询是否已留置尚不确定"
LATE = rpc_error(grpc.StatusCode.DEADLINE_EXCEEDED)
BROKEN = rpc_error(grpc.StatusCode.UNAVAILABLE)
NEVER_SENT = grpc.aio.AioRpcError(
    grpc.StatusCode.UNAVAILABLE,
    grpc.aio.Metadata(),
    grpc.aio.Metadata(),
    "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: connection refused",
)
BUSY = status_of(RefusedError("busy", "繁忙", reason=words.REFUSAL_REASON_OVERLOADED, retryable=True, retry_after_ms=1))
WRONG = status_of(RefusedError("no such number", "号码有误", field="id_number"))
AWAY = status_of(PartnerError("away", "无法连接"))

Run = Callable[..., Result]


class Gateway:
    """Says to one call of an agency after another what a test wants, and answers then, or goes on with the last.

    Args:
        said: what ends calls.
        answers: whether it answers in the end.
    """

    def __init__(self, *said: grpc.aio.AioRpcError, answers: bool = False) -> None:
        self.said = list(said)
        self.answers = answers
        self.asked: list[agency_pb2.CheckRequest] = []
        self.times: list[float] = []

    def _note(self, request: agency_pb2.CheckRequest, timeout: float) -> None:
        self.asked.append(agency_pb2.CheckRequest.FromString(request.SerializeToString()))
        self.times.append(timeout)

    async def Check(self, request: agency_pb2.CheckRequest, *, timeout: float) -> agency_pb2.CheckResponse:
        self._note(request, timeout)
        if self.said:
            raise self.said.pop(0) if self.answers or len(self.said) > 1 else self.said[0]
        return agency_pb2.CheckResponse(late_ticket=TICKET)

    async def CheckStream(
        self, request: agency_pb2.CheckStreamRequest, *, timeout: float
    ) -> AsyncIterator[agency_pb2.CheckStreamResponse]:
        self._note(request.check, timeout)
        yield agency_pb2.CheckStreamResponse(known=agency_pb2.CheckResponse(), awaited=["x"])
        raise self.said.pop(0)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    config = tmp_path / "agency.toml"
    config.write_text("")
    settings = SimpleNamespace(legal_basis="法", official="李", timeout_s=5.0, gateway="127.0.0.1:1")
    monkeypatch.setattr("gateway.config.load_agency", lambda _file: settings)
    monkeypatch.setattr(client, "opened", lambda _settings: contextlib.nullcontext())
    monkeypatch.setattr(leaving, "MAKE_SURE_S", 0.2)
    monkeypatch.setattr(leaving, "PAUSE_S", 0.01)
    monkeypatch.setenv("WUGAN_LANG", "zh")

    def asked(gateway: Any, *more: str) -> Result:
        monkeypatch.setattr(client.agency_pb2_grpc, "AgencyServiceStub", lambda _channel: gateway)
        return CliRunner().invoke(check, ["--config", str(config), *LINE, "--timeout", "0.05", *more])

    return asked


@pytest.mark.parametrize("errors", [(LATE,), (BROKEN,), (BUSY,), (LATE, BUSY, BUSY)])
def test_where_no_answer_comes_it_is_made_sure_that_the_question_is_left(
    run: Run, errors: tuple[grpc.aio.AioRpcError, ...]
) -> None:
    gateway = Gateway(*errors, answers=True)
    ended = run(gateway, "--leave", "1d", "--json")
    assert ended.exit_code == 0, ended.output
    assert json.loads(ended.output)["late_ticket"] == TOLD
    first, *again = gateway.asked
    assert len(again) == len(errors)
    assert not first.only_leave
    for each in again:
        assert each.only_leave
        each.only_leave = False
        assert each == first, "word for word, so that it is found"
    assert min(gateway.times[1:]) > 0.1 > gateway.times[0], "not by the time that was too short"


def test_so_it_is_where_the_answer_is_followed(run: Run) -> None:
    ended = run(Gateway(LATE, answers=True), "--leave", "1d", "--json", "--follow")
    assert ended.exit_code == 0, ended.output
    so_far, last = map(json.loads, ended.output.splitlines())
    assert so_far["awaited"] == ["x"]
    assert (last["awaited"], last["late_ticket"]) == ([], TOLD)


@pytest.mark.parametrize(
    ("errors", "said", "code"),
    [
        ((WRONG,), NOT_LEFT, 1),
        ((BUSY,), NOT_LEFT, 3),
        ((NEVER_SENT,), NOT_LEFT, 3),
        ((AWAY,), NOT_LEFT, 3),
        ((LATE,), UNKNOWN, 3),
        ((BROKEN,), UNKNOWN, 3),
        ((LATE, BUSY), UNKNOWN, 3),
        ((LATE, NEVER_SENT), UNKNOWN, 3),
        ((LATE, WRONG), UNKNOWN, 1),
    ],
)
def test_otherwise_it_is_told_what_is_known_of_it_and_what_to_do(
    run: Run, errors: tuple[grpc.aio.AioRpcError, ...], said: str, code: int
) -> None:
    ended = run(Gateway(*errors), "--leave", "1d", "--case", "JH-7", "--json")
    assert ended.exit_code == code
    message = json.loads(ended.output)["error"]["message"]
    assert said in message
    assert (NOT_LEFT in message) != (UNKNOWN in message)
    if said == UNKNOWN:
        assert "wugan late list" in message
        assert "JH-7" in message


def test_a_gateway_that_is_not_there_is_not_waited_for(run: Run) -> None:
    gateway = Gateway(NEVER_SENT)
    run(gateway, "--leave", "1d")
    assert len(gateway.asked) == 1


def test_nobody_is_told_of_leaving_who_did_not_ask_for_it(run: Run) -> None:
    gateway = Gateway(LATE)
    ended = run(gateway)
    assert (ended.exit_code, len(gateway.asked)) == (3, 1)
    assert NOT_LEFT not in ended.output
