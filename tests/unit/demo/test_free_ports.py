"""Ports for what is started later: nobody is given one by chance in between."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
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


def test_what_another_process_chose_is_not_chosen_again_while_it_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given = tmp_path / "range"
    given.write_text("20000\t60999\n", "ascii")
    monkeypatch.setattr(ports, "_GIVEN", given)
    program = (
        "import sys; from gateway.demo import ports; ports.LOWEST = 15_000; ports._GIVEN = ports.Path(sys.argv[1]);"
    )
    program += "print(*ports.free_ports(150), flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", program, str(given)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        theirs = set(map(int, other.stdout.readline().split()))
        ours = {port for _ in range(40) for port in ports.free_ports(50)}
        other.communicate("")
    assert len(theirs) == 150
    assert not ours & theirs
    assert len(ports._chosen) <= 200


@pytest.mark.parametrize("said", ["1024\t65535\n", "", "nonsense\n", None])
def test_where_the_kernel_gives_nearly_all_or_does_not_say_it_is_asked_for_some(
    said: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given = tmp_path / "range"
    if said is not None:
        given.write_text(said, "ascii")
    monkeypatch.setattr(ports, "_GIVEN", given)
    assert len(set(ports.free_ports(5))) == 5
