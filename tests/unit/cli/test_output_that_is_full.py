"""Where what a command says cannot be written, it says so in a line, and ends as for other files; no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli import EXIT_USAGE

FULL = Path("/dev/full")
SAID = {"zh": "wugan: 输出无法写入（", "en": "wugan: the output cannot be written ("}
SOMEBODY = ["--id", "x", "--name", "x", "--benefit", "EMPLOYEE_PENSION", "--purpose", "CERTIFICATION"]
MANIFEST = str(Path(__file__).parents[3] / "examples" / "adapters" / "burials" / "manifest.yaml")
COMMAND = """
import sys, click
from gateway.cli import main
main.get_command = lambda *_: click.Command("c", callback=lambda: {})
main(["c"])
"""


def ends(arguments: list[str], language: str, *, errors: Path | None = None) -> tuple[int, str]:
    """The exit code, and what stands on standard error, of a command whose output goes to a disk that is full."""
    with FULL.open("w") as full, (errors or Path(os.devnull)).open("w") as elsewhere:
        done = subprocess.run(
            arguments,
            stdout=full,
            stderr=subprocess.PIPE if errors is None else elsewhere,
            text=True,
            check=False,
            timeout=50,
            env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
            | {"WUGAN_LANG": language, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
    return done.returncode, done.stderr or ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["check", "--help"],
        ["outbox", "drop", "--help"],
        ["catalogue", "show", MANIFEST],
        ["catalogue", "show", MANIFEST, "--json"],
        ["nonsense", "--json"],
        ["check", "--config", "/no/such/file", *SOMEBODY, "--json"],
    ],
    ids=lambda each: " ".join(map(os.path.basename, each)),
)
def test_an_output_that_cannot_be_written_is_told_in_one_line(arguments: list[str]) -> None:
    code, told = ends([sys.executable, "-m", "gateway.cli", *arguments], "zh")
    assert code == EXIT_USAGE
    lines = told.splitlines()
    assert lines[-1].startswith(SAID["zh"])
    assert len(lines) <= 1 + ("--json" in arguments)  # what was wrong before that is told, too
    assert "Traceback" not in told


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("writes", ["sys.stdout.write('x')", "click.echo('x' * 100_000)"])
def test_so_is_one_that_is_written_at_the_very_end_or_in_large_pieces(language: str, writes: str) -> None:
    code, told = ends([sys.executable, "-c", COMMAND.format(writes)], language)
    assert (code, len(told.splitlines())) == (EXIT_USAGE, 1)
    assert told.startswith(SAID[language])


def test_where_nothing_at_all_can_be_said_the_exit_code_says_it() -> None:
    assert ends([sys.executable, "-m", "gateway.cli", "--help"], "en", errors=FULL) == (EXIT_USAGE, "")


def test_an_output_that_was_closed_from_the_start_is_no_error() -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "gateway.cli", "--help"],
        stderr=subprocess.PIPE,
        check=False,
        timeout=50,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_reader_that_goes_away_is_not_complained_of() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as gone:
        done = subprocess.run(
            [sys.executable, "-c", COMMAND.format("sys.stdout.write('x')")],
            stdout=gone,
            stderr=subprocess.PIPE,
            check=False,
            timeout=50,
            env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
            | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
    assert (done.returncode, done.stderr) == (1, b"")
