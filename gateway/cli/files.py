"""Files that a person names to a command: text that is read whole, or written; or an end with exit code 2."""

from __future__ import annotations

from pathlib import Path

import click

from certs.system_words import cause
from gateway.cli import EXIT_USAGE
from gateway.cli.access_common import fail
from gateway.errors import ConfigError
from gateway.texts import text_of


def write_text(path: Path, text: str, *, over: bool = False) -> None:
    """Write a file, in the place of one that is there only where `over` says so; ends the command if it cannot."""
    try:
        with path.open("w" if over else "x", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        why = cause(error)
        raise fail(f"{path}: cannot be written ({why.en})", f"{path}：无法写入（{why.zh}）", EXIT_USAGE) from None


def read_text(file: Path, most: int) -> str:
    """The text of a file as a person saved it; ends the command if there is none.

    Args:
        file: "-": standard input.
        most: bytes; more is refused.
    """
    try:
        with click.open_file(str(file), "rb") as stream:
            data = stream.read(most + 1)
    except OSError as error:
        why = cause(error)
        raise fail(f"{file}: cannot be read ({why.en})", f"{file}：无法读取（{why.zh}）", EXIT_USAGE) from None
    if len(data) > most:
        large = f"{most >> 20} MiB"
        raise fail(f"{file}: larger than {large}; divide it", f"{file}：超过 {large}，请拆分", EXIT_USAGE)
    try:
        return text_of(data, str(file))
    except ConfigError as error:
        raise fail(error.en, error.zh, EXIT_USAGE) from None
