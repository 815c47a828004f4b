"""Ports for what is started later: nobody is given one by chance in between."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.demo import ports


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], Path]:
    """Have the kernel say which ports it gives by itself; the file that says so."""
    file = tmp_path / "range"
    monkeypatch.setattr(ports, "_GIVEN", file)

    def say(text: str) -> Path:
        file.write_text(text, "ascii")
        return file

    return say


def test_they_are_free_different_and_none_that_the_kernel_gives(given: Callable[[str], Path]) -> None:
    given("32768\t60999\n")
    found = ports.free_ports(50)
    assert len(set(found)) == 50
    assert all(ports.LOWEST <= port < 32_768 for port in found)
    with contextlib.ExitStack() as stack:
        for port in found:
            stack.enter_context(socket.socket()).bind(("127.0.0.1", port))


def test_what_another_process_chose_is_not_chosen_again_while_it_runs(given: Callable[[str], Path]) -> None:
    few = given("20000\t60999\n")
    program = (
        "import sys; from gateway.demo import ports; ports.LOWEST = 15_000; ports._GIVEN = ports.Path(sys.argv[1]);"
    )
    program += "print(*ports.free_ports(150), flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", program, str(few)]
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
    said: str | None, given: Callable[[str], Path]
) -> None:
    if said is not None:
        given(said)
    assert len(set(ports.free_ports(5))) == 5
