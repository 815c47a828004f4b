"""How every command ends, whatever it does: interrupted by 130, never because a terminal lacks a character, and by 2
with words where its configuration is wrong.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from gateway.cli import main
from tests.configured import gateway_toml


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


@pytest.mark.parametrize(
    "command",
    [
        "access alarms",
        "access list",
        "access people list",
        "adapter list",
        "audit verify",
        "certs status",
        "duplicates status",
        "gateway run",
        "inbox list",
        "outbox list",
    ],
)
def test_a_wrong_setting_is_told_in_words_and_ends_with_2(tmp_path: Path, command: str) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text(gateway_toml() + "\n[access.harvest]\nunknown_people = 5\n", "utf-8")
    ran = CliRunner(env={"WUGAN_LANG": "en"}).invoke(main, [*command.split(), "--config", str(config)])
    assert ran.exit_code == 2, ran.exception
    assert "access.harvest.unknown_people: is at least 10" in ran.stderr
