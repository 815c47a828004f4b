"""Ports for what is started later: nobody is given one by chance in between."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

import pytest

from gateway.demo import ports


def test_they_are_free_different_and_none_that_the_kernel_gives(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given = tmp_path / "range"
    given.write_text("32768\t60999\n", "ascii")
    monkeypatch.setattr(ports, "_GIVEN", given)
    found = ports.free_ports(50)
    assert len(set(found)) == 50
    assert all(ports.LOWEST <= port < 32_768 for port in found)
    with contextlib.ExitStack() as stack:
        for port in found:
            stack.enter_context(socket.socket()).bind(("127.0.0.1", port))


@pytest.mark.parametrize("said", ["1024\t65535\n", "", "nonsense\n", None])
def test_where_the_kernel_gives_nearly_all_or_does_not_say_it_is_asked_for_some(
    said: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given = tmp_path / "range"
    if said is not None:
        given.write_text(said, "ascii")
    monkeypatch.setattr(ports, "_GIVEN", given)
    assert len(set(ports.free_ports(5))) == 5
