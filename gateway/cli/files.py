"""Files that commands write where a person says: a text of their own, or an end with exit code 2."""

from __future__ import annotations

from pathlib import Path

from certs.system_words import cause
from gateway.cli import EXIT_USAGE
from gateway.cli.access_common import fail


def write_text(path: Path, text: str, *, over: bool = False) -> None:
    """Write a file, in the place of one that is there only where `over` says so; ends the command if it cannot."""
    try:
        with path.open("w" if over else "x", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        why = cause(error)
        raise fail(f"{path}: cannot be written ({why.en})", f"{path}：无法写入（{why.zh}）", EXIT_USAGE) from None
