"""How every command ends, whatever it does: interrupted by 130, and never because a terminal lacks a character."""

from __future__ import annotations

import io
import sys

import click
import pytest

from gateway.cli import main


@click.command("test-ends")
def interrupted() -> None:
    """One that is interrupted."""
    raise KeyboardInterrupt


@click.command("test-ends")
def marked() -> None:
    """One that writes what GBK lacks."""
    click.echo("✓ 公安 𠮷")


def end_of(command: click.Command, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(type(main), "get_command", lambda *_: command)
    with pytest.raises(SystemExit) as ended:
        main.main(["test-ends"])
    code = ended.value.code
    assert isinstance(code, int)
    return code


def test_a_command_that_is_interrupted_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    assert end_of(interrupted, monkeypatch) == 130


def test_a_terminal_that_lacks_a_character_shows_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "gbk"))
    assert end_of(marked, monkeypatch) == 0
    sys.stdout.flush()
    assert written.getvalue().decode("gbk").strip() == r"\u2713 公安 \U00020bb7"
