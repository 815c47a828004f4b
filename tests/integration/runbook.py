"""A run-book of docs/operations, followed as an administrator would: its very commands, in a shell, on several hosts.

Each block of commands begins with a comment that says where it is typed:

    # at the authority        # at the gateway        # at the agency        # everywhere

A command ends with 0, or with what stands behind it ("# ends with 1"). What a page exports stays for the commands after
it. `wugan … run` and `systemctl start|stop|restart wugan-authority|wugan-gateway` start and stop real processes; what
asks for a passphrase gets a terminal.
"""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs" / "operations"
WUGAN = Path(sys.executable).with_name("wugan")
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG"))},
    "PATH": f"{WUGAN.parent}:{os.environ['PATH']}",
    "LC_ALL": "C.UTF-8",
    "WUGAN_LANG": "en",
    "GRPC_VERBOSITY": "NONE",
}
COMMAND_S = 300.0
READY_S = 300.0
RESTARTS = 2
"""A service that fails is started again, as the units on the pages say (`Restart=on-failure`): without the authority's
answer in time, for one, a new gateway does not start."""

_FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$|^#{1,3} +(?P<heading>[^\n]+?) *$", re.M | re.S)
_PLACE = re.compile(r"# (?:at the (authority|gateway|agency)|(everywhere))\n")
_ENDS = re.compile(r"# ends with (\d)\s*$")
_RUN = re.compile(r"^wugan (authority|gateway) run\b")
_SERVICE = re.compile(r"^systemctl (start|stop|restart) wugan-(authority|gateway)\s*(?:#.*)?$")
_PROMPT = re.compile(r": ?$")
_EXPORT = re.compile(r"^export ([A-Z]+)=")
_HERE = re.compile(r"<<-?\s*'?(\w+)'?")


@dataclass(frozen=True)
class Step:
    """One command of a page: in which section and which of its blocks it stands, and where it is typed."""

    section: str
    block: int
    place: str
    command: str

    @property
    def ends_with(self) -> int:
        """What it should end with."""
        found = _ENDS.search(self.command)
        return int(found[1]) if found else 0


def steps_of(page: str) -> list[Step]:
    """Every command of a page, in order."""
    steps: list[Step] = []
    section, block = "", 0
    for found in _FENCE.finditer((PAGES / page).read_text("utf-8")):
        if found["heading"] is not None:
            section, block = found["heading"], 0
        if found["language"] != "sh":
            continue
        place = _PLACE.match(found["text"])
        assert place, f"{page}, {section}: a block does not say where it is typed:\n{found['text']}"
        where = place[1] or place[2]
        steps += [Step(section, block, where, command) for command in commands_of(found["text"][place.end() :])]
        block += 1
    return steps


def commands_of(text: str) -> Iterator[str]:
    """The commands of a block; lines that belong together stay together."""
    lines = iter(text.splitlines())
    for line in lines:
        command = line
        while command.endswith("\\"):
            command += "\n" + next(lines)
        here = _HERE.search(command)
        if here:
            for more in lines:
                command += "\n" + more
                if more == here[1]:
                    break
        if command.strip() and not command.startswith("#"):
            yield command


@dataclass
class Ran:
    """What a command said."""

    command: str
    code: int
    out: str
    err: str


@dataclass
class Host:
    """A machine: a folder, what was exported in its shell, and the service that runs on it.

    Args:
        name: "authority", "gateway" or "agency".
        folder: where its commands are typed.
        other: what stands on the page → what is so here.
        values: variable → what it is here, whatever the page exports.
    """

    name: str
    folder: Path
    other: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)
    exported: dict[str, str] = field(default_factory=dict)
    umask: str = "022"
    service: str = ""
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def here(self, text: str) -> str:
        """A text of the page as it is on this host."""
        exports = _EXPORT.match(text)
        if exports and exports[1] in self.values:
            return f"export {exports[1]}={shlex.quote(self.values[exports[1]])}"
        for theirs, ours in self.other.items():
            text = text.replace(theirs, ours)
        return text

    def run(self, command: str, ends_with: int = 0, typed: Sequence[str] = (), language: str = "en") -> Ran:
        """Type a command, and passphrases when it asks for them; check what it ends with."""
        command = self.here(command)
        started = _RUN.match(command)
        if started:
            self.service = command.partition("#")[0].strip()
            self.start()
            return Ran(command, 0, "", "")
        service = _SERVICE.match(command)
        if service:
            assert service[2] == self.name, f"{command}: runs on another host"
            if service[1] in ("stop", "restart"):
                self.stop()
            if service[1] in ("start", "restart"):
                self.start()
            return Ran(command, 0, "", "")
        ran = self.tried(command, typed, language)
        assert ran.code == ends_with, f"at the {self.name}: {command}\nended with {ran.code}\n{ran.out}{ran.err}"
        assert "Traceback" not in ran.err, ran.err
        self._remember()
        return ran

    def tried(self, command: str, typed: Sequence[str] = (), language: str = "en") -> Ran:
        """What comes of a command, whatever it ends with."""
        script = f"umask {self.umask}\n{command}\ncode=$?; umask > .umask; export -p > .exported; exit $code"
        environment = {**ENVIRONMENT, **self.exported, "WUGAN_LANG": language}
        if typed:
            return self._on_terminal(command, script, environment, typed)
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )
        return Ran(command, done.returncode, done.stdout, done.stderr)

    def _remember(self) -> None:
        """Keep what the page has exported."""
        file, umask = self.folder / ".exported", self.folder / ".umask"
        if umask.exists():
            self.umask = umask.read_text("utf-8").strip()
            umask.unlink()
        for line in file.read_text("utf-8").splitlines() if file.exists() else ():
            words = shlex.split(line)
            name, _, value = words[-1].partition("=")
            if words[:2] == ["declare", "-x"] and name.isupper() and ENVIRONMENT.get(name) != value:
                self.exported[name] = value
        for name in ("OLDPWD", "PWD", "SHLVL", "WUGAN_LANG"):
            self.exported.pop(name, None)
        file.unlink(missing_ok=True)

    def _on_terminal(self, command: str, script: str, environment: Mapping[str, str], typed: Sequence[str]) -> Ran:
        leader, follower = pty.openpty()
        settings = termios.tcgetattr(follower)
        settings[3] &= ~termios.ECHO
        termios.tcsetattr(follower, termios.TCSANOW, settings)

        process = subprocess.Popen(
            ["setsid", "--ctty", "--wait", "bash", "-c", script],
            cwd=self.folder,
            env=dict(environment),
            stdin=follower,
            stdout=subprocess.PIPE,
            stderr=follower,
        )
        os.close(follower)
        shown, waiting, end = "", list(typed), time.monotonic() + COMMAND_S
        try:
            while time.monotonic() < end:
                ready, _, _ = select.select([leader], [], [], 0.1)
                if not ready:
                    if process.poll() is not None:
                        break
                    continue
                try:
                    part = os.read(leader, 4096)
                except OSError:  # the other end was closed
                    break
                shown += part.decode("utf-8", "replace")
                if waiting and _PROMPT.search(shown.rstrip("\r\n")) and not shown.endswith("\n"):
                    os.write(leader, waiting.pop(0).encode() + b"\n")
                    shown += "\n"
            out, _ = process.communicate(timeout=60)
        finally:
            process.kill()
            process.wait()
            os.close(leader)
        assert not waiting, f"{command}: did not ask for {len(waiting)} of {len(typed)} passphrases\n{shown}"
        for secret in typed:
            assert secret not in shown, "what is typed is not shown"
        return Ran(command, process.returncode, out.decode("utf-8", "replace"), shown)

    # the service

    @property
    def ready_file(self) -> Path:
        return self.folder / f"{self.name}.ready"

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    def start(self) -> None:
        """Start the service as it was started first; returns when it is ready."""
        assert self.process is None, f"the {self.name} runs already"
        assert self.service, f"the page has not said how the {self.name} is started"
        command = self.service if self.name != "authority" else f"{self.service} --ready-file {self.ready_file}"
        self.ready_file.unlink(missing_ok=True)
        end = time.monotonic() + READY_S
        again = RESTARTS
        self.process = self._started(command)
        while not self.ready_file.exists():
            if self.process.poll() is not None:
                assert again, f"{command} ended:\n{self.tail()}"
                again -= 1
                self.process = self._started(command)
            assert time.monotonic() < end, f"{command} was not ready in time:\n{self.tail()}"
            time.sleep(0.05)

    def _started(self, command: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                ["bash", "-c", f"exec {command}"],
                cwd=self.folder,
                env={**ENVIRONMENT, **self.exported},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Stop the service, if it runs."""
        if self.process is None:
            return
        process, self.process = self.process, None
        process.send_signal(number)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(60)
            raise AssertionError(f"the {self.name} did not stop:\n{self.tail()}") from None

    def tail(self) -> str:
        """The end of the service's log."""
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-15:]) if self.log.exists() else ""


@contextlib.contextmanager
def stopped_at_the_end(hosts: Sequence[Host]) -> Iterator[None]:
    """No service outlives the block."""
    try:
        yield
    finally:
        for host in hosts:
            with contextlib.suppress(AssertionError):
                host.stop()


@dataclass
class Book:
    """A page, followed section by section; every command is run at least once by the end, or the test says why not."""

    page: str
    left: list[Step] = field(init=False)
    steps: list[Step] = field(init=False)

    def __post_init__(self) -> None:
        self.steps = steps_of(self.page)
        self.left = list(self.steps)
        assert self.steps, f"{self.page} has no commands"

    def follow(
        self,
        section: str,
        hosts: Mapping[str, Host],
        *blocks: int,
        typed: Mapping[str, Sequence[str]] | None = None,
        only: str = "",
    ) -> list[Ran]:
        """Type the commands of a section.

        Args:
            section: its heading, or the beginning of it.
            hosts: by name.
            blocks: which of its blocks, counted from 0; all where none is named.
            typed: beginning of a command → passphrases it asks for.
            only: commands with this in them.
        """
        found = [step for step in self.steps if step.section.startswith(section) and only in step.command]
        found = [step for step in found if not blocks or step.block in blocks]
        assert found, f"{self.page} has no commands under {section!r} with {only!r}"
        done = []
        for at, step in enumerate(found):
            for host in hosts.values() if step.place == "everywhere" else (hosts[step.place],):
                secrets = next((s for begin, s in (typed or {}).items() if step.command.startswith(begin)), ())
                done.append(host.run(step.command, step.ends_with, secrets, ("en", "zh")[at % 2]))
            if step in self.left:
                self.left.remove(step)
        return done

    @property
    def sections(self) -> list[str]:
        """The headings that have commands, in order."""
        return list(dict.fromkeys(step.section for step in self.steps))

    def require_done(self, *sections: str) -> None:
        """Return when every command of these sections was typed; of the whole page, where none is named."""
        left = [step for step in self.left if not sections or step.section.startswith(sections)]
        assert not left, f"{self.page}: nobody typed {[step.command for step in left]}"
