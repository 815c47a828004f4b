"""Child processes of the demo: started with their output in a log, waited for until ready, stopped again, also later.

Owns: telling a process of ours from another that got its number since (by the start time in /proc), and never leaving
one behind when starting fails. Refuses: restarting anything.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.errors import ConfigError

READY_S = 60.0
"""Longest wait until a process is ready; a gateway takes about one second."""


@dataclass(frozen=True, slots=True)
class Started:
    """A process of ours: its number, when the kernel started it, and what it is."""

    pid: int
    started: int
    name: str
    log: Path

    def alive(self) -> bool:
        """Whether this very process still runs."""
        return _start_time(self.pid) == self.started


def start(name: str, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> Started:
    """Start `python -m command` in a session of its own, output appended to the log; `environment` is added to ours."""
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with log.open("ab") as output:
        child = subprocess.Popen(  # noqa: S603  our own modules, no shell
            [sys.executable, "-m", *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env={**os.environ, "GRPC_VERBOSITY": "NONE", **(environment or {})},
        )
    return Started(child.pid, _start_time(child.pid), name, log)


def wait_ready(processes: Sequence[tuple[Started, Path]]) -> list[dict[str, Any]]:
    """Wait until every process has written its ready file; what they say in it.

    Raises:
        ConfigError: one ended or took too long; the message shows the end of its log.
    """
    until = time.monotonic() + READY_S
    said: list[dict[str, Any]] = []
    for process, file in processes:
        while not file.exists():
            if not process.alive() or time.monotonic() > until:
                raise ConfigError(
                    f"{process.name} did not start; its log {process.log} ends with:\n{_tail(process.log)}",
                    f"{process.name} 未能启动，日志 {process.log} 末尾为：\n{_tail(process.log)}",
                )
            time.sleep(0.02)
        said.append(json.loads(file.read_text("utf-8")))
    return said


def stop(processes: Sequence[Started], grace_s: float = 15.0) -> list[Started]:
    """Ask them all to end, wait, and kill what does not; those that had to be killed."""
    for process in processes:
        if process.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGTERM)
    until = time.monotonic() + grace_s
    stubborn = []
    for process in processes:
        while process.alive() and time.monotonic() < until:
            _reap(process.pid)
            time.sleep(0.02)
        if process.alive():
            stubborn.append(process)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            _reap(process.pid)
    return stubborn


@contextlib.contextmanager
def stopped_on_failure(processes: list[Started]) -> Iterator[None]:
    """Stop what was started when the block fails, so that nothing is left behind."""
    try:
        yield
    except BaseException:
        stop(processes)
        raise


def _start_time(pid: int) -> int:
    """Clock ticks after boot at which the process started (proc(5), field 22); -1: it does not run."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    except OSError:
        return -1
    return -1 if fields[0] == "Z" else int(fields[19])


def _reap(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _tail(log: Path, lines: int = 15) -> str:
    try:
        return "\n".join(log.read_text("utf-8", "replace").splitlines()[-lines:])
    except OSError:
        return ""
