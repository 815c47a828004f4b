"""The engine of gRPC is chosen before gRPC is loaded, and an operator's own choice stands."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from gateway.grpc_engine import POLLER_ITSELF, VARIABLE, settle_engine


def test_an_operators_own_choice_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "tcp_rcv_lowat")
    settle_engine()
    assert os.environ[VARIABLE] == "tcp_rcv_lowat"


def test_the_command_that_runs_a_gateway_has_not_loaded_grpc_before_it_chooses() -> None:
    code = (
        "import sys, gateway.cli.gateway, gateway.grpc_engine as engine;"
        "assert engine.settle_engine(), 'gRPC was loaded before';"
        "import grpc, os; print(os.environ[engine.VARIABLE])"
    )
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == POLLER_ITSELF
